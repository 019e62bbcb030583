//! Rows without repetitions, over the life of a query: `dropDuplicates` and `dropDuplicatesWithinWatermark`.
//!
//! ```text
//! DeduplicateNode ─► TimeKeyExec (drops late rows) → ExchangeExec (rows to the partition of their key) → DeduplicateExec
//! ```
//! The first row of a key wins, rows of one source partition in the order in which they are read, partitions taking turns a
//! record batch each: which of several equal rows wins does not depend on how tasks run.

mod exec;
mod node;

pub use exec::DeduplicateExec;
pub use node::DeduplicateNode;
