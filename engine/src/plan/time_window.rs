//! `window(…)` and `session_window(…)`: the window of each row, as one more column.
//!
//! State      none
//! Per batch  a column of windows beside the input's; a row that belongs to several windows becomes several rows, one after
//!            the other from the latest window to the earliest; rows without a time or with a gap that is not positive are left out
//! Output     the input's rows, in order
//!
//! The formula is Spark's (`TimeWindowing`): on microseconds since the epoch, without time zones, before 1970 too. Grouping by
//! such a column in a stream does not come here: the aggregate keeps slices of the windows instead.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StructArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::{binary, filter, filter_record_batch, is_not_null, take};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Schema, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::{ColumnarValue, Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::codec::{NodeExpression, PlanNode, one_input};
use super::watermark::{event_time_column, event_time_type};
use crate::error::Error;

/// The windows of `window(time, size, slide, start)`, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Windows {
    /// How long a window is.
    pub size: i64,
    /// From the start of one window to the next.
    pub slide: i64,
    /// Where the windows begin, from the epoch.
    pub start: i64,
}

impl Windows {
    /// Checked as Spark does.
    ///
    /// # Errors
    /// `Invalid` for a size or slide that is not positive, a slide longer than the size, or a start not shorter than the slide.
    pub fn try_new(size: i64, slide: i64, start: i64) -> crate::error::Result<Self> {
        let says = |what: String| Err(Error::invalid(format!("window(time, size, slide, start): {what}")));
        if size <= 0 || slide <= 0 {
            return says(format!("size and slide must be positive, but are {} and {}", spoken(size), spoken(slide)));
        }
        if slide > size {
            return says(format!(
                "the slide must not be longer than the size, but is {} and the size {}: rows between two windows would be lost; \
                 write window(time, '{1}', '{1}') or a shorter slide",
                spoken(slide),
                spoken(size)
            ));
        }
        if start.abs() >= slide {
            return says(format!(
                "the start must be shorter than the slide, but is {} and the slide {}",
                spoken(start),
                spoken(slide)
            ));
        }
        Ok(Self { size, slide, start })
    }

    /// The start of the latest window that begins at or before `at`.
    pub fn last_start(&self, at: i64) -> i64 {
        at - (at - self.start).rem_euclid(self.slide)
    }

    /// The pieces that windows are made of: as long as the greatest common divisor of size and slide, from the same start.
    pub fn slices(&self) -> Self {
        let (mut a, mut b) = (self.size, self.slide);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self { size: a, slide: a, start: self.start.rem_euclid(a) }
    }

    /// How many windows a time may belong to.
    pub fn overlap(&self) -> i64 {
        self.size.div_euclid(self.slide) + i64::from(self.size % self.slide != 0)
    }

    /// The starts of the windows of `at`, latest first.
    pub fn starts_of(&self, at: i64) -> impl Iterator<Item = i64> + use<> {
        let (last, size, slide) = (self.last_start(at), self.size, self.slide);
        (0..self.overlap()).map(move |i| last - i * slide).filter(move |start| at < start + size)
    }
}

/// A length as an interval in the largest unit that it is a whole number of.
pub(crate) fn spoken(micros: i64) -> String {
    const UNITS: [(i64, &str); 5] = [
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
        (1000, "millisecond"),
    ];
    let unit = UNITS.iter().find(|(length, _)| micros != 0 && micros % length == 0);
    let (length, unit) = unit.copied().unwrap_or((1, "microsecond"));
    let count = micros / length;
    if count.abs() == 1 { format!("{count} {unit}") } else { format!("{count} {unit}s") }
}

/// What windows a call asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum WindowKind {
    /// `window`.
    Fixed(Windows),
    /// `session_window`, with its gap: an interval.
    Session(Expr),
}

/// The logical node; see the file's header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimeWindowNode {
    input: LogicalPlan,
    time: Expr,
    kind: WindowKind,
    name: String,
    schema: DFSchemaRef,
}

impl PartialOrd for TimeWindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (&self.input, &self.time, &self.kind).partial_cmp(&(&other.input, &other.time, &other.kind))
    }
}

