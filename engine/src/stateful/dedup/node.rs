//! The logical node, and the physical plan that it becomes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{Column, DFSchemaRef, Result, internal_err};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions;
use datafusion_physical_plan::ExecutionPlan;

use super::exec::{DeduplicateExec, Rule, Spec};
use crate::error::Error;
use crate::plan::ExchangeExec;
use crate::plan::watermark::event_time_type;
use crate::stateful::event_time::event_time_delays;
use crate::stateful::time_key::{TimeKeyExec, TimeKind};

/// The first row of each key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub struct DeduplicateNode {
    input: LogicalPlan,
    keys: Vec<Column>,
    within_watermark: bool,
    /// Set when a query starts.
    started: Started,
}

/// What is known when a query starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd)]
struct Started {
    operator: u32,
    partitions: usize,
    event_time: Option<EventTime>,
}

/// The event time of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
struct EventTime {
    column: Column,
    delay_ms: i64,
}

impl DeduplicateNode {
    /// The rows of `input` whose values in `keys` no row before them had; with `within_watermark` none within the delay of
    /// the watermark.
    pub fn plan(input: LogicalPlan, keys: Vec<Column>, within_watermark: bool) -> LogicalPlan {
        let node = Self { input, keys, within_watermark, started: Started::default() };
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }

    /// The same as operator number `operator` of a query, with state in `partitions` partitions.
    ///
    /// # Errors
    /// `Invalid` where it needs a watermark and there is none, or where there are several event times.
    pub(crate) fn started(&self, operator: u32, partitions: usize) -> crate::error::Result<LogicalPlan> {
        let schema = self.input.schema();
        let times = event_time_delays(&self.input).into_iter().zip(schema.columns());
        let times: Vec<EventTime> =
            times.filter_map(|(delay_ms, column)| Some(EventTime { column, delay_ms: delay_ms? })).collect();
        if let [first, second, ..] = &times[..] {
            return Err(Error::invalid(format!(
                "rows are deduplicated by one event time, but '{}' and '{}' both have a WATERMARK: leave one of them out of the \
                 rows before it",
                first.column.name, second.column.name
            )));
        }
        if self.within_watermark && times.is_empty() {
            return Err(Error::invalid(
                "deduplication within the watermark needs a column with a WATERMARK among the rows: write STREAM t WATERMARK ts DELAY \
                 OF INTERVAL 10 MINUTES and keep ts in the select list, or call with_watermark(\"ts\", \"10 minutes\"); without it, \
                 only DISTINCT ON (…) or drop_duplicates() can be used",
            ));
        }
        let started = Started { operator, partitions, event_time: times.into_iter().next() };
        let node = Self { started, ..self.clone() };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The physical nodes over `input`.
    pub(crate) fn physical(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let Started { operator, partitions, event_time } = &self.started;
        let (operator, partitions, schema) = (*operator, (*partitions).max(1), Arc::clone(self.input.schema()));
        let columns = input.schema().fields().len();
        // The order of the keys in the state does not depend on the order in which they were written.
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            keys.push((key.name.to_lowercase(), schema.index_of_column(key)?));
        }
        let mut keys: Vec<usize> = keys.into_iter().collect::<BTreeSet<_>>().into_iter().map(|(_, at)| at).collect();
        let mut keyed = input;
        let mut rule = Rule::ForEver;
        if let Some(EventTime { column, delay_ms }) = event_time {
            let time = schema.index_of_column(column)?;
            let (name, data_type) = (schema.field(time).name(), schema.field(time).data_type());
            let is_key = keys.contains(&time);
            let kind = match event_time_type(data_type) {
                Some(true) if is_key && !self.within_watermark => TimeKind::Window,
                _ => TimeKind::Time,
            };
            let expr: Arc<dyn PhysicalExpr> = Arc::new(expressions::Column::new(name, time));
            keyed = Arc::new(TimeKeyExec::try_new(keyed, expr, kind, name, operator, true)?.keeping_nulls()?);
            if self.within_watermark {
                rule = Rule::WithinDelay { time, delay_ms: *delay_ms };
            } else if is_key {
                // The time comes first, so that what is closed is a range.
                rule = Rule::UntilClosed;
                keys.retain(|key| *key != time);
                let first = match kind {
                    TimeKind::Window => columns..columns + 2,
                    _ => time..time + 1,
                };
                keys = first.chain(keys).collect();
            }
        }
        let exchange = Arc::new(ExchangeExec::new(keyed, keys.clone(), partitions));
        let spec = Spec { operator, partitions, columns, keys, rule };
        Ok(Arc::new(DeduplicateExec::try_new(exchange, spec)?))
    }
}

impl UserDefinedLogicalNodeCore for DeduplicateNode {
    fn name(&self) -> &str {
        "Deduplicate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        let time = self.started.event_time.iter().map(|time| &time.column);
        self.keys.iter().chain(time).cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys = self.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let within = if self.within_watermark { " within watermark" } else { "" };
        write!(f, "Deduplicate{within}: [{keys}]")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut columns = Vec::with_capacity(exprs.len());
        for expr in exprs {
            match expr {
                Expr::Column(column) => columns.push(column),
                other => return internal_err!("'{other}', which rows are deduplicated by, is no column any more"),
            }
        }
        let mut times = columns.split_off(self.keys.len()).into_iter();
        let mut node = Self { input: inputs.swap_remove(0), keys: columns, ..self.clone() };
        if let (Some(time), Some(column)) = (&mut node.started.event_time, times.next()) {
            time.column = column;
        }
        Ok(node)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut columns: BTreeSet<usize> = output_columns.iter().copied().collect();
        for column in self.keys.iter().chain(self.started.event_time.iter().map(|time| &time.column)) {
            columns.insert(schema.index_of_column(column).ok()?);
        }
        Some(vec![columns.into_iter().collect()])
    }
}
