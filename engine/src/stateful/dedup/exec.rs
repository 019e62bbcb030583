//! The keys that rows have had, in one state partition.
//!
//! State      store `keys`: the key, its event time first where it has one, so that what is closed is a range → nothing; within
//!            the watermark, the key → when it expires, and store `expiries`: that time, the key and its key group → nothing
//! Per batch  one probe for each row: what is not there is put
//! Output     the rows whose key was put: the input's columns without those of the exchange, in order; at the end, the keys
//!            that W(N) closes leave
//! Bounded    by one record batch; the stores by their own budget

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, stream};
use millstream_state::{Draft, KEY_GROUP_COLUMN, KeyEncoder, KeyRange, Keys, StoreSchema};
use serde::{Deserialize, Serialize};

use crate::batch_context::{BatchContext, OperatorWatermarks};
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::observations::{Observations, OperatorCounts};
use crate::plan::codec::{self, NodeExpression, PlanNode, one_input};
use crate::plan::watermark::event_time_column;
use crate::query_state::StateBatch;
use crate::stateful::StatefulNode;

/// The store of keys.
const KEYS: &str = "keys";

/// The store that tells which keys expire next.
const EXPIRIES: &str = "expiries";

/// Spark's name for how many rows were repetitions.
const DROPPED: &str = "numDroppedDuplicateRows";

/// The operator; see the file's header.
#[derive(Clone, Debug)]
pub struct DeduplicateExec {
    input: Arc<dyn ExecutionPlan>,
    layout: Arc<Layout>,
    properties: Arc<PlanProperties>,
}

/// What a deduplication is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The operator's number in the plan.
    pub(super) operator: u32,
    /// State partitions.
    pub(super) partitions: usize,
    /// How many of the input's columns are given out: the first ones.
    pub(super) columns: usize,
    /// The input's columns that are the key, as they are in the state.
    pub(super) keys: Vec<usize>,
    pub(super) rule: Rule,
}

/// How long a key is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Rule {
    /// For ever.
    ForEver,
    /// Until the watermark passes its first column, which is an event time.
    UntilClosed,
    /// Until the watermark passes the event time of its first row, plus the delay.
    WithinDelay {
        /// The event time's place among the input's columns.
        time: usize,
        delay_ms: i64,
    },
}

/// Where things are in the rows and in the stores.
#[derive(Debug)]
struct Layout {
    spec: Spec,
    keys: StoreSchema,
    expiries: StoreSchema,
    output: SchemaRef,
}

impl Layout {
    fn new(input: &Schema, spec: Spec) -> Self {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
        let key: Vec<_> = spec.keys.iter().map(|at| Arc::new(input.field(*at).clone().with_nullable(true))).collect();
        let expires_at = Arc::new(Field::new("$expires_at", instant, false));
        let value = match spec.rule {
            Rule::WithinDelay { .. } => vec![Arc::clone(&expires_at)],
            Rule::ForEver | Rule::UntilClosed => Vec::new(),
        };
        let key_group = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        let expiry = [expires_at].into_iter().chain(key.iter().cloned()).chain([key_group]).collect::<Vec<_>>();
        let output = Schema::new(input.fields()[..spec.columns].to_vec());
        Self {
            spec,
            keys: StoreSchema::new(key, value),
            expiries: StoreSchema::new(expiry, Vec::<Field>::new()),
            output: Arc::new(output),
        }
    }

    fn is_within_delay(&self) -> bool {
        matches!(self.spec.rule, Rule::WithinDelay { .. })
    }
}

impl DeduplicateExec {
    /// The first rows of `input`, an exchange by the key.
    pub(super) fn try_new(input: Arc<dyn ExecutionPlan>, spec: Spec) -> Result<Self> {
        let schema = input.schema();
        if spec.keys.iter().any(|key| *key >= schema.fields().len()) || spec.columns > schema.fields().len() {
            return internal_err!("a deduplication by columns that are not there");
        }
        let layout = Arc::new(Layout::new(&schema, spec));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&layout.output)),
            Partitioning::UnknownPartitioning(layout.spec.partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { input, layout, properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::try_new(input, self.layout.spec.clone())
    }
}

