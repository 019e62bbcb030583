//! Streams in plans: logical nodes, physical nodes, and what makes a plan safe to run again and again.
//!
//! Every physical node of ours is plain data: [`codec`] sends it to another process as JSON, and what it needs at run
//! time it finds through the [`TaskContext`](datafusion_execution::TaskContext): the [`BatchContext`] and the
//! [`Registry`](crate::registry::Registry).
//!
//! [`BatchContext`]: crate::batch_context::BatchContext

mod batch_clock;
pub mod check;
pub mod codec;
mod exchange;
mod physical;
mod shared_scan;
mod sink_exec;
mod source_exec;
mod stream_limit;
mod stream_table;
mod streams;
pub(crate) mod time_window;
pub(crate) mod watermark;

pub use batch_clock::{BatchClockExec, BatchClockNode, replace_clock_functions};
pub use exchange::{ExchangeExec, HASH_COLUMN, KEY_GROUP_COLUMN};
pub use physical::{EnginePlanner, configure_for_streams, rules_for_streams};
pub use shared_scan::{ShareScans, SharedScanExec, SharedScans};
pub use sink_exec::SinkExec;
pub use source_exec::{SourceExec, SplitsFrom};
pub(crate) use stream_limit::{LIMITS_FIELD, limit_counts};
pub use stream_limit::{StreamLimitExec, StreamLimitNode, limit_streams};
pub use stream_table::{BatchTable, StreamTable, hidden_columns};
pub(crate) use streams::streams_of;
pub use streams::{has_streams, number_streams};
pub use time_window::{TimeWindowExec, TimeWindowNode, WindowKind, Windows};
pub use watermark::{WatermarkExec, WatermarkNode};
