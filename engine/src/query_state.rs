//! The state of a query: the stores behind its stateful operators, from batch to batch.
//!
//! The loop begins a batch on the version that the last commit named, operators find it through the [`TaskContext`] and open
//! their stores in it, and one durable write makes the next version. What counts is said by `commits/N` alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion_physical_plan::ExecutionPlan;
use millstream_state::{
    Batch, Commit, Draft, Maintenance, MemoryBudget, NumberedLog, Place, StoreId, StoreOptions, StoreSchema, Stores,
    VersionRef,
};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Recovered};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::stateful::{StatefulNode, stateful_nodes};

/// The field of `commits/N` that names the version of the state that counts.
pub(crate) const STATE_FIELD: &str = "state";

/// The state of one batch in the making, as operators find it.
#[derive(Debug)]
pub struct StateBatch {
    /// Taken out by the commit.
    batch: Mutex<Option<Arc<Batch>>>,
}

impl StateBatch {
    /// The state of the batch that `context` belongs to. An internal error outside a batch.
    pub fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| Error::internal("a stateful operator runs without a state"))
    }

    /// Opens the store `name` of state partition `partition` of `partitions` of an operator, to be changed. It must be
    /// finished, or the batch fails.
    ///
    /// # Errors
    /// `Invalid` when the store has another schema, `Corrupt` when its files are damaged.
    pub async fn draft(
        &self,
        operator: u32,
        name: &str,
        partition: usize,
        partitions: usize,
        schema: &StoreSchema,
    ) -> Result<Draft> {
        let id = StoreId::new(operator, name, partition, partitions)?;
        let batch = self.lock().clone().ok_or_else(|| Error::internal("state is opened after its commit"))?;
        Ok(batch.draft(&id, schema).await?)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Batch>>> {
        self.batch.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The stores of a running query.
#[derive(Debug)]
pub(crate) struct QueryState {
    stores: Stores,
    maintenance: Maintenance,
    /// What the next batch begins with.
    base: VersionRef,
    may_spill: bool,
}

/// What an operator's state takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateSize {
    pub(crate) memory_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) cache_hits: u64,
    pub(crate) cache_misses: u64,
    pub(crate) stores: usize,
    pub(crate) is_resident: bool,
}

