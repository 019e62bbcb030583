//! The groups of an aggregation over a stream, in one state partition.
//!
//! State      store `groups`: the group's key, its time first, so that what is closed is a range → the aggregates' state columns;
//!            a store `elements_<n>` for each aggregate whose state grows with its input (see `element_store.rs`)
//! Per batch  the states of the groups it touches are looked up, the batch's partial states merged into them in order of
//!            arrival, and put back: the cost depends on the groups of the batch, not on those in the store
//! Output     update: the groups of the batch; append: the groups or windows that W(N) closes, which leave the store (see
//!            `emit.rs`); complete: all groups
//! Bounded    by the groups of one batch, which are accounted for; the store by its own budget

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{filter, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, internal_err};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use millstream_state::{Draft, KeyEncoder, Keys, StoreSchema};
use serde::{Deserialize, Serialize};

use super::accumulators::Accumulators;
use super::element_store::{ElementStore, GroupedRows};
use super::emit::Emitter;
use super::group_table::GroupTable;
use super::layout::{GROUPS, Layout};
use super::node::AggregateSpec;
use crate::batch_context::{BatchContext, OperatorWatermarks};
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::observations::{Observations, OperatorCounts};
use crate::plan::Windows;
use crate::plan::codec::{self, NodeExpression, PlanNode, one_input};
use crate::plan::time_window::spoken;
use crate::query_state::StateBatch;
use crate::sink::OutputMode;
use crate::stateful::StatefulNode;
use crate::stateful::time_key::{TimeKind, first_open_start};

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
    /// For each aggregate whose elements are kept.
    elements: Vec<Option<ElementStore>>,
    /// How many rows each touched group has had, where elements are kept in order of arrival.
    arrivals: Vec<i64>,
    watermarks: OperatorWatermarks,
    reservation: MemoryReservation,
    counts: OperatorCounts,
}

/// Rows, or partial states, and the group of each.
struct Grouped {
    /// All columns.
    batch: RecordBatch,
    /// The group's key columns.
    key: Vec<ArrayRef>,
    key_groups: ArrayRef,
    groups: Vec<usize>,
}

impl Work {
    async fn begin(layout: Arc<Layout>, partition: usize, context: &Arc<TaskContext>) -> Result<Self> {
        let AggregateSpec { operator, partitions, .. } = layout.spec;
        let state = StateBatch::of(context)?;
        let draft = state.draft(operator, GROUPS, partition, partitions, &layout.store).await?;
        let elements = layout.aggregates.open(&state, operator, partition, partitions).await?;
        let consumer = MemoryConsumer::new(format!("aggregation (operator {operator}, state partition {partition})"));
        Ok(Self {
            encoder: draft.key_encoder().clone(),
            draft,
            touched: GroupTable::new(),
            accumulators: Accumulators::new(&layout.aggregates.small)?,
            elements,
            arrivals: Vec::new(),
            watermarks: BatchContext::of(context)?.watermarks_of(operator),
            reservation: consumer.register(context.memory_pool()),
            counts: OperatorCounts::default(),
            layout,
        })
    }

    /// Takes in a record batch, after the stored states of the groups that are new in this batch.
    fn take_in(&mut self, batch: &RecordBatch) -> Result<()> {
        let grouped = self.group(batch)?;
        if self.layout.spec.keeps_elements {
            self.update(&grouped)?;
        } else {
            let states = self.layout.groups..self.layout.groups + self.layout.store.value().len();
            self.accumulators.merge(&grouped.batch.columns()[states], &grouped.groups, self.touched.len())?;
        }
        self.reservation.try_resize(self.touched.size_bytes() + self.accumulators.size_bytes())
    }

    /// An aggregate without keys has its one group even over no rows, in the partition of the key of no columns. Partial
    /// aggregates bring it; rows as they are may be none.
    fn take_in_the_only_group(&mut self, schema: &SchemaRef, partition: usize) -> Result<()> {
        let spec = &self.layout.spec;
        let only = Keys::of_no_columns(1);
        if !spec.keeps_elements || self.layout.groups > 0 || only.partitions(spec.partitions) != [partition as u32] {
            return Ok(());
        }
        let (_, new_rows) = self.touched.intern(&only)?;
        if !new_rows.is_empty() {
            self.take_in_stored(&only, 0)?;
        }
        let batch = RecordBatch::new_empty(Arc::clone(schema));
        let key_groups = Arc::clone(batch.column(batch.num_columns() - 1));
        self.update(&Grouped { batch, key: Vec::new(), key_groups, groups: Vec::new() })
    }

    /// Finds the group of each row, and takes in what is stored of groups that are new in this batch.
    fn group(&mut self, batch: &RecordBatch) -> Result<Grouped> {
        let layout = Arc::clone(&self.layout);
        let key_columns = layout.first_key..layout.first_key + layout.groups;
        let mut batch = batch.clone();
        let mut key = batch.columns()[key_columns.clone()].to_vec();
        if let Some(windows) = layout.expands() {
            let first_open = match layout.spec.time.is_some_and(|time| time.has_watermark) {
                true => first_open_start(&windows, self.watermarks.late_micros()),
                false => i64::MIN,
            };
            let (rows, starts) = windows_of_slices(&windows, &key[0], first_open)?;
            batch = take_record_batch(&batch, &rows)?;
            key = batch.columns()[key_columns].to_vec();
            key[0] = starts;
        }
        let key_groups = Arc::clone(batch.column(batch.num_columns() - 1));
        let named = layout.store.names_key_groups().then(|| Arc::clone(&key_groups));
        let encoded: Vec<ArrayRef> = key.iter().cloned().chain(named).collect();
        let keys = match encoded.is_empty() {
            true => Keys::of_no_columns(batch.num_rows()),
            false => self.encoder.encode(&encoded).map_err(Error::from)?,
        };
        let before = self.touched.len();
        let (groups, new_rows) = self.touched.intern(&keys)?;
        if !new_rows.is_empty() {
            self.take_in_stored(&keys.take(&UInt32Array::from(new_rows)).map_err(Error::from)?, before)?;
        }
        Ok(Grouped { batch, key, key_groups, groups })
    }

