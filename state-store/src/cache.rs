//! What a store that is larger than its share keeps in memory: rows and blocks that were used of late.
//!
//! Both caches have two generations. What is used moves to the young one; when that is half of the cache, it becomes the
//! old one and the old one is forgotten. That is nearly "least recently used", without a list to keep up.

use std::collections::HashMap;

use crate::file::block::Block;
use crate::key::Keys;
use crate::table::{NONE, RowLayout, Table};

/// Rows by key, absent ones too.
#[derive(Debug)]
pub(crate) struct RowCache {
    young: Table,
    old: Table,
    layout: RowLayout,
    limit_bytes: usize,
    row: Vec<u8>,
}

/// The last byte of a cached value.
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

impl RowCache {
    pub(crate) fn new(layout: RowLayout, limit_bytes: usize) -> Self {
        let layout = match layout {
            RowLayout::Fixed { key_bytes, value_bytes } => RowLayout::Fixed { key_bytes, value_bytes: value_bytes + 1 },
            RowLayout::Varying => RowLayout::Varying,
        };
        Self { young: Table::new(layout), old: Table::new(layout), layout, limit_bytes, row: Vec::new() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.young.bytes() + self.old.bytes()
    }

    /// Calls `found` for each key of `rows` that is known, and returns the other rows.
    pub(crate) fn find(&mut self, keys: &Keys, rows: &[u32], mut found: impl FnMut(u32, Option<&[u8]>)) -> Vec<u32> {
        let mut rest = Vec::new();
        for (row, slot) in rows.iter().zip(self.young.find_rows(keys, rows)) {
            match slot {
                NONE => rest.push(*row),
                slot => found(*row, present(self.young.value(slot))),
            }
        }
        let mut unknown = Vec::new();
        let mut used = Vec::new();
        for (row, slot) in rest.iter().zip(self.old.find_rows(keys, &rest)) {
            match slot {
                NONE => unknown.push(*row),
                slot => {
                    found(*row, present(self.old.value(slot)));
                    used.push((*row as usize, slot));
                }
            }
        }
        for (row, slot) in used {
            let value = self.old.value(slot);
            let (slot, _) = self.young.find_or_insert(keys.hashes()[row], keys.key(row), value.len());
            self.young.set_value(slot, value);
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
        let (slot, _) = self.young.find_or_insert(hash, key, self.row.len());
        self.young.set_value(slot, &self.row);
    }

    /// Forgets what was not used for long, when there is too much. To be called once a batch or more often.
    pub(crate) fn trim(&mut self) {
        if self.young.bytes() * 2 > self.limit_bytes {
            self.old = std::mem::replace(&mut self.young, Table::new(self.layout));
        }
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
