//! Moving over JSON text: white space, strings, numbers, and values that nobody needs.
//!
//! The scanner accepts what Jackson accepts under the same switches. It never allocates except into the scratch buffer
//! that strings with escapes are unfolded into.

/// What Jackson may be told to tolerate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) comments: bool,
    pub(crate) unquoted_names: bool,
    pub(crate) single_quotes: bool,
    pub(crate) leading_zeros: bool,
    pub(crate) non_numeric: bool,
    pub(crate) any_escape: bool,
    pub(crate) control_chars: bool,
}

/// The text is not JSON from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// The byte where it stops being JSON.
    pub(crate) at: usize,
}

pub(crate) type Scan<T> = Result<T, SyntaxError>;

/// A string's content: as it stands in the text, or unfolded into the scratch buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Plain { start: usize, end: usize },
    Unfolded,
}

/// A number as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: NumberKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberKind {
    Int,
    Float,
    NotANumber,
    Infinite { negative: bool },
}

/// The deepest nesting that Jackson follows.
const MAX_DEPTH: usize = 1000;

#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
    pub(crate) syntax: Syntax,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8], syntax: Syntax) -> Self {
        Self { text, at: 0, syntax }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[cold]
    pub(crate) fn error<T>(&self) -> Scan<T> {
        Err(SyntaxError { at: self.at })
    }

    /// The next byte that is no white space, without moving past it.
    #[inline]
    pub(crate) fn next_token(&mut self) -> Scan<Option<u8>> {
        match self.peek() {
            Some(b) if b > b' ' && (b != b'/' && b != b'#') => Ok(Some(b)),
            _ => self.next_token_slowly(),
        }
    }

    fn next_token_slowly(&mut self) -> Scan<Option<u8>> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/') if self.syntax.comments => self.skip_comment()?,
                other => return Ok(other),
            }
        }
    }

    fn skip_comment(&mut self) -> Scan<()> {
        let rest = &self.text[self.at..];
        let len = match rest.get(1) {
            Some(b'/') => memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
            Some(b'*') => match memchr::memmem::find(&rest[2..], b"*/") {
                Some(end) => end + 4,
                None => return self.error(),
            },
            _ => return self.error(),
        };
        self.at += len;
        Ok(())
    }

    /// Moves past `byte`, which must come next after white space.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Scan<()> {
        if self.next_token()? == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.error()
        }
    }

    /// Whether a string starts here.
    #[inline]
    pub(crate) fn is_quote(&self, byte: u8) -> bool {
        byte == b'"' || (byte == b'\'' && self.syntax.single_quotes)
    }

    /// Moves past the string that starts here. `scratch` receives its content if there are escapes in it.
    #[inline]
    pub(crate) fn string(&mut self, scratch: &mut Vec<u8>) -> Scan<Text> {
        let quote = self.text[self.at];
        let start = self.at + 1;
        let end = find_special(self.text, start, quote);
        if self.text.get(end) == Some(&quote) {
            self.at = end + 1;
            return Ok(Text::Plain { start, end });
        }
        self.unfold(start, end, quote, scratch)?;
        Ok(Text::Unfolded)
    }

    fn unfold(&mut self, start: usize, mut end: usize, quote: u8, scratch: &mut Vec<u8>) -> Scan<()> {
        scratch.clear();
        let mut from = start;
        loop {
            match self.text.get(end) {
                Some(b) if *b == quote => {
                    scratch.extend_from_slice(&self.text[from..end]);
                    self.at = end + 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    scratch.extend_from_slice(&self.text[from..end]);
                    self.at = end + 1;
                    self.escape(scratch)?;
                    from = self.at;
                }
                // A control character, or the end of the text.
                Some(_) if self.syntax.control_chars => {
                    scratch.extend_from_slice(&self.text[from..=end]);
                    from = end + 1;
                }
                _ => {
                    self.at = end;
                    return self.error();
                }
            }
            end = find_special(self.text, from, quote);
        }
    }

    /// The escape whose backslash has just been passed.
    fn escape(&mut self, out: &mut Vec<u8>) -> Scan<()> {
        let Some(b) = self.peek() else {
            return self.error();
        };
        let plain = match b {
            b'"' | b'\\' | b'/' => b,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode_escape(out),
            b'\'' if self.syntax.single_quotes => b'\'',
            _ if self.syntax.any_escape => b,
            _ => return self.error(),
        };
        out.push(plain);
        self.at += 1;
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Scan<()> {
        let mut code = self.hex4()?;
        if (0xd800..0xdc00).contains(&code) && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 1;
            match self.hex4() {
                Ok(low @ 0xdc00..0xe000) => code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                _ => self.at = before,
            }
        }
        // Half of a surrogate pair has no UTF-8; Java writes '?' for it.
        let c = char::from_u32(code).unwrap_or('?');
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// `uXXXX`
    fn hex4(&mut self) -> Scan<u32> {
        let digits = self.text.get(self.at + 1..self.at + 5).and_then(|d| std::str::from_utf8(d).ok());
        let Some(digits) = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit())) else {
            return self.error();
        };
        self.at += 5;
        u32::from_str_radix(digits, 16).map_err(|_| SyntaxError { at: self.at })
    }

    /// Moves past the number that starts here.
    #[inline]
    pub(crate) fn number(&mut self) -> Scan<Number> {
        let start = self.at;
        let mut at = start;
        if self.text[at] == b'-' {
            at += 1;
        }
        let digits = at;
        while self.text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == digits {
            return self.odd_number(start, at);
        }
        if self.text[digits] == b'0' && at > digits + 1 && !self.syntax.leading_zeros {
            self.at = digits;
            return self.error();
        }
        match self.text.get(at) {
            Some(b'.' | b'e' | b'E') => self.float_tail(start, at),
            _ => {
                self.at = at;
                Ok(Number { start, end: at, kind: NumberKind::Int })
            }
        }
    }

    fn float_tail(&mut self, start: usize, mut at: usize) -> Scan<Number> {
        let digits = |mut at: usize| {
            let from = at;
            while self.text.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            (at, at > from)
        };
        let mut fine = true;
        if self.text.get(at) == Some(&b'.') {
            (at, fine) = digits(at + 1);
        }
        if fine && matches!(self.text.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.text.get(at + 1), Some(b'+' | b'-')));
            (at, fine) = digits(at + 1 + sign);
        }
        self.at = at;
        if fine { Ok(Number { start, end: at, kind: NumberKind::Float }) } else { self.error() }
    }

    /// `NaN`, `Infinity`, `-INF` and their like, where they are allowed.
    fn odd_number(&mut self, start: usize, at: usize) -> Scan<Number> {
        const NAMES: [(&[u8], NumberKind); 6] = [
            (b"NaN", NumberKind::NotANumber),
            (b"Infinity", NumberKind::Infinite { negative: false }),
            (b"+Infinity", NumberKind::Infinite { negative: false }),
            (b"+INF", NumberKind::Infinite { negative: false }),
            (b"-Infinity", NumberKind::Infinite { negative: true }),
            (b"-INF", NumberKind::Infinite { negative: true }),
        ];
        let rest = &self.text[start..];
        let found = NAMES.iter().find(|(name, _)| rest.starts_with(name));
        match found {
            Some((name, kind)) if self.syntax.non_numeric => {
                self.at = start + name.len();
                Ok(Number { start, end: self.at, kind: *kind })
            }
            _ => {
                self.at = at;
                self.error()
            }
        }
    }

    /// Moves past `true`, `false` or `null`, given as `word`.
    #[inline]
    pub(crate) fn word(&mut self, word: &[u8]) -> Scan<()> {
        let end = self.at + word.len();
        let goes_on = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$' || *b >= 0x80;
        if self.text[self.at..].starts_with(word) && !self.text.get(end).is_some_and(goes_on) {
            self.at = end;
            Ok(())
        } else {
            self.error()
        }
    }

    /// Moves past a field's name; what it says is in the text or in `scratch`.
    pub(crate) fn name(&mut self, scratch: &mut Vec<u8>) -> Scan<Text> {
        match self.next_token()? {
            Some(b) if self.is_quote(b) => self.string(scratch),
            Some(b) if self.syntax.unquoted_names && is_name_byte(b) && !b.is_ascii_digit() => {
                let start = self.at;
                while self.peek().is_some_and(is_name_byte) {
                    self.at += 1;
                }
                Ok(Text::Plain { start, end: self.at })
            }
            _ => self.error(),
        }
    }

    /// Moves past the value that starts here, whatever it is, checking that it is JSON.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Scan<()> {
        match self.next_token()? {
            Some(b'"') => self.skip_string(),
            Some(b'0'..=b'9' | b'-') => self.number().map(|_| ()),
            _ => self.skip_nested(0),
        }
    }

    #[inline]
    fn skip_string(&mut self) -> Scan<()> {
        let quote = self.text[self.at];
        let end = find_special(self.text, self.at + 1, quote);
        if self.text.get(end) == Some(&quote) {
            self.at = end + 1;
            return Ok(());
        }
        let mut unused = Vec::new();
        self.unfold(self.at + 1, end, quote, &mut unused)
    }

    fn skip_nested(&mut self, depth: usize) -> Scan<()> {
        if depth > MAX_DEPTH {
            return self.error();
        }
        match self.next_token()? {
            Some(b'{') => {
                self.at += 1;
                if self.next_token()? == Some(b'}') {
                    self.at += 1;
                    return Ok(());
                }
                let mut scratch = Vec::new();
                loop {
                    self.name(&mut scratch)?;
                    self.expect(b':')?;
                    self.skip_nested(depth + 1)?;
                    if !self.more(b'}')? {
                        return Ok(());
                    }
                }
            }
            Some(b'[') => {
                self.at += 1;
                if self.next_token()? == Some(b']') {
                    self.at += 1;
                    return Ok(());
                }
                loop {
                    self.skip_nested(depth + 1)?;
                    if !self.more(b']')? {
                        return Ok(());
                    }
                }
            }
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b) if self.is_quote(b) => self.skip_string(),
            Some(_) => self.number().map(|_| ()),
            None => self.error(),
        }
    }

    /// After a member: moves past a comma (true) or the closing bracket (false).
    #[inline]
    pub(crate) fn more(&mut self, close: u8) -> Scan<bool> {
        match self.next_token()? {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.error(),
        }
    }
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'@' | b'#' | b'*' | b'-' | b'+') || b >= 0x80
}

/// The first byte from `at` on that is the quote, a backslash or a control character; the text's length if there is none.
///
/// Eight bytes at a time: a byte is zero exactly if subtracting one borrows into its top bit.
#[inline]
fn find_special(text: &[u8], mut at: usize, quote: u8) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let quotes = ONES * u64::from(quote);
    while let Some(word) = text.get(at..at + 8).and_then(|w| w.try_into().ok()).map(u64::from_le_bytes) {
        let (q, b) = (word ^ quotes, word ^ (ONES * u64::from(b'\\')));
        let special =
            (q.wrapping_sub(ONES) & !q) | (b.wrapping_sub(ONES) & !b) | (word.wrapping_sub(ONES * 0x20) & !word);
        if special & TOPS != 0 {
            return at + ((special & TOPS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(b) = text.get(at) {
        if *b == quote || *b == b'\\' || *b < 0x20 {
            return at;
        }
        at += 1;
    }
    text.len().max(at.min(text.len()))
}
