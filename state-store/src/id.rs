//! What stores, versions and files are called.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::key_group::{KEY_GROUPS, key_groups_of};

/// A store: the state called `name` of one operator, for the keys of one state partition.
///
/// What counts is the range of key groups: partition 0 of 1 is the union of all partitions of 3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId {
    operator: u32,
    name: String,
    groups: (u16, u16),
}

impl StoreId {
    /// The store of state partition `partition` of `partitions`. Names are letters, digits and `_`.
    pub fn new(operator: u32, name: impl Into<String>, partition: usize, partitions: usize) -> Result<Self> {
        let name: String = name.into();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(Error::invalid(format!("'{name}' is no store name: 1 to 64 letters, digits or '_' are")));
        }
        if partition >= partitions {
            return Err(Error::internal(format!("state partition {partition} of {partitions} does not exist")));
        }
        let groups = key_groups_of(partition, partitions);
        Ok(Self { operator, name, groups: (groups.start, groups.end) })
    }

    /// The number of the operator in its query.
    pub fn operator(&self) -> u32 {
        self.operator
    }

    /// Which of the operator's stores it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key groups of its keys.
    pub fn key_groups(&self) -> Range<u16> {
        self.groups.0..self.groups.1
    }

    pub(crate) fn of_groups(operator: u32, name: String, groups: Range<u16>) -> Self {
        Self { operator, name, groups: (groups.start, groups.end) }
    }

    /// Whether the other store holds a part of the same state.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.operator == other.operator
            && self.name == other.name
            && self.groups.0 < other.groups.1
            && other.groups.0 < self.groups.1
    }

    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.groups.0 <= other.groups.0 && other.groups.1 <= self.groups.1
    }

    /// The part of this store's key groups that the other one has, and the parts it has not.
    pub(crate) fn split_by(&self, other: &Self) -> (Option<Self>, Vec<Self>) {
        let part = |start: u16, end: u16| {
            (start < end).then(|| Self { operator: self.operator, name: self.name.clone(), groups: (start, end) })
        };
        let ((start, end), (other_start, other_end)) = (self.groups, other.groups);
        let inside = part(start.max(other_start), end.min(other_end));
        let Some((inside_start, inside_end)) = inside.as_ref().map(|inside| inside.groups) else {
            return (None, vec![self.clone()]);
        };
        let outside = part(start, inside_start).into_iter().chain(part(inside_end, end)).collect();
        (inside, outside)
    }

    pub(crate) fn has_group(&self, group: u16) -> bool {
        self.groups.0 <= group && group < self.groups.1
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.groups == (0, KEY_GROUPS)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operator {}, store '{}'", self.operator, self.name)?;
        if self.is_everything() { Ok(()) } else { write!(f, ", key groups {}..{}", self.groups.0, self.groups.1) }
    }
}

/// One committed state file: its name, and the checksum that stands for every byte of it and of all it builds on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRef {
    /// The name in the state folder.
    pub name: String,
    /// The checksum at its end.
    pub checksum: u32,
}

/// One version of all stores of a query: what a batch started from or left behind. Belongs into the commit log.
///
/// Where several processes hold the state, the files of all of them make up the version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionRef {
    /// The number of batches behind it; 0 is the empty state.
    pub version: u64,
    /// The newest file of each process, sorted; none while there is no state.
    pub files: Vec<FileRef>,
}

impl VersionRef {
    /// The empty state, before the first batch.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Version `version` made of these files.
    pub fn new(version: u64, mut files: Vec<FileRef>) -> Self {
        files.sort_unstable();
        files.dedup();
        Self { version, files }
    }

    /// What tells this version from the same version of another attempt.
    pub(crate) fn lineage(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for file in &self.files {
            hasher.update(&(file.name.len() as u32).to_le_bytes());
            hasher.update(file.name.as_bytes());
            hasher.update(&file.checksum.to_le_bytes());
        }
        hasher.finalize()
    }
}

/// The name of the delta file of one attempt at a version: `00000000000000000042-ATTEMPT.delta`.
pub(crate) fn delta_name(version: u64, attempt: &str) -> String {
    format!("{version:020}-{attempt}.delta")
}

/// The name of a file that holds what versions `from + 1` to `to` did to one store; a snapshot when `from` is 0.
pub(crate) fn merged_name(to: u64, from: u64, store: &StoreId, lineage: u32) -> String {
    let (operator, name, groups) = (store.operator, &store.name, store.key_groups());
    format!("{to:020}-{from:020}-{lineage:08x}-{operator}-{name}-{}-{}.merged", groups.start, groups.end)
}

/// What the name of a state file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileName {
    Delta { version: u64 },
    Merged { to: u64, from: u64, lineage: u32, store: StoreId },
}

impl FileName {
    /// `None` for files that are not the state store's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if let Some(stem) = name.strip_suffix(".delta") {
            let (version, _attempt) = stem.split_once('-')?;
            return Some(Self::Delta { version: version.parse().ok()? });
        }
        let parts: Vec<&str> = name.strip_suffix(".merged")?.split('-').collect();
        let [to, from, lineage, operator, store, start, end] = parts.as_slice() else { return None };
        Some(Self::Merged {
            to: to.parse().ok()?,
            from: from.parse().ok()?,
            lineage: u32::from_str_radix(lineage, 16).ok()?,
            store: StoreId::of_groups(
                operator.parse().ok()?,
                (*store).to_owned(),
                start.parse().ok()?..end.parse().ok()?,
            ),
        })
    }

    /// The version the file leads to.
    pub(crate) fn version(&self) -> u64 {
        match self {
            Self::Delta { version } => *version,
            Self::Merged { to, .. } => *to,
        }
    }
}

/// Attempts become parts of file names.
pub(crate) fn check_attempt(attempt: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if attempt.is_empty() || attempt.len() > 100 || !attempt.bytes().all(is_plain) {
        return Err(Error::invalid(format!("'{attempt}' is no attempt: 1 to 100 letters, digits, '-' or '_' are")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_files_are() -> Result<()> {
        let store = StoreId::new(7, "left_rows", 1, 3)?;
        let name = merged_name(42, 3, &store, 0xab);
        assert_eq!(name, "00000000000000000042-00000000000000000003-000000ab-7-left_rows-1366-2731.merged");
        assert_eq!(FileName::parse(&name), Some(FileName::Merged { to: 42, from: 3, lineage: 0xab, store }));
        assert_eq!(FileName::parse(&delta_name(9, "a-b")), Some(FileName::Delta { version: 9 }));
        for other in ["x.delta", "5.delta", "a-b.merged", "_schema", "00000000000000000009-a.delta.tmp"] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
        for bad in ["", "a b", "a/b", "ä"] {
            assert!(check_attempt(bad).is_err() && StoreId::new(0, bad, 0, 1).is_err(), "{bad}");
        }
        Ok(())
    }
}
