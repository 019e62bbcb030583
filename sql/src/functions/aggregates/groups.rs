//! What an aggregate is here: a value for every group, kept in vectors, and how DataFusion's three kinds of accumulator
//! are made of it.
//!
//! An aggregate is written once, as [`Groups`]. [`Grouped`] is DataFusion's `GroupsAccumulator` over it, [`Single`] its
//! `Accumulator` of one group, and [`Sliding`] the one for windows whose rows also leave.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// The values of all groups of one aggregate.
///
/// # Contract
/// * `resize` comes before `update` and `merge` and never shrinks; new groups are empty.
/// * `state` and `evaluate` take the groups that they emit away; those behind them move to the front.
/// * Merging states in any grouping of the input gives the same as updating with all of it; where the order of rows
///   matters, states are merged in the order of their rows.
pub(super) trait Groups: Send + Sync {
    /// The same aggregate without groups.
    fn fresh(&self) -> Box<dyn Groups>;

    /// There are `count` groups from now on.
    fn resize(&mut self, count: usize);

    /// Takes the rows of the arguments.
    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()>;

    /// Takes states that [`Groups::state`] gave.
    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()>;

    /// The answers of the first groups.
    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef>;

    /// The states of the first groups, a column for every state field.
    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>>;

    /// Bytes held.
    fn size(&self) -> usize;
}

/// Rows of a batch and the group of each.
pub(super) struct Rows<'a> {
    groups: &'a [usize],
    /// The rows that count; all where there is none.
    valid: Option<NullBuffer>,
}

impl<'a> Rows<'a> {
    /// All rows.
    pub(super) fn all(groups: &'a [usize]) -> Self {
        Self { groups, valid: None }
    }

    /// The rows that `filter` lets through.
    fn filtered(groups: &'a [usize], filter: Option<&BooleanArray>) -> Self {
        let valid = filter.map(|filter| match filter.nulls() {
            Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
            None => NullBuffer::new(filter.values().clone()),
        });
        Self { groups, valid }
    }

    /// Those of the rows where the array is not null.
    pub(super) fn known(&self, array: &ArrayRef) -> Rows<'a> {
        let valid = NullBuffer::union(self.valid.as_ref(), array.logical_nulls().as_ref());
        Rows { groups: self.groups, valid }
    }

    /// Calls `take(row, group)` for every row.
    pub(super) fn each(&self, mut take: impl FnMut(usize, usize)) {
        match self.valid.as_ref().filter(|valid| valid.null_count() > 0) {
            None => self.groups.iter().enumerate().for_each(|(row, group)| take(row, *group)),
            Some(valid) => valid.valid_indices().for_each(|row| take(row, self.groups[row])),
        }
    }

    /// As [`Rows::each`], until one fails.
    pub(super) fn try_each(&self, mut take: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        match self.valid.as_ref().filter(|valid| valid.null_count() > 0) {
            None => self.groups.iter().enumerate().try_for_each(|(row, group)| take(row, *group)),
            Some(valid) => valid.valid_indices().try_for_each(|row| take(row, self.groups[row])),
        }
    }
}

/// How many groups `emit` takes of `count`.
pub(super) fn emitted(emit: EmitTo, count: usize) -> usize {
    match emit {
        EmitTo::All => count,
        EmitTo::First(n) => n.min(count),
    }
}

/// Bytes of the rows of these columns, without what other slices share with them.
pub(super) fn bytes_of(columns: &[ArrayRef]) -> usize {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    columns.iter().map(|column| bytes(column) + size_of::<ArrayRef>()).sum()
}

/// DataFusion's accumulator of many groups.
pub(super) struct Grouped(pub(super) Box<dyn Groups>);

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.resize(total_num_groups);
        self.0.update(values, &Rows::filtered(group_indices, opt_filter))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.0.resize(total_num_groups);
        self.0.merge(values, &Rows::all(group_indices))
    }

    /// Every row as a group of its own.
    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut each = self.0.fresh();
        each.resize(rows);
        each.update(values, &Rows::filtered(&groups, opt_filter))?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.size()
    }
}

/// DataFusion's accumulator of one group. It can be asked again and again, as functions over windows are.
pub(super) struct Single {
    groups: Box<dyn Groups>,
    zeros: Vec<usize>,
}

impl Single {
    pub(super) fn new(mut groups: Box<dyn Groups>) -> Self {
        groups.resize(1);
        Self { groups, zeros: Vec::new() }
    }

    fn zeros(&mut self, values: &[ArrayRef]) -> usize {
        let rows = values.first().map_or(0, |array| array.len());
        if self.zeros.len() < rows {
            self.zeros.resize(rows, 0);
        }
        rows
    }

    fn restore(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.resize(1);
        self.groups.merge(states, &Rows::all(&[0]))
    }
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Single")
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = self.zeros(values);
        self.groups.update(values, &Rows::all(&self.zeros[..rows]))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = self.zeros(states);
        self.groups.merge(states, &Rows::all(&self.zeros[..rows]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let states = self.groups.state(EmitTo::All)?;
        self.restore(&states)?;
        let answer = self.groups.evaluate(EmitTo::All)?;
        self.restore(&states)?;
        ScalarValue::try_from_array(&answer, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.groups.state(EmitTo::All)?;
        self.groups.resize(1);
        states.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.groups.size() + self.zeros.capacity() * size_of::<usize>()
    }
}

/// DataFusion's accumulator over a window of rows that come and leave: it keeps them.
pub(super) struct Sliding {
    groups: Box<dyn Groups>,
    batches: VecDeque<Vec<ArrayRef>>,
}

impl Sliding {
    pub(super) fn new(groups: Box<dyn Groups>) -> Self {
        Self { groups, batches: VecDeque::new() }
    }

    fn single(&self) -> Result<Single> {
        let mut single = Single::new(self.groups.fresh());
        self.batches.iter().try_for_each(|values| single.update_batch(values))?;
        Ok(single)
    }
}

impl std::fmt::Debug for Sliding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sliding")
    }
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.batches.push_back(values.to_vec());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut rows = values.first().map_or(0, |array| array.len());
        while rows > 0
            && let Some(batch) = self.batches.pop_front()
        {
            let held = batch.first().map_or(0, |array| array.len());
            if held > rows {
                let rest = batch.iter().map(|array| array.slice(rows, held - rows)).collect();
                self.batches.push_front(rest);
            }
            rows -= rows.min(held);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        datafusion::common::internal_err!("a window's rows have no states to be merged")
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.single()?.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.single()?.state()
    }

    fn size(&self) -> usize {
        let arrays = self.batches.iter().flatten().map(|array| array.get_array_memory_size());
        size_of::<Self>() + arrays.sum::<usize>()
    }
}
