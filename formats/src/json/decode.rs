//! One JSON value into column builders.
//!
//! A value that does not fit its column is skipped and leaves a null; the record goes on. Text that is not JSON ends the
//! record at once. The two are [`Outcome`] and [`SyntaxError`](super::scan::SyntaxError).
//!
//! # Why it is quick
//! Records of a stream have their keys in the same order. A struct remembers the bytes of its last record's keys, quotes
//! and colon included, and compares them whole: no key is scanned, unescaped or looked up while records look alike, and
//! fields nobody needs cost one comparison and one scan for the end of their value.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields};

use super::options::JsonOptions;
use super::rewrite::rewrite;
use super::scan::{Number, NumberKind, Scan, Scanner, Text};
use crate::base64;
use crate::builder::{Bytes, Column, ListColumn, MapColumn, StructColumn};
use crate::interval;
use crate::java_time::cast;
use crate::number;

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// One value or null was appended, as the text says.
    Clean,
    /// A value was appended that has nulls where something inside it did not fit.
    Partial,
    /// Nothing was appended: the value does not fit the column.
    Bad,
}

/// What decoding needs beside the columns.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) options: JsonOptions,
    /// Whether values read as STRING keep their text (files), or are written anew (`from_json`).
    pub(crate) exact_text: bool,
    /// The current time, for texts that are only a time of day.
    pub(crate) now_us: i64,
    /// Strings with escapes are unfolded into this.
    pub(crate) scratch: Vec<u8>,
    /// What is built before it is appended.
    pub(crate) buffer: Vec<u8>,
}

/// What a column's type means for decoding, beside its builder.
#[derive(Debug)]
pub(crate) enum Shape {
    Leaf,
    Struct(StructShape),
    /// An array or map: of its elements or values.
    Items(Box<Shape>),
}

impl Shape {
    pub(crate) fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Struct(fields) => Self::Struct(StructShape::new(fields)),
            DataType::List(element) => Self::Items(Box::new(Self::new(element.data_type()))),
            DataType::Map(entries, _) => {
                let value = crate::types::map_entries(entries).map(|(_, value)| Field::data_type(value));
                Self::Items(Box::new(value.map_or(Self::Leaf, Self::new)))
            }
            _ => Self::Leaf,
        }
    }
}

/// A struct's fields by name, and the keys of the last record.
#[derive(Debug)]
pub(crate) struct StructShape {
    by_name: HashMap<Box<[u8]>, usize>,
    children: Vec<Shape>,
    /// The keys as they stood in the last record, in order.
    remembered: Vec<Key>,
    /// For each field the record in which it was last seen.
    seen: Vec<u64>,
    record: u64,
}

#[derive(Debug, Default)]
struct Key {
    /// From behind the bracket or comma to behind the colon.
    text: Vec<u8>,
    field: Option<usize>,
}

impl Key {
    /// Whether the record goes on with this key. One that was too long to be remembered has no text.
    #[inline]
    fn is_next(&self, scanner: &Scanner<'_>) -> bool {
        !self.text.is_empty() && scanner.text[scanner.at..].starts_with(&self.text)
    }
}

/// Records with more or longer keys than this are looked up key by key.
const MAX_KEYS: usize = 512;
const MAX_KEY_BYTES: usize = 256;

impl StructShape {
    pub(crate) fn new(fields: &Fields) -> Self {
        Self {
            // Of two fields with one name the last gets the value, as in Spark's name index.
            by_name: fields.iter().enumerate().map(|(i, f)| (f.name().as_bytes().into(), i)).collect(),
            children: fields.iter().map(|f| Shape::new(f.data_type())).collect(),
            remembered: Vec::new(),
            seen: vec![0; fields.len()],
            record: 0,
        }
    }

    /// The shape of the only field.
    pub(crate) fn only_child(&mut self) -> Option<&mut Shape> {
        self.children.first_mut()
    }

    /// Moves past the next key, which is the `nth` of its record; returns the field it names.
    #[inline]
    fn key(&mut self, nth: &mut usize, scanner: &mut Scanner<'_>, scratch: &mut Vec<u8>) -> Scan<Option<usize>> {
        if let Some(key) = self.remembered.get(*nth)
            && key.is_next(scanner)
        {
            scanner.at += key.text.len();
            *nth += 1;
            return Ok(key.field);
        }
        self.unexpected_key(nth, scanner, scratch)
    }

