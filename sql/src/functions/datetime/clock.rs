//! current_timestamp, current_date, localtimestamp: one answer a query, or a batch of one.
//!
//! In a stream the engine puts the batch's time in the place of these; elsewhere the optimizer makes them constants, with
//! the time at which the query began.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};

use super::timestamps;
use crate::functions::function::Call;
use crate::functions::zone::{MICROS_PER_DAY, Zone};

/// `current_timestamp()`.
pub(in crate::functions) fn current_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    let now = now();
    timestamps(call, |_| Ok(Some(now)))
}

/// `localtimestamp()`: what the session's clock shows.
pub(in crate::functions) fn localtimestamp(call: &Call<'_>) -> Result<ArrayRef> {
    let local = call.zone()?.local_of(now());
    timestamps(call, |_| Ok(Some(local)))
}

/// `current_date()` in the session's zone.
pub(in crate::functions) fn current_date(call: &Call<'_>) -> Result<ArrayRef> {
    let today = call.zone()?.local_of(now()).div_euclid(MICROS_PER_DAY) as i32;
    Ok(Arc::new(Date32Array::from(vec![today; call.rows])))
}

pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// Makes [`current_timestamp`] the time at which the query began.
pub(in crate::functions) fn fix_timestamp(args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    fixed(args, info, |now, _| ScalarValue::TimestampMicrosecond(Some(now), Some("UTC".into())))
}

/// Makes [`localtimestamp`] a constant.
pub(in crate::functions) fn fix_localtimestamp(args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    fixed(args, info, |now, zone| ScalarValue::TimestampMicrosecond(Some(zone.local_of(now)), None))
}

/// Makes [`current_date`] a constant.
pub(in crate::functions) fn fix_date(args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    fixed(args, info, |now, zone| ScalarValue::Date32(Some(zone.local_of(now).div_euclid(MICROS_PER_DAY) as i32)))
}

/// Makes `unix_timestamp()` a constant where it has no argument.
pub(in crate::functions) fn fix_seconds(args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    if !args.is_empty() {
        return Ok(ExprSimplifyResult::Original(args));
    }
    fixed(args, info, |now, _| ScalarValue::Int64(Some(now.div_euclid(1_000_000))))
}

fn fixed(args: Vec<Expr>, info: &SimplifyContext, value: fn(i64, Zone) -> ScalarValue) -> Result<ExprSimplifyResult> {
    let Some(start) = info.query_execution_start_time() else { return Ok(ExprSimplifyResult::Original(args)) };
    let zone = Zone::of(info.config_options())?;
    Ok(ExprSimplifyResult::Simplified(Expr::Literal(value(start.timestamp_micros(), zone), None)))
}

/// The type of `current_date()`.
pub(in crate::functions) fn date_type(_: &crate::functions::function::Shape<'_>) -> Result<DataType> {
    Ok(DataType::Date32)
}
