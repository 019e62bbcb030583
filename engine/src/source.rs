//! Where rows come from: [`Source`], its [`Offset`]s and its [`Split`]s.
//!
//! A source is two halves. The *driver* half, a [`Source`], lives beside the loop: it knows what is new and cuts a range
//! of offsets into splits. The *reading* half, [`SourceProvider::read`], turns one split into rows wherever the plan
//! runs; all that travels there is the [`SourceSpec`] and the [`Split`], both plain data.

use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_common::DataFusionError;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use millstream_state::Place;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::options::Options;

/// A position in a source, as one line of JSON text: Spark's own text for the same source, so that either engine reads
/// the other's checkpoint. Two offsets are the same position when their JSON values are equal.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(serde_json::Value);

impl Offset {
    /// The offset that `json` stands for.
    pub fn new(json: serde_json::Value) -> Self {
        Self(json)
    }

    /// Reads a line of an offset log.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map(Self).map_err(|e| Error::corrupt(format!("offset '{text}' is not JSON: {e}")))
    }

    /// The JSON value.
    pub fn json(&self) -> &serde_json::Value {
        &self.0
    }

    /// Reads the value as a `T`; `source` is named in the error.
    pub fn decode<T: serde::de::DeserializeOwned>(&self, source: &str) -> Result<T> {
        serde_json::from_value(self.0.clone())
            .map_err(|e| Error::corrupt(format!("offset '{self}' is not one of the {source} source: {e}")))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How much one batch may take from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// Everything there is. Beats every other limit.
    AllAvailable,
    /// At most so many rows.
    MaxRows(u64),
    /// At least so many rows, unless `max_delay_ms` have passed since the last batch.
    MinRows {
        /// The fewest rows worth a batch.
        rows: u64,
        /// After so long, any number of rows is a batch.
        max_delay_ms: u64,
    },
    /// At most so many files.
    MaxFiles(u64),
    /// Files until their sizes add up to so many bytes; always at least one.
    MaxBytes(u64),
    /// All of these at once.
    All(Vec<ReadLimit>),
}

/// One piece of a range of offsets, to be read by one task: plain JSON that the same connector understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// What to read. Only the connector looks inside.
    pub descriptor: serde_json::Value,
    /// About how many bytes it holds: splits are dealt to partitions so that these add up evenly. 0 where unknown.
    #[serde(default)]
    pub size_bytes: u64,
}

impl Split {
    /// The split that `descriptor` describes, of about `size_bytes`; 0 where that is not known.
    ///
    /// # Errors
    /// `Internal` where it cannot be written as JSON.
    pub fn new(descriptor: &impl Serialize, size_bytes: u64) -> Result<Self> {
        let descriptor = serde_json::to_value(descriptor)
            .map_err(|e| Error::internal(format!("a split cannot be written as JSON: {e}")))?;
        Ok(Self { descriptor, size_bytes })
    }

    /// Reads the descriptor as a `T`; `source` is named in the error.
    ///
    /// # Errors
    /// `Internal` where it is none.
    pub fn decode<T: serde::de::DeserializeOwned>(&self, source: &str) -> Result<T> {
        T::deserialize(&self.descriptor)
            .map_err(|e| Error::internal(format!("'{}' is not a split of the {source} source: {e}", self.descriptor)))
    }
}

/// What a stream is, as plain data: enough to open its source, here or in another process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceSpec {
    /// The connector's name, such as `json`.
    pub connector: String,
    /// Its options, as given.
    pub options: Options,
    /// The columns of the stream.
    #[serde(with = "crate::schema_serde")]
    pub schema: SchemaRef,
}

/// The key in a schema's metadata that says how many of its last columns are hidden ones. It is never in the schema of a
/// plan, so that no table's declared columns are taken for hidden ones.
const HIDDEN_COLUMNS: &str = "millstream.hidden.columns";

