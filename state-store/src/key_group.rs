//! The address of a key that outlives any number of state partitions: key → key group → state partition.

use std::ops::Range;

/// Key groups there are. Fixed for ever: state files are addressed by them.
pub const KEY_GROUPS: u16 = 4096;

/// The name of a last key column, of type UInt16, that says the key group of its row.
///
/// Where several keys of a store must lie in one state partition (all sessions of a user, say), the key group cannot come
/// from the hash of the whole key: such a store's key ends with this column, and its values are what counts.
pub const KEY_GROUP_COLUMN: &str = "__key_group";

/// The key group of a key with this [stable hash](crate::hash_key): its low 12 bits.
pub fn key_group(hash: u64) -> u16 {
    (hash % u64::from(KEY_GROUPS)) as u16
}

/// The state partition, of `partitions`, that a key group belongs to: `group × partitions / 4096`, rounded down.
pub fn partition_of(key_group: u16, partitions: usize) -> usize {
    usize::from(key_group) * partitions / usize::from(KEY_GROUPS)
}

/// The key groups of state partition `partition` of `partitions`: a contiguous range, empty for some partitions when
/// there are more of them than key groups.
pub fn key_groups_of(partition: usize, partitions: usize) -> Range<u16> {
    let start = |partition: usize| {
        let start = (partition * usize::from(KEY_GROUPS)).div_ceil(partitions.max(1));
        u16::try_from(start).unwrap_or(KEY_GROUPS).min(KEY_GROUPS)
    };
    start(partition)..start(partition + 1)
}

/// The key group that a key ends with: the last column's value, big-endian, as Arrow's row format has it.
pub(crate) fn named_key_group(key: &[u8]) -> u16 {
    key.last_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_partition_numbers_agree_and_are_even() {
        for partitions in (1..=40).chain([64, 100, 1000, 4095, 4096, 5000]) {
            let mut next = 0;
            for partition in 0..partitions {
                let range = key_groups_of(partition, partitions);
                assert_eq!(range.start, next, "partition {partition} of {partitions}");
                next = range.end;
                for group in range.clone() {
                    assert_eq!(partition_of(group, partitions), partition, "group {group} of {partitions}");
                }
                let even = usize::from(KEY_GROUPS) / partitions;
                assert!((even..=even + 1).contains(&range.len()), "partition {partition} of {partitions}: {range:?}");
            }
            assert_eq!(next, KEY_GROUPS);
        }
    }

    #[test]
    fn the_partitions_of_three_are_written_down() {
        let ranges: Vec<_> = (0..3).map(|partition| key_groups_of(partition, 3)).collect();
        assert_eq!(ranges, [0..1366, 1366..2731, 2731..4096]);
    }
}
