//! `sum` and `try_sum`: BIGINT, DOUBLE, decimals with ten more digits, intervals. What does not fit is an error, or null for
//! `try_sum`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DecimalType, DurationMicrosecondType, Float64Type, Int64Type, IntervalUnit,
    IntervalYearMonthType,
};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::logical_expr::EmitTo;

use super::function::Call;
use super::groups::{Groups, Rows};
use crate::functions::error::{fails, overflow};

/// `sum(x)`.
pub(super) fn sum(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    make(call, false)
}

/// `try_sum(x)`.
pub(super) fn try_sum(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    make(call, true)
}

/// The sum, and for decimals whether it was lost.
pub(super) fn state(_: &[DataType], returns: &DataType) -> Vec<DataType> {
    match returns {
        DataType::Decimal128(..) => vec![returns.clone(), DataType::Boolean],
        _ => vec![returns.clone()],
    }
}

/// The sum, and whether it was lost.
pub(super) fn try_state(_: &[DataType], returns: &DataType) -> Vec<DataType> {
    vec![returns.clone(), DataType::Boolean]
}

/// The type of a sum.
pub(super) fn sum_type(types: &[DataType]) -> DataType {
    match &types[0] {
        DataType::Decimal128(precision, scale) => DataType::Decimal128((precision + 10).min(38), *scale),
        other => other.clone(),
    }
}

/// A sum that did not fit, as an error of Spark's.
pub(super) fn lost(data_type: &DataType, function: &str) -> DataFusionError {
    match data_type {
        DataType::Duration(_) | DataType::Interval(_) => fails(
            "INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION",
            format!(
                "Integer overflow while operating with intervals. Use `try_{function}` to tolerate overflow and return NULL instead."
            ),
        ),
        DataType::Decimal128(precision, scale) => fails(
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
            format!(
                "The {function} cannot be represented as Decimal({precision}, {scale}). Use `try_{function}` to tolerate overflow and return NULL instead."
            ),
        ),
        _ => overflow(function),
    }
}

/// Values that can be added.
pub(super) trait Summand: ArrowPrimitiveType<Native: ArrowNativeTypeOp> {
    /// Whether a sum fits its type; what does not fit the native type never comes here.
    fn fits(_: Self::Native, _: &DataType) -> bool {
        true
    }
}

impl Summand for Int64Type {}
impl Summand for Float64Type {}
impl Summand for DurationMicrosecondType {}
impl Summand for IntervalYearMonthType {}
impl Summand for Decimal128Type {
    fn fits(value: i128, data_type: &DataType) -> bool {
        match data_type {
            DataType::Decimal128(precision, _) => Self::is_valid_decimal_precision(value, *precision),
            _ => true,
        }
    }
}

fn make(call: &Call<'_>, is_try: bool) -> Result<Box<dyn Groups>> {
    Ok(match &call.returns {
        DataType::Int64 => Sum::<Int64Type>::new(&call.returns, is_try),
        DataType::Float64 => Sum::<Float64Type>::new(&call.returns, is_try),
        DataType::Decimal128(..) => Sum::<Decimal128Type>::new(&call.returns, is_try),
        DataType::Duration(_) => Sum::<DurationMicrosecondType>::new(&call.returns, is_try),
        DataType::Interval(IntervalUnit::YearMonth) => Sum::<IntervalYearMonthType>::new(&call.returns, is_try),
        other => return internal_err!("no sum of {other}"),
    })
}

struct Sum<T: Summand> {
    data_type: DataType,
    is_try: bool,
    sums: Vec<Option<T::Native>>,
    /// Groups whose sum did not fit. Only kept where that is no error at once.
    lost: Vec<bool>,
}

impl<T: Summand> Sum<T> {
    #[expect(clippy::new_ret_no_self, reason = "what is made is an aggregate of any type")]
    fn new(data_type: &DataType, is_try: bool) -> Box<dyn Groups> {
        Box::new(Self { data_type: data_type.clone(), is_try, sums: Vec::new(), lost: Vec::new() })
    }

    fn is_decimal(&self) -> bool {
        matches!(self.data_type, DataType::Decimal128(..))
    }

    /// A decimal's sum may leave its type and come back; others fail at once.
    fn is_lenient(&self) -> bool {
        self.is_try || self.is_decimal()
    }

    fn take(&mut self, emit: EmitTo) -> (PrimitiveArray<T>, Vec<bool>) {
        let mut sums = emit.take_needed(&mut self.sums);
        let mut lost = Vec::new();
        if self.is_lenient() {
            lost = emit.take_needed(&mut self.lost);
            for (sum, lost) in sums.iter_mut().zip(&mut lost) {
                *lost |= sum.is_some_and(|sum| !T::fits(sum, &self.data_type));
                *sum = sum.filter(|_| !*lost);
            }
        }
        (PrimitiveArray::from_iter(sums).with_data_type(self.data_type.clone()), lost)
    }
}

impl<T: Summand> Groups for Sum<T> {
    fn fresh(&self) -> Box<dyn Groups> {
        Self::new(&self.data_type, self.is_try)
    }

    fn resize(&mut self, count: usize) {
        self.sums.resize(count, None);
        if self.is_lenient() {
            self.lost.resize(count, false);
        }
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let is_lenient = self.is_lenient();
        let (sums, values) = (&mut self.sums, args[0].as_primitive::<T>().values());
        let (lost_groups, data_type) = (&mut self.lost, &self.data_type);
        rows.known(&args[0]).try_each(|row, group| {
            let sum = &mut sums[group];
            match sum.map_or(Ok(values[row]), |sum| sum.add_checked(values[row])) {
                Ok(added) => *sum = Some(added),
                Err(_) if is_lenient => lost_groups[group] = true,
                Err(_) => return Err(lost(data_type, "sum")),
            }
            Ok(())
        })
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        if let Some(flags) = states.get(1) {
            let (lost_groups, flags) = (&mut self.lost, flags.as_boolean());
            rows.each(|row, group| lost_groups[group] |= flags.is_valid(row) && flags.value(row));
        }
        self.update(&states[..1], rows)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, lost_groups) = self.take(emit);
        if !self.is_try && lost_groups.contains(&true) {
            return Err(lost(&self.data_type, "sum"));
        }
        Ok(Arc::new(sums))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, lost_groups) = self.take(emit);
        let mut state: Vec<ArrayRef> = vec![Arc::new(sums)];
        if self.is_lenient() {
            state.push(Arc::new(BooleanArray::from(lost_groups)));
        }
        Ok(state)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Option<T::Native>>() + self.lost.capacity()
    }
}
