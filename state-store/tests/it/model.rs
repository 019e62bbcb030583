//! Any sequence of batches, aborts, restarts, maintenance and new partition counts gives the answers of a BTreeMap.

use futures::executor::block_on;
use millstream_state::{Draft, KeyRange, Place, Result, VersionRef, partition_of};
use proptest::prelude::*;

use crate::harness::{Key, Model, Shape, Value, check_version, memory, part, store, stores};

#[derive(Clone, Debug)]
enum Operation {
    Put(Vec<(Key, Value)>),
    PutWhereAbsent(Vec<(Key, Value)>),
    Remove(Vec<Key>),
    Get(Vec<Key>),
    Scan,
    TakeBefore(i64),
    RemovePrefix(i64),
}

/// How a batch ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    /// Drafts are dropped.
    Abort,
    /// Drafts are given up, but stay somewhere.
    Linger,
    /// The state is written, but the batch never counts: it will be run again.
    Lose,
}

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Operation>, End),
    /// A crash: everything in memory is gone.
    Restart,
    /// Goes back to an older version, and on from there.
    Rewind(usize),
    Maintain,
    Partitions(usize),
}

fn key() -> impl Strategy<Value = Key> {
    (prop::option::weighted(0.9, -3_i64..12), prop::option::of("[ab]{0,2}"))
}

fn value() -> impl Strategy<Value = Value> {
    (prop::option::of(any::<i64>()), prop::option::of("[a-z]{0,40}"), any::<bool>())
}

