//! What a [`Place`](crate::Place) stands on: the few things a disk or an object store must be able to do.

use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::place::Entry;

/// A tree of files that are created once and never rewritten.
///
/// Paths are relative to the storage's root, their parts joined by `/`; the root itself is `""`.
///
/// # Contract
/// * **Create once**: of several `create`s of one path exactly one gets [`Created::New`], also between processes.
/// * **Durable**: what `create` or `finish` reported as new survives a power cut.
/// * **Whole**: a path that can be read has all its bytes; a half-written file is never seen under its name.
/// * **Cancel safety**: dropping a future leaves either the whole file or none (an invisible temporary file may stay).
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// Creates the file with these bytes, durably.
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created>;

    /// Starts a file too large to be held in memory. Nothing is visible until [`Upload::finish`].
    async fn begin(&self, path: &str) -> Result<Box<dyn Upload>>;

    /// Makes durable a file that was found in place of one this process tried to create.
    async fn confirm(&self, path: &str) -> Result<()>;

    /// The file's bytes, or those in `range`; `None` when there is no such file. A range past the end is cut short.
    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>>;

    /// Whether the file exists.
    async fn exists(&self, path: &str) -> Result<bool>;

    /// The files directly in `folder`, in any order, dotfiles left out; empty when there is no such folder.
    async fn list(&self, folder: &str) -> Result<Vec<Entry>>;

    /// Removes the file; a missing one is fine.
    async fn delete(&self, path: &str) -> Result<()>;

    /// The file or folder as a URL, for messages and for Spark's logs.
    fn url(&self, path: &str) -> String;

    /// The same on the local disk, when it is there.
    fn local_path(&self, path: &str) -> Option<PathBuf>;

    /// Nanoseconds spent so far in waiting for the disk to make files durable.
    fn sync_nanos(&self) -> u64 {
        0
    }
}

/// What came of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The file is new, ours and durable.
    New,
    /// The name was taken before.
    Taken,
}

/// A file being written piece by piece. Dropping it unfinished leaves nothing visible.
#[async_trait]
pub trait Upload: Debug + Send {
    /// Adds bytes at the end.
    async fn append(&mut self, bytes: Bytes) -> Result<()>;

    /// Makes the file visible and durable, unless the name is taken.
    async fn finish(self: Box<Self>) -> Result<Created>;
}
