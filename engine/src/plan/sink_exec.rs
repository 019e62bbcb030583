//! The end of a plan whose sink writes in parallel: a writer per partition, and a commit message from each.
//!
//! State      none
//! Per batch  opens a writer at the first row of a partition, writes every row, finishes it
//! Output     a row for each writer: its commit message as JSON text, and how many rows it wrote
//! Bounded    by the writer

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::codec::{NodeExpression, PlanNode, one_input};
use crate::batch_context::{BatchContext, registry_of};
use crate::error::Error;
use crate::sink::{CommitMessage, SinkSpec, WriterTask};

/// The writers of a sink; see the file's header.
#[derive(Clone, Debug)]
pub struct SinkExec {
    input: Arc<dyn ExecutionPlan>,
    spec: SinkSpec,
    properties: Arc<PlanProperties>,
}

impl SinkExec {
    /// Writes the rows of `input` to the sink that `spec` tells of.
    pub fn new(input: Arc<dyn ExecutionPlan>, spec: SinkSpec) -> Self {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("message", DataType::Utf8, false),
            Field::new("rows", DataType::UInt64, false),
        ]));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, spec, properties: Arc::new(properties) }
    }

    /// The commit messages in the rows this node gives.
    pub(crate) fn messages(rows: &[RecordBatch]) -> crate::error::Result<Vec<CommitMessage>> {
        let mut messages = Vec::new();
        for batch in rows {
            let payloads = batch.column(0).as_any().downcast_ref::<StringArray>();
            let counts = batch.column(1).as_any().downcast_ref::<UInt64Array>();
            let (Some(payloads), Some(counts)) = (payloads, counts) else {
                return Err(Error::internal("the sink's writers gave something else than commit messages"));
            };
            for (payload, rows) in payloads.iter().zip(counts.values()) {
                let payload = serde_json::from_str(payload.unwrap_or("null"))
                    .map_err(|e| Error::internal(format!("a commit message is not JSON: {e}")))?;
                messages.push(CommitMessage { payload, rows: *rows });
            }
        }
        Ok(messages)
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.spec.clone()))
    }
}

async fn write_all(
    spec: SinkSpec,
    partition: usize,
    mut input: SendableRecordBatchStream,
    context: Arc<TaskContext>,
) -> crate::error::Result<Option<CommitMessage>> {
    let mut writer = None;
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        if writer.is_none() {
            let batch_context = BatchContext::of(&context)?;
            let task = WriterTask {
                partition,
                batch_id: batch_context.batch_id,
                attempt: batch_context.attempt,
                context: Arc::clone(&context),
            };
            writer = Some(registry_of(&context)?.sink(&spec.connector)?.writer(&spec, task)?);
        }
        if let Some(writer) = &mut writer {
            writer.write(batch).await?;
        }
    }
    match writer {
        Some(writer) => writer.finish().await.map(Some),
        None => Ok(None),
    }
}

impl PlanNode for SinkExec {
    const NAME: &'static str = "Sink";

    fn to_json(&self) -> Result<serde_json::Value> {
        super::codec::to_json(&self.spec)
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

impl DisplayAs for SinkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SinkExec: {}, mode={}", self.spec.connector, self.spec.output_mode)
    }
}

impl ExecutionPlan for SinkExec {
    one_input!();

    fn name(&self) -> &str {
        "SinkExec"
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let (schema, spec) = (self.schema(), self.spec.clone());
        let out_schema = Arc::clone(&schema);
        let messages = stream::once(async move {
            let Some(message) = write_all(spec, partition, input, context).await? else {
                return Ok(None);
            };
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from(vec![message.payload.to_string()])),
                Arc::new(UInt64Array::from(vec![message.rows])),
            ];
            Ok::<_, DataFusionError>(Some(RecordBatch::try_new(schema, columns)?))
        })
        .try_filter_map(|batch| async move { Ok(batch) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(out_schema, messages)))
    }
}
