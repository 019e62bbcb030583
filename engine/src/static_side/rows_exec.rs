//! The rows of a table as they are: a scalar subquery's, say.
//!
//! State      the rows, in the query's [`StaticSides`]
//! Per batch  reads them if they are not kept, or have changed
//! Output     the input's rows, in order, in one partition
//! Bounded    by the rows, which are accounted for in the session's memory budget

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::stream;
use serde::{Deserialize, Serialize};

use super::kept::{ReadTable, StaticSides, fingerprint};
use crate::plan::codec::{NodeExpression, PlanNode, from_json, one_input, only_input, to_json};

/// The node; see the file's header.
#[derive(Clone, Debug)]
pub(crate) struct StaticRowsExec {
    /// Its number among the plan's nodes that keep a table.
    pub(crate) number: u32,
    /// What the table is called.
    pub(crate) name: String,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    number: u32,
    name: String,
}

impl StaticRowsExec {
    pub(crate) fn new(number: u32, name: String, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { number, name, input, properties: Arc::new(properties) }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(self.number, self.name.clone(), input))
    }
}

impl PlanNode for StaticRowsExec {
    const NAME: &'static str = "StaticRows";

    fn to_json(&self) -> Result<serde_json::Value> {
        to_json(&Encoded { number: self.number, name: self.name.clone() })
    }

    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = from_json(json)?;
        Ok(Self::new(encoded.number, encoded.name, only_input(inputs)?))
    }
}

impl DisplayAs for StaticRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "StaticRowsExec: table={}", self.name)
    }
}

impl ExecutionPlan for StaticRowsExec {
    one_input!();

    fn name(&self) -> &str {
        "StaticRowsExec"
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let sides = StaticSides::of(&context)?;
        let fingerprint = fingerprint(&self.input, &context)?;
        let number = self.number;
        let read = ReadTable {
            plan: Arc::clone(&self.input),
            name: self.name.clone(),
            keys: Vec::new(),
            null_equals_null: false,
            context,
        };
        let rows = async move { sides.side(number, fingerprint, read.read()).await.map(|side| side.rows.clone()) };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(rows))))
    }
}
