//! Which files a source has seen: Spark's `SeenFilesMap`.
//!
//! A file counts as new when it is unknown and not older than the newest one known by more than `max_age_ms`. What is
//! older than that is forgotten, so that the map does not grow for ever.

use std::collections::HashMap;

use super::location::FoundFile;

/// Paths (or names) of files, with their times.
#[derive(Debug)]
pub(super) struct SeenFiles {
    max_age_ms: Option<i64>,
    names_only: bool,
    times_ms: HashMap<String, i64>,
    newest_ms: i64,
    purged_below_ms: i64,
}

impl SeenFiles {
    /// No file. `max_age_ms` is relative to the newest file seen; with `names_only`, a file is known by its name.
    pub(super) fn new(max_age_ms: Option<i64>, names_only: bool) -> Self {
        Self { max_age_ms, names_only, times_ms: HashMap::new(), newest_ms: 0, purged_below_ms: 0 }
    }

    /// Remembers the file at `path`.
    pub(super) fn add(&mut self, path: &str, modified_ms: i64) {
        self.times_ms.insert(key(self.names_only, path).to_string(), modified_ms);
        self.newest_ms = self.newest_ms.max(modified_ms);
    }

    /// Whether the file has not been seen and is not too old.
    pub(super) fn is_new(&self, file: &FoundFile) -> bool {
        file.modified_ms >= self.purged_below_ms && !self.times_ms.contains_key(key(self.names_only, &file.path))
    }

    /// Forgets files that are too old.
    pub(super) fn purge(&mut self) {
        let Some(max_age_ms) = self.max_age_ms else { return };
        let below_ms = self.newest_ms.saturating_sub(max_age_ms);
        if below_ms > self.purged_below_ms {
            self.times_ms.retain(|_, modified_ms| *modified_ms >= below_ms);
        }
        self.purged_below_ms = below_ms;
    }
}

fn key(names_only: bool, path: &str) -> &str {
    match names_only {
        true => path.rsplit('/').next().unwrap_or(path),
        false => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, modified_ms: i64) -> FoundFile {
        FoundFile { path: path.to_string(), size_bytes: 1, modified_ms }
    }

    #[test]
    fn age_is_relative_to_the_newest_seen() {
        let mut seen = SeenFiles::new(Some(10), false);
        assert!(seen.is_new(&file("/a", 1)), "the first batch takes files of any age");
        seen.add("/a", 1);
        seen.add("/b", 20);
        seen.purge();
        // Newer than 20 - 10: known or new. Older: too old, known or not.
        for (path, modified_ms, expected) in
            [("/a", 1, false), ("/b", 20, false), ("/c", 9, false), ("/c", 10, true), ("/c", 30, true)]
        {
            assert_eq!(seen.is_new(&file(path, modified_ms)), expected, "{path} {modified_ms}");
        }
    }

    #[test]
    fn a_name_alone_can_be_the_file() {
        let mut seen = SeenFiles::new(None, true);
        seen.add("/x/a.json", 1);
        seen.purge();
        assert!(!seen.is_new(&file("/y/a.json", 5)));
        assert!(seen.is_new(&file("/y/b.json", 5)));
    }
}
