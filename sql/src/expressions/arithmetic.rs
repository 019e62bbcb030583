//! `+ - * / % DIV` and unary minus on numbers.
//!
//! | operands | result | error |
//! |---|---|---|
//! | whole numbers, `+ - *` | the wider type | `ARITHMETIC_OVERFLOW` |
//! | whole numbers, `/` | DOUBLE | `DIVIDE_BY_ZERO` |
//! | whole numbers or decimals, `DIV` | BIGINT | `DIVIDE_BY_ZERO`, `ARITHMETIC_OVERFLOW` |
//! | `%` | the wider type; the sign is the left operand's | `REMAINDER_BY_ZERO` |
//! | decimals | Spark's precision and scale, rounded half up | `NUMERIC_VALUE_OUT_OF_RANGE` |
//! | a FLOAT or DOUBLE and another | DOUBLE (two FLOATs: FLOAT) | by zero, as above |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::kernels::arity::try_unary;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType,
};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Expr, Operator as DfOperator};

use super::decimal;
use super::error::{different_types, divide_by_zero, negation_overflow, overflow, remainder_by_zero, wrong_type};
use super::operator::{Call, Operator, Shape};
use super::semantics::{Op, Semantics, binary};
use super::types::{adjusted_decimal, common_type, decimal_of, is_numeric};

pub(super) const ADD: Operator =
    Operator { name: "spark_add", returns: |shape| result_type(shape, Op::Add), run: |call| checked(call, Op::Add) };
pub(super) const SUBTRACT: Operator = Operator {
    name: "spark_subtract",
    returns: |shape| result_type(shape, Op::Subtract),
    run: |call| checked(call, Op::Subtract),
};
pub(super) const MULTIPLY: Operator = Operator {
    name: "spark_multiply",
    returns: |shape| result_type(shape, Op::Multiply),
    run: |call| checked(call, Op::Multiply),
};
pub(super) const DIVIDE: Operator =
    Operator { name: "spark_divide", returns: |shape| result_type(shape, Op::Divide), run: divide };
pub(super) const INTEGER_DIVIDE: Operator =
    Operator { name: "spark_div", returns: |_| Ok(DataType::Int64), run: integer_divide };
pub(super) const MODULO: Operator =
    Operator { name: "spark_mod", returns: |shape| result_type(shape, Op::Modulo), run: modulo };
pub(super) const NEGATE: Operator =
    Operator { name: "spark_negative", returns: |shape| Ok(shape.data_type(0).clone()), run: negate };

/// Types the operands and picks the operator.
pub(super) fn arithmetic(semantics: &Semantics<'_>, left: Expr, op: Op, right: Expr) -> Result<Expr> {
    let (left_type, right_type) = (semantics.type_of(&left)?, semantics.type_of(&right)?);
    let refused = || different_types(op.symbol(), &left_type, &right_type);
    let common = common_type(&left_type, &right_type).ok_or_else(refused)?;
    let common = if common.is_null() { DataType::Float64 } else { common };
    if !is_numeric(&common) {
        return Err(wrong_type(op.symbol(), "numbers", &common));
    }
    if op == Op::IntegerDivide && matches!(common, DataType::Float32 | DataType::Float64) {
        let is_same = left_type == right_type
            || matches!(
                (&left_type, &right_type),
                (DataType::Float64, DataType::Decimal128(..)) | (DataType::Decimal128(..), DataType::Float64)
            );
        return Err(if is_same { wrong_type("div", "whole numbers or decimals", &common) } else { refused() });
    }
    if matches!(common, DataType::Decimal128(..)) {
        let (left, right) = (as_decimal(semantics, left, &right_type)?, as_decimal(semantics, right, &left_type)?);
        return Ok(operator(op).call(vec![left, right]));
    }
    let operands = match op {
        Op::Divide => DataType::Float64,
        Op::IntegerDivide => DataType::Int64,
        _ => common,
    };
    let (left, right) = (semantics.cast(left, &operands, false)?, semantics.cast(right, &operands, false)?);
    let is_float = matches!(operands, DataType::Float32 | DataType::Float64);
    Ok(match op {
        Op::Add if is_float => binary(left, DfOperator::Plus, right),
        Op::Subtract if is_float => binary(left, DfOperator::Minus, right),
        Op::Multiply if is_float => binary(left, DfOperator::Multiply, right),
        _ => operator(op).call(vec![left, right]),
    })
}

fn operator(op: Op) -> Operator {
    match op {
        Op::Add => ADD,
        Op::Subtract => SUBTRACT,
        Op::Multiply => MULTIPLY,
        Op::Divide => DIVIDE,
        Op::IntegerDivide => INTEGER_DIVIDE,
        _ => MODULO,
    }
}

