//! The keys of a join's stores, put together from pieces that are encoded once.
//!
//! A key is `[time] join-key [sequence] key-group`: the time and the sequence number as Int64, the key group as UInt16, each
//! as a [`KeyEncoder`](crate::state::KeyEncoder) of all columns would write it.

use arrow::array::{Array, BinaryArray, BinaryBuilder};
use datafusion_common::Result;
use millstream_state::Keys;

use crate::error::Error;

/// Bytes of an Int64 in a key.
pub(in crate::stateful) const INT64_BYTES: usize = 9;
/// Bytes of a UInt16 in a key.
pub(in crate::stateful) const UINT16_BYTES: usize = 3;

/// An Int64 that is not null, as a key has it.
pub(in crate::stateful) fn int64_key(value: i64) -> [u8; INT64_BYTES] {
    let mut bytes = [1; INT64_BYTES];
    bytes[1..].copy_from_slice(&(value ^ i64::MIN).to_be_bytes());
    bytes
}

fn int64_of(bytes: &[u8]) -> i64 {
    bytes.get(1..INT64_BYTES).and_then(|bytes| bytes.try_into().ok()).map_or(0, |b| i64::from_be_bytes(b) ^ i64::MIN)
}

/// Puts keys together.
#[derive(Debug)]
pub(in crate::stateful) struct KeyBuilder(BinaryBuilder);

impl KeyBuilder {
    /// For about `rows` keys of about `key_bytes` bytes.
    pub(in crate::stateful) fn new(rows: usize, key_bytes: usize) -> Self {
        let bytes = rows * (key_bytes + 2 * INT64_BYTES + UINT16_BYTES);
        Self(BinaryBuilder::with_capacity(rows, bytes))
    }

    /// Adds a key.
    pub(in crate::stateful) fn push(
        &mut self,
        time: Option<i64>,
        key: &[u8],
        sequence: Option<i64>,
        key_group: u16,
    ) -> Result<()> {
        use std::io::Write;
        if let Some(time) = time {
            self.0.write_all(&int64_key(time))?;
        }
        self.0.write_all(key)?;
        if let Some(sequence) = sequence {
            self.0.write_all(&int64_key(sequence))?;
        }
        self.0.write_all(&[1])?;
        self.0.append_value(key_group.to_be_bytes());
        Ok(())
    }

    /// The keys.
    pub(in crate::stateful) fn finish(mut self) -> Result<Keys> {
        Ok(Keys::from_bytes(self.0.finish()).map_err(Error::from)?)
    }
}

/// A key of time, join key, sequence and key group, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stateful) struct KeyParts<'a> {
    pub(in crate::stateful) time: Option<i64>,
    pub(in crate::stateful) key: &'a [u8],
    pub(in crate::stateful) sequence: i64,
    pub(in crate::stateful) key_group: u16,
}

impl<'a> KeyParts<'a> {
    /// Of a key with a sequence number; `has_time` says whether it begins with a time.
    pub(in crate::stateful) fn of(bytes: &'a [u8], has_time: bool) -> Self {
        let start = if has_time { INT64_BYTES } else { 0 };
        let group = bytes.len() - UINT16_BYTES;
        let sequence = group - INT64_BYTES;
        let key_group = bytes.last_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
        Self {
            time: has_time.then(|| int64_of(bytes)),
            key: &bytes[start..sequence],
            sequence: int64_of(&bytes[sequence..]),
            key_group,
        }
    }
}

/// Average bytes of these keys.
pub(in crate::stateful) fn average_bytes(keys: &BinaryArray) -> usize {
    keys.value_data().len() / keys.len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray, UInt16Array};
    use arrow::datatypes::{DataType, Field};
    use millstream_state::{KEY_GROUP_COLUMN, KeyEncoder};

    #[test]
    fn keys_are_those_of_an_encoder_of_all_columns() -> Result<()> {
        let (times, names) =
            ([i64::MIN, -1, 0, 7, i64::MAX], [Some("a"), None, Some(""), Some("long enough"), Some("b")]);
        let (sequences, groups) = ([0, 1, -5, i64::MAX, 9], [0u16, 1, 255, 256, 4095]);
        let columns: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(times.to_vec())),
            Arc::new(StringArray::from(names.to_vec())),
            Arc::new(Int64Array::from(sequences.to_vec())),
            Arc::new(UInt16Array::from(groups.to_vec())),
        ];
        let fields = [
            Field::new("time", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("sequence", DataType::Int64, false),
            Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false),
        ];
        let encode = |columns: &[usize], arrays: &[ArrayRef]| {
            let fields: Vec<Field> = columns.iter().map(|c| fields[*c].clone()).collect();
            let arrays: Vec<ArrayRef> = columns.iter().map(|c| Arc::clone(&arrays[*c])).collect();
            KeyEncoder::new(fields).and_then(|encoder| encoder.encode(&arrays)).map_err(Error::from)
        };
        let names_alone = encode(&[1], &columns)?;
        let shapes: [(bool, bool, &[usize]); 4] = [
            (true, true, &[0, 1, 2, 3]),
            (false, true, &[1, 2, 3]),
            (true, false, &[0, 1, 3]),
            (false, false, &[1, 3]),
        ];
        for (has_time, has_sequence, expected) in shapes {
            let expected = encode(expected, &columns)?;
            let mut built = KeyBuilder::new(5, 8);
            for row in 0..5 {
                let (time, sequence) = (has_time.then_some(times[row]), has_sequence.then_some(sequences[row]));
                built.push(time, names_alone.key(row), sequence, groups[row])?;
            }
            assert_eq!(built.finish()?, expected, "time {has_time}, sequence {has_sequence}");
            if has_sequence {
                for row in 0..5 {
                    let parts = KeyParts::of(expected.key(row), has_time);
                    let time = has_time.then_some(times[row]);
                    let (sequence, key_group) = (sequences[row], groups[row]);
                    assert_eq!(parts, KeyParts { time, key: names_alone.key(row), sequence, key_group });
                }
            }
        }
        Ok(())
    }
}
