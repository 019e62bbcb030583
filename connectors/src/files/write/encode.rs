//! Rows to the bytes of one file.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_engine::options::OptionReader;
use millstream_engine::{Error, Result};
use millstream_formats::csv::CsvEncoder;
use millstream_formats::ddl::to_spark_json;
use millstream_formats::json::JsonEncoder;
use millstream_formats::text::{TextOptions, encode_text};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as ParquetCompression, GzipLevel, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::files::format::{Format, FormatOptions, format_error};

/// A row group is closed when what is encoded of it has so many bytes: it is all held in memory until then.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// The key of a parquet file's metadata that holds Spark's schema.
const SPARK_SCHEMA: &str = "org.apache.spark.sql.parquet.row.metadata";

/// How files are compressed, by the names of Spark's `compression` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    None,
    /// `snappy`
    Snappy,
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
    /// `lz4`: parquet's LZ4_RAW.
    Lz4,
    /// `bzip2`
    Bzip2,
    /// `deflate`
    Zlib,
}

impl Compression {
    /// Takes `compression` for files of `format`.
    pub(super) fn parse(format: Format, reader: &mut OptionReader<'_>) -> Result<Self> {
        let Some(text) = reader.text("compression") else {
            return Ok(if format == Format::Parquet { Self::Snappy } else { Self::None });
        };
        match (text.trim().to_ascii_lowercase().as_str(), format) {
            ("none" | "uncompressed", _) => Ok(Self::None),
            ("gzip", _) => Ok(Self::Gzip),
            ("zstd", _) => Ok(Self::Zstd),
            ("snappy", Format::Parquet) => Ok(Self::Snappy),
            ("lz4" | "lz4_raw", Format::Parquet) => Ok(Self::Lz4),
            ("bzip2", _) if format != Format::Parquet => Ok(Self::Bzip2),
            ("deflate", _) if format != Format::Parquet => Ok(Self::Zlib),
            (_, Format::Parquet) => Err(reader.bad_value("compression", &text, "none, snappy, gzip, zstd or lz4")),
            _ => Err(reader.bad_value("compression", &text, "none, gzip, bzip2, deflate or zstd")),
        }
    }

    /// The end of a file's name.
    pub(super) fn extension(self, format: &FormatOptions) -> String {
        match format {
            FormatOptions::Parquet => {
                let codec = match self {
                    Self::None | Self::Bzip2 | Self::Zlib => "",
                    Self::Snappy => ".snappy",
                    Self::Gzip => ".gz",
                    Self::Zstd => ".zstd",
                    Self::Lz4 => ".lz4raw",
                };
                format!("{codec}.parquet")
            }
            FormatOptions::Csv(_) | FormatOptions::Json(_) | FormatOptions::Text(_) => {
                let name = match format {
                    FormatOptions::Csv(_) => ".csv",
                    FormatOptions::Json(_) => ".json",
                    _ => ".txt",
                };
                let codec = match self {
                    Self::None | Self::Snappy | Self::Lz4 => "",
                    Self::Gzip => ".gz",
                    Self::Bzip2 => ".bz2",
                    Self::Zlib => ".deflate",
                    Self::Zstd => ".zst",
                };
                format!("{name}{codec}")
            }
        }
    }

    fn of_parquet(self) -> ParquetCompression {
        match self {
            Self::None | Self::Bzip2 | Self::Zlib => ParquetCompression::UNCOMPRESSED,
            Self::Snappy => ParquetCompression::SNAPPY,
            Self::Gzip => ParquetCompression::GZIP(GzipLevel::default()),
            Self::Zstd => ParquetCompression::ZSTD(ZstdLevel::default()),
            Self::Lz4 => ParquetCompression::LZ4_RAW,
        }
    }

    fn of_text(self) -> Result<TextStream> {
        let level = flate2::Compression::default();
        Ok(match self {
            Self::None | Self::Snappy | Self::Lz4 => TextStream::Plain(Vec::new()),
            Self::Gzip => TextStream::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            Self::Zlib => TextStream::Zlib(flate2::write::ZlibEncoder::new(Vec::new(), level)),
            Self::Bzip2 => TextStream::Bzip2(bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default())),
            Self::Zstd => TextStream::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 0).map_err(encoding)?),
        })
    }
}

/// Encodes one file. What is ready is taken out with [`take_bytes`](Self::take_bytes).
pub(super) enum Encoder {
    /// Parquet.
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    /// Lines of CSV.
    Csv(Box<CsvEncoder>, TextStream),
    /// Lines of JSON.
    Json(Box<JsonEncoder>, TextStream),
    /// Lines of text.
    Text(TextOptions, TextStream),
}

