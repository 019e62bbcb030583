//! The decoders of text formats, behind one face: bytes in, batches out.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_engine::{Error, Result};
use millstream_formats::json::JsonDecoder;

use super::text::TextDecoder;
use crate::files::format::{FormatOptions, format_error};

/// Decodes the bytes of one file, or of one part of it.
#[derive(Debug)]
pub(super) enum Decoder {
    /// JSON's.
    Json(Box<JsonDecoder>),
    /// Text's.
    Text(Box<TextDecoder>),
}

impl Decoder {
    /// A decoder of rows with the columns of `schema`. `is_first_part` is whether the file's first line will come.
    pub(super) fn new(
        options: &FormatOptions,
        schema: &SchemaRef,
        batch_rows: usize,
        is_first_part: bool,
    ) -> Result<Self> {
        let _ = is_first_part;
        match options {
            FormatOptions::Json(json) => {
                let decoder = JsonDecoder::new(schema, json.as_ref().clone()).map_err(format_error)?;
                Ok(Self::Json(Box::new(decoder.with_batch_rows(batch_rows))))
            }
            FormatOptions::Text(text) => {
                Ok(Self::Text(Box::new(TextDecoder::new(schema.clone(), text.clone(), batch_rows))))
            }
            FormatOptions::Parquet => Err(Error::internal("parquet is no text format")),
        }
    }

    /// Decodes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Json(decoder) => decoder.push(bytes).map_err(format_error),
            Self::Text(decoder) => decoder.push(bytes),
        }
    }

    /// There is no more.
    pub(super) fn finish(&mut self) -> Result<()> {
        match self {
            Self::Json(decoder) => decoder.finish().map_err(format_error),
            Self::Text(decoder) => decoder.finish(),
        }
    }

    /// The next full batch.
    pub(super) fn next_batch(&mut self) -> Option<RecordBatch> {
        match self {
            Self::Json(decoder) => decoder.next_batch(),
            Self::Text(decoder) => decoder.next_batch(),
        }
    }

    /// The next batch, full or not.
    pub(super) fn flush(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Json(decoder) => decoder.flush().map_err(format_error),
            Self::Text(decoder) => decoder.flush(),
        }
    }
}
