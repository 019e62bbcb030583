//! CSV and text against Spark's recorded answers.

use serde_json::Value as Json;

use super::*;
use crate::ddl;
use crate::error::Result;
use crate::fixtures::{Case, compare, report, rows};
use crate::text::{TextDecoder, TextOptions};

const FIXTURES: &str = include_str!("../../tests/fixtures/csv.jsonl");

fn cases(kind: &str) -> Vec<Case> {
    let cases: Vec<_> = Case::all(FIXTURES).into_iter().filter(|c| c.text("kind") == Some(kind)).collect();
    assert!(!cases.is_empty(), "no fixtures of the kind {kind}");
    cases
}

fn options(case: &Case) -> Result<CsvOptions> {
    let mut options = case.options();
    let csv = CsvOptions::take(&mut options, case.session_zone())?;
    options.refuse_rest("csv")?;
    Ok(csv)
}

/// The case's rows, the file arriving in pieces of this size.
fn decode(case: &Case, pieces: usize) -> Result<Vec<Json>> {
    let schema = ddl::parse_schema(case.text("schema").unwrap_or_default())?;
    let input = case.input();
    let mut batches = Vec::new();
    if case.text("format") == Some("text") {
        let mut decoder = TextDecoder::new(&schema, TextOptions::take(&mut case.options())?)?.with_batch_rows(2);
        for piece in input.chunks(pieces) {
            decoder.push(piece)?;
        }
        decoder.finish()?;
        while let Some(batch) = decoder.flush()? {
            batches.push(batch);
        }
    } else {
        let mut decoder = CsvDecoder::new(&schema, options(case)?)?.with_batch_rows(7);
        for piece in input.chunks(pieces) {
            decoder.push(piece)?;
        }
        decoder.finish()?;
        while let Some(batch) = decoder.flush()? {
            batches.push(batch);
        }
    }
    Ok(rows(&batches))
}

#[test]
fn files_read_as_in_spark() -> Result<()> {
    let mut differences = Vec::new();
    for case in cases("read") {
        if case.json.pointer("/options/unescapedQuoteHandling").and_then(Json::as_str) == Some("BACK_TO_DELIMITER") {
            assert!(options(&case).is_err(), "BACK_TO_DELIMITER is refused");
            continue;
        }
        let (whole, torn) = (decode(&case, usize::MAX), decode(&case, 3));
        assert_eq!(whole, torn, "case {}", case.number);
        match (whole, case.json.get("error")) {
            (Ok(ours), None) => {
                let what = format!("{} {}", case.text("schema").unwrap_or_default(), case.json["options"]);
                compare(&case, &what, &ours, &case.list("rows"), &mut differences);
            }
            (Err(_), Some(_)) => {}
            (Ok(ours), Some(error)) => {
                differences.push(format!("case {}: spark refuses ({error}), ours {ours:?}", case.number))
            }
            (Err(error), None) => differences.push(format!("case {}: ours refuses: {error}", case.number)),
        }
    }
    report(&differences)
}

#[test]
fn inference_is_sparks() -> Result<()> {
    let mut differences = Vec::new();
    for case in cases("infer") {
        let ours = options(&case).and_then(|o| infer_schema(&case.input(), &o));
        let ours = ours.map(|s| ddl::type_name(&arrow::datatypes::DataType::Struct(s.fields().clone())));
        match (&ours, case.text("schema")) {
            (Ok(ours), Some(spark)) if ours == spark => {}
            _ => differences.push(format!(
                "case {} {:?}: ours {ours:?}, spark {:?}",
                case.number,
                case.text("text"),
                case.text("schema")
            )),
        }
    }
    report(&differences)
}

#[test]
fn files_are_written_as_in_spark() -> Result<()> {
    let mut differences = Vec::new();
    let mut compared = 0;
    for case in cases("write") {
        let Some(batch) = crate::fixtures::written_batch(&case)? else { continue };
        let ours = encode(&case, &batch);
        compared += 1;
        match (ours, case.text("text")) {
            (Ok(ours), Some(expected)) if ours == expected => {}
            (Err(_), None) => {}
            (ours, expected) => {
                differences.push(format!(
                    "case {} {}:\n ours  {ours:?}\n spark {expected:?}",
                    case.number, case.json["options"]
                ));
            }
        }
    }
    assert!(compared >= 25, "only {compared} cases could be compared");
    report(&differences)
}

fn encode(case: &Case, batch: &arrow::array::RecordBatch) -> Result<String> {
    let mut out = Vec::new();
    if case.text("format") == Some("text") {
        crate::text::encode_text(batch, &TextOptions::take(&mut case.options())?, &mut out)?;
    } else {
        let options = options(case)?;
        let encoder = CsvEncoder::new(batch.schema_ref(), &options)?;
        if options.header {
            encoder.encode_header(batch.schema_ref(), &mut out);
        }
        encoder.encode_batch(batch, &mut out)?;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn from_csv_answers_as_in_spark_and_to_csv_is_its_reverse() -> Result<()> {
    let mut differences = Vec::new();
    for case in cases("from_csv") {
        let schema = ddl::parse_type_or_columns(case.text("schema").unwrap_or_default())?;
        let ours = options(&case).and_then(|o| CsvDecoder::for_type(&schema, o)?.decode_column(&case.values()));
        match (ours, case.json.get("error")) {
            (Ok(ours), None) => {
                let ours = crate::fixtures::column(&(std::sync::Arc::new(ours) as _));
                compare(&case, &ddl::type_name(&schema), &ours, &case.list("rows"), &mut differences);
            }
            (Err(_), Some(_)) => {}
            (ours, error) => differences.push(format!("case {}: ours {ours:?}, spark {error:?}", case.number)),
        }
    }
    report(&differences)?;
    let schema = ddl::parse_schema("a INT, b STRING, t TIMESTAMP")?;
    let data_type = arrow::datatypes::DataType::Struct(schema.fields().clone());
    let texts = arrow::array::StringArray::from(vec![Some("1,\"x,y\",2024-01-01T00:00:00.000Z"), None, Some(",,")]);
    let values = CsvDecoder::for_type(&data_type, CsvOptions::default())?.decode_column(&texts)?;
    assert_eq!(CsvEncoder::new(&schema, &CsvOptions::default())?.encode_column(&values)?, texts);
    Ok(())
}
