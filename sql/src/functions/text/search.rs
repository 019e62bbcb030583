//! instr, locate, contains, startswith, find_in_set: where a string is in another.

use arrow::array::{ArrayRef, BinaryArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result;

use super::{byte_of, count};
use crate::functions::function::Call;
use crate::functions::rows::{booleans, numbers};

/// `instr(s, search)`: the position of the first find, from 1; 0 for none.
pub(in crate::functions) fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    let (source, search) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    numbers::<Int32Type>(call.rows, |row| {
        Ok(source.get(row).zip(search.get(row)).map(|(s, search)| position(s, search, 0)))
    })
}

/// `locate(search, s [, from])`.
pub(in crate::functions) fn locate(call: &Call<'_>) -> Result<ArrayRef> {
    let (search, source) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    let from = if call.has(2) { Some(call.column::<Int32Array>(2)?) } else { None };
    numbers::<Int32Type>(call.rows, |row| {
        // Spark gives 0 for a null position, null for the other nulls.
        let Some(from) = from.as_ref().map_or(Some(1), |f| f.get(row)) else { return Ok(Some(0)) };
        let found = source.get(row).zip(search.get(row));
        Ok(found.map(|(s, search)| if from < 1 { 0 } else { position(s, search, from as usize - 1) }))
    })
}

fn position(s: &str, search: &str, from: usize) -> i32 {
    if search.is_empty() {
        return 1;
    }
    let start = byte_of(s, from);
    match s[start..].find(search) {
        Some(at) => (count(&s[..start + at]) + 1) as i32,
        None => 0,
    }
}

/// `contains(s, search)`.
pub(in crate::functions) fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    tested(call, |s, search| search.is_empty() || s.windows(search.len()).any(|w| w == search), |s, x| s.contains(x))
}

/// `startswith(s, search)`.
pub(in crate::functions) fn startswith(call: &Call<'_>) -> Result<ArrayRef> {
    tested(call, |s, search| s.starts_with(search), |s, search| s.starts_with(search))
}

/// `endswith(s, search)`.
pub(in crate::functions) fn endswith(call: &Call<'_>) -> Result<ArrayRef> {
    tested(call, |s, search| s.ends_with(search), |s, search| s.ends_with(search))
}

fn tested(call: &Call<'_>, of_bytes: fn(&[u8], &[u8]) -> bool, of_text: fn(&str, &str) -> bool) -> Result<ArrayRef> {
    if *call.raw(0).data_type() == DataType::Binary {
        let (source, search) = (call.column::<BinaryArray>(0)?, call.column::<BinaryArray>(1)?);
        return booleans(call.rows, |row| Ok(source.get(row).zip(search.get(row)).map(|(s, x)| of_bytes(s, x))));
    }
    let (source, search) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    booleans(call.rows, |row| Ok(source.get(row).zip(search.get(row)).map(|(s, x)| of_text(s, x))))
}

/// `find_in_set(s, list)`: which item of a comma-separated list it is, from 1; 0 for none or if it has a comma.
pub(in crate::functions) fn find_in_set(call: &Call<'_>) -> Result<ArrayRef> {
    let (item, list) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    numbers::<Int32Type>(call.rows, |row| {
        Ok(item.get(row).zip(list.get(row)).map(|(item, list)| {
            let found = (!item.contains(',')).then(|| list.split(',').position(|x| x == item)).flatten();
            found.map_or(0, |at| at as i32 + 1)
        }))
    })
}
