//! The accumulators of all groups of one batch, one for each aggregate.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::FieldRef;
use datafusion_common::Result;
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_physical_expr::GroupsAccumulatorAdapter;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

/// One accumulator for each aggregate, for any number of groups.
pub(in crate::stateful) struct Accumulators {
    all: Vec<Box<dyn GroupsAccumulator>>,
    /// State columns of each.
    widths: Vec<usize>,
}

impl Accumulators {
    pub(in crate::stateful) fn new(functions: &[Arc<AggregateFunctionExpr>]) -> Result<Self> {
        let mut all = Vec::with_capacity(functions.len());
        let mut widths = Vec::with_capacity(functions.len());
        for function in functions {
            widths.push(function.state_fields()?.len());
            all.push(accumulator(function)?);
        }
        Ok(Self { all, widths })
    }

    /// Takes in states, a row for each of `groups`, which are numbered below `count`.
    pub(in crate::stateful) fn merge(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        let mut rest = states;
        for (accumulator, width) in self.all.iter_mut().zip(&self.widths) {
            let (own, others) = rest.split_at(*width);
            accumulator.merge_batch(own, groups, count)?;
            rest = others;
        }
        Ok(())
    }

    /// Takes in states of aggregate number `number`, a row for each of `groups`, which are numbered below `count`.
    pub(in crate::stateful) fn merge_one(
        &mut self,
        number: usize,
        states: &[ArrayRef],
        groups: &[usize],
        count: usize,
    ) -> Result<()> {
        self.all[number].merge_batch(states, groups, count)
    }

    /// Takes in rows' `arguments` for aggregate number `number`: a row for each of `groups`, but those that `filter` leaves out.
    pub(in crate::stateful) fn update(
        &mut self,
        number: usize,
        arguments: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.all[number].update_batch(arguments, groups, filter, count)
    }

    /// The states of all groups; the accumulators are empty afterwards.
    pub(in crate::stateful) fn states(&mut self) -> Result<Vec<ArrayRef>> {
        let mut states = Vec::new();
        for accumulator in &mut self.all {
            states.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(states)
    }

    /// The values of all groups; the accumulators are empty afterwards.
    pub(in crate::stateful) fn values(&mut self) -> Result<Vec<ArrayRef>> {
        self.all.iter_mut().map(|accumulator| accumulator.evaluate(EmitTo::All)).collect()
    }

    /// How many state columns each aggregate has.
    pub(in crate::stateful) fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Memory they take.
    pub(in crate::stateful) fn size_bytes(&self) -> usize {
        self.all.iter().map(|accumulator| accumulator.size()).sum()
    }
}

/// An accumulator of `function` for any number of groups.
pub(in crate::stateful) fn accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}

/// The values that `states`, one group a row, stand for.
pub(in crate::stateful) fn values_of(
    functions: &[Arc<AggregateFunctionExpr>],
    states: &[ArrayRef],
    rows: usize,
) -> Result<Vec<ArrayRef>> {
    let mut accumulators = Accumulators::new(functions)?;
    let groups: Vec<usize> = (0..rows).collect();
    accumulators.merge(states, &groups, rows)?;
    accumulators.values()
}

/// The state columns of all aggregates.
pub(in crate::stateful) fn state_fields(functions: &[Arc<AggregateFunctionExpr>]) -> Result<Vec<FieldRef>> {
    let fields = functions.iter().map(|function| function.state_fields()).collect::<Result<Vec<_>>>()?;
    Ok(fields.into_iter().flatten().collect())
}
