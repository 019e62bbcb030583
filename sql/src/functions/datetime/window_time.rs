//! The last moment of a window.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};

use super::timestamps;
use crate::functions::error::refused;
use crate::functions::function::{Call, Shape};
use crate::functions::types;

/// The type of a window's start and end.
pub(in crate::functions) fn window_time_type(shape: &Shape<'_>) -> Result<DataType> {
    if let DataType::Struct(fields) = &shape.types[0]
        && let [start, end] = &fields[..]
        && (start.name().as_str(), end.name().as_str()) == ("start", "end")
        && matches!(end.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _))
    {
        return Ok(end.data_type().clone());
    }
    Err(refused(
        "_LEGACY_ERROR_TEMP_3101",
        format!(
            "window_time takes a column that window(…) or session_window(…) has made, not {}: group by a window first.",
            types::sql_name(&shape.types[0])
        ),
    ))
}

/// `window_time(window)`: a microsecond before its end.
pub(in crate::functions) fn window_time(call: &Call<'_>) -> Result<ArrayRef> {
    let windows = call.raw(0);
    let Some(ends) = windows.as_struct_opt().and_then(|w| w.column(1).as_primitive_opt::<TimestampMicrosecondType>())
    else {
        return Err(DataFusionError::Internal(format!("window_time of {}", windows.data_type())));
    };
    timestamps(call, |row| {
        let row = call.row(0, row);
        Ok((windows.is_valid(row) && ends.is_valid(row)).then(|| ends.value(row).saturating_sub(1)))
    })
}
