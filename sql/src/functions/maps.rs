//! Functions of maps. Keys are never null and never twice in one map.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StructArray};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};

use super::arrays::{Lists, element_field};
use super::error::{fails, refused};
use super::function::{Call, Shape};
use super::order::Comparable;
use super::rows::{Offsets, Validity};
use super::{regex, types};

/// A map argument: where each row's entries are.
pub(super) struct Maps<'a> {
    map: &'a MapArray,
    is_constant: bool,
}

impl<'a> Maps<'a> {
    pub(super) fn new(call: &'a Call<'_>, at: usize) -> Self {
        Self { map: call.raw(at).as_map(), is_constant: call.is_constant(at) }
    }

    pub(super) fn keys(&self) -> &'a ArrayRef {
        self.map.keys()
    }

    pub(super) fn values(&self) -> &'a ArrayRef {
        self.map.values()
    }

    /// The positions of a row's entries, or `None` for a null map.
    #[inline]
    pub(super) fn range(&self, row: usize) -> Option<Range<usize>> {
        let row = if self.is_constant { 0 } else { row };
        if self.map.is_null(row) {
            return None;
        }
        let offsets = self.map.value_offsets();
        Some(offsets[row] as usize..offsets[row + 1] as usize)
    }
}

/// Maps out of keys and values; `offsets` says where each row's entries end.
///
/// # Errors
/// `NULL_MAP_KEY` and `DUPLICATED_MAP_KEY`.
pub(super) fn build(
    keys: ArrayRef,
    values: ArrayRef,
    offsets: Offsets,
    validity: Validity,
    returns: &DataType,
) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = returns else {
        return Err(DataFusionError::Internal(format!("{returns} is no map")));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(DataFusionError::Internal(format!("{returns} has no entries")));
    };
    if keys.logical_null_count() > 0 {
        return Err(fails("NULL_MAP_KEY", "Cannot use null as map key."));
    }
    let offsets = offsets.finish();
    check_keys(&keys, &offsets)?;
    let structs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, structs, validity.finish(), false)?))
}

