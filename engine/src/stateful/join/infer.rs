//! Filters that follow from a join: what a row must fulfil to have any match is asked of it before the join.
//!
//! Spark's optimizer does the same, and it shows: such a filter applies below `WATERMARK` too, so that rows which cannot
//! match do not move it. From the conjuncts known of both sides and the join's condition follow others, by replacing a
//! column with the one it equals; a comparison that holds has no null in it. Sides whose rows are all kept are not filtered.

use std::collections::HashMap;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, ExprSchema, Result};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{BinaryExpr, Expr, Filter, JoinType, LogicalPlan, Operator};
use std::sync::Arc;

use super::node::StreamJoinNode;

/// Operators of the dialect, and functions, that give null for a null.
const NULL_INTOLERANT: &[&str] = &[
    "spark_add",
    "spark_cast",
    "spark_date_add_days",
    "spark_date_diff",
    "spark_divide",
    "spark_integer_divide",
    "spark_interval_add",
    "spark_modulo",
    "spark_multiply",
    "spark_negative",
    "spark_subtract",
    "spark_timestamp_add",
    "spark_timestamp_difference",
    "timestampadd",
    "unix_timestamp",
];

/// The inputs of a join with these keys and conjuncts, with the filters that follow.
pub(super) fn with_inferred_filters(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    keys: &[(Expr, Expr, bool)],
    conjuncts: &[Expr],
) -> Result<(LogicalPlan, LogicalPlan)> {
    let (of_left, of_right) = match join_type {
        JoinType::Inner | JoinType::LeftSemi => (true, true),
        JoinType::Left | JoinType::LeftAnti => (false, true),
        JoinType::Right => (true, false),
        _ => (false, false),
    };
    let (known_left, known_right) = (constraints(&left)?, constraints(&right)?);
    let mut all: Vec<Expr> = known_left.iter().chain(&known_right).chain(conjuncts).cloned().collect();
    // A null-safe equality says nothing of nulls.
    all.extend(keys.iter().filter(|key| !key.2).map(|(l, r, _)| l.clone().eq(r.clone())));
    let replaced = replaced_by_equals(&all)?;
    all.extend(replaced);
    let left = if of_left { filtered(left, &known_left, &all)? } else { left };
    let right = if of_right { filtered(right, &known_right, &all)? } else { right };
    Ok((left, right))
}

/// `plan`, filtered by what of `all` is about its columns alone and not `known` already.
fn filtered(plan: LogicalPlan, known: &[Expr], all: &[Expr]) -> Result<LogicalPlan> {
    let schema = plan.schema();
    let is_own = |expr: &Expr| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.iter().all(|column| schema.has_column(column)) && !expr.is_volatile()
    };
    let mut added: Vec<Expr> = Vec::new();
    for expr in all.iter().filter(|expr| is_own(expr)) {
        if !known.contains(expr) && !added.contains(expr) {
            added.push(expr.clone());
        }
    }
    for column in all.iter().flat_map(never_null) {
        let is_nullable = schema.field_from_column(&column).is_ok_and(|field| field.is_nullable());
        let not_null = Expr::Column(column).is_not_null();
        if is_nullable && !known.contains(&not_null) && !added.contains(&not_null) {
            added.push(not_null);
        }
    }
    match conjunction(added) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

/// Each of the conjuncts once more for each equality of two columns, with one in place of the other.
fn replaced_by_equals(all: &[Expr]) -> Result<Vec<Expr>> {
    let mut replaced = Vec::new();
    for (at, expr) in all.iter().enumerate() {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { continue };
        let (Expr::Column(left), Expr::Column(right)) = (left.as_ref(), right.as_ref()) else { continue };
        for (from, to) in [(left, right), (right, left)] {
            for (_, other) in all.iter().enumerate().filter(|(other, _)| *other != at) {
                let new = renamed(other.clone(), &HashMap::from([(from.clone(), to.clone())]))?;
                if new != *other && !is_trivial(&new) {
                    replaced.push(new);
                }
            }
        }
    }
    Ok(replaced)
}

