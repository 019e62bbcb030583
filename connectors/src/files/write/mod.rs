//! The file sink: a folder of files, exactly once.
//!
//! Every writer makes files of its own names; they become the table's when the driver half creates `_spark_metadata/N`
//! with all of them in it. A batch whose number is in there already has no second effect. Files of attempts that failed
//! stay beside the table's, in no manifest and so in no reader's way. A batch without rows writes no files, only its
//! manifest entry.

mod encode;
#[cfg(test)]
mod full_disk_tests;
mod output;
mod partitioned;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use millstream_engine::checkpoint::{CompactLog, CompactLogOptions, Fence};
use millstream_engine::clock::{Clock, SystemClock};
use millstream_engine::options::Options;
use millstream_engine::sink::{
    CommitMessage, Delivery, OutputMode, Sink, SinkContext, SinkProvider, SinkSpec, SinkWriter, WriterTask,
};
use millstream_engine::state::Place;
use millstream_engine::{Error, ErrorKind, Result};
use millstream_formats::ddl::sql_type_name;
use millstream_formats::java_time::Zone;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::format::{Format, FormatOptions};
use super::location::{Location, blocking, disk_error};
use super::manifest::{SinkFile, log_options, manifest_place};
use super::options::{SOURCE_OPTIONS, milliseconds};
use encode::Compression;
use writer::FileSinkWriter;

/// Every how many batches old files of the manifest are removed.
const CLEAN_INTERVAL: u64 = 100;

/// `USING json`, `csv`, `parquet`, `text`, written.
#[derive(Debug)]
pub struct FileSinkProvider(Format);

impl FileSinkProvider {
    /// The sink of files of this format.
    pub fn new(format: Format) -> Self {
        Self(format)
    }
}

#[async_trait]
impl SinkProvider for FileSinkProvider {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn check(&self, spec: &SinkSpec) -> Result<()> {
        if spec.output_mode != OutputMode::Append {
            return Err(Error::unsupported(format!(
                "the {} sink does not support {} output mode: files are never rewritten; use append",
                self.0.name(),
                spec.output_mode
            )));
        }
        FileSinkOptions::parse(self.0, &spec.options, Zone::UTC)?;
        check_columns(self.0, spec)
    }

    async fn open(&self, spec: &SinkSpec, cx: SinkContext) -> Result<Arc<dyn Sink>> {
        let options = FileSinkOptions::parse(self.0, &spec.options, super::format::session_zone(&cx.conf)?)?;
        let place = manifest_place(&options.location)?;
        if let Some(folder) = place.local_path() {
            // From here on a reader goes by the manifest, so that it sees nothing before batch 0 is committed.
            blocking(move || std::fs::create_dir_all(&folder).map_err(|e| disk_error("create the folder", &folder, e)))
                .await?;
        }
        let sink = FileSink::open(spec, options, place, log_options(&cx.conf, "fileSink")?).await?;
        sink.refuse_foreign(cx.is_restart).await?;
        Ok(Arc::new(sink))
    }

    fn writer(&self, spec: &SinkSpec, task: WriterTask) -> Result<Box<dyn SinkWriter>> {
        let zone = match &task.context.session_config().options().execution.time_zone {
            Some(name) => Zone::parse(name).map_err(super::format::format_error)?,
            None => Zone::UTC,
        };
        let options = FileSinkOptions::parse(self.0, &spec.options, zone)?;
        let place = Place::open(&options.location.text(), &[])?;
        Ok(Box::new(FileSinkWriter::new(spec, options, place, zone, task)?))
    }
}

/// What a file sink was told.
#[derive(Clone, Debug)]
struct FileSinkOptions {
    location: Location,
    format: FormatOptions,
    compression: Compression,
    /// Entries older than this leave the manifest when it is compacted, in milliseconds.
    retention_ms: Option<u64>,
    max_records_per_file: Option<u64>,
}

impl FileSinkOptions {
    fn parse(format: Format, options: &Options, zone: Zone) -> Result<Self> {
        let mut reader = options.reader(format!("{} sink", format.name()));
        let path = reader.required("path", "the folder to write to")?;
        let location = Location::parse(&path)?;
        let retention = reader.text("retention");
        let retention_ms = retention
            .map(|text| {
                milliseconds(&text).ok_or_else(|| reader.bad_value("retention", &text, "a time such as '7d' or '12h'"))
            })
            .transpose()?;
        let max_records_per_file = match reader.parsed("maxRecordsPerFile", 0i64, "a whole number")? {
            ..=0 => None,
            records => u64::try_from(records).ok(),
        };
        let compression = Compression::parse(format, &mut reader)?;
        let format = FormatOptions::parse(format, &mut reader, options, zone)?;
        reader.also_known(SOURCE_OPTIONS);
        reader.finish()?;
        Ok(Self { location, format, compression, retention_ms, max_records_per_file })
    }
}

/// What a writer tells the driver half.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    files: Vec<SinkFile>,
    /// Time spent in making files durable.
    sync_nanos: u64,
}

#[derive(Debug)]
struct FileSink {
    spec: SinkSpec,
    options: FileSinkOptions,
    progress: Mutex<Manifest>,
    sync_nanos: AtomicU64,
}

#[derive(Debug)]
struct Manifest {
    log: CompactLog<SinkFile>,
    latest: Option<u64>,
}

