//! A stream joined with a table.
//!
//! State      none of the stream; the table's rows, hashed, in the query's [`StaticSides`]
//! Per batch  reads the table if it is not kept, or has changed; looks up the keys of whole batches
//! Output     for each batch of the stream its joined rows, in the stream's order, those of one row in the table's order
//! Bounded    by the table, which is accounted for in the session's memory budget, and a few thousand pairs of rows

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{JoinType, Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::joins::utils::build_join_schema;
use datafusion_physical_plan::projection::{EmbeddedProjection, ProjectionExec, try_embed_projection};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::kept::{ReadTable, StaticSides, fingerprint, key_encoder};
use super::probe::{Probe, Prober, StreamRows};
use crate::joining::{ConditionColumn, JoinSideOf, OutputColumns, PairCondition};
use crate::plan::codec::{NodeExpression, PlanNode, from_json, to_json};

/// What the join is, apart from its inputs.
#[derive(Clone, Debug)]
pub(crate) struct StaticJoin {
    /// Its number among the plan's nodes that keep a table.
    pub(crate) number: u32,
    /// What the table is called.
    pub(crate) name: String,
    /// Which input is the stream.
    pub(crate) stream_side: JoinSideOf,
    pub(crate) join_type: JoinType,
    /// `NOT IN`.
    pub(crate) null_aware: bool,
    /// Columns of the left input and of the right one that must be equal.
    pub(crate) keys: Vec<(usize, usize)>,
    pub(crate) null_equals_null: bool,
    pub(crate) condition: Option<PairCondition>,
    /// Which columns are wanted; all of them where it is `None`.
    pub(crate) projection: Option<Vec<usize>>,
}

impl StaticJoin {
    /// What becomes of the stream's rows; `None` where rows of the table would have to wait for the end of the stream.
    pub(crate) fn stream_rows(&self) -> Option<StreamRows> {
        use JoinType::{Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
        Some(match (self.stream_side, self.join_type) {
            (_, Inner) => StreamRows::Matched,
            (JoinSideOf::Left, Left) | (JoinSideOf::Right, Right) => StreamRows::All,
            (JoinSideOf::Left, LeftSemi) | (JoinSideOf::Right, RightSemi) => StreamRows::WithMatch,
            (JoinSideOf::Left, LeftAnti) if self.null_aware => StreamRows::SurelyWithoutMatch,
            (JoinSideOf::Left, LeftAnti) | (JoinSideOf::Right, RightAnti) => StreamRows::WithoutMatch,
            (JoinSideOf::Left, LeftMark) | (JoinSideOf::Right, RightMark) => StreamRows::Marked,
            _ => return None,
        })
    }

    fn side_keys(&self, side: JoinSideOf) -> Vec<usize> {
        self.keys.iter().map(|(left, right)| if side == JoinSideOf::Left { *left } else { *right }).collect()
    }
}

/// The join; see the file's header.
#[derive(Clone, Debug)]
pub(crate) struct StaticJoinExec {
    join: StaticJoin,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    output: OutputColumns,
    properties: Arc<PlanProperties>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    number: u32,
    name: String,
    stream_side: JoinSideOf,
    join_type: String,
    null_aware: bool,
    keys: Vec<(usize, usize)>,
    null_equals_null: bool,
    condition_columns: Option<Vec<ConditionColumn>>,
    projection: Option<Vec<usize>>,
}

impl StaticJoinExec {
    pub(crate) fn try_new(
        join: StaticJoin,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let (schema, mut indices) = build_join_schema(&left.schema(), &right.schema(), &join.join_type);
        let mut schema: SchemaRef = Arc::new(schema);
        if let Some(projection) = &join.projection {
            schema = Arc::new(schema.project(projection)?);
            indices = projection.iter().map(|column| indices[*column].clone()).collect();
        }
        // The schema's own metadata would differ from plan to plan.
        let schema: SchemaRef = Arc::new(Schema::new(schema.fields().clone()));
        let stream = if join.stream_side == JoinSideOf::Left { &left } else { &right };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(stream.output_partitioning().partition_count()),
            stream.pipeline_behavior(),
            stream.boundedness(),
        );
        let output = OutputColumns::new(schema, &indices);
        Ok(Self { join, left, right, output, properties: Arc::new(properties) })
    }

    /// What it is, apart from its inputs.
    pub(crate) fn join(&self) -> &StaticJoin {
        &self.join
    }

    /// What reads the table.
    pub(crate) fn table(&self) -> &Arc<dyn ExecutionPlan> {
        self.input(self.join.stream_side.other())
    }

    fn input(&self, side: JoinSideOf) -> &Arc<dyn ExecutionPlan> {
        match side {
            JoinSideOf::Left => &self.left,
            JoinSideOf::Right => &self.right,
        }
    }

    fn prober(&self) -> Result<Prober> {
        let Some(rows) = self.join.stream_rows() else {
            return internal_err!("a table cannot be the kept side of a {} join with a stream", self.join.join_type);
        };
        let keys = self.join.side_keys(self.join.stream_side);
        let schema = self.input(self.join.stream_side).schema();
        let encoder = if keys.is_empty() { None } else { Some(key_encoder(&schema, &keys)?) };
        Ok(Prober {
            stream_side: self.join.stream_side,
            rows,
            keys,
            encoder,
            null_equals_null: self.join.null_equals_null,
            condition: self.join.condition.clone(),
            output: self.output.clone(),
        })
    }
}

impl PlanNode for StaticJoinExec {
    const NAME: &'static str = "StaticJoin";

    fn to_json(&self) -> Result<serde_json::Value> {
        to_json(&Encoded {
            number: self.join.number,
            name: self.join.name.clone(),
            stream_side: self.join.stream_side,
            join_type: self.join.join_type.to_string(),
            null_aware: self.join.null_aware,
            keys: self.join.keys.clone(),
            null_equals_null: self.join.null_equals_null,
            condition_columns: self.join.condition.as_ref().map(|condition| condition.parts().1.to_vec()),
            projection: self.join.projection.clone(),
        })
    }

    fn expressions(&self) -> Vec<NodeExpression> {
        self.join.condition.iter().map(|condition| condition.parts().0.clone()).collect()
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        mut expressions: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = from_json(json)?;
        let [left, right] = inputs else { return internal_err!("a join was given {} inputs", inputs.len()) };
        let condition = match (encoded.condition_columns, expressions.pop()) {
            (None, None) => None,
            (Some(columns), Some(expression)) => Some(PairCondition::from_parts(expression, columns)),
            _ => return internal_err!("a join was sent without its condition, or with one of another"),
        };
        let join = StaticJoin {
            number: encoded.number,
            name: encoded.name,
            stream_side: encoded.stream_side,
            join_type: JoinType::from_str(&encoded.join_type)?,
            null_aware: encoded.null_aware,
            keys: encoded.keys,
            null_equals_null: encoded.null_equals_null,
            condition,
            projection: encoded.projection,
        };
        Self::try_new(join, Arc::clone(left), Arc::clone(right))
    }
}

impl DisplayAs for StaticJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let (left, right) = (self.left.schema(), self.right.schema());
        let names = |(l, r): &(usize, usize)| format!("{}@{l} = {}@{r}", left.field(*l).name(), right.field(*r).name());
        let keys: Vec<String> = self.join.keys.iter().map(names).collect();
        let stream = if self.join.stream_side == JoinSideOf::Left { "left" } else { "right" };
        write!(
            f,
            "StaticJoinExec: {}, stream={stream}, table={}, on=[{}]",
            self.join.join_type,
            self.join.name,
            keys.join(", ")
        )?;
        if let Some(condition) = &self.join.condition {
            write!(f, ", filter={condition}")?;
        }
        if self.join.null_aware {
            write!(f, ", null_aware")?;
        }
        if let Some(projection) = &self.join.projection {
            write!(f, ", projection={projection:?}")?;
        }
        Ok(())
    }
}

