//! Which columns are sessions, and batch queries that group by one.

use std::sync::Arc;

use datafusion_common::internal_err;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::{Aggregate, Expr, LogicalPlan};

use super::node::{SessionSpec, StreamSessionNode};
use crate::error::{Error, Result};
use crate::plan::{BatchClockNode, TimeWindowNode, WatermarkNode, WindowKind, has_streams};
use crate::sink::OutputMode;
use crate::stateful::grouping_sets::{GroupingSetsNode, expressions_of_sets, without_grouping_sets};

/// The place of the session among the grouping columns `group_expr` over `input`.
pub(in crate::stateful) fn session_among(group_expr: &[Expr], input: &LogicalPlan) -> Option<usize> {
    group_expr.iter().position(|expr| is_session(expr, input))
}

/// Refuses sessions that not every grouping set of `group_expr` over `input` groups by: which rows are one session depends on what
/// else is grouped by, so there is none without.
pub(in crate::stateful) fn in_every_set(group_expr: &[Expr], input: &LogicalPlan) -> Result<()> {
    let [Expr::GroupingSet(sets)] = group_expr else { return Ok(()) };
    let all = expressions_of_sets(sets);
    let Some(session) = sets.distinct_expr().into_iter().find(|expr| is_session(expr, input)) else { return Ok(()) };
    match all.iter().all(|set| set.contains(session)) {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "'{}' is not part of every grouping set: put it beside ROLLUP, CUBE or GROUPING SETS, as in GROUP BY session_window(ts, \
             '5 minutes'), ROLLUP(k)",
            session.schema_name()
        ))),
    }
}

/// `plan` with every aggregate that groups rows of a batch by sessions as one that merges them. Streams are left as they are.
///
/// # Errors
/// `Unsupported` for sessions in some grouping sets and not in others.
pub fn sessions_in_batches(plan: LogicalPlan) -> datafusion_common::Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if !has_streams(&aggregate.input) => {
            if !has_session(&aggregate.group_expr, &aggregate.input) {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            }
            in_every_set(&aggregate.group_expr, &aggregate.input)?;
            let aggregate = without_grouping_sets(aggregate)?;
            let Some(session) = session_among(&aggregate.group_expr, &aggregate.input) else {
                return internal_err!("a session is lost among grouping sets");
            };
            let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
            let mode = OutputMode::Complete;
            let spec = SessionSpec {
                operator: None,
                mode,
                partitions: 1,
                session,
                has_watermark: false,
                keeps_elements: false,
            };
            let input = Arc::unwrap_or_clone(input);
            Ok(Transformed::yes(StreamSessionNode::plan(input, group_expr, aggr_expr, spec, schema)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(rewritten.data)
}

fn has_session(group_expr: &[Expr], input: &LogicalPlan) -> bool {
    let is_one = |expr: &Expr| match expr {
        Expr::GroupingSet(sets) => sets.distinct_expr().into_iter().any(|expr| is_session(expr, input)),
        expr => is_session(expr, input),
    };
    group_expr.iter().any(is_one)
}

/// Whether `expr` over the rows of `input` is a column of `session_window`, handed on unchanged.
fn is_session(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Column(column) => input.schema().index_of_column(column).is_ok_and(|at| is_session_at(input, at)),
        Expr::Alias(alias) => is_session(&alias.expr, input),
        _ => false,
    }
}

fn is_session_at(plan: &LogicalPlan, at: usize) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            projection.expr.get(at).is_some_and(|expr| is_session(expr, &projection.input))
        }
        LogicalPlan::SubqueryAlias(alias) => is_session_at(&alias.input, at),
        LogicalPlan::Filter(filter) => is_session_at(&filter.input, at),
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            if let Some(windows) = node.downcast_ref::<TimeWindowNode>() {
                return match at == windows.input().schema().fields().len() {
                    true => matches!(windows.kind(), WindowKind::Session(_)),
                    false => is_session_at(windows.input(), at),
                };
            }
            if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
                return sets.origin(at).is_some_and(|expr| is_session(&expr, sets.input()));
            }
            let hands_on = node.is::<WatermarkNode>() || node.is::<BatchClockNode>();
            let input = extension.node.inputs().into_iter().next().filter(|_| hands_on);
            input.is_some_and(|input| at < input.schema().fields().len() && is_session_at(input, at))
        }
        _ => false,
    }
}
