//! The loop of a query: one micro-batch after the other. The file to read first.
//!
//! A batch, in [`BatchLoop::run_batch`]: the intent is durable → the plan runs → the sink commits → the commit is durable →
//! progress. Until the sink begins to commit, a batch can be abandoned at any moment; from then on it is finished.

mod report;
mod run;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use datafusion_execution::TaskContext;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::execution_plan::reset_plan_states;
use futures::FutureExt;
use futures::future::{join_all, select_all, try_join_all};
use millstream_state::Commit as StateCommit;
use serde_json::{Map, Value};
use tracing::{debug, warn};
use uuid::Uuid;

use run::{InBatch, input_rows, run_plan};
use settings::Settings;

use crate::checkpoint::{Checkpoint, CommitEntry, OffsetEntry, PINNED_CONF, Purge, Recovered};
use crate::clock::{Clock, Stopwatch};
use crate::error::{Error, ErrorKind, Result};
use crate::listener::QueryIdle;
use crate::manager::StreamingQueryManager;
use crate::observations::Observed;
use crate::options::Options;
use crate::plan::{LIMITS_FIELD, SinkExec, limit_counts};
use crate::progress::iso_timestamp;
use crate::query::{Environment, QueryDefinition, StreamingQuery};
use crate::query_state::{QueryState, STATE_FIELD};
use crate::registry::Registry;
use crate::sink::{BatchRows, Delivery, Sink};
use crate::source::{Offset, ReadLimit, Source};
use crate::stateful::{operator_watermarks, stateful_nodes, watermark_specs};
use crate::static_side::{StaticSides, StaticTables, static_nodes};
use crate::trigger::{Trigger, next_trigger_ms};
use crate::watermark::{WatermarkPolicy, WatermarkTracker};

/// The field of `commits/N` that says what each watermark of the plan has reached.
const WATERMARKS_FIELD: &str = "watermarks";

/// The plan, made once, and what it runs in.
pub(crate) struct Planned {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) task_context: Arc<TaskContext>,
    pub(crate) registry: Arc<Registry>,
}

/// A running query's loop and everything it holds.
pub(crate) struct BatchLoop {
    // Fixed for the run.
    query: Arc<StreamingQuery>,
    planned: Planned,
    checkpoint: Checkpoint,
    sources: Vec<Arc<dyn Source>>,
    sink: Arc<dyn Sink>,
    manager: StreamingQueryManager,
    clock: Arc<dyn Clock>,
    trigger: Trigger,
    settings: Settings,
    /// What is kept of tables beside the streams, and which nodes of the plan ask for it, by number.
    static_sides: Arc<StaticSides>,
    static_nodes: Vec<(u32, String)>,
    pinned_conf: Map<String, Value>,
    // Changes from batch to batch.
    purge: Purge,
    next_batch_id: u64,
    pending: Option<OffsetEntry>,
    /// Where each source of the last committed batch ended.
    committed: Vec<Option<Offset>>,
    /// W(N−1) of the next batch N, in milliseconds since the epoch; W(N) is the tracker's.
    late_watermark_ms: i64,
    watermarks: WatermarkTracker,
    state: Option<QueryState>,
    /// What each stateful operator evicted with in the last batch; empty before there was one.
    evicted_ms: BTreeMap<u32, i64>,
    last_trigger_ms: Option<i64>,
    idle_since_ms: i64,
    plan_count: u64,
    warnings: Vec<String>,
    static_tables: StaticTables,
    /// Rows that each limit of the plan has let through.
    limits: BTreeMap<u32, u64>,
}

/// What one batch is about to do: its intent, durable.
struct Intent {
    batch_id: u64,
    entry: OffsetEntry,
    /// Where each source starts.
    starts: Vec<Option<Offset>>,
}

