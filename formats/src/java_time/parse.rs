//! Reading a date and time by a compiled pattern.
//!
//! Fields are collected first and resolved afterwards, strictly: a value out of range, a date that does not exist, or two
//! values for one field that differ make the text unreadable. What the pattern does not mention is taken from
//! 1970-01-01 00:00:00.

use super::calendar::{DAY_US, SECOND_US, checked_days, days_from_date, is_leap, micros};
use super::names;
use super::pattern::{DateTimeFormat, Field, Item, OffsetStyle, Part, Sign};
use super::zone::Zone;

/// How many fields there are.
const FIELDS: usize = Field::Second as usize + 1;

/// Years beyond this are refused; DATE ends long before.
const MAX_YEAR: i64 = 9_999_999;

/// What has been read so far.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    values: [Option<i64>; FIELDS],
    nanos: Option<i64>,
    zone: Option<Zone>,
    offset: Option<i32>,
}

/// A text read by a pattern.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) days: i64,
    pub(crate) time_us: i64,
    pub(crate) zone: Option<Zone>,
}

impl DateTimeFormat {
    /// TIMESTAMP: microseconds UTC; a text without a zone is in `zone`.
    pub fn parse_timestamp(&self, text: &str, zone: Zone) -> Option<i64> {
        let read = self.read(text)?;
        read.zone.unwrap_or(zone).to_utc(micros(read.days, read.time_us)?)
    }

    /// TIMESTAMP_NTZ; a zone in the text is ignored if `allow_zone`, refused otherwise.
    pub fn parse_timestamp_ntz(&self, text: &str, allow_zone: bool) -> Option<i64> {
        let read = self.read(text)?;
        if read.zone.is_some() && !allow_zone {
            return None;
        }
        micros(read.days, read.time_us)
    }

    /// `to_date`: the day, in `zone`, of what [`DateTimeFormat::parse_timestamp`] reads.
    pub fn parse_date_in(&self, text: &str, zone: Zone) -> Option<i32> {
        let read = self.read(text)?;
        let days = match read.zone {
            None => read.days,
            Some(given) => zone.to_local(given.to_utc(micros(read.days, read.time_us)?)?).div_euclid(DAY_US),
        };
        i32::try_from(days).ok()
    }

    /// DATE: days since the epoch; a time of day and a zone are ignored.
    pub fn parse_date(&self, text: &str) -> Option<i32> {
        i32::try_from(self.read(text)?.days).ok()
    }

    fn read(&self, text: &str) -> Option<Read> {
        let mut found = Found::default();
        let end = read_items(&self.parse_items, 0, self.parse_items.len(), text, 0, &mut found)?;
        if end == text.len() { found.resolve() } else { None }
    }
}

/// Reads items `from..to` of the pattern at `at`; returns where the text goes on.
fn read_items(items: &[Item], from: usize, to: usize, text: &str, mut at: usize, found: &mut Found) -> Option<usize> {
    let mut i = from;
    while i < to {
        match &items[i] {
            Item::Optional { end } => {
                let before = *found;
                match read_items(items, i + 1, end - 1, text, at, found) {
                    Some(next) => at = next,
                    None => *found = before,
                }
                i = *end;
                continue;
            }
            Item::OptionalEnd => {}
            item => at = read_item(item, text, at, found)?,
        }
        i += 1;
    }
    Some(at)
}

fn read_item(item: &Item, text: &str, at: usize, found: &mut Found) -> Option<usize> {
    let rest = text.get(at..)?;
    match item {
        Item::Literal(literal) => {
            let given = rest.get(..literal.len())?;
            given.eq_ignore_ascii_case(literal).then_some(at + literal.len())
        }
        Item::Number { field, min, max, sign, reserved } => {
            let (value, len) = read_number(rest.as_bytes(), *min, *max, *sign, *reserved)?;
            found.set(*field, value)?;
            Some(at + len)
        }
        Item::ShortYear { field, reserved } => {
            let (value, len) = read_number(rest.as_bytes(), 2, 2, Sign::Never, *reserved)?;
            found.set(*field, 2000 + value)?;
            Some(at + len)
        }
        Item::Text { field, full } => {
            let (names, first) = names::of(*field, *full);
            let starts = |name: &str| rest.get(..name.len()).is_some_and(|r| r.eq_ignore_ascii_case(name));
            let (index, name) = names.iter().enumerate().filter(|(_, n)| starts(n)).max_by_key(|(_, n)| n.len())?;
            found.set(*field, index as i64 + first)?;
            Some(at + name.len())
        }
        Item::Fraction { min, max } => {
            let digits = rest.bytes().take(*max).take_while(u8::is_ascii_digit).count();
            if digits < *min {
                return None;
            }
            let value = rest[..digits].parse::<i64>().ok()? * 10i64.pow(9 - digits as u32);
            found.nanos = Some(value);
            Some(at + digits)
        }
        Item::Offset(style) => {
            let (seconds, len) = read_offset(rest, *style)?;
            found.offset = Some(seconds);
            Some(at + len)
        }
        Item::LocalizedOffset { .. } => {
            let (seconds, len) = read_localized_offset(rest)?;
            found.offset = Some(seconds);
            Some(at + len)
        }
        Item::ZoneId | Item::ZoneName { .. } => {
            let (zone, len) = read_zone(rest, *item == Item::ZoneId)?;
            found.zone = Some(zone);
            Some(at + len)
        }
        Item::Optional { .. } | Item::OptionalEnd => Some(at),
    }
}

