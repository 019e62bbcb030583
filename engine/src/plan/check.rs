//! Which query may run as a stream, in which output mode: refused at start, with the reason, never in the first batch.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, JoinType, LogicalPlan};

use super::streams::{has_streams, stream_of};
use crate::error::{Error, Result};
use crate::sink::OutputMode;

/// Refuses what cannot run as a stream in `mode`. `plan` is analysed and not yet optimised.
pub fn check_streaming(plan: &LogicalPlan, mode: OutputMode) -> Result<()> {
    if !has_streams(plan) {
        return Err(Error::invalid(
            "the query reads no stream: write STREAM before the name of the table to be read as one, or run it as a batch query",
        ));
    }
    let mut refused = None;
    let mut aggregates = false;
    plan.apply_with_subqueries(|node| {
        aggregates |= is_streaming_aggregate(node);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if mode == OutputMode::Complete && !aggregates {
        return Err(Error::invalid(
            "output mode complete is not supported for a query without streaming aggregation: use append",
        ));
    }
    plan.apply_with_subqueries(|node| {
        if let Err(error) = check_node(node, mode) {
            refused = Some(error);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    refused.map_or(Ok(()), Err)
}

/// Whether `plan` aggregates a stream.
pub(crate) fn has_streaming_aggregate(plan: &LogicalPlan) -> bool {
    // The closure does not fail, so neither does the walk.
    plan.exists(|node| Ok(is_streaming_aggregate(node))).unwrap_or(false)
}

fn is_streaming_aggregate(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_)) && has_streams(node)
}

fn check_node(node: &LogicalPlan, mode: OutputMode) -> Result<()> {
    check_subqueries(node)?;
    if !node.inputs().iter().any(|input| has_streams(input)) {
        return Ok(());
    }
    match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Extension(_) => Ok(()),
        LogicalPlan::Union(union) => match union.inputs.iter().all(|input| has_streams(input)) {
            true => Ok(()),
            false => Err(Error::invalid(
                "a stream and a table that is read as a batch cannot be united: write STREAM before the table's name, or join it",
            )),
        },
        LogicalPlan::Join(join) => check_join(has_streams(&join.left), has_streams(&join.right), join.join_type),
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => Ok(()),
        LogicalPlan::Sort(sort) if mode == OutputMode::Complete && has_streaming_aggregate(&sort.input) => Ok(()),
        LogicalPlan::Sort(_) => Err(Error::invalid(
            "a stream cannot be sorted, except the result of an aggregation in output mode complete: leave ORDER BY out",
        )),
        LogicalPlan::Limit(limit) if limit.skip.is_some() => {
            Err(Error::invalid("OFFSET is not supported over a stream: leave it out"))
        }
        LogicalPlan::Limit(_) if mode == OutputMode::Update => {
            Err(Error::invalid("LIMIT over a stream is not supported in output mode update: use append"))
        }
        LogicalPlan::Limit(_) => Ok(()),
        LogicalPlan::Window(_) => Err(Error::invalid(
            "window functions such as row_number() OVER (…) are not supported over a stream: group by window(…) of a time column",
        )),
        other => Err(Error::unsupported(format!("{} is not supported over a stream", other.display()))),
    }
}

/// A stream inside a subquery expression has no meaning: the subquery would have to end before a row can be decided.
fn check_subqueries(node: &LogicalPlan) -> Result<()> {
    let mut streaming = false;
    node.apply_expressions(|expr| {
        let found = expr.exists(|e| {
            Ok(match e {
                Expr::ScalarSubquery(subquery) => has_streams(&subquery.subquery),
                Expr::InSubquery(subquery) => has_streams(&subquery.subquery.subquery),
                Expr::Exists(subquery) => has_streams(&subquery.subquery.subquery),
                _ => false,
            })
        })?;
        streaming |= found;
        Ok(TreeNodeRecursion::Continue)
    })?;
    match streaming && stream_of(node).is_none() {
        true => Err(Error::invalid("a stream cannot stand in an IN, EXISTS or scalar subquery: join it instead")),
        false => Ok(()),
    }
}

/// The matrix of joins between a stream and a table: the side whose unmatched rows are kept must be the stream.
fn check_join(left: bool, right: bool, join_type: JoinType) -> Result<()> {
    use JoinType::{Full, Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
    match (left, right, join_type) {
        // Checked where it is made one that remembers: see `stateful/join/rewrite.rs`.
        (true, true, _) => Ok(()),
        (true, false, Inner | Left | LeftSemi | LeftAnti | LeftMark)
        | (false, true, Inner | Right | RightSemi | RightAnti | RightMark) => Ok(()),
        (streaming_left, _, _) => {
            let (stream, table) = if streaming_left { ("left", "right") } else { ("right", "left") };
            let outer = match join_type {
                Full => "a FULL OUTER join",
                _ => "this join",
            };
            Err(Error::invalid(format!(
                "{outer} with a stream on the {stream} and a table on the {table} is not supported ({join_type}): rows of the \
                 table could never be known to stay without a match; make the stream the side whose rows are kept"
            )))
        }
    }
}
