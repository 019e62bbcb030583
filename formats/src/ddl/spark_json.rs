//! The JSON that Spark prints for a schema: `{"type":"struct","fields":[{"name":"a","type":"integer","nullable":true,"metadata":{}}]}`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use super::print::simple_name;
use super::{COMMENT, parse};
use crate::error::{Error, Result};
use crate::json::Value;
use crate::types;
use crate::types::map_entries;

/// Whether the text can only be JSON: a type's name has neither braces nor a leading quote.
pub(super) fn looks_like(text: &str) -> bool {
    text.trim_start().starts_with(['{', '"'])
}

pub(super) fn parse(text: &str) -> Result<DataType> {
    data_type(&Value::parse(text)?)
}

fn data_type(value: &Value) -> Result<DataType> {
    if let Some(name) = value.as_str() {
        return parse::whole_type(name);
    }
    match required(value, "type")?.as_str() {
        Some("struct") => Ok(DataType::Struct(fields(required(value, "fields")?)?)),
        Some("array") => {
            let nullable = flag(value, "containsNull");
            let element = Field::new("element", data_type(required(value, "elementType")?)?, nullable);
            Ok(DataType::List(Arc::new(element)))
        }
        Some("map") => {
            Ok(types::map_of(data_type(required(value, "keyType")?)?, data_type(required(value, "valueType")?)?))
        }
        Some("udt") => data_type(required(value, "sqlType")?),
        _ => Err(Error::invalid(format!("a schema in JSON has the type struct, array, map or a name, not {value}"))),
    }
}

fn fields(value: &Value) -> Result<Fields> {
    let items = value.as_array().ok_or_else(|| Error::invalid("the fields of a struct's JSON are an array"))?;
    items.iter().map(field).collect()
}

fn field(value: &Value) -> Result<Field> {
    let name = required(value, "name")?.as_str().ok_or_else(|| Error::invalid("a field's name is a string"))?;
    let field = Field::new(name, data_type(required(value, "type")?)?, flag(value, "nullable"));
    let comment = value.get("metadata").and_then(|m| m.get("comment")).and_then(Value::as_str);
    Ok(match comment {
        Some(text) => field.with_metadata(HashMap::from([(COMMENT.to_owned(), text.to_owned())])),
        None => field,
    })
}

fn required<'a>(value: &'a Value, key: &str) -> Result<&'a Value> {
    value.get(key).ok_or_else(|| Error::invalid(format!("a schema's JSON lacks '{key}' in {value}")))
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key) != Some(&Value::Bool(false))
}

/// The JSON of a struct with these columns, as Spark prints it.
pub(super) fn of_columns(columns: &Fields) -> String {
    let fields: Vec<String> = columns.iter().map(|field| of_field(field)).collect();
    format!("{{\"type\":\"struct\",\"fields\":[{}]}}", fields.join(","))
}

fn of_field(field: &Field) -> String {
    let text = |text: &str| Value::String(text.to_owned()).to_string();
    let metadata = match field.metadata().get(COMMENT) {
        Some(comment) => format!("{{\"comment\":{}}}", text(comment)),
        None => "{}".to_owned(),
    };
    format!(
        "{{\"name\":{},\"type\":{},\"nullable\":{},\"metadata\":{metadata}}}",
        text(field.name()),
        of_type(field.data_type()),
        field.is_nullable()
    )
}

fn of_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(columns) => of_columns(columns),
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => format!(
            "{{\"type\":\"array\",\"elementType\":{},\"containsNull\":{}}}",
            of_type(element.data_type()),
            element.is_nullable()
        ),
        DataType::Map(entries, _) => match map_entries(entries) {
            Some((key, value)) => format!(
                "{{\"type\":\"map\",\"keyType\":{},\"valueType\":{},\"valueContainsNull\":{}}}",
                of_type(key.data_type()),
                of_type(value.data_type()),
                value.is_nullable()
            ),
            None => "\"map\"".to_owned(),
        },
        // The only names that differ from those of SQL.
        DataType::Int8 => "\"byte\"".to_owned(),
        DataType::Int16 => "\"short\"".to_owned(),
        DataType::Int32 => "\"integer\"".to_owned(),
        DataType::Int64 => "\"long\"".to_owned(),
        other => format!("\"{}\"", simple_name(other)),
    }
}
