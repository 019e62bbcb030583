//! Operators that remember: what the loop knows of them, and the watermark of each.
//!
//! A stateful operator is a logical node, put into the plan by `make_stateful` before DataFusion's optimizer sees it, and
//! a physical one over an [`ExchangeExec`](crate::plan::ExchangeExec). Its stores are found through the
//! [`StateBatch`](crate::query_state::StateBatch), its watermarks in the [`BatchContext`](crate::batch_context::BatchContext);
//! what it did goes to the [`Observations`](crate::observations::Observations).

mod aggregate;
mod dedup;
pub mod elements;
mod event_time;
mod grouping_sets;
mod join;
mod rewrite;
mod session;
pub(crate) mod time_key;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_physical_plan::ExecutionPlan;
use millstream_state::StoreSchema;

pub use aggregate::{StateAggregateExec, StreamAggregateNode};
pub use dedup::{DeduplicateExec, DeduplicateNode};
pub use grouping_sets::{GroupingSetsExec, GroupingSetsNode};
pub use join::{StreamJoinExec, StreamJoinNode};
pub(crate) use rewrite::{make_stateful, remembers_order};
pub use session::{SessionExec, SessionRowsExec, StreamSessionNode, sessions_in_batches};
pub use time_key::TimeKeyExec;

use crate::plan::WatermarkExec;
use crate::watermark::WatermarkSpec;

/// What the loop must know of a physical stateful operator.
pub trait StatefulNode: ExecutionPlan {
    /// Its number in the plan: operators are counted from the sources up, so that one added on top changes no other.
    fn operator(&self) -> u32;

    /// Its name in the progress: Spark's for the same operator.
    fn operator_name(&self) -> &'static str;

    /// State partitions.
    fn partitions(&self) -> usize;

    /// Its stores, by name. A restart with others is refused.
    fn stores(&self) -> Vec<(String, StoreSchema)>;

    /// What else its state means something by, such as the length of windows, one line each. A restart with others is refused.
    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Up to which event time its output is complete when its input is up to `input_ms`.
    fn output_watermark_ms(&self, input_ms: i64) -> i64 {
        input_ms
    }

    /// What the user should know about it.
    fn warning(&self) -> Option<String> {
        None
    }

    /// Whether a batch without data would do anything, when the last one evicted with `evicted_ms` and the next would with
    /// `next_ms`.
    fn wants_batch(&self, evicted_ms: i64, next_ms: i64) -> bool {
        next_ms > evicted_ms
    }
}

/// The operator that `node` is, where it is a stateful one: a line for each.
pub fn as_stateful(node: &dyn ExecutionPlan) -> Option<&dyn StatefulNode> {
    let aggregate = node.downcast_ref::<StateAggregateExec>().map(|node| node as &dyn StatefulNode);
    let join = || node.downcast_ref::<StreamJoinExec>().map(|node| node as &dyn StatefulNode);
    let deduplicate = || node.downcast_ref::<DeduplicateExec>().map(|node| node as &dyn StatefulNode);
    let sessions = || node.downcast_ref::<SessionExec>().filter(|node| node.is_stateful());
    aggregate.or_else(join).or_else(deduplicate).or_else(|| sessions().map(|node| node as &dyn StatefulNode))
}

/// The stateful operators of a plan, the root's first.
pub(crate) fn stateful_nodes(plan: &dyn ExecutionPlan) -> Vec<&dyn StatefulNode> {
    let mut nodes: Vec<&dyn StatefulNode> = as_stateful(plan).into_iter().collect();
    for child in plan.children() {
        nodes.extend(stateful_nodes(child.as_ref()));
    }
    nodes
}

/// The watermarks of a plan, by their number.
pub(crate) fn watermark_specs(plan: &Arc<dyn ExecutionPlan>) -> BTreeMap<u32, WatermarkSpec> {
    let mut specs = BTreeMap::new();
    let mut open = vec![plan];
    while let Some(node) = open.pop() {
        if let Some(watermark) = node.downcast_ref::<WatermarkExec>() {
            specs.insert(watermark.number(), watermark.spec().clone());
        }
        open.extend(node.children());
    }
    specs
}

/// The watermark that reaches each operator of `plan` when the query's is `global_ms`.
///
/// As Spark does it: a `WATERMARK` gives the query's, a stateful operator passes on what its output is complete to, any
/// other node the smallest of its inputs; inputs without any do not count, and an operator without any has the epoch.
pub(crate) fn operator_watermarks(plan: &dyn ExecutionPlan, global_ms: i64) -> BTreeMap<u32, i64> {
    let mut watermarks = BTreeMap::new();
    output_watermark(plan, global_ms, &mut watermarks);
    watermarks
}

fn output_watermark(node: &dyn ExecutionPlan, global_ms: i64, seen: &mut BTreeMap<u32, i64>) -> Option<i64> {
    let inputs: Vec<Option<i64>> =
        node.children().iter().map(|child| output_watermark(child.as_ref(), global_ms, seen)).collect();
    let input_ms = inputs.into_iter().flatten().min();
    if node.downcast_ref::<WatermarkExec>().is_some() {
        return Some(global_ms);
    }
    match as_stateful(node) {
        None => input_ms,
        Some(stateful) => {
            // Before the first watermark nothing is late or closed anywhere.
            let input_ms = if global_ms == 0 { 0 } else { input_ms.unwrap_or(0) };
            seen.insert(stateful.operator(), input_ms);
            Some(if global_ms == 0 { 0 } else { stateful.output_watermark_ms(input_ms) })
        }
    }
}
