//! Reading state from outside, state with another number of partitions, and what stores tell of themselves.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::executor::block_on;
use millstream_state::{Maintenance, Place, Result, StateReader, VersionRef};

use crate::harness::{Key, Model, Shape, Value, check_version, memory, store, stores};

const SHAPE: Shape = Shape::Fixed;

/// Versions 1 to `count`, of three partitions.
fn written(place: &Place, count: i64) -> Result<Vec<(VersionRef, Model)>> {
    let stores = stores(place, usize::MAX / 2, 100);
    let mut versions = vec![(VersionRef::empty(), Model::new())];
    for number in 1..=count {
        let (base, mut model) = versions.last().cloned().expect("versions");
        let batch = stores.begin(&base, base.version + 1, "a")?;
        for partition in 0..3 {
            let mut draft = block_on(batch.draft(&store(partition, 3)?, &SHAPE.schema()))?;
            for time in number * 10..number * 10 + 30 {
                let row: (Key, Value) = ((Some(time), None), (Some(number), None, false));
                let keys = SHAPE.keys(std::slice::from_ref(&row.0))?;
                if keys.partitions(3)[0] as usize == partition {
                    draft.put(&keys, &SHAPE.values(std::slice::from_ref(&row.1)))?;
                    model.insert(row.0, row.1);
                }
            }
            for rows in draft.take_range(&SHAPE.before(number * 10 - 5)?)? {
                SHAPE.read_rows(&rows)?.iter().for_each(|(key, _)| drop(model.remove(key)));
            }
            draft.finish()?;
        }
        versions.push((block_on(batch.commit())?.reference, model));
    }
    Ok(versions)
}

#[test]
fn three_partitions_open_as_five_and_as_one_at_any_version() -> Result<()> {
    for is_merged in [false, true] {
        let place = memory();
        let versions = written(&place, 12)?;
        if is_merged {
            let stores = stores(&place, usize::MAX / 2, 100);
            let newest = &versions[9].0;
            let batch = stores.begin(newest, 100, "look")?;
            // Only two of three partitions get a snapshot.
            for partition in 0..2 {
                block_on(batch.draft(&store(partition, 3)?, &SHAPE.schema()))?;
            }
            assert_eq!(block_on(stores.maintain(newest))?.merged_files, 2);
        }
        for (version, model) in &versions {
            for partitions in [1, 2, 3, 5] {
                check_version(&place, SHAPE, version, model, partitions, usize::MAX / 2)?;
                check_version(&place, SHAPE, version, model, partitions, 0)?;
            }
        }
    }
    Ok(())
}