/// A number of `min` to `max` digits, leaving `reserved` digits to the numbers after it where it can.
fn read_number(text: &[u8], min: usize, max: usize, sign: Sign, reserved: usize) -> Option<(i64, usize)> {
    let (negative, signed) = match text.first()? {
        b'-' if sign != Sign::Never => (true, true),
        b'+' if sign == Sign::ExceedsPad => (false, true),
        _ => (false, false),
    };
    let digits = &text[usize::from(signed)..];
    let available = digits.iter().take(max.saturating_add(reserved)).take_while(|b| b.is_ascii_digit()).count();
    let len =
        if reserved > 0 { min.max(available.saturating_sub(reserved)).min(available) } else { available }.min(max);
    if len < min {
        return None;
    }
    // A plus is there exactly if the number is longer than its width.
    if sign == Sign::ExceedsPad && !negative && signed != (len > min) {
        return None;
    }
    let value = std::str::from_utf8(&digits[..len]).ok()?.parse::<i64>().ok()?;
    if negative && value == 0 {
        return None;
    }
    Some((if negative { -value } else { value }, len + usize::from(signed)))
}

fn two_digits(text: &str, at: usize) -> Option<i32> {
    let digits = text.get(at..at + 2)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn read_offset(text: &str, style: OffsetStyle) -> Option<(i32, usize)> {
    if let Some(zero) = style.zero
        && text.get(..zero.len()).is_some_and(|t| t.eq_ignore_ascii_case(zero))
    {
        return Some((0, zero.len()));
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut total = two_digits(text, 1)? * 3600;
    let mut len = 3;
    for (part, unit) in [(style.minutes, 60), (style.seconds, 1)] {
        let start = len + usize::from(style.colon);
        let present =
            (!style.colon || text.as_bytes().get(len) == Some(&b':')).then(|| two_digits(text, start)).flatten();
        match (part, present) {
            (Part::Never, _) => break,
            (_, Some(value)) if value < 60 => {
                total += value * unit;
                len = start + 2;
            }
            (Part::Always, _) => return None,
            _ => break,
        }
    }
    (total <= 18 * 3600).then_some((sign * total, len))
}

/// `GMT`, `GMT+8`, `GMT+08:00`.
fn read_localized_offset(text: &str) -> Option<(i32, usize)> {
    let rest = text.get(..3).filter(|t| t.eq_ignore_ascii_case("GMT")).map(|_| &text[3..])?;
    let sign = match rest.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some((0, 3)),
    };
    let digits = rest[1..].bytes().take(2).take_while(u8::is_ascii_digit).count();
    let hours: i32 = rest[1..1 + digits].parse().ok()?;
    let mut len = 1 + digits;
    let mut seconds = hours * 3600;
    for unit in [60, 1] {
        let part = (rest.as_bytes().get(len) == Some(&b':')).then(|| two_digits(rest, len + 1)).flatten();
        let Some(value) = part else { break };
        seconds += value * unit;
        len += 3;
    }
    (seconds <= 18 * 3600).then_some((sign * seconds, 3 + len))
}

/// The longest zone id, or abbreviation unless only ids count, that the text starts with.
fn read_zone(text: &str, only_ids: bool) -> Option<(Zone, usize)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':' | '~');
    let mut name = &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())];
    while !name.is_empty() {
        let zone = if only_ids { Zone::find_id(name) } else { Zone::find(name).or_else(|| abbreviated(name)) };
        if let Some(zone) = zone {
            // Of GMT+2 Java reads no part.
            let cut = only_ids && text.get(name.len()..).is_some_and(|rest| rest.starts_with(['+', '-']));
            return (!cut).then_some((zone, name.len()));
        }
        name = &name[..name.len() - 1];
    }
    None
}

