//! Time zones by the names Java gives them: `Europe/Berlin`, `+02:00`, `UTC`, `GMT+1`, `PST`.

use std::str::FromStr;

use chrono::{MappedLocalTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, Tz};

use super::calendar::{SECOND_US, date_from_days, days_from_date, is_leap};
use crate::error::{Error, Result};

/// A time zone: how far local clocks are ahead of UTC, at any instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `Z`, and everything that is the same; what it is called matters when printing.
    Fixed {
        seconds: i32,
        prefix: Prefix,
    },
    Region(Tz),
}

/// What a fixed zone's name starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    None,
    Utc,
    Gmt,
    Ut,
}

/// Java's `ZoneId.SHORT_IDS`, which Spark accepts.
const SHORT_IDS: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("EST", "-05:00"),
    ("MST", "-07:00"),
    ("HST", "-10:00"),
];

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(Kind::Fixed { seconds: 0, prefix: Prefix::Utc });

    /// Reads a zone's name as `spark.sql.session.timeZone` takes it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the zone.
    pub fn parse(name: &str) -> Result<Self> {
        Self::find(name.trim()).ok_or_else(|| {
            Error::invalid(format!(
                "unknown time zone '{name}'; a region such as Europe/Berlin or an offset such as +02:00 is needed"
            ))
        })
    }

    /// A zone by its id alone, as the pattern letters `VV` read it: no abbreviations, offsets with two digits.
    pub(crate) fn find_id(name: &str) -> Option<Self> {
        let abbreviation = SHORT_IDS.iter().any(|(short, _)| *short == name);
        let one_digit = name.find(['+', '-']).is_some_and(|at| !name.contains('/') && name.len() - at == 2);
        if abbreviation || one_digit { None } else { Self::find(name) }
    }

    pub(crate) fn find(name: &str) -> Option<Self> {
        if let Some((_, id)) = SHORT_IDS.iter().find(|(short, _)| *short == name) {
            return Self::find(id);
        }
        for (text, prefix) in [("UTC", Prefix::Utc), ("GMT", Prefix::Gmt), ("UT", Prefix::Ut), ("", Prefix::None)] {
            let Some(rest) = name.strip_prefix(text) else {
                continue;
            };
            if rest.is_empty() && prefix != Prefix::None {
                return Some(Self(Kind::Fixed { seconds: 0, prefix }));
            }
            if rest == "Z" && prefix == Prefix::None {
                return Some(Self(Kind::Fixed { seconds: 0, prefix }));
            }
            if rest.starts_with(['+', '-']) {
                return parse_offset(rest).map(|seconds| Self(Kind::Fixed { seconds, prefix }));
            }
        }
        // GMT0 is a region to Java; every other name must be one as well.
        Tz::from_str(name).ok().map(|tz| Self(Kind::Region(tz)))
    }

    /// Seconds that local time is ahead of UTC at an instant given in seconds.
    pub fn offset_at(&self, utc_seconds: i64) -> i32 {
        match self.0 {
            Kind::Fixed { seconds, .. } => seconds,
            Kind::Region(tz) => match chrono::DateTime::from_timestamp(same_rules(utc_seconds), 0) {
                Some(at) => tz.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc(),
                None => 0,
            },
        }
    }

    /// Local microseconds of an instant in microseconds.
    pub(crate) fn to_local(self, utc_us: i64) -> i64 {
        match self.0 {
            Kind::Fixed { seconds, .. } => utc_us.saturating_add(i64::from(seconds) * SECOND_US),
            Kind::Region(_) => {
                utc_us.saturating_add(i64::from(self.offset_at(utc_us.div_euclid(SECOND_US))) * SECOND_US)
            }
        }
    }

    /// The instant of local microseconds. Times that clocks skip are taken as if they had not been skipped (02:30 becomes
    /// 03:30), and of times that come twice the first is meant: Java's rules.
    pub(crate) fn to_utc(self, local_us: i64) -> Option<i64> {
        let seconds = local_us.div_euclid(SECOND_US);
        let offset = match self.0 {
            Kind::Fixed { seconds, .. } => seconds,
            Kind::Region(tz) => match chrono::DateTime::from_timestamp(same_rules(seconds), 0) {
                None => 0,
                Some(local) => match tz.offset_from_local_datetime(&local.naive_utc()) {
                    MappedLocalTime::Single(o) => o.fix().local_minus_utc(),
                    MappedLocalTime::Ambiguous(a, b) => a.fix().local_minus_utc().max(b.fix().local_minus_utc()),
                    // In a gap the offset before it applies. A day earlier is before it: zones do not change twice a day.
                    MappedLocalTime::None => self.offset_at(seconds - 86_400),
                },
            },
        };
        local_us.checked_sub(i64::from(offset) * SECOND_US)
    }

    /// The zone's id as Java prints it: `Europe/Berlin`, `UTC`, `Z`, `+02:00`, `GMT+01:00`.
    pub fn id(&self) -> String {
        match self.0 {
            Kind::Region(tz) => tz.name().to_owned(),
            Kind::Fixed { seconds, prefix } => {
                let prefix = match prefix {
                    Prefix::None if seconds == 0 => "Z",
                    Prefix::None => "",
                    Prefix::Utc => "UTC",
                    Prefix::Gmt => "GMT",
                    Prefix::Ut => "UT",
                };
                let (sign, abs) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
                match (seconds, abs % 60) {
                    (0, _) => prefix.to_owned(),
                    (_, 0) => format!("{prefix}{sign}{:02}:{:02}", abs / 3600, abs / 60 % 60),
                    (_, s) => format!("{prefix}{sign}{:02}:{:02}:{s:02}", abs / 3600, abs / 60 % 60),
                }
            }
        }
    }

    /// The region, if it is one: its short name (`CET`) depends on the instant.
    pub(crate) fn abbreviation(&self, utc_seconds: i64) -> Option<String> {
        let Kind::Region(tz) = self.0 else {
            return None;
        };
        let name = |seconds: i64| {
            let at = chrono::DateTime::from_timestamp(same_rules(seconds), 0)?;
            Some(tz.offset_from_utc_datetime(&at.naive_utc()))
        };
        let offset = name(utc_seconds)?;
        if offset.to_string() != "LMT" {
            return Some(offset.to_string());
        }
        // Before there were zones Java prints the name of today's standard time.
        let (winter, summer) = (name(1_704_067_200)?, name(1_719_792_000)?);
        Some(if winter.dst_offset().is_zero() { winter.to_string() } else { summer.to_string() })
    }

    pub(crate) fn fixed(seconds: i32) -> Self {
        Self(Kind::Fixed { seconds, prefix: Prefix::None })
    }
}

