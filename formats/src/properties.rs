//! What must hold for any input: nothing panics, and what was written reads back the same.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

use crate::csv::{CsvDecoder, CsvEncoder, CsvOptions};
use crate::ddl;
use crate::fixtures::rows;
use crate::java_time::{DateTimeFormat, Zone, cast};
use crate::json::{JsonDecoder, JsonEncoder, JsonOptions};
use crate::options::OptionMap;

const TYPES: &str = "s STRING, l BIGINT, t TINYINT, d DOUBLE, f FLOAT, b BOOLEAN, x DECIMAL(38,10), dt DATE, ts TIMESTAMP, n TIMESTAMP_NTZ, bin BINARY";

/// A row of `TYPES`, without BINARY.
type Row = (
    (Option<String>, Option<i64>, Option<i8>, Option<f64>, Option<f32>, Option<bool>),
    (Option<i128>, Option<i32>, Option<i64>, Option<i64>),
);

fn row() -> impl Strategy<Value = Row> {
    // From the year 1 to 9999: more digits than that are written with a sign, which CAST does not read.
    let days = -719_162..2_932_896i32;
    let micros = || -62_135_596_800_000_000..253_402_300_799_999_999i64;
    let limit = 10i128.pow(38);
    (
        (
            option::of("[ -~\\t\\né€😀\"]{0,12}"),
            option::of(any::<i64>()),
            option::of(any::<i8>()),
            option::of(any::<f64>()),
            option::of(any::<f32>()),
            option::of(any::<bool>()),
        ),
        (option::of(-limit + 1..limit), option::of(days), option::of(micros()), option::of(micros())),
    )
}

