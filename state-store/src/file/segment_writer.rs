//! Builds one segment of a state file from a store's rows in key order, handing out its bytes as they come.

use super::block::{BlockBuilder, BlockLayout};
use super::format::{BlockInfo, SegmentInfo};
use crate::filter::Filter;
use crate::id::StoreId;

/// Bytes of rows in a block, before compression. A look-up of one key reads a block, and the directory has an entry for
/// each: smaller ones make look-ups in files cheaper and the directory larger.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Bytes of a segment that are handed on together.
pub(crate) const SEGMENT_PIECE_BYTES: usize = 512 << 10;

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
pub(crate) struct SegmentWriter {
    info: SegmentInfo,
    block: BlockBuilder,
    uses_filter: bool,
    pending: Vec<u8>,
}

impl SegmentWriter {
    pub(crate) fn new(start: SegmentStart) -> Self {
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
        Self { info, block: BlockBuilder::new(start.layout), uses_filter, pending: Vec::new() }
    }

    /// Adds a row, or with no value a removal. Keys ascend.
    pub(crate) fn push(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>) {
        if self.uses_filter {
            self.info.filter.insert(hash);
        }
        match value {
            Some(_) => self.info.puts += 1,
            None => self.info.removes += 1,
        }
        self.block.push(key, value);
        if self.block.bytes() >= BLOCK_BYTES {
            self.finish_block();
        }
    }

    /// Bytes that wait to be taken.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// The last bytes, and what is known of the segment: the store has `rows_after` rows now. The offsets of its blocks
    /// count from its first byte.
    pub(crate) fn finish(mut self, rows_after: u64) -> (Vec<u8>, SegmentInfo) {
        self.finish_block();
        self.info.rows_after = rows_after;
        (self.pending, self.info)
    }

    fn finish_block(&mut self) {
        if self.block.rows() == 0 {
            return;
        }
        let start = self.pending.len();
        let first_key = self.block.first_key().into();
        self.block.finish(&mut self.pending);
        let block = &self.pending[start..];
        self.info.blocks.push(BlockInfo {
            offset: self.info.bytes,
            bytes: block.len() as u32,
            checksum: crc32fast::hash(block),
            first_key,
        });
        self.info.bytes += block.len() as u64;
    }
}
