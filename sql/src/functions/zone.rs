//! The session's time zone: what an instant's clock and calendar show there.

use chrono::{LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, Tz};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;

use super::error::fails;

pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(super) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A region of the time zone database, or a fixed distance from UTC in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    Fixed(i32),
    Region(Tz),
}

impl Zone {
    /// The zone that `datafusion.execution.time_zone` names; UTC without it.
    pub(super) fn of(config: &ConfigOptions) -> Result<Self> {
        match config.execution.time_zone.as_deref() {
            None | Some("UTC") => Ok(Self::Fixed(0)),
            Some(name) => Self::parse(name),
        }
    }

    /// Reads a zone as Java's `ZoneId.of` does: `Europe/Berlin`, `UTC`, `Z`, `+02:00`, `GMT-8`.
    ///
    /// # Errors
    /// `INVALID_TIMEZONE` for a name that is none of these.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let text = name.trim();
        if matches!(text, "Z" | "UTC" | "GMT" | "UT") {
            return Ok(Self::Fixed(0));
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
        if let Some(seconds) = parse_offset(offset) {
            return Ok(Self::Fixed(seconds));
        }
        // Java's old three-letter names are the other crate's knowledge.
        let region = || millstream_formats::java_time::Zone::parse(text).ok().and_then(|z| z.id().parse::<Tz>().ok());
        text.parse::<Tz>().ok().or_else(region).map(Self::Region).ok_or_else(|| {
            fails(
                "INVALID_TIMEZONE",
                format!(
                    "The timezone: {name} is invalid. It is a region like 'Europe/Berlin' or an offset like '+02:00'."
                ),
            )
        })
    }

    /// The same zone for the reading and printing of dates.
    ///
    /// # Errors
    /// None: both crates know the same zones.
    pub(super) fn to_java(self) -> Result<millstream_formats::java_time::Zone> {
        let name = match self {
            Self::Fixed(0) => "UTC".to_string(),
            Self::Fixed(seconds) => {
                let (sign, s) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
                format!("{sign}{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
            }
            Self::Region(tz) => tz.name().to_string(),
        };
        millstream_formats::java_time::Zone::parse(&name).map_err(super::error::wrapped)
    }

    /// What the clock shows at an instant, as microseconds since 1970-01-01 00:00 of that calendar.
    #[inline]
    pub(super) fn local_of(&self, instant: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => instant.wrapping_add(i64::from(*seconds) * MICROS_PER_SECOND),
            Self::Region(tz) => instant.wrapping_add(i64::from(region_offset(tz, instant)) * MICROS_PER_SECOND),
        }
    }

    /// The instant at which the clock shows `local`. Of two such instants the earlier; a time that the clock leaps over
    /// moves on by the length of the leap, as in Java.
    pub(super) fn instant_of(&self, local: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => local.wrapping_sub(i64::from(*seconds) * MICROS_PER_SECOND),
            Self::Region(tz) => region_instant(tz, local),
        }
    }
}

fn region_offset(tz: &Tz, instant: i64) -> i32 {
    match chrono::DateTime::from_timestamp_micros(instant) {
        Some(utc) => {
            let offset = tz.offset_from_utc_datetime(&utc.naive_utc());
            (offset.base_utc_offset() + offset.dst_offset()).num_seconds() as i32
        }
        None => 0,
    }
}

fn region_instant(tz: &Tz, local: i64) -> i64 {
    let Some(naive) = chrono::DateTime::from_timestamp_micros(local).map(|d| d.naive_utc()) else { return local };
    let offset = |o: &<Tz as TimeZone>::Offset| i64::from(o.fix().local_minus_utc()) * MICROS_PER_SECOND;
    match tz.offset_from_local_datetime(&naive) {
        LocalResult::Single(o) => local.wrapping_sub(offset(&o)),
        LocalResult::Ambiguous(a, b) => local.wrapping_sub(offset(&a).max(offset(&b))),
        LocalResult::None => before_gap(tz, naive).map_or(local, |o| local.wrapping_sub(o)),
    }
}

/// The offset in force before a leap of the clock, in microseconds.
fn before_gap(tz: &Tz, naive: NaiveDateTime) -> Option<i64> {
    let earlier = naive.checked_sub_signed(chrono::TimeDelta::hours(24))?;
    let offset = tz.offset_from_local_datetime(&earlier).earliest()?;
    Some(i64::from(offset.fix().local_minus_utc()) * MICROS_PER_SECOND)
}

/// `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, at most 18 hours.
fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else {
        let bytes = digits.as_bytes();
        if !bytes.is_ascii() {
            return None;
        }
        match bytes.len() {
            1 | 2 => vec![digits],
            4 => vec![&digits[..2], &digits[2..]],
            6 => vec![&digits[..2], &digits[2..4], &digits[4..]],
            _ => return None,
        }
    };
    if parts.len() > 3 || parts.iter().any(|p| p.is_empty() || p.len() > 2) {
        return None;
    }
    let numbers: Vec<i32> = parts.iter().map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let (hours, minutes, seconds) =
        (numbers[0], numbers.get(1).copied().unwrap_or(0), numbers.get(2).copied().unwrap_or(0));
    let total = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= 18 * 3600).then_some(sign * total)
}

/// Year, month (1–12) and day of a day number, in the proleptic Gregorian calendar.
///
/// The arithmetic of the 400-year era: 146,097 days, with March as the first month.
#[inline]
pub(super) fn civil(days: i32) -> (i32, u32, u32) {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year as i32, month, day)
}

/// The day number of a date, whatever its day; the month is 1–12.
#[inline]
pub(super) fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from((month + 9) % 12);
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// The number of days in a month.
pub(super) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Whether a year has 366 days.
pub(super) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}
