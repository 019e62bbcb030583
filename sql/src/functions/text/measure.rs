//! length and kin, ascii, char, levenshtein: numbers from strings and back.

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result;

use super::count;
use crate::functions::function::Call;
use crate::functions::rows::{numbers, texts};

/// `length(s)`: characters of a string, bytes of a binary.
pub(in crate::functions) fn length(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.raw(0).data_type() == DataType::Binary {
        return octet_length(call);
    }
    let text = call.column::<StringArray>(0)?;
    numbers::<Int32Type>(call.rows, |row| Ok(text.get(row).map(|s| count(s) as i32)))
}

/// `octet_length(s)`.
pub(in crate::functions) fn octet_length(call: &Call<'_>) -> Result<ArrayRef> {
    lengths(call, 1)
}

/// `bit_length(s)`.
pub(in crate::functions) fn bit_length(call: &Call<'_>) -> Result<ArrayRef> {
    lengths(call, 8)
}

fn lengths(call: &Call<'_>, unit: i32) -> Result<ArrayRef> {
    if *call.raw(0).data_type() == DataType::Binary {
        let bytes = call.column::<BinaryArray>(0)?;
        return numbers::<Int32Type>(call.rows, |row| Ok(bytes.get(row).map(|b| b.len() as i32 * unit)));
    }
    let text = call.column::<StringArray>(0)?;
    numbers::<Int32Type>(call.rows, |row| Ok(text.get(row).map(|s| s.len() as i32 * unit)))
}

/// `ascii(s)`: the first character's code point, 0 for the empty string.
pub(in crate::functions) fn ascii(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    numbers::<Int32Type>(call.rows, |row| Ok(text.get(row).map(|s| s.chars().next().map_or(0, |c| c as i32))))
}

/// `char(n)`: the character of n modulo 256; the empty string below 0.
pub(in crate::functions) fn chr(call: &Call<'_>) -> Result<ArrayRef> {
    let codes = call.column::<Int64Array>(0)?;
    texts(call.rows, |row, out| {
        Ok(codes.get(row).map(|n| {
            if n >= 0 {
                out.push(char::from((n & 0xFF) as u8));
            }
        }))
    })
}

/// `levenshtein(a, b [, threshold])`: −1 where the distance is above the threshold.
pub(in crate::functions) fn levenshtein(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    let threshold = if call.has(2) { Some(call.column::<Int32Array>(2)?) } else { None };
    let (mut target, mut costs) = (Vec::new(), Vec::new());
    numbers::<Int32Type>(call.rows, |row| {
        let (Some(a), Some(b)) = (left.get(row), right.get(row)) else { return Ok(None) };
        let limit = match &threshold {
            Some(t) => match t.get(row) {
                Some(limit) => limit,
                None => return Ok(None),
            },
            None => i32::MAX,
        };
        target.clear();
        target.extend(b.chars());
        let distance = distance(a, &target, &mut costs);
        Ok(Some(if distance > limit { -1 } else { distance }))
    })
}

fn distance(a: &str, b: &[char], costs: &mut Vec<i32>) -> i32 {
    costs.clear();
    costs.extend(0..=b.len() as i32);
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = costs[0];
        costs[0] = i as i32 + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + i32::from(ca != *cb);
            diagonal = costs[j + 1];
            costs[j + 1] = replaced.min(costs[j] + 1).min(diagonal + 1);
        }
    }
    costs[b.len()]
}