impl TimeWindowNode {
    /// `input` with the windows of `time` as one more column, `name`.
    ///
    /// # Errors
    /// `Invalid` when `time` is no time, or the gap no interval.
    pub fn plan(input: LogicalPlan, time: Expr, kind: WindowKind, name: String) -> crate::error::Result<LogicalPlan> {
        let found = time.get_type(input.schema())?;
        if event_time_type(&found).is_none() {
            return Err(Error::invalid(format!(
                "window and session_window take a TIMESTAMP, a TIMESTAMP_NTZ or a window, but '{time}' is {found}: make it one with \
                 timestamp_seconds(…) for seconds since the epoch, or to_timestamp(…) for text"
            )));
        }
        if let WindowKind::Session(gap) = &kind {
            let found = gap.get_type(input.schema())?;
            if found != DataType::Interval(IntervalUnit::MonthDayNano) {
                return Err(Error::invalid(format!(
                    "the gap of session_window must be an interval such as '5 minutes', but '{gap}' is {found}"
                )));
            }
        }
        let node = Self::try_new(input, time, kind, name)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn try_new(input: LogicalPlan, time: Expr, kind: WindowKind, name: String) -> Result<Self> {
        let field = window_field(&name, &time.get_type(input.schema())?);
        let fields = input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).chain([(None, field)]).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { input, time, kind, name, schema })
    }

    /// The plan whose rows get windows.
    pub(crate) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The time of a row.
    pub(crate) fn time(&self) -> &Expr {
        &self.time
    }

    /// The physical node over `input`; `physical` makes expressions over the input's columns.
    pub(super) fn physical(
        &self,
        input: Arc<dyn ExecutionPlan>,
        physical: &dyn Fn(&Expr) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<TimeWindowExec> {
        let kind = match &self.kind {
            WindowKind::Fixed(windows) => PhysicalKind::Fixed(*windows),
            WindowKind::Session(gap) => PhysicalKind::Session(physical(gap)?),
        };
        TimeWindowExec::try_new(input, physical(&self.time)?, kind, self.name.clone())
    }

    /// Which windows.
    pub(crate) fn kind(&self) -> &WindowKind {
        &self.kind
    }
}

/// A column of windows over times of type `time`, or over other windows.
pub(crate) fn window_field(name: &str, time: &DataType) -> FieldRef {
    let time = match time {
        DataType::Struct(fields) if fields.len() == 2 => fields[1].data_type().clone(),
        time => time.clone(),
    };
    Arc::new(Field::new(name, DataType::Struct(window_fields(&time)), false))
}

fn window_fields(time: &DataType) -> Fields {
    Fields::from(vec![Field::new("start", time.clone(), true), Field::new("end", time.clone(), true)])
}

/// The windows with these starts and ends, as a column of type `data_type`; no window where there is no end.
pub(crate) fn window_array(
    starts: TimestampMicrosecondArray,
    ends: TimestampMicrosecondArray,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = data_type else { return internal_err!("a window is {data_type}") };
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = fields[0].data_type() else {
        return internal_err!("a window's start is {}", fields[0].data_type());
    };
    let zoned = |times: TimestampMicrosecondArray| Arc::new(times.with_timezone_opt(zone.clone())) as ArrayRef;
    let nulls = ends.nulls().cloned();
    Ok(Arc::new(StructArray::try_new(fields.clone(), vec![zoned(starts), zoned(ends)], nulls)?))
}

/// A row's event time for windows: a window of windows belongs where its last moment does.
pub(crate) fn times_for_windows(column: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let is_window = matches!(column.data_type(), DataType::Struct(_));
    let times = event_time_column(column)?;
    let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
        return internal_err!("a time is {}, expected microseconds", times.data_type());
    };
    Ok(match is_window {
        true => times.unary(|end| end.saturating_sub(1)),
        false => times.clone().with_timezone_opt(None::<String>),
    })
}

impl UserDefinedLogicalNodeCore for TimeWindowNode {
    fn name(&self) -> &str {
        "TimeWindow"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        match &self.kind {
            WindowKind::Fixed(_) => vec![self.time.clone()],
            WindowKind::Session(gap) => vec![self.time.clone(), gap.clone()],
        }
    }

    /// The columns that are wanted, and those that windows are made of.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut columns: Vec<usize> = output_columns.iter().copied().filter(|at| *at < schema.fields().len()).collect();
        for expr in self.expressions() {
            columns.extend(expr.column_refs().into_iter().filter_map(|column| schema.index_of_column(column).ok()));
        }
        columns.sort_unstable();
        columns.dedup();
        Some(vec![columns])
    }

    /// Predicates on the input's columns may pass.
    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        std::collections::HashSet::from([self.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "TimeWindow: {} of {}, {:?}", self.name, self.time, self.kind)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let (Some(time), gap) = (exprs.next(), exprs.next()) else {
            return internal_err!("a window without its time");
        };
        let kind = match (&self.kind, gap) {
            (WindowKind::Session(_), Some(gap)) => WindowKind::Session(gap),
            (kind, _) => kind.clone(),
        };
        Self::try_new(inputs.swap_remove(0), time, kind, self.name.clone())
    }
}

