//! Exact percentiles: `percentile`, `percentile_cont`, `percentile_disc`, `median`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};

use super::coerce::{double_or_interval, mismatch, no_number};
use super::function::{Call, element_field};
use super::groups::Groups;
use super::lists::{Finish, Values, keeping, list_of};
use crate::functions::cast;
use crate::functions::error::{fails, refused};
use crate::functions::zone::Zone;

/// `percentile(x, percentage, frequency)`.
pub(super) fn percentile(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let has_frequency = call.types.len() > 2;
    let mut kept = vec![call.types[0].clone()];
    if has_frequency {
        kept.push(call.types[2].clone());
    }
    // The percentage stands between the two, and is kept beside them: it is one value a row.
    let kept = if has_frequency { call.types[..3].to_vec() } else { kept };
    make(call, kept, Place::Between, false)
}

/// `median(x)`.
pub(super) fn median(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let finish = Percentiles {
        percentages: vec![0.5],
        is_list: false,
        place: Place::Between,
        is_reversed: false,
        returns: call.returns.clone(),
    };
    Ok(keeping(call.types.clone(), Arc::new(finish)))
}

/// `percentile_cont(percentage) WITHIN GROUP (ORDER BY x)`: x, the percentage, whether the order is descending.
pub(super) fn percentile_cont(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let is_reversed = is_true(call, 2)?;
    make(call, call.types[..1].to_vec(), Place::Between, is_reversed)
}

/// `percentile_disc(percentage) WITHIN GROUP (ORDER BY x)`, as [`percentile_cont`].
pub(super) fn percentile_disc(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let is_reversed = is_true(call, 2)?;
    make(call, call.types[..1].to_vec(), Place::Lower, is_reversed)
}

/// The types of `percentile`'s arguments.
pub(super) fn coerce(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    let mut coerced = Vec::with_capacity(types.len());
    for (at, data_type) in types.iter().enumerate() {
        coerced.push(match at {
            0 => double_or_interval(data_type).ok_or_else(|| no_number(name, data_type))?,
            1 => percentage_type(name, data_type)?,
            _ if *data_type == DataType::Boolean => DataType::Boolean,
            _ if data_type.is_integer() => DataType::Int64,
            _ => return Err(mismatch(name, at, data_type)),
        });
    }
    Ok(coerced)
}

/// A percentage, or several.
pub(super) fn percentage_type(name: &'static str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::List(field) if field.data_type().is_numeric() => Ok(DataType::List(element_field(DataType::Float64))),
        DataType::Null => Err(refused(
            "DATATYPE_MISMATCH.UNEXPECTED_NULL",
            format!("Cannot resolve \"{name}\" due to data type mismatch: the percentage must not be null."),
        )),
        DataType::Utf8 => Ok(DataType::Float64),
        number if number.is_numeric() => Ok(DataType::Float64),
        other => Err(mismatch(name, 1, other)),
    }
}

/// One answer for one percentage, an array for an array.
pub(super) fn returns(types: &[DataType]) -> DataType {
    match types.get(1) {
        Some(DataType::List(_)) => DataType::List(element_field(types[0].clone())),
        _ => types[0].clone(),
    }
}

/// The constant percentages of a call, and whether they were given as an array.
pub(super) fn percentages(call: &Call<'_>) -> Result<(Vec<f64>, bool)> {
    let value = call.constant(1, "percentage")?.unwrap_or(ScalarValue::Null);
    let (array, is_list) = match &value {
        ScalarValue::List(list) if list.is_valid(0) => (list.value(0), true),
        ScalarValue::Float64(Some(_)) => (value.to_array()?, false),
        _ => {
            let message =
                format!("Cannot resolve \"{}\" due to data type mismatch: the percentage must not be null.", call.name);
            return Err(refused("DATATYPE_MISMATCH.UNEXPECTED_NULL", message));
        }
    };
    let all = array.as_primitive::<Float64Type>().values().to_vec();
    if array.null_count() > 0 || all.iter().any(|percentage| !(0.0..=1.0).contains(percentage)) {
        let message = format!(
            "Cannot resolve \"{}\" due to data type mismatch: the percentage must be between [0.0, 1.0] (current value = {value}).",
            call.name
        );
        return Err(refused("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", message));
    }
    Ok((all, is_list))
}

/// Whether the constant argument `at` is given and true.
pub(super) fn is_true(call: &Call<'_>, at: usize) -> Result<bool> {
    Ok(matches!(call.constant(at, "order")?, Some(ScalarValue::Boolean(Some(true)))))
}

fn make(call: &Call<'_>, kept: Vec<DataType>, place: Place, is_reversed: bool) -> Result<Box<dyn Groups>> {
    let (percentages, is_list) = percentages(call)?;
    let finish = Percentiles { percentages, is_list, place, is_reversed, returns: call.types[0].clone() };
    Ok(keeping(kept, Arc::new(finish)))
}

