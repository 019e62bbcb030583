//! The decoders of text formats, behind one face: bytes in, batches out.

use arrow::array::RecordBatch;
use millstream_engine::{Error, Result};
use millstream_formats::csv::CsvDecoder;
use millstream_formats::json::JsonDecoder;
use millstream_formats::text::TextDecoder;

use super::FileColumns;
use crate::files::format::{FormatOptions, format_error};
use crate::rows::arrow_error;

/// Decodes the bytes of one file, or of one part of it.
#[derive(Debug)]
pub(super) enum Decoder {
    /// CSV's.
    Csv(Box<CsvDecoder>),
    /// JSON's.
    Json(Box<JsonDecoder>),
    /// Text's, and which of its columns (one, or none) are wanted.
    Text(Box<TextDecoder>, Vec<usize>),
}

impl Decoder {
    /// A decoder of rows with the wanted ones of `columns`. `is_first_part` is whether the file's first line will come.
    pub(super) fn new(
        options: &FormatOptions,
        columns: &FileColumns,
        batch_rows: usize,
        is_first_part: bool,
    ) -> Result<Self> {
        match options {
            FormatOptions::Csv(csv) => {
                let mut csv = csv.as_ref().clone();
                csv.header &= is_first_part;
                let decoder = CsvDecoder::project(&columns.all, &columns.wanted, csv).map_err(format_error)?;
                Ok(Self::Csv(Box::new(decoder.with_batch_rows(batch_rows))))
            }
            FormatOptions::Json(json) => {
                let decoder = JsonDecoder::new(&columns.schema, json.as_ref().clone()).map_err(format_error)?;
                Ok(Self::Json(Box::new(decoder.with_batch_rows(batch_rows))))
            }
            FormatOptions::Text(text) => {
                let decoder = TextDecoder::new(&columns.all, text.clone()).map_err(format_error)?;
                Ok(Self::Text(Box::new(decoder.with_batch_rows(batch_rows)), columns.wanted.clone()))
            }
            FormatOptions::Parquet => Err(Error::internal("parquet is no text format")),
        }
    }

    /// Decodes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Csv(decoder) => decoder.push(bytes),
            Self::Json(decoder) => decoder.push(bytes),
            Self::Text(decoder, _) => decoder.push(bytes),
        }
        .map_err(format_error)
    }

    /// There is no more.
    pub(super) fn finish(&mut self) -> Result<()> {
        match self {
            Self::Csv(decoder) => decoder.finish(),
            Self::Json(decoder) => decoder.finish(),
            Self::Text(decoder, _) => decoder.finish(),
        }
        .map_err(format_error)
    }

    /// The next full batch.
    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Csv(decoder) => Ok(decoder.next_batch()),
            Self::Json(decoder) => Ok(decoder.next_batch()),
            Self::Text(decoder, wanted) => project(decoder.next_batch(), wanted),
        }
    }

    /// The next batch, full or not.
    pub(super) fn flush(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Csv(decoder) => decoder.flush().map_err(format_error),
            Self::Json(decoder) => decoder.flush().map_err(format_error),
            Self::Text(decoder, wanted) => project(decoder.flush().map_err(format_error)?, wanted),
        }
    }
}

fn project(batch: Option<RecordBatch>, wanted: &[usize]) -> Result<Option<RecordBatch>> {
    batch.map(|batch| batch.project(wanted).map_err(arrow_error)).transpose()
}
