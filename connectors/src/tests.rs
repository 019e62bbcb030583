//! The connectors without files: against Spark's recorded answers and the contracts of sources and sinks.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion_common::ScalarValue;
use datafusion_execution::TaskContext;
use futures::TryStreamExt;
use millstream_engine::options::Options;
use millstream_engine::registry::Registry;
use millstream_engine::sink::{OutputMode, SinkContext, SinkSpec};
use millstream_engine::source::{Offset, ReadLimit, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec};
use millstream_engine::state::Place;
use millstream_engine::testing::{ManualClock, check_sink, check_source, read_rows};
use millstream_engine::{Error, ErrorKind, Result};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::memory::MemoryStream;

fn recorded(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/interop").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("what Spark answered")).expect("JSON")
}

fn options_of(case: &Value) -> Options {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let pairs = case["options"].as_object().expect("options").iter();
    pairs.map(|(name, value)| (name.clone(), text(value))).collect()
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    crate::register_all(&mut registry);
    registry
}

fn place(name: &str) -> Place {
    Place::open(&format!("memory://connectors/{name}/{}", uuid::Uuid::new_v4()), &[]).expect("a place in memory")
}

async fn open(
    provider: &dyn SourceProvider,
    options: Options,
    clock: &ManualClock,
    metadata: Place,
) -> Result<(SourceSpec, Arc<dyn Source>)> {
    let schema = provider.schema(None, &options, true, &Options::new()).await?;
    let spec = SourceSpec { connector: provider.name().to_string(), options, schema };
    let context = SourceContext { metadata, clock: Arc::new(clock.clone()), conf: Arc::new(Options::new()) };
    let source = provider.open(&spec, context).await?;
    Ok((spec, source))
}

/// The rows of a `timestamp, value` source, as Spark's recordings have them: microseconds and value.
fn times_and_values(rows: &RecordBatch) -> Vec<(i64, i64)> {
    let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
    let values = rows.column(1).as_primitive::<Int64Type>();
    times.values().iter().copied().zip(values.values().iter().copied()).collect()
}

