//! The errors that values cause, with Spark's conditions.

use std::fmt::Display;

use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use millstream_formats::ddl::sql_type_name;

/// An error that a row causes while a query runs.
pub(crate) fn runtime(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(message.into())
}

pub(super) fn overflow(data_type: &DataType) -> DataFusionError {
    let condition = match data_type {
        DataType::Int8 | DataType::Int16 => "BINARY_ARITHMETIC_OVERFLOW",
        _ => "ARITHMETIC_OVERFLOW",
    };
    runtime(format!(
        "[{condition}] the result is out of the range of {}. Use try_add, try_subtract or try_multiply to get NULL instead.",
        sql_type_name(data_type)
    ))
}

pub(super) fn negation_overflow(data_type: &DataType) -> DataFusionError {
    runtime(format!("[ARITHMETIC_OVERFLOW] the smallest {} has no opposite.", sql_type_name(data_type)))
}

pub(super) fn divide_by_zero() -> DataFusionError {
    runtime("[DIVIDE_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.")
}

pub(super) fn remainder_by_zero() -> DataFusionError {
    runtime("[REMAINDER_BY_ZERO] Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead.")
}

pub(super) fn decimal_out_of_range(value: impl Display, precision: u8, scale: i8) -> DataFusionError {
    runtime(format!(
        "[NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION] The {value} cannot be represented as Decimal({precision}, {scale}). \
         Use a larger type, or `try_cast` to get NULL instead."
    ))
}

pub(super) fn invalid_input(value: impl Display, from: &DataType, to: &DataType) -> DataFusionError {
    runtime(format!(
        "[CAST_INVALID_INPUT] The value '{value}' of the type \"{}\" cannot be cast to \"{}\" because it is malformed. Correct the value as per \
         the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead.",
        sql_type_name(from),
        sql_type_name(to)
    ))
}

pub(super) fn cast_overflow(value: impl Display, from: &DataType, to: &DataType) -> DataFusionError {
    runtime(format!(
        "[CAST_OVERFLOW] The value {value} of the type \"{}\" cannot be cast to \"{}\" due to an overflow. Use `try_cast` to tolerate overflow and \
         return NULL instead.",
        sql_type_name(from),
        sql_type_name(to)
    ))
}

/// Two operands whose types do not go together.
pub(super) fn different_types(operator: &str, left: &DataType, right: &DataType) -> DataFusionError {
    DataFusionError::Plan(format!(
        "[DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES] Cannot resolve \"{operator}\" due to data type mismatch: the left and right operands of the binary \
         operator have incompatible types (\"{}\" and \"{}\").",
        sql_type_name(left),
        sql_type_name(right)
    ))
}

/// An operand that an operator does not take.
pub(super) fn wrong_type(operator: &str, expected: &str, found: &DataType) -> DataFusionError {
    DataFusionError::Plan(format!(
        "[DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE] Cannot resolve \"{operator}\" due to data type mismatch: the operator requires {expected}, not \"{}\".",
        sql_type_name(found)
    ))
}
