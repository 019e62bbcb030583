//! Between numbers, and between numbers and BOOLEAN.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::kernels::cmp::neq;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};

use super::super::decimal::{fits_precision, rescaled};
use super::super::error::{cast_overflow, decimal_out_of_range};
use super::Mode;

/// One value of any number type, as wide as needed.
pub(super) fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::Boolean, _) => of_boolean(array, to),
        (_, DataType::Boolean) => to_boolean(array),
        (_, DataType::Int8) => to_integer::<Int8Type>(array, mode),
        (_, DataType::Int16) => to_integer::<Int16Type>(array, mode),
        (_, DataType::Int32) => to_integer::<Int32Type>(array, mode),
        (_, DataType::Int64) => to_integer::<Int64Type>(array, mode),
        (DataType::Decimal128(_, scale), DataType::Float32 | DataType::Float64) => {
            of_decimal_to_float(array, *scale, to)
        }
        (_, DataType::Float32 | DataType::Float64) => Ok(arrow::compute::cast(array, to)?),
        (_, DataType::Decimal128(precision, scale)) => to_decimal(array, *precision, *scale, mode),
        (from, to) => Err(DataFusionError::Internal(format!("no cast from {from} to {to}"))),
    }
}

fn of_boolean(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let ones = arrow::compute::cast(array, &DataType::Int8)?;
    Ok(arrow::compute::cast(&ones, to)?)
}

fn to_boolean(array: &ArrayRef) -> Result<ArrayRef> {
    if let DataType::Float32 | DataType::Float64 = array.data_type() {
        // Both zeros are false, NaN is true.
        let wide = arrow::compute::cast(array, &DataType::Float64)?;
        let flags: BooleanArray =
            wide.as_primitive::<Float64Type>().iter().map(|value| value.map(|value| value != 0.0)).collect();
        return Ok(Arc::new(flags));
    }
    let zero = ScalarValue::new_zero(array.data_type())?.to_scalar()?;
    Ok(Arc::new(neq(array, &zero)?))
}

/// Applies a conversion to every value: what it refuses is null, or an error naming the value.
pub(super) fn converted<I: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    array: &PrimitiveArray<I>,
    mode: Mode,
    convert: impl Fn(I::Native) -> Option<O::Native>,
    error: impl Fn(I::Native) -> DataFusionError,
) -> Result<PrimitiveArray<O>> {
    let result: PrimitiveArray<O> = array.unary_opt(&convert);
    if !mode.is_try && result.null_count() > array.null_count() {
        let refused = (0..array.len()).find(|row| array.is_valid(*row) && result.is_null(*row));
        return Err(error(array.value(refused.unwrap_or(0))));
    }
    Ok(result)
}

fn to_integer<O>(array: &ArrayRef, mode: Mode) -> Result<ArrayRef>
where
    O: ArrowPrimitiveType,
    O::Native: TryFrom<i64> + TryFrom<i128>,
{
    let from = array.data_type().clone();
    let error = |value: &dyn std::fmt::Display| cast_overflow(value, &from, &O::DATA_TYPE);
    let result: PrimitiveArray<O> = match &from {
        DataType::Decimal128(_, scale) => {
            let divisor = 10_i128.pow(u32::from(scale.unsigned_abs()));
            converted::<Decimal128Type, O>(
                array.as_primitive(),
                mode,
                |value| O::Native::try_from(value / divisor).ok(),
                |value| error(&decimal_text(value, *scale)),
            )?
        }
        DataType::Float32 | DataType::Float64 => {
            let wide = arrow::compute::cast(array, &DataType::Float64)?;
            converted::<Float64Type, O>(
                wide.as_primitive(),
                mode,
                |value| whole(value).and_then(|value| O::Native::try_from(value).ok()),
                |value| error(&float_text(value, &from)),
            )?
        }
        _ => {
            let wide = arrow::compute::cast(array, &DataType::Int64)?;
            converted::<Int64Type, O>(
                wide.as_primitive(),
                mode,
                |value| O::Native::try_from(value).ok(),
                |value| error(&value),
            )?
        }
    };
    Ok(Arc::new(result))
}

/// A double without its fraction, if a BIGINT can hold it. The largest double below 2⁶³ is in, and 2⁶³ itself is the
/// largest BIGINT, as in Java.
pub(super) fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked; Java's cast saturates as Rust's does")]
    (-LIMIT..=LIMIT).contains(&value).then_some(value as i64)
}

