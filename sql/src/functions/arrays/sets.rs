//! array_distinct, union, intersect, except, overlap: arrays as sets. A null equals a null here.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use datafusion::common::Result;

use super::{Chosen, Lists, Mixed};
use crate::functions::function::Call;
use crate::functions::order::Comparable;
use crate::functions::rows::booleans;

/// `array_distinct(a)`: the first of equal elements.
pub(in crate::functions) fn array_distinct(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::new(call, 0);
    let elements = Comparable::new(lists.values().data_type())?.rows(lists.values())?;
    let mut seen = HashSet::new();
    let mut result = Chosen::new(call.rows);
    for row in 0..call.rows {
        let range = lists.range(row);
        let is_valid = range.is_some();
        seen.clear();
        for at in range.into_iter().flatten() {
            if seen.insert(elements.row(at)) {
                result.add(at);
            }
        }
        result.end(is_valid)?;
    }
    result.finish(lists.values(), call.returns)
}

/// `array_union(a, b)`: without duplicates.
pub(in crate::functions) fn array_union(call: &Call<'_>) -> Result<ArrayRef> {
    combined(call, |left, right, result| {
        let mut seen = HashSet::new();
        for (column, elements) in [left, right].into_iter().enumerate() {
            elements.filter(|(_, e)| seen.insert(*e)).for_each(|(at, _)| result.add(column, at));
        }
    })
}

/// `array_intersect(a, b)`.
pub(in crate::functions) fn array_intersect(call: &Call<'_>) -> Result<ArrayRef> {
    combined(call, |left, right, result| {
        let mut wanted: HashSet<_> = right.map(|(_, e)| e).collect();
        left.filter(|(_, e)| wanted.remove(e)).for_each(|(at, _)| result.add(0, at));
    })
}

/// `array_except(a, b)`.
pub(in crate::functions) fn array_except(call: &Call<'_>) -> Result<ArrayRef> {
    combined(call, |left, right, result| {
        let mut seen: HashSet<_> = right.map(|(_, e)| e).collect();
        left.filter(|(_, e)| seen.insert(*e)).for_each(|(at, _)| result.add(0, at));
    })
}

/// A row's elements: position and comparable bytes.
type Elements<'i, 'a> = &'i mut (dyn Iterator<Item = (usize, &'a [u8])> + 'i);

fn combined(
    call: &Call<'_>,
    combine: impl for<'i, 'a> Fn(Elements<'i, 'a>, Elements<'i, 'a>, &mut Mixed),
) -> Result<ArrayRef> {
    let (left, right) = (Lists::new(call, 0), Lists::new(call, 1));
    let comparable = Comparable::new(left.values().data_type())?;
    let (left_rows, right_rows) = (comparable.rows(left.values())?, comparable.rows(right.values())?);
    let mut result = Mixed::new(call.rows);
    for row in 0..call.rows {
        let both = left.range(row).zip(right.range(row));
        let is_valid = both.is_some();
        if let Some((l, r)) = both {
            let mut l = l.map(|at| (at, left_rows.row(at).data()));
            let mut r = r.map(|at| (at, right_rows.row(at).data()));
            combine(&mut l, &mut r, &mut result);
        }
        result.end(is_valid)?;
    }
    result.finish(&[Arc::clone(left.values()), Arc::clone(right.values())], call.returns)
}

/// `arrays_overlap(a, b)`: null where only a null could be in common.
pub(in crate::functions) fn arrays_overlap(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (Lists::new(call, 0), Lists::new(call, 1));
    let comparable = Comparable::new(left.values().data_type())?;
    let (left_rows, right_rows) = (comparable.rows(left.values())?, comparable.rows(right.values())?);
    let (left_nulls, right_nulls) = (left.values().logical_nulls(), right.values().logical_nulls());
    let is_valid = |nulls: &Option<arrow::buffer::NullBuffer>, at| nulls.as_ref().is_none_or(|n| n.is_valid(at));
    booleans(call.rows, |row| {
        let Some((l, r)) = left.range(row).zip(right.range(row)) else { return Ok(None) };
        let wanted: HashSet<_> =
            r.clone().filter(|at| is_valid(&right_nulls, *at)).map(|at| right_rows.row(at)).collect();
        let is_found = l.clone().any(|at| is_valid(&left_nulls, at) && wanted.contains(&left_rows.row(at)));
        let has_nulls =
            l.clone().any(|at| !is_valid(&left_nulls, at)) || r.clone().any(|at| !is_valid(&right_nulls, at));
        Ok(if is_found { Some(true) } else { (l.is_empty() || r.is_empty() || !has_nulls).then_some(false) })
    })
}
