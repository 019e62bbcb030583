//! Recorded files of a running Spark, put where a test can use them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

/// What stands in the recordings for the folder in which Spark ran.
pub const ROOT: &str = "@ROOT@";

/// A file or folder below `tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// The JSON in a file below `tests/fixtures`.
pub fn fixture_json(path: &str) -> io::Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(fixture(path))?)?)
}

/// The lines of JSON in a file below `tests/fixtures`.
pub fn fixture_lines(path: &str) -> io::Result<Vec<Value>> {
    let text = fs::read_to_string(fixture(path))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Copies a folder to `to`, with [`ROOT`] in logs replaced by `root`.
pub fn copy_folder(from: &Path, to: &Path, root: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target, root)?;
            continue;
        }
        let bytes = fs::read(&source)?;
        match String::from_utf8(bytes) {
            Ok(text) if text.contains(ROOT) => fs::write(&target, text.replace(ROOT, &root.to_string_lossy()))?,
            Ok(text) => fs::write(&target, text)?,
            Err(not_text) => fs::write(&target, not_text.into_bytes())?,
        }
    }
    Ok(())
}

/// Sets a file's modification time in milliseconds since the epoch.
pub fn set_modified(path: &Path, modified_ms: u64) -> io::Result<()> {
    fs::File::options().write(true).open(path)?.set_modified(UNIX_EPOCH + Duration::from_millis(modified_ms))
}
