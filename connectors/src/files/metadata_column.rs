//! `_metadata`: where a row comes from, as Spark's hidden column of file sources.
//!
//! Only who names the column gets it; the scan that reads it has it as the last column of its schema.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use millstream_engine::Result;

use super::split::FilePart;
use crate::rows::arrow_error;

fn fields() -> Fields {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    Fields::from(vec![
        field("file_path", DataType::Utf8),
        field("file_name", DataType::Utf8),
        field("file_size", DataType::Int64),
        field("file_block_start", DataType::Int64),
        field("file_block_length", DataType::Int64),
        field("file_modification_time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ])
}

/// The column.
pub(super) fn field() -> FieldRef {
    Arc::new(Field::new("_metadata", DataType::Struct(fields()), false))
}

/// The column of `rows` rows of `part`.
pub(super) fn column(part: &FilePart, rows: usize) -> Result<ArrayRef> {
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
    let one = StructArray::try_new(fields(), values, None).map_err(arrow_error)?;
    arrow::compute::take(&one as &dyn Array, &UInt32Array::from(vec![0; rows]), None).map_err(arrow_error)
}