#[test]
fn any_version_and_any_difference_can_be_read() -> Result<()> {
    let place = memory();
    let versions = written(&place, 4)?;
    let reader = StateReader::open(place, None);
    assert_eq!(block_on(reader.stores(&versions[4].0))?.len(), 3);
    let everything = store(0, 1)?;
    for (version, model) in &versions {
        let mut rows = block_on(reader.rows(version, &everything, &SHAPE.schema()))?;
        let mut found = Vec::new();
        while let Some(batch) = rows.next_batch(16)? {
            assert_eq!(batch.schema(), rows.schema());
            let (times, counts) =
                (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
            found.extend(times.values().iter().copied().zip(counts.values().iter().copied()));
        }
        let expected: Vec<_> =
            model.iter().map(|(key, value)| (key.0.expect("a time"), value.0.expect("a count"))).collect();
        assert_eq!(found, expected);
    }
    for (from, before) in &versions {
        for (to, after) in &versions {
            let mut changes = block_on(reader.changes(from, to, &everything, &SHAPE.schema()))?;
            let mut found = Vec::new();
            while let Some(batch) = changes.next_batch(16)? {
                let (kinds, times) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
                let count = |column: usize, row: usize| {
                    let values = batch.column(column).as_struct();
                    arrow_array::Array::is_valid(values, row)
                        .then(|| values.column(0).as_primitive::<Int64Type>().value(row))
                };
                for row in 0..batch.num_rows() {
                    found.push((kinds.value(row).to_owned(), times.value(row), count(2, row), count(3, row)));
                }
            }
            let keys: std::collections::BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
            let expected = keys.into_iter().filter_map(|key| {
                let (old, new) = (before.get(key), after.get(key));
                let kind = match (old, new) {
                    (None, _) => "insert",
                    (_, None) => "delete",
                    (old, new) if old != new => "update",
                    _ => return None,
                };
                let count = |value: Option<&Value>| value.and_then(|value| value.0);
                Some((kind.to_owned(), key.0.expect("a time"), count(old), count(new)))
            });
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }
    Ok(())
}

#[test]
fn stores_tell_what_they_hold() -> Result<()> {
    let place = memory();
    let versions = written(&place, 3)?;
    for (budget_bytes, is_resident) in [(usize::MAX / 2, true), (0, false)] {
        let stores = stores(&place, budget_bytes, 100);
        let (version, model) = &versions[3];
        let batch = stores.begin(version, 4, "look")?;
        let mut draft = block_on(batch.draft(&store(0, 1)?, &SHAPE.schema()))?;
        let keys = SHAPE.keys(&[(Some(30), None), (Some(-1), None)])?;
        draft.get(&keys)?;
        draft.get(&keys)?;
        drop(draft);
        let stats = stores.stats();
        assert_eq!(stats.len(), 1);
        assert_eq!((stats[0].rows, stats[0].is_resident), (model.len() as u64, is_resident));
        assert!(stats[0].disk_bytes > 0 && stats[0].memory_bytes > 0 && stats[0].files == 3, "{stats:?}");
        let expected = if is_resident { (0, 0) } else { (2, 2) };
        assert_eq!((stats[0].cache_hits, stats[0].cache_misses), expected);
    }
    Ok(())
}

/// A store that stays in memory learns, too, that its many files have become one.
#[test]
fn maintenance_shows_in_what_stores_tell() -> Result<()> {
    for budget_bytes in [usize::MAX / 2, 0] {
        let stores = stores(&memory(), budget_bytes, 0);
        let mut version = VersionRef::empty();
        for number in 1..=6 {
            let batch = stores.begin(&version, number, "a")?;
            let mut draft = block_on(batch.draft(&store(0, 1)?, &SHAPE.schema()))?;
            draft.put(&SHAPE.keys(&[(Some(1), None)])?, &SHAPE.values(&[(Some(number as i64), None, true)]))?;
            draft.finish()?;
            version = block_on(batch.commit())?.reference;
            let before = stores.stats()[0].clone();
            assert_eq!(before.rows, 1);
            let report = block_on(stores.maintain(&version))?;
            let after = stores.stats()[0].clone();
            if [3, 5].contains(&number) {
                assert_eq!((before.files, after.files, report.merged_files), (3, 1, 1));
                assert!(after.disk_bytes < before.disk_bytes, "{before:?} {after:?}");
            } else {
                assert_eq!(before, after);
            }
        }
        assert_eq!(stores.stats()[0].files, 2);
    }
    Ok(())
}

#[test]
fn the_thread_maintains_what_was_committed() -> Result<()> {
    let place = memory();
    let versions = written(&place, 8)?;
    let stores = stores(&place, usize::MAX / 2, 2);
    let newest = &versions[8].0;
    let batch = stores.begin(newest, 9, "look")?;
    for partition in 0..3 {
        block_on(batch.draft(&store(partition, 3)?, &SHAPE.schema()))?;
    }
    let maintenance = Maintenance::start(stores)?;
    maintenance.committed(newest);
    // Waits for the round that is under way.
    drop(maintenance);
    let names: Vec<String> = block_on(place.list())?.into_iter().map(|entry| entry.name).collect();
    assert!(names.iter().filter(|name| name.ends_with(".merged")).count() == 3, "{names:?}");
    for (version, model) in &versions[6..] {
        check_version(&place, SHAPE, version, model, 2, usize::MAX / 2)?;
    }
    Ok(())
}

/// The engine opens, commits and maintains stores from tasks that move between threads.
#[test]
fn everything_can_move_between_threads() -> Result<()> {
    fn movable<T: Send>(_: &T) {}
    let stores = stores(&memory(), usize::MAX / 2, 1);
    let batch = stores.begin(&VersionRef::empty(), 1, "a")?;
    let (id, schema) = (store(0, 1)?, SHAPE.schema());
    let draft = batch.draft(&id, &schema);
    movable(&draft);
    movable(&block_on(draft)?);
    movable(&batch.commit());
    movable(&stores.maintain(&VersionRef::empty()));
    Ok(())
}
