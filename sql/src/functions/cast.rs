//! Spark's implicit casts of arguments, under ANSI rules: what cannot be read or does not fit is an error.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, ListArray, MapArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::util::display::FormatOptions;
use datafusion::common::{DataFusionError, Result};
use millstream_formats::java_time;
use millstream_formats::number::{write_decimal_plain, write_f32, write_f64};

use super::error::{fails, wrapped};
use super::rows::{Column, booleans, bytes, numbers, values};
use super::types;
use super::zone::{MICROS_PER_DAY, Zone};

/// Brings a column to another type by Spark's ANSI rules, in a time zone.
pub(super) fn to(array: &ArrayRef, target: &DataType, zone: &Zone) -> Result<ArrayRef> {
    let source = array.data_type();
    if source == target {
        return Ok(Arc::clone(array));
    }
    match (source, target) {
        (DataType::Null, _) => Ok(arrow::array::new_null_array(target, array.len())),
        (DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..), _) => {
            to(&plain(array, &types::plain(source))?, target, zone)
        }
        (_, DataType::Utf8) => to_text(array, zone),
        (DataType::Utf8, _) => from_text(array.as_string(), target, zone),
        (DataType::Date32, DataType::Timestamp(_, tz)) => {
            let zone = if tz.is_some() { *zone } else { Zone::Fixed(0) };
            let days = array.as_primitive::<Date32Type>();
            let micros: TimestampMicrosecondArray = days.unary(|d| zone.instant_of(i64::from(d) * MICROS_PER_DAY));
            Ok(Arc::new(micros.with_data_type(target.clone())))
        }
        (DataType::Timestamp(_, tz), DataType::Date32) if types::is_timestamp(source) => {
            let zone = if tz.is_some() { *zone } else { Zone::Fixed(0) };
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            let days: Date32Array = micros.unary(|t| zone.local_of(t).div_euclid(MICROS_PER_DAY) as i32);
            Ok(Arc::new(days))
        }
        (DataType::Timestamp(_, from), DataType::Timestamp(_, into)) if types::is_timestamp(source) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            let micros: TimestampMicrosecondArray = match (from.is_some(), into.is_some()) {
                (true, false) => micros.unary(|t| zone.local_of(t)),
                (false, true) => micros.unary(|t| zone.instant_of(t)),
                _ => micros.clone(),
            };
            Ok(Arc::new(micros.with_data_type(target.clone())))
        }
        (from, DataType::Timestamp(_, Some(_))) if types::is_numeric(from) => seconds(array, target),
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let elements = to(list.values(), field.data_type(), zone)?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(field),
                list.offsets().clone(),
                elements,
                list.nulls().cloned(),
            )?))
        }
        (DataType::Map(..), DataType::Map(entries, is_sorted)) => {
            let map = array.as_map();
            let structs = to(&(Arc::new(map.entries().clone()) as ArrayRef), entries.data_type(), zone)?;
            let structs = structs.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(entries),
                map.offsets().clone(),
                structs,
                map.nulls().cloned(),
                *is_sorted,
            )?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let parts = array.as_struct();
            let columns = parts.columns().iter().zip(fields).map(|(c, f)| to(c, f.data_type(), zone));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                parts.nulls().cloned(),
                array.len(),
            )?))
        }
        (DataType::Float32 | DataType::Float64 | DataType::Decimal128(..), t) if types::is_integral(t) => {
            truncated(array, target)
        }
        _ => plain(array, target).map_err(|_| overflow(source, target)),
    }
}

/// A cast between types of one representation, or one that needs no rules of Spark's.
pub(super) fn plain(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    Ok(cast_with_options(array, target, &options)?)
}

fn overflow(source: &DataType, target: &DataType) -> DataFusionError {
    fails(
        "CAST_OVERFLOW",
        format!(
            "A value of the type {} cannot be cast to {} due to an overflow. Use `try_cast` to tolerate overflow and return NULL instead.",
            types::sql_name(source),
            types::sql_name(target)
        ),
    )
}

