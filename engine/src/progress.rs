//! What a batch did, as Spark's JSON: field names, units and rounding are those of Spark 4.3's `StreamingQueryProgress`.
//!
//! What is ours stands beside it at the top level: `planCount`, `fsyncMicros`, `staticTables`, `warnings`.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::observations::OperatorCounts;
use crate::query_state::StateSize;
use crate::stateful::StatefulNode;

/// One batch, or one look for new data, of a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamingQueryProgress {
    /// The query's id, the same in every run.
    pub id: Uuid,
    /// The id of this run.
    pub run_id: Uuid,
    /// The query's name, where it has one.
    pub name: Option<String>,
    /// When the trigger started, ISO-8601 UTC with milliseconds.
    pub timestamp: String,
    /// The batch's number.
    pub batch_id: u64,
    /// How long the batch took, in milliseconds.
    pub batch_duration: u64,
    /// Rows read from all sources.
    pub num_input_rows: u64,
    /// Rows for each second since the trigger before this one; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input_rows_per_second: Option<f64>,
    /// Rows for each second of the batch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub processed_rows_per_second: Option<f64>,
    /// How long each step took, in milliseconds, by Spark's names for the steps.
    pub duration_ms: BTreeMap<String, u64>,
    /// The watermark used, and the event times seen; empty without a watermark.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub event_time: BTreeMap<String, String>,
    /// A figure for each stateful operator, root first.
    pub state_operators: Vec<StateOperatorProgress>,
    /// What was read from each source.
    pub sources: Vec<SourceProgress>,
    /// What was written.
    pub sink: SinkProgress,
    /// How often the query has been planned in this run: 1, or it is a bug.
    pub plan_count: u64,
    /// Time spent waiting for the disk to make files durable in this batch, in microseconds.
    pub fsync_micros: u64,
    /// The tables that are joined with the streams, and how many rows were read of each for this batch.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub static_tables: Vec<StaticTableProgress>,
    /// What the user should know about this query.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
}

/// What a batch did to the state of one operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOperatorProgress {
    /// The operator's name, Spark's for the same operator.
    pub operator_name: String,
    /// Rows in its state.
    pub num_rows_total: u64,
    /// Rows put.
    pub num_rows_updated: u64,
    /// Time spent on putting them, in milliseconds, over all state partitions.
    pub all_updates_time_ms: u64,
    /// Rows removed.
    pub num_rows_removed: u64,
    /// Time spent on removing them, in milliseconds, over all state partitions.
    pub all_removals_time_ms: u64,
    /// Time that making the state of all operators durable took, in milliseconds.
    pub commit_time_ms: u64,
    /// Memory that its state takes.
    pub memory_used_bytes: u64,
    /// Input rows that were too late. (Spark counts groups of them, after its partial aggregation.)
    pub num_rows_dropped_by_watermark: u64,
    /// State partitions.
    pub num_shuffle_partitions: u64,
    /// Stores open.
    pub num_state_store_instances: u64,
    /// Figures of its own.
    pub custom_metrics: BTreeMap<String, i64>,
}

impl StateOperatorProgress {
    pub(crate) fn new(node: &dyn StatefulNode, counts: OperatorCounts, size: StateSize, commit_time_ms: u64) -> Self {
        let mut custom_metrics = counts.custom;
        let figures = [
            ("diskUsedBytes", size.disk_bytes),
            ("loadedMapCacheHitCount", size.cache_hits),
            ("loadedMapCacheMissCount", size.cache_misses),
        ];
        for (name, figure) in figures {
            custom_metrics.insert(name.to_string(), i64::try_from(figure).unwrap_or(i64::MAX));
        }
        Self {
            operator_name: node.operator_name().to_string(),
            num_rows_total: counts.rows_total,
            num_rows_updated: counts.rows_updated,
            all_updates_time_ms: counts.updates_micros.div_ceil(1000),
            num_rows_removed: counts.rows_removed,
            all_removals_time_ms: counts.removals_micros.div_ceil(1000),
            commit_time_ms,
            memory_used_bytes: size.memory_bytes,
            num_rows_dropped_by_watermark: counts.rows_dropped_by_watermark,
            num_shuffle_partitions: node.partitions() as u64,
            num_state_store_instances: size.stores as u64,
            custom_metrics,
        }
    }
}

/// What a batch read from one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// Its description, such as `FileStreamSource[file:/data/in]`.
    pub description: String,
    /// Where the batch began; null for the first.
    pub start_offset: Value,
    /// Where the batch ended.
    pub end_offset: Value,
    /// The newest offset there is; null where the source cannot tell.
    pub latest_offset: Value,
    /// Rows read.
    pub num_input_rows: u64,
    /// Rows for each second since the trigger before this one; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input_rows_per_second: Option<f64>,
    /// Rows for each second of the batch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub processed_rows_per_second: Option<f64>,
    /// How far the batch's end is behind the newest offset, in the shape of the offsets; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offsets_behind_latest: Option<Value>,
    /// Figures of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub metrics: BTreeMap<String, String>,
}

/// What a batch read of a table beside the streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticTableProgress {
    /// What the query calls it; its connector and path where it has no name.
    pub name: String,
    /// Rows read and kept for later batches; 0 where those of an earlier batch still hold.
    pub build_rows: u64,
}

/// What a batch wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// Its description, such as `FileSink[file:/data/out]`.
    pub description: String,
    /// Rows written.
    pub num_output_rows: i64,
    /// Figures of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub metrics: BTreeMap<String, String>,
}

impl StreamingQueryProgress {
    /// One line of JSON.
    pub fn json(&self) -> String {
        // Plain data with string keys: there is nothing in it that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Several lines of JSON, for people.
    pub fn pretty_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// What a query is doing, in Spark's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamingQueryStatus {
    /// What it is doing now.
    pub message: String,
    /// Whether its last look found something new to read.
    pub is_data_available: bool,
    /// Whether a trigger is being worked on.
    pub is_trigger_active: bool,
}

/// Milliseconds since the epoch as ISO-8601 UTC with milliseconds.
pub(crate) fn iso_timestamp(at_ms: i64) -> String {
    let at = DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Rows for each second, to one decimal. `None` where no time has passed.
pub(crate) fn rows_per_second(rows: u64, millis: f64) -> Option<f64> {
    let rate = rows as f64 * 1000.0 / millis;
    rate.is_finite().then(|| (rate * 10.0).round() / 10.0)
}
