//! Where things are in the rows that reach the sessions of a state partition, in their stores and in their output.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::Literal;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::aggregates::{AggregateMode, aggregate_expressions};
use millstream_state::{KEY_GROUP_COLUMN, KeyEncoder, StoreSchema};

use super::node::{AggregateInputs, SessionSpec};
use crate::error::Error;
use crate::sink::OutputMode;
use crate::stateful::aggregate::accumulators::{Accumulators, state_fields};
use crate::stateful::aggregate::functions_of;

/// Columns of a stored session before its states.
pub(super) const SESSION_COLUMNS: [&str; 4] = ["start", "end", "slots", "alarm"];

/// The layout of one operator.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) spec: SessionSpec,
    pub(super) functions: Vec<Arc<AggregateFunctionExpr>>,
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
        let mut value: Vec<_> = SESSION_COLUMNS.iter().map(|name| number(name)).collect();
        value.extend(state_fields(functions)?.iter().map(|field| nullable(field)));
        let sessions = [key.clone(), vec![number("slot"), Arc::clone(&key_group)]].concat();
        let ends = [vec![number("end")], key, vec![key_group]].concat();
        let mut arguments = Vec::with_capacity(functions.len());
        for (exprs, inputs) in aggregate_expressions(functions, &AggregateMode::Partial, 0)?.iter().zip(inputs) {
            let places = exprs.iter().zip(&inputs.arguments);
            arguments.push(places.map(|(expr, place)| argument(expr, *place)).collect::<Result<_>>()?);
        }
        Ok(Self {
            spec,
            functions: functions.to_vec(),
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

    /// Takes `values`, rows of the sessions numbered `sessions`, into all aggregates; sessions are numbered below `count`.
    pub(super) fn update(
        &self,
        accumulators: &mut Accumulators,
        values: &[ArrayRef],
        sessions: &[usize],
        count: usize,
    ) -> Result<()> {
        for (number, (arguments, filter)) in self.arguments.iter().zip(&self.filters).enumerate() {
            let arguments = arguments.iter().map(|argument| match argument {
                Argument::Value(at) => Ok(Arc::clone(&values[*at])),
                Argument::Constant(value) => value.to_array_of_size(sessions.len()),
            });
            let arguments = arguments.collect::<Result<Vec<_>>>()?;
            let filter: Option<&BooleanArray> = filter.map(|at| values[at].as_boolean());
            accumulators.update(number, &arguments, sessions, filter, count)?;
        }
        Ok(())
    }
}

fn argument(expr: &Arc<dyn PhysicalExpr>, place: Option<usize>) -> Result<Argument> {
    match (place, expr.downcast_ref::<Literal>()) {
        (Some(place), _) => Ok(Argument::Value(place)),
        (None, Some(constant)) => Ok(Argument::Constant(constant.value().clone())),
        (None, None) => internal_err!("the argument {expr} of an aggregate did not travel"),
    }
}
