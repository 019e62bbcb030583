//! explode and kin: functions that make rows, and how a SELECT with one becomes a plan.
//!
//! A generator's kernel makes each row's output as one array (json_tuple: one struct); the plan around it spreads it:
//! ```text
//! SELECT a, explode(m) AS (k, v)   =   Projection: a, rows.key AS k, rows.value AS v
//!                                        Unnest: rows
//!                                          Projection: a, explode(m) AS rows
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, NullHandling, Result, ScalarValue, UnnestOptions};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection};

use super::arrays::element_field;
use super::error::refused;
use super::function::{Call, Shape};
use super::types;

/// The column that carries a generator's output between the nodes of its plan.
const ROWS: &str = "$rows";

/// The generators: what each makes of its output, and whether it keeps a row that gives none.
const GENERATORS: &[(&str, Output, Kept)] = &[
    ("explode", Output::Element, Kept::No),
    ("explode_outer", Output::Element, Kept::Yes),
    ("posexplode", Output::Fields, Kept::No),
    ("posexplode_outer", Output::Fields, Kept::Yes),
    ("inline", Output::Fields, Kept::No),
    ("inline_outer", Output::Fields, Kept::Yes),
    ("stack", Output::Fields, Kept::No),
    ("json_tuple", Output::Struct, Kept::Yes),
];

#[derive(Clone, Copy, PartialEq)]
enum Output {
    /// An array whose elements are the column `col`, or a map's entries.
    Element,
    /// An array of structs whose fields are the columns.
    Fields,
    /// One struct whose fields are the columns.
    Struct,
}

#[derive(Clone, Copy, PartialEq)]
enum Kept {
    No,
    Yes,
}

/// Whether an expression is a call of a generator, under aliases or not.
pub fn is_generator(expr: &Expr) -> bool {
    generator(expr).is_some()
}

fn generator(expr: &Expr) -> Option<(&ScalarFunction, Output, Kept)> {
    match expr {
        Expr::Alias(alias) => generator(&alias.expr),
        Expr::ScalarFunction(call) => {
            let (_, output, kept) = GENERATORS.iter().find(|(name, ..)| *name == call.name())?;
            Some((call, *output, *kept))
        }
        _ => None,
    }
}

/// The columns that a generator gives, by the names and types that Spark gives them.
///
/// # Errors
/// For an expression that is no generator, or whose arguments are of the wrong type.
pub fn generator_columns(expr: &Expr, input: &DFSchema) -> Result<Vec<(String, DataType)>> {
    let Some((call, output, _)) = generator(expr) else {
        return Err(DataFusionError::Internal(format!("{expr} is no generator")));
    };
    let of_map = call.args.first().is_some_and(|a| matches!(a.get_type(input), Ok(DataType::Map(..))));
    let data_type = Expr::ScalarFunction(call.clone()).get_type(input)?;
    let row = if output == Output::Struct { data_type } else { types::element(&data_type)? };
    match row {
        DataType::Struct(fields) if output != Output::Element || of_map => {
            Ok(fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect())
        }
        element => Ok(vec![("col".to_string(), element)]),
    }
}