fn operation() -> impl Strategy<Value = Operation> {
    let rows = || prop::collection::vec((key(), value()), 1..40);
    prop_oneof![
        4 => rows().prop_map(Operation::Put),
        2 => rows().prop_map(Operation::PutWhereAbsent),
        2 => prop::collection::vec(key(), 1..20).prop_map(Operation::Remove),
        2 => prop::collection::vec(key(), 1..20).prop_map(Operation::Get),
        1 => Just(Operation::Scan),
        1 => (-3_i64..12).prop_map(Operation::TakeBefore),
        1 => (-3_i64..12).prop_map(Operation::RemovePrefix),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![12 => Just(End::Commit), 2 => Just(End::Abort), 1 => Just(End::Linger), 2 => Just(End::Lose)];
    prop_oneof![
        12 => (prop::collection::vec(operation(), 0..5), end).prop_map(|(operations, end)| Step::Batch(operations, end)),
        2 => Just(Step::Restart),
        1 => (0_usize..4).prop_map(Step::Rewind),
        3 => Just(Step::Maintain),
        1 => (1_usize..6).prop_map(Step::Partitions),
    ]
}

/// Does one operation in the draft of each partition and in the model, and compares answers.
fn apply(shape: Shape, operation: &Operation, drafts: &mut [Draft], model: &mut Model) -> Result<()> {
    let partitions = drafts.len();
    let own = |keys: &[Key], partition: usize| -> Result<Vec<usize>> {
        let groups = shape.keys(keys)?.key_groups();
        Ok((0..keys.len()).filter(|row| partition_of(groups[*row], partitions) == partition).collect())
    };
    let before = model.clone();
    for (partition, draft) in drafts.iter_mut().enumerate() {
        match operation {
            Operation::Put(rows) | Operation::PutWhereAbsent(rows) => {
                let rows: Vec<(Key, Value)> =
                    rows.iter().map(|(k, v)| (shape.key(k.clone()), shape.value(v.clone()))).collect();
                let keys: Vec<Key> = rows.iter().map(|row| row.0.clone()).collect();
                let rows: Vec<(Key, Value)> = own(&keys, partition)?.into_iter().map(|row| rows[row].clone()).collect();
                if rows.is_empty() {
                    continue;
                }
                let keys: Vec<Key> = rows.iter().map(|row| row.0.clone()).collect();
                let values: Vec<Value> = rows.iter().map(|row| row.1.clone()).collect();
                if matches!(operation, Operation::Put(_)) {
                    draft.put(&shape.keys(&keys)?, &shape.values(&values))?;
                    model.extend(rows);
                } else {
                    let put = draft.put_where_absent(&shape.keys(&keys)?, &shape.values(&values))?;
                    for (row, (key, value)) in rows.into_iter().enumerate() {
                        let is_new = !model.contains_key(&key);
                        assert_eq!(put.value(row), is_new, "{key:?}");
                        model.entry(key).or_insert(value);
                    }
                }
            }
            Operation::Remove(keys) | Operation::Get(keys) => {
                let keys: Vec<Key> = keys.iter().map(|key| shape.key(key.clone())).collect();
                let keys: Vec<Key> = own(&keys, partition)?.into_iter().map(|row| keys[row].clone()).collect();
                if keys.is_empty() {
                    continue;
                }
                if matches!(operation, Operation::Remove(_)) {
                    draft.remove(&shape.keys(&keys)?)?;
                    keys.iter().for_each(|key| drop(model.remove(key)));
                } else {
                    let found = draft.get(&shape.keys(&keys)?)?;
                    let present: Vec<bool> = found.present.values().iter().collect();
                    let expected: Vec<Option<Value>> = keys.iter().map(|key| model.get(key).cloned()).collect();
                    assert_eq!(shape.read_values(&found.values, &present), expected);
                    assert_eq!(draft.contains(&shape.keys(&keys)?)?, found.present);
                }
            }
            Operation::Scan => {
                let expected: Vec<_> = part(shape, model, partition, partitions)?.into_iter().collect();
                assert_eq!(shape.scan(draft, &KeyRange::all())?, expected);
            }
            Operation::TakeBefore(end) => {
                let is_taken = |key: &Key| key.0.is_some_and(|time| time < *end);
                let expected: Vec<_> =
                    part(shape, &before, partition, partitions)?.into_iter().filter(|(key, _)| is_taken(key)).collect();
                let mut taken = Vec::new();
                for rows in draft.take_range(&shape.before(*end)?)? {
                    taken.extend(shape.read_rows(&rows)?);
                }
                assert_eq!(taken, expected);
                model.retain(|key, _| !is_taken(key));
            }
            Operation::RemovePrefix(time) => {
                let prefix = Shape::Fixed.keys(&[(Some(*time), None)])?;
                let expected: Vec<_> = part(shape, &before, partition, partitions)?
                    .into_iter()
                    .filter(|row| row.0.0 == Some(*time))
                    .collect();
                let (owners, rows) = draft.scan_prefixes(&prefix)?;
                assert!(owners.values().iter().all(|owner| *owner == 0));
                assert_eq!(shape.read_rows(&rows)?, expected);
                assert_eq!(draft.remove_range(&KeyRange::prefix(prefix.key(0)))?, expected.len() as u64);
                model.retain(|key, _| key.0 != Some(*time));
            }
        }
    }
    Ok(())
}

fn check(place: &Place, shape: Shape, budget_bytes: usize, steps: Vec<Step>) -> Result<()> {
    const RETAIN: u64 = 4;
    let mut versions: Vec<(VersionRef, Model)> = vec![(VersionRef::empty(), Model::new())];
    let mut running = stores(place, budget_bytes, RETAIN);
    let mut partitions = 2;
    let mut lingering: Vec<Draft> = Vec::new();
    // The oldest version that maintenance had to keep.
    let mut oldest_kept = 0;
    for (attempt, step) in steps.into_iter().enumerate() {
        let (base, content) = versions.last().cloned().expect("there is always version 0");
        match step {
            Step::Batch(operations, end) => {
                let mut model = content;
                let version = base.version + 1;
                let batch = running.begin(&base, version, &format!("a{attempt}"))?;
                let ids = (0..partitions).map(|partition| store(partition, partitions)).collect::<Result<Vec<_>>>()?;
                let mut drafts = Vec::new();
                for id in &ids {
                    drafts.push(block_on(batch.draft(id, &shape.schema()))?);
                }
                for operation in &operations {
                    apply(shape, operation, &mut drafts, &mut model)?;
                }
                match end {
                    End::Abort => continue,
                    End::Linger => {
                        lingering.extend(drafts);
                        continue;
                    }
                    End::Commit | End::Lose => {}
                }
                for (partition, draft) in drafts.into_iter().enumerate() {
                    let rows = part(shape, &model, partition, partitions)?.len();
                    assert!(rows == 0 || !draft.is_empty(), "a store with {rows} rows says that it is empty");
                    assert_eq!(draft.finish()?, rows as u64);
                }
                let commit = block_on(batch.commit())?;
                if matches!(end, End::Commit) {
                    versions.push((commit.reference, model));
                }
            }
            Step::Restart => running = stores(place, budget_bytes, RETAIN),
            Step::Rewind(back) => {
                // Not further than versions are retained.
                let is_there = |(version, _): &&(VersionRef, Model)| version.version >= oldest_kept;
                let kept = versions.iter().filter(is_there).count().max(1);
                versions.truncate(versions.len() - back.min(kept - 1));
            }
            Step::Maintain => {
                block_on(running.maintain(&base))?;
                oldest_kept = oldest_kept.max(base.version.saturating_sub(RETAIN));
            }
            Step::Partitions(count) => partitions = count,
        }
        let stats = running.stats();
        assert!(stats.iter().all(|stats| stats.is_resident || budget_bytes < 1 << 20));
    }
    for (version, model) in versions.iter().rev().take_while(|(version, _)| version.version >= oldest_kept) {
        check_version(place, shape, version, model, 1, budget_bytes)?;
        check_version(place, shape, version, model, partitions, usize::MAX / 2)?;
        check_version(place, shape, version, model, 5, 0)?;
    }
    Ok(())
}

/// How many cases to try: as many as PROPTEST_CASES says, else `usual`.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(200)))]

    #[test]
    fn stores_in_memory_are_as_maps(
        shape in prop_oneof![Just(Shape::Fixed), Just(Shape::Varying)],
        steps in prop::collection::vec(step(), 1..25),
    ) {
        check(&memory(), shape, usize::MAX / 2, steps).expect("no error");
    }

    #[test]
    fn stores_larger_than_memory_are_as_maps(
        shape in prop_oneof![Just(Shape::Fixed), Just(Shape::Varying)],
        budget_bytes in prop_oneof![Just(0), Just(3000_usize)],
        steps in prop::collection::vec(step(), 1..25),
    ) {
        check(&memory(), shape, budget_bytes, steps).expect("no error");
    }
}

