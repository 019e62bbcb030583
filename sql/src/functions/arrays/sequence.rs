//! sequence: an array that counts.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, ListArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::{check_size, element_field};
use crate::functions::cast;
use crate::functions::error::{fails, refused, unsupported};
use crate::functions::function::{Call, Shape};
use crate::functions::rows::{Offsets, Validity};
use crate::functions::types;
use crate::functions::zone::{MICROS_PER_DAY, Zone, civil, days_in_month, days_of};

/// Integers of one type, or dates and timestamps with an interval as the step.
pub(in crate::functions) fn sequence_args(given: &[DataType]) -> Result<Vec<DataType>> {
    let ends = types::widest(&given[..2])?;
    if types::is_integral(&ends) {
        return types::all_alike(given);
    }
    if !matches!(ends, DataType::Date32 | DataType::Timestamp(..)) {
        return Err(refused(
            "DATATYPE_MISMATCH.SEQUENCE_WRONG_INPUT_TYPES",
            "sequence counts integers, dates or timestamps",
        ));
    }
    let step = given.get(2).cloned();
    Ok([ends.clone(), ends].into_iter().chain(step).collect())
}

/// The type of a sequence.
pub(in crate::functions) fn sequence_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(types::array_of(shape.types[0].clone()))
}

/// How a sequence goes on from one element to the next.
#[derive(Clone, Copy)]
enum Step {
    By(i64),
    /// Months from the start, so that the 31st comes back after a short month.
    Months(i64),
}

/// `sequence(start, stop [, step])`: stop included; the step is 1 or −1 (a day for dates) where it is not given.
pub(in crate::functions) fn sequence(call: &Call<'_>) -> Result<ArrayRef> {
    let element = element_field(call.returns)?;
    let units = Units::of(element.data_type(), call.zone()?);
    let longs = |at: usize| -> Result<Int64Array> {
        let array = units.to_local(&call.array(at)?)?;
        Ok(array)
    };
    let (start, stop) = (longs(0)?, longs(1)?);
    let mut data: Vec<i64> = Vec::new();
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        let step = if call.has(2) {
            units.step(call, row)?
        } else {
            Some(units.default_step(start.value(row) <= stop.value(row)))
        };
        let is_valid =
            arrow::array::Array::is_valid(&start, row) && arrow::array::Array::is_valid(&stop, row) && step.is_some();
        if let Some(step) = step.filter(|_| is_valid) {
            count(start.value(row), stop.value(row), step, units.per_day, &mut data)?;
        }
        offsets.push(data.len())?;
        validity.push(is_valid);
    }
    let values = units.as_elements(Int64Array::from(data), element.data_type())?;
    Ok(Arc::new(ListArray::try_new(element, offsets.finish(), values, validity.finish())?))
}

fn count(start: i64, stop: i64, step: Step, per_day: i64, data: &mut Vec<i64>) -> Result<()> {
    let size = match step {
        Step::By(by) | Step::Months(by) => by,
    };
    if (size == 0 && start != stop) || (size > 0 && start > stop) || (size < 0 && start < stop) {
        return Err(fails(
            "INVALID_PARAMETER_VALUE.BOUNDARY",
            format!("Illegal sequence boundaries: {start} to {stop} by {size}"),
        ));
    }
    if size == 0 {
        data.push(start);
        return Ok(());
    }
    let shortest = match step {
        Step::By(by) => i128::from(by),
        Step::Months(by) => i128::from(by) * 28 * i128::from(per_day),
    };
    let most = (i128::from(stop) - i128::from(start)) / shortest + 1;
    check_size(data.len(), usize::try_from(most).unwrap_or(usize::MAX), "sequence")?;
    for n in 0.. {
        let next = match step {
            Step::By(by) => i64::try_from(i128::from(start) + i128::from(by) * i128::from(n)).ok(),
            Step::Months(by) => Some(add_months(start, by.saturating_mul(n), per_day)),
        };
        let Some(next) = next.filter(|x| if size > 0 { *x <= stop } else { *x >= stop }) else { break };
        data.push(next);
    }
    Ok(())
}

