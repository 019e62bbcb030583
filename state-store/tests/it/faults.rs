//! Damage to files is noticed and named; the store never answers from it.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use bytes::Bytes;
use futures::executor::block_on;
use millstream_state::{Draft, ErrorKind, KeyRange, Place, Result, StoreSchema, VersionRef};

use crate::harness::{Key, Model, Shape, Value, check_version, memory, store, stores};

const SHAPE: Shape = Shape::Varying;

/// One batch that puts rows with these times into all partitions.
fn put(
    place: &Place,
    base: &VersionRef,
    attempt: &str,
    times: std::ops::Range<i64>,
    model: &mut Model,
) -> Result<VersionRef> {
    let stores = stores(place, usize::MAX / 2, 100);
    let batch = stores.begin(base, base.version + 1, attempt)?;
    for partition in 0..2 {
        let mut draft = block_on(batch.draft(&store(partition, 2)?, &SHAPE.schema()))?;
        for time in times.clone() {
            let row: (Key, Value) = ((Some(time), None), (Some(time * 2), Some(format!("{attempt} {time}")), true));
            let keys = SHAPE.keys(std::slice::from_ref(&row.0))?;
            if keys.partitions(2)[0] as usize == partition {
                draft.put(&keys, &SHAPE.values(std::slice::from_ref(&row.1)))?;
                model.insert(row.0, row.1);
            }
        }
        draft.finish()?;
    }
    Ok(block_on(batch.commit())?.reference)
}

/// All files of a place.
fn files(place: &Place) -> Result<Vec<(String, Bytes)>> {
    let entries = block_on(place.list())?;
    let read = |name: String| Ok((name.clone(), block_on(place.read(&name))?.expect("it was listed")));
    entries.into_iter().map(|entry| read(entry.name)).collect()
}

/// A place with these files.
fn place_of(files: &[(String, Bytes)]) -> Result<Place> {
    let place = memory();
    files.iter().try_for_each(|(name, bytes)| block_on(place.create(name, bytes.clone())))?;
    Ok(place)
}

/// Loads everything of a version, in memory and from files.
fn read_all(place: &Place, version: &VersionRef) -> Result<()> {
    for budget_bytes in [usize::MAX / 2, 0] {
        let stores = stores(place, budget_bytes, 100);
        let batch = stores.begin(version, version.version + 1, "read")?;
        for partition in 0..2 {
            let mut draft = block_on(batch.draft(&store(partition, 2)?, &SHAPE.schema()))?;
            SHAPE.scan(&mut draft, &KeyRange::all())?;
        }
    }
    Ok(())
}

/// Three versions, of which the last two stand on a snapshot of the first.
fn written() -> Result<(Place, Vec<(VersionRef, Model)>)> {
    let place = memory();
    let (mut model, mut versions) = (Model::new(), vec![(VersionRef::empty(), Model::new())]);
    for (attempt, times) in [("first", 0..40), ("second", 30..50), ("third", 0..4), ("fourth", 60..70)] {
        let base = versions.last().expect("versions").0.clone();
        let version = put(&place, &base, attempt, times, &mut model)?;
        if version.version == 3 {
            let stores = stores(&place, usize::MAX / 2, 0);
            let batch = stores.begin(&version, 4, "look")?;
            for partition in 0..2 {
                block_on(batch.draft(&store(partition, 2)?, &SHAPE.schema()))?;
            }
            let report = block_on(stores.maintain(&version))?;
            assert!(report.merged_files == 2 && report.removed_files > 0, "{report:?}");
        }
        versions.push((version, model.clone()));
    }
    let (version, model) = versions.last().expect("versions");
    check_version(&place, SHAPE, version, model, 2, 0)?;
    Ok((place, versions))
}

fn assert_corrupt(result: Result<()>, name: &str, what: &str) {
    let error = result.expect_err(&format!("{what} of {name} was accepted"));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what} of {name}: {error}");
    assert!(error.to_string().contains(name), "{what} of {name} is not named: {error}");
}

/// The files that a version stands on.
fn needed(files: &[(String, Bytes)], version: &VersionRef) -> Vec<usize> {
    let is_needed = |name: &str| name.ends_with(".merged") || version.files.iter().any(|file| file.name == name);
    (0..files.len()).filter(|file| is_needed(&files[*file].0)).collect()
}

#[test]
fn every_flipped_bit_is_noticed() -> Result<()> {
    let (place, versions) = written()?;
    let version = &versions.last().expect("versions").0;
    let files = files(&place)?;
    for file in needed(&files, version) {
        for bit in 0..files[file].1.len() * 8 {
            let mut damaged = files.clone();
            let mut bytes = damaged[file].1.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            damaged[file].1 = bytes.into();
            let error = read_all(&place_of(&damaged)?, version).expect_err("damage was accepted");
            let is_named = error.to_string().contains(&files[file].0);
            assert!(is_named, "bit {bit} of {} is not named: {error}", files[file].0);
            // A flip in the version number may look like a file of the future, which is refused as such.
            assert!(
                error.kind() == ErrorKind::Corrupt || (error.kind() == ErrorKind::Unsupported && bit / 8 == 8),
                "bit {bit} of {}: {error}",
                files[file].0
            );
        }
    }
    Ok(())
}

