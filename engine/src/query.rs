//! A streaming query: [`start`] checks and plans it, opens its checkpoint, sources and sink, and sets its loop going; the
//! [`StreamingQuery`] handle watches, awaits and stops it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use datafusion_expr::LogicalPlan;
use datafusion_physical_plan::{ExecutionPlan, displayable};
use datafusion_session::Session;
use futures::FutureExt;
use millstream_state::Place;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::batch_loop::{BatchLoop, Planned};
use crate::checkpoint::{Checkpoint, QueryMetadata};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::listener::{QueryStarted, QueryTerminated};
use crate::manager::StreamingQueryManager;
use crate::options::Options;
use crate::plan::check::check_streaming;
use crate::plan::{SinkExec, StreamTable, codec, limit_streams, number_streams, replace_clock_functions};
use crate::progress::{StreamingQueryProgress, StreamingQueryStatus, iso_timestamp};
use crate::query_state::QueryState;
use crate::registry::Registry;
use crate::sink::{Delivery, OutputMode, Sink, SinkContext, SinkSpec};
use crate::source::{Source, SourceContext};
use crate::stateful::make_stateful;
use crate::trigger::Trigger;

/// Where a query's rows go.
#[derive(Clone, Debug)]
pub enum SinkTarget {
    /// A connector of the registry, with its options and `partitionBy` columns.
    Connector {
        /// The connector's name.
        connector: String,
        /// Its options, without those of the writer (`checkpointLocation` and so on).
        options: Options,
        /// The columns of `partitionBy`.
        partition_by: Vec<String>,
    },
    /// A sink that is already there, such as a closure. It takes rows.
    Rows(Arc<dyn Sink>),
}

/// Everything that makes a query.
#[derive(Clone, Debug)]
pub struct QueryDefinition {
    /// Its name, unique among the session's running queries.
    pub name: Option<String>,
    /// What it computes: analysed, not optimised.
    pub plan: LogicalPlan,
    /// Which rows a batch gives to the sink.
    pub output_mode: OutputMode,
    /// When batches run.
    pub trigger: Trigger,
    /// Where its rows go.
    pub sink: SinkTarget,
    /// Its checkpoint folder: a path or URL. `None` where the sink may do without: a temporary one is used.
    pub checkpoint_location: Option<String>,
    /// The session's configuration when it was started: `spark.sql.streaming.*` and the like.
    pub conf: Options,
}

/// What a query runs in.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Connectors.
    pub registry: Arc<Registry>,
    /// The session's queries and listeners.
    pub manager: StreamingQueryManager,
    /// Where the query takes its time from.
    pub clock: Arc<dyn Clock>,
}

/// Checks, plans and starts a query. Returns when it has begun to look for data; what can be refused has been refused.
///
/// `session` plans it, configured by [`configure_for_streams`](crate::plan::configure_for_streams).
pub async fn start(
    definition: QueryDefinition,
    environment: Environment,
    session: &dyn Session,
) -> Result<Arc<StreamingQuery>> {
    let label = definition.name.clone();
    start_named(definition, environment, session).await.map_err(|e| match label {
        Some(name) => e.in_query(&name),
        None => e,
    })
}

