//! A join of two streams.
//!
//! State      for each side the rows that may still have a match, by key and, where the condition allows it, by buckets of
//!            time; and the times at which rows expire (see `side.rs`)
//! Per batch  looks up the keys of whole record batches; costs depend on the rows of the batch and their matches
//! Output     pairs as they are found; rows that stay without a match when they expire, with nulls
//! Bounded    by the matches of one record batch; the stores by their own budget

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{JoinSide, Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::joins::utils::ColumnIndex;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, stream};
use millstream_state::StoreSchema;
use serde::{Deserialize, Serialize};

use super::side::{SideDrafts, SideLayout, SideState};
use super::spec::{Expiry, JoinSpec};
use super::work::{JoinPlan, JoinWork, SidePlan};
use crate::batch_context::BatchContext;
use crate::joining::{ConditionColumn, JoinSideOf, OutputColumns, PairCondition};
use crate::observations::Observations;
use crate::plan::codec::{self, NodeExpression, PlanNode};
use crate::plan::time_window::spoken;
use crate::query_state::StateBatch;
use crate::stateful::StatefulNode;

/// Both sides, in the order in which they are read.
const SIDES: [JoinSideOf; 2] = [JoinSideOf::Left, JoinSideOf::Right];

/// The operator; see the file's header.
#[derive(Clone, Debug)]
pub struct StreamJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    plan: Arc<JoinPlan>,
    /// Columns of each side that are given out; those behind are keys only.
    widths: (usize, usize),
    properties: Arc<PlanProperties>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    spec: JoinSpec,
    widths: (usize, usize),
    has_left_only: bool,
    has_right_only: bool,
    condition: Option<Vec<ConditionColumn>>,
    #[serde(with = "crate::schema_serde")]
    output: SchemaRef,
}

impl StreamJoinExec {
    /// A join of the rows of two exchanges by the same keys.
    #[expect(clippy::too_many_arguments, reason = "a join has two of everything")]
    pub(super) fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        spec: JoinSpec,
        widths: (usize, usize),
        left_only: Option<NodeExpression>,
        right_only: Option<NodeExpression>,
        condition: Option<PairCondition>,
        output: SchemaRef,
    ) -> Result<Self> {
        let of_side = |side, input: &Arc<dyn ExecutionPlan>, condition| {
            let schema = input.schema();
            // The exchange adds the hash and the key group.
            let Some(width) = schema.fields().len().checked_sub(2) else {
                return internal_err!("the input of a join is no exchange");
            };
            let schema = Arc::new(Schema::new(schema.fields()[..width].to_vec()));
            SidePlan::new(SideLayout::new(spec.side(side), schema, spec.join_type.keeps_unmatched(side)), condition)
        };
        let index = |side| move |index| ColumnIndex { index, side };
        let mut indices: Vec<ColumnIndex> = (0..widths.0).map(index(JoinSide::Left)).collect();
        if spec.join_type.gives_pairs() {
            indices.extend((0..widths.1).map(index(JoinSide::Right)));
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&output)),
            Partitioning::UnknownPartitioning(spec.partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let plan = JoinPlan {
            left: of_side(JoinSideOf::Left, &left, left_only)?,
            right: of_side(JoinSideOf::Right, &right, right_only)?,
            condition,
            output: OutputColumns::new(output, &indices),
            spec,
        };
        Ok(Self { left, right, plan: Arc::new(plan), widths, properties: Arc::new(properties) })
    }

    fn over(&self, inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Self> {
        let [left, right] = inputs else { return internal_err!("a join was given {} inputs", inputs.len()) };
        Self::try_new(
            Arc::clone(left),
            Arc::clone(right),
            self.plan.spec.clone(),
            self.widths,
            self.plan.left.condition.clone(),
            self.plan.right.condition.clone(),
            self.plan.condition.clone(),
            Arc::clone(&self.plan.output.schema),
        )
    }
}

/// The stores of a side: the part of each name, and its schema.
fn stores_of(layout: &SideLayout) -> impl Iterator<Item = (&'static str, &StoreSchema)> {
    let times = layout.times.as_ref().map(|times| ("times", times));
    [("rows", &layout.rows), ("more", &layout.more), ("keys", &layout.keys)].into_iter().chain(times)
}

