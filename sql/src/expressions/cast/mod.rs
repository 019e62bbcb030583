//! `CAST` and `TRY_CAST`, and the casts that Spark adds by itself.
//!
//! Widening casts are DataFusion's own. All others are `spark_cast(value, 'type', 'zone', 'try')`: the type, the session time
//! zone and whether a value that cannot be cast is null are arguments, since these are what is sent with a plan.

mod nested;
mod numbers;
mod strings;
mod times;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, new_null_array};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Expr, lit};
use millstream_formats::java_time::Zone;

use super::operator::{Call, Operator, Shape};
use super::semantics::{Semantics, plain_cast};
use super::types::{is_integer, is_interval, is_numeric, is_timestamp};
use super::{parse_type, sql_type_name};

pub(super) const CAST: Operator = Operator { name: "spark_cast", returns: cast_type, run: run_cast };

/// How a cast treats values.
#[derive(Clone, Copy)]
struct Mode {
    /// The session time zone.
    zone: Zone,
    /// `TRY_CAST`: null instead of an error.
    is_try: bool,
}

/// `expr` as `to`, by the cheapest expression that has Spark's answer.
pub(super) fn cast(semantics: &Semantics<'_>, expr: Expr, to: &DataType, is_try: bool) -> Result<Expr> {
    let from = semantics.type_of(&expr)?;
    if from == *to {
        return Ok(expr);
    }
    if from.is_null() || is_widening(&from, to) {
        return Ok(plain_cast(expr, to));
    }
    if !is_castable(&from, to) {
        return Err(refused(&from, to));
    }
    let mut args = vec![expr, lit(sql_type_name(to)), lit(semantics.zone().to_string())];
    if is_try {
        args.push(lit("try"));
    }
    Ok(CAST.call(args))
}

/// Refuses what Spark refuses when a query is analysed.
pub(super) fn check(from: &DataType, to: &DataType, _is_try: bool) -> Result<()> {
    if is_castable(from, to) { Ok(()) } else { Err(refused(from, to)) }
}

fn refused(from: &DataType, to: &DataType) -> DataFusionError {
    let condition = match (from, to) {
        (_, DataType::Date32) | (DataType::Date32, _) if is_numeric(from) || is_numeric(to) => {
            "CAST_WITH_FUNC_SUGGESTION"
        }
        (DataType::Boolean, to) if is_timestamp(to) => "CAST_WITH_CONF_SUGGESTION",
        (from, DataType::Binary) if is_integer(from) => "CAST_WITH_CONF_SUGGESTION",
        (from, DataType::Boolean) if is_timestamp(from) || *from == DataType::Date32 => "CAST_WITH_CONF_SUGGESTION",
        _ => "CAST_WITHOUT_SUGGESTION",
    };
    DataFusionError::Plan(format!(
        "[DATATYPE_MISMATCH.{condition}] Cannot resolve the cast due to data type mismatch: cannot cast \"{}\" to \"{}\".",
        sql_type_name(from),
        sql_type_name(to)
    ))
}

/// Whether every value stays the same, and DataFusion's cast says so too.
fn is_widening(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let rank = |data_type: &T| [T::Int8, T::Int16, T::Int32, T::Int64].iter().position(|other| other == data_type);
    match (from, to) {
        _ if is_integer(from) && is_integer(to) => rank(from) < rank(to),
        (_, T::Float32 | T::Float64) if is_integer(from) => true,
        (T::Float32, T::Float64) => true,
        (_, T::Decimal128(precision, scale)) if is_integer(from) => {
            let digits = super::types::decimal_of(from).map_or(0, |(digits, _)| i32::from(digits));
            i32::from(*precision) - i32::from(*scale) >= digits.min(19)
        }
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => {
            s2 >= s1 && i32::from(*p2) - i32::from(*s2) >= i32::from(*p1) - i32::from(*s1)
        }
        (_, T::Utf8) => is_integer(from) || *from == T::Boolean,
        _ => false,
    }
}

/// Spark's table of casts under ANSI rules.
fn is_castable(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        _ if from == to => true,
        (T::Null, _) | (_, T::Utf8) => true,
        (T::Utf8, to) => {
            *to == T::Boolean
                || *to == T::Date32
                || *to == T::Binary
                || is_numeric(to)
                || is_timestamp(to)
                || is_interval(to)
        }
        (T::Boolean, to) => is_numeric(to),
        (from, T::Boolean) => is_numeric(from),
        (from, to) if is_numeric(from) && is_numeric(to) => true,
        (from, T::Timestamp(TimeUnit::Microsecond, Some(_))) if is_numeric(from) => true,
        (T::Timestamp(TimeUnit::Microsecond, Some(_)), to) if is_numeric(to) => true,
        (T::Date32, to) => is_timestamp(to),
        (from, T::Date32) => is_timestamp(from),
        (from, to) if is_timestamp(from) && is_timestamp(to) => true,
        (T::List(from), T::List(to)) => is_castable(from.data_type(), to.data_type()),
        (T::Map(from, _), T::Map(to, _)) => is_castable(from.data_type(), to.data_type()),
        (T::Struct(from), T::Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| is_castable(from.data_type(), to.data_type()))
        }
        _ => false,
    }
}

fn cast_type(shape: &Shape<'_>) -> Result<DataType> {
    parse_type(shape.text(1))
}

fn run_cast(call: &Call<'_>) -> Result<ArrayRef> {
    let mode = Mode { zone: super::zone(call.text(2))?, is_try: call.text(3) == "try" };
    cast_array(&call.array(0)?, call.returns, mode)
}

/// Casts a whole array, for functions whose arguments Spark casts by itself. `zone` is the session's.
///
/// # Errors
/// Spark's, for a value that cannot be cast; with `is_try` such a value is null.
pub(crate) fn cast_values(array: &ArrayRef, to: &DataType, zone: Zone, is_try: bool) -> Result<ArrayRef> {
    cast_array(array, to, Mode { zone, is_try })
}

/// A whole array as another type.
fn cast_array(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    use DataType as T;
    let from = array.data_type();
    match (from, to) {
        _ if from == to => Ok(Arc::clone(array)),
        (T::Null, to) => Ok(new_null_array(to, array.len())),
        (from, T::Utf8) => strings::to_string(array, from, mode),
        (T::Utf8, T::Binary) => Ok(Arc::new(BinaryArray::from(array.as_string::<i32>().clone()))),
        (T::Utf8, to) => strings::of_string(array.as_string::<i32>(), to, mode),
        (T::List(_) | T::Map(..) | T::Struct(_), to) => nested::cast(array, to, mode),
        (from, to) if is_time(from) || is_time(to) => times::cast(array, to, mode),
        (_, to) => numbers::cast(array, to, mode),
    }
}

/// A date or time literal's text, in UTC.
pub(super) fn literal_text(value: &ScalarValue) -> String {
    let mode = Mode { zone: Zone::UTC, is_try: true };
    let text = value.to_array().and_then(|array| cast_array(&array, &DataType::Utf8, mode));
    text.map_or_else(|_| value.to_string(), |text| text.as_string::<i32>().value(0).to_string())
}

fn is_time(data_type: &DataType) -> bool {
    is_timestamp(data_type) || *data_type == DataType::Date32
}
