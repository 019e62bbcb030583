//! A session with all connectors.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use millstream_connectors::memory::MemoryTables;
use millstream_engine::registry::Registry;
use millstream_sql::{ResultTables, StreamSession, StreamSessionBuilder};

/// Gives [`StreamSession`] its `builder()`: this is where session and connectors, which do not know each other, meet.
pub trait WithConnectors {
    /// Makes a session that has every connector of Millstream.
    fn builder() -> StreamSessionBuilder {
        Self::builder_with(|_| {})
    }

    /// Makes a session that has every connector of Millstream and those that `add` adds.
    fn builder_with(add: impl FnOnce(&mut Registry)) -> StreamSessionBuilder;
}

impl WithConnectors for StreamSession {
    fn builder_with(add: impl FnOnce(&mut Registry)) -> StreamSessionBuilder {
        let mut registry = Registry::new();
        let shared = millstream_connectors::register_all(&mut registry);
        add(&mut registry);
        StreamSessionBuilder::new().registry(registry).result_tables(Arc::new(MemoryResults(shared.tables)))
    }
}

/// The memory sink's tables, as the session reads them.
#[derive(Debug)]
struct MemoryResults(MemoryTables);

impl ResultTables for MemoryResults {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn get(&self, name: &str) -> Option<(SchemaRef, Vec<RecordBatch>)> {
        let table = self.0.get(name)?;
        Some((Arc::clone(table.schema()), table.rows()))
    }
}
