//! The sessions of one state partition.
//!
//! State      see `slots.rs`: the sessions of each key, and when the first of them ends; a store `elements_<n>` for each
//!            aggregate whose state grows with its input (see `contents.rs`)
//! Per batch  keys get numbers, the stored sessions of all of them are looked up, intervals are merged in one pass
//!            (`merge.rs`); what is stored goes into the sessions first, then the rows in the order of arrival; changed sessions are put back: the cost depends on the keys of the
//!            batch and their sessions, not on those in the store
//! Output     update: each changed session once, with its new bounds (those merged away are not taken back); append: the
//!            sessions that W(N) closes, which leave the store; complete: all sessions. In a batch query: all, without a store
//! Bounded    by the rows of one batch, which are accounted for; the store by its own budget

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt16Array};
use arrow::datatypes::{Int64Type, SchemaRef, UInt16Type};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, internal_err};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use millstream_state::{Keys, StoreSchema};
use serde::{Deserialize, Serialize};

use super::contents::{Contents, Elements, Rows, forget};
use super::emit::Emitter;
use super::layout::Layout;
use super::node::{AggregateInputs, SessionSpec};
use super::slots::{BatchKeys, Slots, Stored};
use crate::batch_context::BatchContext;
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::observations::{Observations, OperatorCounts};
use crate::plan::codec::{self, NodeExpression, PlanNode, one_input};
use crate::query_state::StateBatch;
use crate::sink::OutputMode;
use crate::stateful::StatefulNode;
use crate::stateful::aggregate::element_store::ElementStore;
use crate::stateful::aggregate::group_table::GroupTable;

/// The names of the stores.
const SESSIONS: &str = "sessions";
const ENDS: &str = "ends";

/// Rows read from the store at a time where all are given out.
const ROWS: usize = 8192;

/// The operator; see the file's header.
#[derive(Clone, Debug)]
pub struct SessionExec {
    input: Arc<dyn ExecutionPlan>,
    /// A partial aggregate over no rows: its functions are what this node computes.
    template: Arc<dyn ExecutionPlan>,
    inputs: Vec<AggregateInputs>,
    layout: Arc<Layout>,
    properties: Arc<PlanProperties>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    template: String,
    spec: SessionSpec,
    inputs: Vec<AggregateInputs>,
    #[serde(with = "crate::schema_serde")]
    output: SchemaRef,
}

impl SessionExec {
    /// The sessions of `input`, an exchange over a [`SessionRowsExec`](super::SessionRowsExec), with the functions of `template`.
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        template: Arc<dyn ExecutionPlan>,
        spec: SessionSpec,
        inputs: Vec<AggregateInputs>,
        output: SchemaRef,
    ) -> Result<Self> {
        let layout = Layout::new(&template, spec, &inputs, Arc::clone(&output))?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output),
            Partitioning::UnknownPartitioning(spec.partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self { input, template, inputs, layout: Arc::new(layout), properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, ..self.clone() })
    }
}

/// One batch of one state partition.
struct Work {
    layout: Arc<Layout>,
    /// None in a batch query.
    slots: Option<Slots>,
    /// For each aggregate whose elements are kept.
    elements: Vec<Option<ElementStore>>,
    keys: GroupTable,
    key_groups: Vec<u16>,
    rows: Rows,
    reservation: MemoryReservation,
}

impl Work {
    async fn begin(layout: Arc<Layout>, partition: usize, context: &Arc<TaskContext>) -> Result<Self> {
        let SessionSpec { operator, partitions, .. } = layout.spec;
        let (slots, elements) = match operator {
            None => (None, Vec::new()),
            Some(operator) => {
                let state = StateBatch::of(context)?;
                let sessions = state.draft(operator, SESSIONS, partition, partitions, &layout.sessions).await?;
                let ends = match layout.evicts() {
                    true => Some(state.draft(operator, ENDS, partition, partitions, &layout.ends).await?),
                    false => None,
                };
                let elements = layout.aggregates.open(&state, operator, partition, partitions).await?;
                (Some(Slots::new(sessions, ends)), elements)
            }
        };
        let name = operator.map_or("a batch query".to_string(), |operator| format!("operator {operator}"));
        let consumer = MemoryConsumer::new(format!("sessions ({name}, state partition {partition})"));
        let reservation = consumer.register(context.memory_pool());
        let (keys, key_groups, rows) = (GroupTable::new(), Vec::new(), Rows::default());
        Ok(Self { layout, slots, elements, keys, key_groups, rows, reservation })
    }

