//! From SQL text to sqlparser's tokens, by Spark's lexical rules.
//!
//! sqlparser's own tokenizer has no place for several of them (identifiers that begin with a digit, literal suffixes,
//! raw strings, Spark's escapes), so the characters are read here and the tokens are sqlparser's, with their spans.
//!
//! | text | token |
//! |---|---|
//! | `` `a``b` `` | an identifier with a backquote in it |
//! | `'it''s'`, `"it's"`, `'\n \u00e9 \051'` | strings, escapes resolved; `\%` and `\_` keep their backslash for LIKE |
//! | `r'\d'` | a raw string |
//! | `1L 1S 1Y 1D 1F 1BD 1e3 .5` | numbers; the suffix stays in the token's text |
//! | `1a`, `ev.1a` | identifiers |
//! | `X'1F'` | a binary literal |
//! | `-- …`, `/* … /* … */ … */` | comments, nested |

use std::iter::Peekable;
use std::str::CharIndices;

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::error::SyntaxError;

/// A token, where it is, and which bytes of the text it came from.
#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) span: Span,
    pub(super) start_byte: usize,
    pub(super) end_byte: usize,
}

impl Lexeme {
    /// The same place, another token.
    pub(super) fn with_token(&self, token: Token) -> Self {
        Self { token, ..self.clone() }
    }

    pub(super) fn for_parser(&self) -> TokenWithSpan {
        TokenWithSpan::new(self.token.clone(), self.span)
    }
}

/// Reads the whole text. Whitespace and comments are left out.
pub(super) fn tokenize(text: &str) -> Result<Vec<Lexeme>, SyntaxError> {
    let mut lexer = Lexer { text, chars: text.char_indices().peekable(), at: Location::new(1, 1), lexemes: Vec::new() };
    while lexer.read_lexeme()? {}
    Ok(lexer.lexemes)
}

struct Lexer<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    at: Location,
    lexemes: Vec<Lexeme>,
}

