//! Aggregation over a stream: GROUP BY whose groups live on from batch to batch.
//!
//! ```text
//! rows → TimeKeyExec (late rows out, times to slices) → DataFusion's partial aggregate → ExchangeExec → StateAggregateExec
//! ```
//! Read next: `node.rs` (the logical node, and how it becomes physical) → `exec.rs` (a batch of it) → `emit.rs`.

mod accumulators;
mod emit;
mod exec;
mod group_table;
mod node;

pub use exec::StateAggregateExec;
pub use node::StreamAggregateNode;
pub(super) use node::{AggregateSpec, GroupTime};
