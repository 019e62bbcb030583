//! mod and pmod.

use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{DataFusionError, Result};

use crate::functions::error::fails;
use crate::functions::function::{Call, Shape};
use crate::functions::rows::values;
use crate::functions::types;

/// Two numbers of one type; decimals of one scale.
pub(in crate::functions) fn operands(given: &[DataType]) -> Result<Vec<DataType>> {
    types::all_alike(given)
}

/// The wider type; a decimal rest is no longer than its divisor.
pub(in crate::functions) fn result(shape: &Shape<'_>) -> Result<DataType> {
    let given = |at: usize| types::decimal_of(&types::plain(shape.given[at].data_type()), shape.constants[at]);
    match (&shape.types[0], given(0), given(1)) {
        (DataType::Decimal128(..), Some((p1, s1)), Some((p2, s2))) => {
            let scale = s1.max(s2);
            let digits = (i32::from(p1) - i32::from(s1)).min(i32::from(p2) - i32::from(s2)) + i32::from(scale);
            Ok(DataType::Decimal128(digits.clamp(1, 38) as u8, scale))
        }
        (t, ..) => Ok(t.clone()),
    }
}

/// `mod(a, b)`: the sign is a's.
pub(in crate::functions) fn modulo(call: &Call<'_>) -> Result<ArrayRef> {
    rest(call, Sign::OfDividend)
}

/// `pmod(a, b)`: never negative for a positive b.
pub(in crate::functions) fn pmod(call: &Call<'_>) -> Result<ArrayRef> {
    rest(call, Sign::Positive)
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    OfDividend,
    Positive,
}

fn rest(call: &Call<'_>, sign: Sign) -> Result<ArrayRef> {
    match call.raw(0).data_type() {
        DataType::Int8 => {
            typed::<Int8Type>(call, sign, i8::wrapping_rem, |r, b| ((i32::from(r) + i32::from(b)) % i32::from(b)) as i8)
        }
        DataType::Int16 => typed::<Int16Type>(call, sign, i16::wrapping_rem, |r, b| {
            ((i32::from(r) + i32::from(b)) % i32::from(b)) as i16
        }),
        DataType::Int32 => typed::<Int32Type>(call, sign, i32::wrapping_rem, |r, b| r.wrapping_add(b).wrapping_rem(b)),
        DataType::Int64 => typed::<Int64Type>(call, sign, i64::wrapping_rem, |r, b| r.wrapping_add(b).wrapping_rem(b)),
        DataType::Float32 => typed::<Float32Type>(call, sign, |a, b| a % b, |r, b| (r + b) % b),
        DataType::Float64 => typed::<Float64Type>(call, sign, |a, b| a % b, |r, b| (r + b) % b),
        DataType::Decimal128(..) => typed::<Decimal128Type>(call, sign, i128::wrapping_rem, |r, b| (r + b) % b),
        other => Err(DataFusionError::Internal(format!("{} of {other}", call.name))),
    }
}

fn typed<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    sign: Sign,
    rem: fn(T::Native, T::Native) -> T::Native,
    wrap: fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef>
where
    T::Native: PartialOrd + Default,
{
    let (a, b) = (call.column::<PrimitiveArray<T>>(0)?, call.column::<PrimitiveArray<T>>(1)?);
    let zero = T::Native::default();
    let result = values::<T>(call.rows, |row| {
        let (Some(a), Some(b)) = (a.get(row), b.get(row)) else { return Ok(None) };
        if b == zero {
            return Err(fails(
                "REMAINDER_BY_ZERO",
                "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead.",
            ));
        }
        let rest = rem(a, b);
        Ok(Some(if sign == Sign::Positive && rest < zero { wrap(rest, b) } else { rest }))
    })?;
    Ok(Arc::new(result.with_data_type(call.returns.clone())))
}
