//! One file being written: encoder, name and place. Small ones are created in one go, large ones piece by piece.

use std::time::UNIX_EPOCH;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_engine::Result;
use millstream_engine::clock::{Clock, SystemClock};
use millstream_engine::state::{Place, Writer};

use super::FileSinkOptions;
use super::encode::Encoder;
use crate::files::location::Location;
use crate::files::manifest::SinkFile;

/// Bytes are written out when so many are ready.
const PIECE_BYTES: usize = 4 << 20;

/// A file that rows are added to. Nothing is visible before [`finish`](Self::finish); dropping it leaves nothing.
pub(super) struct OutputFile {
    place: Place,
    location: Location,
    name: String,
    encoder: Encoder,
    /// The start of the file on its way, once it was too large to keep.
    upload: Option<Writer>,
    written_bytes: u64,
    /// Rows so far.
    pub(super) rows: u64,
}

impl OutputFile {
    /// A new file `name` in `place`, which is the folder `location`.
    pub(super) fn new(
        options: &FileSinkOptions,
        schema: &SchemaRef,
        place: Place,
        location: Location,
        name: String,
    ) -> Result<Self> {
        let encoder = Encoder::new(&options.format, options.compression, schema)?;
        Ok(Self { place, location, name, encoder, upload: None, written_bytes: 0, rows: 0 })
    }

    /// Adds the rows of `batch`.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.write(batch)?;
        self.rows += batch.num_rows() as u64;
        if self.encoder.ready_bytes() >= PIECE_BYTES {
            let bytes = self.encoder.take_bytes()?;
            self.append(bytes).await?;
        }
        Ok(())
    }

    /// About how much memory it takes.
    pub(super) fn held_bytes(&mut self) -> usize {
        self.encoder.held_bytes()
    }

    /// Ends the file and makes it durable under its name.
    pub(super) async fn finish(mut self) -> Result<SinkFile> {
        let encoder = self.encoder;
        let rest = encoder.finish()?;
        self.written_bytes += rest.len() as u64;
        match self.upload.take() {
            None => self.place.create(&self.name, rest.into()).await?,
            Some(mut upload) => {
                upload.append(rest.into()).await?;
                upload.finish().await?;
            }
        }
        let modified_ms = modified_ms(&self.place, &self.name);
        Ok(SinkFile::added(self.location.child(&self.name).uri(), self.written_bytes, modified_ms))
    }

    async fn append(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.written_bytes += bytes.len() as u64;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => self.upload.insert(self.place.begin(&self.name).await?),
        };
        Ok(upload.append(bytes.into()).await?)
    }
}

/// The file's modification time where the disk tells it, otherwise now; milliseconds since the epoch.
fn modified_ms(place: &Place, name: &str) -> i64 {
    let metadata = place.local_path().and_then(|folder| std::fs::metadata(folder.join(name)).ok());
    let modified = metadata.and_then(|m| m.modified().ok()).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    modified.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_else(|| SystemClock.now_ms())
}
