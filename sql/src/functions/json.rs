//! from_json, to_json, get_json_object and kin.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Int32Type, Schema};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use millstream_formats::json::{JsonDecoder, JsonEncoder, JsonOptions, infer_schema};
use millstream_formats::options::{OptionMap, ParseMode};
use millstream_formats::{ErrorKind, ddl};
use serde_json::Value;

use super::arrays::element_field;
use super::error::{fails, refused, wrapped};
use super::function::{Call, Shape};
use super::rows::{Column, Offsets, Validity, numbers, texts};
use super::types;

/// A map of options: MAP<STRING, STRING>.
pub(super) fn options_map(t: &DataType) -> Option<DataType> {
    let wanted = types::map_of(DataType::Utf8, DataType::Utf8);
    matches!(t, DataType::Map(..)).then_some(wanted)
}

/// The type that from_json's second argument spells.
pub(super) fn from_json_type(shape: &Shape<'_>) -> Result<DataType> {
    let text = match shape.constants[1] {
        Some(
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)),
        ) => text,
        Some(value) if value.is_null() => {
            return Err(refused(
                "INVALID_SCHEMA.NON_STRING_LITERAL",
                "The input schema NULL is not a valid schema string.",
            ));
        }
        _ => {
            return Err(refused(
                "INVALID_SCHEMA.NON_STRING_LITERAL",
                "The input schema is not a valid schema string: from_json takes it as a literal.",
            ));
        }
    };
    let data_type = ddl::parse_type_or_columns(text).map_err(|e| refused("PARSE_SYNTAX_ERROR", e))?;
    let data_type = types::plain(&data_type);
    if !data_type.is_nested() {
        return Err(refused(
            "DATATYPE_MISMATCH.INVALID_JSON_SCHEMA",
            format!("Input schema {} must be a struct, an array, a map or a variant.", types::sql_name(&data_type)),
        ));
    }
    Ok(data_type)
}

/// The options in argument `at`, if it is there.
pub(super) fn options(call: &Call<'_>, at: usize) -> Result<OptionMap> {
    if !call.has(at) {
        return Ok(OptionMap::new());
    }
    let map = call.raw(at).as_map();
    if map.is_empty() || map.is_null(0) {
        return Ok(OptionMap::new());
    }
    let entries = map.value(0);
    let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    Ok((0..entries.len()).filter(|row| values.is_valid(*row)).map(|row| (keys.value(row), values.value(row))).collect())
}

fn json_options(call: &Call<'_>, at: usize) -> Result<JsonOptions> {
    JsonOptions::take(&mut options(call, at)?, call.zone()?.to_java()?).map_err(wrapped)
}

/// `from_json(s, schema [, options])`.
pub(super) fn from_json(call: &Call<'_>) -> Result<ArrayRef> {
    let options = json_options(call, 2)?;
    if options.mode == ParseMode::DropMalformed {
        return Err(fails(
            "PARSE_MODE_UNSUPPORTED",
            "The function from_json doesn't support the DROPMALFORMED mode. Acceptable modes are PERMISSIVE and FAILFAST.",
        ));
    }
    let text = call.array(0)?;
    let mut decoder = JsonDecoder::for_type(call.returns, options).map_err(wrapped)?;
    decoder.decode_column(text.as_string()).map_err(|error| match error.kind() {
        ErrorKind::Corrupt => fails(
            "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
            format!("Malformed records are detected in record parsing: {error}. Parse Mode: FAILFAST."),
        ),
        _ => wrapped(error),
    })
}

/// A struct, an array or a map, and options.
pub(super) fn to_json_args(given: &[DataType]) -> Result<Vec<DataType>> {
    let mut targets = given.to_vec();
    match &given[0] {
        DataType::Null => targets[0] = DataType::Struct(arrow::datatypes::Fields::empty()),
        t if t.is_nested() => {}
        t => {
            let message =
                format!("Input schema {} must be a struct, an array, a map or a variant.", types::sql_name(t));
            return Err(refused("DATATYPE_MISMATCH.INVALID_JSON_SCHEMA", message));
        }
    }
    Ok(targets)
}

/// `to_json(x [, options])`.
pub(super) fn to_json(call: &Call<'_>) -> Result<ArrayRef> {
    let options = json_options(call, 1)?;
    let encoder = JsonEncoder::new(&Schema::empty(), &options).map_err(wrapped)?;
    Ok(Arc::new(encoder.encode_column(&call.array(0)?).map_err(wrapped)?))
}

/// `schema_of_json(s)`: the type of a sample, as DDL.
pub(super) fn schema_of_json(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let options = json_options(call, 1)?;
    texts(call.rows, |row, out| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let is_array = text.trim_start().starts_with('[');
        // A value in an array has the array's type; inference knows records, so it is asked about a field.
        let sample = format!("{{\"v\":{text}}}");
        let schema = infer_schema(sample.as_bytes(), &options).map_err(wrapped)?;
        let inferred = schema.field_with_name("v").map(|f| f.data_type().clone()).unwrap_or(DataType::Utf8);
        debug_assert!(!is_array || matches!(inferred, DataType::List(_) | DataType::Utf8));
        out.push_str(&ddl::sql_type_name(&inferred));
        Ok(Some(()))
    })
}