fn is_trivial(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryExpr(BinaryExpr { left, right, .. }) if left == right)
}

fn renamed(expr: Expr, names: &HashMap<Column, Column>) -> Result<Expr> {
    let renamed = expr.transform(|expr| match &expr {
        Expr::Column(column) if names.contains_key(column) => Ok(Transformed::yes(Expr::Column(names[column].clone()))),
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok(renamed.data)
}

/// The columns that are not null where `expr` holds.
fn never_null(expr: &Expr) -> Vec<Column> {
    match expr {
        Expr::Column(column) => vec![column.clone()],
        Expr::Alias(alias) => never_null(&alias.expr),
        Expr::IsNotNull(inner) | Expr::Not(inner) | Expr::Negative(inner) => never_null(inner),
        Expr::Cast(cast) => never_null(&cast.expr),
        Expr::Between(between) => {
            [&between.expr, &between.low, &between.high].into_iter().flat_map(|e| never_null(e)).collect()
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_null_intolerant(*op) => {
            never_null(left).into_iter().chain(never_null(right)).collect()
        }
        Expr::ScalarFunction(call) if NULL_INTOLERANT.contains(&call.func.name()) => {
            call.args.iter().flat_map(never_null).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the operator gives null, or nothing that holds, for a null.
fn is_null_intolerant(op: Operator) -> bool {
    use Operator::{And, Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus};
    matches!(op, And | Eq | NotEq | Lt | LtEq | Gt | GtEq | Plus | Minus | Multiply | Divide | Modulo)
}

/// The conjuncts that every row of `plan` is known to fulfil, over its columns.
fn constraints(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    let known = match plan {
        LogicalPlan::Filter(filter) => {
            let mut known = constraints(&filter.input)?;
            known.extend(split_conjunction_owned(filter.predicate.clone()));
            known
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let names = alias.input.schema().columns().into_iter().zip(alias.schema.columns()).collect();
            renamed_all(constraints(&alias.input)?, &names)?
        }
        LogicalPlan::Projection(projection) => {
            let outputs = projection.expr.iter().zip(projection.schema.columns());
            let names = outputs.filter_map(|(expr, output)| Some((plain_column(expr)?, output))).collect();
            renamed_all(constraints(&projection.input)?, &names)?
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => {
                let mut known = [constraints(&join.left)?, constraints(&join.right)?].concat();
                known.extend(join.on.iter().map(|(left, right)| left.clone().eq(right.clone())));
                known.extend(join.filter.clone().map(split_conjunction_owned).unwrap_or_default());
                known
            }
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => constraints(&join.left)?,
            JoinType::Right => constraints(&join.right)?,
            _ => Vec::new(),
        },
        LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<StreamJoinNode>() {
            Some(join) => match join.join_type() {
                JoinType::Inner => [constraints(join.left())?, constraints(join.right())?, join.conjuncts()].concat(),
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => constraints(join.left())?,
                JoinType::Right => constraints(join.right())?,
                _ => Vec::new(),
            },
            None => of_only_input(plan)?,
        },
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => {
            of_only_input(plan)?
        }
        _ => Vec::new(),
    };
    let schema = plan.schema();
    Ok(known.into_iter().filter(|expr| expr.column_refs().iter().all(|column| schema.has_column(column))).collect())
}

fn of_only_input(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    match plan.inputs()[..] {
        [input] => constraints(input),
        _ => Ok(Vec::new()),
    }
}

/// The conjuncts all of whose columns have a new name, by it.
fn renamed_all(known: Vec<Expr>, names: &HashMap<Column, Column>) -> Result<Vec<Expr>> {
    let has_names = |expr: &Expr| expr.column_refs().into_iter().all(|column| names.contains_key(column));
    known.into_iter().filter(has_names).map(|expr| renamed(expr, names)).collect()
}

fn plain_column(expr: &Expr) -> Option<Column> {
    match expr {
        Expr::Column(column) => Some(column.clone()),
        Expr::Alias(alias) => plain_column(&alias.expr),
        _ => None,
    }
}