fn batch(data: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(data.iter().map(|r| r.0.0.clone()).collect::<StringArray>()),
        Arc::new(data.iter().map(|r| r.0.1).collect::<Int64Array>()),
        Arc::new(data.iter().map(|r| r.0.2).collect::<Int8Array>()),
        Arc::new(data.iter().map(|r| r.0.3).collect::<Float64Array>()),
        Arc::new(data.iter().map(|r| r.0.4).collect::<Float32Array>()),
        Arc::new(data.iter().map(|r| r.0.5).collect::<BooleanArray>()),
        Arc::new(
            data.iter().map(|r| r.1.0).collect::<Decimal128Array>().with_precision_and_scale(38, 10).expect("it fits"),
        ),
        Arc::new(data.iter().map(|r| r.1.1).collect::<Date32Array>()),
        Arc::new(data.iter().map(|r| r.1.2).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(data.iter().map(|r| r.1.3).collect::<TimestampMicrosecondArray>()),
        Arc::new(data.iter().map(|r| r.0.0.as_ref().map(|s| s.as_bytes())).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(ddl::parse_schema(TYPES).expect("a schema"), columns).expect("columns of the schema")
}

fn options(extra: &[(&str, &str)]) -> OptionMap {
    let micros = [
        ("timestampFormat", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXXXX"),
        ("timestampNTZFormat", "yyyy-MM-dd HH:mm:ss.SSSSSS"),
    ];
    micros.iter().chain(extra).copied().collect()
}

proptest! {
    #[test]
    fn json_reads_what_it_wrote(data in vec(row(), 0..20), piece in 1usize..200, zone in 0usize..3) {
        let zone = Zone::parse(["UTC", "Asia/Kathmandu", "America/New_York"][zone]).expect("a zone");
        let (batch, options) = (batch(&data), JsonOptions::take(&mut options(&[]), zone).expect("options"));
        let mut text = Vec::new();
        JsonEncoder::new(batch.schema_ref(), &options).and_then(|e| e.encode_batch(&batch, &mut text)).expect("it can be written");
        let mut decoder = JsonDecoder::new(batch.schema_ref(), options).expect("a decoder").with_batch_rows(3);
        for piece in text.chunks(piece) {
            decoder.push(piece).expect("no errors in this mode");
        }
        let rest = decoder.decode_lines(b"").expect("no errors in this mode");
        prop_assert_eq!(rows(&rest), rows(&[batch]));
    }

    #[test]
    fn csv_reads_what_it_wrote(data in vec(row(), 0..20), zone in 0usize..2) {
        let zone = Zone::parse(["UTC", "Asia/Kathmandu"][zone]).expect("a zone");
        // Null must be told from the empty string, and blanks kept.
        let extra = [("nullValue", "~null~"), ("multiLine", "true"), ("ignoreLeadingWhiteSpace", "false"),
                     ("ignoreTrailingWhiteSpace", "false"), ("escape", "\"")];
        let options = CsvOptions::take(&mut options(&extra), zone).expect("options");
        let whole = batch(&data);
        // BINARY is written for people, not to be read; doubles beyond numbers have names of their own.
        let batch = whole.project(&[0, 1, 2, 5, 6, 7, 8, 9]).expect("columns that are there");
        let mut text = Vec::new();
        CsvEncoder::new(batch.schema_ref(), &options).and_then(|e| e.encode_batch(&batch, &mut text)).expect("it can be written");
        let back = CsvDecoder::new(batch.schema_ref(), options).and_then(|mut d| d.decode_all(&text)).expect("it can be read");
        prop_assert_eq!(rows(&back), rows(&[batch]), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300), piece in 1usize..50) {
        let schema = ddl::parse_schema(&format!("{TYPES}, st STRUCT<a: INT, b: ARRAY<STRING>>, m MAP<STRING, DOUBLE>")).expect("a schema");
        let mut json = JsonDecoder::new(&schema, JsonOptions::default()).expect("a decoder");
        let csv_schema = ddl::parse_schema(TYPES).expect("a schema");
        let mut csv = CsvDecoder::new(&csv_schema, CsvOptions::default()).expect("a decoder");
        for piece in bytes.chunks(piece) {
            json.push(piece).expect("this mode has no errors");
            csv.push(piece).expect("this mode has no errors");
        }
        json.finish().and_then(|()| csv.finish()).expect("this mode has no errors");
        json.flush().and_then(|_| csv.flush()).expect("columns of equal length");
        let _ = crate::json::infer_schema(&bytes, &JsonOptions::default());
        let _ = crate::csv::infer_schema(&bytes, &CsvOptions::default());
    }

    #[test]
    fn nearly_json_does_not_panic(
        text in r#"([\[\]{}:,"'\\/ ]|"(s|l|t|d|x|dt|ts|bin|st|m|a|b)"|[0-9eE.+-]{1,4}|true|null|NaN|\\u[0-9a-d]{4}|2024-01-01T00:00:00Z|é){0,40}"#,
        multi_line in any::<bool>(),
    ) {
        let schema = ddl::parse_schema(&format!("{TYPES}, st STRUCT<a: INT, b: ARRAY<STRING>>, m MAP<STRING, DOUBLE>, _corrupt_record STRING"));
        let options = JsonOptions { multi_line, ..JsonOptions::default() };
        let schema = schema.expect("a schema");
        let text = format!("{{\"s\":{text}}}");
        JsonDecoder::new(&schema, options.clone()).and_then(|mut d| d.decode_lines(text.as_bytes())).expect("this mode has no errors");
        let texts = StringArray::from(vec![text.as_str()]);
        JsonDecoder::for_type(&arrow::datatypes::DataType::Struct(schema.fields().clone()), options)
            .and_then(|mut d| d.decode_column(&texts)).expect("this mode has no errors");
    }

    #[test]
    fn no_text_makes_dates_panic(pattern in "[yMdDHhKkmsSaGEQqzZOXxV'\\[\\] .:/-]{0,12}", text in "[-+0-9TZa-z:. /é]{0,24}", us in any::<i64>()) {
        let zone = Zone::parse("Europe/Berlin").expect("a zone");
        let _ = (cast::parse_timestamp(&text, zone, || 0), cast::parse_timestamp_ntz(&text, true), cast::parse_date(&text), Zone::parse(&text));
        let _ = (crate::interval::parse_day_time(&text), crate::interval::parse_year_month(&text), ddl::parse_schema(&text));
        if let Ok(format) = DateTimeFormat::compile(&pattern) {
            let _ = (format.parse_timestamp(&text, zone), format.parse_date_in(&text, zone));
            let times = TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC");
            let _ = format.format(&times, zone);
        }
    }

    /// Another reader sees the same: fields in any order, missing, repeated, unknown, with blanks anywhere.
    #[test]
    fn json_reads_what_serde_reads(
        records in vec(vec((0usize..7, 0usize..9, "[ \\t]{0,2}"), 0..8), 1..12),
        number in -1_000_000i64..1_000_000,
        text in "[a-zé€😀\"\\\\\\n\\t]{0,8}",
    ) {
        let schema = ddl::parse_schema("a BIGINT, b STRING, c STRUCT<a: BIGINT, b: STRING>, d ARRAY<BIGINT>").expect("a schema");
        let quoted = serde_json::to_string(&text).expect("a string");
        let long = format!("\"{}\"", "k".repeat(260));
        let names = ["\"a\"", "\"b\"", "\"c\"", "\"d\"", "\"z\"", "\"\\u0061\"", long.as_str()];
        let mut lines = String::new();
        for record in &records {
            let members: Vec<String> = record.iter().map(|(name, value, blank)| {
                let other = value % 3 == 0;
                let value = match names[*name].trim_matches('"') {
                    _ if *value == 8 => "null".to_owned(),
                    "a" | "\\u0061" => number.to_string(),
                    "b" => quoted.clone(),
                    "c" => format!("{{{blank}\"b\":{quoted},\"y\":[{{\"q\":{quoted}}}],\"a\":{blank}{number}}}"),
                    "d" => format!("[{blank}{number} ,{blank}null]"),
                    _ if other => format!("{{\"a\":[{quoted},{{}}]}}"),
                    _ => quoted.clone(),
                };
                format!("{blank}{}{blank}:{blank}{value}{blank}", names[*name])
            }).collect();
            lines.push_str(&format!("{{{}}}\n", members.join(",")));
        }
        let ours = JsonDecoder::new(&schema, JsonOptions::default()).and_then(|mut d| d.decode_lines(lines.as_bytes())).expect("JSON");
        let field = |row: &serde_json::Value, name: &str| row.get(name).cloned().unwrap_or_default();
        let theirs: Vec<serde_json::Value> = lines.lines().map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let inner = field(&row, "c");
            let c = if inner.is_null() { inner } else { serde_json::json!({"a": field(&inner, "a"), "b": field(&inner, "b")}) };
            serde_json::json!({"a": field(&row, "a"), "b": field(&row, "b"), "c": c, "d": field(&row, "d")})
        }).collect();
        prop_assert_eq!(rows(&ours), theirs, "{}", lines);
    }
}
