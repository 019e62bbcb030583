//! `console.json`: what a running Spark printed for tables of many types.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use millstream_engine::Result;
use millstream_engine::options::Options;
use millstream_engine::sink::{BatchRows, OutputMode, SinkContext, SinkProvider, SinkSpec};
use millstream_engine::state::Place;
use millstream_formats::ddl;
use millstream_formats::json::{JsonDecoder, JsonOptions};
use serde_json::Value;

use super::{ConsoleOutput, ConsoleProvider};

/// The recorded tables that a schema and lines of JSON can make, batch by batch.
fn tables() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let lines = |batches: &[&str]| batches.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let y50 = "abcdefghij".repeat(5);
    let (x15, y15, e25) = ("x".repeat(15), "y".repeat(15), "é".repeat(25));
    vec![
        (
            "plain",
            "id INT, name STRING",
            lines(&["{\"id\":1,\"name\":\"a\"}\n{\"id\":22,\"name\":\"bb\"}\n{}\n", "{\"id\":333,\"name\":\"\"}\n"]),
        ),
        (
            "nested",
            "a ARRAY<INT>, sa ARRAY<STRING>, m MAP<STRING,INT>, st STRUCT<p: INT, q: STRING, r: INT>, na ARRAY<STRUCT<x: DECIMAL(3,2), y: DATE>>, mt MAP<STRING,TIMESTAMP>",
            lines(&[
                r#"{"a":[1,null,3],"sa":["x",null,""],"m":{"k":1,"n":null},"st":{"p":1,"q":"two"},"na":[{"x":1.50,"y":"2024-01-15"}],"mt":{"t":"2024-01-15T10:20:30.5Z"}}"#,
            ]),
        ),
        (
            "nested_null",
            "a ARRAY<INT>, e ARRAY<INT>, m MAP<STRING,INT>, s STRUCT<x: INT>",
            lines(&[r#"{"e":[],"m":{}}"#]),
        ),
        (
            "long",
            "s20 STRING, s21 STRING, s50 STRING, arr ARRAY<STRING>, u STRING",
            vec![format!(
                r#"{{"s20":"exactly twenty chars","s21":"exactly twentyone chr","s50":"{y50}","arr":["{x15}","{y15}"],"u":"{e25}"}}"#
            )],
        ),
        (
            "unicode",
            "c1 STRING, c2 STRING, c3 STRING, c4 STRING, c5 STRING, `ключ` STRING",
            lines(&[
                "{\"c1\":\"é\",\"c2\":\"日本語\",\"c3\":\"😀\",\"c4\":\"Ａ\",\"c5\":\"e\u{301}\",\"ключ\":\"한국\"}",
            ]),
        ),
        (
            "control",
            "nl STRING, tab STRING, cr STRING, bs STRING, ctl STRING, nul STRING, others STRING",
            lines(&[
                r#"{"nl":"a\nb","tab":"a\tb","cr":"a\rb","bs":"a\\b","ctl":"a\u0001b","nul":"a\u0000b","others":"\u000bf\b\u001b"}"#,
            ]),
        ),
        (
            "many",
            "id INT, big BIGINT",
            vec![(0..25).map(|id| format!("{{\"id\":{id},\"big\":{}}}\n", id * 1000)).collect()],
        ),
        ("empty", "id INT, name STRING", lines(&[""])),
        (
            "doubles",
            "a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE, f DOUBLE, g DOUBLE, h FLOAT, i FLOAT, j DECIMAL(38,10), k DECIMAL(7,7)",
            lines(&[
                r#"{"a":1e10,"b":1e-5,"c":0.1,"d":-0.0,"e":100,"f":1.0E7,"g":123456789.123,"h":3.4028234E38,"i":0.1,"j":1,"k":0.0000001}"#,
            ]),
        ),
        (
            "times",
            "a TIMESTAMP, b TIMESTAMP, c TIMESTAMP, d TIMESTAMP, e TIMESTAMP, f DATE, g TIMESTAMP",
            lines(&[
                r#"{"a":"2024-01-15 10:20:30","b":"2024-01-15 10:20:30.123456","c":"2024-01-15 10:20:30.100","d":"0001-01-01 00:00:00","e":"1969-12-31 23:59:59.999999","f":"0001-01-01","g":"+10000-01-01 23:59:59"}"#,
            ]),
        ),
    ]
}

fn rows(schema: &str, lines: &str) -> BatchRows {
    let schema = ddl::parse_schema(schema).expect("columns that parse");
    let mut decoder = JsonDecoder::new(&schema, JsonOptions::default()).expect("a decoder");
    let rows = decoder.decode_lines(lines.as_bytes()).expect("rows");
    BatchRows { batch_id: 0, schema, partitions: vec![rows] }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn printed(options: Options, batches: Vec<BatchRows>) -> Result<String> {
    let captured = Captured::default();
    let provider = ConsoleProvider::new(ConsoleOutput::to(captured.clone()));
    let spec = SinkSpec {
        connector: "console".to_string(),
        options,
        schema: Arc::clone(&batches[0].schema),
        partition_by: Vec::new(),
        output_mode: OutputMode::Update,
        query_name: Some("q \"1\"".to_string()),
    };
    provider.check(&spec)?;
    let context = SinkContext {
        query_id: uuid::Uuid::nil(),
        checkpoint: Place::open("memory://console/cp", &[])?,
        is_restart: false,
        conf: Arc::new(Options::new()),
    };
    let sink = provider.open(&spec, context).await?;
    for (batch_id, batch) in (0u64..).zip(batches) {
        sink.accept(BatchRows { batch_id, ..batch }).await?;
    }
    let bytes = captured.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn tables_are_printed_as_spark_prints_them() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/interop/console.json");
    let recorded: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("what Spark printed")).expect("JSON");
    let mut compared = 0;
    for case in recorded["cases"].as_array().expect("cases") {
        let Some((_, schema, lines)) = tables().into_iter().find(|(name, ..)| case["table"] == *name) else { continue };
        let options: Options = case["options"]
            .as_object()
            .expect("options")
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_string()))
            .collect();
        // A number of characters is more than Spark's console takes.
        if case.get("error").is_some() && options.get("truncate").is_some_and(|text| text.parse::<u64>().is_ok()) {
            continue;
        }
        let batches: Vec<BatchRows> = lines.iter().map(|lines| rows(schema, lines)).collect();
        match (case.get("error"), printed(options, batches).await) {
            (Some(_), Err(_)) => {}
            (Some(error), Ok(_)) => panic!("{case}: Spark fails with {error}"),
            (None, text) => assert_eq!(text?, case["text"].as_str().expect("a text"), "{case}"),
        }
        compared += 1;
    }
    assert!(compared > 20, "only {compared} cases compared");
    Ok(())
}

