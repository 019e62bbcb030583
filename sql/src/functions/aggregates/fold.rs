//! Aggregates whose state is one value of the answer's type, combined pair by pair: `min` and `max` of fixed-width types,
//! `bit_and`, `bit_or`, `bit_xor`, `bool_and`, `bool_or`.

use std::marker::PhantomData;
use std::ops::{BitAnd, BitOr, BitXor};
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::EmitTo;

use super::chosen;
use super::function::Call;
use super::groups::{Groups, Rows};

/// `min(x)`.
pub(super) fn min(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    match extreme::<Least>(&call.returns) {
        Some(groups) => Ok(groups),
        None => chosen::extreme(&call.returns, false),
    }
}

/// `max(x)`.
pub(super) fn max(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    match extreme::<Greatest>(&call.returns) {
        Some(groups) => Ok(groups),
        None => chosen::extreme(&call.returns, true),
    }
}

/// `bit_and(x)`.
pub(super) fn bit_and(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    bits::<And>(&call.returns)
}

/// `bit_or(x)`.
pub(super) fn bit_or(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    bits::<Or>(&call.returns)
}

/// `bit_xor(x)`.
pub(super) fn bit_xor(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    bits::<Xor>(&call.returns)
}

/// `bool_and(x)`, `every(x)`.
pub(super) fn bool_and(_: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Box::new(Truth { values: Vec::new(), is_and: true }))
}

/// `bool_or(x)`, `some(x)`, `any(x)`.
pub(super) fn bool_or(_: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Box::new(Truth { values: Vec::new(), is_and: false }))
}

/// How two values become one.
trait Combine<N>: Send + 'static {
    fn combine(old: N, new: N) -> N;
}

struct Least;
struct Greatest;
struct And;
struct Or;
struct Xor;

/// Spark's order of values: NaN is above all, and zeros are equal.
trait Ranked: Copy {
    fn is_less(self, other: Self) -> bool;
}

macro_rules! ranked {
    ($($native:ty),*) => { $(impl Ranked for $native {
        fn is_less(self, other: Self) -> bool { self < other }
    })* };
}

macro_rules! ranked_floats {
    ($($native:ty),*) => { $(impl Ranked for $native {
        fn is_less(self, other: Self) -> bool { self < other || (other.is_nan() && !self.is_nan()) }
    })* };
}

ranked!(i8, i16, i32, i64, i128);
ranked_floats!(f32, f64);

impl<N: Ranked> Combine<N> for Least {
    fn combine(old: N, new: N) -> N {
        if new.is_less(old) { new } else { old }
    }
}

impl<N: Ranked> Combine<N> for Greatest {
    fn combine(old: N, new: N) -> N {
        if old.is_less(new) { new } else { old }
    }
}

impl<N: BitAnd<Output = N>> Combine<N> for And {
    fn combine(old: N, new: N) -> N {
        old & new
    }
}

impl<N: BitOr<Output = N>> Combine<N> for Or {
    fn combine(old: N, new: N) -> N {
        old | new
    }
}

impl<N: BitXor<Output = N>> Combine<N> for Xor {
    fn combine(old: N, new: N) -> N {
        old ^ new
    }
}

fn extreme<C>(data_type: &DataType) -> Option<Box<dyn Groups>>
where
    C: Combine<i8> + Combine<i16> + Combine<i32> + Combine<i64> + Combine<i128> + Combine<f32> + Combine<f64>,
{
    Some(match data_type {
        DataType::Int8 => Fold::<Int8Type, C>::new(data_type),
        DataType::Int16 => Fold::<Int16Type, C>::new(data_type),
        DataType::Int32 => Fold::<Int32Type, C>::new(data_type),
        DataType::Int64 => Fold::<Int64Type, C>::new(data_type),
        DataType::Float32 => Fold::<Float32Type, C>::new(data_type),
        DataType::Float64 => Fold::<Float64Type, C>::new(data_type),
        DataType::Date32 => Fold::<Date32Type, C>::new(data_type),
        DataType::Timestamp(..) => Fold::<TimestampMicrosecondType, C>::new(data_type),
        DataType::Duration(_) => Fold::<DurationMicrosecondType, C>::new(data_type),
        DataType::Interval(IntervalUnit::YearMonth) => Fold::<IntervalYearMonthType, C>::new(data_type),
        DataType::Decimal128(..) => Fold::<Decimal128Type, C>::new(data_type),
        _ => return None,
    })
}

fn bits<C>(data_type: &DataType) -> Result<Box<dyn Groups>>
where
    C: Combine<i8> + Combine<i16> + Combine<i32> + Combine<i64>,
{
    Ok(match data_type {
        DataType::Int8 => Fold::<Int8Type, C>::new(data_type),
        DataType::Int16 => Fold::<Int16Type, C>::new(data_type),
        DataType::Int32 => Fold::<Int32Type, C>::new(data_type),
        DataType::Int64 => Fold::<Int64Type, C>::new(data_type),
        other => return internal_err!("no bits in {other}"),
    })
}

struct Fold<T: ArrowPrimitiveType, C> {
    data_type: DataType,
    values: Vec<Option<T::Native>>,
    combine: PhantomData<fn() -> C>,
}

impl<T: ArrowPrimitiveType, C: Combine<T::Native>> Fold<T, C> {
    #[expect(clippy::new_ret_no_self, reason = "what is made is an aggregate of any type")]
    fn new(data_type: &DataType) -> Box<dyn Groups> {
        Box::new(Self { data_type: data_type.clone(), values: Vec::new(), combine: PhantomData })
    }
}

impl<T: ArrowPrimitiveType, C: Combine<T::Native>> Groups for Fold<T, C> {
    fn fresh(&self) -> Box<dyn Groups> {
        Self::new(&self.data_type)
    }

    fn resize(&mut self, count: usize) {
        self.values.resize(count, None);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (values, array) = (&mut self.values, args[0].as_primitive::<T>().values());
        rows.known(&args[0]).each(|row, group| {
            let new = array[row];
            let value = &mut values[group];
            *value = Some(value.map_or(new, |old| C::combine(old, new)));
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        self.update(states, rows)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let values = PrimitiveArray::<T>::from_iter(emit.take_needed(&mut self.values));
        Ok(Arc::new(values.with_data_type(self.data_type.clone())))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}

struct Truth {
    values: Vec<Option<bool>>,
    is_and: bool,
}

impl Groups for Truth {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { values: Vec::new(), is_and: self.is_and })
    }

    fn resize(&mut self, count: usize) {
        self.values.resize(count, None);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (values, is_and, array) = (&mut self.values, self.is_and, args[0].as_boolean());
        rows.known(&args[0]).each(|row, group| {
            let new = array.value(row);
            let value = &mut values[group];
            *value = Some(value.map_or(new, |old| if is_and { old & new } else { old | new }));
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        self.update(states, rows)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::from_iter(emit.take_needed(&mut self.values))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn size(&self) -> usize {
        self.values.capacity()
    }
}
