//! The rows of sessions, on their way to their state partition.
//!
//! State      none
//! Per batch  evaluates the keys, the session's times and everything the aggregates need; drops the rows whose own session
//!            ended at or before W(N−1) and counts them for the operator; leaves out rows without a session
//! Output     the keys, start and end (microseconds since the epoch), the values: in the input's order

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter_record_batch, min};
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
use crate::plan::codec::{self, NodeExpression, PlanNode, one_input};

/// The node; see the file's header.
#[derive(Clone, Debug)]
pub struct SessionRowsExec {
    input: Arc<dyn ExecutionPlan>,
    /// The session's own interval, then the keys, then the values.
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    spec: Spec,
    properties: Arc<PlanProperties>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spec {
    /// What the session is called.
    session: String,
    /// What the keys are called.
    keys: Vec<String>,
    /// The operator that late rows are counted for; none where no row is late.
    late: Option<u32>,
}

impl SessionRowsExec {
    /// The rows of `input` with the session `window`, `keys` and `values`. Rows that are late for operator `late` are dropped.
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        window: (Arc<dyn PhysicalExpr>, String),
        keys: Vec<(Arc<dyn PhysicalExpr>, String)>,
        values: Vec<Arc<dyn PhysicalExpr>>,
        late: Option<u32>,
    ) -> Result<Self> {
        let (keys, names): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let exprs = [vec![window.0], keys, values].concat();
        Self::of_spec(input, exprs, Spec { session: window.1, keys: names, late })
    }

    fn of_spec(input: Arc<dyn ExecutionPlan>, exprs: Vec<Arc<dyn PhysicalExpr>>, spec: Spec) -> Result<Self> {
        let schema = input.schema();
        let field = |expr: &Arc<dyn PhysicalExpr>, name: &str| {
            Ok(Field::new(name, expr.data_type(&schema)?, expr.nullable(&schema)?))
        };
        let Some((_, columns)) = exprs.split_first() else { return internal_err!("rows of sessions without any") };
        let (keys, values) = columns.split_at(spec.keys.len());
        let mut fields =
            keys.iter().zip(&spec.keys).map(|(expr, name)| field(expr, name)).collect::<Result<Vec<_>>>()?;
        for part in ["start", "end"] {
            fields.push(Field::new(format!("{}.{part}", spec.session), DataType::Int64, false));
        }
        for (at, expr) in values.iter().enumerate() {
            fields.push(field(expr, &format!("value{at}"))?);
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self { input, exprs, spec, properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::of_spec(input, self.exprs.clone(), self.spec.clone())
    }

    /// The rows that are in time for `first_open_micros`, and how many were not.
    fn rows(&self, batch: &RecordBatch, first_open_micros: i64) -> Result<(RecordBatch, u64)> {
        let mut columns = Vec::with_capacity(self.exprs.len() + 1);
        for expr in &self.exprs {
            columns.push(expr.evaluate(batch)?.into_array(batch.num_rows())?);
        }
        let window = columns.remove(0);
        let [start, end] = times_of(&window)?;
        let has_session = match window.null_count() + start.null_count() + end.null_count() {
            0 => None,
            _ => Some(BooleanBuffer::collect_bool(window.len(), |row| {
                window.is_valid(row) && start.is_valid(row) && end.is_valid(row)
            })),
        };
        let in_time = match min(&end) {
            Some(first) if first < first_open_micros => {
                Some(BooleanBuffer::collect_bool(end.len(), |row| end.value(row) >= first_open_micros))
            }
            _ => None,
        };
        let with_session = has_session.as_ref().map_or(batch.num_rows(), BooleanBuffer::count_set_bits);
        let wanted = match (has_session, in_time) {
            (Some(has_session), Some(in_time)) => Some(&has_session & &in_time),
            (has_session, in_time) => has_session.or(in_time),
        };
        let keys = self.spec.keys.len();
        let times = [start, end].map(|times| Arc::new(Int64Array::new(times.values().clone(), None)) as ArrayRef);
        columns.splice(keys..keys, times);
        let rows = RecordBatch::try_new(self.schema(), columns)?;
        let Some(wanted) = wanted else { return Ok((rows, 0)) };
        let rows = filter_record_batch(&rows, &BooleanArray::new(wanted, None))?;
        let dropped = (with_session - rows.num_rows()) as u64;
        Ok((rows, dropped))
    }
}

/// The starts and the ends of a column of windows.
fn times_of(windows: &ArrayRef) -> Result<[Int64Array; 2]> {
    let Some([start, end]) = windows.as_struct_opt().map(|windows| windows.columns()) else {
        return internal_err!("a session is {}", windows.data_type());
    };
    let times = [start, end].map(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    match times {
        [Some(start), Some(end)] => {
            Ok([start, end].map(|times| Int64Array::new(times.values().clone(), times.nulls().cloned())))
        }
        _ => internal_err!("a session is {}", windows.data_type()),
    }
}

impl PlanNode for SessionRowsExec {
    const NAME: &'static str = "SessionRows";

    fn to_json(&self) -> Result<serde_json::Value> {
        codec::to_json(&self.spec)
    }

    fn expressions(&self) -> Vec<NodeExpression> {
        let schema = self.input.schema();
        let expression = |expr| NodeExpression { expr: Arc::clone(expr), schema: Arc::clone(&schema) };
        self.exprs.iter().map(expression).collect()
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        expressions: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let exprs = expressions.into_iter().map(|expression| expression.expr).collect();
        Self::of_spec(codec::only_input(inputs)?, exprs, codec::from_json(json)?)
    }
}

impl DisplayAs for SessionRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let list =
            |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (keys, values) = self.exprs[1..].split_at(self.spec.keys.len());
        write!(
            f,
            "SessionRowsExec: session={}, keys=[{}], values=[{}], drops_late={}",
            self.exprs[0],
            list(keys),
            list(values),
            self.spec.late.is_some()
        )
    }
}

impl ExecutionPlan for SessionRowsExec {
    one_input!();

    fn name(&self) -> &str {
        "SessionRowsExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let late = match self.spec.late {
            Some(operator) => {
                let watermarks = BatchContext::of(&context)?.watermarks_of(operator);
                Some((operator, watermarks.late_micros(), Observations::of(&context)?))
            }
            None => None,
        };
        let first_open = late.as_ref().map_or(i64::MIN, |(_, late_micros, _)| late_micros.saturating_add(1));
        let input = self.input.execute(partition, context)?;
        let state = (input, self.clone(), 0u64, late);
        let rows = stream::unfold(state, move |(mut input, node, mut dropped, late)| async move {
            match input.next().await {
                None => {
                    if let (Some((operator, _, observations)), 1..) = (late, dropped) {
                        let counts = OperatorCounts { rows_dropped_by_watermark: dropped, ..OperatorCounts::default() };
                        observations.operator(operator, &counts);
                    }
                    None
                }
                Some(batch) => {
                    let rows = batch.and_then(|batch| node.rows(&batch, first_open)).map(|(rows, late)| {
                        dropped += late;
                        rows
                    });
                    Some((rows, (input, node, dropped, late)))
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
