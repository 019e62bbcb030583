//! Which files a path stands for right now.
//!
//! * A folder: its files, and those in partition folders (`k=v`) below it; with `recursiveFileLookup` all files below it.
//! * A folder that a file sink has written: the files its `_spark_metadata` lists, nothing else.
//! * A pattern: all of that for everything that matches, `_spark_metadata` left aside.

use millstream_engine::{Error, Result};
use tokio::sync::OnceCell;

use super::glob::Glob;
use super::location::{FoundFile, Location, is_hidden};
use super::manifest::ManifestReader;
use super::options::Lookup;
use super::partitions::{PartitionValue, parse_folder};

/// The files of a path.
#[derive(Debug)]
pub(super) struct Listing {
    location: Location,
    glob: Option<Glob>,
    lookup: Lookup,
    /// The manifest, once one has been found. A folder may get its first after the source was opened.
    manifest: OnceCell<ManifestReader>,
}

impl Listing {
    /// The files of `location` that count by `lookup`.
    pub(super) fn new(location: Location, lookup: Lookup) -> Result<Self> {
        Ok(Self { glob: location.glob()?, location, lookup, manifest: OnceCell::new() })
    }

    /// Fails where a plain path does not exist. A pattern may match nothing yet.
    pub(super) async fn check_exists(&self) -> Result<()> {
        if self.glob.is_none() && !self.location.store.exists(&self.location.path).await? {
            return Err(Error::invalid(format!("path does not exist: {}", self.location.display())));
        }
        Ok(())
    }

    /// Whether only what `_spark_metadata` lists counts.
    pub(super) async fn has_manifest(&self) -> Result<bool> {
        Ok(self.manifest().await?.is_some())
    }

    /// All files there are now, in a stable order: of their paths, or of the manifest's batches.
    pub(super) async fn files(&self) -> Result<Vec<FoundFile>> {
        let mut files = match self.manifest().await? {
            Some(manifest) => manifest.files().await?,
            None => self.listed().await?,
        };
        if let Some(filter) = &self.lookup.filter {
            files.retain(|file| filter.is_match(name_of(&file.path)));
        }
        Ok(files)
    }

    /// What the folders that a file is in say about its rows.
    pub(super) fn partition_values(&self, path: &str) -> Vec<PartitionValue> {
        if self.lookup.recursive {
            return Vec::new();
        }
        let below = path.strip_prefix(self.base_of(path).as_str()).unwrap_or_default();
        let mut folders: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        folders.pop();
        folders.into_iter().filter_map(parse_folder).collect()
    }

    async fn manifest(&self) -> Result<Option<&ManifestReader>> {
        if self.glob.is_some() || self.lookup.ignore_manifest {
            return Ok(None);
        }
        if let Some(manifest) = self.manifest.get() {
            return Ok(Some(manifest));
        }
        match ManifestReader::open(&self.location).await? {
            Some(reader) => Ok(Some(self.manifest.get_or_init(|| async { reader }).await)),
            None => Ok(None),
        }
    }

    async fn listed(&self) -> Result<Vec<FoundFile>> {
        let store = &self.location.store;
        let mut files: Vec<FoundFile> = Vec::new();
        for root in self.roots().await? {
            let Some(found) = store.list(&root).await? else { continue };
            let counts = |file: &FoundFile| {
                let is_hidden_itself = file.path == root && self.glob.is_some() && is_hidden(name_of(&root));
                !is_hidden_itself && (self.lookup.recursive || is_in_partitions(&root, &file.path))
            };
            files.extend(found.into_iter().filter(counts));
        }
        if self.glob.is_some() {
            files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
            files.dedup_by(|a, b| a.path == b.path);
        }
        Ok(files)
    }

