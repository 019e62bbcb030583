//! The groups that one batch touches: each different key gets a number, in the order of first arrival.

use arrow::array::{BinaryArray, UInt64Array};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use datafusion_common::Result;
use hashbrown::HashTable;
use millstream_state::Keys;

use crate::error::Error;

/// Keys and their numbers.
#[derive(Debug)]
pub(in crate::stateful) struct GroupTable {
    numbers: HashTable<(u64, u32)>,
    bytes: Vec<u8>,
    ends: Vec<i32>,
    hashes: Vec<u64>,
}

impl GroupTable {
    pub(in crate::stateful) fn new() -> Self {
        Self { numbers: HashTable::new(), bytes: Vec::new(), ends: vec![0], hashes: Vec::new() }
    }

    /// How many groups there are.
    pub(in crate::stateful) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Memory it takes.
    pub(in crate::stateful) fn size_bytes(&self) -> usize {
        self.numbers.capacity() * 17 + self.bytes.capacity() + self.ends.capacity() * 4 + self.hashes.capacity() * 8
    }

    /// The number of each key's group, and the rows of `keys` with which a new group began.
    pub(in crate::stateful) fn intern(&mut self, keys: &Keys) -> Result<(Vec<usize>, Vec<u32>)> {
        let mut groups = Vec::with_capacity(keys.len());
        let mut new_rows = Vec::new();
        let Self { numbers, bytes, ends, hashes } = self;
        for (row, hash) in keys.hashes().iter().enumerate() {
            let key = keys.key(row);
            let is_same = |(other, number): &(u64, u32)| {
                let at = *number as usize;
                other == hash && &bytes[ends[at] as usize..ends[at + 1] as usize] == key
            };
            if let Some((_, number)) = numbers.find(*hash, is_same) {
                groups.push(*number as usize);
                continue;
            }
            let number = hashes.len();
            numbers.insert_unique(*hash, (*hash, number as u32), |(hash, _)| *hash);
            bytes.extend_from_slice(key);
            ends.push(i32::try_from(bytes.len()).map_err(|_| too_many())?);
            hashes.push(*hash);
            groups.push(number);
            new_rows.push(row as u32);
        }
        Ok((groups, new_rows))
    }

    /// The keys of all groups, in the order of their numbers.
    pub(in crate::stateful) fn into_keys(self) -> Result<Keys> {
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let bytes = BinaryArray::new(ends, Buffer::from_vec(self.bytes), None);
        Ok(Keys::from_parts(bytes, &UInt64Array::from(self.hashes)).map_err(Error::from)?)
    }
}

fn too_many() -> Error {
    Error::invalid(
        "the keys of one batch exceed 2 GiB in one state partition: read less per batch (maxFilesPerTrigger, maxOffsetsPerTrigger)",
    )
}
