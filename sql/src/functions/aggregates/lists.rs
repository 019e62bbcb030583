//! Aggregates over all values of a group, in the order of their arrival: `collect_list`, `listagg`, the percentiles, `mode`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;

use super::function::{Call, element_field};
use super::groups::{Groups, Rows, bytes_of, emitted};

/// The values of some groups, one group behind the other.
pub(super) struct Values<'a> {
    /// Where each group's values begin, and where the last one's end.
    pub(super) offsets: &'a [i32],
    /// The values of each of the kept arguments.
    pub(super) columns: &'a [ArrayRef],
}

impl Values<'_> {
    /// The range of each group's values.
    pub(super) fn groups(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.offsets.windows(2).map(|pair| pair[0] as usize..pair[1] as usize)
    }
}

/// The answer of every group, from its values.
pub(super) trait Finish: Send + Sync + 'static {
    fn finish(&self, values: &Values<'_>) -> Result<ArrayRef>;
}

/// `collect_list(x)`, `array_agg(x)`: the values that are not null.
pub(super) fn collect_list(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Lists::boxed(call.types.clone(), false, Arc::new(AsArrays)))
}

/// `collect_list(x) RESPECT NULLS`.
pub(super) fn collect_list_with_nulls(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Lists::boxed(call.types.clone(), true, Arc::new(AsArrays)))
}

/// Groups that keep the first `types.len()` arguments of rows whose first one is not null.
pub(super) fn keeping(types: Vec<DataType>, finish: Arc<dyn Finish>) -> Box<dyn Groups> {
    Lists::boxed(types, false, finish)
}

/// All values, as one array.
pub(super) fn list_type(types: &[DataType]) -> DataType {
    DataType::List(element_field(element_type(types)))
}

/// One value, or a struct of several.
pub(super) fn element_type(types: &[DataType]) -> DataType {
    match types {
        [one] => one.clone(),
        several => DataType::Struct(element_fields(several)),
    }
}

fn element_fields(types: &[DataType]) -> Fields {
    types.iter().enumerate().map(|(nth, data_type)| Field::new(format!("_{nth}"), data_type.clone(), true)).collect()
}

/// Columns as the one column of a list's elements.
pub(super) fn join_columns(columns: Vec<ArrayRef>) -> Result<ArrayRef> {
    match <[ArrayRef; 1]>::try_from(columns) {
        Ok([one]) => Ok(one),
        Err(several) => {
            let types: Vec<DataType> = several.iter().map(|column| column.data_type().clone()).collect();
            Ok(Arc::new(StructArray::try_new(element_fields(&types), several, None)?))
        }
    }
}

/// The columns that [`join_columns`] has put together.
pub(super) fn split_columns(elements: &ArrayRef, count: usize) -> Vec<ArrayRef> {
    match count {
        1 => vec![Arc::clone(elements)],
        _ => elements.as_struct().columns().to_vec(),
    }
}

/// A list column over the values of groups.
pub(super) fn list_of(offsets: Vec<i32>, elements: ArrayRef) -> Result<ArrayRef> {
    let field = element_field(elements.data_type().clone());
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::new(offsets.into()), elements, None)?))
}

/// Calls `take(state row, group, range of its elements)` for every list that is not null.
pub(super) fn each_list(
    lists: &ListArray,
    rows: &Rows<'_>,
    mut take: impl FnMut(usize, std::ops::Range<usize>) -> Result<()>,
) -> Result<()> {
    let offsets = lists.value_offsets();
    rows.try_each(|row, group| match lists.is_valid(row) {
        true => take(group, offsets[row] as usize..offsets[row + 1] as usize),
        false => Ok(()),
    })
}

struct AsArrays;

impl Finish for AsArrays {
    fn finish(&self, values: &Values<'_>) -> Result<ArrayRef> {
        list_of(values.offsets.to_vec(), join_columns(values.columns.to_vec())?)
    }
}

/// Batches are kept as they came, with an entry for every row that counts.
struct Lists {
    types: Vec<DataType>,
    with_nulls: bool,
    finish: Arc<dyn Finish>,
    count: usize,
    chunks: Vec<Vec<ArrayRef>>,
    chunk_bytes: usize,
    /// Group, chunk and row, in the order of arrival.
    entries: Vec<(u32, u32, u32)>,
}

