//! Text to values, and values to text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringArray, StringBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType,
};
use chrono::Utc;
use datafusion::common::{DataFusionError, Result};
use millstream_formats::java_time::{
    cast_date_to_string, cast_string_to_date, cast_string_to_timestamp, cast_string_to_timestamp_ntz,
    cast_timestamp_to_string,
};
use millstream_formats::number::{write_decimal_plain, write_f32, write_f64};

use super::super::error::{decimal_out_of_range, invalid_input, runtime};
use super::numbers::{fit, parse_decimal};
use super::{Mode, cast_array};
use crate::dialect::{Interval, IntervalField, parse_interval};

/// `CAST(text AS to)`.
pub(super) fn of_string(array: &StringArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let result: ArrayRef = match to {
        DataType::Boolean => Arc::new(array.iter().map(|text| text.and_then(boolean)).collect::<BooleanArray>()),
        DataType::Int8 => parsed::<Int8Type>(array, integer),
        DataType::Int16 => parsed::<Int16Type>(array, integer),
        DataType::Int32 => parsed::<Int32Type>(array, integer),
        DataType::Int64 => parsed::<Int64Type>(array, integer),
        DataType::Float32 => parsed::<Float32Type>(array, |text| java_float(text)?.parse().ok()),
        DataType::Float64 => parsed::<Float64Type>(array, |text| java_float(text)?.parse().ok()),
        DataType::Decimal128(precision, scale) => return decimals(array, *precision, *scale, mode),
        DataType::Date32 => Arc::new(cast_string_to_date(array)),
        DataType::Timestamp(_, None) => Arc::new(cast_string_to_timestamp_ntz(array)),
        DataType::Timestamp(_, Some(_)) => {
            Arc::new(cast_string_to_timestamp(array, mode.zone, Utc::now().timestamp_micros()))
        }
        DataType::Duration(_) => parsed::<DurationMicrosecondType>(array, |text| {
            parse_interval(text).ok().filter(|it| !it.is_year_month()).map(|it| it.micros)
        }),
        DataType::Interval(IntervalUnit::YearMonth) => parsed::<IntervalYearMonthType>(array, |text| {
            parse_interval(text).ok().filter(Interval::is_year_month).and_then(|it| i32::try_from(it.months).ok())
        }),
        other => return Err(DataFusionError::Internal(format!("no cast from STRING to {other}"))),
    };
    if !mode.is_try && result.null_count() > array.null_count() {
        let refused = (0..array.len()).find(|row| array.is_valid(*row) && result.is_null(*row)).unwrap_or(0);
        return Err(invalid_input(array.value(refused), &DataType::Utf8, to));
    }
    Ok(result)
}

fn parsed<T: ArrowPrimitiveType>(array: &StringArray, parse: impl Fn(&str) -> Option<T::Native>) -> ArrayRef {
    Arc::new(array.iter().map(|text| text.and_then(&parse)).collect::<PrimitiveArray<T>>())
}

/// Without what Java counts as blank: everything up to the space, and DEL.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

