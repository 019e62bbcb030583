//! `_metadata`: where a row comes from, as Spark's hidden column of file sources.
//!
//! Only who names the column gets it; the scan that reads it has it as the last column of its schema.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use millstream_engine::Result;

use super::format::Format;
use super::split::FilePart;
use crate::rows::arrow_error;

fn fields(format: Format) -> Fields {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let mut fields = vec![
        field("file_path", DataType::Utf8),
        field("file_name", DataType::Utf8),
        field("file_size", DataType::Int64),
        field("file_block_start", DataType::Int64),
        field("file_block_length", DataType::Int64),
        field("file_modification_time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ];
    if format == Format::Parquet {
        fields.push(field("row_index", DataType::Int64));
    }
    Fields::from(fields)
}

/// The column. Only rows of Parquet files have a number there.
pub(super) fn field(format: Format) -> FieldRef {
    Arc::new(Field::new("_metadata", DataType::Struct(fields(format)), false))
}

/// The column of `rows` of `part`, given by their numbers in the file.
pub(super) fn column(format: Format, part: &FilePart, rows: Range<u64>) -> Result<ArrayRef> {
    let mut columns = constant_columns(part, (rows.end - rows.start) as usize)?;
    if format == Format::Parquet {
        let numbers = rows.map(|row| i64::try_from(row).unwrap_or(i64::MAX));
        columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
    }
    Ok(Arc::new(StructArray::try_new(fields(format), columns, None).map_err(arrow_error)?))
}

/// What is the same for all rows of a part.
fn constant_columns(part: &FilePart, rows: usize) -> Result<Vec<ArrayRef>> {
    let name = part.path.rsplit('/').next().unwrap_or_default();
    let bound = |index: u64| (u128::from(part.size_bytes) * u128::from(index) / u128::from(part.of.max(1))) as u64;
    let (start, end) = (bound(part.index), bound(part.index + 1));
    // Spark writes the URI of a local file with one slash here, and with three in its logs.
    let path = match part.path.strip_prefix("file://") {
        Some(path) => format!("file:{path}"),
        None => part.path.clone(),
    };
    let number = |bytes: u64| Arc::new(Int64Array::from(vec![i64::try_from(bytes).unwrap_or(i64::MAX)])) as ArrayRef;
    let modified = TimestampMicrosecondArray::from(vec![part.modified_ms.saturating_mul(1000)]).with_timezone("UTC");
    let values: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![path])),
        Arc::new(StringArray::from(vec![name])),
        number(part.size_bytes),
        number(start),
        number(end - start),
        Arc::new(modified),
    ];
    let repeated = UInt32Array::from(vec![0; rows]);
    values.iter().map(|one| arrow::compute::take(one, &repeated, None).map_err(arrow_error)).collect()
}