    /// Takes in a record batch of the exchange.
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let Self { layout, keys, key_groups, rows, .. } = self;
        let columns = batch.columns();
        let (own, carried) = columns.split_at(columns.len() - 2);
        let encoded = match &layout.encoder {
            None => Keys::of_no_columns(batch.num_rows()),
            Some(encoder) => encoder.encode(&own[..layout.keys]).map_err(Error::from)?,
        };
        let (numbers, new_rows) = keys.intern(&encoded)?;
        let groups: &UInt16Array = carried[1].as_primitive::<UInt16Type>();
        key_groups.extend(new_rows.into_iter().map(|row| groups.value(row as usize)));
        rows.keys.extend(numbers);
        rows.starts.extend_from_slice(own[layout.keys].as_primitive::<Int64Type>().values());
        rows.ends.extend_from_slice(own[layout.keys + 1].as_primitive::<Int64Type>().values());
        let values = own[layout.keys + 2..].to_vec();
        rows.values_bytes += values.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        rows.values.push((batch.num_rows(), values));
        if u32::try_from(rows.keys.len()).is_err() {
            return Err(Error::invalid("a batch has more than 4 billion rows in one state partition").into());
        }
        // Beside each row's key and times: its place in order, its session.
        let of_rows = rows.keys.len() * 5 * size_of::<u64>();
        self.reservation.try_resize(keys.size_bytes() + rows.values_bytes + of_rows)
    }

    /// Everything after the last row: what the batch gives out.
    fn finish(self, context: &TaskContext) -> Result<Vec<RecordBatch>> {
        let Self { layout, slots, elements, keys, key_groups, rows, mut reservation } = self;
        let of = BatchKeys { keys: keys.into_keys()?, groups: key_groups };
        let mut emitter = Emitter::new(&layout);
        let mut slots = match (slots, layout.spec.operator) {
            (Some(slots), Some(operator)) => {
                Remembering { slots, elements, operator, counts: OperatorCounts::default() }
            }
            _ => {
                let stored = Stored::default();
                let merged = rows.merge(&of, &stored);
                let mut contents = Contents::new(&layout, &of, &merged)?;
                take_in(&mut contents, rows, &stored, &mut [], &mut reservation)?;
                let values = if merged.sessions.is_empty() { Vec::new() } else { contents.values()? };
                emitter.of_values(&of.keys, &merged.sessions, &values)?;
                return Ok(emitter.into_batches());
            }
        };
        if !of.keys.is_empty() {
            slots.change(&layout, &of, rows, &mut reservation, &mut emitter)?;
        }
        slots.give_out(&layout, context, &mut emitter)?;
        slots.finish(context)?;
        Ok(emitter.into_batches())
    }
}

/// The sessions of a stream's state partition, and what became of them in this batch.
struct Remembering {
    slots: Slots,
    elements: Vec<Option<ElementStore>>,
    operator: u32,
    counts: OperatorCounts,
}

impl Remembering {
    /// Merges the rows of the batch into the stored sessions.
    fn change(
        &mut self,
        layout: &Layout,
        of: &BatchKeys,
        rows: Rows,
        reservation: &mut MemoryReservation,
        emitter: &mut Emitter<'_>,
    ) -> Result<()> {
        let stored = self.slots.load(of)?;
        let merged = rows.merge(of, &stored);
        let mut contents = Contents::new(layout, of, &merged)?;
        take_in(&mut contents, rows, &stored, &mut self.elements, reservation)?;
        let watch = Stopwatch::start();
        let states = contents.states()?;
        self.slots.put(of, &stored, &merged, &states)?;
        self.counts.rows_updated = merged.sessions.len() as u64;
        self.counts.updates_micros = watch.elapsed_micros();
        match layout.spec.mode {
            OutputMode::Update => emitter.of_states(&of.keys, &merged.sessions, &states, &mut self.elements),
            OutputMode::Append | OutputMode::Complete => Ok(()),
        }
    }

