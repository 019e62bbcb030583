//! Functions of arrays. An array column is one column of elements and the rows' ends in it; most functions here choose
//! elements by position and copy them in one go.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};

use super::function::Call;
use super::rows::{Offsets, Validity};

pub(super) mod build;
pub(super) mod cut;
pub(super) mod element;
pub(super) mod order;
pub(super) mod sequence;
pub(super) mod sets;

/// An array argument: where each row's elements are.
pub(super) struct Lists<'a> {
    list: &'a ListArray,
    is_constant: bool,
}

impl<'a> Lists<'a> {
    pub(super) fn new(call: &'a Call<'_>, at: usize) -> Self {
        Self { list: call.raw(at).as_list::<i32>(), is_constant: call.is_constant(at) }
    }

    /// The elements of all rows.
    pub(super) fn values(&self) -> &'a ArrayRef {
        self.list.values()
    }

    /// The positions of a row's elements in [`Lists::values`], or `None` for a null array.
    #[inline]
    pub(super) fn range(&self, row: usize) -> Option<Range<usize>> {
        let row = if self.is_constant { 0 } else { row };
        if self.list.is_null(row) {
            return None;
        }
        let offsets = self.list.value_offsets();
        Some(offsets[row] as usize..offsets[row + 1] as usize)
    }
}

/// The most elements that the arrays of one batch may have together: 2 GiB of positions.
const MOST_IN_A_BATCH: usize = 1 << 28;

/// Refuses what would take the process's memory.
///
/// # Errors
/// `COLLECTION_SIZE_LIMIT_EXCEEDED`.
pub(super) fn check_size(made: usize, more: usize, function: &str) -> Result<()> {
    if made.saturating_add(more) <= MOST_IN_A_BATCH {
        return Ok(());
    }
    let message = format!("Can't create arrays of more than {MOST_IN_A_BATCH} elements in one batch, in `{function}`.");
    Err(super::error::fails("COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION", message))
}

/// Arrays made of elements of one column, chosen by position; `None` is a null element.
pub(super) struct Chosen {
    positions: Vec<Option<u32>>,
    offsets: Offsets,
    validity: Validity,
}

impl Chosen {
    pub(super) fn new(rows: usize) -> Self {
        Self { positions: Vec::new(), offsets: Offsets::new(rows), validity: Validity::new(rows) }
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    #[inline]
    pub(super) fn add(&mut self, position: usize) {
        self.positions.push(Some(position as u32));
    }

    /// Ends a row: what was added since the last is its array, unless it is null.
    pub(super) fn end(&mut self, is_valid: bool) -> Result<()> {
        self.validity.push(is_valid);
        self.offsets.push(self.positions.len())
    }

    pub(super) fn finish(self, values: &ArrayRef, returns: &DataType) -> Result<ArrayRef> {
        let field = element_field(returns)?;
        let chosen = if values.data_type() == &DataType::Null {
            arrow::array::new_null_array(field.data_type(), self.positions.len())
        } else {
            take(values, &UInt32Array::from(self.positions), None)?
        };
        Ok(Arc::new(ListArray::try_new(field, self.offsets.finish(), chosen, self.validity.finish())?))
    }
}

/// Arrays made of elements of several columns, chosen by (column, position).
pub(super) struct Mixed {
    positions: Vec<(usize, usize)>,
    offsets: Offsets,
    validity: Validity,
}

impl Mixed {
    pub(super) fn new(rows: usize) -> Self {
        Self { positions: Vec::new(), offsets: Offsets::new(rows), validity: Validity::new(rows) }
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    #[inline]
    pub(super) fn add(&mut self, column: usize, position: usize) {
        self.positions.push((column, position));
    }

    pub(super) fn end(&mut self, is_valid: bool) -> Result<()> {
        self.validity.push(is_valid);
        self.offsets.push(self.positions.len())
    }

    pub(super) fn finish(self, columns: &[ArrayRef], returns: &DataType) -> Result<ArrayRef> {
        let field = element_field(returns)?;
        let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        let chosen = if self.positions.is_empty() {
            arrow::array::new_empty_array(field.data_type())
        } else if field.data_type() == &DataType::Null {
            arrow::array::new_null_array(&DataType::Null, self.positions.len())
        } else {
            interleave(&columns, &self.positions)?
        };
        Ok(Arc::new(ListArray::try_new(field, self.offsets.finish(), chosen, self.validity.finish())?))
    }
}

/// The element field of an array type.
pub(super) fn element_field(data_type: &DataType) -> Result<FieldRef> {
    match data_type {
        DataType::List(field) => Ok(Arc::clone(field)),
        other => Err(DataFusionError::Internal(format!("{other} is no array type"))),
    }
}
