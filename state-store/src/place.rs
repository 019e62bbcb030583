//! A folder where files are created once and never rewritten, on a local disk, in an object store or in memory.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::local_storage::LocalStorage;
use crate::object_storage::ObjectStorage;
use crate::storage::{Created, Storage, Upload};

/// A folder where files are created once and never rewritten. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Place {
    storage: Arc<dyn Storage>,
    folder: String,
    counters: Arc<Counters>,
}

/// A file directly in a [`Place`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// When it was last modified, in milliseconds since 1970; 0 when the storage does not say.
    pub modified_ms: i64,
}

/// What a [`Place`] and all places with the same root have written since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Files created.
    pub files_created: u64,
    /// Bytes in them.
    pub bytes_written: u64,
    /// Nanoseconds spent in waiting for the disk to make files and folders durable.
    pub sync_nanos: u64,
}

#[derive(Debug, Default)]
struct Counters {
    files_created: AtomicU64,
    bytes_written: AtomicU64,
}

impl Place {
    /// Opens a plain path or a URL: `file://`, `memory://`, `s3://`, `gs://`, `az://` and whatever else
    /// [`object_store::parse_url_opts`] knows. `options` are its keys and values; environment variables that start with
    /// `AWS_`, `GOOGLE_` or `AZURE_` apply where an option does not say otherwise.
    ///
    /// A `memory://` place lives as long as the process and is shared by everyone who opens the same URL.
    pub fn open(location: &str, options: &[(String, String)]) -> Result<Self> {
        let Some(url) = url_of(location)? else {
            return Ok(Self::from_storage(Arc::new(LocalStorage::new(Path::new(location))?)));
        };
        match url.scheme() {
            "file" => {
                let path = url.to_file_path().map_err(|()| {
                    Error::invalid("a file URL names an absolute path, as in file:///data").at(location)
                })?;
                Ok(Self::from_storage(Arc::new(LocalStorage::new(path)?)))
            }
            _ => {
                let (store, prefix) = open_object_store(&url, options)?;
                Ok(Self::from_storage(Arc::new(ObjectStorage::new(store, prefix, location))))
            }
        }
    }

    /// The root folder of `storage`.
    pub fn from_storage(storage: Arc<dyn Storage>) -> Self {
        Self { storage, folder: String::new(), counters: Arc::default() }
    }

    /// The folder `name` in this one; `name` may have several parts, joined by `/`.
    pub fn child(&self, name: &str) -> Self {
        let name = name.trim_matches('/');
        let folder = if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) };
        Self { folder, ..self.clone() }
    }

    /// The folder as an absolute URL, `file:///…` for a local one.
    pub fn url(&self) -> String {
        self.storage.url(&self.folder)
    }

    /// The URL of a file in this folder.
    pub fn url_of(&self, name: &str) -> String {
        self.storage.url(&self.path(name))
    }

    /// The folder on the local disk, when it is there.
    pub fn local_path(&self) -> Option<PathBuf> {
        self.storage.local_path(&self.folder)
    }

    /// Creates a file. It is durable and visible when this returns, and not visible before it is whole.
    ///
    /// When the name is taken: `Ok` if the same bytes are there (a lost reply to a write of our own), else
    /// [`ErrorKind::Fenced`].
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<()> {
        check_name(name)?;
        let path = self.path(name);
        match self.storage.create(&path, bytes.clone()).await? {
            Created::New => {
                self.count(bytes.len() as u64);
                Ok(())
            }
            Created::Taken if self.storage.read(&path, None).await?.as_ref() == Some(&bytes) => {
                self.storage.confirm(&path).await
            }
            Created::Taken => Err(self.fenced(name)),
        }
    }

    /// Starts a file too large to be held in memory; see [`Writer`].
    pub async fn begin(&self, name: &str) -> Result<Writer> {
        check_name(name)?;
        let upload = self.storage.begin(&self.path(name)).await?;
        Ok(Writer { place: self.clone(), name: name.to_owned(), upload, written_bytes: 0 })
    }

    /// The whole file; `None` when there is none.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        self.storage.read(&self.path(name), None).await
    }

    /// The bytes in `range`, cut short at the file's end; `None` when there is no file.
    pub async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.storage.read(&self.path(name), Some(range)).await
    }

    /// Whether the file exists.
    pub async fn exists(&self, name: &str) -> Result<bool> {
        self.storage.exists(&self.path(name)).await
    }

    /// The files directly in this folder, sorted by name; without dotfiles, so never temporary files nor the `.crc`
    /// files that Spark leaves beside its own. A missing folder is empty.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = self.storage.list(&self.folder).await?;
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Removes a file; a missing one is fine.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.storage.delete(&self.path(name)).await
    }

    /// What was written here and in every place with the same root.
    pub fn io_stats(&self) -> IoStats {
        IoStats {
            files_created: self.counters.files_created.load(Ordering::Relaxed),
            bytes_written: self.counters.bytes_written.load(Ordering::Relaxed),
            sync_nanos: self.storage.sync_nanos(),
        }
    }

    fn path(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }

    fn count(&self, bytes: u64) {
        self.counters.files_created.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    fn fenced(&self, name: &str) -> Error {
        Error::new(ErrorKind::Fenced, "another writer has created this file; this run has been overtaken")
            .at(self.url_of(name))
    }
}

