//! What a store that is larger than its share keeps in memory: rows and blocks that were used of late.
//!
//! Rows lie in one table. Each counts its uses, up to three; when room is needed, a hand goes round the slots, takes one
//! use from each row, and takes out the first that has none left. So what is asked for again and again stays, and what was
//! read once goes. The cache of blocks has two generations: what is used moves to the young one; when that is half of the
//! cache, it becomes the old one and the old one is forgotten.

use std::collections::HashMap;

use crate::file::block::Block;
use crate::key::Keys;
use crate::key_hash::hash_key;
use crate::table::{NONE, RowLayout, Table};

/// Rows by key, absent ones too.
#[derive(Debug)]
pub(crate) struct RowCache {
    table: Table,
    /// Per slot, how often it was used since the hand was there; or [`FREE`].
    uses: Vec<u8>,
    hand: usize,
    layout: RowLayout,
    /// Bytes of the rows that are there.
    row_bytes: usize,
    limit_bytes: usize,
    row: Vec<u8>,
}

const MOST_USES: u8 = 3;

/// There is no row in this slot.
const FREE: u8 = u8::MAX;

/// Rows that are kept in any case.
const LEAST_ROWS: usize = 32;

/// The last byte of a cached value.
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

impl RowCache {
    pub(crate) fn new(layout: RowLayout, limit_bytes: usize) -> Self {
        let layout = match layout {
            RowLayout::Fixed { key_bytes, value_bytes } => RowLayout::Fixed { key_bytes, value_bytes: value_bytes + 1 },
            RowLayout::Varying => RowLayout::Varying,
        };
        let (table, uses, row) = (Table::new(layout), Vec::new(), Vec::new());
        Self { table, uses, hand: 0, layout, row_bytes: 0, limit_bytes, row }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes() + self.uses.capacity()
    }

    /// Calls `found` for each key of `rows` that is known, and returns the other rows.
    pub(crate) fn find(&mut self, keys: &Keys, rows: &[u32], mut found: impl FnMut(u32, Option<&[u8]>)) -> Vec<u32> {
        let mut unknown = Vec::new();
        for (row, slot) in rows.iter().zip(self.table.find_rows(keys, rows)) {
            if slot == NONE {
                unknown.push(*row);
                continue;
            }
            found(*row, present(self.table.value(slot)));
            let uses = &mut self.uses[slot as usize];
            *uses = (*uses + 1).min(MOST_USES);
        }
        unknown
    }

    /// Remembers a row, or that there is none.
    pub(crate) fn put(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>) {
        self.row.clear();
        self.row.extend_from_slice(value.unwrap_or_default());
        if let RowLayout::Fixed { value_bytes, .. } = self.layout {
            self.row.resize(value_bytes - 1, 0);
        }
        self.row.push(if value.is_some() { PRESENT } else { ABSENT });
        let known = self.table.find_one(hash, key);
        if known != NONE {
            self.row_bytes = self.row_bytes + self.row.len() - self.table.value(known).len();
            self.table.set_value(known, &self.row);
            self.table.compact();
            return;
        }
        self.row_bytes += key.len() + self.row.len();
        while self.table.len() >= LEAST_ROWS && self.needed_bytes(self.table.len() + 1) > self.limit_bytes {
            self.take_one_out();
        }
        let slot = self.table.insert_row(hash, key, &self.row) as usize;
        if slot >= self.uses.len() {
            self.uses.resize(slot + 1, FREE);
        }
        self.uses[slot] = 0;
        self.table.compact();
    }

    /// Memory for so many rows, those that are there and one more.
    fn needed_bytes(&self, rows: usize) -> usize {
        match self.layout {
            RowLayout::Fixed { .. } => self.row_bytes + Table::index_bytes(rows) + rows,
            // A third of the arena may be dead, and a part of it not used yet.
            RowLayout::Varying => self.row_bytes * 2 + Table::index_bytes(rows) + rows * 17,
        }
    }

    fn take_one_out(&mut self) {
        loop {
            self.hand = if self.hand + 1 < self.uses.len() { self.hand + 1 } else { 0 };
            match self.uses[self.hand] {
                FREE => {}
                0 => break,
                uses => self.uses[self.hand] = uses - 1,
            }
        }
        let slot = self.hand as u32;
        let (key, value) = (self.table.key(slot), self.table.value(slot));
        self.row_bytes -= key.len() + value.len();
        let hash = hash_key(key);
        self.uses[self.hand] = FREE;
        self.table.remove(hash, slot);
    }
}

fn present(value: &[u8]) -> Option<&[u8]> {
    match value.split_last() {
        Some((&PRESENT, value)) => Some(value),
        _ => None,
    }
}

/// Blocks by segment and number.
#[derive(Debug)]
pub(crate) struct BlockCache {
    young: HashMap<(u64, usize), Block>,
    old: HashMap<(u64, usize), Block>,
    young_bytes: usize,
    old_bytes: usize,
    limit_bytes: usize,
}

impl BlockCache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, old_bytes: 0, limit_bytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.young_bytes + self.old_bytes
    }

    pub(crate) fn get(&mut self, segment: u64, block: usize) -> Option<Block> {
        if let Some(block) = self.young.get(&(segment, block)) {
            return Some(block.clone());
        }
        let found = self.old.remove(&(segment, block))?;
        self.old_bytes -= found.bytes();
        self.put(segment, block, found.clone());
        Some(found)
    }

    pub(crate) fn put(&mut self, segment: u64, number: usize, block: Block) {
        self.young_bytes += block.bytes();
        self.young.insert((segment, number), block);
        if self.young_bytes * 2 > self.limit_bytes {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::BinaryArray;

    /// A number that looks random, another one for each `index`.
    fn scramble(index: u64) -> u64 {
        index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
    }

    /// What is found is what was put last; memory is used, and not more than there is; and what is used often stays.
    #[test]
    fn rows_are_the_last_ones_and_few() {
        const LIMIT_BYTES: usize = 100_000;
        for layout in [RowLayout::Fixed { key_bytes: 8, value_bytes: 8 }, RowLayout::Varying] {
            let mut cache = RowCache::new(layout, LIMIT_BYTES);
            let mut last: HashMap<u64, Option<[u8; 8]>> = HashMap::new();
            for round in 0..2000_u64 {
                let numbers: Vec<u64> = (0..50).map(|at| scramble(round * 50 + at) % 10_000).chain(0..50).collect();
                let keys = Keys::from_bytes(BinaryArray::from_iter_values(numbers.iter().map(|key| key.to_be_bytes())));
                let keys = keys.expect("keys");
                let rows: Vec<u32> = (0..numbers.len() as u32).collect();
                let found = |row: u32, value: Option<&[u8]>| {
                    assert_eq!(value, last[&numbers[row as usize]].as_ref().map(<[u8; 8]>::as_slice));
                };
                let unknown = cache.find(&keys, &rows, found);
                assert!(round < 100 || unknown.iter().all(|row| *row < 50), "a row that is always used was forgotten");
                for row in unknown {
                    let value = (!scramble(round).is_multiple_of(5)).then(|| (round + u64::from(row)).to_le_bytes());
                    let row = row as usize;
                    cache.put(keys.hashes()[row], keys.key(row), value.as_ref().map(<[u8; 8]>::as_slice));
                    last.insert(numbers[row], value);
                }
            }
            assert!((LIMIT_BYTES / 2..LIMIT_BYTES * 6 / 5).contains(&cache.bytes()), "{layout:?}: {}", cache.bytes());
        }
    }
}
