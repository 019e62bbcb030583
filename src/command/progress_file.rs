//! `--progress FILE`: every progress event as a line of JSON, there as soon as it happens.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use millstream::listener::StreamingQueryListener;
use millstream::progress::StreamingQueryProgress;
use millstream::{Error, Result};

/// Writes progress events to a file.
#[derive(Debug)]
pub(super) struct ProgressFile {
    file: Mutex<File>,
}

impl ProgressFile {
    /// Makes the file, empty.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)
            .map_err(|e| Error::invalid(format!("--progress {}: the file cannot be made: {e}", path.display())))?;
        Ok(Self { file: Mutex::new(file) })
    }
}

impl StreamingQueryListener for ProgressFile {
    fn on_query_progress(&self, progress: &StreamingQueryProgress) {
        let mut line = progress.json();
        line.push('\n');
        // One write a line, so that whoever follows the file never reads half of one.
        if let Err(error) = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()) {
            tracing::warn!(%error, "a progress event could not be written");
        }
    }
}
