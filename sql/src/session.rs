//! The session: what users hold. It owns the configuration, the names, the connectors, the queries and what plans them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use datafusion::catalog::CatalogProviderList;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::clock::{Clock, SystemClock};
use millstream_engine::manager::StreamingQueryManager;
use millstream_engine::options::did_you_mean;
use millstream_engine::query::{Environment, StreamingQuery};
use millstream_engine::registry::Registry;
use millstream_engine::{Error, Result};

use crate::catalog::{Catalog, Catalogs, Entry, ResultTables};
use crate::conf::Conf;
use crate::dataframe::DataFrame;
use crate::dialect::{self, ParsedStatement, SqlQuery};
use crate::planning::{self, Planning};
use crate::reader::{DataFrameReader, DataStreamReader};
use crate::statements::{self, Outcome};
use crate::streams::SessionStreams;

/// Streaming and batch queries over tables, from Rust and from SQL. Clones are the same session.
#[derive(Clone, Debug)]
pub struct StreamSession(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app_name: String,
    registry: Arc<Registry>,
    manager: StreamingQueryManager,
    clock: Arc<dyn Clock>,
    conf: Arc<RwLock<Conf>>,
    catalog: Catalog,
    catalogs: Arc<dyn CatalogProviderList>,
    runtime: OnceLock<Arc<RuntimeEnv>>,
    /// The newest run of every query that has been started here, by its label in lower case.
    started: Mutex<BTreeMap<String, Arc<StreamingQuery>>>,
    /// What plans are made with; none after the configuration has changed.
    planning: RwLock<Option<Arc<Planning>>>,
}

/// Makes a [`StreamSession`].
#[derive(Debug)]
pub struct StreamSessionBuilder {
    app_name: String,
    conf: Vec<(String, String)>,
    registry: Registry,
    results: Option<Arc<dyn ResultTables>>,
    clock: Arc<dyn Clock>,
}

