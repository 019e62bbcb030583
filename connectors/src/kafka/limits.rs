//! How much a batch takes, and how it is cut into pieces: Spark's rules, as plain functions of numbers.

use millstream_engine::source::ReadLimit;
use serde::{Deserialize, Serialize};

use super::offsets::{Positions, TopicPartition};

/// The limits of a batch, as read from [`ReadLimit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// `minOffsetsPerTrigger`, and `maxTriggerDelay` in milliseconds.
    pub(super) min: Option<(u64, u64)>,
    /// `maxOffsetsPerTrigger`.
    pub(super) max: Option<u64>,
}

impl Limits {
    /// What `limit` asks for; none at all where everything is to be taken.
    pub(super) fn of(limit: &ReadLimit) -> Self {
        let single = std::slice::from_ref(limit);
        let all = if let ReadLimit::All(all) = limit { all.as_slice() } else { single };
        let mut limits = Self::default();
        for limit in all {
            match limit {
                ReadLimit::AllAvailable => return Self::default(),
                ReadLimit::MaxRows(rows) => limits.max = Some(*rows),
                ReadLimit::MinRows { rows, max_delay_ms } => limits.min = Some((*rows, *max_delay_ms)),
                _ => {}
            }
        }
        limits
    }

    /// The limit that the loop is to hand back.
    pub(super) fn read_limit(self) -> ReadLimit {
        let min = self.min.map(|(rows, max_delay_ms)| ReadLimit::MinRows { rows, max_delay_ms });
        let mut all: Vec<ReadLimit> = min.into_iter().chain(self.max.map(ReadLimit::MaxRows)).collect();
        match all.len() {
            0 => ReadLimit::AllAvailable,
            1 => all.remove(0),
            _ => ReadLimit::All(all),
        }
    }
}

/// How many offsets there are from `from` to `until`; partitions that are not in `from` count from `new`.
pub(super) fn backlog(from: &Positions, new: &Positions, until: &Positions) -> i64 {
    let size = |(at, end): (&TopicPartition, &i64)| begin(at, from, new).map_or(0, |begin| end - begin);
    until.iter().map(size).sum()
}

/// The end of a batch of about `limit` offsets: each partition gives its share of the limit by its share of the backlog,
/// in floating point and in this order, so that 30 and 14 under a limit of 22 give 14 and 7; where the share is below one
/// offset, one.
pub(super) fn prorated(limit: u64, from: &Positions, new: &Positions, until: &Positions) -> Positions {
    let size = |at: &TopicPartition, end: i64| begin(at, from, new).map(|b| end - b).filter(|size| *size > 0);
    let total = until.iter().filter_map(|(at, end)| size(at, *end)).sum::<i64>() as f64;
    let cut = |(at, end): (&TopicPartition, &i64)| {
        let cut = size(at, *end).and_then(|size| {
            let share = limit as f64 * (size as f64 / total);
            // Of a partition with little in it something is taken all the same.
            let offsets = if share < 1.0 { share.ceil() } else { share.floor() };
            Some(begin(at, from, new)?.saturating_add(offsets as i64).min(*end))
        });
        (at.clone(), cut.unwrap_or(*end))
    };
    until.iter().map(cut).collect()
}

fn begin(at: &TopicPartition, from: &Positions, new: &Positions) -> Option<i64> {
    from.get(at).or_else(|| new.get(at)).copied()
}

/// Offsets of one partition: from `from` up to, and without, `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    /// Of which partition.
    pub(super) at: TopicPartition,
    /// The first.
    pub(super) from: i64,
    /// One behind the last.
    pub(super) until: i64,
}

impl Range {
    /// How many offsets; not how many messages.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.until - self.from).unwrap_or(0)
    }

    /// `parts` ranges that together are this one; what does not divide goes to the last ones.
    fn divided(&self, parts: u64) -> impl Iterator<Item = Self> {
        let parts = parts.clamp(1, self.size().max(1));
        let (mut from, mut left) = (self.from, self.size());
        (0..parts).map(move |part| {
            let size = left / (parts - part);
            left -= size;
            let start = from;
            from += i64::try_from(size).unwrap_or(i64::MAX);
            Self { at: self.at.clone(), from: start, until: from }
        })
    }
}

