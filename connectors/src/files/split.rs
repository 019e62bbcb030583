//! A piece of a file, as data that travels: part `index` of `of` equal parts.
//!
//! What a part is, the reader knows: a range of row groups or rows of a parquet file, or the lines that begin in a range
//! of bytes. So that planning a batch opens no file, and every attempt cuts alike.

use millstream_engine::source::Split;
use millstream_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::format::FormatOptions;
use super::location::Location;
use super::partitions::PartitionValue;

/// A smaller part is not worth a task, in bytes.
const PART_BYTES_MIN: u64 = 1 << 20;

/// A larger part is cut again, in bytes.
const PART_BYTES_MAX: u64 = 128 << 20;

/// A file of a batch.
#[derive(Clone, Debug)]
pub(super) struct FileToRead {
    /// Its URI.
    pub(super) uri: String,
    /// Its length where it is known.
    pub(super) size_bytes: Option<u64>,
    /// When it was last changed, in milliseconds since the epoch.
    pub(super) modified_ms: i64,
    /// What its folders say.
    pub(super) values: Vec<PartitionValue>,
}

/// The descriptor of a [`Split`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FilePart {
    /// The file's URI.
    pub(super) path: String,
    /// The file's length; 0 where it is not known.
    pub(super) size_bytes: u64,
    /// When the file was last changed, in milliseconds since the epoch.
    pub(super) modified_ms: i64,
    /// What its folders say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<PartitionValue>,
    /// Which part, from 0.
    pub(super) index: u64,
    /// How many parts.
    pub(super) of: u64,
    /// A file that is gone is passed over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ignore_missing: bool,
}

/// Cuts the files of a batch so that `cores` tasks have about the same to do.
pub(super) fn cut(
    files: Vec<FileToRead>,
    format: &FormatOptions,
    ignore_missing: bool,
    cores: usize,
) -> Result<Vec<Split>> {
    let sizes: Vec<u64> = files.iter().map(|file| file.size_bytes.unwrap_or_else(|| length_of(&file.uri))).collect();
    let share = sizes.iter().sum::<u64>() / cores.max(1) as u64;
    let part_bytes = share.clamp(PART_BYTES_MIN, PART_BYTES_MAX);
    let mut splits = Vec::with_capacity(files.len());
    for (file, size_bytes) in files.into_iter().zip(sizes) {
        let of = match format.can_cut(&file.uri) {
            // Rounded: a file a little larger than a part stays whole.
            true => ((size_bytes + part_bytes / 2) / part_bytes).max(1),
            false => 1,
        };
        for index in 0..of {
            let (path, values, modified_ms) = (file.uri.clone(), file.values.clone(), file.modified_ms);
            let part = FilePart { path, size_bytes, modified_ms, values, index, of, ignore_missing };
            let descriptor = serde_json::to_value(part).map_err(|e| Error::internal(e.to_string()))?;
            splits.push(Split { descriptor, size_bytes: size_bytes / of });
        }
    }
    Ok(splits)
}

/// The length of a local file that a log of an earlier run names; 0 where it is not to be had, which costs balance and
/// `_metadata.file_size`.
fn length_of(uri: &str) -> u64 {
    let location = Location::from_uri(uri).ok();
    let path = location.and_then(|location| location.store.local_path(&location.path));
    path.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Format;
    use millstream_engine::options::Options;
    use millstream_formats::java_time::Zone;

    #[test]
    fn every_file_is_there_and_large_ones_are_cut() -> Result<()> {
        let format = FormatOptions::of(Format::Parquet, &Options::new(), Zone::UTC)?;
        let file = |size_bytes| FileToRead {
            uri: format!("file:///{size_bytes}.parquet"),
            size_bytes: Some(size_bytes),
            modified_ms: 0,
            values: Vec::new(),
        };
        let mib = 1 << 20;
        for (sizes, cores, expected) in [
            (vec![100, 200], 2, vec![1, 1]),
            (vec![6 * mib], 2, vec![2]),
            (vec![6 * mib], 4, vec![4]),
            (vec![mib, 9 * mib], 2, vec![1, 2]),
            (vec![1024 * mib], 2, vec![8]),
        ] {
            let splits = cut(sizes.iter().map(|size| file(*size)).collect(), &format, false, cores)?;
            let parts: Vec<FilePart> =
                splits.iter().map(|s| serde_json::from_value(s.descriptor.clone()).expect("a part")).collect();
            let counts: Vec<usize> =
                sizes.iter().map(|size| parts.iter().filter(|part| part.path == file(*size).uri).count()).collect();
            assert_eq!(counts, expected, "{sizes:?} {cores}");
            assert!(parts.iter().all(|part| part.index < part.of));
        }
        Ok(())
    }
}
