//! Records to values: separators, quotes and escapes.
//!
//! A value without quotes is a slice of the text. One with quotes is walked by the rules of univocity's parser, a small
//! state machine over the previous and the current character.

use memchr::memchr;

use super::options::{CsvOptions, UnescapedQuotes};

/// One value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// A slice of the text.
    Text { start: usize, end: usize },
    /// A slice of [`Tokens::unquoted`].
    Unquoted { start: usize, end: usize },
    /// Nothing between two separators, or a skipped value.
    Null,
    /// `""`
    Empty,
}

/// The values of one record; reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) values: Vec<Token>,
    pub(crate) unquoted: Vec<u8>,
}

impl Tokens {
    /// A value's bytes; nothing if it is null or empty.
    pub(crate) fn bytes<'a>(&'a self, token: Token, text: &'a [u8]) -> Option<&'a [u8]> {
        match token {
            Token::Text { start, end } => text.get(start..end),
            Token::Unquoted { start, end } => self.unquoted.get(start..end),
            Token::Null | Token::Empty => None,
        }
    }
}

/// The characters that matter.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    separator: Vec<u8>,
    quote: u8,
    escape: u8,
    escape_escape: u8,
    handling: UnescapedQuotes,
    trim_leading: bool,
    trim_trailing: bool,
    /// Whether `\n` ends a record, or records have been cut out already.
    multi_line: bool,
    /// A line ends here in a file of several lines a record.
    line_end: u8,
}

/// A quote stands where none may (only under `RAISE_ERROR`).
#[derive(Debug)]
pub(crate) struct BadQuote;

impl Tokenizer {
    pub(crate) fn new(o: &CsvOptions, multi_line: bool) -> Self {
        let byte = |c: char| u8::try_from(c).unwrap_or(0);
        let line_end = o.line_sep.as_deref().and_then(|s| s.bytes().last()).unwrap_or(b'\n');
        Self {
            separator: o.separator.as_bytes().to_vec(),
            quote: byte(o.quote),
            escape: byte(o.escape),
            escape_escape: byte(o.escape_of_escape()),
            handling: o.unescaped_quotes,
            trim_leading: o.trim_leading.unwrap_or(false),
            trim_trailing: o.trim_trailing.unwrap_or(false),
            multi_line,
            line_end,
        }
    }

    /// The record that starts at `at`; returns where the next one starts.
    pub(crate) fn record(&self, text: &[u8], mut at: usize, tokens: &mut Tokens) -> Result<usize, BadQuote> {
        tokens.values.clear();
        tokens.unquoted.clear();
        loop {
            at = self.value(text, at, tokens)?;
            if self.is_separator(text, at) {
                at += self.separator.len();
                continue;
            }
            return Ok(if at < text.len() { at + 1 } else { at });
        }
    }

    #[inline]
    fn is_separator(&self, text: &[u8], at: usize) -> bool {
        match self.separator[..] {
            [one] => text.get(at) == Some(&one),
            _ => text.get(at..).is_some_and(|rest| rest.starts_with(&self.separator)),
        }
    }

    #[inline]
    fn is_end(&self, text: &[u8], at: usize) -> bool {
        match text.get(at) {
            None => true,
            Some(b) => self.multi_line && *b == self.line_end,
        }
    }

    /// Where the value that starts at `at` ends if its quotes mean nothing.
    #[inline]
    fn unquoted_end(&self, text: &[u8], at: usize) -> usize {
        let rest = &text[at.min(text.len())..];
        let line = if self.multi_line { memchr(self.line_end, rest).unwrap_or(rest.len()) } else { rest.len() };
        let rest = &rest[..line];
        let end = match self.separator[..] {
            // Values are mostly short: a plain loop beats a call.
            [one] => rest.iter().position(|b| *b == one),
            _ => memchr::memmem::find(rest, &self.separator),
        };
        at + end.unwrap_or(line)
    }

    #[inline]
    fn value(&self, text: &[u8], mut at: usize, tokens: &mut Tokens) -> Result<usize, BadQuote> {
        if self.trim_leading {
            while text.get(at).is_some_and(|b| *b <= b' ') && !self.is_separator(text, at) && !self.is_end(text, at) {
                at += 1;
            }
        }
        if text.get(at) == Some(&self.quote) && self.quote != 0 {
            return self.quoted(text, at, tokens);
        }
        let next = self.unquoted_end(text, at);
        let end = self.trimmed_end(text, at, next);
        tokens.values.push(if end == at { Token::Null } else { Token::Text { start: at, end } });
        Ok(next)
    }