/// A day's number or a local time, some months later; the day is cut to the month's length.
fn add_months(at: i64, months: i64, per_day: i64) -> i64 {
    let (days, rest) = (at.div_euclid(per_day), at.rem_euclid(per_day));
    let (year, month, day) = civil(days as i32);
    let total = i64::from(year) * 12 + i64::from(month) - 1 + months.clamp(-1 << 40, 1 << 40);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    days_of(year, month, day.min(days_in_month(year as i32, month))).saturating_mul(per_day).saturating_add(rest)
}

/// What the elements count: plain numbers, days, or microseconds of the zone's clock.
struct Units {
    is_date: bool,
    zone: Option<Zone>,
    is_plain: bool,
    per_day: i64,
}

impl Units {
    fn of(element: &DataType, zone: Zone) -> Self {
        let is_date = *element == DataType::Date32;
        let is_plain = types::is_integral(element);
        let zone = matches!(element, DataType::Timestamp(_, Some(_))).then_some(zone);
        Self { is_date, zone, is_plain, per_day: if is_date { 1 } else { MICROS_PER_DAY } }
    }

    fn default_step(&self, is_up: bool) -> Step {
        let unit = if self.is_plain { 1 } else { self.per_day };
        Step::By(if is_up { unit } else { -unit })
    }

    fn step(&self, call: &Call<'_>, row: usize) -> Result<Option<Step>> {
        let (array, row) = (call.raw(2), call.row(2, row));
        if array.is_null(row) {
            return Ok(None);
        }
        if self.is_plain {
            let array = arrow::compute::cast(array, &DataType::Int64)?;
            return Ok(Some(Step::By(array.as_primitive::<arrow::datatypes::Int64Type>().value(row))));
        }
        match array.data_type() {
            DataType::Duration(_) => {
                let micros = array.as_primitive::<arrow::datatypes::DurationMicrosecondType>().value(row);
                if self.is_date && micros % MICROS_PER_DAY != 0 {
                    return Err(refused(
                        "INVALID_PARAMETER_VALUE.BOUNDARY",
                        "sequence of dates: the step is whole days or months",
                    ));
                }
                Ok(Some(Step::By(if self.is_date { micros / MICROS_PER_DAY } else { micros })))
            }
            DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => Ok(Some(Step::Months(i64::from(
                array.as_primitive::<arrow::datatypes::IntervalYearMonthType>().value(row),
            )))),
            DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => {
                let step = array.as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>().value(row);
                let micros = i64::from(step.days) * MICROS_PER_DAY + step.nanoseconds / 1_000;
                match (step.months, micros) {
                    (months, 0) if months != 0 => Ok(Some(Step::Months(i64::from(months)))),
                    (0, micros) => Ok(Some(Step::By(if self.is_date { micros / MICROS_PER_DAY } else { micros }))),
                    _ => Err(unsupported("sequence with a step of months and days")),
                }
            }
            other => Err(unsupported(format!("sequence of dates with a step of the type {other}"))),
        }
    }

    fn to_local(&self, array: &ArrayRef) -> Result<Int64Array> {
        let longs = if self.is_date {
            arrow::compute::cast(&arrow::compute::cast(array, &DataType::Int32)?, &DataType::Int64)?
        } else {
            arrow::compute::cast(array, &DataType::Int64)?
        };
        let longs = longs.as_primitive::<arrow::datatypes::Int64Type>().clone();
        Ok(match self.zone {
            Some(zone) => longs.unary(|x| zone.local_of(x)),
            None => longs,
        })
    }

    fn as_elements(&self, data: Int64Array, element: &DataType) -> Result<ArrayRef> {
        let data = match self.zone {
            Some(zone) => data.unary(|x| zone.instant_of(x)),
            None => data,
        };
        let data: ArrayRef = Arc::new(data);
        if self.is_date {
            return Ok(arrow::compute::cast(&arrow::compute::cast(&data, &DataType::Int32)?, &DataType::Date32)?);
        }
        cast::plain(&data, element)
    }
}
