//! Whole queries: batches, triggers, restarts, stopping, listeners.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use datafusion_expr::LogicalPlan;
use millstream_state::Place;
use tokio::sync::Notify;

use super::numbers::{Keep, NumbersProvider, available};
use super::{logical, session};
use crate::clock::{Clock, SystemClock};
use crate::error::{ErrorKind, Result};
use crate::listener::{QueryIdle, QueryStarted, QueryTerminated, StreamingQueryListener};
use crate::manager::StreamingQueryManager;
use crate::options::Options;
use crate::progress::StreamingQueryProgress;
use crate::query::{Environment, QueryDefinition, SinkTarget, StreamingQuery, start};
use crate::registry::Registry;
use crate::sink::OutputMode;
use crate::testing::ManualClock;
use crate::trigger::Trigger;

/// A query `SELECT value FROM n` over the numbers called `name`, on a checkpoint in memory of the same name.
struct Setup {
    name: &'static str,
    trigger: Trigger,
    sink: Arc<Keep>,
    conf: Options,
    clock: Arc<dyn Clock>,
    manager: StreamingQueryManager,
}

impl Setup {
    fn new(name: &'static str, trigger: Trigger) -> Self {
        Self {
            name,
            trigger,
            sink: Arc::default(),
            conf: Options::new(),
            clock: Arc::new(SystemClock),
            manager: StreamingQueryManager::new(),
        }
    }

    fn location(&self) -> String {
        format!("memory://engine-queries/{}", self.name)
    }

    fn grow_to(&self, numbers: i64) {
        available(self.name).store(numbers, Ordering::SeqCst);
    }

    async fn start(&self) -> Result<Arc<StreamingQuery>> {
        self.start_sql("SELECT value FROM n", OutputMode::Append).await
    }

    async fn start_sql(&self, sql: &str, output_mode: OutputMode) -> Result<Arc<StreamingQuery>> {
        let context = session(2);
        let plan: LogicalPlan = logical(&context, sql).await;
        let definition = QueryDefinition {
            name: Some(self.name.to_string()),
            plan,
            output_mode,
            trigger: self.trigger,
            sink: SinkTarget::Rows(self.sink.clone()),
            checkpoint_location: Some(self.location()),
            conf: self.conf.clone(),
        };
        let mut registry = Registry::new();
        registry.add_source(Arc::new(NumbersProvider(self.name)));
        let environment =
            Environment { registry: Arc::new(registry), manager: self.manager.clone(), clock: Arc::clone(&self.clock) };
        start(definition, environment, &context.state()).await
    }

    async fn run(&self) -> Result<Arc<StreamingQuery>> {
        let query = self.start().await?;
        query.await_termination().await?;
        Ok(query)
    }

    async fn files(&self, folder: &str) -> Vec<u64> {
        let place = Place::open(&self.location(), &[]).expect("a place").child(folder);
        let mut files: Vec<u64> =
            place.list().await.expect("a listing").iter().filter_map(|e| e.name.parse().ok()).collect();
        files.sort_unstable();
        files
    }
}

#[tokio::test]
async fn available_now_runs_batches_under_the_limit_and_ends() {
    let setup = Setup::new("available_now", Trigger::AvailableNow);
    setup.grow_to(25);
    let query = setup.run().await.expect("a run");
    let sizes: Vec<_> = setup.sink.by_batch().iter().map(|(id, numbers)| (*id, numbers.len())).collect();
    assert_eq!(sizes, [(0, 10), (1, 10), (2, 5)]);
    assert_eq!(setup.sink.all(), (0..25).collect::<Vec<_>>());
    let progress = query.last_progress().expect("progress");
    assert_eq!((progress.batch_id, progress.num_input_rows, progress.plan_count), (2, 5, 1));
    assert_eq!(progress.sources[0].start_offset, 20);
    assert_eq!(progress.sources[0].end_offset, 25);
    assert_eq!(progress.sink.num_output_rows, 5);
    assert_eq!(query.recent_progress()[0].input_rows_per_second, Some(0.0), "there was no trigger before the first");
    // Again, with nothing new and with something new.
    setup.run().await.expect("a run");
    assert_eq!(setup.files("offsets").await, [0, 1, 2]);
    setup.grow_to(26);
    setup.run().await.expect("a run");
    assert_eq!(setup.sink.by_batch().last(), Some(&(3, vec![25])));
}

