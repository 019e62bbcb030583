//! Types and schemas as Spark prints them.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};

use super::COMMENT;
use crate::types::map_entries;

/// Spark's `simpleString`, as error messages and `DESCRIBE` show it: `struct<k:string,at:timestamp_ntz>`.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let inner: Vec<_> = fields.iter().map(|f| format!("{}:{}", f.name(), type_name(f.data_type()))).collect();
            format!("struct<{}>", inner.join(","))
        }
        DataType::List(e) | DataType::LargeList(e) | DataType::FixedSizeList(e, _) => {
            format!("array<{}>", type_name(e.data_type()))
        }
        DataType::Map(entries, _) => match map_entries(entries) {
            Some((k, v)) => format!("map<{},{}>", type_name(k.data_type()), type_name(v.data_type())),
            None => "map".to_owned(),
        },
        other => simple_name(other),
    }
}

/// The type in SQL: `STRUCT<k: STRING, at: TIMESTAMP_NTZ>`, `BIGINT`.
pub fn sql_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let inner: Vec<_> = fields.iter().map(|f| column(f, ": ")).collect();
            format!("STRUCT<{}>", inner.join(", "))
        }
        DataType::List(e) | DataType::LargeList(e) | DataType::FixedSizeList(e, _) => {
            format!("ARRAY<{}>", sql_type_name(e.data_type()))
        }
        DataType::Map(entries, _) => match map_entries(entries) {
            Some((k, v)) => format!("MAP<{}, {}>", sql_type_name(k.data_type()), sql_type_name(v.data_type())),
            None => "MAP".to_owned(),
        },
        other => simple_name(other).to_ascii_uppercase(),
    }
}

/// A schema that [`parse_schema`](super::parse_schema) reads back: `id BIGINT NOT NULL,tags ARRAY<STRING>`.
pub fn to_ddl(schema: &Schema) -> String {
    let columns: Vec<_> = schema.fields().iter().map(|f| column(f, " ")).collect();
    columns.join(",")
}

/// A name as SQL needs it: in backquotes unless it is letters, digits and underscores and does not start with a digit.
pub fn quote_if_needed(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("`{}`", name.replace('`', "``"))
    }
}

fn column(field: &Field, separator: &str) -> String {
    let mut text = format!("{}{separator}{}", quote_if_needed(field.name()), sql_type_name(field.data_type()));
    if !field.is_nullable() {
        text.push_str(" NOT NULL");
    }
    if let Some(comment) = field.metadata().get(COMMENT) {
        let quoted = comment.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(text, " COMMENT '{quoted}'");
    }
    text
}

pub(super) fn simple_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "void",
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, Some(_)) => "timestamp",
        DataType::Timestamp(_, None) => "timestamp_ntz",
        DataType::Duration(TimeUnit::Microsecond) => "interval day to second",
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month",
        DataType::Interval(_) => "interval",
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            return format!("decimal({p},{s})");
        }
        DataType::Dictionary(_, value) => return type_name(value),
        // Not a type of Spark's: Arrow's own name is the most helpful one.
        other => return other.to_string().to_ascii_lowercase(),
    };
    name.to_owned()
}
