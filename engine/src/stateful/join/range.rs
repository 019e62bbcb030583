//! What a join's condition says of the difference of two times, and what follows for how long rows are needed.
//!
//! A comparison whose sides are sums of times, intervals and numbers is brought to the form `left − right ∘ offset`, with
//! one time of each side: then a row of one side that is so much behind the watermark has nobody left to meet. Numbers are
//! seconds, as a time that is cast to a number is.

use std::ops::ControlFlow;

use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, Operator};
use serde::{Deserialize, Serialize};

use crate::joining::JoinSideOf;

/// Microseconds in a second.
const SECOND: f64 = 1e6;

/// `left − right` is at least, or at most, so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Serialize, Deserialize)]
pub(crate) struct TimeBound {
    /// The left side's column.
    pub(crate) left: usize,
    /// The right side's column.
    pub(crate) right: usize,
    /// At least, or at most.
    pub(crate) is_lower: bool,
    /// The bound itself left out.
    pub(crate) is_strict: bool,
    /// In microseconds.
    pub(crate) offset: i64,
    /// By how much the condition may be more generous than the offset says, in microseconds: a time that was cast to a whole
    /// number has lost its fraction.
    pub(crate) slack: i64,
}

impl TimeBound {
    /// Up to which time, in milliseconds, the rows of `side` have expired by this bound, when rows of the other side that come
    /// from now on are after `watermark_ms`; `None` where it is a bound of the other side, or of another column than `column`.
    ///
    /// As in Spark: for a bound that is included, the rows right at the bound stay, and milliseconds are the unit.
    pub(crate) fn state_watermark_ms(&self, side: JoinSideOf, column: usize, watermark_ms: i64) -> Option<i64> {
        let (own, ahead_by) = match (side, self.is_lower) {
            (JoinSideOf::Left, true) => (self.left, self.offset),
            (JoinSideOf::Right, false) => (self.right, -self.offset),
            _ => return None,
        };
        if own != column {
            return None;
        }
        let micros = i128::from(watermark_ms) * 1000 + i128::from(ahead_by);
        let at_ms = i64::try_from(micros / 1000).unwrap_or(if micros > 0 { i64::MAX } else { i64::MIN });
        Some(if self.is_strict { at_ms } else { at_ms.saturating_sub(1) })
    }
}

/// The bounds that the conjuncts of `condition` set to a difference of times; columns are numbered within each side.
pub(crate) fn time_bounds<'a>(
    conditions: impl IntoIterator<Item = &'a Expr>,
    left: &DFSchema,
    right: &DFSchema,
) -> Vec<TimeBound> {
    let sides = Sides { left, right };
    conditions.into_iter().flat_map(split_conjunction).flat_map(|conjunct| sides.bounds_of(conjunct)).collect()
}

/// The range of `left − right`, both ends included, that the bounds of a pair of columns leave, in microseconds; `None` where
/// it is open at an end.
pub(crate) fn difference_range(bounds: &[TimeBound], left: usize, right: usize) -> Option<(i64, i64)> {
    let of_pair = || bounds.iter().filter(|bound| bound.left == left && bound.right == right);
    let lower = of_pair().filter(|bound| bound.is_lower).map(|bound| bound.offset - bound.slack).max()?;
    let upper = of_pair().filter(|bound| !bound.is_lower).map(|bound| bound.offset + bound.slack).min()?;
    Some((lower, upper))
}

struct Sides<'a> {
    left: &'a DFSchema,
    right: &'a DFSchema,
}

/// A sum of times and microseconds.
#[derive(Default)]
struct Sum {
    times: Vec<(JoinSideOf, usize, f64)>,
    micros: f64,
    /// Whether a fraction of a second was cut off.
    is_cut: bool,
}

