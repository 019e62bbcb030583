//! Reading arguments row by row and writing results, without an allocation a row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::common::{DataFusionError, Result};

/// An argument: its rows, or one value for every row.
#[derive(Clone, Copy)]
pub(super) struct Column<'a, A> {
    array: &'a A,
    mask: usize,
}

impl<'a, A: Array> Column<'a, A> {
    pub(super) fn new(array: &'a A, is_constant: bool) -> Self {
        Self { array, mask: if is_constant { 0 } else { usize::MAX } }
    }

    /// The value of a row, or `None` for null.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<<&'a A as ArrayAccessor>::Item>
    where
        &'a A: ArrayAccessor,
    {
        let row = row & self.mask;
        if self.array.is_null(row) { None } else { Some(self.array.value(row)) }
    }

    /// Whether one value stands for every row.
    pub(super) fn is_constant(&self) -> bool {
        self.mask == 0
    }

    /// The one value of a constant that is not null.
    pub(super) fn constant(&self) -> Option<<&'a A as ArrayAccessor>::Item>
    where
        &'a A: ArrayAccessor,
    {
        if self.is_constant() && self.array.len() == 1 { self.get(0) } else { None }
    }
}

/// Builds numbers, dates and timestamps. The type's own zone or scale is the caller's to set.
pub(super) fn values<T: ArrowPrimitiveType>(
    rows: usize,
    mut value: impl FnMut(usize) -> Result<Option<T::Native>>,
) -> Result<PrimitiveArray<T>> {
    let mut data: Vec<T::Native> = Vec::with_capacity(rows);
    let mut validity = Validity::new(rows);
    for row in 0..rows {
        let value = value(row)?;
        validity.push(value.is_some());
        data.push(value.unwrap_or_default());
    }
    Ok(PrimitiveArray::new(ScalarBuffer::from(data), validity.finish()))
}

/// Builds an array of numbers as an [`ArrayRef`].
pub(super) fn numbers<T: ArrowPrimitiveType>(
    rows: usize,
    value: impl FnMut(usize) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    Ok(Arc::new(values::<T>(rows, value)?))
}

/// Builds booleans.
pub(super) fn booleans(rows: usize, mut value: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
    let mut data = arrow::array::BooleanBuilder::with_capacity(rows);
    for row in 0..rows {
        data.append_option(value(row)?);
    }
    let data: BooleanArray = data.finish();
    Ok(Arc::new(data))
}

/// Builds strings: `write` adds a row's text to the buffer, or says that the row is null.
pub(super) fn texts(rows: usize, mut write: impl FnMut(usize, &mut String) -> Result<Option<()>>) -> Result<ArrayRef> {
    let mut data = String::new();
    let mut offsets = Offsets::new(rows);
    let mut validity = Validity::new(rows);
    for row in 0..rows {
        let start = data.len();
        let is_valid = write(row, &mut data)?.is_some();
        if !is_valid {
            data.truncate(start);
        }
        offsets.push(data.len())?;
        validity.push(is_valid);
    }
    Ok(Arc::new(StringArray::try_new(offsets.finish(), data.into_bytes().into(), validity.finish())?))
}

/// Builds binary values, as [`texts`] builds strings.
pub(super) fn bytes(rows: usize, mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<Option<()>>) -> Result<ArrayRef> {
    let mut data = Vec::new();
    let mut offsets = Offsets::new(rows);
    let mut validity = Validity::new(rows);
    for row in 0..rows {
        let start = data.len();
        let is_valid = write(row, &mut data)?.is_some();
        if !is_valid {
            data.truncate(start);
        }
        offsets.push(data.len())?;
        validity.push(is_valid);
    }
    Ok(Arc::new(BinaryArray::try_new(offsets.finish(), data.into(), validity.finish())?))
}

/// The ends of variable-length rows.
pub(super) struct Offsets(Vec<i32>);

impl Offsets {
    pub(super) fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self(offsets)
    }

    /// # Errors
    /// Past 2³¹ − 1: a batch cannot hold more.
    pub(super) fn push(&mut self, end: usize) -> Result<()> {
        let end = i32::try_from(end)
            .map_err(|_| DataFusionError::Execution("a column of one batch is larger than 2 GiB".to_string()))?;
        self.0.push(end);
        Ok(())
    }

    pub(super) fn finish(self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(self.0))
    }
}

/// Which rows are not null.
pub(super) struct Validity {
    bits: arrow::array::BooleanBufferBuilder,
    nulls: usize,
}

impl Validity {
    pub(super) fn new(rows: usize) -> Self {
        Self { bits: arrow::array::BooleanBufferBuilder::new(rows), nulls: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, is_valid: bool) {
        self.bits.append(is_valid);
        self.nulls += usize::from(!is_valid);
    }

    /// `None` where no row is null.
    pub(super) fn finish(mut self) -> Option<NullBuffer> {
        (self.nulls > 0).then(|| NullBuffer::new(self.bits.finish()))
    }
}