/// One batch of one state partition.
struct Work {
    layout: Arc<Layout>,
    keys: Draft,
    encoder: KeyEncoder,
    expiries: Option<Draft>,
    watermarks: OperatorWatermarks,
    counts: OperatorCounts,
    dropped: u64,
}

impl Work {
    async fn begin(layout: Arc<Layout>, partition: usize, context: &Arc<TaskContext>) -> Result<Self> {
        let Spec { operator, partitions, .. } = layout.spec;
        let state = StateBatch::of(context)?;
        let keys = state.draft(operator, KEYS, partition, partitions, &layout.keys).await?;
        let expiries = match layout.is_within_delay() {
            true => Some(state.draft(operator, EXPIRIES, partition, partitions, &layout.expiries).await?),
            false => None,
        };
        let encoder = keys.key_encoder().clone();
        let watermarks = BatchContext::of(context)?.watermarks_of(operator);
        Ok(Self { layout, keys, encoder, expiries, watermarks, counts: OperatorCounts::default(), dropped: 0 })
    }

    /// The rows of `batch` whose key is new.
    fn first_rows(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let watch = Stopwatch::start();
        let key: Vec<ArrayRef> = self.layout.spec.keys.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        let keys = match key.is_empty() {
            true => Keys::of_no_columns(batch.num_rows()),
            false => self.encoder.encode(&key).map_err(Error::from)?,
        };
        let is_new = match self.layout.spec.rule {
            Rule::ForEver | Rule::UntilClosed => self.keys.put_where_absent(&keys, &[]).map_err(Error::from)?,
            Rule::WithinDelay { time, delay_ms } => {
                let expires_at = expiries(batch.column(time), delay_ms)?;
                let is_new = self.keys.put_where_absent(&keys, &[Arc::clone(&expires_at)]).map_err(Error::from)?;
                let key_groups = Arc::clone(batch.column(batch.num_columns() - 1));
                let columns = [expires_at].into_iter().chain(key).chain([key_groups]);
                let columns = columns.map(|column| filter(&column, &is_new)).collect::<Result<Vec<_>, _>>()?;
                if let (Some(store), true) = (&mut self.expiries, is_new.true_count() > 0) {
                    let keys = store.key_encoder().encode(&columns).map_err(Error::from)?;
                    store.put(&keys, &[]).map_err(Error::from)?;
                }
                is_new
            }
        };
        let new = is_new.true_count();
        self.counts.rows_updated += new as u64;
        self.dropped += (batch.num_rows() - new) as u64;
        self.counts.updates_micros += micros(&watch);
        let columns = batch.columns()[..self.layout.spec.columns].to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.layout.output), columns, &options)?;
        if new == batch.num_rows() { Ok(rows) } else { Ok(filter_record_batch(&rows, &is_new)?) }
    }

    /// Forgets what W(N) has closed, and hands the state over.
    fn finish(mut self) -> Result<OperatorCounts> {
        let watch = Stopwatch::start();
        let closed = self.closed()?;
        if let Some(mut expiries) = self.expiries.take() {
            for rows in expiries.take_range(&closed).map_err(Error::from)? {
                let columns = rows.key_columns().map_err(Error::from)?;
                let keys = match &columns[1..columns.len() - 1] {
                    [] => Keys::of_no_columns(rows.len()),
                    key => self.encoder.encode(key).map_err(Error::from)?,
                };
                self.keys.remove(&keys).map_err(Error::from)?;
                self.counts.rows_removed += rows.len() as u64;
            }
            expiries.finish().map_err(Error::from)?;
        } else if self.layout.spec.rule == Rule::UntilClosed {
            self.counts.rows_removed = self.keys.remove_range(&closed).map_err(Error::from)?;
        }
        self.counts.removals_micros = micros(&watch);
        self.counts.custom = BTreeMap::from([(DROPPED.to_string(), i64::try_from(self.dropped).unwrap_or(i64::MAX))]);
        self.counts.rows_total = self.keys.finish().map_err(Error::from)?;
        Ok(self.counts)
    }

    /// The keys that begin with a time that W(N) has passed.
    fn closed(&self) -> Result<KeyRange> {
        let field = match self.layout.spec.rule {
            Rule::ForEver => return Ok(KeyRange::all()),
            Rule::UntilClosed => Arc::clone(&self.layout.keys.key()[0]),
            Rule::WithinDelay { .. } => Arc::clone(&self.layout.expiries.key()[0]),
        };
        let DataType::Timestamp(TimeUnit::Microsecond, zone) = field.data_type().clone() else {
            return internal_err!("the time of a key is {}", field.data_type());
        };
        let first_open = self.watermarks.eviction_micros().saturating_add(1);
        let first_open: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![first_open]).with_timezone_opt(zone));
        let encoder = KeyEncoder::new(vec![field]).map_err(Error::from)?;
        Ok(KeyRange::not_null_below(encoder.encode(&[first_open]).map_err(Error::from)?.key(0)))
    }
}

