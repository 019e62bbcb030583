//! Where a table's rows lie: in chunks, so that growing moves nothing.
//!
//! Rows of one length lie side by side, key then value. Rows of different lengths lie in an arena, and their slots
//! point there.

use crate::short_copy;

/// Rows in a chunk of rows of one length; a power of two.
const CHUNK_ROWS: usize = 1 << CHUNK_SHIFT;
const CHUNK_SHIFT: u32 = 14;

/// Rows that a small store has room for at first.
const MIN_ROWS: usize = 16;

/// Bytes in a chunk of the arena, unless one row is larger.
const ARENA_CHUNK_BYTES: usize = 1 << 20;

/// Dead bytes that are not worth the work.
const LEAST_DEAD_BYTES: usize = 16 << 10;

/// The lengths of keys and values, where they are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowLayout {
    Fixed { key_bytes: usize, value_bytes: usize },
    Varying,
}

#[derive(Debug)]
pub(super) enum Rows {
    Fixed(FixedRows),
    Varying(VaryingRows),
}

impl Rows {
    pub(super) fn new(layout: RowLayout) -> Self {
        match layout {
            RowLayout::Fixed { key_bytes, value_bytes } => {
                let stride = key_bytes + value_bytes;
                Self::Fixed(FixedRows { key_bytes, stride, chunks: Vec::new(), used: 0, free: Vec::new() })
            }
            RowLayout::Varying => Self::Varying(VaryingRows::default()),
        }
    }

    pub(super) fn value_bytes(&self) -> Option<usize> {
        match self {
            Self::Fixed(rows) => Some(rows.stride - rows.key_bytes),
            Self::Varying(_) => None,
        }
    }

    pub(super) fn slots(&self) -> usize {
        match self {
            Self::Fixed(rows) => rows.used,
            Self::Varying(rows) => rows.slots.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Fixed(rows) => {
                rows.chunks.iter().map(|chunk| chunk.capacity()).sum::<usize>() + rows.free.capacity() * 4
            }
            Self::Varying(rows) => {
                rows.chunks.iter().map(|chunk| chunk.capacity()).sum::<usize>()
                    + rows.slots.capacity() * size_of::<Slot>()
                    + rows.free.capacity() * 4
            }
        }
    }

    /// Reads a little of each of these rows, so that they are in the CPU's cache when they are looked at in earnest: a
    /// loop that does nothing else has more cache misses under way at a time. Slots of no row are fine.
    #[inline]
    pub(super) fn fetch(&self, slots: &[u32]) {
        let mut sum = 0_u8;
        match self {
            Self::Fixed(rows) => {
                let (Some(last), Some(end)) = (rows.used.checked_sub(1), rows.stride.checked_sub(1)) else { return };
                for slot in slots {
                    let row = rows.row((*slot).min(last as u32));
                    sum ^= row[0] ^ row[end];
                }
            }
            Self::Varying(rows) => {
                for at in slots.iter().filter_map(|slot| rows.slots.get(*slot as usize)) {
                    sum ^= rows.chunks[at.chunk as usize].get(at.start as usize).copied().unwrap_or(0);
                }
            }
        }
        std::hint::black_box(sum);
    }

    #[inline]
    pub(super) fn key(&self, slot: u32) -> &[u8] {
        match self {
            Self::Fixed(rows) => &rows.row(slot)[..rows.key_bytes],
            Self::Varying(rows) => {
                let at = &rows.slots[slot as usize];
                &rows.chunks[at.chunk as usize][at.start as usize..][..at.key_bytes as usize]
            }
        }
    }

    #[inline]
    pub(super) fn value(&self, slot: u32) -> &[u8] {
        match self {
            Self::Fixed(rows) => &rows.row(slot)[rows.key_bytes..],
            Self::Varying(rows) => {
                let at = &rows.slots[slot as usize];
                &rows.chunks[at.chunk as usize][(at.start + at.key_bytes) as usize..][..at.value_bytes as usize]
            }
        }
    }

