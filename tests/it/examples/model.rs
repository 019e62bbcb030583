//! What the models have in common: times and sums in plain Rust.

use std::collections::BTreeMap;

use serde_json::Value;

/// Seconds since midnight of a time such as `2026-03-02T09:01:10Z`.
pub(super) fn seconds(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_default();
    let number = |from: usize| text[from..from + 2].parse::<i64>().expect("two digits");
    number(11) * 3600 + number(14) * 60 + number(17)
}

/// `HH:mm:ss` of seconds since midnight.
pub(super) fn clock(seconds: i64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Text of a field.
pub(super) fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_string()
}

/// A whole number in a field.
pub(super) fn number(row: &Value, field: &str) -> i64 {
    row[field].as_i64().expect("a whole number")
}

/// How often each comes.
pub(super) fn counted<K: Ord>(keys: impl IntoIterator<Item = K>) -> BTreeMap<K, i64> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}
