//! Calls of aggregate functions from Rust: `count_all().alias("views")`.

use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::{Expr, lit};

use super::aggregate_function;

/// A call of an aggregate function by Spark's name, in lower case: `aggregate("stddev", [col("v")])`.
/// `None` where there is no such function.
pub fn aggregate(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    let function = aggregate_function(name)?;
    Some(function.call(arguments.into_iter().collect()))
}

fn known(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    aggregate(name, arguments).expect("a function of the catalogue")
}

/// How many rows there are.
pub fn count_all() -> Expr {
    known("count", [lit(1_i64)])
}

/// In how many rows `value` is not null.
pub fn count(value: Expr) -> Expr {
    known("count", [value])
}

/// How many different values there are, nulls left out.
pub fn count_distinct(value: Expr) -> Expr {
    distinct(count(value))
}

/// How many different values there are, about.
pub fn approx_count_distinct(value: Expr) -> Expr {
    known("approx_count_distinct", [value])
}

/// The sum. What does not fit BIGINT, or 38 digits, is an error.
pub fn sum(value: Expr) -> Expr {
    known("sum", [value])
}

/// The average: of decimals a decimal, otherwise DOUBLE.
pub fn avg(value: Expr) -> Expr {
    known("avg", [value])
}

/// The least value.
pub fn min(value: Expr) -> Expr {
    known("min", [value])
}

/// The greatest value.
pub fn max(value: Expr) -> Expr {
    known("max", [value])
}

/// The value that arrived first, null or not.
pub fn first(value: Expr) -> Expr {
    known("first", [value])
}

/// The value that arrived last, null or not.
pub fn last(value: Expr) -> Expr {
    known("last", [value])
}

/// The value beside the least key.
pub fn min_by(value: Expr, key: Expr) -> Expr {
    known("min_by", [value, key])
}

/// The value beside the greatest key.
pub fn max_by(value: Expr, key: Expr) -> Expr {
    known("max_by", [value, key])
}

/// All values that are not null, in the order of arrival.
pub fn collect_list(value: Expr) -> Expr {
    known("collect_list", [value])
}

/// All different values that are not null.
pub fn collect_set(value: Expr) -> Expr {
    known("collect_set", [value])
}

/// The value at a part of the rows, between 0 and 1, when they are sorted.
pub fn percentile(value: Expr, percentage: f64) -> Expr {
    known("percentile", [value, lit(percentage)])
}

/// The aggregate over different values only. Other expressions stay as they are.
pub fn distinct(aggregate: Expr) -> Expr {
    change(aggregate, |call| call.params.distinct = true)
}

/// The aggregate over rows where its value is not null: for `first` and `last`. Other expressions stay as they are.
pub fn ignore_nulls(aggregate: Expr) -> Expr {
    change(aggregate, |call| call.params.null_treatment = Some(NullTreatment::IgnoreNulls))
}

fn change(aggregate: Expr, change: impl FnOnce(&mut AggregateFunction)) -> Expr {
    match aggregate {
        Expr::AggregateFunction(mut call) => {
            change(&mut call);
            Expr::AggregateFunction(call)
        }
        other => other,
    }
}