/// The ranges that are not empty, cut so that none has more than `max_records` offsets, and then so that there are about
/// `min_partitions` of them, larger ones into more pieces.
pub(super) fn cut(ranges: &[Range], max_records: Option<u64>, min_partitions: Option<u64>) -> Vec<Range> {
    let some = ranges.iter().filter(|range| range.size() > 0);
    let ranges: Vec<Range> = match max_records {
        Some(max) => some.flat_map(|range| range.divided(range.size().div_ceil(max.max(1)))).collect(),
        None => some.cloned().collect(),
    };
    let total: u64 = ranges.iter().map(Range::size).sum();
    match min_partitions {
        Some(min) if min > ranges.len() as u64 => ranges
            .iter()
            .flat_map(|range| range.divided((range.size() as f64 / total as f64 * min as f64).round() as u64))
            .collect(),
        _ => ranges,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn positions(values: &[i64]) -> Positions {
        values.iter().enumerate().map(|(p, value)| (at(p as i32), *value)).collect()
    }

    #[test]
    fn a_limit_is_shared_out_as_in_spark() {
        // Backlog by partition, limit, what each gives.
        for (backlog, limit, expected) in [
            (vec![10, 5, 1], 8, vec![5, 2, 1]),
            (vec![30, 14], 22, vec![14, 7]),
            (vec![40, 1, 0], 10, vec![9, 1, 0]),
            (vec![1, 1, 1], 1, vec![1, 1, 1]),
            (vec![3, 1], i64::MAX as u64, vec![3, 1]),
            (vec![0, 0], 5, vec![0, 0]),
            (vec![6, 1, 3], 5, vec![3, 1, 1]),
            (vec![5, -3], 4, vec![4, -3]),
        ] {
            let until = prorated(limit, &positions(&vec![0; backlog.len()]), &Positions::new(), &positions(&backlog));
            assert_eq!(until, positions(&expected), "{backlog:?} with {limit}");
        }
    }

    #[test]
    fn partitions_that_are_new_count_from_their_beginning() {
        let (from, new) = (Positions::from([(at(0), 90)]), Positions::from([(at(1), 100)]));
        let until = positions(&[100, 110]);
        assert_eq!(backlog(&from, &new, &until), 20);
        assert_eq!(prorated(10, &from, &new, &until), positions(&[95, 105]));
        assert_eq!(prorated(10, &from, &Positions::new(), &until), positions(&[100, 110]), "a beginning unknown");
        assert_eq!(
            prorated(u64::MAX, &positions(&[i64::MAX - 1]), &new, &positions(&[i64::MAX])),
            positions(&[i64::MAX])
        );
    }

    #[test]
    fn limits_travel_through_the_loop() {
        for limits in [
            Limits::default(),
            Limits { min: Some((4, 1000)), max: None },
            Limits { min: None, max: Some(6) },
            Limits { min: Some((4, 1000)), max: Some(6) },
        ] {
            assert_eq!(Limits::of(&limits.read_limit()), limits);
        }
        let everything = ReadLimit::All(vec![ReadLimit::MaxRows(1), ReadLimit::AllAvailable]);
        assert_eq!(Limits::of(&everything), Limits::default());
    }

    #[test]
    fn ranges_are_cut_by_size() {
        let ranges: Vec<Range> = [(0, 10), (5, 8), (3, 3)]
            .into_iter()
            .zip(0..)
            .map(|((from, until), p)| Range { at: at(p), from, until })
            .collect();
        for (max_records, min_partitions, expected) in [
            (None, None, vec![(0, 0, 10), (1, 5, 8)]),
            (Some(4), None, vec![(0, 0, 3), (0, 3, 6), (0, 6, 10), (1, 5, 8)]),
            (None, Some(2), vec![(0, 0, 10), (1, 5, 8)]),
            (None, Some(4), vec![(0, 0, 3), (0, 3, 6), (0, 6, 10), (1, 5, 8)]),
            (Some(5), Some(2), vec![(0, 0, 5), (0, 5, 10), (1, 5, 8)]),
            (Some(1), Some(1000), (0..10).map(|o| (0, o, o + 1)).chain((5..8).map(|o| (1, o, o + 1))).collect()),
        ] {
            let cut: Vec<(i32, i64, i64)> =
                cut(&ranges, max_records, min_partitions).iter().map(|r| (r.at.partition, r.from, r.until)).collect();
            assert_eq!(cut, expected, "{max_records:?} {min_partitions:?}");
        }
    }
}
