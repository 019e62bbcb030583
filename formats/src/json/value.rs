//! A JSON text as a tree, for the few places that read JSON whose shape they do not know.

use std::fmt;

use super::scan::{Scan, Scanner, Syntax, Text};
use crate::error::{Error, Result};

/// Any JSON value. Numbers keep their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// Standard JSON, nothing tolerated.
const STRICT: Syntax = Syntax {
    comments: false,
    unquoted_names: false,
    single_quotes: false,
    leading_zeros: false,
    non_numeric: false,
    any_escape: false,
    control_chars: false,
};

const MAX_DEPTH: usize = 200;

impl Value {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut scanner = Scanner::new(text.as_bytes(), STRICT);
        let parsed = value(&mut scanner, 0).and_then(|v| match scanner.next_token()? {
            None => Ok(v),
            Some(_) => scanner.error(),
        });
        parsed.map_err(|e| Error::invalid("this is not JSON").at(1, e.at as u64 + 1))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// An object's member.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        members.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }
}

fn text(scanner: &Scanner<'_>, text: Text, scratch: &[u8]) -> String {
    let bytes = match text {
        Text::Plain { start, end } => &scanner.text[start..end],
        Text::Unfolded => scratch,
    };
    String::from_utf8_lossy(bytes).into_owned()
}

fn value(scanner: &mut Scanner<'_>, depth: usize) -> Scan<Value> {
    if depth > MAX_DEPTH {
        return scanner.error();
    }
    let mut scratch = Vec::new();
    Ok(match scanner.next_token()? {
        Some(b'{') => {
            scanner.at += 1;
            let mut members = Vec::new();
            if scanner.next_token()? == Some(b'}') {
                scanner.at += 1;
                return Ok(Value::Object(members));
            }
            loop {
                let name = scanner.name(&mut scratch)?;
                let name = text(scanner, name, &scratch);
                scanner.expect(b':')?;
                members.push((name, value(scanner, depth + 1)?));
                if !scanner.more(b'}')? {
                    return Ok(Value::Object(members));
                }
            }
        }
        Some(b'[') => {
            scanner.at += 1;
            let mut items = Vec::new();
            if scanner.next_token()? == Some(b']') {
                scanner.at += 1;
                return Ok(Value::Array(items));
            }
            loop {
                items.push(value(scanner, depth + 1)?);
                if !scanner.more(b']')? {
                    return Ok(Value::Array(items));
                }
            }
        }
        Some(b'"') => {
            let string = scanner.string(&mut scratch)?;
            Value::String(text(scanner, string, &scratch))
        }
        Some(b't') => scanner.word(b"true").map(|()| Value::Bool(true))?,
        Some(b'f') => scanner.word(b"false").map(|()| Value::Bool(false))?,
        Some(b'n') => scanner.word(b"null").map(|()| Value::Null)?,
        Some(_) => {
            let number = scanner.number()?;
            Value::Number(String::from_utf8_lossy(&scanner.text[number.start..number.end]).into_owned())
        }
        None => return scanner.error(),
    })
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => f.write_str(n),
            Self::String(s) => write!(f, "{s:?}"),
            Self::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (i, (name, item)) in members.iter().enumerate() {
                    write!(f, "{}{name:?}:{item}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}
