//! Reads state files: what they say of themselves, single blocks, and rows in key order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::block::{Block, BlockLayout, Upgrade};
use super::format::{BlockInfo, HEADER_START_BYTES, Header, SegmentInfo, TRAILER_BYTES, Trailer, decode_directory};
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::id::{FileRef, StoreId};
use crate::key::key_prefix;
use crate::key_group::{key_group, named_key_group};
use crate::key_hash::hash_key;
use crate::key_range::KeyRange;
use crate::place::Place;
use crate::schema::StoreSchema;

/// Files up to this size are read whole and checked over every byte when they are opened.
pub(crate) const WHOLE_FILE_BYTES: u64 = 1 << 20;

/// Blocks that follow each other are read this many bytes at a time.
const READ_AHEAD_BYTES: u64 = 256 << 10;

/// What a file says of itself.
#[derive(Debug)]
pub(crate) struct FileInfo {
    pub name: String,
    pub header: Header,
    pub segments: Vec<Arc<SegmentInfo>>,
    pub checksum: u32,
    pub bytes: u64,
}

impl FileInfo {
    /// Reads header, directory and trailer. `expected` is the checksum by which the file was named, if it was.
    pub(crate) async fn read(place: &Place, name: &str, bytes: Option<u64>, expected: Option<u32>) -> Result<Self> {
        let path = place.url_of(name);
        let missing = || Error::corrupt(&path, "the file is missing, but a version of the state needs it");
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => {
                let entries = place.list().await?;
                entries.iter().find(|entry| entry.name == name).ok_or_else(missing)?.size_bytes
            }
        };
        let info = if bytes <= WHOLE_FILE_BYTES {
            let whole = place.read(name).await?.ok_or_else(missing)?;
            Self::of_whole_file(name, &whole, &path)?
        } else {
            Self::of_parts(place, name, bytes, &path).await?
        };
        match expected {
            Some(expected) if expected != info.checksum => {
                let found = info.checksum;
                let message =
                    format!("the file has checksum {found:08x}, but {expected:08x} was expected: it was swapped");
                Err(Error::corrupt(path, message))
            }
            _ => Ok(info),
        }
    }

    fn of_whole_file(name: &str, whole: &[u8], path: &str) -> Result<Self> {
        let short = || Error::corrupt(path, "the file is cut short");
        let (body, checksum) = whole.split_last_chunk::<4>().ok_or_else(short)?;
        let checksum = u32::from_le_bytes(*checksum);
        if crc32fast::hash(body) != checksum {
            return Err(Error::corrupt(
                path,
                format!("the file's bytes do not have the checksum {checksum:08x} at its end"),
            ));
        }
        let trailer = whole.len().checked_sub(TRAILER_BYTES).ok_or_else(short)?;
        let directory_at = |trailer: &Trailer| {
            let start = usize::try_from(trailer.directory_offset).ok()?;
            whole.get(start..start + trailer.directory_bytes as usize)
        };
        let trailer = Trailer::decode(&whole[trailer..], whole.len() as u64, path)?;
        let directory = directory_at(&trailer).ok_or_else(short)?;
        Self::new(name, Header::decode(whole, path)?, directory, trailer, whole.len() as u64, path)
    }

    async fn of_parts(place: &Place, name: &str, bytes: u64, path: &str) -> Result<Self> {
        let part = async |range: std::ops::Range<u64>| match place.read_range(name, range.clone()).await? {
            Some(part) if part.len() as u64 == range.end - range.start => Ok(part),
            Some(_) => Err(Error::corrupt(path, "the file is cut short")),
            None => Err(Error::corrupt(path, "the file is missing, but a version of the state needs it")),
        };
        let trailer_offset = bytes.saturating_sub(TRAILER_BYTES as u64);
        let trailer = Trailer::decode(&part(trailer_offset..bytes).await?, bytes, path)?;
        let start = part(0..HEADER_START_BYTES as u64).await?;
        let header = part(0..(Header::length(&start, path)? as u64).min(bytes)).await?;
        let directory = part(trailer.directory_offset..trailer_offset).await?;
        Self::new(name, Header::decode(&header, path)?, &directory, trailer, bytes, path)
    }

    fn new(name: &str, header: Header, directory: &[u8], trailer: Trailer, bytes: u64, path: &str) -> Result<Self> {
        if crc32fast::hash(directory) != trailer.directory_checksum {
            return Err(Error::corrupt(path, "the file's directory does not have the checksum it should have"));
        }
        let segments = decode_directory(directory, path)?.into_iter().map(Arc::new).collect();
        let checksum = trailer.file_checksum;
        Ok(Self { name: name.to_owned(), header, segments, checksum, bytes })
    }

    pub(crate) fn reference(&self) -> FileRef {
        FileRef { name: self.name.clone(), checksum: self.checksum }
    }
}

