//! JSON against Spark's recorded answers, and against itself.

use serde_json::Value as Json;

use super::*;
use crate::ddl;
use crate::error::Result;
use crate::fixtures::{Case, column, compare, report, rows};

const FIXTURES: &str = include_str!("../../tests/fixtures/json.jsonl");

fn cases(kind: &str) -> Vec<Case> {
    let cases: Vec<_> = Case::all(FIXTURES).into_iter().filter(|c| c.text("kind") == Some(kind)).collect();
    assert!(!cases.is_empty(), "no fixtures of the kind {kind}");
    cases
}

fn options(case: &Case) -> Result<JsonOptions> {
    let mut options = case.options();
    let json = JsonOptions::take(&mut options, case.session_zone())?;
    options.refuse_rest("json")?;
    Ok(json)
}

/// Records that Jackson leaves half read, going on in the middle of a broken value. Here such a record is null as a whole,
/// or, where only one value is broken, but for that value.
const DIFFERENT_ON_PURPOSE: [&str; 2] = [r#"{"i":68,"v":"\q","w":1}"#, r#"{"i":25,"s":{"x":1,}}"#];

#[test]
fn files_read_as_in_spark() -> Result<()> {
    let mut differences = Vec::new();
    for case in cases("read") {
        let schema = ddl::parse_schema(case.text("schema").unwrap_or_default())?;
        let decode = |pieces: usize| -> Result<Vec<Json>> {
            let mut decoder = JsonDecoder::new(&schema, options(&case)?)?.with_batch_rows(7);
            let input = case.input();
            for piece in input.chunks(pieces) {
                decoder.push(piece)?;
            }
            decoder.finish()?;
            let mut batches = Vec::new();
            while let Some(batch) = decoder.flush()? {
                batches.push(batch);
            }
            Ok(rows(&batches))
        };
        // However the file arrives, the rows are the same.
        let (whole, torn) = (decode(usize::MAX), decode(3));
        assert_eq!(whole, torn, "case {}", case.number);
        match (whole, case.json.get("error")) {
            (Ok(ours), None) => {
                let (mut ours, mut sparks) = (ours, case.list("rows"));
                let kept =
                    |row: &Json| row["_corrupt_record"].as_str().is_none_or(|r| !DIFFERENT_ON_PURPOSE.contains(&r));
                ours.retain(kept);
                sparks.retain(kept);
                compare(&case, &ddl::to_ddl(&schema), &ours, &sparks, &mut differences);
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
fn from_json_answers_as_in_spark() -> Result<()> {
    let mut differences = Vec::new();
    for case in cases("from_json") {
        let schema = ddl::parse_type_or_columns(case.text("schema").unwrap_or_default())?;
        let ours = options(&case).and_then(|o| JsonDecoder::for_type(&schema, o)?.decode_column(&case.values()));
        match (ours, case.json.get("error")) {
            (Ok(ours), None) => {
                compare(&case, &ddl::type_name(&schema), &column(&ours), &case.list("rows"), &mut differences)
            }
            (Err(_), Some(_)) => {}
            (ours, error) => differences.push(format!("case {}: ours {ours:?}, spark {error:?}", case.number)),
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
            (Err(_), None) => {}
            // Spark fails on a number beyond any decimal, and on a record that names a field twice; we read on.
            (Ok(_), None)
                if ["1e400", r#""a":1,"a":"x""#].iter().any(|t| case.text("text").is_some_and(|x| x.contains(t))) => {}
            _ => differences.push(format!(
                "case {} {:?}: ours {ours:?}, spark {:?}",
                case.number,
                case.text("text"),
                case.json.get("schema")
            )),
        }
    }
    report(&differences)
}

/// The rows of a recorded write as Arrow, if the fixture's spelling can be read back.
fn written_batch(case: &Case) -> Result<Option<arrow::array::RecordBatch>> {
    crate::fixtures::written_batch(case)
}

#[test]
fn files_are_written_as_in_spark() -> Result<()> {
    let mut differences = Vec::new();
    let mut compared = 0;
    for case in cases("write") {
        let (Some(expected), Some(batch)) = (case.text("text"), written_batch(&case)?) else { continue };
        let encoder = JsonEncoder::new(batch.schema_ref(), &options(&case)?)?;
        let mut ours = Vec::new();
        encoder.encode_batch(&batch, &mut ours)?;
        let ours = String::from_utf8_lossy(&ours);
        compared += 1;
        if ours != expected {
            differences
                .push(format!("case {} {}:\n ours  {ours}\n spark {expected}", case.number, case.json["options"]));
        }
    }
    assert!(compared >= 14, "only {compared} cases could be compared");
    report(&differences)
}

#[test]
fn the_console_leaves_nothing_out() -> Result<()> {
    let schema = ddl::parse_schema(
        "a INT, b STRING, c DOUBLE, d DECIMAL(10,2), e BINARY, f DATE, g TIMESTAMP, h TIMESTAMP_NTZ, i MAP<STRING, INT>, \
         j STRUCT<x: INT, y: ARRAY<DOUBLE>>, k INTERVAL DAY TO SECOND",
    )?;
    let lines = concat!(
        r#"{"a":1,"b":"q\"\n","c":1e10,"d":1.5,"e":"YWL/","f":"2024-02-03","g":"2024-01-01T01:00:10+01:00","h":"2024-01-01 00:00:10.5","#,
        r#""i":{"k":null},"j":{"y":[NaN,"-Infinity"]},"k":"1 00:00:00.000001"}"#,
        "\n{}\n"
    );
    let batches = JsonDecoder::new(&schema, JsonOptions::default())?.decode_lines(lines.as_bytes())?;
    let mut text = Vec::new();
    write_console_json(&batches[0], "\n", &mut text)?;
    let expected = concat!(
        r#"{"a":1,"b":"q\"\n","c":1.0E10,"d":"1.50","e":"6162ff","f":"2024-02-03","g":"2024-01-01T00:00:10.000000Z","#,
        r#""h":"2024-01-01T00:00:10.500000Z","i":{"k":null},"j":{"x":null,"y":["NaN","-Infinity"]},"k":86400000001}"#,
        "\n",
        r#"{"a":null,"b":null,"c":null,"d":null,"e":null,"f":null,"g":null,"h":null,"i":null,"j":null,"k":null}"#,
    );
    assert_eq!(String::from_utf8_lossy(&text), expected);
    Ok(())
}

#[test]
fn to_json_keeps_null_and_is_from_jsons_reverse() -> Result<()> {
    let data_type = ddl::parse_type("STRUCT<a: INT, t: TIMESTAMP, l: ARRAY<STRUCT<m: MAP<STRING, DOUBLE>>>>")?;
    let texts = arrow::array::StringArray::from(vec![
        Some(r#"{"a":1,"t":"2024-01-01T00:00:00.000Z","l":[{"m":{"k":1.5}},{}]}"#),
        None,
        Some("{}"),
        Some(r#"{"l":[]}"#),
    ]);
    let values = JsonDecoder::for_type(&data_type, JsonOptions::default())?.decode_column(&texts)?;
    let schema = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new("v", data_type, true)]);
    let back = JsonEncoder::new(&schema, &JsonOptions::default())?.encode_column(&values)?;
    assert_eq!(back, texts);
    let error = JsonEncoder::new(&schema, &JsonOptions::default())?.encode_column(&(std::sync::Arc::new(texts) as _));
    assert_eq!(
        error.map_err(|e| e.to_string()),
        Err("to_json takes a struct, an array or a map, not STRING".to_owned())
    );
    Ok(())
}

#[test]
fn errors_say_which_line_and_which_column() -> Result<()> {
    let schema = ddl::parse_schema("a INT")?;
    let mut options: crate::options::OptionMap = [("mode", "failfast")].into_iter().collect();
    let options = JsonOptions::take(&mut options, crate::java_time::Zone::UTC)?;
    let error =
        JsonDecoder::new(&schema, options)?.decode_lines(b"{\"a\":1}\n\n{\"a\":x}\n").expect_err("the third line");
    assert_eq!((error.kind(), error.position().map(|p| p.line)), (crate::ErrorKind::Corrupt, Some(3)));
    let odd =
        arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new("u", arrow::datatypes::DataType::UInt8, true)]);
    let error = JsonDecoder::new(&odd, JsonOptions::default()).expect_err("not a type of Spark's");
    assert_eq!(error.to_string(), "column u: JSON cannot be read as UINT8");
    Ok(())
}

#[test]
fn a_schema_without_columns_counts_records() -> Result<()> {
    let empty = ddl::parse_schema("")?;
    let batches = JsonDecoder::new(&empty, JsonOptions::default())?.decode_lines(b"{\"a\":1}\n\n{\"b\":2}\n[{},{}]")?;
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 4);
    Ok(())
}

#[test]
fn one_value_has_a_type() -> Result<()> {
    for (text, expected) in [
        (r#"{"b":1,"a":[1.5,null]}"#, "struct<a:array<double>,b:bigint>"),
        ("[1]", "array<bigint>"),
        ("1", "bigint"),
        ("\"x\"", "string"),
        ("null", "string"),
    ] {
        assert_eq!(ddl::type_name(&infer_type(text, &JsonOptions::default())?), expected, "{text}");
    }
    assert!(infer_type("{", &JsonOptions::default()).is_err());
    Ok(())
}

#[test]
fn keys_in_any_order_number_and_length_find_their_fields() -> Result<()> {
    let schema = ddl::parse_schema("a INT, b INT, c INT")?;
    let long = "x".repeat(300);
    let many: String = (0..600).map(|i| format!(r#""k{i}":{i},"#)).collect();
    let lines = [
        format!(r#"{{"{long}":0,"a":1,"b":2,"c":3}}"#),
        format!(r#"{{"{long}":0,"a":1,"b":2,"c":3}}"#),
        r#"{"c":3,"b":2,"a":1}"#.to_owned(),
        r#"{"a":1,"c":3,"z":{"a":9},"b":2}"#.to_owned(),
        r#"{ "a" : 1 , "c" : 3, "b":2 }"#.to_owned(),
        format!(r#"{{{many}"a":1,"b":2,"c":3}}"#),
        format!(r#"{{{many}"c":3,"a":1,"b":2}}"#),
        r#"{"\u0061":1,"b":2,"c":3}"#.to_owned(),
        r#"{"a":1,"b":2,"c":3}"#.to_owned(),
    ];
    let text = lines.iter().cycle().take(40).cloned().collect::<Vec<_>>().join("\n");
    let ours = rows(&JsonDecoder::new(&schema, JsonOptions::default())?.decode_lines(text.as_bytes())?);
    assert_eq!(ours.len(), 40);
    for (i, row) in ours.iter().enumerate() {
        assert_eq!(*row, serde_json::json!({"a": 1, "b": 2, "c": 3}), "line {i}: {}", lines[i % lines.len()]);
    }
    Ok(())
}
