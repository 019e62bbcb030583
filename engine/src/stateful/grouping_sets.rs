//! ROLLUP, CUBE and GROUPING SETS: every row once for each set, with the values that the set groups by.
//!
//! State      none
//! Per batch  for each set, the batch's rows with one column for each grouping expression (null where the set leaves it out) and
//!            the number of the set
//! Output     the input's rows, in order, once for each set
//!
//! Above it is an aggregate by plain columns, so that windows, sessions and elements in grouping sets are what they are elsewhere.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result, ScalarValue};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::{Aggregate, Expr, Extension, GroupingSet, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::expressions::Literal;
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::aggregates::{PhysicalGroupBy, evaluate_group_by};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::aggregate::columns_in;
use crate::plan::codec::{self, NodeExpression, PlanNode, one_input};

/// What the names of columns of grouping expressions begin with: nobody can write it.
const PREFIX: &str = "$grouping_sets.";

/// For each set, which of the grouping expressions it leaves out.
type Sets = Vec<Vec<bool>>;

/// `aggregate`, where it has grouping sets, as one by plain columns over a [`GroupingSetsNode`]. Its output stays the same.
pub(super) fn without_grouping_sets(aggregate: Aggregate) -> Result<Aggregate> {
    let [Expr::GroupingSet(sets)] = &aggregate.group_expr[..] else { return Ok(aggregate) };
    let exprs: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
    let fields = aggregate.schema.fields()[..=exprs.len()].iter();
    let renamed = |field: &Field| field.clone().with_name(format!("{PREFIX}{}", field.name())).with_nullable(true);
    let fields = fields.map(|field| Arc::new(renamed(field))).collect();
    let left_out = |set: Vec<Expr>| exprs.iter().map(|expr| !set.contains(expr)).collect();
    let sets = expressions_of_sets(sets).into_iter().map(left_out).collect();
    let node = GroupingSetsNode::try_new(Arc::unwrap_or_clone(aggregate.input), exprs, sets, fields)?;
    let columns = node.schema.columns();
    let group_expr = columns[node.first()..].iter().cloned().map(Expr::Column).collect();
    let input = Arc::new(LogicalPlan::Extension(Extension { node: Arc::new(node) }));
    Aggregate::try_new_with_schema(input, group_expr, aggregate.aggr_expr, aggregate.schema)
}

/// The expressions of each set.
pub(super) fn expressions_of_sets(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(exprs) => (0..=exprs.len()).rev().map(|count| exprs[..count].to_vec()).collect(),
        GroupingSet::Cube(exprs) => {
            let is_in = |set: usize, at: usize| set >> (exprs.len() - 1 - at) & 1 == 1;
            let of = |set: usize| (0..exprs.len()).filter(|at| is_in(set, *at)).map(|at| exprs[at].clone()).collect();
            (0..1usize << exprs.len()).rev().map(of).collect()
        }
    }
}

/// What the user calls a grouping expression; none for the number of the set, of which the user knows nothing.
pub(super) fn spoken_name(expr: &Expr) -> Option<String> {
    let name = expr.schema_name().to_string();
    match name.strip_prefix(PREFIX) {
        Some(Aggregate::INTERNAL_GROUPING_ID) => None,
        Some(stripped) => Some(stripped.to_string()),
        None => Some(name),
    }
}

/// The logical node; see the file's header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupingSetsNode {
    input: LogicalPlan,
    exprs: Vec<Expr>,
    sets: Sets,
    fields: Vec<Arc<Field>>,
    schema: DFSchemaRef,
}

impl PartialOrd for GroupingSetsNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (&self.input, &self.exprs, &self.sets).partial_cmp(&(&other.input, &other.exprs, &other.sets))
    }
}

impl GroupingSetsNode {
    /// `fields`: of the grouping expressions, and of the number of the set.
    fn try_new(input: LogicalPlan, exprs: Vec<Expr>, sets: Sets, fields: Vec<Arc<Field>>) -> Result<Self> {
        let of_input = input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let of_sets = fields.iter().map(|field| (None, Arc::clone(field)));
        let schema = DFSchema::new_with_metadata(of_input.chain(of_sets).collect(), input.schema().metadata().clone())?;
        Ok(Self { input, exprs, sets, fields, schema: Arc::new(schema) })
    }

    /// Where the grouping expressions' columns begin.
    fn first(&self) -> usize {
        self.input.schema().fields().len()
    }

    /// The plan whose rows are grouped.
    pub(crate) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// What the column in place `at` is over the input; none for the number of the set.
    pub(super) fn origin(&self, at: usize) -> Option<Expr> {
        match at.checked_sub(self.first()) {
            None => Some(Expr::Column(Column::from(self.input.schema().qualified_field(at)))),
            Some(at) => self.exprs.get(at).cloned(),
        }
    }

