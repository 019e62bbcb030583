//! date_add, datediff, add_months, months_between, timestampadd, timestampdiff.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type};
use datafusion::common::Result;

use super::{Local, constant_text, timestamps};
use crate::functions::error::{fails, overflow, refused};
use crate::functions::function::{Call, Shape};
use crate::functions::rows::numbers;
use crate::functions::types;
use crate::functions::zone::{MICROS_PER_DAY, MICROS_PER_SECOND, civil, days_in_month, days_of};

/// `date_add(x, days)`.
pub(in crate::functions) fn date_add(call: &Call<'_>) -> Result<ArrayRef> {
    let (days, by) = (call.column::<Date32Array>(0)?, call.column::<Int32Array>(1)?);
    numbers::<Date32Type>(call.rows, |row| Ok(days.get(row).zip(by.get(row)).map(|(d, by)| d.wrapping_add(by))))
}

/// `date_sub(x, days)`.
pub(in crate::functions) fn date_sub(call: &Call<'_>) -> Result<ArrayRef> {
    let (days, by) = (call.column::<Date32Array>(0)?, call.column::<Int32Array>(1)?);
    numbers::<Date32Type>(call.rows, |row| Ok(days.get(row).zip(by.get(row)).map(|(d, by)| d.wrapping_sub(by))))
}

/// What `dateadd` takes: a date and days, or a unit, a number and a date or timestamp.
pub(in crate::functions) fn dateadd_args(given: &[DataType]) -> Result<Vec<DataType>> {
    let wrong = || {
        refused(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            "dateadd takes a date and days, or a unit, a number and a timestamp",
        )
    };
    let known = match given {
        [date, days] => types::date(date).zip(days_by(days)).map(|(a, b)| vec![a, b]),
        [unit, number, at] => Some(vec![
            types::text(unit).ok_or_else(wrong)?,
            types::long(number).ok_or_else(wrong)?,
            types::instant_or_ntz(at).ok_or_else(wrong)?,
        ]),
        _ => None,
    };
    known.ok_or_else(wrong)
}

/// Days are integers; a string is read as one, a fraction or a BIGINT is refused.
pub(in crate::functions) fn days_by(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Utf8 | DataType::Null)
        .then_some(DataType::Int32)
}

/// DATE, or the timestamp's type.
pub(in crate::functions) fn dateadd_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(if shape.types.len() == 2 { DataType::Date32 } else { shape.types[2].clone() })
}

/// `dateadd(x, days)` or `dateadd(unit, n, x)`.
pub(in crate::functions) fn dateadd(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() == 2 { date_add(call) } else { timestampadd(call) }
}

/// How far apart the units of time are: microseconds, or months.
#[derive(Clone, Copy)]
enum Unit {
    Micros(i64),
    Days(i64),
    Months(i64),
}

fn unit(call: &Call<'_>) -> Result<Unit> {
    let name = constant_text(call, 0).unwrap_or_default().to_ascii_uppercase();
    Ok(match name.as_str() {
        "MICROSECOND" => Unit::Micros(1),
        "MILLISECOND" => Unit::Micros(1_000),
        "SECOND" => Unit::Micros(MICROS_PER_SECOND),
        "MINUTE" => Unit::Micros(60 * MICROS_PER_SECOND),
        "HOUR" => Unit::Micros(3_600 * MICROS_PER_SECOND),
        "DAY" => Unit::Days(1),
        "DAYOFYEAR" if call.name.ends_with("add") => Unit::Days(1),
        "WEEK" => Unit::Days(7),
        "MONTH" => Unit::Months(1),
        "QUARTER" => Unit::Months(3),
        "YEAR" => Unit::Months(12),
        _ => {
            return Err(fails(
                "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
                format!("The value of parameter(s) `unit` in `{}` is invalid: '{name}' is no unit of time.", call.name),
            ));
        }
    })
}

