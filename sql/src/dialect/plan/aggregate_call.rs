//! Calls of aggregate functions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, NullTreatment};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{AggregateUDF, Case, Cast, Expr, SortExpr, lit};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use millstream_engine::stateful::elements::COLLECT_WITH_NULLS;
use sqlparser::ast::{self, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments};

use super::call::{span_of, wrong_count};
use super::query::sort_key;
use super::scope::Scope;
use super::{Planner, error_at, unsupported};
use crate::expressions::Semantics;
use crate::functions;

/// What stands for all keys in `grouping_id()` until they are known.
pub(super) const ALL_KEYS: &str = "$all_keys";

/// Functions that heed `IGNORE NULLS` and `RESPECT NULLS`.
const HEED_NULLS: &[&str] = &["any_value", "array_agg", "collect_list", "first", "first_value", "last", "last_value"];

/// A call's function and what it is called with.
pub(super) struct AggregateCall {
    pub(super) function: Arc<AggregateUDF>,
    pub(super) params: AggregateFunctionParams,
}

impl Planner<'_> {
    /// A call of an aggregate function.
    pub(super) fn aggregate(&self, function: &Function, name: &str, scope: &Scope<'_>) -> Result<Expr> {
        if scope.in_aggregate.replace(true) {
            let message = "[NESTED_AGGREGATE_FUNCTION] It is not allowed to use an aggregate function in the argument of another aggregate function.";
            scope.in_aggregate.set(false);
            return Err(error_at(span_of(function), message));
        }
        let planned = self.aggregate_call(function, name, scope);
        scope.in_aggregate.set(false);
        let AggregateCall { function: func, params } = planned.map_err(|error| match error {
            DataFusionError::Plan(message) => error_at(span_of(function), message),
            other => other,
        })?;
        let expr = Expr::AggregateFunction(AggregateFunction { func, params });
        Ok(match name {
            "grouping" => Expr::Cast(Cast::new(Box::new(expr), DataType::Int8)),
            "grouping_id" => Expr::Cast(Cast::new(Box::new(expr), DataType::Int64)),
            _ => expr,
        })
    }

    /// The aggregate function of that name.
    pub(super) fn aggregate_function(&self, name: &str) -> Option<&Arc<AggregateUDF>> {
        let name = if name == "grouping_id" { "grouping" } else { name };
        self.state.aggregate_functions().get(name)
    }

    /// The function of a call and its arguments, brought to the types that the function takes.
    pub(super) fn aggregate_call(&self, function: &Function, name: &str, scope: &Scope<'_>) -> Result<AggregateCall> {
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let (mut distinct, nulls) = modifiers(function);
        if nulls.is_some() && !HEED_NULLS.contains(&name) {
            let words = if nulls == Some(NullTreatment::IgnoreNulls) { "IGNORE NULLS" } else { "RESPECT NULLS" };
            return Err(unsupported_syntax(name, words));
        }
        let filter = match &function.filter {
            Some(filter) => Some(semantics.condition(self.expr(filter, scope)?, "FILTER")?),
            None => None,
        };
        let arguments = self.aggregate_arguments(function, name, distinct, scope)?;
        let (arguments, null_treatment) = with_null_treatment(function, name, arguments, nulls)?;
        let (name, arguments) = averages_of_pairs(name, arguments);
        let keeps_nulls = nulls == Some(NullTreatment::RespectNulls) && matches!(name, "collect_list" | "array_agg");
        let known = if keeps_nulls { COLLECT_WITH_NULLS } else { name };
        let Some(udaf) = self.aggregate_function(known) else {
            return Err(DataFusionError::Plan(format!("[UNRESOLVED_ROUTINE] Cannot resolve routine `{name}`.")));
        };
        let types = arguments.iter().map(|argument| semantics.type_of(argument)).collect::<Result<Vec<_>>>()?;
        let args = match functions::taken(udaf, &types) {
            None => arguments,
            Some(taken) => {
                let taken = taken?;
                distinct &= taken.heeds_distinct;
                let pairs = arguments.into_iter().zip(&taken.types);
                let args =
                    pairs.map(|(argument, to)| semantics.cast(argument, to, false)).collect::<Result<Vec<_>>>()?;
                check_constants(udaf, &args, &taken.types)?;
                args
            }
        };
        let order_by = Vec::new();
        let params = AggregateFunctionParams { args, distinct, filter: filter.map(Box::new), order_by, null_treatment };
        Ok(AggregateCall { function: Arc::clone(udaf), params })
    }

    fn aggregate_arguments(
        &self,
        function: &Function,
        name: &str,
        distinct: bool,
        scope: &Scope<'_>,
    ) -> Result<Vec<Expr>> {
        let is_star = matches!(&function.args, FunctionArguments::List(list)
            if matches!(list.args[..], [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]));
        if is_star && name == "count" && !distinct {
            return Ok(vec![lit(1_i64)]);
        }
        if name == "count" && !distinct && has_qualified_star(function) {
            return Err(DataFusionError::Plan(
                "[INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT] count of all columns of a table is not allowed: use count(*) or name the \
                 columns."
                    .to_string(),
            ));
        }
        let mut arguments = self.arguments(function, scope)?;
        let orders = self.orders_within(function, name, scope)?;
        match (name, arguments.len()) {
            ("count", 2..) => arguments = vec![count_rows_of(arguments)?],
            ("grouping_id", 0) => arguments = vec![lit(ALL_KEYS)],
            ("percentile_cont" | "percentile_disc", _) => {
                let key = only_order(name, orders)?;
                if distinct {
                    return Err(within_group(
                        name,
                        "DISTINCT_UNSUPPORTED",
                        "DISTINCT is not supported with WITHIN GROUP",
                    ));
                }
                let [percentage] =
                    <[Expr; 1]>::try_from(arguments).map_err(|all| wrong_count(function, name, "1", all.len()))?;
                arguments = vec![key.expr, percentage, lit(!key.asc)];
            }
            ("mode", _) if distinct => {
                return Err(within_group(name, "DISTINCT_UNSUPPORTED", "DISTINCT is not supported"));
            }
            ("mode", 0) => {
                let key = only_order(name, orders)?;
                arguments = vec![key.expr, lit(true), lit(!key.asc)];
            }
            ("mode", 2) if !is_boolean_literal(&arguments[1]) => {
                return Err(DataFusionError::Plan(
                    "[NON_FOLDABLE_ARGUMENT] The function `mode` requires the parameter `deterministic` to be a foldable expression of the \
                     type \"BOOLEAN\"."
                        .to_string(),
                ));
            }
            _ if !orders.is_empty() => return Err(unsupported_syntax(name, "WITHIN GROUP (ORDER BY ...)")),
            _ => {}
        }
        Ok(arguments)
    }

    /// The orders of `WITHIN GROUP`. An order inside of the parentheses is no syntax of Spark's.
    fn orders_within(&self, function: &Function, name: &str, scope: &Scope<'_>) -> Result<Vec<SortExpr>> {
        let clauses = match &function.args {
            FunctionArguments::List(list) => &list.clauses[..],
            _ => &[],
        };
        if clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_))) {
            return Err(unsupported_syntax(name, "ORDER BY among its arguments"));
        }
        if matches!(name, "listagg" | "string_agg") && !function.within_group.is_empty() {
            return Err(unsupported(format!(
                "{name} with WITHIN GROUP is not supported: it keeps the order of arrival"
            )));
        }
        let keys = function.within_group.iter();
        keys.map(|key| Ok(sort_key(self.expr(&key.expr, scope)?, key.options))).collect()
    }
}

