//! The watermark of a query: from the event times of each batch to W of the next.
//!
//! Each `WATERMARK` of the plan has one of its own: the latest time it ever saw, less its delay. The query's is the
//! smallest of them (or the largest, by `spark.sql.streaming.multipleWatermarkPolicy`); it begins at the epoch and only
//! moves up. One that has seen nothing counts as the epoch, unless its source may be idle (`watermarkIdleTimeout`) and has
//! been for that long: then the others decide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::observations::EventTimes;

/// Which of several watermarks is the query's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatermarkPolicy {
    /// The slowest: no row of any input is late because of another.
    #[default]
    Min,
    /// The fastest.
    Max,
}

impl WatermarkPolicy {
    /// Reads `min` or `max`, in any case.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            _ => Err(Error::invalid(format!(
                "configuration 'spark.sql.streaming.multipleWatermarkPolicy' is '{text}', expected min or max"
            ))),
        }
    }
}

/// One `WATERMARK` of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkSpec {
    /// How late a row may be, in milliseconds.
    pub delay_ms: i64,
    /// After how many milliseconds without a row it no longer holds the others back; never, when `None`.
    pub idle_timeout_ms: Option<u64>,
}

/// Follows all watermarks of a query.
#[derive(Clone, Debug)]
pub struct WatermarkTracker {
    policy: WatermarkPolicy,
    watermarks: Vec<Tracked>,
    global_ms: i64,
}

#[derive(Clone, Debug)]
struct Tracked {
    spec: WatermarkSpec,
    /// `None` until it has seen a row.
    at_ms: Option<i64>,
    /// When it saw its last row, by the query's clock.
    active_ms: i64,
}

impl WatermarkTracker {
    /// A tracker of the plan's watermarks, in plan order, which goes on from `global_ms` and, where their number fits,
    /// from what each had reached.
    pub fn new(
        policy: WatermarkPolicy,
        specs: Vec<WatermarkSpec>,
        global_ms: i64,
        reached: Option<&[Option<i64>]>,
        now_ms: i64,
    ) -> Self {
        let reached = reached.filter(|reached| reached.len() == specs.len()).unwrap_or_default();
        let watermarks = specs.into_iter().enumerate().map(|(i, spec)| Tracked {
            spec,
            at_ms: reached.get(i).copied().flatten(),
            active_ms: now_ms,
        });
        Self { policy, watermarks: watermarks.collect(), global_ms }
    }

    /// Whether the plan has any watermark.
    pub fn is_used(&self) -> bool {
        !self.watermarks.is_empty()
    }

    /// The query's watermark, in milliseconds since the epoch.
    pub fn global_ms(&self) -> i64 {
        self.global_ms
    }

    /// What each has reached: to be kept, so that a restart goes on from there.
    pub fn reached(&self) -> Vec<Option<i64>> {
        self.watermarks.iter().map(|watermark| watermark.at_ms).collect()
    }

    /// Takes in what a batch has seen, and gives the watermark of the next.
    pub fn advance(&mut self, seen: &BTreeMap<u32, EventTimes>, now_ms: i64) -> i64 {
        for (number, times) in seen {
            if let Some(watermark) = self.watermarks.get_mut(*number as usize) {
                let at_ms = times.max_ms.saturating_sub(watermark.spec.delay_ms);
                watermark.at_ms = Some(watermark.at_ms.unwrap_or(0).max(at_ms));
                watermark.active_ms = now_ms;
            }
        }
        self.settle(now_ms)
    }

    /// The query's watermark at `now_ms`: it moves without data when an input has become idle.
    pub fn settle(&mut self, now_ms: i64) -> i64 {
        let awake = self.watermarks.iter().filter(|watermark| !watermark.is_idle(now_ms));
        let reached = awake.map(|watermark| watermark.at_ms.unwrap_or(0));
        let global_ms = match self.policy {
            WatermarkPolicy::Min => reached.min(),
            WatermarkPolicy::Max => reached.max(),
        };
        self.global_ms = self.global_ms.max(global_ms.unwrap_or(self.global_ms));
        self.global_ms
    }

    /// When an input may become idle next, in milliseconds since the epoch.
    pub fn next_idle_ms(&self, now_ms: i64) -> Option<i64> {
        self.watermarks.iter().filter(|watermark| !watermark.is_idle(now_ms)).filter_map(Tracked::idle_at_ms).min()
    }
}

impl Tracked {
    fn idle_at_ms(&self) -> Option<i64> {
        let timeout_ms = i64::try_from(self.spec.idle_timeout_ms?).unwrap_or(i64::MAX);
        Some(self.active_ms.saturating_add(timeout_ms))
    }

    fn is_idle(&self, now_ms: i64) -> bool {
        self.idle_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(max_ms: i64) -> EventTimes {
        EventTimes { count: 1, min_ms: max_ms, max_ms, sum_ms: i128::from(max_ms) }
    }

    fn tracker(policy: WatermarkPolicy, idle: [Option<u64>; 2]) -> WatermarkTracker {
        let specs = idle.map(|idle_timeout_ms| WatermarkSpec { delay_ms: 10, idle_timeout_ms });
        WatermarkTracker::new(policy, specs.to_vec(), 0, None, 0)
    }

    #[test]
    fn the_policy_decides_and_the_watermark_never_goes_back() {
        // What each of two watermarks sees in a batch, and the query's afterwards: by min, by max.
        let cases = [
            ([Some(100), None], 0, 90),
            ([None, Some(50)], 40, 90),
            ([Some(60), Some(70)], 60, 90),
            ([None, None], 60, 90),
        ];
        let (mut min, mut max) = (tracker(WatermarkPolicy::Min, [None; 2]), tracker(WatermarkPolicy::Max, [None; 2]));
        for (seen, by_min, by_max) in cases {
            let seen = (0..).zip(seen).filter_map(|(number, max)| Some((number, times(max?)))).collect();
            assert_eq!((min.advance(&seen, 0), max.advance(&seen, 0)), (by_min, by_max), "{seen:?}");
        }
    }

    #[test]
    fn an_idle_input_holds_nobody_back_until_it_wakes() {
        let mut tracker = tracker(WatermarkPolicy::Min, [None, Some(30)]);
        assert_eq!(tracker.advance(&BTreeMap::from([(0, times(100))]), 5), 0);
        assert_eq!(tracker.next_idle_ms(5), Some(30));
        assert_eq!((tracker.settle(29), tracker.settle(30)), (0, 90));
        assert_eq!(tracker.advance(&BTreeMap::from([(0, times(200)), (1, times(150))]), 40), 140);
    }

    #[test]
    fn a_restart_goes_on_from_what_each_had_reached() {
        let mut before = tracker(WatermarkPolicy::Min, [None; 2]);
        before.advance(&BTreeMap::from([(0, times(100)), (1, times(200))]), 0);
        let reached = before.reached();
        let specs = before.watermarks.iter().map(|watermark| watermark.spec.clone()).collect();
        let mut after = WatermarkTracker::new(WatermarkPolicy::Min, specs, before.global_ms(), Some(&reached), 0);
        assert_eq!(after.advance(&BTreeMap::from([(0, times(300))]), 0), 190);
    }
}