#[tokio::test]
async fn rate_gives_sparks_rows() -> Result<()> {
    let registry = registry();
    let provider = registry.source("rate")?.as_ref();
    let start_ms = 1_700_000_000_000;
    for case in recorded("rate.json") {
        let clock = ManualClock::at_ms(start_ms);
        let opened = open(provider, options_of(&case), &clock, place("rate")).await;
        if case.get("error").is_some() {
            assert_eq!(opened.err().map(|e| e.kind()), Some(ErrorKind::Invalid), "{case}");
            continue;
        }
        let (spec, source) = opened?;
        for batch in case["batches"].as_array().expect("batches") {
            let second = |at: usize| batch["seconds"][at].as_i64().map(|s| Offset::new(s.into()));
            let mut rows = times_and_values(
                &read_rows(provider, &spec, source.as_ref(), second(0).as_ref(), second(1).as_ref()).await?,
            );
            rows.sort_unstable();
            assert_eq!(rows.len() as i64, batch["count"].as_i64().expect("a count"), "{} {batch}", case["options"]);
            let first = batch["first_rows"].as_array().expect("rows").iter();
            let spark: Vec<(i64, i64)> = first
                .map(|row| (start_ms * 1000 + row[1].as_i64().expect("a time"), row[0].as_i64().expect("a value")))
                .collect();
            assert_eq!(rows[..spark.len()], spark, "{} {batch}", case["options"]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn rate_goes_on_from_its_first_start() -> Result<()> {
    let registry = registry();
    let provider = registry.source("rate")?.as_ref();
    let (clock, metadata) = (ManualClock::at_ms(5_500), place("rate-restart"));
    let options: Options = [("rowsPerSecond", "2")].into_iter().collect();
    let (spec, source) = open(provider, options.clone(), &clock, metadata.clone()).await?;
    let rows = check_source(provider, &spec, source.as_ref(), async |_| clock.advance_ms(3_000)).await?;
    assert_eq!(rows.num_rows(), 18);
    assert_eq!(metadata.read("0").await?.as_deref(), Some(&b"v1\n5500"[..]));
    clock.advance_ms(1_000);
    let (_, again) = open(provider, options.clone(), &clock, metadata.clone()).await?;
    let latest = again.latest(None, &ReadLimit::AllAvailable).await?;
    assert_eq!(latest, Some(Offset::new(10.into())));
    // The clock was set back: offsets stay.
    let earlier = ManualClock::at_ms(0);
    let (_, again) = open(provider, options, &earlier, metadata).await?;
    assert_eq!(again.latest(latest.as_ref(), &ReadLimit::AllAvailable).await?, latest);
    Ok(())
}

#[tokio::test]
async fn rate_micro_batch_gives_sparks_rows_and_offsets() -> Result<()> {
    let registry = registry();
    let provider = registry.source("rate-micro-batch")?.as_ref();
    let clock = ManualClock::at_ms(0);
    for case in recorded("rate_micro_batch.json") {
        let mut options = options_of(&case);
        if options.get("numPartitions").is_none() {
            options.set("numPartitions", "2");
        }
        let opened = open(provider, options, &clock, place("rate-micro-batch")).await;
        if case.get("error").is_some() {
            assert_eq!(opened.err().map(|e| e.kind()), Some(ErrorKind::Invalid), "{case}");
            continue;
        }
        let (spec, source) = opened?;
        let mut from = source.initial().await?;
        for (number, batch) in case["batches"].as_array().expect("batches").iter().enumerate() {
            let to = source.latest(from.as_ref(), &ReadLimit::AllAvailable).await?.expect("more");
            let logged = &case["logs_last_line"][format!("offsets/{number}")];
            assert_eq!(to.to_string(), logged.as_str().unwrap_or(&to.to_string()), "{}", case["options"]);
            let mut partitions = Vec::new();
            for split in source.splits(from.as_ref(), &to).await? {
                let request = ReadRequest { split, projection: vec![1, 0], context: Arc::new(TaskContext::default()) };
                for rows in provider.read(&spec, request)?.try_collect::<Vec<_>>().await? {
                    let swapped = rows.project(&[1, 0]).map_err(crate::rows::arrow_error)?;
                    partitions.push(times_and_values(&swapped));
                }
            }
            let row = |row: &Value| -> (i64, i64) {
                let text = row[1].as_str().expect("a time");
                let time = chrono::DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros();
                (time, row[0].as_i64().expect("a value"))
            };
            let spark: Vec<Vec<(i64, i64)>> = batch["partitions"]
                .as_array()
                .expect("partitions")
                .iter()
                .map(|rows| rows.as_array().expect("rows").iter().map(row).collect::<Vec<_>>())
                .filter(|rows| !rows.is_empty())
                .collect();
            assert_eq!(partitions, spark, "{} batch {number}", case["options"]);
            from = Some(to);
        }
    }
    Ok(())
}

#[tokio::test]
async fn rate_micro_batch_has_one_batch_available_now() -> Result<()> {
    let registry = registry();
    let provider = registry.source("rate-micro-batch")?.as_ref();
    let options: Options = [("rowsPerBatch", "5"), ("startTimestamp", "7")].into_iter().collect();
    let (_, source) = open(provider, options, &ManualClock::at_ms(0), place("now")).await?;
    assert!(source.prepare_available_now().await?);
    let from = source.initial().await?;
    let to = source.latest(from.as_ref(), &ReadLimit::AllAvailable).await?;
    assert_ne!(to, from);
    assert_eq!(source.latest(to.as_ref(), &ReadLimit::AllAvailable).await?, to);
    // A checkpoint from before the start time.
    let older = Offset::new(serde_json::json!({"offset": 5, "timestamp": 6}));
    let error = source.latest(Some(&older), &ReadLimit::AllAvailable).await.expect_err("a start time in the past");
    assert!(error.message().contains("'startTimestamp' is 7"), "{error}");
    Ok(())
}

fn numbers() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]))
}