async fn start_named(
    definition: QueryDefinition,
    environment: Environment,
    session: &dyn Session,
) -> Result<Arc<StreamingQuery>> {
    environment.manager.check_name(definition.name.as_deref())?;
    let (logical, streams) = stream_plan(&definition.plan, definition.output_mode, &definition.conf, session)?;
    let physical = session.create_physical_plan(&logical).await?;

    let sink_spec = sink_spec(&definition, &physical, &environment.registry)?;
    let (place, temporary) = checkpoint_place(&definition, &environment.registry)?;
    let run_id = Uuid::new_v4();
    stop_older_run(&place, &definition.conf).await?;
    let checkpoint = Checkpoint::open(place, run_id, environment.clock.now_ms()).await?;
    let conf = Arc::new(definition.conf.clone());
    let sink: Arc<dyn Sink> = match (&definition.sink, sink_spec) {
        (SinkTarget::Connector { connector, .. }, Some(spec)) => {
            let cx = SinkContext {
                query_id: checkpoint.query_id,
                checkpoint: checkpoint.place.clone(),
                is_restart: checkpoint.is_restart,
                conf: Arc::clone(&conf),
            };
            environment.registry.sink(connector)?.open(&spec, cx).await?
        }
        (SinkTarget::Rows(sink), _) => Arc::clone(sink),
        (SinkTarget::Connector { .. }, None) => return Err(Error::internal("a connector's sink has no specification")),
    };
    let physical = match sink.delivery() {
        Delivery::Writers(spec) => Arc::new(SinkExec::new(physical, spec)) as Arc<dyn ExecutionPlan>,
        Delivery::Rows => physical,
    };
    let physical = through_the_codec(physical, session)?;

    let mut sources: Vec<Arc<dyn Source>> = Vec::with_capacity(streams.len());
    for (number, stream) in streams.iter().enumerate() {
        let cx = SourceContext {
            metadata: checkpoint.place.child("sources").child(&number.to_string()),
            clock: Arc::clone(&environment.clock),
            conf: Arc::clone(&conf),
        };
        sources.push(environment.registry.source(&stream.spec().connector)?.open(stream.spec(), cx).await?);
    }
    let recovered = checkpoint.recover(sources.len()).await?;
    let pool = &session.runtime_env().memory_pool;
    let state = QueryState::of_plan(&checkpoint, &recovered, &physical, &definition.conf, pool).await?;
    let query = Arc::new(StreamingQuery {
        id: checkpoint.query_id,
        run_id,
        name: definition.name.clone(),
        plan_text: format!("{}", displayable(physical.as_ref()).indent(false)),
        shared: Shared::new(definition.conf.get("spark.sql.streaming.numRecentProgressUpdates")),
        stop: CancellationToken::new(),
        stop_timeout: stop_timeout(&definition.conf)?,
    });
    let planned =
        Planned { plan: physical, task_context: session.task_ctx(), registry: Arc::clone(&environment.registry) };
    let batch_loop = BatchLoop::new(
        Arc::clone(&query),
        &definition,
        &environment,
        planned,
        checkpoint,
        sources,
        sink,
        recovered,
        state,
    )?;
    launch(query, batch_loop, environment, temporary)
}

/// What `plan` becomes before it is optimised and run in `mode`, and its streams in the order of the offset log.
///
/// # Errors
/// Why it cannot run so.
pub fn stream_plan(
    plan: &LogicalPlan,
    mode: OutputMode,
    conf: &Options,
    session: &dyn Session,
) -> Result<(LogicalPlan, Vec<StreamTable>)> {
    check_streaming(plan, mode)?;
    let time_zone = session.config_options().execution.time_zone.clone().unwrap_or_else(|| "UTC".to_string());
    let logical = replace_clock_functions(plan.clone(), &time_zone)?;
    let logical = limit_streams(logical, mode)?;
    let logical = make_stateful(logical, mode, state_partitions(conf)?)?;
    Ok(number_streams(logical)?)
}

/// How many state partitions the query has: as many as cores, unless the configuration says otherwise.
fn state_partitions(conf: &Options) -> Result<usize> {
    let key = "spark.sql.shuffle.partitions";
    match conf.get(key) {
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        Some(text) => text.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
            Error::invalid(format!("configuration '{key}' is '{text}', expected a whole number, at least 1"))
        }),
    }
}

/// Tells the listeners, and sets the loop going in a task of its own.
fn launch(
    query: Arc<StreamingQuery>,
    batch_loop: BatchLoop,
    environment: Environment,
    temporary: Option<tempdir::TemporaryFolder>,
) -> Result<Arc<StreamingQuery>> {
    let started = QueryStarted {
        id: query.id,
        run_id: query.run_id,
        name: query.name.clone(),
        timestamp: iso_timestamp(environment.clock.now_ms()),
    };
    environment.manager.add(&query);
    environment.manager.notify(|listener| listener.on_query_started(&started));
    let handle = Arc::clone(&query);
    tokio::spawn(async move {
        let outcome = std::panic::AssertUnwindSafe(batch_loop.run()).catch_unwind().await;
        let exception = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.in_query(&handle.label())),
            Err(panic) => {
                Some(Error::internal(format!("the query panicked: {}", panic_text(&panic))).in_query(&handle.label()))
            }
        };
        drop(temporary);
        handle.shared.set_message(match &exception {
            None => "Stopped".to_string(),
            Some(error) => format!("Terminated with exception: {error}"),
        });
        debug!(query = handle.label(), failed = exception.is_some(), "query ended");
        environment.manager.remove(&QueryTerminated {
            id: handle.id,
            run_id: handle.run_id,
            exception: exception.clone(),
        });
        handle.shared.outcome.send_replace(Some(exception));
    });
    Ok(query)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// The specification of a connector's sink, checked. `None` for a sink that is already there.
