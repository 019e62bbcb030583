//! What becomes of files that have been read: nothing, deletion, or a move to an archive (`cleanSource`).
//!
//! Best effort, beside the query: a file that cannot be cleaned stays, with a warning. An archived file keeps its whole
//! path below the archive folder.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use object_store::ObjectStoreExt;
use tokio::task::JoinSet;

use super::location::{Location, Store, object_path};
use super::options::{Clean, FileSourceOptions};

/// Cleans files of one store, in tasks of its own.
#[derive(Debug)]
pub(super) struct Cleaner {
    work: Work,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Clone, Debug)]
struct Work {
    store: Store,
    archive: Option<Location>,
}

impl Cleaner {
    /// The cleaner that the options ask for.
    pub(super) fn new(options: &FileSourceOptions) -> Option<Self> {
        let archive = match &options.clean {
            Clean::Off => return None,
            Clean::Delete => None,
            Clean::Archive(folder) => Some(folder.clone()),
        };
        let work = Work { store: options.location.store.clone(), archive };
        Some(Self { work, tasks: Mutex::default() })
    }

    /// Cleans the files at `paths`, some time soon.
    pub(super) fn clean(&self, paths: Vec<String>) {
        let work = self.work.clone();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        match &self.work.store {
            Store::Local => {
                tasks.spawn_blocking(move || paths.iter().for_each(|path| work.clean_local(path)));
            }
            Store::Object { .. } => {
                tasks.spawn(async move {
                    for path in &paths {
                        work.clean_object(path).await;
                    }
                });
            }
        }
    }

    /// Waits for what is being cleaned.
    pub(super) async fn finish(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

impl Work {
    fn clean_local(&self, path: &str) {
        let result = match &self.archive {
            None => std::fs::remove_file(path),
            Some(archive) => {
                let target = format!("{}{path}", archive.path);
                let folder = Path::new(&target).parent().map_or(Ok(()), std::fs::create_dir_all);
                folder.and_then(|()| std::fs::rename(path, &target))
            }
        };
        if let Err(e) = result {
            tracing::warn!("cannot clean the source file {path}: {e}");
        }
    }

    async fn clean_object(&self, path: &str) {
        let Store::Object { store, base } = &self.store else { return };
        let source = object_path(path);
        let result = match &self.archive {
            None => store.delete(&source).await,
            Some(archive) => store.rename(&source, &object_path(&format!("{}{path}", archive.path))).await,
        };
        if let Err(e) = result {
            tracing::warn!("cannot clean the source file {base}{path}: {e}");
        }
    }
}
