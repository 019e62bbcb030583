//! The types that functions take and give, and the one type that several arguments share.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{DataFusionError, Result, ScalarValue};
pub(super) use millstream_formats::types::{array_of, map_of, struct_of, timestamp, timestamp_ntz};

use super::error::refused;
use super::function::Shape;

/// A type with one spelling: no views, no large or dictionary-encoded strings, no unsigned numbers, microseconds only.
pub(super) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, Some(_)) => timestamp(),
        DataType::Timestamp(_, None) => timestamp_ntz(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::ListView(f) => {
            array_of(plain(f.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => map_of(plain(kv[0].data_type()), plain(kv[1].data_type())),
            _ => data_type.clone(),
        },
        DataType::Struct(fields) => struct_of(fields.iter().map(|f| (f.name().as_str(), plain(f.data_type())))),
        _ => data_type.clone(),
    }
}

/// A type's name in Spark's messages.
pub(super) fn sql_name(data_type: &DataType) -> String {
    format!("\"{}\"", millstream_formats::ddl::sql_type_name(&plain(data_type)))
}

/// TINYINT, SMALLINT, INT or BIGINT.
pub(super) fn is_integral(t: &DataType) -> bool {
    matches!(t, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// Any number.
pub(super) fn is_numeric(t: &DataType) -> bool {
    is_integral(t) || matches!(t, DataType::Float32 | DataType::Float64 | DataType::Decimal128(..))
}

fn is_atomic(t: &DataType) -> bool {
    !matches!(t, DataType::List(_) | DataType::Map(..) | DataType::Struct(_))
}

// ---- parameters ---------------------------------------------------------------------------------------------------

/// Takes the argument as it is.
pub(super) fn any(t: &DataType) -> Option<DataType> {
    Some(t.clone())
}

/// STRING; every type without parts can be printed.
pub(super) fn text(t: &DataType) -> Option<DataType> {
    is_atomic(t).then_some(DataType::Utf8)
}

/// STRING or BINARY; anything else is printed.
pub(super) fn text_or_binary(t: &DataType) -> Option<DataType> {
    if *t == DataType::Binary { Some(DataType::Binary) } else { text(t) }
}

/// BINARY, or a string's UTF-8 bytes.
pub(super) fn binary(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Binary | DataType::Utf8 | DataType::Null).then_some(DataType::Binary)
}

/// INT.
pub(super) fn int(t: &DataType) -> Option<DataType> {
    (is_numeric(t) || matches!(t, DataType::Utf8 | DataType::Null)).then_some(DataType::Int32)
}

/// BIGINT.
pub(super) fn long(t: &DataType) -> Option<DataType> {
    (is_numeric(t) || matches!(t, DataType::Utf8 | DataType::Null)).then_some(DataType::Int64)
}

/// DOUBLE.
pub(super) fn double(t: &DataType) -> Option<DataType> {
    (is_numeric(t) || matches!(t, DataType::Utf8 | DataType::Null)).then_some(DataType::Float64)
}

/// BOOLEAN.
pub(super) fn boolean(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Boolean | DataType::Null).then_some(DataType::Boolean)
}

/// STRING and nothing that would have to be printed.
pub(super) fn only_text(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Utf8 | DataType::Null).then_some(DataType::Utf8)
}

/// Any number, strings as they are: they become what the other arguments are.
pub(super) fn number_or_text(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Null => Some(DataType::Float64),
        t if is_numeric(t) || *t == DataType::Utf8 => Some(t.clone()),
        _ => None,
    }
}

/// Any number; strings are read as DOUBLE.
pub(super) fn number(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Utf8 | DataType::Null => Some(DataType::Float64),
        t if is_numeric(t) => Some(t.clone()),
        _ => None,
    }
}

/// Any integer; strings are read as BIGINT.
pub(super) fn integer(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Null => Some(DataType::Int32),
        DataType::Utf8 => Some(DataType::Int64),
        t if is_integral(t) => Some(t.clone()),
        _ => None,
    }
}

/// INT for everything that fits it, BIGINT otherwise.
pub(super) fn int_or_long(t: &DataType) -> Option<DataType> {
    if *t == DataType::Int64 { Some(DataType::Int64) } else { int(t) }
}

/// DATE.
pub(super) fn date(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 | DataType::Null)
        .then_some(DataType::Date32)
}

/// TIMESTAMP.
pub(super) fn instant(t: &DataType) -> Option<DataType> {
    matches!(t, DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 | DataType::Null).then(timestamp)
}

/// TIMESTAMP, or TIMESTAMP_NTZ as it is.
pub(super) fn instant_or_ntz(t: &DataType) -> Option<DataType> {
    if *t == timestamp_ntz() { Some(timestamp_ntz()) } else { instant(t) }
}