/// How long each step took.
#[derive(Default)]
struct Durations(BTreeMap<&'static str, u64>);

impl Durations {
    fn note(&mut self, step: &'static str, watch: Stopwatch) {
        *self.0.entry(step).or_default() += millis(watch);
    }
}

fn millis(watch: Stopwatch) -> u64 {
    // Rounded, as a step of 0.6 ms is nearer to 1 than to 0.
    u64::try_from((watch.elapsed().as_micros() + 500) / 1000).unwrap_or(u64::MAX)
}

impl BatchLoop {
    #[expect(clippy::too_many_arguments, reason = "everything a run holds is handed over once")]
    pub(crate) fn new(
        query: Arc<StreamingQuery>,
        definition: &QueryDefinition,
        environment: &Environment,
        planned: Planned,
        checkpoint: Checkpoint,
        sources: Vec<Arc<dyn Source>>,
        sink: Arc<dyn Sink>,
        recovered: Recovered,
        state: Option<QueryState>,
    ) -> Result<Self> {
        let settings = Settings::read(&definition.conf)?;
        let pinned_conf = pinned_conf(&definition.conf, recovered.last.as_ref().or(recovered.pending.as_ref()));
        let last_watermark_ms = recovered.last.as_ref().map_or(0, |last| last.watermark_ms);
        let next_watermark_ms = recovered.last_commit.as_ref().map_or(0, |commit| commit.next_batch_watermark_ms);
        let policy = pinned_conf.get("spark.sql.streaming.multipleWatermarkPolicy").and_then(Value::as_str);
        let watermarks = WatermarkTracker::new(
            WatermarkPolicy::parse(policy.unwrap_or("min"))?,
            watermark_specs(&planned.plan).into_values().collect(),
            last_watermark_ms.max(next_watermark_ms),
            recovered.last_commit.as_ref().and_then(reached_watermarks).as_deref(),
            environment.clock.now_ms(),
        );
        let limits = recovered.last_commit.as_ref().map(committed_limits).transpose()?.unwrap_or_default();
        let nodes = stateful_nodes(planned.plan.as_ref());
        let warnings = nodes.iter().filter_map(|node| node.warning()).collect();
        // A crash may have come between the last rows and the batch without data that flushes what they closed: Spark then waits
        // for further rows.
        let evicted_ms = match (&recovered.last, definition.trigger) {
            (None, _) | (_, Trigger::Once) => BTreeMap::new(),
            (Some(last), _) => operator_watermarks(planned.plan.as_ref(), last.watermark_ms),
        };
        let mut committed = recovered.committed;
        committed.resize(sources.len(), None);
        Ok(Self {
            query,
            static_sides: Arc::default(),
            static_nodes: static_nodes(&planned.plan),
            static_tables: StaticTables::of_plan(&planned.plan),
            limits,
            planned,
            purge: Purge::new(checkpoint.offsets.clone(), checkpoint.commits.clone()),
            checkpoint,
            sources,
            sink,
            manager: environment.manager.clone(),
            clock: Arc::clone(&environment.clock),
            trigger: definition.trigger,
            settings,
            pinned_conf,
            next_batch_id: recovered.next_batch_id,
            pending: recovered.pending,
            committed,
            late_watermark_ms: last_watermark_ms,
            watermarks,
            state,
            evicted_ms,
            last_trigger_ms: None,
            idle_since_ms: environment.clock.now_ms(),
            plan_count: 1,
            warnings,
        })
    }

    /// Runs until the trigger has had enough, the query is stopped, or something fails.
    pub(crate) async fn run(mut self) -> Result<()> {
        let result = self.run_trigger().await;
        let purged = self.purge.finish().await;
        join_all(self.sources.iter().map(|source| source.stop())).await;
        self.sink.stop().await;
        match result {
            // Whatever was cut off by the stop is not worth reporting.
            Err(error) if self.query.stop.is_cancelled() && error.kind() != ErrorKind::Fenced => {
                debug!(%error, "a batch was abandoned when the query was stopped");
                Ok(())
            }
            other => other.and(purged),
        }
    }

    async fn run_trigger(&mut self) -> Result<()> {
        self.remove_old_logs().await?;
        match self.trigger {
            Trigger::ProcessingTime { interval_ms } => self.run_at_intervals(interval_ms).await,
            Trigger::Once => self.run_one_trigger(LimitRule::None).await.map(|_| ()),
            Trigger::AvailableNow => self.run_available_now().await,
        }
    }

    async fn run_available_now(&mut self) -> Result<()> {
        let prepared = try_join_all(self.sources.iter().map(|source| source.prepare_available_now())).await?;
        if prepared.iter().all(|supported| *supported) {
            while self.run_one_trigger(LimitRule::SourcesOwn).await? {}
            return Ok(());
        }
        let names = self.sources.iter().zip(&prepared).filter(|(_, ok)| !**ok).map(|(s, _)| s.description());
        let names = names.collect::<Vec<_>>().join(", ");
        let warning = format!("{names} cannot tell what is available now: everything is processed in one single batch");
        warn!(query = self.query.label(), "{warning}");
        self.warnings.push(warning);
        self.run_one_trigger(LimitRule::None).await.map(|_| ())
    }

    async fn run_at_intervals(&mut self, interval_ms: u64) -> Result<()> {
        while !self.query.stop.is_cancelled() {
            let now_ms = self.clock.now_ms();
            let ran = self.run_one_trigger(LimitRule::SourcesOwn).await?;
            if self.query.stop.is_cancelled() {
                break;
            }
            if interval_ms > 0 {
                self.query.shared.set_status("Waiting for next trigger", false, None);
                let next_ms = next_trigger_ms(now_ms, interval_ms);
                if self.clock.now_ms() > next_ms {
                    warn!(query = self.query.label(), interval_ms, "a batch took longer than the trigger's interval");
                }
                self.wait_until(next_ms, false).await;
            } else if !ran {
                self.query.shared.set_status("Waiting for data to arrive", false, None);
                self.wait_until(self.clock.now_ms().saturating_add(self.settings.polling_delay_ms), true).await;
            }
        }
        Ok(())
    }

    /// Waits until `at_ms`, or the stop, or (if `for_data`) until a source has something or somebody asks.
    async fn wait_until(&self, at_ms: i64, for_data: bool) {
        let changes = self.sources.iter().map(|source| source.changed().boxed());
        tokio::select! {
            () = self.clock.sleep_until_ms(at_ms) => {}
            () = self.query.stop.cancelled() => {}
            () = self.query.shared.poke.notified(), if for_data => {}
            _ = select_all(changes), if for_data && !self.sources.is_empty() => {}
        }
    }

    /// One trigger: a batch, if there is anything to do. Whether there was.
    async fn run_one_trigger(&mut self, limits: LimitRule) -> Result<bool> {
        if self.query.stop.is_cancelled() {
            return Ok(false);
        }
        let (trigger_ms, watch) = (self.clock.now_ms(), Stopwatch::start());
        let mut durations = Durations::default();
        let asked = self.query.shared.asked.load(Ordering::SeqCst);
        let stop = self.query.stop.clone();
        let intent = tokio::select! {
            intent = self.next_intent(limits, &mut durations) => intent?,
            () = stop.cancelled() => return Ok(false),
        };
        let Some(intent) = intent else {
            self.query.shared.set_status("Waiting for data to arrive", false, Some(false));
            self.query.shared.caught_up.send_replace(asked);
            self.tell_idle(trigger_ms);
            return Ok(false);
        };
        let batch_id = intent.batch_id;
        let before = self.checkpoint.place.io_stats();
        let ran = self.run_batch(&intent, &mut durations).await.map_err(|e| e.in_batch(batch_id))?;
        let Some(ran) = ran else { return Ok(false) };
        durations.note("triggerExecution", watch);
        let fsync_nanos = self.checkpoint.place.io_stats().sync_nanos.saturating_sub(before.sync_nanos);
        self.report(&intent, &ran, trigger_ms, watch, durations, fsync_nanos / 1000).await;
        self.last_trigger_ms = Some(trigger_ms);
        self.idle_since_ms = self.clock.now_ms();
        self.next_batch_id = batch_id + 1;
        self.committed = intent.entry.offsets;
        self.late_watermark_ms = intent.entry.watermark_ms;
        Ok(true)
    }

    /// The intent of the next batch, durable; `None` when there is nothing to do.
    async fn next_intent(&mut self, limits: LimitRule, durations: &mut Durations) -> Result<Option<Intent>> {
        let mut starts = self.committed.clone();
        for (source, start) in self.sources.iter().zip(&mut starts) {
            if start.is_none() {
                *start = source.initial().await?;
            }
        }
        // Taken out first: an intent that was written and not committed is run again exactly as it is, once.
        if let Some(entry) = self.pending.take() {
            self.query.shared.set_status("Processing new data", true, Some(true));
            return Ok(Some(Intent { batch_id: self.next_batch_id, entry, starts }));
        }
        self.query.shared.set_status("Getting offsets", true, None);
        let watch = Stopwatch::start();
        let ends = try_join_all(self.sources.iter().zip(&starts).map(|(source, start)| {
            let limit = match limits {
                LimitRule::SourcesOwn => source.read_limit(),
                LimitRule::None => ReadLimit::AllAvailable,
            };
            async move { source.latest(start.as_ref(), &limit).await }
        }))
        .await?;
        durations.note("latestOffset", watch);
        let has_new = ends.iter().zip(&self.committed).any(|(end, committed)| end.is_some() && end != committed);
        let watermark_ms = self.watermarks.settle(self.clock.now_ms());
        if !has_new && !self.wants_batch_without_data(watermark_ms) {
            return Ok(None);
        }
        let offsets = ends.into_iter().zip(&self.committed).map(|(end, committed)| end.or_else(|| committed.clone()));
        let entry = OffsetEntry {
            watermark_ms,
            timestamp_ms: self.clock.now_ms(),
            conf: self.pinned_conf.clone(),
            offsets: offsets.collect(),
        };
        self.query.shared.set_status("Writing offsets to log", true, Some(true));
        let watch = Stopwatch::start();
        self.checkpoint.fence.check().await?;
        self.checkpoint.offsets.create(self.next_batch_id, &entry).await?;
        durations.note("walCommit", watch);
        Ok(Some(Intent { batch_id: self.next_batch_id, entry, starts }))
    }

    /// Whether a new watermark has closed state that no later row may ever flush.
    fn wants_batch_without_data(&self, watermark_ms: i64) -> bool {
        if !self.settings.no_data_batches || self.evicted_ms.is_empty() {
            return false;
        }
        let next_ms = operator_watermarks(self.planned.plan.as_ref(), watermark_ms);
        stateful_nodes(self.planned.plan.as_ref()).into_iter().any(|node| {
            let of = |watermarks: &BTreeMap<u32, i64>| watermarks.get(&node.operator()).copied().unwrap_or(0);
            node.wants_batch(of(&self.evicted_ms), of(&next_ms))
        })
    }

    /// Runs the plan, commits the sink and writes that the batch is done. `None` when the query was stopped in time.
    async fn run_batch(&mut self, intent: &Intent, durations: &mut Durations) -> Result<Option<Ran>> {
        self.query.shared.set_status("Processing new data", true, Some(true));
        let watch = Stopwatch::start();
        let splits = self.splits(intent).await?;
        let static_tables = self.static_tables.list(&self.planned.registry, self.clock.now_ms()).await?;
        durations.note("getBatch", watch);
        let watch = Stopwatch::start();
        let attempt = Uuid::new_v4();
        let in_batch = InBatch {
            observations: Arc::default(),
            state: self.state.as_ref().map(|state| state.begin(attempt)).transpose()?,
        };
        let batch = self.batch_context(intent, attempt, splits, static_tables);
        let context = self.task_context(batch, &in_batch);
        let plan = reset_plan_states(Arc::clone(&self.planned.plan))?;
        let rows = tokio::select! {
            rows = run_plan(&plan, &context) => rows?,
            () = self.query.stop.cancelled() => return Ok(None),
        };
        let state_commit = self.commit_state(&in_batch).await?;
        let output_rows = self.commit_sink(intent.batch_id, &plan, rows).await?;
        durations.note("addBatch", watch);
        let watch = Stopwatch::start();
        self.checkpoint.fence.check().await?;
        let limits = limit_counts(&plan, &self.limits);
        let mut more = Map::new();
        if !limits.is_empty() {
            more.insert(LIMITS_FIELD.to_string(), serde_json::json!(limits));
        }
        let observed = in_batch.observations.observed();
        let next_ms = self.watermarks.advance(&observed.event_times, self.clock.now_ms());
        if self.watermarks.is_used() {
            more.insert(WATERMARKS_FIELD.to_string(), serde_json::json!(self.watermarks.reached()));
        }
        if let Some(commit) = &state_commit {
            more.insert(STATE_FIELD.to_string(), serde_json::json!(commit.reference));
        }
        let entry = CommitEntry { next_batch_watermark_ms: next_ms, more };
        self.checkpoint.commits.create(intent.batch_id, &entry).await?;
        durations.note("commitOffsets", watch);
        self.limits = limits;
        if let (Some(state), Some(commit)) = (&mut self.state, &state_commit) {
            state.committed(commit.reference.clone());
        }
        self.evicted_ms = operator_watermarks(self.planned.plan.as_ref(), intent.entry.watermark_ms);
        self.let_go_of(intent).await?;
        let state_commit_ms = state_commit.map_or(0, |commit| commit.nanos.div_ceil(1_000_000));
        let input_rows = input_rows(&plan, self.sources.len());
        Ok(Some(Ran { input_rows, output_rows, observed, state_commit_ms }))
    }

    async fn splits(&self, intent: &Intent) -> Result<BTreeMap<u32, Vec<crate::source::Split>>> {
        let mut splits = BTreeMap::new();
        for (number, source) in (0u32..).zip(&self.sources) {
            let (start, end) = (&intent.starts[number as usize], &intent.entry.offsets[number as usize]);
            if let Some(end) = end
                && Some(end) != start.as_ref()
            {
                splits.insert(number, source.splits(start.as_ref(), end).await?);
            }
        }
        Ok(splits)
    }

    /// Makes what the batch did to state durable: before anything of it is visible, and without counting yet.
    async fn commit_state(&self, in_batch: &InBatch) -> Result<Option<StateCommit>> {
        let (Some(state), Some(batch)) = (&self.state, &in_batch.state) else { return Ok(None) };
        let names = stateful_nodes(self.planned.plan.as_ref()).into_iter().map(|n| (n.operator(), n.operator_name()));
        state.check_sizes(&names.collect())?;
        state.commit(batch).await.map(Some)
    }

    /// Makes the batch visible in the sink; rows written. A sink with writers asks the fence itself, right before its rows
    /// are seen.
    async fn commit_sink(
        &self,
        batch_id: u64,
        plan: &Arc<dyn ExecutionPlan>,
        rows: Vec<Vec<RecordBatch>>,
    ) -> Result<u64> {
        match self.sink.delivery() {
            Delivery::Writers(_) => {
                let messages = SinkExec::messages(&rows.concat())?;
                let written = messages.iter().map(|message| message.rows).sum();
                self.sink.commit(batch_id, messages, &self.checkpoint.fence).await?;
                Ok(written)
            }
            Delivery::Rows => {
                self.checkpoint.fence.check().await?;
                let batch = BatchRows { batch_id, schema: plan.schema(), partitions: rows };
                let written = batch.rows().map(|batch| batch.num_rows() as u64).sum();
                self.sink.accept(batch).await?;
                Ok(written)
            }
        }
    }

    /// What nobody needs any more once `intent` is committed.
    async fn let_go_of(&mut self, intent: &Intent) -> Result<()> {
        for (source, end) in self.sources.iter().zip(&intent.entry.offsets) {
            if let Some(end) = end {
                source.commit(end).await?;
            }
        }
        if let Some(old) = (intent.batch_id + 1).checked_sub(self.settings.min_batches_to_retain + 1) {
            self.purge.remove(old).await?;
        }
        Ok(())
    }

    /// Removes what earlier runs with another retention have left.
    async fn remove_old_logs(&self) -> Result<()> {
        let oldest_kept = self.next_batch_id.saturating_sub(self.settings.min_batches_to_retain);
        self.checkpoint.offsets.remove_below(oldest_kept).await?;
        self.checkpoint.commits.remove_below(oldest_kept).await
    }

    fn tell_idle(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.idle_since_ms) < self.settings.idle_event_ms {
            return;
        }
        self.idle_since_ms = now_ms;
        let event = QueryIdle { id: self.query.id(), run_id: self.query.run_id(), timestamp: iso_timestamp(now_ms) };
        self.manager.notify(|listener| listener.on_query_idle(&event));
    }
}

