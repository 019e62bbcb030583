//! When the next batch starts.

use crate::error::{Error, Result};

/// When a query runs batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At multiples of `interval_ms` since the epoch; with 0, as soon as the last batch has ended. The first batch starts
    /// at once; a batch that takes longer than the interval is followed by the next at once.
    ProcessingTime {
        /// The interval, in milliseconds.
        interval_ms: u64,
    },
    /// One batch with everything there is, read limits aside; then the query ends.
    Once,
    /// Everything there is when the query starts, in as many batches as the read limits ask for; then the query ends.
    AvailableNow,
}

impl Default for Trigger {
    fn default() -> Self {
        Self::ProcessingTime { interval_ms: 0 }
    }
}

impl Trigger {
    /// A trigger at multiples of `interval`, such as `10 seconds` or `1 minute 30 seconds`.
    pub fn processing_time(interval: &str) -> Result<Self> {
        Ok(Self::ProcessingTime { interval_ms: parse_interval_ms(interval)? })
    }

    /// The trigger that the option text stands for: `once`, `availableNow` or an interval.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().to_lowercase().as_str() {
            "once" => Ok(Self::Once),
            "availablenow" => Ok(Self::AvailableNow),
            interval => Self::processing_time(interval).map_err(|e| {
                Error::invalid(format!(
                    "trigger is '{text}', expected availableNow, once or an interval: {}",
                    e.message()
                ))
            }),
        }
    }
}

/// Milliseconds of an interval text: numbers with units, such as `10 seconds`, `1 minute 30 seconds`, `interval 2 days`,
/// `7d`. Units are those of Spark's intervals up to weeks; months and years have no fixed length and are refused.
pub fn parse_interval_ms(text: &str) -> Result<u64> {
    let bad = |why: &str| {
        Error::invalid(format!("interval '{text}' {why}: write it like '10 seconds' or '1 minute 30 seconds'"))
    };
    let lower = text.trim().to_lowercase();
    let mut rest = lower.strip_prefix("interval").unwrap_or(&lower).trim();
    if rest.is_empty() {
        return Err(bad("is empty"));
    }
    let mut total_us: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+'))
            .ok_or_else(|| bad("has a number without a unit"))?;
        let number: f64 = rest[..number_end].parse().map_err(|_| bad("has no number where one should be"))?;
        let tail = rest[number_end..].trim_start();
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let unit_us = unit_us(&tail[..unit_end])
            .ok_or_else(|| bad(&format!("has no unit that is known in '{}'", &tail[..unit_end])))?;
        total_us += (number * unit_us as f64).round() as i128;
        rest = tail[unit_end..].trim_start();
    }
    if total_us < 0 {
        return Err(bad("is negative"));
    }
    u64::try_from(total_us / 1000).map_err(|_| bad("is too long"))
}

/// Microseconds of a unit.
fn unit_us(unit: &str) -> Option<i64> {
    const SECOND: i64 = 1_000_000;
    let singular = if unit.len() > 2 { unit.strip_suffix('s').unwrap_or(unit) } else { unit };
    Some(match singular {
        "microsecond" | "us" => 1,
        "millisecond" | "ms" => 1000,
        "second" | "s" | "sec" => SECOND,
        "minute" | "m" | "min" => 60 * SECOND,
        "hour" | "h" => 3600 * SECOND,
        "day" | "d" => 86_400 * SECOND,
        "week" | "w" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

/// When a batch that starts at `now_ms` is followed by the next: the next multiple of the interval.
pub(crate) fn next_trigger_ms(now_ms: i64, interval_ms: u64) -> i64 {
    let interval = i64::try_from(interval_ms).unwrap_or(i64::MAX).max(1);
    now_ms.div_euclid(interval).saturating_mul(interval).saturating_add(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        for (text, expected) in [
            ("10 seconds", Some(10_000)),
            ("1 minute 30 seconds", Some(90_000)),
            ("INTERVAL 2 DAYS", Some(172_800_000)),
            ("500 milliseconds", Some(500)),
            ("7d", Some(604_800_000)),
            ("0 seconds", Some(0)),
            ("1.5 seconds", Some(1_500)),
            ("", None),
            ("ten seconds", None),
            ("10", None),
            ("1 month", None),
            ("-1 second", None),
        ] {
            assert_eq!(parse_interval_ms(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn triggers_fire_at_multiples_of_the_interval() {
        for (now_ms, interval_ms, expected) in [(0, 10, 10), (9, 10, 10), (10, 10, 20), (25, 10, 30), (-5, 10, 0)] {
            assert_eq!(next_trigger_ms(now_ms, interval_ms), expected, "{now_ms} / {interval_ms}");
        }
    }
}
