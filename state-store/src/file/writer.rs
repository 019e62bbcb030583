//! Builds a state file from rows in key order, handing out its bytes as they come.

use bytes::Bytes;

use super::block::{BlockBuilder, BlockLayout};
use super::format::{BlockInfo, Header, SegmentInfo, Trailer, encode_directory};
use crate::filter::Filter;
use crate::id::StoreId;

/// Bytes of rows in a block, before compression. A look-up of one key reads a block, and the directory has an entry for
/// each: smaller ones make look-ups in files cheaper and the directory larger.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// A segment with at most this many rows has no filter: reading its one block answers as well.
const ROWS_WITHOUT_FILTER: usize = 64;

/// What is known of a segment before its rows.
#[derive(Debug)]
pub(crate) struct SegmentStart {
    pub store: StoreId,
    pub layout: BlockLayout,
    pub fingerprint: u64,
    pub schema: Option<String>,
    /// Rows there will be at most.
    pub rows_at_most: usize,
}

/// See the module's documentation. The bytes so far are to be taken now and then.
#[derive(Debug)]
pub(crate) struct FileWriter {
    pending: Vec<u8>,
    written_bytes: u64,
    checksum: crc32fast::Hasher,
    segments: Vec<SegmentInfo>,
    open: Option<OpenSegment>,
}

#[derive(Debug)]
struct OpenSegment {
    info: SegmentInfo,
    block: BlockBuilder,
    uses_filter: bool,
}

/// What a finished file is known by.
#[derive(Debug)]
pub(crate) struct FinishedFile {
    pub checksum: u32,
    pub bytes: u64,
    pub segments: Vec<SegmentInfo>,
}

impl FileWriter {
    pub(crate) fn new(header: &Header) -> Self {
        let mut writer = Self {
            pending: Vec::new(),
            written_bytes: 0,
            checksum: crc32fast::Hasher::new(),
            segments: Vec::new(),
            open: None,
        };
        writer.add(&header.encode());
        writer
    }

    /// Starts the segment that the next rows belong to.
    pub(crate) fn start_segment(&mut self, start: SegmentStart) {
        let uses_filter = start.rows_at_most > ROWS_WITHOUT_FILTER;
        let info = SegmentInfo {
            store: start.store,
            fingerprint: start.fingerprint,
            schema: start.schema,
            rows_after: 0,
            puts: 0,
            removes: 0,
            bytes: 0,
            filter: Filter::with_capacity(if uses_filter { start.rows_at_most } else { 0 }),
            blocks: Vec::new(),
        };
        self.open = Some(OpenSegment { info, block: BlockBuilder::new(start.layout), uses_filter });
    }

    /// Adds a row, or with no value a removal. Keys ascend.
    pub(crate) fn push(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>) {
        let Some(open) = &mut self.open else { return };
        if open.uses_filter {
            open.info.filter.insert(hash);
        }
        match value {
            Some(_) => open.info.puts += 1,
            None => open.info.removes += 1,
        }
        open.block.push(key, value);
        if open.block.bytes() >= BLOCK_BYTES {
            self.finish_block();
        }
    }

    /// Ends the segment; the store has `rows_after` rows now.
    pub(crate) fn finish_segment(&mut self, rows_after: u64) {
        self.finish_block();
        if let Some(mut open) = self.open.take() {
            open.info.rows_after = rows_after;
            self.segments.push(open.info);
        }
    }

    /// Bytes that wait to be taken.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn take_pending(&mut self) -> Bytes {
        std::mem::take(&mut self.pending).into()
    }

    /// Ends the file. The last bytes are pending.
    pub(crate) fn finish(&mut self) -> FinishedFile {
        let directory = encode_directory(&self.segments);
        let trailer = Trailer {
            directory_offset: self.written_bytes,
            directory_bytes: u32::try_from(directory.len()).unwrap_or(u32::MAX),
            directory_checksum: crc32fast::hash(&directory),
            file_checksum: 0,
        };
        self.add(&directory);
        self.add(&trailer.encode_start());
        let checksum = self.checksum.clone().finalize();
        self.add(&checksum.to_le_bytes());
        FinishedFile { checksum, bytes: self.written_bytes, segments: std::mem::take(&mut self.segments) }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        self.written_bytes += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
    }

    fn finish_block(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.block.rows() == 0 {
            return;
        }
        let start = self.pending.len();
        let first_key = open.block.first_key().into();
        open.block.finish(&mut self.pending);
        let block = &self.pending[start..];
        self.checksum.update(block);
        open.info.bytes += block.len() as u64;
        open.info.blocks.push(BlockInfo {
            offset: self.written_bytes,
            bytes: block.len() as u32,
            checksum: crc32fast::hash(block),
            first_key,
        });
        self.written_bytes += block.len() as u64;
    }
}
