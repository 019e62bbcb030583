//! A file of a batch's changes that are too many for memory. It never leaves the scratch folder.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::BatchInner;
use crate::draft::StoreCodec;
use crate::error::{Error, Result};
use crate::file::format::{Header, Kind};
use crate::file::reader::{OpenFile, Segment};
use crate::file::segment_writer::{SEGMENT_PIECE_BYTES, SegmentStart, SegmentWriter};
use crate::file::writer::FileWriter;
use crate::id::{StoreId, VersionRef};
use crate::image::Layer;
use crate::key_hash::hash_key;

/// Such a file on its way.
#[derive(Debug)]
pub(crate) struct ScratchRun {
    writer: FileWriter,
    segment: SegmentWriter,
    file: File,
    path: PathBuf,
    codec: Arc<StoreCodec>,
}

impl ScratchRun {
    pub(crate) fn start(
        batch: &BatchInner,
        store: &StoreId,
        codec: &Arc<StoreCodec>,
        rows_at_most: usize,
    ) -> Result<Self> {
        let writer = FileWriter::new(&Header {
            kind: Kind::Scratch,
            version: batch.version,
            parent: VersionRef::empty(),
            covers: VersionRef::empty(),
            attempt: batch.attempt.clone(),
            fingerprint: codec.fingerprint,
        });
        let segment = SegmentWriter::new(SegmentStart {
            store: store.clone(),
            layout: codec.layout.clone(),
            fingerprint: codec.fingerprint,
            schema: None,
            rows_at_most,
        });
        let path = batch.scratch().new_path()?;
        let file = File::create_new(&path).map_err(|source| Error::io("create", path.display().to_string(), source))?;
        Ok(Self { writer, segment, file, path, codec: Arc::clone(codec) })
    }

    /// Adds a row, or with no value a removal. Keys ascend.
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.segment.push(hash_key(key), key, value);
        if self.segment.pending_bytes() < SEGMENT_PIECE_BYTES {
            return Ok(());
        }
        self.writer.add(&self.segment.take_pending());
        write_pending(&mut self.writer, &mut self.file, &self.path)
    }

    /// The file's rows as a layer. The file is gone when the layer is.
    pub(crate) fn finish(mut self) -> Result<Layer> {
        let (rest, info) = self.segment.finish(0);
        self.writer.add(&rest);
        self.writer.end_segment(info);
        let finished = self.writer.finish();
        write_pending(&mut self.writer, &mut self.file, &self.path)?;
        let file = Arc::new(OpenFile::open(&self.path, true)?);
        let schema = &self.codec.schema;
        let columns = schema.value().len();
        let segments = finished.segments.into_iter();
        segments.map(|info| Segment::new(Arc::clone(&file), Arc::new(info), None, schema, columns)).collect()
    }
}

fn write_pending(writer: &mut FileWriter, file: &mut File, path: &Path) -> Result<()> {
    file.write_all(&writer.take_pending()).map_err(|source| Error::io("write", path.display().to_string(), source))
}
