//! Dates, timestamps and intervals: `date + 1`, `date - date`, `ts - ts`, `ts + INTERVAL …`.
//!
//! | operands | result |
//! |---|---|
//! | DATE ± whole number (INT or smaller) | DATE |
//! | DATE - DATE | INTERVAL DAY |
//! | TIMESTAMP - TIMESTAMP, or a DATE on one side | INTERVAL DAY TO SECOND |
//! | DATE ± INTERVAL YEAR TO MONTH, or of whole days as a literal | DATE |
//! | DATE ± INTERVAL DAY TO SECOND | TIMESTAMP |
//! | TIMESTAMP ± INTERVAL | TIMESTAMP; months move the local date, and so do days written as such |
//! | INTERVAL ± INTERVAL, × number, ÷ number, -INTERVAL | INTERVAL |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::kernels::arity::try_binary;
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type, IntervalUnit,
    IntervalYearMonthType, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Days, Months, NaiveDate, TimeDelta};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr;

use super::error::{overflow, runtime};
use super::operator::{Call, Operator, Shape};
use super::semantics::{Op, Semantics};
use super::types::{is_integer, is_interval, is_numeric, is_timestamp};

pub(super) const DATE_ADD_DAYS: Operator =
    Operator { name: "spark_date_add_days", returns: first_type, run: date_add_days };
pub(super) const DATE_ADD_MONTHS: Operator =
    Operator { name: "spark_date_add_months", returns: first_type, run: date_add_months };
pub(super) const DATE_DIFF: Operator =
    Operator { name: "spark_date_difference", returns: |_| Ok(duration()), run: date_difference };
pub(super) const TIMESTAMP_ADD: Operator =
    Operator { name: "spark_timestamp_add", returns: first_type, run: timestamp_add };
pub(super) const TIMESTAMP_ADD_MONTHS: Operator =
    Operator { name: "spark_timestamp_add_months", returns: first_type, run: timestamp_add_months };
pub(super) const TIMESTAMP_DIFF: Operator =
    Operator { name: "spark_timestamp_difference", returns: |_| Ok(duration()), run: timestamp_difference };
pub(super) const INTERVAL_ADD: Operator =
    Operator { name: "spark_interval_add", returns: first_type, run: interval_add };
pub(super) const INTERVAL_MULTIPLY: Operator =
    Operator { name: "spark_interval_multiply", returns: first_type, run: |call| interval_scaled(call, false) };
pub(super) const INTERVAL_DIVIDE: Operator =
    Operator { name: "spark_interval_divide", returns: first_type, run: |call| interval_scaled(call, true) };

const DAY_US: i64 = 86_400_000_000;

/// The expression for `left op right` if a date, a time or an interval takes part.
pub(super) fn arithmetic(semantics: &Semantics<'_>, left: &Expr, op: Op, right: &Expr) -> Result<Option<Expr>> {
    let (left_type, right_type) = (semantics.type_of(left)?, semantics.type_of(right)?);
    let (a, b) = (left.clone(), right.clone());
    let is_time = |data_type: &DataType| *data_type == DataType::Date32 || is_timestamp(data_type);
    Ok(match op {
        Op::Add if is_time(&left_type) && is_interval(&right_type) => Some(shifted(semantics, a, b)?),
        Op::Add if is_interval(&left_type) && is_time(&right_type) => Some(shifted(semantics, b, a)?),
        Op::Subtract if is_time(&left_type) && is_interval(&right_type) => {
            Some(shifted(semantics, a, semantics.negate(b)?)?)
        }
        Op::Add if left_type == DataType::Date32 && is_days(&right_type) => {
            Some(DATE_ADD_DAYS.call(vec![a, semantics.cast(b, &DataType::Int32, false)?]))
        }
        Op::Add if right_type == DataType::Date32 && is_days(&left_type) => {
            Some(DATE_ADD_DAYS.call(vec![b, semantics.cast(a, &DataType::Int32, false)?]))
        }
        Op::Subtract if left_type == DataType::Date32 && is_days(&right_type) => {
            let days = semantics.negate(semantics.cast(b, &DataType::Int32, false)?)?;
            Some(DATE_ADD_DAYS.call(vec![a, days]))
        }
        Op::Subtract if left_type == DataType::Date32 && right_type == DataType::Date32 => {
            Some(DATE_DIFF.call(vec![a, b]))
        }
        Op::Subtract
            if is_time(&left_type) && (is_time(&right_type) || right_type == DataType::Utf8)
                || (left_type == DataType::Utf8 && is_time(&right_type) && op == Op::Subtract) =>
        {
            let common = semantics.common_type(&[left_type, right_type], "-")?;
            if common == DataType::Date32 {
                let (a, b) = (semantics.cast(a, &common, false)?, semantics.cast(b, &common, false)?);
                return Ok(Some(DATE_DIFF.call(vec![a, b])));
            }
            Some(TIMESTAMP_DIFF.call(vec![semantics.cast(a, &common, false)?, semantics.cast(b, &common, false)?]))
        }
        Op::Add | Op::Subtract if is_interval(&left_type) && left_type == right_type => {
            let b = if op == Op::Subtract { semantics.negate(b)? } else { b };
            Some(INTERVAL_ADD.call(vec![a, b]))
        }
        Op::Multiply if is_interval(&left_type) && is_numeric(&right_type) => {
            Some(scaled(semantics, INTERVAL_MULTIPLY, a, b)?)
        }
        Op::Multiply if is_numeric(&left_type) && is_interval(&right_type) => {
            Some(scaled(semantics, INTERVAL_MULTIPLY, b, a)?)
        }
        Op::Divide if is_interval(&left_type) && is_numeric(&right_type) => {
            Some(scaled(semantics, INTERVAL_DIVIDE, a, b)?)
        }
        _ => None,
    })
}

