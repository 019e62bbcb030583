//! A disk that is full at any one step of a batch: the batch fails, nothing of it is seen, and it can be run again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion_execution::TaskContext;
use futures::TryStreamExt;
use millstream_engine::checkpoint::Fence;
use millstream_engine::sink::{OutputMode, SinkWriter, WriterTask};
use millstream_engine::source::{ReadRequest, SourceProvider, SourceSpec};
use millstream_engine::state::{Disk, LocalStorage, OsDisk};
use millstream_engine::{ErrorKind, Result};
use uuid::Uuid;

use super::*;
use crate::files::FileSourceProvider;

/// The machine's disk, until so many more steps have been taken.
#[derive(Debug)]
struct FullAfter(AtomicI64);

impl FullAfter {
    fn step(&self) -> io::Result<()> {
        match self.0.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }
}

impl Disk for FullAfter {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| OsDisk.create_folder(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        self.step().and_then(|()| OsDisk.create_file(path))
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.step().and_then(|()| OsDisk.append(file, bytes))
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.step().and_then(|()| OsDisk.sync_file(file))
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step().and_then(|()| OsDisk.publish(from, to))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| OsDisk.sync_folder(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }
}

struct Output {
    folder: PathBuf,
    fence: Fence,
}

impl Output {
    fn rows(first: i64) -> RecordBatch {
        let keys = StringArray::from(vec!["a", "b", "a", "c"]);
        let values = Int64Array::from_iter_values(first..first + 4);
        RecordBatch::try_from_iter([("k", Arc::new(keys) as _), ("v", Arc::new(values) as _)]).expect("rows")
    }

    fn spec(&self, partition_by: &[&str]) -> SinkSpec {
        let path = self.folder.to_str().expect("a path in UTF-8");
        SinkSpec {
            connector: "parquet".to_string(),
            options: Options::new().with("path", path),
            schema: Self::rows(0).schema(),
            partition_by: partition_by.iter().map(|name| name.to_string()).collect(),
            output_mode: OutputMode::Append,
            query_name: None,
        }
    }

    /// Writes and commits a batch in a new run of the sink, on `disk`.
    async fn run(&self, partition_by: &[&str], batch_id: u64, disk: Arc<dyn Disk>) -> Result<()> {
        let spec = self.spec(partition_by);
        let options = FileSinkOptions::parse(Format::Parquet, &spec.options, Zone::UTC)?;
        let place = Place::from_storage(Arc::new(LocalStorage::with_disk(&self.folder, disk)?));
        let log_options = CompactLogOptions { compact_interval: 3, ..CompactLogOptions::default() };
        let manifest = place.child(super::super::manifest::MANIFEST_FOLDER);
        let sink = FileSink::open(&spec, options.clone(), manifest, log_options).await?;
        let context = Arc::new(TaskContext::default());
        let task = WriterTask { partition: 0, batch_id, attempt: Uuid::new_v4(), context };
        let mut writer: Box<dyn SinkWriter> = Box::new(FileSinkWriter::new(&spec, options, place, Zone::UTC, task)?);
        writer.write(Self::rows(i64::try_from(batch_id).unwrap_or(0) * 4)).await?;
        let message = writer.finish().await?;
        sink.commit(batch_id, vec![message], &self.fence).await
    }

    /// The values a reader sees, sorted.
    async fn values(&self) -> Result<Vec<i64>> {
        let reader = FileSourceProvider::new(Format::Parquet);
        let spec = self.spec(&[]);
        let table = SourceSpec { connector: spec.connector, options: spec.options, schema: spec.schema };
        let mut values = Vec::new();
        for split in reader.batch_splits(&table).await? {
            let request = ReadRequest { split, projection: vec![1], context: Arc::new(TaskContext::default()) };
            for rows in reader.read(&table, request)?.try_collect::<Vec<_>>().await? {
                let column = rows.column(0).as_any().downcast_ref::<Int64Array>().expect("numbers");
                values.extend(column.values().iter().copied());
            }
        }
        values.sort_unstable();
        Ok(values)
    }
}

#[tokio::test]
async fn a_full_disk_at_any_step_loses_and_doubles_nothing() -> Result<()> {
    for partition_by in [vec![], vec!["k"]] {
        let mut failed_steps = 0;
        for steps in 0.. {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let checkpoint = folder.path().join("cp");
            let checkpoint = Place::open(checkpoint.to_str().expect("a path in UTF-8"), &[])?;
            let fence = Fence::claim(&checkpoint, Uuid::new_v4(), 0).await?;
            let output = Output { folder: folder.path().join("out"), fence };
            output.run(&partition_by, 0, Arc::new(OsDisk)).await?;
            output.run(&partition_by, 1, Arc::new(OsDisk)).await?;
            // Batch 2 folds the manifest.
            let disk = Arc::new(FullAfter(AtomicI64::new(steps)));
            let failed = output.run(&partition_by, 2, Arc::clone(&disk) as _).await;
            let Err(error) = failed else {
                assert!(!disk.is_full(), "a failed step went unnoticed");
                break;
            };
            failed_steps += 1;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.message().contains("/out"), "{error}");
            let seen = output.values().await?;
            assert!(
                seen == (0..8).collect::<Vec<_>>() || seen == (0..12).collect::<Vec<_>>(),
                "step {steps}: {seen:?}"
            );
            output.run(&partition_by, 2, Arc::new(OsDisk)).await?;
            assert_eq!(output.values().await?, (0..12).collect::<Vec<_>>(), "step {steps}");
        }
        assert!(failed_steps >= 8, "only {failed_steps} steps failed");
    }
    Ok(())
}
