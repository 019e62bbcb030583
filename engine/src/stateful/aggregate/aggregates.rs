//! The aggregates of an operator: which have a state of fixed size, and which keep their elements.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion_common::{Result, internal_err};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use millstream_state::StoreSchema;

use super::element_store::{ElementStore, ElementsSpec};
use crate::query_state::StateBatch;

/// All aggregates of an operator, in the order of its output.
#[derive(Debug)]
pub(in crate::stateful) struct Aggregates {
    pub(in crate::stateful) all: Vec<Aggregate>,
    /// The functions with a state of fixed size, in order.
    pub(in crate::stateful) small: Vec<Arc<AggregateFunctionExpr>>,
}

/// One aggregate.
#[derive(Debug)]
pub(in crate::stateful) struct Aggregate {
    /// The function; without DISTINCT where its elements are kept.
    pub(in crate::stateful) function: Arc<AggregateFunctionExpr>,
    /// Its number among the small functions.
    pub(in crate::stateful) small: Option<usize>,
    pub(in crate::stateful) elements: Option<ElementsSpec>,
}

impl Aggregates {
    /// `functions` over the rows of `input`, for groups with the key `group`.
    pub(in crate::stateful) fn new(
        functions: &[Arc<AggregateFunctionExpr>],
        group: &[FieldRef],
        input: &SchemaRef,
        keeps_elements: bool,
    ) -> Result<Self> {
        let (mut all, mut small) = (Vec::with_capacity(functions.len()), Vec::new());
        for (number, function) in functions.iter().enumerate() {
            let elements = match keeps_elements {
                true => ElementsSpec::of(function, number, group, input)?,
                false => None,
            };
            let function = match &elements {
                Some(_) => Arc::new(without_distinct(function, input)?),
                None => Arc::clone(function),
            };
            let is_small = elements.as_ref().is_none_or(|elements| elements.is_members);
            let number = is_small.then_some(small.len());
            small.extend(is_small.then(|| Arc::clone(&function)));
            all.push(Aggregate { function, small: number, elements });
        }
        Ok(Self { all, small })
    }

    /// Those that keep their elements.
    pub(in crate::stateful) fn elements(&self) -> impl Iterator<Item = &ElementsSpec> {
        self.all.iter().filter_map(|aggregate| aggregate.elements.as_ref())
    }

    /// The stores of elements, by name.
    pub(in crate::stateful) fn stores(&self) -> impl Iterator<Item = (String, StoreSchema)> {
        self.elements().map(|elements| (elements.store.clone(), elements.schema.clone()))
    }

    /// The elements of each aggregate that keeps them, in one of `partitions` state partitions.
    pub(in crate::stateful) async fn open(
        &self,
        state: &StateBatch,
        operator: u32,
        partition: usize,
        partitions: usize,
    ) -> Result<Vec<Option<ElementStore>>> {
        let mut elements = Vec::with_capacity(self.all.len());
        for aggregate in &self.all {
            let Some(spec) = &aggregate.elements else {
                elements.push(None);
                continue;
            };
            let draft = state.draft(operator, &spec.store, partition, partitions, &spec.schema).await?;
            elements.push(Some(ElementStore::new(spec.clone(), Arc::clone(&aggregate.function), draft)?));
        }
        Ok(elements)
    }

    /// The values of groups with these keys, a column for each aggregate; `small` are those of the small functions.
    pub(in crate::stateful) fn values(
        &self,
        small: &[ArrayRef],
        elements: &mut [Option<ElementStore>],
        key: &[ArrayRef],
        rows: usize,
    ) -> Result<Vec<ArrayRef>> {
        let all = self.all.iter().zip(elements);
        all.map(|(aggregate, elements)| match (aggregate.small, elements) {
            (Some(number), _) => Ok(Arc::clone(&small[number])),
            (None, Some(elements)) => elements.values(key, rows),
            (None, None) => internal_err!("an aggregate has neither a state nor elements"),
        })
        .collect()
    }
}

fn without_distinct(function: &AggregateFunctionExpr, input: &SchemaRef) -> Result<AggregateFunctionExpr> {
    AggregateExprBuilder::new(Arc::new(function.fun().clone()), function.expressions())
        .schema(Arc::clone(input))
        .alias(function.name())
        .with_ignore_nulls(function.ignore_nulls())
        .build()
}
