//! `NOT IN` over a subquery, as SQL has it: where a null is involved nobody knows.
//!
//! DataFusion's joins know this of one column at the top of a condition alone. In every other place, of a subquery that
//! looks at the row outside or beside an OR, `x NOT IN (SELECT y …)` becomes
//! `NOT EXISTS (SELECT … WHERE x = y OR x IS NULL OR y IS NULL)`, which is never null: for a condition, null and false are
//! the same.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator, Subquery, not};
use datafusion::optimizer::AnalyzerRule;

/// The rule; see the file's header. It comes after type coercion.
#[derive(Debug)]
pub(crate) struct NotIn;

impl AnalyzerRule for NotIn {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Filter(Filter { predicate, input, .. }) if has_in(&predicate)? => {
                let predicate = condition(predicate, input.schema(), true)?;
                Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
            }
            node => Ok(Transformed::no(node)),
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "not_in"
    }
}

fn has_in(expr: &Expr) -> Result<bool> {
    expr.exists(|part| Ok(matches!(part, Expr::InSubquery(_))))
}

/// `expr`, of which only true counts; `is_top` says that nothing but AND is above it.
fn condition(expr: Expr, schema: &DFSchema, is_top: bool) -> Result<Expr> {
    if !has_in(&expr)? {
        return Ok(expr);
    }
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let is_top = is_top && op == Operator::And;
            let (left, right) = (condition(*left, schema, is_top)?, condition(*right, schema, is_top)?);
            Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                condition(Expr::InSubquery(InSubquery::new(expr, subquery, !negated)), schema, is_top)
            }
            Expr::Not(inner) => condition(*inner, schema, is_top),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let op = if op == Operator::And { Operator::Or } else { Operator::And };
                let negated = BinaryExpr::new(Box::new(not(*left)), op, Box::new(not(*right)));
                condition(Expr::BinaryExpr(negated), schema, is_top)
            }
            other => refused(&not(other)),
        },
        Expr::InSubquery(within) if within.negated && !(is_top && within.subquery.outer_ref_columns.is_empty()) => {
            not_exists(within, schema)
        }
        Expr::InSubquery(within) => Ok(Expr::InSubquery(within)),
        other => refused(&other),
    }
}

fn refused(expr: &Expr) -> Result<Expr> {
    let text = expr.human_display();
    plan_err!("IN over a subquery may only stand in AND, OR and NOT, not in {text}: join with the table instead")
}

fn not_exists(within: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let InSubquery { expr, subquery, .. } = within;
    let rows = subquery.subquery;
    let theirs = Expr::Column(Column::from(rows.schema().qualified_field(0)));
    let may_be_null = [expr.nullable(schema)?, theirs.nullable(rows.schema())?];
    let ours = outside(*expr, schema)?;
    let mut meets = ours.clone().eq(theirs.clone());
    for (side, _) in [ours, theirs].into_iter().zip(may_be_null).filter(|(_, may_be_null)| *may_be_null) {
        meets = meets.or(side.is_null());
    }
    let meeting = LogicalPlan::Filter(Filter::try_new(meets, rows)?);
    let outer_ref_columns = meeting.all_out_ref_exprs();
    let subquery = Subquery { subquery: Arc::new(meeting), outer_ref_columns, spans: subquery.spans };
    Ok(Expr::Exists(Exists::new(subquery, true)))
}

/// `expr` as it is written inside the subquery.
fn outside(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let outside = expr.transform(|part| match part {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        part => Ok(Transformed::no(part)),
    })?;
    Ok(outside.data)
}
