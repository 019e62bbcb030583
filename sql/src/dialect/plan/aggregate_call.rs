//! Calls of aggregate functions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{AggregateUDF, Cast, Expr, ExprSchemable, SortExpr, lit};
use millstream_formats::types::array_of;
use sqlparser::ast::{self, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments};

use super::call::{signed, span_of};
use super::query::sort_key;
use super::scope::Scope;
use super::{Planner, error_at};
use crate::expressions::Semantics;

/// Spark's names of aggregate functions that DataFusion has under another.
const ALIASES: &[(&str, &str)] = &[
    ("any", "bool_or"),
    ("any_value", "first_value"),
    ("approx_count_distinct", "approx_distinct"),
    ("count_if", "count"),
    ("every", "bool_and"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("max_by", "first_value"),
    ("mean", "avg"),
    ("min_by", "first_value"),
    ("some", "bool_or"),
    ("std", "stddev"),
    ("stddev_samp", "stddev"),
    ("var_samp", "var"),
    ("variance", "var"),
];

impl Planner<'_> {
    /// A call of an aggregate function.
    pub(super) fn aggregate(&self, function: &Function, name: &str, scope: &Scope<'_>) -> Result<Expr> {
        if scope.in_aggregate.replace(true) {
            let message = "[NESTED_AGGREGATE_FUNCTION] It is not allowed to use an aggregate function in the argument of another aggregate function.";
            scope.in_aggregate.set(false);
            return Err(error_at(span_of(function), message));
        }
        let planned = self.aggregate_parts(function, name, scope);
        scope.in_aggregate.set(false);
        let (arguments, filter, order_by) = planned?;
        let (distinct, null_treatment) = modifiers(function);
        let mut params = AggregateFunctionParams {
            args: arguments,
            distinct,
            filter: filter.map(Box::new),
            order_by,
            null_treatment,
        };
        match (name, params.args.len()) {
            ("count", 2..) => params.args = vec![count_rows_of(params.args)?],
            ("count_if", 1) => {
                let condition =
                    Semantics::new(&scope.schema, &self.zone).condition(params.args.remove(0), "count_if")?;
                params.filter = Some(Box::new(match params.filter {
                    Some(filter) => filter.and(condition),
                    None => condition,
                }));
                params.args = vec![lit(1_i64)];
            }
            ("max_by" | "min_by", 2) => {
                // The value beside the greatest (or least) key; a null key is none.
                let key = params.args.remove(1);
                let known = key.clone().is_not_null();
                params.filter = Some(Box::new(match params.filter {
                    Some(filter) => filter.and(known),
                    None => known,
                }));
                params.order_by = vec![SortExpr::new(key, name == "min_by", false)];
            }
            _ => {}
        }
        let Some(aggregate) = self.aggregate_function(name) else {
            return Err(error_at(span_of(function), format!("[UNRESOLVED_ROUTINE] Cannot resolve routine `{name}`.")));
        };
        let expr = Expr::AggregateFunction(AggregateFunction { func: Arc::clone(aggregate), params });
        with_sparks_type(expr, &scope.schema)
    }

    /// The aggregate function of that name: a registered one, or the one that a name of Spark's stands for.
    pub(super) fn aggregate_function(&self, name: &str) -> Option<&Arc<AggregateUDF>> {
        let registered = self.state.aggregate_functions();
        let other = || ALIASES.iter().find(|(ours, _)| *ours == name).and_then(|(_, theirs)| registered.get(*theirs));
        registered.get(name).or_else(other)
    }

    /// Arguments, filter and order of a call.
    pub(super) fn aggregate_parts(
        &self,
        function: &Function,
        name: &str,
        scope: &Scope<'_>,
    ) -> Result<(Vec<Expr>, Option<Expr>, Vec<SortExpr>)> {
        let is_star = matches!(&function.args, FunctionArguments::List(list)
            if matches!(list.args[..], [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) || (list.args.is_empty() && name == "count"));
        let arguments = if is_star && name == "count" { vec![lit(1_i64)] } else { self.arguments(function, scope)? };
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let filter = match &function.filter {
            Some(filter) => Some(semantics.condition(self.expr(filter, scope)?, "FILTER")?),
            None => None,
        };
        let mut order_by = Vec::new();
        let clauses = match &function.args {
            FunctionArguments::List(list) => &list.clauses[..],
            _ => &[],
        };
        let inside = clauses.iter().find_map(|clause| match clause {
            FunctionArgumentClause::OrderBy(keys) => Some(keys),
            _ => None,
        });
        for key in inside.unwrap_or(&function.within_group) {
            order_by.push(sort_key(self.expr(&key.expr, scope)?, key.options));
        }
        Ok((arguments, filter, order_by))
    }
}

/// `DISTINCT`, `IGNORE NULLS`.
pub(super) fn modifiers(function: &Function) -> (bool, Option<datafusion::logical_expr::expr::NullTreatment>) {
    use datafusion::logical_expr::expr::NullTreatment as Treatment;
    let (mut distinct, mut nulls) = (false, function.null_treatment);
    if let FunctionArguments::List(list) = &function.args {
        distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
        nulls = nulls.or_else(|| {
            list.clauses.iter().find_map(|clause| match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(nulls) => Some(*nulls),
                _ => None,
            })
        });
    }
    let treatment = nulls.map(|nulls| match nulls {
        ast::NullTreatment::IgnoreNulls => Treatment::IgnoreNulls,
        ast::NullTreatment::RespectNulls => Treatment::RespectNulls,
    });
    (distinct, treatment)
}

/// `count(a, b)` counts the rows where neither is null: it counts a struct that is null where one of them is.
fn count_rows_of(arguments: Vec<Expr>) -> Result<Expr> {
    let is_known = arguments.iter().cloned().map(Expr::is_not_null).reduce(Expr::and).unwrap_or_else(|| lit(true));
    let values = datafusion::functions::core::expr_fn::r#struct(arguments);
    datafusion::logical_expr::when(is_known, values).end()
}

/// An answer in the type that Spark gives it: signed numbers, and arrays whose elements are called alike.
fn with_sparks_type(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr.get_type(schema)? {
        DataType::List(element) if element.name() != "element" => {
            Ok(Expr::Cast(Cast::new(Box::new(expr), array_of(element.data_type().clone()))))
        }
        _ => signed(expr, schema),
    }
}
