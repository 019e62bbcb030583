//! From a join as it was written to one that runs on streams, or to the reason why it cannot.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Column, DFSchema, NullEquality};
use datafusion_expr::type_coercion::binary::comparison_coercion;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator, cast};
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::{Optimizer, OptimizerContext};
use std::sync::Arc;

use super::infer::with_inferred_filters;
use super::node::{StreamJoin, StreamJoinNode};
use super::spec::{Expiry, StreamJoinType};
use crate::error::{Error, Result};
use crate::joining::JoinSideOf;
use crate::plan::has_streams;
use crate::sink::OutputMode;
use crate::stateful::event_time::{event_time_columns, is_event_time};
use crate::stateful::{StreamAggregateNode, StreamSessionNode};

/// Whether two streams are joined anywhere in `plan`.
fn joins_streams(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node {
            found |= has_streams(&join.left) && has_streams(&join.right);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Takes filters to where they apply, before joins of streams become nodes of ours that filters do not pass: a filter of
/// rows with nulls makes an outer join an inner one, and conditions of one side go to that side.
pub(crate) fn push_filters(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !joins_streams(&plan) {
        return Ok(plan);
    }
    let optimizer = Optimizer::with_rules(vec![Arc::new(EliminateOuterJoin::new()), Arc::new(PushDownFilter::new())]);
    Ok(optimizer.optimize(plan, &OptimizerContext::new().with_max_passes(2), |_, _| {})?)
}

/// The join of two streams as one that remembers them: operator number `operator`, its state in `partitions` partitions.
///
/// # Errors
/// `Invalid` or `Unsupported` with what is missing for it to run.
pub(crate) fn join_streams(join: Join, mode: OutputMode, operator: u32, partitions: usize) -> Result<LogicalPlan> {
    let Some(join_type) = StreamJoinType::of(join.join_type) else {
        return Err(Error::unsupported(format!(
            "a {} join of two streams is not supported: swap the sides and write it as a LEFT SEMI or LEFT ANTI join",
            join.join_type
        )));
    };
    check_mode(join_type, mode)?;
    if mode != OutputMode::Append && (changes_its_rows(&join.left) || changes_its_rows(&join.right)) {
        return Err(Error::invalid(format!(
            "a join after an aggregation over a stream is not supported in output mode {mode}: rows that were joined would change; \
             use append"
        )));
    }
    let null_safe = join.null_equality == NullEquality::NullEqualsNull;
    let (left, right) = (Arc::unwrap_or_clone(join.left), Arc::unwrap_or_clone(join.right));
    let mut keys: Vec<(Expr, Expr, bool)> = join.on.into_iter().map(|(l, r)| (l, r, null_safe)).collect();
    let (mut left_only, mut right_only, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for conjunct in join.filter.map(split_conjunction_owned).unwrap_or_default() {
        match equality(&conjunct, left.schema(), right.schema()) {
            Some(key) => keys.push(key),
            None if is_of(&conjunct, left.schema()) => left_only.push(conjunct),
            None if is_of(&conjunct, right.schema()) => right_only.push(conjunct),
            None => both.push(conjunct),
        }
    }
    if keys.is_empty() {
        return Err(Error::invalid(
            "a join of two streams without an equality between them is not supported: every row would have to meet every other; \
             add a condition such as a.id = b.id",
        ));
    }
    let keys =
        keys.into_iter().map(|key| same_types(key, left.schema(), right.schema())).collect::<Result<Vec<_>>>()?;
    let conjuncts: Vec<Expr> = [&left_only[..], &right_only, &both].concat();
    let time_key = keys
        .iter()
        .position(|(key, _, _)| is_event_time(key, &left))
        .or_else(|| keys.iter().position(|(_, key, _)| is_event_time(key, &right)));
    let used: Vec<Column> = keys
        .iter()
        .flat_map(|(l, r, _)| [l, r])
        .chain(&conjuncts)
        .flat_map(|expr| expr.column_refs().into_iter().cloned())
        .collect();
    let (left_time, right_time) = (event_time(&left, &used), event_time(&right, &used));
    let (left, right) = with_inferred_filters(left, right, join.join_type, &keys, &conjuncts)?;
    let join = StreamJoin {
        left,
        right,
        join_type,
        keys,
        left_only: conjunction(left_only),
        right_only: conjunction(right_only),
        condition: conjunction(both),
        left_time,
        right_time,
        time_key,
    };
    let node = StreamJoinNode::try_new(join, operator, partitions)?;
    check_expiry(&node, join_type)?;
    Ok(node.plan())
}

/// Whether an aggregation below gives groups out before they are final.
pub(crate) fn changes_its_rows(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node {
            let node = extension.node.as_any();
            found |= node.downcast_ref::<StreamAggregateNode>().is_some();
            found |= node.downcast_ref::<StreamSessionNode>().is_some();
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Rows that stay without a match are given out late, and never taken back: only append fits.
fn check_mode(join_type: StreamJoinType, mode: OutputMode) -> Result<()> {
    let name = name_of(join_type);
    match (mode, join_type) {
        (OutputMode::Append, _) | (OutputMode::Update, StreamJoinType::Inner | StreamJoinType::LeftSemi) => Ok(()),
        (OutputMode::Complete, _) => Err(Error::invalid(format!(
            "a join of two streams ({name}) is not supported in output mode complete: use append, or update for an inner join"
        ))),
        (OutputMode::Update, _) => Err(Error::invalid(format!(
            "a {name} join of two streams is not supported in output mode update: use append"
        ))),
    }
}

fn name_of(join_type: StreamJoinType) -> &'static str {
    match join_type {
        StreamJoinType::Inner => "INNER",
        StreamJoinType::Left => "LEFT OUTER",
        StreamJoinType::Right => "RIGHT OUTER",
        StreamJoinType::Full => "FULL OUTER",
        StreamJoinType::LeftSemi => "LEFT SEMI",
        StreamJoinType::LeftAnti => "LEFT ANTI",
    }
}

/// Refuses a join that would wait for ever before it gives out a row without a match.
fn check_expiry(node: &StreamJoinNode, join_type: StreamJoinType) -> Result<()> {
    let expires = |side| node.expires(side);
    let missing = match join_type {
        StreamJoinType::Inner => None,
        StreamJoinType::Left | StreamJoinType::LeftAnti => (!expires(JoinSideOf::Left)).then_some(JoinSideOf::Left),
        StreamJoinType::Right => (!expires(JoinSideOf::Right)).then_some(JoinSideOf::Right),
        StreamJoinType::Full => (!expires(JoinSideOf::Left) && !expires(JoinSideOf::Right)).then_some(JoinSideOf::Left),
        // A match is given out at once; what is asked for is, as in Spark, that rows could be forgotten.
        StreamJoinType::LeftSemi => (!node.is_bounded(JoinSideOf::Left)).then_some(JoinSideOf::Left),
    };
    let Some(side) = missing else { return Ok(()) };
    let (kept, other) = match side {
        JoinSideOf::Left => ("left", "right"),
        JoinSideOf::Right => ("right", "left"),
    };
    let needs = match (node.time(side), node.time(side.other())) {
        (None, None) => "neither side has a WATERMARK".to_string(),
        (_, None) => format!("the {other} side has no WATERMARK, so it is never known that no match can come any more"),
        (None, Some(_)) if join_type != StreamJoinType::LeftSemi => {
            format!("the {kept} side has no WATERMARK, so it is never known when its rows have waited long enough")
        }
        (Some(own), Some(others)) => {
            format!(
                "no condition says how long after '{}' a match may come: add one such as {} <= {} + INTERVAL 10 MINUTES",
                own.name,
                others.flat_name(),
                own.flat_name()
            )
        }
        (None, Some(_)) => format!("no condition compares a time of the {kept} side with the one of the {other} side"),
    };
    Err(Error::invalid(format!(
        "a {} join of two streams needs to know when a row of the {kept} side can have no match any more: {needs}. A time with a \
         WATERMARK among the columns that must be equal does as well",
        name_of(join_type)
    )))
}

/// `a = b` or `a <=> b` with one side of each: a key, and whether a null equals a null.
fn equality(conjunct: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(Expr, Expr, bool)> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op, right: b }) = conjunct else { return None };
    let null_safe = match op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        _ => return None,
    };
    let (a, b) = (a.as_ref(), b.as_ref());
    if a.is_volatile() || b.is_volatile() {
        return None;
    }
    match () {
        () if is_of(a, left) && is_of(b, right) => Some((a.clone(), b.clone(), null_safe)),
        () if is_of(b, left) && is_of(a, right) => Some((b.clone(), a.clone(), null_safe)),
        () => None,
    }
}

/// Whether `expr` is about columns of `schema`, and of nothing else.
fn is_of(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
}

/// The key with both expressions of one type.
fn same_types((a, b, null_safe): (Expr, Expr, bool), left: &DFSchema, right: &DFSchema) -> Result<(Expr, Expr, bool)> {
    let (of_a, of_b) = (a.get_type(left)?, b.get_type(right)?);
    if of_a == of_b {
        return Ok((a, b, null_safe));
    }
    let Some(common) = comparison_coercion(&of_a, &of_b) else {
        return Err(Error::invalid(format!("{a} of type {of_a} cannot be compared with {b} of type {of_b}")));
    };
    let fit = |expr, from| if from == common { expr } else { cast(expr, common.clone()) };
    Ok((fit(a, of_a), fit(b, of_b), null_safe))
}

/// The event time of a side: of several the one that the join is about, otherwise the first.
fn event_time(plan: &LogicalPlan, used: &[Column]) -> Option<Column> {
    let tags = event_time_columns(plan);
    let times: Vec<Column> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(tags)
        .filter(|(_, is_time)| *is_time)
        .map(|(column, _)| column)
        .collect();
    times.iter().find(|time| used.contains(time)).or(times.first()).cloned()
}

impl StreamJoinNode {
    /// Whether rows of `side` expire at all.
    fn expires(&self, side: JoinSideOf) -> bool {
        self.expiry(side, &vec![0; self.key_count()]) != Expiry::Never
    }
}
