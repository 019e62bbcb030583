//! One CSV value into a column builder.

use super::options::CsvOptions;
use crate::builder::Column;
use crate::interval;
use crate::java_time::calendar::DAY_US;
use crate::java_time::cast;
use crate::number;

/// Appends a value; false, with nothing appended, if it does not fit the column.
pub(crate) fn push(column: &mut Column, bytes: &[u8], o: &CsvOptions, now_us: i64) -> bool {
    if let Column::Binary(values) = column {
        return values.push(bytes).is_ok();
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return push_lossy(column, bytes) };
    let int = || number::parse_i64(bytes.strip_prefix(b"+").filter(|rest| !rest.starts_with(b"-")).unwrap_or(bytes));
    match column {
        Column::String(values) => values.push(bytes).ok(),
        Column::Int64(values) => int().map(|v| values.push(v)),
        Column::Int32(values) => int().and_then(|v| i32::try_from(v).ok()).map(|v| values.push(v)),
        Column::Int16(values) => int().and_then(|v| i16::try_from(v).ok()).map(|v| values.push(v)),
        Column::Int8(values) => int().and_then(|v| i8::try_from(v).ok()).map(|v| values.push(v)),
        Column::Boolean(values) => parse_bool(text).map(|v| values.push(v)),
        Column::Float64(values) => double(text, o).map(|v| values.push(v)),
        Column::Float32(values) => float(text, o).map(|v| values.push(v)),
        Column::Decimal { values, precision, scale } => {
            number::parse_decimal_text(bytes, *precision, *scale).map(|v| values.push(v))
        }
        Column::Date(values) => match &o.date_format {
            Some(format) => format.parse_date(text),
            None => cast::parse_date(text),
        }
        .map(|v| values.push(v)),
        Column::Timestamp { values, zone: Some(_) } => timestamp(text, o, now_us).map(|v| values.push(v)),
        Column::Timestamp { values, zone: None } => match &o.timestamp_ntz_format {
            Some(format) => format.parse_timestamp_ntz(text, false),
            None => cast::parse_timestamp_ntz(text, false),
        }
        .map(|v| values.push(v)),
        Column::Duration(values) => interval::parse_day_time(text).map(|v| values.push(v)),
        Column::Months(values) => interval::parse_year_month(text).map(|v| values.push(v)),
        _ => None,
    }
    .is_some()
}

/// Bytes that are not UTF-8: each wrong one becomes the replacement character.
fn push_lossy(column: &mut Column, bytes: &[u8]) -> bool {
    match column {
        Column::String(values) => values.push(String::from_utf8_lossy(bytes).as_bytes()).is_ok(),
        _ => false,
    }
}

pub(crate) fn timestamp(text: &str, o: &CsvOptions, now_us: i64) -> Option<i64> {
    if let Some(format) = &o.timestamp_format {
        return format.parse_timestamp(text, o.zone);
    }
    let today = || o.zone.to_local(now_us).div_euclid(DAY_US);
    cast::parse_timestamp(text, o.zone, today).or_else(|| {
        let at = text.find("GMT")?;
        cast::parse_timestamp(&[&text[..at], &text[at + 3..]].concat(), o.zone, today)
    })
}

pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

pub(crate) fn double(text: &str, o: &CsvOptions) -> Option<f64> {
    special(text, o).or_else(|| java_float(text)?.parse().ok())
}

fn float(text: &str, o: &CsvOptions) -> Option<f32> {
    special(text, o).map(|v| v as f32).or_else(|| java_float(text)?.parse().ok())
}

fn special(text: &str, o: &CsvOptions) -> Option<f64> {
    if text == o.nan_value {
        Some(f64::NAN)
    } else if text == o.positive_inf {
        Some(f64::INFINITY)
    } else if text == o.negative_inf {
        Some(f64::NEG_INFINITY)
    } else {
        match text.trim() {
            "NaN" | "+NaN" | "-NaN" => Some(f64::NAN),
            "Infinity" | "+Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        }
    }
}

/// The number in a text that Java's `parseDouble` takes: white space around it, and `d` or `f` behind it, count for nothing.
fn java_float(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    // Rust reads names such as "inf" as well, Java does not.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    plain.then_some(text)
}
