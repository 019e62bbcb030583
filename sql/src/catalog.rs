//! What names mean in a session: declared tables of connectors, views, results of queries. Names are found in any case.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemTable, SchemaProvider, Session, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use millstream_engine::options::{Options, nearest};
use millstream_engine::plan::{BatchTable, StreamTable};
use millstream_engine::registry::Registry;
use millstream_engine::source::SourceSpec;
use millstream_engine::{Error, Result};

use crate::conf::Conf;
use crate::streams::take_idle_timeout_ms;

/// The one catalog.
pub(crate) const CATALOG: &str = "spark_catalog";
/// Its one schema.
pub(crate) const SCHEMA: &str = "default";

/// Tables that queries write into memory, read while they run. The connectors' memory sink has them; the session is given
/// the way to them by [`StreamSessionBuilder::result_tables`](crate::StreamSessionBuilder::result_tables).
pub trait ResultTables: std::fmt::Debug + Send + Sync {
    /// The names of all tables.
    fn names(&self) -> Vec<String>;

    /// The columns of the table called `name` in any case, and its rows: whole batches only.
    fn get(&self, name: &str) -> Option<(SchemaRef, Vec<RecordBatch>)>;
}

/// A declared table of a connector.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// As declared.
    pub(crate) name: String,
    /// The connector's name, lower case.
    pub(crate) connector: String,
    /// Options of the connector.
    pub(crate) options: Options,
    /// Options of the writer: `checkpointLocation` and so on.
    pub(crate) writer_options: Options,
    /// The columns, where they are declared.
    pub(crate) columns: Option<SchemaRef>,
    /// `PARTITIONED BY`.
    pub(crate) partition_by: Vec<String>,
    /// Whether it is there because a query writes it.
    pub(crate) is_result: bool,
    /// The rows, for a table of the memory connector.
    pub(crate) rows: Option<Arc<Mutex<Vec<RecordBatch>>>>,
}

impl Table {
    /// The columns of the table read as a stream, or as a batch.
    pub(crate) async fn schema(&self, registry: &Registry, conf: &Conf, streaming: bool) -> Result<SchemaRef> {
        let provider = registry.source(&self.connector)?;
        let options = self.source_options(conf)?;
        let schema = provider.schema(self.columns.clone(), &options, streaming, conf.options()).await;
        schema.map_err(|e| Error::new(e.kind(), format!("table {}: {}", self.name, e.message())))
    }
}

impl Table {
    /// The options of its connector, read as a table.
    fn source_options(&self, conf: &Conf) -> Result<Options> {
        let mut options = self.options.clone();
        take_idle_timeout_ms(&mut options)?;
        Ok(conf.with_option_defaults(&self.connector, options))
    }
}

/// A name's meaning.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Table(Arc<Table>),
    View { name: String, plan: Arc<LogicalPlan>, text: String, is_temporary: bool },
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View { name, .. } => name,
        }
    }
}

/// The names of a session. Clones are the same names.
#[derive(Clone, Debug)]
pub(crate) struct Catalog(Arc<Names>);

#[derive(Debug)]
struct Names {
    entries: RwLock<BTreeMap<String, Entry>>,
    registry: Arc<Registry>,
    results: Option<Arc<dyn ResultTables>>,
    conf: Arc<RwLock<Conf>>,
}

impl Catalog {
    pub(crate) fn new(
        registry: Arc<Registry>,
        results: Option<Arc<dyn ResultTables>>,
        conf: Arc<RwLock<Conf>>,
    ) -> Self {
        Self(Arc::new(Names { entries: RwLock::default(), registry, results, conf }))
    }

    /// The meaning of `name`, in any case.
    pub(crate) fn get(&self, name: &str) -> Option<Entry> {
        self.read().get(&name.to_lowercase()).cloned()
    }

    /// The table called `name`.
    ///
    /// # Errors
    /// `Invalid` where there is none, or a view.
    pub(crate) fn table(&self, name: &str) -> Result<Arc<Table>> {
        match self.get(name) {
            Some(Entry::Table(table)) => Ok(table),
            Some(Entry::View { name, .. }) => Err(Error::invalid(format!("{name} is a view, not a table"))),
            None => Err(self.not_found(name)),
        }
    }

    /// Gives `entry.name()` its meaning; what it meant before is returned.
    pub(crate) fn put(&self, entry: Entry) -> Option<Entry> {
        let key = entry.name().to_lowercase();
        self.0.entries.write().unwrap_or_else(PoisonError::into_inner).insert(key, entry)
    }

    /// Takes a name's meaning away.
    pub(crate) fn remove(&self, name: &str) -> Option<Entry> {
        self.0.entries.write().unwrap_or_else(PoisonError::into_inner).remove(&name.to_lowercase())
    }