/// A whole number beside a decimal becomes the decimal that holds its type; a literal, the one that holds it.
fn as_decimal(semantics: &Semantics<'_>, expr: Expr, other: &DataType) -> Result<Expr> {
    let data_type = semantics.type_of(&expr)?;
    let literal = match &expr {
        Expr::Literal(value, _) if matches!(other, DataType::Decimal128(..)) => match value {
            ScalarValue::Int16(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int32(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int64(Some(value)) => Some(*value),
            _ => None,
        },
        _ => None,
    };
    if let Some(value) = literal {
        let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        let precision = u8::try_from(digits).unwrap_or(19);
        return Ok(Expr::Literal(ScalarValue::Decimal128(Some(i128::from(value)), precision, 0), None));
    }
    match decimal_of(&data_type) {
        Some((precision, scale)) => semantics.cast(expr, &DataType::Decimal128(precision, scale), false),
        None if data_type.is_null() => semantics.cast(expr, other, false),
        None => Err(wrong_type("arithmetic", "numbers", &data_type)),
    }
}

/// The type of a result: Spark's decimal for decimals, otherwise the operands' own.
fn result_type(shape: &Shape<'_>, op: Op) -> Result<DataType> {
    Ok(match (shape.data_type(0), shape.data_type(1)) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => decimal_result(op, (*p1, *s1), (*p2, *s2)),
        (left, _) => left.clone(),
    })
}

/// The decimal that `op` gives.
fn decimal_result(op: Op, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = s1.max(s2);
    match op {
        Op::Add | Op::Subtract => adjusted_decimal((p1 - s1).max(p2 - s2) + scale + 1, scale),
        Op::Multiply => adjusted_decimal(p1 + p2 + 1, s1 + s2),
        Op::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            adjusted_decimal(p1 - s1 + s2 + scale, scale)
        }
        _ => adjusted_decimal((p1 - s1).min(p2 - s2) + scale, scale),
    }
}

/// Runs a kernel for the type of whole number that the operands have.
macro_rules! by_integer {
    ($data_type:expr, $name:ident => $body:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $name = Int8Type;
                $body
            }
            DataType::Int16 => {
                type $name = Int16Type;
                $body
            }
            DataType::Int32 => {
                type $name = Int32Type;
                $body
            }
            DataType::Int64 => {
                type $name = Int64Type;
                $body
            }
            other => Err(DataFusionError::Internal(format!("an arithmetic operator got {other}"))),
        }
    };
}

fn checked(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    let data_type = call.args[0].data_type();
    if let DataType::Decimal128(..) = data_type {
        return decimal::arithmetic(&call.array(0)?, op, &call.array(1)?, call.returns);
    }
    let (left, right) = (call.operand(0)?, call.operand(1)?);
    let kernel = match op {
        Op::Add => numeric::add,
        Op::Subtract => numeric::sub,
        _ => numeric::mul,
    };
    kernel(left.as_ref(), right.as_ref()).map_err(|_| overflow(&data_type))
}

fn divide(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    if let DataType::Decimal128(..) = left.data_type() {
        return decimal::arithmetic(&left, Op::Divide, &right, call.returns);
    }
    let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
    refuse_zero(left, right, divide_by_zero)?;
    Ok(numeric::div(left, right)?)
}

fn integer_divide(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    if let DataType::Decimal128(..) = left.data_type() {
        return decimal::arithmetic(&left, Op::IntegerDivide, &right, call.returns);
    }
    let (left, right) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
    refuse_zero(left, right, divide_by_zero)?;
    numeric::div(left, right).map_err(|_| overflow(&DataType::Int64))
}

fn modulo(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    match left.data_type() {
        DataType::Decimal128(..) => decimal::arithmetic(&left, Op::Modulo, &right, call.returns),
        DataType::Float64 => remainder::<Float64Type>(&left, &right),
        DataType::Float32 => remainder::<Float32Type>(&left, &right),
        data_type => by_integer!(data_type, T => remainder::<T>(&left, &right)),
    }
}

fn remainder<T: ArrowPrimitiveType>(left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    refuse_zero(left, right, remainder_by_zero)?;
    let result: PrimitiveArray<T> =
        arrow::compute::kernels::arity::binary(left, right, |a, b| if b.is_zero() { a } else { a.mod_wrapping(b) })?;
    Ok(Arc::new(result))
}

/// An error if a row divides by zero; null rows do not.
fn refuse_zero<T: ArrowPrimitiveType>(
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    error: fn() -> DataFusionError,
) -> Result<()> {
    if !right.values().iter().any(|value| value.is_zero()) {
        return Ok(());
    }
    let divides = |nth: usize| right.is_valid(nth) && left.is_valid(nth) && right.value(nth).is_zero();
    if (0..right.len()).any(divides) { Err(error()) } else { Ok(()) }
}

fn negate(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    match array.data_type() {
        DataType::Decimal128(precision, scale) => {
            let negated: PrimitiveArray<Decimal128Type> = array.as_primitive::<Decimal128Type>().unary(|value| -value);
            Ok(Arc::new(negated.with_precision_and_scale(*precision, *scale)?))
        }
        DataType::Duration(_) => negated::<DurationMicrosecondType>(&array),
        DataType::Interval(IntervalUnit::YearMonth) => negated::<IntervalYearMonthType>(&array),
        data_type => by_integer!(data_type, T => negated::<T>(&array)),
    }
}

fn negated<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<ArrayRef> {
    let result: Result<PrimitiveArray<T>, ArrowError> =
        try_unary(array.as_primitive::<T>(), ArrowNativeTypeOp::neg_checked);
    Ok(Arc::new(result.map_err(|_| negation_overflow(array.data_type()))?.with_data_type(array.data_type().clone())))
}
