//! Files that vanish, are damaged or cut short, and disks that fail.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use datafusion_execution::TaskContext;
use millstream_engine::sink::{SinkProvider, WriterTask};
use millstream_engine::source::{ReadLimit, SourceProvider};
use millstream_engine::{Error, ErrorKind, Result};
use uuid::Uuid;

use super::{columns, open, read, sink_spec, source_spec, write};
use crate::files::{FileSinkProvider, FileSourceProvider, Format};

#[tokio::test]
async fn a_file_that_vanishes_is_named_or_passed_over() -> Result<()> {
    for (more, expected_rows) in [(vec![], None), (vec![("ignoreMissingFiles", "true")], Some(1))] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let input = folder.path().join("in");
        write(&input.join("a.json"), "{\"v\":1}\n", 1);
        write(&input.join("b.json"), "{\"v\":2}\n", 2);
        let provider = FileSourceProvider::new(Format::Json);
        let spec = source_spec("json", &input, &columns("v INT"), &more);
        let source = open(&provider, &spec, &folder.path().join("log")).await?;
        let to = source.latest(None, &ReadLimit::AllAvailable).await?.expect("two files");
        std::fs::remove_file(input.join("a.json")).expect("the file");
        let rows = read(&provider, &spec, source.splits(None, &to).await?).await;
        match expected_rows {
            Some(rows_left) => assert_eq!(rows?.iter().map(RecordBatch::num_rows).sum::<usize>(), rows_left),
            None => {
                let error = rows.expect_err("a file that is gone was read");
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                assert!(error.message().contains("/in/a.json does not exist"), "{error}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_file_is_named() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)])
        .map_err(|e| Error::internal(e.to_string()))?;
    let spec = sink_spec("parquet", &folder.path().join("good"), good.schema(), &[], &[]);
    let provider = FileSinkProvider::new(Format::Parquet);
    let task =
        || WriterTask { partition: 0, batch_id: 0, attempt: Uuid::new_v4(), context: Arc::new(TaskContext::default()) };
    let mut writer = provider.writer(&spec, task())?;
    writer.write(good).await?;
    let message = writer.finish().await?;
    let path = message.payload["files"][0]["path"].as_str().expect("a path").replace("file://", "");
    let bytes = std::fs::read(path).expect("the file");
    for (format, name, damaged) in [
        (Format::Parquet, "cut.parquet", bytes[..bytes.len() / 2].to_vec()),
        (Format::Parquet, "empty.parquet", Vec::new()),
        (Format::Parquet, "text.parquet", b"no parquet at all, but long enough".to_vec()),
        (Format::Json, "bad.json.gz", b"no gzip".to_vec()),
    ] {
        let input = folder.path().join(name.replace('.', "-"));
        write(&input.join(name), damaged, 1);
        let provider = FileSourceProvider::new(format);
        let table = source_spec(format.name(), &input, &columns("v BIGINT"), &[]);
        let error = read(&provider, &table, provider.batch_splits(&table).await?).await.expect_err("damage was read");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.message().contains(name), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unfinished_writer_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let big = RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from_iter_values(0..2_000_000)) as _)])
        .map_err(|e| Error::internal(e.to_string()))?;
    let spec = sink_spec("parquet", folder.path(), big.schema(), &[("compression", "none")], &[]);
    let task =
        WriterTask { partition: 0, batch_id: 0, attempt: Uuid::new_v4(), context: Arc::new(TaskContext::default()) };
    let mut writer = FileSinkProvider::new(Format::Parquet).writer(&spec, task)?;
    writer.write(big).await?;
    drop(writer);
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 0, "files of a writer that was dropped");
    Ok(())
}

/// `/dev/full` answers every write as a full disk does, but is no folder; a folder that is a file is the nearest there is
/// to one that cannot be written to, whoever runs the test.
#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_named() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(&folder.path().join("out"), "a file where a folder should be", 1);
    let rows = RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from(vec![1])) as _)])
        .map_err(|e| Error::internal(e.to_string()))?;
    let spec = sink_spec("json", &folder.path().join("out"), rows.schema(), &[], &[]);
    let context = Arc::new(TaskContext::default());
    let task = WriterTask { partition: 0, batch_id: 0, attempt: Uuid::new_v4(), context };
    let mut writer = FileSinkProvider::new(Format::Json).writer(&spec, task)?;
    writer.write(rows).await?;
    let error = writer.finish().await.expect_err("rows were written into a file as if it were a folder");
    assert!(error.message().contains("/out"), "{error}");
    Ok(())
}
