//! [`Storage`] on a local disk: temporary file → fsync → rename without replacing → fsync of the folder.
//!
//! Each of these steps is a method of [`Disk`], so that tests can fail every single one.

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Instant, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::place::Entry;
use crate::storage::{Created, Storage, Upload};

/// The steps of a durable write.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Creates one folder whose parent exists.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Creates a file that must not exist, for writing.
    fn create_file(&self, path: &Path) -> io::Result<File>;
    /// Writes at the end of a file from [`Disk::create_file`].
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Waits until the file's bytes and length are on the disk.
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Renames without replacing: [`io::ErrorKind::AlreadyExists`] when the new name is taken.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the names in a folder are on the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        // A new file's length is part of what fdatasync writes; its times need not be.
        file.sync_data()
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                // Some file systems (NFS, some FUSE ones) do not know the flag.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
                other => return other.map_err(io::Error::from),
            }
        }
        std::fs::hard_link(from, to)?;
        std::fs::remove_file(from)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// While it lives, every [`LocalStorage::new`] in or below one folder writes through another disk: for tests of whole
/// queries, which name their folders and are not handed a storage.
#[derive(Debug)]
pub struct OtherDisk(PathBuf);

static OTHER_DISKS: RwLock<Vec<(PathBuf, Arc<dyn Disk>)>> = RwLock::new(Vec::new());

impl OtherDisk {
    /// Puts `disk` under `folder`, which is an absolute path.
    pub fn mount(folder: impl Into<PathBuf>, disk: Arc<dyn Disk>) -> Self {
        let folder = folder.into();
        OTHER_DISKS.write().unwrap_or_else(PoisonError::into_inner).push((folder.clone(), disk));
        Self(folder)
    }

    fn below(path: &Path) -> Option<Arc<dyn Disk>> {
        let disks = OTHER_DISKS.read().unwrap_or_else(PoisonError::into_inner);
        disks.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, disk)| Arc::clone(disk))
    }
}

impl Drop for OtherDisk {
    fn drop(&mut self) {
        OTHER_DISKS.write().unwrap_or_else(PoisonError::into_inner).retain(|(folder, _)| *folder != self.0);
    }
}

/// A folder on a local disk as [`Storage`].
#[derive(Clone, Debug)]
pub struct LocalStorage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Folders known to exist durably, so that a write does not ask again.
    folders: Mutex<HashSet<PathBuf>>,
    sync_nanos: AtomicU64,
}

impl LocalStorage {
    /// The folder `root`, which is made absolute, and created when the first file is.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let disk = OtherDisk::below(root.as_ref()).unwrap_or_else(|| Arc::new(OsDisk));
        Self::with_disk(root, disk)
    }

    /// The same on another disk, for tests.
    pub fn with_disk(root: impl AsRef<Path>, disk: Arc<dyn Disk>) -> Result<Self> {
        let root = root.as_ref();
        let absolute = std::path::absolute(root)
            .map_err(|source| Error::io("make the path absolute", root.display().to_string(), source))?;
        let shared =
            Shared { root: absolute, disk, folders: Mutex::new(HashSet::new()), sync_nanos: AtomicU64::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs a blocking step where it hurts nobody: on tokio's blocking threads (a hop of 10–20 µs, while an fsync takes
    /// 100 µs to 10 ms, which would hold up every other task of the worker), or right here when there is no runtime.
    async fn run<T: Send + 'static>(&self, step: impl FnOnce(&Shared) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime
                .spawn_blocking(move || step(&shared))
                .await
                .map_err(|source| Error::internal("a file operation did not end").because(source))?,
            Err(_) => step(&shared),
        }
    }
}

#[async_trait]
impl Storage for LocalStorage {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created> {
        let path = self.shared.path(path);
        self.run(move |shared| {
            let mut writing = shared.start(path)?;
            shared.append(&mut writing, &bytes)?;
            shared.finish(writing)
        })
        .await
    }

    async fn begin(&self, path: &str) -> Result<Box<dyn Upload>> {
        let path = self.shared.path(path);
        let writing = self.run(move |shared| shared.start(path)).await?;
        Ok(Box::new(LocalUpload { storage: self.clone(), writing: Some(writing) }))
    }

    async fn confirm(&self, path: &str) -> Result<()> {
        let path = self.shared.path(path);
        self.run(move |shared| {
            let file = File::open(&path).map_err(|source| io_error("open", &path, source))?;
            shared.timed(|| shared.disk.sync_file(&file)).map_err(|source| io_error("sync", &path, source))?;
            shared.sync_folder_of(&path)
        })
        .await
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        let path = self.shared.path(path);
        self.run(move |_| read(&path, range)).await
    }