impl QueryState {
    /// The state of the plan's operators, as the last commit left it; `None` for a plan that remembers nothing.
    pub(crate) async fn of_plan(
        checkpoint: &Checkpoint,
        recovered: &Recovered,
        plan: &Arc<dyn ExecutionPlan>,
        conf: &Options,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Option<Self>> {
        let operators = stateful_nodes(plan.as_ref());
        let base = recovered.last_commit.as_ref().and_then(|commit| commit.more.get(STATE_FIELD));
        let base = match base {
            None if operators.is_empty() => return Ok(None),
            None => VersionRef::empty(),
            Some(json) => serde_json::from_value(json.clone())
                .map_err(|e| Error::corrupt(format!("the commit log's field '{STATE_FIELD}' cannot be read: {e}")))?,
        };
        Self::open(checkpoint.place.child("state"), base, &operators, conf, pool).await.map(Some)
    }

    /// The state in the folder `place`, at `base`, for the operators of a plan.
    ///
    /// # Errors
    /// `Invalid` when the checkpoint's operators are others, with the difference.
    async fn open(
        place: Place,
        base: VersionRef,
        operators: &[&dyn StatefulNode],
        conf: &Options,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self> {
        check_operators(&place, operators).await?;
        let number = |key: &str, default: u64| conf.get(key).and_then(|text| text.parse().ok()).unwrap_or(default);
        let options = StoreOptions {
            budget: Arc::new(PoolBudget::new(pool)),
            min_batches_to_retain: number("spark.sql.streaming.minBatchesToRetain", 100),
            min_deltas_for_snapshot: usize::try_from(number("spark.sql.streaming.stateStore.minDeltasForSnapshot", 10))
                .unwrap_or(10),
            ..StoreOptions::default()
        };
        let stores = Stores::open(place, options);
        let maintenance = Maintenance::start(stores.clone())?;
        let may_spill = !conf.get("millstream.state.spill").is_some_and(|text| text.eq_ignore_ascii_case("false"));
        Ok(Self { stores, maintenance, base, may_spill })
    }

    /// Begins a batch. `attempt` must be different in each run and each retry.
    pub(crate) fn begin(&self, attempt: uuid::Uuid) -> Result<Arc<StateBatch>> {
        let batch = self.stores.begin(&self.base, self.base.version + 1, &attempt.simple().to_string())?;
        Ok(Arc::new(StateBatch { batch: Mutex::new(Some(Arc::new(batch))) }))
    }

    /// Makes what the batch did durable. It counts once the commit log names the version.
    pub(crate) async fn commit(&self, batch: &StateBatch) -> Result<Commit> {
        let batch = batch.lock().take().and_then(Arc::into_inner);
        let batch = batch.ok_or_else(|| Error::internal("a batch is committed while an operator holds its state"))?;
        Ok(batch.commit().await?)
    }

    /// The commit log names `version` now: the next batch begins with it.
    pub(crate) fn committed(&mut self, version: VersionRef) {
        self.maintenance.committed(&version);
        self.base = version;
    }

    /// What each operator's state takes, by its number.
    pub(crate) fn sizes(&self) -> BTreeMap<u32, StateSize> {
        let mut sizes: BTreeMap<u32, StateSize> = BTreeMap::new();
        for store in self.stores.stats() {
            let size = sizes
                .entry(store.id.operator())
                .or_insert_with(|| StateSize { is_resident: true, ..StateSize::default() });
            size.memory_bytes += store.memory_bytes;
            size.disk_bytes += store.disk_bytes;
            size.cache_hits += store.cache_hits;
            size.cache_misses += store.cache_misses;
            size.stores += 1;
            size.is_resident &= store.is_resident;
        }
        sizes
    }

    /// Where state may not go to files: refuses what has outgrown memory.
    pub(crate) fn check_sizes(&self, names: &BTreeMap<u32, &'static str>) -> Result<()> {
        if self.may_spill {
            return Ok(());
        }
        match self.sizes().into_iter().find(|(_, size)| !size.is_resident) {
            None => Ok(()),
            Some((operator, size)) => Err(Error::unavailable(format!(
                "the state of operator {operator} ({}) no longer fits the memory budget: {} bytes in memory, {} on disk; raise \
                 millstream.memory.limit, or set millstream.state.spill to true",
                names.get(&operator).copied().unwrap_or("unknown"),
                size.memory_bytes,
                size.disk_bytes
            ))),
        }
    }
}

/// The session's memory, as the state store sees it: half of it.
#[derive(Debug)]
struct PoolBudget {
    limit_bytes: usize,
    reservation: Mutex<MemoryReservation>,
}

impl PoolBudget {
    fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        let limit_bytes = match pool.memory_limit() {
            // State would take all there is, and leave nothing for the batches that change it.
            MemoryLimit::Finite(bytes) => bytes / 2,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX / 2,
        };
        let reservation = MemoryConsumer::new("state").with_can_spill(true).register(pool);
        Self { limit_bytes, reservation: Mutex::new(reservation) }
    }

    fn lock(&self) -> MutexGuard<'_, MemoryReservation> {
        self.reservation.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl MemoryBudget for PoolBudget {
    fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn try_grow(&self, bytes: usize) -> bool {
        let reservation = self.lock();
        reservation.size().saturating_add(bytes) <= self.limit_bytes && reservation.try_grow(bytes).is_ok()
    }

    fn grow(&self, bytes: usize) {
        self.lock().grow(bytes);
    }

    fn shrink(&self, bytes: usize) {
        self.lock().shrink(bytes);
    }
}

/// What the checkpoint says of a stateful operator: one entry of `state/operators/<k>`, a JSON list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OperatorRecord {
    operator: u32,
    name: String,
    /// The columns of its stores, one line each.
    lines: Vec<String>,
    /// What else its state means something by, one line each; `None` in records that were made before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Vec<String>>,
}

impl OperatorRecord {
    /// Whether state recorded as `self` is of use to the operator `wanted`.
    fn fits(&self, wanted: &Self) -> bool {
        let settings_fit = self.settings.is_none() || self.settings == wanted.settings;
        (self.operator, &self.name, &self.lines) == (wanted.operator, &wanted.name, &wanted.lines) && settings_fit
    }
}

/// Compares the plan's operators with the newest record; writes one where there is none. Partitions do not count: they may
/// change at any restart.
async fn check_operators(place: &Place, operators: &[&dyn StatefulNode]) -> Result<()> {
    let mut records: Vec<OperatorRecord> = operators
        .iter()
        .map(|node| OperatorRecord {
            operator: node.operator(),
            name: node.operator_name().to_string(),
            lines: node.stores().iter().flat_map(|(name, schema)| schema_lines(name, schema)).collect(),
            settings: Some(node.settings()),
        })
        .collect();
    records.sort_by_key(|record| record.operator);
    let folder = place.child("operators");
    let log = NumberedLog::new(folder.clone());
    let Some(latest) = log.latest().await? else {
        if !records.is_empty() {
            let json = serde_json::to_vec(&records).map_err(|e| Error::internal(e.to_string()))?;
            log.create(0, Bytes::from(json)).await?;
        }
        return Ok(());
    };
    let bytes = log.read(latest).await?.unwrap_or_default();
    let stored: Vec<OperatorRecord> = serde_json::from_slice(&bytes).map_err(|e| {
        Error::corrupt(format!("{}/{latest} is damaged: {e}; restore the checkpoint from a copy", folder.url()))
    })?;
    if stored.len() == records.len() && stored.iter().zip(&records).all(|(stored, wanted)| stored.fits(wanted)) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the checkpoint belongs to a query with other stateful operators; use the query it was made with, or another \
         checkpointLocation\n{}",
        difference(&stored, &records)
    )))
}

fn schema_lines(store: &str, schema: &StoreSchema) -> Vec<String> {
    schema.text().lines().map(|line| format!("{store}: {line}")).collect()
}

/// `-` before what only the checkpoint has, `+` before what only the query has.
fn difference(stored: &[OperatorRecord], wanted: &[OperatorRecord]) -> String {
    let lines = |records: &[OperatorRecord]| -> Vec<String> {
        let of = |record: &OperatorRecord| {
            let head = format!("operator {} {}", record.operator, record.name);
            let settings = record.settings.iter().flatten();
            let rest = record
                .lines
                .iter()
                .chain(settings)
                .map(|line| format!("operator {} {line}", record.operator))
                .collect::<Vec<_>>();
            [vec![head], rest].concat()
        };
        records.iter().flat_map(of).collect()
    };
    let (stored, wanted) = (lines(stored), lines(wanted));
    let mut text = String::new();
    for line in &stored {
        let mark = if wanted.contains(line) { ' ' } else { '-' };
        text.push_str(&format!("{mark} {line}\n"));
    }
    for line in wanted.iter().filter(|line| !stored.contains(line)) {
        text.push_str(&format!("+ {line}\n"));
    }
    text
}
