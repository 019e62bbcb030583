//! concat and concat_ws.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, ListArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use crate::functions::error::refused;
use crate::functions::function::{Call, Shape};
use crate::functions::rows::{bytes, texts};
use crate::functions::{arrays, types};

/// The one type of concat's arguments: arrays, binaries if all are, otherwise strings.
pub(in crate::functions) fn concat_types(given: &[DataType]) -> Result<Vec<DataType>> {
    if given.iter().any(|t| matches!(t, DataType::List(_))) {
        return types::all_alike(given);
    }
    if !given.is_empty() && given.iter().all(|t| *t == DataType::Binary) {
        return Ok(given.to_vec());
    }
    if given.iter().any(|t| types::text(t).is_none()) {
        return Err(refused("DATATYPE_MISMATCH.DATA_DIFF_TYPES", "concat takes strings, binaries or arrays"));
    }
    Ok(vec![DataType::Utf8; given.len()])
}

/// The type of concat: its arguments'.
pub(in crate::functions) fn concat_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(shape.types.first().cloned().unwrap_or(DataType::Utf8))
}

/// `concat(…)`: null if any part is.
pub(in crate::functions) fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    match call.returns {
        DataType::List(_) => arrays::build::concat(call),
        DataType::Binary => {
            let parts = (0..call.len()).map(|at| call.column::<BinaryArray>(at)).collect::<Result<Vec<_>>>()?;
            bytes(call.rows, |row, out| {
                Ok(parts.iter().try_for_each(|part| part.get(row).map(|b| out.extend_from_slice(b))))
            })
        }
        _ => {
            let parts = (0..call.len()).map(|at| call.column::<StringArray>(at)).collect::<Result<Vec<_>>>()?;
            texts(call.rows, |row, out| Ok(parts.iter().try_for_each(|part| part.get(row).map(|s| out.push_str(s)))))
        }
    }
}

/// concat_ws takes strings and arrays of strings.
pub(in crate::functions) fn text_or_texts(t: &DataType) -> Option<DataType> {
    match t {
        DataType::List(field) => types::text(field.data_type()).map(types::array_of),
        t => types::text(t),
    }
}

/// `concat_ws(separator, …)`: nulls are left out; null only where the separator is.
pub(in crate::functions) fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separator = call.column::<StringArray>(0)?;
    let parts: Vec<Part<'_>> = (1..call.len()).map(|at| Part::new(call, at)).collect::<Result<_>>()?;
    texts(call.rows, |row, out| {
        let Some(separator) = separator.get(row) else { return Ok(None) };
        let mut is_first = true;
        let mut add = |text: &str| {
            if !is_first {
                out.push_str(separator);
            }
            is_first = false;
            out.push_str(text);
        };
        for part in &parts {
            part.each(row, &mut add);
        }
        Ok(Some(()))
    })
}

/// A string argument, or the strings of an array argument.
enum Part<'a> {
    One(crate::functions::rows::Column<'a, StringArray>),
    Many { list: &'a ListArray, texts: &'a StringArray, is_constant: bool },
}

impl<'a> Part<'a> {
    fn new(call: &'a Call<'_>, at: usize) -> Result<Self> {
        match call.raw(at).data_type() {
            DataType::List(_) => {
                let list = call.raw(at).as_list::<i32>();
                Ok(Self::Many { list, texts: list.values().as_string::<i32>(), is_constant: call.is_constant(at) })
            }
            _ => Ok(Self::One(call.column(at)?)),
        }
    }

    fn each(&self, row: usize, add: &mut impl FnMut(&str)) {
        match self {
            Self::One(column) => column.get(row).into_iter().for_each(add),
            Self::Many { list, texts, is_constant } => {
                let row = if *is_constant { 0 } else { row };
                if list.is_valid(row) {
                    let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
                    range.filter(|at| texts.is_valid(*at)).for_each(|at| add(texts.value(at)));
                }
            }
        }
    }
}
