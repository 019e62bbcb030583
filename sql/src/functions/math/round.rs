//! round, bround, ceil and floor.
//!
//! A double is rounded as the decimal number that prints it, so 2.345 to two digits is 2.35 though its binary value is
//! less than that.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray};
use arrow::compute::kernels::arity::unary;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};

use crate::functions::error::{fails, refused};
use crate::functions::function::{Call, Shape};
use crate::functions::rows::values;
use crate::functions::types;

/// How a number between two neighbours goes.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    HalfUp,
    HalfEven,
    Ceiling,
    Floor,
}

/// `round(x [, scale])`: half away from zero.
pub(in crate::functions) fn round(call: &Call<'_>) -> Result<ArrayRef> {
    rounded(call, Mode::HalfUp)
}

/// `bround(x [, scale])`: half to even.
pub(in crate::functions) fn bround(call: &Call<'_>) -> Result<ArrayRef> {
    rounded(call, Mode::HalfEven)
}

/// `ceil(x [, scale])`.
pub(in crate::functions) fn ceil(call: &Call<'_>) -> Result<ArrayRef> {
    whole(call, Mode::Ceiling)
}

/// `floor(x [, scale])`.
pub(in crate::functions) fn floor(call: &Call<'_>) -> Result<ArrayRef> {
    whole(call, Mode::Floor)
}

/// The type of a rounded number: a decimal keeps only the digits that can be there.
pub(in crate::functions) fn rounded_type(shape: &Shape<'_>) -> Result<DataType> {
    let DataType::Decimal128(precision, scale) = shape.types[0] else { return Ok(shape.types[0].clone()) };
    let digits = if shape.types.len() > 1 { constant_scale(shape)? } else { 0 };
    let whole = i32::from(precision) - i32::from(scale) + 1;
    if digits < 0 {
        return Ok(DataType::Decimal128(whole.max(1i32.saturating_sub(digits)).min(38) as u8, 0));
    }
    let kept = digits.min(i32::from(scale));
    Ok(DataType::Decimal128((whole + kept).min(38) as u8, kept as i8))
}

/// The type of ceil and floor: BIGINT, or a decimal without fraction; with a scale, as [`rounded_type`].
pub(in crate::functions) fn whole_type(shape: &Shape<'_>) -> Result<DataType> {
    if shape.types.len() > 1 {
        return rounded_type(shape);
    }
    Ok(match shape.types[0] {
        DataType::Decimal128(p, 0) => DataType::Decimal128(p, 0),
        DataType::Decimal128(p, s) => DataType::Decimal128((i32::from(p) - i32::from(s) + 1).clamp(1, 38) as u8, 0),
        _ => DataType::Int64,
    })
}

/// With a scale, ceil and floor work on decimals.
pub(in crate::functions) fn whole_args(given: &[DataType]) -> Result<Vec<DataType>> {
    let mut targets = given.to_vec();
    if given.len() > 1 {
        targets[0] = match &given[0] {
            DataType::Float32 => DataType::Decimal128(14, 7),
            DataType::Float64 => DataType::Decimal128(30, 15),
            t => types::as_decimal(t).map_or(DataType::Decimal128(38, 18), |(p, s)| DataType::Decimal128(p, s)),
        };
    } else if types::is_integral(&given[0]) {
        targets[0] = DataType::Int64;
    } else if given[0] == DataType::Float32 {
        targets[0] = DataType::Float64;
    }
    Ok(targets)
}

/// The scale as the plan has it; Spark asks for a constant too.
fn constant_scale(shape: &Shape<'_>) -> Result<i32> {
    match shape.constants.get(1).copied().flatten() {
        Some(value) if value.is_null() => Ok(0),
        Some(value) => match value.cast_to(&DataType::Int32)? {
            ScalarValue::Int32(Some(scale)) => Ok(scale),
            _ => Ok(0),
        },
        None => Err(refused(
            "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
            "the input scale should be a foldable \"INT\" expression",
        )),
    }
}

fn run_scale(call: &Call<'_>) -> Result<Option<i32>> {
    if !call.has(1) {
        return Ok(Some(0));
    }
    Ok(call.column::<arrow::array::Int32Array>(1)?.get(0))
}

fn rounded(call: &Call<'_>, mode: Mode) -> Result<ArrayRef> {
    let Some(scale) = run_scale(call)? else { return Ok(arrow::array::new_null_array(call.returns, call.rows)) };
    match call.raw(0).data_type() {
        DataType::Int8 => integers::<Int8Type>(call, scale, mode),
        DataType::Int16 => integers::<Int16Type>(call, scale, mode),
        DataType::Int32 => integers::<Int32Type>(call, scale, mode),
        DataType::Int64 => integers::<Int64Type>(call, scale, mode),
        DataType::Float64 => {
            let array = call.array(0)?;
            Ok(Arc::new(unary::<_, _, Float64Type>(array.as_primitive::<Float64Type>(), |x| of_double(x, scale, mode))))
        }
        DataType::Float32 => {
            let array = call.array(0)?;
            let f = |x: f32| of_double(f64::from(x), scale, mode) as f32;
            Ok(Arc::new(unary::<_, _, Float32Type>(array.as_primitive::<Float32Type>(), f)))
        }
        DataType::Decimal128(_, from) => decimals(call, i32::from(*from), scale, mode),
        other => Err(DataFusionError::Internal(format!("round of {other}"))),
    }
}