impl FileSink {
    /// The sink whose manifest is in `place`.
    async fn open(
        spec: &SinkSpec,
        options: FileSinkOptions,
        place: Place,
        log_options: CompactLogOptions,
    ) -> Result<Self> {
        let log = CompactLog::open(place, log_options).await?;
        let latest = log.latest().await?;
        let progress = Mutex::new(Manifest { log, latest });
        Ok(Self { spec: spec.clone(), options, progress, sync_nanos: AtomicU64::new(0) })
    }

    /// Fails where a query that starts afresh finds batches of another one.
    async fn refuse_foreign(&self, is_restart: bool) -> Result<()> {
        match (self.progress.lock().await.latest, is_restart) {
            (Some(latest), false) => Err(Error::invalid(format!(
                "{} already holds the batches up to {latest} of another query (see its _spark_metadata), and a new query's batches 0 to {latest} would be taken for done: use another path, or the checkpoint of that query",
                self.options.location.display()
            ))),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    fn description(&self) -> String {
        format!("FileSink[{}]", self.options.location.display())
    }

    fn delivery(&self) -> Delivery {
        Delivery::Writers(self.spec.clone())
    }

    async fn commit(&self, batch_id: u64, messages: Vec<CommitMessage>, fence: &Fence) -> Result<()> {
        let mut manifest = self.progress.lock().await;
        if manifest.latest.is_some_and(|latest| latest >= batch_id) {
            tracing::info!("{} has batch {batch_id} already", self.description());
            return Ok(());
        }
        let mut files = Vec::new();
        let mut sync_nanos = 0;
        for message in messages {
            let written: Option<Written> = serde_json::from_value(message.payload)
                .map_err(|e| Error::internal(format!("not a commit message of the file sink: {e}")))?;
            let written = written.unwrap_or_default();
            files.extend(written.files);
            sync_nanos += written.sync_nanos;
        }
        fence.check().await?;
        let now_ms = SystemClock.now_ms();
        let retention_ms = self.options.retention_ms.and_then(|ms| i64::try_from(ms).ok());
        let added = match retention_ms {
            None => manifest.log.append(batch_id, &files).await,
            Some(ms) => manifest.log.add(batch_id, &files, |file| now_ms - file.modification_time <= ms).await,
        };
        match added {
            // The run that this one has taken over from had asked the fence before, and wrote the batch after: from the same
            // offsets, so with the same rows.
            Err(error) if error.kind() == ErrorKind::Fenced => {
                fence.check().await?;
                tracing::info!("{} was given batch {batch_id} by the run before", self.description());
            }
            added => added?,
        }
        manifest.latest = Some(batch_id);
        self.sync_nanos.fetch_add(sync_nanos, Ordering::Relaxed);
        if (batch_id + 1).is_multiple_of(CLEAN_INTERVAL) {
            manifest.log.clean(now_ms).await?;
        }
        Ok(())
    }

    fn metrics(&self) -> Vec<(String, String)> {
        let sync_ms = self.sync_nanos.load(Ordering::Relaxed) as f64 / 1e6;
        vec![("syncMs".to_string(), format!("{sync_ms:.3}"))]
    }
}

/// The columns that go into the files: all but those in the names of folders.
fn data_schema(spec: &SinkSpec) -> SchemaRef {
    let is_partition = |field: &Field| spec.partition_by.iter().any(|name| name.eq_ignore_ascii_case(field.name()));
    let fields = spec.schema.fields().iter().filter(|field| !is_partition(field));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

fn check_columns(format: Format, spec: &SinkSpec) -> Result<()> {
    let fields = spec.schema.fields();
    for (at, field) in fields.iter().enumerate() {
        if fields[..at].iter().any(|before| before.name().eq_ignore_ascii_case(field.name())) {
            return Err(Error::invalid(format!(
                "the {} sink was given two columns called {} (names ignore case): name one of them otherwise",
                format.name(),
                field.name()
            )));
        }
    }
    for name in &spec.partition_by {
        let Some(field) = fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)) else {
            let known: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            return Err(Error::invalid(format!(
                "partition column {name} is not among the columns {}{}",
                known.join(", "),
                millstream_engine::options::did_you_mean(name, known.iter().copied())
            )));
        };
        if field.data_type().is_nested() {
            return Err(Error::invalid(format!(
                "cannot use {} for partition column {name}: a folder's name must hold its value",
                sql_type_name(field.data_type())
            )));
        }
    }
    let data = data_schema(spec);
    if data.fields().is_empty() {
        return Err(Error::invalid("cannot use all columns for partition columns: none would be left for the files"));
    }
    match format {
        Format::Csv => match data.fields().iter().find(|field| field.data_type().is_nested()) {
            Some(field) => Err(Error::unsupported(format!(
                "the csv sink cannot write column {} of type {}: turn it into text, with to_json say",
                field.name(),
                sql_type_name(field.data_type())
            ))),
            None => Ok(()),
        },
        Format::Text if data.fields().len() != 1 || data.field(0).data_type() != &DataType::Utf8 => {
            Err(Error::invalid(format!(
                "the text sink writes a single column of type STRING, not {}: select one, with concat_ws or to_json say",
                millstream_formats::ddl::to_ddl(&data)
            )))
        }
        _ => Ok(()),
    }
}
