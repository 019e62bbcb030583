//! Reads a part of a text file: bytes from the disk or an object store, through the part's window, into a decoder.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{Stream, stream};
use millstream_engine::Result;
use object_store::ObjectStoreExt;

use super::codec::Codec;
use super::decoder::Decoder;
use super::window::LineWindow;
use super::{NotRead, PartOf, read_error};
use crate::files::location::{object_path, store_error};

/// How much is read at a time, in bytes: enough to amortise a call, little enough to stay in the cache.
const PIECE_BYTES: usize = 256 << 10;

/// How much of an object is asked for at a time, in bytes.
const OBJECT_PIECE_BYTES: u64 = 8 << 20;

/// The batches of a part of a local file.
pub(super) struct LocalLines {
    file: Box<dyn Read + Send>,
    window: LineWindow,
    decoder: Decoder,
    buffer: Vec<u8>,
    is_done: bool,
    path: String,
}

impl LocalLines {
    /// Opens the file.
    pub(super) fn open(part: &PartOf, decoder: Decoder) -> Result<Self, NotRead> {
        let path = &part.location.path;
        let fail = |e: std::io::Error| NotRead::from_io(path, e);
        let mut file = File::open(path).map_err(fail)?;
        let codec = Codec::of(path);
        let mut window = LineWindow::whole();
        let mut is_done = false;
        let file: Box<dyn Read + Send> = if codec == Codec::Plain {
            if part.of > 1 {
                let size_bytes = file.metadata().map_err(fail)?.len();
                window = LineWindow::new(size_bytes, part.index, part.of);
                is_done = window.is_empty();
                file.seek(SeekFrom::Start(window.read_from())).map_err(fail)?;
            }
            Box::new(file)
        } else {
            codec.decompress(Box::new(BufReader::with_capacity(PIECE_BYTES, file)))?
        };
        Ok(Self { file, window, decoder, buffer: vec![0; PIECE_BYTES], is_done, path: path.clone() })
    }

    fn fill(&mut self) -> Result<()> {
        let read = loop {
            match self.file.read(&mut self.buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.map_err(|e| read_error(&self.path, e))?,
            }
        };
        if read == 0 {
            self.is_done = true;
            return self.decoder.finish();
        }
        let piece = &self.buffer[..read];
        let (own, is_last) = self.window.next(piece);
        self.decoder.push(&piece[own])?;
        if is_last {
            self.is_done = true;
            self.decoder.finish()?;
        }
        Ok(())
    }
}

impl Iterator for LocalLines {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.decoder.next_batch().transpose() {
                return Some(batch);
            }
            if self.is_done {
                return self.decoder.flush().transpose();
            }
            if let Err(error) = self.fill() {
                self.is_done = true;
                return Some(Err(in_file(error, &self.path)));
            }
        }
    }
}

/// The batches of a part of an object.
pub(super) fn object_lines(part: PartOf, decoder: Decoder) -> impl Stream<Item = Result<RecordBatch, NotRead>> {
    let state = ObjectLines { part, decoder, window: LineWindow::whole(), at: 0, end: None, is_done: false };
    stream::try_unfold(state, |mut state| async move {
        loop {
            if let Some(batch) = state.decoder.next_batch()? {
                return Ok(Some((batch, state)));
            }
            if state.is_done {
                return Ok(state.decoder.flush()?.map(|batch| (batch, state)));
            }
            state.fill().await?;
        }
    })
}

struct ObjectLines {
    part: PartOf,
    decoder: Decoder,
    window: LineWindow,
    at: u64,
    /// The object's length, once it is known.
    end: Option<u64>,
    is_done: bool,
}

impl ObjectLines {
    async fn fill(&mut self) -> Result<(), NotRead> {
        let (store, base) = self.part.object_store()?;
        let path = self.part.location.path.clone();
        let target = object_path(&path);
        let end = match self.end {
            Some(end) => end,
            None => {
                let object = store.head(&target).await.map_err(|e| NotRead::from_store(base, &path, e))?;
                if self.part.of > 1 {
                    self.window = LineWindow::new(object.size, self.part.index, self.part.of);
                    self.is_done = self.window.is_empty();
                }
                self.at = self.window.read_from();
                self.end = Some(object.size);
                object.size
            }
        };
        if self.is_done {
            return Ok(());
        }
        let codec = Codec::of(&path);
        // What is compressed must come whole: a decoder of pieces would have to wait in the middle of a read.
        let until = if codec == Codec::Plain { (self.at + OBJECT_PIECE_BYTES).min(end) } else { end };
        let bytes = match self.at < until {
            true => store.get_range(&target, self.at..until).await.map_err(|e| store_error(base, &path, e))?,
            false => Bytes::new(),
        };
        self.at = until;
        let bytes = codec.decompress_all(bytes, &path)?;
        let (own, is_last) = self.window.next(&bytes);
        self.decoder.push(&bytes[own]).map_err(|e| in_file(e, &path))?;
        if is_last || until >= end {
            self.is_done = true;
            self.decoder.finish().map_err(|e| in_file(e, &path))?;
        }
        Ok(())
    }
}

/// The same error, naming the file.
fn in_file(error: millstream_engine::Error, path: &str) -> millstream_engine::Error {
    millstream_engine::Error::new(error.kind(), format!("{path}: {}", error.message())).with_source(error)
}
