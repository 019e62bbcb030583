//! Times of rows, as microseconds.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion_common::{Result, internal_err};

use crate::plan::watermark::event_time_column;

/// The times in a column, in microseconds since the epoch; a window's is its end.
pub(super) fn micros_of(column: &ArrayRef) -> Result<Int64Array> {
    let times = event_time_column(column)?;
    match times.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Ok(Int64Array::new(times.values().clone(), times.nulls().cloned())),
        None => internal_err!("an event time is {}, expected microseconds", times.data_type()),
    }
}
