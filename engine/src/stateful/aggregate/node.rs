//! The logical node, and the physical plan that it becomes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion_physical_plan::empty::EmptyExec;
use datafusion_physical_plan::projection::ProjectionExec;
use datafusion_session::{PhysicalPlanner, Session};
use serde::{Deserialize, Serialize};

use super::exec::StateAggregateExec;
use super::lowered::lowered;
use crate::plan::ExchangeExec;
use crate::sink::OutputMode;
use crate::stateful::time_key::{TimeKeyExec, TimeKind};

/// What an aggregation over a stream is, besides its expressions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Serialize, Deserialize)]
pub(crate) struct AggregateSpec {
    /// The operator's number in the plan.
    pub(crate) operator: u32,
    /// Which groups a batch gives out.
    pub(crate) mode: OutputMode,
    /// State partitions.
    pub(crate) partitions: usize,
    /// The time among the grouping columns.
    pub(crate) time: Option<GroupTime>,
    /// Whether state is kept by slices of the windows; otherwise by whole windows.
    pub(crate) by_slices: bool,
    /// Whether an answer depends on the order of rows: then streams are read in one partition, in the order of their splits.
    pub(crate) remembers_order: bool,
    /// Whether elements of aggregates are kept one by one: then rows are aggregated where the state is, and not before.
    pub(crate) keeps_elements: bool,
}

/// A time that is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Serialize, Deserialize)]
pub(crate) struct GroupTime {
    /// Its place among the grouping columns.
    pub(crate) index: usize,
    /// What of it is grouped by.
    pub(crate) kind: TimeKind,
    /// Whether it has a watermark: then late rows are dropped, and closed groups leave.
    pub(crate) has_watermark: bool,
    /// Whether some grouping set leaves it out: groups without it are in time for ever, and never closed.
    pub(crate) may_be_left_out: bool,
}

impl AggregateSpec {
    /// Whether windows overlap: then rows of one slice belong to several windows, and all slices and windows of a key must
    /// lie in one state partition.
    pub(crate) fn windows_overlap(&self) -> bool {
        matches!(self.time, Some(GroupTime { kind: TimeKind::Slices(windows), .. }) if windows.size != windows.slide)
    }

    /// Columns that stand for the time in the state's key.
    pub(crate) fn time_columns(&self) -> usize {
        self.time.map_or(0, |time| time.kind.added_columns().max(1))
    }
}

/// The logical node: an aggregate whose groups live on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamAggregateNode {
    input: LogicalPlan,
    group_expr: Vec<Expr>,
    aggr_expr: Vec<Expr>,
    spec: AggregateSpec,
    schema: DFSchemaRef,
}

impl PartialOrd for StreamAggregateNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let key = |node: &Self| (node.group_expr.clone(), node.aggr_expr.clone(), node.spec.clone());
        (&self.input, key(self)).partial_cmp(&(&other.input, key(other)))
    }
}

impl StreamAggregateNode {
    /// `input` grouped by `group_expr`, with `schema` as output.
    pub(crate) fn plan(
        input: LogicalPlan,
        group_expr: Vec<Expr>,
        aggr_expr: Vec<Expr>,
        spec: AggregateSpec,
        schema: DFSchemaRef,
    ) -> LogicalPlan {
        let node = Self { input, group_expr, aggr_expr, spec, schema };
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }

    /// The output column that is an event time with a watermark, and what it is of the input.
    pub(crate) fn event_time(&self) -> Option<(usize, &Expr)> {
        let time = self.spec.time.filter(|time| time.has_watermark)?;
        Some((time.index, &self.group_expr[time.index]))
    }

    /// The plan whose rows are grouped.
    pub(crate) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// Whether an answer depends on the order of rows.
    pub(crate) fn remembers_order(&self) -> bool {
        self.spec.remembers_order
    }