impl EmbeddedProjection for StaticJoinExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        let composed = match (&self.join.projection, projection) {
            (Some(inner), Some(outer)) => Some(outer.iter().map(|column| inner[*column]).collect()),
            (inner, None) => inner.clone(),
            (None, outer) => outer,
        };
        let join = StaticJoin { projection: composed, ..self.join.clone() };
        Self::try_new(join, Arc::clone(&self.left), Arc::clone(&self.right))
    }
}

impl ExecutionPlan for StaticJoinExec {
    fn name(&self) -> &str {
        "StaticJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        match self.join.stream_side {
            JoinSideOf::Left => vec![Distribution::UnspecifiedDistribution, Distribution::SinglePartition],
            JoinSideOf::Right => vec![Distribution::SinglePartition, Distribution::UnspecifiedDistribution],
        }
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match &self.join.condition {
            Some(condition) => f(&condition.parts().0.expr),
            None => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match self.join.projection {
            Some(_) => Ok(None),
            None => try_embed_projection(projection, self),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = children.as_slice() else {
            return internal_err!("a join was given {} inputs", children.len());
        };
        Ok(Arc::new(Self::try_new(self.join.clone(), Arc::clone(left), Arc::clone(right))?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let prober = Arc::new(self.prober()?);
        let sides = StaticSides::of(&context)?;
        let fingerprint = fingerprint(self.table(), &context)?;
        let number = self.join.number;
        let read = ReadTable {
            plan: Arc::clone(self.table()),
            name: self.join.name.clone(),
            keys: self.join.side_keys(self.join.stream_side.other()),
            null_equals_null: self.join.null_equals_null,
            context: Arc::clone(&context),
        };
        let input = self.input(self.join.stream_side).execute(partition, context)?;
        let rows = stream::once(async move {
            let table = sides.side(number, fingerprint, read.read()).await?;
            Ok::<_, datafusion_common::DataFusionError>(input.map(move |batch| {
                let probe = batch.and_then(|batch| Probe::new(&prober, &table, batch))?;
                Ok::<_, datafusion_common::DataFusionError>(stream::iter(probe))
            }))
        });
        let rows = rows.try_flatten().try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
