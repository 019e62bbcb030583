//! The contracts of sources and sinks, for every format; what a writer makes, read by a reader.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion_execution::TaskContext;
use millstream_engine::checkpoint::Fence;
use millstream_engine::options::Options;
use millstream_engine::sink::{CommitMessage, Sink, SinkContext, SinkProvider, SinkSpec, WriterTask};
use millstream_engine::source::SourceProvider;
use millstream_engine::state::Place;
use millstream_engine::testing::{check_sink, check_source};
use millstream_engine::{Error, ErrorKind, Result};
use millstream_formats::json::{JsonDecoder, JsonOptions};
use uuid::Uuid;

use super::{as_json, columns, open, read, sink_spec, source_spec, text_of, write};
use crate::files::{FileSinkProvider, FileSourceProvider, Format};

/// Rows of many types.
pub(super) fn rows(first: usize, count: usize) -> RecordBatch {
    let schema = columns(
        "id BIGINT, k STRING, x DOUBLE, f BOOLEAN, d DATE, t TIMESTAMP, n DECIMAL(10,2), a ARRAY<INT>, m MAP<STRING,INT>, s STRUCT<p: INT, q: STRING>",
    );
    let line = |id: usize| {
        format!(
            "{{\"id\":{id},\"k\":\"k{}\",\"x\":{}.5,\"f\":{},\"d\":\"2024-01-{:02}\",\"t\":\"2024-01-15T10:20:30.{:03}Z\",\"n\":{id}.25,\"a\":[{id},null],\"m\":{{\"v\":{id}}},\"s\":{{\"p\":{id}}}}}\n",
            id % 3,
            id,
            id.is_multiple_of(2),
            id % 28 + 1,
            id % 1000
        )
    };
    let text: String = (first..first + count).map(line).collect();
    let mut decoder = JsonDecoder::new(&schema, JsonOptions::default()).expect("a decoder").with_batch_rows(1 << 20);
    decoder.decode_lines(text.as_bytes()).expect("rows").remove(0)
}

fn place(path: &Path) -> Place {
    Place::open(&text_of(path), &[]).expect("a place")
}

async fn open_sink(provider: &dyn SinkProvider, spec: &SinkSpec, checkpoint: &Path) -> Result<Arc<dyn Sink>> {
    provider.check(spec)?;
    let context = SinkContext {
        query_id: Uuid::new_v4(),
        checkpoint: place(checkpoint),
        is_restart: false,
        conf: Arc::new(Options::new()),
    };
    provider.open(spec, context).await
}

