//! Turns a logical plan over streams into one whose operators remember: before DataFusion's optimizer sees it, which would
//! rewrite an aggregate into others.

use std::sync::Arc;

use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::{Aggregate, Distinct, Expr, ExprSchemable, Extension, LogicalPlan};

use super::aggregate::{AggregateSpec, GroupTime, StreamAggregateNode};
use super::dedup::DeduplicateNode;
use super::elements::elements_kind;
use super::event_time::{is_event_time, watermark_of};
use super::grouping_sets::{is_left_out, spoken_name, without_grouping_sets};
use super::join::{changes_its_rows, join_streams, push_filters};
use super::session::{SessionSpec, StreamSessionNode, in_every_set, session_among};
use super::time_key::TimeKind;
use crate::error::{Error, Result};
use crate::plan::time_window::WindowKind;
use crate::plan::watermark::event_time_type;
use crate::plan::{TimeWindowNode, has_streams, streams_of};
use crate::sink::OutputMode;

/// `plan` with every operator over a stream that must remember as one that does, in state of `partitions` partitions.
/// Operators and watermarks are numbered from the sources up.
///
/// # Errors
/// `Invalid` for what cannot run in `mode`, with what is missing.
pub(crate) fn make_stateful(plan: LogicalPlan, mode: OutputMode, partitions: usize) -> Result<LogicalPlan> {
    let mut rewrite = Rewrite { mode, partitions, operators: 0, watermarks: 0 };
    let rewritten = push_filters(plan)?.transform_up_with_subqueries(|node| {
        if !has_streams(&node) {
            return Ok(Transformed::no(node));
        }
        Ok(rewrite.node(node)?)
    })?;
    Ok(rewritten.data)
}

/// Whether an answer of `plan` depends on the order of rows. Then its streams are read in one partition each, so that the order is
/// that of their splits however they are cut into batches.
pub(crate) fn remembers_order(plan: &LogicalPlan) -> bool {
    plan.exists(|node| {
        let LogicalPlan::Extension(extension) = node else { return Ok(false) };
        let node = extension.node.as_any();
        let aggregate = node.downcast_ref::<StreamAggregateNode>();
        let sessions = node.downcast_ref::<StreamSessionNode>();
        let in_sessions = sessions.is_some_and(|sessions| sessions.aggregates().iter().any(depends_on_order));
        Ok(in_sessions || aggregate.is_some_and(StreamAggregateNode::remembers_order))
    })
    .unwrap_or(false)
}

struct Rewrite {
    mode: OutputMode,
    partitions: usize,
    operators: u32,
    watermarks: u32,
}

