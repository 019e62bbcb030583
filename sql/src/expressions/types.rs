//! Spark's types: their names, and the common type that two of them have under ANSI rules.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use millstream_formats::ddl;

/// The most digits that a DECIMAL can have.
pub(crate) const MAX_PRECISION: u8 = 38;
/// The digits after the point that a division and a multiplication keep when there are too many.
const MIN_ADJUSTED_SCALE: i32 = 6;

/// The type that a name such as `STRING`, `decimal(10, 2)` or `ARRAY<INT>` stands for.
///
/// # Errors
/// When there is no such type.
pub(crate) fn parse_type(text: &str) -> Result<DataType> {
    ddl::parse_type(text).map_err(|error| {
        let message = error.to_string();
        let precision =
            message.strip_prefix("DECIMAL(").and_then(|rest| rest.split([',', ')']).next()?.trim().parse::<u32>().ok());
        let condition = match precision {
            Some(precision) if precision > u32::from(MAX_PRECISION) => "[DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION] ",
            Some(_) => "[DECIMAL_SCALE_EXCEEDS_PRECISION] ",
            None if message.starts_with("unknown type") => "[UNSUPPORTED_DATATYPE] ",
            None => "",
        };
        DataFusionError::Plan(format!("{condition}{message}"))
    })
}

/// `BIGINT`, `ARRAY<INT>`, `INTERVAL DAY TO SECOND`.
pub(crate) fn sql_type_name(data_type: &DataType) -> String {
    ddl::sql_type_name(data_type)
}

/// A literal as Spark prints it in the name of a column.
pub(crate) fn literal_sql(value: &ScalarValue) -> String {
    let mut text = Vec::new();
    match value {
        ScalarValue::Float64(Some(value)) => millstream_formats::number::write_f64(*value, &mut text),
        ScalarValue::Float32(Some(value)) => millstream_formats::number::write_f32(*value, &mut text),
        ScalarValue::Decimal128(Some(value), _, scale) => return decimal_sql(*value, *scale),
        ScalarValue::Date32(_) | ScalarValue::TimestampMicrosecond(..) => return super::cast::literal_text(value),
        other => return other.to_string(),
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// As Java prints a decimal: with an exponent where more than six zeros would come first.
fn decimal_sql(value: i128, scale: i8) -> String {
    let digits = value.unsigned_abs().to_string();
    let exponent = i64::try_from(digits.len()).unwrap_or(0) - 1 - i64::from(scale);
    if exponent >= -6 {
        let mut text = Vec::new();
        millstream_formats::number::write_decimal_plain(value, scale, &mut text);
        return String::from_utf8_lossy(&text).into_owned();
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{}{first}{point}{rest}E{exponent}", if value < 0 { "-" } else { "" })
}

pub(super) fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _))
}

pub(super) fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Duration(TimeUnit::Microsecond) | DataType::Interval(IntervalUnit::YearMonth))
}

pub(super) fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

pub(super) fn is_numeric(data_type: &DataType) -> bool {
    is_integer(data_type) || matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Decimal128(..))
}

/// Precision and scale of the decimal that holds every value of a number's type.
pub(super) fn decimal_of(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// A decimal type of the digits that a result has; with too many, digits after the point are given up first, down to six.
pub(super) fn adjusted_decimal(precision: i32, scale: i32) -> DataType {
    let max = i32::from(MAX_PRECISION);
    let (precision, scale) = if precision <= max {
        (precision, scale)
    } else {
        let whole = precision - scale;
        (max, (max - whole).max(scale.min(MIN_ADJUSTED_SCALE)))
    };
    DataType::Decimal128(u8::try_from(precision).unwrap_or(MAX_PRECISION), i8::try_from(scale).unwrap_or(0))
}

/// A decimal type that holds the values of both.
fn wider_decimal((p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let scale = i32::from(s1.max(s2));
    let whole = (i32::from(p1) - i32::from(s1)).max(i32::from(p2) - i32::from(s2));
    // Where both do not fit, the digits before the point are kept.
    let max = i32::from(MAX_PRECISION);
    let scale = if whole + scale > max { (max - whole).max(0) } else { scale };
    DataType::Decimal128(
        u8::try_from((whole + scale).min(max)).unwrap_or(MAX_PRECISION),
        i8::try_from(scale).unwrap_or(0),
    )
}

/// The type that both are brought to, if there is one.
pub(crate) fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as T;
    if left == right {
        return Some(left.clone());
    }
    let rank = |data_type: &T| [T::Int8, T::Int16, T::Int32, T::Int64].iter().position(|other| other == data_type);
    Some(match (left, right) {
        (T::Null, other) | (other, T::Null) => other.clone(),
        (T::Utf8, other) | (other, T::Utf8) => with_string(other)?,
        _ if is_integer(left) && is_integer(right) => {
            if rank(left) > rank(right) {
                left.clone()
            } else {
                right.clone()
            }
        }
        (T::Float32 | T::Float64, other) | (other, T::Float32 | T::Float64) if is_numeric(other) => T::Float64,
        _ if is_numeric(left) && is_numeric(right) => wider_decimal(decimal_of(left)?, decimal_of(right)?),
        (T::Date32, time) | (time, T::Date32) if is_timestamp(time) => time.clone(),
        (T::Timestamp(TimeUnit::Microsecond, Some(zone)), other)
        | (other, T::Timestamp(TimeUnit::Microsecond, Some(zone)))
            if is_timestamp(other) =>
        {
            T::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)))
        }
        (T::List(a), T::List(b)) => {
            let element = common_part(a.data_type(), b.data_type())?;
            T::List(Arc::new(Field::new(a.name(), element, a.is_nullable() || b.is_nullable())))
        }
        (T::Map(a, sorted), T::Map(b, _)) => {
            T::Map(Arc::new(a.as_ref().clone().with_data_type(common_part(a.data_type(), b.data_type())?)), *sorted)
        }
        (T::Struct(a), T::Struct(b)) if a.len() == b.len() => {
            let fields = a.iter().zip(b).map(|(a, b)| {
                let is_same = a.name().eq_ignore_ascii_case(b.name());
                let data_type = common_part(a.data_type(), b.data_type()).filter(|_| is_same)?;
                Some(Field::new(a.name(), data_type, a.is_nullable() || b.is_nullable()))
            });
            T::Struct(fields.collect::<Option<Vec<_>>>()?.into())
        }
        _ => return None,
    })
}

/// The type that parts of arrays, maps and structs are brought to: strings stay strings.
fn common_part(left: &DataType, right: &DataType) -> Option<DataType> {
    let is_string = |data_type: &DataType| *data_type == DataType::Utf8;
    if left != right && is_string(left) != is_string(right) && !left.is_null() && !right.is_null() {
        return None;
    }
    common_type(left, right)
}

/// What a string becomes beside another type: whole numbers are read as BIGINT, other numbers as DOUBLE.
fn with_string(other: &DataType) -> Option<DataType> {
    match other {
        _ if is_integer(other) => Some(DataType::Int64),
        _ if is_numeric(other) => Some(DataType::Float64),
        DataType::Boolean | DataType::Date32 | DataType::Binary => Some(other.clone()),
        _ if is_timestamp(other) || is_interval(other) => Some(other.clone()),
        _ => None,
    }
}

/// Whether values of the type have an order, and so can be compared: maps have none.
pub(super) fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => false,
        DataType::List(element) => is_orderable(element.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_orderable(field.data_type())),
        _ => true,
    }
}
