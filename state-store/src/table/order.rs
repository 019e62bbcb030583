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
            let mut items = Vec::with_capacity(self.unsorted.len());
            items.extend(self.unsorted.drain(..).map(|slot| (prefix(rows.key(slot)), slot)));
            items.retain(|item| !is_dead(&self.dead, item.1));
            sort_items(rows, &mut items);
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
    let mut items: Vec<Item> = slots.map(|slot| (prefix(rows.key(slot)), slot)).collect();
    sort_items(rows, &mut items);
    items.into_iter().map(|item| item.1).collect()
}

fn sort_items(rows: &Rows, items: &mut [Item]) {
    items.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| rows.key(a.1).cmp(rows.key(b.1))));
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
