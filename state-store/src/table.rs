//! Rows of key and value bytes in memory, found by hash and, once somebody has asked for it, in key order.
//!
//! Two parts: an *index* by linear probing whose entries hold 32 bits of the hash and a slot number, and the *rows*, in
//! chunks that never move. A look-up of many keys goes in blocks and phases (index entries, candidates, rows), so that the
//! cache misses of different keys overlap. Growing the index needs no row: the entries hold the hash bits it is built from.

mod order;
mod rows;

use std::sync::{Mutex, PoisonError};

use self::order::Order;
pub(crate) use self::rows::RowLayout;
use self::rows::Rows;
use crate::key::Keys;
use crate::key_hash::hash_key;
use crate::key_range::KeyRange;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// An index entry of no row.
const EMPTY: u64 = u64::MAX;

const MIN_CAPACITY: usize = 16;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Rows,
    index: Index,
    /// Built by the first scan and kept up from then on.
    order: Mutex<Option<Order>>,
}

impl Table {
    pub(crate) fn new(layout: RowLayout) -> Self {
        Self { rows: Rows::new(layout), index: Index::with_capacity(0), order: Mutex::new(None) }
    }

    /// Makes room for this many rows at once, so that loading does not grow the table again and again.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.index.reserve(rows);
        self.rows.reserve(rows);
    }

    /// Memory that the index of this many rows takes.
    pub(crate) fn index_bytes(rows: usize) -> usize {
        Index::capacity(rows) * 8
    }

    /// The length of all values, where they have one.
    pub(crate) fn value_bytes(&self) -> Option<usize> {
        self.rows.value_bytes()
    }

    /// Rows in the table.
    pub(crate) fn len(&self) -> usize {
        self.index.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.index.len == 0
    }

    /// Memory taken, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.rows.bytes() + self.index.entries.capacity() * 8 + order.as_ref().map_or(0, Order::bytes)
    }

    /// Slot numbers given out so far; all slots are below.
    pub(crate) fn slots(&self) -> usize {
        self.rows.slots()
    }

    pub(crate) fn key(&self, slot: u32) -> &[u8] {
        self.rows.key(slot)
    }

    pub(crate) fn value(&self, slot: u32) -> &[u8] {
        self.rows.value(slot)
    }

    /// The slot of each key, [`NONE`] where there is none.
    pub(crate) fn find(&self, keys: &Keys) -> Vec<u32> {
        let mut all = Vec::with_capacity(keys.len());
        let mut block = Block::default();
        for first in (0..keys.len()).step_by(BLOCK_ROWS) {
            all.extend_from_slice(block.find(self, keys, first));
        }
        all
    }

    /// The slots of the keys in these rows.
    pub(crate) fn find_rows(&self, keys: &Keys, rows: &[u32]) -> Vec<u32> {
        let mut all = Vec::with_capacity(rows.len());
        let mut block = Block::default();
        for rows in rows.chunks(BLOCK_ROWS) {
            all.extend_from_slice(block.find_where(self, keys, rows.len(), |at| rows[at] as usize));
        }
        all
    }

    /// The hashes of the keys in these slots. Their index entries are in the CPU's cache afterwards.
    pub(crate) fn hashes_of(&self, slots: &[u32]) -> Vec<u64> {
        self.rows.fetch(slots);
        let hashes: Vec<u64> = slots.iter().map(|slot| hash_key(self.rows.key(*slot))).collect();
        let entry = |hash: &u64| self.index.entries[self.index.bucket(tag(*hash))];
        std::hint::black_box(hashes.iter().fold(0, |all, hash| all ^ entry(hash)));
        hashes
    }

    /// The slot of one key.
    pub(crate) fn find_one(&self, hash: u64, key: &[u8]) -> u32 {
        let tag = tag(hash);
        let mut bucket = self.index.bucket(tag);
        loop {
            let entry = self.index.entries[bucket];
            if entry == EMPTY {
                return NONE;
            }
            if (entry >> 32) as u32 == tag && same_bytes(self.rows.key(entry as u32), key) {
                return entry as u32;
            }
            bucket = self.index.next(bucket);
        }
    }

    /// The key's slot, made when it is not there; and whether it was made. The value of a new row is unspecified.
    pub(crate) fn find_or_insert(&mut self, hash: u64, key: &[u8], value_len: usize) -> (u32, bool) {
        match self.find_one(hash, key) {
            NONE => (self.insert(hash, key, value_len), true),
            slot => (slot, false),
        }
    }

    /// Adds a row whose key is known to be new; the value is to be set.
    pub(crate) fn insert(&mut self, hash: u64, key: &[u8], value_len: usize) -> u32 {
        let slot = self.rows.add(key, value_len);
        self.index.insert(tag(hash), slot);
        if let Some(order) = self.order_mut() {
            order.added(slot);
        }
        slot
    }

    /// Makes room for the rows of a block, so that what [`Block::find`] finds stays right while they are put.
    pub(crate) fn make_room(&mut self, rows: usize) {
        self.index.make_room(rows);
    }

    /// The slot of a row whose key a block did not find, and whether the row was added now; if not, the same block has
    /// added it before, and it keeps the value it has. `place` is where the block's search ended.
    pub(crate) fn add_at(&mut self, place: u32, hash: u64, key: &[u8], value: &[u8]) -> (u32, bool) {
        let tag = tag(hash);
        let mut bucket = place as usize;
        loop {
            let entry = self.index.entries[bucket];
            if entry == EMPTY {
                break;
            }
            if (entry >> 32) as u32 == tag && same_bytes(self.rows.key(entry as u32), key) {
                return (entry as u32, false);
            }
            bucket = self.index.next(bucket);
        }
        let slot = self.rows.add_row(key, value);
        self.index.entries[bucket] = u64::from(tag) << 32 | u64::from(slot);
        self.index.len += 1;
        if let Some(order) = self.order_mut() {
            order.added(slot);
        }
        (slot, true)
    }

    /// Adds a row whose key is known to be new, with its value.
    pub(crate) fn insert_row(&mut self, hash: u64, key: &[u8], value: &[u8]) -> u32 {
        let slot = self.rows.add_row(key, value);
        self.index.insert(tag(hash), slot);
        if let Some(order) = self.order_mut() {
            order.added(slot);
        }
        slot
    }

    /// Replaces a row's value.
    pub(crate) fn set_value(&mut self, slot: u32, value: &[u8]) {
        self.rows.set_value(slot, value);
    }

    /// The value in a slot, to be replaced by one of the same length; `None` where lengths differ.
    #[inline]
    pub(crate) fn value_mut(&mut self, slot: u32) -> Option<&mut [u8]> {
        self.rows.value_mut(slot)
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        self.index.remove(tag(hash), slot);
        match self.order.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Some(order) => order.removed(slot),
            None => self.rows.free(slot),
        }
    }

    /// Takes a row out of the index, but leaves its bytes; and whether its slot will be given back without
    /// [`Table::free`], some time after the next [`Table::tidy`].
    pub(crate) fn detach(&mut self, hash: u64, slot: u32) -> bool {
        self.index.remove(tag(hash), slot);
        match self.order_mut() {
            Some(order) => {
                order.removed(slot);
                true
            }
            None => false,
        }
    }

    /// Gives back the slot of a row that was detached.
    pub(crate) fn free(&mut self, slot: u32) {
        self.rows.free(slot);
    }

    /// Gives back the space of removed rows, where that pays. To be called between batches: slots may be used again.
    pub(crate) fn tidy(&mut self) {
        if let Some(order) = self.order.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let rows = &mut self.rows;
            for slot in order.take_reusable(rows) {
                rows.free(slot);
            }
        }
        self.compact();
    }

    /// Gives back the space of values that were replaced by longer ones, where that pays.
    pub(crate) fn compact(&mut self) {
        self.rows.compact();
    }

    /// The slots of all rows, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.index.entries.iter().filter(|entry| **entry != EMPTY).map(|entry| *entry as u32)
    }

    /// The slots of the rows with keys in `range`, in key order.
    pub(crate) fn range(&self, range: &KeyRange) -> Vec<u32> {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let order = order.get_or_insert_with(|| Order::new(self.iter().collect()));
        order.sort(&self.rows);
        order.range(&self.rows, range)
    }

    /// These slots in key order, without keeping the order.
    pub(crate) fn in_key_order(&self, slots: impl Iterator<Item = u32>) -> Vec<u32> {
        order::sorted(&self.rows, slots)
    }

    /// All slots in key order, without keeping the order.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        self.in_key_order(self.iter())
    }

    fn order_mut(&mut self) -> Option<&mut Order> {
        self.order.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }
}

