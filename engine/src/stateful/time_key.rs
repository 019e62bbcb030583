//! The time that a stateful operator groups by: drops the rows that are too late for it, and cuts times into slices.
//!
//! State      none
//! Per batch  drops rows at or before W(N−1), by the event time itself, a window's end, or the end of the last window of a
//!            row; counts them for the operator
//! Output     the input's rows, in order, and the time's columns: none where the time is grouped by as it is, the end and the
//!            start of a window, or the start of the slice of windows that the time is in (rows without a time are left out)

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
};
use arrow::compute::{filter_record_batch, is_not_null, is_null, min};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::batch_context::BatchContext;
use crate::observations::{Observations, OperatorCounts};
use crate::plan::Windows;
use crate::plan::codec::{self, NodeExpression, PlanNode, one_input};
use crate::plan::time_window::times_for_windows;
use crate::plan::watermark::event_time_column;

/// What of the time is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Serialize, Deserialize)]
pub(crate) enum TimeKind {
    /// The time itself.
    Time,
    /// A window that is there already: its end and its start.
    Window,
    /// The slices of these windows.
    Slices(Windows),
}

impl TimeKind {
    /// The first time, in microseconds, that is not closed at `watermark_micros`: a row of this kind is late, or state closed,
    /// before it. For slices, the start of the first window that is open.
    pub(crate) fn first_open_micros(&self, watermark_micros: i64) -> i64 {
        match self {
            Self::Time | Self::Window => watermark_micros.saturating_add(1),
            Self::Slices(windows) => first_open_start(windows, watermark_micros),
        }
    }

    /// How many columns it adds to the rows.
    pub(crate) fn added_columns(&self) -> usize {
        match self {
            Self::Time => 0,
            Self::Window => 2,
            Self::Slices(_) => 1,
        }
    }
}

/// The start of the first window that ends after `watermark`.
pub(crate) fn first_open_start(windows: &Windows, watermark: i64) -> i64 {
    windows.last_start(watermark.saturating_sub(windows.size)).saturating_add(windows.slide)
}

/// The node; see the file's header.
#[derive(Clone, Debug)]
pub struct TimeKeyExec {
    input: Arc<dyn ExecutionPlan>,
    time: Arc<dyn PhysicalExpr>,
    spec: Spec,
    properties: Arc<PlanProperties>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spec {
    operator: u32,
    kind: TimeKind,
    /// What the time is called in the operator's output.
    name: String,
    /// Whether the time has a watermark.
    drops_late: bool,
    /// Whether rows without a time stay, whatever is made of the time.
    keeps_nulls: bool,
}

impl TimeKeyExec {
    /// The time keys of operator number `operator` over `time`; rows are dropped where the time has a watermark.
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        time: Arc<dyn PhysicalExpr>,
        kind: TimeKind,
        name: &str,
        operator: u32,
        drops_late: bool,
    ) -> Result<Self> {
        Self::of_spec(input, time, Spec { operator, kind, name: name.to_string(), drops_late, keeps_nulls: false })
    }

    /// The same, but rows without a time stay.
    pub(crate) fn keeping_nulls(self) -> Result<Self> {
        Self::of_spec(self.input, self.time, Spec { keeps_nulls: true, ..self.spec })
    }

