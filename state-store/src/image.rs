//! One version of one store in memory: all of it in a table, or its files with caches before them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{BlockCache, RowCache};
use crate::catalog::LayerPlan;
use crate::cursor::{Cursor, Merge};
use crate::draft::StoreCodec;
use crate::error::Result;
use crate::file::reader::{Segment, SegmentCursor};
use crate::id::VersionRef;
use crate::key::{Keys, key_prefix};
use crate::key_hash::hash_key;
use crate::key_range::KeyRange;
use crate::overlay::Overlay;
use crate::resident::Resident;
use crate::short_copy::{SLACK_BYTES, append};
use crate::table::{NONE, RowLayout, Table};

/// What one file, or the files that partitions of another number wrote, say about a store: segments of distinct keys.
pub(crate) type Layer = Vec<Segment>;

/// See the module's documentation. Clones share the content.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub reference: VersionRef,
    pub rows: u64,
    pub content: Content,
    /// Bytes of its segments on disk.
    pub disk_bytes: u64,
    /// Layers it was made of; maintenance folds them together.
    pub layer_count: usize,
    /// The schema of its newest segment.
    pub fingerprint: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Resident(Resident),
    Spilled(Arc<Spilled>),
}

/// A store that answers from its files.
#[derive(Debug)]
pub(crate) struct Spilled {
    /// Newest first.
    pub layers: Vec<Layer>,
    caches: Mutex<Caches>,
    cache_bytes: usize,
    pub cache_hits: AtomicU64,
    pub cache_misses: AtomicU64,
}

#[derive(Debug)]
struct Caches {
    rows: RowCache,
    blocks: BlockCache,
}

/// Copies of the values found for some rows of a batch.
#[derive(Debug)]
pub(crate) struct Answers {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
enum Span {
    Unknown,
    Absent,
    At(usize, usize),
}

impl Answers {
    fn new(count: usize) -> Self {
        Self { bytes: Vec::new(), spans: vec![Span::Unknown; count] }
    }

    /// Room for the answers of `count` rows with values of about `value_bytes`.
    pub(crate) fn with_capacity(count: usize, value_bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(count * value_bytes + SLACK_BYTES), spans: Vec::with_capacity(count) }
    }

    /// The answer of the next row; what is `None` is known to be absent.
    #[inline]
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.spans.push(match value {
            Some(value) => {
                append(&mut self.bytes, value);
                Span::At(start, self.bytes.len())
            }
            None => Span::Absent,
        });
    }

    /// The values of all rows.
    pub(crate) fn values(&self) -> Vec<Option<&[u8]>> {
        (0..self.spans.len()).map(|at| self.value(at)).collect()
    }

    /// The value found for the n-th row that was asked for.
    pub(crate) fn value(&self, at: usize) -> Option<&[u8]> {
        match self.spans[at] {
            Span::At(start, end) => Some(&self.bytes[start..end]),
            Span::Absent | Span::Unknown => None,
        }
    }

    /// What the first of two says, and where it does not know, the second.
    pub(crate) fn first_known(count: usize, first: &Self, second: &Self) -> Self {
        let mut answers = Self::new(count);
        for at in 0..count {
            answers.set(at, if first.is_known(at) { first.value(at) } else { second.value(at) });
        }
        answers
    }

    /// Whether the layers say anything of it.
    pub(crate) fn is_known(&self, at: usize) -> bool {
        !matches!(self.spans[at], Span::Unknown)
    }

    fn set(&mut self, at: usize, value: Option<&[u8]>) {
        self.spans[at] = match value {
            Some(value) => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(value);
                Span::At(start, self.bytes.len())
            }
            None => Span::Absent,
        };
    }
}

impl Image {
    /// Whether both are the same version in the same memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.reference == other.reference
            && match (&self.content, &other.content) {
                (Content::Resident(a), Content::Resident(b)) => a.is(b),
                (Content::Spilled(a), Content::Spilled(b)) => Arc::ptr_eq(a, b),
                _ => false,
            }
    }

    /// It has one layer more, written with this schema.
    pub(crate) fn changed(&mut self, layer: &LayerPlan, codec: &StoreCodec) {
        self.disk_bytes += layer.bytes();
        self.layer_count += 1;
        self.fingerprint = Some(codec.fingerprint);
    }

    pub(crate) fn is_resident(&self) -> bool {
        matches!(self.content, Content::Resident(_))
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.content {
            Content::Resident(table) => table.bytes(),
            Content::Spilled(spilled) => spilled.bytes(),
        }
    }

    /// Memory it may take before anybody asks again: caches fill up.
    pub(crate) fn reserved_bytes(&self) -> usize {
        match &self.content {
            Content::Resident(table) => table.bytes(),
            Content::Spilled(spilled) => spilled.directory_bytes() + spilled.cache_bytes,
        }
    }
}

impl Spilled {
    /// A store with these layers, newest first, whose caches take up to `cache_bytes`.
    pub(crate) fn new(layers: Vec<Layer>, layout: RowLayout, cache_bytes: usize) -> Self {
        // Rows are what look-ups need again; blocks serve neighbours within a few batches only.
        let block_bytes = cache_bytes / 16;
        let caches =
            Caches { rows: RowCache::new(layout, cache_bytes - block_bytes), blocks: BlockCache::new(block_bytes) };
        let (cache_hits, cache_misses) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { layers, caches: Mutex::new(caches), cache_bytes, cache_hits, cache_misses }
    }

