//! Functions that give rows: `explode`, `posexplode`, `inline`, `stack`, with `_outer`, and `json_tuple`.
//!
//! Each becomes an array below the SELECT, and that array one row an element; with `_outer` (or `LATERAL VIEW OUTER`) a row
//! without elements gives one row of nulls.

use arrow::datatypes::DataType;
use datafusion::common::{Column, DataFusionError, NullHandling, Result, ScalarValue, UnnestOptions};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use sqlparser::ast;

use super::Planner;
use super::call::arguments;
use super::expr::literal_text;
use super::scope::Scope;
use super::select::Item;
use crate::expressions::Semantics;

/// The generators, without `_outer`.
const GENERATORS: &[&str] = &["explode", "posexplode", "inline", "stack", "json_tuple"];

/// Whether a function of this name gives rows.
pub(super) fn is_generator(name: &str) -> bool {
    GENERATORS.contains(&name.strip_suffix("_outer").unwrap_or(name))
}

/// The call, if the expression is one that gives rows.
pub(super) fn generator(expr: &ast::Expr) -> Option<&ast::Function> {
    match expr {
        ast::Expr::Function(function)
            if function.over.is_none() && is_generator(&function.name.to_string().to_lowercase()) =>
        {
            Some(function)
        }
        ast::Expr::Nested(inner) => generator(inner),
        _ => None,
    }
}

impl Planner<'_> {
    /// `plan` with the generator's rows beside its own, and the generator's columns.
    pub(super) fn generate(
        &self,
        plan: LogicalPlan,
        function: &ast::Function,
        outer: bool,
        aliases: &[String],
        scope: &Scope<'_>,
    ) -> Result<(LogicalPlan, Vec<Item>)> {
        let written = function.name.to_string().to_lowercase();
        let (name, outer) = match written.strip_suffix("_outer") {
            Some(name) => (name, true),
            None => (written.as_str(), outer),
        };
        let arguments =
            arguments(function)?.into_iter().map(|argument| self.expr(argument, scope)).collect::<Result<Vec<_>>>()?;
        let semantics = Semantics::new(&scope.schema, &self.zone);
        if name == "json_tuple" {
            let items = self.json_tuple(arguments)?;
            return Ok((plan, renamed(items, aliases, name)?));
        }
        let (array, with_position) = match name {
            "stack" => (self.stack(arguments, &semantics)?, false),
            _ => (one_argument(arguments, name)?, name == "posexplode"),
        };
        let array = elements(array, name, with_position, &semantics)?;
        let column = format!("#rows{}", plan.schema().fields().len());
        let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        columns.push(array.alias(&column));
        let null_handling = if outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
        let options = UnnestOptions { null_handling, ..UnnestOptions::default() };
        let plan = LogicalPlanBuilder::from(plan)
            .project(columns)?
            .unnest_column_with_options(Column::new_unqualified(&column), options)?
            .build()?;
        let row = Expr::Column(Column::new_unqualified(&column));
        let semantics = Semantics::new(plan.schema(), &self.zone);
        let items = match (name, semantics.type_of(&row)?) {
            ("explode", _) if !is_map(&semantics, scope, function, self)? => {
                vec![Item { name: "col".to_string(), expr: row }]
            }
            (_, DataType::Struct(fields)) => fields
                .iter()
                .map(|field| Ok(Item { name: field.name().clone(), expr: semantics.field(row.clone(), field.name())? }))
                .collect::<Result<_>>()?,
            (_, other) => return Err(DataFusionError::Plan(format!("{name} cannot give rows of {other}"))),
        };
        Ok((plan, renamed(items, aliases, name)?))
    }

    /// `stack(n, values…)`: an array of n structs.
    fn stack(&self, mut arguments: Vec<Expr>, semantics: &Semantics<'_>) -> Result<Expr> {
        let rows = match arguments.first() {
            Some(Expr::Literal(ScalarValue::Int32(Some(rows)), _)) if *rows > 0 => usize::try_from(*rows).unwrap_or(1),
            _ => {
                return Err(DataFusionError::Plan("the first argument of stack must be a positive number".to_string()));
            }
        };
        let values = arguments.split_off(1);
        let width = values.len().div_ceil(rows);
        let mut structs = Vec::with_capacity(rows);
        for nth_row in 0..rows {
            let mut fields = Vec::with_capacity(2 * width);
            for nth in 0..width {
                let column: Vec<DataType> = values
                    .iter()
                    .skip(nth)
                    .step_by(width)
                    .map(|value| semantics.type_of(value))
                    .collect::<Result<_>>()?;
                let data_type = column.iter().find(|data_type| !data_type.is_null()).cloned().unwrap_or(DataType::Null);
                if column.iter().any(|other| !other.is_null() && *other != data_type) {
                    return Err(DataFusionError::Plan(format!(
                        "[DATATYPE_MISMATCH.STACK_COLUMN_DIFF_TYPES] the values of column {} of stack have different types",
                        nth + 1
                    )));
                }
                let value = values
                    .get(nth_row * width + nth)
                    .cloned()
                    .map_or_else(|| super::literal::null_of(&data_type), Ok)?;
                fields.extend([lit(format!("col{nth}")), semantics.cast(value, &data_type, false)?]);
            }
            structs.push(self.named("named_struct", fields)?);
        }
        self.named("array", structs)
    }

    fn json_tuple(&self, mut arguments: Vec<Expr>) -> Result<Vec<Item>> {
        if arguments.len() < 2 {
            return Err(DataFusionError::Plan(
                "[WRONG_NUM_ARGS.WITHOUT_SUGGESTION] json_tuple needs a JSON text and names of fields".to_string(),
            ));
        }
        let names = arguments.split_off(1);
        let json = arguments.remove(0);
        names
            .into_iter()
            .enumerate()
            .map(|(nth, name)| {
                let Some(field) = literal_text(&name) else {
                    return Err(DataFusionError::NotImplemented(
                        "the names of json_tuple must be literals".to_string(),
                    ));
                };
                let path = lit(format!("$['{field}']"));
                Ok(Item { name: format!("c{nth}"), expr: self.named("get_json_object", vec![json.clone(), path])? })
            })
            .collect()
    }
}