impl SourceSpec {
    /// The same with [hidden columns](SourceProvider::hidden_columns) after its own: what a scan that names one reads.
    pub(crate) fn with_hidden_columns(&self, hidden: &[FieldRef]) -> Self {
        let fields: Vec<FieldRef> = self.schema.fields().iter().chain(hidden).cloned().collect();
        let mut metadata = self.schema.metadata().clone();
        metadata.insert(HIDDEN_COLUMNS.to_string(), hidden.len().to_string());
        Self { schema: Arc::new(Schema::new_with_metadata(fields, metadata)), ..self.clone() }
    }

    /// How many of the first columns are the stream's own; those after them are hidden ones.
    pub fn shown_columns(&self) -> usize {
        let hidden = self.schema.metadata().get(HIDDEN_COLUMNS).and_then(|count| count.parse().ok()).unwrap_or(0);
        self.schema.fields().len().saturating_sub(hidden)
    }
}

/// A replayable stream of rows, read in slices between two offsets: the driver's half.
///
/// # Contract (checked by [`testing::check_source`](crate::testing::check_source))
/// * **Replay**: the splits of (a, b] give the same rows each time, also in another process after a crash.
/// * **Tiling**: the rows of (a, b] and of (b, c] together are the rows of (a, c].
/// * **Progress**: [`latest`](Self::latest) never goes back, and gives `from` again when there is nothing new.
/// * **Cancel safety**: dropping a future loses no rows; only [`commit`](Self::commit) lets the source forget any.
/// * **A full log**: whatever the range (a, b] needs to be read again is durable when `latest` returns b.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// How progress names it, such as `FileStreamSource[file:/data/in]`.
    fn description(&self) -> String;

    /// How much one batch takes by default: what the options say.
    fn read_limit(&self) -> ReadLimit {
        ReadLimit::AllAvailable
    }

    /// Where a query without a checkpoint starts. `None` is before everything, for a source whose first batch need not
    /// exist while there is nothing to read.
    async fn initial(&self) -> Result<Option<Offset>>;

    /// The furthest offset one batch that starts at `from` may read to. `None` while there is nothing at all.
    async fn latest(&self, from: Option<&Offset>, limit: &ReadLimit) -> Result<Option<Offset>>;

    /// What to read for the rows after `from`, up to and including `to`.
    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>>;

    /// Rows up to `offset` are in a committed batch. May come again with the same offset.
    async fn commit(&self, offset: &Offset) -> Result<()> {
        let _ = offset;
        Ok(())
    }

    /// Fixes what "available now" is, so that later calls of [`latest`](Self::latest) stop there. `false` where the
    /// source cannot: the query then runs one single batch.
    async fn prepare_available_now(&self) -> Result<bool> {
        Ok(false)
    }

    /// The newest offset that exists, whatever the limits, for the lag in progress. `None` where it is not known.
    async fn newest(&self) -> Option<Offset> {
        None
    }

    /// Figures of its own for progress, given what has been read; empty where there are none.
    fn metrics(&self, consumed: Option<&Offset>) -> Vec<(String, String)> {
        let _ = consumed;
        Vec::new()
    }

    /// How far what has been read is behind the newest, by part of the source, in the shape of its offsets. `None` where
    /// that is not known.
    fn lag(&self, consumed: Option<&Offset>) -> Option<serde_json::Value> {
        let _ = consumed;
        None
    }

    /// Returns when there may be something new, so that an idle query need not wait for its next poll. Never returns
    /// for a source that cannot tell.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// The query has ended.
    async fn stop(&self) {}
}

/// What a source is opened with.
#[derive(Clone, Debug)]
pub struct SourceContext {
    /// The source's own folder in the checkpoint, `sources/<i>`.
    pub metadata: Place,
    /// The query's clock.
    pub clock: Arc<dyn Clock>,
    /// The query's configuration, for `spark.sql.streaming.*` keys.
    pub conf: Arc<Options>,
}

/// One read of a split.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// What to read.
    pub split: Split,
    /// The columns wanted, as indices into the stream's schema, in the order wanted.
    pub projection: Vec<usize>,
    /// The batch size and the session's time zone are in its configuration.
    pub context: Arc<TaskContext>,
}