/// When keys first seen at these times expire. A row without a time counts as of the epoch.
fn expiries(times: &ArrayRef, delay_ms: i64) -> Result<ArrayRef> {
    let times = event_time_column(times)?;
    let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
        return internal_err!("an event time is {}, expected microseconds", times.data_type());
    };
    let delay_micros = delay_ms.saturating_mul(1000);
    let expires_at: TimestampMicrosecondArray = match times.null_count() {
        0 => times.unary(|at| at.saturating_add(delay_micros)),
        _ => times.iter().map(|at| Some(at.unwrap_or(0).saturating_add(delay_micros))).collect(),
    };
    Ok(Arc::new(expires_at.with_timezone_opt(None::<String>)))
}

fn micros(watch: &Stopwatch) -> u64 {
    u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The first rows of one state partition.
async fn begin(
    layout: Arc<Layout>,
    partition: usize,
    input: SendableRecordBatchStream,
    context: Arc<TaskContext>,
) -> Result<impl futures::Stream<Item = Result<RecordBatch>>> {
    let observations = Observations::of(&context)?;
    let work = Work::begin(layout, partition, &context).await?;
    // The state batch must be let go of before it is committed, and so must the context.
    drop(context);
    Ok(stream::try_unfold(Some((work, input, observations)), |running| async move {
        let Some((mut work, mut input, observations)) = running else { return Ok(None) };
        while let Some(batch) = input.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let rows = work.first_rows(&batch)?;
            if rows.num_rows() > 0 {
                return Ok(Some((rows, Some((work, input, observations)))));
            }
        }
        let operator = work.layout.spec.operator;
        observations.operator(operator, &work.finish()?);
        Ok(None)
    }))
}

impl StatefulNode for DeduplicateExec {
    fn operator(&self) -> u32 {
        self.layout.spec.operator
    }

    fn operator_name(&self) -> &'static str {
        if self.layout.is_within_delay() { "dedupeWithinWatermark" } else { "dedupe" }
    }

    fn partitions(&self) -> usize {
        self.layout.spec.partitions
    }

    fn stores(&self) -> Vec<(String, StoreSchema)> {
        let mut stores = vec![(KEYS.to_string(), self.layout.keys.clone())];
        if self.layout.is_within_delay() {
            stores.push((EXPIRIES.to_string(), self.layout.expiries.clone()));
        }
        stores
    }
}

impl PlanNode for DeduplicateExec {
    const NAME: &'static str = "Deduplicate";

    fn to_json(&self) -> Result<serde_json::Value> {
        codec::to_json(&self.layout.spec)
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        Self::try_new(codec::only_input(inputs)?, codec::from_json(json)?)
    }
}

impl DisplayAs for DeduplicateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Spec { operator, partitions, rule, .. } = &self.layout.spec;
        let keys: Vec<&str> = self.layout.keys.key().iter().map(|field| field.name().as_str()).collect();
        let keys = keys.join(", ");
        write!(f, "DeduplicateExec: operator={operator}, partitions={partitions}, keys=[{keys}], remembered={rule:?}")
    }
}

impl ExecutionPlan for DeduplicateExec {
    one_input!();

    fn name(&self) -> &str {
        "DeduplicateExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let rows = stream::once(begin(Arc::clone(&self.layout), partition, input, context));
        let rows = futures::TryStreamExt::try_flatten(rows);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
