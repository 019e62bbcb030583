//! year, month, hour and kin; extract and date_part; names of days and months.

use arrow::array::{ArrayRef, Date32Array};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int32Type, IntervalUnit};
use datafusion::common::{Result, ScalarValue};

use super::Local;
use crate::functions::error::{fails, refused};
use crate::functions::function::{Call, Shape};
use crate::functions::rows::{numbers, texts, values};
use crate::functions::zone::{MICROS_PER_DAY, MICROS_PER_SECOND, civil, days_in_month, days_of};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

macro_rules! of_date {
    ($($(#[$doc:meta])* $name:ident => $f:expr),* $(,)?) => {
        $($(#[$doc])* pub(in crate::functions) fn $name(call: &Call<'_>) -> Result<ArrayRef> {
            let f: fn(i32) -> i32 = $f;
            let days = call.column::<Date32Array>(0)?;
            numbers::<Int32Type>(call.rows, |row| Ok(days.get(row).map(f)))
        })*
    };
}

of_date! {
    /// `year(x)`.
    year => |d| civil(d).0,
    /// `quarter(x)`.
    quarter => |d| (civil(d).1 as i32 + 2) / 3,
    /// `month(x)`.
    month => |d| civil(d).1 as i32,
    /// `day(x)`.
    day => |d| civil(d).2 as i32,
    /// `dayofyear(x)`.
    dayofyear => day_of_year,
    /// `dayofweek(x)`: 1 is Sunday.
    dayofweek => |d| d.wrapping_add(4).rem_euclid(7) + 1,
    /// `weekday(x)`: 0 is Monday.
    weekday => monday_based,
    /// `weekofyear(x)`, by ISO 8601.
    weekofyear => |d| iso_week(d).1,
}

/// 0 for Monday.
pub(in crate::functions) fn monday_based(days: i32) -> i32 {
    days.wrapping_add(3).rem_euclid(7)
}

fn day_of_year(days: i32) -> i32 {
    (i64::from(days) - days_of(i64::from(civil(days).0), 1, 1)) as i32 + 1
}

/// The ISO year and week: a week belongs to the year of its Thursday.
fn iso_week(days: i32) -> (i32, i32) {
    let thursday = days.wrapping_sub(monday_based(days)).wrapping_add(3);
    (civil(thursday).0, (day_of_year(thursday) - 1) / 7 + 1)
}

/// `monthname(x)`.
pub(in crate::functions) fn monthname(call: &Call<'_>) -> Result<ArrayRef> {
    let days = call.column::<Date32Array>(0)?;
    texts(call.rows, |row, out| Ok(days.get(row).map(|d| out.push_str(MONTHS[civil(d).1 as usize - 1]))))
}

/// `dayname(x)`.
pub(in crate::functions) fn dayname(call: &Call<'_>) -> Result<ArrayRef> {
    let days = call.column::<Date32Array>(0)?;
    texts(call.rows, |row, out| Ok(days.get(row).map(|d| out.push_str(DAYS[monday_based(d) as usize]))))
}

/// `last_day(x)` of its month.
pub(in crate::functions) fn last_day(call: &Call<'_>) -> Result<ArrayRef> {
    let days = call.column::<Date32Array>(0)?;
    numbers::<Date32Type>(call.rows, |row| {
        Ok(days.get(row).map(|d| {
            let (year, month, day) = civil(d);
            d.wrapping_add((days_in_month(year, month) - day) as i32)
        }))
    })
}

/// `next_day(x, name)`: the first such day of the week after x.
pub(in crate::functions) fn next_day(call: &Call<'_>) -> Result<ArrayRef> {
    let days = call.column::<Date32Array>(0)?;
    let names = call.column::<arrow::array::StringArray>(1)?;
    numbers::<Date32Type>(call.rows, |row| {
        let (Some(day), Some(name)) = (days.get(row), names.get(row)) else { return Ok(None) };
        let wanted = match name.trim().to_ascii_uppercase().as_str() {
            "MO" | "MON" | "MONDAY" => 0,
            "TU" | "TUE" | "TUESDAY" => 1,
            "WE" | "WED" | "WEDNESDAY" => 2,
            "TH" | "THU" | "THURSDAY" => 3,
            "FR" | "FRI" | "FRIDAY" => 4,
            "SA" | "SAT" | "SATURDAY" => 5,
            "SU" | "SUN" | "SUNDAY" => 6,
            _ => return Err(fails("ILLEGAL_DAY_OF_WEEK", format!("Illegal input for day of week: {name}."))),
        };
        let tomorrow = day.wrapping_add(1);
        Ok(Some(tomorrow.wrapping_add((wanted - monday_based(tomorrow)).rem_euclid(7))))
    })
}

macro_rules! of_time {
    ($($(#[$doc:meta])* $name:ident => $f:expr),* $(,)?) => {
        $($(#[$doc])* pub(in crate::functions) fn $name(call: &Call<'_>) -> Result<ArrayRef> {
            let f: fn(i64) -> i64 = $f;
            let local = Local::new(call, 0)?;
            numbers::<Int32Type>(call.rows, |row| Ok(local.get(row).map(|t| f(t.rem_euclid(MICROS_PER_DAY)) as i32)))
        })*
    };
}

of_time! {
    /// `hour(x)`.
    hour => |t| t / (3_600 * MICROS_PER_SECOND),
    /// `minute(x)`.
    minute => |t| t / (60 * MICROS_PER_SECOND) % 60,
    /// `second(x)`.
    second => |t| t / MICROS_PER_SECOND % 60,
}

/// A date, a timestamp or an interval.
pub(in crate::functions) fn time_or_interval(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth) => Some(t.clone()),
        t => crate::functions::types::instant_or_ntz(t),
    }
}

/// A part of an interval: how many of the smallest unit it has, and after how many it begins again (0: never).
struct IntervalPart {
    unit: i64,
    cycle: i64,
    data_type: DataType,
}

fn interval_part(name: &str, interval: &DataType) -> Option<IntervalPart> {
    let part = |unit, cycle, data_type| Some(IntervalPart { unit, cycle, data_type });
    let name = name.trim().to_ascii_uppercase();
    match (interval, name.as_str()) {
        (DataType::Interval(_), "YEAR" | "Y" | "YEARS" | "YR" | "YRS") => part(12, 0, DataType::Int32),
        (DataType::Interval(_), "MONTH" | "MON" | "MONS" | "MONTHS") => part(1, 12, DataType::Int8),
        (DataType::Duration(_), "DAY" | "D" | "DAYS") => part(MICROS_PER_DAY, 0, DataType::Int32),
        (DataType::Duration(_), "HOUR" | "H" | "HOURS" | "HR" | "HRS") => {
            part(3_600 * MICROS_PER_SECOND, 24, DataType::Int8)
        }
        (DataType::Duration(_), "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES") => {
            part(60 * MICROS_PER_SECOND, 60, DataType::Int8)
        }
        (DataType::Duration(_), "SECOND" | "S" | "SEC" | "SECONDS" | "SECS") => {
            part(1, 60 * MICROS_PER_SECOND, DataType::Decimal128(8, 6))
        }
        _ => None,
    }
}

fn of_interval(call: &Call<'_>) -> Result<ArrayRef> {
    let name = super::constant_text(call, 0).unwrap_or_default();
    let source = call.array(1)?;
    let Some(part) = interval_part(name, source.data_type()) else {
        return Err(refused("INVALID_EXTRACT_FIELD", format!("Cannot extract `{name}` from the source.")));
    };
    let count = |row: usize| {
        use arrow::array::{Array, AsArray};
        let whole = match source.data_type() {
            _ if source.is_null(row) => return None,
            DataType::Duration(_) => source.as_primitive::<arrow::datatypes::DurationMicrosecondType>().value(row),
            _ => i64::from(source.as_primitive::<arrow::datatypes::IntervalYearMonthType>().value(row)),
        };
        let units = whole / part.unit;
        Some(if part.cycle > 0 { units % part.cycle } else { units })
    };
    match part.data_type {
        DataType::Int8 => numbers::<arrow::datatypes::Int8Type>(call.rows, |row| Ok(count(row).map(|n| n as i8))),
        DataType::Int32 => numbers::<Int32Type>(call.rows, |row| Ok(count(row).map(|n| n as i32))),
        _ => {
            let array = values::<Decimal128Type>(call.rows, |row| Ok(count(row).map(i128::from)))?;
            Ok(std::sync::Arc::new(array.with_data_type(call.returns.clone())))
        }
    }
}

fn is_interval(t: &DataType) -> bool {
    matches!(t, DataType::Duration(_) | DataType::Interval(_))
}

/// A part of a date or timestamp that extract knows.
#[derive(Clone, Copy)]
enum Part {
    OfDate(fn(i32) -> i32),
    OfTime(fn(i64) -> i64),
    Seconds,
}

fn part(name: &str) -> Option<Part> {
    Some(match name.trim().to_ascii_uppercase().as_str() {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => Part::OfDate(|d| civil(d).0),
        "YEAROFWEEK" => Part::OfDate(|d| iso_week(d).0),
        "QUARTER" | "QTR" => Part::OfDate(|d| (civil(d).1 as i32 + 2) / 3),
        "MONTH" | "MON" | "MONS" | "MONTHS" => Part::OfDate(|d| civil(d).1 as i32),
        "WEEK" | "W" | "WEEKS" => Part::OfDate(|d| iso_week(d).1),
        "DAY" | "D" | "DAYS" => Part::OfDate(|d| civil(d).2 as i32),
        "DAYOFWEEK" | "DOW" => Part::OfDate(|d| d.wrapping_add(4).rem_euclid(7) + 1),
        "DAYOFWEEK_ISO" | "DOW_ISO" => Part::OfDate(|d| monday_based(d) + 1),
        "DOY" => Part::OfDate(day_of_year),
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => Part::OfTime(|t| t / (3_600 * MICROS_PER_SECOND)),
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => Part::OfTime(|t| t / (60 * MICROS_PER_SECOND) % 60),
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => Part::Seconds,
        _ => return None,
    })
}

fn part_of(shape: &Shape<'_>) -> Result<Part> {
    match shape.constants[0] {
        Some(ScalarValue::Utf8(Some(name))) => part(name).ok_or_else(|| {
            refused("INVALID_EXTRACT_FIELD", format!("Cannot extract `{name}` from the source; it has no such field."))
        }),
        Some(value) if value.is_null() => Ok(Part::Seconds),
        _ => Err(refused(
            "NON_FOLDABLE_ARGUMENT",
            "The function `date_part` requires the parameter `field` to be a foldable expression.",
        )),
    }
}

/// The type of a part: seconds have a fraction.
pub(in crate::functions) fn part_type(shape: &Shape<'_>) -> Result<DataType> {
    if is_interval(&shape.types[1])
        && let Some(ScalarValue::Utf8(Some(name))) = shape.constants[0]
    {
        return match interval_part(name, &shape.types[1]) {
            Some(part) => Ok(part.data_type),
            None => Err(refused(
                "INVALID_EXTRACT_FIELD",
                format!("Cannot extract `{name}` from the source; it has no such field."),
            )),
        };
    }
    match part_of(shape)? {
        Part::Seconds => Ok(DataType::Decimal128(8, 6)),
        _ => Ok(DataType::Int32),
    }
}

/// `date_part(field, x)` and `extract(field FROM x)`.
pub(in crate::functions) fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    if is_interval(call.raw(1).data_type()) {
        return of_interval(call);
    }
    let part = super::constant_text(call, 0).and_then(part).unwrap_or(Part::Seconds);
    let local = Local::new(call, 1)?;
    match part {
        Part::OfDate(f) => {
            numbers::<Int32Type>(call.rows, |row| Ok(local.get(row).map(|t| f(t.div_euclid(MICROS_PER_DAY) as i32))))
        }
        Part::OfTime(f) => {
            numbers::<Int32Type>(call.rows, |row| Ok(local.get(row).map(|t| f(t.rem_euclid(MICROS_PER_DAY)) as i32)))
        }
        Part::Seconds => {
            let seconds = |t: i64| i128::from(t.rem_euclid(60 * MICROS_PER_SECOND));
            let array = values::<Decimal128Type>(call.rows, |row| Ok(local.get(row).map(seconds)))?;
            Ok(std::sync::Arc::new(array.with_data_type(call.returns.clone())))
        }
    }
}
