//! `GROUP BY` and functions over windows of rows: they become nodes of their own, and what the output says about them becomes
//! their columns.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::logical_expr::{Cast, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, SortExpr, lit};

use super::aggregate_call::ALL_KEYS;
use super::query::nth_column;
use super::select::Item;
use crate::expressions::Semantics;

/// What is still to be computed after the relations: all in terms of the plan's columns.
pub(super) struct Output {
    pub(super) items: Vec<Item>,
    pub(super) having: Option<Expr>,
    pub(super) sorts: Vec<SortExpr>,
}

impl Output {
    fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.items.iter().map(|item| &item.expr).chain(&self.having).chain(self.sorts.iter().map(|sort| &sort.expr))
    }

    fn try_map(self, mut change: impl FnMut(Expr) -> Result<Expr>) -> Result<Self> {
        let mut items = Vec::with_capacity(self.items.len());
        for Item { name, expr } in self.items {
            items.push(Item { name, expr: change(expr)? });
        }
        let having = self.having.map(&mut change).transpose()?;
        let mut sorts = Vec::with_capacity(self.sorts.len());
        for sort in self.sorts {
            sorts.push(SortExpr { expr: change(sort.expr)?, ..sort });
        }
        Ok(Self { items, having, sorts })
    }
}

/// Whether an aggregate function stands in it (outside of subqueries).
pub(super) fn has_aggregate(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::AggregateFunction(_)))).unwrap_or(false)
}

/// Puts the aggregate below the output, if there is one, and the filter of `HAVING` between.
pub(super) fn aggregate(
    plan: LogicalPlan,
    groups: Vec<Expr>,
    is_grouped: bool,
    output: Output,
    zone: &Arc<str>,
) -> Result<(LogicalPlan, Output)> {
    let output = output.try_map(|expr| grouping(expr, &groups))?;
    let aggregates = find(output.exprs(), |expr| matches!(expr, Expr::AggregateFunction(_)));
    if !is_grouped && aggregates.is_empty() {
        return match output.having {
            Some(_) => Err(DataFusionError::Plan(
                "[MISSING_GROUP_BY] HAVING needs GROUP BY or an aggregate function".to_string(),
            )),
            None => Ok((plan, output)),
        };
    }
    if let Some(aggregate) = groups.iter().find(|group| has_aggregate(group)) {
        return Err(DataFusionError::Plan(format!(
            "[GROUP_BY_AGGREGATE] Aggregate functions are not allowed in GROUP BY, but found {aggregate}."
        )));
    }
    let written = group_keys(&groups);
    let plan = LogicalPlanBuilder::from(plan).aggregate(groups, distinctly_named(&aggregates))?.build()?;
    let keys = keys_in_order(&plan).unwrap_or(written);
    let first_aggregate = plan.schema().fields().len() - aggregates.len();
    let mut replaced: Vec<(Expr, Expr)> =
        keys.into_iter().enumerate().map(|(nth, key)| (key, nth_column(&plan, nth))).collect();
    replaced.extend(aggregates.into_iter().enumerate().map(|(nth, it)| (it, nth_column(&plan, first_aggregate + nth))));
    let mut output = output.try_map(|expr| {
        let rebased = replace(expr.clone(), &replaced)?;
        match rebased.column_refs().into_iter().find(|column| !plan.schema().has_column(column)) {
            None => Ok(rebased),
            Some(_) if !is_grouped => Err(DataFusionError::Plan(
                "[MISSING_GROUP_BY] The query does not include a GROUP BY clause. Add GROUP BY or turn it into the window functions using OVER clauses."
                    .to_string(),
            )),
            Some(column) => Err(DataFusionError::Plan(format!(
                "[MISSING_AGGREGATION] The non-aggregating expression \"{}\" is based on columns which are not participating in the GROUP BY \
                 clause. Add the columns or the expression to the GROUP BY, aggregate the expression, or use \"any_value({0})\" if you do not \
                 care which of the values within a group is returned.",
                column.name
            ))),
        }
    })?;
    let plan = match output.having.take() {
        Some(having) => {
            let having = Semantics::new(plan.schema(), zone).condition(having, "HAVING")?;
            LogicalPlanBuilder::from(plan).filter(having)?.build()?
        }
        None => plan,
    };
    Ok((plan, output))
}

/// DataFusion leaves casts out of names: of calls that are called alike, the later ones get names of their own.
fn distinctly_named(aggregates: &[Expr]) -> Vec<Expr> {
    let names: Vec<String> = aggregates.iter().map(|aggregate| aggregate.schema_name().to_string()).collect();
    let named = aggregates.iter().enumerate().map(|(nth, aggregate)| match names[..nth].contains(&names[nth]) {
        true => aggregate.clone().alias(format!("{}#{nth}", names[nth])),
        false => aggregate.clone(),
    });
    named.collect()
}