impl Default for StreamSessionBuilder {
    fn default() -> Self {
        Self {
            app_name: "millstream".to_string(),
            conf: Vec::new(),
            registry: Registry::new(),
            results: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl StreamSessionBuilder {
    /// Without connectors; the package `millstream` gives one that has them all.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the session is called in logs.
    pub fn app_name(mut self, name: impl Into<String>) -> Self {
        self.app_name = name.into();
        self
    }

    /// Sets a configuration key; checked by [`build`](Self::build).
    pub fn config(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.conf.push((key.into(), value.to_string()));
        self
    }

    /// The memory budget in bytes: `millstream.memory.limit`.
    pub fn memory_limit(self, bytes: usize) -> Self {
        self.config("millstream.memory.limit", bytes)
    }

    /// The connectors.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// The tables that the memory sink among the connectors writes.
    pub fn result_tables(mut self, results: Arc<dyn ResultTables>) -> Self {
        self.results = Some(results);
        self
    }

    /// Where queries take their time from; the machine's clock by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The session.
    ///
    /// # Errors
    /// `Invalid` for an unknown configuration key or a value that does not fit.
    pub async fn build(self) -> Result<StreamSession> {
        let mut conf = Conf::default();
        for (key, value) in &self.conf {
            conf.set(key, value)?;
        }
        let conf = Arc::new(RwLock::new(conf));
        let registry = Arc::new(self.registry);
        let catalog = Catalog::new(Arc::clone(&registry), self.results, Arc::clone(&conf));
        Ok(StreamSession(Arc::new(Inner {
            app_name: self.app_name,
            registry,
            manager: StreamingQueryManager::new(),
            clock: self.clock,
            conf,
            catalogs: Arc::new(Catalogs(catalog.clone())),
            catalog,
            runtime: OnceLock::new(),
            started: Mutex::default(),
            planning: RwLock::new(None),
        })))
    }
}

impl StreamSession {
    /// What the session is called.
    pub fn app_name(&self) -> &str {
        &self.0.app_name
    }

    /// Reads a stream: `session.read_stream().format("json").schema("k STRING").load("in").await?`.
    pub fn read_stream(&self) -> DataStreamReader {
        DataStreamReader::new(self.clone())
    }

    /// Reads a batch: `session.read().parquet("dim").await?`.
    pub fn read(&self) -> DataFrameReader {
        DataFrameReader::new(self.clone())
    }

    /// A table or view by its name, read as a batch (a view over a stream stays a stream).
    ///
    /// # Errors
    /// `Invalid` where there is none of this name.
    pub async fn table(&self, name: &str) -> Result<DataFrame> {
        self.read().table(name).await
    }

    /// Runs SQL. The last statement's rows are the result: those of a `SELECT` as a plan that has not run yet, over
    /// streams too; those of `SHOW …` and the like as they are. Statements without rows give a frame without columns.
    ///
    /// # Errors
    /// The first statement's that fails; the statements before it have taken effect.
    pub async fn sql(&self, text: &str) -> Result<DataFrame> {
        let mut last = Outcome::Done;
        for statement in self.parse(text)? {
            last = self.execute(&statement).await?;
        }
        statements::outcome_frame(self, last)
    }

    /// The statements of `text`.
    ///
    /// # Errors
    /// `Invalid` with the place of the first mistake.
    pub fn parse(&self, text: &str) -> Result<Vec<ParsedStatement>> {
        dialect::parse_script(text).map_err(|e| Error::invalid(e.to_string()).with_source(e))
    }

    /// Executes one statement.
    ///
    /// # Errors
    /// What is wrong with it, or what went wrong.
    pub async fn execute(&self, statement: &ParsedStatement) -> Result<Outcome> {
        statements::execute(self, &statement.statement).await
    }

    /// The session's streaming queries.
    pub fn streams(&self) -> &StreamingQueryManager {
        &self.0.manager
    }

    /// A copy of the configuration.
    pub fn conf(&self) -> Conf {
        self.0.conf.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets a configuration key, for what is planned from now on; queries that run keep what they were started with.
    ///
    /// # Errors
    /// `Invalid` for an unknown key, a value that does not fit, or a key that is fixed by now.
    pub fn set_conf(&self, key: &str, value: &str) -> Result<()> {
        self.change_conf(Some(key), |conf| conf.set(key, value))
    }

    /// Gives a configuration key its default again; all keys where none is named.
    ///
    /// # Errors
    /// `Invalid` for an unknown key.
    pub fn reset_conf(&self, key: Option<&str>) -> Result<()> {
        self.change_conf(key, |conf| match key {
            Some(key) => conf.reset(key),
            None => {
                conf.reset_all();
                Ok(())
            }
        })
    }

    fn change_conf(&self, key: Option<&str>, change: impl FnOnce(&mut Conf) -> Result<()>) -> Result<()> {
        let fixed = "millstream.memory.limit";
        if key.is_some_and(|key| key.eq_ignore_ascii_case(fixed)) && self.0.runtime.get().is_some() {
            return Err(Error::invalid(format!(
                "configuration '{fixed}' is fixed once a query has been planned: set it before, or when the session is made"
            )));
        }
        change(&mut self.0.conf.write().unwrap_or_else(PoisonError::into_inner))?;
        *self.0.planning.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The plan of a parsed query: analysed, neither optimised nor run.
    pub(crate) async fn plan(&self, query: &SqlQuery) -> Result<LogicalPlan> {
        let planning = self.planning()?;
        let streams = SessionStreams::of_query(self, query).await;
        Ok(dialect::plan_query(&planning.batch, &streams, query).await?)
    }

    /// What batch queries are planned and run with, their clock started now.
    pub(crate) fn batch_state(&self) -> Result<SessionState> {
        let mut state = self.planning()?.batch.clone();
        state.mark_start_execution();
        Ok(state)
    }

    pub(crate) fn planning(&self) -> Result<Arc<Planning>> {
        if let Some(planning) = self.0.planning.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Ok(Arc::clone(planning));
        }
        let conf = self.conf();
        let runtime = match self.0.runtime.get() {
            Some(runtime) => runtime,
            None => {
                let made = planning::runtime(&conf)?;
                self.0.runtime.get_or_init(|| made)
            }
        };
        let planning = Arc::new(Planning::new(&conf, &self.0.registry, runtime, &self.0.catalogs));
        *self.0.planning.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&planning));
        Ok(planning)
    }

    /// Remembers a query that has been started.
    pub(crate) fn remember(&self, query: &Arc<StreamingQuery>) {
        let mut started = self.0.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.insert(query.label().to_lowercase(), Arc::clone(query));
    }

    /// The newest run of the query called `name`, which may have ended.
    pub(crate) fn started(&self, name: &str) -> Result<Arc<StreamingQuery>> {
        let started = self.0.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.get(&name.to_lowercase()).cloned().ok_or_else(|| {
            Error::invalid(format!(
                "no query {name} has been started{}",
                did_you_mean(name, started.keys().map(String::as_str))
            ))
        })
    }

    /// What queries run in.
    pub(crate) fn environment(&self) -> Environment {
        Environment {
            registry: Arc::clone(&self.0.registry),
            manager: self.0.manager.clone(),
            clock: Arc::clone(&self.0.clock),
        }
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Names a plan.
    ///
    /// # Errors
    /// `Invalid` where the name is a table's.
    pub(crate) fn put_view(&self, name: &str, plan: LogicalPlan, text: &str, is_temporary: bool) -> Result<()> {
        if let Some(Entry::Table(table)) = self.catalog().get(name) {
            return Err(Error::invalid(format!("{} is a table: choose another name for the view", table.name)));
        }
        let (name, text) = (name.to_string(), text.to_string());
        self.catalog().put(Entry::View { name, plan: Arc::new(plan), text, is_temporary });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