/// Whose limits hold.
#[derive(Clone, Copy)]
enum LimitRule {
    SourcesOwn,
    None,
}

/// What a batch did.
struct Ran {
    /// By source.
    input_rows: Vec<u64>,
    output_rows: u64,
    observed: Observed,
    state_commit_ms: u64,
}

/// What each watermark had reached when this was committed.
fn reached_watermarks(commit: &CommitEntry) -> Option<Vec<Option<i64>>> {
    serde_json::from_value(commit.more.get(WATERMARKS_FIELD)?.clone()).ok()
}

/// How many rows each limit of the plan had let through when this was committed.
fn committed_limits(commit: &CommitEntry) -> Result<BTreeMap<u32, u64>> {
    let Some(limits) = commit.more.get(LIMITS_FIELD) else { return Ok(BTreeMap::new()) };
    serde_json::from_value(limits.clone())
        .map_err(|e| Error::corrupt(format!("the commit log's field '{LIMITS_FIELD}' cannot be read: {e}")))
}

/// What `offsets/N` pins: the checkpoint's own values where it has any, otherwise the session's, otherwise Spark's defaults.
fn pinned_conf(conf: &Options, from_checkpoint: Option<&OffsetEntry>) -> Map<String, Value> {
    let mut pinned = Map::new();
    for (key, default) in PINNED_CONF {
        let value = match from_checkpoint.and_then(|entry| entry.conf.get(*key)) {
            Some(value) => value.clone(),
            None => Value::from(conf.get(key).unwrap_or(default)),
        };
        pinned.insert((*key).to_string(), value);
    }
    pinned
}