/// What a percentage between two values gives.
#[derive(Clone, Copy)]
enum Place {
    /// The value between them, in proportion.
    Between,
    /// The first value that at least this part of the rows does not exceed.
    Lower,
}

struct Percentiles {
    percentages: Vec<f64>,
    is_list: bool,
    place: Place,
    is_reversed: bool,
    /// The type of one answer.
    returns: DataType,
}

impl Finish for Percentiles {
    fn finish(&self, values: &Values<'_>) -> Result<ArrayRef> {
        let numbers = arrow::compute::cast(&as_integers(&values.columns[0])?, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>().values();
        let frequencies = values.columns.get(2).map(|column| column.as_primitive::<Int64Type>());
        let (mut answers, mut offsets) = (Vec::new(), vec![0]);
        let mut is_known = Vec::new();
        for group in values.groups() {
            let mut counted: Vec<(f64, i64)> = Vec::with_capacity(group.len());
            for at in group {
                let frequency = match frequencies {
                    None => 1,
                    Some(frequencies) if frequencies.is_null(at) => 0,
                    Some(frequencies) => frequencies.value(at),
                };
                if frequency < 0 {
                    let message = format!("Negative values found in frequency expression: {frequency}.");
                    return Err(fails("NEGATIVE_VALUES_IN_FREQUENCY_EXPRESSION", message));
                }
                if frequency > 0 {
                    counted.push((numbers[at], frequency));
                }
            }
            is_known.push(!counted.is_empty());
            self.answer(counted, &mut answers);
            offsets.push(answers.len() as i32);
        }
        self.output(answers, offsets, &is_known)
    }
}

impl Percentiles {
    /// One number for every percentage; null for a group without values.
    fn answer(&self, mut counted: Vec<(f64, i64)>, answers: &mut Vec<Option<f64>>) {
        if counted.is_empty() {
            if !self.is_list {
                answers.push(None);
            }
            return;
        }
        counted.sort_by(|(a, _), (b, _)| ordered(*a, *b));
        if self.is_reversed {
            counted.reverse();
        }
        let mut ends = Vec::with_capacity(counted.len());
        let total = counted.iter().fold(0, |sum, (_, frequency)| {
            ends.push(sum + frequency);
            sum + frequency
        });
        let at = |position: i64| counted[ends.partition_point(|end| *end <= position).min(counted.len() - 1)].0;
        answers.extend(self.percentages.iter().map(|percentage| {
            Some(match self.place {
                Place::Between => {
                    let position = (total - 1) as f64 * percentage;
                    let (lower, higher) = (position.floor(), position.ceil());
                    let (low, high) = (at(lower as i64), at(higher as i64));
                    if lower == higher || low == high {
                        low
                    } else {
                        (higher - position) * low + (position - lower) * high
                    }
                }
                Place::Lower => at(((total as f64 * percentage).ceil() as i64 - 1).max(0)),
            })
        }));
    }

    fn output(&self, answers: Vec<Option<f64>>, offsets: Vec<i32>, is_known: &[bool]) -> Result<ArrayRef> {
        let answers: ArrayRef = Arc::new(Float64Array::from(answers));
        let answers = from_doubles(&answers, &self.returns)?;
        if !self.is_list {
            return Ok(answers);
        }
        let lists = list_of(offsets, answers)?;
        let known = arrow::buffer::NullBuffer::from(is_known.to_vec());
        Ok(arrow::array::make_array(lists.into_data().into_builder().nulls(Some(known.into_inner().into())).build()?))
    }
}

/// Spark's order: NaN is above all.
fn ordered(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Dates, times and intervals as their numbers; numbers as they are.
pub(super) fn as_integers(array: &ArrayRef) -> Result<ArrayRef> {
    let number = match array.data_type() {
        DataType::Timestamp(..) | DataType::Duration(_) => DataType::Int64,
        DataType::Date32 | DataType::Interval(_) => DataType::Int32,
        _ => return Ok(Arc::clone(array)),
    };
    Ok(arrow::array::make_array(array.to_data().into_builder().data_type(number).build()?))
}

/// Numbers as values of a type, cut towards zero where it is whole.
pub(super) fn from_doubles(numbers: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let number = match data_type {
        DataType::Timestamp(..) | DataType::Duration(_) => DataType::Int64,
        DataType::Date32 | DataType::Interval(_) => DataType::Int32,
        other => other.clone(),
    };
    let cast = match &number {
        // By the digits that are printed.
        DataType::Decimal128(..) => cast::to(numbers, &number, &Zone::Fixed(0))?,
        number => arrow::compute::cast(numbers, number)?,
    };
    Ok(arrow::array::make_array(cast.into_data().into_builder().data_type(data_type.clone()).build()?))
}
