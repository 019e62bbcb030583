//! sort_array, array_sort, reverse, shuffle, array_min, array_max.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::{Chosen, Lists};
use crate::functions::function::{Call, Shape};
use crate::functions::order::Comparable;
use crate::functions::types;

/// `sort_array(a [, ascending])`: nulls first upwards, last downwards.
pub(in crate::functions) fn sort_array(call: &Call<'_>) -> Result<ArrayRef> {
    let ascending = if call.has(1) { Some(call.column::<BooleanArray>(1)?) } else { None };
    sorted(call, |row| {
        let is_ascending = ascending.as_ref().is_none_or(|a| a.get(row).unwrap_or(true));
        Direction { is_ascending, are_nulls_first: is_ascending }
    })
}

/// `array_sort(a)`: nulls last.
pub(in crate::functions) fn array_sort(call: &Call<'_>) -> Result<ArrayRef> {
    sorted(call, |_| Direction { is_ascending: true, are_nulls_first: false })
}

struct Direction {
    is_ascending: bool,
    are_nulls_first: bool,
}

fn sorted(call: &Call<'_>, direction: impl Fn(usize) -> Direction) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let elements = Comparable::new(lists.values().data_type())?.rows(lists.values())?;
    let nulls = lists.values().logical_nulls();
    let is_null = |at: usize| nulls.as_ref().is_some_and(|n| n.is_null(at));
    let mut positions: Vec<usize> = Vec::new();
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let range = lists.range(row);
        let is_valid = range.is_some();
        let Direction { is_ascending, are_nulls_first } = direction(row);
        positions.clear();
        positions.extend(range.into_iter().flatten());
        positions.sort_by(|a, b| {
            let by_null = if are_nulls_first { is_null(*b).cmp(&is_null(*a)) } else { is_null(*a).cmp(&is_null(*b)) };
            let by_value = elements.row(*a).cmp(&elements.row(*b));
            by_null.then(if is_ascending { by_value } else { by_value.reverse() })
        });
        positions.iter().for_each(|at| result.add(*at));
        result.end(is_valid)?;
    }
    result.finish(lists.values(), call.returns)
}

/// `reverse(a)`.
pub(in crate::functions) fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let range = lists.range(row);
        let is_valid = range.is_some();
        range.into_iter().flat_map(Iterator::rev).for_each(|at| result.add(at));
        result.end(is_valid)?;
    }
    result.finish(lists.values(), call.returns)
}

/// The element type of the first argument.
pub(in crate::functions) fn element_type(shape: &Shape<'_>) -> Result<DataType> {
    types::element(&shape.types[0])
}

/// `array_max(a)`: nulls do not count.
pub(in crate::functions) fn array_max(call: &Call<'_>) -> Result<ArrayRef> {
    extreme(call, std::cmp::Ordering::Greater)
}

/// `array_min(a)`.
pub(in crate::functions) fn array_min(call: &Call<'_>) -> Result<ArrayRef> {
    extreme(call, std::cmp::Ordering::Less)
}

fn extreme(call: &Call<'_>, wanted: std::cmp::Ordering) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let elements = Comparable::new(lists.values().data_type())?.rows(lists.values())?;
    let nulls = lists.values().logical_nulls();
    let is_valid = |at: &usize| nulls.as_ref().is_none_or(|n| n.is_valid(*at));
    let best = (0..call.rows).map(|row| {
        let best = lists
            .range(row)
            .into_iter()
            .flatten()
            .filter(is_valid)
            .reduce(|best, at| if elements.row(at).cmp(&elements.row(best)) == wanted { at } else { best });
        best.map(|at| at as u32)
    });
    Ok(arrow::compute::take(lists.values(), &best.collect::<UInt32Array>(), None)?)
}
