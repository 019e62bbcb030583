//! Which columns of a plan are event times with a watermark.
//!
//! The tag follows a column through everything that hands it on unchanged: renaming, filters, unions (where the first input
//! has it), grouping, windows of it. An expression over it is another column, as in Spark.

use datafusion_expr::{Expr, LogicalPlan};

use super::aggregate::StreamAggregateNode;
use super::grouping_sets::GroupingSetsNode;
use super::session::StreamSessionNode;
use crate::plan::{BatchClockNode, TimeWindowNode, WatermarkNode};

/// For each column of `plan` whether it is an event time.
pub(crate) fn event_time_columns(plan: &LogicalPlan) -> Vec<bool> {
    event_time_delays(plan).iter().map(Option::is_some).collect()
}

/// For each column of `plan` that is an event time, the delay of its watermark in milliseconds.
pub(crate) fn event_time_delays(plan: &LogicalPlan) -> Vec<Option<i64>> {
    let width = plan.schema().fields().len();
    let mut tags = match plan {
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Vec::new(),
        LogicalPlan::Projection(projection) => tags_of(&projection.expr, &projection.input),
        LogicalPlan::Aggregate(aggregate) => tags_of(&aggregate.group_expr, &aggregate.input),
        LogicalPlan::Union(union) => union.inputs.first().map(|input| event_time_delays(input)).unwrap_or_default(),
        LogicalPlan::Join(join) => {
            let mut tags = event_time_delays(&join.left);
            tags.extend(event_time_delays(&join.right));
            tags
        }
        LogicalPlan::Extension(extension) => of_extension(extension.node.as_any(), plan),
        LogicalPlan::Unnest(unnest) => {
            let input = event_time_delays(&unnest.input);
            let from = |at: &usize| input.get(*at).copied().flatten();
            unnest.dependency_indices.iter().map(from).collect()
        }
        other => first_input(other),
    };
    tags.resize(width, None);
    tags
}

fn of_extension(node: &dyn std::any::Any, plan: &LogicalPlan) -> Vec<Option<i64>> {
    if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
        let mut tags = first_input(plan);
        if let Some(tag) = watermark.column_index().ok().and_then(|at| tags.get_mut(at)) {
            *tag = Some(watermark.delay_ms());
        }
        return tags;
    }
    if let Some(windows) = node.downcast_ref::<TimeWindowNode>() {
        let mut tags = event_time_delays(windows.input());
        tags.push(delay_of(windows.time(), windows.input()));
        return tags;
    }
    if let Some(aggregate) = node.downcast_ref::<StreamAggregateNode>() {
        let mut tags = vec![None; plan.schema().fields().len()];
        if let Some((at, time)) = aggregate.event_time() {
            tags[at] = delay_of(time, aggregate.input());
        }
        return tags;
    }
    if let Some(sessions) = node.downcast_ref::<StreamSessionNode>() {
        let mut tags = vec![None; plan.schema().fields().len()];
        let (at, session) = sessions.session();
        tags[at] = delay_of(session, sessions.input());
        return tags;
    }
    if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
        let tag = |at| sets.origin(at).and_then(|expr| delay_of(&expr, sets.input()));
        return (0..plan.schema().fields().len()).map(tag).collect();
    }
    if node.downcast_ref::<BatchClockNode>().is_some() {
        return first_input(plan);
    }
    // Every other node of ours hands its inputs' columns on, one input after the other.
    plan.inputs().into_iter().flat_map(event_time_delays).collect()
}

/// Whether `expr` over the rows of `input` is an event time.
pub(crate) fn is_event_time(expr: &Expr, input: &LogicalPlan) -> bool {
    delay_of(expr, input).is_some()
}

/// The delay of the watermark of `expr` over the rows of `input`, where it is an event time.
fn delay_of(expr: &Expr, input: &LogicalPlan) -> Option<i64> {
    match expr {
        Expr::Column(column) => {
            let at = input.schema().index_of_column(column).ok()?;
            event_time_delays(input).get(at).copied().flatten()
        }
        Expr::Alias(alias) => delay_of(&alias.expr, input),
        // The last moment of a window is as complete as the window.
        Expr::ScalarFunction(call) if call.func.name() == "window_time" => delay_of(call.args.first()?, input),
        _ => None,
    }
}

fn tags_of(exprs: &[Expr], input: &LogicalPlan) -> Vec<Option<i64>> {
    exprs.iter().map(|expr| delay_of(expr, input)).collect()
}

fn first_input(plan: &LogicalPlan) -> Vec<Option<i64>> {
    plan.inputs().first().map(|input| event_time_delays(input)).unwrap_or_default()
}

/// The `WATERMARK` that `node` is.
pub(crate) fn watermark_of(node: &LogicalPlan) -> Option<&WatermarkNode> {
    let LogicalPlan::Extension(extension) = node else { return None };
    extension.node.as_any().downcast_ref::<WatermarkNode>()
}
