//! Every single step of every write fails once, in each way a disk or an object store fails; afterwards the last
//! committed version loads and is right, and the run goes on to the same end.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use millstream_state::{
    Created, Draft, Entry, Error, ErrorKind, LocalStorage, ObjectStorage, Place, Result, Storage, Upload, VersionRef,
};

use crate::faulty::{After, Countdown, FAULTS, Fault, FaultyDisk};
use crate::harness::{Key, Model, Shape, Value, check_version, store, stores};

const SHAPE: Shape = Shape::Varying;
const PARTITIONS: usize = 2;

/// An object store whose requests fail. A torn request leaves an object of another name behind, as an upload that was
/// never completed does.
#[derive(Debug)]
struct FaultyStorage {
    inner: Arc<ObjectStorage>,
    countdown: Arc<Countdown>,
}

impl FaultyStorage {
    fn failed(&self, path: &str) -> Error {
        Error::new(ErrorKind::Unavailable, "the connection was lost").at(self.inner.url(path))
    }
}

#[async_trait]
impl Storage for FaultyStorage {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created> {
        match self.countdown.step() {
            None => return self.inner.create(path, bytes).await,
            Some(Fault::NotDone) => {}
            Some(Fault::DoneButReportedFailed) => drop(self.inner.create(path, bytes).await),
            Some(Fault::Torn) => {
                drop(self.inner.create(&format!("{path}.part"), bytes.slice(..bytes.len() / 2)).await);
            }
        }
        Err(self.failed(path))
    }
    async fn begin(&self, path: &str) -> Result<Box<dyn Upload>> {
        self.inner.begin(path).await
    }
    async fn confirm(&self, path: &str) -> Result<()> {
        self.inner.confirm(path).await
    }
    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        self.inner.read(path, range).await
    }
    async fn exists(&self, path: &str) -> Result<bool> {
        self.inner.exists(path).await
    }
    async fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        self.inner.list(folder).await
    }
    async fn delete(&self, path: &str) -> Result<()> {
        match self.countdown.step() {
            None => return self.inner.delete(path).await,
            Some(Fault::DoneButReportedFailed) => drop(self.inner.delete(path).await),
            Some(_) => {}
        }
        Err(self.failed(path))
    }
    fn url(&self, path: &str) -> String {
        self.inner.url(path)
    }
    fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.inner.local_path(path)
    }
}

/// The rows of batch `number`: some new, some changed, some removed.
fn changes(number: i64) -> (Vec<(Key, Value)>, Vec<Key>) {
    let key = |time: i64| (Some(time), (time % 3 != 0).then(|| format!("user {time}")));
    let puts = (number * 5..number * 5 + 9).map(|time| (key(time), (Some(number), Some("text".repeat(9)), true)));
    (puts.collect(), vec![key(number * 5 - 3), key(-1)])
}

/// Runs batches from `committed` on, each followed by maintenance, and records what was committed.
fn run(place: &Place, committed: &mut Vec<(VersionRef, Model)>, attempt: &str, batches: usize) -> Result<()> {
    run_with(place, committed, attempt, batches, true)
}

fn run_with(
    place: &Place,
    committed: &mut Vec<(VersionRef, Model)>,
    attempt: &str,
    batches: usize,
    is_maintained: bool,
) -> Result<()> {
    let stores = stores(place, 2000, 2);
    while committed.len() <= batches {
        let (base, mut model) = committed.last().cloned().unwrap_or_default();
        let batch = stores.begin(&base, base.version + 1, attempt)?;
        let (puts, removes) = changes(committed.len() as i64);
        let mut drafts: Vec<Draft> = Vec::new();
        for partition in 0..PARTITIONS {
            drafts.push(block_on(batch.draft(&store(partition, PARTITIONS)?, &SHAPE.schema()))?);
        }
        for (key, value) in puts {
            let keys = SHAPE.keys(std::slice::from_ref(&key))?;
            let partition = keys.partitions(PARTITIONS)[0] as usize;
            drafts[partition].put(&keys, &SHAPE.values(std::slice::from_ref(&value)))?;
            model.insert(key, value);
        }
        for key in removes {
            let keys = SHAPE.keys(std::slice::from_ref(&key))?;
            drafts[keys.partitions(PARTITIONS)[0] as usize].remove(&keys)?;
            model.remove(&key);
        }
        drafts.into_iter().try_for_each(|draft| draft.finish().map(drop))?;
        let reference = block_on(batch.commit())?.reference;
        committed.push((reference.clone(), model));
        if is_maintained {
            block_on(stores.maintain(&reference))?;
        }
    }
    Ok(())
}