    fn trimmed_end(&self, text: &[u8], start: usize, mut end: usize) -> usize {
        while self.trim_trailing && end > start && text[end - 1] <= b' ' {
            end -= 1;
        }
        end
    }

    /// A value that starts with a quote.
    fn quoted(&self, text: &[u8], start: usize, tokens: &mut Tokens) -> Result<usize, BadQuote> {
        let from = tokens.unquoted.len();
        let mut at = start + 1;
        // The character before the current one, 0 where it has no more to say.
        let mut previous = 0u8;
        loop {
            let Some(&b) = text.get(at) else {
                // Never closed: what there is counts, without the quote that opened it.
                self.push_unquoted(tokens, from, previous == self.quote);
                return Ok(at);
            };
            if previous == self.quote {
                if self.is_separator(text, at) || self.is_end(text, at) {
                    self.push_unquoted(tokens, from, true);
                    return Ok(at);
                }
                if b <= b' ' {
                    let next = self.skip_blanks(text, at);
                    if self.is_separator(text, next) || self.is_end(text, next) {
                        self.push_unquoted(tokens, from, true);
                        return Ok(next);
                    }
                    return self.unescaped(text, start, at, from, tokens);
                }
            }
            if b != self.quote && b != self.escape {
                if previous == self.quote {
                    return self.unescaped(text, start, at, from, tokens);
                }
                if previous == self.escape && self.escape != 0 {
                    tokens.unquoted.push(self.escape);
                }
                tokens.unquoted.push(b);
                previous = b;
            } else {
                previous = self.quote_or_escape(b, previous, &mut tokens.unquoted);
            }
            at += 1;
        }
    }

    /// A quote or escape inside quotes; returns what the next character has to know.
    fn quote_or_escape(&self, b: u8, previous: u8, out: &mut Vec<u8>) -> u8 {
        if b == self.escape && previous == self.escape_escape && self.escape_escape != 0 {
            out.push(self.escape);
            return 0;
        }
        if previous == self.escape {
            if b == self.quote {
                out.push(self.quote);
                return 0;
            }
            out.push(previous);
        } else if previous == self.quote {
            out.push(self.quote);
        }
        b
    }

    fn skip_blanks(&self, text: &[u8], mut at: usize) -> usize {
        while text.get(at).is_some_and(|b| *b <= b' ') && !self.is_separator(text, at) && !self.is_end(text, at) {
            at += 1;
        }
        at
    }

    /// The quote before `at` closes nothing.
    fn unescaped(
        &self,
        text: &[u8],
        start: usize,
        at: usize,
        from: usize,
        tokens: &mut Tokens,
    ) -> Result<usize, BadQuote> {
        match self.handling {
            UnescapedQuotes::RaiseError => Err(BadQuote),
            UnescapedQuotes::SkipValue => {
                tokens.unquoted.truncate(from);
                tokens.values.push(Token::Null);
                Ok(self.unquoted_end(text, start))
            }
            UnescapedQuotes::StopAtDelimiter => {
                let next = self.unquoted_end(text, at);
                let end = self.trimmed_end(text, at, next);
                tokens.unquoted.insert(from, self.quote);
                tokens.unquoted.push(self.quote);
                tokens.unquoted.extend_from_slice(&text[at..end]);
                self.push_unquoted(tokens, from, false);
                Ok(next)
            }
            UnescapedQuotes::StopAtClosingQuote => {
                tokens.unquoted.push(self.quote);
                let mut at = at;
                while at < text.len() {
                    if text[at] == self.quote {
                        let next = self.skip_blanks(text, at + 1);
                        if self.is_separator(text, next) || self.is_end(text, next) {
                            self.push_unquoted(tokens, from, false);
                            return Ok(next);
                        }
                    }
                    tokens.unquoted.push(text[at]);
                    at += 1;
                }
                self.push_unquoted(tokens, from, false);
                Ok(at)
            }
        }
    }

    fn push_unquoted(&self, tokens: &mut Tokens, from: usize, closed: bool) {
        let end = tokens.unquoted.len();
        let token = if end == from && closed { Token::Empty } else { Token::Unquoted { start: from, end } };
        tokens.values.push(token);
    }
}
