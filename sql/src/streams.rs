//! What SQL's stream clauses mean in this session: `STREAM t`, `WATERMARK`, `DISTINCT ON`, `window`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::{Column, DataFusionError, Result as DfResult, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::plan::has_streams;
use millstream_engine::source::SourceSpec;
use millstream_engine::{Error, Result};
use sqlparser::ast;

use crate::catalog::{Catalog, Entry, QueryStreams, Table};
use crate::dialect::{SqlQuery, StreamCatalog, TimeWindow};
use crate::hidden_columns;
use crate::session::StreamSession;

/// The session's streams as one query sees them.
#[derive(Debug)]
pub(crate) struct SessionStreams {
    catalog: Catalog,
    /// The columns of the tables that the query names, read as streams: asked for before planning, which does not wait.
    schemas: HashMap<String, Result<SchemaRef>>,
    streams: QueryStreams,
}

impl SessionStreams {
    /// Looks up what `query` may read as a stream.
    pub(crate) async fn of_query(session: &StreamSession, query: &SqlQuery) -> Self {
        let mut names = Vec::new();
        let _ = ast::visit_relations(query.ast.as_ref(), |name| {
            names.extend(name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()));
            std::ops::ControlFlow::<()>::Continue(())
        });
        let conf = session.conf();
        let mut schemas = HashMap::new();
        for name in names {
            if let Some(Entry::Table(table)) = session.catalog().get(&name)
                && session.registry().has_source(&table.connector)
            {
                schemas.insert(name, table.schema(session.registry(), &conf, true).await);
            }
        }
        Self { catalog: session.catalog().clone(), schemas, streams: QueryStreams::default() }
    }

    fn table_plan(&self, table: &Table, name: &TableReference, options: &[(String, String)]) -> Result<LogicalPlan> {
        let schema = match self.schemas.get(&table.name.to_lowercase()) {
            Some(schema) => schema.clone()?,
            None => {
                return Err(Error::unsupported(format!(
                    "the table {} of the {} connector cannot be read as a stream",
                    table.name, table.connector
                )));
            }
        };
        let mut all = table.options.clone();
        for (key, value) in options {
            all.set(key, value);
        }
        let options = self.catalog.conf().with_option_defaults(&table.connector, all);
        let spec = SourceSpec { connector: table.connector.clone(), options, schema };
        let source = provider_as_source(Arc::new(self.streams.stream(spec, self.catalog.registry())));
        Ok(hidden_columns::scan(name.clone(), source)?)
    }
}

impl StreamCatalog for SessionStreams {
    fn stream_plan(&self, name: &TableReference, options: &[(String, String)]) -> DfResult<LogicalPlan> {
        match self.catalog.get(name.table()) {
            Some(Entry::Table(table)) => Ok(self.table_plan(&table, name, options)?),
            Some(Entry::View { plan, .. }) if has_streams(&plan) && options.is_empty() => Ok(plan.as_ref().clone()),
            Some(Entry::View { name, .. }) if options.is_empty() => Err(Error::invalid(format!(
                "the view {name} reads no stream: write STREAM before the tables inside the view"
            ))
            .into()),
            Some(Entry::View { name, .. }) => {
                Err(Error::invalid(format!("the view {name} takes no options: give them to the tables inside it")).into())
            }
            None if self.catalog.result(name.table()).is_some() => Err(Error::unsupported(format!(
                "{name} is the result of a query, kept in memory, and cannot be read as a stream: write it to files instead"
            ))
            .into()),
            None => Err(self.catalog.not_found(name.table()).into()),
        }
    }

    fn watermark_plan(&self, _: LogicalPlan, column: &Column, _: i64) -> DfResult<LogicalPlan> {
        Err(DataFusionError::NotImplemented(format!(
            "WATERMARK {} is not supported yet: leave it out where nothing depends on it",
            column.name
        )))
    }

    fn deduplicate_plan(&self, _: LogicalPlan, _: Vec<Column>, _: bool) -> DfResult<LogicalPlan> {
        Err(DataFusionError::NotImplemented("DISTINCT ON is not supported yet".to_string()))
    }

    fn window_plan(&self, _: LogicalPlan, window: &TimeWindow) -> DfResult<LogicalPlan> {
        Err(DataFusionError::NotImplemented(format!("the column {} is not supported yet", window.name)))
    }
}
