//! The reading half: ranges of offsets to batches of rows, wherever the plan runs.
//!
//! ```text
//! split: slot 0, ranges a-0 [5, 9), a-1 [0, 7)
//!        └► the reader of slot 0: one client, a lane for each partition ─► a-0's rows, then a-1's, in this order every time
//! ```
//! Readers live as long as the query runs, and their lanes go on fetching behind the end of a range: what comes is there
//! when the next batch asks. Bounded: by what `ahead.rs` grants each lane of the session's memory, and one batch of rows a
//! task.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::project_schema;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_execution::memory_pool::MemoryPool;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use millstream_engine::source::{ReadRequest, SourceSpec};
use millstream_engine::{Error, Result};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::ahead::Ahead;
use super::client::config_error;
use super::columns;
use super::lane::{Lane, Ready};
use super::limits::Range;
use super::loss;
use super::native::{Arrivals, Client, serve};
use super::offsets::TopicPartition;
use super::options::KafkaSourceOptions;

/// The readers of a run that nobody has asked for anything for so long are closed.
const IDLE: Duration = Duration::from_secs(300);

/// While nothing comes, the partition is looked at so often: its end may be before the range's.
const LOOK: Duration = Duration::from_secs(2);

/// What one task reads: these ranges, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Piece {
    /// The run of the query whose readers to use; `None` for a table read as a batch.
    pub(super) run: Option<Uuid>,
    /// Which of them.
    pub(super) slot: u32,
    /// How many partitions all of them have.
    pub(super) lanes: usize,
    /// What to read; a range without offsets asks for what will come there.
    pub(super) ranges: Vec<Range>,
}

/// The readers of one run of a query in this process.
#[derive(Debug)]
pub(super) struct Run {
    readers: Mutex<HashMap<u32, Reader>>,
    /// Told when messages arrive.
    pub(super) arrived: Arc<Notify>,
    used: Mutex<Instant>,
}

static RUNS: LazyLock<Mutex<HashMap<Uuid, Arc<Run>>>> = LazyLock::new(Mutex::default);

impl Run {
    /// The run `id`, opened where this process does not know it yet. Runs that were left are closed.
    pub(super) fn of(id: Uuid) -> Arc<Self> {
        let mut runs = lock(&RUNS);
        let left: Vec<Uuid> =
            runs.iter().filter(|(_, run)| lock(&run.used).elapsed() > IDLE).map(|(id, _)| *id).collect();
        for run in left.iter().filter(|other| **other != id).filter_map(|other| runs.remove(other)) {
            run.close_readers();
        }
        let run = runs.entry(id).or_insert_with(|| {
            Arc::new(Self { readers: Mutex::default(), arrived: Arc::default(), used: Mutex::new(Instant::now()) })
        });
        *lock(&run.used) = Instant::now();
        Arc::clone(run)
    }

    /// Ends the run `id`.
    pub(super) fn close(id: Uuid) {
        let run = lock(&RUNS).remove(&id);
        if let Some(run) = run {
            run.close_readers();
        }
    }

    fn close_readers(&self) {
        let readers: Vec<Reader> = lock(&self.readers).drain().map(|(_, reader)| reader).collect();
        if readers.is_empty() {
            return;
        }
        // A client takes its time to end its threads.
        std::thread::spawn(move || drop(readers));
    }

