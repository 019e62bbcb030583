//! Attempts that fail, are lost or linger never cost the committed version its place in memory: after the first commit its
//! files are removed, so whatever is read again must come from memory.

use futures::executor::block_on;
use millstream_state::{Batch, Draft, ErrorKind, KeyRange, Place, Result, StoreId, Stores, VersionRef};

use crate::harness::{Key, Model, Shape, Value, store, stores};

const SHAPES: [Shape; 2] = [Shape::Fixed, Shape::Varying];

struct Case {
    shape: Shape,
    folder: tempfile::TempDir,
    stores: Stores,
    version: VersionRef,
    model: Model,
}

fn row(shape: Shape, time: i64, count: i64) -> (Key, Value) {
    let text = Some("x".repeat(count as usize % 50));
    (shape.key((Some(time), Some("user".into()))), shape.value((Some(count), text, true)))
}

/// Puts rows with these times.
fn put(shape: Shape, draft: &mut Draft, times: std::ops::Range<i64>, count: i64) -> Result<Model> {
    let (keys, values): (Vec<Key>, Vec<Value>) = times.map(|time| row(shape, time, count)).unzip();
    draft.put(&shape.keys(&keys)?, &shape.values(&values))?;
    Ok(keys.into_iter().zip(values).collect())
}

impl Case {
    /// A committed version, of which memory alone knows.
    fn new(shape: Shape) -> Result<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Place::open(&folder.path().display().to_string(), &[])?;
        let stores = stores(&place, usize::MAX / 2, 4);
        let batch = stores.begin(&VersionRef::empty(), 1, "first")?;
        let mut draft = block_on(batch.draft(&store(0, 1)?, &shape.schema()))?;
        let model = put(shape, &mut draft, 0..50, 1)?;
        draft.finish()?;
        let version = block_on(batch.commit())?.reference;
        let case = Self { shape, folder, stores, version, model };
        case.remove_files();
        Ok(case)
    }

    fn remove_files(&self) {
        for file in std::fs::read_dir(self.folder.path()).expect("a folder") {
            std::fs::remove_file(file.expect("a file").path()).expect("removed");
        }
    }

    fn draft(&self, attempt: &str) -> Result<(Batch, Draft)> {
        let batch = self.stores.begin(&self.version, self.version.version + 1, attempt)?;
        let draft = block_on(batch.draft(&store(0, 1)?, &self.shape.schema()))?;
        Ok((batch, draft))
    }

    /// A draft with all kinds of changes.
    fn changed(&self, attempt: &str) -> Result<(Batch, Draft)> {
        let (batch, mut draft) = self.draft(attempt)?;
        let shape = self.shape;
        put(shape, &mut draft, 40..60, 77)?;
        draft.remove(&shape.keys(&[row(shape, 3, 0).0, row(shape, 45, 0).0, row(shape, 55, 0).0])?)?;
        let absent = [row(shape, 3, 5), row(shape, 70, 6)];
        let keys = shape.keys(&absent.clone().map(|row| row.0))?;
        let put = draft.put_where_absent(&keys, &shape.values(&absent.map(|row| row.1)))?;
        assert_eq!(put.true_count(), put.len());
        draft.take_range(&shape.before(2)?)?;
        Ok((batch, draft))
    }

    /// The version is there as it was.
    fn check(&self, attempt: &str) -> Result<()> {
        let (_batch, mut draft) = self.draft(attempt)?;
        assert_eq!(draft.rows(), self.model.len() as u64, "{attempt}");
        let rows = self.shape.scan(&mut draft, &KeyRange::all())?;
        assert_eq!(rows, self.model.clone().into_iter().collect::<Vec<_>>(), "{attempt}");
        let keys: Vec<Key> = self.model.keys().cloned().collect();
        let found = draft.get(&self.shape.keys(&keys)?)?;
        let found = self.shape.read_values(&found.values, &vec![true; keys.len()]);
        assert_eq!(found, self.model.values().cloned().map(Some).collect::<Vec<_>>(), "{attempt}");
        Ok(())
    }
}

#[test]
fn attempts_that_fail_cost_nothing() -> Result<()> {
    for shape in SHAPES {
        let case = Case::new(shape)?;
        case.check("look")?;
        drop(case.changed("dropped")?);
        case.check("after_it_was_dropped")?;
        let (batch, draft) = case.changed("finished")?;
        draft.finish()?;
        drop(batch);
        case.check("after_it_was_finished")?;
        let (batch, draft) = case.changed("unfinished")?;
        drop(draft);
        assert_eq!(block_on(batch.commit()).expect_err("no draft").kind(), ErrorKind::Internal);
        case.check("after_it_was_refused")?;
        let (batch, draft) = case.changed("lost")?;
        draft.finish()?;
        block_on(batch.commit())?;
        case.remove_files();
        case.check("after_it_was_written")?;
        let (batch, draft) = case.changed("taken")?;
        draft.finish()?;
        let name = case.folder.path().join("00000000000000000002-taken.delta");
        std::fs::write(&name, "another writer's").expect("a file");
        assert_eq!(block_on(batch.commit()).expect_err("the name is taken").kind(), ErrorKind::Fenced);
        case.check("after_it_was_fenced")?;
    }
    Ok(())
}

/// A draft that lingers cannot change what its successor sees, and learns of it.
#[test]
fn attempts_that_linger_are_fenced() -> Result<()> {
    for shape in SHAPES {
        let case = Case::new(shape)?;
        let (_batch, mut lingering) = case.changed("lingering")?;
        let (finished_batch, finished) = case.changed("finished")?;
        finished.finish()?;
        case.check("successor")?;
        let keys = shape.keys(&[row(shape, 1, 0).0])?;
        for _ in 0..2 {
            let error = lingering.get(&keys).expect_err("another has begun");
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        }
        assert_eq!(lingering.finish().expect_err("it is poisoned").kind(), ErrorKind::Fenced);
        let error = block_on(finished_batch.commit()).expect_err("another has begun");
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        case.check("afterwards")?;
    }
    Ok(())
}

/// Batches that do not open a store leave it where it is; and the last two versions of it can be gone on from.
#[test]
fn stores_nobody_opens_stay_in_memory() -> Result<()> {
    for is_changed_first in [false, true] {
        let mut case = Case::new(Shape::Fixed)?;
        if is_changed_first {
            let (batch, mut draft) = case.draft("more")?;
            case.model.extend(put(case.shape, &mut draft, 45..60, 3)?);
            draft.finish()?;
            case.version = block_on(batch.commit())?.reference;
        }
        let other = StoreId::new(1, "other", 0, 1)?;
        for attempt in ["a", "b", "c"] {
            let before = case.version.clone();
            for attempt in [format!("{attempt}_lost"), attempt.to_owned()] {
                let batch = case.stores.begin(&before, before.version + 1, &attempt)?;
                let mut draft = block_on(batch.draft(&other, &case.shape.schema()))?;
                put(case.shape, &mut draft, 0..3, 2)?;
                draft.finish()?;
                case.version = block_on(batch.commit())?.reference;
            }
        }
        case.remove_files();
        case.check("look")?;
    }
    Ok(())
}