impl ReadRequest {
    /// The answer to it: `batches`, which have all the columns of `schema`, cut to the columns wanted.
    ///
    /// # Errors
    /// `Internal` where a column is wanted that `schema` does not have.
    pub fn rows(
        &self,
        schema: &SchemaRef,
        batches: impl IntoIterator<Item = Result<RecordBatch>, IntoIter: Send + 'static>,
    ) -> Result<SendableRecordBatchStream> {
        let projection = self.projection.clone();
        let wanted = Arc::new(schema.project(&projection).map_err(DataFusionError::from)?);
        let rows = stream::iter(batches).map(move |batch| Ok(batch?.project(&projection)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(wanted, rows)))
    }
}

/// When a table that is joined with a stream is listed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaticRefresh {
    /// What the query found when it was planned is what it reads, as in Spark.
    Never,
    /// For every batch.
    EveryBatch,
    /// For the first batch after so long.
    Interval {
        /// In milliseconds.
        interval_ms: i64,
    },
}

impl StaticRefresh {
    /// The option's name.
    pub const OPTION: &'static str = "staticRefresh";

    /// What the option `staticRefresh` says.
    ///
    /// # Errors
    /// `Invalid` where it is neither `'batch'` nor an interval.
    pub fn of_options(options: &Options) -> Result<Self> {
        match options.get(Self::OPTION) {
            None => Ok(Self::Never),
            Some(text) if text.trim().eq_ignore_ascii_case("batch") => Ok(Self::EveryBatch),
            Some(text) => match crate::trigger::parse_interval_ms(text).ok().and_then(|ms| i64::try_from(ms).ok()) {
                Some(interval_ms) if interval_ms > 0 => Ok(Self::Interval { interval_ms }),
                _ => Err(Error::invalid(format!(
                    "option '{}' is '{text}', expected 'batch' or an interval such as '10 minutes'",
                    Self::OPTION
                ))),
            },
        }
    }
}

/// A connector's registration as a source: from names and options to a running [`Source`], and the reading half.
#[async_trait]
pub trait SourceProvider: Debug + Send + Sync {
    /// The name after `USING` and in `format(…)`, lower case.
    fn name(&self) -> &'static str;

    /// Checks the options and gives the columns of the stream (or, with `streaming` off, of the table read as a batch).
    /// `given` is the schema the user declared. Fails with `Invalid` on an unknown option, a missing path, or where a
    /// schema is needed and missing (or fixed and given). `conf` holds the session's configuration.
    async fn schema(
        &self,
        given: Option<SchemaRef>,
        options: &Options,
        streaming: bool,
        conf: &Options,
    ) -> Result<SchemaRef>;

    /// Columns that every row has beside those of the stream, and that nobody sees who does not name them: `_metadata`.
    /// They come after the stream's columns in the schema of a [`SourceSpec`] that is to be read with them, see
    /// [`SourceSpec::shown_columns`].
    fn hidden_columns(&self) -> Vec<FieldRef> {
        Vec::new()
    }

    /// Opens the source for one query. Called once per run; `cx.metadata` tells a restart from a first start.
    async fn open(&self, spec: &SourceSpec, cx: SourceContext) -> Result<Arc<dyn Source>>;

    /// Everything there is now, for a table read as a batch. The default refuses.
    async fn batch_splits(&self, spec: &SourceSpec) -> Result<Vec<Split>> {
        Err(Error::unsupported(format!(
            "a table of the {} connector cannot be read as a batch: read it as a stream, with STREAM before its name",
            spec.connector
        )))
    }

    /// Whether a frame that is read as a batch consists of what was there when it was made, as of files; otherwise of what
    /// is there when a query over it starts.
    fn is_listed_when_read(&self) -> bool {
        false
    }

    /// When a table beside a stream is listed again while the query runs. As the option `staticRefresh` says by default:
    /// never without it; `'batch'` for every batch; or an interval such as `'10 minutes'`.
    fn static_refresh(&self, spec: &SourceSpec) -> Result<StaticRefresh> {
        StaticRefresh::of_options(&spec.options)
    }

    /// Turns one split into batches of 4 to 32 thousand rows with the projected columns. Runs wherever the plan runs,
    /// and gives the same rows every time.
    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream>;
}