/// `DISTINCT`, `IGNORE NULLS`.
pub(super) fn modifiers(function: &Function) -> (bool, Option<NullTreatment>) {
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
        ast::NullTreatment::IgnoreNulls => NullTreatment::IgnoreNulls,
        ast::NullTreatment::RespectNulls => NullTreatment::RespectNulls,
    });
    (distinct, treatment)
}

/// `first(x, true)` is `first(x) IGNORE NULLS`.
fn with_null_treatment(
    function: &Function,
    name: &str,
    mut arguments: Vec<Expr>,
    nulls: Option<NullTreatment>,
) -> Result<(Vec<Expr>, Option<NullTreatment>)> {
    if !HEED_NULLS.contains(&name) || matches!(name, "collect_list" | "array_agg") {
        return Ok((arguments, None));
    }
    let ignores = match arguments.len() {
        1 => nulls == Some(NullTreatment::IgnoreNulls),
        2 => match arguments.pop() {
            Some(Expr::Literal(ScalarValue::Boolean(Some(ignores)), _)) => {
                ignores || nulls == Some(NullTreatment::IgnoreNulls)
            }
            _ => {
                let message = format!("[DATATYPE_MISMATCH] the second argument of {name} must be true or false.");
                return Err(DataFusionError::Plan(message));
            }
        },
        count => return Err(wrong_count(function, name, "1 or 2", count)),
    };
    Ok((arguments, ignores.then_some(NullTreatment::IgnoreNulls)))
}

