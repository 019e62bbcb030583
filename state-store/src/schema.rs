//! What a store holds: its key and value columns, with names, and whether a change of them is compatible.

use std::fmt::Write;

use arrow_schema::{DataType, Field, Fields};

use crate::error::{Error, Result};
use crate::key_group::KEY_GROUP_COLUMN;
use crate::key_hash::hash_key;

/// The columns of a store.
///
/// Stored with the store, as one line of text a column: `key|value name type null|notnull`, the name quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSchema {
    key: Fields,
    value: Fields,
}

impl StoreSchema {
    /// A store with these key and value columns. A value of no columns is fine: a set of keys.
    pub fn new(key: impl Into<Fields>, value: impl Into<Fields>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// The key columns.
    pub fn key(&self) -> &Fields {
        &self.key
    }

    /// The value columns.
    pub fn value(&self) -> &Fields {
        &self.value
    }

    /// Whether keys end with a [key group of their own](crate::KEY_GROUP_COLUMN).
    pub fn names_key_groups(&self) -> bool {
        self.key.last().is_some_and(|last| last.name() == KEY_GROUP_COLUMN && *last.data_type() == DataType::UInt16)
    }

    /// A number that two schemas share only if they are the same.
    pub fn fingerprint(&self) -> u64 {
        hash_key(self.text().as_bytes())
    }

    /// The text stored in state files: a line for each column.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (part, fields) in [("key", &self.key), ("value", &self.value)] {
            for field in fields {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{part} {}", column_text(field));
            }
        }
        text
    }

    /// Whether state written with the schema of this text can be opened with this one: the same, or with nullable value
    /// columns added at the end. `Ok(n)` is the number of value columns that were stored; the error shows the difference.
    pub(crate) fn accepts(&self, stored: &str) -> Result<usize> {
        let wanted = self.text();
        let count = |part: &str| stored.lines().filter(|line| line.starts_with(part)).count();
        let stored_columns = count("value ");
        let added = self.value.get(stored_columns..).unwrap_or_default();
        let same_key = count("key ") == self.key.len();
        if same_key && wanted.starts_with(stored) && added.iter().all(|field| field.is_nullable()) {
            return Ok(stored_columns);
        }
        Err(Error::invalid(format!(
            "the state has another schema than the query; a nullable value column added at the end would be fine\n{}",
            difference(stored, &wanted)
        )))
    }
}

fn column_text(field: &Field) -> String {
    let null = if field.is_nullable() { "null" } else { "notnull" };
    format!("{:?} {} {null}", field.name(), type_text(field.data_type()))
}

/// A type's text in state files. Ours, because Arrow's own changes between its versions.
fn type_text(data_type: &DataType) -> String {
    let fields = |fields: &Fields| fields.iter().map(|field| column_text(field)).collect::<Vec<_>>().join(", ");
    match data_type {
        DataType::Timestamp(unit, Some(zone)) => format!("Timestamp({unit:?}, {zone:?})"),
        DataType::Timestamp(unit, None) => format!("Timestamp({unit:?})"),
        DataType::Time32(unit) => format!("Time32({unit:?})"),
        DataType::Time64(unit) => format!("Time64({unit:?})"),
        DataType::Duration(unit) => format!("Duration({unit:?})"),
        DataType::Interval(unit) => format!("Interval({unit:?})"),
        DataType::FixedSizeBinary(bytes) => format!("FixedSizeBinary({bytes})"),
        DataType::Decimal32(precision, scale) => format!("Decimal32({precision}, {scale})"),
        DataType::Decimal64(precision, scale) => format!("Decimal64({precision}, {scale})"),
        DataType::Decimal128(precision, scale) => format!("Decimal128({precision}, {scale})"),
        DataType::Decimal256(precision, scale) => format!("Decimal256({precision}, {scale})"),
        DataType::Struct(children) => format!("Struct({})", fields(children)),
        DataType::List(child) => format!("List({})", column_text(child)),
        DataType::LargeList(child) => format!("LargeList({})", column_text(child)),
        DataType::FixedSizeList(child, size) => format!("FixedSizeList({}, {size})", column_text(child)),
        DataType::Map(entries, _) => format!("Map({})", column_text(entries)),
        simple => format!("{simple:?}"),
    }
}

/// Lines of both, `-` before what only the state has, `+` before what only the query has.
fn difference(stored: &str, wanted: &str) -> String {
    let mut lines = String::new();
    let (stored, wanted): (Vec<&str>, Vec<&str>) = (stored.lines().collect(), wanted.lines().collect());
    for line in &stored {
        let mark = if wanted.contains(line) { ' ' } else { '-' };
        let _ = writeln!(lines, "{mark} {line}");
    }
    for line in wanted.iter().filter(|line| !stored.contains(line)) {
        let _ = writeln!(lines, "+ {line}");
    }
    if stored.iter().all(|line| wanted.contains(line)) && wanted.iter().all(|line| stored.contains(line)) {
        lines.push_str("(the same columns in another order)\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(value: &[(&str, DataType, bool)]) -> StoreSchema {
        let value: Vec<Field> = value.iter().map(|(name, t, null)| Field::new(*name, t.clone(), *null)).collect();
        StoreSchema::new(vec![Field::new("user", DataType::Utf8, true)], value)
    }

    #[test]
    fn only_nullable_values_at_the_end_are_compatible() -> Result<()> {
        let (long, text) = (DataType::Int64, DataType::Utf8);
        let stored = schema(&[("views", long.clone(), false), ("page", text.clone(), true)]);
        let cases = [
            (stored.clone(), true),
            (schema(&[("views", long.clone(), false), ("page", text.clone(), true), ("x", long.clone(), true)]), true),
            (
                schema(&[("views", long.clone(), false), ("page", text.clone(), true), ("x", long.clone(), false)]),
                false,
            ),
            (schema(&[("x", long.clone(), true), ("views", long.clone(), false), ("page", text.clone(), true)]), false),
            (schema(&[("page", text.clone(), true), ("views", long.clone(), false)]), false),
            (schema(&[("views", long.clone(), false)]), false),
            (schema(&[("views", DataType::Int32, false), ("page", text, true)]), false),
        ];
        for (wanted, is_compatible) in cases {
            assert_eq!(wanted.accepts(&stored.text()).is_ok(), is_compatible, "{}", wanted.text());
            assert_eq!(wanted.fingerprint() == stored.fingerprint(), wanted == stored);
        }
        Ok(())
    }

    #[test]
    fn the_difference_can_be_read() {
        let stored = schema(&[("views", DataType::Int64, false)]);
        let wanted = schema(&[("visits", DataType::Int64, false)]);
        let error = wanted.accepts(&stored.text()).expect_err("renamed");
        let expected = "the state has another schema than the query; a nullable value column added at the end would be fine\n\
                        \x20 key \"user\" Utf8 null\n\
                        - value \"views\" Int64 notnull\n\
                        + value \"visits\" Int64 notnull\n";
        assert_eq!(error.to_string(), expected);
    }
}
