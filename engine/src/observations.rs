//! What the nodes of a plan tell the loop about the batch they have run: event times, and what became of state.
//!
//! A node finds the collector through the [`TaskContext`] and reports once for each of its partitions, at its end: counters,
//! never scans.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use datafusion_execution::TaskContext;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Event times seen by one watermark in one batch. Milliseconds since the epoch; a null counts as 0, as in Spark.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventTimes {
    /// Rows seen.
    pub count: u64,
    /// The earliest.
    pub min_ms: i64,
    /// The latest.
    pub max_ms: i64,
    /// Of all rows, for the average.
    pub sum_ms: i128,
}

impl EventTimes {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            min_ms: self.min_ms.min(other.min_ms),
            max_ms: self.max_ms.max(other.max_ms),
            sum_ms: self.sum_ms + other.sum_ms,
        }
    }
}

/// What one stateful operator did in one batch: the sum over its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorCounts {
    /// Rows in its state after the batch.
    pub rows_total: u64,
    /// Rows put.
    pub rows_updated: u64,
    /// Rows removed.
    pub rows_removed: u64,
    /// Input rows that were too late.
    pub rows_dropped_by_watermark: u64,
    /// Time spent on putting, in microseconds.
    pub updates_micros: u64,
    /// Time spent on removing, in microseconds.
    pub removals_micros: u64,
    /// Figures of this operator alone, by Spark's name.
    pub custom: BTreeMap<String, i64>,
}

impl OperatorCounts {
    fn add(&mut self, other: &Self) {
        self.rows_total += other.rows_total;
        self.rows_updated += other.rows_updated;
        self.rows_removed += other.rows_removed;
        self.rows_dropped_by_watermark += other.rows_dropped_by_watermark;
        self.updates_micros += other.updates_micros;
        self.removals_micros += other.removals_micros;
        for (name, count) in &other.custom {
            *self.custom.entry(name.clone()).or_default() += count;
        }
    }
}

/// The collector of one batch.
#[derive(Debug, Default)]
pub struct Observations {
    seen: Mutex<Observed>,
}

/// Everything that was reported.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// By the watermark's number in the plan; none where it saw no row.
    pub event_times: BTreeMap<u32, EventTimes>,
    /// By the operator's number in the plan.
    pub operators: BTreeMap<u32, OperatorCounts>,
}

impl Observations {
    /// The collector of the batch that `context` belongs to. An internal error outside a batch.
    pub fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| Error::internal("a streaming plan runs without anybody to observe it"))
    }

    /// Watermark number `watermark` saw these times in one partition.
    pub fn event_times(&self, watermark: u32, times: EventTimes) {
        if times.count > 0 {
            let mut seen = self.lock();
            let all = seen.event_times.entry(watermark);
            all.and_modify(|all| *all = all.and(times)).or_insert(times);
        }
    }

    /// Operator number `operator` did this in one partition.
    pub fn operator(&self, operator: u32, counts: &OperatorCounts) {
        self.lock().operators.entry(operator).or_default().add(counts);
    }

    /// What was reported so far.
    pub fn observed(&self) -> Observed {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