    fn unexpected_key(
        &mut self,
        nth: &mut usize,
        scanner: &mut Scanner<'_>,
        scratch: &mut Vec<u8>,
    ) -> Scan<Option<usize>> {
        // An optional field may be missing this time.
        let ahead = self.remembered.iter().skip(*nth + 1).take(4).position(|key| key.is_next(scanner));
        if let Some(skipped) = ahead {
            *nth += skipped + 1;
            let key = &self.remembered[*nth];
            scanner.at += key.text.len();
            *nth += 1;
            return Ok(key.field);
        }
        let start = scanner.at;
        let name = scanner.name(scratch)?;
        let field = self.by_name.get(content(scanner, name, scratch)).copied();
        scanner.expect(b':')?;
        let text = &scanner.text[start..scanner.at];
        if *nth < MAX_KEYS && text.len() <= MAX_KEY_BYTES {
            if self.remembered.len() <= *nth {
                self.remembered.resize_with(*nth + 1, Key::default);
            }
            let key = &mut self.remembered[*nth];
            key.text.clear();
            key.text.extend_from_slice(text);
            key.field = field;
        }
        *nth += 1;
        Ok(field)
    }
}

/// The bytes of a string that was just scanned.
pub(crate) fn content<'a>(scanner: &Scanner<'a>, text: Text, scratch: &'a [u8]) -> &'a [u8] {
    match text {
        Text::Plain { start, end } => &scanner.text[start..end],
        Text::Unfolded => scratch,
    }
}

impl Context {
    /// The members of an object whose bracket has been passed, as one row of the struct.
    pub(crate) fn object(
        &mut self,
        shape: &mut StructShape,
        column: &mut StructColumn,
        scanner: &mut Scanner<'_>,
    ) -> Scan<Outcome> {
        shape.record += 1;
        let (record, row) = (shape.record, column.len());
        let mut outcome = Outcome::Clean;
        let mut count = 0;
        if scanner.next_token()? == Some(b'}') {
            scanner.at += 1;
        } else {
            let mut nth = 0;
            loop {
                match shape.key(&mut nth, scanner, &mut self.scratch)? {
                    None => scanner.skip_value()?,
                    Some(i) => {
                        let (child, values) = (&mut shape.children[i], &mut column.columns[i]);
                        let fit = if shape.seen[i] == record {
                            self.again(child, values, row, scanner)?
                        } else {
                            self.value(child, values, scanner)?
                        };
                        if fit != Outcome::Bad && shape.seen[i] != record {
                            shape.seen[i] = record;
                            count += 1;
                        }
                        if fit != Outcome::Clean {
                            outcome = Outcome::Partial;
                        }
                    }
                }
                if !scanner.more(b'}')? {
                    break;
                }
            }
        }
        if count < column.columns.len() {
            for (values, seen) in column.columns.iter_mut().zip(&shape.seen) {
                if *seen != record {
                    values.push_null();
                }
            }
        }
        column.push_row();
        Ok(outcome)
    }

    /// A field that came before in this record: the last value that fits counts.
    #[cold]
    fn again(
        &mut self,
        shape: &mut Shape,
        column: &mut Column,
        row: usize,
        scanner: &mut Scanner<'_>,
    ) -> Scan<Outcome> {
        let start = scanner.at;
        let fit = self.value(shape, column, scanner)?;
        if fit != Outcome::Bad {
            column.truncate(row);
            scanner.at = start;
            return self.value(shape, column, scanner);
        }
        Ok(fit)
    }

    /// The value that comes next, appended to its column.
    #[inline]
    pub(crate) fn value(&mut self, shape: &mut Shape, column: &mut Column, scanner: &mut Scanner<'_>) -> Scan<Outcome> {
        let Some(first) = scanner.next_token()? else {
            return scanner.error();
        };
        if first == b'n' {
            scanner.word(b"null")?;
            column.push_null();
            return Ok(Outcome::Clean);
        }
        match (column, shape) {
            (Column::String(values), _) => self.string(first, values, scanner),
            (Column::Struct(values), Shape::Struct(shape)) if first == b'{' => {
                scanner.at += 1;
                self.object(shape, values, scanner)
            }
            (Column::List(values), Shape::Items(shape)) if first == b'[' => {
                scanner.at += 1;
                self.array(shape, values, scanner)
            }
            (Column::Map(values), Shape::Items(shape)) if first == b'{' => {
                scanner.at += 1;
                self.map(shape, values, scanner)
            }
            (Column::Struct(_) | Column::List(_) | Column::Map(_) | Column::Null(_), _) => bad(scanner),
            (Column::Boolean(values), _) => match first {
                b't' => scanner.word(b"true").map(|()| values.push(true)).map(|()| Outcome::Clean),
                b'f' => scanner.word(b"false").map(|()| values.push(false)).map(|()| Outcome::Clean),
                _ => bad(scanner),
            },
            (column, _) if scanner.is_quote(first) => self.quoted(column, scanner),
            (_, _) if matches!(first, b'{' | b'[' | b't' | b'f') => bad(scanner),
            (column, _) => {
                let number = scanner.number()?;
                Ok(if push_number(column, number, scanner.text) { Outcome::Clean } else { Outcome::Bad })
            }
        }
    }