    /// The values of the keys in these rows.
    pub(crate) fn find(&self, keys: &Keys, rows: &[u32]) -> Result<Answers> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let Caches { rows: cache, blocks } = &mut *caches;
        let mut answers = Answers::new(keys.len());
        let mut unknown = cache.find(keys, rows, |row, value| answers.set(row as usize, value));
        self.cache_hits.fetch_add((rows.len() - unknown.len()) as u64, Ordering::Relaxed);
        self.cache_misses.fetch_add(unknown.len() as u64, Ordering::Relaxed);
        sort_by_key(keys, &mut unknown);
        find_in_layers(&self.layers, keys, &unknown, &mut answers, Some(blocks))?;
        for row in unknown {
            let row = row as usize;
            cache.put(keys.hashes()[row], keys.key(row), answers.value(row));
        }
        answers.spans = rows.iter().map(|row| answers.spans[*row as usize]).collect();
        Ok(answers)
    }

    /// Becomes the next version, by changes that were made on top of it; `layers` hold them, too.
    pub(crate) fn apply(&mut self, overlay: &Overlay, layers: Vec<Layer>) {
        self.layers.splice(0..0, layers);
        let caches = self.caches.get_mut().unwrap_or_else(PoisonError::into_inner);
        overlay.for_each_change(|hash, key, value| caches.rows.put(hash, key, value));
    }

    fn bytes(&self) -> usize {
        let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.rows.bytes() + caches.blocks.bytes() + self.directory_bytes()
    }

    fn directory_bytes(&self) -> usize {
        self.layers.iter().flatten().map(Segment::resident_bytes).sum()
    }
}

/// Cursors over the rows of these layers that are in the range, newest first.
pub(crate) fn segment_cursors<'a>(layers: &[Layer], range: &KeyRange) -> Result<Vec<Cursor<'a>>> {
    let segments = layers.iter().flatten();
    segments.map(|segment| Ok(Cursor::Segment(Box::new(SegmentCursor::new(segment.clone(), range)?)))).collect()
}

/// The rows of these layers, in key order.
pub(crate) fn merge_layers<'a>(layers: &[Layer], range: &KeyRange) -> Result<Merge<'a>> {
    Ok(Merge::new(segment_cursors(layers, range)?))
}

/// All live rows of these layers in a table.
pub(crate) fn load_table(layers: &[Layer], layout: RowLayout, rows: usize) -> Result<Table> {
    let mut table = Table::new(layout);
    table.reserve(rows);
    for (age, layer) in layers.iter().rev().enumerate() {
        for segment in layer {
            let mut cursor = SegmentCursor::new(segment.clone(), &KeyRange::all())?;
            while let Some(key) = cursor.key() {
                let hash = hash_key(key);
                match cursor.value() {
                    // Keys of the oldest layer are distinct.
                    Some(value) if age == 0 => {
                        table.insert_row(hash, key, value);
                    }
                    Some(value) => {
                        let (slot, _) = table.find_or_insert(hash, key, value.len());
                        table.set_value(slot, value);
                    }
                    None => match table.find_one(hash, key) {
                        NONE => {}
                        slot => table.remove(hash, slot),
                    },
                }
                cursor.advance()?;
            }
        }
    }
    Ok(table)
}

/// Looks the keys of `rows` up, which are in key order: each block is read once. Rows that no layer knows stay unknown.
pub(crate) fn find_in_layers(
    layers: &[Layer],
    keys: &Keys,
    rows: &[u32],
    answers: &mut Answers,
    mut cache: Option<&mut BlockCache>,
) -> Result<()> {
    let mut left: Vec<u32> = rows.to_vec();
    for segment in layers.iter().flatten() {
        if left.is_empty() {
            break;
        }
        let mut current: Option<(usize, crate::file::block::Block)> = None;
        let mut still_left = Vec::with_capacity(left.len());
        for row in left {
            let (at, key) = (row as usize, keys.key(row as usize));
            let from = current.as_ref().map_or(0, |(number, _)| *number);
            let block = segment.may_contain(keys.hashes()[at]).then(|| segment.block_from(from, key)).flatten();
            let Some(number) = block else {
                still_left.push(row);
                continue;
            };
            let block = match &mut current {
                Some((loaded, block)) if *loaded == number => block,
                current => {
                    let block = load_block(segment, number, cache.as_deref_mut())?;
                    &mut current.insert((number, block)).1
                }
            };
            match block.find(key) {
                None => still_left.push(row),
                Some(found) if block.is_removed(found) => answers.spans[at] = Span::Absent,
                Some(found) => {
                    let start = answers.bytes.len();
                    block.append_value(found, &mut answers.bytes);
                    answers.spans[at] = Span::At(start, answers.bytes.len());
                }
            }
        }
        left = still_left;
    }
    Ok(())
}

/// Answers of layers without caches: what a large batch has put aside.
pub(crate) fn find_in_runs(layers: &[Layer], keys: &Keys, rows: &[u32]) -> Result<Answers> {
    let mut answers = Answers::new(keys.len());
    let mut sorted = rows.to_vec();
    sort_by_key(keys, &mut sorted);
    find_in_layers(layers, keys, &sorted, &mut answers, None)?;
    answers.spans = rows.iter().map(|row| answers.spans[*row as usize]).collect();
    Ok(answers)
}

fn load_block(segment: &Segment, number: usize, cache: Option<&mut BlockCache>) -> Result<crate::file::block::Block> {
    let Some(cache) = cache else { return segment.read_block(number) };
    if let Some(block) = cache.get(segment.number, number) {
        return Ok(block);
    }
    let block = segment.read_block(number)?;
    cache.put(segment.number, number, block.clone());
    Ok(block)
}

fn sort_by_key(keys: &Keys, rows: &mut [u32]) {
    let mut items: Vec<(u64, u32)> = rows.iter().map(|row| (key_prefix(keys.key(*row as usize)), *row)).collect();
    items.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| keys.key(a.1 as usize).cmp(keys.key(b.1 as usize))));
    rows.iter_mut().zip(items).for_each(|(row, item)| *row = item.1);
}
