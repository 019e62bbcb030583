//! `memory`: a stream that this process pushes rows into ([`MemoryStream`]), and a table that a query writes and this
//! process reads ([`MemoryTable`]). For tests, examples and small results; neither survives the process.

mod sink;
mod source;
mod table;

pub use sink::MemorySinkProvider;
pub use source::{MemorySourceProvider, MemoryStream};
pub use table::{MemoryTable, MemoryTables};