/// The plan of a SELECT list with a generator in it: `before`, the generator's columns, `after`.
///
/// `names` are the columns' names (`AS (k, v)`); none means Spark's.
///
/// # Errors
/// A wrong number of names; a second generator in the list; arguments of the wrong type.
pub fn project_generator(
    input: LogicalPlan,
    before: Vec<Expr>,
    generated: &Expr,
    names: &[String],
    after: Vec<Expr>,
) -> Result<LogicalPlan> {
    if before.iter().chain(&after).any(is_generator) {
        return Err(refused(
            "UNSUPPORTED_GENERATOR.MULTI_GENERATOR",
            "The generator is not supported: only one generator allowed per SELECT clause.",
        ));
    }
    let Some((call, output, kept)) = generator(generated) else {
        return Err(DataFusionError::Internal(format!("{generated} is no generator")));
    };
    let columns = generator_columns(generated, input.schema())?;
    let names: Vec<String> =
        if names.is_empty() { columns.iter().map(|(n, _)| n.clone()).collect() } else { names.to_vec() };
    if names.len() != columns.len() {
        return Err(refused(
            "UDTF_ALIAS_NUMBER_MISMATCH",
            format!(
                "The number of aliases supplied in the AS clause does not match the number of columns output by the UDTF. Expected {} aliases, but got {}.",
                columns.len(),
                names.join(",")
            ),
        ));
    }
    let first_after = before.len();
    let kept_columns: Vec<(Expr, Expr)> = before.into_iter().chain(after).enumerate().map(carried).collect();
    let mut inner: Vec<Expr> = kept_columns.iter().map(|(inner, _)| inner.clone()).collect();
    inner.push(Expr::ScalarFunction(call.clone()).alias(ROWS));
    let mut builder = LogicalPlanBuilder::from(input).project(inner)?;
    if output != Output::Struct {
        let null_handling = if kept == Kept::Yes { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
        let options = UnnestOptions::new().with_null_handling(null_handling);
        builder = builder.unnest_columns_with_options(vec![Column::from_name(ROWS)], options)?;
    }
    let is_one = columns.len() == 1 && columns[0].0 == "col" && output == Output::Element;
    let spread = columns.iter().zip(&names).map(|((field, _), name)| {
        let rows = Expr::Column(Column::from_name(ROWS));
        if is_one { rows.alias(name) } else { field_of(rows, field).alias(name) }
    });
    let mut outer: Vec<Expr> = kept_columns.into_iter().map(|(_, outer)| outer).collect();
    outer.splice(first_after..first_after, spread);
    builder.project(outer)?.build()
}

/// What the inner projection computes, and what the outer one takes over under the same name.
fn carried((at, expr): (usize, Expr)) -> (Expr, Expr) {
    match expr {
        Expr::Column(column) => (Expr::Column(column.clone()), Expr::Column(column)),
        other => {
            let (relation, name) = other.qualified_name();
            let place = format!("$kept{at}");
            let taken = Expr::Column(Column::from_name(&place));
            let outer = if let Some(relation) = relation {
                taken.alias_qualified(Some(relation), name)
            } else {
                taken.alias(name)
            };
            (other.unalias_nested().data.alias(place), outer)
        }
    }
}

fn field_of(value: Expr, name: &str) -> Expr {
    let name = Expr::Literal(ScalarValue::Utf8(Some(name.to_string())), None);
    Expr::ScalarFunction(ScalarFunction::new_udf(datafusion::functions::core::get_field(), vec![value, name]))
}

/// Replaces every projection that holds a generator; for plans that were not built with [`project_generator`].
///
/// # Errors
/// As [`project_generator`].
pub fn rewrite_generators(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up(|node| match node {
        LogicalPlan::Projection(projection) if projection.expr.iter().any(is_generator) => {
            Ok(Transformed::yes(rewrite_projection(projection)?))
        }
        other => Ok(Transformed::no(other)),
    })?;
    rewritten.data.recompute_schema()
}

fn rewrite_projection(projection: Projection) -> Result<LogicalPlan> {
    let mut before = projection.expr;
    let at = before.iter().position(is_generator).expect("the caller has seen one");
    let mut after = before.split_off(at);
    let generated = after.remove(0);
    let columns = generator_columns(&generated, projection.input.schema())?;
    let names = match &generated {
        Expr::Alias(alias) if columns.len() == 1 => vec![alias.name.clone()],
        _ => Vec::new(),
    };
    project_generator(Arc::unwrap_or_clone(projection.input), before, &generated, &names, after)
}

/// The type of explode's output: an array, or a map's entries as one.
pub(super) fn explode_type(shape: &Shape<'_>) -> Result<DataType> {
    match &shape.types[0] {
        t @ DataType::Map(..) => {
            let (key, value) = types::key_value(t)?;
            Ok(types::array_of(types::struct_of([("key", key), ("value", value)])))
        }
        t => Ok(t.clone()),
    }
}

/// `explode(x)`'s rows.
pub(super) fn explode(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.raw(0).data_type(), DataType::Map(..)) { super::maps::map_entries(call) } else { call.array(0) }
}

/// The type of posexplode's output.
pub(super) fn posexplode_type(shape: &Shape<'_>) -> Result<DataType> {
    let position = ("pos".to_string(), DataType::Int32);
    let fields = match &shape.types[0] {
        t @ DataType::Map(..) => {
            let (key, value) = types::key_value(t)?;
            vec![position, ("key".to_string(), key), ("value".to_string(), value)]
        }
        t => vec![position, ("col".to_string(), types::element(t)?)],
    };
    Ok(types::array_of(types::struct_of(fields)))
}