/// The same on a disk, with fewer cases, because every commit waits for it.
#[test]
fn stores_on_disk_are_as_maps() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(cases(12)));
    let steps = (prop::collection::vec(step(), 1..15), prop_oneof![Just(0), Just(usize::MAX / 2)]);
    runner
        .run(&steps, |(steps, budget_bytes)| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let place = Place::open(&folder.path().display().to_string(), &[]).expect("a place");
            check(&place, Shape::Varying, budget_bytes, steps).expect("no error");
            Ok(())
        })
        .expect("as the model");
}

/// Batches without changes raise the version's number and not its files, so a merged file may carry a higher number than
/// a delta that was written on top of it later, from an older version with the same files.
#[test]
fn a_delta_counts_before_a_merged_file_with_a_higher_number() {
    let put = |count| {
        let keys = [(None, None), (Some(2), None)];
        Step::Batch(vec![Operation::Put(keys.map(|key| (key, (Some(count), None, false))).to_vec())], End::Commit)
    };
    let nothing = || Step::Batch(Vec::new(), End::Commit);
    for budget_bytes in [0, usize::MAX / 2] {
        let steps = vec![put(1), put(2), put(3), nothing(), nothing(), Step::Maintain, Step::Rewind(2), put(4)];
        check(&memory(), Shape::Fixed, budget_bytes, steps).expect("no error");
    }
}