/// `timestampadd(unit, n, x)`: days and months move the calendar, smaller units the instant.
pub(in crate::functions) fn timestampadd(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = unit(call)?;
    let number = call.column::<Int64Array>(1)?;
    let at = call.column::<TimestampMicrosecondArray>(2)?;
    let local = Local::new(call, 2)?;
    timestamps(call, |row| {
        let (Some(n), Some(instant), Some(here)) = (number.get(row), at.get(row), local.get(row)) else {
            return Ok(None);
        };
        let moved = match unit {
            Unit::Micros(size) => n.checked_mul(size).and_then(|by| instant.checked_add(by)),
            Unit::Days(size) => {
                n.checked_mul(size * MICROS_PER_DAY).and_then(|by| here.checked_add(by)).map(|t| local.back(t))
            }
            Unit::Months(size) => n.checked_mul(size).map(|months| local.back(months_later(here, months))),
        };
        moved.map(Some).ok_or_else(|| {
            fails(
                "DATETIME_OVERFLOW",
                format!(
                    "Datetime operation overflow: add {n} {unit} to the timestamp.",
                    unit = constant_text(call, 0).unwrap_or("")
                ),
            )
        })
    })
}

/// A calendar's time some months later; the day is cut to the month's length.
pub(in crate::functions) fn months_later(local: i64, months: i64) -> i64 {
    let (day, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    days_months_later(day as i32, months).saturating_mul(MICROS_PER_DAY).saturating_add(time)
}

fn days_months_later(days: i32, months: i64) -> i64 {
    let (year, month, day) = civil(days);
    // A million years either way are beyond every date.
    let total = i64::from(year) * 12 + i64::from(month) - 1 + months.clamp(-1 << 40, 1 << 40);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    days_of(year, month, day.min(days_in_month(year as i32, month)))
}

/// `add_months(x, n)`.
pub(in crate::functions) fn add_months(call: &Call<'_>) -> Result<ArrayRef> {
    let (days, by) = (call.column::<Date32Array>(0)?, call.column::<Int32Array>(1)?);
    numbers::<Date32Type>(call.rows, |row| {
        let (Some(d), Some(by)) = (days.get(row), by.get(row)) else { return Ok(None) };
        i32::try_from(days_months_later(d, i64::from(by))).map(Some).map_err(|_| overflow("add_months"))
    })
}

/// What `datediff` takes: two dates, or a unit and two timestamps.
pub(in crate::functions) fn datediff_args(given: &[DataType]) -> Result<Vec<DataType>> {
    let wrong =
        || refused("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", "datediff takes two dates, or a unit and two timestamps");
    let known = match given {
        [end, start] => types::date(end).zip(types::date(start)).map(|(a, b)| vec![a, b]),
        [unit, start, end] => {
            let ends = types::instant_or_ntz(start).zip(types::instant_or_ntz(end)).ok_or_else(wrong)?;
            let both = if ends.0 == ends.1 { ends.0 } else { types::timestamp() };
            Some(vec![types::text(unit).ok_or_else(wrong)?, both.clone(), both])
        }
        _ => None,
    };
    known.ok_or_else(wrong)
}

/// INT days, or BIGINT units.
pub(in crate::functions) fn datediff_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(if shape.types.len() == 2 { DataType::Int32 } else { DataType::Int64 })
}

/// `datediff(end, start)` or `datediff(unit, start, end)`.
pub(in crate::functions) fn datediff(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() == 3 {
        return timestampdiff(call);
    }
    let (end, start) = (call.column::<Date32Array>(0)?, call.column::<Date32Array>(1)?);
    numbers::<Int32Type>(call.rows, |row| Ok(end.get(row).zip(start.get(row)).map(|(e, s)| e.wrapping_sub(s))))
}

/// `timestampdiff(unit, start, end)`: whole units, towards zero.
pub(in crate::functions) fn timestampdiff(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = unit(call)?;
    let (start, end) = (Local::new(call, 1)?, Local::new(call, 2)?);
    numbers::<Int64Type>(call.rows, |row| {
        Ok(start.get(row).zip(end.get(row)).map(|(s, e)| match unit {
            Unit::Micros(size) => end.back(e).wrapping_sub(start.back(s)) / size,
            Unit::Days(size) => e.wrapping_sub(s) / (size * MICROS_PER_DAY),
            Unit::Months(size) => whole_months(s, e) / size,
        }))
    })
}

fn whole_months(start: i64, end: i64) -> i64 {
    let months = |local: i64| {
        let (year, month, day) = civil(local.div_euclid(MICROS_PER_DAY) as i32);
        (i64::from(year) * 12 + i64::from(month), i64::from(day) * MICROS_PER_DAY + local.rem_euclid(MICROS_PER_DAY))
    };
    let ((m1, r1), (m2, r2)) = (months(start), months(end));
    let difference = m2 - m1;
    match difference.signum() {
        1 if r2 < r1 => difference - 1,
        -1 if r2 > r1 => difference + 1,
        _ => difference,
    }
}