#[tokio::test]
async fn the_source_keeps_its_promises() -> Result<()> {
    for (format, schema) in [(Format::Json, "v BIGINT"), (Format::Text, "value STRING")] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let input = folder.path().join("in");
        std::fs::create_dir_all(&input).expect("a new folder");
        let provider = FileSourceProvider::new(format);
        let spec = source_spec(format.name(), &input, &columns(schema), &[]);
        let source = open(&provider, &spec, &folder.path().join("log")).await?;
        let grow = async |step: usize| {
            for number in 0..step + 1 {
                write(&input.join(format!("{step}-{number}.x")), format!("{{\"v\":{number}}}\n"), step as u64);
            }
        };
        let rows = check_source(&provider, &spec, source.as_ref(), grow).await?;
        assert_eq!(rows.num_rows(), 6, "{format:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_sink_keeps_its_promises() -> Result<()> {
    let batches: Vec<RecordBatch> = (0..12).map(|batch| rows(batch * 7, 7)).collect();
    for (format, partition_by) in [
        (Format::Parquet, vec![]),
        (Format::Json, vec![]),
        (Format::Parquet, vec!["k"]),
        (Format::Json, vec!["d", "k"]),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("out");
        let provider = FileSinkProvider::new(format);
        let schema = batches[0].schema();
        let spec = sink_spec(format.name(), &out, Arc::clone(&schema), &[], &partition_by);
        let checkpoint = folder.path().join("cp");
        let sink = open_sink(&provider, &spec, &checkpoint).await?;
        let reader = FileSourceProvider::new(format);
        let table = source_spec(format.name(), &out, &schema, &[]);
        let count = async || {
            let read = read(&reader, &table, reader.batch_splits(&table).await?).await?;
            Ok(read.iter().map(RecordBatch::num_rows).sum())
        };
        check_sink(&provider, sink.as_ref(), &place(&checkpoint), &batches, count).await?;
        let read = as_json(&read(&reader, &table, reader.batch_splits(&table).await?).await?);
        assert_eq!(read, as_json(&batches), "{format:?} by {partition_by:?}");
    }
    Ok(())
}

pub(super) async fn write_batch(
    provider: &FileSinkProvider,
    spec: &SinkSpec,
    batch: &RecordBatch,
    piece_rows: usize,
) -> Result<CommitMessage> {
    let context = Arc::new(TaskContext::default());
    let task = WriterTask { partition: 3, batch_id: 0, attempt: Uuid::nil(), context };
    let mut writer = provider.writer(spec, task)?;
    for start in (0..batch.num_rows()).step_by(piece_rows) {
        writer.write(batch.slice(start, piece_rows.min(batch.num_rows() - start))).await?;
    }
    writer.finish().await
}

#[tokio::test]
async fn files_have_sparks_names_and_no_more_rows_than_asked() -> Result<()> {
    let uuid = Uuid::nil();
    for (format, more, partition_by, names) in [
        (Format::Parquet, vec![], vec![], vec![format!("part-00003-{uuid}-c000.snappy.parquet")]),
        (Format::Parquet, vec![("compression", "none")], vec![], vec![format!("part-00003-{uuid}-c000.parquet")]),
        (Format::Parquet, vec![("compression", "zstd")], vec![], vec![format!("part-00003-{uuid}-c000.zstd.parquet")]),
        (Format::Json, vec![("compression", "gzip")], vec![], vec![format!("part-00003-{uuid}-c000.json.gz")]),
        (
            Format::Json,
            vec![("maxRecordsPerFile", "4")],
            vec![],
            (0..3).map(|n| format!("part-00003-{uuid}-c{n:03}.json")).collect(),
        ),
        (Format::Json, vec![], vec!["k"], (0..3).map(|n| format!("k=k{n}/part-00003-{uuid}.c{n:03}.json")).collect()),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let batch = rows(0, 10);
        let spec = sink_spec(format.name(), folder.path(), batch.schema(), &more, &partition_by);
        let provider = FileSinkProvider::new(format);
        let message = write_batch(&provider, &spec, &batch, 3).await?;
        assert_eq!(message.rows, 10);
        let written = message.payload["files"].as_array().expect("files").iter();
        let prefix = format!("file://{}/", text_of(folder.path()));
        let written: Vec<String> =
            written.map(|file| file["path"].as_str().expect("a path").replace(&prefix, "")).collect();
        assert_eq!(written, names);
        // Whatever the compression, what was written is what is read.
        let reader = FileSourceProvider::new(format);
        let table = source_spec(format.name(), folder.path(), &batch.schema(), &[]);
        let read = read(&reader, &table, reader.batch_splits(&table).await?).await?;
        assert_eq!(as_json(&read), as_json(&[batch]));
    }
    Ok(())
}

#[tokio::test]
async fn wrong_columns_and_modes_are_refused_at_the_start() {
    use millstream_engine::sink::OutputMode;
    let folder = Path::new("/nowhere");
    let schema = rows(0, 1).schema();
    let spec = |partition_by: &[&str]| sink_spec("parquet", folder, Arc::clone(&schema), &[], partition_by);
    let all: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut update = spec(&[]);
    update.output_mode = OutputMode::Update;
    let mut typo = spec(&[]);
    typo.options.set("comprssion", "none");
    let twice = sink_spec("parquet", folder, columns("a INT, A INT"), &[], &[]);
    for (format, spec, kind, expected) in [
        (Format::Parquet, update, ErrorKind::Unsupported, "use append"),
        (Format::Parquet, spec(&["nope"]), ErrorKind::Invalid, "partition column nope is not among"),
        (Format::Parquet, spec(&["a"]), ErrorKind::Invalid, "cannot use ARRAY<INT> for partition column a"),
        (
            Format::Parquet,
            sink_spec("parquet", folder, columns("a INT"), &[], &["a"]),
            ErrorKind::Invalid,
            "all columns",
        ),
        (Format::Parquet, typo, ErrorKind::Invalid, "did you mean 'compression'"),
        (Format::Parquet, twice, ErrorKind::Invalid, "two columns called A"),
        (Format::Text, spec(&[]), ErrorKind::Invalid, "a single column of type STRING"),
    ] {
        let error = FileSinkProvider::new(format).check(&spec).expect_err("a wrong sink was accepted");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
    assert!(all.len() > 5);
}

#[tokio::test]
async fn another_querys_output_is_not_taken_for_ones_own() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let provider = FileSinkProvider::new(Format::Parquet);
    let batch = rows(0, 3);
    let spec = sink_spec("parquet", &folder.path().join("out"), batch.schema(), &[], &[]);
    let checkpoint = folder.path().join("cp");
    let sink = open_sink(&provider, &spec, &checkpoint).await?;
    let fence = Fence::claim(&place(&checkpoint), Uuid::new_v4(), 0).await?;
    sink.commit(0, Vec::new(), &fence).await?;
    let manifest = std::fs::read_to_string(folder.path().join("out/_spark_metadata/0")).expect("a manifest");
    assert_eq!(manifest, "v1", "a batch without rows has an entry without files");
    let error = open_sink(&provider, &spec, &folder.path().join("other")).await.expect_err("a second query");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("already holds the batches up to 0 of another query"), "{error}");
    Ok(())
}

