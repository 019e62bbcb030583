//! Puts a state file together from the bytes of its segments, handing out its bytes as they come.

use bytes::Bytes;

use super::format::{Header, SegmentInfo, Trailer, encode_directory};

/// See the module's documentation. The bytes so far are to be taken now and then.
#[derive(Debug)]
pub(crate) struct FileWriter {
    pending: Vec<u8>,
    written_bytes: u64,
    checksum: crc32fast::Hasher,
    segments: Vec<SegmentInfo>,
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
        let checksum = crc32fast::Hasher::new();
        let mut writer = Self { pending: Vec::new(), written_bytes: 0, checksum, segments: Vec::new() };
        writer.add(&header.encode());
        writer
    }

    /// Adds bytes, of the one segment that is not ended.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        self.written_bytes += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
    }

    /// Ends a segment, all of whose bytes have been added.
    pub(crate) fn end_segment(&mut self, mut segment: SegmentInfo) {
        let start = self.written_bytes - segment.bytes;
        segment.blocks.iter_mut().for_each(|block| block.offset += start);
        self.segments.push(segment);
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
}
