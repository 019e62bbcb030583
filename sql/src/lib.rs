//! Session, Spark's SQL dialect and functions, readStream and writeStream, planned into the engine.
//!
//! ```text
//! SQL text ─dialect─► Statement ─statements─► LogicalPlan ─┬─ batch: DataFusion runs it
//! read_stream()… ─────────────────────────────────────────┘└─ stream: engine::query::start
//! ```
//! # What this crate does not know
//! Connectors: the session is given a registry of them.
//!
//! # Read next
//! `session.rs` (what users hold) → `statements/mod.rs` (what SQL can do) → `writer.rs` (how a query starts) →
//! `planning.rs` (how plans are made) → [`dialect`], [`expressions`], [`functions`].

mod batch_writer;
mod catalog;
mod columns;
pub mod conf;
mod dataframe;
pub mod dialect;
mod event_time;
pub mod expressions;
mod foreach;
mod foreach_batch;
pub mod functions;
mod grouping;
mod hidden_columns;
mod not_in;
mod planning;
pub mod printing;
mod reader;
mod session;
pub mod statements;
mod streams;
mod writer;

pub use batch_writer::DataFrameWriter;
pub use catalog::ResultTables;
pub use dataframe::{Condition, DataFrame};
pub use foreach::{ForeachWriter, FromCell, Row};
pub use foreach_batch::ForeachBatchError;
pub use grouping::{GroupedFrame, TimeWindows, session_window, window, window_time};
pub use reader::{DataFrameReader, DataStreamReader, SchemaArgument};
pub use session::{StreamSession, StreamSessionBuilder};
pub use writer::DataStreamWriter;
