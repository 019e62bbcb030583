//! Spark's implicit casts of arguments, under ANSI rules: what cannot be read or does not fit is an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::util::display::FormatOptions;
use datafusion::common::Result;

use super::types;
use super::zone::Zone;
use crate::expressions::cast_values;

/// Brings a column to another type by Spark's rules, in a time zone.
///
/// # Errors
/// Spark's, for a value that cannot be cast.
pub(super) fn to(array: &ArrayRef, target: &DataType, zone: &Zone) -> Result<ArrayRef> {
    cast(array, target, zone, false)
}

/// As [`to`], with null for a value that cannot be cast.
pub(super) fn try_to(array: &ArrayRef, target: &DataType, zone: &Zone) -> Result<ArrayRef> {
    cast(array, target, zone, true)
}

fn cast(array: &ArrayRef, target: &DataType, zone: &Zone, is_try: bool) -> Result<ArrayRef> {
    let source = array.data_type();
    if source == target {
        return Ok(Arc::clone(array));
    }
    // Views, dictionaries and other spellings first; a column that has one of them is rarely cast further.
    let spelled = types::plain(source);
    if spelled != *source {
        return cast(&plain(array, &spelled)?, target, zone, is_try);
    }
    let is_widening = source.is_integer() && target.is_integer() && source.primitive_width() < target.primitive_width();
    if is_widening || (source.is_integer() && target.is_floating()) {
        return plain(array, target);
    }
    cast_values(array, target, zone.to_java()?, is_try)
}

/// A cast between types of one representation, or one that needs no rules of Spark's.
pub(super) fn plain(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    Ok(cast_with_options(array, target, &options)?)
}
