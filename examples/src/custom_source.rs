//! A source of your own: the lines of a log file that grows. Registered once, it is used like any other: `format("log")`,
//! or `USING log` in SQL.
//!
//! `cargo run -p examples -- custom_source`. The offset is a number of bytes. The bytes before it never change, so a batch
//! that a crash interrupted is read again as it was: with that alone, everything downstream is exactly once.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream::datafusion::arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};
use millstream::datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream::datafusion::error::DataFusionError;
use millstream::datafusion::execution::SendableRecordBatchStream;
use millstream::options::Options;
use millstream::prelude::*;
use millstream::source::{Offset, ReadLimit, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split};
use millstream::{Result, async_trait};

use crate::arguments::Folder;

pub(crate) async fn run() -> crate::Result<()> {
    let folder = Folder::of_arguments()?;
    let path = folder.path("mill.log");
    append(&path, "INFO weir opened\nINFO wheel turns\nWARN wheel slows down\nINFO wheel turns\n")?;

    let session = StreamSession::builder_with(|connectors| connectors.add_source(Arc::new(LogProvider)));
    let session = session.app_name("custom_source").build().await?;
    let lines = session.read_stream().format("log").option("maxBytesPerTrigger", 40).load(&path).await?;
    let levels = lines.select_expr(["split(line, ' ')[0] AS level", "position"])?;
    let levels =
        levels.group_by([col("level")])?.agg([count_all().alias("lines"), max(col("position")).alias("latest")])?;
    let query = levels.write_stream().query_name("levels").output_mode(OutputMode::Complete).format("memory");
    let query = query.start().await?;

    query.process_all_available().await?;
    session.sql("SELECT * FROM levels ORDER BY level").await?.show().await?;
    // A line that is not whole yet is left for later.
    append(&path, "ERROR wheel stands still\nINFO weir clo")?;
    query.process_all_available().await?;
    append(&path, "sed\n")?;
    query.process_all_available().await?;
    session.sql("SELECT * FROM levels ORDER BY level").await?.show().await?;
    Ok(query.stop().await?)
}

fn append(path: &str, text: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// What is registered: checks options, opens the source, reads.
#[derive(Debug)]
struct LogProvider;

/// The options.
#[derive(Clone, Debug)]
struct LogOptions {
    path: String,
    max_bytes: Option<u64>,
}

impl LogOptions {
    fn parse(options: &Options) -> Result<Self> {
        let mut reader = options.reader("log source");
        let path = reader.required("path", "the log file")?;
        let max_bytes = reader.positive("maxBytesPerTrigger")?;
        // Refuses what nobody has asked for, with the nearest name that there is.
        reader.finish()?;
        Ok(Self { path, max_bytes })
    }
}

/// A piece of the file: whole lines.
type Bytes = (u64, u64);

#[async_trait]
impl SourceProvider for LogProvider {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn schema(&self, given: Option<SchemaRef>, options: &Options, _: bool, _: &Options) -> Result<SchemaRef> {
        LogOptions::parse(options)?;
        match given {
            Some(_) => {
                Err(Error::invalid("log source: its columns are line STRING, position BIGINT; leave the schema out"))
            }
            None => Ok(Arc::new(Schema::new(vec![
                Field::new("line", DataType::Utf8, true),
                Field::new("position", DataType::Int64, true),
            ]))),
        }
    }

    async fn open(&self, spec: &SourceSpec, _: SourceContext) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Log { options: LogOptions::parse(&spec.options)?, ends_at: AtomicU64::new(u64::MAX) }))
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        let (from, to): Bytes = request.split.decode("log")?;
        let rows = read_lines(&LogOptions::parse(&spec.options)?.path, from, to, &spec.schema);
        request.rows(&spec.schema, [rows])
    }
}

/// What lives beside a query: knows what is new.
#[derive(Debug)]
struct Log {
    options: LogOptions,
    /// With the trigger "available now", what comes after this is for the next run.
    ends_at: AtomicU64,
}

#[async_trait]
impl Source for Log {
    fn description(&self) -> String {
        format!("Log[{}]", self.options.path)
    }

    fn read_limit(&self) -> ReadLimit {
        self.options.max_bytes.map_or(ReadLimit::AllAvailable, ReadLimit::MaxBytes)
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        Ok(Some(offset(0)))
    }

    async fn latest(&self, from: Option<&Offset>, limit: &ReadLimit) -> Result<Option<Offset>> {
        let max_bytes = if let ReadLimit::MaxBytes(bytes) = limit { *bytes } else { u64::MAX };
        let ends_at = self.ends_at.load(Ordering::Relaxed);
        end_of_lines(&self.options.path, position(from)?, max_bytes, ends_at).map(offset).map(Some)
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let bytes: Bytes = (position(from)?, position(Some(to))?);
        Ok(vec![Split::new(&bytes, bytes.1 - bytes.0)?])
    }

    async fn prepare_available_now(&self) -> Result<bool> {
        let file = std::fs::metadata(&self.options.path).map_err(|e| unreadable(&self.options.path, &e))?;
        self.ends_at.store(file.len(), Ordering::Relaxed);
        Ok(true)
    }
}

fn offset(bytes: u64) -> Offset {
    Offset::new(bytes.into())
}

fn position(offset: Option<&Offset>) -> Result<u64> {
    offset.map_or(Ok(0), |offset| offset.decode("log"))
}

fn unreadable(path: &str, error: &std::io::Error) -> Error {
    Error::unavailable(format!("log source: cannot read {path}: {error}"))
}

/// Where the last whole line ends that begins within `max_bytes` after `from`.
fn end_of_lines(path: &str, from: u64, max_bytes: u64, ends_at: u64) -> Result<u64> {
    let mut end = from;
    let mut walk = || {
        let mut file = BufReader::new(File::open(path)?);
        file.seek(SeekFrom::Start(from))?;
        let mut line = Vec::new();
        while end - from < max_bytes && file.read_until(b'\n', &mut line)? > 0 {
            if !line.ends_with(b"\n") || end + line.len() as u64 > ends_at {
                break;
            }
            end += line.len() as u64;
            line.clear();
        }
        Ok(())
    };
    walk().map_err(|error| unreadable(path, &error))?;
    Ok(end)
}

fn read_lines(path: &str, from: u64, to: u64, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut bytes = Vec::new();
    let mut read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        file.take(to - from).read_to_end(&mut bytes)
    };
    read().map_err(|error| unreadable(path, &error))?;
    let (mut lines, mut positions) = (StringBuilder::new(), Int64Builder::new());
    let mut at = from;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        lines.append_value(String::from_utf8_lossy(line).trim_end());
        positions.append_value(at as i64);
        at += line.len() as u64;
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(lines.finish()), Arc::new(positions.finish())];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns).map_err(DataFusionError::from)?)
}
