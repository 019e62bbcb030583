//! `avg`, `mean` and `try_avg`: DOUBLE of numbers, decimals with four more digits behind the point, intervals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, IntervalUnit, IntervalYearMonthType,
    i256,
};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::EmitTo;

use super::function::Call;
use super::groups::{Groups, Rows};
use super::sum::{Summand, lost, sum_type};

/// `avg(x)`.
pub(super) fn avg(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    make(call, false)
}

/// `try_avg(x)`.
pub(super) fn try_avg(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    make(call, true)
}

/// The sum and the count. A sum that did not fit is null beside a count that is not 0.
pub(super) fn state(types: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![sum_type(types), DataType::Int64]
}

/// The type of an average.
pub(super) fn average_type(types: &[DataType]) -> DataType {
    match &types[0] {
        DataType::Decimal128(precision, scale) => DataType::Decimal128((precision + 4).min(38), (scale + 4).min(38)),
        other => other.clone(),
    }
}

fn make(call: &Call<'_>, is_try: bool) -> Result<Box<dyn Groups>> {
    let (sum, returns) = (sum_type(&call.types), call.returns.clone());
    Ok(match &sum {
        DataType::Float64 => Average::<Float64Type>::new(sum, returns, is_try),
        DataType::Decimal128(..) => Average::<Decimal128Type>::new(sum, returns, is_try),
        DataType::Duration(_) => Average::<DurationMicrosecondType>::new(sum, returns, is_try),
        DataType::Interval(IntervalUnit::YearMonth) => Average::<IntervalYearMonthType>::new(sum, returns, is_try),
        other => return internal_err!("no average of {other}"),
    })
}

/// Sums that can be divided by how many there are.
trait Divided: Summand {
    /// The quotient in the answer's type; `None` where it does not fit.
    fn divide(sum: Self::Native, count: i64, sum_type: &DataType, returns: &DataType) -> Option<Self::Native>;
}

impl Divided for Float64Type {
    fn divide(sum: f64, count: i64, _: &DataType, _: &DataType) -> Option<f64> {
        Some(sum / count as f64)
    }
}

impl Divided for DurationMicrosecondType {
    fn divide(sum: i64, count: i64, _: &DataType, _: &DataType) -> Option<i64> {
        half_up(i128::from(sum), i128::from(count)).try_into().ok()
    }
}

impl Divided for IntervalYearMonthType {
    fn divide(sum: i32, count: i64, _: &DataType, _: &DataType) -> Option<i32> {
        half_up(i128::from(sum), i128::from(count)).try_into().ok()
    }
}

impl Divided for Decimal128Type {
    fn divide(sum: i128, count: i64, sum_type: &DataType, returns: &DataType) -> Option<i128> {
        let (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) = (sum_type, returns) else { return None };
        let scaled =
            i256::from_i128(sum).checked_mul(i256::from_i128(10).checked_pow((to - from).unsigned_abs().into())?)?;
        let count = i256::from_i128(i128::from(count));
        let (quotient, rest) = (scaled.checked_div(count)?, scaled.checked_rem(count)?);
        let twice = rest.wrapping_abs().checked_mul(i256::from_i128(2))?;
        let away = if twice < count { i256::ZERO } else { i256::from_i128(sum.signum()) };
        quotient.checked_add(away)?.to_i128()
    }
}

/// The quotient, halves away from zero; `count` is positive.
fn half_up(sum: i128, count: i128) -> i128 {
    let away = if (sum % count).abs() * 2 < count { 0 } else { sum.signum() };
    sum / count + away
}

struct Average<T: Divided> {
    sum_type: DataType,
    returns: DataType,
    is_try: bool,
    /// None where there was no row, and where the sum did not fit.
    sums: Vec<Option<T::Native>>,
    counts: Vec<i64>,
}

impl<T: Divided> Average<T> {
    #[expect(clippy::new_ret_no_self, reason = "what is made is an aggregate of any type")]
    fn new(sum_type: DataType, returns: DataType, is_try: bool) -> Box<dyn Groups> {
        Box::new(Self { sum_type, returns, is_try, sums: Vec::new(), counts: Vec::new() })
    }

    /// Adds `count` values whose sum is `value`; none where that was lost.
    fn add(&mut self, group: usize, value: Option<T::Native>, count: i64) -> Result<()> {
        let sum = match (self.counts[group], self.sums[group], value) {
            (0, _, value) => value,
            (_, Some(sum), Some(value)) => sum.add_checked(value).ok(),
            _ => None,
        };
        if sum.is_none() && !self.is_try && !matches!(self.sum_type, DataType::Decimal128(..)) {
            return Err(lost(&self.sum_type, "avg"));
        }
        self.sums[group] = sum;
        self.counts[group] += count;
        Ok(())
    }
}

impl<T: Divided> Groups for Average<T> {
    fn fresh(&self) -> Box<dyn Groups> {
        Self::new(self.sum_type.clone(), self.returns.clone(), self.is_try)
    }

    fn resize(&mut self, count: usize) {
        self.sums.resize(count, None);
        self.counts.resize(count, 0);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let values = args[0].as_primitive::<T>().values();
        rows.known(&args[0]).try_each(|row, group| self.add(group, Some(values[row]), 1))
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (sums, counts) = (states[0].as_primitive::<T>(), states[1].as_primitive::<Int64Type>());
        rows.known(&states[1]).try_each(|row, group| match counts.value(row) {
            0 => Ok(()),
            count => self.add(group, sums.is_valid(row).then(|| sums.value(row)), count),
        })
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        let mut averages = Vec::with_capacity(sums.len());
        for (sum, count) in sums.into_iter().zip(counts) {
            let average = sum
                .filter(|sum| count > 0 && T::fits(*sum, &self.sum_type))
                .and_then(|sum| T::divide(sum, count, &self.sum_type, &self.returns))
                .filter(|average| T::fits(*average, &self.returns));
            if average.is_none() && count > 0 && !self.is_try {
                return Err(lost(&self.sum_type, "avg"));
            }
            averages.push(average);
        }
        Ok(Arc::new(PrimitiveArray::<T>::from_iter(averages).with_data_type(self.returns.clone())))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut sums = emit.take_needed(&mut self.sums);
        sums.iter_mut().for_each(|sum| *sum = sum.filter(|sum| T::fits(*sum, &self.sum_type)));
        let sums = PrimitiveArray::<T>::from_iter(sums).with_data_type(self.sum_type.clone());
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(emit.take_needed(&mut self.counts)))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Option<T::Native>>() + self.counts.capacity() * size_of::<i64>()
    }
}
