//! The bytes of a state file. `docs/formats/state-files.md` describes them for readers in other languages.
//!
//! ```text
//! header     what the file is, and what it builds on
//! blocks     of the first segment, then of the second …: rows in key order, some KiB each
//! directory  per segment: store, schema, counts, filter, and the place, checksum and first key of each block
//! trailer    where the directory is, and the checksums
//! ```
//! A *segment* is what the file says about one store. A delta file has a segment for each store that changed; a merged
//! file (a snapshot, when it starts from nothing) and a scratch file have one. All numbers are little-endian; every
//! byte is covered by a CRC-32 of its own part, and by the one of the whole file at the very end.
//!
//! To add a format version: bump [`FORMAT_VERSION`], keep reading the old ones, add a row to the history in the docs
//! and a folder in `tests/fixtures`, and keep the old folders.

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::id::{FileRef, StoreId, VersionRef};
use crate::key::KEY_ENCODING_VERSION;

/// The version that is written.
pub(crate) const FORMAT_VERSION: u16 = 1;

/// The first eight bytes.
const MAGIC: &[u8; 8] = b"MILLSTAT";

/// Bytes of the header before its variable part, the length among them.
pub(crate) const HEADER_START_BYTES: usize = 48;

/// Bytes of the trailer.
pub(crate) const TRAILER_BYTES: usize = 32;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delta = 1,
    Merged = 2,
    Scratch = 3,
}

/// The first part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    /// The version the file leads to.
    pub version: u64,
    /// What it builds on.
    pub parent: VersionRef,
    /// For a merged file: the version it leads to, whose deltas it stands for.
    pub covers: VersionRef,
    /// The attempt that wrote it.
    pub attempt: String,
    /// The fingerprints of the segments' schemas, combined.
    pub fingerprint: u64,
}

/// What a file says about one store.
#[derive(Clone, Debug)]
pub(crate) struct SegmentInfo {
    pub store: StoreId,
    pub fingerprint: u64,
    /// Left out of a delta when the version it builds on has the same schema.
    pub schema: Option<String>,
    /// Rows of the store at the file's version.
    pub rows_after: u64,
    /// Rows put, and keys removed, in this segment.
    pub puts: u64,
    pub removes: u64,
    /// Bytes of its blocks in the file.
    pub bytes: u64,
    pub filter: Filter,
    pub blocks: Vec<BlockInfo>,
}

/// Where a block is.
#[derive(Clone, Debug)]
pub(crate) struct BlockInfo {
    pub offset: u64,
    pub bytes: u32,
    pub checksum: u32,
    pub first_key: Box<[u8]>,
}

impl SegmentInfo {
    /// The same without filter and blocks, which can be large.
    pub(crate) fn summary(&self) -> Self {
        Self {
            store: self.store.clone(),
            schema: self.schema.clone(),
            filter: Filter::default(),
            blocks: Vec::new(),
            ..*self
        }
    }

    /// Whether it has rows, but not the places of its blocks.
    pub(crate) fn is_summary(&self) -> bool {
        self.blocks.is_empty() && self.puts + self.removes > 0
    }
}

/// The last bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub directory_offset: u64,
    pub directory_bytes: u32,
    pub directory_checksum: u32,
    pub file_checksum: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::new();
        put_bytes(&mut rest, self.attempt.as_bytes());
        put_version(&mut rest, &self.parent);
        put_version(&mut rest, &self.covers);
        let length = HEADER_START_BYTES + rest.len() + 4;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.push(self.kind as u8);
        bytes.push(KEY_ENCODING_VERSION);
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.parent.version.to_le_bytes());
        bytes.extend_from_slice(&self.parent.lineage().to_le_bytes());
        bytes.extend_from_slice(&self.covers.lineage().to_le_bytes());
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        bytes.extend_from_slice(&rest);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header's length, from the first [`HEADER_START_BYTES`] bytes.
    pub(crate) fn length(start: &[u8], path: &str) -> Result<usize> {
        let mut parser = Parser::new(start, path, "header");
        if parser.take(8)? != MAGIC {
            return Err(Error::corrupt(path, "not a state file: the first bytes are not 'MILLSTAT'"));
        }
        let version = parser.u16()?;
        if version != FORMAT_VERSION {
            let message = format!("format version {version}, but this program knows {FORMAT_VERSION} only");
            return Err(if version > FORMAT_VERSION && version < 1000 {
                Error::unsupported(format!("{message}; a newer program wrote it")).at(path)
            } else {
                Error::corrupt(path, message)
            });
        }
        parser.take(2)?;
        Ok(parser.u32()? as usize)
    }

    pub(crate) fn decode(bytes: &[u8], path: &str) -> Result<Self> {
        let length = Self::length(bytes, path)?;
        let damaged = |what: &str| Error::corrupt(path, format!("the header {what}"));
        let bytes = bytes.get(..length).ok_or_else(|| damaged("is cut short"))?;
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("is cut short"))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return Err(damaged("does not have the checksum it names"));
        }
        let mut parser = Parser::new(body, path, "header");
        parser.take(10)?;
        let kind = match parser.u8()? {
            1 => Kind::Delta,
            2 => Kind::Merged,
            3 => Kind::Scratch,
            other => return Err(damaged(&format!("names a file kind {other}, which is none"))),
        };
        let key_encoding = parser.u8()?;
        if key_encoding != KEY_ENCODING_VERSION {
            let message = format!("key encoding {key_encoding}, but this program knows {KEY_ENCODING_VERSION} only");
            return Err(Error::unsupported(message).at(path));
        }
        parser.take(4)?;
        let version = parser.u64()?;
        let (parent_version, parent_lineage) = (parser.u64()?, parser.u32()?);
        let covers_lineage = parser.u32()?;
        let fingerprint = parser.u64()?;
        let attempt = parser.string()?;
        let (parent, covers) = (parser.version(parent_version)?, parser.version(version)?);
        parser.end()?;
        if parent.lineage() != parent_lineage || covers.lineage() != covers_lineage || parent_version > version {
            return Err(damaged("contradicts itself about what the file builds on"));
        }
        let covers = if covers.files.is_empty() { VersionRef::empty() } else { covers };
        Ok(Self { kind, version, parent, covers, attempt, fingerprint })
    }
}