    /// A new row with this key; its value is to be set.
    pub(super) fn add(&mut self, key: &[u8], value_len: usize) -> u32 {
        match self {
            Self::Fixed(rows) => rows.add(key),
            Self::Varying(rows) => rows.add(key, value_len),
        }
    }

    /// A new row.
    #[inline]
    pub(super) fn add_row(&mut self, key: &[u8], value: &[u8]) -> u32 {
        match self {
            Self::Fixed(rows) => {
                let slot = rows.free.pop().unwrap_or_else(|| rows.next());
                let (to_key, to_value) = rows.row_mut(slot).split_at_mut(key.len());
                short_copy::copy(to_key, key);
                short_copy::copy(to_value, value);
                slot
            }
            Self::Varying(rows) => {
                let slot = rows.add(key, value.len());
                rows.set_value(slot, value);
                slot
            }
        }
    }

    /// The value in a slot, to be replaced by one of the same length; `None` where lengths differ.
    #[inline]
    pub(super) fn value_mut(&mut self, slot: u32) -> Option<&mut [u8]> {
        match self {
            Self::Fixed(rows) => {
                let key_bytes = rows.key_bytes;
                Some(&mut rows.row_mut(slot)[key_bytes..])
            }
            Self::Varying(_) => None,
        }
    }

    pub(super) fn set_value(&mut self, slot: u32, value: &[u8]) {
        match self {
            Self::Fixed(rows) => {
                let key_bytes = rows.key_bytes;
                short_copy::copy(&mut rows.row_mut(slot)[key_bytes..], value);
            }
            Self::Varying(rows) => rows.set_value(slot, value),
        }
    }

    /// Makes room for the first rows of an empty table.
    pub(super) fn reserve(&mut self, rows: usize) {
        match self {
            Self::Fixed(fixed) if fixed.chunks.is_empty() && (1..CHUNK_ROWS).contains(&rows) => {
                fixed.chunks.push(vec![0; rows * fixed.stride]);
            }
            Self::Fixed(_) => {}
            Self::Varying(varying) => varying.slots.reserve(rows.saturating_sub(varying.slots.len())),
        }
    }

    /// The slot may be given to another row.
    pub(super) fn free(&mut self, slot: u32) {
        match self {
            Self::Fixed(rows) => rows.free(slot),
            Self::Varying(rows) => {
                rows.dead_bytes += rows.slots[slot as usize].row_bytes();
                if slot as usize == rows.slots.len() - 1 {
                    rows.slots.pop();
                    return;
                }
                rows.slots[slot as usize] = Slot::default();
                rows.free.push(slot);
            }
        }
    }

    /// Copies the arena together when more than a third of it is dead.
    pub(super) fn compact(&mut self) {
        if let Self::Varying(rows) = self
            && rows.dead_bytes > LEAST_DEAD_BYTES
            && rows.dead_bytes * 3 > rows.chunks.iter().map(Vec::len).sum::<usize>()
        {
            rows.compact();
        }
    }
}

#[derive(Debug)]
pub(super) struct FixedRows {
    key_bytes: usize,
    stride: usize,
    chunks: Vec<Vec<u8>>,
    used: usize,
    free: Vec<u32>,
}

impl FixedRows {
    #[inline]
    fn row(&self, slot: u32) -> &[u8] {
        let start = (slot as usize % CHUNK_ROWS) * self.stride;
        &self.chunks[slot as usize >> CHUNK_SHIFT][start..start + self.stride]
    }

    #[inline]
    fn row_mut(&mut self, slot: u32) -> &mut [u8] {
        let start = (slot as usize % CHUNK_ROWS) * self.stride;
        &mut self.chunks[slot as usize >> CHUNK_SHIFT][start..start + self.stride]
    }