    #[inline]
    fn string(&mut self, first: u8, values: &mut Bytes, scanner: &mut Scanner<'_>) -> Scan<Outcome> {
        let pushed = if scanner.is_quote(first) {
            let text = scanner.string(&mut self.scratch)?;
            values.push(content(scanner, text, &self.scratch))
        } else if self.exact_text {
            let start = scanner.at;
            scanner.skip_value()?;
            values.push(&scanner.text[start..scanner.at])
        } else {
            self.buffer.clear();
            rewrite(scanner, &mut self.buffer, &mut self.scratch)?;
            values.push(&self.buffer)
        };
        // A column beyond 2 GiB: the value cannot be kept.
        Ok(if pushed.is_ok() { Outcome::Clean } else { Outcome::Bad })
    }

    fn array(&mut self, shape: &mut Shape, list: &mut ListColumn, scanner: &mut Scanner<'_>) -> Scan<Outcome> {
        let mut outcome = Outcome::Clean;
        if scanner.next_token()? == Some(b']') {
            scanner.at += 1;
        } else {
            loop {
                if outcome == Outcome::Bad {
                    scanner.skip_value()?;
                } else {
                    outcome = worse(outcome, self.value(shape, &mut list.elements, scanner)?);
                }
                if !scanner.more(b']')? {
                    break;
                }
            }
        }
        if outcome == Outcome::Bad || list.push_row().is_err() {
            list.drop_open_row();
            return Ok(Outcome::Bad);
        }
        Ok(outcome)
    }

    fn map(&mut self, shape: &mut Shape, map: &mut MapColumn, scanner: &mut Scanner<'_>) -> Scan<Outcome> {
        let mut outcome = Outcome::Clean;
        if scanner.next_token()? == Some(b'}') {
            scanner.at += 1;
        } else {
            loop {
                let name = scanner.name(&mut self.scratch)?;
                let pushed = outcome == Outcome::Bad || map.keys.push(content(scanner, name, &self.scratch)).is_ok();
                scanner.expect(b':')?;
                if outcome == Outcome::Bad || !pushed {
                    outcome = Outcome::Bad;
                    scanner.skip_value()?;
                } else {
                    outcome = worse(outcome, self.value(shape, &mut map.values, scanner)?);
                }
                if !scanner.more(b'}')? {
                    break;
                }
            }
        }
        if outcome == Outcome::Bad || map.push_row().is_err() {
            map.drop_open_row();
            return Ok(Outcome::Bad);
        }
        Ok(outcome)
    }

