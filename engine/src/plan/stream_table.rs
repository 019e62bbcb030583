//! Tables of connectors as DataFusion sees them: a [`StreamTable`] where a query says `STREAM t`, a [`BatchTable`]
//! without.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_common::Result;
use datafusion_expr::{Expr, TableType};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_session::{Session, TableProvider};

use super::physical::plans_streams;
use super::source_exec::{SourceExec, SplitsFrom};
use crate::registry::Registry;
use crate::source::{SourceSpec, Split, StaticRefresh};

/// A stream. Two scans of one `StreamTable` are one source, with one line in the offset log: that is what its `id` tells.
#[derive(Clone, Debug)]
pub struct StreamTable {
    id: u64,
    number: Option<u32>,
    spec: SourceSpec,
    /// What can be scanned: the stream's columns, then the hidden ones.
    columns: SchemaRef,
    idle_timeout_ms: Option<u64>,
    /// Whether it is read in one partition, in the order of its splits.
    in_order: bool,
}

impl StreamTable {
    /// A stream of its own, different from every other, its connector found in `registry`.
    pub fn new(spec: SourceSpec, registry: &Registry) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let columns = all_columns(&spec, registry);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            number: None,
            spec,
            columns,
            idle_timeout_ms: None,
            in_order: false,
        }
    }

    /// The same stream, which no longer holds a watermark back when it has given no row for `timeout_ms`.
    pub fn with_idle_timeout_ms(self, timeout_ms: Option<u64>) -> Self {
        Self { idle_timeout_ms: timeout_ms, ..self }
    }

    /// After how many milliseconds without a row it no longer holds a watermark back; never, when `None`.
    pub fn idle_timeout_ms(&self) -> Option<u64> {
        self.idle_timeout_ms
    }

    /// What it is. Its schema has the columns that are not hidden.
    pub fn spec(&self) -> &SourceSpec {
        &self.spec
    }

    /// Tells scans of the same stream from scans of others.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The same stream as number `number` of a plan.
    pub(super) fn numbered(&self, number: u32, in_order: bool) -> Self {
        Self { number: Some(number), in_order, ..self.clone() }
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
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
        let partitions = if self.in_order { 1 } else { session.config().target_partitions() };
        let spec = read_with(&self.spec, &self.columns, projection);
        Ok(Arc::new(SourceExec::try_new(spec, SplitsFrom::Batch(number), projection.cloned(), partitions)?))
    }
}

/// A connector's table read as a batch. For files, the listing is made when the table is scanned by a plan, or before, by
/// [`BatchTable::listed`]; beside a stream again as [`StaticRefresh`] says.
#[derive(Clone, Debug)]
pub struct BatchTable {
    id: u64,
    name: Option<String>,
    spec: SourceSpec,
    registry: Arc<Registry>,
    /// What can be scanned: the table's columns, then the hidden ones.
    columns: SchemaRef,
    /// What it consists of, where that is settled.
    listed: Option<Vec<Split>>,
}

impl BatchTable {
    /// The table that `spec` tells of, its connector found in `registry`.
    pub fn new(spec: SourceSpec, registry: Arc<Registry>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let columns = all_columns(&spec, &registry);
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), name: None, spec, registry, columns, listed: None }
    }

    /// The same table, called `name` in plans and progress.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The same table as it is now, where its connector says so ([`SourceProvider::is_listed_when_read`]). Fails where the
    /// connector cannot list it.
    ///
    /// [`SourceProvider::is_listed_when_read`]: crate::source::SourceProvider::is_listed_when_read
    pub async fn listed(self) -> Result<Self> {
        let connector = self.registry.source(&self.spec.connector)?;
        let refresh = connector.static_refresh(&self.spec)?;
        let listed = match refresh {
            StaticRefresh::Never if connector.is_listed_when_read() => Some(connector.batch_splits(&self.spec).await?),
            _ => None,
        };
        Ok(Self { listed, ..self })
    }

    /// What it is. Its schema has the columns that are not hidden.
    pub fn spec(&self) -> &SourceSpec {
        &self.spec
    }
}

#[async_trait]
impl TableProvider for BatchTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
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
                let splits = match &self.listed {
                    Some(splits) => splits.clone(),
                    None => connector.batch_splits(&self.spec).await?,
                };
                let partitions = target_partitions.min(splits.len()).max(1);
                (SplitsFrom::Plan(splits), partitions)
            }
        };
        let scan = SourceExec::try_new(
            read_with(&self.spec, &self.columns, projection),
            from,
            projection.cloned(),
            partitions,
        )?;
        Ok(Arc::new(scan.named(self.name.clone())))
    }
}

/// The columns of a stream and then those that are hidden, but for names that the stream has itself.
fn all_columns(spec: &SourceSpec, registry: &Registry) -> SchemaRef {
    let schema = &spec.schema;
    let mut hidden = registry.source(&spec.connector).map(|source| source.hidden_columns()).unwrap_or_default();
    hidden.retain(|hidden| !schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(hidden.name())));
    if hidden.is_empty() {
        return Arc::clone(schema);
    }
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain(hidden).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// What a scan reads: with the hidden columns only where it asks for one.
fn read_with(spec: &SourceSpec, columns: &SchemaRef, projection: Option<&Vec<usize>>) -> SourceSpec {
    let shown = spec.schema.fields().len();
    let asks = projection.map_or(columns.fields().len() > shown, |wanted| wanted.iter().any(|at| *at >= shown));
    if asks { spec.with_hidden_columns(&columns.fields()[shown..]) } else { spec.clone() }
}

/// The table's hidden columns, by their places in its schema; empty for tables of other kinds.
pub fn hidden_columns(table: &dyn TableProvider) -> std::ops::Range<usize> {
    let shown = match (table.downcast_ref::<StreamTable>(), table.downcast_ref::<BatchTable>()) {
        (Some(stream), _) => stream.spec.schema.fields().len(),
        (None, Some(batch)) => batch.spec.schema.fields().len(),
        (None, None) => return 0..0,
    };
    shown..table.schema().fields().len()
}
