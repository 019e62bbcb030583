//! Tables beside a stream: read once, kept across batches, read again only when they have changed.
//!
//! [`KeepStaticSides`] finds the joins of a stream with a table in a physical plan and puts a `StaticJoinExec` in their
//! place; a scalar subquery over tables gets a `StaticRowsExec`. Both find what they keep in the query's [`StaticSides`],
//! through the task context, by their number in the plan: nothing of it is in the plan. A table that may change while the
//! query runs is listed by the driver (`StaticTables`); the listing travels in the batch context, and its fingerprint
//! says whether what is kept still holds.

mod join_exec;
mod kept;
mod probe;
mod rows_exec;
mod rule;
mod tables;

pub(crate) use join_exec::StaticJoinExec;
pub use kept::StaticSides;
pub(crate) use rows_exec::StaticRowsExec;
pub use rule::KeepStaticSides;
pub(crate) use rule::static_nodes;
pub use tables::StaticListing;
pub(crate) use tables::StaticTables;
