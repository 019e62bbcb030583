//! The micro-batch engine of Millstream: the loop, the checkpoint, sources, sinks, and plans that run again and again.
//!
//! A query is planned once. A trigger then runs it batch by batch: write the intent, run the plan over the new rows,
//! commit the sink, write that the batch is done. A crash anywhere is repaired by running the batch again.
//!
//! ```text
//! trigger → latest offsets → offsets/N → plan over (start, end] → sink commit → commits/N → progress
//! ```
//! # What this crate does not know
//! SQL text, file formats, connectors.
//!
//! # Read next
//! [`query`] (start, stop, await) → `batch_loop.rs` (the steps of a batch) → [`source`], [`sink`] → [`checkpoint`] →
//! [`plan`].

pub mod batch_context;
mod batch_loop;
pub mod checkpoint;
pub mod clock;
pub mod error;
mod joining;
pub mod listener;
pub mod manager;
pub mod observations;
pub mod options;
pub mod plan;
pub mod progress;
pub mod query;
pub mod query_state;
pub mod registry;
pub mod schema_serde;
pub mod sink;
pub mod source;
pub mod stateful;
pub mod static_side;
pub mod testing;
pub mod trigger;
pub mod watermark;

pub use error::{Error, ErrorKind, Result};
pub use millstream_state as state;

#[cfg(test)]
mod tests;