#[tokio::test]
async fn pushed_rows_keep_the_promises_of_a_source() -> Result<()> {
    let registry = registry();
    let provider = registry.source("memory")?.as_ref();
    let stream = MemoryStream::new(numbers());
    let (spec, source) = open(provider, stream.spec().options, &ManualClock::at_ms(0), place("memory")).await?;
    assert_eq!(source.latest(None, &ReadLimit::AllAvailable).await?, None);
    let push = async |step: usize| {
        stream.add_rows(vec![vec![ScalarValue::from(step as i64)]; step + 1]).expect("a push");
    };
    let rows = check_source(provider, &spec, source.as_ref(), push).await?;
    assert_eq!(rows.num_rows(), 6);
    // Committed rows are gone, and whoever asks for them is told.
    let error = source.splits(None, &Offset::new(0.into())).await.expect_err("rows that are gone");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    // A limit cuts between pushes; one is always taken.
    for rows in [3, 2, 4] {
        stream.add_rows(vec![vec![ScalarValue::from(0i64)]; rows])?;
    }
    let from = Offset::new(2.into());
    for (max_rows, end) in [(1, 3), (3, 3), (5, 4), (8, 4), (9, 5), (100, 5)] {
        let to = source.latest(Some(&from), &ReadLimit::MaxRows(max_rows)).await?;
        assert_eq!(to, Some(Offset::new(end.into())), "{max_rows} rows");
    }
    Ok(())
}

#[tokio::test]
async fn a_push_wakes_the_query() -> Result<()> {
    let registry = registry();
    let provider = registry.source("memory")?.as_ref();
    let stream = MemoryStream::new(numbers());
    let (_, source) = open(provider, stream.spec().options, &ManualClock::at_ms(0), place("wake")).await?;
    let mut waiting = Box::pin(source.changed());
    assert!(futures::poll!(&mut waiting).is_pending());
    stream.add_rows(vec![vec![ScalarValue::from(1i64)]])?;
    waiting.await;
    // A push that the query has not looked at yet is news too.
    source.changed().await;
    source.latest(None, &ReadLimit::AllAvailable).await?;
    assert!(futures::poll!(Box::pin(source.changed())).is_pending());
    Ok(())
}

fn spec(connector: &str, output_mode: OutputMode, query_name: Option<&str>) -> SinkSpec {
    SinkSpec {
        connector: connector.to_string(),
        options: Options::new(),
        schema: numbers(),
        partition_by: Vec::new(),
        output_mode,
        query_name: query_name.map(str::to_string),
    }
}

fn sink_context(is_restart: bool) -> SinkContext {
    SinkContext {
        query_id: uuid::Uuid::new_v4(),
        checkpoint: place("checkpoint"),
        is_restart,
        conf: Arc::new(Options::new()),
    }
}

#[tokio::test]
async fn the_memory_table_keeps_the_promises_of_a_sink() -> Result<()> {
    let mut registry = Registry::new();
    let shared = crate::register_all(&mut registry);
    let provider = registry.sink("memory")?.as_ref();
    let spec_of = |mode| spec("memory", mode, Some("t"));
    let sink = provider.open(&spec_of(OutputMode::Append), sink_context(false)).await?;
    let batches: Vec<RecordBatch> = (0..5)
        .map(|n| RecordBatch::try_new(numbers(), vec![Arc::new(Int64Array::from_iter_values(0..n))]).expect("rows"))
        .collect();
    let tables = shared.tables.clone();
    let count = async || Ok(tables.get("T").expect("a table").rows().iter().map(RecordBatch::num_rows).sum());
    check_sink(provider, sink.as_ref(), &place("checkpoint"), &batches, count).await?;

    let nameless = provider.check(&spec("memory", OutputMode::Append, None)).expect_err("a table without a name");
    assert!(nameless.message().contains("queryName"), "{nameless}");
    let restarted = provider.open(&spec_of(OutputMode::Append), sink_context(true)).await;
    assert_eq!(restarted.err().map(|e| e.kind()), Some(ErrorKind::Unsupported));
    provider.open(&spec_of(OutputMode::Complete), sink_context(true)).await?;
    assert_eq!(count().await?, 0, "a new run has a new table");
    Ok(())
}