impl Rewrite {
    fn node(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if let Some(watermark) = watermark_of(&node) {
            check_only_watermark(&node)?;
            let idle_timeouts: Option<Vec<u64>> =
                streams_of(&node).iter().map(|stream| stream.idle_timeout_ms()).collect();
            let number = self.watermarks;
            self.watermarks += 1;
            let numbered = watermark.numbered(number, idle_timeouts.and_then(|all| all.into_iter().max()));
            return Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(numbered) })));
        }
        if let Some(deduplicate) = deduplicate_of(&node) {
            let operator = self.next_operator();
            return Ok(Transformed::yes(deduplicate.started(operator, self.partitions)?));
        }
        match node {
            LogicalPlan::Join(join) if has_streams(&join.left) && has_streams(&join.right) => {
                let operator = self.next_operator();
                Ok(Transformed::yes(join_streams(join, self.mode, operator, self.partitions)?))
            }
            LogicalPlan::Aggregate(aggregate) => Ok(Transformed::yes(self.aggregate(aggregate)?)),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let group_expr = input.schema().columns().into_iter().map(Expr::Column).collect();
                Ok(Transformed::yes(self.aggregate(Aggregate::try_new(input, group_expr, Vec::new())?)?))
            }
            node => Ok(Transformed::no(node)),
        }
    }

    fn next_operator(&mut self) -> u32 {
        self.operators += 1;
        self.operators - 1
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Result<LogicalPlan> {
        if self.mode != OutputMode::Append && changes_its_rows(&aggregate.input) {
            return Err(Error::invalid(format!(
                "an aggregation of another aggregation over a stream is not supported in output mode {}: a group that changes would \
                 be counted again; use append, with a WATERMARK and windows in both",
                self.mode
            )));
        }
        in_every_set(&aggregate.group_expr, &aggregate.input)?;
        let aggregate = without_grouping_sets(aggregate)?;
        if let Some(session) = session_among(&aggregate.group_expr, &aggregate.input) {
            return self.sessions(aggregate, session);
        }
        let Aggregate { input, mut group_expr, aggr_expr, schema, .. } = aggregate;
        let mut input = Arc::unwrap_or_clone(input);
        let mut time = group_time(&group_expr, &input);
        let remembers_order = aggr_expr.iter().any(depends_on_order);
        let window = time.and_then(|time| window_below(&group_expr, &aggr_expr, &input, time.index));
        let mut by_slices = false;
        if let (Some(group_time), Some((below, at, windows))) = (&mut time, window) {
            group_time.kind = TimeKind::Slices(windows);
            group_expr[group_time.index] = at;
            input = below;
            by_slices = self.mode == OutputMode::Append && windows.size != windows.slide && !remembers_order;
        }
        if self.mode == OutputMode::Append && !time.is_some_and(|time| time.has_watermark) {
            return Err(no_watermark(&group_expr, time.is_some()));
        }
        if let (OutputMode::Complete, Some(time)) = (self.mode, &mut time) {
            // Every group is given out for ever: no row is too late for it, and none is closed.
            time.has_watermark = false;
        }
        let spec = AggregateSpec {
            operator: self.next_operator(),
            mode: self.mode,
            partitions: self.partitions,
            time,
            by_slices,
            remembers_order,
            keeps_elements: keeps_elements(&aggr_expr),
        };
        Ok(StreamAggregateNode::plan(input, group_expr, aggr_expr, spec, schema))
    }

    /// An aggregate whose grouping column number `session` is a session.
    fn sessions(&mut self, aggregate: Aggregate, session: usize) -> Result<LogicalPlan> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        let input = Arc::unwrap_or_clone(input);
        let has_watermark = is_event_time(&group_expr[session], &input);
        if self.mode == OutputMode::Append && !has_watermark {
            return Err(no_watermark(&group_expr, true));
        }
        let spec = SessionSpec {
            operator: Some(self.next_operator()),
            mode: self.mode,
            partitions: self.partitions,
            session,
            has_watermark,
            keeps_elements: keeps_elements(&aggr_expr),
        };
        Ok(StreamSessionNode::plan(input, group_expr, aggr_expr, spec, schema))
    }
}

/// A watermark over another would say again which rows are late, after some operator has decided it.
fn check_only_watermark(node: &LogicalPlan) -> Result<()> {
    let mut open = node.inputs();
    while let Some(below) = open.pop() {
        if let (Some(first), Some(second)) = (watermark_of(below), watermark_of(node)) {
            return Err(Error::invalid(format!(
                "column '{}' cannot be given a WATERMARK: the rows below it have one already, on column '{}'; leave the second out, \
                 operators above go by the first",
                second.column().name,
                first.column().name
            )));
        }
        open.extend(below.inputs());
    }
    Ok(())
}

fn deduplicate_of(node: &LogicalPlan) -> Option<&DeduplicateNode> {
    let LogicalPlan::Extension(extension) = node else { return None };
    extension.node.as_any().downcast_ref::<DeduplicateNode>()
}

