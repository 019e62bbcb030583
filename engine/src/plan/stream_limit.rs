//! `LIMIT` over a stream: so many rows in the whole life of the query.
//!
//! State      how many rows were let through in all batches before: in `commits/N`, and from there in the [`BatchContext`]
//! Per batch  lets rows through until there are as many as wanted; reads the rest, which may be somebody's state
//! Output     the first rows of the input in one partition: those of the input's first partition, then those of its second,
//!            and so on, so that the same rows are let through in every run whichever partition is quicker
//! Bounded    by the rows that are still wanted: all partitions run together, as an exchange below needs, and rows of later
//!            ones wait for the earlier ones to end; they count against the session's memory

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchemaRef, DataFusionError, Result};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::{Expr, Extension, FetchType, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::codec::{NodeExpression, PlanNode, from_json, one_input, only_input, to_json};
use super::streams::has_streams;
use crate::batch_context::BatchContext;
use crate::sink::OutputMode;

/// The name of the counts among the further fields of `commits/N`.
pub(crate) const LIMITS_FIELD: &str = "limits";

/// Puts our node in place of every `LIMIT` over rows that are never taken back. A limit over an aggregate's whole result,
/// in output mode complete, is a matter of each batch, and stays.
pub fn limit_streams(plan: LogicalPlan, mode: OutputMode) -> Result<LogicalPlan> {
    let mut numbers = 0..;
    let limited = plan.transform_up(|node| {
        let LogicalPlan::Limit(limit) = &node else { return Ok(Transformed::no(node)) };
        let is_whole_result = mode == OutputMode::Complete && super::check::has_streaming_aggregate(&limit.input);
        let FetchType::Literal(Some(rows)) = limit.get_fetch_type()? else { return Ok(Transformed::no(node)) };
        if is_whole_result || !has_streams(&limit.input) {
            return Ok(Transformed::no(node));
        }
        let number = numbers.next().unwrap_or(u32::MAX);
        let node = StreamLimitNode { input: limit.input.as_ref().clone(), number, rows: rows as u64 };
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
    })?;
    Ok(limited.data)
}

/// The logical node; see the file's header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamLimitNode {
    input: LogicalPlan,
    number: u32,
    rows: u64,
}

impl PartialOrd for StreamLimitNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.number.partial_cmp(&other.number)
    }
}

impl StreamLimitNode {
    /// The physical node over `input`.
    pub(super) fn physical(&self, input: Arc<dyn ExecutionPlan>) -> StreamLimitExec {
        StreamLimitExec::new(input, self.number, self.rows)
    }
}

impl UserDefinedLogicalNodeCore for StreamLimitNode {
    fn name(&self) -> &str {
        "StreamLimit"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "StreamLimit: rows={}", self.rows)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { input: inputs.swap_remove(0), ..self.clone() })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// The physical node; see the file's header.
#[derive(Clone, Debug)]
pub struct StreamLimitExec {
    // Fixed by the plan.
    input: Arc<dyn ExecutionPlan>,
    number: u32,
    rows: u64,
    properties: Arc<PlanProperties>,
    // Measured.
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    number: u32,
    rows: u64,
}

impl StreamLimitExec {
    fn new(input: Arc<dyn ExecutionPlan>, number: u32, rows: u64) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, number, rows, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.number, self.rows))
    }
}