fn sink_spec(
    definition: &QueryDefinition,
    plan: &Arc<dyn ExecutionPlan>,
    registry: &Registry,
) -> Result<Option<SinkSpec>> {
    let SinkTarget::Connector { connector, options, partition_by } = &definition.sink else { return Ok(None) };
    let spec = SinkSpec {
        connector: connector.to_lowercase(),
        options: options.clone(),
        schema: plan.schema(),
        partition_by: partition_by.clone(),
        output_mode: definition.output_mode,
        query_name: definition.name.clone(),
    };
    registry.sink(connector)?.check(&spec)?;
    Ok(Some(spec))
}

/// The checkpoint folder: the one named, or under the session's default root, or a temporary one where the sink allows it.
fn checkpoint_place(
    definition: &QueryDefinition,
    registry: &Registry,
) -> Result<(Place, Option<tempdir::TemporaryFolder>)> {
    let storage: Vec<(String, String)> = definition
        .conf
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("millstream.storage.")?.to_string(), value.to_string())))
        .collect();
    if let Some(location) = &definition.checkpoint_location {
        return Ok((Place::open(location, &storage)?, None));
    }
    if let Some(root) = definition.conf.get("spark.sql.streaming.checkpointLocation") {
        let name = definition.name.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        return Ok((Place::open(root, &storage)?.child(&name), None));
    }
    let may_be_temporary = match &definition.sink {
        SinkTarget::Rows(_) => true,
        SinkTarget::Connector { connector, .. } => registry.sink(connector)?.may_use_temporary_checkpoint(),
    };
    if !may_be_temporary {
        return Err(Error::invalid(
            "checkpointLocation must be specified: set the option checkpointLocation, or spark.sql.streaming.checkpointLocation for all queries",
        ));
    }
    let folder = tempdir::TemporaryFolder::create()?;
    Ok((Place::open(&folder.location(), &[])?, Some(folder)))
}

/// Stops the run of the same query that this process has going: the newer one takes over.
async fn stop_older_run(place: &Place, conf: &Options) -> Result<()> {
    let Some(metadata) = QueryMetadata::read(place).await? else { return Ok(()) };
    let Some(older) = StreamingQueryManager::running_anywhere(metadata.id) else { return Ok(()) };
    if conf.get("spark.sql.streaming.stopActiveRunOnRestart").is_some_and(|v| v.eq_ignore_ascii_case("false")) {
        return Err(Error::invalid(format!(
            "the query with id {} is already running (run {}): stop it, or set spark.sql.streaming.stopActiveRunOnRestart to true",
            metadata.id,
            older.run_id()
        )));
    }
    warn!(query = older.label(), "stopping the older run of a query that was started again");
    older.stop().await
}

