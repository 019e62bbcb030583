//! One row of columns of any type for every group: the row that was chosen last.
//!
//! Chosen rows are copied out of their batches, a chunk a batch, and groups point at them. Rows that no group points at
//! any more are left behind when the chunks are put together.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;

use super::groups::{bytes_of, emitted};

/// Chunks are put together when there are so many, or when they hold more rows than twice the groups and this.
const MAX_CHUNKS: usize = 1024;
const SLACK_ROWS: usize = 16 * 1024;

/// See the module. Chunk 0 holds one row of nulls, which is what new groups have.
pub(super) struct Kept {
    types: Vec<DataType>,
    chunks: Vec<Vec<ArrayRef>>,
    chunk_rows: usize,
    chunk_bytes: usize,
    /// For every group, its chunk and the row in it.
    slots: Vec<(u32, u32)>,
    /// The rows that this batch has chosen: for every group the row and one more, 0 for none; and which groups those are.
    latest: Vec<u32>,
    touched: Vec<u32>,
}

impl Kept {
    pub(super) fn new(types: Vec<DataType>) -> Self {
        let nulls = types.iter().map(|data_type| new_null_array(data_type, 1)).collect();
        Self {
            types,
            chunks: vec![nulls],
            chunk_rows: 1,
            chunk_bytes: 0,
            slots: Vec::new(),
            latest: Vec::new(),
            touched: Vec::new(),
        }
    }

    pub(super) fn fresh(&self) -> Self {
        Self::new(self.types.clone())
    }

    pub(super) fn resize(&mut self, count: usize) {
        self.slots.resize(count, (0, 0));
        self.latest.resize(count, 0);
    }

    /// Whether the group has a row, one chosen from this batch included.
    pub(super) fn has(&self, group: usize) -> bool {
        self.slots[group].0 > 0 || self.latest[group] > 0
    }

    /// Chooses a row of the batch for a group.
    pub(super) fn choose(&mut self, group: usize, row: usize) {
        if self.latest[group] == 0 {
            self.touched.push(group as u32);
        }
        self.latest[group] = row as u32 + 1;
    }

    /// Copies what was chosen out of the batch that it was chosen from.
    pub(super) fn keep(&mut self, columns: &[ArrayRef]) -> Result<()> {
        if self.touched.is_empty() {
            return Ok(());
        }
        let chunk = self.chunks.len() as u32;
        let mut rows = Vec::with_capacity(self.touched.len());
        for group in self.touched.drain(..) {
            let row = std::mem::take(&mut self.latest[group as usize]);
            self.slots[group as usize] = (chunk, rows.len() as u32);
            rows.push(row - 1);
        }
        self.chunk_rows += rows.len();
        let rows = UInt32Array::from(rows);
        let chunk = columns.iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?;
        self.chunk_bytes += bytes_of(&chunk);
        self.chunks.push(chunk);
        if self.chunks.len() > MAX_CHUNKS || self.chunk_rows > 2 * self.slots.len() + SLACK_ROWS {
            self.compact()?;
        }
        Ok(())
    }

    /// The rows of the first groups.
    pub(super) fn take(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let slots = emit.take_needed(&mut self.slots);
        self.latest.truncate(self.slots.len());
        let columns = self.gather(&slots)?;
        if self.slots.is_empty() {
            let fresh = self.fresh();
            (self.chunks, self.chunk_rows, self.chunk_bytes) = (fresh.chunks, fresh.chunk_rows, 0);
        }
        Ok(columns)
    }

    /// Whether each of the first groups has a row.
    pub(super) fn set(&self, emit: EmitTo) -> Vec<bool> {
        self.slots[..emitted(emit, self.slots.len())].iter().map(|(chunk, _)| *chunk > 0).collect()
    }

    pub(super) fn size(&self) -> usize {
        self.chunk_bytes + self.slots.capacity() * 12 + self.touched.capacity() * 4
    }

    fn gather(&self, slots: &[(u32, u32)]) -> Result<Vec<ArrayRef>> {
        let indices: Vec<(usize, usize)> = slots.iter().map(|(chunk, row)| (*chunk as usize, *row as usize)).collect();
        (0..self.types.len())
            .map(|column| {
                let arrays: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk[column].as_ref()).collect();
                Ok(interleave(&arrays, &indices)?)
            })
            .collect()
    }

    fn compact(&mut self) -> Result<()> {
        let live: Vec<(u32, u32)> = self.slots.iter().copied().filter(|(chunk, _)| *chunk > 0).collect();
        let columns = self.gather(&live)?;
        for (row, slot) in self.slots.iter_mut().filter(|(chunk, _)| *chunk > 0).enumerate() {
            *slot = (1, row as u32);
        }
        self.chunks.truncate(1);
        self.chunk_bytes = bytes_of(&columns);
        self.chunks.push(columns);
        self.chunk_rows = live.len() + 1;
        Ok(())
    }
}

/// A column of truth values.
pub(super) fn flags(values: Vec<bool>) -> ArrayRef {
    Arc::new(arrow::array::BooleanArray::from(values))
}
