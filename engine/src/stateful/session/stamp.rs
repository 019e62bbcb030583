//! Aggregates that answer with one of their rows: in the sessions of a stream each remembers when that row arrived.
//!
//! The rows of two sessions that become one may have arrived in turns, so that neither session is the earlier one. A stamped aggregate
//! chooses among pairs of (arrival, value): where its states are merged in the order of their arrivals, the answer is the one that the
//! rows would give in the order of theirs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StructArray};
use arrow::compute::{is_null, nullif};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, SchemaRef};
use datafusion_common::{Result, internal_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::Column;

/// Functions that answer with their first argument of one of their rows, which depends on the order of rows.
const NAMES: &[&str] = &["any_value", "first", "first_value", "last", "last_value", "max_by", "min_by"];

/// What a pair is called among the columns that an aggregate is over.
const PAIR: &str = "$arrival_and_value";

/// `function` over pairs in the place of its first argument; `None` where it does not answer with a row.
pub(super) fn stamped(function: &AggregateFunctionExpr, input: &SchemaRef) -> Result<Option<AggregateFunctionExpr>> {
    if !NAMES.contains(&function.fun().name()) {
        return Ok(None);
    }
    let mut arguments = function.expressions();
    let pair = DataType::Struct(pair_fields(&arguments[0].data_type(input)?));
    let fields = input.fields().iter().cloned().chain([Arc::new(Field::new(PAIR, pair, true))]);
    let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
    arguments[0] = Arc::new(Column::new(PAIR, input.fields().len())) as Arc<dyn PhysicalExpr>;
    let stamped = AggregateExprBuilder::new(Arc::new(function.fun().clone()), arguments)
        .schema(Arc::new(schema))
        .alias(function.name())
        .with_ignore_nulls(function.ignore_nulls())
        .build()?;
    Ok(Some(stamped))
}

fn pair_fields(value: &DataType) -> Fields {
    vec![Field::new("arrival", DataType::Int64, true), Field::new("value", value.clone(), true)].into()
}

/// Pairs of `arrivals` and `values`; none where the value is null and nulls are ignored.
pub(super) fn pairs(arrivals: &[i64], values: &ArrayRef, ignore_nulls: bool) -> Result<ArrayRef> {
    let arrivals: ArrayRef = Arc::new(Int64Array::from(arrivals.to_vec()));
    let nulls = values.logical_nulls().filter(|_| ignore_nulls);
    Ok(Arc::new(StructArray::try_new(pair_fields(values.data_type()), vec![arrivals, Arc::clone(values)], nulls)?))
}

/// The values of pairs.
pub(super) fn values_of(pairs: &ArrayRef) -> Result<ArrayRef> {
    match pairs.as_struct_opt() {
        Some(pairs) if pairs.num_columns() == 2 => Ok(nullif(pairs.column(1), &is_null(pairs)?)?),
        _ => internal_err!("a stamped aggregate answers with {}", pairs.data_type()),
    }
}

/// The rows of states, each with a pair first, in the order of their arrivals.
pub(super) fn order_of(states: &[ArrayRef]) -> Result<Vec<usize>> {
    let Some(pairs) = states.first().and_then(|pairs| pairs.as_struct_opt()) else {
        return internal_err!("a stamped aggregate without its pair");
    };
    let arrivals = pairs.column(0).as_primitive::<Int64Type>();
    let mut rows: Vec<usize> = (0..pairs.len()).collect();
    rows.sort_by_key(|row| (pairs.is_valid(*row) && arrivals.is_valid(*row)).then(|| arrivals.value(*row)));
    Ok(rows)
}
