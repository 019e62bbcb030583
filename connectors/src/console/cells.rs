//! Values as Spark's `show()` prints them: NULL, `[1, 2]`, `{k -> v}`, `{a, b}`, bytes as `[31 32]`, decimals plain.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, TimeUnit,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_engine::{Error, Result};
use millstream_formats::java_time::{Zone, cast_date_to_string, cast_timestamp_to_string};
use millstream_formats::number::{write_decimal_plain, write_f32, write_f64};

use crate::files::format_error;
use crate::rows::arrow_error;

/// The text of each of the first `rows` values.
pub(super) fn texts(array: &dyn Array, rows: usize, zone: Zone) -> Result<Vec<String>> {
    let array = array.slice(0, rows.min(array.len()));
    let mut texts = plain_texts(array.as_ref(), zone)?;
    for (row, text) in texts.iter_mut().enumerate() {
        if array.is_null(row) {
            *text = "NULL".to_string();
        }
    }
    Ok(texts)
}

fn plain_texts(array: &dyn Array, zone: Zone) -> Result<Vec<String>> {
    let rows = array.len();
    let number = |print: &dyn Fn(usize, &mut Vec<u8>)| -> Vec<String> {
        let text = |row| {
            let mut bytes = Vec::new();
            print(row, &mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (0..rows).map(text).collect()
    };
    let strings = |texts: arrow::array::StringArray| -> Vec<String> {
        texts.iter().map(|text| text.unwrap_or_default().to_string()).collect()
    };
    Ok(match array.data_type() {
        DataType::Null => vec![String::new(); rows],
        DataType::Utf8 => array.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_string()).collect(),
        DataType::Date32 => strings(cast_date_to_string(array.as_primitive::<Date32Type>()).map_err(format_error)?),
        DataType::Timestamp(..) => strings(cast_timestamp_to_string(array, zone).map_err(format_error)?),
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            number(&|row, out| write_f64(values.value(row), out))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            number(&|row, out| write_f32(values.value(row), out))
        }
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>();
            number(&|row, out| write_decimal_plain(values.value(row), *scale, out))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<DurationMicrosecondType>();
            (0..rows).map(|row| day_time_interval(values.value(row))).collect()
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            let hex = |bytes: &[u8]| {
                let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
                format!("[{}]", digits.join(" "))
            };
            values.iter().map(|bytes| hex(bytes.unwrap_or_default())).collect()
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let items = texts(lists.values().as_ref(), lists.values().len(), zone)?;
            let range = |row: usize| lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            (0..rows).map(|row| format!("[{}]", items[range(row)].join(", "))).collect()
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let keys = texts(maps.keys().as_ref(), maps.keys().len(), zone)?;
            let values = texts(maps.values().as_ref(), maps.values().len(), zone)?;
            let pair = |at: usize| format!("{} -> {}", keys[at], values[at]);
            let range = |row: usize| maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
            (0..rows).map(|row| format!("{{{}}}", range(row).map(pair).collect::<Vec<_>>().join(", "))).collect()
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter().map(|column| texts(column.as_ref(), rows, zone));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let row = |row: usize| columns.iter().map(|column| column[row].as_str()).collect::<Vec<_>>().join(", ");
            (0..rows).map(|at| format!("{{{}}}", row(at))).collect()
        }
        data_type if data_type.is_integer() || data_type == &DataType::Boolean => {
            let options = FormatOptions::default();
            let values = ArrayFormatter::try_new(array, &options).map_err(arrow_error)?;
            (0..rows).map(|row| values.value(row).to_string()).collect()
        }
        other => {
            return Err(Error::unsupported(format!(
                "console sink: a column of type {} cannot be printed: cast it to STRING",
                millstream_formats::ddl::sql_type_name(other)
            )));
        }
    })
}

/// `INTERVAL '1 02:00:00.5' DAY TO SECOND`, the interval's ANSI form.
fn day_time_interval(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    let mut fraction = String::new();
    if !micros.is_multiple_of(1_000_000) {
        let _ = write!(fraction, ".{:06}", micros % 1_000_000);
        fraction.truncate(fraction.trim_end_matches('0').len());
    }
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    format!("INTERVAL '{sign}{days} {hours:02}:{minutes:02}:{:02}{fraction}' DAY TO SECOND", seconds % 60)
}