    /// Whether some set leaves out the column in place `at`.
    fn leaves_out(&self, at: usize) -> bool {
        at.checked_sub(self.first()).is_some_and(|at| self.sets.iter().any(|set| set.get(at) == Some(&true)))
    }

    /// The physical node over `input`; `physical` makes expressions over the input's columns.
    pub(crate) fn physical(
        &self,
        input: Arc<dyn ExecutionPlan>,
        physical: &dyn Fn(&Expr) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<GroupingSetsExec> {
        let exprs = self.exprs.iter().map(physical).collect::<Result<_>>()?;
        let fields = Arc::new(Schema::new(self.fields.clone()));
        GroupingSetsExec::try_new(input, exprs, Encoded { sets: self.sets.clone(), fields })
    }
}

/// Whether `expr` over the rows of `input` is a grouping expression that some grouping set leaves out: then it is null there.
pub(super) fn is_left_out(expr: &Expr, input: &LogicalPlan) -> bool {
    let (LogicalPlan::Extension(extension), Expr::Column(column)) = (input, expr) else { return false };
    let Some(sets) = extension.node.as_any().downcast_ref::<GroupingSetsNode>() else { return false };
    sets.schema.index_of_column(column).is_ok_and(|at| sets.leaves_out(at))
}

impl UserDefinedLogicalNodeCore for GroupingSetsNode {
    fn name(&self) -> &str {
        "GroupingSets"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.exprs.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let exprs: Vec<String> = self.exprs.iter().map(ToString::to_string).collect();
        write!(f, "GroupingSets: {} sets of [{}]", self.sets.len(), exprs.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::try_new(inputs.swap_remove(0), exprs, self.sets.clone(), self.fields.clone())
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut columns = columns_in(&self.exprs, self.input.schema());
        columns.extend(output_columns.iter().filter(|at| **at < self.first()));
        columns.sort_unstable();
        columns.dedup();
        Some(vec![columns])
    }
}

/// The physical node; see the file's header.
#[derive(Clone, Debug)]
pub struct GroupingSetsExec {
    input: Arc<dyn ExecutionPlan>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    data: Encoded,
    group_by: Arc<PhysicalGroupBy>,
    properties: Arc<PlanProperties>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Encoded {
    sets: Sets,
    /// The columns behind the input's.
    #[serde(with = "crate::schema_serde")]
    fields: SchemaRef,
}

impl GroupingSetsExec {
    fn try_new(input: Arc<dyn ExecutionPlan>, exprs: Vec<Arc<dyn PhysicalExpr>>, data: Encoded) -> Result<Self> {
        let of_input = input.schema();
        let fields = of_input.fields().iter().chain(data.fields.fields()).cloned().collect::<Vec<_>>();
        let mut nulls = Vec::with_capacity(exprs.len());
        for expr in &exprs {
            let null = ScalarValue::try_from(&expr.data_type(&of_input)?)?;
            nulls.push((Arc::new(Literal::new(null)) as Arc<dyn PhysicalExpr>, String::new()));
        }
        let named = exprs.iter().map(|expr| (Arc::clone(expr), String::new())).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        let group_by = PhysicalGroupBy::new(named, nulls, data.sets.clone(), true);
        Ok(Self { input, exprs, data, group_by: Arc::new(group_by), properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::try_new(input, self.exprs.clone(), self.data.clone())
    }

    /// A batch for each set.
    fn expanded(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let of_set = |values| {
            let columns = [batch.columns().to_vec(), values].concat();
            Ok(RecordBatch::try_new_with_options(self.schema(), columns, &options)?)
        };
        evaluate_group_by(&self.group_by, batch)?.into_iter().map(of_set).collect()
    }
}

impl PlanNode for GroupingSetsExec {
    const NAME: &'static str = "GroupingSets";

    fn to_json(&self) -> Result<serde_json::Value> {
        codec::to_json(&self.data)
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
        Self::try_new(codec::only_input(inputs)?, exprs, codec::from_json(json)?)
    }
}

impl DisplayAs for GroupingSetsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let exprs: Vec<String> = self.exprs.iter().map(ToString::to_string).collect();
        write!(f, "GroupingSetsExec: {} sets of [{}]", self.data.sets.len(), exprs.join(", "))
    }
}

impl ExecutionPlan for GroupingSetsExec {
    one_input!();

    fn name(&self) -> &str {
        "GroupingSetsExec"
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (node, schema) = (self.clone(), self.schema());
        let rows = input
            .map(move |batch| node.expanded(&batch?))
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
