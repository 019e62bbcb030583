//! Comparisons of floating point numbers: in Spark NaN equals NaN and is greater than all others, and -0.0 equals 0.0.
//!
//! Arrow's kernels order floats by their bits, so NaN is right already, but -0.0 comes before 0.0: adding 0.0 makes the
//! zeros one.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator, lit};

use super::semantics::binary;

/// Whether values of the type can be -0.0 at the top level.
pub(super) fn has_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// The comparison, with the zeros of both sides made one where zeros can meet.
pub(super) fn compare(left: Expr, op: Operator, right: Expr, data_type: &DataType) -> Expr {
    if is_not_zero(&left) || is_not_zero(&right) {
        return binary(left, op, right);
    }
    binary(one_zero(left, data_type), op, one_zero(right, data_type))
}

fn one_zero(expr: Expr, data_type: &DataType) -> Expr {
    let zero = if *data_type == DataType::Float32 { lit(0.0_f32) } else { lit(0.0_f64) };
    match &expr {
        Expr::Literal(..) => zero,
        _ => binary(expr, Operator::Plus, zero),
    }
}

/// A literal that neither zero equals.
fn is_not_zero(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Float64(value), _) => *value != Some(0.0),
        Expr::Literal(ScalarValue::Float32(value), _) => *value != Some(0.0),
        _ => false,
    }
}
