//! Functions of Java patterns: regexp_*, split, like, ilike.
//!
//! Patterns run on the `regex` crate, which never backtracks; what it has no answer for (a look at what follows, a
//! reference back to a group, possessive repetition) is refused by name. The classes mean what they mean in Java: `\d`,
//! `\w` and `\s` are ASCII, and `.` is no line's end of any kind.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int32Array, ListArray, StringArray, StringBuilder};
use arrow::datatypes::Int32Type;
use datafusion::common::Result;
use regex::{Captures, Regex};

use super::arrays::element_field;
use super::error::fails;
use super::function::Call;
use super::rows::{Column, Offsets, Validity, booleans, numbers, texts};
use super::text::{byte_of, count};

/// Compiled patterns by their text. A query has few, and each batch asks again.
static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
const MOST_COMPILED: usize = 256;

/// Compiles a Java pattern, or finds it compiled.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE.PATTERN` for what is no pattern, or one that needs backtracking.
pub(super) fn compile(pattern: &str, function: &str) -> Result<Regex> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = compiled.get(pattern) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(&from_java(pattern)).map_err(|_| {
        fails(
            "INVALID_PARAMETER_VALUE.PATTERN",
            format!("The value of parameter(s) `regexp` in `{function}` is invalid: '{pattern}'. Patterns that need backtracking are not supported."),
        )
    })?;
    if compiled.len() >= MOST_COMPILED {
        compiled.clear();
    }
    compiled.insert(pattern.to_string(), regex.clone());
    Ok(regex)
}

/// The same pattern in the `regex` crate's words.
fn from_java(pattern: &str) -> String {
    let is_dot_all = pattern.contains("(?s");
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut depth = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(r"[ \t\n\x0B\f\r]"),
                Some('S') => out.push_str(r"[^ \t\n\x0B\f\r]"),
                Some('h') => out.push_str(r"[ \t\xA0\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}]"),
                Some('Z') => out.push_str(r"\z"),
                Some('Q') => quoted(&mut chars, &mut out),
                Some(other) if other.is_ascii_punctuation() => out.push_str(&regex::escape(&other.to_string())),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' => {
                depth += 1;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str(r"\]");
                }
            }
            ']' => {
                depth = depth.saturating_sub(1);
                out.push(']');
            }
            '&' if depth > 0 && chars.peek() == Some(&'&') => {
                chars.next();
                out.push_str("&&");
            }
            '~' | '&' if depth > 0 => out.extend(['\\', c]),
            '.' if depth == 0 && !is_dot_all => out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]"),
            _ => out.push(c),
        }
    }
    out
}

fn quoted(chars: &mut impl Iterator<Item = char>, out: &mut String) {
    let mut text = String::new();
    for c in chars {
        text.push(c);
        if text.ends_with("\\E") {
            text.truncate(text.len() - 2);
            break;
        }
    }
    out.push_str(&regex::escape(&text));
}

/// Finds as Java's matcher does: after a find the next begins where it ended, even if it is empty; after an empty one a
/// character further.
fn finds<'t>(regex: &Regex, text: &'t str, mut each: impl FnMut(Captures<'t>) -> Result<bool>) -> Result<()> {
    let mut at = 0;
    while at <= text.len() {
        let Some(captures) = regex.captures_at(text, at) else { break };
        let found = captures.get_match();
        at = found.end();
        if found.is_empty() {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if !each(captures)? {
            break;
        }
    }
    Ok(())
}

/// The pattern of each row, compiled once where it is a constant, and once per change where it is a column.
pub(super) struct Patterns<'a> {
    column: Option<Column<'a, StringArray>>,
    last: Option<(String, Regex)>,
    fixed: Option<Regex>,
    function: &'static str,
}

impl<'a> Patterns<'a> {
    /// The patterns of argument `at`, or `default` where it is not given.
    pub(super) fn new(call: &'a Call<'_>, at: usize, default: &str) -> Result<Self> {
        let column = if call.has(at) { Some(call.column::<StringArray>(at)?) } else { None };
        let fixed = match &column {
            None => Some(compile(default, call.name)?),
            Some(column) => column.constant().map(|p| compile(p, call.name)).transpose()?,
        };
        Ok(Self { column, last: None, fixed, function: call.name })
    }

