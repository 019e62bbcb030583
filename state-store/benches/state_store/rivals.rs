//! What the store is measured against.

use std::collections::HashMap;

use crate::rows::{scramble, value};

/// Open addressing with linear probing over keys and values side by side, at most half full: no versions, no files, no
/// nulls, no types, one length. Nothing that does more can be faster.
#[derive(Clone)]
pub(crate) struct BareTable {
    slots: Vec<([u64; 4], bool)>,
    mask: usize,
    pub len: usize,
}

impl BareTable {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        let capacity = (rows * 2).next_power_of_two();
        Self { slots: vec![([0; 4], false); capacity], mask: capacity - 1, len: 0 }
    }

    pub(crate) fn filled(count: u64, capacity: usize) -> Self {
        let mut table = Self::with_capacity(capacity);
        (0..count).map(scramble).for_each(|number| table.put(number, value(number)));
        table
    }

    #[inline]
    fn slot(&self, key: u64) -> usize {
        let mut slot = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as usize & self.mask;
        while self.slots[slot].1 && self.slots[slot].0[0] != key {
            slot = (slot + 1) & self.mask;
        }
        slot
    }

    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<[u64; 3]> {
        let ([_, a, b, c], is_used) = self.slots[self.slot(key)];
        is_used.then_some([a, b, c])
    }

    #[inline]
    pub(crate) fn put(&mut self, key: u64, [a, b, c]: [u64; 3]) {
        let slot = self.slot(key);
        self.len += usize::from(!self.slots[slot].1);
        self.slots[slot] = ([key, a, b, c], true);
    }
}

pub(crate) type ByteMap = HashMap<Vec<u8>, Vec<u8>>;

pub(crate) fn byte_map(count: u64) -> ByteMap {
    (0..count)
        .map(scramble)
        .map(|number| {
            let bytes = value(number).iter().flat_map(|part| part.to_le_bytes()).collect();
            (number.to_be_bytes().to_vec(), bytes)
        })
        .collect()
}

/// A fjall keyspace with the first `count` keys; the folder must outlive it.
pub(crate) fn fjall(folder: &std::path::Path, count: u64) -> (fjall::Database, fjall::Keyspace) {
    let database = fjall::Database::builder(folder).cache_size(256 << 20).open().expect("a database");
    let keyspace = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("a keyspace");
    for number in (0..count).map(scramble) {
        let bytes: Vec<u8> = value(number).iter().flat_map(|part| part.to_le_bytes()).collect();
        keyspace.insert(number.to_be_bytes(), bytes).expect("an insertion");
    }
    (database, keyspace)
}
