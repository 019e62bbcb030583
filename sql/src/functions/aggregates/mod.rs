//! Spark's aggregate functions, with Spark's types, answers and errors.
//!
//! `AGGREGATES` is the catalogue; every name is a function of its own, so that a column that was made by `mean(x)` is
//! called so, and what is not in it is unknown. All are written once, over vectors of groups ([`groups`]), and serve batch
//! queries, streams and windows of rows alike: their states are columns of plain types that merge in any grouping of the
//! input.
//!
//! # Adding a function
//! A constructor of its groups in a file here, and a line in the catalogue. If its state grows with the input, also a line in
//! the engine's table of elements.
//!
//! # Read next
//! `groups.rs` (the contract) → `count.rs` (the smallest) → `lists.rs`, `distinct.rs` (states that grow) → `function.rs`.

mod approx_count_distinct;
mod approx_percentile;
mod average;
mod calls;
mod chosen;
mod coerce;
mod count;
mod distinct;
mod fold;
mod function;
mod groups;
mod kept;
mod listagg;
mod lists;
mod mode;
mod moments;
mod percentile;
mod sum;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::AggregateUDF;
use millstream_engine::stateful::elements::COLLECT_WITH_NULLS;

pub use calls::*;

use super::types::array_of;
use function::{Aggregate, Call, OfNothing, SparkAggregate};
use groups::Groups;

