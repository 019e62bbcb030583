//! The DDL grammar: tokens, then recursive descent.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, IntervalUnit, TimeUnit};

use super::COMMENT;
use crate::error::{Error, Result, did_you_mean};
use crate::types;

/// Types deeper than this are refused: they would overflow the stack somewhere.
const MAX_DEPTH: usize = 100;

/// `a INT, b STRING NOT NULL COMMENT 'x'`
pub(super) fn columns(text: &str) -> Result<Fields> {
    let mut parser = Parser::new(text)?;
    if parser.peek() == &Token::End {
        return Ok(Fields::empty());
    }
    let fields = parser.fields(0)?;
    parser.expect_end()?;
    Ok(fields)
}

/// `MAP<STRING, INT>`
pub(super) fn whole_type(text: &str) -> Result<DataType> {
    let mut parser = Parser::new(text)?;
    let data_type = parser.data_type(0)?;
    parser.expect_end()?;
    Ok(data_type)
}

/// A type by its name alone, or `decimal(10,2)` as Spark's JSON writes it.
pub(super) fn simple_type(name: &str) -> Option<DataType> {
    Some(match name.to_ascii_uppercase().as_str() {
        "BOOLEAN" => DataType::Boolean,
        "TINYINT" | "BYTE" => DataType::Int8,
        "SMALLINT" | "SHORT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" | "LONG" => DataType::Int64,
        "FLOAT" | "REAL" => DataType::Float32,
        "DOUBLE" => DataType::Float64,
        "DECIMAL" | "DEC" | "NUMERIC" => DataType::Decimal128(10, 0),
        "STRING" => DataType::Utf8,
        "BINARY" => DataType::Binary,
        "DATE" => DataType::Date32,
        "TIMESTAMP" | "TIMESTAMP_LTZ" => types::timestamp(),
        "TIMESTAMP_NTZ" => types::timestamp_ntz(),
        "VOID" | "NULL" => DataType::Null,
        _ => return None,
    })
}