/// ARRAY.
pub(super) fn array(t: &DataType) -> Option<DataType> {
    match t {
        DataType::List(_) => Some(t.clone()),
        DataType::Null => Some(array_of(DataType::Null)),
        _ => None,
    }
}

/// MAP.
pub(super) fn map(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Map(..) => Some(t.clone()),
        DataType::Null => Some(map_of(DataType::Null, DataType::Null)),
        _ => None,
    }
}

/// ARRAY or MAP.
pub(super) fn array_or_map(t: &DataType) -> Option<DataType> {
    map(t).filter(|_| matches!(t, DataType::Map(..))).or_else(|| array(t))
}

/// A string, or an array.
pub(super) fn string_or_array(t: &DataType) -> Option<DataType> {
    if matches!(t, DataType::List(_)) { Some(t.clone()) } else { text_or_binary(t) }
}

/// A number or an interval.
pub(super) fn number_or_interval(t: &DataType) -> Option<DataType> {
    if matches!(t, DataType::Duration(_)) { Some(t.clone()) } else { number(t) }
}

/// FLOAT as it is, other numbers as DOUBLE.
pub(super) fn float_or_double(t: &DataType) -> Option<DataType> {
    if *t == DataType::Float32 { Some(DataType::Float32) } else { double(t) }
}

/// An integer as BIGINT.
pub(super) fn integer_as_long(t: &DataType) -> Option<DataType> {
    (is_integral(t) || *t == DataType::Null).then_some(DataType::Int64)
}

// ---- results ------------------------------------------------------------------------------------------------------

/// The type of the first argument.
pub(super) fn same(shape: &Shape<'_>) -> Result<DataType> {
    Ok(shape.types.first().cloned().unwrap_or(DataType::Null))
}

/// The type of the second argument.
pub(super) fn second(shape: &Shape<'_>) -> Result<DataType> {
    Ok(shape.types[1].clone())
}