#[tokio::test]
async fn lines_from_a_socket_are_rows_until_they_are_committed() -> Result<()> {
    let io = |e: std::io::Error| Error::unavailable(e.to_string());
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(io)?;
    let port = server.local_addr().map_err(io)?.port();
    let registry = registry();
    let provider = registry.source("socket")?.as_ref();
    let port = port.to_string();
    let options: Options =
        [("host", "127.0.0.1"), ("port", port.as_str()), ("includeTimestamp", "true"), ("numPartitions", "2")]
            .into_iter()
            .collect();
    let clock = ManualClock::at_ms(1_234);
    let (spec, source) = open(provider, options, &clock, place("socket")).await?;
    let (mut connection, _) = server.accept().await.map_err(io)?;
    let send = async |step: usize| {
        source.latest(None, &ReadLimit::AllAvailable).await.expect("an offset");
        connection.write_all(format!("line {step}\r\n").as_bytes()).await.expect("a client that listens");
        source.changed().await;
    };
    let rows = check_source(provider, &spec, source.as_ref(), send).await?;
    let lines: Vec<&str> = rows.column(0).as_string::<i32>().iter().flatten().collect();
    // Lines go to the partitions in turn.
    assert_eq!(lines, ["line 0", "line 2", "line 1"]);
    assert_eq!(rows.column(1).as_primitive::<TimestampMicrosecondType>().value(0), 1_234_000);
    let lost = source.splits(Some(&Offset::new(0.into())), &Offset::new(1.into())).await.expect_err("committed lines");
    assert!(lost.message().contains("not fault tolerant"), "{lost}");
    source.stop().await;
    Ok(())
}

#[tokio::test]
async fn nobody_listening_and_missing_options_are_told() -> Result<()> {
    let registry = registry();
    let provider = registry.source("socket")?.as_ref();
    let clock = ManualClock::at_ms(0);
    for (pairs, kind, expected) in [
        (vec![], ErrorKind::Invalid, "option 'host' is missing"),
        (vec![("host", "localhost")], ErrorKind::Invalid, "option 'port' is missing"),
        (vec![("host", "localhost"), ("port", "x")], ErrorKind::Invalid, "expected a port"),
        (vec![("host", "127.0.0.1"), ("port", "1")], ErrorKind::Unavailable, "cannot connect to 127.0.0.1:1"),
    ] {
        let options: Options = pairs.into_iter().collect();
        let error = open(provider, options, &clock, place("socket")).await.expect_err("a source without a server");
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(expected), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn progress_names_them_as_sparks_does() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/interop/progress.jsonl");
    let recorded = std::fs::read_to_string(path).expect("what Spark reported");
    let registry = registry();
    let clock = ManualClock::at_ms(0);
    for (name, pairs) in [
        ("rate", vec![("rowsPerSecond", "5")]),
        ("rate-micro-batch", vec![("rowsPerBatch", "5"), ("numPartitions", "2")]),
    ] {
        let (_, source) =
            open(registry.source(name)?.as_ref(), pairs.into_iter().collect(), &clock, place("names")).await?;
        let described = format!("\"description\": \"{}\"", source.description());
        assert!(recorded.contains(&described), "{described}");
    }
    let noop = registry.sink("noop")?.open(&spec("noop", OutputMode::Append, None), sink_context(false)).await?;
    let memory =
        registry.sink("memory")?.open(&spec("memory", OutputMode::Append, Some("t")), sink_context(false)).await?;
    for sink in [noop, memory] {
        let described = format!("\"description\": \"{}\"", sink.description());
        assert!(recorded.contains(&described), "{described}");
    }
    Ok(())
}

#[tokio::test]
async fn formats_that_are_not_there_say_which_are() -> Result<()> {
    let registry = registry();
    for name in ["orc", "xml", "avro"] {
        let error = registry.source(name)?.schema(None, &Options::new(), true, &Options::new()).await;
        let error = error.expect_err("a format that is not there was read");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("json, csv, parquet or text"), "{error}");
        let error = registry.sink(name)?.check(&spec(name, OutputMode::Append, None)).expect_err("it was written");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    Ok(())
}