#[tokio::test]
async fn parts_of_a_parquet_file_are_the_file() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let batch = rows(0, 5000);
    let spec = sink_spec("parquet", folder.path(), batch.schema(), &[], &[]);
    write_batch(&FileSinkProvider::new(Format::Parquet), &spec, &batch, 1000).await?;
    let reader = FileSourceProvider::new(Format::Parquet);
    let wanted = columns("X DOUBLE, missing STRING, id DECIMAL(20,0), s STRUCT<q: STRING, new: INT>");
    let table = source_spec("parquet", folder.path(), &wanted, &[]);
    let whole = reader.batch_splits(&table).await?;
    let whole_rows = as_json(&read(&reader, &table, whole.clone()).await?);
    assert_eq!(whole_rows.len(), 5000);
    for of in [2u64, 3, 7] {
        let parts = (0..of).map(|index| {
            let mut part = whole[0].clone();
            part.descriptor["index"] = index.into();
            part.descriptor["of"] = of.into();
            part
        });
        assert_eq!(as_json(&read(&reader, &table, parts.collect()).await?), whole_rows, "{of} parts");
    }
    Ok(())
}

#[tokio::test]
async fn a_column_of_another_type_is_an_error_that_names_both() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let batch = rows(0, 5);
    let spec = sink_spec("parquet", folder.path(), batch.schema(), &[], &[]);
    write_batch(&FileSinkProvider::new(Format::Parquet), &spec, &batch, 5).await?;
    let reader = FileSourceProvider::new(Format::Parquet);
    for (wanted, expected) in [
        ("k BIGINT", "is STRING, which cannot be read as BIGINT"),
        ("t TIMESTAMP_NTZ", "is TIMESTAMP, which cannot be read as TIMESTAMP_NTZ"),
        ("x INT", "is DOUBLE, which cannot be read as INT"),
    ] {
        let table = source_spec("parquet", folder.path(), &columns(wanted), &[]);
        let error = read(&reader, &table, reader.batch_splits(&table).await?).await.expect_err("a wrong type was read");
        assert!(error.message().contains(expected), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn compressed_lines_are_read_by_their_name() -> Result<()> {
    use std::io::Write;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = b"{\"v\":1}\n{\"v\":2}\n";
    let io = |e: std::io::Error| Error::internal(e.to_string());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).map_err(io)?;
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(text).map_err(io)?;
    write(&folder.path().join("a.json.gz"), gzip.finish().map_err(io)?, 1);
    write(&folder.path().join("b.json.bz2"), bzip2.finish().map_err(io)?, 2);
    write(&folder.path().join("c.json.zst"), zstd::encode_all(&text[..], 1).map_err(io)?, 3);
    let reader = FileSourceProvider::new(Format::Json);
    let options: Options = [("path", text_of(folder.path()))].into_iter().collect();
    let schema = reader.schema(None, &options, false, &Options::new()).await?;
    let table = source_spec("json", folder.path(), &schema, &[]);
    let read = read(&reader, &table, reader.batch_splits(&table).await?).await?;
    let values: Vec<ArrayRef> = read.iter().map(|batch| Arc::clone(batch.column(0))).collect();
    assert_eq!(values.iter().map(|values| values.len()).sum::<usize>(), 6);
    Ok(())
}