    /// The folders and files that the path stands for.
    async fn roots(&self) -> Result<Vec<String>> {
        let Some(glob) = &self.glob else { return Ok(vec![self.location.path.clone()]) };
        let mut level_paths = vec![glob.plain_prefix()];
        for level in 0..glob.depth() {
            let mut next = Vec::new();
            for path in &level_paths {
                let names = self.location.store.children(path).await?;
                // As in Hadoop, a pattern matches hidden folders, not hidden files: those are told apart when listed.
                let matching = names.into_iter().filter(|name| glob.matches_level(level, name));
                next.extend(matching.map(|name| format!("{}/{name}", path.trim_end_matches('/'))));
            }
            level_paths = next;
        }
        Ok(level_paths)
    }

    /// Where the partition folders of the file at `path` may start.
    pub(super) fn base_of(&self, path: &str) -> String {
        if let Some(base) = &self.lookup.base_path {
            return base.clone();
        }
        let Some(glob) = &self.glob else { return self.location.path.clone() };
        let plain = glob.plain_prefix().split('/').filter(|part| !part.is_empty()).count();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        format!("/{}", parts[..(plain + glob.depth()).min(parts.len())].join("/"))
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether all folders between `root` and the file are partitions.
fn is_in_partitions(root: &str, path: &str) -> bool {
    let below = path.strip_prefix(root).unwrap_or_default().trim_start_matches('/');
    match below.rsplit_once('/') {
        Some((folders, _)) => folders.split('/').all(|name| parse_folder(name).is_some()),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(recursive: bool) -> Lookup {
        Lookup { recursive, filter: None, base_path: None, ignore_manifest: false }
    }

    async fn names(root: &str, pattern: &str, lookup: Lookup) -> Result<Vec<String>> {
        let listing = Listing::new(Location::parse(&format!("{root}{pattern}"))?, lookup)?;
        let files = listing.files().await?;
        Ok(files.iter().map(|file| file.path.strip_prefix(root).unwrap_or_default().to_string()).collect())
    }

    #[tokio::test]
    async fn hidden_files_are_passed_over_and_only_partitions_are_entered() -> Result<()> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().to_str().expect("a path in UTF-8");
        for path in
            ["a.json", "_x.json", ".y", "k=1/b.json", "sub/c.json", "k=1/j=2/d.json", "_k=3/e.json", "z._COPYING_"]
        {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "{}").expect("a file");
        }
        for (pattern, recursive, expected) in [
            ("", false, vec!["/_k=3/e.json", "/a.json", "/k=1/b.json", "/k=1/j=2/d.json"]),
            ("", true, vec!["/_k=3/e.json", "/a.json", "/k=1/b.json", "/k=1/j=2/d.json", "/sub/c.json"]),
            ("/*", false, vec!["/_k=3/e.json", "/a.json", "/k=1/b.json", "/k=1/j=2/d.json", "/sub/c.json"]),
            ("/_*/*", false, vec!["/_k=3/e.json"]),
            ("/s*", false, vec!["/sub/c.json"]),
            ("/{sub,none}/*.json", false, vec!["/sub/c.json"]),
            ("/a.json", false, vec!["/a.json"]),
        ] {
            assert_eq!(names(root, pattern, lookup(recursive)).await?, expected, "{pattern} {recursive}");
        }
        Ok(())
    }

    #[test]
    fn folders_below_the_base_are_columns() -> Result<()> {
        let values = |path: &str, base: Option<&str>, file: &str| -> Result<Vec<PartitionValue>> {
            let lookup = Lookup { base_path: base.map(str::to_string), ..lookup(false) };
            Ok(Listing::new(Location::parse(path)?, lookup)?.partition_values(file))
        };
        let pair = |k: &str, v: &str| (k.to_string(), Some(v.to_string()));
        assert_eq!(values("/d", None, "/d/k=1/j=x/a.json")?, [pair("k", "1"), pair("j", "x")]);
        assert_eq!(values("/d/k=*", None, "/d/k=1/j=x/a.json")?, [pair("j", "x")]);
        assert_eq!(values("/d/k=*", Some("/d"), "/d/k=1/j=x/a.json")?, [pair("k", "1"), pair("j", "x")]);
        Ok(())
    }
}
