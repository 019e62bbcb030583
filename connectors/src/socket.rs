//! The `socket` source: lines of text that a server sends over TCP. For trying things out: not fault tolerant.
//!
//! Columns     `value STRING` and, with `includeTimestamp`, `timestamp TIMESTAMP` (when the line came)
//! Offset      the number of the newest line, a plain number; −1 before the first
//! Kept        lines live in this process until a batch with them is committed: a batch that a crash interrupted cannot
//!             be read again, and says so
//! Bounded     reading stops while a million lines wait
//!
//! Options: `host`, `port` (required), `includeTimestamp` (false), `numPartitions` (the cores).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use arrow::array::{ArrayRef, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::clock::Clock;
use millstream_engine::options::Options;
use millstream_engine::source::{
    Offset, ReadLimit, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split,
};
use millstream_engine::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::rate::refuse_schema;
use crate::rows::{BATCH_ROWS, arrow_error, default_parallelism};

/// The most lines that wait in memory; the sender is held up by TCP beyond that.
const LINES_MAX: usize = 1_000_000;

/// `USING socket`.
#[derive(Debug)]
pub(crate) struct SocketProvider;

#[async_trait]
impl SourceProvider for SocketProvider {
    fn name(&self) -> &'static str {
        "socket"
    }

    async fn schema(
        &self,
        given: Option<SchemaRef>,
        options: &Options,
        _streaming: bool,
        _conf: &Options,
    ) -> Result<SchemaRef> {
        refuse_schema(given.as_ref(), "socket", "value STRING (and timestamp TIMESTAMP with includeTimestamp)")?;
        Ok(SocketOptions::from_options(options)?.schema())
    }

    async fn open(&self, spec: &SourceSpec, cx: SourceContext) -> Result<Arc<dyn Source>> {
        let options = SocketOptions::from_options(&spec.options)?;
        let address = format!("{}:{}", options.host, options.port);
        let connection = TcpStream::connect((options.host.as_str(), options.port)).await.map_err(|e| {
            Error::unavailable(format!(
                "socket source: cannot connect to {address}: {e}; is something listening there?"
            ))
        })?;
        let lines = Arc::new(Lines {
            id: Uuid::new_v4(),
            kept: Mutex::default(),
            newest: watch::Sender::new(0),
            freed: Notify::new(),
        });
        let mut all = ALL_LINES.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lines| lines.strong_count() > 0);
        all.insert(lines.id, Arc::downgrade(&lines));
        drop(all);
        let receiving = tokio::spawn(receive(connection, Arc::clone(&lines), cx.clock, address));
        let base = AtomicI64::new(NOT_STARTED);
        Ok(Arc::new(SocketSource { options, lines, base, seen: AtomicI64::new(0), receiving }))
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        let piece: Piece = request.split.decode("socket")?;
        let lines = ALL_LINES.lock().unwrap_or_else(PoisonError::into_inner).get(&piece.lines).and_then(Weak::upgrade);
        let lines = lines.ok_or_else(|| lost("they were received by another process"))?;
        let batches = piece.rows(&lines, &spec.schema)?;
        request.rows(&spec.schema, batches.into_iter().map(Ok))
    }
}

#[derive(Clone, Debug)]
struct SocketOptions {
    host: String,
    port: u16,
    include_timestamp: bool,
    partitions: u64,
}

impl SocketOptions {
    fn from_options(options: &Options) -> Result<Self> {
        let mut reader = options.reader("socket source");
        let host = reader.required("host", "the name or address of the server that sends the lines")?;
        reader.required("port", "the port of the server that sends the lines")?;
        let port = reader.parsed("port", 0, "a port, 1 to 65535")?;
        let include_timestamp = reader.flag("includeTimestamp", false)?;
        let partitions = reader.positive("numPartitions")?.unwrap_or(default_parallelism() as u64);
        reader.finish()?;
        Ok(Self { host, port, include_timestamp, partitions })
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("value", DataType::Utf8, true)];
        if self.include_timestamp {
            let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            fields.push(Field::new("timestamp", timestamp, true));
        }
        Arc::new(Schema::new(fields))
    }
}

/// The lines of one connection, found by id when a split of them is read.
#[derive(Debug)]
struct Lines {
    id: Uuid,
    kept: Mutex<Kept>,
    /// How many lines have come in.
    newest: watch::Sender<i64>,
    /// Wakes the receiver when there is room again.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number, from 0, of the first line that is still here.
    first: i64,
    lines: VecDeque<(String, i64)>,
    /// Why no more lines will come.
    ended: Option<String>,
}

static ALL_LINES: LazyLock<Mutex<HashMap<Uuid, Weak<Lines>>>> = LazyLock::new(Mutex::default);

