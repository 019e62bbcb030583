//! Told when a query starts, has run a batch, is idle, has ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::progress::StreamingQueryProgress;

/// A query has started; told before `start` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryStarted {
    /// The query's id, the same in every run.
    pub id: Uuid,
    /// The id of this run.
    pub run_id: Uuid,
    /// The query's name, where it has one.
    pub name: Option<String>,
    /// When, ISO-8601 UTC with milliseconds.
    pub timestamp: String,
}

/// A query has found nothing new for `spark.sql.streaming.noDataProgressEventInterval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryIdle {
    /// The query's id, the same in every run.
    pub id: Uuid,
    /// The id of this run.
    pub run_id: Uuid,
    /// When, ISO-8601 UTC with milliseconds.
    pub timestamp: String,
}

/// A query has ended.
#[derive(Clone, Debug)]
pub struct QueryTerminated {
    /// The query's id, the same in every run.
    pub id: Uuid,
    /// The id of this run.
    pub run_id: Uuid,
    /// Why, where it was not stopped and had not come to its end.
    pub exception: Option<Error>,
}

/// Told about queries, in the order things happen to each of them. Calls come from the query's own task: a slow listener
/// slows its queries down.
pub trait StreamingQueryListener: Send + Sync {
    /// A query has started.
    fn on_query_started(&self, event: &QueryStarted) {
        let _ = event;
    }

    /// A query has run a batch.
    fn on_query_progress(&self, progress: &StreamingQueryProgress) {
        let _ = progress;
    }

    /// A query has found nothing new for a while.
    fn on_query_idle(&self, event: &QueryIdle) {
        let _ = event;
    }

    /// A query has ended.
    fn on_query_terminated(&self, event: &QueryTerminated) {
        let _ = event;
    }
}
