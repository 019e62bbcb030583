//! Functions of doubles: roots, powers, logarithms, angles; abs and sign of every number.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, PrimitiveArray};
use arrow::compute::kernels::arity::{try_unary, unary};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type,
};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};

use crate::functions::error::overflow;
use crate::functions::function::Call;
use crate::functions::rows::{booleans, numbers};

macro_rules! of_double {
    ($($(#[$doc:meta])* $name:ident => $f:expr),* $(,)?) => {
        $($(#[$doc])* pub(in crate::functions) fn $name(call: &Call<'_>) -> Result<ArrayRef> {
            let f: fn(f64) -> f64 = $f;
            Ok(Arc::new(unary::<_, _, Float64Type>(call.array(0)?.as_primitive::<Float64Type>(), f)))
        })*
    };
}

of_double! {
    /// `sqrt(x)`.
    sqrt => f64::sqrt,
    /// `cbrt(x)`.
    cbrt => f64::cbrt,
    /// `exp(x)`.
    exp => f64::exp,
    /// `expm1(x)`.
    expm1 => f64::exp_m1,
    /// `sin(x)`.
    sin => f64::sin,
    /// `cos(x)`.
    cos => f64::cos,
    /// `tan(x)`.
    tan => f64::tan,
    /// `cot(x)`.
    cot => |x| 1.0 / x.tan(),
    /// `sec(x)`.
    sec => |x| 1.0 / x.cos(),
    /// `csc(x)`.
    csc => |x| 1.0 / x.sin(),
    /// `asin(x)`.
    asin => f64::asin,
    /// `acos(x)`.
    acos => f64::acos,
    /// `atan(x)`.
    atan => f64::atan,
    /// `sinh(x)`.
    sinh => f64::sinh,
    /// `cosh(x)`.
    cosh => f64::cosh,
    /// `tanh(x)`.
    tanh => f64::tanh,
    /// `asinh(x)`.
    asinh => asinh_of,
    /// `acosh(x)`.
    acosh => |x| if x > 1e150 { x.ln() + std::f64::consts::LN_2 } else { x.acosh() },
    /// `atanh(x)`, by the formula that Spark uses.
    atanh => |x| 0.5 * (x.ln_1p() - (-x).ln_1p()),
    /// `degrees(x)`, by Java's constant.
    degrees => |x| x * (180.0 / std::f64::consts::PI),
    /// `radians(x)`, by Java's constant.
    radians => |x| x * (std::f64::consts::PI / 180.0),
    /// `rint(x)`: half to even.
    rint => f64::round_ties_even,
    /// `sign(x)`.
    sign => |x| if x == 0.0 || x.is_nan() { x } else { x.signum() },
}

/// Rust's own squares the greatest numbers out of range.
fn asinh_of(x: f64) -> f64 {
    if x.abs() > 1e150 && x.is_finite() { (x.abs().ln() + std::f64::consts::LN_2).copysign(x) } else { x.asinh() }
}

macro_rules! logarithms {
    ($($(#[$doc:meta])* $name:ident above $least:expr => $f:expr),* $(,)?) => {
        $($(#[$doc])* pub(in crate::functions) fn $name(call: &Call<'_>) -> Result<ArrayRef> {
            let f: fn(f64) -> f64 = $f;
            let x = call.column::<Float64Array>(0)?;
            // NaN is no lower bound's inferior: it passes.
            numbers::<Float64Type>(call.rows, |row| Ok(x.get(row).filter(|x| *x > $least || x.is_nan()).map(f)))
        })*
    };
}

logarithms! {
    /// `ln(x)`: null where x ≤ 0.
    ln above 0.0 => f64::ln,
    /// `log10(x)`.
    log10 above 0.0 => f64::log10,
    /// `log2(x)`, by the quotient that Spark uses.
    log2 above 0.0 => |x| x.ln() / 2f64.ln(),
    /// `log1p(x)`: null where x ≤ −1.
    log1p above -1.0 => f64::ln_1p,
}

/// `log(x)` or `log(base, x)`.
pub(in crate::functions) fn log(call: &Call<'_>) -> Result<ArrayRef> {
    if !call.has(1) {
        return ln(call);
    }
    let (base, x) = (call.column::<Float64Array>(0)?, call.column::<Float64Array>(1)?);
    numbers::<Float64Type>(call.rows, |row| {
        let both = base.get(row).zip(x.get(row)).filter(|(b, x)| (*b > 0.0 || b.is_nan()) && (*x > 0.0 || x.is_nan()));
        Ok(both.map(|(base, x)| x.ln() / base.ln()))
    })
}

macro_rules! of_two_doubles {
    ($($(#[$doc:meta])* $name:ident => $f:expr),* $(,)?) => {
        $($(#[$doc])* pub(in crate::functions) fn $name(call: &Call<'_>) -> Result<ArrayRef> {
            let f: fn(f64, f64) -> f64 = $f;
            let (x, y) = (call.column::<Float64Array>(0)?, call.column::<Float64Array>(1)?);
            numbers::<Float64Type>(call.rows, |row| Ok(x.get(row).zip(y.get(row)).map(|(x, y)| f(x, y))))
        })*
    };
}

of_two_doubles! {
    /// `power(x, y)`; Java has no number for 1 to the power of NaN or an infinity.
    power => |x, y| if x.abs() == 1.0 && !y.is_finite() || (x == 1.0 && y.is_nan()) { f64::NAN } else { x.powf(y) },
    /// `atan2(y, x)`; −0 counts as 0.
    atan2 => |y, x| (y + 0.0).atan2(x + 0.0),
    /// `hypot(x, y)`.
    hypot => f64::hypot,
}

/// `pi()`.
pub(in crate::functions) fn pi(call: &Call<'_>) -> Result<ArrayRef> {
    numbers::<Float64Type>(call.rows, |_| Ok(Some(std::f64::consts::PI)))
}

/// `e()`.
pub(in crate::functions) fn e(call: &Call<'_>) -> Result<ArrayRef> {
    numbers::<Float64Type>(call.rows, |_| Ok(Some(std::f64::consts::E)))
}

/// `factorial(n)` for n from 0 to 20, null for others.
pub(in crate::functions) fn factorial(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.column::<Int32Array>(0)?;
    numbers::<Int64Type>(call.rows, |row| {
        Ok(n.get(row).filter(|n| (0..=20).contains(n)).map(|n| (1..=i64::from(n)).product()))
    })
}

/// `isnan(x)`: false for null.
pub(in crate::functions) fn isnan(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.raw(0).data_type() == DataType::Float32 {
        let x = call.column::<arrow::array::Float32Array>(0)?;
        return booleans(call.rows, |row| Ok(Some(x.get(row).is_some_and(f32::is_nan))));
    }
    let x = call.column::<Float64Array>(0)?;
    booleans(call.rows, |row| Ok(Some(x.get(row).is_some_and(f64::is_nan))))
}

/// `abs(x)`: the least integer of a type has none.
pub(in crate::functions) fn abs(call: &Call<'_>) -> Result<ArrayRef> {
    match call.returns {
        DataType::Int8 => checked::<Int8Type>(call, i8::checked_abs, "abs"),
        DataType::Int16 => checked::<Int16Type>(call, i16::checked_abs, "abs"),
        DataType::Int32 => checked::<Int32Type>(call, i32::checked_abs, "abs"),
        DataType::Int64 => checked::<Int64Type>(call, i64::checked_abs, "abs"),
        DataType::Float32 => checked::<Float32Type>(call, |x| Some(x.abs()), "abs"),
        DataType::Float64 => checked::<Float64Type>(call, |x| Some(x.abs()), "abs"),
        DataType::Decimal128(..) => checked::<Decimal128Type>(call, |x| Some(x.abs()), "abs"),
        DataType::Duration(_) => checked::<DurationMicrosecondType>(call, i64::checked_abs, "interval"),
        other => Err(DataFusionError::Internal(format!("abs of {other}"))),
    }
}

/// `negative(x)`.
pub(in crate::functions) fn negative(call: &Call<'_>) -> Result<ArrayRef> {
    match call.returns {
        DataType::Int8 => checked::<Int8Type>(call, i8::checked_neg, "negative"),
        DataType::Int16 => checked::<Int16Type>(call, i16::checked_neg, "negative"),
        DataType::Int32 => checked::<Int32Type>(call, i32::checked_neg, "negative"),
        DataType::Int64 => checked::<Int64Type>(call, i64::checked_neg, "negative"),
        DataType::Float32 => checked::<Float32Type>(call, |x| Some(-x), "negative"),
        DataType::Float64 => checked::<Float64Type>(call, |x| Some(-x), "negative"),
        DataType::Decimal128(..) => checked::<Decimal128Type>(call, |x| Some(-x), "negative"),
        DataType::Duration(_) => checked::<DurationMicrosecondType>(call, i64::checked_neg, "interval"),
        other => Err(DataFusionError::Internal(format!("negative of {other}"))),
    }
}

fn checked<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    f: fn(T::Native) -> Option<T::Native>,
    what: &str,
) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let array = array.as_primitive::<T>();
    let result: PrimitiveArray<T> =
        try_unary(array, |x| f(x).ok_or_else(|| ArrowError::ExternalError(Box::new(overflow(what)))))
            .map_err(unwrap_external)?;
    Ok(Arc::new(result.with_data_type(call.returns.clone())))
}

/// The error that a kernel's closure gave, out of Arrow's wrapping.
fn unwrap_external(error: ArrowError) -> DataFusionError {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => *inner,
            Err(inner) => DataFusionError::External(inner),
        },
        other => other.into(),
    }
}

/// `positive(x)`.
pub(in crate::functions) fn positive(call: &Call<'_>) -> Result<ArrayRef> {
    call.array(0)
}

/// `nanvl(x, y)`: y where x is not a number.
pub(in crate::functions) fn nanvl(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.returns == DataType::Float32 {
        let (x, y) = (call.column::<arrow::array::Float32Array>(0)?, call.column::<arrow::array::Float32Array>(1)?);
        return numbers::<Float32Type>(call.rows, |row| {
            Ok(x.get(row).and_then(|x| if x.is_nan() { y.get(row) } else { Some(x) }))
        });
    }
    let (x, y) = (call.column::<Float64Array>(0)?, call.column::<Float64Array>(1)?);
    numbers::<Float64Type>(call.rows, |row| Ok(x.get(row).and_then(|x| if x.is_nan() { y.get(row) } else { Some(x) })))
}
