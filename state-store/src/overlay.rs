//! What one batch has changed in a store so far.

use crate::error::Result;
use crate::image::Answers;
use crate::key::Keys;
use crate::key_range::KeyRange;
use crate::table::{BLOCK_ROWS, Block, NONE, RowLayout, Table};
use crate::value::PackedRows;

/// Puts and removals on top of a version that stays as it is.
#[derive(Debug)]
pub(crate) struct Overlay {
    table: Table,
    /// Per slot: whether the change is a removal.
    removed: Vec<bool>,
    /// Per slot: what is underneath.
    base: Vec<Base>,
}

/// Whether a key is in the version underneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// Nobody has looked yet.
    Unknown,
    Absent,
    Present,
}

impl Overlay {
    pub(crate) fn new(layout: RowLayout) -> Self {
        Self { table: Table::new(layout), removed: Vec::new(), base: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes() + self.removed.capacity() + self.base.capacity() * size_of::<Base>()
    }

    /// The slot of each key.
    pub(crate) fn find(&self, keys: &Keys) -> Vec<u32> {
        self.table.find(keys)
    }

    /// The value in a slot; `None` for a removal.
    pub(crate) fn value(&self, slot: u32) -> Option<&[u8]> {
        (!self.removed[slot as usize]).then(|| self.table.value(slot))
    }

    /// Puts the value of each row. Returns by how much the number of rows grows by what is known now.
    pub(crate) fn put(&mut self, keys: &Keys, values: &PackedRows, new: &mut Vec<(u32, u32)>) -> i64 {
        let mut rows = 0;
        let mut block = Block::default();
        for first in (0..keys.len()).step_by(BLOCK_ROWS) {
            self.table.make_room(BLOCK_ROWS.min(keys.len() - first));
            for at in 0..block.find(&self.table, keys, first).len() {
                let row = first + at;
                let (hash, key, value) = (keys.hashes()[row], keys.key(row), values.row(row));
                let (slot, is_new) = match block.slots[at] {
                    // An earlier row of this batch may have had the same key.
                    NONE => self.table.add_at(block.places[at], hash, key, value),
                    slot => (slot, false),
                };
                if is_new {
                    self.push(false);
                    new.push((row as u32, slot));
                } else {
                    self.table.set_value(slot, value);
                    rows += self.set_removed(slot, false);
                }
            }
        }
        rows
    }

    /// Marks each key as removed. Returns by how much the number of rows grows by what is known now.
    pub(crate) fn remove(&mut self, keys: &Keys, new: &mut Vec<(u32, u32)>) -> i64 {
        let mut rows = 0;
        for row in 0..keys.len() {
            let (slot, is_new) = self.table.find_or_insert(keys.hashes()[row], keys.key(row), 0);
            if is_new {
                self.push(true);
                new.push((row as u32, slot));
            } else {
                rows += self.set_removed(slot, true);
            }
        }
        rows
    }

    /// Puts one row whose key has no row now. `None` if an earlier row of the batch has put it; else by how much the
    /// number of rows grows.
    pub(crate) fn put_absent(&mut self, hash: u64, key: &[u8], value: &[u8]) -> Option<i64> {
        let (slot, is_new) = self.table.find_or_insert(hash, key, value.len());
        let rows = if is_new {
            self.push(false);
            self.base[slot as usize] = Base::Absent;
            1
        } else if self.removed[slot as usize] {
            self.set_removed(slot, false)
        } else {
            return None;
        };
        self.table.set_value(slot, value);
        Some(rows)
    }

    /// Notes what is underneath the slots that [`Overlay::put`] and [`Overlay::remove`] made. Returns by how much the
    /// number of rows grows.
    pub(crate) fn set_base(&mut self, new: &[(u32, u32)], found: &Answers) -> i64 {
        let mut rows = 0;
        for (at, (_, slot)) in new.iter().enumerate() {
            let base = if found.value(at).is_some() { Base::Present } else { Base::Absent };
            self.base[*slot as usize] = base;
            rows += i64::from(!self.removed[*slot as usize]) - i64::from(base != Base::Absent);
        }
        rows
    }

    /// The slots of which nobody knows yet what is underneath.
    pub(crate) fn unknown(&self) -> Vec<u32> {
        (0..self.base.len() as u32).filter(|slot| self.base[*slot as usize] == Base::Unknown).collect()
    }

    pub(crate) fn key(&self, slot: u32) -> &[u8] {
        self.table.key(slot)
    }

    /// The slots of the changes that are worth writing, in key order.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut slots = self.table.sorted();
        slots.retain(|slot| !(self.removed[*slot as usize] && self.base[*slot as usize] == Base::Absent));
        slots
    }

    /// A cursor over the changes in a range.
    pub(crate) fn cursor(&self, range: &KeyRange) -> crate::cursor::Cursor<'_> {
        crate::cursor::Cursor::of_table(&self.table, self.table.range(range), Some(&self.removed))
    }

    /// A cursor over these slots.
    pub(crate) fn cursor_of(&self, slots: Vec<u32>) -> crate::cursor::Cursor<'_> {
        crate::cursor::Cursor::of_table(&self.table, slots, Some(&self.removed))
    }

    /// Hands hash, key and new value of each change to `change`; no value for a removal.
    pub(crate) fn for_each_change(&self, mut change: impl FnMut(u64, &[u8], Option<&[u8]>)) {
        for slot in 0..self.table.slots() as u32 {
            let key = self.table.key(slot);
            change(crate::key_hash::hash_key(key), key, self.value(slot));
        }
    }

    /// By how much the number of rows grows. What nobody has looked at yet is counted when somebody does.
    fn set_removed(&mut self, slot: u32, is_removed: bool) -> i64 {
        let was_removed = std::mem::replace(&mut self.removed[slot as usize], is_removed);
        let is_counted = self.base[slot as usize] != Base::Unknown;
        if is_counted { i64::from(was_removed) - i64::from(is_removed) } else { 0 }
    }

    fn push(&mut self, is_removed: bool) {
        self.removed.push(is_removed);
        self.base.push(Base::Unknown);
    }
}

/// The keys of these slots, for looking them up elsewhere.
pub(crate) fn keys_of(overlay: &Overlay, slots: &[u32]) -> Result<Keys> {
    let bytes = arrow_array::BinaryArray::from_iter_values(slots.iter().map(|slot| overlay.key(*slot)));
    Keys::from_bytes(bytes)
}
