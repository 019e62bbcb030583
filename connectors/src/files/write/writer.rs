//! The writer of one partition of the plan: rows to files, within a bound of memory.
//!
//! Without `partitionBy` there is one file at a time. With it, rows wait by folder; when they are many, the largest heap
//! goes into its folder's file, and when too many files are open, the one longest unused is ended (rows that come for it
//! later start another). So neither many folders nor large ones hold more than the bounds here.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use millstream_engine::sink::{CommitMessage, SinkSpec, SinkWriter, WriterTask};
use millstream_engine::state::Place;
use millstream_engine::{Error, Result};
use millstream_formats::java_time::Zone;

use super::output::OutputFile;
use super::partitioned::Partitioner;
use super::{FileSinkOptions, Written, data_schema};
use crate::rows::arrow_error;

/// The most files open at a time.
const OPEN_FILES_MAX: usize = 32;

/// The most bytes of rows that wait for their file.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// The most bytes that open files hold in memory, together.
const HELD_BYTES_MAX: usize = 128 << 20;

/// The writer.
pub(super) struct FileSinkWriter {
    // Fixed.
    options: FileSinkOptions,
    schema: SchemaRef,
    place: Place,
    partitioner: Option<Partitioner>,
    name_stem: String,
    extension: String,
    // Changes.
    open: HashMap<String, OpenFile>,
    waiting: HashMap<String, Waiting>,
    waiting_bytes: usize,
    clock: u64,
    file_count: u64,
    written: Written,
    rows: u64,
    reservation: MemoryReservation,
}

struct OpenFile {
    file: OutputFile,
    last_used: u64,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl FileSinkWriter {
    /// The writer of `task`, to `place`, which is the options' location.
    pub(super) fn new(
        spec: &SinkSpec,
        options: FileSinkOptions,
        place: Place,
        zone: Zone,
        task: WriterTask,
    ) -> Result<Self> {
        let consumer = MemoryConsumer::new(format!("FileSink[{}]", options.location.display()));
        Ok(Self {
            schema: data_schema(spec),
            place,
            partitioner: Partitioner::new(spec, zone)?,
            name_stem: format!("part-{:05}-{}", task.partition, task.attempt),
            extension: options.compression.extension(&options.format),
            options,
            open: HashMap::new(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
            clock: 0,
            file_count: 0,
            written: Written::default(),
            rows: 0,
            reservation: consumer.register(task.context.memory_pool()),
        })
    }

    /// Adds rows to the file of `folder`, over as many files as `maxRecordsPerFile` makes of them.
    async fn add(&mut self, folder: &str, batch: RecordBatch) -> Result<()> {
        let rows_max = self.options.max_records_per_file.unwrap_or(u64::MAX);
        let mut at = 0;
        while at < batch.num_rows() {
            let file = self.file_of(folder).await?;
            let room = usize::try_from(rows_max - file.rows).unwrap_or(usize::MAX);
            let count = room.min(batch.num_rows() - at);
            file.write(&batch.slice(at, count)).await?;
            at += count;
            if file.rows >= rows_max {
                self.close(folder).await?;
            }
        }
        Ok(())
    }

    /// The open file of `folder`, which may be new.
    async fn file_of(&mut self, folder: &str) -> Result<&mut OutputFile> {
        self.clock += 1;
        if !self.open.contains_key(folder) {
            if self.open.len() >= OPEN_FILES_MAX {
                self.close_oldest().await?;
            }
            // Spark's two spellings: of files in partition folders, and of others.
            let dash = if self.partitioner.is_some() { '.' } else { '-' };
            let name = format!("{}{dash}c{:03}{}", self.name_stem, self.file_count, self.extension);
            self.file_count += 1;
            let (place, location) = match folder.is_empty() {
                true => (self.place.clone(), self.options.location.clone()),
                false => (self.place.child(folder), self.options.location.child(folder)),
            };
            let file = OutputFile::new(&self.options, &self.schema, place, location, name)?;
            self.open.insert(folder.to_string(), OpenFile { file, last_used: self.clock });
        }
        let open = self.open.get_mut(folder).ok_or_else(|| Error::internal("an open file went missing"))?;
        open.last_used = self.clock;
        Ok(&mut open.file)
    }

    async fn close(&mut self, folder: &str) -> Result<()> {
        if let Some(open) = self.open.remove(folder) {
            self.written.files.push(open.file.finish().await?);
        }
        Ok(())
    }

    async fn close_oldest(&mut self) -> Result<()> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.last_used).map(|(folder, _)| folder.clone());
        match oldest {
            Some(folder) => self.close(&folder).await,
            None => Ok(()),
        }
    }

    /// Puts rows beside the others of their folder.
    async fn wait(&mut self, folder: String, batch: RecordBatch) -> Result<()> {
        let bytes = batch.get_array_memory_size();
        let heap = self.waiting.entry(folder).or_default();
        heap.batches.push(batch);
        heap.bytes += bytes;
        self.waiting_bytes += bytes;
        while self.waiting_bytes > WAITING_BYTES_MAX {
            let largest = self.waiting.iter().max_by_key(|(_, heap)| heap.bytes).map(|(folder, _)| folder.clone());
            let Some(folder) = largest else { break };
            self.write_waiting(&folder).await?;
        }
        Ok(())
    }

    /// Writes the waiting rows of `folder`.
    async fn write_waiting(&mut self, folder: &str) -> Result<()> {
        let Some(heap) = self.waiting.remove(folder) else { return Ok(()) };
        self.waiting_bytes -= heap.bytes;
        let rows = concat_batches(&self.schema, &heap.batches).map_err(arrow_error)?;
        self.add(folder, rows).await
    }

    /// Accounts for what is held; ends files where it is too much.
    async fn settle(&mut self) -> Result<()> {
        loop {
            let open_bytes: usize = self.open.values_mut().map(|open| open.file.held_bytes()).sum();
            let is_granted = self.reservation.try_resize(open_bytes + self.waiting_bytes);
            match (&is_granted, open_bytes > HELD_BYTES_MAX && self.open.len() > 1) {
                (Ok(()), false) => return Ok(()),
                (Err(_), _) if self.open.is_empty() => {
                    is_granted?;
                    return Ok(());
                }
                _ => self.close_oldest().await?,
            }
        }
    }
}

#[async_trait]
impl SinkWriter for FileSinkWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        match &self.partitioner {
            None => self.add("", batch.with_schema(self.schema.clone()).map_err(arrow_error)?).await?,
            Some(partitioner) => {
                for (folder, rows) in partitioner.cut(&batch)? {
                    self.wait(folder, rows.with_schema(self.schema.clone()).map_err(arrow_error)?).await?;
                }
            }
        }
        self.settle().await
    }

    async fn finish(mut self: Box<Self>) -> Result<CommitMessage> {
        let mut folders: Vec<String> = self.waiting.keys().cloned().collect();
        folders.sort_unstable();
        for folder in folders {
            self.write_waiting(&folder).await?;
            self.close(&folder).await?;
        }
        let mut open: Vec<String> = self.open.keys().cloned().collect();
        open.sort_unstable();
        for folder in open {
            self.close(&folder).await?;
        }
        self.written.sync_nanos = self.place.io_stats().sync_nanos;
        let payload = serde_json::to_value(&self.written).map_err(|e| Error::internal(e.to_string()))?;
        Ok(CommitMessage { payload, rows: self.rows })
    }
}