/// The time among the grouping columns: one with a watermark before one without, a window before a time.
fn group_time(group_expr: &[Expr], input: &LogicalPlan) -> Option<GroupTime> {
    let candidates = group_expr.iter().enumerate().filter_map(|(index, expr)| {
        let data_type = expr.get_type(input.schema()).ok()?;
        let is_window = event_time_type(&data_type)?;
        let has_watermark = is_event_time(expr, input);
        let kind = if is_window { TimeKind::Window } else { TimeKind::Time };
        let may_be_left_out = is_left_out(expr, input);
        (has_watermark || is_window).then_some(GroupTime { index, kind, has_watermark, may_be_left_out })
    });
    candidates.max_by_key(|time| (time.has_watermark, time.kind == TimeKind::Window, std::cmp::Reverse(time.index)))
}

/// Where the time that is grouped by is a window computed right below and used for nothing else: the plan below that, the time
/// that windows are made of, and which.
fn window_below(
    group_expr: &[Expr],
    aggr_expr: &[Expr],
    input: &LogicalPlan,
    index: usize,
) -> Option<(LogicalPlan, Expr, crate::plan::Windows)> {
    let LogicalPlan::Extension(extension) = input else { return None };
    let node = extension.node.as_any().downcast_ref::<TimeWindowNode>()?;
    let WindowKind::Fixed(windows) = node.kind() else { return None };
    let Expr::Column(grouped) = &group_expr[index] else { return None };
    let window = input.schema().columns().pop()?;
    let is_window = |column: &Column| *column == window;
    let others = group_expr.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, expr)| expr).chain(aggr_expr);
    let used_elsewhere = others.into_iter().any(|expr| expr.column_refs().into_iter().any(is_window));
    (is_window(grouped) && !used_elsewhere).then(|| (node.input().clone(), node.time().clone(), *windows))
}

/// Whether an aggregate keeps its elements one by one. (Those of aggregates with an ORDER BY of their own stay in their states.)
fn keeps_elements(aggr_expr: &[Expr]) -> bool {
    let any = |wanted: &dyn Fn(&datafusion_expr::expr::AggregateFunction) -> bool| {
        aggr_expr
            .iter()
            .any(|expr| matches!(expr.clone().unalias_nested().data, Expr::AggregateFunction(call) if wanted(&call)))
    };
    !any(&|call| !call.params.order_by.is_empty())
        && any(&|call| elements_kind(call.func.name(), call.params.distinct).is_some())
}

/// Aggregates whose answer depends on the order of rows: states of them must be merged in the order of arrival.
fn depends_on_order(expr: &Expr) -> bool {
    const NAMES: &[&str] = &[
        "first",
        "last",
        "first_value",
        "last_value",
        "any_value",
        "any",
        "collect_list",
        "collect_set",
        "array_agg",
        "min_by",
        "max_by",
        "mode",
        "string_agg",
        "listagg",
    ];
    expr.exists(|expr| {
        Ok(match expr {
            Expr::AggregateFunction(call) => {
                let name = call.func.name();
                elements_kind(name, call.params.distinct).is_some() || NAMES.contains(&name)
            }
            _ => false,
        })
    })
    .unwrap_or(true)
}

fn no_watermark(group_expr: &[Expr], has_time: bool) -> Error {
    let names = group_expr.iter().filter_map(spoken_name).map(|name| format!("'{name}'"));
    let grouped = names.collect::<Vec<_>>().join(", ");
    let what = match (has_time, group_expr.is_empty()) {
        (true, _) => format!("the time in {grouped} has no WATERMARK"),
        (false, true) => "it has no GROUP BY, so its only row is never final".to_string(),
        (false, false) => format!("no time with a WATERMARK is among the grouping columns {grouped}"),
    };
    Error::invalid(format!(
        "output mode append is not supported for this aggregation over a stream: {what}, so no group would ever be final; group by a \
         time with a WATERMARK (STREAM t WATERMARK ts DELAY OF INTERVAL 10 MINUTES … GROUP BY window(ts, '5 minutes')), or use \
         output mode update or complete"
    ))
}
