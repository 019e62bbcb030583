//! Sends every row to the state partition of its key.
//!
//! State      none
//! Per batch  encodes the key columns once, sorts the rows of each record batch to their partitions with one `take` each
//! Output     the input's columns, and each row's key hash and key group, so that nobody computes them again; rows of one
//!            input partition keep their order, and input partitions take turns, one record batch each, so that the
//!            order does not depend on which task was quicker
//! Bounded    a few record batches for each pair of partitions
//!
//! Stateful nodes stand on this node and ask DataFusion for no distribution of its own: its optimizer strips or resizes
//! the repartitions it knows, and state partitions must be exactly S. All output partitions must be polled together, as
//! they are when a plan runs.

use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, UInt16Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, stream};
pub use millstream_state::KEY_GROUP_COLUMN;
use millstream_state::{KeyEncoder, Keys, partition_of};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::codec::{NodeExpression, PlanNode, one_input};

/// The name of the column with each row's 64-bit key hash.
pub const HASH_COLUMN: &str = "__key_hash";

/// Record batches under way between one input and one output partition.
const CHANNEL_BATCHES: usize = 2;

/// The exchange; see the file's header.
#[derive(Debug)]
pub struct ExchangeExec {
    // Fixed by the plan.
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<usize>,
    partitions: usize,
    properties: Arc<PlanProperties>,
    // Of one run: made by the first output partition that is asked for.
    channels: Mutex<Option<Channels>>,
}

/// The receiving ends, by output partition, and the tasks that feed them.
#[derive(Debug)]
struct Channels {
    receivers: Vec<Option<Vec<mpsc::Receiver<Result<Part>>>>>,
    tasks: Arc<JoinSet<()>>,
}

/// The rows of one record batch for one output partition; `None` when there are no more. A channel that closes without has
/// lost rows.
type Part = Option<RecordBatch>;

#[derive(Serialize, Deserialize)]
struct Encoded {
    keys: Vec<usize>,
    partitions: usize,
}

impl ExchangeExec {
    /// Sends the rows of `input` to `partitions` state partitions by the columns `keys`.
    pub fn new(input: Arc<dyn ExecutionPlan>, keys: Vec<usize>, partitions: usize) -> Self {
        let mut fields = input.schema().fields().iter().cloned().collect::<Vec<_>>();
        fields.push(Arc::new(Field::new(HASH_COLUMN, DataType::UInt64, false)));
        fields.push(Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false)));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            Partitioning::UnknownPartitioning(partitions.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            input,
            keys,
            partitions: partitions.max(1),
            properties: Arc::new(properties),
            channels: Mutex::new(None),
        }
    }

    fn start(&self, context: &Arc<TaskContext>) -> Result<Channels> {
        let inputs = self.input.output_partitioning().partition_count();
        let mut receivers: Vec<Option<Vec<_>>> =
            (0..self.partitions).map(|_| Some(Vec::with_capacity(inputs))).collect();
        let mut tasks = JoinSet::new();
        for partition in 0..inputs {
            let (senders, ends): (Vec<_>, Vec<_>) =
                (0..self.partitions).map(|_| mpsc::channel(CHANNEL_BATCHES)).unzip();
            for (of_output, end) in receivers.iter_mut().zip(ends) {
                of_output.get_or_insert_default().push(end);
            }
            let rows = self.input.execute(partition, Arc::clone(context))?;
            tasks.spawn(send_all(rows, Router::try_new(self)?, senders));
        }
        Ok(Channels { receivers, tasks: Arc::new(tasks) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.keys.clone(), self.partitions))
    }
}

/// Feeds the channels from one input partition. A failure goes to every output partition.
async fn send_all(mut rows: SendableRecordBatchStream, router: Router, senders: Vec<mpsc::Sender<Result<Part>>>) {
    while let Some(batch) = rows.next().await {
        match batch.and_then(|batch| router.route(&batch)) {
            Ok(parts) => {
                for (sender, part) in senders.iter().zip(parts) {
                    // A receiver that is gone wants no more rows: its partition has failed or ended early.
                    let _ = sender.send(Ok(Some(part))).await;
                }
            }
            Err(error) => {
                let shared = Arc::new(error);
                for sender in &senders {
                    let _ = sender.send(Err(DataFusionError::Shared(Arc::clone(&shared)))).await;
                }
                return;
            }
        }
    }
    for sender in &senders {
        let _ = sender.send(Ok(None)).await;
    }
}

