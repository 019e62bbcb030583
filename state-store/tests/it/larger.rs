//! Stores and batches many times larger than their memory.

use std::sync::Arc;

use futures::executor::block_on;
use millstream_state::{Draft, FixedBudget, KeyRange, MemoryBudget, Place, Result, StoreOptions, Stores, VersionRef};

use crate::harness::{Key, Model, Shape, Value, check_version, memory, store};

/// A number that looks random, another one for each `index`.
fn scramble(index: u64) -> u64 {
    let x = (index ^ (index >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 16
}

/// Rows of one call: some keys come again and again, in this call and in others.
fn rows(shape: Shape, call: u64) -> Vec<(Key, Value)> {
    let row = |index: u64| {
        let number = scramble(call << 20 | index);
        let key: Key = (Some((number % 9000) as i64), Some(format!("user {}", number % 9000)));
        let value: Value = (Some(index as i64), Some(format!("{number} of call {call}")), call.is_multiple_of(2));
        (shape.key(key), shape.value(value))
    };
    (0..1000).map(row).collect()
}

/// A batch of twenty calls, checked against the model after each.
fn large_batch(shape: Shape, draft: &mut Draft, model: &mut Model, seed: u64) -> Result<()> {
    for call in seed..seed + 20 {
        let (keys, values): (Vec<Key>, Vec<Value>) = rows(shape, call).into_iter().unzip();
        let encoded = shape.keys(&keys)?;
        match call % 4 {
            0 | 1 => {
                draft.put(&encoded, &shape.values(&values))?;
                model.extend(keys.iter().cloned().zip(values));
            }
            2 => {
                let put = draft.put_where_absent(&encoded, &shape.values(&values))?;
                for (row, (key, value)) in keys.iter().zip(values).enumerate() {
                    assert_eq!(put.value(row), !model.contains_key(key));
                    model.entry(key.clone()).or_insert(value);
                }
            }
            _ => {
                draft.remove(&encoded)?;
                keys.iter().for_each(|key| drop(model.remove(key)));
            }
        }
        let asked: Vec<Key> = rows(shape, call / 2).into_iter().map(|row| row.0).collect();
        let found = draft.get(&shape.keys(&asked)?)?;
        let present: Vec<bool> = found.present.values().iter().collect();
        let expected: Vec<Option<Value>> = asked.iter().map(|key| model.get(key).cloned()).collect();
        assert_eq!(shape.read_values(&found.values, &present), expected, "call {call}");
    }
    let range = shape.before(3000)?;
    let expected: Vec<_> =
        model.iter().filter(|row| row.0.0 < Some(3000)).map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(shape.scan(draft, &range)?, expected);
    assert_eq!(draft.remove_range(&shape.before(500)?)?, model.iter().filter(|row| row.0.0 < Some(500)).count() as u64);
    model.retain(|key, _| key.0 >= Some(500));
    Ok(())
}

fn check(place: &Place, shape: Shape, budget_bytes: usize) -> Result<()> {
    let budget = Arc::new(FixedBudget::new(budget_bytes));
    let options = StoreOptions {
        budget: Arc::<FixedBudget>::clone(&budget),
        min_deltas_for_snapshot: 3,
        ..StoreOptions::default()
    };
    let stores = Stores::open(place.clone(), options);
    let (mut version, mut model) = (VersionRef::empty(), Model::new());
    for number in 0..6 {
        let batch = stores.begin(&version, number + 1, "a")?;
        let mut draft = block_on(batch.draft(&store(0, 1)?, &shape.schema()))?;
        large_batch(shape, &mut draft, &mut model, number * 20)?;
        draft.finish()?;
        let used = budget.used_bytes();
        assert!(used <= budget.limit_bytes() * 6 / 5, "{used} bytes of {}", budget.limit_bytes());
        version = block_on(batch.commit())?.reference;
        let stats = stores.stats();
        assert_eq!(stats[0].rows, model.len() as u64, "batch {number}");
        assert!(number < 2 || !stats[0].is_resident, "batch {number}: {stats:?}");
        check_version(place, shape, &version, &model, 1, usize::MAX / 2)?;
        block_on(stores.maintain(&version))?;
    }
    // A dropped batch that was large leaves nothing behind, in memory or in the scratch folder's files.
    let batch = stores.begin(&version, 9, "b")?;
    let mut draft = block_on(batch.draft(&store(0, 1)?, &shape.schema()))?;
    large_batch(shape, &mut draft, &mut model.clone(), 500)?;
    drop((draft, batch));
    let batch = stores.begin(&version, 9, "c")?;
    let mut draft = block_on(batch.draft(&store(0, 1)?, &shape.schema()))?;
    assert_eq!(shape.scan(&mut draft, &KeyRange::all())?, model.into_iter().collect::<Vec<_>>());
    Ok(())
}

#[test]
fn rows_of_one_length() -> Result<()> {
    check(&memory(), Shape::Fixed, 200 << 10)
}

#[test]
fn rows_of_any_length_on_a_disk() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    check(&Place::open(&folder.path().display().to_string(), &[])?, Shape::Varying, 400 << 10)
}

/// Files above a MiB are read in parts: all of it is right, and a flipped bit anywhere is noticed.
#[test]
fn files_of_several_mib() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = Place::open(&folder.path().display().to_string(), &[])?;
    let options = StoreOptions { min_deltas_for_snapshot: 2, ..StoreOptions::default() };
    let stores = Stores::open(place.clone(), options);
    let (shape, mut version, mut model) = (Shape::Varying, VersionRef::empty(), Model::new());
    for number in 0..3 {
        let batch = stores.begin(&version, number + 1, "a")?;
        let mut draft = block_on(batch.draft(&store(0, 1)?, &shape.schema()))?;
        let row = |index: u64| -> (Key, Value) {
            let text: String = (0..6).map(|part| format!("{:x}", scramble(index * 8 + part))).collect();
            ((Some(scramble(index) as i64), None), (Some(index as i64), Some(text), true))
        };
        let (keys, values): (Vec<Key>, Vec<Value>) = (number * 15_000..(number + 1) * 15_000 + 500).map(row).unzip();
        draft.put(&shape.keys(&keys)?, &shape.values(&values))?;
        model.extend(keys.into_iter().zip(values));
        draft.finish()?;
        version = block_on(batch.commit())?.reference;
        if number == 1 {
            assert_eq!(block_on(stores.maintain(&version))?.merged_files, 1);
        }
    }
    assert!(block_on(place.list())?.iter().all(|entry| entry.size_bytes > 1 << 20));
    for budget_bytes in [usize::MAX / 2, 0] {
        check_version(&place, shape, &version, &model, 1, budget_bytes)?;
        check_version(&place, shape, &version, &model, 3, budget_bytes)?;
    }
    let newest = folder.path().join(&version.files[0].name);
    let bytes = std::fs::read(&newest).expect("a file");
    for sample in 0..60 {
        // Some at the very end, where the directory is, some anywhere.
        let bit = if sample < 20 {
            bytes.len() * 8 - 1 - sample
        } else {
            scramble(sample as u64) as usize % (bytes.len() * 8)
        };
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&newest, damaged).expect("a file");
        for budget_bytes in [usize::MAX / 2, 0] {
            let stores = crate::harness::stores(&place, budget_bytes, 100);
            let batch = stores.begin(&version, version.version + 1, "read")?;
            let read = block_on(batch.draft(&store(0, 1)?, &shape.schema()))
                .and_then(|mut draft| shape.scan(&mut draft, &KeyRange::all()).map(|rows| rows.len()));
            let error = read.expect_err(&format!("bit {bit} was accepted"));
            assert_eq!(error.kind(), millstream_state::ErrorKind::Corrupt, "bit {bit}: {error}");
        }
    }
    Ok(())
}
