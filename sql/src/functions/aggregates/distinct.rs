//! Every different value of a group once, in the order of first arrival: `collect_set`, and any aggregate with `DISTINCT`.
//!
//! Values are kept in their row encoding, one behind the other, and found by a hash table over group and bytes. −0.0 is
//! 0.0 and there is one NaN.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use hashbrown::HashTable;

use super::function::Call;
use super::groups::{Groups, Rows, emitted};
use super::lists::{each_list, element_type, join_columns, list_of, split_columns};
use crate::functions::types::array_of;

/// `collect_set(x)`: the values that are not null.
pub(super) fn collect_set(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Box::new(CollectSet(Elements::new(&call.types)?)))
}

struct CollectSet(Elements);

impl Groups for CollectSet {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self(self.0.fresh()))
    }

    fn resize(&mut self, count: usize) {
        self.0.count = count;
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        self.0.insert(args, &rows.known(&args[0]))
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        self.0.merge(&states[0], rows)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.0.lists(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.0.lists(emit)?])
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// An aggregate that sees every different list of arguments once.
pub(super) struct Distinct {
    elements: Elements,
    inner: Box<dyn Groups>,
}

impl Distinct {
    pub(super) fn new(types: &[DataType], inner: Box<dyn Groups>) -> Result<Self> {
        Ok(Self { elements: Elements::new(types)?, inner })
    }

    /// The list of different arguments.
    pub(super) fn state_type(types: &[DataType]) -> DataType {
        array_of(element_type(types))
    }
}

impl Groups for Distinct {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { elements: self.elements.fresh(), inner: self.inner.fresh() })
    }

    fn resize(&mut self, count: usize) {
        self.elements.count = count;
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        self.elements.insert(args, rows)
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        self.elements.merge(&states[0], rows)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (offsets, columns) = self.elements.take(emit)?;
        let count = offsets.len() - 1;
        let groups: Vec<usize> =
            (0..count).flat_map(|group| vec![group; (offsets[group + 1] - offsets[group]) as usize]).collect();
        let mut inner = self.inner.fresh();
        inner.resize(count);
        inner.update(&columns, &Rows::all(&groups))?;
        inner.evaluate(EmitTo::All)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.elements.lists(emit)?])
    }

    fn size(&self) -> usize {
        self.elements.size() + self.inner.size()
    }
}

/// The different values of all groups.
struct Elements {
    types: Vec<DataType>,
    converter: RowConverter,
    hasher: RandomState,
    count: usize,
    bytes: Vec<u8>,
    /// Group, and where its bytes end; they begin where those of the entry before end.
    entries: Vec<(u32, usize)>,
    /// Entries by the hash of group and bytes.
    table: HashTable<u32>,
}

impl Elements {
    fn new(types: &[DataType]) -> Result<Self> {
        let fields = types.iter().map(|data_type| SortField::new(data_type.clone())).collect();
        Ok(Self {
            types: types.to_vec(),
            converter: RowConverter::new(fields)?,
            hasher: RandomState::new(),
            count: 0,
            bytes: Vec::new(),
            entries: Vec::new(),
            table: HashTable::new(),
        })
    }

    fn fresh(&self) -> Self {
        Self::new(&self.types).expect("the types have been encoded before")
    }

    fn insert(&mut self, columns: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let columns: Vec<ArrayRef> = columns.iter().map(normal).collect();
        let encoded = self.converter.convert_columns(&columns)?;
        rows.each(|row, group| self.insert_one(group, encoded.row(row).data()));
        Ok(())
    }

    fn insert_one(&mut self, group: usize, value: &[u8]) {
        let group = group as u32;
        let Self { hasher, bytes, entries, table, .. } = self;
        let begin = |entry: usize| if entry == 0 { 0 } else { entries[entry - 1].1 };
        let is_same = |entry: &u32| {
            let at = *entry as usize;
            entries[at].0 == group && &bytes[begin(at)..entries[at].1] == value
        };
        let hash = hasher.hash_one((group, value));
        if table.find(hash, is_same).is_some() {
            return;
        }
        let rehash = |entry: &u32| {
            let at = *entry as usize;
            hasher.hash_one((entries[at].0, &bytes[begin(at)..entries[at].1]))
        };
        table.insert_unique(hash, entries.len() as u32, rehash);
        bytes.extend_from_slice(value);
        entries.push((group, bytes.len()));
    }

    fn merge(&mut self, states: &ArrayRef, rows: &Rows<'_>) -> Result<()> {
        let lists = states.as_list::<i32>();
        let columns: Vec<ArrayRef> = split_columns(lists.values(), self.types.len()).iter().map(normal).collect();
        let encoded = self.converter.convert_columns(&columns)?;
        each_list(lists, rows, |group, range| {
            range.for_each(|row| self.insert_one(group, encoded.row(row).data()));
            Ok(())
        })
    }

    /// The values of the first groups, which are forgotten.
    fn take(&mut self, emit: EmitTo) -> Result<(Vec<i32>, Vec<ArrayRef>)> {
        let groups = emitted(emit, self.count);
        let (bytes, entries) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.entries));
        self.table.clear();
        self.count -= groups;
        let mut ranges: Vec<(u32, usize, usize)> = Vec::with_capacity(entries.len());
        let mut begin = 0;
        for (group, end) in entries {
            if (group as usize) < groups {
                ranges.push((group, begin, end));
            } else {
                self.insert_one(group as usize - groups, &bytes[begin..end]);
            }
            begin = end;
        }
        ranges.sort_by_key(|(group, ..)| *group);
        let mut offsets = vec![0_i32; groups + 1];
        ranges.iter().for_each(|(group, ..)| offsets[*group as usize + 1] += 1);
        (0..groups).for_each(|at| offsets[at + 1] += offsets[at]);
        let parser = self.converter.parser();
        let columns =
            self.converter.convert_rows(ranges.iter().map(|(_, begin, end)| parser.parse(&bytes[*begin..*end])))?;
        let columns =
            columns.iter().zip(&self.types).map(|(column, data_type)| match column.data_type() == data_type {
                true => Ok(Arc::clone(column)),
                false => Ok(arrow::compute::cast(column, data_type)?),
            });
        Ok((offsets, columns.collect::<Result<_>>()?))
    }

    fn lists(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (offsets, columns) = self.take(emit)?;
        list_of(offsets, join_columns(columns)?)
    }

    fn size(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<(u32, usize)>()
            + self.table.capacity() * size_of::<u32>()
            + self.converter.size()
    }
}

/// The column with one zero and one NaN.
pub(super) fn normal(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let one = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            let column: Float32Array = column.as_primitive::<Float32Type>().unary(one);
            Arc::new(column)
        }
        DataType::Float64 => {
            let one = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
            let column: Float64Array = column.as_primitive::<Float64Type>().unary(one);
            Arc::new(column)
        }
        _ => Arc::clone(column),
    }
}
