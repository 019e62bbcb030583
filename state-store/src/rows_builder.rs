//! Collects rows of bytes and turns them into columns.

use crate::cursor::Merge;
use crate::draft::{StateRows, StoreCodec, state_rows};
use crate::error::{Error, Result};
use crate::key::Keys;

/// Rows collected so far.
#[derive(Debug, Default)]
pub(crate) struct RowsBuilder {
    keys: Vec<u8>,
    key_ends: Vec<i32>,
    values: Vec<u8>,
    value_ends: Vec<usize>,
}

impl RowsBuilder {
    /// Up to `rows` rows from a merge; `None` when it is at its end.
    pub(crate) fn fill(merge: &mut Merge<'_>, codec: &StoreCodec, rows: usize) -> Result<Option<StateRows>> {
        let mut builder = Self::default();
        while builder.value_ends.len() < rows && merge.advance_to_row()? {
            builder.push(merge.key(), merge.value().unwrap_or_default())?;
        }
        if builder.value_ends.is_empty() { Ok(None) } else { builder.finish(codec).map(Some) }
    }

    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.keys.extend_from_slice(key);
        let end = i32::try_from(self.keys.len())
            .map_err(|_| Error::invalid("the keys of one scan exceed 2 GiB; scan a smaller range"))?;
        self.key_ends.push(end);
        self.values.extend_from_slice(value);
        self.value_ends.push(self.values.len());
        Ok(())
    }

    /// The keys alone.
    pub(crate) fn finish_keys(self) -> Keys {
        Keys::from_buffer(self.keys, std::iter::once(0).chain(self.key_ends).collect())
    }

    pub(crate) fn finish(self, codec: &StoreCodec) -> Result<StateRows> {
        let offsets = std::iter::once(0).chain(self.key_ends).collect();
        let keys = Keys::from_buffer(self.keys, offsets);
        let starts = std::iter::once(0).chain(self.value_ends.iter().copied());
        let rows: Vec<Option<&[u8]>> =
            starts.zip(&self.value_ends).map(|(start, end)| Some(&self.values[start..*end])).collect();
        let values = codec.values.unpack(&rows)?;
        Ok(state_rows(codec.keys.clone(), keys, values))
    }
}
