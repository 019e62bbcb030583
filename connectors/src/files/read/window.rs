//! Which bytes of a file are the lines of one part of it: those of the lines that begin in its range.
//!
//! Lines end with `\n` here, whatever else ends one for the decoder: a cut after a `\n` is always between two lines.

use std::ops::Range;

/// Follows the bytes of a file from [`read_from`](Self::read_from) on and tells which belong to the part.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineWindow {
    start: u64,
    end: u64,
    /// Where the next byte is in the file.
    at: u64,
    inside: bool,
}

impl LineWindow {
    /// Part `index` of `of` of a file of `size_bytes`.
    pub(super) fn new(size_bytes: u64, index: u64, of: u64) -> Self {
        let bound = |n: u64| (u128::from(size_bytes) * u128::from(n) / u128::from(of.max(1))) as u64;
        let (start, end) = (bound(index), bound(index + 1));
        // The byte before the part tells whether a line begins right at its start.
        Self { start, end, at: start.saturating_sub(1), inside: start == 0 }
    }

    /// A window that is the whole file, however long it gets.
    pub(super) fn whole() -> Self {
        Self { start: 0, end: u64::MAX, at: 0, inside: true }
    }

    /// Whether no byte, and so no line, begins in it.
    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Where to start reading.
    pub(super) fn read_from(&self) -> u64 {
        self.start.saturating_sub(1)
    }

    /// The bytes of `piece`, the next of the file, that belong to the part, and whether it ends there.
    pub(super) fn next(&mut self, piece: &[u8]) -> (Range<usize>, bool) {
        let from = self.at;
        self.at += piece.len() as u64;
        let mut first = 0;
        if !self.inside {
            match memchr::memchr(b'\n', piece) {
                Some(end) => first = end + 1,
                None => return (0..0, self.at >= self.end),
            }
            if from + first as u64 >= self.end {
                return (0..0, true);
            }
            self.inside = true;
        }
        if self.at < self.end {
            return (first..piece.len(), false);
        }
        // The last line is the one that has the part's last byte.
        let last_byte = usize::try_from((self.end - 1).saturating_sub(from)).unwrap_or(0).max(first);
        match piece.get(last_byte..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            Some(end) => (first..last_byte + end + 1, true),
            None => (first..piece.len(), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What part `index` of `of` reads when the file comes in pieces of `piece_bytes`.
    fn part(file: &[u8], index: u64, of: u64, piece_bytes: usize) -> Vec<u8> {
        let mut window = LineWindow::new(file.len() as u64, index, of);
        let mut own = Vec::new();
        if window.start == window.end {
            return own;
        }
        for piece in file[window.read_from() as usize..].chunks(piece_bytes) {
            let (range, is_last) = window.next(piece);
            own.extend_from_slice(&piece[range]);
            if is_last {
                break;
            }
        }
        own
    }

    #[test]
    fn every_line_is_in_one_part_whole() {
        for file in ["a\nbb\n\nccc\ndddddddd\ne", "\n\n\n", "one line only", "x\r\ny\r\nz\r\n", "\nab\n", "a\n"] {
            let file = file.as_bytes();
            for of in 1..=7 {
                for piece_bytes in [1, 2, 3, 5, 100] {
                    let parts: Vec<Vec<u8>> = (0..of).map(|index| part(file, index, of, piece_bytes)).collect();
                    assert_eq!(parts.concat(), file, "{of} parts, pieces of {piece_bytes}");
                    let whole = |part: &&Vec<u8>| part.is_empty() || part.ends_with(b"\n") || file.ends_with(part);
                    assert!(parts.iter().all(|part| whole(&part)), "{parts:?}");
                }
            }
        }
    }
}
