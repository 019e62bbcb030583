//! What a batch runs in, and how its plan is run.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{BatchLoop, Intent};
use crate::batch_context::{BatchContext, OperatorWatermarks};
use crate::error::{Error, Result};
use crate::observations::Observations;
use crate::plan::{SharedScans, SourceExec};
use crate::query_state::StateBatch;
use crate::source::Split;
use crate::stateful::operator_watermarks;
use crate::static_side::StaticListing;

/// What the nodes of a plan share in one batch, in this process.
pub(super) struct InBatch {
    pub(super) observations: Arc<Observations>,
    pub(super) state: Option<Arc<StateBatch>>,
}

impl BatchLoop {
    /// What is different in this batch, as a value that can be sent.
    pub(super) fn batch_context(
        &self,
        intent: &Intent,
        attempt: Uuid,
        splits: BTreeMap<u32, Vec<Split>>,
        static_tables: BTreeMap<u64, StaticListing>,
    ) -> BatchContext {
        let plan = self.planned.plan.as_ref();
        let late_ms = operator_watermarks(plan, self.late_watermark_ms);
        let eviction_ms = operator_watermarks(plan, intent.entry.watermark_ms);
        let operators = eviction_ms.into_iter().map(|(operator, eviction_ms)| {
            let late_ms = late_ms.get(&operator).copied().unwrap_or(0);
            (operator, OperatorWatermarks { late_ms, eviction_ms })
        });
        BatchContext {
            batch_id: intent.batch_id,
            attempt,
            batch_timestamp_ms: intent.entry.timestamp_ms,
            operators: operators.collect(),
            splits,
            static_tables,
            limits: self.limits.clone(),
        }
    }

    /// Where the plan's nodes find the batch and everything it shares.
    pub(super) fn task_context(&self, batch: BatchContext, in_batch: &InBatch) -> Arc<TaskContext> {
        let base = &self.planned.task_context;
        let config: SessionConfig =
            Arc::new(batch).install(base.session_config().clone(), Arc::clone(&self.planned.registry));
        let mut config = config
            .with_extension(Arc::clone(&self.static_sides))
            .with_extension(Arc::<SharedScans>::default())
            .with_extension(Arc::clone(&in_batch.observations));
        if let Some(state) = &in_batch.state {
            config = config.with_extension(Arc::clone(state));
        }
        Arc::new(TaskContext::new(
            None,
            base.session_id(),
            config,
            base.scalar_functions().clone(),
            base.higher_order_functions().clone(),
            base.aggregate_functions().clone(),
            base.window_functions().clone(),
            base.runtime_env(),
        ))
    }
}

/// Runs every partition of `plan` in a task of its own and gives the rows of each. Dropping the future stops the tasks.
pub(super) async fn run_plan(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> Result<Vec<Vec<RecordBatch>>> {
    let partitions = plan.output_partitioning().partition_count();
    let mut tasks = JoinSet::new();
    for partition in 0..partitions {
        let rows = plan.execute(partition, Arc::clone(context))?;
        tasks.spawn(async move { rows.try_collect::<Vec<_>>().await.map(|rows| (partition, rows)) });
    }
    let mut by_partition = vec![Vec::new(); partitions];
    while let Some(ended) = tasks.join_next().await {
        let (partition, rows) = ended.map_err(|e| match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(e) => Error::internal(format!("a task of the batch was cancelled: {e}")),
        })??;
        by_partition[partition] = rows;
    }
    Ok(by_partition)
}

/// Rows read from each of `sources` streams, from the metrics of the plan that has just run.
pub(super) fn input_rows(plan: &Arc<dyn ExecutionPlan>, sources: usize) -> Vec<u64> {
    let mut rows = vec![0; sources];
    let mut open = vec![plan];
    while let Some(node) = open.pop() {
        if let Some(scan) = node.downcast_ref::<SourceExec>()
            && let Some(number) = scan.stream_number()
            && let Some(count) = rows.get_mut(number as usize)
        {
            *count += scan.metrics().and_then(|m| m.output_rows()).unwrap_or(0) as u64;
        }
        open.extend(node.children());
    }
    rows
}
