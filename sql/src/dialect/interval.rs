//! Interval literals: `INTERVAL 10 MINUTES`, `INTERVAL '1 day 2 hours'`, `INTERVAL '1-2' YEAR TO MONTH`, …
//!
//! Spark has two ANSI interval types; a literal names its fields, and they are a part of the type's name.

use std::fmt::Write;

/// A unit of an interval, from large to small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntervalField {
    /// `YEAR`
    Year,
    /// `MONTH`
    Month,
    /// `DAY`
    Day,
    /// `HOUR`
    Hour,
    /// `MINUTE`
    Minute,
    /// `SECOND`
    Second,
}

use IntervalField::{Day, Hour, Minute, Month, Second, Year};

impl IntervalField {
    /// `YEAR`, …, `SECOND`.
    pub fn name(self) -> &'static str {
        ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"][self as usize]
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Year, Month, Day, Hour, Minute, Second].into_iter().find(|field| field.name() == name)
    }
}

/// A literal interval: months, or microseconds, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Years and months.
    pub months: i64,
    /// Days and smaller; a day has 24 hours.
    pub micros: i64,
    /// The largest field written.
    pub first: IntervalField,
    /// The smallest field written.
    pub last: IntervalField,
}

impl Interval {
    /// Whether it counts months.
    pub fn is_year_month(&self) -> bool {
        self.last <= Month
    }

    /// As a watermark's delay, in milliseconds: a month has 31 days, as in Spark.
    pub fn delay_ms(&self) -> Option<i64> {
        self.months.checked_mul(31 * 86_400_000)?.checked_add(self.micros.div_euclid(1000))
    }

    /// As Spark prints the literal: `INTERVAL '10' MINUTE`, `INTERVAL '1 02:00' DAY TO MINUTE`.
    pub fn to_sql(&self) -> String {
        let range = if self.first == self.last {
            self.first.name().to_string()
        } else {
            format!("{} TO {}", self.first.name(), self.last.name())
        };
        format!("INTERVAL '{}' {range}", if self.is_year_month() { self.months_text() } else { self.time_text() })
    }

    fn months_text(&self) -> String {
        let (sign, months) = (if self.months < 0 { "-" } else { "" }, self.months.unsigned_abs());
        match (self.first, self.last) {
            (Year, Year) => format!("{sign}{}", months / 12),
            (Month, _) => format!("{sign}{months}"),
            _ => format!("{sign}{}-{}", months / 12, months % 12),
        }
    }

    fn time_text(&self) -> String {
        let mut text = String::from(if self.micros < 0 { "-" } else { "" });
        let mut rest = self.micros.unsigned_abs();
        for field in [Day, Hour, Minute, Second] {
            if field < self.first || field > self.last {
                continue;
            }
            let unit = unit_micros(field).unsigned_abs();
            let separator = match field {
                _ if field == self.first => "",
                Hour => " ",
                _ => ":",
            };
            let width = if field == Day { 1 } else { 2 };
            let _ = write!(text, "{separator}{:0width$}", rest / unit);
            rest %= unit;
        }
        if self.last == Second && rest > 0 {
            let fraction = format!("{rest:06}");
            let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
        }
        text
    }
}

fn unit_micros(field: IntervalField) -> i64 {
    match field {
        Day => 86_400_000_000,
        Hour => 3_600_000_000,
        Minute => 60_000_000,
        _ => 1_000_000,
    }
}

/// A unit's word: its field, months or microseconds in one, and whether fractions are allowed.
fn unit(word: &str) -> Option<(IntervalField, i64, bool)> {
    let word = word.to_lowercase();
    Some(match word.strip_suffix('s').unwrap_or(&word) {
        "year" => (Year, 12, false),
        "month" => (Month, 1, false),
        "week" => (Day, 7 * unit_micros(Day), false),
        "day" => (Day, unit_micros(Day), false),
        "hour" => (Hour, unit_micros(Hour), false),
        "minute" => (Minute, unit_micros(Minute), false),
        "second" => (Second, unit_micros(Second), true),
        "millisecond" => (Second, 1000, true),
        "microsecond" => (Second, 1, false),
        _ => return None,
    })
}

/// Whether a word is a unit: `MINUTE`, `minutes`, `week`, …
pub(super) fn is_unit(word: &str) -> bool {
    unit(word).is_some()
}

/// Adds up `(value, unit)` pairs.
///
/// # Errors
/// A sentence saying which value or unit is wrong, or that months and times are mixed.
pub(super) fn from_units(pairs: &[(String, String)]) -> Result<Interval, String> {
    let (mut months, mut micros) = (0_i64, 0_i64);
    let (mut first, mut last) = (Second, Year);
    for (value, word) in pairs {
        let (field, factor, has_fraction) = unit(word).ok_or_else(|| {
            format!("'{word}' is no unit of an interval; units are YEAR, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND")
        })?;
        let amount = scaled(value, factor, has_fraction)
            .ok_or_else(|| format!("'{value}' is no number of {}s that an interval can have", field.name()))?;
        let sum = if field <= Month { &mut months } else { &mut micros };
        *sum = sum.checked_add(amount).ok_or("[ARITHMETIC_OVERFLOW] the interval is too long")?;
        first = first.min(field);
        last = last.max(field);
    }
    if first <= Month && last > Month {
        return Err("an interval has years and months, or days and times, not both".to_string());
    }
    Ok(Interval { months, micros, first, last })
}