/// How many rows each limit of `plan`, which has just run, has let through in all batches, given how many it had `before`.
pub(crate) fn limit_counts(plan: &Arc<dyn ExecutionPlan>, before: &BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
    let mut counts = before.clone();
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply(|node| {
        if let Some(limit) = node.downcast_ref::<StreamLimitExec>() {
            let rows = limit.metrics.clone_inner().output_rows().unwrap_or(0) as u64;
            *counts.entry(limit.number).or_default() += rows;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    counts
}

impl PlanNode for StreamLimitExec {
    const NAME: &'static str = "StreamLimit";

    fn to_json(&self) -> Result<serde_json::Value> {
        to_json(&Encoded { number: self.number, rows: self.rows })
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = from_json(json)?;
        Ok(Self::new(only_input(inputs)?, encoded.number, encoded.rows))
    }
}

impl DisplayAs for StreamLimitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "StreamLimitExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for StreamLimitExec {
    one_input!();

    fn name(&self) -> &str {
        "StreamLimitExec"
    }

    /// Fresh metrics: what one batch let through is told from what the others did.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let before = BatchContext::of(&context)?.limits.get(&self.number).copied().unwrap_or(0);
        let mut left = self.rows.saturating_sub(before);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = in_order(&self.input, left, &context)?.try_filter_map(move |batch| {
            let first = first_rows(&batch, &mut left);
            metrics.record_output(first.as_ref().map_or(0, RecordBatch::num_rows));
            std::future::ready(Ok(first))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// As many rows of `batch` as are `left`, of which they are taken off; `None` for none.
fn first_rows(batch: &RecordBatch, left: &mut u64) -> Option<RecordBatch> {
    let rows = batch.num_rows().min(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= rows as u64;
    (rows > 0).then(|| batch.slice(0, rows))
}

/// At least the first `wanted` rows of all partitions of `input`, in the order of the partitions, which run together.
/// Ends when all of them have ended.
fn in_order(
    input: &Arc<dyn ExecutionPlan>,
    wanted: u64,
    context: &Arc<TaskContext>,
) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
    let partitions = input.output_partitioning().partition_count();
    if partitions == 1 {
        return Ok(input.execute(0, Arc::clone(context))?.left_stream());
    }
    let memory = MemoryConsumer::new("StreamLimitExec").register(context.memory_pool());
    let (mut receivers, mut tasks) = (Vec::with_capacity(partitions), JoinSet::new());
    for partition in 0..partitions {
        let (sender, receiver) = unbounded_channel();
        receivers.push(receiver);
        let rows = input.execute(partition, Arc::clone(context))?;
        tasks.spawn(send_first(rows, wanted, memory.new_empty(), sender));
    }
    let all = stream::unfold((receivers.into_iter(), None, tasks), |(mut rest, mut current, mut tasks)| async move {
        loop {
            let receiver: &mut UnboundedReceiver<Waiting> = match &mut current {
                Some(receiver) => receiver,
                None => match rest.next() {
                    Some(receiver) => current.insert(receiver),
                    // A task that did not come to its end has not sent all of its rows.
                    None => match tasks.join_next().await? {
                        Ok(()) => continue,
                        Err(error) => {
                            return Some((Err(DataFusionError::ExecutionJoin(Box::new(error))), (rest, None, tasks)));
                        }
                    },
                },
            };
            match receiver.recv().await {
                Some(waiting) => return Some((waiting.map(|(batch, _)| batch), (rest, current, tasks))),
                None => current = None,
            }
        }
    });
    Ok(all.right_stream())
}

/// Rows that wait for those of earlier partitions, and their memory.
type Waiting = Result<(RecordBatch, MemoryReservation)>;

/// Sends the first `left` rows of a partition, and reads the rest.
async fn send_first(
    mut rows: SendableRecordBatchStream,
    mut left: u64,
    memory: MemoryReservation,
    sender: UnboundedSender<Waiting>,
) {
    while let Some(batch) = rows.next().await {
        let waiting = batch.and_then(|batch| {
            let Some(batch) = first_rows(&batch, &mut left) else { return Ok(None) };
            let reserved = memory.new_empty();
            reserved.try_grow(batch.get_array_memory_size())?;
            Ok(Some((batch, reserved)))
        });
        let failed = waiting.is_err();
        // A receiver that is gone belongs to a batch that has failed.
        if let Some(waiting) = waiting.transpose()
            && (sender.send(waiting).is_err() || failed)
        {
            return;
        }
    }
}