fn integers<T: ArrowPrimitiveType>(call: &Call<'_>, scale: i32, mode: Mode) -> Result<ArrayRef>
where
    T::Native: TryFrom<i128> + Into<i64>,
{
    if scale >= 0 {
        return call.array(0);
    }
    let column = call.column::<PrimitiveArray<T>>(0)?;
    let result = values::<T>(call.rows, |row| {
        let Some(x) = column.get(row) else { return Ok(None) };
        let wide: i64 = x.into();
        let rounded = rescale(i128::from(wide), 0, scale, mode);
        T::Native::try_from(rounded).map(Some).map_err(|_| {
            fails(
                "ARITHMETIC_OVERFLOW",
                "Overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
            )
        })
    })?;
    Ok(Arc::new(result))
}

fn decimals(call: &Call<'_>, from: i32, scale: i32, mode: Mode) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, to) = *call.returns else {
        return Err(DataFusionError::Internal(format!("{} of a decimal gives {}", call.name, call.returns)));
    };
    let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    let column = call.column::<arrow::array::Decimal128Array>(0)?;
    let result = values::<Decimal128Type>(call.rows, |row| {
        let Some(x) = column.get(row) else { return Ok(None) };
        // `rescale` answers in units of the rounding's scale where that is not negative, in ones otherwise.
        let rounded = rescale(x, from, scale.min(from), mode);
        debug_assert_eq!(scale.min(from).max(0), i32::from(to));
        if rounded.abs() >= limit {
            return Err(fails(
                "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
                format!("The rounded value cannot be represented as Decimal({precision}, {to})."),
            ));
        }
        Ok(Some(rounded))
    })?;
    Ok(Arc::new(result.with_data_type(call.returns.clone())))
}

/// A number in units of 10^−from, rounded to `to` digits after the point; in units of 10^−to, or in ones for negative `to`.
fn rescale(x: i128, from: i32, to: i32, mode: Mode) -> i128 {
    if to >= from {
        return x.saturating_mul(10i128.saturating_pow((to - from) as u32));
    }
    let lost = from.saturating_sub(to) as u32;
    let Some(unit) = 10i128.checked_pow(lost) else { return 0 };
    let quotient = divide(x, unit, mode);
    if to < 0 { quotient.saturating_mul(10i128.saturating_pow(to.unsigned_abs())) } else { quotient }
}

/// A decimal's unscaled value at another scale, half to even.
pub(in crate::functions) fn half_even(x: i128, from: i32, to: i32) -> i128 {
    if to >= from { x } else { rescale(x, from, to, Mode::HalfEven) }
}

fn divide(x: i128, unit: i128, mode: Mode) -> i128 {
    let (floor, rest) = (x.div_euclid(unit), x.rem_euclid(unit));
    let is_up = match mode {
        Mode::Floor => false,
        Mode::Ceiling => rest > 0,
        // Away from zero: upwards for a positive tie, downwards for a negative one.
        Mode::HalfUp => rest > unit - rest || (rest == unit - rest && x >= 0),
        Mode::HalfEven => rest > unit - rest || (rest == unit - rest && floor % 2 != 0),
    };
    floor + i128::from(is_up)
}

/// Rounds the number that the shortest decimal text of `x` names.
fn of_double(x: f64, scale: i32, mode: Mode) -> f64 {
    if !x.is_finite() || x == 0.0 {
        return x + 0.0;
    }
    if (0..=15).contains(&scale) {
        let unit = 10f64.powi(scale);
        let scaled = x * unit;
        // Far from a tie and small enough to be exact, plain arithmetic gives the nearest double of the decimal answer.
        let distance = ((scaled - scaled.floor()) - 0.5).abs();
        if scaled.abs() < 1e15 && distance > 1e-3 {
            return scaled.round() / unit + 0.0;
        }
    }
    of_text(x, scale, mode)
}

fn of_text(x: f64, scale: i32, mode: Mode) -> f64 {
    let text = format!("{x:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return x };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let fraction = mantissa.split_once('.').map_or(0, |(_, f)| f.len() as i32);
    let (Ok(unscaled), Ok(exponent)) = (digits.parse::<i128>(), exponent.parse::<i32>()) else { return x };
    // x = unscaled · 10^−from
    let from = fraction - exponent;
    if scale >= from {
        return x;
    }
    let lost = from.saturating_sub(scale) as u32;
    if lost > 20 {
        return 0.0;
    }
    let quotient = divide(unscaled, 10i128.pow(lost), mode);
    format!("{quotient}e{}", -scale).parse::<f64>().unwrap_or(x) + 0.0
}

fn whole(call: &Call<'_>, mode: Mode) -> Result<ArrayRef> {
    if call.has(1) {
        return rounded(call, mode);
    }
    match call.raw(0).data_type() {
        DataType::Decimal128(_, scale) => decimals(call, i32::from(*scale), 0, mode),
        DataType::Int64 => {
            let column = call.column::<Int64Array>(0)?;
            Ok(Arc::new(values::<Int64Type>(call.rows, |row| Ok(column.get(row)))?))
        }
        _ => {
            let column = call.column::<Float64Array>(0)?;
            let whole = |x: f64| if mode == Mode::Ceiling { x.ceil() } else { x.floor() };
            let result = values::<Int64Type>(call.rows, |row| match column.get(row).map(whole) {
                // 2⁶³ is the first double that is no BIGINT; `as` makes NaN 0, as in Spark.
                Some(x) if x.abs() >= 9_223_372_036_854_775_808.0 && x != i64::MIN as f64 => Err(fails(
                    "ARITHMETIC_OVERFLOW",
                    "overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
                )),
                value => Ok(value.map(|x| x as i64)),
            });
            Ok(Arc::new(result?))
        }
    }
}