/// The physical node; see the file's header.
#[derive(Clone, Debug)]
pub struct TimeWindowExec {
    input: Arc<dyn ExecutionPlan>,
    time: Arc<dyn PhysicalExpr>,
    kind: PhysicalKind,
    name: String,
    properties: Arc<PlanProperties>,
}

/// What windows the physical node makes.
#[derive(Clone, Debug)]
pub(crate) enum PhysicalKind {
    Fixed(Windows),
    Session(Arc<dyn PhysicalExpr>),
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    windows: Option<Windows>,
    name: String,
}

impl TimeWindowExec {
    /// The windows of `time` beside the rows of `input`.
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        time: Arc<dyn PhysicalExpr>,
        kind: PhysicalKind,
        name: String,
    ) -> Result<Self> {
        let field = window_field(&name, &time.data_type(&input.schema())?);
        let fields = input.schema().fields().iter().cloned().chain([field]).collect::<Vec<_>>();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self { input, time, kind, name, properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::try_new(input, Arc::clone(&self.time), self.kind.clone(), self.name.clone())
    }

    fn with_windows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let times = times_for_windows(&self.time.evaluate(batch)?.into_array(batch.num_rows())?)?;
        match &self.kind {
            PhysicalKind::Fixed(windows) => self.fixed(batch, &times, windows),
            PhysicalKind::Session(gap) => {
                let ends = session_ends(&times, &gap.evaluate(batch)?)?;
                self.sessions(batch, times, ends)
            }
        }
    }

    fn fixed(&self, batch: &RecordBatch, times: &TimestampMicrosecondArray, windows: &Windows) -> Result<RecordBatch> {
        let mut rows = Vec::with_capacity(batch.num_rows() * usize::try_from(windows.overlap()).unwrap_or(1));
        let mut starts = Vec::with_capacity(rows.capacity());
        for (row, at) in (0u32..).zip(times) {
            let Some(at) = at else { continue };
            for start in windows.starts_of(at) {
                rows.push(row);
                starts.push(start);
            }
        }
        let ends = starts.iter().map(|start| start + windows.size).collect::<Vec<_>>();
        let rows = UInt32Array::from(rows);
        let columns = batch.columns().iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?;
        self.append(columns, rows.len(), starts.into(), ends.into())
    }

    fn sessions(
        &self,
        batch: &RecordBatch,
        times: TimestampMicrosecondArray,
        ends: TimestampMicrosecondArray,
    ) -> Result<RecordBatch> {
        if ends.null_count() == 0 {
            return self.append(batch.columns().to_vec(), batch.num_rows(), times, ends);
        }
        let is_in = is_not_null(&ends)?;
        let batch = filter_record_batch(batch, &is_in)?;
        let [times, ends] = [times, ends].map(|column| filter(&column, &is_in));
        let (times, ends) = (times?.as_primitive().clone(), ends?.as_primitive().clone());
        self.append(batch.columns().to_vec(), batch.num_rows(), times, ends)
    }

    fn append(
        &self,
        mut columns: Vec<ArrayRef>,
        rows: usize,
        starts: TimestampMicrosecondArray,
        ends: TimestampMicrosecondArray,
    ) -> Result<RecordBatch> {
        let schema = self.schema();
        columns.push(window_array(starts, ends, schema.field(columns.len()).data_type())?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

/// The end of each row's own session; null for a row without a time or with a gap that is not positive.
fn session_ends(times: &TimestampMicrosecondArray, gaps: &ColumnarValue) -> Result<TimestampMicrosecondArray> {
    let gaps = match gaps {
        ColumnarValue::Scalar(gap) => {
            let gap = gap_micros(&gap.to_array()?)?;
            return Ok(match gap.is_valid(0) {
                true => times.unary(|at| at.saturating_add(gap.value(0))),
                false => TimestampMicrosecondArray::new_null(times.len()),
            });
        }
        ColumnarValue::Array(gaps) => gap_micros(gaps)?,
    };
    Ok(binary(times, &gaps, |at: i64, gap: i64| at.saturating_add(gap))?)
}

/// Gaps in microseconds, null where they are not positive; days are 24 hours, as in Spark, and months are 31 days.
fn gap_micros(gaps: &ArrayRef) -> Result<Int64Array> {
    let Some(gaps) = gaps.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return internal_err!("a gap is {}, expected an interval", gaps.data_type());
    };
    let micros = |gap: IntervalMonthDayNano| {
        (i64::from(gap.months) * 31 + i64::from(gap.days)) * 86_400_000_000 + gap.nanoseconds / 1000
    };
    Ok(gaps.unary_opt(|gap| Some(micros(gap)).filter(|gap| *gap > 0)))
}

impl PlanNode for TimeWindowExec {
    const NAME: &'static str = "TimeWindow";

    fn to_json(&self) -> Result<serde_json::Value> {
        let windows = match &self.kind {
            PhysicalKind::Fixed(windows) => Some(*windows),
            PhysicalKind::Session(_) => None,
        };
        super::codec::to_json(&Encoded { windows, name: self.name.clone() })
    }

    fn expressions(&self) -> Vec<NodeExpression> {
        let gap = match &self.kind {
            PhysicalKind::Fixed(_) => None,
            PhysicalKind::Session(gap) => Some(Arc::clone(gap)),
        };
        let schema = self.input.schema();
        let exprs = [Some(Arc::clone(&self.time)), gap].into_iter().flatten();
        exprs.map(|expr| NodeExpression { expr, schema: Arc::clone(&schema) }).collect()
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        expressions: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = super::codec::from_json(json)?;
        let mut exprs = expressions.into_iter().map(|expression| expression.expr);
        let (Some(time), gap) = (exprs.next(), exprs.next()) else { return internal_err!("a window without its time") };
        let kind = match (encoded.windows, gap) {
            (Some(windows), _) => PhysicalKind::Fixed(windows),
            (None, Some(gap)) => PhysicalKind::Session(gap),
            (None, None) => return internal_err!("a session window without its gap"),
        };
        Self::try_new(super::codec::only_input(inputs)?, time, kind, encoded.name)
    }
}

impl DisplayAs for TimeWindowExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.kind {
            PhysicalKind::Fixed(windows) => write!(
                f,
                "TimeWindowExec: {} of {}, size_micros={}, slide_micros={}, start_micros={}",
                self.name, self.time, windows.size, windows.slide, windows.start
            ),
            PhysicalKind::Session(gap) => write!(f, "TimeWindowExec: {} of {}, gap={gap}", self.name, self.time),
        }
    }
}