/// `grouping(key)` and `grouping_id(keys)`, checked against the keys; `grouping_id()` is that of all keys.
fn grouping(expr: Expr, groups: &[Expr]) -> Result<Expr> {
    let keys = group_keys(groups);
    let has_sets = groups.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
    let changed = expr.transform_down(|expr| {
        let Expr::Cast(Cast { expr: inner, field }) = &expr else { return Ok(Transformed::no(expr)) };
        let Expr::AggregateFunction(call) = inner.as_ref() else { return Ok(Transformed::no(expr)) };
        if call.func.name() != "grouping" {
            return Ok(Transformed::no(expr));
        }
        let is_id = *field.data_type() == DataType::Int64;
        let wrong = |condition: &str, why: &str| Err(DataFusionError::Plan(format!("[{condition}] {why}")));
        if !has_sets {
            let why = "grouping()/grouping_id() can only be used with GroupingSets/Cube/Rollup.";
            return wrong("UNSUPPORTED_GROUPING_EXPRESSION", why);
        }
        let is_all = call.params.args == [lit(ALL_KEYS)];
        if is_id && !is_all && call.params.args != keys {
            return wrong(
                "GROUPING_ID_COLUMN_MISMATCH",
                "the columns of grouping_id do not match the grouping columns.",
            );
        }
        if !is_id && !call.params.args.iter().all(|arg| keys.contains(arg)) {
            return wrong("GROUPING_COLUMN_MISMATCH", "the column of grouping can't be found in the grouping columns.");
        }
        let mut call = call.clone();
        if is_all {
            call.params.args = keys.clone();
        }
        let call = Expr::AggregateFunction(call);
        let cast = Expr::Cast(Cast { expr: Box::new(call), field: Arc::clone(field) });
        Ok(Transformed::new(cast, true, TreeNodeRecursion::Jump))
    })?;
    Ok(changed.data)
}

/// Puts the functions with `OVER` below the output.
pub(super) fn window_functions(plan: LogicalPlan, output: Output) -> Result<(LogicalPlan, Output)> {
    let functions = find(output.exprs(), |expr| matches!(expr, Expr::WindowFunction(_)));
    if functions.is_empty() {
        return Ok((plan, output));
    }
    let plan = LogicalPlanBuilder::window_plan(plan, functions.clone())?;
    let replaced: Vec<(Expr, Expr)> = functions
        .into_iter()
        .map(|function| {
            let name = function.schema_name().to_string();
            (function, Expr::Column(Column::new_unqualified(name)))
        })
        .collect();
    let output = output.try_map(|expr| replace(expr, &replaced))?;
    Ok((plan, output))
}

/// Every different expression that is wanted, outermost first.
fn find<'e>(exprs: impl Iterator<Item = &'e Expr>, is_wanted: impl Fn(&Expr) -> bool) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    for expr in exprs {
        let _ = expr.apply(|expr| {
            if !is_wanted(expr) {
                return Ok(TreeNodeRecursion::Continue);
            }
            if !found.contains(expr) {
                found.push(expr.clone());
            }
            Ok(TreeNodeRecursion::Jump)
        });
    }
    found
}

fn replace(expr: Expr, replaced: &[(Expr, Expr)]) -> Result<Expr> {
    let transformed = expr.transform_down(|expr| match replaced.iter().find(|(from, _)| *from == expr) {
        Some((_, to)) => Ok(Transformed::new(to.clone(), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(expr)),
    })?;
    Ok(transformed.data)
}

/// The expressions that an aggregate with grouping sets groups by, in the order of its output: that of the sets, once sets that stand
/// beside others are multiplied out.
fn keys_in_order(plan: &LogicalPlan) -> Option<Vec<Expr>> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return None };
    let [Expr::GroupingSet(sets)] = &aggregate.group_expr[..] else { return None };
    Some(sets.distinct_expr().into_iter().cloned().collect())
}

/// The expressions that are grouped by, as they are written.
fn group_keys(groups: &[Expr]) -> Vec<Expr> {
    let mut keys: Vec<Expr> = Vec::new();
    for group in groups {
        let parts: Vec<Expr> = match group {
            Expr::GroupingSet(GroupingSet::Rollup(exprs) | GroupingSet::Cube(exprs)) => exprs.clone(),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.concat(),
            expr => vec![expr.clone()],
        };
        for part in parts {
            if !keys.contains(&part) {
                keys.push(part);
            }
        }
    }
    keys
}
