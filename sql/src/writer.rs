//! `write_stream()`: from a [`DataFrame`] over streams to a running query. SQL's statements start theirs here too.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use millstream_engine::options::Options;
use millstream_engine::query::{QueryDefinition, SinkTarget, StreamingQuery, start};
use millstream_engine::sink::OutputMode;
use millstream_engine::trigger::Trigger;
use millstream_engine::{Error, Result};

use crate::catalog::{Entry, Table};
use crate::dataframe::DataFrame;
use crate::foreach::{ForeachSink, ForeachWriter};
use crate::foreach_batch::{ForeachBatchError, ForeachBatchSink};
use crate::session::StreamSession;

/// Options of the writer, not of the connector.
const WRITER_OPTIONS: &[&str] = &["outputMode", "trigger", "checkpointLocation", "queryName"];

/// Says where a stream goes, and starts it.
#[derive(Debug)]
pub struct DataStreamWriter {
    session: StreamSession,
    plan: LogicalPlan,
    format: Option<String>,
    options: Options,
    partition_by: Vec<String>,
    output_mode: Option<OutputMode>,
    trigger: Option<Trigger>,
    query_name: Option<String>,
    rows: Option<Arc<dyn millstream_engine::sink::Sink>>,
}

impl DataStreamWriter {
    pub(crate) fn new(session: StreamSession, plan: LogicalPlan) -> Self {
        Self {
            session,
            plan,
            format: None,
            options: Options::new(),
            partition_by: Vec::new(),
            output_mode: None,
            trigger: None,
            query_name: None,
            rows: None,
        }
    }

    /// The query's name, unique among the session's running queries.
    pub fn query_name(mut self, name: impl Into<String>) -> Self {
        self.query_name = Some(name.into());
        self
    }

    /// Which rows of the result a batch writes; append by default.
    pub fn output_mode(mut self, mode: OutputMode) -> Self {
        self.output_mode = Some(mode);
        self
    }

    /// The connector: `parquet`, `console`, `memory`, ….
    pub fn format(mut self, name: impl Into<String>) -> Self {
        self.format = Some(name.into());
        self
    }

    /// When batches run; as soon as the last has ended by default.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = Some(trigger);
        self
    }

    /// Sets an option of the connector, or `checkpointLocation`.
    pub fn option(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.options.set(name, value.to_string());
        self
    }

    /// Sets options.
    pub fn options<N: Into<String>, V: ToString>(mut self, options: impl IntoIterator<Item = (N, V)>) -> Self {
        for (name, value) in options {
            self.options.set(name, value.to_string());
        }
        self
    }

    /// The columns whose values become folders.
    pub fn partition_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Gives every batch to `call`, with its number, batches without rows too. The rows are there as a batch: actions on
    /// them may be run any number of times. A batch is given again after a crash: what `call` does with it is up to it.
    ///
    /// An error ends the query; its message is kept. Work that blocks a thread belongs into
    /// [`tokio::task::spawn_blocking`].
    pub fn foreach_batch<F, R, E>(mut self, call: F) -> Self
    where
        F: Fn(DataFrame, u64) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<ForeachBatchError> + 'static,
    {
        self.rows = Some(Arc::new(ForeachBatchSink::new(self.session.clone(), call)));
        self
    }

    /// As [`foreach_batch`](Self::foreach_batch), for a closure that waits for nothing.
    pub fn foreach_batch_sync<F, E>(self, call: F) -> Self
    where
        F: Fn(DataFrame, u64) -> Result<(), E> + Send + Sync + 'static,
        E: Into<ForeachBatchError> + Send + 'static,
    {
        self.foreach_batch(move |rows, batch_id| std::future::ready(call(rows, batch_id)))
    }

    /// Gives every row to `writer`, a clone of it for each partition and batch.
    pub fn foreach<W: ForeachWriter + Clone + 'static>(mut self, writer: W) -> Self {
        self.rows = Some(Arc::new(ForeachSink::new(writer)));
        self
    }

    /// Starts the query.
    ///
    /// # Errors
    /// Whatever is wrong with query, options or checkpoint: nothing that can be known now is left for the first batch.
    pub async fn start(mut self) -> Result<Arc<StreamingQuery>> {
        let writer_options = split_options(&mut self.options)?;
        let sink = match self.rows.take() {
            Some(sink) => {
                self.options.reader("foreach").finish()?;
                SinkTarget::Rows(sink)
            }
            None => {
                let default = || self.session.conf().get("spark.sql.sources.default");
                let connector = self.format.clone().or_else(default).unwrap_or_default().to_lowercase();
                SinkTarget::Connector {
                    connector,
                    options: self.options.clone(),
                    partition_by: self.partition_by.clone(),
                }
            }
        };
        let mut definition = Start::new(self.plan, sink, &writer_options)?;
        definition.name = self.query_name.or(definition.name);
        definition.output_mode = self.output_mode.unwrap_or(definition.output_mode);
        definition.trigger = self.trigger.unwrap_or(definition.trigger);
        definition.start(&self.session).await
    }

    /// Starts the query, its files below `path`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_path(self, path: &str) -> Result<Arc<StreamingQuery>> {
        self.option("path", path).start().await
    }

    /// Starts the query into a table: a declared one, or a new one of this writer's connector and options.
    ///
    /// # Errors
    /// As [`start`](Self::start), and where the table is being written by another query.
    pub async fn to_table(mut self, name: &str) -> Result<Arc<StreamingQuery>> {
        if let Some(Entry::Table(table)) = self.session.catalog().get(name) {
            let plan = crate::statements::insert::fit_columns(&self.session, self.plan, &table, &[])?;
            let mut writer_options = table.writer_options.clone();
            writer_options.extend_from(&split_options(&mut self.options)?);
            let mut definition = Start::new(plan, table_sink(&table), &writer_options)?;
            definition.name = self.query_name.or(definition.name).or_else(|| Some(table.name.clone()));
            definition.output_mode = self.output_mode.unwrap_or(definition.output_mode);
            definition.trigger = self.trigger.unwrap_or(definition.trigger);
            return definition.start(&self.session).await;
        }
        self.query_name.get_or_insert_with(|| name.to_string());
        let session = self.session.clone();
        let default = session.conf().get("spark.sql.sources.default").unwrap_or_default();
        let mut connector_options = self.options.clone();
        split_options(&mut connector_options)?;
        let table = Table {
            name: name.to_string(),
            connector: self.format.clone().unwrap_or(default).to_lowercase(),
            options: connector_options,
            writer_options: Options::new(),
            columns: Some(Arc::new(self.plan.schema().as_arrow().clone())),
            partition_by: self.partition_by.clone(),
            is_result: true,
            rows: None,
        };
        let query = self.start().await?;
        keep_result(&session, table);
        Ok(query)
    }
}