    /// A row's pattern, or `None` for null.
    pub(super) fn get(&mut self, row: usize) -> Result<Option<&Regex>> {
        if self.fixed.is_some() {
            return Ok(self.fixed.as_ref());
        }
        let Some(pattern) = self.column.as_ref().and_then(|c| c.get(row)) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(p, _)| p != pattern) {
            self.last = Some((pattern.to_string(), compile(pattern, self.function)?));
        }
        Ok(self.last.as_ref().map(|(_, r)| r))
    }
}

/// `rlike(s, pattern)`: whether it is found anywhere.
pub(super) fn rlike(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut patterns = Patterns::new(call, 1, "")?;
    booleans(call.rows, |row| Ok(patterns.get(row)?.zip(text.get(row)).map(|(p, s)| p.is_match(s))))
}

/// `regexp_count(s, pattern)`.
pub(super) fn regexp_count(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut patterns = Patterns::new(call, 1, "")?;
    numbers::<Int32Type>(call.rows, |row| {
        let Some((pattern, s)) = patterns.get(row)?.zip(text.get(row)) else { return Ok(None) };
        let mut count = 0;
        finds(pattern, s, |_| {
            count += 1;
            Ok(true)
        })?;
        Ok(Some(count))
    })
}

/// `regexp_instr(s, pattern)`: the first find's position from 1; 0 for none.
pub(super) fn regexp_instr(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut patterns = Patterns::new(call, 1, "")?;
    numbers::<Int32Type>(call.rows, |row| {
        let found = patterns.get(row)?.zip(text.get(row));
        Ok(found.map(|(p, s)| p.find(s).map_or(0, |m| count(&s[..m.start()]) as i32 + 1)))
    })
}

/// `regexp_substr(s, pattern)`: the first find; null for none.
pub(super) fn regexp_substr(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut patterns = Patterns::new(call, 1, "")?;
    texts(call.rows, |row, out| {
        let found = patterns.get(row)?.zip(text.get(row)).and_then(|(p, s)| p.find(s));
        Ok(found.map(|m| out.push_str(m.as_str())))
    })
}

/// A group's number, checked against the pattern.
fn group(call: &Call<'_>, pattern: &Regex, row: usize) -> Result<Option<usize>> {
    let group = if call.has(2) { call.column::<Int32Array>(2)?.get(row) } else { Some(1) };
    let Some(group) = group else { return Ok(None) };
    let most = pattern.captures_len() - 1;
    match usize::try_from(group).ok().filter(|g| *g <= most) {
        Some(group) => Ok(Some(group)),
        None => Err(fails(
            "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
            format!(
                "The value of parameter(s) `idx` in `{}` is invalid: Expects group index between 0 and {most}, but got {group}.",
                call.name
            ),
        )),
    }
}

/// `regexp_extract(s, pattern [, group])`: the empty string where there is nothing.
pub(super) fn regexp_extract(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut patterns = Patterns::new(call, 1, "")?;
    texts(call.rows, |row, out| {
        let Some((pattern, s)) = patterns.get(row)?.zip(text.get(row)) else { return Ok(None) };
        let Some(captures) = pattern.captures(s) else { return Ok(Some(())) };
        let Some(group) = group(call, pattern, row)? else { return Ok(None) };
        out.push_str(captures.get(group).map_or("", |m| m.as_str()));
        Ok(Some(()))
    })
}

/// `regexp_extract_all(s, pattern [, group])`.
pub(super) fn regexp_extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let mut patterns = Patterns::new(call, 1, "")?;
    lists(call, |row, items| {
        let Some((pattern, s)) = patterns.get(row)?.zip(text.get(row)) else { return Ok(None) };
        let mut has_group = true;
        finds(pattern, s, |captures| {
            match group(call, pattern, row)? {
                Some(group) => items.append_value(captures.get(group).map_or("", |m| m.as_str())),
                None => has_group = false,
            }
            Ok(has_group)
        })?;
        Ok(has_group.then_some(()))
    })
}

