//! A table that is changed in place, against two BTreeMaps: the version underneath and the draft.

use std::collections::BTreeMap;

use arrow_array::BinaryArray;
use proptest::prelude::*;

use super::*;
use crate::table::RowLayout;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(Vec<u8>, Vec<u8>)>),
    PutWhereAbsent(Vec<(Vec<u8>, Vec<u8>)>),
    Remove(Vec<Vec<u8>>),
    RemoveRange(Vec<u8>, Vec<u8>),
    /// What was changed becomes the version underneath, or never happened.
    Keep,
    Undo,
}

fn steps(lengths: impl Strategy<Value = Vec<u8>> + Clone + 'static) -> impl Strategy<Value = Vec<Step>> {
    let key = || prop::collection::vec(0_u8..3, 4);
    let rows = move || prop::collection::vec((key(), lengths.clone()), 1..12);
    let step = prop_oneof![
        4 => rows().prop_map(Step::Put),
        2 => rows().prop_map(Step::PutWhereAbsent),
        2 => prop::collection::vec(key(), 1..12).prop_map(Step::Remove),
        1 => (key(), key()).prop_map(|(a, b)| Step::RemoveRange(a, b)),
        1 => Just(Step::Keep),
        1 => Just(Step::Undo),
    ];
    prop::collection::vec(step, 0..60)
}

fn keys(keys: &[Vec<u8>]) -> Keys {
    Keys::from_bytes(BinaryArray::from_iter_values(keys)).expect("keys")
}

fn packed(rows: &[(Vec<u8>, Vec<u8>)]) -> (Keys, PackedRows) {
    let (own, values): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
    (keys(&own), PackedRows::of(&values))
}

/// All rows, by look-ups, and in order.
fn check_rows(lease: &Lease, expected: &Rows) {
    assert_eq!(lease.rows(), expected.len() as u64);
    let mut found = Vec::new();
    let slots = lease.range(&KeyRange::all()).expect("slots");
    let mut push = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    lease.read(&slots, &mut push).expect("rows");
    assert_eq!(found, expected.clone().into_iter().collect::<Vec<_>>());
    if !expected.is_empty() {
        let all: Vec<Vec<u8>> = expected.keys().cloned().collect();
        let rows: Vec<u32> = (0..all.len() as u32).collect();
        let answers = lease.find(&keys(&all), &rows).expect("answers");
        expected.values().enumerate().for_each(|(at, value)| assert_eq!(answers.value(at), Some(value.as_slice())));
    }
}

/// What is to be written leads from the version underneath to the draft, and no key comes twice.
fn check_changes(lease: &Lease, underneath: &Rows, draft: &Rows) {
    let (mut rows, mut last) = (underneath.clone(), None);
    let changes = lease.changes().expect("changes");
    let apply = |key: &[u8], value: Option<&[u8]>| {
        assert!(last.replace(key.to_vec()).is_none_or(|last| last.as_slice() < key));
        match value {
            Some(value) => drop(rows.insert(key.to_vec(), value.to_vec())),
            None => assert!(rows.remove(key).is_some(), "removed, but was not there"),
        }
        Ok(())
    };
    lease.read_changes(&changes, apply).expect("changes");
    assert_eq!(rows, *draft);
}

fn check(layout: RowLayout, steps: Vec<Step>, scans: bool) {
    let resident = Resident::new(Table::new(layout));
    let (mut underneath, mut draft) = (Rows::new(), Rows::new());
    let mut lease = resident.begin(Last::Undo);
    for step in steps {
        match step {
            Step::Put(rows) => {
                let (keys, values) = packed(&rows);
                lease.put(&keys, &values).expect("a put");
                draft.extend(rows);
            }
            Step::PutWhereAbsent(rows) => {
                let (keys, values) = packed(&rows);
                let put = lease.put_where_absent(&keys, &values).expect("a put");
                for ((key, value), put) in rows.into_iter().zip(put) {
                    assert_eq!(put, !draft.contains_key(&key));
                    draft.entry(key).or_insert(value);
                }
            }
            Step::Remove(removed) => {
                lease.remove(&keys(&removed)).expect("a removal");
                removed.iter().for_each(|key| drop(draft.remove(key)));
            }
            Step::RemoveRange(from, to) => {
                let range = KeyRange::between(from.clone(), to.clone());
                let slots = lease.range(&range).expect("slots");
                lease.remove_slots(&slots).expect("a removal");
                draft.retain(|key, _| *key < from || *key >= to);
            }
            Step::Keep | Step::Undo => {
                check_changes(&lease, &underneath, &draft);
                let old = lease;
                if matches!(step, Step::Keep) {
                    lease = resident.begin(Last::Keep);
                    underneath.clone_from(&draft);
                } else {
                    lease = resident.begin(Last::Undo);
                    draft.clone_from(&underneath);
                }
                assert_eq!(old.range(&KeyRange::all()).expect_err("a lease that is over").kind(), ErrorKind::Fenced);
                check_rows(&lease, &draft);
            }
        }
        if scans {
            check_rows(&lease, &draft);
        }
    }
    check_changes(&lease, &underneath, &draft);
    lease.undo().expect("undone");
    check_rows(&lease, &underneath);
}

proptest! {
    #[test]
    fn rows_of_one_length_come_back(steps in steps(prop::collection::vec(any::<u8>(), 3)), scans in any::<bool>()) {
        check(RowLayout::Fixed { key_bytes: 4, value_bytes: 3 }, steps, scans);
    }

    #[test]
    fn rows_of_any_length_come_back(steps in steps(prop::collection::vec(any::<u8>(), 0..20)), scans in any::<bool>()) {
        check(RowLayout::Varying, steps, scans);
    }
}