/// Cuts record batches into one part for each output partition.
struct Router {
    encoder: KeyEncoder,
    keys: Vec<usize>,
    partitions: usize,
    schema: SchemaRef,
}

impl Router {
    fn try_new(exchange: &ExchangeExec) -> Result<Self> {
        let input = exchange.input.schema();
        let fields: Vec<_> = exchange.keys.iter().map(|key| Arc::clone(&input.fields()[*key])).collect();
        let encoder = KeyEncoder::new(fields).map_err(crate::error::Error::from)?;
        Ok(Self { encoder, keys: exchange.keys.clone(), partitions: exchange.partitions, schema: exchange.schema() })
    }

    /// A part for every partition, empty ones too, so that receivers can take turns.
    fn route(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
        let keys = match columns.is_empty() {
            true => Keys::of_no_columns(batch.num_rows()),
            false => self.encoder.encode(&columns).map_err(crate::error::Error::from)?,
        };
        let mut all = batch.columns().to_vec();
        let key_groups = keys.key_groups();
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.partitions];
        for (row, key_group) in (0u32..).zip(&key_groups) {
            rows[partition_of(*key_group, self.partitions)].push(row);
        }
        all.push(Arc::new(keys.hash_array()));
        all.push(Arc::new(UInt16Array::from(key_groups)));
        rows.into_iter()
            .map(|rows| {
                let rows = UInt32Array::from(rows);
                let columns = all.iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?;
                Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
            })
            .collect()
    }
}

/// The record batches of one output partition: one from each input partition in turn, until all have ended.
fn take_turns(
    receivers: Vec<mpsc::Receiver<Result<Part>>>,
    tasks: Arc<JoinSet<()>>,
) -> impl futures::Stream<Item = Result<RecordBatch>> {
    let state = (receivers, 0usize, tasks);
    stream::unfold(state, |(mut receivers, mut turn, tasks)| async move {
        while !receivers.is_empty() {
            turn %= receivers.len();
            match receivers[turn].recv().await {
                Some(Ok(Some(batch))) if batch.num_rows() == 0 => turn += 1,
                Some(Ok(Some(batch))) => return Some((Ok(batch), (receivers, turn + 1, tasks))),
                Some(Ok(None)) => drop(receivers.remove(turn)),
                // The error is the last that comes from that input.
                Some(Err(error)) => {
                    drop(receivers.remove(turn));
                    return Some((Err(error), (receivers, turn, tasks)));
                }
                None => {
                    drop(receivers.remove(turn));
                    let error = internal_datafusion_err!("the task that reads an input of an exchange did not end");
                    return Some((Err(error), (receivers, turn, tasks)));
                }
            }
        }
        None
    })
}

impl PlanNode for ExchangeExec {
    const NAME: &'static str = "Exchange";

    fn to_json(&self) -> Result<serde_json::Value> {
        super::codec::to_json(&Encoded { keys: self.keys.clone(), partitions: self.partitions })
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = super::codec::from_json(json)?;
        Ok(Self::new(super::codec::only_input(inputs)?, encoded.keys, encoded.partitions))
    }
}

impl DisplayAs for ExchangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.input.schema();
        let keys: Vec<String> = self.keys.iter().map(|key| format!("{}@{key}", schema.field(*key).name())).collect();
        let inputs = self.input.output_partitioning().partition_count();
        write!(
            f,
            "ExchangeExec: key groups of [{}] → {} partitions, input_partitions={inputs}",
            keys.join(", "),
            self.partitions
        )
    }
}

impl ExecutionPlan for ExchangeExec {
    one_input!();

    fn name(&self) -> &str {
        "ExchangeExec"
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut running = self.channels.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let channels = match running.as_mut() {
            Some(channels) => channels,
            None => running.insert(self.start(&context)?),
        };
        let Some(receivers) = channels.receivers.get_mut(partition).and_then(Option::take) else {
            return internal_err!("exchange partition {partition} was run twice without a reset, or does not exist");
        };
        let rows = take_turns(receivers, Arc::clone(&channels.tasks));
        if channels.receivers.iter().all(Option::is_none) {
            // Every partition holds the tasks now: when the last is dropped, they stop.
            *running = None;
        }
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