/// Abbreviations that are no zone's id; those of summer time mean the same region.
fn abbreviated(name: &str) -> Option<Zone> {
    let id = match name.to_ascii_uppercase().as_str() {
        "PDT" | "PT" => "America/Los_Angeles",
        "MDT" | "MT" => "America/Denver",
        "CDT" | "CT" => "America/Chicago",
        "EDT" | "ET" => "America/New_York",
        "CEST" => "Europe/Paris",
        "EEST" => "Europe/Athens",
        "WEST" => "Europe/Lisbon",
        "MSK" => "Europe/Moscow",
        "KST" => "Asia/Seoul",
        "AEST" | "AEDT" => "Australia/Sydney",
        "NZST" | "NZDT" => "Pacific/Auckland",
        "Z" => "Z",
        _ => return None,
    };
    Zone::find(id)
}

impl Found {
    /// Records a field; false if it was there with another value.
    fn set(&mut self, field: Field, value: i64) -> Option<()> {
        let slot = &mut self.values[field as usize];
        if slot.is_some_and(|old| old != value) {
            return None;
        }
        *slot = Some(value);
        Some(())
    }

    fn get(&self, field: Field) -> Option<i64> {
        self.values[field as usize]
    }

    /// The field's value if it is in range.
    fn ranged(&self, field: Field, low: i64, high: i64) -> Option<Option<i64>> {
        match self.get(field) {
            Some(v) if !(low..=high).contains(&v) => None,
            other => Some(other),
        }
    }

    fn resolve(&self) -> Option<Read> {
        let zone = self.zone.or_else(|| self.offset.map(Zone::fixed));
        Some(Read { days: self.days()?, time_us: self.time_us()?, zone })
    }

    fn year(&self) -> Option<Option<i64>> {
        let era = self.ranged(Field::Era, 0, 1)?;
        let year = self.ranged(Field::Year, -MAX_YEAR, MAX_YEAR)?;
        match (year, self.ranged(Field::YearOfEra, 1, MAX_YEAR)?) {
            (Some(year), _) => Some(Some(year)),
            // Strictly, a year of an era without the era says nothing.
            (None, Some(year)) => Some(era.map(|era| if era == 1 { year } else { 1 - year })),
            (None, None) => Some(None),
        }
    }

    fn days(&self) -> Option<i64> {
        let year = self.year()?;
        let month = self.ranged(Field::Month, 1, 12)?;
        let day = self.ranged(Field::Day, 1, 31)?;
        let day_of_year = self.ranged(Field::DayOfYear, 1, 366)?;
        if let (Some(year), Some(day_of_year)) = (year, day_of_year)
            && (month.is_none() || day.is_none())
        {
            let days = days_from_date(year, 1, 1) + day_of_year - 1;
            let date = super::calendar::date_from_days(days);
            let agrees = month.is_none_or(|m| m == i64::from(date.1)) && day.is_none_or(|d| d == i64::from(date.2));
            return (agrees && (day_of_year < 366 || is_leap(year))).then_some(days);
        }
        let days = checked_days(year.unwrap_or(1970), month.unwrap_or(1) as u32, day.unwrap_or(1) as u32)?;
        let same_day = |d: i64| days_from_date(year.unwrap_or(1970), 1, 1) + d - 1 == days;
        day_of_year.is_none_or(same_day).then_some(days)
    }

    fn time_us(&self) -> Option<i64> {
        let half = self.ranged(Field::AmPm, 0, 1)?;
        let hour_of_half = match (self.ranged(Field::HourOfHalf, 0, 11)?, self.ranged(Field::ClockHourOfHalf, 1, 12)?) {
            (Some(h), _) => Some(h),
            (None, Some(h)) => Some(h % 12),
            (None, None) => None,
        };
        let hour = match (self.ranged(Field::Hour, 0, 23)?, self.ranged(Field::ClockHour, 1, 24)?) {
            (Some(h), _) => Some(h),
            (None, Some(h)) => Some(h % 24),
            (None, None) => None,
        };
        // Without an hour of the day it is made of what there is; without am or pm it is am.
        let hour = match hour {
            Some(h) if half.is_some_and(|p| p != h / 12) || hour_of_half.is_some_and(|x| x != h % 12) => {
                return None;
            }
            Some(h) => h,
            None => half.unwrap_or(0) * 12 + hour_of_half.unwrap_or(0),
        };
        let minute = self.ranged(Field::Minute, 0, 59)?.unwrap_or(0);
        let second = self.ranged(Field::Second, 0, 59)?.unwrap_or(0);
        Some(((hour * 60 + minute) * 60 + second) * SECOND_US + self.nanos.unwrap_or(0) / 1000)
    }
}
