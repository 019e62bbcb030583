//! A folder for files that need not survive the process: what a large batch puts aside, copies of remote files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Made when first used, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    parent: PathBuf,
    folder: Mutex<Option<PathBuf>>,
    next: AtomicU64,
}

impl Scratch {
    pub(crate) fn new(parent: Option<&Path>) -> Self {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        Self { parent, folder: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// The path of a file that does not exist yet.
    pub(crate) fn new_path(&self) -> Result<PathBuf> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match &mut *folder {
            Some(folder) => folder,
            none => {
                let path = self.parent.join(format!("millstream-state-{}", uuid::Uuid::new_v4()));
                std::fs::create_dir_all(&path)
                    .map_err(|source| Error::io("create the folder", path.display().to_string(), source))?;
                none.insert(path)
            }
        };
        Ok(folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // What cannot be removed is the system's to clean.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