impl Lexer<'_> {
    /// Reads one token or one piece of blank text; false at the end.
    fn read_lexeme(&mut self) -> Result<bool, SyntaxError> {
        let (start, start_byte) = (self.at, self.byte());
        let Some(first) = self.peek() else { return Ok(false) };
        let token = match first {
            _ if first.is_whitespace() => {
                self.next();
                return Ok(true);
            }
            '-' if self.starts_with("--") => {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
                return Ok(true);
            }
            '/' if self.starts_with("/*") => {
                self.skip_block_comment(start)?;
                return Ok(true);
            }
            '`' => Token::make_word(&self.read_quoted_identifier(start)?, Some('`')),
            '\'' | '"' => Token::SingleQuotedString(self.read_string(first, start)?),
            'r' | 'R' if self.second_is_quote() => Token::SingleQuotedString(self.read_raw_string(start)?),
            'x' | 'X' if self.second_is_quote() => Token::HexStringLiteral(self.read_hex(start)?),
            '0'..='9' => self.read_number_or_word(),
            '.' if self.is_number_after_point() => self.read_number_or_word(),
            _ if is_word_char(first) => {
                let end = self.word_end(start_byte);
                Token::make_word(self.take_until(end), None)
            }
            _ => self.read_symbol(first),
        };
        let lexeme = Lexeme { token, span: Span::new(start, self.at), start_byte, end_byte: self.byte() };
        self.lexemes.push(lexeme);
        Ok(true)
    }

    fn byte(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(byte, _)| *byte)
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn next(&mut self) -> Option<char> {
        let (_, c) = self.chars.next()?;
        if c == '\n' {
            self.at = Location::new(self.at.line + 1, 1);
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn starts_with(&mut self, prefix: &str) -> bool {
        let byte = self.byte();
        self.text[byte..].starts_with(prefix)
    }

    fn second_is_quote(&mut self) -> bool {
        let byte = self.byte();
        matches!(self.text[byte..].chars().nth(1), Some('\'' | '"'))
    }

    fn take_until(&mut self, end_byte: usize) -> &str {
        let start = self.byte();
        while self.byte() < end_byte {
            self.next();
        }
        &self.text[start..end_byte]
    }

    fn word_end(&self, start_byte: usize) -> usize {
        let rest = &self.text[start_byte..];
        start_byte + rest.find(|c| !is_word_char(c)).unwrap_or(rest.len())
    }

    fn skip_block_comment(&mut self, start: Location) -> Result<(), SyntaxError> {
        let mut depth = 0;
        loop {
            if self.starts_with("/*") {
                depth += 1;
                self.next();
                self.next();
            } else if self.starts_with("*/") {
                depth -= 1;
                self.next();
                self.next();
                if depth == 0 {
                    return Ok(());
                }
            } else if self.next().is_none() {
                return Err(SyntaxError::new(start, "this comment is not closed: expected */"));
            }
        }
    }

    fn read_quoted_identifier(&mut self, start: Location) -> Result<String, SyntaxError> {
        self.next();
        let mut name = String::new();
        loop {
            match self.next() {
                Some('`') if self.peek() == Some('`') => {
                    self.next();
                    name.push('`');
                }
                Some('`') => return Ok(name),
                Some(c) => name.push(c),
                None => return Err(SyntaxError::new(start, "this identifier is not closed: expected `")),
            }
        }
    }

    /// A quoted string with Spark's escapes.
    fn read_string(&mut self, quote: char, start: Location) -> Result<String, SyntaxError> {
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                Some(c) if c == quote && self.peek() == Some(quote) => {
                    self.next();
                    value.push(quote);
                }
                Some(c) if c == quote => return Ok(value),
                Some('\\') => self.read_escape(&mut value),
                Some(c) => value.push(c),
                None => return Err(unclosed_string(start, quote)),
            }
        }
    }

    /// What follows a backslash.
    fn read_escape(&mut self, value: &mut String) {
        let byte = self.byte();
        let rest = &self.text[byte..];
        let coded = |prefix: usize, length: usize, radix: u32| {
            let digits = rest.get(prefix..prefix + length)?;
            let is_plain = digits.chars().all(|c| c.is_digit(radix));
            char::from_u32(u32::from_str_radix(digits, radix).ok().filter(|_| is_plain)?)
        };
        let (decoded, length) = match rest.chars().next() {
            Some('u') if coded(1, 4, 16).is_some() => (coded(1, 4, 16), 5),
            Some('U') if coded(1, 8, 16).is_some() => (coded(1, 8, 16), 9),
            Some('0' | '1') if coded(0, 3, 8).is_some() => (coded(0, 3, 8), 3),
            Some('0') => (Some('\0'), 1),
            Some('b') => (Some('\u{8}'), 1),
            Some('n') => (Some('\n'), 1),
            Some('r') => (Some('\r'), 1),
            Some('t') => (Some('\t'), 1),
            Some('Z') => (Some('\u{1a}'), 1),
            Some(c @ ('%' | '_')) => {
                value.push('\\');
                (Some(c), 1)
            }
            other => (other, 1),
        };
        value.extend(decoded);
        for _ in 0..length {
            self.next();
        }
    }

    fn read_raw_string(&mut self, start: Location) -> Result<String, SyntaxError> {
        self.next();
        let quote = self.next().unwrap_or('\'');
        let mut value = String::new();
        loop {
            match self.next() {
                Some(c) if c == quote => return Ok(value),
                Some(c) => value.push(c),
                None => return Err(unclosed_string(start, quote)),
            }
        }
    }

    fn read_hex(&mut self, start: Location) -> Result<String, SyntaxError> {
        let digits = self.read_raw_string(start)?;
        if digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(digits);
        }
        Err(SyntaxError::new(
            start,
            format!("[INVALID_TYPED_LITERAL] X'{digits}' has other characters than hexadecimal digits"),
        ))
    }

    /// A point before a digit begins a number, but not in `ev.1a`.
    fn is_number_after_point(&mut self) -> bool {
        let byte = self.byte();
        let follows_name = self.lexemes.last().is_some_and(|last| {
            last.end_byte == byte && matches!(last.token, Token::Word(_) | Token::RParen | Token::RBracket)
        });
        !follows_name && self.text[byte + 1..].starts_with(|c: char| c.is_ascii_digit())
    }

    /// The longest match wins: `1e3` and `1L` are numbers, `1a` and `10_000` are identifiers.
    fn read_number_or_word(&mut self) -> Token {
        let start = self.byte();
        let word_end = self.word_end(start);
        let follows_point =
            self.lexemes.last().is_some_and(|last| last.end_byte == start && last.token == Token::Period);
        let number_end = if follows_point { start } else { number_end(self.text, start) };
        if number_end < word_end || number_end == start {
            return Token::make_word(self.take_until(word_end), None);
        }
        Token::Number(self.take_until(number_end).to_string(), false)
    }

    fn read_symbol(&mut self, first: char) -> Token {
        const SYMBOLS: &[(&str, Token)] = &[
            ("<=>", Token::Spaceship),
            ("!<", Token::GtEq),
            ("!>", Token::LtEq),
            ("<>", Token::Neq),
            ("!=", Token::Neq),
            ("<=", Token::LtEq),
            (">=", Token::GtEq),
            ("==", Token::DoubleEq),
            ("=>", Token::RArrow),
            ("||", Token::StringConcat),
            ("|>", Token::VerticalBarRightAngleBracket),
            ("->", Token::Arrow),
            ("::", Token::DoubleColon),
            ("<<", Token::ShiftLeft),
            (">>", Token::ShiftRight),
            ("=", Token::Eq),
            ("<", Token::Lt),
            (">", Token::Gt),
            ("+", Token::Plus),
            ("-", Token::Minus),
            ("*", Token::Mul),
            ("/", Token::Div),
            ("%", Token::Mod),
            ("(", Token::LParen),
            (")", Token::RParen),
            ("[", Token::LBracket),
            ("]", Token::RBracket),
            ("{", Token::LBrace),
            ("}", Token::RBrace),
            (".", Token::Period),
            (",", Token::Comma),
            (":", Token::Colon),
            (";", Token::SemiColon),
            ("&", Token::Ampersand),
            ("|", Token::Pipe),
            ("^", Token::Caret),
            ("~", Token::Tilde),
            ("!", Token::ExclamationMark),
            ("?", Token::Question),
        ];
        let byte = self.byte();
        let rest = &self.text[byte..];
        if rest.starts_with(">>>") {
            self.take_until(byte + 3);
            return Token::CustomBinaryOperator(">>>".to_string());
        }
        let (length, token) = SYMBOLS
            .iter()
            .find(|(symbol, _)| rest.starts_with(symbol))
            .map_or((first.len_utf8(), Token::Char(first)), |(symbol, token)| (symbol.len(), token.clone()));
        self.take_until(byte + length);
        token
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn unclosed_string(start: Location, quote: char) -> SyntaxError {
    SyntaxError::new(start, format!("this string is not closed: expected {quote}"))
}

/// Where the number that begins at `start` ends: digits, fraction, exponent, suffix.
fn number_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let is_word = |at: usize| text[at..].chars().next().is_some_and(is_word_char);
    let mut end = digits(start);
    if bytes.get(end) == Some(&b'.') && (end > start || digits(end + 1) > end + 1) {
        let fraction = digits(end + 1);
        // `1.a` is not a number with a point, `1.5`, `1.` and `1.e3` are.
        if !is_word(fraction) || suffix_end(text, exponent_end(bytes, fraction, digits)).is_some() {
            end = fraction;
        }
    }
    end = exponent_end(bytes, end, digits);
    suffix_end(text, end).unwrap_or(end)
}