fn boolean(text: &str) -> Option<bool> {
    let text = trimmed(text);
    let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(&["t", "true", "y", "yes", "1"]) {
        Some(true)
    } else if is_one_of(&["f", "false", "n", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A sign and digits, nothing else.
fn integer<N: std::str::FromStr>(text: &str) -> Option<N> {
    trimmed(text).parse().ok()
}

/// The text of a float as Rust reads it, where Java reads it too: `1e3`, `.5`, `5.`, `Infinity`, `NaN`, `1.0f`.
fn java_float(text: &str) -> Option<String> {
    let text = trimmed(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_word = |words: &[&str]| words.iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    if is_word(&["infinity", "inf"]) {
        return Some(text.replace(unsigned, "inf"));
    }
    if is_word(&["nan"]) {
        return (unsigned.len() == text.len()).then(|| "NaN".to_string());
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let is_number =
        digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    is_number.then(|| digits.to_string())
}

fn decimals(array: &StringArray, precision: u8, scale: i8, mode: Mode) -> Result<ArrayRef> {
    let to = DataType::Decimal128(precision, scale);
    let mut values: Vec<Option<i128>> = Vec::with_capacity(array.len());
    for text in array {
        let Some(text) = text else {
            values.push(None);
            continue;
        };
        let value = match parse_decimal(trimmed(text)) {
            None if mode.is_try => None,
            None => return Err(invalid_input(text, &DataType::Utf8, &to)),
            Some((unscaled, from)) => match fit(unscaled, from, precision, scale) {
                None if !mode.is_try => return Err(decimal_out_of_range(trimmed(text), precision, scale)),
                value => value,
            },
        };
        values.push(value);
    }
    Ok(Arc::new(PrimitiveArray::<Decimal128Type>::from(values).with_precision_and_scale(precision, scale)?))
}

/// `CAST(value AS STRING)`.
pub(super) fn to_string(array: &ArrayRef, from: &DataType, mode: Mode) -> Result<ArrayRef> {
    let formatted = |error: millstream_formats::Error| runtime(error.to_string());
    Ok(match from {
        DataType::Float32 => written(array, |row, out| write_f32(array.as_primitive::<Float32Type>().value(row), out)),
        DataType::Float64 => written(array, |row, out| write_f64(array.as_primitive::<Float64Type>().value(row), out)),
        DataType::Decimal128(_, scale) => written(array, |row, out| {
            write_decimal_plain(array.as_primitive::<Decimal128Type>().value(row), *scale, out)
        }),
        DataType::Date32 => Arc::new(cast_date_to_string(array.as_primitive::<Date32Type>()).map_err(formatted)?),
        DataType::Timestamp(..) => Arc::new(cast_timestamp_to_string(array, mode.zone).map_err(formatted)?),
        DataType::Binary => {
            let binary = array.as_binary::<i32>();
            written(array, |row, out| out.extend_from_slice(String::from_utf8_lossy(binary.value(row)).as_bytes()))
        }
        DataType::Duration(_) => {
            let values = array.as_primitive::<DurationMicrosecondType>();
            written(array, |row, out| {
                let interval = Interval {
                    months: 0,
                    micros: values.value(row),
                    first: IntervalField::Day,
                    last: IntervalField::Second,
                };
                out.extend_from_slice(interval.to_sql().as_bytes());
            })
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let values = array.as_primitive::<IntervalYearMonthType>();
            written(array, |row, out| {
                let interval = Interval {
                    months: i64::from(values.value(row)),
                    micros: 0,
                    first: IntervalField::Year,
                    last: IntervalField::Month,
                };
                out.extend_from_slice(interval.to_sql().as_bytes());
            })
        }
        DataType::List(_) => list_text(array, mode)?,
        DataType::Map(..) => map_text(array, mode)?,
        DataType::Struct(_) => struct_text(array, mode)?,
        _ => arrow::compute::cast(array, &DataType::Utf8)?,
    })
}

/// One text a row that is not null, written into one buffer.
fn written(array: &ArrayRef, write: impl Fn(usize, &mut Vec<u8>)) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        builder.append_value(String::from_utf8_lossy(&text));
    }
    Arc::new(builder.finish())
}

fn text_of(column: &ArrayRef, mode: Mode) -> Result<StringArray> {
    Ok(cast_array(column, &DataType::Utf8, mode)?.as_string::<i32>().clone())
}

fn push_value(texts: &StringArray, row: usize, out: &mut Vec<u8>) {
    let text = if texts.is_null(row) { "null" } else { texts.value(row) };
    out.extend_from_slice(text.as_bytes());
}

/// `[1, null, 3]`.
fn list_text(array: &ArrayRef, mode: Mode) -> Result<ArrayRef> {
    let list = array.as_list::<i32>();
    let texts = text_of(list.values(), mode)?;
    Ok(written(array, |row, out| {
        out.push(b'[');
        for (nth, place) in (list.value_offsets()[row]..list.value_offsets()[row + 1]).enumerate() {
            if nth > 0 {
                out.extend_from_slice(b", ");
            }
            push_value(&texts, usize::try_from(place).unwrap_or(0), out);
        }
        out.push(b']');
    }))
}

/// `{k -> 1, l -> null}`.
fn map_text(array: &ArrayRef, mode: Mode) -> Result<ArrayRef> {
    let map = array.as_map();
    let (keys, values) = (text_of(map.keys(), mode)?, text_of(map.values(), mode)?);
    Ok(written(array, |row, out| {
        out.push(b'{');
        for (nth, place) in (map.value_offsets()[row]..map.value_offsets()[row + 1]).enumerate() {
            if nth > 0 {
                out.extend_from_slice(b", ");
            }
            let place = usize::try_from(place).unwrap_or(0);
            push_value(&keys, place, out);
            out.extend_from_slice(b" -> ");
            push_value(&values, place, out);
        }
        out.push(b'}');
    }))
}

/// `{1, x}`.
fn struct_text(array: &ArrayRef, mode: Mode) -> Result<ArrayRef> {
    let columns = array.as_struct().columns().iter().map(|column| text_of(column, mode)).collect::<Result<Vec<_>>>()?;
    Ok(written(array, |row, out| {
        out.push(b'{');
        for (nth, texts) in columns.iter().enumerate() {
            if nth > 0 {
                out.extend_from_slice(b", ");
            }
            push_value(texts, row, out);
        }
        out.push(b'}');
    }))
}