/// How long stopping may take; 0 is for ever.
fn stop_timeout(conf: &Options) -> Result<Option<Duration>> {
    let millis =
        conf.reader("configuration").parsed("spark.sql.streaming.stopTimeout", 0, "milliseconds, 0 or more")?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// What runs is what another process would be sent: a node that lost something on the way would be noticed at once.
fn through_the_codec(plan: Arc<dyn ExecutionPlan>, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let context = session.task_ctx();
    Ok(codec::decode_plan(&codec::encode_plan(&plan)?, &context)?)
}

/// A running or ended query.
#[derive(Debug)]
pub struct StreamingQuery {
    id: Uuid,
    run_id: Uuid,
    name: Option<String>,
    plan_text: String,
    pub(crate) shared: Shared,
    pub(crate) stop: CancellationToken,
    /// How long [`stop`](Self::stop) waits; `None` is for ever.
    stop_timeout: Option<Duration>,
}

impl StreamingQuery {
    /// The query's id, the same in every run on its checkpoint.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The id of this run.
    pub fn run_id(&self) -> Uuid {
        self.run_id
    }

    /// Its name, where it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its name, or its id where it has none.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// Whether it runs.
    pub fn is_active(&self) -> bool {
        self.shared.outcome.borrow().is_none()
    }

    /// Why it ended, where it failed.
    pub fn exception(&self) -> Option<Error> {
        self.shared.outcome.borrow().clone().flatten()
    }

    /// What it is doing.
    pub fn status(&self) -> StreamingQueryStatus {
        self.shared.lock().status.clone()
    }

    /// The newest batches, oldest first: as many as `spark.sql.streaming.numRecentProgressUpdates` says, 100 by default.
    pub fn recent_progress(&self) -> Vec<StreamingQueryProgress> {
        self.shared.lock().recent.iter().cloned().collect()
    }

    /// The newest batch.
    pub fn last_progress(&self) -> Option<StreamingQueryProgress> {
        self.shared.lock().recent.back().cloned()
    }

    /// Waits until it ends. Fails with its error, if it failed.
    pub async fn await_termination(&self) -> Result<()> {
        let mut outcome = self.shared.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await;
        match ended.map(|outcome| outcome.clone()) {
            Ok(Some(Some(error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// As [`await_termination`](Self::await_termination), for at most `timeout`; whether it has ended.
    pub async fn await_termination_for(&self, timeout: Duration) -> Result<bool> {
        match tokio::time::timeout(timeout, self.await_termination()).await {
            Ok(result) => result.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Waits until everything that is there now has been processed. For tests: with data that keeps coming it waits for
    /// as long as there is always something new. Fails with the query's error, if it fails.
    pub async fn process_all_available(&self) -> Result<()> {
        let asked = self.shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.shared.poke.notify_one();
        let mut caught_up = self.shared.caught_up.subscribe();
        tokio::select! {
            _ = caught_up.wait_for(|seen| *seen >= asked) => Ok(()),
            ended = self.await_termination() => ended,
        }
    }

    /// Stops it and waits until it has stopped. A batch that is running is abandoned, unless it is already being
    /// committed: then it is committed. Nothing is lost; the next run goes on where this one ended. Fails only when it
    /// has failed before; stopping twice is harmless.
    pub async fn stop(&self) -> Result<()> {
        self.stop.cancel();
        let mut outcome = self.shared.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some);
        let Some(timeout) = self.stop_timeout else {
            let _ = ended.await;
            return Ok(());
        };
        match tokio::time::timeout(timeout, ended).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::unavailable(format!(
                "query {} did not stop within {} ms (spark.sql.streaming.stopTimeout); it ends with its batch",
                self.label(),
                timeout.as_millis()
            ))),
        }
    }

    /// Its physical plan.
    pub fn explain(&self) -> &str {
        &self.plan_text
    }
}

/// What the loop tells the handle, and the handle the loop.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<Watched>,
    recent_kept: usize,
    /// `None` while the query runs; then how it ended.
    outcome: watch::Sender<Option<Option<Error>>>,
    /// How often somebody asked to be told when everything is processed, and the newest request that has been answered.
    pub(crate) asked: AtomicU64,
    pub(crate) caught_up: watch::Sender<u64>,
    /// Wakes an idle loop.
    pub(crate) poke: Notify,
}

#[derive(Debug)]
struct Watched {
    status: StreamingQueryStatus,
    recent: VecDeque<StreamingQueryProgress>,
}

impl Shared {
    fn new(recent_kept: Option<&str>) -> Self {
        let status = StreamingQueryStatus {
            message: "Initializing sources".to_string(),
            is_data_available: false,
            is_trigger_active: false,
        };
        Self {
            state: Mutex::new(Watched { status, recent: VecDeque::new() }),
            recent_kept: recent_kept.and_then(|n| n.parse().ok()).unwrap_or(100),
            outcome: watch::channel(None).0,
            asked: AtomicU64::new(0),
            caught_up: watch::channel(0).0,
            poke: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn set_message(&self, message: String) {
        let mut watched = self.lock();
        watched.status = StreamingQueryStatus { message, is_data_available: false, is_trigger_active: false };
    }

    pub(crate) fn set_status(&self, message: &str, is_trigger_active: bool, is_data_available: Option<bool>) {
        let status = &mut self.lock().status;
        status.message.clear();
        status.message.push_str(message);
        status.is_trigger_active = is_trigger_active;
        if let Some(available) = is_data_available {
            status.is_data_available = available;
        }
    }

    pub(crate) fn add_progress(&self, progress: StreamingQueryProgress) {
        let recent = &mut self.lock().recent;
        recent.push_back(progress);
        while recent.len() > self.recent_kept {
            recent.pop_front();
        }
    }
}

/// Temporary checkpoint folders, for sinks that need not remember.
mod tempdir {
    use std::path::PathBuf;

    use crate::error::{Error, Result};

    /// A folder that is removed with the value.
    #[derive(Debug)]
    pub(super) struct TemporaryFolder(PathBuf);

    impl TemporaryFolder {
        pub(super) fn create() -> Result<Self> {
            let path = std::env::temp_dir().join(format!("millstream-temporary-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir_all(&path).map_err(|e| {
                Error::unavailable(format!("the temporary checkpoint {} cannot be made: {e}", path.display()))
            })?;
            Ok(Self(path))
        }

        pub(super) fn location(&self) -> String {
            self.0.to_string_lossy().into_owned()
        }
    }

    impl Drop for TemporaryFolder {
        fn drop(&mut self) {
            if let Err(error) = std::fs::remove_dir_all(&self.0) {
                tracing::debug!(folder = %self.0.display(), %error, "a temporary checkpoint was left behind");
            }
        }
    }
}