#[tokio::test]
async fn json_is_a_line_a_batch() -> Result<()> {
    let schema = "k STRING, t TIMESTAMP, n DECIMAL(5,2)";
    let mut first = rows(schema, r#"{"k":"a","t":"2024-01-01T00:00:01Z","n":1.5}"#);
    let more: Vec<RecordBatch> = rows(schema, r#"{"k":"b"}"#).into_rows();
    first.partitions.push(more);
    let empty = rows(schema, "");
    let options: Options = [("format", "json")].into_iter().collect();
    let lines = printed(options, vec![first, empty]).await?;
    let expected = "{\"query\":\"q \\\"1\\\"\",\"batch\":0,\"rows\":[{\"k\":\"a\",\"t\":\"2024-01-01T00:00:01.000000Z\",\"n\":\"1.50\"},{\"k\":\"b\",\"t\":null,\"n\":null}]}\n{\"query\":\"q \\\"1\\\"\",\"batch\":1,\"rows\":[]}\n";
    assert_eq!(lines, expected);
    Ok(())
}

#[tokio::test]
async fn a_number_truncates_to_so_many_characters() -> Result<()> {
    for (truncate, cell) in [("5", "ab..."), ("3", "abc"), ("0", "abcdefgh")] {
        let options: Options = [("truncate", truncate)].into_iter().collect();
        let text = printed(options, vec![rows("s STRING", r#"{"s":"abcdefgh"}"#)]).await?;
        assert!(text.contains(&format!("|{cell}|")), "{text}");
    }
    Ok(())
}
