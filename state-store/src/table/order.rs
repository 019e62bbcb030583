//! The key order of a table's rows: sorted runs of slots, made lazily and merged as they pile up.
//!
//! New rows wait unsorted until something scans. A removed row's slot stays out of use until the runs that still name
//! it have been rebuilt, so that a slot in a run always has the key it was sorted by.

use super::rows::Rows;
use crate::key::key_prefix as prefix;
use crate::key_range::KeyRange;

/// The first eight key bytes, which decide most comparisons, and the slot.
type Item = (u64, u32);

#[derive(Debug)]
pub(super) struct Order {
    runs: Vec<Run>,
    /// Added since the last sort.
    unsorted: Vec<u32>,
    /// One bit per slot: removed since it was added.
    dead: Vec<u64>,
    /// The slots of those bits.
    removed: Vec<u32>,
}

#[derive(Debug)]
struct Run {
    items: Vec<Item>,
    /// Items before this one are dead.
    start: usize,
}

impl Order {
    pub(super) fn new(slots: Vec<u32>) -> Self {
        Self { runs: Vec::new(), unsorted: slots, dead: Vec::new(), removed: Vec::new() }
    }

    pub(super) fn bytes(&self) -> usize {
        let items: usize = self.runs.iter().map(|run| run.items.capacity()).sum();
        items * size_of::<Item>()
            + self.unsorted.capacity() * 4
            + self.dead.capacity() * 8
            + self.removed.capacity() * 4
    }

    pub(super) fn added(&mut self, slot: u32) {
        self.unsorted.push(slot);
    }

    pub(super) fn removed(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if word >= self.dead.len() {
            self.dead.resize(word + 1, 0);
        }
        self.dead[word] |= 1 << (slot % 64);
        self.removed.push(slot);
    }

    /// Sorts what was added, and merges runs until each is at least twice as long as the next.
    pub(super) fn sort(&mut self, rows: &Rows) {
        if !self.unsorted.is_empty() {
            let mut slots = std::mem::take(&mut self.unsorted);
            slots.retain(|slot| !is_dead(&self.dead, *slot));
            sort_slots(rows, &mut slots);
            let items = slots.into_iter().map(|slot| (prefix(rows.key(slot)), slot)).collect();
            self.runs.push(Run { items, start: 0 });
        }
        while let [.., longer, shorter] = self.runs.as_slice()
            && longer.items.len() < 2 * shorter.items.len()
        {
            let (Some(right), Some(left)) = (self.runs.pop(), self.runs.pop()) else { return };
            let items = merge(rows, left.live(&self.dead), right.live(&self.dead));
            self.runs.push(Run { items, start: 0 });
        }
        for run in &mut self.runs {
            let dead = run.items[run.start..].iter().take_while(|item| is_dead(&self.dead, item.1)).count();
            run.start += dead;
        }
    }

    /// The live slots with keys in `range`, in order.
    pub(super) fn range(&self, rows: &Rows, range: &KeyRange) -> Vec<u32> {
        let mut result: Vec<Item> = Vec::new();
        for run in self.runs.iter().rev() {
            let items = &run.items[run.start..];
            let from = match range.start() {
                Some(start) => items.partition_point(|item| is_below(rows, *item, start)),
                None => 0,
            };
            let to = match range.end() {
                Some(end) => items.partition_point(|item| is_below(rows, *item, end)),
                None => items.len(),
            };
            let part = items.get(from..to).unwrap_or_default();
            let live = part.iter().copied().filter(|item| !is_dead(&self.dead, item.1));
            result = if result.is_empty() { live.collect() } else { merge(rows, live, result.into_iter()) };
        }
        result.into_iter().map(|item| item.1).collect()
    }

