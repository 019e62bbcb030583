//! struct and named_struct.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr;

use super::error::refused;
use super::function::{Call, Shape};
use super::types;

/// The arguments of `named_struct` that say the same as these arguments of `struct`: a column or a field gives its name,
/// an alias is one, and the others are `col1`, `col2`, … by position. The planner asks, because names are an expression's
/// and not a value's.
pub fn named_struct_args(args: Vec<Expr>) -> Vec<Expr> {
    let named = |(at, arg): (usize, Expr)| {
        let (name, value) = match arg {
            Expr::Alias(alias) => (alias.name, *alias.expr),
            Expr::Column(column) => (column.name.clone(), Expr::Column(column)),
            Expr::ScalarFunction(call) if call.name() == "get_field" => {
                let name = match call.args.last() {
                    Some(Expr::Literal(ScalarValue::Utf8(Some(name)), _)) => name.clone(),
                    _ => format!("col{}", at + 1),
                };
                (name, Expr::ScalarFunction(call))
            }
            other => (format!("col{}", at + 1), other),
        };
        [Expr::Literal(ScalarValue::Utf8(Some(name)), None), value]
    };
    args.into_iter().enumerate().flat_map(named).collect()
}

/// The type of `struct(…)` where nobody has named the fields: `col1`, `col2`, …
pub(super) fn struct_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(types::struct_of(shape.types.iter().enumerate().map(|(at, t)| (format!("col{}", at + 1), t.clone()))))
}

/// The type of `named_struct(…)`: its names are constants.
pub(super) fn named_struct_type(shape: &Shape<'_>) -> Result<DataType> {
    if !shape.types.len().is_multiple_of(2) {
        return Err(refused("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "The `named_struct` requires 2n (n > 0) parameters."));
    }
    let fields = (0..shape.types.len()).step_by(2).map(|at| {
        let name = match shape.constants[at] {
            Some(
                ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) | ScalarValue::LargeUtf8(Some(name)),
            ) => name,
            _ => {
                return Err(refused(
                    "DATATYPE_MISMATCH.CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING",
                    "Only foldable `STRING` expressions are allowed to appear at odd position of named_struct.",
                ));
            }
        };
        Ok((name.clone(), shape.types[at + 1].clone()))
    });
    Ok(types::struct_of(fields.collect::<Result<Vec<_>>>()?))
}

/// `struct(…)`.
pub(super) fn create(call: &Call<'_>) -> Result<ArrayRef> {
    of_arguments(call, 0, 1)
}

/// `named_struct(name, value, …)`.
pub(super) fn named_struct(call: &Call<'_>) -> Result<ArrayRef> {
    of_arguments(call, 1, 2)
}

fn of_arguments(call: &Call<'_>, from: usize, step: usize) -> Result<ArrayRef> {
    let DataType::Struct(fields) = call.returns else {
        return Err(DataFusionError::Internal(format!("{} gives {}", call.name, call.returns)));
    };
    let columns: Vec<ArrayRef> = (from..call.len()).step_by(step).map(|at| call.array(at)).collect::<Result<_>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, call.rows)?))
}
