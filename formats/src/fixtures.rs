//! Spark's recorded answers (`tests/fixtures/*.jsonl`), and how ours are compared with them.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use serde_json::Value;
use std::sync::Arc;

use crate::error::Result;
use crate::json::write_console_json;
use crate::options::OptionMap;

/// A recorded case.
pub(crate) struct Case {
    pub(crate) number: usize,
    pub(crate) json: Value,
}

impl Case {
    pub(crate) fn all(file: &str) -> Vec<Self> {
        let parse = |(number, line): (usize, &str)| Self {
            number,
            json: serde_json::from_str(line).expect("fixtures are JSON"),
        };
        file.lines().enumerate().map(parse).collect()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.json.get(key).and_then(Value::as_str)
    }

    pub(crate) fn list(&self, key: &str) -> Vec<Value> {
        self.json.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    pub(crate) fn values(&self) -> arrow::array::StringArray {
        self.list("values").iter().map(|v| v.as_str().map(str::to_owned)).collect()
    }

    /// The file that Spark read.
    pub(crate) fn input(&self) -> Vec<u8> {
        match self.text("hex") {
            Some(hex) => {
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
            }
            None => self.text("text").unwrap_or_default().as_bytes().to_vec(),
        }
    }

    pub(crate) fn options(&self) -> OptionMap {
        let Some(Value::Object(options)) = self.json.get("options") else {
            return OptionMap::new();
        };
        options.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
    }

    pub(crate) fn session_zone(&self) -> crate::java_time::Zone {
        let name = self.json.pointer("/conf/spark.sql.session.timeZone").and_then(Value::as_str);
        name.map_or(crate::java_time::Zone::UTC, |n| crate::java_time::Zone::parse(n).expect("a zone"))
    }
}

/// A batch's rows in the fixtures' spelling.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<Value> {
    let mut all = Vec::new();
    for batch in batches {
        let mut text = Vec::from(*b"[");
        write_console_json(batch, ",", &mut text).expect("every type of the fixtures can be printed");
        text.push(b']');
        let rows: Vec<Value> = serde_json::from_slice(&text).expect("the console prints JSON");
        all.extend(rows);
    }
    all
}

/// A column's values in the fixtures' spelling.
pub(crate) fn column(array: &ArrayRef) -> Vec<Value> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::clone(array)]).expect("one column");
    rows(&[batch]).into_iter().map(|mut row| row["v"].take()).collect()
}

/// Equal, numbers by value (a FLOAT comes from Python as the double it is).
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap_or(f64::NAN), y.as_f64().unwrap_or(f64::NAN));
            x == y || x as f32 == y as f32
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

/// Fails with every difference at once, so that one run shows them all.
pub(crate) fn report(differences: &[String]) -> Result<()> {
    assert!(differences.is_empty(), "{} differences from Spark:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

/// One line for each answer that is not Spark's.
pub(crate) fn compare(case: &Case, what: &str, ours: &[Value], sparks: &[Value], differences: &mut Vec<String>) {
    if ours.len() != sparks.len() {
        differences.push(format!(
            "case {} {what}: {} rows, not {}\n   ours {ours:?}\n  spark {sparks:?}",
            case.number,
            ours.len(),
            sparks.len()
        ));
        return;
    }
    let inputs = case.list("values");
    for (i, (a, b)) in ours.iter().zip(sparks).enumerate() {
        if !same(a, b) {
            let input = inputs.get(i).map(|v| format!(" of {v}")).unwrap_or_default();
            differences.push(format!("case {} {what} row {i}{input}: ours {a}, spark {b}", case.number));
        }
    }
}

/// The rows that Spark wrote, as Arrow; nothing where the fixture has no rows or a type that JSON cannot bring here.
pub(crate) fn written_batch(case: &Case) -> Result<Option<RecordBatch>> {
    let Some(name) = case.text("schema").filter(|_| case.json.get("rows").is_some()) else { return Ok(None) };
    let Ok(schema) = crate::ddl::parse_schema(&quoted_names(name)) else { return Ok(None) };
    batch_of(&schema, &case.list("rows"))
}

/// Rows in the fixtures' spelling as Arrow; nothing where JSON cannot bring the type here.
pub(crate) fn batch_of(schema: &Schema, rows: &[Value]) -> Result<Option<RecordBatch>> {
    let mut text = Vec::new();
    for row in rows {
        let mut row = row.clone();
        for field in schema.fields() {
            respell(&mut row[field.name().as_str()], field.data_type());
        }
        text.extend_from_slice(row.to_string().as_bytes());
        text.push(b'\n');
    }
    let Ok(mut decoder) = crate::json::JsonDecoder::new(schema, crate::json::JsonOptions::default()) else {
        return Ok(None);
    };
    Ok(decoder.decode_lines(&text)?.pop())
}

/// Spark prints names in a type without quoting them.
fn quoted_names(simple: &str) -> String {
    simple.replace("struct<a,b:int,q\"r:int, s :int>", "struct<`a,b`:int,`q\"r`:int,` s `:int>")
}

/// From the fixtures' spelling to what the decoder reads.
fn respell(value: &mut Value, data_type: &arrow::datatypes::DataType) {
    use arrow::datatypes::{DataType, TimeUnit};
    match (data_type, &value) {
        (DataType::Binary, Value::String(hex)) => {
            let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex");
            let bytes: Vec<u8> = (0..hex.len() / 2).map(byte).collect();
            let mut text = Vec::new();
            crate::base64::encode(&bytes, &mut text);
            *value = Value::String(String::from_utf8(text).expect("Base64 is ASCII"));
        }
        (DataType::Timestamp(_, None), Value::String(text)) => {
            *value = Value::String(text.trim_end_matches('Z').to_owned())
        }
        (DataType::Duration(TimeUnit::Microsecond), Value::Number(us)) => {
            let mut text = Vec::new();
            crate::interval::write_day_time(us.as_i64().expect("microseconds"), &mut text);
            *value = Value::String(String::from_utf8(text).expect("ASCII"));
        }
        _ => {}
    }
}
