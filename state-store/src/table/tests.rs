//! The table against a BTreeMap.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::key_hash::hash_key;

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Range(Vec<u8>, Vec<u8>),
    Tidy,
}

fn steps(key_bytes: std::ops::Range<usize>, value_bytes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let key = || prop::collection::vec(0_u8..4, key_bytes.clone());
    let step = prop_oneof![
        6 => (key(), prop::collection::vec(any::<u8>(), value_bytes)).prop_map(|(key, value)| Step::Put(key, value)),
        3 => key().prop_map(Step::Remove),
        1 => (key(), key()).prop_map(|(a, b)| Step::Range(a, b)),
        1 => Just(Step::Tidy),
    ];
    prop::collection::vec(step, 0..300)
}

fn check(layout: RowLayout, steps: Vec<Step>) {
    let (mut table, mut model) = (Table::new(layout), BTreeMap::new());
    for step in steps {
        match step {
            Step::Put(key, value) => {
                let (slot, is_new) = table.find_or_insert(hash_key(&key), &key, value.len());
                table.set_value(slot, &value);
                assert_eq!(model.insert(key, value).is_none(), is_new);
            }
            Step::Remove(key) => {
                let slot = table.find_one(hash_key(&key), &key);
                assert_eq!(model.remove(&key).is_some(), slot != NONE);
                if slot != NONE {
                    table.remove(hash_key(&key), slot);
                }
            }
            Step::Range(start, end) => {
                let found = table.range(&KeyRange::between(start.clone(), end.clone()));
                let found: Vec<_> = found.iter().map(|slot| (table.key(*slot), table.value(*slot))).collect();
                let expected = model.iter().filter(|(key, _)| **key >= start && **key < end);
                assert_eq!(found, expected.map(|(key, value)| (key.as_slice(), value.as_slice())).collect::<Vec<_>>());
            }
            Step::Tidy => table.tidy(),
        }
        assert_eq!(table.len(), model.len());
    }
    let sorted: Vec<_> = table.sorted().iter().map(|slot| (table.key(*slot), table.value(*slot))).collect();
    assert_eq!(sorted, model.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn rows_of_one_length_are_as_in_a_map(steps in steps(5..6, 3..4)) {
        check(RowLayout::Fixed { key_bytes: 5, value_bytes: 3 }, steps);
    }

    #[test]
    fn rows_of_any_length_are_as_in_a_map(steps in steps(0..10, 0..20)) {
        check(RowLayout::Varying, steps);
    }

    /// Keys that are alike in most places, as those of one window are; short and long ones.
    #[test]
    fn key_order_is_that_of_bytes(
        common in proptest::collection::vec(any::<u8>(), 0..90),
        keys in proptest::collection::vec(proptest::collection::vec((0_usize..100, 0_u8..3), 0..12), 1..60),
        has_one_length in any::<bool>(),
    ) {
        let mut table = Table::new(RowLayout::Varying);
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|changes| {
            let mut key = common.clone();
            for (place, byte) in changes {
                match key.get_mut(place) {
                    Some(there) => *there = byte,
                    None if has_one_length => {}
                    None => key.push(byte),
                }
            }
            key
        }).collect();
        for key in &keys {
            table.find_or_insert(hash_key(key), key, 0);
        }
        let sorted: Vec<_> = table.sorted().iter().map(|slot| table.key(*slot)).collect();
        prop_assert_eq!(sorted, keys.iter().map(Vec::as_slice).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    }
}