/// A number of days: Spark takes INT, SMALLINT and TINYINT.
fn is_days(data_type: &DataType) -> bool {
    is_integer(data_type) && *data_type != DataType::Int64
}

/// A date or timestamp moved by an interval.
fn shifted(semantics: &Semantics<'_>, time: Expr, interval: Expr) -> Result<Expr> {
    let is_date = semantics.type_of(&time)? == DataType::Date32;
    if semantics.type_of(&interval)? == DataType::Interval(IntervalUnit::YearMonth) {
        let zone = Expr::Literal(ScalarValue::Utf8(Some(semantics.zone().to_string())), None);
        return Ok(if is_date {
            DATE_ADD_MONTHS.call(vec![time, interval])
        } else {
            TIMESTAMP_ADD_MONTHS.call(vec![time, interval, zone])
        });
    }
    if is_date {
        if let Some(days) = whole_days(&interval) {
            return Ok(DATE_ADD_DAYS.call(vec![time, Expr::Literal(ScalarValue::Int32(Some(days)), None)]));
        }
        let timestamp = semantics.cast(time, &millstream_formats::types::timestamp(), false)?;
        return Ok(TIMESTAMP_ADD.call(vec![timestamp, interval]));
    }
    Ok(TIMESTAMP_ADD.call(vec![time, interval]))
}

/// The days of a literal interval that has no smaller part.
fn whole_days(interval: &Expr) -> Option<i32> {
    let (micros, sign) = match interval {
        Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), _) => (*micros, 1),
        Expr::ScalarFunction(call) if call.name() == super::arithmetic::NEGATE.name => match &call.args[..] {
            [Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), _)] => (*micros, -1),
            _ => return None,
        },
        _ => return None,
    };
    (micros % DAY_US == 0).then(|| i32::try_from(sign * (micros / DAY_US)).ok()).flatten()
}

fn scaled(semantics: &Semantics<'_>, operator: Operator, interval: Expr, number: Expr) -> Result<Expr> {
    let is_whole = is_integer(&semantics.type_of(&number)?);
    let number = semantics.cast(number, if is_whole { &DataType::Int64 } else { &DataType::Float64 }, false)?;
    Ok(operator.call(vec![interval, number]))
}

fn duration() -> DataType {
    DataType::Duration(TimeUnit::Microsecond)
}

fn first_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(shape.data_type(0).clone())
}

/// Combines two columns row by row where both have a value; the result has the first one's type unless said otherwise.
fn combined<A: ArrowPrimitiveType, B: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    call: &Call<'_>,
    combine: impl Fn(A::Native, B::Native) -> Option<O::Native>,
) -> Result<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let result = try_binary(left.as_primitive::<A>(), right.as_primitive::<B>(), |a, b| {
        combine(a, b).ok_or_else(|| ArrowError::ArithmeticOverflow(String::new()))
    });
    let result: PrimitiveArray<O> = result.map_err(|_| out_of_range(call.returns))?;
    Ok(Arc::new(result.with_data_type(call.returns.clone())))
}

fn out_of_range(data_type: &DataType) -> DataFusionError {
    match data_type {
        DataType::Date32 | DataType::Timestamp(..) => runtime(format!(
            "[DATETIME_OVERFLOW] Datetime operation overflow: the {} is out of range.",
            super::sql_type_name(data_type)
        )),
        other => overflow(other),
    }
}

fn date_add_days(call: &Call<'_>) -> Result<ArrayRef> {
    combined::<Date32Type, Int32Type, Date32Type>(call, i32::checked_add)
}

fn date_add_months(call: &Call<'_>) -> Result<ArrayRef> {
    combined::<Date32Type, IntervalYearMonthType, Date32Type>(call, |days, months| {
        days_of(add_months(date_of(days)?, months)?)
    })
}

fn date_difference(call: &Call<'_>) -> Result<ArrayRef> {
    combined::<Date32Type, Date32Type, DurationMicrosecondType>(call, |a, b| {
        (i64::from(a) - i64::from(b)).checked_mul(DAY_US)
    })
}

fn timestamp_add(call: &Call<'_>) -> Result<ArrayRef> {
    combined::<TimestampMicrosecondType, DurationMicrosecondType, TimestampMicrosecondType>(call, i64::checked_add)
}

