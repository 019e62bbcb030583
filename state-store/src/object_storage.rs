//! [`Storage`] on an object store: conditional PUT, and multipart uploads for what is large.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
};

use crate::error::{Error, ErrorKind, Result};
use crate::place::Entry;
use crate::storage::{Created, Storage, Upload};

/// Parts of a large upload, in bytes: above S3's minimum of 5 MiB, all the same size as R2 wants it.
const PART_BYTES: usize = 8 << 20;

/// A prefix of an object store as [`Storage`].
#[derive(Clone, Debug)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl ObjectStorage {
    /// What lies under `prefix` in `store`; `url` names the same for people.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, url: impl Into<String>) -> Self {
        let url: String = url.into();
        Self { store, prefix, url: url.trim_end_matches('/').to_owned() }
    }

    fn path(&self, relative: &str) -> Path {
        relative.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn error(&self, what: &str, path: &str, source: StoreError) -> Error {
        let kind = match source {
            StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::InvalidPath { .. }
            | StoreError::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
            StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("cannot {what}")).at(self.url(path)).because(source)
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.path(path), bytes.into(), options).await {
            Ok(_) => Ok(Created::New),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Created::Taken),
            Err(source) => Err(self.error("create", path, source)),
        }
    }

    async fn begin(&self, path: &str) -> Result<Box<dyn Upload>> {
        let upload =
            ObjectUpload { storage: self.clone(), path: path.to_owned(), pending: BytesMut::new(), multipart: None };
        Ok(Box::new(upload))
    }

    async fn confirm(&self, _path: &str) -> Result<()> {
        Ok(())
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        if range.as_ref().is_some_and(|range| range.start >= range.end) {
            return Ok(self.exists(path).await?.then(Bytes::new));
        }
        let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let answer = match self.store.get_opts(&self.path(path), options).await {
            Ok(answer) => answer.bytes().await,
            Err(source) => Err(source),
        };
        match answer {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => {
                // A range that starts past the end is an error of the store's, and an empty answer of ours.
                if let (Some(range), Ok(meta)) = (range, self.store.head(&self.path(path)).await)
                    && range.start >= meta.size
                {
                    return Ok(Some(Bytes::new()));
                }
                Err(self.error("read", path, source))
            }
        }
    }

    async fn exists(&self, path: &str) -> Result<bool> {
        match self.store.head(&self.path(path)).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.error("look up", path, source)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let listing = self.store.list_with_delimiter(Some(&self.path(folder))).await;
        let objects = match listing {
            Ok(listing) => listing.objects,
            Err(StoreError::NotFound { .. }) => Vec::new(),
            Err(source) => return Err(self.error("list", folder, source)),
        };
        let entry = |object: object_store::ObjectMeta| {
            let name = object.location.filename()?.to_owned();
            let modified_ms = object.last_modified.timestamp_millis();
            (!name.starts_with('.')).then_some(Entry { name, size_bytes: object.size, modified_ms })
        };
        Ok(objects.into_iter().filter_map(entry).collect())
    }

    async fn delete(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.path(path)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.error("delete", path, source)),
        }
    }

    fn url(&self, path: &str) -> String {
        if path.is_empty() { self.url.clone() } else { format!("{}/{path}", self.url) }
    }

    fn local_path(&self, _path: &str) -> Option<PathBuf> {
        None
    }
}

/// Small files are created conditionally in one PUT. A larger one is a multipart upload, for which object stores offer
/// no condition: the name is looked up just before it is completed. Names that hold an attempt are never raced for.
/// Parts of an upload that is dropped are the store's to expire: cancelling needs an asynchronous call.
#[derive(Debug)]
struct ObjectUpload {
    storage: ObjectStorage,
    path: String,
    pending: BytesMut,
    multipart: Option<Box<dyn MultipartUpload>>,
}

impl ObjectUpload {
    async fn put_part(&mut self, part: Bytes) -> Result<()> {
        let fail = |source| self.storage.error("upload", &self.path, source);
        if self.multipart.is_none() {
            let target = self.storage.path(&self.path);
            self.multipart = Some(self.storage.store.put_multipart(&target).await.map_err(fail)?);
        }
        match &mut self.multipart {
            Some(multipart) => multipart.put_part(part.into()).await.map_err(fail),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Upload for ObjectUpload {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.pending.extend_from_slice(&bytes);
        while self.pending.len() > PART_BYTES {
            let part = self.pending.split_to(PART_BYTES).freeze();
            self.put_part(part).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Created> {
        let rest = std::mem::take(&mut self.pending).freeze();
        if self.multipart.is_none() {
            return self.storage.create(&self.path, rest).await;
        }
        self.put_part(rest).await?;
        let Some(mut multipart) = self.multipart.take() else {
            return Ok(Created::Taken);
        };
        let fail = |source| self.storage.error("complete the upload of", &self.path, source);
        if self.storage.exists(&self.path).await? {
            multipart.abort().await.map_err(fail)?;
            return Ok(Created::Taken);
        }
        multipart.complete().await.map_err(fail)?;
        Ok(Created::New)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[test]
    fn large_uploads_arrive_whole() -> Result<()> {
        let storage = ObjectStorage::new(Arc::new(InMemory::new()), Path::from("p"), "memory:///p");
        let large: Bytes = (0..3 * PART_BYTES + 5).map(|i| i as u8).collect::<Vec<_>>().into();
        futures::executor::block_on(async {
            let mut upload = storage.begin("big").await?;
            for piece in large.chunks(1_000_000) {
                upload.append(Bytes::copy_from_slice(piece)).await?;
            }
            assert_eq!(upload.finish().await?, Created::New);
            assert_eq!(storage.read("big", None).await?, Some(large.clone()));
            let mut again = storage.begin("big").await?;
            again.append(large.clone()).await?;
            assert_eq!(again.finish().await?, Created::Taken);
            Ok(())
        })
    }
}
