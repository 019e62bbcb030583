//! The configuration the loop itself reads.

use crate::error::{Error, Result};
use crate::options::Options;

/// The configuration the loop itself reads.
pub(super) struct Settings {
    pub(super) min_batches_to_retain: u64,
    pub(super) polling_delay_ms: i64,
    pub(super) idle_event_ms: i64,
    pub(super) no_data_batches: bool,
}

impl Settings {
    pub(super) fn read(conf: &Options) -> Result<Self> {
        let number = |key: &str, default: u64| match conf.get(key) {
            None => Ok(default),
            Some(text) => text
                .trim_end_matches("ms")
                .trim()
                .parse::<u64>()
                .map_err(|_| Error::invalid(format!("configuration '{key}' is '{text}', expected a whole number"))),
        };
        let millis = |key, default| Ok::<_, Error>(i64::try_from(number(key, default)?).unwrap_or(i64::MAX));
        let min_batches_to_retain = number("spark.sql.streaming.minBatchesToRetain", 100)?;
        if min_batches_to_retain == 0 {
            return Err(Error::invalid(
                "configuration 'spark.sql.streaming.minBatchesToRetain' is '0', expected a positive whole number",
            ));
        }
        Ok(Self {
            min_batches_to_retain,
            polling_delay_ms: millis("spark.sql.streaming.pollingDelay", 10)?,
            idle_event_ms: millis("spark.sql.streaming.noDataProgressEventInterval", 10_000)?,
            no_data_batches: !conf
                .get("spark.sql.streaming.noDataMicroBatches.enabled")
                .is_some_and(|text| text.eq_ignore_ascii_case("false")),
        })
    }
}
