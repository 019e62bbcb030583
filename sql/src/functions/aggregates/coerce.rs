//! The types that aggregate functions take, and Spark's refusals of others.

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};

use crate::functions::error::refused;
use crate::functions::order::has_map;
use crate::functions::types::{is_integral, is_numeric, sql_name};

/// `Some` type for an argument that is taken.
type Param = fn(&DataType) -> Option<DataType>;

/// The argument `at` is of a type that the function does not take.
pub(super) fn mismatch(name: &str, at: usize, data_type: &DataType) -> DataFusionError {
    refused(
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        format!(
            "Cannot resolve \"{name}\" due to data type mismatch: parameter {} cannot be of the type {}.",
            at + 1,
            sql_name(data_type)
        ),
    )
}

/// Checks how many arguments there are.
pub(super) fn counted(name: &str, types: &[DataType], least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&types.len()) {
        return Ok(());
    }
    let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(refused(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        format!("The `{name}` requires {expected} parameters but the actual number is {}.", types.len()),
    ))
}

fn all(name: &str, types: &[DataType], params: &[Param]) -> Result<Vec<DataType>> {
    counted(name, types, params.len(), params.len())?;
    let pairs = types.iter().zip(params).enumerate();
    pairs.map(|(at, (data_type, param))| param(data_type).ok_or_else(|| mismatch(name, at, data_type))).collect()
}

/// One argument of any type.
pub(super) fn anything(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    all(name, types, &[|data_type| Some(data_type.clone())])
}

/// Arguments of any types.
pub(super) fn some_of_anything(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    if types.is_empty() {
        let message = format!("The `{name}` requires >= 1 parameters but the actual number is 0.");
        return Err(refused("WRONG_NUM_ARGS.WITH_SUGGESTION", message));
    }
    Ok(types.to_vec())
}

/// What can be summed: BIGINT, DOUBLE, decimals, intervals.
pub(super) fn summed(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    all(name, types, &[|data_type| if is_integral(data_type) { Some(DataType::Int64) } else { added(data_type) }])
}

/// What can be averaged: DOUBLE, decimals, intervals.
pub(super) fn averaged(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    all(name, types, &[|data_type| if is_integral(data_type) { Some(DataType::Float64) } else { added(data_type) }])
}

fn added(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Float32 | DataType::Float64 | DataType::Utf8 | DataType::Null | DataType::Timestamp(_, Some(_)) => {
            Some(DataType::Float64)
        }
        DataType::Decimal128(..) | DataType::Duration(_) | DataType::Interval(_) => Some(data_type.clone()),
        _ => None,
    }
}

/// One DOUBLE.
pub(super) fn double(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    all(name, types, &[as_double])
}

/// Two DOUBLEs.
pub(super) fn two_doubles(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    all(name, types, &[as_double, as_double])
}

fn as_double(data_type: &DataType) -> Option<DataType> {
    (is_numeric(data_type) || matches!(data_type, DataType::Utf8 | DataType::Null)).then_some(DataType::Float64)
}

/// One DOUBLE or interval.
pub(super) fn percentile(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    counted(name, types, 1, 1)?;
    Ok(vec![double_or_interval(&types[0]).ok_or_else(|| no_number(name, &types[0]))?])
}

/// The first argument cannot be interpolated.
pub(super) fn no_number(name: &str, data_type: &DataType) -> DataFusionError {
    match data_type {
        DataType::Date32 | DataType::Timestamp(..) => refused(
            "UNSUPPORTED_TIME_TYPE",
            format!(
                "`{name}` takes numbers and intervals, not {}: approx_percentile takes dates and times.",
                sql_name(data_type)
            ),
        ),
        _ => mismatch(name, 0, data_type),
    }
}

/// DOUBLE for numbers; intervals as they are.
pub(super) fn double_or_interval(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Duration(_) | DataType::Interval(_) => Some(data_type.clone()),
        _ => as_double(data_type),
    }
}

/// One BOOLEAN.
pub(super) fn boolean(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    let param: Param = |data_type| {
        matches!(data_type, DataType::Boolean | DataType::Utf8 | DataType::Null).then_some(DataType::Boolean)
    };
    all(name, types, &[param])
}

/// One integer.
pub(super) fn integer(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    let param: Param = |data_type| match data_type {
        DataType::Null => Some(DataType::Int32),
        data_type => is_integral(data_type).then(|| data_type.clone()),
    };
    all(name, types, &[param])
}

/// One value of a type that has an order.
pub(super) fn orderable(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    counted(name, types, 1, 1)?;
    ordered(name, &types[0])?;
    Ok(types.to_vec())
}

/// A value, and a key of a type that has an order.
pub(super) fn value_and_key(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    counted(name, types, 2, 2)?;
    ordered(name, &types[1])?;
    Ok(types.to_vec())
}

fn ordered(name: &str, data_type: &DataType) -> Result<()> {
    if !has_map(data_type) {
        return Ok(());
    }
    Err(refused(
        "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
        format!(
            "Cannot resolve \"{name}\" due to data type mismatch: the `{name}` does not support ordering on type {}.",
            sql_name(data_type)
        ),
    ))
}

/// One value of a type without maps.
pub(super) fn hashable(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    counted(name, types, 1, 1)?;
    if has_map(&types[0]) {
        return Err(refused(
            "DATATYPE_MISMATCH.UNSUPPORTED_INPUT_TYPE",
            format!(
                "Cannot resolve \"{name}\" due to data type mismatch: the input of `{name}` can't be \"MAP\" type data."
            ),
        ));
    }
    Ok(types.to_vec())
}

/// `mode`'s value, and whether there is an order and which.
pub(super) fn mode(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    counted(name, types, 1, 3)?;
    match types[1..].iter().position(|data_type| *data_type != DataType::Boolean) {
        Some(at) => Err(mismatch(name, at + 1, &types[at + 1])),
        None => hashable(name, &types[..1]).map(|_| types.to_vec()),
    }
}

/// Strings and what is put between them.
pub(super) fn texts(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    counted(name, types, 1, 2)?;
    let text = |(at, data_type): (usize, &DataType)| match data_type {
        DataType::Utf8 | DataType::Null => Ok(DataType::Utf8),
        other if at == 0 && !matches!(other, DataType::Binary) && !other.is_nested() => Ok(DataType::Utf8),
        other => Err(mismatch(name, at, other)),
    };
    types.iter().enumerate().map(text).collect()
}
