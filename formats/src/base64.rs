//! Base64 with padding (RFC 4648), as Jackson writes and reads binary values.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the encoding of `data`.
pub(crate) fn encode(data: &[u8], out: &mut Vec<u8>) {
    for chunk in data.chunks(3) {
        let (a, b, c) = (chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0));
        let word = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
        for i in 0..4 {
            let sextet = (word >> (18 - 6 * i)) as usize & 63;
            out.push(if i <= chunk.len() { ALPHABET[sextet] } else { b'=' });
        }
    }
}

/// A text that is no Base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotBase64 {
    /// Whether Jackson, having noticed, is past the string's end or inside a character, so that it cannot go on with the
    /// record: the text ends one character into a group, or is not ASCII.
    pub(crate) ends_record: bool,
}

/// Appends the decoding of `text`, in which white space between groups counts for nothing.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
    let (mut word, mut sextets, mut padding) = (0u32, 0usize, 0usize);
    for b in text {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if sextets >= 2 => {
                padding += 1;
                if sextets + padding == 4 {
                    out.push((word >> (6 * sextets - 8)) as u8);
                    if sextets == 3 {
                        out.push((word >> 2) as u8);
                    }
                    (word, sextets, padding) = (0, 0, 0);
                }
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' if sextets == 0 => continue,
            _ => return Err(NotBase64 { ends_record: *b >= 0x80 }),
        };
        if padding > 0 {
            return Err(NotBase64 { ends_record: false });
        }
        word = word << 6 | u32::from(value);
        sextets += 1;
        if sextets == 4 {
            out.extend_from_slice(&word.to_be_bytes()[1..]);
            (word, sextets) = (0, 0);
        }
    }
    if sextets == 0 && padding == 0 { Ok(()) } else { Err(NotBase64 { ends_record: sextets == 1 }) }
}
