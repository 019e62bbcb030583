//! Files to lines: separators, encodings, byte order marks, and lines that arrive in pieces.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Cuts a stream of bytes into lines. Lines within a piece are not copied.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    separator: Separator,
    encoding: Encoding,
    /// The start of a line whose end has not come yet.
    kept: Vec<u8>,
    started: bool,
    /// The last piece ended in `\r`; a `\n` that follows belongs to it.
    after_return: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Separator {
    /// `\n`, `\r\n` or `\r`.
    #[default]
    Any,
    /// Given by the user.
    Exactly(Vec<u8>),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Utf16 {
        little: bool,
    },
    Utf32 {
        little: bool,
    },
    Latin1,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl LineSplitter {
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an unknown encoding.
    pub(crate) fn new(separator: Option<&str>, encoding: Option<&str>) -> Result<Self> {
        let separator = separator.map_or(Separator::Any, |s| Separator::Exactly(s.as_bytes().to_vec()));
        Ok(Self { separator, encoding: Encoding::parse(encoding)?, ..Self::default() })
    }

    /// Gives every complete line to `each`.
    pub(crate) fn split(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.encoding != Encoding::Utf8 {
            // Its separators are no single bytes: decoded as a whole in `finish`.
            self.kept.extend_from_slice(bytes);
            return Ok(());
        }
        let mut rest = bytes;
        if !self.started && self.kept.len() + rest.len() >= BOM.len() {
            self.started = true;
            if self.kept.is_empty() {
                rest = rest.strip_prefix(BOM).unwrap_or(rest);
            } else {
                self.kept.extend_from_slice(rest);
                let all = std::mem::take(&mut self.kept);
                return self.split_started(all.strip_prefix(BOM).unwrap_or(&all), &mut each);
            }
        } else if !self.started {
            self.kept.extend_from_slice(rest);
            return Ok(());
        }
        self.split_started(rest, &mut each)
    }

    fn split_started(&mut self, mut rest: &[u8], each: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.after_return && !rest.is_empty() {
            self.after_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some((end, next)) = self.find_end(rest) {
            if self.kept.is_empty() {
                each(&rest[..end])?;
            } else {
                self.complete_kept(&rest[..end], each)?;
            }
            rest = &rest[next..];
        }
        self.kept.extend_from_slice(rest);
        // A separator of several bytes may have been cut in two.
        if let Separator::Exactly(separator) = &self.separator
            && separator.len() > 1
            && let Some(at) = memchr::memmem::find(&self.kept, separator)
        {
            let kept = std::mem::take(&mut self.kept);
            each(&kept[..at])?;
            let after = kept[at + separator.len()..].to_vec();
            return self.split_started(&after, each);
        }
        Ok(())
    }

    fn complete_kept(&mut self, end: &[u8], each: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut line = std::mem::take(&mut self.kept);
        line.extend_from_slice(end);
        each(&line)?;
        line.clear();
        self.kept = line;
        Ok(())
    }

    /// Where the first line ends, and where the next begins.
    #[inline]
    fn find_end(&mut self, bytes: &[u8]) -> Option<(usize, usize)> {
        match &self.separator {
            Separator::Any => {
                let end = memchr::memchr2(b'\n', b'\r', bytes)?;
                if bytes[end] == b'\n' {
                    return Some((end, end + 1));
                }
                self.after_return = end + 1 == bytes.len();
                Some((end, end + 1 + usize::from(bytes.get(end + 1) == Some(&b'\n'))))
            }
            Separator::Exactly(separator) => {
                let end = memchr::memmem::find(bytes, separator)?;
                Some((end, end + separator.len()))
            }
        }
    }

    /// Gives the last line, which no separator ends, to `each`.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        if !self.started && self.encoding == Encoding::Utf8 {
            // A file of one or two bytes, kept because they might have been a byte order mark's.
            let kept = self.take_kept();
            result = self.split_started(&kept, &mut each);
        }
        let kept = self.take_kept();
        let result = if result.is_err() {
            result
        } else if self.encoding == Encoding::Utf8 {
            if kept.is_empty() { Ok(()) } else { each(&kept) }
        } else {
            let text = self.encoding.decode(&kept);
            let mut lines = Self { separator: self.separator.clone(), started: true, ..Self::default() };
            lines.split_started(text.as_bytes(), &mut each).and_then(|()| lines.finish(each))
        };
        (self.started, self.after_return) = (false, false);
        result
    }

    /// Keeps bytes that are not to be cut.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// What is kept.
    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }
}

/// A whole file as UTF-8, without a byte order mark. Bytes that are no UTF-8 stay as they are.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an unknown encoding.
pub(crate) fn decode_charset<'a>(bytes: &'a [u8], encoding: Option<&str>) -> Result<Cow<'a, [u8]>> {
    Ok(match Encoding::parse(encoding)? {
        Encoding::Utf8 => Cow::Borrowed(bytes.strip_prefix(BOM).unwrap_or(bytes)),
        other => Cow::Owned(other.decode(bytes).into_bytes()),
    })
}

impl Encoding {
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an unknown name.
    pub(crate) fn parse(name: Option<&str>) -> Result<Self> {
        let Some(name) = name else {
            return Ok(Self::Utf8);
        };
        Ok(match name.to_ascii_uppercase().replace('_', "-").as_str() {
            "UTF-8" | "UTF8" | "US-ASCII" | "ASCII" => Self::Utf8,
            "UTF-16" | "UTF-16BE" => Self::Utf16 { little: false },
            "UTF-16LE" => Self::Utf16 { little: true },
            "UTF-32" | "UTF-32BE" => Self::Utf32 { little: false },
            "UTF-32LE" => Self::Utf32 { little: true },
            "ISO-8859-1" | "LATIN1" => Self::Latin1,
            _ => {
                let known = "UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE, UTF-16LE, UTF-32, UTF-32BE, UTF-32LE";
                return Err(Error::unsupported(format!("unknown encoding '{name}'; known are {known}")));
            }
        })
    }

    /// Replaces UTF-8 from `start` on by this encoding; what it lacks becomes a question mark.
    pub(crate) fn encode_from(self, start: usize, out: &mut Vec<u8>) {
        if self == Self::Utf8 {
            return;
        }
        let text = out.split_off(start);
        let text = String::from_utf8_lossy(&text);
        for c in text.chars() {
            match self {
                Self::Utf8 => {}
                Self::Latin1 => out.push(u8::try_from(c).unwrap_or(b'?')),
                Self::Utf16 { little } => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.extend_from_slice(&if little { unit.to_le_bytes() } else { unit.to_be_bytes() });
                    }
                }
                Self::Utf32 { little } => {
                    let code = u32::from(c);
                    out.extend_from_slice(&if little { code.to_le_bytes() } else { code.to_be_bytes() });
                }
            }
        }
    }

    fn decode(self, bytes: &[u8]) -> String {
        let text: String = match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Latin1 => bytes.iter().map(|b| char::from(*b)).collect(),
            Self::Utf16 { little } => {
                // A byte order mark says more than the name.
                let little =
                    if bytes.starts_with(&[0xff, 0xfe]) { true } else { little && !bytes.starts_with(&[0xfe, 0xff]) };
                let units = bytes
                    .chunks_exact(2)
                    .map(|b| if little { u16::from_le_bytes([b[0], b[1]]) } else { u16::from_be_bytes([b[0], b[1]]) });
                char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Self::Utf32 { little } => bytes
                .chunks_exact(4)
                .map(|b| [b[0], b[1], b[2], b[3]])
                .map(|b| if little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
                .map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        };
        text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
    }
}