    async fn exists(&self, path: &str) -> Result<bool> {
        // Right here: a look takes microseconds, less than the hop to another thread.
        let path = self.shared.path(path);
        path.try_exists().map_err(|source| io_error("look up", &path, source))
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let path = self.shared.path(folder);
        self.run(move |_| list(&path)).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let path = self.shared.path(path);
        self.run(move |shared| match shared.disk.remove(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("delete", &path, source)),
            _ => Ok(()),
        })
        .await
    }

    fn url(&self, path: &str) -> String {
        let path = self.shared.path(path);
        url::Url::from_file_path(&path).map_or_else(|()| path.display().to_string(), String::from)
    }

    fn local_path(&self, path: &str) -> Option<PathBuf> {
        Some(self.shared.path(path))
    }

    fn sync_nanos(&self) -> u64 {
        self.shared.sync_nanos.load(Ordering::Relaxed)
    }
}

/// A file under its temporary name; removed again when dropped unfinished.
#[derive(Debug)]
struct Writing {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    disk: Arc<dyn Disk>,
    published: bool,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.published {
            // Nobody sees it under this name, and a leftover is harmless: nothing to report.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}

impl Shared {
    fn path(&self, relative: &str) -> PathBuf {
        if relative.is_empty() { self.root.clone() } else { self.root.join(relative) }
    }

    fn start(&self, target: PathBuf) -> Result<Writing> {
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Error::invalid("not a file name").at(target.display().to_string()));
        };
        self.make_folder(folder)?;
        let temporary = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), uuid::Uuid::new_v4()));
        let file = match self.disk.create_file(&temporary) {
            // The folder was removed behind our back: once more, from the start.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lock_folders().clear();
                self.make_folder(folder)?;
                self.disk.create_file(&temporary)
            }
            other => other,
        };
        let file = file.map_err(|source| io_error("create", &target, source))?;
        Ok(Writing { file, temporary, target, disk: Arc::clone(&self.disk), published: false })
    }

    fn append(&self, writing: &mut Writing, bytes: &[u8]) -> Result<()> {
        self.disk.append(&mut writing.file, bytes).map_err(|source| io_error("write", &writing.target, source))
    }

    fn finish(&self, mut writing: Writing) -> Result<Created> {
        self.timed(|| self.disk.sync_file(&writing.file))
            .map_err(|source| io_error("sync", &writing.target, source))?;
        match self.disk.publish(&writing.temporary, &writing.target) {
            Ok(()) => writing.published = true,
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Created::Taken);
            }
            Err(source) => return Err(io_error("rename", &writing.target, source)),
        }
        self.sync_folder_of(&writing.target)?;
        Ok(Created::New)
    }

    /// Creates the folder and its missing parents, each made durable in its own parent.
    fn make_folder(&self, folder: &Path) -> Result<()> {
        if self.lock_folders().contains(folder) {
            return Ok(());
        }
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
        for path in missing.into_iter().rev() {
            match self.disk.create_folder(path) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("create the folder", path, source));
                }
                _ => self.sync_folder_of(path)?,
            }
        }
        self.lock_folders().insert(folder.to_owned());
        Ok(())
    }

    fn sync_folder_of(&self, path: &Path) -> Result<()> {
        let Some(folder) = path.parent() else {
            return Ok(());
        };
        self.timed(|| self.disk.sync_folder(folder)).map_err(|source| io_error("sync the folder of", path, source))
    }

    fn timed<T>(&self, step: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = step();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
        result
    }

    fn lock_folders(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct LocalUpload {
    storage: LocalStorage,
    /// `None` while a step runs and after one failed: a file with a hole must never be finished.
    writing: Option<Writing>,
}

impl LocalUpload {
    fn take(&mut self) -> Result<Writing> {
        self.writing.take().ok_or_else(|| Error::new(ErrorKind::Unavailable, "an earlier write of this file failed"))
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let mut writing = self.take()?;
        let step = move |shared: &Shared| shared.append(&mut writing, &bytes).map(|()| writing);
        self.writing = Some(self.storage.run(step).await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Created> {
        let writing = self.take()?;
        self.storage.run(move |shared| shared.finish(writing)).await
    }
}

fn read(path: &Path, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error("open", path, source)),
    };
    let mut bytes = Vec::new();
    let done = match range {
        None => file.read_to_end(&mut bytes),
        Some(range) => file
            .seek(SeekFrom::Start(range.start))
            .and_then(|_| file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)),
    };
    done.map_err(|source| io_error("read", path, source))?;
    Ok(Some(bytes.into()))
}

fn list(folder: &Path) -> Result<Vec<Entry>> {
    let fail = |source| io_error("list", folder, source);
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(fail(source)),
    };
    let mut entries = Vec::new();
    for file in files {
        let file = file.map_err(fail)?;
        // A name that is not text is none of ours.
        let Ok(name) = file.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let metadata = match file.metadata() {
            Ok(metadata) => metadata,
            // Deleted since it was listed.
            Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(fail(source)),
        };
        if metadata.is_file() {
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let modified_ms = modified.map_or(0, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
            entries.push(Entry { name, size_bytes: metadata.len(), modified_ms });
        }
    }
    Ok(entries)
}

fn io_error(what: &str, path: &Path, source: io::Error) -> Error {
    Error::io(what, path.display().to_string(), source)
}
