//! upper, lower, initcap, translate, reverse, repeat, mask and kin: a string from a string.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use crate::functions::function::Call;
use crate::functions::rows::texts;
use crate::functions::{arrays, error::fails};

/// `upper(s)`.
pub(in crate::functions) fn upper(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    texts(call.rows, |row, out| {
        Ok(text.get(row).map(|s| {
            if s.is_ascii() {
                out.extend(s.bytes().map(|b| b.to_ascii_uppercase() as char));
            } else {
                out.extend(s.chars().flat_map(char::to_uppercase));
            }
        }))
    })
}

/// `lower(s)`.
pub(in crate::functions) fn lower(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    texts(call.rows, |row, out| {
        Ok(text.get(row).map(|s| {
            if s.is_ascii() {
                out.extend(s.bytes().map(|b| b.to_ascii_lowercase() as char));
            } else {
                out.push_str(&s.to_lowercase());
            }
        }))
    })
}

/// `initcap(s)`: the first character of each word in upper case, the others in lower case; only a space ends a word.
pub(in crate::functions) fn initcap(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    texts(call.rows, |row, out| {
        Ok(text.get(row).map(|s| {
            let mut is_start = true;
            for c in s.chars() {
                if is_start {
                    out.extend(c.to_uppercase());
                } else {
                    out.extend(c.to_lowercase());
                }
                is_start = c == ' ';
            }
        }))
    })
}

/// `reverse(s)` of a string's characters or an array's elements.
pub(in crate::functions) fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.returns, DataType::List(_)) {
        return arrays::order::reverse(call);
    }
    if *call.returns == DataType::Binary {
        let source = call.column::<arrow::array::BinaryArray>(0)?;
        return crate::functions::rows::bytes(call.rows, |row, out| {
            Ok(source.get(row).map(|b| out.extend(b.iter().rev())))
        });
    }
    let text = call.column::<StringArray>(0)?;
    texts(call.rows, |row, out| Ok(text.get(row).map(|s| out.extend(s.chars().rev()))))
}

/// `repeat(s, n)`: nothing for n below 1.
pub(in crate::functions) fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, times) = (call.column::<StringArray>(0)?, call.column::<Int32Array>(1)?);
    texts(call.rows, |row, out| {
        let (Some(s), Some(n)) = (text.get(row), times.get(row)) else { return Ok(None) };
        let n = usize::try_from(n).unwrap_or(0);
        if s.len().saturating_mul(n) > i32::MAX as usize {
            return Err(fails("COLLECTION_SIZE_LIMIT_EXCEEDED", "repeat: the string would be larger than 2 GiB"));
        }
        (0..n).for_each(|_| out.push_str(s));
        Ok(Some(()))
    })
}

/// `space(n)`.
pub(in crate::functions) fn space(call: &Call<'_>) -> Result<ArrayRef> {
    let times = call.column::<Int32Array>(0)?;
    texts(call.rows, |row, out| Ok(times.get(row).map(|n| out.extend((0..n.max(0)).map(|_| ' ')))))
}

/// `translate(s, from, to)`: each character of `from` becomes its counterpart in `to`, or goes where there is none.
pub(in crate::functions) fn translate(call: &Call<'_>) -> Result<ArrayRef> {
    let [text, from, to] = [0, 1, 2].map(|at| call.column::<StringArray>(at));
    let (text, from, to) = (text?, from?, to?);
    let table = |from: &str, to: &str| {
        let mut table: HashMap<char, Option<char>> = HashMap::new();
        let mut to = to.chars();
        for c in from.chars() {
            let target = to.next();
            table.entry(c).or_insert(target);
        }
        table
    };
    let fixed = from.constant().zip(to.constant()).map(|(f, t)| table(f, t));
    texts(call.rows, |row, out| {
        let (Some(s), Some(f), Some(t)) = (text.get(row), from.get(row), to.get(row)) else { return Ok(None) };
        let built;
        let map = match &fixed {
            Some(map) => map,
            None => {
                built = table(f, t);
                &built
            }
        };
        out.extend(s.chars().filter_map(|c| map.get(&c).copied().unwrap_or(Some(c))));
        Ok(Some(()))
    })
}

