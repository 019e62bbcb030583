//! Seconds, milliseconds and microseconds since 1970, and days.

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::Result;

use super::timestamps;
use crate::functions::error::{fails, overflow};
use crate::functions::function::Call;
use crate::functions::rows::numbers;
use crate::functions::zone::MICROS_PER_SECOND;

/// What timestamp_seconds takes: any number.
pub(in crate::functions) fn seconds_arg(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null => Some(DataType::Int64),
        DataType::Int64 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => Some(t.clone()),
        _ => None,
    }
}

/// `timestamp_seconds(n)`: a fraction counts down to microseconds; NaN and the infinities are null.
pub(in crate::functions) fn timestamp_seconds(call: &Call<'_>) -> Result<ArrayRef> {
    let source = call.raw(0);
    let of_double = |x: f64| x.is_finite().then_some((x * 1e6) as i64);
    timestamps(call, |row| {
        let row = call.row(0, row);
        if source.is_null(row) {
            return Ok(None);
        }
        match source.data_type() {
            DataType::Float32 => Ok(of_double(f64::from(source.as_primitive::<Float32Type>().value(row)))),
            DataType::Float64 => Ok(of_double(source.as_primitive::<Float64Type>().value(row))),
            DataType::Decimal128(_, scale) => {
                let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
                let value = source.as_primitive::<Decimal128Type>().value(row);
                let micros = value.checked_mul(1_000_000).map(|v| v / unit);
                micros.and_then(|m| i64::try_from(m).ok()).map(Some).ok_or_else(|| overflow("long"))
            }
            _ => scaled(source.as_primitive::<Int64Type>().value(row), MICROS_PER_SECOND),
        }
    })
}

fn scaled(n: i64, unit: i64) -> Result<Option<i64>> {
    n.checked_mul(unit).map(Some).ok_or_else(|| {
        fails("DATETIME_OVERFLOW", format!("Datetime operation overflow: {n} is beyond the last timestamp."))
    })
}

/// `timestamp_millis(n)`.
pub(in crate::functions) fn timestamp_millis(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.column::<Int64Array>(0)?;
    timestamps(call, |row| n.get(row).map_or(Ok(None), |n| scaled(n, 1_000)))
}

/// `timestamp_micros(n)`.
pub(in crate::functions) fn timestamp_micros(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.column::<Int64Array>(0)?;
    timestamps(call, |row| Ok(n.get(row)))
}

/// `unix_seconds(x)`.
pub(in crate::functions) fn unix_seconds(call: &Call<'_>) -> Result<ArrayRef> {
    since_epoch(call, MICROS_PER_SECOND)
}

/// `unix_millis(x)`.
pub(in crate::functions) fn unix_millis(call: &Call<'_>) -> Result<ArrayRef> {
    since_epoch(call, 1_000)
}

/// `unix_micros(x)`.
pub(in crate::functions) fn unix_micros(call: &Call<'_>) -> Result<ArrayRef> {
    since_epoch(call, 1)
}

pub(super) fn since_epoch(call: &Call<'_>, unit: i64) -> Result<ArrayRef> {
    let at = call.column::<arrow::array::PrimitiveArray<TimestampMicrosecondType>>(0)?;
    numbers::<Int64Type>(call.rows, |row| Ok(at.get(row).map(|t| t.div_euclid(unit))))
}

/// `unix_date(x)`.
pub(in crate::functions) fn unix_date(call: &Call<'_>) -> Result<ArrayRef> {
    let days = call.column::<Date32Array>(0)?;
    numbers::<Int32Type>(call.rows, |row| Ok(days.get(row)))
}

/// `date_from_unix_date(n)`.
pub(in crate::functions) fn date_from_unix_date(call: &Call<'_>) -> Result<ArrayRef> {
    let days = call.column::<Int32Array>(0)?;
    numbers::<Date32Type>(call.rows, |row| Ok(days.get(row)))
}

/// DATE and nothing that would have to be cast.
pub(in crate::functions) fn only_date(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Date32 | DataType::Null).then_some(DataType::Date32)
}

/// TIMESTAMP, TIMESTAMP_NTZ as one.
pub(in crate::functions) fn only_instant(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Timestamp(..) | DataType::Null).then(crate::functions::types::timestamp)
}