/// `value × factor`, exactly: `1.5` seconds are 1,500,000 microseconds.
fn scaled(value: &str, factor: i64, has_fraction: bool) -> Option<i64> {
    let value = value.trim();
    let (sign, digits) = match value.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, value.strip_prefix('+').unwrap_or(value)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole)
        || !is_number(fraction)
        || whole.len() + fraction.len() == 0
        || (!fraction.is_empty() && !has_fraction)
    {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut part = 0;
    let mut unit = factor;
    for digit in fraction.bytes().take(9) {
        // Digits beyond a microsecond are cut, as in Spark.
        unit /= 10;
        part += i64::from(digit - b'0') * unit;
    }
    whole.checked_mul(factor)?.checked_add(part)?.checked_mul(sign)
}

/// The text of `INTERVAL '1 day 2 hours'`.
///
/// # Errors
/// As `from_units`, or when the text is not pairs of a number and a unit.
pub fn parse_interval(text: &str) -> Result<Interval, String> {
    let text = text.trim();
    let text = text.strip_prefix(['i', 'I']).map_or(text, |_| strip_keyword(text));
    let mut words = text.split_whitespace();
    let mut pairs: Vec<(String, String)> = Vec::new();
    while let Some(word) = words.next() {
        // `- 1 day`, `+1day`: a sign may stand apart, a unit may not.
        let value =
            if matches!(word, "-" | "+") { format!("{word}{}", words.next().unwrap_or("")) } else { word.to_string() };
        let unit = words.next().ok_or_else(|| {
            format!("[CANNOT_PARSE_INTERVAL] '{text}' is no interval: a unit is missing after '{value}'")
        })?;
        pairs.push((value, unit.to_string()));
    }
    if pairs.is_empty() {
        return Err(format!("[CANNOT_PARSE_INTERVAL] '{text}' is no interval: write '10 minutes'"));
    }
    from_units(&pairs).map_err(|reason| format!("[CANNOT_PARSE_INTERVAL] '{text}' is no interval: {reason}"))
}

fn strip_keyword(text: &str) -> &str {
    match text.get(..8) {
        Some(word) if word.eq_ignore_ascii_case("interval") => text[8..].trim_start(),
        _ => text,
    }
}

/// The text of `INTERVAL '1 02:03' DAY TO MINUTE` and of its fellows.
///
/// # Errors
/// A sentence saying what form the text should have.
pub(super) fn from_range(text: &str, first: IntervalField, last: IntervalField) -> Result<Interval, String> {
    let wrong = || format!("[INVALID_INTERVAL_FORMAT] '{text}' is no interval {} TO {}", first.name(), last.name());
    if first >= last || (first <= Month) != (last <= Month) {
        return Err(format!("an interval from {} to {} makes no sense", first.name(), last.name()));
    }
    let (sign, digits) = match text.trim().strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.trim().trim_start_matches('+')),
    };
    let parts: Vec<&str> = digits.split([' ', ':', '-']).collect();
    let fields: Vec<IntervalField> =
        [Year, Month, Day, Hour, Minute, Second].into_iter().filter(|field| (first..=last).contains(field)).collect();
    if parts.len() != fields.len() {
        return Err(wrong());
    }
    let pairs: Vec<(String, String)> =
        fields.iter().zip(&parts).map(|(field, part)| (format!("{sign}{part}"), field.name().to_string())).collect();
    let interval = from_units(&pairs).map_err(|_| wrong())?;
    Ok(Interval { first, last, ..interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_print_as_in_spark() {
        let cases = [
            ("10 minutes", "INTERVAL '10' MINUTE"),
            ("1 day 2 hours", "INTERVAL '1 02' DAY TO HOUR"),
            ("1 week", "INTERVAL '7' DAY"),
            ("1.5 seconds", "INTERVAL '01.5' SECOND"),
            ("-90 minutes", "INTERVAL '-90' MINUTE"),
            ("1 year 2 months", "INTERVAL '1-2' YEAR TO MONTH"),
            ("interval 1 day 3 seconds", "INTERVAL '1 00:00:03' DAY TO SECOND"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_interval(text).map(|interval| interval.to_sql()), Ok(expected.to_string()), "{text}");
        }
        for wrong in ["", "1", "day", "1 fortnight", "1.5 days", "1 month 1 day", "9999999999999 days"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_names_its_fields() {
        let interval = from_range("1 02:03:04.5", Day, Second).expect("a right form");
        assert_eq!(interval.micros, 93_784_500_000);
        assert_eq!(interval.to_sql(), "INTERVAL '1 02:03:04.5' DAY TO SECOND");
        assert_eq!(from_range("-1-2", Year, Month).map(|interval| interval.months), Ok(-14));
        assert!(from_range("1", Day, Second).is_err());
    }
}
