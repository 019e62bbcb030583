//! array, array_repeat, concat, flatten, append, prepend, insert, arrays_zip: arrays out of parts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};

use super::{Chosen, Lists, Mixed, check_size, element_field};
use crate::functions::error::{fails, refused};
use crate::functions::function::{Call, Shape};
use crate::functions::rows::{Offsets, Validity};
use crate::functions::types;

/// The most elements that an array of Spark's can have.
const MOST_ELEMENTS: usize = i32::MAX as usize - 15;

/// The type of `array(…)`.
pub(in crate::functions) fn array_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(types::array_of(shape.types.first().cloned().unwrap_or(DataType::Null)))
}

/// `array(…)`.
pub(in crate::functions) fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let mut result = Mixed::new(call.rows);
    let columns: Vec<ArrayRef> = (0..call.len()).map(|at| Arc::clone(call.raw(at))).collect();
    for row in 0..call.rows {
        (0..call.len()).for_each(|at| result.add(at, call.row(at, row)));
        result.end(true)?;
    }
    result.finish(&columns, call.returns)
}

/// `array_repeat(x, n)`.
pub(in crate::functions) fn array_repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let times = call.column::<Int32Array>(1)?;
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let n = times.get(row);
        let count = usize::try_from(n.unwrap_or(0)).unwrap_or(0);
        if count > MOST_ELEMENTS {
            return Err(too_many(count));
        }
        check_size(result.len(), count, call.name)?;
        (0..count).for_each(|_| result.add(call.row(0, row)));
        result.end(n.is_some())?;
    }
    result.finish(call.raw(0), call.returns)
}

fn too_many(count: usize) -> DataFusionError {
    fails(
        "COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION",
        format!("Can't create array with {count} elements which exceeding the array size limit {MOST_ELEMENTS}"),
    )
}

/// `concat(…)` of arrays: null if one is.
pub(in crate::functions) fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let parts: Vec<Lists<'_>> = (0..call.len()).map(|at| Lists::new(call, at)).collect();
    let columns: Vec<ArrayRef> = parts.iter().map(|p| Arc::clone(p.values())).collect();
    let mut result = Mixed::new(call.rows);
    for row in 0..call.rows {
        let is_valid = parts.iter().all(|p| p.range(row).is_some());
        if is_valid {
            for (at, part) in parts.iter().enumerate() {
                part.range(row).into_iter().flatten().for_each(|position| result.add(at, position));
            }
        }
        result.end(is_valid)?;
    }
    result.finish(&columns, call.returns)
}

/// The element type of an array of arrays, which flatten gives.
pub(in crate::functions) fn inner_type(shape: &Shape<'_>) -> Result<DataType> {
    let inner = types::element(&shape.types[0])?;
    if matches!(inner, DataType::List(_)) {
        return Ok(inner);
    }
    Err(refused("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", "flatten takes an array of arrays"))
}

/// `flatten(a)`: null if one of the inner arrays is.
pub(in crate::functions) fn flatten(call: &Call<'_>) -> Result<ArrayRef> {
    let outer = Lists::new(call, 0);
    let inner = outer.values().as_list::<i32>();
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let range = outer.range(row);
        let is_valid = range.clone().is_some_and(|mut r| r.all(|at| inner.is_valid(at)));
        if is_valid {
            for at in range.into_iter().flatten() {
                let (start, end) = (inner.value_offsets()[at], inner.value_offsets()[at + 1]);
                (start..end).for_each(|position| result.add(position as usize));
            }
        }
        result.end(is_valid)?;
    }
    result.finish(inner.values(), call.returns)
}

/// `array_append(a, x)`.
pub(in crate::functions) fn array_append(call: &Call<'_>) -> Result<ArrayRef> {
    extended(call, |result, range, element| {
        range.for_each(|at| result.add(0, at));
        result.add(1, element);
    })
}

/// `array_prepend(a, x)`.
pub(in crate::functions) fn array_prepend(call: &Call<'_>) -> Result<ArrayRef> {
    extended(call, |result, range, element| {
        result.add(1, element);
        range.for_each(|at| result.add(0, at));
    })
}

fn extended(call: &Call<'_>, add: impl Fn(&mut Mixed, std::ops::Range<usize>, usize)) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let mut result = Mixed::new(call.rows);
    for row in 0..call.rows {
        let range = lists.range(row);
        let is_valid = range.is_some();
        if let Some(range) = range {
            add(&mut result, range, call.row(1, row));
        }
        result.end(is_valid)?;
    }
    result.finish(&[Arc::clone(lists.values()), Arc::clone(call.raw(1))], call.returns)
}