macro_rules! gives {
    ($($(#[$doc:meta])* $name:ident => $data_type:expr),* $(,)?) => {
        $($(#[$doc])* pub(super) fn $name(_: &Shape<'_>) -> Result<DataType> { Ok($data_type) })*
    };
}

gives! {
    /// STRING.
    gives_text => DataType::Utf8,
    /// BINARY.
    gives_binary => DataType::Binary,
    /// BOOLEAN.
    gives_boolean => DataType::Boolean,
    /// TINYINT.
    gives_byte => DataType::Int8,
    /// INT.
    gives_int => DataType::Int32,
    /// BIGINT.
    gives_long => DataType::Int64,
    /// FLOAT.
    gives_float => DataType::Float32,
    /// DOUBLE.
    gives_double => DataType::Float64,
    /// DATE.
    gives_date => DataType::Date32,
    /// TIMESTAMP.
    gives_timestamp => timestamp(),
    /// TIMESTAMP_NTZ.
    gives_ntz => timestamp_ntz(),
    /// ARRAY<STRING>.
    gives_texts => array_of(DataType::Utf8),
    /// The type of NULL.
    gives_null => DataType::Null,
}

/// The element type of an array.
pub(super) fn element(t: &DataType) -> Result<DataType> {
    match t {
        DataType::List(field) => Ok(field.data_type().clone()),
        _ => Err(DataFusionError::Internal(format!("{t} is no array"))),
    }
}

/// The key and value types of a map.
pub(super) fn key_value(t: &DataType) -> Result<(DataType, DataType)> {
    if let DataType::Map(entries, _) = t
        && let DataType::Struct(fields) = entries.data_type()
        && fields.len() == 2
    {
        return Ok((fields[0].data_type().clone(), fields[1].data_type().clone()));
    }
    Err(DataFusionError::Internal(format!("{t} is no map")))
}

// ---- several arguments --------------------------------------------------------------------------------------------

/// The one type that all of these can be brought to, by Spark's ANSI rules.
///
/// # Errors
/// `DATATYPE_MISMATCH.DATA_DIFF_TYPES` where there is none.
pub(super) fn widest(types: &[DataType]) -> Result<DataType> {
    // Strings last: they yield to whatever the others are.
    let (texts, others): (Vec<&DataType>, Vec<&DataType>) = types.iter().partition(|t| **t == DataType::Utf8);
    let mut common = DataType::Null;
    for t in others.iter().chain(&texts) {
        common = wider(&common, t).ok_or_else(|| {
            let names: Vec<String> = types.iter().map(sql_name).collect();
            refused(
                "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
                format!("Input to the function should all be the same type, but it's [{}].", names.join(", ")),
            )
        })?;
    }
    Ok(common)
}

/// Every argument becomes the widest of them.
pub(super) fn all_alike(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![widest(types)?; types.len()])
}

/// As [`all_alike`], but strings and other types have nothing in common.
pub(super) fn all_alike_without_text(types: &[DataType]) -> Result<Vec<DataType>> {
    let is_text = |t: &&DataType| **t == DataType::Utf8;
    let others = types.iter().filter(|t| **t != DataType::Null && !is_text(t)).count();
    if others > 0 && types.iter().any(|t| is_text(&t)) {
        let names: Vec<String> = types.iter().map(sql_name).collect();
        return Err(refused(
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            format!("Input to the function should all be the same type, but it's [{}].", names.join(", ")),
        ));
    }
    all_alike(types)
}

/// As [`all_alike`], but the first argument stays what it is.
pub(super) fn rest_alike(types: &[DataType]) -> Result<Vec<DataType>> {
    let mut all = vec![types[0].clone()];
    all.extend(all_alike(&types[1..])?);
    Ok(all)
}

/// The wider of two types: what both can be brought to without loss, or a string's reading as the other.
pub(super) fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Binary, Boolean, Date32, Float32, Float64, List, Map, Null, Struct, Utf8};
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (Null, t) | (t, Null) => Some(t.clone()),
        (Utf8, t) | (t, Utf8) => match t {
            t if is_integral(t) => Some(DataType::Int64),
            t if is_numeric(t) => Some(Float64),
            Boolean | Binary | Date32 | DataType::Timestamp(..) => Some(t.clone()),
            _ => None,
        },
        (Float32, t) | (t, Float32) if is_integral(t) || *t == Float64 => Some(Float64),
        (Float32 | Float64, t) | (t, Float32 | Float64) if is_numeric(t) => Some(Float64),
        (DataType::Decimal128(..), t) | (t, DataType::Decimal128(..)) if is_numeric(t) => wider_decimal(a, b),
        (a, b) if is_integral(a) && is_integral(b) => {
            Some(if a.primitive_width() > b.primitive_width() { a } else { b }.clone())
        }
        (Date32, DataType::Timestamp(..)) => Some(b.clone()),
        (DataType::Timestamp(..), Date32) => Some(a.clone()),
        (DataType::Timestamp(..), DataType::Timestamp(..)) => Some(timestamp()),
        (List(x), List(y)) => Some(array_of(wider(x.data_type(), y.data_type())?)),
        (Map(..), Map(..)) => {
            let ((ka, va), (kb, vb)) = (key_value(a).ok()?, key_value(b).ok()?);
            Some(map_of(wider(&ka, &kb)?, wider(&va, &vb)?))
        }
        (Struct(x), Struct(y)) if x.len() == y.len() => wider_struct(x, y),
        _ => None,
    }
}

fn wider_struct(x: &Fields, y: &Fields) -> Option<DataType> {
    let fields = x.iter().zip(y).map(|(a, b)| {
        let same_name = a.name().eq_ignore_ascii_case(b.name());
        let data_type = wider(a.data_type(), b.data_type()).filter(|_| same_name)?;
        Some(Arc::new(Field::new(a.name(), data_type, true)))
    });
    Some(DataType::Struct(fields.collect::<Option<_>>()?))
}

fn wider_decimal(a: &DataType, b: &DataType) -> Option<DataType> {
    let ((pa, sa), (pb, sb)) = (as_decimal(a)?, as_decimal(b)?);
    let scale = sa.max(sb);
    let digits = (i32::from(pa) - i32::from(sa)).max(i32::from(pb) - i32::from(sb)) + i32::from(scale);
    if digits > 38 {
        let lost = digits - 38;
        let scale = i32::from(scale).saturating_sub(lost).max(0);
        return Some(DataType::Decimal128(38, scale as i8));
    }
    Some(DataType::Decimal128(digits as u8, scale))
}

/// The decimal that holds every value of a type: its precision and scale.
pub(super) fn as_decimal(t: &DataType) -> Option<(u8, i8)> {
    match t {
        DataType::Decimal128(p, s) => Some((*p, *s)),
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((20, 0)),
        _ => None,
    }
}

/// As [`as_decimal`]; of a whole number that is written in the query, only the digits that it has.
pub(super) fn decimal_of(t: &DataType, constant: Option<&ScalarValue>) -> Option<(u8, i8)> {
    let written = match constant {
        Some(ScalarValue::Int32(Some(n))) => i64::from(*n),
        Some(ScalarValue::Int64(Some(n))) => *n,
        _ => return as_decimal(t),
    };
    Some((written.unsigned_abs().to_string().len() as u8, 0))
}
