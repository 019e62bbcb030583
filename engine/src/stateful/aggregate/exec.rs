//! The groups of an aggregation over a stream, in one state partition.
//!
//! State      store `groups`: the group's key, its time first, so that what is closed is a range → the aggregates' state columns
//! Per batch  the states of the groups it touches are looked up, the batch's partial states merged into them in order of
//!            arrival, and put back: the cost depends on the groups of the batch, not on those in the store
//! Output     update: the groups of the batch; append: the groups or windows that W(N) closes, which leave the store (see
//!            `emit.rs`); complete: all groups
//! Bounded    by the groups of one batch, which are accounted for; the store by its own budget

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{filter, take};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimestampMicrosecondType};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, internal_err};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use millstream_state::{Draft, KEY_GROUP_COLUMN, KeyEncoder, Keys, StoreSchema};
use serde::{Deserialize, Serialize};

use super::accumulators::{Accumulators, state_fields};
use super::emit::Emitter;
use super::group_table::GroupTable;
use super::node::{AggregateSpec, functions_of, group_columns};
use crate::batch_context::{BatchContext, OperatorWatermarks};
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::observations::{Observations, OperatorCounts};
use crate::plan::Windows;
use crate::plan::codec::{self, NodeExpression, PlanNode, one_input};
use crate::query_state::StateBatch;
use crate::sink::OutputMode;
use crate::stateful::StatefulNode;
use crate::stateful::time_key::{TimeKind, first_open_start};

/// The name of the store.
const GROUPS: &str = "groups";

/// The operator; see the file's header.
#[derive(Clone, Debug)]
pub struct StateAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    /// The partial aggregate below, over no rows: its functions are what this node merges with.
    template: Arc<dyn ExecutionPlan>,
    spec: AggregateSpec,
    layout: Arc<Layout>,
    properties: Arc<PlanProperties>,
}

/// Where things are in the rows of the partial aggregate and of the store.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) functions: Vec<Arc<AggregateFunctionExpr>>,
    pub(super) spec: AggregateSpec,
    /// Columns of the state's key that stand for the time.
    pub(super) times: usize,
    /// All columns of the state's key, but for the key group.
    pub(super) groups: usize,
    /// The state's columns.
    pub(super) store: StoreSchema,
    pub(super) output: SchemaRef,
}

impl Layout {
    fn new(template: &Arc<dyn ExecutionPlan>, spec: &AggregateSpec, output: SchemaRef) -> Result<Self> {
        let (aggregate, functions) = functions_of(template)?;
        let (schema, groups) = (aggregate.schema(), group_columns(aggregate));
        // Whether a column can be null may depend on the optimizer's mood: the state's columns all may.
        let nullable = |field: &Field| Arc::new(field.clone().with_nullable(true));
        let mut key: Vec<_> = schema.fields()[..groups].iter().map(|field| nullable(field)).collect();
        if spec.windows_overlap() {
            key.push(Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false)));
        }
        let value: Fields = state_fields(functions)?.iter().map(|field| nullable(field)).collect();
        Ok(Self {
            functions: functions.to_vec(),
            spec: spec.clone(),
            times: spec.time_columns(),
            groups,
            store: StoreSchema::new(key, value),
            output,
        })
    }

    /// The windows, where they overlap and the store holds them whole: then each partial state goes into several.
    fn expands(&self) -> Option<Windows> {
        match self.spec.time.map(|time| time.kind) {
            Some(TimeKind::Slices(windows)) if windows.size != windows.slide && !self.spec.by_slices => Some(windows),
            _ => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    template: String,
    spec: AggregateSpec,
    #[serde(with = "crate::schema_serde")]
    output: SchemaRef,
}

impl StateAggregateExec {
    /// The groups of `input`, an exchange over the partial aggregate that `template` is without its rows.
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        template: Arc<dyn ExecutionPlan>,
        spec: AggregateSpec,
        output: SchemaRef,
    ) -> Result<Self> {
        let layout = Layout::new(&template, &spec, Arc::clone(&output))?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output),
            Partitioning::UnknownPartitioning(spec.partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self { input, template, spec, layout: Arc::new(layout), properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, ..self.clone() })
    }
}

