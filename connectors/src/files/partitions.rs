//! Partition folders: `k=v` in a path, as Hive and Spark write them.
//!
//! Names and values are escaped byte by byte (`%3A`) where a file system could stumble; a null or empty value is
//! `__HIVE_DEFAULT_PARTITION__`. The types of values are inferred as Spark does: INT, BIGINT, DECIMAL, DOUBLE, DATE,
//! TIMESTAMP, STRING, the first that holds all of them.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit};
use millstream_engine::{Error, Result};
use millstream_formats::java_time::{
    Zone, cast_string_to_date, cast_string_to_timestamp, cast_string_to_timestamp_ntz,
};

/// The value of a folder whose column is null.
pub(super) const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A column's name and its value as text, from a folder's name.
pub(super) type PartitionValue = (String, Option<String>);

/// What a folder's name says, where it is a partition's.
pub(super) fn parse_folder(name: &str) -> Option<PartitionValue> {
    let (column, value) = name.split_once('=')?;
    if column.is_empty() {
        return None;
    }
    let value = unescape(value);
    Some((unescape(column), (value != NULL_VALUE).then_some(value)))
}

/// The folder's name for a column's value.
pub(super) fn folder(column: &str, value: Option<&str>) -> String {
    let mut name = escape(column);
    name.push('=');
    match value {
        Some(value) if !value.is_empty() => name.push_str(&escape(value)),
        _ => name.push_str(NULL_VALUE),
    }
    name
}

/// The columns that partition folders give, with the narrowest type that holds every value, in the order of the folders.
pub(super) fn infer_columns<'a>(paths: impl Iterator<Item = &'a Vec<PartitionValue>>) -> Vec<Field> {
    let mut columns: Vec<(String, Kind)> = Vec::new();
    for values in paths {
        for (column, value) in values {
            let at = match columns.iter().position(|(name, _)| name.eq_ignore_ascii_case(column)) {
                Some(at) => at,
                None => {
                    columns.push((column.clone(), Kind::Null));
                    columns.len() - 1
                }
            };
            columns[at].1 = columns[at].1.and(Kind::of(value.as_deref()));
        }
    }
    columns.into_iter().map(|(name, kind)| Field::new(name, kind.data_type(), true)).collect()
}

/// An array of `rows` times the value `text`, of type `data_type`. A text that is no such value is an error.
pub(super) fn constant(text: Option<&str>, field: &Field, zone: Zone, rows: usize) -> Result<ArrayRef> {
    let Some(text) = text else { return Ok(arrow::array::new_null_array(field.data_type(), rows)) };
    if text.is_empty() {
        return Err(Error::invalid(format!(
            "partition folder {}= has an empty value: a null's folder is called {}={NULL_VALUE}",
            field.name(),
            field.name()
        )));
    }
    let texts = StringArray::from(vec![text]);
    let value: ArrayRef = match field.data_type() {
        DataType::Utf8 => std::sync::Arc::new(texts),
        DataType::Date32 => std::sync::Arc::new(cast_string_to_date(&texts)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            std::sync::Arc::new(cast_string_to_timestamp(&texts, zone, 0).with_timezone("UTC"))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => std::sync::Arc::new(cast_string_to_timestamp_ntz(&texts)),
        other => cast_with_options(&texts, other, &CastOptions { safe: true, ..CastOptions::default() })
            .map_err(crate::rows::arrow_error)?,
    };
    if value.is_null(0) {
        return Err(Error::invalid(format!(
            "partition folder {}={text}: '{text}' is no {}, which the schema has for this column",
            field.name(),
            millstream_formats::ddl::sql_type_name(field.data_type())
        )));
    }
    let indices = arrow::array::UInt32Array::from(vec![0; rows]);
    arrow::compute::take(&value, &indices, None).map_err(crate::rows::arrow_error)
}

/// Escapes as Hive does.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let is_unsafe = matches!(
            c,
            '\u{1}'
                ..='\u{1f}'
                    | '"'
                    | '#'
                    | '%'
                    | '\''
                    | '*'
                    | '/'
                    | ':'
                    | '='
                    | '?'
                    | '\\'
                    | '\u{7f}'
                    | '{'
                    | '['
                    | ']'
                    | '^'
        );
        match is_unsafe {
            true => {
                let _ = write!(escaped, "%{:02X}", u32::from(c));
            }
            false => escaped.push(c),
        }
    }
    escaped
}

