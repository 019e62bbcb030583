//! Listing folders of the local disk.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

use millstream_engine::Result;

use super::location::{FoundFile, disk_error, is_hidden};

/// The files under `folder`, at any depth, in order of their paths, hidden names left out. `None` where there is no such
/// folder; a path that is a file gives that file.
pub(super) fn list(folder: &str) -> Result<Option<Vec<FoundFile>>> {
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(disk_error("list", Path::new(folder), e)),
    };
    if metadata.is_file() {
        return Ok(Some(vec![found(folder.to_string(), &metadata)]));
    }
    let mut files = Vec::new();
    add_files(folder, &mut files)?;
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Some(files))
}

/// The names of the folders and files directly in `folder`, hidden ones too; none where there is no such folder.
pub(super) fn children(folder: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(disk_error("list", Path::new(folder), e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| disk_error("list", Path::new(folder), e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn add_files(folder: &str, files: &mut Vec<FoundFile>) -> Result<()> {
    for name in children(folder)?.into_iter().filter(|name| !is_hidden(name)) {
        let path = format!("{}/{name}", folder.trim_end_matches('/'));
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => add_files(&path, files)?,
            Ok(metadata) => files.push(found(path, &metadata)),
            // Removed since its folder was read.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(disk_error("look at", Path::new(&path), e)),
        }
    }
    Ok(())
}

fn found(path: String, metadata: &Metadata) -> FoundFile {
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let modified_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    FoundFile { path, size_bytes: metadata.len(), modified_ms }
}