/// One batch of one state partition.
struct Work {
    layout: Arc<Layout>,
    draft: Draft,
    encoder: KeyEncoder,
    touched: GroupTable,
    accumulators: Accumulators,
    watermarks: OperatorWatermarks,
    reservation: MemoryReservation,
    counts: OperatorCounts,
}

impl Work {
    async fn begin(layout: Arc<Layout>, partition: usize, context: &Arc<TaskContext>) -> Result<Self> {
        let AggregateSpec { operator, partitions, .. } = layout.spec;
        let state = StateBatch::of(context)?;
        let draft = state.draft(operator, GROUPS, partition, partitions, &layout.store).await?;
        let encoder = draft.key_encoder().clone();
        let accumulators = Accumulators::new(&layout.functions)?;
        let watermarks = BatchContext::of(context)?.watermarks_of(operator);
        let consumer = MemoryConsumer::new(format!("aggregation (operator {operator}, state partition {partition})"));
        let reservation = consumer.register(context.memory_pool());
        let (touched, counts) = (GroupTable::new(), OperatorCounts::default());
        Ok(Self { layout, draft, encoder, touched, accumulators, watermarks, reservation, counts })
    }

    /// Takes in a record batch of partial states, after the stored states of the groups that are new in this batch.
    fn merge(&mut self, batch: &RecordBatch) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let partial = layout.groups + layout.store.value().len();
        let mut key = batch.columns()[..layout.groups].to_vec();
        let mut states = batch.columns()[layout.groups..partial].to_vec();
        let mut key_groups = Arc::clone(batch.column(batch.num_columns() - 1));
        if let Some(windows) = layout.expands() {
            let first_open = match layout.spec.time.is_some_and(|time| time.has_watermark) {
                true => first_open_start(&windows, self.watermarks.late_micros()),
                false => i64::MIN,
            };
            let (rows, starts) = windows_of_slices(&windows, &key[0], first_open)?;
            let again = |column: &ArrayRef| take(column, &rows, None);
            states = states.iter().map(again).collect::<Result<_, _>>()?;
            key_groups = again(&key_groups)?;
            let others = key[1..].iter().map(again).collect::<Result<Vec<_>, _>>()?;
            key = [vec![starts], others].concat();
        }
        if layout.store.names_key_groups() {
            key.push(key_groups);
        }
        let rows = states.first().or(key.first()).map_or(batch.num_rows(), |column| column.len());
        let keys = match key.is_empty() {
            true => Keys::of_no_columns(rows),
            false => self.encoder.encode(&key).map_err(Error::from)?,
        };
        let before = self.touched.len();
        let (groups, new_rows) = self.touched.intern(&keys)?;
        let count = self.touched.len();
        if !new_rows.is_empty() {
            self.merge_stored(&keys.take(&UInt32Array::from(new_rows)).map_err(Error::from)?, before, count)?;
        }
        self.accumulators.merge(&states, &groups, count)?;
        self.reservation.try_resize(self.touched.size_bytes() + self.accumulators.size_bytes())
    }

    /// Takes in the stored states of `keys`, the groups numbered from `first` on.
    fn merge_stored(&mut self, keys: &Keys, first: usize, count: usize) -> Result<()> {
        let found = self.draft.get(keys).map_err(Error::from)?;
        if found.present.true_count() == 0 {
            return Ok(());
        }
        let groups =
            |present: &BooleanArray| -> Vec<usize> { present.values().set_indices().map(|row| first + row).collect() };
        let states = match found.present.false_count() {
            0 => found.values,
            _ => found.values.iter().map(|column| filter(column, &found.present)).collect::<Result<_, _>>()?,
        };
        self.accumulators.merge(&states, &groups(&found.present), count)
    }

    /// Puts the groups back and gives what the batch gives out.
    fn finish(mut self) -> Result<(Vec<RecordBatch>, OperatorCounts)> {
        let watch = Stopwatch::start();
        let keys = self.touched.into_keys()?;
        let states = if keys.is_empty() { Vec::new() } else { self.accumulators.states()? };
        if !keys.is_empty() {
            self.draft.put(&keys, &states).map_err(Error::from)?;
        }
        self.counts.rows_updated = keys.len() as u64;
        self.counts.updates_micros = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
        let watch = Stopwatch::start();
        let mut emitter = Emitter::new(&self.layout, &self.encoder, self.watermarks);
        match self.layout.spec.mode {
            OutputMode::Update => {
                emitter.groups(&keys, &states)?;
                self.counts.rows_removed = emitter.forget_closed(&mut self.draft)?;
            }
            OutputMode::Complete => emitter.all(&mut self.draft)?,
            OutputMode::Append => self.counts.rows_removed = emitter.closed(&mut self.draft)?,
        }
        self.counts.removals_micros = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.rows_total = self.draft.rows();
        self.draft.finish().map_err(Error::from)?;
        Ok((emitter.into_batches(), self.counts))
    }
}