fn of_decimal_to_float(array: &ArrayRef, scale: i8, to: &DataType) -> Result<ArrayRef> {
    // Through text: the nearest double to the exact decimal, which a division of doubles is not.
    let decimals = array.as_primitive::<Decimal128Type>();
    let exact = |value: i128| format!("{value}e-{scale}").parse().unwrap_or(f64::NAN);
    if *to == DataType::Float64 {
        let result: PrimitiveArray<Float64Type> = decimals.unary(exact);
        return Ok(Arc::new(result));
    }
    let result: PrimitiveArray<Float32Type> =
        decimals.unary(|value| format!("{value}e-{scale}").parse().unwrap_or(f32::NAN));
    Ok(Arc::new(result))
}

fn to_decimal(array: &ArrayRef, precision: u8, scale: i8, mode: Mode) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let result: PrimitiveArray<Decimal128Type> = match &from {
        DataType::Decimal128(_, from_scale) => converted::<Decimal128Type, Decimal128Type>(
            array.as_primitive(),
            mode,
            |value| rescaled(value, *from_scale, precision, scale),
            |value| decimal_out_of_range(decimal_text(value, *from_scale), precision, scale),
        )?,
        DataType::Float32 => converted::<Float32Type, Decimal128Type>(
            &finite::<Float32Type>(array.as_primitive(), f32::is_finite),
            mode,
            |value| of_float(f64::from(value), precision, scale),
            |value| decimal_out_of_range(value, precision, scale),
        )?,
        DataType::Float64 => converted::<Float64Type, Decimal128Type>(
            &finite::<Float64Type>(array.as_primitive(), f64::is_finite),
            mode,
            |value| of_float(value, precision, scale),
            |value| decimal_out_of_range(value, precision, scale),
        )?,
        _ => {
            let wide = arrow::compute::cast(array, &DataType::Int64)?;
            converted::<Int64Type, Decimal128Type>(
                wide.as_primitive(),
                mode,
                |value| rescaled(i128::from(value), 0, precision, scale),
                |value| decimal_out_of_range(value, precision, scale),
            )?
        }
    };
    Ok(Arc::new(result.with_precision_and_scale(precision, scale)?))
}

/// Through the digits that the double prints, as in Spark.
fn of_float(value: f64, precision: u8, scale: i8) -> Option<i128> {
    let (unscaled, from) = parse_decimal(&float_text(value, &DataType::Float64))?;
    fit(unscaled, from, precision, scale)
}

/// Without NaN and the infinities: as a decimal they are null.
fn finite<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    is_finite: impl Fn(T::Native) -> bool,
) -> PrimitiveArray<T> {
    array.unary_opt(|value| is_finite(value).then_some(value))
}

/// A decimal text's digits and its scale, which may be negative or large; `None` where it is no number.
pub(super) fn parse_decimal(text: &str) -> Option<(i128, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut unscaled: i128 = 0;
    let mut scale = 0_i32;
    let mut is_full = false;
    for (nth, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let next = unscaled.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit - b'0')));
        match next.filter(|_| !is_full) {
            Some(next) => {
                unscaled = next;
                scale += i32::from(nth >= whole.len());
            }
            None => {
                // More digits than an i128 has: those before the point count as zeros, those after it are cut.
                is_full = true;
                scale -= i32::from(nth < whole.len());
            }
        }
    }
    Some((sign * unscaled, scale.checked_sub(exponent)?))
}

/// A value with another scale, if it then fits.
pub(super) fn fit(unscaled: i128, from: i32, precision: u8, scale: i8) -> Option<i128> {
    let to = i32::from(scale);
    if unscaled == 0 {
        return Some(0);
    }
    let rounded = if to >= from {
        unscaled.checked_mul(10_i128.checked_pow((to - from).unsigned_abs())?)?
    } else {
        match 10_i128.checked_pow((from - to).unsigned_abs()) {
            Some(divisor) => {
                let (quotient, rest) = (unscaled / divisor, unscaled % divisor);
                if rest.unsigned_abs() >= divisor.unsigned_abs() / 2 { quotient + unscaled.signum() } else { quotient }
            }
            None => 0,
        }
    };
    fits_precision(rounded, precision).then_some(rounded)
}

pub(super) fn decimal_text(value: i128, scale: i8) -> String {
    let mut text = Vec::new();
    millstream_formats::number::write_decimal_plain(value, scale, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// As Java prints it; a FLOAT by its own shortest digits.
pub(super) fn float_text(value: f64, data_type: &DataType) -> String {
    let mut text = Vec::new();
    #[expect(clippy::cast_possible_truncation, reason = "the value came from a float")]
    match data_type {
        DataType::Float32 => millstream_formats::number::write_f32(value as f32, &mut text),
        _ => millstream_formats::number::write_f64(value, &mut text),
    }
    String::from_utf8_lossy(&text).into_owned()
}
