//! `WATERMARK`: watches the event times of the rows that pass, and lets them all pass.
//!
//! State      none
//! Per batch  the earliest, latest and average time, reported to the loop, which makes the next watermark of them
//! Output     the input's rows, in order
//!
//! As in Spark, a deterministic filter written above that does not touch the time applies below: rows that it removes do
//! not move the watermark. A null time counts as the epoch; a window counts by its end.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Column, DFSchemaRef, ExprSchema, Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::codec::{NodeExpression, PlanNode, one_input};
use crate::error::Error;
use crate::observations::{EventTimes, Observations};
use crate::watermark::WatermarkSpec;

/// The logical node; see the file's header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub struct WatermarkNode {
    input: LogicalPlan,
    column: Column,
    delay_ms: i64,
    /// Set when a query starts, with what the inputs' options say.
    number: u32,
    idle_timeout_ms: Option<u64>,
}

impl WatermarkNode {
    /// `input` with its column `column` as event time, rows being late after `delay_ms`.
    ///
    /// # Errors
    /// `Invalid` when the column is no time, or the delay is negative.
    pub fn plan(input: LogicalPlan, column: &Column, delay_ms: i64) -> crate::error::Result<LogicalPlan> {
        let field = input.schema().field_from_column(column)?;
        if event_time_type(field.data_type()).is_none() {
            return Err(Error::invalid(format!(
                "the event time of WATERMARK must be a TIMESTAMP, a TIMESTAMP_NTZ or a window, but column '{}' is {}: make it one \
                 with timestamp_seconds({0}) for seconds since the epoch, or to_timestamp({0}) for text",
                column.name,
                field.data_type()
            )));
        }
        if delay_ms < 0 {
            return Err(Error::invalid(format!("the delay of WATERMARK {} must not be negative", column.name)));
        }
        let node = Self { input, column: column.clone(), delay_ms, number: 0, idle_timeout_ms: None };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The same watermark as number `number` of a query.
    pub(crate) fn numbered(&self, number: u32, idle_timeout_ms: Option<u64>) -> Self {
        Self { number, idle_timeout_ms, ..self.clone() }
    }

    /// The event time.
    pub(crate) fn column(&self) -> &Column {
        &self.column
    }

    /// How late rows may be, in milliseconds.
    pub(crate) fn delay_ms(&self) -> i64 {
        self.delay_ms
    }

    /// The event time's place among the columns.
    pub(crate) fn column_index(&self) -> Result<usize> {
        self.input.schema().index_of_column(&self.column)
    }

    /// The physical node over `input`.
    pub(super) fn physical(&self, input: Arc<dyn ExecutionPlan>) -> Result<WatermarkExec> {
        let encoded = Encoded {
            column: self.column_index()?,
            number: self.number,
            spec: WatermarkSpec { delay_ms: self.delay_ms, idle_timeout_ms: self.idle_timeout_ms },
        };
        Ok(WatermarkExec::new(input, encoded))
    }
}

/// Whether values of this type can be event times: `Some(true)` for a window, whose end counts.
pub(crate) fn event_time_type(data_type: &DataType) -> Option<bool> {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(false),
        DataType::Struct(fields) if fields.len() == 2 && fields[0].name() == "start" && fields[1].name() == "end" => {
            (event_time_type(fields[1].data_type()) == Some(false)).then_some(true)
        }
        _ => None,
    }
}

/// The event times in a column, a window's being its end.
pub(crate) fn event_time_column(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Struct(_) => {
            let window = column.as_struct();
            let end = Arc::clone(window.column(1));
            if window.null_count() == 0 {
                return Ok(end);
            }
            Ok(arrow::compute::nullif(&end, &arrow::compute::is_null(window)?)?)
        }
        _ => Ok(Arc::clone(column)),
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "Watermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.column.clone())]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.column.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Watermark: {}, delay_ms={}", self.column, self.delay_ms)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(Expr::Column(column)) = exprs.into_iter().next() else {
            return internal_err!("the event time of a watermark is no column any more");
        };
        Ok(Self { input: inputs.swap_remove(0), column, ..self.clone() })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut columns = output_columns.to_vec();
        columns.push(self.column_index().ok()?);
        columns.sort_unstable();
        columns.dedup();
        Some(vec![columns])
    }
}

