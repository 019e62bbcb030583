//! Spark's names of types: `a INT, b STRUCT<x: STRING>` to Arrow and back.
//!
//! ```
//! let schema = millstream_formats::ddl::parse_schema("id BIGINT NOT NULL, tags ARRAY<STRING>")?;
//! assert_eq!(millstream_formats::ddl::type_name(schema.field(1).data_type()), "array<string>");
//! # Ok::<(), millstream_formats::Error>(())
//! ```
//! Three spellings are read: a list of columns, one type, and the JSON that Spark prints for a schema. A column's
//! comment travels as the field's metadata [`COMMENT`].

mod parse;
mod print;
mod spark_json;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::error::{Error, Result};

pub use print::{quote_if_needed, sql_type_name, to_ddl, type_name};

/// The key of a field's metadata that holds the column's comment.
pub const COMMENT: &str = "comment";

/// Reads a schema: a list of columns, `STRUCT<…>`, or Spark's JSON for a schema.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with the byte where the text stops making sense, or naming the nearest type.
pub fn parse_schema(text: &str) -> Result<SchemaRef> {
    match parse_type_or_columns(text)? {
        DataType::Struct(fields) => Ok(Arc::new(Schema::new(fields))),
        other => {
            let name = sql_type_name(&other);
            Err(Error::invalid(format!("a schema is a list of columns such as 'id BIGINT, name STRING', not {name}")))
        }
    }
}

/// The JSON that Spark prints for a schema, and that [`parse_schema`] reads back.
pub fn to_spark_json(schema: &Schema) -> String {
    spark_json::of_columns(schema.fields())
}

/// Reads one type: `BIGINT`, `array<struct<a: int>>`, or Spark's JSON for a type.
///
/// # Errors
/// As [`parse_schema`].
pub fn parse_type(text: &str) -> Result<DataType> {
    if spark_json::looks_like(text) { spark_json::parse(text) } else { parse::whole_type(text) }
}

/// Reads what `from_json` takes as its schema: a list of columns (giving a struct) or one type.
///
/// # Errors
/// As [`parse_schema`].
pub fn parse_type_or_columns(text: &str) -> Result<DataType> {
    if spark_json::looks_like(text) {
        return spark_json::parse(text);
    }
    // "a INT" is a column, "INT" a type; "struct<a INT>" can only be a type. Where both fail, the one that got further explains it.
    let (columns, one_type) = (parse::columns(text), parse::whole_type(text));
    match (columns, one_type) {
        (Ok(fields), _) => Ok(DataType::Struct(fields)),
        (_, Ok(data_type)) => Ok(data_type),
        (Err(a), Err(b)) => Err(if byte_of(&b) > byte_of(&a) { b } else { a }),
    }
}

fn byte_of(error: &Error) -> u64 {
    error.position().map_or(0, |p| p.byte)
}