/// `posexplode(x)`'s rows: each with its position from 0.
pub(super) fn posexplode(call: &Call<'_>) -> Result<ArrayRef> {
    let source = call.array(0)?;
    let (offsets, nulls, values): (_, _, Vec<ArrayRef>) = match source.data_type() {
        DataType::Map(..) => {
            let map = source.as_map();
            (map.offsets().clone(), map.nulls().cloned(), vec![Arc::clone(map.keys()), Arc::clone(map.values())])
        }
        _ => {
            let list = source.as_list::<i32>();
            (list.offsets().clone(), list.nulls().cloned(), vec![Arc::clone(list.values())])
        }
    };
    let size = values[0].len();
    let mut positions = vec![0i32; size];
    for window in offsets.windows(2) {
        (window[0]..window[1]).for_each(|at| positions[at as usize] = at - window[0]);
    }
    let columns: Vec<ArrayRef> =
        std::iter::once(Arc::new(Int32Array::from(positions)) as ArrayRef).chain(values).collect();
    let field = element_field(call.returns)?;
    let structs = Arc::new(StructArray::try_new_with_length(fields_of(&field)?, columns, None, size)?);
    Ok(Arc::new(ListArray::try_new(field, offsets, structs, nulls)?))
}

fn fields_of(field: &FieldRef) -> Result<arrow::datatypes::Fields> {
    match field.data_type() {
        DataType::Struct(fields) => Ok(fields.clone()),
        other => Err(DataFusionError::Internal(format!("{other} is no struct"))),
    }
}

/// An array of structs.
pub(super) fn structs(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::List(field) if matches!(field.data_type(), DataType::Struct(_))).then(|| t.clone())
}

/// How many rows stack makes: its first argument, a constant.
fn stack_rows(shape: &Shape<'_>) -> Result<usize> {
    match shape.constants[0].map(|v| v.cast_to(&DataType::Int32)) {
        Some(Ok(ScalarValue::Int32(Some(n)))) if n > 0 => Ok(n as usize),
        _ => Err(refused("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", "The `n` of `stack` must be a positive constant.")),
    }
}

/// The type of stack's rows: a column each, of its values' widest type.
pub(super) fn stack_type(shape: &Shape<'_>) -> Result<DataType> {
    let rows = stack_rows(shape)?;
    let values = &shape.types[1..];
    let width = values.len().div_ceil(rows);
    let fields = (0..width).map(|column| {
        let of_column: Vec<DataType> = values.iter().skip(column).step_by(width).cloned().collect();
        Ok((format!("col{column}"), types::widest(&of_column)?))
    });
    Ok(types::array_of(types::struct_of(fields.collect::<Result<Vec<_>>>()?)))
}

/// `stack(n, …)`: n rows out of the arguments, the last filled up with nulls.
pub(super) fn stack(call: &Call<'_>) -> Result<ArrayRef> {
    let field = element_field(call.returns)?;
    let fields = fields_of(&field)?;
    let (width, values) = (fields.len(), call.len() - 1);
    let made = call.raw(0).as_primitive::<arrow::datatypes::Int32Type>().value(0) as usize;
    let zone = call.zone()?;
    let mut columns = Vec::with_capacity(width);
    for (column, field) in fields.iter().enumerate() {
        let mut parts = vec![arrow::array::new_null_array(field.data_type(), 1)];
        for at in (column..values).step_by(width) {
            parts.push(super::cast::to(call.raw(at + 1), field.data_type(), &zone)?);
        }
        let place = |row: usize, n: usize| {
            let at = n * width + column;
            if at < values { (n + 1, call.row(at + 1, row)) } else { (0, 0) }
        };
        let places: Vec<(usize, usize)> =
            (0..call.rows).flat_map(|row| (0..made).map(move |n| place(row, n))).collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        columns.push(arrow::compute::interleave(&parts, &places)?);
    }
    let structs = Arc::new(StructArray::try_new_with_length(fields, columns, None, call.rows * made)?);
    let offsets = arrow::buffer::OffsetBuffer::from_repeated_length(made, call.rows);
    Ok(Arc::new(ListArray::try_new(field, offsets, structs, None)?))
}