/// A few keys that are looked up together: enough for their cache misses to overlap, and few enough that what was fetched
/// is still in the CPU's cache when something is done with them.
#[derive(Debug)]
pub(crate) struct Block {
    pub slots: [u32; BLOCK_ROWS],
    /// Where the search for each key that is not there has ended.
    pub places: [u32; BLOCK_ROWS],
}

/// Keys in a block.
pub(crate) const BLOCK_ROWS: usize = 256;

impl Default for Block {
    fn default() -> Self {
        Self { slots: [NONE; BLOCK_ROWS], places: [0; BLOCK_ROWS] }
    }
}

impl Block {
    /// Looks up the keys from row `first` on; the slot of each, [`NONE`] where there is none.
    pub(crate) fn find(&mut self, table: &Table, keys: &Keys, first: usize) -> &[u32] {
        self.find_where(table, keys, BLOCK_ROWS.min(keys.len() - first), |at| first + at)
    }

    #[inline]
    fn find_where(&mut self, table: &Table, keys: &Keys, count: usize, row_of: impl Fn(usize) -> usize) -> &[u32] {
        let (hashes, index) = (keys.hashes(), &table.index);
        let (slots, places) = (&mut self.slots[..count], &mut self.places[..count]);
        let mut entries = [EMPTY; BLOCK_ROWS];
        for (at, entry) in entries[..count].iter_mut().enumerate() {
            *entry = index.entries[index.bucket(tag(hashes[row_of(at)]))];
        }
        for (at, (slot, place)) in slots.iter_mut().zip(places.iter_mut()).enumerate() {
            (*slot, *place) = index.candidate(tag(hashes[row_of(at)]), entries[at]);
        }
        table.rows.fetch(slots);
        let (bytes, offsets) = (keys.bytes().value_data(), keys.bytes().value_offsets());
        for (at, slot) in slots.iter_mut().enumerate() {
            let row = row_of(at);
            let key = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
            if *slot != NONE && !same_bytes(table.rows.key(*slot), key) {
                // Another key with the same tag: rare enough to begin anew.
                *slot = table.find_one(hashes[row], key);
            }
        }
        slots
    }
}

