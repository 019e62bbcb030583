//! Files of every format version open today, and today's bytes are those of the current version.
//!
//! A failure of `the_bytes_are_those_of_the_current_version` means that the format has changed: bump the format version,
//! let the program go on reading the old one, and add a folder with `UPDATE_FIXTURES=1 cargo test -p millstream-state
//! --test it fixtures`. Folders of old versions are never changed.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::executor::block_on;
use millstream_state::{KeyRange, Place, Result, StateReader, StoreId, Stores, VersionRef};

use crate::harness::{Key, Model, Shape, Value, memory, stores};

/// The folder of the version that is written today.
const CURRENT: &str = "v1";

const SHAPES: [(Shape, &str); 2] = [(Shape::Fixed, "fixed"), (Shape::Varying, "varying")];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The rows of a store at the fixture's version: written down once for all format versions.
fn expected(shape: Shape) -> Model {
    let rows = (0..300_i64).filter(|time| time % 7 != 0).map(|time| {
        let user = (time % 3 != 0).then(|| format!("user {}", time % 5));
        let count = (time % 4 != 0).then_some(time * if time < 20 { 1000 } else { 1 });
        let key: Key = (Some(time - 150), user);
        let value: Value = (count, (time % 2 == 0).then(|| "text ".repeat(time as usize % 9)), time % 5 == 0);
        (shape.key(key), shape.value(value))
    });
    rows.collect()
}

/// Writes the fixture: all rows and some more, then removals, then changes; and a snapshot of the second version.
fn write(place: &Place) -> Result<VersionRef> {
    let stores = stores(place, usize::MAX / 2, 100);
    let mut version = VersionRef::empty();
    for number in 1..=3 {
        let batch = stores.begin(&version, number, "fixture")?;
        for (shape, name) in SHAPES {
            let mut draft = block_on(batch.draft(&StoreId::new(3, name, 0, 1)?, &shape.schema()))?;
            let rows = expected(shape).into_iter();
            let (keys, values): (Vec<Key>, Vec<Value>) = match number {
                1 => {
                    rows.map(|(key, (count, text, open))| (key, (count.map(|count| count % 1000), text, open))).unzip()
                }
                3 => rows.filter(|(key, _)| key.0 < Some(-130)).unzip(),
                _ => Default::default(),
            };
            let gone: Vec<Key> = (0..20).map(|time| shape.key((Some(1000 + time), None))).collect();
            match number {
                1 => {
                    let more: Vec<Value> = gone.iter().map(|_| shape.value((None, None, true))).collect();
                    draft.put(&shape.keys(&gone)?, &shape.values(&more))?;
                }
                2 => draft.remove(&shape.keys(&gone)?)?,
                _ => {}
            }
            if !keys.is_empty() {
                draft.put(&shape.keys(&keys)?, &shape.values(&values))?;
            }
            draft.finish()?;
        }
        version = block_on(batch.commit())?.reference;
        if number == 2 {
            snapshot(place, &stores, &version)?;
        }
    }
    Ok(version)
}

/// Snapshots of the stores as they are, by a maintenance that starts with two deltas.
fn snapshot(place: &Place, stores: &Stores, version: &VersionRef) -> Result<()> {
    let options = millstream_state::StoreOptions { min_deltas_for_snapshot: 2, ..Default::default() };
    let eager = Stores::open(place.clone(), options);
    let batch = eager.begin(version, version.version + 1, "look")?;
    for (shape, name) in SHAPES {
        block_on(batch.draft(&StoreId::new(3, name, 0, 1)?, &shape.schema()))?;
    }
    assert_eq!(block_on(eager.maintain(version))?.merged_files, 2);
    stores.unload();
    Ok(())
}

fn files(place: &Place) -> Result<Vec<(String, Bytes)>> {
    let entries = block_on(place.list())?.into_iter();
    entries.map(|entry| Ok((entry.name.clone(), block_on(place.read(&entry.name))?.expect("it was listed")))).collect()
}

#[test]
fn the_bytes_are_those_of_the_current_version() -> Result<()> {
    let written = memory();
    let version = write(&written)?;
    let version_text = serde_json::to_string_pretty(&version).expect("a version is JSON");
    let folder = folder().join(CURRENT);
    if std::env::var_os("UPDATE_FIXTURES").is_some() && !folder.exists() {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("version.json"), &version_text).expect("a file");
        files(&written)?.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).expect("a file"));
    }
    let mut kept = files(&Place::open(&folder.display().to_string(), &[])?)?;
    kept.retain(|(name, _)| name != "version.json");
    let written = files(&written)?;
    let names = |files: &[(String, Bytes)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&written), names(&kept), "names are part of the format");
    for ((name, bytes), (_, kept)) in written.iter().zip(&kept) {
        assert!(bytes == kept, "{name}: the bytes have changed, which needs a new format version");
    }
    Ok(())
}

#[test]
fn files_of_every_version_open() -> Result<()> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(folder()).expect("fixtures").map(|entry| entry.expect("a folder").path()).collect();
    folders.sort();
    assert!(folders.contains(&folder().join(CURRENT)), "{folders:?}");
    for folder in folders {
        let version = std::fs::read(folder.join("version.json")).expect("a version");
        let version: VersionRef = serde_json::from_slice(&version).expect("a version");
        let place = Place::open(&folder.display().to_string(), &[])?;
        for (shape, name) in SHAPES {
            let id = StoreId::new(3, name, 0, 1)?;
            let stores = stores(&place, usize::MAX / 2, 100);
            let batch = stores.begin(&version, version.version + 1, "read")?;
            let mut draft = block_on(batch.draft(&id, &shape.schema()))?;
            let rows: Model = shape.scan(&mut draft, &KeyRange::all())?.into_iter().collect();
            assert_eq!(rows, expected(shape), "{}", folder.display());
            let reader = StateReader::open(place.clone(), None);
            let mut read = block_on(reader.rows(&version, &id, &shape.schema()))?;
            assert_eq!(read.next_batch(usize::MAX)?.map(|batch| batch.num_rows()), Some(rows.len()));
        }
    }
    Ok(())
}
