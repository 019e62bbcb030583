//! Sends the bytes of a file to its place: at once when they are few, piece by piece when they are many.

use bytes::Bytes;

use crate::error::Result;
use crate::file::writer::FileWriter;
use crate::place::{Place, Writer};

/// Files up to this size are created in one step.
const PIECE_BYTES: usize = 8 << 20;

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    place: &'a Place,
    name: &'a str,
    writer: Option<Writer>,
}

impl<'a> Output<'a> {
    pub(crate) fn new(place: &'a Place, name: &'a str) -> Self {
        Self { place, name, writer: None }
    }

    /// Takes bytes off the writer when there are many.
    pub(crate) async fn take_from(&mut self, file: &mut FileWriter) -> Result<()> {
        if file.pending_bytes() < PIECE_BYTES {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.place.begin(self.name).await?),
        };
        writer.append(file.take_pending()).await
    }

    /// Sends the last bytes and makes the file visible and durable.
    pub(crate) async fn finish(self, rest: Bytes) -> Result<()> {
        match self.writer {
            None => self.place.create(self.name, rest).await,
            Some(mut writer) => {
                writer.append(rest).await?;
                writer.finish().await
            }
        }
    }
}
