//! Files against the workspace's own recording of Spark, `tests/fixtures/spark/formats_*.jsonl`.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use serde_json::{Value as Json, json};

use crate::csv::{CsvDecoder, CsvEncoder, CsvOptions};
use crate::ddl;
use crate::error::Result;
use crate::fixtures::{Case, batch_of, report, rows, same};
use crate::java_time::Zone;
use crate::json::{JsonDecoder, JsonEncoder, JsonOptions};
use crate::text::{TextDecoder, TextOptions};

const READ: &str = include_str!("../../tests/fixtures/spark/formats_read.jsonl");
const WRITE: &str = include_str!("../../tests/fixtures/spark/formats_write.jsonl");
const TABLE: &str = include_str!("../../tests/fixtures/spark/t.json");

fn decode(case: &Case, input: &[u8]) -> Result<Vec<RecordBatch>> {
    let schema = ddl::parse_schema(case.text("schema").unwrap_or_default())?;
    let mut options = case.options();
    let mut batches = Vec::new();
    match case.text("format") {
        Some("json") => {
            batches = JsonDecoder::new(&schema, JsonOptions::take(&mut options, Zone::UTC)?)?.decode_lines(input)?
        }
        Some("csv") => {
            batches = CsvDecoder::new(&schema, CsvOptions::take(&mut options, Zone::UTC)?)?.decode_all(input)?
        }
        _ => {
            let mut decoder = TextDecoder::new(&schema, TextOptions::take(&mut options)?)?;
            decoder.push(input)?;
            decoder.finish()?;
            batches.extend(decoder.flush()?);
        }
    }
    Ok(batches)
}

/// Values that Python cannot hold are recorded as Spark's text of them.
fn plain(value: &Json) -> Json {
    match value {
        Json::Object(members) if members.len() == 1 && members.contains_key("$string") => members["$string"].clone(),
        Json::Object(members) => members.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        Json::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

#[test]
fn files_read_as_the_workspace_recorded_them() -> Result<()> {
    let mut differences = Vec::new();
    for case in Case::all(READ) {
        // Another language and another way with quotes are refused; globs are the connector's.
        let options = case.json["options"].to_string();
        let different = ["BACK_TO_DELIMITER", "locale", "pathGlobFilter"].iter().any(|o| options.contains(o));
        if different {
            continue;
        }
        let Some(text) = case.text("text").filter(|_| case.json.get("gzip").is_none()) else { continue };
        let what =
            format!("case {} {} {} {}", case.number, case.json["format"], case.json["schema"], case.json["options"]);
        match (decode(&case, text.as_bytes()), case.json.get("error")) {
            (Ok(batches), None) => {
                let (ours, sparks) = (rows(&batches), case.list("rows"));
                if ours.len() != sparks.len() {
                    differences.push(format!("{what}: {} rows, not {}: {ours:?}", ours.len(), sparks.len()));
                }
                for (a, b) in ours.iter().zip(&sparks) {
                    if !same(a, &plain(b)) {
                        differences.push(format!("{what}: ours {a}, spark {b}"));
                    }
                }
            }
            (Err(_), Some(_)) => {}
            (ours, error) => differences.push(format!("{what}: ours {ours:?}, spark {error:?}")),
        }
    }
    report(&differences)
}

/// The columns of a SELECT over `t`, where they are plain columns, renamed ones, or the texts that the recording adds.
fn selected(select: &str) -> Option<RecordBatch> {
    let table: Json = serde_json::from_str(TABLE).ok()?;
    let schema = ddl::parse_schema(table["schema"].as_str()?).ok()?;
    let (select, has_texts) = match select.split_once(", 'tab") {
        Some((columns, _)) => (columns, true),
        None => (select, false),
    };
    let mut fields = Vec::new();
    let mut sources = Vec::new();
    for item in select.split(", ") {
        let (source, name) = item.split_once(" AS ").unwrap_or((item, item));
        let field = schema.field_with_name(source).ok()?;
        sources.push(source.to_owned());
        fields.push(field.clone().with_name(name.trim_matches('`')));
    }
    let fields_before = fields.clone();
    let row = |row: &Json| {
        let value = |(f, s): (&arrow::datatypes::Field, &String)| (f.name().clone(), plain(&row[s.as_str()]));
        let mut out: serde_json::Map<String, Json> = fields_before.iter().zip(&sources).map(value).collect();
        if has_texts {
            out.extend(TEXTS.iter().map(|(k, v)| ((*k).to_owned(), json!(v))));
        }
        Json::Object(out)
    };
    let rows: Vec<Json> = table["rows"].as_array()?.iter().map(row).collect();
    if has_texts {
        fields.extend(TEXTS.iter().map(|(k, _)| arrow::datatypes::Field::new(*k, DataType::Utf8, true)));
    }
    batch_of(&arrow::datatypes::Schema::new(fields), &rows).ok()?
}

const TEXTS: [(&str, Option<&str>); 6] = [
    ("x", Some("tab\tnl\ncr\r quo\"te back\\slash \u{1} /slash")),
    ("y", Some(" lead")),
    ("z", Some("")),
    ("w", None),
    ("v", Some("a,b")),
    ("u", Some("#c")),
];

fn encode(case: &Case, batch: &RecordBatch) -> Result<Vec<u8>> {
    let (mut options, mut out) = (case.options(), Vec::new());
    match case.text("format") {
        Some("json") => {
            JsonEncoder::new(batch.schema_ref(), &JsonOptions::take(&mut options, Zone::UTC)?)?
                .encode_batch(batch, &mut out)?;
        }
        Some("csv") => {
            let options = CsvOptions::take(&mut options, Zone::UTC)?;
            let encoder = CsvEncoder::new(batch.schema_ref(), &options)?;
            if options.header {
                encoder.encode_header(batch.schema_ref(), &mut out);
            }
            encoder.encode_batch(batch, &mut out)?;
        }
        _ => crate::text::encode_text(batch, &TextOptions::take(&mut options)?, &mut out)?,
    }
    Ok(out)
}

#[test]
fn files_are_written_as_the_workspace_recorded_them() -> Result<()> {
    let (mut differences, mut compared) = (Vec::new(), 0);
    for case in Case::all(WRITE) {
        // Compression is the connector's, another language is refused, and Python did not keep the order of a map's entries.
        let options = &case.json["options"];
        let different = options.get("locale").is_some()
            || options.get("compression").is_some()
            || case.text("select") == Some("id, m");
        let Some(batch) = case.text("select").and_then(selected).filter(|_| !different) else { continue };
        compared += 1;
        let expected = case.text("text").map(|t| t.as_bytes().to_vec()).or_else(|| {
            let mut bytes = Vec::new();
            crate::base64::decode(case.text("base64")?.as_bytes(), &mut bytes).ok().map(|()| bytes)
        });
        match (encode(&case, &batch), expected) {
            (Ok(ours), Some(expected)) if ours == expected => {}
            (Err(_), None) => {}
            (ours, expected) => {
                let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                let (ours, expected) = (ours.map(|b| text(&b)), expected.map(|b| text(&b)));
                let what = format!("case {} {} {}", case.number, case.json["format"], case.json["options"]);
                differences.push(format!("{what}: {}\n ours  {ours:?}\n spark {expected:?}", case.json["select"]));
            }
        }
    }
    assert!(compared >= 70, "only {compared} cases could be compared");
    report(&differences)
}