/// One step into a document.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
    Wildcard,
}

/// Reads `$.a['b c'][0][*].d`; `None` for what is no path.
fn path(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            if name.is_empty() {
                return None;
            }
            steps.push(if name == "*" { Step::Wildcard } else { Step::Key(name.to_string()) });
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix("['") {
            let (name, tail) = after.split_once("']")?;
            steps.push(if name == "*" { Step::Wildcard } else { Step::Key(name.to_string()) });
            rest = tail;
        } else {
            let (inside, tail) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(if inside == "*" { Step::Wildcard } else { Step::Index(inside.parse().ok()?) });
            rest = tail;
        }
    }
    Some(steps)
}

/// The first document of a text, whatever follows it.
fn document(text: &str) -> Option<Value> {
    serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok()
}

/// `get_json_object(s, path)`: strings without quotes, everything else as JSON.
pub(super) fn get_json_object(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, paths) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    let fixed = paths.constant().map(path);
    texts(call.rows, |row, out| {
        let (Some(text), Some(given)) = (text.get(row), paths.get(row)) else { return Ok(None) };
        let parsed;
        let steps = match &fixed {
            Some(steps) => steps,
            None => {
                parsed = path(given);
                &parsed
            }
        };
        let Some((steps, document)) = steps.as_ref().zip(document(text)) else { return Ok(None) };
        if steps.is_empty() && document.is_null() {
            out.push_str("null");
            return Ok(Some(()));
        }
        let mut found = Vec::new();
        follow(&document, steps, &mut found);
        let is_many = steps.contains(&Step::Wildcard);
        Ok(write_found(&found, is_many, out))
    })
}

fn follow<'a>(value: &'a Value, steps: &[Step], found: &mut Vec<&'a Value>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value);
        return;
    };
    match (step, value) {
        (Step::Key(key), Value::Object(fields)) => {
            if let Some(inner) = fields.get(key) {
                follow(inner, rest, found);
            }
        }
        // A name asked of an array is asked of each of its elements, after a wildcard.
        (Step::Index(at), Value::Array(items)) => {
            if let Some(inner) = items.get(*at) {
                follow(inner, rest, found);
            }
        }
        (Step::Wildcard, Value::Array(items)) => items.iter().for_each(|inner| follow(inner, rest, found)),
        _ => {}
    }
}

fn write_found(found: &[&Value], is_many: bool, out: &mut String) -> Option<()> {
    match found {
        [] | [Value::Null] => None,
        [Value::String(text)] if !is_many => {
            out.push_str(text);
            Some(())
        }
        [one] => {
            write_json(one, out);
            Some(())
        }
        many => {
            out.push('[');
            for (at, value) in many.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(value, out);
            }
            out.push(']');
            Some(())
        }
    }
}

/// A value as JSON without spaces; a fraction as Java prints it.
fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let mut text = Vec::new();
            millstream_formats::number::write_f64(number.as_f64().unwrap_or_default(), &mut text);
            out.push_str(&String::from_utf8_lossy(&text));
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (at, (name, field)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_json(field, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// `json_array_length(s)`: null for what is no array.
pub(super) fn json_array_length(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    numbers::<Int32Type>(call.rows, |row| {
        Ok(text.get(row).and_then(document).and_then(|d| d.as_array().map(|a| a.len() as i32)))
    })
}

/// `json_object_keys(s)`: null for what is no object.
pub(super) fn json_object_keys(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut items = StringBuilder::new();
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        let document = text.get(row).and_then(document);
        let object = document.as_ref().and_then(Value::as_object);
        validity.push(object.is_some());
        object.into_iter().flat_map(|o| o.keys()).for_each(|key| items.append_value(key));
        offsets.push(arrow::array::ArrayBuilder::len(&items))?;
    }
    let field = element_field(call.returns)?;
    Ok(Arc::new(ListArray::try_new(field, offsets.finish(), Arc::new(items.finish()), validity.finish())?))
}

/// The type of json_tuple's row: a string for each name.
pub(super) fn tuple_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(types::struct_of((0..shape.types.len() - 1).map(|at| (format!("c{at}"), DataType::Utf8))))
}

/// `json_tuple(s, name, …)`: the values of top-level fields.
pub(super) fn json_tuple(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let documents: Vec<Option<Value>> = (0..call.rows).map(|row| text.get(row).and_then(document)).collect();
    let columns = (1..call.len()).map(|at| {
        let names: Column<'_, StringArray> = call.column(at)?;
        texts(call.rows, |row, out| {
            let value = documents[row].as_ref().zip(names.get(row)).and_then(|(d, name)| d.as_object()?.get(name));
            Ok(value.and_then(|v| write_found(&[v], false, out)))
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    match call.returns {
        DataType::Struct(fields) => {
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, call.rows)?))
        }
        other => Err(DataFusionError::Internal(format!("json_tuple gives {other}"))),
    }
}
