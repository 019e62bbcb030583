//! make_date and make_timestamp.

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, StringArray};
use arrow::datatypes::{DataType, Date32Type, DurationMicrosecondType, IntervalUnit, IntervalYearMonthType};
use datafusion::common::{DataFusionError, Result};

use super::{timestamps, zone_of};
use crate::functions::error::fails;
use crate::functions::function::{Call, Shape};
use crate::functions::rows::numbers;
use crate::functions::zone::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone, days_in_month, days_of};

fn outside(what: &str) -> DataFusionError {
    fails(
        "DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION",
        format!("{what}. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."),
    )
}

fn day(year: i32, month: i32, day: i32) -> Result<i64> {
    if !(1..=12).contains(&month) {
        return Err(outside(&format!("Invalid value for MonthOfYear (valid values 1 - 12): {month}")));
    }
    if !(1..=31).contains(&day) {
        return Err(outside(&format!("Invalid value for DayOfMonth (valid values 1 - 28/31): {day}")));
    }
    if day as u32 > days_in_month(year, month as u32) {
        return Err(outside(&format!("Invalid date: {year}-{month}-{day}")));
    }
    let days = days_of(i64::from(year), month as u32, day as u32);
    if i32::try_from(days).is_err() {
        return Err(outside(&format!("Invalid value for Year (valid values -999999999 - 999999999): {year}")));
    }
    Ok(days)
}

/// `make_date(year, month, day)`.
pub(in crate::functions) fn make_date(call: &Call<'_>) -> Result<ArrayRef> {
    let parts = [0, 1, 2].map(|at| call.column::<Int32Array>(at));
    let [years, months, days] = parts;
    let (years, months, days) = (years?, months?, days?);
    numbers::<Date32Type>(call.rows, |row| {
        let (Some(y), Some(m), Some(d)) = (years.get(row), months.get(row), days.get(row)) else { return Ok(None) };
        Ok(Some(day(y, m, d)? as i32))
    })
}

/// Seconds with a fraction: DECIMAL(16,6).
pub(in crate::functions) fn seconds(t: &DataType) -> Option<DataType> {
    crate::functions::types::double(t).map(|_| DataType::Decimal128(16, 6))
}

/// `make_timestamp(year, month, day, hour, minute, second [, zone])`.
pub(in crate::functions) fn make_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    made(call, Err)
}

/// `try_make_timestamp(…)`: null for what is no time.
pub(in crate::functions) fn try_make_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    made(call, |_| Ok(None))
}

fn made(call: &Call<'_>, on_error: fn(DataFusionError) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let parts = (0..5).map(|at| call.column::<Int32Array>(at)).collect::<Result<Vec<_>>>()?;
    let seconds = call.column::<Decimal128Array>(5)?;
    let zones = if call.has(6) { Some(call.column::<StringArray>(6)?) } else { None };
    let own = zone_of(call, call.returns)?;
    timestamps(call, |row| {
        let parts: Option<Vec<i32>> = parts.iter().map(|p| p.get(row)).collect();
        let (Some(parts), Some(seconds)) = (parts, seconds.get(row)) else { return Ok(None) };
        let zone = match &zones {
            None => own,
            Some(zones) => match zones.get(row) {
                Some(name) => Zone::parse(name)?,
                None => return Ok(None),
            },
        };
        match time(&parts, seconds as i64) {
            Ok(local) => Ok(Some(zone.instant_of(local))),
            Err(error) => on_error(error),
        }
    })
}

/// 60 seconds sharp are the next minute's start.
fn time(parts: &[i32], micros: i64) -> Result<i64> {
    let (hour, minute) = (parts[3], parts[4]);
    if !(0..24).contains(&hour) {
        return Err(outside(&format!("Invalid value for HourOfDay (valid values 0 - 23): {hour}")));
    }
    if !(0..60).contains(&minute) {
        return Err(outside(&format!("Invalid value for MinuteOfHour (valid values 0 - 59): {minute}")));
    }
    if micros > 60 * MICROS_PER_SECOND && micros / MICROS_PER_SECOND == 60 {
        return Err(fails(
            "INVALID_FRACTION_OF_SECOND",
            "Valid range for seconds is [0, 60] (inclusive). The fraction of sec must be zero.",
        ));
    }
    if !(0..=60 * MICROS_PER_SECOND).contains(&micros) {
        return Err(outside(&format!(
            "Invalid value for SecondOfMinute (valid values 0 - 59): {}",
            micros / MICROS_PER_SECOND
        )));
    }
    let days = day(parts[0], parts[1], parts[2])?;
    Ok(days * MICROS_PER_DAY
        + i64::from(hour) * 3_600 * MICROS_PER_SECOND
        + i64::from(minute) * 60 * MICROS_PER_SECOND
        + micros)
}

/// Seconds of an interval: DECIMAL(18,6).
pub(in crate::functions) fn seconds18(t: &DataType) -> Option<DataType> {
    crate::functions::types::double(t).map(|_| DataType::Decimal128(18, 6))
}

/// INTERVAL DAY TO SECOND.
pub(in crate::functions) fn dt_interval_type(_: &Shape<'_>) -> Result<DataType> {
    Ok(millstream_formats::types::day_time_interval())
}

/// INTERVAL YEAR TO MONTH.
pub(in crate::functions) fn ym_interval_type(_: &Shape<'_>) -> Result<DataType> {
    Ok(DataType::Interval(IntervalUnit::YearMonth))
}

/// `make_dt_interval([days [, hours [, minutes [, seconds]]]])`.
pub(in crate::functions) fn make_dt_interval(call: &Call<'_>) -> Result<ArrayRef> {
    const UNITS: [i128; 3] = [86_400_000_000, 3_600_000_000, 60_000_000];
    let whole = (0..call.len().min(3)).map(|at| call.column::<Int32Array>(at)).collect::<Result<Vec<_>>>()?;
    let seconds = if call.has(3) { Some(call.column::<Decimal128Array>(3)?) } else { None };
    numbers::<DurationMicrosecondType>(call.rows, |row| {
        let mut micros: i128 = 0;
        for (column, unit) in whole.iter().zip(UNITS) {
            let Some(n) = column.get(row) else { return Ok(None) };
            micros += i128::from(n) * unit;
        }
        match seconds.as_ref().map(|s| s.get(row)) {
            Some(Some(s)) => micros += s,
            Some(None) => return Ok(None),
            None => {}
        }
        i64::try_from(micros).map(Some).map_err(|_| {
            fails("INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION", "Integer overflow while operating with intervals.")
        })
    })
}

/// `make_ym_interval([years [, months]])`.
pub(in crate::functions) fn make_ym_interval(call: &Call<'_>) -> Result<ArrayRef> {
    let parts = (0..call.len()).map(|at| call.column::<Int32Array>(at)).collect::<Result<Vec<_>>>()?;
    numbers::<IntervalYearMonthType>(call.rows, |row| {
        let mut total: i64 = 0;
        for (column, unit) in parts.iter().zip([12, 1]) {
            let Some(n) = column.get(row) else { return Ok(None) };
            total += i64::from(n) * unit;
        }
        i32::try_from(total).map(Some).map_err(|_| {
            fails("INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION", "Integer overflow while operating with intervals.")
        })
    })
}