    fn of_spec(input: Arc<dyn ExecutionPlan>, time: Arc<dyn PhysicalExpr>, spec: Spec) -> Result<Self> {
        let mut fields = input.schema().fields().iter().cloned().collect::<Vec<_>>();
        let field = |part: &str, data_type: DataType| {
            Arc::new(Field::new(format!("{}.{part}", spec.name), data_type, spec.keeps_nulls))
        };
        match spec.kind {
            TimeKind::Time => {}
            TimeKind::Window => {
                let DataType::Struct(of_window) = time.data_type(&input.schema())? else {
                    return internal_err!("a window is no struct");
                };
                fields.push(field("end", of_window[1].data_type().clone()));
                fields.push(field("start", of_window[0].data_type().clone()));
            }
            TimeKind::Slices(_) => {
                fields.push(field("start", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)));
            }
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self { input, time, spec, properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::of_spec(input, Arc::clone(&self.time), self.spec.clone())
    }

    /// The rows that are in time, with the time's columns, and how many were not.
    fn keys(&self, batch: RecordBatch, first_open_micros: i64) -> Result<(RecordBatch, u64)> {
        let evaluated = self.time.evaluate(&batch)?.into_array(batch.num_rows())?;
        let compared: ArrayRef = match self.spec.kind {
            TimeKind::Slices(_) => Arc::new(times_for_windows(&evaluated)?),
            TimeKind::Time | TimeKind::Window => event_time_column(&evaluated)?,
        };
        let Some(times) = compared.as_primitive_opt::<TimestampMicrosecondType>() else {
            return internal_err!("a time is {}, expected microseconds", compared.data_type());
        };
        let mut columns = batch.columns().to_vec();
        match self.spec.kind {
            TimeKind::Time => {}
            TimeKind::Window => {
                let window = evaluated.as_struct();
                let part = |column: &ArrayRef| match window.nulls() {
                    None => Ok(Arc::clone(column)),
                    Some(_) => arrow::compute::nullif(column, &is_null(window)?),
                };
                columns.extend([part(window.column(1))?, part(window.column(0))?]);
            }
            TimeKind::Slices(windows) => {
                let slices = windows.slices();
                let starts: TimestampMicrosecondArray = times.unary(|at| slices.last_start(at));
                columns.push(Arc::new(starts));
            }
        }
        let may_be_null = !matches!(self.spec.kind, TimeKind::Time) && !self.spec.keeps_nulls;
        let late = if self.spec.drops_late { late_rows(times, first_open_micros) } else { None };
        let wanted = match (&late, may_be_null && times.null_count() > 0) {
            (None, false) => None,
            (Some(late), false) => Some(arrow::compute::not(late)?),
            (None, true) => Some(is_not_null(times)?),
            (Some(late), true) => Some(arrow::compute::and(&arrow::compute::not(late)?, &is_not_null(times)?)?),
        };
        let schema = match wanted {
            // The key columns of rows without a time may hold nulls until these rows are gone.
            Some(_) => nullable(&self.schema()),
            None => self.schema(),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let dropped = late.as_ref().map_or(0, |late| late.true_count() as u64);
        let Some(wanted) = wanted else { return Ok((batch, dropped)) };
        let kept = filter_record_batch(&batch, &wanted)?;
        let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
        Ok((RecordBatch::try_new_with_options(self.schema(), kept.columns().to_vec(), &options)?, dropped))
    }
}

fn nullable(schema: &Schema) -> Arc<Schema> {
    let fields = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Which rows are before the first open time; `None` where none is. A null is not.
fn late_rows(times: &TimestampMicrosecondArray, first_open: i64) -> Option<BooleanArray> {
    if min(times).is_none_or(|first| first >= first_open) {
        return None;
    }
    let late = BooleanArray::from_unary(times, |at| at < first_open);
    Some(match late.null_count() {
        0 => late,
        _ => late.iter().map(|late| Some(late == Some(true))).collect(),
    })
}

impl PlanNode for TimeKeyExec {
    const NAME: &'static str = "TimeKey";

    fn to_json(&self) -> Result<serde_json::Value> {
        codec::to_json(&self.spec)
    }

    fn expressions(&self) -> Vec<NodeExpression> {
        vec![NodeExpression { expr: Arc::clone(&self.time), schema: self.input.schema() }]
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        mut expressions: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        match expressions.pop() {
            Some(time) => Self::of_spec(codec::only_input(inputs)?, time.expr, codec::from_json(json)?),
            None => internal_err!("a time key without its time"),
        }
    }
}

impl DisplayAs for TimeKeyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Spec { operator, kind, drops_late, .. } = &self.spec;
        write!(f, "TimeKeyExec: operator={operator}, time={}, kind={kind:?}, drops_late={drops_late}", self.time)
    }
}

impl ExecutionPlan for TimeKeyExec {
    one_input!();

    fn name(&self) -> &str {
        "TimeKeyExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let watermarks = BatchContext::of(&context)?.watermarks_of(self.spec.operator);
        let first_open = self.spec.kind.first_open_micros(watermarks.late_micros());
        let observations = Observations::of(&context)?;
        let input = self.input.execute(partition, context)?;
        let state = (input, self.clone(), 0u64, observations);
        let rows = stream::unfold(state, move |(mut input, node, mut dropped, observations)| async move {
            match input.next().await {
                None => {
                    if dropped > 0 {
                        let counts = OperatorCounts { rows_dropped_by_watermark: dropped, ..OperatorCounts::default() };
                        observations.operator(node.spec.operator, &counts);
                    }
                    None
                }
                Some(batch) => {
                    let keys = batch.and_then(|batch| node.keys(batch, first_open)).map(|(batch, late)| {
                        dropped += late;
                        batch
                    });
                    Some((keys, (input, node, dropped, observations)))
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