/// Arrays of strings; a row that turns out null must have added nothing.
fn lists(call: &Call<'_>, mut write: impl FnMut(usize, &mut StringBuilder) -> Result<Option<()>>) -> Result<ArrayRef> {
    let mut items = StringBuilder::new();
    let (mut offsets, mut validity) = (Offsets::new(call.rows), Validity::new(call.rows));
    for row in 0..call.rows {
        validity.push(write(row, &mut items)?.is_some());
        offsets.push(arrow::array::ArrayBuilder::len(&items))?;
    }
    let field = element_field(call.returns)?;
    Ok(Arc::new(ListArray::try_new(field, offsets.finish(), Arc::new(items.finish()), validity.finish())?))
}

/// `split(s, pattern [, limit])`: a positive limit is the most parts; empty parts at the end stay.
pub(super) fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.column::<StringArray>(0)?;
    let pattern = call.column::<StringArray>(1)?;
    let limit = if call.has(2) { Some(call.column::<Int32Array>(2)?) } else { None };
    let mut patterns = Patterns::new(call, 1, "")?;
    lists(call, |row, items| {
        let limit = limit.as_ref().map_or(Some(-1), |l| l.get(row));
        let (Some(s), Some(p), Some(limit)) = (text.get(row), pattern.get(row), limit) else { return Ok(None) };
        let most = if limit > 0 { limit as usize } else { usize::MAX };
        if p.is_empty() && !s.is_empty() {
            characters(s, most, items);
        } else if is_plain(p) {
            s.splitn(most, p).for_each(|part| items.append_value(part));
        } else if let Some(regex) = patterns.get(row)? {
            parts(s, regex, most, items);
        }
        Ok(Some(()))
    })
}

/// Whether a pattern is a text that stands for itself.
fn is_plain(pattern: &str) -> bool {
    !pattern.is_empty() && !pattern.contains(['.', '$', '|', '(', ')', '[', ']', '{', '}', '^', '?', '*', '+', '\\'])
}

/// Each character is a part, the last part the rest.
fn characters(s: &str, most: usize, items: &mut StringBuilder) {
    let most = most.min(count(s));
    let last = byte_of(s, most - 1);
    let mut buffer = [0; 4];
    s[..last].chars().for_each(|c| items.append_value(c.encode_utf8(&mut buffer)));
    items.append_value(&s[last..]);
}

/// Java's rule: an empty find at the very start makes no empty first part.
fn parts(s: &str, regex: &Regex, most: usize, items: &mut StringBuilder) {
    let (mut last, mut made) = (0, 1);
    for found in regex.find_iter(s) {
        if made >= most {
            break;
        }
        if found.end() == 0 {
            continue;
        }
        items.append_value(&s[last..found.start()]);
        last = found.end();
        made += 1;
    }
    items.append_value(&s[last..]);
}

/// `regexp_replace(s, pattern, replacement [, position])`.
pub(super) fn regexp_replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, with) = (call.column::<StringArray>(0)?, call.column::<StringArray>(2)?);
    let position = if call.has(3) { Some(call.column::<Int32Array>(3)?) } else { None };
    let mut patterns = Patterns::new(call, 1, "")?;
    let mut parsed: Option<(String, Vec<Piece>)> = None;
    texts(call.rows, |row, out| {
        let position = position.as_ref().map_or(Some(1), |p| p.get(row));
        let (Some(s), Some(with), Some(position)) = (text.get(row), with.get(row), position) else { return Ok(None) };
        let Some(pattern) = patterns.get(row)? else { return Ok(None) };
        if position < 1 {
            let message = format!("The position must be between (0, 2147483647] (current value = {position}).");
            return Err(fails("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", message));
        }
        let start = byte_of(s, position as usize - 1);
        if start > 0 && start >= s.len() {
            out.push_str(s);
            return Ok(Some(()));
        }
        let mut last = 0;
        finds(pattern, s, |captures| {
            let found = captures.get_match();
            if found.start() < start {
                return Ok(true);
            }
            if parsed.as_ref().is_none_or(|(text, _)| text != with) {
                parsed = Some((with.to_string(), replacement(with, pattern)?));
            }
            out.push_str(&s[last..found.start()]);
            expand(parsed.as_ref().map_or(&[][..], |(_, pieces)| pieces), &captures, out);
            last = found.end();
            Ok(true)
        })?;
        out.push_str(&s[last..]);
        Ok(Some(()))
    })
}