/// A number of seconds since 1970 as an instant: whole numbers stop at the ends of time, others must fit.
fn seconds(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let source = array.data_type().clone();
    let micros = match &source {
        t if types::is_integral(t) => {
            let longs = plain(array, &DataType::Int64)?;
            let column = Column::new(longs.as_primitive::<Int64Type>(), false);
            values::<TimestampMicrosecondType>(array.len(), |row| {
                Ok(column.get(row).map(|s| s.saturating_mul(1_000_000)))
            })?
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
            let column = Column::new(array.as_primitive::<Decimal128Type>(), false);
            values::<TimestampMicrosecondType>(array.len(), |row| {
                // Java's `longValue` keeps the low bits of what does not fit.
                Ok(column.get(row).map(|s| (s / unit * 1_000_000 + s % unit * 1_000_000 / unit) as i64))
            })?
        }
        _ => {
            let doubles = plain(array, &DataType::Float64)?;
            let column = Column::new(doubles.as_primitive::<Float64Type>(), false);
            values::<TimestampMicrosecondType>(array.len(), |row| match column.get(row) {
                Some(s) if s.is_finite() && s.abs() * 1e6 < 9.223_372_036_854_775e18 => Ok(Some((s * 1e6) as i64)),
                Some(s) if s.is_finite() => Err(overflow(&source, &DataType::Int64)),
                Some(s) => Err(invalid(&s.to_string(), target)),
                None => Ok(None),
            })?
        }
    };
    Ok(Arc::new(micros.with_data_type(target.clone())))
}

/// Fractions are cut off; what does not fit fails.
fn truncated(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let source = array.data_type().clone();
    let whole: ArrayRef = match &source {
        DataType::Decimal128(_, scale) => {
            let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
            let column = Column::new(array.as_primitive::<Decimal128Type>(), false);
            let longs = numbers::<Int64Type>(array.len(), |row| {
                let Some(x) = column.get(row) else { return Ok(None) };
                i64::try_from(x / unit).map(Some).map_err(|_| overflow(&source, target))
            });
            longs?
        }
        _ => {
            let doubles = plain(array, &DataType::Float64)?;
            let column = Column::new(doubles.as_primitive::<Float64Type>(), false);
            let longs = numbers::<Int64Type>(array.len(), |row| {
                let Some(x) = column.get(row) else { return Ok(None) };
                // 2⁶³ is the first double that is no BIGINT; NaN is in no range.
                let is_long = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x);
                if is_long { Ok(Some(x as i64)) } else { Err(overflow(&source, target)) }
            });
            longs?
        }
    };
    plain(&whole, target).map_err(|_| overflow(&source, target))
}

fn to_text(array: &ArrayRef, zone: &Zone) -> Result<ArrayRef> {
    let rows = array.len();
    macro_rules! printed {
        ($of:ty, $write:expr) => {{
            let column = Column::new(array.as_primitive::<$of>(), false);
            let write: fn(<$of as arrow::datatypes::ArrowPrimitiveType>::Native, &mut Vec<u8>) = $write;
            bytes_as_text(rows, |row, out| Ok(column.get(row).map(|x| write(x, out))))
        }};
    }
    match array.data_type() {
        DataType::Float32 => printed!(Float32Type, write_f32),
        DataType::Float64 => printed!(Float64Type, write_f64),
        DataType::Decimal128(_, scale) => {
            let column = Column::new(array.as_primitive::<Decimal128Type>(), false);
            bytes_as_text(rows, |row, out| Ok(column.get(row).map(|x| write_decimal_plain(x, *scale, out))))
        }
        DataType::Timestamp(..) => {
            Ok(Arc::new(java_time::cast_timestamp_to_string(array, zone.to_java()?).map_err(wrapped)?))
        }
        DataType::Date32 => Ok(Arc::new(java_time::cast_date_to_string(array.as_primitive()).map_err(wrapped)?)),
        DataType::Binary => {
            let column = Column::new(array.as_binary::<i32>(), false);
            super::rows::texts(rows, |row, out| Ok(column.get(row).map(|b| out.push_str(&String::from_utf8_lossy(b)))))
        }
        _ => plain(array, &DataType::Utf8),
    }
}

fn bytes_as_text(rows: usize, write: impl FnMut(usize, &mut Vec<u8>) -> Result<Option<()>>) -> Result<ArrayRef> {
    let binary = bytes(rows, write)?;
    Ok(arrow::compute::cast(&binary, &DataType::Utf8)?)
}

