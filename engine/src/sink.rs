//! Where rows go: [`Sink`], and for sinks that write in parallel, their [`SinkWriter`]s.
//!
//! A sink that [writes in parallel](Delivery::Writers) commits in two phases: a writer per partition, wherever the plan
//! runs, returns a [`CommitMessage`]; when all are in, the driver half makes the batch visible, idempotently by batch id.
//! A sink that [takes rows](Delivery::Rows) lives beside the loop and is handed the whole batch: the console, a table in
//! memory, a closure.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_execution::TaskContext;
use millstream_state::Place;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Fence;
use crate::error::{Error, Result};
use crate::options::Options;

/// Which rows of the result a batch gives to the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputMode {
    /// Rows that will never change.
    #[default]
    Append,
    /// Rows that this batch changed.
    Update,
    /// The whole result.
    Complete,
}

impl OutputMode {
    /// The mode called `name`, in any case.
    pub fn parse(name: &str) -> Result<Self> {
        match name.to_lowercase().as_str() {
            "append" => Ok(Self::Append),
            "update" => Ok(Self::Update),
            "complete" => Ok(Self::Complete),
            _ => Err(Error::invalid(format!("output mode is '{name}', expected append, update or complete"))),
        }
    }

    /// Its name, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Update => "update",
            Self::Complete => "complete",
        }
    }
}

impl std::fmt::Display for OutputMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a sink is, as plain data: enough to open it, and its writers in another process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SinkSpec {
    /// The connector's name, such as `parquet`.
    pub connector: String,
    /// Its options, as given.
    pub options: Options,
    /// The columns that are written.
    #[serde(with = "crate::schema_serde")]
    pub schema: SchemaRef,
    /// The columns named by `partitionBy`, as the schema spells them.
    pub partition_by: Vec<String>,
    /// The query's output mode.
    pub output_mode: OutputMode,
    /// The query's name, where it has one.
    pub query_name: Option<String>,
}

/// How rows reach a sink.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Through writers in the plan, made from this by [`SinkProvider::writer`].
    Writers(SinkSpec),
    /// As a whole batch, in [`Sink::accept`].
    Rows,
}

/// What one writer did: plain data for the driver half, and the rows written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMessage {
    /// What the sink needs to make the writer's output visible; only the sink looks inside. Null where nothing was written.
    pub payload: serde_json::Value,
    /// Rows this writer wrote.
    pub rows: u64,
}

/// The rows of one batch, for a sink that takes rows.
#[derive(Clone, Debug)]
pub struct BatchRows {
    /// The batch's number.
    pub batch_id: u64,
    /// The columns.
    pub schema: SchemaRef,
    /// The rows of each partition of the plan; a partition may have none.
    pub partitions: Vec<Vec<RecordBatch>>,
}

impl BatchRows {
    /// The rows, partition after partition.
    pub fn rows(&self) -> impl Iterator<Item = &RecordBatch> {
        self.partitions.iter().flatten()
    }

    /// The rows, partition after partition, taken out.
    pub fn into_rows(self) -> Vec<RecordBatch> {
        self.partitions.into_iter().flatten().collect()
    }
}

/// The driver's half of a sink.
///
/// # Contract (checked by [`testing::check_sink`](crate::testing::check_sink))
/// * **Idempotent**: committing or accepting batch N again has no second effect, where the sink can promise it at all
///   (its documentation says so where it cannot).
/// * **Atomic**: a reader sees all rows of a batch or none.
/// * **Fenced**: a sink with durable output asks the [`Fence`] right before it makes something visible.
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// How progress names it, such as `FileSink[file:/data/out]`.
    fn description(&self) -> String;

    /// How it wants its rows.
    fn delivery(&self) -> Delivery;

    /// Makes what the writers of batch `batch_id` wrote visible. Called for sinks with [`Delivery::Writers`].
    async fn commit(&self, batch_id: u64, messages: Vec<CommitMessage>, fence: &Fence) -> Result<()> {
        let _ = (batch_id, messages, fence);
        Err(Error::internal(format!("{} takes rows and has nothing to commit", self.description())))
    }

    /// Takes the rows of a batch. Called for sinks with [`Delivery::Rows`], for batches without rows too.
    async fn accept(&self, batch: BatchRows) -> Result<()> {
        let _ = batch;
        Err(Error::internal(format!("{} has writers and does not take rows", self.description())))
    }

    /// Figures of its own for progress; empty where there are none.
    fn metrics(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The query has ended.
    async fn stop(&self) {}
}

/// What a sink is opened with.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// The query's id, the same in every run.
    pub query_id: uuid::Uuid,
    /// The checkpoint folder.
    pub checkpoint: Place,
    /// Whether the query goes on from an earlier run.
    pub is_restart: bool,
    /// The query's configuration, for `spark.sql.streaming.*` keys.
    pub conf: Arc<Options>,
}

/// One writer's task.
#[derive(Clone, Debug)]
pub struct WriterTask {
    /// The partition whose rows it gets.
    pub partition: usize,
    /// The batch.
    pub batch_id: u64,
    /// Which attempt at this batch, unique over all runs: names of files contain it.
    pub attempt: uuid::Uuid,
    /// The memory pool and the session's time zone are in here.
    pub context: Arc<TaskContext>,
}

/// Writes one partition of one batch. Dropping it without [`finish`](Self::finish) must leave nothing visible.
#[async_trait]
pub trait SinkWriter: Send {
    /// Writes the rows of `batch`, in order.
    async fn write(&mut self, batch: RecordBatch) -> Result<()>;

    /// Everything is written and durable; what the driver needs to make it visible.
    async fn finish(self: Box<Self>) -> Result<CommitMessage>;
}

/// A connector's registration as a sink.
#[async_trait]
pub trait SinkProvider: Debug + Send + Sync {
    /// The name after `USING` and in `format(…)`, lower case.
    fn name(&self) -> &'static str;

    /// Whether a query may run without a checkpoint location of its own: it then gets a temporary one.
    fn may_use_temporary_checkpoint(&self) -> bool {
        false
    }

    /// Whether a table with these options can be written without its columns being declared: what is written then has
    /// the columns of the query. Fails with `Invalid` where the options are wrong.
    fn takes_any_columns(&self, options: &Options) -> Result<bool> {
        let _ = options;
        Ok(false)
    }

    /// Checks options, output mode and columns, when the query starts. Fails with `Invalid` or `Unsupported`.
    fn check(&self, spec: &SinkSpec) -> Result<()>;

    /// Opens the sink for one run of a query.
    async fn open(&self, spec: &SinkSpec, cx: SinkContext) -> Result<Arc<dyn Sink>>;

    /// A writer for one partition of one batch, wherever the plan runs. Called for sinks with [`Delivery::Writers`].
    fn writer(&self, spec: &SinkSpec, task: WriterTask) -> Result<Box<dyn SinkWriter>> {
        let _ = task;
        Err(Error::internal(format!("the {} sink takes rows and has no writers", spec.connector)))
    }
}