/// Undoes [`escape`]; a broken escape stays as it is.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                rest = &rest[at + 3..];
            }
            None => {
                plain.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// What a column's values look like so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Null,
    Int,
    Long,
    Decimal(u8),
    Double,
    Date,
    Timestamp,
    Text,
}

impl Kind {
    fn of(value: Option<&str>) -> Self {
        let Some(value) = value else { return Self::Null };
        let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return match (value.parse::<i32>(), value.parse::<i64>()) {
                (Ok(_), _) => Self::Int,
                (_, Ok(_)) => Self::Long,
                _ if digits.len() <= 38 => Self::Decimal(digits.len() as u8),
                _ => Self::Double,
            };
        }
        let is_number = value.ends_with(|c: char| c.is_ascii_digit() || c == '.') && value.parse::<f64>().is_ok();
        let text = StringArray::from(vec![value]);
        if is_number {
            Self::Double
        } else if value.len() >= 8 && value.contains('-') && !cast_string_to_timestamp_ntz(&text).is_null(0) {
            match cast_string_to_date(&text).is_null(0) || value.contains(':') {
                true => Self::Timestamp,
                false => Self::Date,
            }
        } else {
            Self::Text
        }
    }

    /// What holds both.
    fn and(self, other: Self) -> Self {
        use Kind::{Date, Decimal, Double, Int, Long, Null, Text, Timestamp};
        match (self.min(other), self.max(other)) {
            (a, b) if a == b => a,
            (Null, b) => b,
            (Int, Long) => Long,
            (Int | Long, Decimal(p)) => Decimal(p.max(19)),
            (Decimal(a), Decimal(b)) => Decimal(a.max(b)),
            (Int | Long | Decimal(_), Double) => Double,
            (Date, Timestamp) => Timestamp,
            _ => Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Null | Self::Text => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Decimal(precision) => DataType::Decimal128(precision, 0),
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_escaped_as_hive_escapes_them() {
        for (column, value, name) in [
            ("k", Some("a"), "k=a"),
            ("k", None, "k=__HIVE_DEFAULT_PARTITION__"),
            ("at", Some("2024-01-01 00:00:00"), "at=2024-01-01 00%3A00%3A00"),
            ("a=b", Some("x/y%z"), "a%3Db=x%2Fy%25z"),
            ("k", Some("é中"), "k=é中"),
        ] {
            assert_eq!(folder(column, value), name);
            assert_eq!(parse_folder(name), Some((column.to_string(), value.map(str::to_string))));
        }
        assert_eq!(folder("k", Some("")), "k=__HIVE_DEFAULT_PARTITION__");
        assert_eq!((parse_folder("plain"), parse_folder("=x")), (None, None));
    }

    #[test]
    fn types_hold_every_value() {
        for (values, expected) in [
            (vec!["1", "2"], DataType::Int32),
            (vec!["1", "3000000000"], DataType::Int64),
            (vec!["1", "1.5"], DataType::Float64),
            (vec!["99999999999999999999"], DataType::Decimal128(20, 0)),
            (vec!["2024-01-01"], DataType::Date32),
            (vec!["2024-01-01", "2024-01-01 10:00:00"], DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            (vec!["1", "a"], DataType::Utf8),
            (vec!["1", "2024-01-01"], DataType::Utf8),
            (vec![NULL_VALUE], DataType::Utf8),
            (vec![NULL_VALUE, "7"], DataType::Int32),
        ] {
            let paths: Vec<_> =
                values.iter().map(|v| vec![parse_folder(&format!("k={v}")).expect("a folder")]).collect();
            assert_eq!(infer_columns(paths.iter())[0].data_type(), &expected, "{values:?}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        let field = Field::new("k", DataType::Int32, true);
        assert_eq!(constant(Some("7"), &field, Zone::UTC, 3).map(|a| a.len()).ok(), Some(3));
        let error = constant(Some("x"), &field, Zone::UTC, 3).expect_err("x was taken for a number");
        assert_eq!(error.message(), "partition folder k=x: 'x' is no INT, which the schema has for this column");
    }
}