/// `mask(s [, upper [, lower [, digit [, other]]]])`: each character by its kind; a null keeps the kind as it is.
pub(in crate::functions) fn mask(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let kinds = (1..call.len()).map(|at| call.column::<StringArray>(at)).collect::<Result<Vec<_>>>()?;
    let defaults = [Some('X'), Some('x'), Some('n'), None];
    texts(call.rows, |row, out| {
        let Some(s) = text.get(row) else { return Ok(None) };
        let mut by_kind = defaults;
        for (kind, column) in by_kind.iter_mut().zip(&kinds) {
            *kind = column.get(row).and_then(|c| c.chars().next());
        }
        out.extend(s.chars().map(|c| {
            let kind = if c.is_uppercase() {
                0
            } else if c.is_lowercase() {
                1
            } else if c.is_numeric() {
                2
            } else {
                3
            };
            by_kind[kind].unwrap_or(c)
        }));
        Ok(Some(()))
    })
}

/// `quote(s)`: in single quotes, with the quotes inside escaped.
pub(in crate::functions) fn quote(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    texts(call.rows, |row, out| {
        Ok(text.get(row).map(|s| {
            out.push('\'');
            for c in s.chars() {
                if c == '\'' {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('\'');
        }))
    })
}

/// `replace(s, search [, replacement])`: an empty search replaces nothing.
pub(in crate::functions) fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, search) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    let with = if call.has(2) { Some(call.column::<StringArray>(2)?) } else { None };
    texts(call.rows, |row, out| {
        let with = match &with {
            Some(with) => with.get(row),
            None => Some(""),
        };
        let (Some(s), Some(search), Some(with)) = (text.get(row), search.get(row), with) else { return Ok(None) };
        if search.is_empty() {
            out.push_str(s);
            return Ok(Some(()));
        }
        let mut last = 0;
        for (at, found) in s.match_indices(search) {
            out.push_str(&s[last..at]);
            out.push_str(with);
            last = at + found.len();
        }
        out.push_str(&s[last..]);
        Ok(Some(()))
    })
}

/// `overlay(s, replacement, at [, length])`, the length being the replacement's where it is not given.
pub(in crate::functions) fn overlay(call: &Call<'_>) -> Result<ArrayRef> {
    let at = call.column::<Int32Array>(2)?;
    let length = if call.has(3) { Some(call.column::<Int32Array>(3)?) } else { None };
    if *call.returns == DataType::Binary {
        let (text, with) = (call.raw(0).as_binary::<i32>(), call.raw(1).as_binary::<i32>());
        let text = crate::functions::rows::Column::new(text, call.is_constant(0));
        let with = crate::functions::rows::Column::new(with, call.is_constant(1));
        return crate::functions::rows::bytes(call.rows, |row, out| {
            let (Some(s), Some(w), Some(at)) = (text.get(row), with.get(row), at.get(row)) else { return Ok(None) };
            let length = length.as_ref().map_or(Some(-1), |l| l.get(row));
            let Some(length) = length else { return Ok(None) };
            let length = if length < 0 { w.len() as i64 } else { i64::from(length) };
            let (head, tail) = overlay_parts(s.len(), i64::from(at), length);
            out.extend_from_slice(&s[..head]);
            out.extend_from_slice(w);
            out.extend_from_slice(&s[tail..]);
            Ok(Some(()))
        });
    }
    let (text, with) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    texts(call.rows, |row, out| {
        let (Some(s), Some(w), Some(at)) = (text.get(row), with.get(row), at.get(row)) else { return Ok(None) };
        let length = length.as_ref().map_or(Some(-1), |l| l.get(row));
        let Some(length) = length else { return Ok(None) };
        let length = if length < 0 { super::count(w) as i64 } else { i64::from(length) };
        let (head, tail) = overlay_parts(super::count(s), i64::from(at), length);
        out.push_str(&s[..super::byte_of(s, head)]);
        out.push_str(w);
        out.push_str(&s[super::byte_of(s, tail)..]);
        Ok(Some(()))
    })
}

/// Where the kept beginning ends and the kept end begins.
fn overlay_parts(size: usize, at: i64, length: i64) -> (usize, usize) {
    let clip = |n: i64| usize::try_from(n).unwrap_or(0).min(size);
    (clip(at - 1), clip(at - 1 + length))
}
