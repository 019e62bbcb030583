//! Aggregation over a stream: GROUP BY whose groups live on from batch to batch.
//!
//! ```text
//! rows → TimeKeyExec (late rows out, times to slices) → DataFusion's partial aggregate → ExchangeExec → StateAggregateExec
//! ```
//! Below all of it, where there are grouping sets, each row comes once for each set (`grouping_sets.rs`).
//! Where an aggregate's state grows with its input (`elements.rs`), rows go through the exchange as they are, and each of its
//! elements is kept by itself (`element_store.rs`).
//!
//! Read next: `node.rs` (the logical node, and how it becomes physical) → `exec.rs` (a batch of it) → `emit.rs`.

pub(super) mod accumulators;
pub(super) mod aggregates;
pub(super) mod element_store;
mod emit;
mod exec;
pub(super) mod group_table;
mod layout;
mod lowered;
mod node;

pub(super) use emit::ROWS_WITH_ELEMENTS;
pub use exec::StateAggregateExec;
pub(super) use lowered::lowered;
pub use node::StreamAggregateNode;
pub(super) use node::{AggregateSpec, GroupTime, columns_in, functions_of};
