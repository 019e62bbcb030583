//! The file source and sink in an object store: the same code paths as for S3, on the store in this process's memory.

use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_engine::Result;
use millstream_engine::checkpoint::Fence;
use millstream_engine::options::Options;
use millstream_engine::sink::{SinkContext, SinkProvider};
use millstream_engine::source::{ReadLimit, SourceProvider};
use millstream_engine::state::Place;
use uuid::Uuid;

use super::contract::{rows, write_batch};
use super::{as_json, columns, open, read, sink_spec, source_spec};
use crate::files::{FileSinkProvider, FileSourceProvider, Format};

fn url(name: &str) -> std::path::PathBuf {
    format!("memory:///{name}-{}", Uuid::new_v4()).into()
}

#[tokio::test]
async fn what_is_written_is_read() -> Result<()> {
    for (format, partition_by) in [(Format::Parquet, vec![]), (Format::Parquet, vec!["k"]), (Format::Json, vec![])] {
        let out = url("out");
        let batch = rows(0, 3000);
        let spec = sink_spec(format.name(), &out, batch.schema(), &[], &partition_by);
        let checkpoint = Place::open(&super::text_of(&url("cp")), &[])?;
        let provider = FileSinkProvider::new(format);
        let context = SinkContext {
            query_id: Uuid::new_v4(),
            checkpoint: checkpoint.clone(),
            is_restart: false,
            conf: Arc::new(Options::new()),
        };
        let sink = provider.open(&spec, context).await?;
        let fence = Fence::claim(&checkpoint, Uuid::new_v4(), 0).await?;
        let message = write_batch(&provider, &spec, &batch, 1000).await?;
        sink.commit(0, vec![message], &fence).await?;
        let reader = FileSourceProvider::new(format);
        let table = source_spec(format.name(), &out, &batch.schema(), &[]);
        let splits = reader.batch_splits(&table).await?;
        let parts = splits.iter().flat_map(|split| {
            (0..3).map(|index| {
                let mut part = split.clone();
                part.descriptor["index"] = index.into();
                part.descriptor["of"] = 3.into();
                part
            })
        });
        assert_eq!(as_json(&read(&reader, &table, parts.collect()).await?), as_json(&[batch]), "{format:?}");
        assert!(!splits.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn new_objects_are_a_stream_and_vanished_ones_are_named() -> Result<()> {
    let input = url("in");
    let place = Place::open(&super::text_of(&input), &[])?;
    for (name, text) in [("a.json", "{\"v\":1}\n{\"v\":2}"), ("_hidden.json", "{\"v\":9}"), ("b.json.gz", "")] {
        let bytes = match name.ends_with("gz") {
            true => {
                use std::io::Write as _;
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(b"{\"v\":3}\n").expect("a buffer");
                gzip.finish().expect("a buffer")
            }
            false => text.as_bytes().to_vec(),
        };
        place.create(name, bytes.into()).await?;
    }
    let provider = FileSourceProvider::new(Format::Json);
    let spec = source_spec("json", &input, &columns("v INT"), &[]);
    let source = open(&provider, &spec, &url("log")).await?;
    let to = source.latest(None, &ReadLimit::AllAvailable).await?.expect("two objects");
    let splits = source.splits(None, &to).await?;
    let values = as_json(&read(&provider, &spec, splits.clone()).await?);
    assert_eq!(values, [1, 2, 3].map(|v| serde_json::json!({ "v": v })));
    place.delete("a.json").await?;
    let error = read(&provider, &spec, splits).await.expect_err("an object that is gone was read");
    assert!(error.message().contains("/a.json does not exist"), "{error}");
    let glob = source_spec("json", &input.join("*.gz"), &columns("v INT"), &[]);
    let rows = read(&provider, &glob, provider.batch_splits(&glob).await?).await?;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    Ok(())
}