impl Sides<'_> {
    fn bounds_of(&self, conjunct: &Expr) -> Vec<TimeBound> {
        match conjunct {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.bound(left, *op, right).into_iter().collect(),
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let bounds = [self.bound(expr, Operator::GtEq, low), self.bound(expr, Operator::LtEq, high)];
                bounds.into_iter().flatten().collect()
            }
            Expr::Not(inner) => match inner.as_ref() {
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                    op.negate().and_then(|op| self.bound(left, op, right)).into_iter().collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// `a op b` as a bound of `left − right`.
    fn bound(&self, a: &Expr, op: Operator, b: &Expr) -> Option<TimeBound> {
        let (is_greater, is_strict) = match op {
            Operator::Gt => (true, true),
            Operator::GtEq => (true, false),
            Operator::Lt => (false, true),
            Operator::LtEq => (false, false),
            _ => return None,
        };
        // `a − b` is compared with zero.
        let mut sum = Sum::default();
        self.add(a, 1.0, &mut sum).continue_value()?;
        self.add(b, -1.0, &mut sum).continue_value()?;
        let (left, right, sign) = match sum.times[..] {
            [(JoinSideOf::Left, left, x), (JoinSideOf::Right, right, y)] if x == -y && x.abs() == 1.0 => {
                (left, right, x)
            }
            [(JoinSideOf::Right, right, y), (JoinSideOf::Left, left, x)] if x == -y && x.abs() == 1.0 => {
                (left, right, x)
            }
            _ => return None,
        };
        // sign · (left − right) + micros ∘ 0
        let offset = (-sum.micros * sign).round();
        (offset.abs() < 1e18).then_some(TimeBound {
            left,
            right,
            is_lower: is_greater == (sign > 0.0),
            is_strict,
            offset: offset as i64,
            slack: if sum.is_cut { SECOND as i64 } else { 0 },
        })
    }

    /// Adds `expr` to the sum `sign` times. Breaks where it is no sum of times and constants.
    fn add(&self, expr: &Expr, sign: f64, sum: &mut Sum) -> ControlFlow<()> {
        match expr {
            Expr::Alias(alias) => self.add(&alias.expr, sign, sum),
            Expr::Column(column) => self.add_column(column, sign, sum),
            Expr::Literal(value, _) => {
                sum.micros += sign * literal_micros(value)?;
                ControlFlow::Continue(())
            }
            Expr::Negative(inner) => self.add(inner, -sign, sum),
            Expr::Cast(Cast { expr, field }) => {
                sum.is_cut |= field.data_type().is_integer();
                match field.data_type().is_numeric() || field.data_type().is_temporal() {
                    true => self.add(expr, sign, sum),
                    false => ControlFlow::Break(()),
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                self.add_both(left, right, sign, 1.0, sum)
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                self.add_both(left, right, sign, -1.0, sum)
            }
            Expr::ScalarFunction(call) => self.add_call(call, sign, sum),
            _ => ControlFlow::Break(()),
        }
    }

    fn add_both(&self, a: &Expr, b: &Expr, sign: f64, of_b: f64, sum: &mut Sum) -> ControlFlow<()> {
        self.add(a, sign, sum)?;
        self.add(b, sign * of_b, sum)
    }

    /// Operators of the dialect are functions, known by their names.
    fn add_call(&self, call: &ScalarFunction, sign: f64, sum: &mut Sum) -> ControlFlow<()> {
        match (call.func.name(), &call.args[..]) {
            ("spark_add" | "spark_timestamp_add" | "spark_interval_add", [a, b]) => self.add_both(a, b, sign, 1.0, sum),
            ("spark_subtract" | "spark_timestamp_difference", [a, b]) => self.add_both(a, b, sign, -1.0, sum),
            ("spark_negative", [a]) => self.add(a, -sign, sum),
            ("spark_cast", [a, Expr::Literal(to, _), ..]) => {
                let to = to.try_as_str().flatten().unwrap_or_default().to_ascii_uppercase();
                let whole = ["TINYINT", "SMALLINT", "INT", "BIGINT"].contains(&to.as_str());
                let number = whole || to == "DOUBLE" || to == "FLOAT" || to.starts_with("DECIMAL");
                sum.is_cut |= whole;
                match number || to.starts_with("TIMESTAMP") || to.starts_with("INTERVAL") {
                    true => self.add(a, sign, sum),
                    false => ControlFlow::Break(()),
                }
            }
            ("unix_timestamp" | "unix_seconds" | "to_unix_timestamp", [a]) => {
                sum.is_cut = true;
                self.add(a, sign, sum)
            }
            ("timestampadd", [Expr::Literal(unit, _), Expr::Literal(count, _), a]) => {
                let unit_seconds = match unit.try_as_str().flatten().unwrap_or_default().to_ascii_lowercase().as_str() {
                    "microsecond" => 1e-6,
                    "millisecond" => 1e-3,
                    "second" => 1.0,
                    "minute" => 60.0,
                    "hour" => 3600.0,
                    _ => return ControlFlow::Break(()),
                };
                sum.micros += sign * unit_seconds * literal_micros(count)?;
                self.add(a, sign, sum)
            }
            _ => ControlFlow::Break(()),
        }
    }

    fn add_column(&self, column: &Column, sign: f64, sum: &mut Sum) -> ControlFlow<()> {
        let of_left = self.left.maybe_index_of_column(column).map(|index| (JoinSideOf::Left, index, self.left));
        let of_right = || self.right.maybe_index_of_column(column).map(|index| (JoinSideOf::Right, index, self.right));
        let Some((side, index, schema)) = of_left.or_else(of_right) else { return ControlFlow::Break(()) };
        let is_time = Expr::Column(column.clone())
            .get_type(schema)
            .is_ok_and(|data_type| matches!(data_type, arrow::datatypes::DataType::Timestamp(..)));
        if !is_time {
            return ControlFlow::Break(());
        }
        match sum.times.iter_mut().find(|(s, i, _)| (*s, *i) == (side, index)) {
            Some((_, _, times)) => *times += sign,
            None => sum.times.push((side, index, sign)),
        }
        sum.times.retain(|(_, _, times)| *times != 0.0);
        ControlFlow::Continue(())
    }
}

/// A constant in microseconds: an interval without months, or a number of seconds.
fn literal_micros(value: &ScalarValue) -> ControlFlow<(), f64> {
    use ScalarValue::{
        Decimal128, DurationMicrosecond, DurationMillisecond, DurationNanosecond, DurationSecond, Float32, Float64,
        Int8, Int16, Int32, Int64, IntervalDayTime, IntervalMonthDayNano,
    };
    let micros = match value {
        DurationSecond(Some(n)) => *n as f64 * SECOND,
        DurationMillisecond(Some(n)) => *n as f64 * 1e3,
        DurationMicrosecond(Some(n)) => *n as f64,
        DurationNanosecond(Some(n)) => *n as f64 / 1e3,
        IntervalDayTime(Some(i)) => f64::from(i.days) * 86_400.0 * SECOND + f64::from(i.milliseconds) * 1e3,
        IntervalMonthDayNano(Some(i)) if i.months == 0 => {
            f64::from(i.days) * 86_400.0 * SECOND + i.nanoseconds as f64 / 1e3
        }
        Int8(Some(n)) => f64::from(*n) * SECOND,
        Int16(Some(n)) => f64::from(*n) * SECOND,
        Int32(Some(n)) => f64::from(*n) * SECOND,
        Int64(Some(n)) => *n as f64 * SECOND,
        Float32(Some(n)) => f64::from(*n) * SECOND,
        Float64(Some(n)) => *n * SECOND,
        Decimal128(Some(n), _, scale) => *n as f64 / 10f64.powi(i32::from(*scale)) * SECOND,
        _ => return ControlFlow::Break(()),
    };
    ControlFlow::Continue(micros)
}

#[cfg(test)]
mod tests;
