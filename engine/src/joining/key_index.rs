//! Rows by key: an index over rows that are all there already.

use datafusion_common::Result;
use millstream_state::Keys;

/// No row.
const NONE: u32 = u32::MAX;

/// Finds the rows of a key, in the order of the rows.
///
/// Each slot of a table of a power of two holds the first row of a chain; a chain may hold several keys, so both hash and
/// bytes are compared.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    keys: Keys,
    first: Vec<u32>,
    next: Vec<u32>,
}

impl KeyIndex {
    /// An index of these keys, by row; `skipped` rows are found by nobody.
    pub(crate) fn new(keys: Keys, skipped: impl Fn(usize) -> bool) -> Result<Self> {
        let rows = u32::try_from(keys.len())
            .ok()
            .filter(|rows| *rows < NONE)
            .ok_or_else(|| crate::Error::unsupported("a join's table has more than four billion rows"))?;
        let slots = (keys.len() * 2).next_power_of_two().max(16);
        let (mut first, mut next) = (vec![NONE; slots], vec![NONE; keys.len()]);
        // From the end, so that every chain is in the order of the rows.
        for row in (0..rows).rev().filter(|row| !skipped(*row as usize)) {
            let slot = keys.hashes()[row as usize] as usize & (slots - 1);
            next[row as usize] = first[slot];
            first[slot] = row;
        }
        Ok(Self { keys, first, next })
    }

    /// The rows whose key is key `row` of `keys`.
    pub(crate) fn rows_of<'a>(&'a self, keys: &'a Keys, row: usize) -> impl Iterator<Item = u32> + 'a {
        let (hash, key) = (keys.hashes()[row], keys.key(row));
        let mut at = self.first[hash as usize & (self.first.len() - 1)];
        std::iter::from_fn(move || {
            while at != NONE {
                let found = at as usize;
                at = self.next[found];
                if self.keys.hashes()[found] == hash && self.keys.key(found) == key {
                    return Some(found as u32);
                }
            }
            None
        })
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let key_bytes = self.keys.bytes().value_data().len() + self.keys.len() * 12;
        key_bytes + (self.first.len() + self.next.len()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field};
    use millstream_state::KeyEncoder;

    #[test]
    fn every_row_of_a_key_is_found_in_order() -> Result<()> {
        let encoder = KeyEncoder::new(vec![Field::new("k", DataType::Int64, true)]).map_err(crate::Error::from)?;
        let encode = |values: Vec<i64>| {
            let column: ArrayRef = Arc::new(Int64Array::from(values));
            encoder.encode(&[column]).map_err(crate::Error::from)
        };
        let values: Vec<i64> = (0..1000).map(|i| i * i % 97).collect();
        let index = KeyIndex::new(encode(values.clone())?, |row| row % 10 == 3)?;
        let asked = encode((0..100).collect())?;
        for key in 0..100usize {
            let expected: Vec<u32> =
                (0..1000u32).filter(|row| row % 10 != 3 && values[*row as usize] == key as i64).collect();
            assert_eq!(index.rows_of(&asked, key).collect::<Vec<_>>(), expected, "key {key}");
        }
        Ok(())
    }
}
