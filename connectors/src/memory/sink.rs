//! The `memory` sink: a table named after the query. Append adds, update adds (as in Spark), complete replaces.
//!
//! The table dies with the process, so that only a complete-mode query, whose next batch has everything, can go on from
//! an old checkpoint.

use std::sync::Arc;

use async_trait::async_trait;
use millstream_engine::sink::{BatchRows, Delivery, OutputMode, Sink, SinkContext, SinkProvider, SinkSpec};
use millstream_engine::{Error, Result};

use super::table::{MemoryTable, MemoryTables};

/// `USING memory`, written.
#[derive(Debug)]
pub struct MemorySinkProvider {
    tables: MemoryTables,
}

impl MemorySinkProvider {
    /// Puts its tables into `tables`.
    pub fn new(tables: MemoryTables) -> Self {
        Self { tables }
    }
}

#[async_trait]
impl SinkProvider for MemorySinkProvider {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn may_use_temporary_checkpoint(&self) -> bool {
        true
    }

    fn check(&self, spec: &SinkSpec) -> Result<()> {
        spec.options.reader("memory sink").finish()?;
        table_name(spec).map(|_| ())
    }

    async fn open(&self, spec: &SinkSpec, cx: SinkContext) -> Result<Arc<dyn Sink>> {
        let name = table_name(spec)?;
        if cx.is_restart && spec.output_mode != OutputMode::Complete {
            return Err(Error::unsupported(format!(
                "memory sink: query {name} cannot go on from {}: its table was in an earlier process, and in {} mode only new rows would come; delete that checkpoint to start over, or use complete mode",
                cx.checkpoint.url(),
                spec.output_mode
            )));
        }
        let table = self.tables.create(name, Arc::clone(&spec.schema));
        Ok(Arc::new(MemorySink { table, mode: spec.output_mode }))
    }
}

fn table_name(spec: &SinkSpec) -> Result<&str> {
    spec.query_name
        .as_deref()
        .ok_or_else(|| Error::invalid("memory sink: the query needs a name, its table is called so: set queryName"))
}

#[derive(Debug)]
struct MemorySink {
    table: MemoryTable,
    mode: OutputMode,
}

#[async_trait]
impl Sink for MemorySink {
    fn description(&self) -> String {
        "MemorySink".to_string()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Rows
    }

    async fn accept(&self, batch: BatchRows) -> Result<()> {
        self.table.add(batch.batch_id, batch.into_rows(), self.mode);
        Ok(())
    }
}
