//! Which columns are sessions, and batch queries that group by one.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_expr::{Aggregate, Expr, LogicalPlan};

use super::node::{SessionSpec, StreamSessionNode};
use crate::error::{Error, Result};
use crate::plan::{BatchClockNode, TimeWindowNode, WatermarkNode, WindowKind, has_streams};
use crate::sink::OutputMode;

/// The place of the session among the grouping columns `group_expr` over `input`.
pub(in crate::stateful) fn session_among(group_expr: &[Expr], input: &LogicalPlan) -> Option<usize> {
    group_expr.iter().position(|expr| is_session(expr, input))
}

/// Refuses sessions in ROLLUP, CUBE and GROUPING SETS.
pub(in crate::stateful) fn in_grouping_sets(group_expr: &[Expr], input: &LogicalPlan) -> Result<()> {
    let has_session = |expr: &Expr| match expr {
        Expr::GroupingSet(sets) => sets.distinct_expr().into_iter().any(|expr| is_session(expr, input)),
        _ => false,
    };
    match group_expr.iter().any(has_session) {
        true => Err(Error::unsupported(
            "session_window in ROLLUP, CUBE or GROUPING SETS is not supported: group by it and by the other columns",
        )),
        false => Ok(()),
    }
}

/// `plan` with every aggregate that groups rows of a batch by sessions as one that merges them. Streams are left as they are.
///
/// # Errors
/// `Unsupported` for sessions in grouping sets.
pub fn sessions_in_batches(plan: LogicalPlan) -> datafusion_common::Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if !has_streams(&aggregate.input) => {
            in_grouping_sets(&aggregate.group_expr, &aggregate.input)?;
            let Some(session) = session_among(&aggregate.group_expr, &aggregate.input) else {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            };
            let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
            let mode = OutputMode::Complete;
            let spec = SessionSpec { operator: None, mode, partitions: 1, session, has_watermark: false };
            let input = Arc::unwrap_or_clone(input);
            Ok(Transformed::yes(StreamSessionNode::plan(input, group_expr, aggr_expr, spec, schema)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(rewritten.data)
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
            let hands_on = node.is::<WatermarkNode>() || node.is::<BatchClockNode>();
            let input = extension.node.inputs().into_iter().next().filter(|_| hands_on);
            input.is_some_and(|input| at < input.schema().fields().len() && is_session_at(input, at))
        }
        _ => false,
    }
}
