//! Between DATE, TIMESTAMP, TIMESTAMP_NTZ and numbers of seconds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use millstream_formats::java_time::Zone;

use super::super::error::{cast_overflow, invalid_input, runtime};
use super::super::types::is_timestamp;
use super::numbers::{self, converted, float_text};
use super::{Mode, cast_array};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

pub(super) fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    use DataType as T;
    match (array.data_type(), to) {
        (T::Date32, T::Timestamp(_, zone)) => {
            let zone_of = if zone.is_some() { mode.zone } else { Zone::UTC };
            let times = array
                .as_primitive::<Date32Type>()
                .unary_opt::<_, TimestampMicrosecondType>(|days| to_utc(zone_of, i64::from(days).checked_mul(DAY_US)?));
            Ok(Arc::new(times.with_data_type(to.clone())))
        }
        (T::Timestamp(_, zone), T::Date32) => {
            let zone_of = if zone.is_some() { mode.zone } else { Zone::UTC };
            let days = array
                .as_primitive::<TimestampMicrosecondType>()
                .unary_opt::<_, Date32Type>(|micros| i32::try_from(to_local(zone_of, micros)?.div_euclid(DAY_US)).ok());
            Ok(Arc::new(days))
        }
        (T::Timestamp(_, Some(_)), T::Timestamp(_, None)) => moved(array, to, |micros| to_local(mode.zone, micros)),
        (T::Timestamp(_, None), T::Timestamp(_, Some(_))) => moved(array, to, |micros| to_utc(mode.zone, micros)),
        (from, T::Timestamp(_, Some(_))) if !is_timestamp(from) => of_seconds(array, to, mode),
        (T::Timestamp(_, Some(_)), to) => to_seconds(array, to, mode),
        (from, to) => Err(DataFusionError::Internal(format!("no cast from {from} to {to}"))),
    }
}

fn moved(array: &ArrayRef, to: &DataType, change: impl Fn(i64) -> Option<i64>) -> Result<ArrayRef> {
    let times: PrimitiveArray<TimestampMicrosecondType> =
        array.as_primitive::<TimestampMicrosecondType>().unary_opt(change);
    Ok(Arc::new(times.with_data_type(to.clone())))
}

fn to_local(zone: Zone, micros: i64) -> Option<i64> {
    micros.checked_add(i64::from(zone.offset_at(micros.div_euclid(SECOND_US))) * SECOND_US)
}

/// The instant of a local time. A time that clocks skip is taken as if they had not; of a time that comes twice the first is
/// meant.
fn to_utc(zone: Zone, local: i64) -> Option<i64> {
    let offset_at = |micros: i64| i64::from(zone.offset_at(micros.div_euclid(SECOND_US))) * SECOND_US;
    // The offsets a day before and a day after: between them lies at most one change.
    let (before, after) = (offset_at(local.checked_sub(DAY_US)?), offset_at(local.checked_add(DAY_US)?));
    let first = local.checked_sub(before)?;
    if before == after || offset_at(first) == before {
        return Some(first);
    }
    let second = local.checked_sub(after)?;
    if offset_at(second) == after { Some(second) } else { Some(first) }
}

/// Numbers count seconds since 1970.
fn of_seconds(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let times: PrimitiveArray<TimestampMicrosecondType> = match &from {
        DataType::Float32 | DataType::Float64 => {
            let wide = arrow::compute::cast(array, &DataType::Float64)?;
            converted::<Float64Type, TimestampMicrosecondType>(
                wide.as_primitive(),
                mode,
                |seconds| seconds.is_finite().then_some(seconds * 1e6).and_then(numbers::whole),
                |seconds| {
                    let error = if seconds.is_finite() { cast_overflow } else { invalid_input };
                    error(float_text(seconds, &from), &from, to)
                },
            )?
        }
        DataType::Decimal128(_, scale) => {
            let scale = u32::from(scale.unsigned_abs());
            array.as_primitive::<Decimal128Type>().unary(|value| {
                let micros = match scale.checked_sub(6) {
                    Some(beyond) => value / 10_i128.pow(beyond),
                    None => value * 10_i128.pow(6 - scale),
                };
                // As in Java, the low 64 bits of what is too large.
                #[expect(clippy::cast_possible_truncation, reason = "this is what Spark does")]
                {
                    micros as i64
                }
            })
        }
        _ => {
            let wide = arrow::compute::cast(array, &DataType::Int64)?;
            wide.as_primitive::<Int64Type>().unary(|seconds| seconds.saturating_mul(SECOND_US))
        }
    };
    Ok(Arc::new(times.with_data_type(to.clone())))
}

fn to_seconds(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let times = array.as_primitive::<TimestampMicrosecondType>();
    match to {
        DataType::Float32 | DataType::Float64 => {
            #[expect(clippy::cast_precision_loss, reason = "a double holds microseconds to the year 2255 exactly")]
            let seconds: PrimitiveArray<Float64Type> = times.unary(|micros| micros as f64 / 1e6);
            cast_array(&(Arc::new(seconds) as ArrayRef), to, mode)
        }
        DataType::Decimal128(..) => {
            let seconds: PrimitiveArray<Decimal128Type> = times.unary(i128::from);
            cast_array(&(Arc::new(seconds.with_precision_and_scale(20, 6)?) as ArrayRef), to, mode)
        }
        _ => {
            let seconds: PrimitiveArray<Int64Type> = times.unary(|micros| micros.div_euclid(SECOND_US));
            cast_array(&(Arc::new(seconds) as ArrayRef), to, mode).map_err(|error| match error {
                DataFusionError::Execution(message) => runtime(message.replace("\"BIGINT\"", "\"TIMESTAMP\"")),
                other => other,
            })
        }
    }
}