fn exponent_end(bytes: &[u8], end: usize, digits: impl Fn(usize) -> usize) -> usize {
    if !matches!(bytes.get(end), Some(b'e' | b'E')) {
        return end;
    }
    let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
    let exponent = digits(end + 1 + sign);
    if exponent > end + 1 + sign { exponent } else { end }
}

/// The end of a number that has a whole suffix, or none, at `end`.
fn suffix_end(text: &str, end: usize) -> Option<usize> {
    let rest = &text[end..];
    let word = &rest[..rest.find(|c| !is_word_char(c)).unwrap_or(rest.len())];
    matches!(word.to_ascii_uppercase().as_str(), "" | "L" | "S" | "Y" | "D" | "F" | "BD").then_some(end + word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let lexemes = tokenize(text).expect("the text has no lexical error");
        lexemes
            .iter()
            .map(|lexeme| match &lexeme.token {
                Token::Word(word) if word.quote_style.is_some() => format!("quoted {}", word.value),
                Token::Word(word) => format!("word {}", word.value),
                Token::Number(number, _) => format!("number {number}"),
                Token::SingleQuotedString(value) => format!("string {value}"),
                other => other.to_string(),
            })
            .collect()
    }

    #[test]
    fn tokens_are_sparks() {
        let cases: &[(&str, &[&str])] = &[
            ("`a``b`", &["quoted a`b"]),
            ("'it''s' \"it's\"", &["string it's", "string it's"]),
            (r"'\n\u00e9\051\%\q'", &["string \né)\\%q"]),
            (r"r'\d' R'\n'", &[r"string \d", r"string \n"]),
            (
                "1L 1S 1Y 1D 1.5F 1BD 1e3 .5 1.",
                &[
                    "number 1L",
                    "number 1S",
                    "number 1Y",
                    "number 1D",
                    "number 1.5F",
                    "number 1BD",
                    "number 1e3",
                    "number .5",
                    "number 1.",
                ],
            ),
            ("1a ev.1a 10_000", &["word 1a", "word ev", ".", "word 1a", "word 10_000"]),
            ("1.5e-3+2", &["number 1.5e-3", "+", "number 2"]),
            ("X'1f'", &["X'1f'"]),
            ("a /* b /* c */ d */ e -- f\n g", &["word a", "word e", "word g"]),
            (
                "a<=>b<>c!=d==e||f->g::h>>i",
                &[
                    "word a", "<=>", "word b", "<>", "word c", "<>", "word d", "==", "word e", "||", "word f", "->",
                    "word g", "::", "word h", ">>", "word i",
                ],
            ),
            ("größe", &["word größe"]),
        ];
        for (text, expected) in cases {
            assert_eq!(&shown(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_have_a_place() {
        let cases = [
            ("SELECT 'a", 1, 8, "this string is not closed: expected '"),
            ("SELECT\n  `a", 2, 3, "this identifier is not closed: expected `"),
            ("a /* b", 1, 3, "this comment is not closed: expected */"),
        ];
        for (text, line, column, message) in cases {
            let error = tokenize(text).expect_err("a lexical error was accepted");
            assert_eq!((error.line, error.column, error.message.as_str()), (line, column, message), "{text}");
        }
    }
}