    /// The ends of partitions that are being fetched, as far as answers to fetches have told them.
    pub(super) fn known_ends(&self) -> HashMap<TopicPartition, i64> {
        let readers = lock(&self.readers);
        let lanes = readers.values().flat_map(|reader| reader.lanes.values());
        lanes.filter_map(|lane| Some((lane.at.clone(), lane.known_end()?))).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.close_readers();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Turns a split into batches.
pub(super) fn read(spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
    let piece: Piece = request.split.decode("kafka")?;
    let options = KafkaSourceOptions::parse(&spec.options, piece.run.is_some())?;
    let schema = project_schema(&spec.schema, Some(&request.projection))?;
    let reading = Reading {
        reader: Borrowed::of(&piece, &options, request.context.memory_pool())?,
        ranges: piece.ranges.into(),
        projection: request.projection,
        schema: Arc::clone(&schema),
        options,
        started: false,
    };
    let rows = stream::try_unfold(reading, |mut reading| async move {
        let batch = reading.next().await?;
        Ok(batch.map(|batch| (batch, reading)))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// One client and its lanes.
#[derive(Debug)]
struct Reader {
    // Dropped before the client.
    lanes: HashMap<TopicPartition, Lane>,
    arrivals: Arc<Arrivals>,
    client: ClientHandle,
    ahead: Ahead,
}

/// A client that says nothing of itself in logs.
struct ClientHandle(Arc<Client>);

impl std::fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("client")
    }
}

impl Reader {
    fn open(
        piece: &Piece,
        options: &KafkaSourceOptions,
        query: Arc<Notify>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self> {
        let ahead = Ahead::of(&options.client, piece.lanes, pool)?;
        let config = options.client.reading_config(&[
            ("queued.min.messages", &ahead.messages.to_string()),
            ("queued.max.messages.kbytes", &ahead.kbytes.to_string()),
            ("fetch.message.max.bytes", &(ahead.kbytes << 10).min(4 << 20).to_string()),
            // A seek, or a new lane, waits for the fetch that is under way.
            ("fetch.wait.max.ms", "20"),
            // A lane that was full is fetched again at once when it no longer is.
            ("fetch.queue.backoff.ms", "1"),
            ("fetch.error.backoff.ms", "100"),
            ("check.crcs", "false"),
            ("topic.metadata.propagation.max.ms", "3000"),
        ]);
        let client =
            Arc::new(config.create_with_context(super::client::ClientEvents::default()).map_err(config_error)?);
        let arrivals = Arc::new(Arrivals { query, ..Arrivals::default() });
        Ok(Self { lanes: HashMap::new(), arrivals, client: ClientHandle(client), ahead })
    }

    /// The lane of `at`, going on from `offset`.
    fn lane(&mut self, at: &TopicPartition, offset: i64) -> Result<&mut Lane> {
        if !self.lanes.contains_key(at) {
            let memory = self.ahead.for_lane(at)?;
            let lane = Lane::start(&self.client.0, at, offset, &self.arrivals, memory)?;
            self.lanes.insert(at.clone(), lane);
        }
        let lane = self.lanes.get_mut(at).ok_or_else(|| Error::internal("a lane that was just put in is not there"))?;
        lane.go_to(offset)?;
        Ok(lane)
    }
}

/// A reader on loan from its run, to which it goes back however the reading ends.
#[derive(Debug)]
struct Borrowed {
    reader: Option<Reader>,
    home: Option<(Arc<Run>, u32)>,
}

impl Borrowed {
    fn of(piece: &Piece, options: &KafkaSourceOptions, pool: &Arc<dyn MemoryPool>) -> Result<Self> {
        let (run, slot) = (piece.run.map(Run::of), piece.slot);
        let own = run.as_ref().and_then(|run| lock(&run.readers).remove(&slot));
        let reader = match own {
            Some(reader) => reader,
            // Of a split that is read twice at once, the second reading has a reader of its own for as long.
            None => {
                let arrived = run.as_ref().map(|run| Arc::clone(&run.arrived)).unwrap_or_default();
                Reader::open(piece, options, arrived, pool)?
            }
        };
        Ok(Self { reader: Some(reader), home: run.map(|run| (run, slot)) })
    }

    fn get(&mut self) -> Result<&mut Reader> {
        self.reader.as_mut().ok_or_else(|| Error::internal("a reader was used after it was given back"))
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let left = match (&self.home, self.reader.take()) {
            (Some((run, slot)), Some(reader)) => lock(&run.readers).insert(*slot, reader),
            (None, reader) => reader,
            _ => None,
        };
        if left.is_some() {
            std::thread::spawn(move || drop(left));
        }
    }
}

/// A piece being read.
#[derive(Debug)]
struct Reading {
    reader: Borrowed,
    ranges: VecDeque<Range>,
    projection: Vec<usize>,
    schema: SchemaRef,
    options: KafkaSourceOptions,
    started: bool,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.started {
            self.start()?;
        }
        while let Some(range) = self.ranges.front().cloned() {
            let rows = if range.size() == 0 { None } else { self.fill(&range).await? };
            let Some(rows) = rows else {
                self.ranges.pop_front();
                if let Some(next) = self.ranges.front().cloned() {
                    // Of a partition that was cut into several ranges, the next one.
                    self.reader.get()?.lane(&next.at, next.from)?;
                }
                continue;
            };
            let lane = self.reader.get()?.lanes.get_mut(&range.at);
            let lane = lane.ok_or_else(|| Error::internal(format!("the lane of {} is gone", range.at)))?;
            let batch = columns::batch(&mut lane.messages, rows, &range.at, &self.projection, &self.schema)?;
            lane.handed_out(rows);
            return Ok(Some(batch));
        }
        Ok(None)
    }

    /// Has all partitions fetched at once.
    fn start(&mut self) -> Result<()> {
        self.started = true;
        let reader = self.reader.get()?;
        // Lanes of partitions that are read elsewhere now, or not at all, fetch no more.
        reader.lanes.retain(|at, _| self.ranges.iter().any(|range| range.at == *at));
        for (index, range) in self.ranges.iter().enumerate() {
            if self.ranges.iter().take(index).all(|earlier| earlier.at != range.at) {
                reader.lane(&range.at, range.from)?;
            }
        }
        Ok(())
    }

    /// Waits for rows of `range`; how many there are now, or `None` at its end.
    async fn fill(&mut self, range: &Range) -> Result<Option<usize>> {
        let (mut heard, mut looked) = (Instant::now(), Instant::now());
        loop {
            let reader = self.reader.get()?;
            let lane = match reader.lanes.get_mut(&range.at) {
                Some(lane) => lane,
                None => reader.lane(&range.at, range.from)?,
            };
            match lane.ready(range.until) {
                Ready::Rows(rows) => return Ok(Some(rows)),
                Ready::Done => {
                    lane.is_done(range.until);
                    return Ok(None);
                }
                Ready::Stopped(code, text) => {
                    if !self.go_on_after(range, code, &text).await? {
                        return Ok(None);
                    }
                    continue;
                }
                Ready::NotYet => {}
            }
            if lane.take() {
                heard = Instant::now();
                continue;
            }
            serve(&reader.client.0);
            if let Some(refusal) = reader.client.0.context().refusal() {
                return Err(refusal);
            }
            if heard.elapsed() >= self.options.poll_timeout {
                return Err(self.silence(range));
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                if self.is_beyond_the_end(range).await
                    && !self.go_on_after(range, RDKafkaErrorCode::OffsetOutOfRange, "").await?
                {
                    return Ok(None);
                }
                continue;
            }
            let arrivals = Arc::clone(&self.reader.get()?.arrivals);
            // The time limit is there for what comes without a message: errors, and the end of patience.
            let _ = tokio::time::timeout(Duration::from_millis(50), arrivals.reader.notified()).await;
        }
    }

    /// Decides what follows when the partition has stopped: whether there is more of `range` to be read.
    async fn go_on_after(&mut self, range: &Range, code: RDKafkaErrorCode, text: &str) -> Result<bool> {
        let reader = self.reader.get()?;
        let position = reader.lanes.get(&range.at).map_or(range.from, |lane| lane.position);
        // A partition that has stopped is started anew.
        reader.lanes.remove(&range.at);
        if !loss::is_about_gone(code) {
            return Err(loss::refused(&range.at, code, text));
        }
        let client = Arc::clone(&reader.client.0);
        let there = loss::look(client, range.at.clone(), self.options.client.api_timeout).await;
        let rest = Range { from: position, ..range.clone() };
        let lost = loss::Lost::of(&rest, there?);
        if self.options.fail_on_data_loss {
            return Err(lost.error());
        }
        tracing::warn!("{}", lost.warning());
        match lost.goes_on_from() {
            Some(offset) => {
                self.reader.get()?.lane(&range.at, offset)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Whether the partition is gone, or ends before `range` does.
    async fn is_beyond_the_end(&mut self, range: &Range) -> bool {
        let Ok(reader) = self.reader.get() else { return false };
        match loss::look(Arc::clone(&reader.client.0), range.at.clone(), LOOK).await {
            Ok(Some(there)) => there.end < range.until,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn silence(&mut self, range: &Range) -> Error {
        let complaint = self.reader.get().map(|reader| reader.client.0.context().complaint()).unwrap_or_default();
        Error::unavailable(format!(
            "kafka source: no messages of {} came from {} within {} ms (option 'kafkaConsumer.pollTimeoutMs'){complaint}",
            range.at,
            self.options.client.bootstrap_servers(),
            self.options.poll_timeout.as_millis()
        ))
    }
}
