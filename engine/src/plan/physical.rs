//! Planning for streams: DataFusion's settings that keep a plan runnable again and again, and our nodes.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion_common::Result;
use datafusion_execution::config::SessionConfig;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_session::{ExtensionPlanner, PhysicalOptimizerRule, PhysicalPlanner, Session};

use super::batch_clock::BatchClockNode;
use super::shared_scan::ShareScans;
use super::stream_limit::StreamLimitNode;
use super::time_window::TimeWindowNode;
use super::watermark::WatermarkNode;
use crate::stateful::{DeduplicateNode, GroupingSetsNode, StreamAggregateNode, StreamJoinNode, StreamSessionNode};
use crate::static_side::KeepStaticSides;

/// The configuration that streams are planned and run with: `config` with what would go wrong in a plan that runs more
/// than once turned off, and `partitions` source partitions.
pub fn configure_for_streams(mut config: SessionConfig, partitions: usize) -> SessionConfig {
    config = config.with_target_partitions(partitions.max(1));
    let optimizer = &mut config.options_mut().optimizer;
    // A join that is run again drops its filter while the scan keeps the first batch's bounds, and loses rows.
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // The order of rows would depend on how they were cut into batches.
    optimizer.enable_round_robin_repartition = false;
    optimizer.repartition_file_scans = false;
    config.with_extension(Arc::new(PlansStreams))
}

/// Tells a session whose plans are streams' from one whose plans run once.
#[derive(Debug)]
struct PlansStreams;

/// Whether `session` was configured by [`configure_for_streams`].
pub(super) fn plans_streams(session: &dyn Session) -> bool {
    session.config().get_extension::<PlansStreams>().is_some()
}

/// `rules`, with ours for streams.
pub fn rules_for_streams(
    rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let first: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(KeepStaticSides);
    let last: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(ShareScans);
    [first].into_iter().chain(rules).chain([last]).collect()
}

/// Turns our logical nodes into physical ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnginePlanner;

#[async_trait]
impl ExtensionPlanner for EnginePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(clock) = node.as_any().downcast_ref::<BatchClockNode>() {
            return Ok(Some(Arc::new(clock.physical(super::codec::only_input(physical_inputs)?))));
        }
        if let Some(limit) = node.as_any().downcast_ref::<StreamLimitNode>() {
            return Ok(Some(Arc::new(limit.physical(super::codec::only_input(physical_inputs)?))));
        }
        if let Some(watermark) = node.as_any().downcast_ref::<WatermarkNode>() {
            return Ok(Some(Arc::new(watermark.physical(super::codec::only_input(physical_inputs)?)?)));
        }
        if let Some(windows) = node.as_any().downcast_ref::<TimeWindowNode>() {
            let expr = |expr: &Expr| planner.create_physical_expr(expr, windows.input().schema(), session, context);
            return Ok(Some(Arc::new(windows.physical(super::codec::only_input(physical_inputs)?, &expr)?)));
        }
        if let Some(sets) = node.as_any().downcast_ref::<GroupingSetsNode>() {
            let expr = |expr: &Expr| planner.create_physical_expr(expr, sets.input().schema(), session, context);
            return Ok(Some(Arc::new(sets.physical(super::codec::only_input(physical_inputs)?, &expr)?)));
        }
        if let Some(join) = node.as_any().downcast_ref::<StreamJoinNode>() {
            return Ok(Some(join.physical(physical_inputs, planner, session, context)?));
        }
        if let Some(deduplicate) = node.as_any().downcast_ref::<DeduplicateNode>() {
            return deduplicate.physical(super::codec::only_input(physical_inputs)?).map(Some);
        }
        if let Some(sessions) = node.as_any().downcast_ref::<StreamSessionNode>() {
            let input = super::codec::only_input(physical_inputs)?;
            return sessions.physical(input, planner, session, context).map(Some);
        }
        if let Some(aggregate) = node.as_any().downcast_ref::<StreamAggregateNode>() {
            let input = super::codec::only_input(physical_inputs)?;
            return aggregate.physical(input, planner, session, context).map(Some);
        }
        Ok(None)
    }
}