fn timestamp_difference(call: &Call<'_>) -> Result<ArrayRef> {
    combined::<TimestampMicrosecondType, TimestampMicrosecondType, DurationMicrosecondType>(call, i64::checked_sub)
}

/// Months are added to the local date in the session zone; a TIMESTAMP_NTZ is local already.
fn timestamp_add_months(call: &Call<'_>) -> Result<ArrayRef> {
    let zone = match call.returns {
        DataType::Timestamp(_, Some(_)) => super::zone(call.text(2))?,
        _ => super::zone("UTC")?,
    };
    combined::<TimestampMicrosecondType, IntervalYearMonthType, TimestampMicrosecondType>(call, |micros, months| {
        let offset_us = i64::from(zone.offset_at(micros.div_euclid(1_000_000))) * 1_000_000;
        let local = micros.checked_add(offset_us)?;
        let (days, time) = (local.div_euclid(DAY_US), local.rem_euclid(DAY_US));
        let moved = days_of(add_months(date_of(i32::try_from(days).ok()?)?, months)?)?;
        let local = i64::from(moved).checked_mul(DAY_US)?.checked_add(time)?;
        // The offset that the new local time has: the one of a first guess, looked up again at what it gives.
        let guess = local.checked_sub(offset_us)?;
        let offset_us = i64::from(zone.offset_at(guess.div_euclid(1_000_000))) * 1_000_000;
        local.checked_sub(offset_us)
    })
}

fn interval_add(call: &Call<'_>) -> Result<ArrayRef> {
    match call.returns {
        DataType::Duration(_) => combined::<DurationMicrosecondType, DurationMicrosecondType, DurationMicrosecondType>(
            call,
            i64::checked_add,
        ),
        _ => combined::<IntervalYearMonthType, IntervalYearMonthType, IntervalYearMonthType>(call, i32::checked_add),
    }
}

fn interval_scaled(call: &Call<'_>, divide: bool) -> Result<ArrayRef> {
    let number = call.array(1)?;
    if divide && has_zero(&number) {
        return Err(runtime(
            "[INTERVAL_DIVIDED_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
        ));
    }
    let whole = |value: i64, number: i64| {
        if divide { half_up(value, number) } else { value.checked_mul(number) }
    };
    let real = |value: i64, number: f64| {
        #[expect(clippy::cast_precision_loss, reason = "as in Spark, a fraction of an interval is computed in doubles")]
        let exact = if divide { value as f64 / number } else { value as f64 * number };
        rounded(exact)
    };
    match (call.returns, number.data_type()) {
        (DataType::Duration(_), DataType::Int64) => {
            combined::<DurationMicrosecondType, Int64Type, DurationMicrosecondType>(call, whole)
        }
        (DataType::Duration(_), _) => {
            combined::<DurationMicrosecondType, Float64Type, DurationMicrosecondType>(call, real)
        }
        (_, DataType::Int64) => {
            combined::<IntervalYearMonthType, Int64Type, IntervalYearMonthType>(call, |months, number| {
                whole(i64::from(months), number).and_then(|months| i32::try_from(months).ok())
            })
        }
        _ => combined::<IntervalYearMonthType, Float64Type, IntervalYearMonthType>(call, |months, number| {
            real(i64::from(months), number).and_then(|months| i32::try_from(months).ok())
        }),
    }
}

fn has_zero(number: &ArrayRef) -> bool {
    match number.data_type() {
        DataType::Int64 => number.as_primitive::<Int64Type>().iter().flatten().any(|value| value == 0),
        _ => number.as_primitive::<Float64Type>().iter().flatten().any(|value| value == 0.0),
    }
}

fn half_up(value: i64, divisor: i64) -> Option<i64> {
    let (value, divisor) = (i128::from(value), i128::from(divisor));
    let (quotient, rest) = (value / divisor, value % divisor);
    let away = if (value < 0) == (divisor < 0) { 1 } else { -1 };
    i64::try_from(if rest.abs() * 2 >= divisor.abs() { quotient + away } else { quotient }).ok()
}

fn rounded(value: f64) -> Option<i64> {
    let value = value.round();
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (value.abs() < 9.2e18).then_some(value as i64)
}

fn date_of(days: i32) -> Option<NaiveDate> {
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    if days >= 0 {
        epoch.checked_add_days(Days::new(u64::from(days.unsigned_abs())))
    } else {
        epoch.checked_sub_days(Days::new(u64::from(days.unsigned_abs())))
    }
}

fn days_of(date: NaiveDate) -> Option<i32> {
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    let difference: TimeDelta = date.signed_duration_since(epoch);
    i32::try_from(difference.num_days()).ok()
}

/// The same day of another month, or its last day where there is none.
fn add_months(date: NaiveDate, months: i32) -> Option<NaiveDate> {
    if months >= 0 {
        date.checked_add_months(Months::new(months.unsigned_abs()))
    } else {
        date.checked_sub_months(Months::new(months.unsigned_abs()))
    }
}
