//! coalesce, if, nvl, nullif, greatest, least and kin: one of the arguments.
//!
//! What may not be evaluated for every row becomes CASE, which evaluates only what it needs.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{interleave, is_not_null, is_null};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, ExprSchemable, when};

use super::cast;
use super::error::{fails, refused};
use super::function::{Call, Shape};
use super::order::Comparable;
use super::types;

/// The widest of all arguments' types.
pub(super) fn widest(shape: &Shape<'_>) -> Result<DataType> {
    Ok(shape.types.last().cloned().unwrap_or(DataType::Null))
}

/// `coalesce(…)`: the first that is not null.
pub(super) fn coalesce(call: &Call<'_>) -> Result<ArrayRef> {
    let nulls: Vec<_> = (0..call.len()).map(|at| call.raw(at).logical_nulls()).collect();
    let last = call.len() - 1;
    choose(call, |row| {
        let is_valid = |at: &usize| nulls[*at].as_ref().is_none_or(|n| n.is_valid(call.row(*at, row)));
        Some((0..last).find(is_valid).unwrap_or(last))
    })
}

/// Per row the value of the argument that `which` names, or null.
fn choose(call: &Call<'_>, which: impl Fn(usize) -> Option<usize>) -> Result<ArrayRef> {
    if *call.returns == DataType::Null {
        return Ok(arrow::array::new_null_array(&DataType::Null, call.rows));
    }
    let null = arrow::array::new_null_array(call.returns, 1);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(call.len() + 1);
    for at in 0..call.len() {
        let is_of_type = call.raw(at).data_type() == call.returns;
        columns.push(Arc::clone(if is_of_type { call.raw(at) } else { &null }));
    }
    columns.push(null);
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let place = |row| which(row).map_or((call.len(), 0), |at| (at, call.row(at, row)));
    Ok(interleave(&columns, &(0..call.rows).map(place).collect::<Vec<_>>())?)
}

/// `if(condition, a, b)`.
pub(super) fn if_else(call: &Call<'_>) -> Result<ArrayRef> {
    let condition = call.column::<BooleanArray>(0)?;
    choose(call, |row| Some(if condition.get(row) == Some(true) { 1 } else { 2 }))
}

/// `nvl2(x, a, b)`: a where x is not null.
pub(super) fn nvl2(call: &Call<'_>) -> Result<ArrayRef> {
    let nulls = call.raw(0).logical_nulls();
    choose(call, |row| Some(if nulls.as_ref().is_none_or(|n| n.is_valid(call.row(0, row))) { 1 } else { 2 }))
}

/// A condition and two values of one type.
pub(super) fn condition_and_alike(given: &[DataType]) -> Result<Vec<DataType>> {
    types::rest_alike(given)
}

/// Rewrites coalesce, nvl and ifnull, unless everything but the first argument is at hand anyway.
pub(super) fn lazy_coalesce(args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let given = args.iter().map(|a| Ok(types::plain(&a.get_type(info.schema())?))).collect::<Result<Vec<_>>>()?;
    let target = types::widest(&given)?;
    let is_at_hand = |(e, t): (&Expr, &DataType)| {
        let has_type = *t == target || *t == DataType::Null;
        has_type && matches!(e, Expr::Column(_) | Expr::Literal(..))
    };
    if args.len() < 2 || args.iter().zip(&given).skip(1).all(is_at_hand) {
        return Ok(ExprSimplifyResult::Original(args));
    }
    let mut args = alike(args, info)?;
    let Some(mut rest) = args.pop() else { return Ok(ExprSimplifyResult::Original(args)) };
    while let Some(arg) = args.pop() {
        rest = when(arg.clone().is_not_null(), arg).otherwise(rest)?;
    }
    Ok(ExprSimplifyResult::Simplified(rest))
}