impl Encoder {
    /// An encoder of rows with the columns of `schema`.
    pub(super) fn new(format: &FormatOptions, compression: Compression, schema: &SchemaRef) -> Result<Self> {
        Ok(match format {
            FormatOptions::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(compression.of_parquet())
                    // Statistics of pages cost time in writing and serve nobody who reads whole batches.
                    .set_statistics_enabled(EnabledStatistics::Chunk)
                    .set_offset_index_disabled(true)
                    // Types that parquet does not tell apart: what Spark reads instead of guessing.
                    .set_key_value_metadata(Some(vec![KeyValue::new(SPARK_SCHEMA.to_string(), to_spark_json(schema))]))
                    .build();
                let options = ArrowWriterOptions::new()
                    .with_properties(properties)
                    .with_schema_root("spark_schema".to_string())
                    .with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options);
                Self::Parquet(Box::new(writer.map_err(encoding)?))
            }
            FormatOptions::Csv(csv) => {
                let encoder = CsvEncoder::new(schema, csv).map_err(format_error)?;
                let mut header = Vec::new();
                if csv.header {
                    encoder.encode_header(schema, &mut header);
                }
                let mut stream = compression.of_text()?;
                stream.write(&header)?;
                Self::Csv(Box::new(encoder), stream)
            }
            FormatOptions::Json(json) => {
                let encoder = JsonEncoder::new(schema, json).map_err(format_error)?;
                Self::Json(Box::new(encoder), compression.of_text()?)
            }
            FormatOptions::Text(text) => Self::Text(text.clone(), compression.of_text()?),
        })
    }

    /// Adds the rows of `batch`.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet(writer) => {
                writer.write(batch).map_err(encoding)?;
                if writer.in_progress_size() > ROW_GROUP_BYTES {
                    writer.flush().map_err(encoding)?;
                }
                Ok(())
            }
            Self::Csv(encoder, stream) => {
                let mut lines = Vec::new();
                encoder.encode_batch(batch, &mut lines).map_err(format_error)?;
                stream.write(&lines)
            }
            Self::Json(encoder, stream) => {
                let mut lines = Vec::new();
                encoder.encode_batch(batch, &mut lines).map_err(format_error)?;
                stream.write(&lines)
            }
            Self::Text(options, stream) => {
                let mut lines = Vec::new();
                encode_text(batch, options, &mut lines).map_err(format_error)?;
                stream.write(&lines)
            }
        }
    }

    /// The bytes that are ready; taking them is left for later while they are few.
    pub(super) fn take_bytes(&mut self) -> Result<Vec<u8>> {
        match self {
            Self::Parquet(writer) => {
                writer.sync().map_err(encoding)?;
                Ok(std::mem::take(writer.inner_mut()))
            }
            Self::Csv(_, stream) | Self::Json(_, stream) | Self::Text(_, stream) => Ok(std::mem::take(stream.buffer())),
        }
    }

    /// About how many bytes it holds in memory.
    pub(super) fn held_bytes(&mut self) -> usize {
        match self {
            Self::Parquet(writer) => writer.memory_size() + writer.inner().len(),
            Self::Csv(_, stream) | Self::Json(_, stream) | Self::Text(_, stream) => stream.buffer().len(),
        }
    }

    /// How many bytes are ready to be taken.
    pub(super) fn ready_bytes(&mut self) -> usize {
        match self {
            Self::Parquet(writer) => writer.inner().len(),
            Self::Csv(_, stream) | Self::Json(_, stream) | Self::Text(_, stream) => stream.buffer().len(),
        }
    }

    /// The bytes that are left, the end of the file among them.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Parquet(writer) => writer.into_inner().map_err(encoding),
            Self::Csv(_, stream) | Self::Json(_, stream) | Self::Text(_, stream) => stream.finish(),
        }
    }
}

/// A compressor in front of a buffer.
pub(super) enum TextStream {
    /// None.
    Plain(Vec<u8>),
    /// gzip
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// zlib
    Zlib(flate2::write::ZlibEncoder<Vec<u8>>),
    /// bzip2
    Bzip2(bzip2::write::BzEncoder<Vec<u8>>),
    /// zstd
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl TextStream {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Plain(buffer) => {
                buffer.extend_from_slice(bytes);
                Ok(())
            }
            Self::Gzip(encoder) => encoder.write_all(bytes).map_err(encoding),
            Self::Zlib(encoder) => encoder.write_all(bytes).map_err(encoding),
            Self::Bzip2(encoder) => encoder.write_all(bytes).map_err(encoding),
            Self::Zstd(encoder) => encoder.write_all(bytes).map_err(encoding),
        }
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(buffer) => buffer,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zlib(encoder) => encoder.get_mut(),
            Self::Bzip2(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Plain(buffer) => Ok(buffer),
            Self::Gzip(encoder) => encoder.finish().map_err(encoding),
            Self::Zlib(encoder) => encoder.finish().map_err(encoding),
            Self::Bzip2(encoder) => encoder.finish().map_err(encoding),
            Self::Zstd(encoder) => encoder.finish().map_err(encoding),
        }
    }
}

/// What an encoder says about rows it cannot write: it writes to memory, so it is no disk that fails.
fn encoding(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal(format!("cannot encode rows for a file: {error}")).with_source(error)
}
