//! Joins of two streams.
//!
//! Each side is remembered for as long as a row of the other one may come that matches: `range.rs` finds out from the
//! join's condition how long that is, `side.rs` keeps the rows, `work.rs` is the algorithm; `rewrite.rs` checks that a join
//! can run and makes the logical node of it.

mod exec;
mod infer;
pub(super) mod key_bytes;
mod node;
mod range;
mod rewrite;
mod side;
mod spec;
mod times;
mod work;

pub use exec::StreamJoinExec;
pub use node::StreamJoinNode;
pub(crate) use rewrite::{changes_its_rows, join_streams, push_filters};
use spec::StreamJoinType;

#[cfg(test)]
mod tests;
