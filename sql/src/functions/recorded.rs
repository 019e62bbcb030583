//! For the tests that ask what a running Spark was asked: where its answers are, and how values are written in them.

use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::common::{Column, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use serde_json::{Map, Value, json};

use super::{cast, zone};
use crate::dialect::{StreamCatalog, TimeWindow};

/// The path of a file of recorded answers.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/spark").join(name)
}

/// The recorded questions ask for no stream.
pub(crate) struct NoStreams;

impl StreamCatalog for NoStreams {
    fn stream_plan(&self, name: &TableReference, _: &[(String, String)]) -> Result<LogicalPlan, DataFusionError> {
        Err(DataFusionError::Plan(format!("no stream {name}")))
    }

    fn watermark_plan(&self, _: LogicalPlan, column: &Column, _: i64) -> Result<LogicalPlan, DataFusionError> {
        Err(DataFusionError::Plan(format!("no watermark on {column}")))
    }

    fn deduplicate_plan(&self, _: LogicalPlan, _: Vec<Column>, _: bool) -> Result<LogicalPlan, DataFusionError> {
        Err(DataFusionError::Plan("no deduplication".to_string()))
    }

    fn window_plan(&self, _: LogicalPlan, window: &TimeWindow) -> Result<LogicalPlan, DataFusionError> {
        Err(DataFusionError::Plan(format!("no window {}", window.name)))
    }
}

/// A row, as the array of its values.
pub(crate) fn record(batch: &RecordBatch, row: usize) -> Value {
    Value::Array(batch.columns().iter().map(|c| value(c, row)).collect())
}

/// The value of a row as the recordings write it.
pub(crate) fn value(array: &ArrayRef, row: usize) -> Value {
    if array.data_type() == &DataType::Null || array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => double(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            let mut text = Vec::new();
            millstream_formats::number::write_decimal_plain(
                array.as_primitive::<Decimal128Type>().value(row),
                *scale,
                &mut text,
            );
            json!(String::from_utf8_lossy(&text))
        }
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => {
            json!(array.as_binary::<i32>().value(row).iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        DataType::Date32 => {
            let (year, month, day) = zone::civil(array.as_primitive::<Date32Type>().value(row));
            json!(format!("{}-{month:02}-{day:02}", year_text(year)))
        }
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let (year, month, day) = zone::civil(micros.div_euclid(86_400_000_000) as i32);
            let time = micros.rem_euclid(86_400_000_000);
            let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
            let year = year_text(year);
            let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            json!(format!("{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{fraction:06}Z"))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|at| value(&items, at)).collect())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let key = |at| match value(entries.column(0), at) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Value::Object((0..entries.len()).map(|at| (key(at), value(entries.column(1), at))).collect())
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let fields = fields.iter().zip(parts.columns()).map(|(f, c)| (f.name().clone(), value(c, row)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        _ => {
            let text =
                cast::to(&array.slice(row, 1), &DataType::Utf8, &zone::Zone::Fixed(0)).expect("a printable type");
            json!(text.as_string::<i32>().value(0))
        }
    }
}

fn double(x: f64) -> Value {
    if x.is_nan() {
        json!("NaN")
    } else if x.is_infinite() {
        json!(if x > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(x)
    }
}

fn year_text(year: i32) -> String {
    let sign = match year {
        ..0 => "-",
        10_000.. => "+",
        _ => "",
    };
    format!("{sign}{:04}", year.unsigned_abs())
}
