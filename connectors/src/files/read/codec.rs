//! Compressed text files, told by the end of their name as Hadoop does.

use std::io::{BufRead, Cursor, Read};

use bytes::Bytes;
use millstream_engine::{Error, Result};

/// How a text file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::files) enum Codec {
    /// It is not.
    Plain,
    /// `.gz`
    Gzip,
    /// `.bz2`
    Bzip2,
    /// `.zst`
    Zstd,
    /// `.deflate`
    Zlib,
    /// `.lz4`, `.snappy`: in frames of Hadoop's own.
    Hadoop,
}

impl Codec {
    /// The codec of the file called `name`.
    pub(in crate::files) fn of(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("gz") => Self::Gzip,
            Some("bz2") => Self::Bzip2,
            Some("zst") => Self::Zstd,
            Some("deflate") => Self::Zlib,
            Some("lz4" | "snappy") => Self::Hadoop,
            _ => Self::Plain,
        }
    }

    /// The plain bytes of all of `compressed`, the file at `path`.
    pub(in crate::files) fn decompress_all(self, compressed: Bytes, path: &str) -> Result<Bytes> {
        if self == Self::Plain {
            return Ok(compressed);
        }
        let mut plain = Vec::new();
        let mut reader = self.decompress(Box::new(Cursor::new(compressed)))?;
        reader.read_to_end(&mut plain).map_err(|e| super::read_error(path, e))?;
        Ok(plain.into())
    }

    /// The plain bytes of `compressed`.
    pub(super) fn decompress(self, compressed: Box<dyn BufRead + Send>) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain => Box::new(compressed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(compressed)),
            Self::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(compressed)),
            Self::Zstd => Box::new(
                zstd::stream::read::Decoder::with_buffer(compressed)
                    .map_err(|e| Error::corrupt(format!("not compressed with zstd: {e}")).with_source(e))?,
            ),
            Self::Hadoop => {
                return Err(Error::unsupported(
                    "files compressed as .lz4 or .snappy cannot be read: use gz, bz2, zst or deflate",
                ));
            }
        })
    }
}