    /// Gives out what does not depend on the rows of this batch, and removes what has ended.
    fn give_out(&mut self, layout: &Layout, context: &TaskContext, emitter: &mut Emitter<'_>) -> Result<()> {
        let watch = Stopwatch::start();
        let Self { slots, elements, .. } = self;
        if layout.spec.mode == OutputMode::Complete {
            return slots.all(ROWS, |all| emitter.of_states(&all.keys, &all.sessions, &all.states, elements));
        }
        let watermarks = BatchContext::of(context)?.watermarks_of(self.operator);
        let first_open = watermarks.eviction_micros().saturating_add(1);
        self.counts.rows_removed = slots.take_ended(first_open, |ended| {
            if layout.spec.mode == OutputMode::Append {
                emitter.of_states(&ended.keys, &ended.sessions, &ended.states, elements)?;
            }
            let keys: Vec<u32> = ended.sessions.iter().map(|session| session.key).collect();
            forget(layout, &ended.keys, &keys, &ended.states, elements)
        })?;
        self.counts.removals_micros = watch.elapsed_micros();
        Ok(())
    }

    fn finish(mut self, context: &TaskContext) -> Result<()> {
        self.counts.rows_total = self.slots.finish()?;
        self.elements.into_iter().flatten().try_for_each(ElementStore::finish)?;
        Observations::of(context)?.operator(self.operator, &self.counts);
        Ok(())
    }
}

/// Takes the stored sessions that the batch touches into `contents`, and then its rows.
fn take_in(
    contents: &mut Contents<'_>,
    rows: Rows,
    stored: &Stored,
    elements: &mut Elements,
    reservation: &mut MemoryReservation,
) -> Result<()> {
    let held = reservation.size();
    contents.take_in_stored(stored, elements)?;
    contents.take_in_rows(rows, stored, elements, |bytes| reservation.try_resize(held + bytes))
}

async fn run(
    layout: Arc<Layout>,
    partition: usize,
    mut input: SendableRecordBatchStream,
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>> {
    let mut work = Work::begin(layout, partition, &context).await?;
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            work.add(&batch)?;
        }
    }
    work.finish(&context)
}

impl StatefulNode for SessionExec {
    fn operator(&self) -> u32 {
        self.layout.spec.operator.unwrap_or_default()
    }

    fn operator_name(&self) -> &'static str {
        "sessionWindowStateStoreSave"
    }

    fn partitions(&self) -> usize {
        self.layout.spec.partitions
    }

    fn stores(&self) -> Vec<(String, StoreSchema)> {
        let ends = self.layout.evicts().then(|| (ENDS.to_string(), self.layout.ends.clone()));
        let sessions = std::iter::once((SESSIONS.to_string(), self.layout.sessions.clone()));
        sessions.chain(ends).chain(self.layout.aggregates.stores()).collect()
    }

    fn wants_batch(&self, evicted_ms: i64, next_ms: i64) -> bool {
        self.layout.evicts() && next_ms > evicted_ms
    }
}

impl SessionExec {
    /// Whether it remembers sessions from batch to batch.
    pub(in crate::stateful) fn is_stateful(&self) -> bool {
        self.layout.spec.operator.is_some()
    }
}

impl PlanNode for SessionExec {
    const NAME: &'static str = "Session";

    fn to_json(&self) -> Result<serde_json::Value> {
        codec::to_json(&Encoded {
            template: codec::encode_template(&self.template)?,
            spec: self.layout.spec,
            inputs: self.inputs.clone(),
            output: Arc::clone(&self.layout.output),
        })
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        context: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = codec::from_json(json)?;
        let template = codec::decode_template(&encoded.template, context)?;
        Self::try_new(codec::only_input(inputs)?, template, encoded.spec, encoded.inputs, encoded.output)
    }
}

impl DisplayAs for SessionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let SessionSpec { operator, mode, partitions, session, .. } = self.layout.spec;
        let aggregates = self.layout.aggregates.all.iter();
        let functions: Vec<&str> = aggregates.map(|aggregate| aggregate.function.name()).collect();
        let session = self.layout.output.field(session).name();
        match operator {
            Some(operator) => write!(f, "SessionExec: operator={operator}, mode={mode}, partitions={partitions}")?,
            None => write!(f, "SessionExec: batch")?,
        }
        write!(f, ", session={session}, functions=[{}], evicts={}", functions.join(", "), self.layout.evicts())
    }
}

impl ExecutionPlan for SessionExec {
    one_input!();

    fn name(&self) -> &str {
        "SessionExec"
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition >= self.layout.spec.partitions {
            return internal_err!("there is no state partition {partition}");
        }
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let batches = stream::once(run(Arc::clone(&self.layout), partition, input, context))
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
