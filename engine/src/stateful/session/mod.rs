//! Sessions over a stream: GROUP BY session_window(…), in which rows that are close to each other are one group.
//!
//! ```text
//! rows → TimeWindowExec ([time, time + gap)) → SessionRowsExec (late rows out, what is needed as columns) → ExchangeExec → SessionExec
//! ```
//! In a batch query the same nodes run once, without a store.
//!
//! Read next: `find.rs` (which columns are sessions) → `node.rs` (the logical node, and how it becomes physical) → `exec.rs` (a
//! batch of it) → `merge.rs` (which rows are one session) → `contents.rs` (what is in it) → `slots.rs` (where sessions are kept).

mod contents;
mod emit;
mod exec;
mod find;
mod layout;
mod merge;
mod node;
mod rows_exec;
mod slots;
mod stamp;

pub use exec::SessionExec;
pub use find::sessions_in_batches;
pub(super) use find::{in_every_set, session_among};
pub(super) use node::SessionSpec;
pub use node::StreamSessionNode;
pub use rows_exec::SessionRowsExec;