fn check_keys(keys: &ArrayRef, offsets: &[i32]) -> Result<()> {
    if offsets.windows(2).all(|w| w[1] - w[0] < 2) {
        return Ok(());
    }
    let rows = Comparable::new(keys.data_type())?.rows(keys)?;
    let mut seen = HashSet::new();
    for window in offsets.windows(2) {
        seen.clear();
        for at in window[0] as usize..window[1] as usize {
            if !seen.insert(rows.row(at)) {
                let key = arrow::util::display::array_value_to_string(keys, at)?;
                return Err(fails(
                    "DUPLICATED_MAP_KEY",
                    format!(
                        "Duplicate map key {key} was found, please check the input data. If you want to remove the duplicated keys, you can set \"spark.sql.mapKeyDedupPolicy\" to \"LAST_WIN\" so that the key inserted at last takes precedence."
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Keys become alike, and values.
pub(super) fn map_args(given: &[DataType]) -> Result<Vec<DataType>> {
    if !given.len().is_multiple_of(2) {
        return Err(refused("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "The `map` requires 2n (n > 0) parameters."));
    }
    let part = |from: usize| types::widest(&given.iter().skip(from).step_by(2).cloned().collect::<Vec<_>>());
    let (key, value) = (part(0)?, part(1)?);
    if matches!(key, DataType::Map(..)) {
        return Err(refused("DATATYPE_MISMATCH.INVALID_MAP_KEY_TYPE", "The key of map cannot be/contain \"MAP\"."));
    }
    Ok(given.iter().enumerate().map(|(at, _)| if at % 2 == 0 { key.clone() } else { value.clone() }).collect())
}

/// The type of `map(…)`.
pub(super) fn map_type(shape: &Shape<'_>) -> Result<DataType> {
    let of = |at: usize| shape.types.get(at).cloned().unwrap_or(DataType::Null);
    Ok(types::map_of(of(0), of(1)))
}

/// `map(key, value, …)`.
pub(super) fn map(call: &Call<'_>) -> Result<ArrayRef> {
    let pairs = call.len() / 2;
    let column = |from: usize| -> Result<ArrayRef> {
        let columns: Vec<&dyn Array> = (0..pairs).map(|n| call.raw(2 * n + from).as_ref()).collect();
        if columns.is_empty() {
            return Ok(arrow::array::new_empty_array(&DataType::Null));
        }
        let places: Vec<(usize, usize)> =
            (0..call.rows).flat_map(|row| (0..pairs).map(move |n| (n, call.row(2 * n + from, row)))).collect();
        if *columns[0].data_type() == DataType::Null {
            return Ok(arrow::array::new_null_array(&DataType::Null, places.len()));
        }
        Ok(interleave(&columns, &places)?)
    };
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        offsets.push((row + 1) * pairs)?;
        validity.push(true);
    }
    build(column(0)?, column(1)?, offsets, validity, call.returns)
}

/// The type of a map's keys as an array.
pub(super) fn keys_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(types::array_of(types::key_value(&shape.types[0])?.0))
}

/// The type of a map's values as an array.
pub(super) fn values_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(types::array_of(types::key_value(&shape.types[0])?.1))
}

/// The type of a map's entries as an array of structs.
pub(super) fn entries_type(shape: &Shape<'_>) -> Result<DataType> {
    let (key, value) = types::key_value(&shape.types[0])?;
    Ok(types::array_of(types::struct_of([("key", key), ("value", value)])))
}

/// `map_keys(m)`.
pub(super) fn map_keys(call: &Call<'_>) -> Result<ArrayRef> {
    as_list(call, |map| Ok(Arc::clone(map.keys())))
}

/// `map_values(m)`.
pub(super) fn map_values(call: &Call<'_>) -> Result<ArrayRef> {
    as_list(call, |map| Ok(Arc::clone(map.values())))
}

/// `map_entries(m)`.
pub(super) fn map_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let field = element_field(call.returns)?;
    let DataType::Struct(fields) = field.data_type().clone() else {
        return Err(DataFusionError::Internal("entries are structs".to_string()));
    };
    as_list(call, |map| {
        let columns = vec![Arc::clone(map.keys()), Arc::clone(map.values())];
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
    })
}

fn as_list(call: &Call<'_>, part: impl Fn(&MapArray) -> Result<ArrayRef>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let map = array.as_map();
    let field = element_field(call.returns)?;
    Ok(Arc::new(ListArray::try_new(field, map.offsets().clone(), part(map)?, map.nulls().cloned())?))
}

/// The type of a map of two arrays.
pub(super) fn from_arrays_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(types::map_of(types::element(&shape.types[0])?, types::element(&shape.types[1])?))
}

/// `map_from_arrays(keys, values)`.
pub(super) fn map_from_arrays(call: &Call<'_>) -> Result<ArrayRef> {
    let (keys, values) = (Lists::new(call, 0), Lists::new(call, 1));
    let (mut key_at, mut value_at) = (Vec::new(), Vec::new());
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        let both = keys.range(row).zip(values.range(row));
        validity.push(both.is_some());
        if let Some((k, v)) = both {
            if k.len() != v.len() {
                return Err(fails(
                    "_LEGACY_ERROR_TEMP_2128",
                    "The key array and value array of MapData must have the same length.",
                ));
            }
            key_at.extend(k.map(|p| p as u32));
            value_at.extend(v.map(|p| p as u32));
        }
        offsets.push(key_at.len())?;
    }
    build(take(keys.values(), key_at)?, take(values.values(), value_at)?, offsets, validity, call.returns)
}

fn take(values: &ArrayRef, positions: Vec<u32>) -> Result<ArrayRef> {
    Ok(arrow::compute::take(values, &arrow::array::UInt32Array::from(positions), None)?)
}

/// The type of a map of entries.
pub(super) fn from_entries_type(shape: &Shape<'_>) -> Result<DataType> {
    match types::element(&shape.types[0])? {
        DataType::Struct(fields) if fields.len() == 2 => {
            Ok(types::map_of(fields[0].data_type().clone(), fields[1].data_type().clone()))
        }
        other => Err(refused(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            format!("map_from_entries takes an array of pairs, not of {}", types::sql_name(&other)),
        )),
    }
}

/// `map_from_entries(a)`: null if an entry is.
pub(super) fn map_from_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let entries = lists.values().as_struct();
    let mut places = Vec::new();
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        let range = lists.range(row).filter(|r| r.clone().all(|at| entries.is_valid(at)));
        validity.push(range.is_some());
        places.extend(range.into_iter().flatten().map(|p| p as u32));
        offsets.push(places.len())?;
    }
    let keys = take(entries.column(0), places.clone())?;
    build(keys, take(entries.column(1), places)?, offsets, validity, call.returns)
}

/// `map_concat(…)`: null if one of the maps is.
pub(super) fn map_concat(call: &Call<'_>) -> Result<ArrayRef> {
    let maps: Vec<Maps<'_>> = (0..call.len()).map(|at| Maps::new(call, at)).collect();
    let mut places = Vec::new();
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        let is_valid = maps.iter().all(|m| m.range(row).is_some());
        validity.push(is_valid);
        if is_valid {
            for (at, map) in maps.iter().enumerate() {
                places.extend(map.range(row).into_iter().flatten().map(|p| (at, p)));
            }
        }
        offsets.push(places.len())?;
    }
    let gather = |part: fn(&Maps<'_>) -> ArrayRef| -> Result<ArrayRef> {
        let arrays: Vec<ArrayRef> = maps.iter().map(part).collect();
        let columns: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        match columns.first() {
            None => Ok(arrow::array::new_empty_array(&DataType::Utf8)),
            Some(first) if places.is_empty() => Ok(arrow::array::new_empty_array(first.data_type())),
            Some(_) => Ok(interleave(&columns, &places)?),
        }
    };
    build(gather(|m| Arc::clone(m.keys()))?, gather(|m| Arc::clone(m.values()))?, offsets, validity, call.returns)
}

/// The type of `map_concat(…)`.
pub(super) fn concat_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(shape.types.first().cloned().unwrap_or_else(|| types::map_of(DataType::Utf8, DataType::Utf8)))
}

/// A map of strings.
pub(super) fn text_map(_: &Shape<'_>) -> Result<DataType> {
    Ok(types::map_of(DataType::Utf8, DataType::Utf8))
}

/// `str_to_map(s [, pair separator [, key separator]])`: both separators are patterns.
pub(super) fn str_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut pair = regex::Patterns::new(call, 1, ",")?;
    let mut between = regex::Patterns::new(call, 2, ":")?;
    let (mut keys, mut values) = (arrow::array::StringBuilder::new(), arrow::array::StringBuilder::new());
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        let (pair, between) = (pair.get(row)?, between.get(row)?);
        let given = text.get(row).zip(pair).zip(between);
        validity.push(given.is_some());
        if let Some(((text, pair), between)) = given {
            for entry in pair.split(text) {
                match between.splitn(entry, 2).collect::<Vec<_>>()[..] {
                    [key, value] => {
                        keys.append_value(key);
                        values.append_value(value);
                    }
                    _ => {
                        keys.append_value(entry);
                        values.append_null();
                    }
                }
            }
        }
        offsets.push(arrow::array::ArrayBuilder::len(&keys))?;
    }
    build(Arc::new(keys.finish()), Arc::new(values.finish()), offsets, validity, call.returns)
}