#[test]
fn cut_missing_swapped_and_stale_files_are_noticed() -> Result<()> {
    let (place, versions) = written()?;
    let version = &versions.last().expect("versions").0;
    let files = files(&place)?;
    for file in needed(&files, version) {
        let name = &files[file].0;
        for length in 0..files[file].1.len() {
            let mut cut = files.clone();
            cut[file].1 = cut[file].1.slice(..length);
            assert_corrupt(read_all(&place_of(&cut)?, version), name, "a beginning");
        }
        let mut longer = files.clone();
        longer[file].1 = [&files[file].1[..], b"x"].concat().into();
        assert_corrupt(read_all(&place_of(&longer)?, version), name, "a longer copy");
        for other in (0..files.len()).filter(|other| *other != file && files[*other].0.ends_with(".delta")) {
            let mut swapped = files.clone();
            swapped[file].1 = files[other].1.clone();
            if name.ends_with(".delta") {
                assert_corrupt(read_all(&place_of(&swapped)?, version), name, "another file in place");
            } else {
                read_all(&place_of(&swapped)?, version).expect_err("another file in place of a snapshot");
            }
        }
        if name.ends_with(".delta") {
            let rest: Vec<_> = files.iter().filter(|(other, _)| other != name).cloned().collect();
            assert_corrupt(read_all(&place_of(&rest)?, version), name, "absence");
        } else {
            // Without the snapshot the deltas are asked for, which are gone.
            let rest: Vec<_> = files.iter().filter(|(other, _)| other != name).cloned().collect();
            let error = read_all(&place_of(&rest)?, version).expect_err("a snapshot is missing");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }
    Ok(())
}

/// A file of another attempt under the right name is told by its checksum.
#[test]
fn a_stale_attempt_in_place_of_the_right_one_is_noticed() -> Result<()> {
    let (place, other) = (memory(), memory());
    let version = put(&place, &VersionRef::empty(), "a", 0..5, &mut Model::new())?;
    put(&other, &VersionRef::empty(), "a", 0..6, &mut Model::new())?;
    assert_corrupt(read_all(&other, &version), &version.files[0].name, "a stale attempt");
    read_all(&place, &version)
}

#[test]
fn a_failed_draft_is_poisoned_and_the_version_underneath_is_not() -> Result<()> {
    let place = memory();
    let mut model = Model::new();
    let version = put(&place, &VersionRef::empty(), "a", 0..9, &mut model)?;
    let stores = stores(&place, usize::MAX / 2, 100);
    let batch = stores.begin(&version, 2, "b")?;
    let mut draft = block_on(batch.draft(&store(0, 1)?, &SHAPE.schema()))?;
    let key: Key = (Some(1), None);
    let keys = SHAPE.keys(&[key])?;
    draft.remove(&keys)?;
    draft.put(&keys, &[]).expect_err("no columns");
    let error = draft.get(&keys).expect_err("the draft is poisoned");
    assert!(error.to_string().contains("unusable since an earlier error"), "{error}");
    draft.finish().expect_err("the draft is poisoned");
    block_on(batch.commit()).expect_err("a draft was not finished");
    assert_eq!(block_on(place.list())?.len(), 1, "an aborted batch leaves no file");
    let batch = stores.begin(&version, 2, "c")?;
    let mut draft = block_on(batch.draft(&store(0, 1)?, &SHAPE.schema()))?;
    assert_eq!(SHAPE.scan(&mut draft, &KeyRange::all())?, model.into_iter().collect::<Vec<_>>());
    Ok(())
}

/// Nullable columns may be added; everything else is refused with a difference that can be read.
#[test]
fn schemas_are_checked_and_may_grow() -> Result<()> {
    let place = memory();
    let schema = |fields: &[(&str, DataType, bool)]| {
        let value: Vec<Field> = fields.iter().map(|(name, t, null)| Field::new(*name, t.clone(), *null)).collect();
        StoreSchema::new(vec![Field::new("time", DataType::Int64, true)], value)
    };
    let old = schema(&[("count", DataType::Int64, false)]);
    let new = schema(&[("count", DataType::Int64, false), ("text", DataType::Utf8, true)]);
    let renamed = schema(&[("number", DataType::Int64, false)]);
    let keys = Shape::Fixed.keys(&[(Some(1), None), (Some(2), None), (Some(3), None)])?;
    let counts: arrow_array::ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![10, 20, 30]));
    for budget_bytes in [usize::MAX / 2, 0] {
        let mut version = VersionRef::empty();
        let attempt = format!("old{}", budget_bytes % 10);
        let stores = stores(&place, budget_bytes, 100);
        let commit =
            |schema: &StoreSchema, version: &VersionRef, attempt: &str, change: &dyn Fn(&mut Draft) -> Result<()>| {
                let batch = stores.begin(version, version.version + 1, attempt)?;
                let mut draft = block_on(batch.draft(&store(0, 1)?, schema))?;
                change(&mut draft)?;
                draft.finish()?;
                Ok::<_, millstream_state::Error>(block_on(batch.commit())?.reference)
            };
        version = commit(&old, &version, &attempt, &|draft| draft.put(&keys, &[Arc::clone(&counts)]))?;
        version = commit(&old, &version, &attempt, &|draft| draft.remove(&keys.slice(2, 1)))?;
        let error = commit(&renamed, &version, "x", &|_| Ok(())).expect_err("renamed");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains("- value \"count\" Int64 notnull\n+ value \"number\" Int64 notnull"), "{text}");
        let texts: arrow_array::ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["two"]));
        let row = [counts.slice(1, 1), texts];
        version = commit(&new, &version, &attempt, &|draft| {
            let found = draft.get(&keys)?;
            assert_eq!((found.present.true_count(), found.values[1].null_count()), (2, 3));
            assert_eq!(&found.values[0].slice(0, 2), &counts.slice(0, 2));
            draft.put(&keys.slice(1, 1), &row)
        })?;
        stores.unload();
        commit(&new, &version, "look", &|draft| {
            let found = draft.get(&keys)?;
            let texts = arrow_array::cast::AsArray::as_string::<i32>(&found.values[1]);
            assert_eq!(texts.iter().collect::<Vec<_>>(), [None, Some("two"), None]);
            Ok(())
        })?;
    }
    Ok(())
}