/// A part of a replacement: a text, or what a group holds.
enum Piece {
    Text(String),
    Group(usize),
}

fn expand(pieces: &[Piece], captures: &Captures<'_>, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Group(group) => out.push_str(captures.get(*group).map_or("", |m| m.as_str())),
        }
    }
}

/// Reads Java's replacement: `$1`, `${name}`, and `\` before a character that means itself.
fn replacement(with: &str, pattern: &Regex) -> Result<Vec<Piece>> {
    let bad = |what: &str| fails("INVALID_REGEXP_REPLACE", format!("the replacement '{with}' {what}"));
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = with.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().ok_or_else(|| bad("ends with \\"))?),
            '$' if chars.peek() == Some(&'{') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let group =
                    pattern.capture_names().position(|n| n == Some(&name)).ok_or_else(|| bad("names no group"))?;
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(group));
            }
            '$' => {
                let first = chars.next().and_then(|c| c.to_digit(10)).ok_or_else(|| bad("has $ without a group"))?;
                let mut group = first as usize;
                if group >= pattern.captures_len() {
                    return Err(bad(&format!("names group {group}, which the pattern has not")));
                }
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer >= pattern.captures_len() {
                        break;
                    }
                    group = longer;
                    chars.next();
                }
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(group));
            }
            other => text.push(other),
        }
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

/// `like(s, pattern [, escape])`.
pub(super) fn like(call: &Call<'_>) -> Result<ArrayRef> {
    liked(call, "(?s)")
}

/// `ilike(s, pattern [, escape])`: without regard to case.
pub(super) fn ilike(call: &Call<'_>) -> Result<ArrayRef> {
    liked(call, "(?si)")
}

fn liked(call: &Call<'_>, flags: &str) -> Result<ArrayRef> {
    let (text, pattern) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    let escape = if call.has(2) { Some(call.column::<StringArray>(2)?) } else { None };
    let mut last: Option<(String, Regex)> = None;
    booleans(call.rows, |row| {
        let escape = escape.as_ref().map_or(Some("\\"), |e| e.get(row));
        let (Some(s), Some(pattern), Some(escape)) = (text.get(row), pattern.get(row), escape) else { return Ok(None) };
        if last.as_ref().is_none_or(|(p, _)| p != pattern) {
            last = Some((pattern.to_string(), of_like(pattern, escape.chars().next().unwrap_or('\\'), flags)?));
        }
        Ok(last.as_ref().map(|(_, regex)| regex.is_match(s)))
    })
}

fn of_like(pattern: &str, escape: char, flags: &str) -> Result<Regex> {
    let mut out = format!("^{flags}");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == escape => match chars.next() {
                Some(next) if next == '%' || next == '_' || next == escape => {
                    out.push_str(&regex::escape(&next.to_string()))
                }
                Some(next) => {
                    return Err(fails(
                        "INVALID_FORMAT.ESC_IN_THE_MIDDLE",
                        format!(
                            "The format is invalid: '{pattern}'. The escape character is not allowed to precede '{next}'."
                        ),
                    ));
                }
                None => {
                    return Err(fails(
                        "INVALID_FORMAT.ESC_AT_THE_END",
                        format!("The format is invalid: '{pattern}'. The escape character is not allowed to end with."),
                    ));
                }
            },
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    Regex::new(&out).map_err(super::error::wrapped)
}