impl Lines {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in lines until the connection ends.
async fn receive(connection: TcpStream, lines: Arc<Lines>, clock: Arc<dyn Clock>, address: String) {
    let mut reader = BufReader::new(connection);
    let mut bytes = Vec::new();
    let ended = loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes).await {
            Ok(0) => break format!("{address} has closed the connection"),
            Ok(_) => {}
            Err(e) => break format!("the connection to {address} failed: {e}"),
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let line = (String::from_utf8_lossy(text).into_owned(), clock.now_ms() * 1000);
        while lines.lock().lines.len() >= LINES_MAX {
            lines.freed.notified().await;
        }
        lines.lock().lines.push_back(line);
        lines.newest.send_modify(|count| *count += 1);
    };
    tracing::warn!("socket source: {ended}");
    lines.lock().ended = Some(ended);
}

const NOT_STARTED: i64 = i64::MIN;

#[derive(Debug)]
struct SocketSource {
    options: SocketOptions,
    lines: Arc<Lines>,
    /// What to add to the number of a line of this connection to get its offset: a restart goes on counting.
    base: AtomicI64,
    /// How many lines the query knows of.
    seen: AtomicI64,
    receiving: tokio::task::JoinHandle<()>,
}

impl SocketSource {
    /// `base`, set by the first offset that this run starts from.
    fn base(&self, from: i64) -> i64 {
        match self.base.compare_exchange(NOT_STARTED, from + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => from + 1,
            Err(base) => base,
        }
    }
}

#[async_trait]
impl Source for SocketSource {
    fn description(&self) -> String {
        format!("TextSocketV2[host: {}, port: {}]", self.options.host, self.options.port)
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        Ok(Some(Offset::new((-1).into())))
    }

    async fn latest(&self, from: Option<&Offset>, _limit: &ReadLimit) -> Result<Option<Offset>> {
        let from: i64 = from.map_or(Ok(-1), |offset| offset.decode("socket"))?;
        let base = self.base(from);
        let count = *self.lines.newest.borrow();
        self.seen.store(count, Ordering::Relaxed);
        Ok(Some(Offset::new((base + count - 1).max(from).into())))
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let from: i64 = from.map_or(Ok(-1), |offset| offset.decode("socket"))?;
        let to: i64 = to.decode("socket")?;
        let base = match self.base.load(Ordering::Relaxed) {
            NOT_STARTED if to > from => return Err(lost("they were received before a restart")),
            NOT_STARTED => return Ok(Vec::new()),
            base => base,
        };
        let (first, end) = (from + 1 - base, to + 1 - base);
        let kept = self.lines.lock();
        if first < kept.first || end > kept.first + kept.lines.len() as i64 {
            return Err(lost("they were received before a restart"));
        }
        let count = u64::try_from(end - first).unwrap_or(0);
        let of = self.options.partitions.min(count);
        (0..of)
            .map(|index| {
                let piece = Piece { lines: self.lines.id, first, end, index, of };
                Split::new(&piece, count / of)
            })
            .collect()
    }

    async fn commit(&self, offset: &Offset) -> Result<()> {
        let committed: i64 = offset.decode("socket")?;
        let base = self.base.load(Ordering::Relaxed);
        let mut kept = self.lines.lock();
        while base != NOT_STARTED && kept.first + base <= committed && kept.lines.pop_front().is_some() {
            kept.first += 1;
        }
        self.lines.freed.notify_one();
        Ok(())
    }

    fn metrics(&self, _consumed: Option<&Offset>) -> Vec<(String, String)> {
        self.lines.lock().ended.iter().map(|why| ("ended".to_string(), why.clone())).collect()
    }

    async fn changed(&self) {
        let seen = self.seen.load(Ordering::Relaxed);
        // The sender lives in `lines`, so it is never gone.
        let _ = self.lines.newest.subscribe().wait_for(|count| *count > seen).await;
    }

    async fn stop(&self) {
        self.receiving.abort();
    }
}

impl Drop for SocketSource {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

fn lost(why: &str) -> Error {
    Error::unavailable(format!(
        "socket source: the lines of this batch are gone: {why}; this source is not fault tolerant, start over with a new checkpoint"
    ))
}

/// Every `of`th line of a range.
#[derive(Debug, Serialize, Deserialize)]
struct Piece {
    lines: Uuid,
    first: i64,
    end: i64,
    index: u64,
    of: u64,
}

impl Piece {
    fn rows(&self, lines: &Lines, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let kept = lines.lock();
        let start = usize::try_from(self.first - kept.first).map_err(|_| lost("they have been committed"))?;
        let end = usize::try_from(self.end - kept.first).map_err(|_| lost("they have been committed"))?;
        if end > kept.lines.len() {
            return Err(lost("they have been committed"));
        }
        let own: Vec<&(String, i64)> =
            kept.lines.range(start..end).skip(self.index as usize).step_by(self.of.max(1) as usize).collect();
        own.chunks(BATCH_ROWS).map(|chunk| batch(chunk, schema)).collect()
    }
}

fn batch(lines: &[&(String, i64)], schema: &SchemaRef) -> Result<RecordBatch> {
    let mut values = StringBuilder::new();
    let mut times = TimestampMicrosecondBuilder::new();
    for (text, at) in lines {
        values.append_value(text);
        times.append_value(*at);
    }
    let times = times.finish().with_timezone("UTC");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(values.finish())];
    if schema.fields().len() == 2 {
        columns.push(Arc::new(times));
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(arrow_error)
}
