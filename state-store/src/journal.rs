//! What a draft has changed in a table, and how to undo it.
//!
//! A slot is marked when it is touched first, so that its old value is kept once. Rows of the version underneath that
//! were removed keep their slots until the draft has become a version: their bytes are the way back.

use crate::key_hash::hash_key;
use crate::short_copy::{SLACK_BYTES, append, copy};
use crate::table::Table;

/// What happened to the row in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mark {
    /// Nothing, or it was added and removed again.
    Clean = 0,
    /// It has another value than underneath.
    Changed = 1,
    /// It is not underneath.
    Added = 2,
    /// It is underneath only.
    Removed = 3,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Two bits a slot.
    marks: Vec<u64>,
    /// Slots that were added; some of them more than once, some removed since.
    added: Vec<u32>,
    /// Slots with another value, or whose value was changed before they were removed.
    changed: Vec<u32>,
    old_values: Vec<u8>,
    /// Where the old value of each of `changed` ends; empty where all are as long as `value_bytes`.
    old_ends: Vec<usize>,
    value_bytes: Option<usize>,
    removed: Vec<u32>,
    /// Those of `removed` that nobody else gives back.
    to_free: Vec<u32>,
}

/// Lists that take more than this are given back when a batch is over.
const KEPT_BYTES: usize = 4 << 20;

impl Journal {
    /// Nothing has changed. `value_bytes` is the length of all values, if they have one.
    pub(crate) fn new(value_bytes: Option<usize>) -> Self {
        Self { value_bytes, ..Self::default() }
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let slots = self.added.capacity() + self.changed.capacity() + self.removed.capacity() + self.to_free.capacity();
        slots * 4 + self.marks.capacity() * 8 + self.old_values.capacity() + self.old_ends.capacity() * 8
    }

    /// How many rows were touched at most.
    pub(crate) fn len(&self) -> usize {
        self.added.len() + self.changed.len() + self.removed.len()
    }

    /// Makes room for this many changes.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.added.reserve(rows);
        self.changed.reserve(rows);
        self.old_values.reserve(self.value_bytes.map_or(0, |bytes| rows * bytes + SLACK_BYTES));
    }

    /// A row was added.
    #[inline]
    pub(crate) fn added(&mut self, slot: u32) {
        self.set(slot, Mark::Added);
        self.added.push(slot);
    }

    /// Replaces the value of a row.
    #[inline]
    pub(crate) fn replace(&mut self, slot: u32, value: &[u8], table: &mut Table) {
        let is_first = self.mark(slot) == Mark::Clean;
        if is_first {
            self.set(slot, Mark::Changed);
            self.changed.push(slot);
        }
        if let Some(current) = table.value_mut(slot) {
            if is_first {
                append(&mut self.old_values, current);
            }
            copy(current, value);
            return;
        }
        if is_first {
            self.old_values.extend_from_slice(table.value(slot));
            self.old_ends.push(self.old_values.len());
        }
        table.set_value(slot, value);
    }

    /// Reads the marks of these slots: see `Table::find_block`.
    pub(crate) fn fetch(&self, slots: &[u32]) {
        let mark = |slot: &u32| self.marks.get(*slot as usize / 32).copied().unwrap_or(0);
        std::hint::black_box(slots.iter().fold(0, |all, slot| all | mark(slot)));
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32, table: &mut Table) {
        if self.mark(slot) == Mark::Added {
            self.set(slot, Mark::Clean);
            table.remove(hash, slot);
            return;
        }
        self.set(slot, Mark::Removed);
        self.removed.push(slot);
        if !table.detach(hash, slot) {
            self.to_free.push(slot);
        }
    }

    /// The slots of rows that are new or have another value. The same slot may come twice.
    pub(crate) fn put(&self) -> impl Iterator<Item = u32> + '_ {
        let added = self.added.iter().copied().filter(|slot| self.mark(*slot) == Mark::Added);
        let changed = self.changed.iter().copied().filter(|slot| self.mark(*slot) == Mark::Changed);
        added.chain(changed)
    }

    /// The slots of rows of the version underneath that were removed.
    pub(crate) fn removed(&self) -> impl Iterator<Item = u32> + '_ {
        self.removed.iter().copied()
    }

    /// What was changed stays.
    pub(crate) fn keep(&mut self, table: &mut Table) {
        for slot in &self.to_free {
            table.free(*slot);
        }
        self.clear();
        table.tidy();
    }

    /// The table becomes what it was.
    pub(crate) fn undo(&mut self, table: &mut Table) {
        // The last ones first: their slots lie at the end, and are given up.
        for at in (0..self.added.len()).rev() {
            let slot = self.added[at];
            if self.mark(slot) == Mark::Added {
                self.set(slot, Mark::Clean);
                table.remove(hash_key(table.key(slot)), slot);
            }
        }
        let mut start = 0;
        for (at, slot) in self.changed.iter().enumerate() {
            let end = self.value_bytes.map_or_else(|| self.old_ends[at], |bytes| start + bytes);
            table.set_value(*slot, &self.old_values[start..end]);
            start = end;
        }
        // In other slots, because the order may have forgotten the old ones.
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for slot in &self.removed {
            key.clear();
            key.extend_from_slice(table.key(*slot));
            value.clear();
            value.extend_from_slice(table.value(*slot));
            table.insert_row(hash_key(&key), &key, &value);
        }
        for slot in &self.to_free {
            table.free(*slot);
        }
        self.clear();
        table.tidy();
    }

    #[inline]
    fn mark(&self, slot: u32) -> Mark {
        let bits = self.marks.get(slot as usize / 32).map_or(0, |word| word >> (slot % 32 * 2) & 3);
        match bits {
            0 => Mark::Clean,
            1 => Mark::Changed,
            2 => Mark::Added,
            _ => Mark::Removed,
        }
    }

    #[inline]
    fn set(&mut self, slot: u32, mark: Mark) {
        let word = slot as usize / 32;
        if word >= self.marks.len() {
            self.marks.resize(word + 1, 0);
        }
        let shift = slot % 32 * 2;
        self.marks[word] = self.marks[word] & !(3 << shift) | (mark as u64) << shift;
    }

    /// Forgets everything.
    fn clear(&mut self) {
        for list in [&mut self.added, &mut self.changed, &mut self.removed] {
            for slot in list.iter() {
                // The slot may be gone, but its mark is not.
                self.marks[*slot as usize / 32] &= !(3 << (slot % 32 * 2));
            }
        }
        for list in [&mut self.added, &mut self.changed, &mut self.removed, &mut self.to_free] {
            list.clear();
            list.shrink_to(KEPT_BYTES / 4);
        }
        self.old_values.clear();
        self.old_values.shrink_to(KEPT_BYTES);
        self.old_ends.clear();
        self.old_ends.shrink_to(KEPT_BYTES / 8);
    }
}