fn side_name(side: JoinSideOf) -> &'static str {
    match side {
        JoinSideOf::Left => "left",
        JoinSideOf::Right => "right",
    }
}

/// One batch of one state partition, as it is read.
struct Running {
    /// `None` when it is finished.
    work: Option<JoinWork>,
    /// What is to be read yet.
    inputs: VecDeque<(JoinSideOf, SendableRecordBatchStream)>,
    ready: VecDeque<RecordBatch>,
    operator: u32,
    observations: Arc<Observations>,
}

impl Running {
    async fn begin(
        plan: Arc<JoinPlan>,
        partition: usize,
        inputs: VecDeque<(JoinSideOf, SendableRecordBatchStream)>,
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        let (operator, partitions) = (plan.spec.operator, plan.spec.partitions);
        let watermarks = BatchContext::of(&context)?.watermarks_of(operator);
        let state = StateBatch::of(&context)?;
        let mut sides = Vec::with_capacity(2);
        for side in SIDES {
            let layout = Arc::clone(&plan.side(side).layout);
            let mut opened = Vec::with_capacity(4);
            for (part, schema) in stores_of(&layout) {
                let name = format!("{}_{part}", side_name(side));
                opened.push(state.draft(operator, &name, partition, partitions, schema).await?);
            }
            let mut opened = opened.into_iter();
            let (Some(rows), Some(more), Some(keys)) = (opened.next(), opened.next(), opened.next()) else {
                return internal_err!("a side of a join has no stores");
            };
            let drafts = SideDrafts { rows, more, keys, times: opened.next() };
            let expired_ms = plan.spec.state_watermark_ms(side, watermarks.late_ms);
            let expired_micros = expired_ms.map(|ms| ms.saturating_mul(1000));
            sides.push(SideState::new(layout, drafts, expired_micros));
        }
        let (Some(right), Some(left)) = (sides.pop(), sides.pop()) else {
            return internal_err!("a join has two sides");
        };
        let work = Some(JoinWork::new(plan, left, right, watermarks));
        let observations = Observations::of(&context)?;
        Ok(Self { work, inputs, ready: VecDeque::new(), operator, observations })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let from_work = self.work.as_mut().and_then(|work| work.ready.pop_front());
            if let Some(rows) = from_work.or_else(|| self.ready.pop_front()) {
                if rows.num_rows() > 0 {
                    return Ok(Some(rows));
                }
                continue;
            }
            let Some(work) = &mut self.work else { return Ok(None) };
            match self.inputs.front_mut() {
                Some((side, input)) => match input.next().await {
                    Some(batch) => {
                        let batch = batch?;
                        if batch.num_rows() > 0 {
                            work.take_in(*side, &batch)?;
                        }
                    }
                    None => drop(self.inputs.pop_front()),
                },
                None => {
                    if let Some(work) = self.work.take() {
                        let (ready, counts) = work.finish()?;
                        self.observations.operator(self.operator, &counts);
                        self.ready = ready;
                    }
                }
            }
        }
    }
}

impl StatefulNode for StreamJoinExec {
    fn operator(&self) -> u32 {
        self.plan.spec.operator
    }

    fn operator_name(&self) -> &'static str {
        "symmetricHashJoin"
    }

    fn partitions(&self) -> usize {
        self.plan.spec.partitions
    }

    fn stores(&self) -> Vec<(String, StoreSchema)> {
        let of_side = |side: JoinSideOf| {
            let stores = stores_of(&self.plan.side(side).layout);
            stores.map(|(part, schema)| (format!("{}_{part}", side_name(side)), schema.clone())).collect::<Vec<_>>()
        };
        SIDES.into_iter().flat_map(of_side).collect()
    }

    fn settings(&self) -> Vec<String> {
        let of_side = |side: JoinSideOf| {
            let width = self.plan.side(side).layout.spec.buckets?.width;
            Some(format!("{}_rows: buckets of {}", side_name(side), spoken(width)))
        };
        SIDES.into_iter().filter_map(of_side).collect()
    }

    fn output_watermark_ms(&self, input_ms: i64) -> i64 {
        self.plan.spec.output_watermark_ms(input_ms)
    }

    fn warning(&self) -> Option<String> {
        let JoinSpec { operator, left, right, .. } = &self.plan.spec;
        let kept = match (&left.expiry, &right.expiry) {
            (Expiry::Never, Expiry::Never) => "both sides",
            (Expiry::Never, _) => "the left side",
            (_, Expiry::Never) => "the right side",
            _ => return None,
        };
        Some(format!(
            "the join of two streams (operator {operator}) keeps the rows of {kept} for ever: a WATERMARK on both sides and a \
             condition that bounds the difference of their times would let it forget them"
        ))
    }

    fn wants_batch(&self, evicted_ms: i64, next_ms: i64) -> bool {
        self.plan.spec.forgets() && next_ms > evicted_ms
    }
}

