//! `write()`: the rows of a batch frame into a connector, once. What `INSERT INTO` does with rows that are no stream.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlanProperties, execute_stream_partitioned};
use futures::TryStreamExt;
use futures::future::try_join_all;
use millstream_engine::options::Options;
use millstream_engine::sink::{CommitMessage, OutputMode, SinkSpec, WriterTask};
use millstream_engine::{Error, Result};
use uuid::Uuid;

use crate::dataframe::DataFrame;
use crate::session::StreamSession;

/// Connectors that rows which are no stream can be added to: folders of files, and topics.
const TAKING_ROWS: &[&str] = &["json", "csv", "parquet", "text", "kafka"];

/// Says where the rows of a batch frame go.
#[derive(Debug)]
pub struct DataFrameWriter {
    frame: DataFrame,
    format: Option<String>,
    options: Options,
    partition_by: Vec<String>,
}

impl DataFrameWriter {
    pub(crate) fn new(frame: DataFrame) -> Self {
        Self { frame, format: None, options: Options::new(), partition_by: Vec::new() }
    }

    /// The connector: `parquet`, `json`, `csv`, `text`.
    pub fn format(mut self, name: impl Into<String>) -> Self {
        self.format = Some(name.into());
        self
    }

    /// Sets an option of the connector.
    pub fn option(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.options.set(name, value.to_string());
        self
    }

    /// The columns whose values become folders.
    pub fn partition_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Adds the rows to the files below `path`, and says how many there were.
    ///
    /// # Errors
    /// `Invalid` for a stream or bad options, `Unsupported` for a connector without files or a folder that a streaming
    /// query writes.
    pub async fn save(mut self, path: &str) -> Result<u64> {
        self.options.set("path", path);
        self.frame.refuse_stream()?;
        let session = self.frame.session().clone();
        let default = session.conf().get("spark.sql.sources.default").unwrap_or_default();
        let connector = self.format.unwrap_or(default);
        write_batch(&session, self.frame.logical_plan(), &connector, self.options, self.partition_by).await
    }
}

/// Adds the rows of `plan` to the files of a connector's folder, and says how many there were.
pub(crate) async fn write_batch(
    session: &StreamSession,
    plan: &LogicalPlan,
    connector: &str,
    options: Options,
    partition_by: Vec<String>,
) -> Result<u64> {
    let connector = connector.to_lowercase();
    if !TAKING_ROWS.contains(&connector.as_str()) {
        return Err(Error::unsupported(format!(
            "rows that are no stream cannot be written into the {connector} connector: use {}, or memory",
            TAKING_ROWS.join(", ")
        )));
    }
    refuse_streamed_folder(&options)?;
    let state = session.batch_state()?;
    let physical = state.create_physical_plan(plan).await?;
    let spec = SinkSpec {
        connector: connector.clone(),
        options: session.conf().with_option_defaults(&connector, options),
        schema: physical.schema(),
        partition_by,
        output_mode: OutputMode::Append,
        query_name: None,
    };
    let provider = Arc::clone(session.registry().sink(&connector)?);
    provider.check(&spec)?;
    let context = state.task_ctx();
    let (attempt, partitions) = (Uuid::new_v4(), physical.output_partitioning().partition_count());
    let streams = execute_stream_partitioned(physical, Arc::clone(&context))?;
    let writes = streams.into_iter().enumerate().map(|(partition, mut rows)| {
        let task = WriterTask { partition, batch_id: 0, attempt, context: Arc::clone(&context) };
        let (provider, spec) = (Arc::clone(&provider), spec.clone());
        tokio::spawn(async move {
            let mut writer = provider.writer(&spec, task)?;
            while let Some(batch) = rows.try_next().await? {
                writer.write(batch).await?;
            }
            writer.finish().await
        })
    });
    let messages: Vec<Result<CommitMessage>> = try_join_all(writes)
        .await
        .map_err(|e| Error::internal(format!("a writer of {partitions} ended without an answer: {e}")))?;
    let messages = messages.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(messages.iter().map(|message| message.rows).sum())
}

/// Readers of a folder that a streaming query writes see what its log lists and nothing else.
fn refuse_streamed_folder(options: &Options) -> Result<()> {
    let Some(path) = options.get("path") else { return Ok(()) };
    let local = path.strip_prefix("file://").unwrap_or(path);
    match std::path::Path::new(local).join("_spark_metadata").exists() {
        true => Err(Error::unsupported(format!(
            "{path} is written by a streaming query, which lists its files in _spark_metadata: rows added here would not be seen; write them into another folder"
        ))),
        false => Ok(()),
    }
}
