//! Streams of record batches from plain iterators, for sources whose rows are already here.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::project_schema;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use millstream_engine::{Error, Result};

/// The most rows a source puts into one batch.
pub(crate) const BATCH_ROWS: usize = 8192;

/// The stream of `batches`, which have the columns of `schema`, cut to `projection`.
pub(crate) fn projected(
    schema: &SchemaRef,
    projection: Vec<usize>,
    batches: impl Iterator<Item = Result<RecordBatch>> + Send + 'static,
) -> Result<SendableRecordBatchStream> {
    let out_schema = project_schema(schema, Some(&projection))?;
    let rows = stream::iter(batches).map(move |batch| Ok(batch?.project(&projection).map_err(arrow_error)?));
    Ok(Box::pin(RecordBatchStreamAdapter::new(out_schema, rows)))
}

/// An error of an Arrow kernel on data that we have made ourselves.
pub(crate) fn arrow_error(error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("an Arrow kernel refused its input: {error}")).with_source(error)
}

/// The cores this process may use: into so many pieces a source cuts a batch by default.
pub(crate) fn default_parallelism() -> usize {
    // Asked once: the answer is read from several files of the control group.
    static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *CORES
}
