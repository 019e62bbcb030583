//! date_trunc and trunc.

use arrow::array::{ArrayRef, Date32Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Date32Type;
use datafusion::common::Result;

use super::fields::monday_based;
use super::{Local, timestamps};
use crate::functions::function::Call;
use crate::functions::rows::numbers;
use crate::functions::zone::{MICROS_PER_DAY, MICROS_PER_SECOND, civil, days_of};

/// What a time is cut to.
#[derive(Clone, Copy)]
enum Unit {
    Micros(i64),
    Days(fn(i32) -> i32),
}

fn of_name(name: &str) -> Option<Unit> {
    Some(match name.to_ascii_uppercase().as_str() {
        "MICROSECOND" => Unit::Micros(1),
        "MILLISECOND" => Unit::Micros(1_000),
        "SECOND" => Unit::Micros(MICROS_PER_SECOND),
        "MINUTE" => Unit::Micros(60 * MICROS_PER_SECOND),
        "HOUR" => Unit::Micros(3_600 * MICROS_PER_SECOND),
        "DAY" | "DD" => Unit::Days(|d| d),
        other => return days(other).map(Unit::Days),
    })
}

fn days(name: &str) -> Option<fn(i32) -> i32> {
    Some(match name {
        "WEEK" => |d| d.wrapping_sub(monday_based(d)),
        "MONTH" | "MM" | "MON" => |d| d - civil(d).2 as i32 + 1,
        "QUARTER" => |d| {
            let (year, month, _) = civil(d);
            days_of(i64::from(year), (month - 1) / 3 * 3 + 1, 1) as i32
        },
        "YEAR" | "YYYY" | "YY" => |d| days_of(i64::from(civil(d).0), 1, 1) as i32,
        _ => return None,
    })
}

/// `date_trunc(unit, x)`: null for what is no unit.
pub(in crate::functions) fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let units = call.column::<StringArray>(0)?;
    let (instants, local) = (call.column::<TimestampMicrosecondArray>(1)?, Local::new(call, 1)?);
    let fixed = units.constant().map(of_name);
    timestamps(call, |row| {
        let unit = match fixed {
            Some(unit) => unit,
            None => units.get(row).and_then(of_name),
        };
        let (Some(unit), Some(instant), Some(t)) = (unit, instants.get(row), local.get(row)) else { return Ok(None) };
        Ok(Some(match unit {
            // An hour that comes twice is cut to its own start.
            Unit::Micros(size) => instant.wrapping_sub(t.rem_euclid(size)),
            Unit::Days(f) => local.back(i64::from(f(t.div_euclid(MICROS_PER_DAY) as i32)).wrapping_mul(MICROS_PER_DAY)),
        }))
    })
}

/// `trunc(x, unit)` of a date: weeks, months, quarters or years.
pub(in crate::functions) fn trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let (dates, units) = (call.column::<Date32Array>(0)?, call.column::<StringArray>(1)?);
    let of_name = |name: &str| days(&name.to_ascii_uppercase());
    let fixed = units.constant().map(of_name);
    numbers::<Date32Type>(call.rows, |row| {
        let unit = match fixed {
            Some(unit) => unit,
            None => units.get(row).and_then(of_name),
        };
        Ok(unit.zip(dates.get(row)).map(|(f, d)| f(d)))
    })
}