/// Rewrites `if`.
pub(super) fn lazy_if(mut args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let branches = alike(args.split_off(1), info)?;
    let condition = cast_to(args.remove(0), &DataType::Boolean, info)?;
    let [yes, no] = two(branches);
    Ok(ExprSimplifyResult::Simplified(when(condition, yes).otherwise(no)?))
}

/// Rewrites `nvl2`.
pub(super) fn lazy_nvl2(mut args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let branches = alike(args.split_off(1), info)?;
    let [yes, no] = two(branches);
    Ok(ExprSimplifyResult::Simplified(when(args.remove(0).is_not_null(), yes).otherwise(no)?))
}

fn two(branches: Vec<Expr>) -> [Expr; 2] {
    branches.try_into().expect("the parameter list asks for two branches")
}

/// The arguments, each cast to the widest of their types.
fn alike(args: Vec<Expr>, info: &SimplifyContext) -> Result<Vec<Expr>> {
    let given = args.iter().map(|a| Ok(types::plain(&a.get_type(info.schema())?))).collect::<Result<Vec<_>>>()?;
    let target = types::widest(&given)?;
    args.into_iter().map(|a| cast_to(a, &target, info)).collect()
}

fn cast_to(expr: Expr, target: &DataType, info: &SimplifyContext) -> Result<Expr> {
    if expr.get_type(info.schema())? == *target {
        return Ok(expr);
    }
    let of_type = Expr::Literal(ScalarValue::try_from(target)?, None);
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(super::implicit_cast(), vec![expr, of_type])))
}

/// `$cast(x, NULL of a type)`: Spark's implicit cast. No one can write its name.
pub(super) fn cast_like(call: &Call<'_>) -> Result<ArrayRef> {
    cast::to(&call.array(0)?, call.returns, &call.zone()?)
}

/// Two values that can be compared; each stays what it is.
pub(super) fn comparable(given: &[DataType]) -> Result<Vec<DataType>> {
    types::widest(given).map_err(|_| {
        let (left, right) = (types::sql_name(&given[0]), types::sql_name(&given[1]));
        let message =
            format!("the left and right operands of the binary operator have incompatible types ({left} and {right}).");
        refused("DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", message)
    })?;
    Ok(given.to_vec())
}

/// `nullif(a, b)`: null where they are equal, otherwise a as it is.
pub(super) fn nullif(call: &Call<'_>) -> Result<ArrayRef> {
    let equal = equal_rows(call)?;
    choose(call, |row| (equal(row) != Some(true)).then_some(0))
}

/// `equal_null(a, b)`: equal, or both null.
pub(super) fn equal_null(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.raw(0).logical_nulls(), call.raw(1).logical_nulls());
    let equal = equal_rows(call)?;
    let is_null = |nulls: &Option<arrow::buffer::NullBuffer>, at: usize| nulls.as_ref().is_some_and(|n| n.is_null(at));
    super::rows::booleans(call.rows, |row| {
        let both = (is_null(&left, call.row(0, row)), is_null(&right, call.row(1, row)));
        Ok(Some(if both.0 || both.1 { both.0 && both.1 } else { equal(row) == Some(true) }))
    })
}

/// Whether the first two arguments are equal in a row; `None` if one is null.
fn equal_rows(call: &Call<'_>) -> Result<impl Fn(usize) -> Option<bool>> {
    let target = types::widest(&[call.raw(0).data_type().clone(), call.raw(1).data_type().clone()])?;
    let zone = call.zone()?;
    let (left, right) = (cast::to(call.raw(0), &target, &zone)?, cast::to(call.raw(1), &target, &zone)?);
    let comparable = Comparable::new(&target)?;
    let (l, r) = (comparable.rows(&left)?, comparable.rows(&right)?);
    let (left_nulls, right_nulls) = (left.logical_nulls(), right.logical_nulls());
    let constants = [call.is_constant(0), call.is_constant(1)];
    Ok(move |row: usize| {
        let (a, b) = (if constants[0] { 0 } else { row }, if constants[1] { 0 } else { row });
        let are_valid =
            left_nulls.as_ref().is_none_or(|n| n.is_valid(a)) && right_nulls.as_ref().is_none_or(|n| n.is_valid(b));
        are_valid.then(|| l.row(a) == r.row(b))
    })
}