    /// Takes in the stored states of `keys`, the groups numbered from `first` on.
    fn take_in_stored(&mut self, keys: &Keys, first: usize) -> Result<()> {
        let count = self.touched.len();
        self.arrivals.resize(if self.layout.counts_arrivals { count } else { 0 }, 0);
        let found = self.draft.get(keys).map_err(Error::from)?;
        if found.present.true_count() == 0 {
            return Ok(());
        }
        let groups: Vec<usize> = found.present.values().set_indices().map(|row| first + row).collect();
        let mut states = match found.present.false_count() {
            0 => found.values,
            _ => found.values.iter().map(|column| filter(column, &found.present)).collect::<Result<_, _>>()?,
        };
        if self.layout.counts_arrivals
            && let Some(stored) = states.pop()
        {
            for (group, arrivals) in groups.iter().zip(stored.as_primitive::<Int64Type>().values()) {
                self.arrivals[*group] = *arrivals;
            }
        }
        self.accumulators.merge(&states, &groups, count)
    }

    /// Aggregates rows as they are.
    fn update(&mut self, grouped: &Grouped) -> Result<()> {
        let Grouped { batch, key, key_groups, groups } = grouped;
        let (layout, count) = (Arc::clone(&self.layout), self.touched.len());
        let arrivals: Vec<i64> = match layout.counts_arrivals {
            true => groups.iter().map(|group| next(&mut self.arrivals[*group])).collect(),
            false => Vec::new(),
        };
        let rows = GroupedRows { key, key_groups, groups, arrivals: &arrivals };
        let array = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(batch.num_rows());
        let aggregates = layout.aggregates.all.iter().zip(&layout.filters).zip(&mut self.elements);
        for ((aggregate, filter), elements) in aggregates {
            let arguments = aggregate.function.expressions().iter().map(array).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(array).transpose()?;
            let filter = filter.as_ref().map(|passed| passed.as_boolean());
            match (elements, aggregate.small) {
                (None, None) => {}
                (None, Some(number)) => self.accumulators.update(number, &arguments, groups, filter, count)?,
                (Some(elements), number) => {
                    if let (Some(new), Some(number)) = (elements.add(&rows, &arguments, filter)?, number) {
                        self.accumulators.update(number, &new.arguments, &new.groups, None, count)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts the groups back and gives what the batch gives out.
    fn finish(mut self) -> Result<(Vec<RecordBatch>, OperatorCounts)> {
        let watch = Stopwatch::start();
        let keys = self.touched.into_keys()?;
        let mut states = if keys.is_empty() { Vec::new() } else { self.accumulators.states()? };
        if !keys.is_empty() {
            if self.layout.counts_arrivals {
                states.push(Arc::new(Int64Array::from(self.arrivals)));
            }
            self.draft.put(&keys, &states).map_err(Error::from)?;
        }
        self.counts.rows_updated = keys.len() as u64;
        self.counts.updates_micros = watch.elapsed_micros();
        let watch = Stopwatch::start();
        let mut emitter = Emitter::new(&self.layout, &self.encoder, self.watermarks, &mut self.elements);
        match self.layout.spec.mode {
            OutputMode::Update => {
                emitter.groups(&keys, &states)?;
                self.counts.rows_removed = emitter.forget_closed(&mut self.draft)?;
            }
            OutputMode::Complete => emitter.all(&mut self.draft)?,
            OutputMode::Append => self.counts.rows_removed = emitter.closed(&mut self.draft)?,
        }
        let batches = emitter.into_batches();
        self.counts.removals_micros = watch.elapsed_micros();
        self.counts.rows_total = self.draft.finish().map_err(Error::from)?;
        for elements in self.elements.into_iter().flatten() {
            elements.finish()?;
        }
        Ok((batches, self.counts))
    }
}

/// The number, which is one higher afterwards.
fn next(number: &mut i64) -> i64 {
    *number += 1;
    *number - 1
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
            work.take_in(&batch)?;
        }
    }
    work.take_in_the_only_group(&input.schema(), partition)?;
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
        self.layout.stores()
    }

    fn settings(&self) -> Vec<String> {
        match self.spec.time.map(|time| time.kind) {
            Some(TimeKind::Slices(windows)) => {
                let Windows { size, slide, start } = windows;
                let mut line = format!("groups: windows of {} every {}", spoken(size), spoken(slide));
                if start != 0 {
                    line.push_str(&format!(", shifted by {}", spoken(start)));
                }
                if self.spec.by_slices {
                    line.push_str(", kept by slices");
                }
                vec![line]
            }
            _ => Vec::new(),
        }
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
        let AggregateSpec { operator, mode, partitions, time, by_slices, .. } = &self.spec;
        let key: Vec<&str> = self.layout.store.key().iter().map(|field| field.name().as_str()).collect();
        let functions: Vec<&str> =
            self.layout.aggregates.all.iter().map(|aggregate| aggregate.function.name()).collect();
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
