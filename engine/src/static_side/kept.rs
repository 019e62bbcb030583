//! What a query keeps of its tables from batch to batch.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use millstream_state::KeyEncoder;

use crate::batch_context::BatchContext;
use crate::error::Error;
use crate::joining::KeyIndex;

/// The tables of a running query, by the number of the plan's node that asks for them.
///
/// It is an extension of the session configuration: a plan that runs in another process finds that process's own.
#[derive(Debug, Default)]
pub struct StaticSides {
    slots: Mutex<HashMap<u32, Arc<Slot>>>,
    /// Rows read since somebody asked, by node.
    built: Mutex<BTreeMap<u32, u64>>,
}

/// Only one task reads a table; the others wait for it.
#[derive(Debug, Default)]
struct Slot(tokio::sync::Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    fingerprint: u64,
    side: Arc<TableSide>,
}

/// A table's rows, and where to find them by key.
#[derive(Debug)]
pub(crate) struct TableSide {
    pub(crate) rows: RecordBatch,
    /// `None` where the join has no keys, and for rows that nobody looks for.
    pub(crate) index: Option<KeyIndex>,
    /// Whether a row has a key with a null in it.
    pub(crate) has_null_key: bool,
    _memory: MemoryReservation,
}

impl StaticSides {
    /// Of the query that `context` belongs to.
    pub(crate) fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| Error::internal("a plan with static tables runs where none are kept").into())
    }

    /// What node `node` keeps, read with `read` unless it is there with this fingerprint.
    pub(crate) async fn side(
        &self,
        node: u32,
        fingerprint: u64,
        read: impl Future<Output = Result<TableSide>>,
    ) -> Result<Arc<TableSide>> {
        let slot = Arc::clone(lock(&self.slots).entry(node).or_default());
        let mut kept = slot.0.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.fingerprint == fingerprint) {
            return Ok(Arc::clone(&kept.side));
        }
        // The memory of the old rows is for the new ones.
        *kept = None;
        let side = Arc::new(read.await?);
        *lock(&self.built).entry(node).or_default() += side.rows.num_rows() as u64;
        *kept = Some(Kept { fingerprint, side: Arc::clone(&side) });
        Ok(side)
    }

    /// Rows read since the last call, by node.
    pub(crate) fn take_built(&self) -> BTreeMap<u32, u64> {
        std::mem::take(&mut *lock(&self.built))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the tables below `plan` are in this batch: the same number for the same rows.
pub(crate) fn fingerprint(plan: &Arc<dyn ExecutionPlan>, context: &TaskContext) -> Result<u64> {
    let batch = BatchContext::of(context)?;
    let listings: Vec<u64> = super::rule::listed_tables(plan)
        .filter_map(|number| batch.static_tables.get(&number).map(|listing| listing.fingerprint))
        .collect();
    let bytes: Vec<u8> = listings.iter().flat_map(|listing| listing.to_le_bytes()).collect();
    Ok(millstream_state::hash_key(&bytes))
}

/// What a table is read with.
pub(crate) struct ReadTable {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) name: String,
    /// The columns that its rows are found by.
    pub(crate) keys: Vec<usize>,
    pub(crate) null_equals_null: bool,
    pub(crate) context: Arc<TaskContext>,
}

impl ReadTable {
    /// Reads the table's only partition and puts it in order.
    pub(crate) async fn read(self) -> Result<TableSide> {
        let pool = self.context.memory_pool();
        let memory = MemoryConsumer::new(format!("static table {}", self.name)).register(pool);
        let schema = self.plan.schema();
        let mut rows = self.plan.execute(0, Arc::clone(&self.context))?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.try_next().await? {
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
        let rows = concat(&schema, &batches)?;
        drop(batches);
        let (index, has_null_key) = match self.keys.is_empty() {
            true => (None, false),
            false => {
                let (index, has_null_key) = self.index(&rows)?;
                (Some(index), has_null_key)
            }
        };
        memory.try_resize(rows.get_array_memory_size() + index.as_ref().map_or(0, KeyIndex::bytes))?;
        Ok(TableSide { rows, index, has_null_key, _memory: memory })
    }

    fn index(&self, rows: &RecordBatch) -> Result<(KeyIndex, bool)> {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(rows.column(*key))).collect();
        let keys = key_encoder(&rows.schema(), &self.keys)?.encode(&columns).map_err(Error::from)?;
        let is_null = |row: usize| columns.iter().any(|column| column.is_null(row));
        let has_null_key = columns.iter().any(|column| column.null_count() > 0);
        let skips_nulls = has_null_key && !self.null_equals_null;
        Ok((KeyIndex::new(keys, |row| skips_nulls && is_null(row))?, has_null_key))
    }
}

fn concat(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    match batches {
        [] => Ok(RecordBatch::new_empty(Arc::clone(schema))),
        [only] => Ok(only.clone()),
        many => Ok(concat_batches(schema, many)?),
    }
}

/// Encodes the columns `keys` of rows of `schema`.
pub(crate) fn key_encoder(schema: &SchemaRef, keys: &[usize]) -> Result<KeyEncoder> {
    let fields: Vec<_> = keys.iter().map(|key| Arc::clone(&schema.fields()[*key])).collect();
    Ok(KeyEncoder::new(fields).map_err(Error::from)?)
}
