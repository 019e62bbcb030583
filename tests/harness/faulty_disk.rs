//! A disk that fails at a chosen step, below one folder.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_state::{Disk, OsDisk};

/// What happens at the chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The step is not done, and its failure is reported.
    NotDone,
    /// The step is done, and reported as failed: a reply that was lost.
    DoneButReportedFailed,
    /// The process dies here: an append writes half of its bytes, and no later step is done.
    Dead,
    /// The disk is full from here on: files can be made, and nothing written into them.
    Full,
}

/// Counts the steps of durable writes, and fails where it is told to.
#[derive(Debug)]
pub struct FaultyDisk {
    done: AtomicU64,
    failing: Option<(u64, Fault)>,
}

impl FaultyDisk {
    /// A disk that only counts.
    pub fn calm() -> Arc<Self> {
        Arc::new(Self { done: AtomicU64::new(0), failing: None })
    }

    /// A disk that fails at step `nth`, counted from 0.
    pub fn failing(nth: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self { done: AtomicU64::new(0), failing: Some((nth, fault)) })
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    fn step<T>(&self, half: impl FnOnce(), whole: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let number = self.done.fetch_add(1, Ordering::SeqCst);
        let fail = || Err(io::Error::other(format!("step {number} was made to fail")));
        match self.failing {
            Some((nth, Fault::NotDone)) if number == nth => fail(),
            Some((nth, Fault::DoneButReportedFailed)) if number == nth => {
                whole()?;
                fail()
            }
            Some((nth, Fault::Dead)) if number == nth => {
                half();
                fail()
            }
            Some((nth, Fault::Dead)) if number > nth => fail(),
            _ => whole(),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|| (), || OsDisk.create_folder(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        self.step(|| (), || OsDisk.create_file(path))
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Some((nth, Fault::Full)) = self.failing
            && self.done.fetch_add(1, Ordering::SeqCst) >= nth
        {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let mut torn = file.try_clone()?;
        self.step(move || drop(OsDisk.append(&mut torn, &bytes[..bytes.len() / 2])), || OsDisk.append(file, bytes))
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.step(|| (), || OsDisk.sync_file(file))
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| (), || OsDisk.publish(from, to))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|| (), || OsDisk.sync_folder(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // A dead process removes nothing; otherwise removing is no write, and is not counted.
        match self.failing {
            Some((nth, Fault::Dead)) if self.steps() > nth => Err(io::Error::other("the process is dead")),
            _ => OsDisk.remove(path),
        }
    }
}