/// The part of the hash that the index works with. Key groups use the low bits, which are alike within a store.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Whether two keys are the same. A call of `memcmp` costs more than short keys do.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>(), a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) => {
            a_first == b_first && a_last == b_last && (a.len() <= 16 || a[8..] == b[8..])
        }
        _ => a == b,
    }
}

/// Linear probing over `tag << 32 | slot`. The bucket is the tag's high bits, so that a growing index is read and
/// written in order.
#[derive(Debug)]
struct Index {
    entries: Vec<u64>,
    shift: u32,
    len: usize,
}

impl Index {
    fn with_capacity(rows: usize) -> Self {
        let capacity = Self::capacity(rows);
        Self { entries: vec![EMPTY; capacity], shift: 32 - capacity.trailing_zeros().min(32), len: 0 }
    }

    /// Entries for this many rows: at most 70 % are used. Beyond, the probes of absent keys get long.
    fn capacity(rows: usize) -> usize {
        (rows * 10 / 7 + 1).next_power_of_two().max(MIN_CAPACITY)
    }

    #[inline]
    fn bucket(&self, tag: u32) -> usize {
        (u64::from(tag) >> self.shift) as usize
    }

    #[inline]
    fn next(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.entries.len() - 1)
    }

    /// The first slot with this tag, or [`NONE`]; and where the search has ended. `entry` is the one of the tag's bucket.
    #[inline]
    fn candidate(&self, tag: u32, mut entry: u64) -> (u32, u32) {
        let mut bucket = self.bucket(tag);
        while entry != EMPTY {
            if (entry >> 32) as u32 == tag {
                // Should it be another key, the search for this one goes on from here.
                return (entry as u32, bucket as u32);
            }
            bucket = self.next(bucket);
            entry = self.entries[bucket];
        }
        (NONE, bucket as u32)
    }

    /// Grows if so many more entries would be too many.
    #[inline]
    fn make_room(&mut self, more: usize) {
        if (self.len + more) * 10 > self.entries.len() * 7 {
            self.reserve((self.len + more).max(self.entries.len()));
        }
    }

    fn insert(&mut self, tag: u32, slot: u32) {
        self.make_room(1);
        self.place(u64::from(tag) << 32 | u64::from(slot));
        self.len += 1;
    }

    fn place(&mut self, entry: u64) {
        let mut bucket = self.bucket((entry >> 32) as u32);
        while self.entries[bucket] != EMPTY {
            bucket = self.next(bucket);
        }
        self.entries[bucket] = entry;
    }

    fn reserve(&mut self, rows: usize) {
        let mut larger = Self::with_capacity(rows.max(self.len));
        if larger.entries.len() <= self.entries.len() {
            return;
        }
        larger.len = self.len;
        for entry in self.entries.iter().filter(|entry| **entry != EMPTY) {
            larger.place(*entry);
        }
        *self = larger;
    }

    /// Removes an entry and moves up those behind it, so that no probe meets a gap.
    fn remove(&mut self, tag: u32, slot: u32) {
        let wanted = u64::from(tag) << 32 | u64::from(slot);
        let mut gap = self.bucket(tag);
        while self.entries[gap] != wanted {
            if self.entries[gap] == EMPTY {
                return;
            }
            gap = self.next(gap);
        }
        let mask = self.entries.len() - 1;
        let mut behind = self.next(gap);
        while self.entries[behind] != EMPTY {
            let home = self.bucket((self.entries[behind] >> 32) as u32);
            if (behind.wrapping_sub(home) & mask) >= (behind.wrapping_sub(gap) & mask) {
                self.entries[gap] = self.entries[behind];
                gap = behind;
            }
            behind = self.next(behind);
        }
        self.entries[gap] = EMPTY;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests;