#[tokio::test]
async fn once_takes_everything_in_one_batch() {
    let setup = Setup::new("once", Trigger::Once);
    setup.grow_to(25);
    setup.run().await.expect("a run");
    assert_eq!(setup.sink.by_batch().len(), 1);
    assert_eq!(setup.sink.all(), (0..25).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_that_failed_is_run_again_as_it_was() {
    let setup = Setup::new("failed_batch", Trigger::AvailableNow);
    setup.grow_to(15);
    *setup.sink.fails_at.lock().expect("a lock") = Some(1);
    let error = setup.run().await.expect_err("the sink's failure was swallowed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "query failed_batch, batch 1: the sink is out of reach");
    assert_eq!((setup.files("offsets").await, setup.files("commits").await), (vec![0, 1], vec![0]));
    *setup.sink.fails_at.lock().expect("a lock") = None;
    // There is more now, but batch 1 keeps its range.
    setup.grow_to(100);
    setup.run().await.expect("a run");
    assert_eq!(setup.sink.by_batch()[1], (1, (10..15).collect()));
    assert_eq!(setup.sink.all(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn logs_are_purged_and_the_plan_is_made_once() {
    let mut setup = Setup::new("purge", Trigger::AvailableNow);
    setup.conf.set("spark.sql.streaming.minBatchesToRetain", "100");
    setup.grow_to(10 * 130);
    let query = setup.run().await.expect("a run");
    assert_eq!(setup.files("offsets").await, (30..130).collect::<Vec<_>>());
    assert_eq!(setup.files("commits").await, (30..130).collect::<Vec<_>>());
    assert_eq!(query.last_progress().map(|p| (p.batch_id, p.plan_count)), Some((129, 1)));
    assert_eq!(query.recent_progress().len(), 100);
    setup.conf.set("spark.sql.streaming.minBatchesToRetain", "2");
    setup.grow_to(10 * 131);
    setup.run().await.expect("a run");
    assert_eq!(setup.files("offsets").await, [129, 130]);
}

#[tokio::test]
async fn a_processing_time_trigger_fires_at_multiples_of_its_interval() {
    let clock = ManualClock::at_ms(1_003);
    let mut setup = Setup::new("processing_time", Trigger::ProcessingTime { interval_ms: 10 });
    setup.clock = Arc::new(clock.clone());
    let seen = Arc::new(Seen::default());
    setup.manager.add_listener(seen.clone());
    setup.grow_to(35);
    let query = setup.start().await.expect("a start");
    // The first batch starts at once, the others at 1010, 1020 …
    for (advance_ms, batches) in [(0, 1), (6, 1), (1, 2), (10, 3), (10, 4)] {
        clock.advance_ms(advance_ms);
        if batches > seen.progress.lock().expect("a lock").len() {
            seen.wait_for(batches).await;
        }
        assert_eq!(seen.progress.lock().expect("a lock").len(), batches, "at {}", clock.now_ms());
    }
    query.stop().await.expect("a stop");
    let at: Vec<String> = seen.progress.lock().expect("a lock").iter().map(|p| p.timestamp.clone()).collect();
    assert_eq!(
        at,
        [
            "1970-01-01T00:00:01.003Z",
            "1970-01-01T00:00:01.010Z",
            "1970-01-01T00:00:01.020Z",
            "1970-01-01T00:00:01.030Z"
        ]
    );
    let rates: Vec<_> = seen.progress.lock().expect("a lock").iter().map(|p| p.input_rows_per_second).collect();
    assert_eq!(rates, [Some(0.0), Some(1428.6), Some(1000.0), Some(500.0)]);
}

#[tokio::test]
async fn a_running_query_processes_what_appears_and_stops() {
    let setup = Setup::new("running", Trigger::default());
    let query = setup.start().await.expect("a start");
    assert!(query.is_active());
    for numbers in [3, 3, 25, 26] {
        setup.grow_to(numbers);
        query.process_all_available().await.expect("processing");
        assert_eq!(setup.sink.all(), (0..numbers).collect::<Vec<_>>());
    }
    assert_eq!(setup.manager.get("running").map(|q| q.run_id()), Some(query.run_id()));
    let error = setup.start().await.expect_err("a second query of the same name");
    assert!(error.message().contains("already running"), "{error}");
    query.stop().await.expect("a stop");
    query.stop().await.expect("a second stop");
    assert!(!query.is_active() && query.exception().is_none());
    assert_eq!(query.status().message, "Stopped");
    assert!(setup.manager.active().is_empty());
    query.process_all_available().await.expect("a stopped query has nothing to process");
}

#[tokio::test]
async fn of_two_runs_on_a_checkpoint_the_newer_goes_on() {
    let older = Setup::new("two_runs", Trigger::default());
    older.grow_to(5);
    let first = older.start().await.expect("a start");
    first.process_all_available().await.expect("processing");
    // Another session of the same process: the older run is stopped.
    let newer = Setup::new("two_runs", Trigger::AvailableNow);
    newer.grow_to(8);
    newer.run().await.expect("a run");
    assert!(!first.is_active());
    assert_eq!(newer.sink.all(), [5, 6, 7]);
    // As if from another process: a claim that this process knows nothing of.
    let third = older.start().await.expect("a start");
    third.process_all_available().await.expect("processing");
    let place = Place::open(&older.location(), &[]).expect("a place");
    crate::checkpoint::Fence::claim(&place, uuid::Uuid::new_v4(), 0).await.expect("a claim");
    older.grow_to(9);
    let error = third.await_termination().await.expect_err("a run that was replaced went on");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(!older.sink.all().contains(&8), "a row of a run that was replaced became visible");
}

#[tokio::test]
async fn listeners_and_the_manager_are_told() {
    let mut setup = Setup::new("listeners", Trigger::default());
    setup.conf.set("spark.sql.streaming.noDataProgressEventInterval", "0");
    let seen = Arc::new(Seen::default());
    let number = setup.manager.add_listener(seen.clone());
    setup.grow_to(12);
    let query = setup.start().await.expect("a start");
    query.process_all_available().await.expect("processing");
    query.stop().await.expect("a stop");
    setup.manager.await_any_termination().await.expect("a query that ended well");
    assert_eq!(seen.started.load(Ordering::SeqCst), 1);
    assert_eq!(seen.progress.lock().expect("a lock").iter().map(|p| p.batch_id).collect::<Vec<_>>(), [0, 1]);
    assert!(seen.idle.load(Ordering::SeqCst) > 0);
    assert_eq!(*seen.ended.lock().expect("a lock"), [None]);
    assert!(setup.manager.remove_listener(number) && !setup.manager.remove_listener(number));
    // A failure, after a reset.
    setup.manager.reset_terminated();
    *setup.sink.fails_at.lock().expect("a lock") = Some(2);
    setup.grow_to(13);
    setup.start().await.expect("a start");
    let error = setup.manager.await_any_termination().await.expect_err("a query that failed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_cannot_run_is_refused_at_start() {
    for (sql, mode, kind, part) in [
        ("SELECT value FROM n", OutputMode::Complete, ErrorKind::Invalid, "without streaming aggregation"),
        ("SELECT 1 AS one", OutputMode::Append, ErrorKind::Invalid, "reads no stream"),
        ("SELECT value FROM n ORDER BY value", OutputMode::Append, ErrorKind::Invalid, "cannot be sorted"),
        ("SELECT value FROM n LIMIT 3", OutputMode::Update, ErrorKind::Invalid, "LIMIT"),
        ("SELECT value FROM n OFFSET 3", OutputMode::Append, ErrorKind::Invalid, "OFFSET"),
        (
            "SELECT value, row_number() OVER (ORDER BY value) FROM n",
            OutputMode::Append,
            ErrorKind::Invalid,
            "window functions",
        ),
        ("SELECT value FROM n UNION ALL SELECT 1", OutputMode::Append, ErrorKind::Invalid, "cannot be united"),
        ("SELECT 1 AS one WHERE 1 IN (SELECT value FROM n)", OutputMode::Append, ErrorKind::Invalid, "IN, EXISTS"),
        (
            "SELECT n.value FROM n FULL JOIN (SELECT 1 AS one) t ON value = one",
            OutputMode::Append,
            ErrorKind::Invalid,
            "FULL OUTER",
        ),
        (
            "SELECT n.value FROM n RIGHT JOIN (SELECT 1 AS one) t ON value = one",
            OutputMode::Append,
            ErrorKind::Invalid,
            "table on the right",
        ),
    ] {
        let setup = Setup::new("refused", Trigger::AvailableNow);
        let error = setup.start_sql(sql, mode).await.expect_err(sql);
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.message().contains(part), "{sql}: {error}");
        assert!(setup.files("runs").await.is_empty(), "{sql}: a refused query left something in its checkpoint");
    }
}

#[tokio::test]
async fn damaged_checkpoints_are_named_and_never_skipped() {
    // A file to overwrite (or remove) in a checkpoint with batches 0 to 2, and what the next start says.
    for (file, content, kind, part) in [
        ("offsets/2", Some("v1\n{\"batchWaterm"), ErrorKind::Corrupt, "offsets/2"),
        ("offsets/2", Some(""), ErrorKind::Corrupt, "offsets/2"),
        (
            "offsets/2",
            Some("v1\n{\"batchWatermarkMs\":0,\"batchTimestampMs\":0}\n1\n2"),
            ErrorKind::Invalid,
            "another query",
        ),
        ("offsets/2", None, ErrorKind::Corrupt, "offsets/1 and commits/2"),
        ("commits/2", Some("v1\n{"), ErrorKind::Corrupt, "commits/2"),
        ("metadata", Some("{\"id\":"), ErrorKind::Corrupt, "metadata"),
        ("metadata", None, ErrorKind::Corrupt, "metadata is missing"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut setup = Setup::new("damaged", Trigger::AvailableNow);
        setup.manager = StreamingQueryManager::new();
        available("damaged").store(25, Ordering::SeqCst);
        let location = folder.path().to_string_lossy().into_owned();
        run_at(&setup, &location).await.expect("a sound checkpoint");
        let path = folder.path().join(file);
        match content {
            Some(content) => std::fs::write(&path, content).expect("a write"),
            None => std::fs::remove_file(&path).expect("a removal"),
        }
        let error = run_at(&setup, &location).await.expect_err(file);
        assert_eq!(error.kind(), kind, "{file} {content:?}: {error}");
        assert!(error.message().contains(part), "{file} {content:?}: {error}");
    }
}

async fn run_at(setup: &Setup, location: &str) -> Result<()> {
    let context = session(1);
    let definition = QueryDefinition {
        name: None,
        plan: logical(&context, "SELECT value FROM n").await,
        output_mode: OutputMode::Append,
        trigger: setup.trigger,
        sink: SinkTarget::Rows(setup.sink.clone()),
        checkpoint_location: Some(location.to_string()),
        conf: setup.conf.clone(),
    };
    let mut registry = Registry::new();
    registry.add_source(Arc::new(NumbersProvider(setup.name)));
    let environment =
        Environment { registry: Arc::new(registry), manager: setup.manager.clone(), clock: Arc::clone(&setup.clock) };
    start(definition, environment, &context.state()).await?.await_termination().await
}

/// A listener that keeps what it is told.
#[derive(Default)]
struct Seen {
    started: AtomicUsize,
    idle: AtomicUsize,
    progress: Mutex<Vec<StreamingQueryProgress>>,
    ended: Mutex<Vec<Option<ErrorKind>>>,
    changed: Notify,
}

impl Seen {
    async fn wait_for(&self, batches: usize) {
        loop {
            let changed = self.changed.notified();
            if self.progress.lock().expect("a lock").len() >= batches {
                return;
            }
            changed.await;
        }
    }
}

impl StreamingQueryListener for Seen {
    fn on_query_started(&self, _: &QueryStarted) {
        self.started.fetch_add(1, Ordering::SeqCst);
    }

    fn on_query_progress(&self, progress: &StreamingQueryProgress) {
        self.progress.lock().expect("a lock").push(progress.clone());
        self.changed.notify_waiters();
    }

    fn on_query_idle(&self, _: &QueryIdle) {
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    fn on_query_terminated(&self, event: &QueryTerminated) {
        self.ended.lock().expect("a lock").push(event.exception.as_ref().map(crate::Error::kind));
    }
}