/// `months_between(end, start [, round])`: a month has 31 days where a fraction is needed.
pub(in crate::functions) fn months_between(call: &Call<'_>) -> Result<ArrayRef> {
    let (end, start) = (Local::new(call, 0)?, Local::new(call, 1)?);
    let (ends, starts) = (call.column::<TimestampMicrosecondArray>(0)?, call.column::<TimestampMicrosecondArray>(1)?);
    let round = if call.has(2) { Some(call.column::<BooleanArray>(2)?) } else { None };
    numbers::<Float64Type>(call.rows, |row| {
        let round = round.as_ref().map_or(Some(true), |r| r.get(row));
        let (Some(e), Some(s), Some(round)) = (end.get(row), start.get(row), round) else { return Ok(None) };
        let parts = |local: i64| (civil(local.div_euclid(MICROS_PER_DAY) as i32), local.rem_euclid(MICROS_PER_DAY));
        let (((y1, m1, d1), t1), ((y2, m2, d2), t2)) = (parts(e), parts(s));
        let months = (f64::from(y1) - f64::from(y2)) * 12.0 + f64::from(m1) - f64::from(m2);
        let are_last = d1 == days_in_month(y1, m1) && d2 == days_in_month(y2, m2);
        if d1 == d2 || are_last {
            return Ok(Some(months));
        }
        // Of the time that has passed since midnight, not of what the clock shows.
        let passed = |local: &Local<'_>, instant: Option<i64>, midnight: i64| {
            instant.map_or(0, |at| at.wrapping_sub(local.back(midnight)) / MICROS_PER_SECOND)
        };
        let seconds = (i64::from(d1) - i64::from(d2)) * 86_400 + passed(&end, ends.get(row), e.wrapping_sub(t1))
            - passed(&start, starts.get(row), s.wrapping_sub(t2));
        let difference = months + seconds as f64 / (31.0 * 86_400.0);
        Ok(Some(if round { (difference * 1e8).round() / 1e8 } else { difference }))
    })
}

/// `from_utc_timestamp(x, zone)`: what the clock there shows when UTC shows x.
pub(in crate::functions) fn from_utc_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    shifted(call, |zone, t| zone.local_of(t))
}

/// `to_utc_timestamp(x, zone)`: what UTC shows when the clock there shows x.
pub(in crate::functions) fn to_utc_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    shifted(call, |zone, t| zone.instant_of(t))
}

fn shifted(call: &Call<'_>, shift: fn(crate::functions::zone::Zone, i64) -> i64) -> Result<ArrayRef> {
    let (at, zones) = (call.column::<TimestampMicrosecondArray>(0)?, call.column::<StringArray>(1)?);
    let mut last = None;
    timestamps(call, |row| {
        let (Some(t), Some(name)) = (at.get(row), zones.get(row)) else { return Ok(None) };
        let zone = match &last {
            Some((known, zone)) if *known == name => *zone,
            _ => {
                let zone = crate::functions::zone::Zone::parse(name)?;
                last = Some((name, zone));
                zone
            }
        };
        Ok(Some(shift(zone, t)))
    })
}

/// One or two zones and a TIMESTAMP_NTZ.
pub(in crate::functions) fn zones_and_time(given: &[DataType]) -> Result<Vec<DataType>> {
    let mut targets = vec![DataType::Utf8; given.len()];
    if let Some(last) = targets.last_mut() {
        *last = types::timestamp_ntz();
    }
    Ok(targets)
}

/// `convert_timezone([from,] to, x)` of a TIMESTAMP_NTZ.
pub(in crate::functions) fn convert_timezone(call: &Call<'_>) -> Result<ArrayRef> {
    use crate::functions::zone::Zone;
    let last = call.len() - 1;
    let at = call.column::<TimestampMicrosecondArray>(last)?;
    let into = call.column::<StringArray>(last - 1)?;
    let from = if last == 2 { Some(call.column::<StringArray>(0)?) } else { None };
    let session = call.zone()?;
    timestamps(call, |row| {
        let from = match &from {
            Some(from) => from.get(row).map(Zone::parse).transpose()?,
            None => Some(session),
        };
        let (Some(t), Some(from), Some(into)) = (at.get(row), from, into.get(row)) else { return Ok(None) };
        Ok(Some(Zone::parse(into)?.local_of(from.instant_of(t))))
    })
}
