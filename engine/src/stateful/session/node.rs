//! The logical node, and the physical plan that it becomes.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::{DFSchemaRef, Result};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy, aggregate_expressions};
use datafusion_physical_plan::empty::EmptyExec;
use datafusion_session::{PhysicalPlanner, Session};
use serde::{Deserialize, Serialize};

use super::exec::SessionExec;
use super::rows_exec::SessionRowsExec;
use crate::plan::ExchangeExec;
use crate::sink::OutputMode;
use crate::stateful::aggregate::{columns_in, lowered};

/// What sessions are, besides their expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Serialize, Deserialize)]
pub(in crate::stateful) struct SessionSpec {
    /// The operator's number in the plan; none in a batch query, which remembers nothing.
    pub(in crate::stateful) operator: Option<u32>,
    /// Which sessions a batch gives out.
    pub(in crate::stateful) mode: OutputMode,
    /// State partitions.
    pub(in crate::stateful) partitions: usize,
    /// The session's place among the grouping columns.
    pub(in crate::stateful) session: usize,
    /// Whether the session's time has a watermark: then late rows are dropped, as in Spark in complete mode too, and closed
    /// sessions leave but in complete mode.
    pub(in crate::stateful) has_watermark: bool,
    /// Whether elements of aggregates are kept one by one.
    pub(in crate::stateful) keeps_elements: bool,
}

/// Where an aggregate finds its rows' values, as columns behind the keys and the times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AggregateInputs {
    /// Its arguments, and what it orders by; `None` for a constant, which does not travel.
    pub(super) arguments: Vec<Option<usize>>,
    /// Its filter.
    pub(super) filter: Option<usize>,
}

/// The logical node: an aggregate by sessions, which live on where they are those of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamSessionNode {
    input: LogicalPlan,
    group_expr: Vec<Expr>,
    aggr_expr: Vec<Expr>,
    spec: SessionSpec,
    schema: DFSchemaRef,
}

impl PartialOrd for StreamSessionNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let key = |node: &Self| (node.group_expr.clone(), node.aggr_expr.clone(), node.spec);
        (&self.input, key(self)).partial_cmp(&(&other.input, key(other)))
    }
}

impl StreamSessionNode {
    /// `input` grouped by `group_expr`, with `schema` as output.
    pub(in crate::stateful) fn plan(
        input: LogicalPlan,
        group_expr: Vec<Expr>,
        aggr_expr: Vec<Expr>,
        spec: SessionSpec,
        schema: DFSchemaRef,
    ) -> LogicalPlan {
        let node = Self { input, group_expr, aggr_expr, spec, schema };
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }

    /// What is aggregated.
    pub(in crate::stateful) fn aggregates(&self) -> &[Expr] {
        &self.aggr_expr
    }

    /// The session's place in the output, and what it is in the input.
    pub(in crate::stateful) fn session(&self) -> (usize, &Expr) {
        (self.spec.session, &self.group_expr[self.spec.session])
    }

    /// The plan whose rows are grouped.
    pub(in crate::stateful) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The physical nodes over `input`.
    pub(crate) fn physical(
        &self,
        input: Arc<dyn ExecutionPlan>,
        planner: &dyn PhysicalPlanner,
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (logical, schema) = (self.input.schema(), input.schema());
        let mut keys = Vec::with_capacity(self.group_expr.len());
        for (at, expr) in self.group_expr.iter().enumerate() {
            let expr = planner.create_physical_expr(expr, logical, session, context)?;
            keys.push((expr, self.schema.field(at).name().clone()));
        }
        let window = keys.remove(self.spec.session);
        let (aggregates, filters) = lowered(&self.aggr_expr, logical, &schema, session, context)?;
        let mut values = Vec::new();
        let arguments = aggregate_expressions(&aggregates, &AggregateMode::Partial, 0)?;
        let inputs = arguments.into_iter().zip(&filters).map(|(arguments, filter)| AggregateInputs {
            arguments: arguments.into_iter().map(|argument| column_of(argument, &mut values)).collect(),
            filter: filter.clone().map(|filter| place_of(filter, &mut values)),
        });
        let inputs: Vec<AggregateInputs> = inputs.collect();
        let template = Arc::new(AggregateExec::try_new(
            AggregateMode::Partial,
            PhysicalGroupBy::new_single(keys.clone()),
            aggregates,
            filters,
            Arc::new(EmptyExec::new(Arc::clone(&schema))),
            schema,
        )?);
        let by = (0..keys.len()).collect();
        let late = self.spec.operator.filter(|_| self.spec.has_watermark);
        let rows = Arc::new(SessionRowsExec::try_new(input, window, keys, values, late)?);
        let exchange = Arc::new(ExchangeExec::new(rows, by, self.spec.partitions));
        let output = Arc::new(Schema::new(self.schema.fields().clone()));
        Ok(Arc::new(SessionExec::try_new(exchange, template, self.spec, inputs, output)?))
    }
}

/// The place of an argument among the columns that travel.
fn column_of(argument: Arc<dyn PhysicalExpr>, values: &mut Vec<Arc<dyn PhysicalExpr>>) -> Option<usize> {
    (!argument.is::<Literal>()).then(|| place_of(argument, values))
}

fn place_of(expr: Arc<dyn PhysicalExpr>, values: &mut Vec<Arc<dyn PhysicalExpr>>) -> usize {
    match values.iter().position(|known| known.eq(&expr)) {
        Some(place) => place,
        None => {
            values.push(expr);
            values.len() - 1
        }
    }
}

impl UserDefinedLogicalNodeCore for StreamSessionNode {
    fn name(&self) -> &str {
        "StreamSession"
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

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "StreamSession: groupBy=[{}], aggr=[{}]", list(&self.group_expr), list(&self.aggr_expr))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let aggr_expr = exprs.split_off(self.group_expr.len());
        Ok(Self { input: inputs.swap_remove(0), group_expr: exprs, aggr_expr, ..self.clone() })
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![columns_in(self.group_expr.iter().chain(&self.aggr_expr), self.input.schema())])
    }
}
