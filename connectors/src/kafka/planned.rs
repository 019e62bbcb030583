//! Which reader reads what: the ranges of a batch, dealt to a fixed number of readers.

use std::collections::{HashMap, HashSet};

use millstream_engine::source::Split;
use millstream_engine::{Error, Result};
use uuid::Uuid;

use super::limits::Range;
use super::offsets::TopicPartition;
use super::reader::Piece;

/// Below so many offsets no reader is spared work at the price of its prefetched messages.
const WORTH_MOVING: u64 = 20_000;

/// Which reader has which partition, from batch to batch: a partition stays with its reader, which has fetched ahead,
/// unless that would leave the others idle.
#[derive(Debug)]
pub(super) struct Readers {
    count: usize,
    home: HashMap<TopicPartition, usize>,
}

impl Readers {
    /// `count` readers, one at least.
    pub(super) fn new(count: usize) -> Self {
        Self { count: count.max(1), home: HashMap::new() }
    }

    /// The ranges of each reader.
    pub(super) fn deal(&mut self, ranges: Vec<Range>) -> Vec<Vec<Range>> {
        let total: u64 = ranges.iter().map(Range::size).sum();
        let is_cut = ranges.iter().zip(ranges.iter().skip(1)).any(|(a, b)| a.at == b.at);
        let mut dealt = self.by_home(&ranges);
        let largest = dealt.iter().map(|own| size(own)).max().unwrap_or(0);
        let fair = total.div_ceil(self.count as u64);
        let largest_range = ranges.iter().map(Range::size).max().unwrap_or(0);
        if is_cut || (total >= WORTH_MOVING && largest > fair.max(largest_range) + fair / 2) {
            dealt = self.by_size(&ranges);
            if !is_cut {
                let at_home = |(reader, own): (usize, &Vec<Range>)| {
                    own.iter().map(|range| (range.at.clone(), reader)).collect::<Vec<_>>()
                };
                self.home = dealt.iter().enumerate().flat_map(at_home).collect();
            }
        }
        dealt
    }

    fn by_home(&mut self, ranges: &[Range]) -> Vec<Vec<Range>> {
        let mut dealt = vec![Vec::new(); self.count];
        let mut known = vec![0usize; self.count];
        for reader in self.home.values() {
            known[*reader] += 1;
        }
        for range in ranges {
            let reader = *self.home.entry(range.at.clone()).or_insert_with(|| {
                let least = (0..known.len()).min_by_key(|reader| known[*reader]).unwrap_or(0);
                known[least] += 1;
                least
            });
            dealt[reader].push(range.clone());
        }
        dealt
    }

    /// The largest first, each to the reader with the least so far; within a reader in the order given.
    fn by_size(&self, ranges: &[Range]) -> Vec<Vec<Range>> {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(ranges[*index].size()));
        let (mut sizes, mut own) = (vec![0u64; self.count], vec![Vec::new(); self.count]);
        for index in order {
            let least = (0..self.count).min_by_key(|reader| (sizes[*reader], own[*reader].len())).unwrap_or(0);
            sizes[least] += ranges[index].size();
            own[least].push(index);
        }
        own.iter_mut().for_each(|indices| indices.sort_unstable());
        own.into_iter().map(|indices| indices.into_iter().map(|index| ranges[index].clone()).collect()).collect()
    }
}

fn size(ranges: &[Range]) -> u64 {
    ranges.iter().map(Range::size).sum()
}

/// A split for each reader that has anything to do.
pub(super) fn splits(run: Option<Uuid>, dealt: Vec<Vec<Range>>) -> Result<Vec<Split>> {
    let partitions: HashSet<&TopicPartition> = dealt.iter().flatten().map(|range| &range.at).collect();
    let lanes = partitions.len();
    let some = (0u32..).zip(dealt).filter(|(_, ranges)| !ranges.is_empty());
    some.map(|(slot, ranges)| {
        // Nobody knows the size of a message; all that counts is that splits are weighed alike.
        let size_bytes = size(&ranges).saturating_mul(100);
        let descriptor = serde_json::to_value(Piece { run, slot, lanes, ranges });
        let descriptor = descriptor.map_err(|e| Error::internal(format!("a split that is no JSON: {e}")))?;
        Ok(Split { descriptor, size_bytes })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(sizes: &[i64]) -> Vec<Range> {
        let range = |(p, size): (usize, &i64)| Range { at: TopicPartition::new("t", p as i32), from: 0, until: *size };
        sizes.iter().enumerate().map(range).collect()
    }

    fn dealt(readers: &mut Readers, sizes: &[i64]) -> Vec<Vec<i32>> {
        let dealt = readers.deal(ranges(sizes));
        dealt.iter().map(|own| own.iter().map(|range| range.at.partition).collect()).collect()
    }

    #[test]
    fn partitions_stay_with_their_reader_unless_that_is_unfair() {
        let mut readers = Readers::new(2);
        assert_eq!(dealt(&mut readers, &[5, 5, 5, 5]), [vec![0, 2], vec![1, 3]]);
        assert_eq!(dealt(&mut readers, &[9, 0, 9, 0]), [vec![0, 2], vec![1, 3]], "too few to be worth it");
        assert_eq!(dealt(&mut readers, &[90_000, 0, 90_000, 1]), [vec![0, 3], vec![1, 2]]);
        assert_eq!(dealt(&mut readers, &[1, 1, 1, 1, 1]), [vec![0, 3, 4], vec![1, 2]], "and there they stay");
        assert_eq!(dealt(&mut readers, &[900_000, 9, 9, 0]), [vec![0, 3], vec![1, 2]], "no reader can be spared this");
    }

    #[test]
    fn pieces_of_one_partition_go_to_all_readers() {
        let pieces: Vec<Range> =
            (0..4).map(|n| Range { at: TopicPartition::new("t", 0), from: n * 10, until: n * 10 + 10 }).collect();
        let dealt = Readers::new(2).deal(pieces);
        let starts: Vec<Vec<i64>> = dealt.iter().map(|own| own.iter().map(|range| range.from).collect()).collect();
        assert_eq!(starts, [vec![0, 20], vec![10, 30]]);
    }
}
