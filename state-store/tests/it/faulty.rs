//! Disks that fail at one step, in each way a disk fails.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use millstream_state::{Disk, OsDisk};

/// How a step fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing was done.
    NotDone,
    /// It was done, but reported as failed.
    DoneButReportedFailed,
    /// A part of it was done.
    Torn,
}

pub(crate) const FAULTS: [Fault; 3] = [Fault::NotDone, Fault::DoneButReportedFailed, Fault::Torn];

/// What follows upon a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing is done any more: the process has crashed.
    Crash,
    /// All goes well again.
    Recovery,
}

/// Counts steps down; the one that reaches zero fails.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: AtomicI64,
    fault: Fault,
    after: After,
}

impl Countdown {
    pub(crate) fn new(steps: i64, fault: Fault, after: After) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(steps), fault, after })
    }

    /// `None` to go on, else the fault.
    pub(crate) fn step(&self) -> Option<Fault> {
        match self.left.fetch_sub(1, Ordering::Relaxed) {
            0 => Some(self.fault),
            left if left < 0 && self.after == After::Crash => Some(Fault::NotDone),
            _ => None,
        }
    }

    pub(crate) fn has_struck(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }
}

/// A disk that fails where the countdown says.
#[derive(Debug)]
pub(crate) struct FaultyDisk(pub(crate) Arc<Countdown>);

impl FaultyDisk {
    fn step<T>(&self, torn: impl FnOnce(), step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.0.step() {
            None => return step(),
            Some(Fault::NotDone) => {}
            Some(Fault::DoneButReportedFailed) => drop(step()),
            Some(Fault::Torn) => torn(),
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
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
        let mut half = file.try_clone()?;
        let torn = move || drop(OsDisk.append(&mut half, &bytes[..bytes.len() / 2]));
        self.step(torn, || OsDisk.append(file, bytes))
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
        self.step(|| (), || OsDisk.remove(path))
    }
}
