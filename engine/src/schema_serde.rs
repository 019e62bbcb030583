//! A schema as text inside JSON: the hexadecimal digits of an Arrow IPC stream without batches. For `#[serde(with = …)]`.

use std::fmt::Write as _;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::Error as _};
use std::sync::Arc;

/// Writes a schema.
pub fn serialize<S: Serializer>(schema: &SchemaRef, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(schema).map_err(S::Error::custom)?)
}

/// Reads a schema.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaRef, D::Error> {
    let text = String::deserialize(deserializer)?;
    decode(&text).map(Arc::new).ok_or_else(|| D::Error::custom("not the hexadecimal digits of an Arrow schema"))
}

fn encode(schema: &Schema) -> arrow::error::Result<String> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.finish()?;
    Ok(hex_digits(&writer.into_inner()?))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex_digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that hexadecimal digits stand for; `None` where `text` is something else.
pub(crate) fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
        .collect()
}

fn decode(text: &str) -> Option<Schema> {
    let bytes = hex_bytes(text)?;
    StreamReader::try_new(bytes.as_slice(), None).ok().map(|reader| reader.schema().as_ref().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, TimeUnit};

    #[test]
    fn a_schema_comes_back_and_damage_is_an_error() {
        let schema = Schema::new(vec![
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new_list("tags", Field::new("element", DataType::Utf8, true), false),
        ]);
        assert_eq!(decode(&encode(&schema).expect("an encoding")), Some(schema));
        for damaged in ["", "0", "zz", "00"] {
            assert_eq!(decode(damaged), None, "{damaged:?}");
        }
    }
}
