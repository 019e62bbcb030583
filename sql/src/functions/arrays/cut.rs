//! slice, array_compact, array_remove, array_join: parts of arrays.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use datafusion::common::Result;

use super::{Chosen, Lists};
use crate::functions::error::fails;
use crate::functions::function::Call;
use crate::functions::order::Comparable;
use crate::functions::rows::texts;

/// `slice(a, start, length)`: positions from 1, from the end where negative.
pub(in crate::functions) fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let (start, length) = (call.column::<Int32Array>(1)?, call.column::<Int32Array>(2)?);
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let (Some(range), Some(start), Some(length)) = (lists.range(row), start.get(row), length.get(row)) else {
            result.end(false)?;
            continue;
        };
        if start == 0 {
            return Err(fails(
                "INVALID_PARAMETER_VALUE.START",
                "The value of parameter(s) `start` in `slice` is invalid: expects a positive or a negative value for `start`, but got 0.",
            ));
        }
        if length < 0 {
            return Err(fails(
                "INVALID_PARAMETER_VALUE.LENGTH",
                format!(
                    "The value of parameter(s) `length` in `slice` is invalid: expects `length` greater than or equal to 0, but got {length}."
                ),
            ));
        }
        let first = if start > 0 { i64::from(start) - 1 } else { range.len() as i64 + i64::from(start) };
        if (0..range.len() as i64).contains(&first) {
            let first = range.start + first as usize;
            (first..range.end.min(first + length as usize)).for_each(|at| result.add(at));
        }
        result.end(true)?;
    }
    result.finish(lists.values(), call.returns)
}

/// `array_compact(a)`: without its nulls.
pub(in crate::functions) fn array_compact(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let nulls = lists.values().logical_nulls();
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let range = lists.range(row);
        let is_valid = range.is_some();
        let is_kept = |at: &usize| nulls.as_ref().is_none_or(|n| n.is_valid(*at));
        range.into_iter().flatten().filter(is_kept).for_each(|at| result.add(at));
        result.end(is_valid)?;
    }
    result.finish(lists.values(), call.returns)
}

/// `array_remove(a, x)`: without the elements that equal x; nulls stay.
pub(in crate::functions) fn array_remove(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let comparable = Comparable::new(lists.values().data_type())?;
    let (elements, removed) = (comparable.rows(lists.values())?, comparable.rows(call.raw(1))?);
    let (nulls, removed_nulls) = (lists.values().logical_nulls(), call.raw(1).logical_nulls());
    let is_null = |nulls: &Option<arrow::buffer::NullBuffer>, at| nulls.as_ref().is_some_and(|n| n.is_null(at));
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let at = call.row(1, row);
        let range = lists.range(row).filter(|_| !is_null(&removed_nulls, at));
        let is_valid = range.is_some();
        let is_kept = |p: &usize| is_null(&nulls, *p) || elements.row(*p) != removed.row(at);
        range.into_iter().flatten().filter(is_kept).for_each(|p| result.add(p));
        result.end(is_valid)?;
    }
    result.finish(lists.values(), call.returns)
}

/// `array_join(a, separator [, null])`: nulls are left out unless there is a text for them.
pub(in crate::functions) fn array_join(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let elements = lists.values().as_string::<i32>();
    let separator = call.column::<StringArray>(1)?;
    let null_text = if call.has(2) { Some(call.column::<StringArray>(2)?) } else { None };
    texts(call.rows, |row, out| {
        let (Some(range), Some(separator)) = (lists.range(row), separator.get(row)) else { return Ok(None) };
        let null_text = match &null_text {
            Some(column) => match column.get(row) {
                Some(text) => Some(text),
                None => return Ok(None),
            },
            None => None,
        };
        let mut is_first = true;
        for at in range {
            let text = if elements.is_valid(at) { Some(elements.value(at)) } else { null_text };
            let Some(text) = text else { continue };
            if !is_first {
                out.push_str(separator);
            }
            is_first = false;
            out.push_str(text);
        }
        Ok(Some(()))
    })
}