/// The physical node; see the file's header.
#[derive(Clone, Debug)]
pub struct WatermarkExec {
    input: Arc<dyn ExecutionPlan>,
    encoded: Encoded,
    properties: Arc<PlanProperties>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Encoded {
    column: usize,
    number: u32,
    spec: WatermarkSpec,
}

impl WatermarkExec {
    fn new(input: Arc<dyn ExecutionPlan>, encoded: Encoded) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, encoded, properties: Arc::new(properties) }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.encoded.clone()))
    }

    /// Which watermark of the query it is.
    pub fn number(&self) -> u32 {
        self.encoded.number
    }

    /// Its delay and idle timeout.
    pub fn spec(&self) -> &WatermarkSpec {
        &self.encoded.spec
    }
}

/// Tells the loop when the rows have ended.
struct Watch {
    column: usize,
    number: u32,
    times: Option<EventTimes>,
    observations: Arc<Observations>,
}

impl Watch {
    fn see(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let times = event_times(&event_time_column(batch.column(self.column))?)?;
        self.times = Some(match self.times {
            None => times,
            Some(seen) => seen.and(times),
        });
        Ok(())
    }

    fn tell(&self) {
        if let Some(times) = self.times {
            self.observations.event_times(self.number, times);
        }
    }
}

fn event_times(column: &ArrayRef) -> Result<EventTimes> {
    let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() else {
        return internal_err!("an event time is {}, expected microseconds", column.data_type());
    };
    let (first, last) = (min(times), max(times));
    let nulls = times.null_count();
    // A null is read as 0.
    let or_null = |bound: Option<i64>, pick: fn(i64, i64) -> i64| match bound {
        Some(bound) if nulls > 0 => pick(bound, 0),
        bound => bound.unwrap_or(0),
    };
    let base = first.unwrap_or(0);
    let above: i128 = match nulls {
        0 => times.values().iter().map(|at| i128::from(at.wrapping_sub(base))).sum(),
        _ => times.iter().flatten().map(|at| i128::from(at.wrapping_sub(base))).sum(),
    };
    let sum = above + i128::from(base) * (times.len() - nulls) as i128;
    Ok(EventTimes {
        count: times.len() as u64,
        min_ms: or_null(first, i64::min).div_euclid(1000),
        max_ms: or_null(last, i64::max).div_euclid(1000),
        sum_ms: sum / 1000,
    })
}

impl PlanNode for WatermarkExec {
    const NAME: &'static str = "Watermark";

    fn to_json(&self) -> Result<serde_json::Value> {
        super::codec::to_json(&self.encoded)
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        Ok(Self::new(super::codec::only_input(inputs)?, super::codec::from_json(json)?))
    }
}

impl DisplayAs for WatermarkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.input.schema();
        let column = schema.field(self.encoded.column).name();
        write!(f, "WatermarkExec: {column}@{}, delay_ms={}", self.encoded.column, self.encoded.spec.delay_ms)
    }
}

impl ExecutionPlan for WatermarkExec {
    one_input!();

    fn name(&self) -> &str {
        "WatermarkExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let watch = Watch {
            column: self.encoded.column,
            number: self.encoded.number,
            times: None,
            observations: Observations::of(&context)?,
        };
        let input = self.input.execute(partition, context)?;
        let rows = stream::unfold((input, watch), |(mut input, mut watch)| async move {
            match input.next().await {
                None => {
                    watch.tell();
                    None
                }
                Some(batch) => {
                    let seen = batch.and_then(|batch| watch.see(&batch).map(|()| batch));
                    Some((seen, (input, watch)))
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;

    #[test]
    fn a_null_counts_as_the_epoch() -> Result<()> {
        let times = |count, min_ms, max_ms, sum_ms| EventTimes { count, min_ms, max_ms, sum_ms };
        let cases = [
            (vec![Some(5_999), Some(1_000)], times(2, 1, 5, 6)),
            (vec![Some(-1)], times(1, -1, -1, 0)),
            (vec![None, Some(7_000)], times(2, 0, 7, 7)),
            (vec![None], times(1, 0, 0, 0)),
        ];
        for (micros, expected) in cases {
            let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros.clone()));
            assert_eq!(event_times(&column)?, expected, "{micros:?}");
        }
        Ok(())
    }
}
