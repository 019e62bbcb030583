//! Spark's ANSI meaning of operators and casts, over DataFusion's expressions.
//!
//! [`Semantics`] turns an operator and its operands into an expression: DataFusion's own where its answer is Spark's, otherwise
//! a call of one of [`operators`]. SQL asks it while it plans; expressions that were built in Rust go through [`SparkOperators`],
//! an analyzer rule, before DataFusion adds casts of its own.
//!
//! An operator is known by its name and gets everything as arguments, so plans that use it can be sent.

mod access;
mod arithmetic;
mod cast;
mod compare;
mod decimal;
mod error;
mod operator;
mod rule;
mod semantics;
mod temporal;
mod types;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use millstream_formats::java_time::Zone;

pub(crate) use cast::cast_values;
use operator::Operator;
pub use rule::SparkOperators;
pub use semantics::{Op, Semantics};
pub(crate) use types::{MAX_PRECISION, common_type, literal_sql, parse_type, sql_type_name};

/// Every operator of ours, one a line.
const OPERATORS: &[Operator] = &[
    arithmetic::ADD,
    arithmetic::SUBTRACT,
    arithmetic::MULTIPLY,
    arithmetic::DIVIDE,
    arithmetic::INTEGER_DIVIDE,
    arithmetic::MODULO,
    arithmetic::NEGATE,
    cast::CAST,
    access::ARRAY_ITEM,
    access::MAP_VALUE,
    access::ARRAY_FIELD,
    access::MAP_ENTRIES,
    access::WITH_POSITIONS,
    temporal::DATE_ADD_DAYS,
    temporal::DATE_ADD_MONTHS,
    temporal::DATE_DIFF,
    temporal::TIMESTAMP_ADD,
    temporal::TIMESTAMP_ADD_MONTHS,
    temporal::TIMESTAMP_DIFF,
    temporal::INTERVAL_ADD,
    temporal::INTERVAL_MULTIPLY,
    temporal::INTERVAL_DIVIDE,
];

/// The operators as functions, for a session's registry and for whoever decodes a plan.
pub fn operators() -> Vec<Arc<ScalarUDF>> {
    OPERATORS.iter().map(|operator| operator.function()).collect()
}

/// Adds the operators, and the analyzer rule that gives operators and aggregate functions their meaning, to what a session is
/// built from.
///
/// The rule comes before DataFusion's own, which would give operators its casts.
pub fn install(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.scalar_functions().get_or_insert_default().extend(operators());
    let mut rules = builder.analyzer().take().unwrap_or_default().rules;
    rules.insert(0, Arc::new(SparkOperators));
    builder.with_analyzer_rules(rules)
}

/// A session time zone by its name.
fn zone(name: &str) -> Result<Zone> {
    Zone::parse(name).map_err(|error| datafusion::common::DataFusionError::Plan(error.to_string()))
}

#[cfg(test)]
mod tests;