/// A file being written piece by piece. Dropping it unfinished leaves nothing visible.
#[derive(Debug)]
pub struct Writer {
    place: Place,
    name: String,
    upload: Box<dyn Upload>,
    written_bytes: u64,
}

impl Writer {
    /// Adds bytes at the end.
    pub async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.written_bytes += bytes.len() as u64;
        self.upload.append(bytes).await
    }

    /// Makes the file visible and durable. A taken name is [`ErrorKind::Fenced`], whatever is in it.
    pub async fn finish(self) -> Result<()> {
        match self.upload.finish().await? {
            Created::New => {
                self.place.count(self.written_bytes);
                Ok(())
            }
            Created::Taken => Err(self.place.fenced(&self.name)),
        }
    }
}

/// The object store that `url` is in, and the path within it: `memory://`, `s3://`, `gs://`, `az://` and whatever else
/// [`object_store::parse_url_opts`] knows. Options and environment as in [`Place::open`].
pub fn open_object_store(
    url: &Url,
    options: &[(String, String)],
) -> Result<(Arc<dyn ObjectStore>, object_store::path::Path)> {
    if url.scheme() == "memory" {
        let prefix = object_store::path::Path::from_url_path(url.path())
            .map_err(|source| Error::invalid("not a path").at(url.as_str()).because(source))?;
        return Ok((shared_memory(url.host_str().unwrap_or_default()), prefix));
    }
    let options = environment_options().chain(options.iter().cloned());
    let (store, prefix) = object_store::parse_url_opts(url, options).map_err(|source| {
        Error::invalid("cannot open the location; known are paths, file://, memory://, s3://, gs://, az://")
            .at(url.as_str())
            .because(source)
    })?;
    Ok((store.into(), prefix))
}

/// `None` for a plain path. A scheme has at least two letters, so that `c:\data` is a path.
fn url_of(location: &str) -> Result<Option<Url>> {
    let is_url = location.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.len() > 1
            && rest.starts_with('/')
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    if !is_url {
        return Ok(None);
    }
    let url = Url::parse(location).map_err(|source| Error::invalid("not a URL").at(location).because(source))?;
    Ok(Some(url))
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Error::invalid(format!("'{name}' is no file name: it is empty, hidden or has several parts")));
    }
    Ok(())
}

fn environment_options() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(key, value)| {
        let key = key.into_string().ok()?;
        let known = ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| key.starts_with(prefix));
        if known { Some((key.to_lowercase(), value.into_string().ok()?)) } else { None }
    })
}

fn shared_memory(name: &str) -> Arc<dyn ObjectStore> {
    static STORES: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let store: Arc<InMemory> = Arc::clone(stores.entry(name.to_owned()).or_default());
    store
}