impl PlanNode for StreamJoinExec {
    const NAME: &'static str = "StreamJoin";

    fn to_json(&self) -> Result<serde_json::Value> {
        codec::to_json(&Encoded {
            spec: self.plan.spec.clone(),
            widths: self.widths,
            has_left_only: self.plan.left.condition.is_some(),
            has_right_only: self.plan.right.condition.is_some(),
            condition: self.plan.condition.as_ref().map(|condition| condition.parts().1.to_vec()),
            output: Arc::clone(&self.plan.output.schema),
        })
    }

    fn expressions(&self) -> Vec<NodeExpression> {
        let condition = self.plan.condition.as_ref().map(|condition| condition.parts().0.clone());
        let sides = [self.plan.left.condition.clone(), self.plan.right.condition.clone()];
        sides.into_iter().chain([condition]).flatten().collect()
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        expressions: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = codec::from_json(json)?;
        let [left, right] = inputs else { return internal_err!("a join was given {} inputs", inputs.len()) };
        let mut expressions = expressions.into_iter();
        let mut next = |is_there: bool| match (is_there, is_there.then(|| expressions.next()).flatten()) {
            (true, None) => internal_err!("a join was sent without one of its conditions"),
            (_, expression) => Ok(expression),
        };
        let (left_only, right_only) = (next(encoded.has_left_only)?, next(encoded.has_right_only)?);
        let condition = next(encoded.condition.is_some())?.zip(encoded.condition);
        let condition = condition.map(|(expression, columns)| PairCondition::from_parts(expression, columns));
        let (left, right) = (Arc::clone(left), Arc::clone(right));
        Self::try_new(left, right, encoded.spec, encoded.widths, left_only, right_only, condition, encoded.output)
    }
}

impl DisplayAs for StreamJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let JoinSpec { operator, partitions, join_type, left, right, .. } = &self.plan.spec;
        let (left_schema, right_schema) = (self.left.schema(), self.right.schema());
        let keys = left.keys.iter().zip(&right.keys);
        let keys: Vec<String> = keys
            .map(|(l, r)| format!("{}@{l} = {}@{r}", left_schema.field(*l).name(), right_schema.field(*r).name()))
            .collect();
        write!(
            f,
            "StreamJoinExec: operator={operator}, {}, partitions={partitions}, on=[{}]",
            join_type.datafusion(),
            keys.join(", ")
        )?;
        for (side, name) in [(JoinSideOf::Left, "left"), (JoinSideOf::Right, "right")] {
            if let Some(condition) = &self.plan.side(side).condition {
                write!(f, ", {name}={}", condition.expr)?;
            }
        }
        if let Some(condition) = &self.plan.condition {
            write!(f, ", filter={condition}")?;
        }
        write!(f, ", left_expires={:?}, right_expires={:?}", left.expiry, right.expiry)
    }
}

impl ExecutionPlan for StreamJoinExec {
    fn name(&self) -> &str {
        "StreamJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expression in self.expressions() {
            if f(&expression.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.over(&children)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let right = self.right.execute(partition, Arc::clone(&context))?;
        let inputs = VecDeque::from([(JoinSideOf::Left, left), (JoinSideOf::Right, right)]);
        let running = Running::begin(Arc::clone(&self.plan), partition, inputs, context);
        let rows = stream::once(running).map(|running| match running {
            Ok(running) => stream::try_unfold(running, |mut running| async move {
                Ok(running.next().await?.map(|rows| (rows, running)))
            })
            .boxed(),
            Err(error) => stream::once(async move { Err(error) }).boxed(),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.flatten())))
    }
}
