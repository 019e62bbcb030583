//! Where things are in the rows that reach the sessions of a state partition, in their stores and in their output.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::aggregates::{AggregateMode, aggregate_expressions};
use millstream_state::{KEY_GROUP_COLUMN, KeyEncoder, Keys, StoreSchema};

use super::node::{AggregateInputs, SessionSpec};
use super::stamp;
use crate::error::Error;
use crate::sink::OutputMode;
use crate::stateful::aggregate::accumulators::state_fields;
use crate::stateful::aggregate::aggregates::Aggregates;
use crate::stateful::aggregate::functions_of;

/// Columns of a stored session before its states.
pub(super) const SESSION_COLUMNS: [&str; 4] = ["start", "end", "slots", "alarm"];

/// Columns behind them, where the order of rows or elements are kept; see `contents.rs`.
pub(super) const HISTORY_COLUMNS: [&str; 3] = ["name", "rows", "next"];

/// The layout of one operator.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) spec: SessionSpec,
    pub(super) aggregates: Aggregates,
    /// Of each small function, whether it is over pairs of arrival and value.
    pub(super) is_stamped: Vec<bool>,
    /// Of each small function, whether it takes in each of the elements that are kept once.
    pub(super) counts_members: Vec<bool>,
    /// Whether sessions have the history columns.
    pub(super) has_history: bool,
    arguments: Vec<Vec<Argument>>,
    filters: Vec<Option<usize>>,
    /// How many columns the key has.
    pub(super) keys: usize,
    /// Of the key columns alone; none where there are none.
    pub(super) encoder: Option<KeyEncoder>,
    pub(super) sessions: StoreSchema,
    pub(super) ends: StoreSchema,
    pub(super) output: SchemaRef,
}

/// What an aggregate is given.
#[derive(Debug)]
enum Argument {
    /// A column behind the keys and the times.
    Value(usize),
    Constant(ScalarValue),
}

impl Layout {
    pub(super) fn new(
        template: &Arc<dyn ExecutionPlan>,
        spec: SessionSpec,
        inputs: &[AggregateInputs],
        output: SchemaRef,
    ) -> Result<Self> {
        let (partial, functions) = functions_of(template)?;
        let keys = partial.group_expr().num_group_exprs();
        // Whether a column can be null may depend on the optimizer's mood: the state's columns all may.
        let nullable = |field: &Field| Arc::new(field.clone().with_nullable(true));
        let key: Vec<_> = partial.schema().fields()[..keys].iter().map(|field| nullable(field)).collect();
        let encoder = match key.is_empty() {
            true => None,
            false => Some(KeyEncoder::new(key.clone()).map_err(Error::from)?),
        };
        let number = |name: &str| Arc::new(Field::new(format!("session.{name}"), DataType::Int64, false));
        let key_group = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        let input = partial.input_schema();
        let named = [key.clone(), vec![number("name")]].concat();
        let mut aggregates = Aggregates::new(functions, &named, &input, spec.keeps_elements)?;
        let mut is_stamped = vec![false; aggregates.small.len()];
        for (number, function) in aggregates.small.iter_mut().enumerate().filter(|_| spec.operator.is_some()) {
            if let Some(stamped) = stamp::stamped(function, &input)? {
                (*function, is_stamped[number]) = (Arc::new(stamped), true);
            }
        }
        let small = aggregates.all.iter().filter(|aggregate| aggregate.small.is_some());
        let counts_members = small.map(|aggregate| aggregate.elements.is_some()).collect();
        let has_history = is_stamped.contains(&true) || aggregates.elements().next().is_some();
        let mut value: Vec<_> = SESSION_COLUMNS.iter().map(|name| number(name)).collect();
        if has_history {
            value.extend(HISTORY_COLUMNS.iter().map(|name| number(name)));
        }
        value.extend(state_fields(&aggregates.small)?.iter().map(|field| nullable(field)));
        let sessions = [key.clone(), vec![number("slot"), Arc::clone(&key_group)]].concat();
        let ends = [vec![number("end")], key, vec![key_group]].concat();
        let mut arguments = Vec::with_capacity(functions.len());
        for (exprs, inputs) in aggregate_expressions(functions, &AggregateMode::Partial, 0)?.iter().zip(inputs) {
            let places = exprs.iter().zip(&inputs.arguments);
            arguments.push(places.map(|(expr, place)| argument(expr, *place)).collect::<Result<_>>()?);
        }
        Ok(Self {
            spec,
            aggregates,
            is_stamped,
            counts_members,
            has_history,
            arguments,
            filters: inputs.iter().map(|inputs| inputs.filter).collect(),
            keys,
            encoder,
            sessions: StoreSchema::new(sessions, Fields::from(value)),
            ends: StoreSchema::new(ends, Fields::empty()),
            output,
        })
    }

    /// Whether sessions leave when the watermark has passed them.
    pub(super) fn evicts(&self) -> bool {
        self.spec.has_watermark && self.spec.mode != OutputMode::Complete
    }

    /// How many columns of a session's contents are its history.
    pub(super) fn history_columns(&self) -> usize {
        if self.has_history { HISTORY_COLUMNS.len() } else { 0 }
    }

    /// What aggregate number `aggregate` is given of `values`, of so many rows.
    pub(super) fn arguments(&self, aggregate: usize, values: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
        let array = |argument: &Argument| match argument {
            Argument::Value(at) => Ok(Arc::clone(&values[*at])),
            Argument::Constant(value) => value.to_array_of_size(rows),
        };
        self.arguments[aggregate].iter().map(array).collect()
    }

    /// Which rows aggregate number `aggregate` is given; all where there is none.
    pub(super) fn filter<'a>(&self, aggregate: usize, values: &'a [ArrayRef]) -> Option<&'a BooleanArray> {
        self.filters[aggregate].map(|at| values[at].as_boolean())
    }

    /// The key columns of the keys numbered `keys` among those of `of`.
    pub(super) fn key_columns(&self, of: &Keys, keys: &[u32]) -> Result<Vec<ArrayRef>> {
        let Some(encoder) = &self.encoder else { return Ok(Vec::new()) };
        let are_all = keys.len() == of.len() && keys.iter().zip(0..).all(|(key, at)| *key == at);
        let decoded = match are_all {
            true => encoder.decode(of),
            false => of.take(&UInt32Array::from(keys.to_vec())).and_then(|keys| encoder.decode(&keys)),
        };
        Ok(decoded.map_err(Error::from)?)
    }

    /// What the keys of the elements of sessions begin with: `states` are stored of them.
    pub(super) fn element_key(&self, of: &Keys, keys: &[u32], states: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let mut key = self.key_columns(of, keys)?;
        match states.first() {
            Some(names) if self.has_history => key.push(Arc::clone(names)),
            _ => return internal_err!("sessions with elements have no names"),
        }
        Ok(key)
    }
}

fn argument(expr: &Arc<dyn PhysicalExpr>, place: Option<usize>) -> Result<Argument> {
    match (place, expr.downcast_ref::<Literal>()) {
        (Some(place), _) => Ok(Argument::Value(place)),
        (None, Some(constant)) => Ok(Argument::Constant(constant.value().clone())),
        (None, None) => internal_err!("the argument {expr} of an aggregate did not travel"),
    }
}
