//! size, element_at, get, array_contains, array_position: one thing about each array or map.

use arrow::array::{Array, ArrayRef, Int32Array, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::row::Rows;
use datafusion::common::Result;

use super::Lists;
use crate::functions::error::{fails, refused};
use crate::functions::function::{Call, Shape};
use crate::functions::maps::Maps;
use crate::functions::order::Comparable;
use crate::functions::rows::{booleans, numbers};
use crate::functions::types;

/// `size(x)` of an array or a map: null for null.
pub(in crate::functions) fn size(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.raw(0).data_type(), DataType::Map(..)) {
        let maps = Maps::new(call, 0);
        return numbers::<Int32Type>(call.rows, |row| Ok(maps.range(row).map(|r| r.len() as i32)));
    }
    let lists = Lists::new(call, 0);
    numbers::<Int32Type>(call.rows, |row| Ok(lists.range(row).map(|r| r.len() as i32)))
}

/// What element_at takes: an array and an INT, or a map and a key.
pub(in crate::functions) fn element_at_args(given: &[DataType]) -> Result<Vec<DataType>> {
    if let DataType::Map(..) = given[0] {
        let (key, value) = types::key_value(&given[0])?;
        let key = types::widest(&[key, given[1].clone()])?;
        return Ok(vec![types::map_of(key.clone(), value), key]);
    }
    Ok(vec![given[0].clone(), DataType::Int32])
}

/// The type of an element or of a map's value.
pub(in crate::functions) fn element_at_type(shape: &Shape<'_>) -> Result<DataType> {
    match &shape.types[0] {
        t @ DataType::Map(..) => Ok(types::key_value(t)?.1),
        t => types::element(t),
    }
}

/// `element_at(x, i)`: from 1, from the end where negative; an index outside an array fails, an absent key is null.
pub(in crate::functions) fn element_at(call: &Call<'_>) -> Result<ArrayRef> {
    element_or(call, |index, size| {
        Err(fails(
            "INVALID_ARRAY_INDEX_IN_ELEMENT_AT",
            format!(
                "The index {index} is out of bounds. The array has {size} elements. Use `try_element_at` to tolerate accessing element at invalid index and return NULL instead."
            ),
        ))
    })
}

/// `try_element_at(x, i)`: null outside an array.
pub(in crate::functions) fn try_element_at(call: &Call<'_>) -> Result<ArrayRef> {
    element_or(call, |_, _| Ok(()))
}

fn element_or(call: &Call<'_>, on_outside: fn(i32, usize) -> Result<()>) -> Result<ArrayRef> {
    if matches!(call.raw(0).data_type(), DataType::Map(..)) {
        return map_value(call);
    }
    let (lists, index) = (Lists::new(call, 0), call.column::<Int32Array>(1)?);
    let mut positions = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(range), Some(index)) = (lists.range(row), index.get(row)) else {
            positions.push(None);
            continue;
        };
        if index == 0 {
            return Err(fails(
                "INVALID_INDEX_OF_ZERO",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            ));
        }
        let distance = index.unsigned_abs() as usize;
        if distance > range.len() {
            on_outside(index, range.len())?;
            positions.push(None);
            continue;
        }
        let at = if index > 0 { range.start + distance - 1 } else { range.end - distance };
        positions.push(Some(at as u32));
    }
    Ok(take(lists.values(), &UInt32Array::from(positions), None)?)
}

/// The value of a key, which the last of equal keys gives.
pub(in crate::functions) fn map_value(call: &Call<'_>) -> Result<ArrayRef> {
    let maps = Maps::new(call, 0);
    let wanted = Finder::new(maps.keys(), call.raw(1))?;
    let positions = (0..call.rows).map(|row| {
        let at = call.row(1, row);
        let range = maps.range(row).filter(|_| wanted.is_searchable(at));
        range.into_iter().flatten().find(|p| wanted.is_equal(*p, at)).map(|p| p as u32)
    });
    Ok(take(maps.values(), &positions.collect::<UInt32Array>(), None)?)
}

/// A map and a key that is not NULL itself.
pub(in crate::functions) fn map_and_key(given: &[DataType]) -> Result<Vec<DataType>> {
    if given[1] == DataType::Null {
        return Err(refused("DATATYPE_MISMATCH.NULL_TYPE", "Null typed values cannot be used as arguments."));
    }
    element_at_args(given)
}

/// `map_contains_key(m, key)`.
pub(in crate::functions) fn map_contains_key(call: &Call<'_>) -> Result<ArrayRef> {
    let maps = Maps::new(call, 0);
    let wanted = Finder::new(maps.keys(), call.raw(1))?;
    booleans(call.rows, |row| {
        let at = call.row(1, row);
        let range = maps.range(row).filter(|_| wanted.is_searchable(at));
        Ok(range.map(|mut r| r.any(|p| wanted.is_equal(p, at))))
    })
}

/// `get(a, i)`: from 0; null outside.
pub(in crate::functions) fn get(call: &Call<'_>) -> Result<ArrayRef> {
    let (lists, index) = (Lists::new(call, 0), call.column::<Int32Array>(1)?);
    let positions = (0..call.rows).map(|row| {
        let (range, index) = lists.range(row).zip(index.get(row))?;
        let at = usize::try_from(index).ok().filter(|i| *i < range.len())?;
        Some((range.start + at) as u32)
    });
    Ok(take(lists.values(), &positions.collect::<UInt32Array>(), None)?)
}

/// `array_contains(a, x)`: null where x is not found among nulls.
pub(in crate::functions) fn array_contains(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let wanted = Finder::new(lists.values(), call.raw(1))?;
    booleans(call.rows, |row| {
        let at = call.row(1, row);
        let Some(mut range) = lists.range(row).filter(|_| wanted.is_searchable(at)) else { return Ok(None) };
        let has_nulls = range.clone().any(|p| wanted.is_null(p));
        let is_found = range.any(|p| wanted.is_equal(p, at));
        Ok((is_found || !has_nulls).then_some(is_found))
    })
}

/// `array_position(a, x)`: from 1; 0 where it is not found.
pub(in crate::functions) fn array_position(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let wanted = Finder::new(lists.values(), call.raw(1))?;
    numbers::<Int64Type>(call.rows, |row| {
        let at = call.row(1, row);
        let range = lists.range(row).filter(|_| wanted.is_searchable(at));
        Ok(range.map(|mut r| r.position(|p| wanted.is_equal(p, at)).map_or(0, |p| p as i64 + 1)))
    })
}

/// Looks for values of one column among those of another.
struct Finder {
    elements: Rows,
    wanted: Rows,
    element_nulls: Option<NullBuffer>,
    wanted_nulls: Option<NullBuffer>,
}

impl Finder {
    fn new(elements: &ArrayRef, wanted: &ArrayRef) -> Result<Self> {
        let comparable = Comparable::new(elements.data_type())?;
        Ok(Self {
            element_nulls: elements.logical_nulls(),
            wanted_nulls: wanted.logical_nulls(),
            elements: comparable.rows(elements)?,
            wanted: comparable.rows(wanted)?,
        })
    }

    fn is_null(&self, element: usize) -> bool {
        self.element_nulls.as_ref().is_some_and(|n| n.is_null(element))
    }

    fn is_searchable(&self, wanted: usize) -> bool {
        self.wanted_nulls.as_ref().is_none_or(|n| n.is_valid(wanted))
    }

    fn is_equal(&self, element: usize, wanted: usize) -> bool {
        !self.is_null(element) && self.elements.row(element) == self.wanted.row(wanted)
    }
}