/// What is the same in most lines: null over no row, and heeding `DISTINCT`.
const fn line(
    name: &'static str,
    coerce: fn(&'static str, &[DataType]) -> Result<Vec<DataType>>,
    returns: fn(&[DataType]) -> DataType,
    state: fn(&[DataType], &DataType) -> Vec<DataType>,
    make: fn(&Call<'_>) -> Result<Box<dyn Groups>>,
) -> Aggregate {
    Aggregate { name, coerce, returns, state, make, of_nothing: OfNothing::Null, heeds_distinct: true }
}

impl Aggregate {
    /// 0 over no row.
    const fn counting(mut self) -> Self {
        self.of_nothing = OfNothing::Zero;
        self
    }

    /// An empty array over no row.
    const fn collecting(mut self) -> Self {
        self.of_nothing = OfNothing::EmptyArray;
        self
    }

    /// The same with and without `DISTINCT`.
    const fn indifferent(mut self) -> Self {
        self.heeds_distinct = false;
        self
    }
}

/// Every aggregate function: name, arguments, answer, state, groups.
static AGGREGATES: &[Aggregate] = &[
    // How many
    line("count", coerce::some_of_anything, long, one, count::count).counting(),
    line("count_if", coerce::boolean, long, one, count::count_if).counting(),
    line("regr_count", coerce::two_doubles, long, one, moments::regr_count).counting(),
    line(
        "approx_count_distinct",
        approx_count_distinct::coerce,
        long,
        approx_count_distinct::state,
        approx_count_distinct::approx_count_distinct,
    )
    .counting()
    .indifferent(),
    // Sums and averages
    line("sum", coerce::summed, sum::sum_type, sum::state, sum::sum),
    line("try_sum", coerce::summed, sum::sum_type, sum::try_state, sum::try_sum),
    line("avg", coerce::averaged, average::average_type, average::state, average::avg),
    line("mean", coerce::averaged, average::average_type, average::state, average::avg),
    line("try_avg", coerce::averaged, average::average_type, average::state, average::try_avg),
    // One of the values
    line("min", coerce::orderable, same, one, fold::min).indifferent(),
    line("max", coerce::orderable, same, one, fold::max).indifferent(),
    line("min_by", coerce::value_and_key, same, chosen::by_state, chosen::min_by).indifferent(),
    line("max_by", coerce::value_and_key, same, chosen::by_state, chosen::max_by).indifferent(),
    line("first", coerce::anything, same, chosen::end_state, chosen::first).indifferent(),
    line("first_value", coerce::anything, same, chosen::end_state, chosen::first).indifferent(),
    line("any_value", coerce::anything, same, chosen::end_state, chosen::first).indifferent(),
    line("last", coerce::anything, same, chosen::end_state, chosen::last).indifferent(),
    line("last_value", coerce::anything, same, chosen::end_state, chosen::last).indifferent(),
    line("mode", coerce::mode, same, first_argument, mode::mode),
    // Truth and bits
    line("bool_and", coerce::boolean, same, one, fold::bool_and).indifferent(),
    line("every", coerce::boolean, same, one, fold::bool_and).indifferent(),
    line("bool_or", coerce::boolean, same, one, fold::bool_or).indifferent(),
    line("some", coerce::boolean, same, one, fold::bool_or).indifferent(),
    line("any", coerce::boolean, same, one, fold::bool_or).indifferent(),
    line("bit_and", coerce::integer, same, one, fold::bit_and).indifferent(),
    line("bit_or", coerce::integer, same, one, fold::bit_or).indifferent(),
    line("bit_xor", coerce::integer, same, one, fold::bit_xor),
    // All of the values
    line("collect_list", coerce::anything, list, first_argument, lists::collect_list).collecting(),
    line("array_agg", coerce::anything, list, first_argument, lists::collect_list).collecting(),
    line(COLLECT_WITH_NULLS, coerce::anything, list, first_argument, lists::collect_list_with_nulls).collecting(),
    line("collect_set", coerce::hashable, list, first_argument, distinct::collect_set).collecting(),
    line("listagg", coerce::texts, same, first_argument, listagg::listagg),
    line("string_agg", coerce::texts, same, first_argument, listagg::listagg),
    // Percentiles
    line("percentile", percentile::coerce, percentile::returns, percentile_state, percentile::percentile),
    line("percentile_cont", percentile::coerce, percentile::returns, first_argument, percentile::percentile_cont),
    line("percentile_disc", percentile::coerce, percentile::returns, first_argument, percentile::percentile_disc),
    line("median", coerce::percentile, same, first_argument, percentile::median),
    line(
        "approx_percentile",
        approx_percentile::coerce,
        percentile::returns,
        approx_percentile::state,
        approx_percentile::approx_percentile,
    ),
    line(
        "percentile_approx",
        approx_percentile::coerce,
        percentile::returns,
        approx_percentile::state,
        approx_percentile::approx_percentile,
    ),
    // Spread
    line("var_pop", coerce::double, double, moments::powers_state, moments::var_pop),
    line("var_samp", coerce::double, double, moments::powers_state, moments::var_samp),
    line("variance", coerce::double, double, moments::powers_state, moments::var_samp),
    line("stddev_pop", coerce::double, double, moments::powers_state, moments::stddev_pop),
    line("stddev_samp", coerce::double, double, moments::powers_state, moments::stddev_samp),
    line("stddev", coerce::double, double, moments::powers_state, moments::stddev_samp),
    line("std", coerce::double, double, moments::powers_state, moments::stddev_samp),
    line("skewness", coerce::double, double, moments::powers_state, moments::skewness),
    line("kurtosis", coerce::double, double, moments::powers_state, moments::kurtosis),
    line("covar_pop", coerce::two_doubles, double, moments::products_state, moments::covar_pop),
    line("covar_samp", coerce::two_doubles, double, moments::products_state, moments::covar_samp),
    line("corr", coerce::two_doubles, double, moments::products_state, moments::corr),
    line("regr_avgx", coerce::two_doubles, double, moments::products_state, moments::regr_avgx),
    line("regr_avgy", coerce::two_doubles, double, moments::products_state, moments::regr_avgy),
    line("regr_sxx", coerce::two_doubles, double, moments::products_state, moments::regr_sxx),
    line("regr_syy", coerce::two_doubles, double, moments::products_state, moments::regr_syy),
    line("regr_sxy", coerce::two_doubles, double, moments::products_state, moments::regr_sxy),
    line("regr_slope", coerce::two_doubles, double, moments::products_state, moments::regr_slope),
    line("regr_intercept", coerce::two_doubles, double, moments::products_state, moments::regr_intercept),
    line("regr_r2", coerce::two_doubles, double, moments::products_state, moments::regr_r2),
];

/// The functions as DataFusion knows them, each once for the whole process.
static UDAFS: LazyLock<HashMap<&'static str, Arc<AggregateUDF>>> =
    LazyLock::new(|| AGGREGATES.iter().map(|it| (it.name, Arc::new(function::to_udaf(it)))).collect());

/// All aggregate functions, and DataFusion's `grouping`, which its analyzer replaces. A plan that was sent is read back with these.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut functions: Vec<_> = AGGREGATES.iter().map(|it| Arc::clone(&UDAFS[it.name])).collect();
    functions.push(datafusion::functions_aggregate::grouping::grouping_udaf());
    functions
}

/// An aggregate function by its name in lower case.
pub fn aggregate_function(name: &str) -> Option<Arc<AggregateUDF>> {
    UDAFS.get(name).cloned()
}

/// What an aggregate function makes of its arguments.
pub(crate) struct Taken {
    /// The types that the arguments are cast to.
    pub(crate) types: Vec<DataType>,
    /// Whether `DISTINCT` changes the answer.
    pub(crate) heeds_distinct: bool,
}

/// What one of our functions makes of arguments of these types; `None` for a function that is not ours.
///
/// # Errors
/// Spark's, for arguments that the function does not take.
pub(crate) fn taken(function: &AggregateUDF, types: &[DataType]) -> Option<Result<Taken>> {
    let aggregate = function.inner().downcast_ref::<SparkAggregate>()?.aggregate();
    let types: Vec<DataType> = types.iter().map(super::types::plain).collect();
    let taken = (aggregate.coerce)(aggregate.name, &types);
    Some(taken.map(|types| Taken { types, heeds_distinct: aggregate.heeds_distinct }))
}

fn long(_: &[DataType]) -> DataType {
    DataType::Int64
}

fn double(_: &[DataType]) -> DataType {
    DataType::Float64
}

fn same(types: &[DataType]) -> DataType {
    types[0].clone()
}

fn list(types: &[DataType]) -> DataType {
    array_of(types[0].clone())
}

fn one(_: &[DataType], returns: &DataType) -> Vec<DataType> {
    vec![returns.clone()]
}

fn first_argument(types: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![lists::list_type(&types[..1])]
}

fn percentile_state(types: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![lists::list_type(if types.len() > 2 { &types[..3] } else { &types[..1] })]
}