const TYPE_NAMES: [&str; 31] = [
    "BOOLEAN",
    "TINYINT",
    "BYTE",
    "SMALLINT",
    "SHORT",
    "INT",
    "INTEGER",
    "BIGINT",
    "LONG",
    "FLOAT",
    "REAL",
    "DOUBLE",
    "DECIMAL",
    "DEC",
    "NUMERIC",
    "STRING",
    "VARCHAR",
    "CHAR",
    "CHARACTER",
    "BINARY",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TIMESTAMP_NTZ",
    "VOID",
    "NULL",
    "ARRAY",
    "MAP",
    "STRUCT",
    "INTERVAL",
    "TIME",
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Text(String),
    Symbol(char),
    End,
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Self> {
        Ok(Self { tokens: tokenize(text)?, at: 0 })
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].0.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::invalid(message).at(1, self.tokens[self.at].1 as u64 + 1)
    }

    fn take_symbol(&mut self, symbol: char) -> bool {
        let found = *self.peek() == Token::Symbol(symbol);
        if found {
            self.next();
        }
        found
    }

    fn expect_symbol(&mut self, symbol: char) -> Result<()> {
        if self.take_symbol(symbol) {
            Ok(())
        } else {
            Err(self.error(format!("expected '{symbol}', found {}", self.describe())))
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(w) if w.eq_ignore_ascii_case(word));
        if found {
            self.next();
        }
        found
    }

    fn expect_end(&self) -> Result<()> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.error(format!("expected ',' or the end of the schema, found {}", self.describe()))),
        }
    }

    fn describe(&self) -> String {
        match self.peek() {
            Token::Word(w) | Token::Quoted(w) => format!("'{w}'"),
            Token::Text(t) => format!("the text '{t}'"),
            Token::Symbol(c) => format!("'{c}'"),
            Token::End => "the end".to_owned(),
        }
    }

    fn fields(&mut self, depth: usize) -> Result<Fields> {
        let mut fields = Vec::new();
        loop {
            fields.push(Arc::new(self.field(depth)?));
            if !self.take_symbol(',') {
                return Ok(fields.into());
            }
        }
    }

    fn field(&mut self, depth: usize) -> Result<Field> {
        let name = match self.peek() {
            Token::Word(_) | Token::Quoted(_) => match self.next() {
                Token::Word(w) | Token::Quoted(w) => w,
                _ => String::new(),
            },
            _ => {
                return Err(self.error(format!("expected a column's name, found {}", self.describe())));
            }
        };
        self.take_symbol(':');
        let data_type = self.data_type(depth)?;
        let (mut nullable, mut comment) = (true, None);
        loop {
            if self.take_word("NOT") {
                if !self.take_word("NULL") {
                    return Err(self.error("expected NULL after NOT"));
                }
                nullable = false;
            } else if self.take_word("COMMENT") {
                match self.next() {
                    Token::Text(text) => comment = Some(text),
                    _ => return Err(self.error("expected a quoted text after COMMENT")),
                }
            } else {
                break;
            }
        }
        let field = Field::new(name, data_type, nullable);
        Ok(match comment {
            Some(text) => field.with_metadata(HashMap::from([(COMMENT.to_owned(), text)])),
            None => field,
        })
    }

    fn data_type(&mut self, depth: usize) -> Result<DataType> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("types nest deeper than {MAX_DEPTH}")));
        }
        let Token::Word(name) = self.peek().clone() else {
            return Err(self.error(format!("expected a type, found {}", self.describe())));
        };
        let start = self.at;
        self.next();
        match name.to_ascii_uppercase().as_str() {
            "ARRAY" => {
                self.expect_symbol('<')?;
                let element = self.data_type(depth + 1)?;
                self.expect_symbol('>')?;
                Ok(types::array_of(element))
            }
            "MAP" => {
                self.expect_symbol('<')?;
                let key = self.data_type(depth + 1)?;
                self.expect_symbol(',')?;
                let value = self.data_type(depth + 1)?;
                self.expect_symbol('>')?;
                Ok(types::map_of(key, value))
            }
            "STRUCT" => {
                self.expect_symbol('<')?;
                if self.take_symbol('>') {
                    return Ok(DataType::Struct(Fields::empty()));
                }
                let fields = self.fields(depth + 1)?;
                self.expect_symbol('>')?;
                Ok(DataType::Struct(fields))
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal(),
            "VARCHAR" | "CHAR" | "CHARACTER" => {
                self.arguments(1)?;
                Ok(DataType::Utf8)
            }
            "STRING" => {
                // STRING COLLATE UTF8_BINARY is plain STRING; other collations do not exist here.
                if self.take_word("COLLATE") && !self.take_word("UTF8_BINARY") {
                    return Err(self.error("the only collation is UTF8_BINARY"));
                }
                Ok(DataType::Utf8)
            }
            "INTERVAL" => self.interval(),
            "TIME" | "VARIANT" => {
                Err(Error::unsupported(format!("the type {name} is not supported"))
                    .at(1, self.tokens[start].1 as u64 + 1))
            }
            _ => simple_type(&name).ok_or_else(|| {
                self.at = start;
                self.error(format!("unknown type '{name}'{}", did_you_mean(&name, TYPE_NAMES)))
            }),
        }
    }

    fn decimal(&mut self) -> Result<DataType> {
        let start = self.at;
        let (precision, scale) = match self.arguments(2)?[..] {
            [] => (10, 0),
            [p] => (p, 0),
            [p, s, ..] => (p, s),
        };
        let max = i64::from(DECIMAL128_MAX_PRECISION);
        if !(1..=max).contains(&precision) || !(0..=precision).contains(&scale) {
            self.at = start;
            return Err(self.error(format!(
                "DECIMAL({precision},{scale}): the precision is 1 to {max}, the scale 0 to the precision"
            )));
        }
        Ok(DataType::Decimal128(precision as u8, scale as i8))
    }

    /// `(10, 2)`, or nothing.
    fn arguments(&mut self, at_most: usize) -> Result<Vec<i64>> {
        let mut numbers = Vec::new();
        if !self.take_symbol('(') {
            return Ok(numbers);
        }
        loop {
            match self.peek() {
                Token::Word(w) if numbers.len() < at_most => match w.parse() {
                    Ok(n) => numbers.push(n),
                    Err(_) => return Err(self.error(format!("expected a number, found '{w}'"))),
                },
                _ => {
                    return Err(self.error(format!("expected a number, found {}", self.describe())));
                }
            }
            self.next();
            if !self.take_symbol(',') {
                self.expect_symbol(')')?;
                return Ok(numbers);
            }
        }
    }

    fn interval(&mut self) -> Result<DataType> {
        const UNITS: [&str; 6] = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];
        let unit = |p: &mut Self| UNITS.iter().position(|u| p.take_word(u));
        let Some(first) = unit(self) else {
            return Err(Error::unsupported(
                "INTERVAL needs its fields: INTERVAL DAY TO SECOND or INTERVAL YEAR TO MONTH",
            ));
        };
        let last = if self.take_word("TO") { unit(self) } else { Some(first) };
        match last {
            Some(last) if first <= last && last < 2 => Ok(DataType::Interval(IntervalUnit::YearMonth)),
            Some(last) if first <= last && first >= 2 => Ok(DataType::Duration(TimeUnit::Microsecond)),
            _ => Err(self.error("an interval is DAY TO SECOND, YEAR TO MONTH or a part of one of them")),
        }
    }
}

fn tokenize(text: &str) -> Result<Vec<(Token, usize)>> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let token = match c {
            _ if c.is_whitespace() => continue,
            '`' => Token::Quoted(quoted(&mut chars, '`', at)?),
            '\'' | '"' => Token::Text(quoted(&mut chars, c, at)?),
            '<' | '>' | '(' | ')' | ',' | ':' => Token::Symbol(c),
            _ if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some((_, c)) = chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                Token::Word(word)
            }
            _ => {
                return Err(Error::invalid(format!(
                    "unexpected '{c}' in a schema; names with such characters need `backquotes`"
                ))
                .at(1, at as u64 + 1));
            }
        };
        tokens.push((token, at));
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

/// The rest of a quoted name or text; the quote is written twice, or in a text after a backslash, to stand for itself.
fn quoted(chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>, quote: char, start: usize) -> Result<String> {
    let mut text = String::new();
    while let Some((_, c)) = chars.next() {
        match c {
            _ if c == quote => match chars.next_if(|(_, c)| *c == quote) {
                Some(_) => text.push(quote),
                None => return Ok(text),
            },
            '\\' if quote != '`' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, c)) => text.push(c),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(Error::invalid(format!("the {quote} opened here is never closed")).at(1, start as u64 + 1))
}