/// The last year that the zone tables know day by day.
const LAST_KNOWN_YEAR: i64 = 2099;

/// A time under the same rules as `seconds`, but within the tables: today's rules hold for ever, and before the first of
/// them nothing changes. A later year is replaced by one with the same days of the week.
fn same_rules(seconds: i64) -> i64 {
    const EARLIEST: i64 = -62_135_596_800;
    const LATEST: i64 = 4_102_444_800;
    if (EARLIEST..LATEST).contains(&seconds) {
        return seconds;
    }
    if seconds < EARLIEST {
        return EARLIEST;
    }
    let (year, ..) = date_from_days(seconds.div_euclid(86_400));
    let first = days_from_date(year, 1, 1);
    let alike =
        |candidate: &i64| is_leap(*candidate) == is_leap(year) && (days_from_date(*candidate, 1, 1) - first) % 7 == 0;
    // Among any 28 years before 2100 each kind of year comes at least once.
    let twin = (LAST_KNOWN_YEAR - 80..LAST_KNOWN_YEAR - 40).find(alike).unwrap_or(LAST_KNOWN_YEAR);
    seconds - (first - days_from_date(twin, 1, 1)) * 86_400
}

/// `+h`, `+hh`, `+h:mm`, `+hh:mm`, `+hh:m`, `+hhmm`, `+hh:mm:ss`, `+hhmmss`, at most 18 hours: Java's forms and Spark's additions.
fn parse_offset(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = &text[1..];
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<i32>().ok()).flatten();
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else if digits.len() > 2 && digits.len().is_multiple_of(2) && digits.is_ascii() {
        (0..digits.len() / 2).map(|i| &digits[2 * i..2 * i + 2]).collect()
    } else {
        vec![digits]
    };
    let (hours, minutes, seconds) = match parts[..] {
        [h] if h.len() <= 2 => (number(h)?, 0, 0),
        [h, m] if h.len() <= 2 && m.len() <= 2 => (number(h)?, number(m)?, 0),
        [h, m, s] if h.len() == 2 && m.len() == 2 && s.len() == 2 => (number(h)?, number(m)?, number(s)?),
        _ => return None,
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= 18 * 3600).then_some(sign * total)
}

/// Looks up offsets for whole columns: neighbouring values mostly share one, so the last answer is kept.
///
/// Since 1972 zones change at multiples of 15 minutes of UTC, so one answer serves such a block.
#[derive(Debug)]
pub(crate) struct OffsetCache {
    zone: Zone,
    block: i64,
    offset_us: i64,
}

impl OffsetCache {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, block: i64::MIN, offset_us: 0 }
    }

    /// Microseconds that local time is ahead of UTC at an instant.
    #[inline]
    pub(crate) fn offset_us(&mut self, utc_us: i64) -> i64 {
        const BLOCK_US: i64 = 900 * SECOND_US;
        if let Kind::Fixed { seconds, .. } = self.zone.0 {
            return i64::from(seconds) * SECOND_US;
        }
        let block = utc_us.div_euclid(BLOCK_US);
        if block != self.block || block < 0 {
            self.offset_us = i64::from(self.zone.offset_at(utc_us.div_euclid(SECOND_US))) * SECOND_US;
            self.block = block;
        }
        self.offset_us
    }

    /// Local microseconds of an instant.
    #[inline]
    pub(crate) fn local_us(&mut self, utc_us: i64) -> i64 {
        utc_us.saturating_add(self.offset_us(utc_us))
    }
}