    /// A row with this key; its value is to be set.
    fn add(&mut self, key: &[u8]) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| self.next());
        let key_bytes = self.key_bytes;
        short_copy::copy(&mut self.row_mut(slot)[..key_bytes], key);
        slot
    }

    /// The last row gives back its space, others their slots.
    fn free(&mut self, slot: u32) {
        if slot as usize != self.used - 1 {
            self.free.push(slot);
            return;
        }
        self.used -= 1;
        self.chunks.truncate(self.used.div_ceil(CHUNK_ROWS));
    }

    /// The slot of a new row at the end.
    #[inline]
    fn next(&mut self) -> u32 {
        let slot = self.used;
        let end = (slot % CHUNK_ROWS + 1) * self.stride;
        if self.chunks.get(slot >> CHUNK_SHIFT).is_none_or(|chunk| chunk.len() < end) {
            self.grow(slot);
        }
        self.used += 1;
        u32::try_from(slot).expect("a state partition has fewer than 2^32 rows in memory")
    }

    /// Makes room for a row at the end. The first chunk of a small store grows with it; later ones are made whole.
    fn grow(&mut self, slot: usize) {
        if slot >= CHUNK_ROWS {
            self.chunks.push(vec![0; CHUNK_ROWS * self.stride]);
            return;
        }
        let rows = (slot * 2).clamp(MIN_ROWS, CHUNK_ROWS);
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
        }
        self.chunks[0].resize(rows * self.stride, 0);
    }
}

#[derive(Debug, Default)]
pub(super) struct VaryingRows {
    slots: Vec<Slot>,
    chunks: Vec<Vec<u8>>,
    dead_bytes: usize,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    chunk: u32,
    start: u32,
    key_bytes: u32,
    value_bytes: u32,
}

impl Slot {
    fn row_bytes(&self) -> usize {
        self.key_bytes as usize + self.value_bytes as usize
    }
}

impl VaryingRows {
    fn add(&mut self, key: &[u8], value_len: usize) -> u32 {
        let mut slot = self.allocate(key.len(), value_len);
        let chunk = &mut self.chunks[slot.chunk as usize];
        chunk[slot.start as usize..][..key.len()].copy_from_slice(key);
        slot.key_bytes = key.len() as u32;
        slot.value_bytes = value_len as u32;
        match self.free.pop() {
            Some(free) => {
                self.slots[free as usize] = slot;
                free
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("a state partition has fewer than 2^32 rows in memory")
            }
        }
    }

    /// Space for a row at the end of the arena.
    fn allocate(&mut self, key_len: usize, value_len: usize) -> Slot {
        let bytes = key_len + value_len;
        let fits = |chunk: &Vec<u8>| chunk.len() + bytes <= ARENA_CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            let capacity = if self.chunks.is_empty() { bytes } else { bytes.max(ARENA_CHUNK_BYTES) };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let chunk = self.chunks.len() - 1;
        let start = self.chunks[chunk].len();
        self.chunks[chunk].resize(start + bytes, 0);
        Slot { chunk: chunk as u32, start: start as u32, key_bytes: key_len as u32, value_bytes: value_len as u32 }
    }

    fn set_value(&mut self, slot: u32, value: &[u8]) {
        let old = self.slots[slot as usize];
        if value.len() <= old.value_bytes as usize {
            let start = (old.start + old.key_bytes) as usize;
            self.chunks[old.chunk as usize][start..start + value.len()].copy_from_slice(value);
            self.slots[slot as usize].value_bytes = value.len() as u32;
            self.dead_bytes += old.value_bytes as usize - value.len();
            return;
        }
        let new = self.allocate(old.key_bytes as usize, value.len());
        let key = self.chunks[old.chunk as usize][old.start as usize..][..old.key_bytes as usize].to_vec();
        let row = &mut self.chunks[new.chunk as usize][new.start as usize..][..new.row_bytes()];
        row[..key.len()].copy_from_slice(&key);
        row[key.len()..].copy_from_slice(value);
        self.dead_bytes += old.row_bytes();
        self.slots[slot as usize] = new;
    }

    fn compact(&mut self) {
        let old = std::mem::take(&mut self.chunks);
        for slot in 0..self.slots.len() {
            let from = self.slots[slot];
            let to = self.allocate(from.key_bytes as usize, from.value_bytes as usize);
            let row = &old[from.chunk as usize][from.start as usize..][..from.row_bytes()];
            self.chunks[to.chunk as usize][to.start as usize..][..row.len()].copy_from_slice(row);
            self.slots[slot] = to;
        }
        self.dead_bytes = 0;
    }
}