    /// When at least half of the items are dead: drops them and hands over their slots.
    pub(super) fn take_reusable(&mut self, rows: &Rows) -> Vec<u32> {
        let items: usize = self.runs.iter().map(|run| run.items.len()).sum();
        if self.removed.is_empty() || self.removed.len() * 2 < items + self.unsorted.len() {
            return Vec::new();
        }
        self.sort(rows);
        let runs = std::mem::take(&mut self.runs);
        let mut all: Vec<Item> = Vec::new();
        for run in runs.into_iter().rev() {
            all = merge(rows, run.live(&self.dead), all.into_iter());
        }
        self.runs.push(Run { items: all, start: 0 });
        self.dead.clear();
        std::mem::take(&mut self.removed)
    }
}

impl Run {
    fn live<'a>(&'a self, dead: &'a [u64]) -> impl Iterator<Item = Item> + 'a {
        self.items[self.start..].iter().copied().filter(|item| !is_dead(dead, item.1))
    }
}

/// These slots in key order.
pub(super) fn sorted(rows: &Rows, slots: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut slots: Vec<u32> = slots.collect();
    sort_slots(rows, &mut slots);
    slots
}

fn sort_slots(rows: &Rows, slots: &mut [u32]) {
    // What came in order lies in order.
    if slots.is_sorted_by(|a, b| rows.key(*a) <= rows.key(*b)) {
        return;
    }
    let telling = TellingBytes::of(slots.iter().map(|slot| rows.key(*slot)));
    let mut items: Vec<Item> = slots.iter().map(|slot| (telling.of_key(rows.key(*slot)), *slot)).collect();
    match telling.tell_all {
        true => items.sort_unstable_by_key(|item| item.0),
        false => items.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| rows.key(a.1).cmp(rows.key(b.1)))),
    }
    slots.iter_mut().zip(items).for_each(|(slot, item)| *slot = item.1);
}

/// The first eight places where some keys have different bytes. Keys sort as these bytes do, because at the places between
/// them all keys are alike; so the rows need not be looked at again, as they would be by the first bytes of keys, which the
/// rows of a window or of a bucket have in common.
struct TellingBytes {
    places: [u8; 8],
    count: usize,
    /// Whether keys with the same bytes at these places are equal.
    tell_all: bool,
}

/// Places of a key that are looked at.
const PLACES: usize = 64;

impl TellingBytes {
    fn of<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> Self {
        let first = keys.next().unwrap_or_default();
        let mut differences = [0; PLACES];
        let (mut shortest, mut longest) = (first.len(), first.len());
        for key in keys {
            (shortest, longest) = (shortest.min(key.len()), longest.max(key.len()));
            let places = shortest.min(PLACES);
            let (key, first, differences) = (&key[..places], &first[..places], &mut differences[..places]);
            (0..places).for_each(|place| differences[place] |= key[place] ^ first[place]);
        }
        let differ = differences[..shortest.min(PLACES)].iter().enumerate().filter(|(_, bits)| **bits != 0);
        let (mut places, mut count, mut all) = ([0; 8], 0, 0);
        for (place, _) in differ {
            if let Some(next) = places.get_mut(count) {
                *next = place as u8;
                count += 1;
            }
            all += 1;
        }
        Self { places, count, tell_all: all == count && shortest == longest && longest <= PLACES }
    }

    #[inline]
    fn of_key(&self, key: &[u8]) -> u64 {
        self.places[..self.count].iter().fold(0, |bytes, place| bytes << 8 | u64::from(key[usize::from(*place)]))
    }
}

fn merge(rows: &Rows, left: impl Iterator<Item = Item>, right: impl Iterator<Item = Item>) -> Vec<Item> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    let mut merged = Vec::with_capacity(left.size_hint().0 + right.size_hint().0);
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let left_first = a.0.cmp(&b.0).then_with(|| rows.key(a.1).cmp(rows.key(b.1))).is_le();
        merged.extend(if left_first { left.next() } else { right.next() });
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

fn is_below(rows: &Rows, item: Item, bound: &[u8]) -> bool {
    item.0.cmp(&prefix(bound)).then_with(|| rows.key(item.1).cmp(bound)).is_lt()
}

fn is_dead(dead: &[u64], slot: u32) -> bool {
    dead.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
}