/// `array_insert(a, at, x)`: positions from 1, or from the end where negative; what lies between is filled with nulls.
pub(in crate::functions) fn array_insert(call: &Call<'_>) -> Result<ArrayRef> {
    let (lists, at) = (Lists::new(call, 0), call.column::<Int32Array>(1)?);
    let null = arrow::array::new_null_array(lists.values().data_type(), 1);
    let mut result = Mixed::new(call.rows);
    for row in 0..call.rows {
        let (Some(range), Some(at)) = (lists.range(row), at.get(row)) else {
            result.end(false)?;
            continue;
        };
        if at == 0 {
            return Err(fails(
                "INVALID_INDEX_OF_ZERO",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            ));
        }
        let (size, distance) = (range.len(), at.unsigned_abs() as usize);
        if distance > MOST_ELEMENTS {
            return Err(too_many(distance));
        }
        check_size(result.len(), size.max(distance), call.name)?;
        let element = call.row(2, row);
        if at > 0 {
            let split = range.start + (distance - 1).min(size);
            (range.start..split).for_each(|p| result.add(0, p));
            (size..distance - 1).for_each(|_| result.add(2, 0));
            result.add(1, element);
            (split..range.end).for_each(|p| result.add(0, p));
        } else {
            let split = range.end - (distance - 1).min(size);
            (range.start..split).for_each(|p| result.add(0, p));
            result.add(1, element);
            (size..distance - 1).for_each(|_| result.add(2, 0));
            (split..range.end).for_each(|p| result.add(0, p));
        }
        result.end(true)?;
    }
    result.finish(&[Arc::clone(lists.values()), Arc::clone(call.raw(2)), null], call.returns)
}

/// An array and an element of it: both of the wider type.
pub(in crate::functions) fn array_and_element(given: &[DataType]) -> Result<Vec<DataType>> {
    let mut targets = given.to_vec();
    let last = given.len() - 1;
    let both = [types::element(&given[0])?, given[last].clone()];
    let element = types::all_alike_without_text(&both).map_err(|_| {
        let message = format!(
            "Input should have been {} followed by a value with the same element type, but it's {}.",
            types::sql_name(&given[0]),
            types::sql_name(&given[last])
        );
        refused("DATATYPE_MISMATCH.ARRAY_FUNCTION_DIFF_TYPES", message)
    })?;
    let element = element[0].clone();
    targets[0] = types::array_of(element.clone());
    targets[last] = element;
    Ok(targets)
}

/// As [`array_and_element`], for functions that look for something: nobody looks for NULL.
pub(in crate::functions) fn array_and_wanted(given: &[DataType]) -> Result<Vec<DataType>> {
    let is_null = given[0] == types::array_of(DataType::Null) || given[1] == DataType::Null;
    if is_null {
        return Err(refused("DATATYPE_MISMATCH.NULL_TYPE", "Null typed values cannot be used as arguments."));
    }
    array_and_element(given)
}

/// The type of `arrays_zip(…)`: structs with a field per argument, named by position.
pub(in crate::functions) fn zip_type(shape: &Shape<'_>) -> Result<DataType> {
    let fields = shape.types.iter().enumerate().map(|(at, t)| {
        let name = shape.given[at].name();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let name = if is_name && shape.constants[at].is_none() { name.clone() } else { at.to_string() };
        Ok((name, types::element(t)?))
    });
    Ok(types::array_of(types::struct_of(fields.collect::<Result<Vec<_>>>()?)))
}

/// `arrays_zip(…)`: as long as the longest; null if one of the arrays is.
pub(in crate::functions) fn arrays_zip(call: &Call<'_>) -> Result<ArrayRef> {
    let parts: Vec<Lists<'_>> = (0..call.len()).map(|at| Lists::new(call, at)).collect();
    let mut chosen: Vec<Vec<Option<u32>>> = vec![Vec::new(); parts.len()];
    let (mut offsets, mut validity, mut end) = (Offsets::new(call.rows), Validity::new(call.rows), 0);
    for row in 0..call.rows {
        let ranges: Option<Vec<_>> = parts.iter().map(|p| p.range(row)).collect();
        validity.push(ranges.is_some());
        let ranges = ranges.unwrap_or_default();
        let longest = ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        for (positions, mut range) in chosen.iter_mut().zip(ranges) {
            positions.extend((0..longest).map(|_| range.next().map(|p| p as u32)));
        }
        end += longest;
        offsets.push(end)?;
    }
    let field = element_field(call.returns)?;
    let DataType::Struct(fields) = field.data_type() else {
        return Err(DataFusionError::Internal("arrays_zip gives structs".to_string()));
    };
    let columns = parts.iter().zip(chosen).map(|(part, positions)| {
        Ok(arrow::compute::take(part.values(), &arrow::array::UInt32Array::from(positions), None)?)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let structs = Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, end)?);
    Ok(Arc::new(ListArray::try_new(field, offsets.finish(), structs, validity.finish())?))
}
