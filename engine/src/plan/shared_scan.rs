//! A stream that a query uses several times is read once.
//!
//! State      none
//! Per batch  the scan runs once for each partition, for whoever asks first; the others find its record batches waiting
//! Output     the columns that this reader wants, in the scan's order
//! Bounded    by the rows of one batch that the slowest reader has not taken yet: they are shared, not copied

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use datafusion_session::PhysicalOptimizerRule;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::codec::{self, NodeExpression, PlanNode, one_input, only_input};
use super::source_exec::SourceExec;

/// Lets all scans of one stream share one. It comes after all other rules, when it is known which columns are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShareScans;

impl PhysicalOptimizerRule for ShareScans {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut wanted: BTreeMap<u32, Vec<Vec<usize>>> = BTreeMap::new();
        plan.apply(|node| {
            if let Some((number, scan)) = stream_scan(node) {
                wanted.entry(number).or_default().push(scan.projection().to_vec());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        wanted.retain(|_, scans| scans.len() > 1);
        if wanted.is_empty() {
            return Ok(plan);
        }
        let mut next_reader: HashMap<u32, usize> = HashMap::new();
        let shared = plan.transform_up(|node| {
            let Some((number, scan)) = stream_scan(&node) else { return Ok(Transformed::no(node)) };
            let Some(scans) = wanted.get(&number) else { return Ok(Transformed::no(node)) };
            let mut columns: Vec<usize> = scans.concat();
            columns.sort_unstable();
            columns.dedup();
            let place = |column: &usize| columns.iter().position(|known| known == column).unwrap_or_default();
            let projection = scan.projection().iter().map(place).collect();
            let reader = next_reader.entry(number).or_default();
            let spec = SharedScan { stream: number, reader: *reader, readers: scans.len(), projection };
            *reader += 1;
            let scan = Arc::new(scan.with_projection(columns)?);
            Ok(Transformed::yes(Arc::new(SharedScanExec::try_new(scan, spec)?)))
        })?;
        Ok(shared.data)
    }

    fn name(&self) -> &str {
        "ShareScans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn stream_scan(node: &Arc<dyn ExecutionPlan>) -> Option<(u32, &SourceExec)> {
    let scan = node.downcast_ref::<SourceExec>()?;
    Some((scan.stream_number()?, scan))
}

/// The scans of one batch that have several readers: found through the task context.
#[derive(Debug, Default)]
pub struct SharedScans(Mutex<HashMap<(u32, usize), Arc<Running>>>);

/// One partition of a scan.
struct Running {
    /// Whoever needs a record batch next takes it out of the scan, for all.
    scan: tokio::sync::Mutex<SendableRecordBatchStream>,
    /// What each reader has still to take.
    waiting: Mutex<Vec<VecDeque<RecordBatch>>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    fn waiting(&self, reader: usize) -> Option<RecordBatch> {
        lock(&self.waiting).get_mut(reader)?.pop_front()
    }

    async fn next(&self, reader: usize) -> Option<Result<RecordBatch>> {
        if let Some(batch) = self.waiting(reader) {
            return Some(Ok(batch));
        }
        let mut scan = self.scan.lock().await;
        // Another reader may have been at it meanwhile.
        if let Some(batch) = self.waiting(reader) {
            return Some(Ok(batch));
        }
        let next = scan.next().await;
        if let Some(Ok(batch)) = &next {
            let mut waiting = lock(&self.waiting);
            waiting.iter_mut().enumerate().filter(|(other, _)| *other != reader).for_each(|(_, waiting)| {
                waiting.push_back(batch.clone());
            });
        }
        next
    }
}

/// The node; see the file's header.
#[derive(Clone, Debug)]
pub struct SharedScanExec {
    input: Arc<dyn ExecutionPlan>,
    spec: SharedScan,
    properties: Arc<PlanProperties>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SharedScan {
    stream: u32,
    reader: usize,
    readers: usize,
    /// The columns of the scan that this reader wants.
    projection: Vec<usize>,
}

impl SharedScanExec {
    fn try_new(input: Arc<dyn ExecutionPlan>, spec: SharedScan) -> Result<Self> {
        let schema = input.schema().project(&spec.projection)?;
        let schema = Arc::new(Schema::new(schema.fields().clone()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(input.properties().scheduling_type);
        Ok(Self { input, spec, properties: Arc::new(properties) })
    }

    fn running(&self, scans: &SharedScans, partition: usize, context: Arc<TaskContext>) -> Result<Arc<Running>> {
        let mut running = lock(&scans.0);
        if let Some(running) = running.get(&(self.spec.stream, partition)) {
            return Ok(Arc::clone(running));
        }
        let scan = tokio::sync::Mutex::new(self.input.execute(partition, context)?);
        let waiting = Mutex::new(vec![VecDeque::new(); self.spec.readers]);
        let started = Arc::new(Running { scan, waiting });
        running.insert((self.spec.stream, partition), Arc::clone(&started));
        Ok(started)
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::try_new(input, self.spec.clone())
    }
}

impl PlanNode for SharedScanExec {
    const NAME: &'static str = "SharedScan";

    fn to_json(&self) -> Result<serde_json::Value> {
        codec::to_json(&self.spec)
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        Self::try_new(only_input(inputs)?, codec::from_json(json)?)
    }
}

impl DisplayAs for SharedScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let SharedScan { stream, reader, readers, projection } = &self.spec;
        write!(f, "SharedScanExec: stream={stream}, reader={reader} of {readers}, projection={projection:?}")
    }
}

impl ExecutionPlan for SharedScanExec {
    one_input!();

    fn name(&self) -> &str {
        "SharedScanExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = match context.session_config().get_extension::<SharedScans>() {
            Some(scans) => {
                let running = self.running(&scans, partition, context)?;
                let reader = self.spec.reader;
                let take = move |running: Arc<Running>| async move { Some((running.next(reader).await?, running)) };
                stream::unfold(running, take).boxed()
            }
            // Where nobody shares, each reads for itself.
            None => self.input.execute(partition, context)?.boxed(),
        };
        let projection = self.spec.projection.clone();
        let rows = rows.map(move |batch| Ok(batch?.project(&projection)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
