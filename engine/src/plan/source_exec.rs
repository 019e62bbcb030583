//! The scan of a connector's rows: of the splits of this batch, or of splits fixed in the plan.
//!
//! State      none; row counts in its metrics
//! Per batch  deals the batch's splits to its partitions, then reads each partition's splits one after the other
//! Output     the projected columns, in split order within a partition
//! Bounded    by the connector's reader: one batch of rows at a time

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, project_schema};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion_physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::codec::{NodeExpression, PlanNode};
use crate::batch_context::{BatchContext, registry_of};
use crate::source::{ReadRequest, SourceSpec, Split, StaticRefresh};

/// Where a scan finds its splits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SplitsFrom {
    /// In the [`BatchContext`], under this number: a stream.
    Batch(u32),
    /// In the plan itself: a table read as a batch.
    Plan(Vec<Split>),
    /// In the [`BatchContext`], under this number: a table beside a stream that is listed again while the query runs.
    Listed {
        /// Its number among such tables of the plan.
        table: u64,
        /// When it is listed.
        refresh: StaticRefresh,
    },
}

/// The scan; see the file's header.
#[derive(Clone, Debug)]
pub struct SourceExec {
    // Fixed by the plan.
    spec: SourceSpec,
    from: SplitsFrom,
    projection: Vec<usize>,
    /// What the query calls it.
    table: Option<String>,
    properties: Arc<PlanProperties>,
    // Measured.
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    spec: SourceSpec,
    from: SplitsFrom,
    projection: Vec<usize>,
    partitions: usize,
    table: Option<String>,
}