impl ExecutionPlan for TimeWindowExec {
    one_input!();

    fn name(&self) -> &str {
        "TimeWindowExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (node, schema) = (self.clone(), self.schema());
        let rows = input.and_then(move |batch| {
            let batch = node.with_windows(&batch);
            async move { batch }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_spoken_in_the_largest_unit() {
        let cases = [
            (0, "0 microseconds"),
            (60_000_000, "1 minute"),
            (-7_200_000_000, "-2 hours"),
            (1_500_000, "1500 milliseconds"),
        ];
        for (micros, text) in cases {
            assert_eq!(spoken(micros), text);
        }
    }

    #[test]
    fn a_time_is_in_every_window_around_it() -> crate::error::Result<()> {
        // size, slide, start, time, the starts of its windows
        let cases: &[(i64, i64, i64, i64, &[i64])] = &[
            (10, 10, 0, 25, &[20]),
            (10, 10, 0, -1, &[-10]),
            (10, 5, 0, 12, &[10, 5]),
            (10, 5, 2, 12, &[12, 7]),
            (10, 5, -3, 1, &[-3, -8]),
            (10, 4, 0, 9, &[8, 4, 0]),
            (10, 4, 0, 11, &[8, 4]),
            (10, 4, 0, -7, &[-8, -12, -16]),
        ];
        for (size, slide, start, at, starts) in cases {
            let windows = Windows::try_new(*size, *slide, *start)?;
            assert_eq!(windows.starts_of(*at).collect::<Vec<_>>(), *starts, "{windows:?} at {at}");
            let slice = windows.slices().last_start(*at);
            let by_slice: Vec<i64> = windows.starts_of(slice).collect();
            assert_eq!(by_slice, *starts, "{windows:?}: the slice {slice} of {at} is in the same windows");
        }
        Ok(())
    }
}