/// A file on the local disk, open for reading.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    path: PathBuf,
    /// Deleted when closed: a copy, or a file of this process alone.
    is_temporary: bool,
}

impl OpenFile {
    pub(crate) fn open(path: &Path, is_temporary: bool) -> Result<Self> {
        let file = File::open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(ErrorKind::Corrupt, "the file is missing, but a version of the state needs it")
                    .at(path.display().to_string())
            }
            _ => Error::io("open", path.display().to_string(), source),
        })?;
        Ok(Self { file, path: path.to_owned(), is_temporary })
    }

    fn read(&self, offset: u64, bytes: usize) -> Result<Bytes> {
        let mut buffer = vec![0; bytes];
        let done = read_exact_at(&self.file, &mut buffer, offset);
        match done {
            Ok(()) => Ok(buffer.into()),
            Err(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Error::corrupt(self.path.display().to_string(), "the file is cut short"))
            }
            Err(source) => Err(Error::io("read", self.path.display().to_string(), source)),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.is_temporary {
            // A leftover in the scratch folder harms nobody.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

/// A store's part of an open file.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub info: Arc<SegmentInfo>,
    /// Tells the segments of a process apart.
    pub number: u64,
    /// The keys for which it counts; `None` for all.
    keys: Option<StoreId>,
    /// Whether keys end with their key group.
    names_key_groups: bool,
    /// Of the first key of each block.
    prefixes: Arc<[u64]>,
    file: Arc<OpenFile>,
    layout: BlockLayout,
    upgrade: Option<Arc<Upgrade>>,
}

impl Segment {
    /// `stored_columns` is how many of the schema's value columns the segment has; only rows of `keys` count.
    pub(crate) fn new(
        file: Arc<OpenFile>,
        info: Arc<SegmentInfo>,
        keys: Option<StoreId>,
        schema: &StoreSchema,
        stored_columns: usize,
    ) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (upgrade, layout) = if stored_columns < schema.value().len() {
            let (upgrade, layout) = Upgrade::new(schema, stored_columns)?;
            (Some(Arc::new(upgrade)), layout)
        } else {
            (None, BlockLayout::of_schema(schema)?)
        };
        let prefixes = info.blocks.iter().map(|block| key_prefix(&block.first_key)).collect();
        let names_key_groups = schema.names_key_groups();
        Ok(Self { info, number, keys, names_key_groups, prefixes, file, layout, upgrade })
    }

    /// Lets all keys pass from now on.
    pub(crate) fn drop_filter(&mut self) {
        let mut info = SegmentInfo::clone(&self.info);
        info.filter = Filter::default();
        self.info = Arc::new(info);
    }

    /// Memory that its directory takes.
    pub(crate) fn resident_bytes(&self) -> usize {
        let per_block = |block: &BlockInfo| size_of::<BlockInfo>() + 8 + block.first_key.len();
        self.info.filter.bytes() + self.info.blocks.iter().map(per_block).sum::<usize>()
    }

    /// Whether a key with this hash may be in it. Where keys name their key group, only own ones are asked for.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let is_own = |keys: &StoreId| self.names_key_groups || keys.has_group(key_group(hash));
        self.info.filter.may_contain(hash) && self.keys.as_ref().is_none_or(is_own)
    }

    /// Whether the row of this key counts.
    #[inline]
    fn counts(&self, key: &[u8]) -> bool {
        self.keys.as_ref().is_none_or(|keys| {
            keys.has_group(match self.names_key_groups {
                true => named_key_group(key),
                false => key_group(hash_key(key)),
            })
        })
    }

    /// The only block that can hold the key.
    pub(crate) fn block_of(&self, key: &[u8]) -> Option<usize> {
        self.block_from(0, key)
    }

    /// The same for a key that cannot be in a block before `from`. Near ones are found sooner.
    pub(crate) fn block_from(&self, from: usize, key: &[u8]) -> Option<usize> {
        // Most is decided among numbers that lie side by side.
        let prefix = key_prefix(key);
        let (mut start, mut step) = (from, 1);
        while self.prefixes.get(start + step).is_some_and(|other| *other < prefix) {
            start += step;
            step *= 2;
        }
        let end = (start + step).min(self.prefixes.len());
        let start = start + self.prefixes[start..end].partition_point(|other| *other < prefix);
        let same = match self.prefixes.get(start) {
            Some(first) if *first == prefix => self.prefixes[start..].partition_point(|other| *other == prefix),
            _ => 0,
        };
        let blocks = &self.info.blocks[start..start + same];
        (start + blocks.partition_point(|block| &*block.first_key <= key)).checked_sub(1)
    }

    /// Reads one block.
    pub(crate) fn read_block(&self, block: usize) -> Result<Block> {
        let info = &self.info.blocks[block];
        let bytes = self.file.read(info.offset, info.bytes as usize)?;
        self.decode(info, &bytes)
    }

    fn decode(&self, info: &BlockInfo, bytes: &Bytes) -> Result<Block> {
        let path = self.file.path.to_string_lossy();
        if crc32fast::hash(bytes) != info.checksum {
            let message = format!(
                "the block at byte {} does not have the checksum {:08x} ({})",
                info.offset, info.checksum, self.info.store
            );
            return Err(Error::corrupt(path, message));
        }
        let block = Block::decode(&self.layout, bytes, &path)?;
        match &self.upgrade {
            Some(upgrade) => upgrade.apply(&block),
            None => Ok(block),
        }
    }
}