impl Lists {
    fn boxed(types: Vec<DataType>, with_nulls: bool, finish: Arc<dyn Finish>) -> Box<dyn Groups> {
        Box::new(Self { types, with_nulls, finish, count: 0, chunks: Vec::new(), chunk_bytes: 0, entries: Vec::new() })
    }

    /// The values of the first groups: a counting sort by group, which keeps the order within each.
    fn take(&mut self, emit: EmitTo) -> Result<(Vec<i32>, Vec<ArrayRef>)> {
        let groups = emitted(emit, self.count);
        let mut offsets = vec![0_i32; groups + 1];
        for (group, ..) in self.entries.iter().filter(|(group, ..)| (*group as usize) < groups) {
            offsets[*group as usize + 1] += 1;
        }
        for at in 0..groups {
            offsets[at + 1] += offsets[at];
        }
        let mut next = offsets.clone();
        let mut indices = vec![(0, 0); offsets[groups] as usize];
        let mut rest = Vec::new();
        for (group, chunk, row) in self.entries.drain(..) {
            match next.get_mut(group as usize).filter(|_| (group as usize) < groups) {
                Some(place) => {
                    indices[*place as usize] = (chunk as usize, row as usize);
                    *place += 1;
                }
                None => rest.push((group - groups as u32, chunk, row)),
            }
        }
        let columns = self.gather(&indices)?;
        self.entries = rest;
        self.count -= groups;
        if self.entries.is_empty() {
            self.chunks.clear();
            self.chunk_bytes = 0;
        }
        Ok((offsets, columns))
    }

    /// Keeps a batch for the entries behind the first `before`: only their rows, where most others do not count.
    fn keep(&mut self, mut columns: Vec<ArrayRef>, before: usize) -> Result<()> {
        let entries = &mut self.entries[before..];
        if entries.is_empty() {
            return Ok(());
        }
        if entries.len() * 2 < columns[0].len() {
            let rows = UInt32Array::from_iter_values(entries.iter().map(|(.., row)| *row));
            columns = columns.iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?;
            entries.iter_mut().enumerate().for_each(|(nth, (.., row))| *row = nth as u32);
        }
        self.chunk_bytes += bytes_of(&columns);
        self.chunks.push(columns);
        Ok(())
    }

    fn gather(&self, indices: &[(usize, usize)]) -> Result<Vec<ArrayRef>> {
        if indices.is_empty() {
            return Ok(self.types.iter().map(arrow::array::new_empty_array).collect());
        }
        let column = |nth: usize| {
            let arrays: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk[nth].as_ref()).collect();
            Ok(interleave(&arrays, indices)?)
        };
        (0..self.types.len()).map(column).collect()
    }
}

impl Groups for Lists {
    fn fresh(&self) -> Box<dyn Groups> {
        Self::boxed(self.types.clone(), self.with_nulls, Arc::clone(&self.finish))
    }

    fn resize(&mut self, count: usize) {
        self.count = self.count.max(count);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let chunk = self.chunks.len() as u32;
        let before = self.entries.len();
        let entries = &mut self.entries;
        let mut each = |row: usize, group: usize| entries.push((group as u32, chunk, row as u32));
        if self.with_nulls {
            rows.each(&mut each)
        } else {
            rows.known(&args[0]).each(&mut each)
        }
        self.keep(args[..self.types.len()].to_vec(), before)
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        let chunk = self.chunks.len() as u32;
        let before = self.entries.len();
        let entries = &mut self.entries;
        each_list(lists, rows, |group, range| {
            entries.extend(range.map(|row| (group as u32, chunk, row as u32)));
            Ok(())
        })?;
        self.keep(split_columns(lists.values(), self.types.len()), before)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (offsets, columns) = self.take(emit)?;
        self.finish.finish(&Values { offsets: &offsets, columns: &columns })
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (offsets, columns) = self.take(emit)?;
        Ok(vec![list_of(offsets, join_columns(columns)?)?])
    }

    fn size(&self) -> usize {
        self.chunk_bytes + self.entries.capacity() * size_of::<(u32, u32, u32)>()
    }
}