/// A place that works, and the same place with faults.
type Places = (Place, Box<dyn Fn(Arc<Countdown>) -> Result<Place>>, Option<tempfile::TempDir>);

fn disk() -> Result<Places> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state");
    let sound = Place::open(&path.display().to_string(), &[])?;
    let faulty = move |countdown| {
        Ok(Place::from_storage(Arc::new(LocalStorage::with_disk(&path, Arc::new(FaultyDisk(countdown)))?)))
    };
    Ok((sound, Box::new(faulty), Some(folder)))
}

fn object_store() -> Result<Places> {
    let store = Arc::new(object_store::memory::InMemory::new());
    let inner = Arc::new(ObjectStorage::new(store, "state".into(), "memory:///state"));
    let sound: Arc<dyn Storage> = Arc::<ObjectStorage>::clone(&inner);
    let faulty =
        move |countdown| Ok(Place::from_storage(Arc::new(FaultyStorage { inner: Arc::clone(&inner), countdown })));
    Ok((Place::from_storage(sound), Box::new(faulty), None))
}

fn check_all_crashes(places: fn() -> Result<Places>, batches: usize, least_steps: usize) -> Result<()> {
    let (sound, _, _folder) = places()?;
    let mut calm = vec![(VersionRef::empty(), Model::new())];
    run(&sound, &mut calm, "calm", batches)?;
    let expected = calm.pop().expect("versions").1;
    for fault in FAULTS {
        let mut steps = 0;
        loop {
            let (sound, faulty, _folder) = places()?;
            let countdown = Countdown::new(steps as i64, fault, After::Crash);
            let mut committed = vec![(VersionRef::empty(), Model::new())];
            let result = run(&faulty(Arc::clone(&countdown))?, &mut committed, "first", batches);
            let Err(error) = result else {
                assert!(!countdown.has_struck(), "step {steps}, {fault:?}: the fault was swallowed");
                break;
            };
            assert_eq!(error.kind(), ErrorKind::Unavailable, "step {steps}, {fault:?}: {error}");
            let (version, model) = committed.last().cloned().expect("versions");
            check_version(&sound, SHAPE, &version, &model, 1, usize::MAX / 2)?;
            run(&sound, &mut committed, "second", batches)?;
            let (version, model) = committed.last().cloned().expect("versions");
            assert_eq!(model, expected, "step {steps}, {fault:?}");
            check_version(&sound, SHAPE, &version, &model, PARTITIONS, usize::MAX / 2)?;
            steps += 1;
        }
        assert!(steps >= least_steps, "{steps} steps are too few to be a test");
    }
    Ok(())
}

#[test]
fn a_crash_at_any_step_of_a_disk_is_repaired() -> Result<()> {
    check_all_crashes(disk, 6, 6 * 5)
}

#[test]
fn a_crash_at_any_request_to_an_object_store_is_repaired() -> Result<()> {
    check_all_crashes(object_store, 12, 12 + 6)
}

/// Two runs make the same version: each has its own file, and what counts is which of them is named.
#[test]
fn attempts_never_alias() -> Result<()> {
    let (place, _, _folder) = object_store()?;
    let mut committed = vec![(VersionRef::empty(), Model::new())];
    run_with(&place, &mut committed, "a", 2, false)?;
    let (first, second) = (committed[1].clone(), committed[2].clone());
    let mut other = vec![committed[0].clone()];
    run_with(&place, &mut other, "b", 2, false)?;
    assert_eq!(second.0.version, other[2].0.version);
    assert_ne!(second.0, other[2].0);
    for (version, model) in [&first, &second, &other[1], &other[2]] {
        check_version(&place, SHAPE, version, model, 1, usize::MAX / 2)?;
    }
    // The same attempt twice is one writer too many.
    let faster = stores(&place, 2000, 2);
    let batch = faster.begin(&first.0, 2, "a")?;
    let mut draft = block_on(batch.draft(&store(0, 1)?, &SHAPE.schema()))?;
    let key: Key = (Some(77), None);
    draft.put(&SHAPE.keys(&[key])?, &SHAPE.values(&[(None, None, false)]))?;
    draft.finish()?;
    let error = block_on(batch.commit()).expect_err("the name is taken");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    check_version(&place, SHAPE, &second.0, &second.1, 1, usize::MAX / 2)?;
    Ok(())
}
