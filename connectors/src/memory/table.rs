//! The table that a memory sink writes: batches as a whole, read while the query runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use millstream_engine::sink::OutputMode;

/// The largest piece that folding makes.
const FOLDED_ROWS: usize = 65_536;

/// The tables of one session's memory sinks, by query name in any case. Clones are the same tables.
#[derive(Clone, Debug, Default)]
pub struct MemoryTables(Arc<Mutex<BTreeMap<String, MemoryTable>>>);

impl MemoryTables {
    /// The table of the query called `name`.
    pub fn get(&self, name: &str) -> Option<MemoryTable> {
        self.lock().get(&name.to_lowercase()).cloned()
    }

    /// The names of all tables, lower case, sorted.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Makes an empty table; one of the same name is replaced, and whoever holds it keeps what was in it.
    pub(crate) fn create(&self, name: &str, schema: SchemaRef) -> MemoryTable {
        let table = MemoryTable { schema, content: Arc::default() };
        self.lock().insert(name.to_lowercase(), table.clone());
        table
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, MemoryTable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a query so far. Clones are the same table.
#[derive(Clone, Debug)]
pub struct MemoryTable {
    schema: SchemaRef,
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    rows: Vec<RecordBatch>,
    latest_batch: Option<u64>,
}

impl MemoryTable {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows of all batches up to some batch, oldest first: never half of one.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.lock().rows.clone()
    }

    /// The newest batch in it.
    pub fn latest_batch(&self) -> Option<u64> {
        self.lock().latest_batch
    }

    /// Adds a batch, or in complete mode puts it in place of all before. A batch that is here already has no effect.
    pub(crate) fn add(&self, batch_id: u64, rows: Vec<RecordBatch>, mode: OutputMode) {
        let rows: Vec<RecordBatch> = rows.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        let mut content = self.lock();
        if content.latest_batch.is_some_and(|latest| latest >= batch_id) {
            return;
        }
        match mode {
            OutputMode::Complete => content.rows = rows,
            OutputMode::Append | OutputMode::Update => content.append(&self.schema, rows),
        }
        content.latest_batch = Some(batch_id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// Appends, and folds small neighbours of like size into one: many tiny batches leave few pieces to read.
    fn append(&mut self, schema: &SchemaRef, rows: Vec<RecordBatch>) {
        for batch in rows {
            self.rows.push(batch);
            while let [.., before, last] = self.rows.as_slice()
                && before.num_rows() <= 2 * last.num_rows()
                && before.num_rows() + last.num_rows() <= FOLDED_ROWS
                && let Ok(folded) = concat_batches(schema, [before, last])
            {
                self.rows.truncate(self.rows.len() - 2);
                self.rows.push(folded);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, cast::AsArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    fn values(table: &MemoryTable) -> Vec<i64> {
        table.rows().iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn modes_replays_and_names() -> Result<(), arrow::error::ArrowError> {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let batch =
            |values: Vec<i64>| RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values))]);
        let tables = MemoryTables::default();
        let table = tables.create("Views", Arc::clone(&schema));
        for id in 0..1000u64 {
            let rows = batch(vec![id as i64])?;
            table.add(id, vec![rows.clone()], OutputMode::Append);
            table.add(id, vec![rows], OutputMode::Append);
        }
        let seen = tables.get("views").expect("names ignore case");
        assert_eq!(values(&seen), (0..1000).collect::<Vec<_>>());
        assert!(seen.rows().len() <= 12, "{} pieces", seen.rows().len());
        table.add(1000, vec![batch(vec![7])?], OutputMode::Complete);
        assert_eq!((values(&seen), seen.latest_batch()), (vec![7], Some(1000)));
        tables.create("VIEWS", schema);
        assert_eq!(tables.get("views").map(|t| values(&t)), Some(vec![]));
        assert_eq!(values(&seen), [7]);
        Ok(())
    }
}
