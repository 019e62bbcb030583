//! `read_stream()` and `read()`: from a connector, its options and a schema to a [`DataFrame`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use millstream_engine::options::Options;
use millstream_engine::plan::{BatchTable, StreamTable};
use millstream_engine::source::SourceSpec;
use millstream_engine::{Error, Result};

use crate::catalog::Entry;
use crate::dataframe::DataFrame;
use crate::hidden_columns;
use crate::session::StreamSession;
use crate::streams::take_idle_timeout_ms;

/// The columns of a source: a DDL string (`"k STRING, v BIGINT"`) or an Arrow schema.
#[derive(Clone, Debug)]
pub enum SchemaArgument {
    /// `k STRING, v BIGINT`.
    Ddl(String),
    /// An Arrow schema with the types that SQL has.
    Arrow(SchemaRef),
}

impl From<&str> for SchemaArgument {
    fn from(ddl: &str) -> Self {
        Self::Ddl(ddl.to_string())
    }
}

impl From<String> for SchemaArgument {
    fn from(ddl: String) -> Self {
        Self::Ddl(ddl)
    }
}

impl From<SchemaRef> for SchemaArgument {
    fn from(schema: SchemaRef) -> Self {
        Self::Arrow(schema)
    }
}

impl SchemaArgument {
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        match self {
            Self::Arrow(schema) => Ok(Arc::clone(schema)),
            Self::Ddl(text) => parse_columns(text),
        }
    }
}

/// The columns of a DDL string.
pub(crate) fn parse_columns(text: &str) -> Result<SchemaRef> {
    millstream_formats::ddl::parse_schema(text).map_err(|e| Error::invalid(format!("the schema '{text}': {e}")))
}

/// What both readers know.
#[derive(Clone, Debug)]
struct Reader {
    session: StreamSession,
    format: Option<String>,
    schema: Option<SchemaArgument>,
    options: Options,
}

impl Reader {
    fn new(session: StreamSession) -> Self {
        Self { session, format: None, schema: None, options: Options::new() }
    }

    async fn load(mut self, path: Option<&str>, streaming: bool) -> Result<DataFrame> {
        if let Some(path) = path {
            self.options.set("path", path);
        }
        let conf = self.session.conf();
        let format = self.format.or_else(|| conf.get("spark.sql.sources.default")).unwrap_or_default().to_lowercase();
        let given = self.schema.map(|schema| schema.schema()).transpose()?;
        let registry = self.session.registry();
        let idle_timeout_ms = take_idle_timeout_ms(&mut self.options)?;
        self.options = conf.with_option_defaults(&format, self.options);
        let schema = registry.source(&format)?.schema(given, &self.options, streaming, conf.options()).await?;
        let spec = SourceSpec { connector: format.clone(), options: self.options, schema };
        let table: Arc<dyn TableProvider> = match streaming {
            true => Arc::new(StreamTable::new(spec, registry).with_idle_timeout_ms(idle_timeout_ms)),
            false => Arc::new(BatchTable::new(spec, Arc::clone(registry)).listed().await?),
        };
        // A name of its own, so that two loads can be joined.
        static LOADS: AtomicU64 = AtomicU64::new(1);
        let name = TableReference::bare(format!("{format}#{}", LOADS.fetch_add(1, Ordering::Relaxed)));
        let plan = hidden_columns::scan(name, provider_as_source(table))?;
        Ok(DataFrame::new(self.session, plan))
    }
}

/// The methods that both readers share.
macro_rules! reader_methods {
    ($streaming:literal) => {
        pub(crate) fn new(session: StreamSession) -> Self {
            Self(Reader::new(session))
        }

        /// The connector: `json`, `parquet`, `rate`, ….
        pub fn format(mut self, name: impl Into<String>) -> Self {
            self.0.format = Some(name.into());
            self
        }

        /// The columns, as a DDL string or an Arrow schema.
        pub fn schema(mut self, schema: impl Into<SchemaArgument>) -> Self {
            self.0.schema = Some(schema.into());
            self
        }

        /// Sets an option of the connector.
        pub fn option(mut self, name: impl Into<String>, value: impl ToString) -> Self {
            self.0.options.set(name, value.to_string());
            self
        }

        /// Sets options of the connector.
        pub fn options<N: Into<String>, V: ToString>(mut self, options: impl IntoIterator<Item = (N, V)>) -> Self {
            for (name, value) in options {
                self.0.options.set(name, value.to_string());
            }
            self
        }

        /// What is at `path`.
        ///
        /// # Errors
        /// `Invalid` for an unknown connector or option, a missing path, or a schema that is missing or does not fit.
        pub async fn load(self, path: &str) -> Result<DataFrame> {
            self.0.load(Some(path), $streaming).await
        }

        /// What the options describe, for connectors without a path.
        ///
        /// # Errors
        /// As [`load`](Self::load).
        pub async fn load_options(self) -> Result<DataFrame> {
            self.0.load(None, $streaming).await
        }

        /// Files of JSON lines below `path`.
        ///
        /// # Errors
        /// As [`load`](Self::load).
        pub async fn json(self, path: &str) -> Result<DataFrame> {
            self.format("json").load(path).await
        }

        /// CSV files below `path`.
        ///
        /// # Errors
        /// As [`load`](Self::load).
        pub async fn csv(self, path: &str) -> Result<DataFrame> {
            self.format("csv").load(path).await
        }

        /// Parquet files below `path`.
        ///
        /// # Errors
        /// As [`load`](Self::load).
        pub async fn parquet(self, path: &str) -> Result<DataFrame> {
            self.format("parquet").load(path).await
        }

        /// Text files below `path`: a column `value` with a line a row.
        ///
        /// # Errors
        /// As [`load`](Self::load).
        pub async fn text(self, path: &str) -> Result<DataFrame> {
            self.format("text").load(path).await
        }
    };
}

/// Reads a connector as a stream.
#[derive(Clone, Debug)]
pub struct DataStreamReader(Reader);

impl DataStreamReader {
    reader_methods!(true);

    /// A declared table as a stream, options set here over its own; or a view over a stream.
    ///
    /// # Errors
    /// `Invalid` where there is no such table, or it cannot be read as a stream.
    pub async fn table(self, name: &str) -> Result<DataFrame> {
        let Reader { session, options, .. } = self.0;
        let pairs: Vec<String> =
            options.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
        let with = if pairs.is_empty() { String::new() } else { format!(" WITH ({})", pairs.join(", ")) };
        session.sql(&format!("SELECT * FROM STREAM {}{with}", name_in_sql(name))).await
    }
}

/// Reads a connector as a batch.
#[derive(Clone, Debug)]
pub struct DataFrameReader(Reader);

impl DataFrameReader {
    reader_methods!(false);

    /// A declared table, a view, or the result that a query keeps in memory.
    ///
    /// # Errors
    /// `Invalid` where there is none of this name.
    pub async fn table(self, name: &str) -> Result<DataFrame> {
        let session = self.0.session;
        if let Some(Entry::View { plan, .. }) = session.catalog().get(name) {
            return Ok(DataFrame::new(session, plan.as_ref().clone()));
        }
        let sql = format!("SELECT * FROM {}", name_in_sql(name));
        Box::pin(session.sql(&sql)).await
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn name_in_sql(name: &str) -> String {
    name.split('.').map(|part| format!("`{}`", part.trim_matches('`').replace('`', "``"))).collect::<Vec<_>>().join(".")
}