/// Makes the aggregate of a call with constant arguments once, so that wrong ones are refused when the query is planned.
fn check_constants(udaf: &Arc<AggregateUDF>, args: &[Expr], types: &[DataType]) -> Result<()> {
    if args.len() < 2 {
        return Ok(());
    }
    let (schema, props) = (DFSchema::empty(), ExecutionProps::new());
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = Vec::with_capacity(args.len());
    for arg in args {
        let is_constant = arg.column_refs().is_empty();
        exprs.push(
            match is_constant.then(|| create_physical_expr(arg, &schema, &props, &PhysicalPlanningContext::default())) {
                Some(Ok(expr)) => expr,
                Some(Err(_)) => return Ok(()),
                None => Arc::new(Column::new(&arg.to_string(), 0)),
            },
        );
    }
    let fields: Vec<_> = types.iter().map(|t| Arc::new(arrow::datatypes::Field::new("", t.clone(), true))).collect();
    let return_field = udaf.return_field(&fields)?;
    let call = AccumulatorArgs {
        return_field,
        schema: &Schema::empty(),
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name: udaf.name(),
        is_distinct: false,
        exprs: &exprs,
        expr_fields: &fields,
    };
    udaf.accumulator(call).map(|_| ())
}

fn has_qualified_star(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list)
        if matches!(list.args[..], [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(_))]))
}

fn is_boolean_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(_)), _))
}

fn only_order(name: &str, orders: Vec<SortExpr>) -> Result<SortExpr> {
    let found = orders.len();
    <[SortExpr; 1]>::try_from(orders).map(|[order]| order).map_err(|_| match found {
        0 => within_group(name, "WITHIN_GROUP_MISSING", "WITHIN GROUP is required for the function"),
        _ => within_group(
            name,
            "WRONG_NUM_ORDERINGS",
            &format!("the function requires 1 ordering in WITHIN GROUP but got {found}"),
        ),
    })
}

fn within_group(name: &str, condition: &str, why: &str) -> DataFusionError {
    DataFusionError::Plan(format!(
        "[INVALID_WITHIN_GROUP_EXPRESSION.{condition}] Invalid function `{name}` with WITHIN GROUP: {why}."
    ))
}

fn unsupported_syntax(name: &str, words: &str) -> DataFusionError {
    DataFusionError::Plan(format!(
        "[INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX] Invalid SQL syntax: the function `{name}` does not support {words}."
    ))
}

/// `regr_avgy(y, x)` is `avg(y)` where x is known too: decimals stay decimals.
fn averages_of_pairs(name: &str, arguments: Vec<Expr>) -> (&str, Vec<Expr>) {
    let is_y = match name {
        "regr_avgx" => false,
        "regr_avgy" => true,
        _ => return (name, arguments),
    };
    match <[Expr; 2]>::try_from(arguments) {
        Ok([y, x]) => {
            let (value, other) = if is_y { (y, x) } else { (x, y) };
            let when = vec![(Box::new(other.is_not_null()), Box::new(value))];
            ("avg", vec![Expr::Case(Case::new(None, when, None))])
        }
        Err(arguments) => (name, arguments),
    }
}

/// `count(a, b)` counts the rows where neither is null: it counts a struct that is null where one of them is.
fn count_rows_of(arguments: Vec<Expr>) -> Result<Expr> {
    let is_known = arguments.iter().cloned().map(Expr::is_not_null).reduce(Expr::and).unwrap_or_else(|| lit(true));
    let values = datafusion::functions::core::expr_fn::r#struct(arguments);
    datafusion::logical_expr::when(is_known, values).end()
}