impl SourceExec {
    /// A scan of `projection` (all columns where it is `None`) in `partitions` partitions.
    pub fn try_new(
        spec: SourceSpec,
        from: SplitsFrom,
        projection: Option<Vec<usize>>,
        partitions: usize,
    ) -> Result<Self> {
        let projection = projection.unwrap_or_else(|| (0..spec.schema.fields().len()).collect());
        let schema = project_schema(&spec.schema, Some(&projection))?;
        // The columns of a stream keep their metadata; the schema's own would differ from scan to scan.
        let schema: SchemaRef = Arc::new(Schema::new(schema.fields().clone()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let (properties, metrics) = (Arc::new(properties), ExecutionPlanMetricsSet::new());
        Ok(Self { spec, from, projection, table: None, properties, metrics })
    }

    /// The same scan of what the query calls `table`.
    pub fn named(self, table: Option<String>) -> Self {
        Self { table, ..self }
    }

    /// The columns it reads, as indices into the stream's.
    pub(crate) fn projection(&self) -> &[usize] {
        &self.projection
    }

    /// The same scan of other columns.
    pub(crate) fn with_projection(&self, projection: Vec<usize>) -> Result<Self> {
        let scan = Self::try_new(self.spec.clone(), self.from.clone(), Some(projection), self.partitions())?;
        Ok(scan.named(self.table.clone()))
    }

    /// What the query calls it; connector and path where it has no name.
    pub fn table_name(&self) -> String {
        match (&self.table, self.spec.options.get("path")) {
            (Some(name), _) => name.clone(),
            (None, Some(path)) => format!("{}[{path}]", self.spec.connector),
            (None, None) => self.spec.connector.clone(),
        }
    }

    /// Where it finds its splits.
    pub fn splits_from(&self) -> &SplitsFrom {
        &self.from
    }

    /// The same scan of other splits.
    pub(crate) fn with_splits_from(&self, from: SplitsFrom) -> Self {
        Self { from, ..self.clone() }
    }

    /// The stream's number in the plan, for a stream.
    pub fn stream_number(&self) -> Option<u32> {
        match self.from {
            SplitsFrom::Batch(number) => Some(number),
            SplitsFrom::Plan(_) | SplitsFrom::Listed { .. } => None,
        }
    }

    /// What it scans.
    pub fn spec(&self) -> &SourceSpec {
        &self.spec
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    fn splits_of(&self, partition: usize, context: &TaskContext) -> Result<Vec<Split>> {
        Ok(match &self.from {
            SplitsFrom::Plan(splits) => deal(splits, partition, self.partitions()),
            SplitsFrom::Batch(number) => match BatchContext::of(context)?.splits.get(number) {
                Some(splits) => deal(splits, partition, self.partitions()),
                None => Vec::new(),
            },
            SplitsFrom::Listed { table, .. } => match BatchContext::of(context)?.static_tables.get(table) {
                Some(listing) => deal(&listing.splits, partition, self.partitions()),
                None => {
                    return datafusion_common::internal_err!("{} was not listed for this batch", self.table_name());
                }
            },
        })
    }
}

/// The splits of one partition: each split goes to the partition with the fewest bytes so far, the first of equals, so
/// that every attempt at a batch deals them alike.
fn deal(splits: &[Split], partition: usize, partitions: usize) -> Vec<Split> {
    let mut dealt_bytes = vec![0u64; partitions];
    let mut own = Vec::new();
    for split in splits {
        let least = (0..partitions).min_by_key(|p| dealt_bytes[*p]).unwrap_or(0);
        dealt_bytes[least] += split.size_bytes.max(1);
        if least == partition {
            own.push(split.clone());
        }
    }
    own
}

impl PlanNode for SourceExec {
    const NAME: &'static str = "Source";

    fn to_json(&self) -> Result<serde_json::Value> {
        let encoded = Encoded {
            spec: self.spec.clone(),
            from: self.from.clone(),
            projection: self.projection.clone(),
            partitions: self.partitions(),
            table: self.table.clone(),
        };
        super::codec::to_json(&encoded)
    }

    fn from_json(
        json: serde_json::Value,
        _: &[Arc<dyn ExecutionPlan>],
        _: Vec<NodeExpression>,
        _: &TaskContext,
    ) -> Result<Self> {
        let encoded: Encoded = super::codec::from_json(json)?;
        let scan = Self::try_new(encoded.spec, encoded.from, Some(encoded.projection), encoded.partitions)?;
        Ok(scan.named(encoded.table))
    }
}

impl DisplayAs for SourceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.from {
            SplitsFrom::Batch(number) => write!(f, "SourceExec: {}, stream={number}", self.spec.connector)?,
            SplitsFrom::Plan(splits) => write!(f, "SourceExec: {}, splits={}", self.spec.connector, splits.len())?,
            SplitsFrom::Listed { table, refresh } => {
                write!(f, "SourceExec: {}, table={table}, refresh={refresh:?}", self.spec.connector)?;
            }
        }
        let schema = self.schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, ", partitions={}, columns=[{}]", self.partitions(), columns.join(", "))
    }
}

impl ExecutionPlan for SourceExec {
    fn name(&self) -> &str {
        "SourceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// Fresh metrics: what one batch read is told from what the others read.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let splits = self.splits_of(partition, &context)?;
        let schema = self.schema();
        if splits.is_empty() {
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::empty())));
        }
        let registry = registry_of(&context)?;
        let provider = Arc::clone(registry.source(&self.spec.connector)?);
        let (spec, projection) = (self.spec.clone(), self.projection.clone());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = stream::iter(splits)
            .map(move |split| {
                let request = ReadRequest { split, projection: projection.clone(), context: Arc::clone(&context) };
                Ok::<_, datafusion_common::DataFusionError>(provider.read(&spec, request)?)
            })
            .try_flatten()
            .inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_dealt_evenly_by_size_and_each_once() {
        let sizes = [100, 1, 1, 50, 50, 0];
        let splits: Vec<Split> =
            sizes.iter().enumerate().map(|(i, size)| Split { descriptor: i.into(), size_bytes: *size }).collect();
        let dealt: Vec<Vec<u64>> = (0..2)
            .map(|p| deal(&splits, p, 2).iter().map(|s| s.descriptor.as_u64().expect("a number")).collect())
            .collect();
        assert_eq!(dealt, [vec![0, 5], vec![1, 2, 3, 4]]);
    }
}
