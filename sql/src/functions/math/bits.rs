//! Bits and bases: bit_count, bit_get, shifts, bin, conv, width_bucket.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::Result;

use crate::functions::error::fails;
use crate::functions::function::Call;
use crate::functions::rows::{numbers, texts};

/// BOOLEAN or an integer.
pub(in crate::functions) fn bits(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Boolean => Some(DataType::Boolean),
        DataType::Utf8 => None,
        t => crate::functions::types::integer(t),
    }
}

/// `bit_count(x)`: a narrow negative number counts as the BIGINT that it is.
pub(in crate::functions) fn bit_count(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.raw(0).data_type() == DataType::Boolean {
        let x = call.column::<BooleanArray>(0)?;
        return numbers::<Int32Type>(call.rows, |row| Ok(x.get(row).map(i32::from)));
    }
    numbers::<Int32Type>(call.rows, |row| Ok(wide(call, 0, row).map(|x| x.count_ones() as i32)))
}

/// An integer argument of any width.
fn wide(call: &Call<'_>, at: usize, row: usize) -> Option<i64> {
    let (array, row) = (call.raw(at), call.row(at, row));
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Int8 => i64::from(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => i64::from(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => i64::from(array.as_primitive::<Int32Type>().value(row)),
        _ => array.as_primitive::<Int64Type>().value(row),
    })
}

/// `bit_get(x, at)`.
pub(in crate::functions) fn bit_get(call: &Call<'_>) -> Result<ArrayRef> {
    let at = call.column::<Int32Array>(1)?;
    let width = call.raw(0).data_type().primitive_width().unwrap_or(8) as i32 * 8;
    numbers::<Int8Type>(call.rows, |row| {
        let (Some(x), Some(at)) = (wide(call, 0, row), at.get(row)) else { return Ok(None) };
        if at < 0 || at >= width {
            return Err(fails(
                "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE",
                format!(
                    "The value of parameter(s) `pos` in `{}` is invalid: expects an integer value in [0, {width}), but got {at}.",
                    call.name
                ),
            ));
        }
        Ok(Some(((x >> at) & 1) as i8))
    })
}

macro_rules! shifts {
    ($($(#[$doc:meta])* $name:ident => $narrow:expr, $wide:expr;)*) => {
        $($(#[$doc])* pub(in crate::functions) fn $name(call: &Call<'_>) -> Result<ArrayRef> {
            let by = call.column::<Int32Array>(1)?;
            if *call.returns == DataType::Int64 {
                let f: fn(i64, u32) -> i64 = $wide;
                let x = call.column::<Int64Array>(0)?;
                return numbers::<Int64Type>(call.rows, |row| Ok(x.get(row).zip(by.get(row)).map(|(x, n)| f(x, n as u32))));
            }
            let f: fn(i32, u32) -> i32 = $narrow;
            let x = call.column::<Int32Array>(0)?;
            numbers::<Int32Type>(call.rows, |row| Ok(x.get(row).zip(by.get(row)).map(|(x, n)| f(x, n as u32))))
        })*
    };
}

shifts! {
    /// `shiftleft(x, n)`, n modulo the width.
    shiftleft => i32::wrapping_shl, i64::wrapping_shl;
    /// `shiftright(x, n)`.
    shiftright => i32::wrapping_shr, i64::wrapping_shr;
    /// `shiftrightunsigned(x, n)`.
    shiftrightunsigned => |x, n| (x as u32).wrapping_shr(n) as i32, |x, n| (x as u64).wrapping_shr(n) as i64;
}

/// `bin(n)`: two's complement.
pub(in crate::functions) fn bin(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.column::<Int64Array>(0)?;
    texts(call.rows, |row, out| {
        use std::fmt::Write;
        Ok(n.get(row).and_then(|n| write!(out, "{n:b}").ok()))
    })
}

/// `conv(number, from, to)`: a number's digits in another base. Unsigned, unless the target base is negative.
pub(in crate::functions) fn conv(call: &Call<'_>) -> Result<ArrayRef> {
    let number = call.column::<StringArray>(0)?;
    let (from, to) = (call.column::<Int32Array>(1)?, call.column::<Int32Array>(2)?);
    texts(call.rows, |row, out| {
        let (Some(s), Some(from), Some(to)) = (number.get(row), from.get(row), to.get(row)) else { return Ok(None) };
        if !(2..=36).contains(&from) || !(2..=36).contains(&to.unsigned_abs()) || s.trim().is_empty() {
            return Ok(None);
        }
        let value = read_in_base(s.trim(), from as u32)?;
        write_in_base(value, to, out);
        Ok(Some(()))
    })
}

/// The digits up to the first that is none of the base.
fn read_in_base(text: &str, base: u32) -> Result<i128> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |d| (true, d));
    let mut value: u128 = 0;
    for digit in digits.chars().map_while(|c| c.to_digit(base)) {
        value = value * u128::from(base) + u128::from(digit);
        if value > u128::from(u64::MAX) {
            return Err(fails(
                "ARITHMETIC_OVERFLOW",
                "Overflow in function conv(). If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
            ));
        }
    }
    Ok(if is_negative { -(value as i128) } else { value as i128 })
}

fn write_in_base(value: i128, base: i32, out: &mut String) {
    let radix = u128::from(base.unsigned_abs());
    let mut rest = if base > 0 {
        value.rem_euclid(1 << 64) as u128
    } else {
        let signed = value as i64;
        if signed < 0 {
            out.push('-');
        }
        u128::from(signed.unsigned_abs())
    };
    let mut digits = [0u8; 64];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(rest % radix) as usize];
        rest /= radix;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|b| char::from(*b)));
}

/// `width_bucket(x, low, high, n)`: which of n equal parts of a range x is in; 0 below it, n + 1 above it.
pub(in crate::functions) fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let (x, low, high) =
        (call.column::<Float64Array>(0)?, call.column::<Float64Array>(1)?, call.column::<Float64Array>(2)?);
    let count = call.column::<Int64Array>(3)?;
    numbers::<Int64Type>(call.rows, |row| {
        let bounds = low.get(row).zip(high.get(row));
        let (Some(x), Some((low, high)), Some(n)) = (x.get(row), bounds, count.get(row)) else { return Ok(None) };
        let is_wrong = n <= 0 || n == i64::MAX || x.is_nan() || low == high || !low.is_finite() || !high.is_finite();
        if is_wrong {
            return Ok(None);
        }
        let (least, most) = (low.min(high), low.max(high));
        Ok(Some(match low < high {
            true if x < least => 0,
            true if x >= most => n + 1,
            true => (n as f64 * (x - least) / (most - least)) as i64 + 1,
            false if x > most => 0,
            false if x <= least => n + 1,
            false => (n as f64 * (most - x) / (most - least)) as i64 + 1,
        }))
    })
}
