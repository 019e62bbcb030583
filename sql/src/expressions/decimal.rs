//! Decimals: exact results, rounded half up to the type's scale, refused where they do not fit.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array, PrimitiveArray};
use arrow::compute::kernels::arity::try_binary;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Int64Type, i256};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};

use super::error::{decimal_out_of_range, divide_by_zero, remainder_by_zero};
use super::semantics::Op;

/// 10 to the power of `exponent`, which is at most 76.
fn power_of_ten(exponent: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent)
}

/// `left op right`, as `returns` (DECIMAL, or BIGINT for `DIV`).
pub(super) fn arithmetic(left: &ArrayRef, op: Op, right: &ArrayRef, returns: &DataType) -> Result<ArrayRef> {
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let scales = (i32::from(left.scale()), i32::from(right.scale()));
    match returns {
        DataType::Int64 => {
            let divided: Int64Array = rows::<Int64Type>(left, right, |a, b| {
                let (a, b) = same_scale(a, b, scales);
                let quotient = a.checked_div(b).ok_or_else(divide_by_zero)?;
                // As in Java, the low 64 bits of what is too large.
                #[expect(clippy::cast_possible_truncation, reason = "this is what Spark does")]
                Ok(quotient.to_parts().0 as i64)
            })?;
            Ok(Arc::new(divided))
        }
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let fits = |value: i256, value_scale: i32| {
                round(value, value_scale, i32::from(scale))
                    .to_i128()
                    .filter(|value| fits_precision(*value, precision))
                    .ok_or_else(|| decimal_out_of_range("result", precision, scale))
            };
            let computed: Decimal128Array = match op {
                Op::Multiply => rows::<Decimal128Type>(left, right, |a, b| {
                    fits(i256::from_i128(a).wrapping_mul(i256::from_i128(b)), scales.0 + scales.1)
                })?,
                Op::Divide => rows::<Decimal128Type>(left, right, |a, b| {
                    if b == 0 {
                        return Err(divide_by_zero());
                    }
                    quotient(a, b, scales, i32::from(scale))
                        .to_i128()
                        .filter(|value| fits_precision(*value, precision))
                        .ok_or_else(|| decimal_out_of_range("quotient", precision, scale))
                })?,
                Op::Modulo => rows::<Decimal128Type>(left, right, |a, b| {
                    let (a, b) = same_scale(a, b, scales);
                    fits(a.checked_rem(b).ok_or_else(remainder_by_zero)?, scales.0.max(scales.1))
                })?,
                _ => rows::<Decimal128Type>(left, right, |a, b| {
                    let (a, b) = same_scale(a, b, scales);
                    fits(if op == Op::Add { a.wrapping_add(b) } else { a.wrapping_sub(b) }, scales.0.max(scales.1))
                })?,
            };
            Ok(Arc::new(computed.with_precision_and_scale(precision, scale)?))
        }
        other => Err(DataFusionError::Internal(format!("a decimal operator cannot give {other}"))),
    }
}

/// Applies `compute` to the rows where both sides have a value.
fn rows<O: ArrowPrimitiveType>(
    left: &Decimal128Array,
    right: &Decimal128Array,
    compute: impl Fn(i128, i128) -> Result<O::Native>,
) -> Result<PrimitiveArray<O>> {
    let computed =
        try_binary(left, right, |a, b| compute(a, b).map_err(|error| ArrowError::ExternalError(Box::new(error))));
    computed.map_err(|error| match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => *inner,
            Err(inner) => DataFusionError::External(inner),
        },
        other => other.into(),
    })
}

fn same_scale(a: i128, b: i128, (s1, s2): (i32, i32)) -> (i256, i256) {
    let scale = s1.max(s2);
    let scaled =
        |value: i128, from: i32| i256::from_i128(value).wrapping_mul(power_of_ten((scale - from).unsigned_abs()));
    (scaled(a, s1), scaled(b, s2))
}

/// `a / b` with `scale` digits after the point, rounded half up.
fn quotient(a: i128, b: i128, (s1, s2): (i32, i32), scale: i32) -> i256 {
    // a/10^s1 / (b/10^s2) × 10^scale
    let shift = scale + s2 - s1;
    let (mut dividend, mut divisor) = (i256::from_i128(a), i256::from_i128(b));
    if shift >= 0 {
        dividend = dividend.wrapping_mul(power_of_ten(shift.unsigned_abs()));
    } else {
        divisor = divisor.wrapping_mul(power_of_ten(shift.unsigned_abs()));
    }
    divide_half_up(dividend, divisor)
}

fn divide_half_up(dividend: i256, divisor: i256) -> i256 {
    let (quotient, rest) = (dividend.wrapping_div(divisor), dividend.wrapping_rem(divisor));
    let is_half = rest.wrapping_abs().wrapping_mul(i256::from_i128(2)) >= divisor.wrapping_abs();
    let away = if (dividend < i256::ZERO) == (divisor < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    if is_half { quotient.wrapping_add(away) } else { quotient }
}

/// A value with `from` digits after the point as one with `to`, rounded half up.
pub(super) fn round(value: i256, from: i32, to: i32) -> i256 {
    if to >= from {
        value.wrapping_mul(power_of_ten((to - from).unsigned_abs()))
    } else {
        divide_half_up(value, power_of_ten((from - to).unsigned_abs()))
    }
}

/// Whether a value has at most `precision` digits.
pub(super) fn fits_precision(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < 10_u128.pow(u32::from(precision))
}

/// A decimal with other digits; `None` where it does not fit.
pub(super) fn rescaled(value: i128, from_scale: i8, precision: u8, scale: i8) -> Option<i128> {
    let (from, to) = (i32::from(from_scale), i32::from(scale));
    let rounded = if to >= from {
        value.checked_mul(10_i128.checked_pow((to - from).unsigned_abs())?)?
    } else {
        let divisor = 10_i128.checked_pow((from - to).unsigned_abs())?;
        let (quotient, rest) = (value / divisor, value % divisor);
        if rest.unsigned_abs() >= divisor.unsigned_abs() / 2 { quotient + value.signum() } else { quotient }
    };
    fits_precision(rounded, precision).then_some(rounded)
}
