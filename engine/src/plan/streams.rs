//! The streams of a logical plan: which there are, and in which order.

use std::sync::Arc;

use datafusion_catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion_expr::LogicalPlan;

use super::stream_table::StreamTable;
use crate::stateful::remembers_order;

/// Whether `plan` reads any stream, in a subquery too.
pub fn has_streams(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        found |= stream_of(node).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Numbers the streams of `plan` in plan order, scans of the same stream alike, and gives them in that order: the order
/// of the lines in the offset log. Where the plan remembers the order of rows, streams are read in one partition each.
pub fn number_streams(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<StreamTable>)> {
    let in_order = remembers_order(&plan);
    let mut streams: Vec<StreamTable> = Vec::new();
    let numbered = plan.transform_down_with_subqueries(|node| {
        let Some(stream) = stream_of(&node) else { return Ok(Transformed::no(node)) };
        let number = match streams.iter().position(|known| known.id() == stream.id()) {
            Some(position) => position,
            None => {
                streams.push(stream.clone());
                streams.len() - 1
            }
        };
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        scan.source = provider_as_source(Arc::new(stream.numbered(number, in_order)));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok((numbered.data, streams))
}

/// The streams below `plan`, one for each scan.
pub(crate) fn streams_of(plan: &LogicalPlan) -> Vec<StreamTable> {
    let mut streams = Vec::new();
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        streams.extend(stream_of(node));
        Ok(TreeNodeRecursion::Continue)
    });
    streams
}

/// The stream that `node` scans.
pub(super) fn stream_of(node: &LogicalPlan) -> Option<StreamTable> {
    let LogicalPlan::TableScan(scan) = node else { return None };
    source_as_provider(&scan.source).ok()?.downcast_ref::<StreamTable>().cloned()
}
