//! What sources have in common that make their rows themselves.

use std::sync::LazyLock;

use millstream_engine::Error;

/// The most rows a source puts into one batch.
pub(crate) const BATCH_ROWS: usize = 8192;

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