    /// Everything that is declared, by name.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.read().values().cloned().collect()
    }

    /// The result of the query called `name`, where it is kept in memory.
    pub(crate) fn result(&self, name: &str) -> Option<(SchemaRef, Vec<RecordBatch>)> {
        self.0.results.as_ref()?.get(name)
    }

    /// The names of results that are kept in memory.
    pub(crate) fn result_names(&self) -> Vec<String> {
        self.0.results.as_ref().map(|results| results.names()).unwrap_or_default()
    }

    /// The error that there is no `name`, with the nearest name that there is.
    pub(crate) fn not_found(&self, name: &str) -> Error {
        let names = self.table_names();
        let hint = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("; did you mean {near}?"),
            None => ": declare it with CREATE TABLE or CREATE VIEW".to_string(),
        };
        Error::invalid(format!("[TABLE_OR_VIEW_NOT_FOUND] The table or view `{name}` cannot be found{hint}"))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.0.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn conf(&self) -> Conf {
        self.0.conf.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl SchemaProvider for Catalog {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.read().values().map(|entry| entry.name().to_string()).collect();
        let results = self.result_names().into_iter();
        let unknown: Vec<String> =
            results.filter(|name| !names.iter().any(|known| known.eq_ignore_ascii_case(name))).collect();
        names.extend(unknown);
        names
    }

    fn table_exist(&self, name: &str) -> bool {
        self.get(name).is_some() || self.result(name).is_some()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let table: Arc<dyn TableProvider> = match self.get(name) {
            Some(Entry::View { plan, text, .. }) => Arc::new(ViewTable::new(plan.as_ref().clone(), Some(text))),
            Some(Entry::Table(table)) if table.rows.is_some() => Arc::new(RowsTable::declared(self.clone(), table)?),
            Some(Entry::Table(table)) => {
                let conf = self.conf();
                let schema = table.schema(&self.0.registry, &conf, false).await?;
                let options = table.source_options(&conf)?;
                let spec = SourceSpec { connector: table.connector.clone(), options, schema };
                Arc::new(BatchTable::new(spec, Arc::clone(&self.0.registry)).named(table.name.clone()))
            }
            None => match self.result(name) {
                Some((schema, _)) => Arc::new(RowsTable { catalog: self.clone(), name: name.to_string(), schema }),
                None => return Ok(None),
            },
        };
        Ok(Some(table))
    }
}

/// A table whose rows are in memory: what was inserted, and what a query has written so far.
#[derive(Debug)]
struct RowsTable {
    catalog: Catalog,
    name: String,
    schema: SchemaRef,
}

impl RowsTable {
    fn declared(catalog: Catalog, table: Arc<Table>) -> Result<Self> {
        let result = catalog.result(&table.name).map(|(schema, _)| schema);
        let schema = table.columns.clone().or(result).ok_or_else(|| {
            Error::invalid(format!(
                "table {} has no columns yet: declare them, or let a query write into it",
                table.name
            ))
        })?;
        Ok(Self { catalog, name: table.name.clone(), schema })
    }

    fn rows(&self) -> Vec<RecordBatch> {
        let mut rows = match self.catalog.get(&self.name) {
            Some(Entry::Table(table)) => table
                .rows
                .as_ref()
                .map(|rows| rows.lock().unwrap_or_else(PoisonError::into_inner).clone())
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        rows.extend(self.catalog.result(&self.name).map(|(_, rows)| rows).unwrap_or_default());
        rows
    }
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let rows = self.rows().into_iter().map(|rows| rows.with_schema(Arc::clone(&self.schema)));
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(|e| {
            DataFusionError::from(Error::invalid(format!("the columns of table {} have changed: {e}", self.name)))
        })?;
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![rows])?;
        table.scan(session, projection, filters, limit).await
    }
}

/// The list of the one catalog of the one schema, as DataFusion wants it.
#[derive(Debug)]
pub(crate) struct Catalogs(pub(crate) Catalog);

impl CatalogProviderList for Catalogs {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_string()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        name.eq_ignore_ascii_case(CATALOG).then(|| Arc::new(Self(self.0.clone())) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for Catalogs {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_string()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        name.eq_ignore_ascii_case(SCHEMA).then(|| Arc::new(self.0.clone()) as Arc<dyn SchemaProvider>)
    }
}

/// The streams of one query: `STREAM t` twice is one stream, read once.
#[derive(Debug, Default)]
pub(crate) struct QueryStreams(Mutex<Vec<StreamTable>>);

impl QueryStreams {
    /// The stream that `spec` tells of.
    pub(crate) fn stream(&self, spec: SourceSpec, idle_timeout_ms: Option<u64>, registry: &Registry) -> StreamTable {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |stream: &&StreamTable| *stream.spec() == spec && stream.idle_timeout_ms() == idle_timeout_ms;
        if let Some(known) = streams.iter().find(is_same) {
            return known.clone();
        }
        let stream = StreamTable::new(spec, registry).with_idle_timeout_ms(idle_timeout_ms);
        streams.push(stream.clone());
        stream
    }
}
