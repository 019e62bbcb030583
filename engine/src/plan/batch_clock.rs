//! `current_timestamp()` and its kin in a stream: columns that take their value from the batch.
//!
//! DataFusion folds these functions into literals when it plans, and a stream is planned once. So before the optimizer
//! sees a plan, every call becomes a reference to a column of a [`BatchClockNode`] set below the expression's node; the
//! physical node fills the columns from the [`BatchContext`], so that a batch that is run again gives the same answer.
//!
//! State      none
//! Per batch  appends three columns, each the same in every row: the batch's time as a timestamp, as a date and as a
//!            timestamp without zone, the last two in the session's time zone
//! Output     the input's rows, in order

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DFSchemaRef, Result, ScalarValue};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore, col};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::codec::{NodeExpression, PlanNode, one_input};
use crate::batch_context::BatchContext;

/// The functions, and the column that stands for each.
const CLOCK_FUNCTIONS: &[(&str, &str)] = &[
    ("current_timestamp", TIMESTAMP_COLUMN),
    ("now", TIMESTAMP_COLUMN),
    ("current_date", DATE_COLUMN),
    ("curdate", DATE_COLUMN),
    ("localtimestamp", LOCAL_COLUMN),
];

const TIMESTAMP_COLUMN: &str = "__batch_timestamp";
const DATE_COLUMN: &str = "__batch_date";
const LOCAL_COLUMN: &str = "__batch_localtimestamp";

/// Replaces every clock function in `plan` by a column that takes its value from the batch. `time_zone` is the session's.
pub fn replace_clock_functions(plan: LogicalPlan, time_zone: &str) -> Result<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|plan| replace_in_node(plan, time_zone))?;
    Ok(replaced.data)
}

fn replace_in_node(plan: LogicalPlan, time_zone: &str) -> Result<Transformed<LogicalPlan>> {
    let mut uses_clock = false;
    plan.apply_expressions(|expr| {
        uses_clock |= expr.exists(|e| Ok(clock_column(e).is_some()))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !uses_clock || plan.inputs().is_empty() {
        return Ok(Transformed::no(plan));
    }
    let names: Vec<_> = plan.schema().columns();
    let inputs = plan
        .inputs()
        .into_iter()
        .enumerate()
        // One clock is enough, below the first input: a join's condition sees both inputs.
        .map(|(i, input)| if i == 0 { BatchClockNode::plan(input.clone(), time_zone) } else { Ok(input.clone()) })
        .collect::<Result<Vec<_>>>()?;
    let exprs = plan.expressions().into_iter().map(replace_in_expr).collect::<Result<Vec<_>>>()?;
    let with_clock = plan.with_new_exprs(exprs, inputs)?;
    if with_clock.schema().columns() == names {
        return Ok(Transformed::yes(with_clock));
    }
    // A filter, a sort or a join passes the clock's columns on: take them off again.
    let exprs = names.into_iter().map(Expr::Column);
    Ok(Transformed::yes(LogicalPlanBuilder::from(with_clock).project(exprs)?.build()?))
}

fn replace_in_expr(expr: Expr) -> Result<Expr> {
    let name = expr.schema_name().to_string();
    let keeps_name = matches!(expr, Expr::Alias(_));
    let replaced = expr.transform_up(|e| match clock_column(&e) {
        Some(column) => Ok(Transformed::yes(col(column))),
        None => Ok(Transformed::no(e)),
    })?;
    Ok(if replaced.transformed && !keeps_name { replaced.data.alias(name) } else { replaced.data })
}

fn clock_column(expr: &Expr) -> Option<&'static str> {
    let Expr::ScalarFunction(function) = expr else { return None };
    if !function.args.is_empty() {
        return None;
    }
    let name = function.func.name().to_lowercase();
    CLOCK_FUNCTIONS.iter().find(|(function, _)| *function == name).map(|(_, column)| *column)
}

fn clock_fields() -> [FieldRef; 3] {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    [(TIMESTAMP_COLUMN, utc), (DATE_COLUMN, DataType::Date32), (LOCAL_COLUMN, local)]
        .map(|(name, data_type)| Arc::new(Field::new(name, data_type, false)))
}

/// The logical node; see the file's header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchClockNode {
    input: LogicalPlan,
    time_zone: String,
    schema: DFSchemaRef,
}

impl PartialOrd for BatchClockNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl BatchClockNode {
    fn plan(input: LogicalPlan, time_zone: &str) -> Result<LogicalPlan> {
        let node = Self::try_new(input, time_zone.to_string())?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn try_new(input: LogicalPlan, time_zone: String) -> Result<Self> {
        let clock = clock_fields().map(|field| (None, field));
        let fields = input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).chain(clock).collect();
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { input, time_zone, schema: Arc::new(schema) })
    }

    /// The physical node over `input`.
    pub(super) fn physical(&self, input: Arc<dyn ExecutionPlan>) -> BatchClockExec {
        BatchClockExec::new(input, self.time_zone.clone())
    }
}

impl UserDefinedLogicalNodeCore for BatchClockNode {
    fn name(&self) -> &str {
        "BatchClock"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    /// Predicates on the input's columns may pass.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        clock_fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "BatchClock")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::try_new(inputs.swap_remove(0), self.time_zone.clone())
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|column| *column < inputs).collect()])
    }
}

/// The physical node; see the file's header.
#[derive(Clone, Debug)]
pub struct BatchClockExec {
    input: Arc<dyn ExecutionPlan>,
    time_zone: String,
    properties: Arc<PlanProperties>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    time_zone: String,
}

impl BatchClockExec {
    fn new(input: Arc<dyn ExecutionPlan>, time_zone: String) -> Self {
        let fields = input.schema().fields().iter().cloned().chain(clock_fields()).collect::<Vec<_>>();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, time_zone, properties: Arc::new(properties) }
    }

    /// The batch's time in each of the three types, as arrays of one row.
    fn clock(&self, batch_timestamp_ms: i64) -> Result<[ArrayRef; 3]> {
        let at = TimestampMicrosecondArray::from(vec![batch_timestamp_ms.saturating_mul(1000)]);
        let zoned: ArrayRef = Arc::new(at.clone().with_timezone(self.time_zone.as_str()));
        let local = cast(&zoned, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let date = cast(&local, &DataType::Date32)?;
        Ok([Arc::new(at.with_timezone("UTC")), date, local])
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.time_zone.clone()))
    }
}

fn append(batch: &RecordBatch, schema: &SchemaRef, clock: &[ArrayRef; 3]) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns = batch.columns().to_vec();
    for value in clock {
        columns.push(ScalarValue::try_from_array(value, 0)?.to_array_of_size(rows)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

impl PlanNode for BatchClockExec {
    const NAME: &'static str = "BatchClock";

    fn to_json(&self) -> Result<serde_json::Value> {
        super::codec::to_json(&Encoded { time_zone: self.time_zone.clone() })
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = super::codec::from_json(json)?;
        Ok(Self::new(super::codec::only_input(inputs)?, encoded.time_zone))
    }
}

impl DisplayAs for BatchClockExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "BatchClockExec: time_zone={}", self.time_zone)
    }
}

impl ExecutionPlan for BatchClockExec {
    one_input!();

    fn name(&self) -> &str {
        "BatchClockExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let clock = self.clock(BatchContext::of(&context)?.batch_timestamp_ms)?;
        let input = self.input.execute(partition, context)?;
        let (schema, out_schema) = (self.schema(), self.schema());
        let rows = input.and_then(move |batch| {
            let appended = append(&batch, &schema, &clock);
            async move { appended }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(out_schema, rows)))
    }
}