/// `greatest(…)`: nulls do not count.
pub(super) fn greatest(call: &Call<'_>) -> Result<ArrayRef> {
    extreme(call, Ordering::Greater)
}

/// `least(…)`.
pub(super) fn least(call: &Call<'_>) -> Result<ArrayRef> {
    extreme(call, Ordering::Less)
}

fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let comparable = Comparable::new(call.returns)?;
    let rows = (0..call.len()).map(|at| comparable.rows(call.raw(at))).collect::<Result<Vec<_>>>()?;
    let nulls: Vec<_> = (0..call.len()).map(|at| call.raw(at).logical_nulls()).collect();
    choose(call, |row| {
        let is_valid = |at: &usize| nulls[*at].as_ref().is_none_or(|n| n.is_valid(call.row(*at, row)));
        let value = |at: usize| rows[at].row(call.row(at, row));
        (0..call.len())
            .filter(is_valid)
            .reduce(|best, at| if value(at).cmp(&value(best)) == wanted { at } else { best })
    })
}

/// `isnull(x)`.
pub(super) fn isnull(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(is_null(&call.array(0)?)?))
}

/// `isnotnull(x)`.
pub(super) fn isnotnull(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(is_not_null(&call.array(0)?)?))
}

/// `zeroifnull(x)`.
pub(super) fn zeroifnull(call: &Call<'_>) -> Result<ArrayRef> {
    let zero = cast::plain(&(Arc::new(arrow::array::Int32Array::from(vec![0])) as ArrayRef), call.returns)?;
    let array = call.raw(0);
    let place = |row| if array.is_null(call.row(0, row)) { (1, 0) } else { (0, call.row(0, row)) };
    Ok(interleave(&[array.as_ref(), zero.as_ref()], &(0..call.rows).map(place).collect::<Vec<_>>())?)
}

/// INT where the argument is NULL itself.
pub(super) fn number_or_int(t: &DataType) -> Option<DataType> {
    if *t == DataType::Null { Some(DataType::Int32) } else { types::number(t) }
}

/// `nullifzero(x)`.
pub(super) fn nullifzero(call: &Call<'_>) -> Result<ArrayRef> {
    let zero = cast::plain(&(Arc::new(arrow::array::Int32Array::from(vec![0])) as ArrayRef), call.returns)?;
    let comparable = Comparable::new(call.returns)?;
    let (values, zero) = (comparable.rows(call.raw(0))?, comparable.rows(&zero)?);
    choose(call, |row| (values.row(call.row(0, row)) != zero.row(0)).then_some(0))
}

/// `assert_true(condition [, message])`.
pub(super) fn assert_true(call: &Call<'_>) -> Result<ArrayRef> {
    let condition = call.column::<BooleanArray>(0)?;
    let message = if call.has(1) { Some(call.column::<StringArray>(1)?) } else { None };
    for row in 0..call.rows {
        if condition.get(row) != Some(true) {
            let given = message.as_ref().and_then(|m| m.get(row));
            return Err(fails("USER_RAISED_EXCEPTION", given.unwrap_or("the condition is not true!")));
        }
    }
    Ok(arrow::array::new_null_array(&DataType::Null, call.rows))
}

/// `raise_error(message)`.
pub(super) fn raise_error(call: &Call<'_>) -> Result<ArrayRef> {
    if call.rows == 0 {
        return Ok(arrow::array::new_null_array(&DataType::Null, 0));
    }
    let message = call.raw(0).as_string::<i32>();
    Err(fails("USER_RAISED_EXCEPTION", if message.is_valid(0) { message.value(0) } else { "null" }))
}