fn from_text(text: &StringArray, target: &DataType, zone: &Zone) -> Result<ArrayRef> {
    let column = Column::new(text, false);
    let rows = text.len();
    let bad = |text: &str| invalid(text, target);
    macro_rules! read {
        ($of:ty, $parse:expr) => {
            numbers::<$of>(rows, |row| match column.get(row) {
                Some(s) => $parse(trimmed(s)).map(Some).ok_or_else(|| bad(s)),
                None => Ok(None),
            })
        };
    }
    match target {
        DataType::Int8 => read!(Int8Type, |s| integer(s)?.try_into().ok()),
        DataType::Int16 => read!(Int16Type, |s| integer(s)?.try_into().ok()),
        DataType::Int32 => read!(Int32Type, |s| integer(s)?.try_into().ok()),
        DataType::Int64 => read!(Int64Type, integer),
        DataType::Float32 => read!(Float32Type, |s| float(s).and_then(|s| s.parse().ok())),
        DataType::Float64 => read!(Float64Type, |s| float(s).and_then(|s| s.parse().ok())),
        DataType::Boolean => booleans(rows, |row| match column.get(row) {
            Some(s) => truth(trimmed(s)).map(Some).ok_or_else(|| bad(s)),
            None => Ok(None),
        }),
        DataType::Binary => Ok(arrow::compute::cast(text, &DataType::Binary)?),
        DataType::Decimal128(precision, scale) => {
            let decimals = values::<Decimal128Type>(rows, |row| match column.get(row) {
                Some(s) => decimal(trimmed(s), *precision, *scale).map(Some).ok_or_else(|| bad(s)),
                None => Ok(None),
            });
            Ok(Arc::new(decimals?.with_data_type(target.clone())))
        }
        DataType::Date32 => checked(text, target, Arc::new(java_time::cast_string_to_date(text))),
        DataType::Timestamp(_, None) => checked(text, target, Arc::new(java_time::cast_string_to_timestamp_ntz(text))),
        DataType::Timestamp(_, Some(_)) => {
            let now_us = chrono::Utc::now().timestamp_micros();
            let read = java_time::cast_string_to_timestamp(text, zone.to_java()?, now_us);
            checked(text, target, Arc::new(read.with_data_type(target.clone())))
        }
        _ => plain(&(Arc::new(text.clone()) as ArrayRef), target),
    }
}

/// Fails where a text that is there could not be read.
fn checked(text: &StringArray, target: &DataType, read: ArrayRef) -> Result<ArrayRef> {
    if read.null_count() > text.null_count() {
        let unread = (0..text.len()).find(|row| text.is_valid(*row) && read.is_null(*row));
        return Err(invalid(unread.map_or("", |row| text.value(row)), target));
    }
    Ok(read)
}

fn invalid(text: &str, target: &DataType) -> DataFusionError {
    fails(
        "CAST_INVALID_INPUT",
        format!(
            "The value '{text}' of the type \"STRING\" cannot be cast to {} because it is malformed. Correct the value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead.",
            types::sql_name(target)
        ),
    )
}

/// Without white space and control characters at both ends.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

/// Digits with a sign.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A number's text as Rust reads it: Java's names of infinity and its suffixes.
fn float(text: &str) -> Option<&str> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if ["inf", "infinity", "nan"].iter().any(|n| unsigned.eq_ignore_ascii_case(n)) {
        return Some(text);
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.').then_some(digits)
}

fn truth(text: &str) -> Option<bool> {
    let is = |names: &[&str]| names.iter().any(|n| text.eq_ignore_ascii_case(n));
    if is(&["t", "true", "y", "yes", "1"]) {
        return Some(true);
    }
    is(&["f", "false", "n", "no", "0"]).then_some(false)
}

/// A decimal number with an optional exponent, half away from zero at the scale.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (is_negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut unscaled: i128 = 0;
    for digit in whole.chars().chain(fraction.chars()) {
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit.to_digit(10)?))?;
    }
    let shift = i32::from(scale) - fraction.len() as i32 + exponent;
    let unscaled = if shift >= 0 {
        unscaled.checked_mul(10i128.checked_pow(shift as u32)?)?
    } else {
        let unit = 10i128.checked_pow(shift.unsigned_abs()).unwrap_or(i128::MAX);
        unscaled / unit + i128::from(unscaled % unit * 2 >= unit)
    };
    (unscaled < 10i128.checked_pow(u32::from(precision))?).then_some(if is_negative { -unscaled } else { unscaled })
}
