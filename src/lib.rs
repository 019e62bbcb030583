//! Structured Streaming for Rust: Spark's streaming semantics on Apache Arrow and DataFusion.
//!
//! ```no_run
//! use millstream::prelude::*;
//!
//! # async fn run() -> millstream::Result<()> {
//! let session = StreamSession::builder().app_name("clicks").build().await?;
//! let clicks = session.read_stream().format("json").schema("user STRING, page STRING, ms BIGINT").load("in").await?;
//! let query = clicks
//!     .filter(col("ms").gt(lit(500)))?
//!     .write_stream()
//!     .format("parquet")
//!     .option("path", "out")
//!     .option("checkpointLocation", "checkpoint")
//!     .trigger(Trigger::AvailableNow)
//!     .start()
//!     .await?;
//! query.await_termination().await?;
//! # Ok(())
//! # }
//! ```
//! # Read next
//! [`StreamSession`] (what everything starts from), [`DataFrame`], [`query::StreamingQuery`]; [`source`] and [`sink`] for
//! connectors of your own.

#[cfg(doctest)]
mod book;
mod connected;

pub use connected::WithConnectors;
pub use millstream_connectors as connectors;
pub use millstream_engine::{
    Error, ErrorKind, Result, checkpoint, clock, listener, manager, options, progress, query, registry, sink, source,
    state, testing, trigger,
};
pub use millstream_sql::{
    Condition, DataFrame, DataFrameReader, DataFrameWriter, DataStreamReader, DataStreamWriter, ForeachBatchError,
    ForeachWriter, FromCell, GroupedFrame, Row, SchemaArgument, StreamSession, StreamSessionBuilder, TimeWindows, conf,
    functions, printing, session_window, statements, window, window_time,
};

/// What the traits of [`source`] and [`sink`] are implemented with.
pub use async_trait::async_trait;
/// DataFusion, whose expressions and types are those of the interface.
pub use datafusion;

/// What most programs need.
pub mod prelude {
    pub use crate::WithConnectors;
    pub use datafusion::common::ScalarValue;
    pub use datafusion::logical_expr::{Expr, JoinType, col, ident, lit, when};
    pub use millstream_connectors::memory::MemoryStream;
    pub use millstream_engine::listener::StreamingQueryListener;
    pub use millstream_engine::progress::StreamingQueryProgress;
    pub use millstream_engine::query::StreamingQuery;
    pub use millstream_engine::sink::OutputMode;
    pub use millstream_engine::trigger::Trigger;
    pub use millstream_engine::{Error, ErrorKind};
    pub use millstream_sql::functions::{
        avg, collect_list, collect_set, count, count_all, count_distinct, first, last, max, max_by, min, min_by, sum,
    };
    pub use millstream_sql::{
        DataFrame, ForeachWriter, Row, StreamSession, StreamSessionBuilder, session_window, window, window_time,
    };
}