/// Whether the argument of `explode` is a map, whose entries are two columns.
fn is_map(_: &Semantics<'_>, scope: &Scope<'_>, function: &ast::Function, planner: &Planner<'_>) -> Result<bool> {
    let semantics = Semantics::new(&scope.schema, &planner.zone);
    match arguments(function)?.first() {
        Some(argument) => Ok(matches!(semantics.type_of(&planner.expr(argument, scope)?)?, DataType::Map(..))),
        None => Ok(false),
    }
}

fn one_argument(arguments: Vec<Expr>, name: &str) -> Result<Expr> {
    let found = arguments.len();
    arguments.into_iter().next().filter(|_| found == 1).ok_or_else(|| {
        DataFusionError::Plan(format!(
            "[WRONG_NUM_ARGS.WITHOUT_SUGGESTION] The `{name}` requires 1 parameters but the actual number is {found}."
        ))
    })
}

/// The array whose elements become rows.
fn elements(value: Expr, name: &str, with_position: bool, semantics: &Semantics<'_>) -> Result<Expr> {
    match semantics.type_of(&value)? {
        DataType::List(_) | DataType::Map(..) if with_position => semantics.with_positions(value),
        DataType::List(element) if name != "inline" || matches!(element.data_type(), DataType::Struct(_)) => Ok(value),
        DataType::Map(..) if name == "explode" => semantics.map_entries(value),
        other => Err(DataFusionError::Plan(format!(
            "[DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve \"{name}\": it takes an array or a map, not \"{}\".",
            millstream_formats::ddl::sql_type_name(&other)
        ))),
    }
}

fn renamed(mut items: Vec<Item>, aliases: &[String], name: &str) -> Result<Vec<Item>> {
    if !aliases.is_empty() && aliases.len() != items.len() {
        return Err(DataFusionError::Plan(format!(
            "[UDTF_ALIAS_NUMBER_MISMATCH] {name} gives {} columns, but {} names are given for them",
            items.len(),
            aliases.len()
        )));
    }
    for (item, alias) in items.iter_mut().zip(aliases) {
        item.name.clone_from(alias);
    }
    Ok(items)
}
