//! Tables of connectors as DataFusion sees them: a [`StreamTable`] where a query says `STREAM t`, a [`BatchTable`]
//! without.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_common::Result;
use datafusion_expr::{Expr, TableType};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_session::{Session, TableProvider};

use super::physical::plans_streams;
use super::source_exec::{SourceExec, SplitsFrom};
use crate::registry::Registry;
use crate::source::{SourceSpec, StaticRefresh};

/// A stream. Two scans of one `StreamTable` are one source, with one line in the offset log: that is what its `id` tells.
#[derive(Clone, Debug)]
pub struct StreamTable {
    id: u64,
    number: Option<u32>,
    spec: SourceSpec,
}

impl StreamTable {
    /// A stream of its own, different from every other.
    pub fn new(spec: SourceSpec) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), number: None, spec }
    }

    /// What it is.
    pub fn spec(&self) -> &SourceSpec {
        &self.spec
    }

    /// Tells scans of the same stream from scans of others.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The same stream as number `number` of a plan.
    pub(super) fn numbered(&self, number: u32) -> Self {
        Self { number: Some(number), ..self.clone() }
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.spec.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(number) = self.number else {
            return datafusion_common::plan_err!(
                "Queries with streaming sources must be executed with writeStream.start(), CREATE STREAMING TABLE or INSERT INTO"
            );
        };
        let partitions = session.config().target_partitions();
        let exec = SourceExec::try_new(self.spec.clone(), SplitsFrom::Batch(number), projection.cloned(), partitions)?;
        Ok(Arc::new(exec))
    }
}

/// A connector's table read as a batch. For files, the listing is made when the table is scanned by a plan; beside a
/// stream again as [`StaticRefresh`] says.
#[derive(Clone, Debug)]
pub struct BatchTable {
    id: u64,
    name: Option<String>,
    spec: SourceSpec,
    registry: Arc<Registry>,
}

impl BatchTable {
    /// The table that `spec` tells of, its connector found in `registry`.
    pub fn new(spec: SourceSpec, registry: Arc<Registry>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), name: None, spec, registry }
    }

    /// The same table, called `name` in plans and progress.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// What it is.
    pub fn spec(&self) -> &SourceSpec {
        &self.spec
    }
}

#[async_trait]
impl TableProvider for BatchTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.spec.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let connector = self.registry.source(&self.spec.connector)?;
        let refresh = connector.static_refresh(&self.spec)?;
        let target_partitions = session.config().target_partitions();
        let (from, partitions) = match refresh {
            StaticRefresh::EveryBatch | StaticRefresh::Interval { .. } if plans_streams(session) => {
                (SplitsFrom::Listed { table: self.id, refresh }, target_partitions)
            }
            _ => {
                let splits = connector.batch_splits(&self.spec).await?;
                let partitions = target_partitions.min(splits.len()).max(1);
                (SplitsFrom::Plan(splits), partitions)
            }
        };
        let scan = SourceExec::try_new(self.spec.clone(), from, projection.cloned(), partitions)?;
        Ok(Arc::new(scan.named(self.name.clone())))
    }
}
