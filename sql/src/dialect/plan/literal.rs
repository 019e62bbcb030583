//! Literals: what type a number has, what a date's or interval's text says.

use arrow::datatypes::DataType;
use chrono::Utc;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use millstream_formats::java_time::Zone;
use millstream_formats::java_time::cast::{parse_date, parse_timestamp, parse_timestamp_ntz};
use sqlparser::ast::{self, Value};

use crate::dialect::interval::{Interval, IntervalField};
use crate::dialect::literals::{INTERVAL, LITERAL};
use crate::dialect::relations::{marker_arguments, string_value};
use crate::expressions::MAX_PRECISION;

/// A value as it stands in SQL.
pub(super) fn value(value: &Value) -> Result<ScalarValue> {
    match value {
        Value::Number(text, _) => number(text),
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Ok(ScalarValue::Utf8(Some(text.clone()))),
        Value::Boolean(value) => Ok(ScalarValue::Boolean(Some(*value))),
        Value::Null => Ok(ScalarValue::Null),
        Value::HexStringLiteral(digits) => Ok(ScalarValue::Binary(Some(hex_bytes(digits)))),
        other => Err(DataFusionError::NotImplemented(format!("the literal {other} is not supported"))),
    }
}

/// A negative number, which is one literal: -9223372036854775808 fits where its digits alone do not.
pub(super) fn negative_number(expr: &ast::Expr) -> Option<&str> {
    match expr {
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match expr.as_ref() {
            ast::Expr::Value(ast::ValueWithSpan { value: Value::Number(text, _), .. }) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// `1`, `1L`, `1.5`, `1e3`, `1.5BD`, with or without a sign.
pub(super) fn number(text: &str) -> Result<ScalarValue> {
    let invalid = || {
        let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        let condition =
            if is_decimal { "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION" } else { "INVALID_NUMERIC_LITERAL_RANGE" };
        DataFusionError::Plan(format!("[{condition}] the number {text} is out of the range of its type"))
    };
    let upper = text.to_ascii_uppercase();
    let parsed = if let Some(digits) = upper.strip_suffix("BD") {
        decimal(digits)
    } else if let Some(digits) = upper.strip_suffix('L') {
        digits.parse().ok().map(|value| ScalarValue::Int64(Some(value)))
    } else if let Some(digits) = upper.strip_suffix('S') {
        digits.parse().ok().map(|value| ScalarValue::Int16(Some(value)))
    } else if let Some(digits) = upper.strip_suffix('Y') {
        digits.parse().ok().map(|value| ScalarValue::Int8(Some(value)))
    } else if let Some(digits) = upper.strip_suffix('D') {
        digits.parse().ok().filter(|value: &f64| value.is_finite()).map(|value| ScalarValue::Float64(Some(value)))
    } else if let Some(digits) = upper.strip_suffix('F') {
        digits.parse().ok().filter(|value: &f32| value.is_finite()).map(|value| ScalarValue::Float32(Some(value)))
    } else if upper.contains('E') {
        upper.parse().ok().filter(|value: &f64| value.is_finite()).map(|value| ScalarValue::Float64(Some(value)))
    } else if upper.contains('.') {
        decimal(&upper)
    } else if let Ok(value) = upper.parse() {
        Some(ScalarValue::Int32(Some(value)))
    } else if let Ok(value) = upper.parse() {
        Some(ScalarValue::Int64(Some(value)))
    } else {
        decimal(&upper)
    };
    parsed.ok_or_else(invalid)
}

/// A decimal of exactly the digits written.
fn decimal(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.split_once('E') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut scale = i32::try_from(fraction.len()).ok()? - exponent;
    let mut unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    while scale < 0 {
        unscaled = unscaled.checked_mul(10)?;
        scale += 1;
    }
    let digits = if unscaled == 0 { 1 } else { unscaled.ilog10() + 1 };
    let scale = i8::try_from(scale).ok()?;
    let precision = u8::try_from(digits).ok()?.max(scale.unsigned_abs());
    (precision <= MAX_PRECISION).then_some(ScalarValue::Decimal128(Some(sign * unscaled), precision, scale))
}

/// X'ABC' has an odd number of digits: a zero is put in front.
fn hex_bytes(digits: &str) -> Vec<u8> {
    let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_string() };
    let nibble = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
    padded.as_bytes().chunks(2).map(|pair| u8::try_from(nibble(pair[0]) * 16 + nibble(pair[1])).unwrap_or(0)).collect()
}

/// What the rewrite of tokens has made of a typed literal or an interval.
pub(super) fn marked(expr: &ast::Expr, zone: &str) -> Option<Result<Expr>> {
    if let Some(interval) = interval(expr) {
        return Some(Ok(Expr::Literal(interval_value(&interval), None)));
    }
    let (name, text) = typed(expr)?;
    Some(typed_value(&name, &text, zone).map(|value| Expr::Literal(value, None)))
}

/// The type's name and the text of `TIMESTAMP '…'`.
pub(super) fn typed(expr: &ast::Expr) -> Option<(String, String)> {
    let arguments = marker_arguments(expr, LITERAL)?;
    match &arguments[..] {
        [name, text] => Some((string_value(name)?.to_string(), string_value(text)?.to_string())),
        _ => None,
    }
}

/// The interval of `INTERVAL …`.
pub(super) fn interval(expr: &ast::Expr) -> Option<Interval> {
    let arguments = marker_arguments(expr, INTERVAL)?;
    let [months, micros, first, last] = &arguments[..] else { return None };
    Some(Interval {
        months: string_value(months)?.parse().ok()?,
        micros: string_value(micros)?.parse().ok()?,
        first: IntervalField::of_name(string_value(first)?)?,
        last: IntervalField::of_name(string_value(last)?)?,
    })
}

fn interval_value(interval: &Interval) -> ScalarValue {
    if interval.is_year_month() {
        ScalarValue::IntervalYearMonth(i32::try_from(interval.months).ok())
    } else {
        ScalarValue::DurationMicrosecond(Some(interval.micros))
    }
}

fn typed_value(name: &str, text: &str, zone: &str) -> Result<ScalarValue> {
    let session_zone = Zone::parse(zone).map_err(|error| DataFusionError::Plan(error.to_string()))?;
    let now_days = || {
        let now = Utc::now();
        (now.timestamp() + i64::from(session_zone.offset_at(now.timestamp()))).div_euclid(86_400)
    };
    let value = match name {
        "DATE" => parse_date(text).map(|days| ScalarValue::Date32(Some(days))),
        "TIMESTAMP_NTZ" => parse_timestamp_ntz(text, true).map(|us| ScalarValue::TimestampMicrosecond(Some(us), None)),
        _ => parse_timestamp(text, session_zone, now_days)
            .map(|us| ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()))),
    };
    value.ok_or_else(|| {
        DataFusionError::Plan(format!(
            "[INVALID_TYPED_LITERAL] The value of the typed literal \"{name}\" is invalid: '{text}'."
        ))
    })
}

/// A typed literal as Spark prints it: `DATE '2024-01-05'`, whatever form was written.
pub(super) fn typed_sql(name: &str, text: &str) -> String {
    let name = if name == "TIMESTAMP_LTZ" { "TIMESTAMP" } else { name };
    let text = match typed_value(name, text, "UTC") {
        Ok(value) => crate::expressions::literal_sql(&value),
        Err(_) => text.to_string(),
    };
    format!("{name} '{text}'")
}

/// A null of a type.
pub(super) fn null_of(data_type: &DataType) -> Result<Expr> {
    Ok(Expr::Literal(ScalarValue::try_from(data_type)?, None))
}