    /// A string for a column that is not STRING.
    fn quoted(&mut self, column: &mut Column, scanner: &mut Scanner<'_>) -> Scan<Outcome> {
        let text = scanner.string(&mut self.scratch)?;
        let (bytes, is_plain) = (content(scanner, text, &self.scratch), text != Text::Unfolded);
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Ok(Outcome::Bad);
        };
        let o = &self.options;
        let pushed = match column {
            Column::Timestamp { values, zone: Some(_) } => self.timestamp(text).map(|v| values.push(v)),
            Column::Timestamp { values, zone: None } => match &o.timestamp_ntz_format {
                Some(format) => format.parse_timestamp_ntz(text, false),
                None => cast::parse_timestamp_ntz(text, false),
            }
            .map(|v| values.push(v)),
            Column::Date(values) => match &o.date_format {
                Some(format) => format.parse_date(text),
                None => cast::parse_date(text).or_else(|| legacy_days(text)),
            }
            .map(|v| values.push(v)),
            Column::Float64(values) => special_float(text, o).map(|v| values.push(v)),
            Column::Float32(values) => special_float(text, o).map(|v| values.push(v as f32)),
            Column::Decimal { values, precision, scale } => {
                number::parse_decimal_text(bytes, *precision, *scale).map(|v| values.push(v))
            }
            Column::Duration(values) => interval::parse_day_time(text).map(|v| values.push(v)),
            Column::Months(values) => interval::parse_year_month(text).map(|v| values.push(v)),
            Column::Binary(values) => {
                self.buffer.clear();
                match base64::decode(bytes, &mut self.buffer) {
                    Ok(()) => values.push(&self.buffer).ok(),
                    Err(failure) if failure.ends_record && is_plain => return scanner.error(),
                    Err(_) => None,
                }
            }
            _ => None,
        };
        Ok(if pushed.is_some() { Outcome::Clean } else { Outcome::Bad })
    }

    fn timestamp(&self, text: &str) -> Option<i64> {
        let zone = self.options.zone;
        if let Some(format) = &self.options.timestamp_format {
            return format.parse_timestamp(text, zone);
        }
        let today = || zone.to_local(self.now_us).div_euclid(crate::java_time::calendar::DAY_US);
        cast::parse_timestamp(text, zone, today).or_else(|| {
            // 2000-01-01T00:00GMT+01:00 was written by early versions.
            let at = text.find("GMT")?;
            cast::parse_timestamp(&[&text[..at], &text[at + 3..]].concat(), zone, today)
        })
    }
}

/// Early versions wrote a date as its days since the epoch.
fn legacy_days(text: &str) -> Option<i32> {
    text.parse().ok()
}

#[cold]
fn bad(scanner: &mut Scanner<'_>) -> Scan<Outcome> {
    scanner.skip_value()?;
    Ok(Outcome::Bad)
}

fn worse(a: Outcome, b: Outcome) -> Outcome {
    match (a, b) {
        (Outcome::Bad, _) | (_, Outcome::Bad) => Outcome::Bad,
        (Outcome::Partial, _) | (_, Outcome::Partial) => Outcome::Partial,
        _ => Outcome::Clean,
    }
}

fn special_float(text: &str, options: &JsonOptions) -> Option<f64> {
    if !options.syntax.non_numeric {
        return None;
    }
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" | "+Infinity" | "+INF" => Some(f64::INFINITY),
        "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Appends a number if it fits the column.
#[inline]
fn push_number(column: &mut Column, number: Number, text: &[u8]) -> bool {
    let digits = &text[number.start..number.end];
    let int = || {
        if number.kind == NumberKind::Int { number::parse_i64(digits) } else { None }
    };
    match column {
        Column::Int64(values) => int().map(|v| values.push(v)),
        Column::Int32(values) => int().and_then(|v| i32::try_from(v).ok()).map(|v| values.push(v)),
        Column::Int16(values) => int().and_then(|v| i16::try_from(v).ok()).map(|v| values.push(v)),
        // Jackson lets a byte be 128 to 255 and wraps it.
        Column::Int8(values) => int().filter(|v| (-128..=255).contains(v)).map(|v| values.push(v as i8)),
        Column::Float64(values) => float::<f64>(number, digits).map(|v| values.push(v)),
        Column::Float32(values) => match number.kind {
            NumberKind::Int | NumberKind::Float => float::<f32>(number, digits),
            _ => float::<f64>(number, digits).map(|v| v as f32),
        }
        .map(|v| values.push(v)),
        Column::Decimal { values, precision, scale } if matches!(number.kind, NumberKind::Int | NumberKind::Float) => {
            number::parse_decimal(digits, *precision, *scale).map(|v| values.push(v))
        }
        // A number is seconds; too many of them wrap, as Spark's multiplication does.
        Column::Timestamp { values, zone: Some(_) } => int().map(|v| values.push(v.wrapping_mul(1_000_000))),
        _ => None,
    }
    .is_some()
}

pub(super) fn float<T: std::str::FromStr + From<f32> + std::ops::Neg<Output = T>>(
    number: Number,
    digits: &[u8],
) -> Option<T> {
    match number.kind {
        // An integer has no negative zero.
        NumberKind::Int if digits == b"-0" => Some(T::from(0.0)),
        NumberKind::Int | NumberKind::Float => number::parse_float(digits),
        NumberKind::NotANumber => Some(T::from(f32::NAN)),
        NumberKind::Infinite { negative } => {
            Some(if negative { -T::from(f32::INFINITY) } else { T::from(f32::INFINITY) })
        }
    }
}