/// A query about to be started.
pub(crate) struct Start {
    plan: LogicalPlan,
    sink: SinkTarget,
    pub(crate) name: Option<String>,
    pub(crate) output_mode: OutputMode,
    pub(crate) trigger: Trigger,
    checkpoint_location: Option<String>,
}

impl Start {
    /// The query of `plan` into `sink`, as the writer's options say.
    pub(crate) fn new(plan: LogicalPlan, sink: SinkTarget, writer_options: &Options) -> Result<Self> {
        Ok(Self {
            plan,
            sink,
            name: writer_options.get("queryName").map(str::to_string),
            output_mode: writer_options.get("outputMode").map(OutputMode::parse).transpose()?.unwrap_or_default(),
            trigger: writer_options.get("trigger").map(Trigger::parse).transpose()?.unwrap_or_default(),
            checkpoint_location: writer_options.get("checkpointLocation").map(str::to_string),
        })
    }

    pub(crate) async fn start(self, session: &StreamSession) -> Result<Arc<StreamingQuery>> {
        let conf = session.conf();
        let sink = match self.sink {
            SinkTarget::Connector { connector, options, partition_by } => {
                let options = conf.with_option_defaults(&connector, options);
                SinkTarget::Connector { connector, options, partition_by }
            }
            other => other,
        };
        let planning = session.planning()?;
        let (stream, config) = (&planning.stream, planning.stream.config_options());
        let definition = QueryDefinition {
            name: self.name,
            plan: stream.analyzer().execute_and_check(self.plan, config, |_, _| {})?,
            output_mode: self.output_mode,
            trigger: self.trigger,
            sink,
            checkpoint_location: self.checkpoint_location,
            conf: conf.options().clone(),
        };
        let query = start(definition, session.environment(), &planning.stream).await?;
        session.remember(&query);
        Ok(query)
    }
}

/// Takes the writer's options out of `options`.
pub(crate) fn split_options(options: &mut Options) -> Result<Options> {
    let taken: HashMap<&str, Option<String>> =
        WRITER_OPTIONS.iter().map(|name| (*name, options.remove(name))).collect();
    let taken: Options = taken.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    // What can be refused is refused where the options are given, not where they are used.
    taken.get("outputMode").map(OutputMode::parse).transpose()?;
    taken.get("trigger").map(Trigger::parse).transpose()?;
    Ok(taken)
}

/// The sink that a declared table is.
pub(crate) fn table_sink(table: &Table) -> SinkTarget {
    SinkTarget::Connector {
        connector: table.connector.clone(),
        options: table.options.clone(),
        partition_by: table.partition_by.clone(),
    }
}

/// Makes what a query writes readable under its table's name, where the connector can be read.
pub(crate) fn keep_result(session: &StreamSession, table: Table) {
    if session.registry().has_source(&table.connector) && table.options.get("path").is_some() {
        session.catalog().put(Entry::Table(Arc::new(table)));
    }
}

/// Refuses to write into a table that a running query writes.
pub(crate) fn check_not_written(session: &StreamSession, table: &str) -> Result<()> {
    match session.streams().get(table) {
        Some(query) => Err(Error::invalid(format!(
            "the query {} is already writing into {table}: stop it with STOP STREAM {table}, or write into another table",
            query.label()
        ))),
        None => Ok(()),
    }
}

trait ExtendOptions {
    fn extend_from(&mut self, other: &Options);
}

impl ExtendOptions for Options {
    fn extend_from(&mut self, other: &Options) {
        for (name, value) in other.iter() {
            self.set(name, value);
        }
    }
}