/// The rows of a segment that are in a range of keys and count, in key order.
#[derive(Debug)]
pub(crate) struct SegmentCursor {
    segment: Segment,
    range: KeyRange,
    next_block: usize,
    /// The bytes of blocks read ahead, and where they begin in the file.
    ahead: (u64, Bytes),
    block: Option<Block>,
    row: usize,
    value: Vec<u8>,
}

impl SegmentCursor {
    pub(crate) fn new(segment: Segment, range: &KeyRange) -> Result<Self> {
        let next_block = range.start().and_then(|start| segment.block_of(start)).unwrap_or(0);
        let mut cursor = Self {
            segment,
            range: range.clone(),
            next_block,
            ahead: (0, Bytes::new()),
            block: None,
            row: 0,
            value: Vec::new(),
        };
        cursor.load_block()?;
        if let (Some(start), Some(block)) = (range.start(), &cursor.block) {
            cursor.row = block.first_at_or_after(start);
        }
        cursor.settle()?;
        Ok(cursor)
    }

    /// The key it stands at.
    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.block.as_ref().map(|block| block.key(self.row))
    }

    /// The value it stands at; `None` for a removal.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        let block = self.block.as_ref()?;
        (!block.is_removed(self.row)).then_some(self.value.as_slice())
    }

    pub(crate) fn advance(&mut self) -> Result<()> {
        self.row += 1;
        self.settle()
    }

    /// Goes on to the next row that is wanted, from the one it stands at.
    fn settle(&mut self) -> Result<()> {
        loop {
            let Some(block) = &self.block else { return Ok(()) };
            if self.row >= block.rows() {
                self.load_block()?;
                self.row = 0;
                continue;
            }
            let key = block.key(self.row);
            if !self.range.ends_after(key) {
                self.block = None;
                return Ok(());
            }
            if self.segment.counts(key) {
                self.value.clear();
                if !block.is_removed(self.row) {
                    block.append_value(self.row, &mut self.value);
                }
                return Ok(());
            }
            self.row += 1;
        }
    }

    fn load_block(&mut self) -> Result<()> {
        let blocks = &self.segment.info.blocks;
        let Some(info) = blocks.get(self.next_block) else {
            self.block = None;
            return Ok(());
        };
        let end = info.offset + u64::from(info.bytes);
        let (start, ahead) = &self.ahead;
        if info.offset < *start || end > start + ahead.len() as u64 {
            let reach = |block: &&BlockInfo| block.offset + u64::from(block.bytes) <= info.offset + READ_AHEAD_BYTES;
            let last = blocks[self.next_block..].iter().take_while(reach).last().unwrap_or(info);
            let bytes = (last.offset + u64::from(last.bytes) - info.offset) as usize;
            self.ahead = (info.offset, self.segment.file.read(info.offset, bytes)?);
        }
        let from = (info.offset - self.ahead.0) as usize;
        let bytes = self.ahead.1.slice(from..from + info.bytes as usize);
        self.block = Some(self.segment.decode(info, &bytes)?);
        self.next_block += 1;
        Ok(())
    }
}
