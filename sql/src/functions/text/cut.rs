//! substring, left, right, trims, split_part, substring_index: a part of a string.

use arrow::array::{ArrayRef, BinaryArray, Int32Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::{byte_of, count};
use crate::functions::error::fails;
use crate::functions::function::Call;
use crate::functions::rows::{bytes, texts};

/// `substring(s, at [, length])`: positions from 1, from the end where negative; 0 is 1.
pub(in crate::functions) fn substring(call: &Call<'_>) -> Result<ArrayRef> {
    let at = call.column::<Int32Array>(1)?;
    let length = if call.has(2) { Some(call.column::<Int32Array>(2)?) } else { None };
    let length = |row| length.as_ref().map_or(Some(i32::MAX), |l| l.get(row));
    if *call.returns == DataType::Binary {
        let source = call.column::<BinaryArray>(0)?;
        return bytes(call.rows, |row, out| {
            let (Some(s), Some(at), Some(length)) = (source.get(row), at.get(row), length(row)) else {
                return Ok(None);
            };
            let (start, end) = range(at, length, || s.len());
            out.extend_from_slice(&s[start.min(s.len())..end.min(s.len())]);
            Ok(Some(()))
        });
    }
    let source = call.column::<StringArray>(0)?;
    texts(call.rows, |row, out| {
        let (Some(s), Some(at), Some(length)) = (source.get(row), at.get(row), length(row)) else { return Ok(None) };
        let (start, end) = range(at, length, || count(s));
        let rest = &s[byte_of(s, start)..];
        out.push_str(&rest[..byte_of(rest, end - start)]);
        Ok(Some(()))
    })
}

/// First and last position (exclusive, from 0) of a part; the size is asked for only where it matters.
fn range(at: i32, length: i32, size: impl Fn() -> usize) -> (usize, usize) {
    let start = match i64::from(at) {
        0 => 0,
        at if at > 0 => at - 1,
        at => size() as i64 + at,
    };
    let end = (start + i64::from(length)).max(0);
    let start = start.max(0);
    (start as usize, end.max(start) as usize)
}

/// `left(s, n)`.
pub(in crate::functions) fn left(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.column::<Int32Array>(1)?;
    if *call.returns == DataType::Binary {
        let source = call.column::<BinaryArray>(0)?;
        return bytes(call.rows, |row, out| {
            let (Some(s), Some(n)) = (source.get(row), n.get(row)) else { return Ok(None) };
            out.extend_from_slice(&s[..(n.max(0) as usize).min(s.len())]);
            Ok(Some(()))
        });
    }
    let source = call.column::<StringArray>(0)?;
    texts(call.rows, |row, out| {
        let (Some(s), Some(n)) = (source.get(row), n.get(row)) else { return Ok(None) };
        out.push_str(&s[..byte_of(s, n.max(0) as usize)]);
        Ok(Some(()))
    })
}

/// `right(s, n)`.
pub(in crate::functions) fn right(call: &Call<'_>) -> Result<ArrayRef> {
    let (source, n) = (call.column::<StringArray>(0)?, call.column::<Int32Array>(1)?);
    texts(call.rows, |row, out| {
        let (Some(s), Some(n)) = (source.get(row), n.get(row)) else { return Ok(None) };
        out.push_str(&s[byte_of(s, count(s).saturating_sub(n.max(0) as usize))..]);
        Ok(Some(()))
    })
}

/// `ltrim([what,] s)`.
pub(in crate::functions) fn ltrim(call: &Call<'_>) -> Result<ArrayRef> {
    trimmed(call, true, Ends { left: true, right: false })
}

/// `rtrim([what,] s)`.
pub(in crate::functions) fn rtrim(call: &Call<'_>) -> Result<ArrayRef> {
    trimmed(call, true, Ends { left: false, right: true })
}

/// `trim(s [, what])` and `btrim(s [, what])`; without `what`, spaces and nothing else.
pub(in crate::functions) fn btrim(call: &Call<'_>) -> Result<ArrayRef> {
    trimmed(call, false, Ends { left: true, right: true })
}

#[derive(Clone, Copy)]
struct Ends {
    left: bool,
    right: bool,
}

fn trimmed(call: &Call<'_>, is_what_first: bool, ends: Ends) -> Result<ArrayRef> {
    let (source_at, what_at) = if call.has(1) && is_what_first { (1, 0) } else { (0, 1) };
    let source = call.column::<StringArray>(source_at)?;
    let what = if call.has(1) { Some(call.column::<StringArray>(what_at)?) } else { None };
    texts(call.rows, |row, out| {
        let what = what.as_ref().map_or(Some(" "), |w| w.get(row));
        let (Some(mut s), Some(what)) = (source.get(row), what) else { return Ok(None) };
        if ends.left {
            s = s.trim_start_matches(|c| what.contains(c));
        }
        if ends.right {
            s = s.trim_end_matches(|c| what.contains(c));
        }
        out.push_str(s);
        Ok(Some(()))
    })
}

/// `split_part(s, delimiter, n)`: parts from 1, from the end where negative, empty beyond both.
pub(in crate::functions) fn split_part(call: &Call<'_>) -> Result<ArrayRef> {
    let (source, delimiter) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    let part = call.column::<Int32Array>(2)?;
    texts(call.rows, |row, out| {
        let (Some(s), Some(d), Some(n)) = (source.get(row), delimiter.get(row), part.get(row)) else { return Ok(None) };
        if n == 0 {
            return Err(fails(
                "INVALID_INDEX_OF_ZERO",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            ));
        }
        let at = n.unsigned_abs() as usize - 1;
        let found = match d {
            "" => (at == 0).then_some(s),
            _ if n > 0 => s.split(d).nth(at),
            _ => s.rsplit(d).nth(at),
        };
        out.push_str(found.unwrap_or(""));
        Ok(Some(()))
    })
}

/// `substring_index(s, delimiter, n)`: what stands before the n-th delimiter, or after it counted from the end.
pub(in crate::functions) fn substring_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (source, delimiter) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    let times = call.column::<Int32Array>(2)?;
    texts(call.rows, |row, out| {
        let (Some(s), Some(d), Some(n)) = (source.get(row), delimiter.get(row), times.get(row)) else {
            return Ok(None);
        };
        out.push_str(before(s, d, n));
        Ok(Some(()))
    })
}

fn before<'a>(s: &'a str, delimiter: &str, n: i32) -> &'a str {
    if n == 0 || delimiter.is_empty() {
        return "";
    }
    // Delimiters may overlap: each search begins one character after the last find.
    if n > 0 {
        let mut from = 0;
        let mut found = 0;
        for _ in 0..n {
            match s[from..].find(delimiter) {
                Some(at) => {
                    found = from + at;
                    from = found + s[found..].chars().next().map_or(1, char::len_utf8);
                }
                None => return s,
            }
        }
        return &s[..found];
    }
    let mut until = s.len();
    let mut found = 0;
    for _ in 0..n.unsigned_abs() {
        match s[..until].rfind(delimiter) {
            Some(at) => {
                found = at;
                until = at + delimiter.len() - delimiter.chars().next_back().map_or(1, char::len_utf8);
            }
            None => return s,
        }
    }
    &s[found + delimiter.len()..]
}