/// The bytes of the directory.
pub(crate) fn encode_directory(segments: &[SegmentInfo]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(segments.len() as u32).to_le_bytes());
    for segment in segments {
        let groups = segment.store.key_groups();
        out.extend_from_slice(&segment.store.operator().to_le_bytes());
        out.extend_from_slice(&groups.start.to_le_bytes());
        out.extend_from_slice(&groups.end.to_le_bytes());
        put_bytes(&mut out, segment.store.name().as_bytes());
        out.extend_from_slice(&segment.fingerprint.to_le_bytes());
        put_bytes(&mut out, segment.schema.as_deref().unwrap_or_default().as_bytes());
        for count in [segment.rows_after, segment.puts, segment.removes] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        put_bytes(&mut out, &segment.filter.to_bytes());
        out.extend_from_slice(&(segment.blocks.len() as u32).to_le_bytes());
        for block in &segment.blocks {
            out.extend_from_slice(&block.offset.to_le_bytes());
            out.extend_from_slice(&block.bytes.to_le_bytes());
            out.extend_from_slice(&block.checksum.to_le_bytes());
            put_bytes(&mut out, &block.first_key);
        }
    }
    out
}

pub(crate) fn decode_directory(bytes: &[u8], path: &str) -> Result<Vec<SegmentInfo>> {
    let mut parser = Parser::new(bytes, path, "directory");
    let mut segments = Vec::new();
    for _ in 0..parser.u32()? {
        let (operator, start, end) = (parser.u32()?, parser.u16()?, parser.u16()?);
        let store = StoreId::of_groups(operator, parser.string()?, start..end);
        let fingerprint = parser.u64()?;
        let schema = Some(parser.string()?).filter(|text| !text.is_empty());
        let (rows_after, puts, removes) = (parser.u64()?, parser.u64()?, parser.u64()?);
        let filter = Filter::from_bytes(parser.bytes()?);
        let mut blocks = Vec::new();
        for _ in 0..parser.u32()? {
            let (offset, bytes, checksum) = (parser.u64()?, parser.u32()?, parser.u32()?);
            blocks.push(BlockInfo { offset, bytes, checksum, first_key: parser.bytes()?.into() });
        }
        let bytes = blocks.iter().map(|block: &BlockInfo| u64::from(block.bytes)).sum();
        segments.push(SegmentInfo { store, fingerprint, schema, rows_after, puts, removes, bytes, filter, blocks });
    }
    parser.end()?;
    Ok(segments)
}

impl Trailer {
    /// The trailer without the file's checksum, which is over these bytes too.
    pub(crate) fn encode_start(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.extend_from_slice(&self.directory_offset.to_le_bytes());
        bytes.extend_from_slice(&self.directory_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.directory_checksum.to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], file_bytes: u64, path: &str) -> Result<Self> {
        let mut parser = Parser::new(bytes, path, "trailer");
        let (directory_offset, directory_bytes, directory_checksum) = (parser.u64()?, parser.u32()?, parser.u32()?);
        let magic = parser.take(8)?;
        let (own_checksum, file_checksum) = (parser.u32()?, parser.u32()?);
        parser.end()?;
        let trailer = Self { directory_offset, directory_bytes, directory_checksum, file_checksum };
        let end = directory_offset.checked_add(u64::from(directory_bytes) + TRAILER_BYTES as u64);
        if magic != MAGIC || own_checksum != crc32fast::hash(&bytes[..24]) || end != Some(file_bytes) {
            return Err(Error::corrupt(path, "the file is cut short or its end is damaged"));
        }
        Ok(trailer)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_version(out: &mut Vec<u8>, version: &VersionRef) {
    out.extend_from_slice(&(version.files.len() as u32).to_le_bytes());
    for file in &version.files {
        put_bytes(out, file.name.as_bytes());
        out.extend_from_slice(&file.checksum.to_le_bytes());
    }
}

/// Takes numbers off the front of bytes; running out of them is damage.
pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    path: &'a str,
    part: &'a str,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(bytes: &'a [u8], path: &'a str, part: &'a str) -> Self {
        Self { bytes, path, part }
    }

    fn short(&self) -> Error {
        Error::corrupt(self.path, format!("the {} is cut short or damaged", self.part))
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(bytes).ok_or_else(|| self.short())?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(|| self.short())?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    fn string(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| self.short())
    }

    fn version(&mut self, version: u64) -> Result<VersionRef> {
        let mut files = Vec::new();
        for _ in 0..self.u32()? {
            files.push(FileRef { name: self.string()?, checksum: self.u32()? });
        }
        Ok(VersionRef { version, files })
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.short()) }
    }
}
