//! lpad, rpad and number formats: strings of a given shape.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type};
use datafusion::common::Result;

use super::{byte_of, count};
use crate::functions::error::unsupported;
use crate::functions::function::Call;
use crate::functions::rows::{bytes, texts};

/// `lpad(s, length [, pad])`: cut to the length where it is longer.
pub(in crate::functions) fn lpad(call: &Call<'_>) -> Result<ArrayRef> {
    padded(call, true)
}

/// `rpad(s, length [, pad])`.
pub(in crate::functions) fn rpad(call: &Call<'_>) -> Result<ArrayRef> {
    padded(call, false)
}

fn padded(call: &Call<'_>, is_left: bool) -> Result<ArrayRef> {
    if *call.returns == DataType::Binary {
        return padded_binary(call, is_left);
    }
    let (source, length) = (call.column::<StringArray>(0)?, call.column::<Int32Array>(1)?);
    let pad = if call.has(2) { Some(call.column::<StringArray>(2)?) } else { None };
    texts(call.rows, |row, out| {
        let pad = pad.as_ref().map_or(Some(" "), |p| p.get(row));
        let (Some(s), Some(length), Some(pad)) = (source.get(row), length.get(row), pad) else { return Ok(None) };
        let length = length.max(0) as usize;
        let size = count(s);
        if size >= length || pad.is_empty() {
            out.push_str(&s[..byte_of(s, length)]);
            return Ok(Some(()));
        }
        if !is_left {
            out.push_str(s);
        }
        out.extend(pad.chars().cycle().take(length - size));
        if is_left {
            out.push_str(s);
        }
        Ok(Some(()))
    })
}

fn padded_binary(call: &Call<'_>, is_left: bool) -> Result<ArrayRef> {
    let (source, length) = (call.column::<BinaryArray>(0)?, call.column::<Int32Array>(1)?);
    let pad = if call.has(2) { Some(call.column::<BinaryArray>(2)?) } else { None };
    bytes(call.rows, |row, out| {
        let pad = pad.as_ref().map_or(Some(&[0u8][..]), |p| p.get(row));
        let (Some(s), Some(length), Some(pad)) = (source.get(row), length.get(row), pad) else { return Ok(None) };
        let length = length.max(0) as usize;
        if s.len() >= length || pad.is_empty() {
            out.extend_from_slice(&s[..length.min(s.len())]);
            return Ok(Some(()));
        }
        if !is_left {
            out.extend_from_slice(s);
        }
        out.extend(pad.iter().cycle().take(length - s.len()));
        if is_left {
            out.extend_from_slice(s);
        }
        Ok(Some(()))
    })
}

/// The most digits after the point that are written.
const MOST_DIGITS: usize = 10_000;

/// A number; no string is read as one.
pub(in crate::functions) fn only_number(t: &DataType) -> Option<DataType> {
    if *t == DataType::Utf8 { None } else { crate::functions::types::number(t) }
}

/// `format_number(n, digits)`: thousands in commas, that many digits after the point, half to even.
pub(in crate::functions) fn format_number(call: &Call<'_>) -> Result<ArrayRef> {
    let numbers = call.raw(0);
    if *call.raw(1).data_type() == DataType::Utf8 {
        return Err(unsupported("format_number with a pattern; give the number of digits"));
    }
    let digits = call.column::<Int32Array>(1)?;
    texts(call.rows, |row, out| {
        let at = call.row(0, row);
        let Some(digits) = digits.get(row).filter(|d| *d >= 0 && !numbers.is_null(at)) else { return Ok(None) };
        let digits = digits as usize;
        if digits > MOST_DIGITS {
            return Err(unsupported(format!("format_number with more than {MOST_DIGITS} digits after the point")));
        }
        let plain = match numbers.data_type() {
            DataType::Float64 => decimal_text(numbers.as_primitive::<Float64Type>().value(at), digits),
            DataType::Float32 => decimal_text(f64::from(numbers.as_primitive::<Float32Type>().value(at)), digits),
            DataType::Decimal128(_, scale) => {
                let unscaled = numbers.as_primitive::<Decimal128Type>().value(at);
                let scale = i32::from(*scale);
                let rounded = crate::functions::math::round::half_even(unscaled, scale, digits as i32);
                scaled_text(rounded, scale.min(digits as i32) as usize, digits)
            }
            DataType::Int64 => scaled_text(i128::from(numbers.as_primitive::<Int64Type>().value(at)), 0, digits),
            _ => {
                let long = arrow::compute::cast(&numbers.slice(at, 1), &DataType::Int64)?;
                scaled_text(i128::from(long.as_primitive::<Int64Type>().value(0)), 0, digits)
            }
        };
        group_thousands(&plain, out);
        Ok(Some(()))
    })
}

/// Java's `DecimalFormat` rounds the exact binary value half to even, as Rust's formatting does.
fn decimal_text(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_string();
    }
    // Beyond 17 digits a double's digits are its binary tail's, which nobody is shown.
    if value.abs() < 1e17 {
        return format!("{value:.digits$}");
    }
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", super::format::plain(value.abs(), digits))
}

/// A number given in units of 10^−scale, with `digits` digits after the point.
fn scaled_text(unscaled: i128, scale: usize, digits: usize) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    if digits == 0 {
        return format!("{sign}{whole}");
    }
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(digits).collect();
    format!("{sign}{whole}.{fraction}")
}

pub(super) fn group_thousands(plain: &str, out: &mut String) {
    let (sign, rest) = plain.strip_prefix('-').map_or(("", plain), |r| ("-", r));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(w, f)| (w, Some(f)));
    out.push_str(sign);
    for (at, c) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && c.is_ascii_digit() {
            out.push(',');
        }
        out.push(c);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
}