/// For slices that begin at `slices`, the windows that each is in and that begin at `first_open` or later: the slice's row, and
/// the window's start.
fn windows_of_slices(windows: &Windows, slices: &ArrayRef, first_open: i64) -> Result<(UInt32Array, ArrayRef)> {
    let Some(slices) = slices.as_primitive_opt::<TimestampMicrosecondType>() else {
        return internal_err!("a slice is {}, expected microseconds", slices.data_type());
    };
    let (mut rows, mut starts) = (Vec::new(), Vec::new());
    for (row, slice) in (0u32..).zip(slices.values()) {
        for start in windows.starts_of(*slice).filter(|start| *start >= first_open) {
            rows.push(row);
            starts.push(start);
        }
    }
    Ok((rows.into(), Arc::new(TimestampMicrosecondArray::from(starts))))
}

async fn run(
    layout: Arc<Layout>,
    partition: usize,
    mut input: SendableRecordBatchStream,
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>> {
    let operator = layout.spec.operator;
    let mut work = Work::begin(layout, partition, &context).await?;
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            work.merge(&batch)?;
        }
    }
    let (batches, counts) = work.finish()?;
    Observations::of(&context)?.operator(operator, &counts);
    Ok(batches)
}

impl StatefulNode for StateAggregateExec {
    fn operator(&self) -> u32 {
        self.spec.operator
    }

    fn operator_name(&self) -> &'static str {
        "stateStoreSave"
    }

    fn partitions(&self) -> usize {
        self.spec.partitions
    }

    fn stores(&self) -> Vec<(String, StoreSchema)> {
        vec![(GROUPS.to_string(), self.layout.store.clone())]
    }

    fn wants_batch(&self, evicted_ms: i64, next_ms: i64) -> bool {
        self.spec.mode != OutputMode::Complete && next_ms > evicted_ms
    }
}

impl PlanNode for StateAggregateExec {
    const NAME: &'static str = "StateAggregate";

    fn to_json(&self) -> Result<serde_json::Value> {
        let template = codec::encode_template(&self.template)?;
        codec::to_json(&Encoded { template, spec: self.spec.clone(), output: Arc::clone(&self.layout.output) })
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        context: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = codec::from_json(json)?;
        let template = codec::decode_template(&encoded.template, context)?;
        Self::try_new(codec::only_input(inputs)?, template, encoded.spec, encoded.output)
    }
}

impl DisplayAs for StateAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let AggregateSpec { operator, mode, partitions, time, by_slices } = &self.spec;
        let key: Vec<&str> = self.layout.store.key().iter().map(|field| field.name().as_str()).collect();
        let functions: Vec<&str> = self.layout.functions.iter().map(|function| function.name()).collect();
        write!(
            f,
            "StateAggregateExec: operator={operator}, mode={mode}, partitions={partitions}, key=[{}], functions=[{}]",
            key.join(", "),
            functions.join(", ")
        )?;
        match time {
            Some(time) => {
                write!(f, ", time={:?}, has_watermark={}, by_slices={by_slices}", time.kind, time.has_watermark)
            }
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for StateAggregateExec {
    one_input!();

    fn name(&self) -> &str {
        "StateAggregateExec"
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let batches = stream::once(run(Arc::clone(&self.layout), partition, input, context))
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
