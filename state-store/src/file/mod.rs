//! State files: their bytes, and writing and reading them.

pub(crate) mod block;
pub(crate) mod format;
pub(crate) mod reader;
pub(crate) mod segment_writer;
pub(crate) mod writer;