    /// The physical nodes over `input`.
    pub(crate) fn physical(
        &self,
        input: Arc<dyn ExecutionPlan>,
        planner: &dyn PhysicalPlanner,
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let logical = self.input.schema();
        let physical_expr = |expr: &Expr| planner.create_physical_expr(expr, logical, session, context);
        let mut keyed = Arc::clone(&input);
        let mut time_keys: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::new();
        if let Some(time) = &self.spec.time {
            let name = self.schema.field(time.index).name();
            let expr = physical_expr(&self.group_expr[time.index])?;
            let node = TimeKeyExec::try_new(
                keyed,
                Arc::clone(&expr),
                time.kind,
                name,
                self.spec.operator,
                time.has_watermark,
            )?;
            // A group without the time is never closed: in append mode nobody would ever see it.
            let keeps_nulls = time.may_be_left_out && self.spec.mode != OutputMode::Append;
            let node = if keeps_nulls { node.keeping_nulls()? } else { node };
            let schema = node.schema();
            let added = input.schema().fields().len()..schema.fields().len();
            time_keys.extend(added.map(|at| {
                let name = schema.field(at).name().clone();
                (Arc::new(Column::new(&name, at)) as Arc<dyn PhysicalExpr>, name)
            }));
            if time_keys.is_empty() {
                time_keys.push((expr, name.clone()));
            }
            keyed = Arc::new(node);
        }
        let schema = keyed.schema();
        let group_by = self.group_by(time_keys, &physical_expr)?;
        let (aggregates, filters) = lowered(&self.aggr_expr, logical, &schema, session, context)?;
        let over = |input| {
            let (aggregates, filters) = (aggregates.clone(), filters.clone());
            AggregateExec::try_new(
                AggregateMode::Partial,
                group_by.clone(),
                aggregates,
                filters,
                input,
                Arc::clone(&schema),
            )
        };
        let template = over(Arc::new(EmptyExec::new(Arc::clone(&schema))) as Arc<dyn ExecutionPlan>)?;
        let (times, groups) = (self.spec.time_columns(), group_columns(&template));
        let (rows, first_key): (Arc<dyn ExecutionPlan>, usize) = match self.spec.keeps_elements {
            false => (Arc::new(over(keyed)?), 0),
            true => (Arc::new(with_group_columns(keyed, &group_by)?), schema.fields().len()),
        };
        let key = if self.spec.windows_overlap() { times..groups } else { 0..groups };
        let key = key.map(|at| first_key + at).collect();
        let exchange = Arc::new(ExchangeExec::new(rows, key, self.spec.partitions));
        let output = Arc::new(Schema::new(self.schema.fields().clone()));
        Ok(Arc::new(StateAggregateExec::try_new(exchange, Arc::new(template), self.spec.clone(), output)?))
    }

    /// What the partial aggregate groups by: the time's columns, then everything else.
    fn group_by(
        &self,
        time_keys: Vec<(Arc<dyn PhysicalExpr>, String)>,
        physical_expr: &dyn Fn(&Expr) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<PhysicalGroupBy> {
        let time = self.spec.time.map(|time| time.index);
        let mut exprs = time_keys;
        for (at, expr) in self.group_expr.iter().enumerate().filter(|(at, _)| Some(*at) != time) {
            exprs.push((physical_expr(expr)?, self.schema.field(at).name().clone()));
        }
        Ok(PhysicalGroupBy::new_single(exprs))
    }
}

/// The places in `schema` of the columns that `exprs` are made of.
pub(in crate::stateful) fn columns_in<'e>(exprs: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> Vec<usize> {
    let columns = exprs.into_iter().flat_map(Expr::column_refs);
    let mut columns: Vec<usize> = columns.filter_map(|column| schema.index_of_column(column).ok()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The rows of `input`, and after them the values that they are grouped by.
fn with_group_columns(input: Arc<dyn ExecutionPlan>, group_by: &PhysicalGroupBy) -> Result<ProjectionExec> {
    let schema = input.schema();
    let columns = schema.fields().iter().enumerate();
    let columns = columns
        .map(|(at, field)| (Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>, field.name().clone()));
    let groups = group_by.expr().iter().map(|(expr, name)| (Arc::clone(expr), name.clone()));
    ProjectionExec::try_new(columns.chain(groups).collect::<Vec<_>>(), input)
}

/// The columns that a partial aggregate groups by; those after them are state.
pub(super) fn group_columns(partial: &AggregateExec) -> usize {
    partial.group_expr().num_group_exprs()
}

/// The functions of a template.
pub(in crate::stateful) fn functions_of(
    template: &Arc<dyn ExecutionPlan>,
) -> Result<(&AggregateExec, &[Arc<AggregateFunctionExpr>])> {
    match template.downcast_ref::<AggregateExec>() {
        Some(aggregate) => Ok((aggregate, aggregate.aggr_expr())),
        None => internal_err!("the template of an aggregation is {}", template.name()),
    }
}

impl UserDefinedLogicalNodeCore for StreamAggregateNode {
    fn name(&self) -> &str {
        "StreamAggregate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.group_expr.iter().chain(&self.aggr_expr).cloned().collect()
    }

    /// A condition on grouping columns alone holds for all rows of a group or for none: it may pass, as in Spark, where it
    /// also decides which rows move the watermark.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let columns = self.schema.columns();
        let passes = |at: usize| {
            let is_same = self.group_expr.get(at).is_some_and(|expr| expr.try_as_col() == Some(&columns[at]));
            is_same && self.spec.time.is_none_or(|time| time.index != at)
        };
        let fields = self.schema.fields().iter().enumerate();
        fields.filter(|(at, _)| !passes(*at)).map(|(_, field)| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "StreamAggregate: groupBy=[{}], aggr=[{}]", list(&self.group_expr), list(&self.aggr_expr))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let aggr_expr = exprs.split_off(self.group_expr.len());
        Ok(Self { input: inputs.swap_remove(0), group_expr: exprs, aggr_expr, ..self.clone() })
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![columns_in(self.group_expr.iter().chain(&self.aggr_expr), self.input.schema())])
    }
}
