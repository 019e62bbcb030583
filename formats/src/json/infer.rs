//! The schema that Spark would infer from JSON.
//!
//! Each record has a type; types merge field by field. Fields come out sorted by name. Whole numbers are BIGINT, or DECIMAL
//! where they do not fit, or DOUBLE where that does not fit either; fractions are DOUBLE (DECIMAL if preferred); what
//! contradicts itself is STRING. A field that is always null is STRING, a struct without fields is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::decode::content;
use super::options::JsonOptions;
use super::scan::{NumberKind, Scan, Scanner};
use crate::error::{Error, Result};
use crate::java_time::cast;
use crate::lines::{LineSplitter, decode_charset};
use crate::options::{ParseMode, is_sampled};
use crate::types;

/// Infers the schema of JSON text: of lines, or of one value if `multiLine` is set.
///
/// Records that are not JSON add the corrupt record column under `PERMISSIVE` and are passed over under `DROPMALFORMED`.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for such a record under `FAILFAST`; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid)
/// if two columns' names differ in case only.
pub fn infer_schema(bytes: &[u8], options: &JsonOptions) -> Result<SchemaRef> {
    let mut inference = Inference { options, root: Kind::Nothing, corrupt: false, scratch: Vec::new(), line: 0 };
    if options.multi_line {
        inference.record(&decode_charset(bytes, options.encoding.as_deref())?)?;
    } else {
        let mut splitter = LineSplitter::new(options.line_sep.as_deref(), options.encoding.as_deref())?;
        splitter.split(bytes, |line| inference.record(line))?;
        splitter.finish(|line| inference.record(line))?;
    }
    inference.finish()
}

/// The type of one JSON value: `schema_of_json`. A struct without fields stays one.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the text is not JSON.
pub fn infer_type(text: &str, options: &JsonOptions) -> Result<DataType> {
    let mut inference = Inference { options, root: Kind::Nothing, corrupt: false, scratch: Vec::new(), line: 0 };
    let mut scanner = Scanner::new(text.as_bytes(), options.syntax);
    let kind = inference.value(&mut scanner, 0);
    let kind = kind.map_err(|e| Error::corrupt("this is not JSON").at(1, e.at as u64 + 1))?;
    Ok(canonical(kind).unwrap_or(DataType::Struct(Fields::empty())))
}

struct Inference<'o> {
    options: &'o JsonOptions,
    root: Kind,
    corrupt: bool,
    scratch: Vec<u8>,
    line: u64,
}

/// What a value looks like so far.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Null, or nothing seen.
    Nothing,
    Boolean,
    Long,
    Double,
    Decimal(u8, u8),
    Timestamp,
    String,
    Array(Box<Kind>),
    Struct(BTreeMap<String, Kind>),
}

impl Inference<'_> {
    fn record(&mut self, text: &[u8]) -> Result<()> {
        self.line += 1;
        if !is_sampled(self.line - 1, self.options.sampling_ratio) {
            return Ok(());
        }
        let mut scanner = Scanner::new(text, self.options.syntax);
        let valid = std::str::from_utf8(text).is_ok();
        let kind = match scanner.next_token() {
            Ok(None) => return Ok(()),
            Ok(Some(_)) if valid => self.value(&mut scanner, 0).ok(),
            _ => None,
        };
        let kind = match kind {
            // A file's array of records counts as its records.
            Some(Kind::Array(element)) => Some(*element),
            other => other,
        };
        match kind {
            Some(kind @ Kind::Struct(_)) => self.root = merge(std::mem::replace(&mut self.root, Kind::Nothing), kind),
            Some(Kind::Nothing) => {}
            _ => match self.options.mode {
                ParseMode::Permissive => self.corrupt = true,
                ParseMode::DropMalformed => {}
                ParseMode::FailFast => {
                    return Err(
                        Error::corrupt("malformed record in schema inference under mode FAILFAST").at(self.line, 0)
                    );
                }
            },
        }
        Ok(())
    }

    fn value(&mut self, scanner: &mut Scanner<'_>, depth: usize) -> Scan<Kind> {
        let Some(first) = scanner.next_token()? else {
            return scanner.error();
        };
        if depth > 200 {
            return scanner.error();
        }
        match first {
            b'{' => self.object(scanner, depth),
            b'[' => {
                scanner.at += 1;
                let mut element = Kind::Nothing;
                if scanner.next_token()? == Some(b']') {
                    scanner.at += 1;
                    return Ok(Kind::Array(Box::new(element)));
                }
                loop {
                    let next = self.value(scanner, depth + 1)?;
                    element = merge(element, next);
                    if !scanner.more(b']')? {
                        return Ok(Kind::Array(Box::new(element)));
                    }
                }
            }
            b't' => scanner.word(b"true").map(|()| self.scalar(Kind::Boolean)),
            b'f' => scanner.word(b"false").map(|()| self.scalar(Kind::Boolean)),
            b'n' => scanner.word(b"null").map(|()| Kind::Nothing),
            b if scanner.is_quote(b) => {
                let text = scanner.string(&mut self.scratch)?;
                let bytes = content(scanner, text, &self.scratch);
                Ok(self.string(std::str::from_utf8(bytes).unwrap_or("")))
            }
            _ => {
                let number = scanner.number()?;
                let digits = &scanner.text[number.start..number.end];
                Ok(self.scalar(self.number(number.kind, digits)))
            }
        }
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, depth: usize) -> Scan<Kind> {
        scanner.at += 1;
        let mut fields = BTreeMap::new();
        if scanner.next_token()? == Some(b'}') {
            scanner.at += 1;
            return Ok(Kind::Struct(fields));
        }
        loop {
            let name = scanner.name(&mut self.scratch)?;
            let name = String::from_utf8_lossy(content(scanner, name, &self.scratch)).into_owned();
            scanner.expect(b':')?;
            let kind = self.value(scanner, depth + 1)?;
            let drop = self.options.drop_field_if_all_null && is_empty(&kind);
            if !name.is_empty() && !drop {
                let before = fields.remove(&name).unwrap_or(Kind::Nothing);
                fields.insert(name, merge(before, kind));
            }
            if !scanner.more(b'}')? {
                return Ok(Kind::Struct(fields));
            }
        }
    }

    fn scalar(&self, kind: Kind) -> Kind {
        if self.options.primitives_as_string { Kind::String } else { kind }
    }

    fn number(&self, kind: NumberKind, digits: &[u8]) -> Kind {
        let text = std::str::from_utf8(digits).unwrap_or("");
        let significant = text.trim_start_matches('-').trim_start_matches('0').len().max(1);
        match kind {
            NumberKind::Int if text.parse::<i64>().is_ok() => Kind::Long,
            NumberKind::Int if significant <= 38 => Kind::Decimal(significant as u8, 0),
            NumberKind::Float if self.options.prefers_decimal => decimal_of(text).unwrap_or(Kind::Double),
            _ => Kind::Double,
        }
    }

    fn string(&self, text: &str) -> Kind {
        let o = self.options;
        if o.infer_timestamp && !o.primitives_as_string {
            let found = match &o.timestamp_format {
                Some(format) => format.check_parses().is_ok() && format.parse_timestamp(text, o.zone).is_some(),
                None => cast::parse_timestamp(text, o.zone, || 0).is_some(),
            };
            if found {
                return Kind::Timestamp;
            }
        }
        Kind::String
    }

    fn finish(self) -> Result<SchemaRef> {
        let Kind::Struct(mut fields) = self.root else {
            let corrupt = self.corrupt.then(|| Field::new(&self.options.corrupt_record_column, DataType::Utf8, true));
            return Ok(Arc::new(Schema::new(corrupt.into_iter().collect::<Vec<_>>())));
        };
        if self.corrupt {
            fields.insert(self.options.corrupt_record_column.clone(), Kind::String);
        }
        let fields = canonical_fields(fields);
        let mut names: Vec<String> = fields.iter().map(|f| f.name().to_lowercase()).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(Error::invalid(format!(
                "the column `{}` already exists; choose another name or give the schema",
                pair[0]
            )));
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// Whether a value holds nothing but nulls.
fn is_empty(kind: &Kind) -> bool {
    match kind {
        Kind::Nothing => true,
        Kind::Array(element) => is_empty(element),
        Kind::Struct(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

/// DECIMAL for a fraction, if its digits fit.
fn decimal_of(text: &str) -> Option<Kind> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let fraction = mantissa.split_once('.').map_or(0, |(_, f)| f.len()) as i64;
    let scale = fraction - exponent.parse::<i64>().ok()?;
    let digits = mantissa.trim_start_matches('-').replace('.', "");
    let digits = digits.trim_start_matches('0').len().max(1) as i64;
    let precision = digits.max(scale);
    ((0..=38).contains(&scale) && precision <= 38).then_some(Kind::Decimal(precision as u8, scale as u8))
}

/// The type that holds the values of both.
fn merge(a: Kind, b: Kind) -> Kind {
    match (a, b) {
        (a, b) if a == b => a,
        (Kind::Nothing, x) | (x, Kind::Nothing) => x,
        (Kind::Long, Kind::Double) | (Kind::Double, Kind::Long) => Kind::Double,
        (Kind::Double, Kind::Decimal(..)) | (Kind::Decimal(..), Kind::Double) => Kind::Double,
        (Kind::Long, Kind::Decimal(p, s)) | (Kind::Decimal(p, s), Kind::Long) => wider((20, 0), (p, s)),
        (Kind::Decimal(p, s), Kind::Decimal(q, t)) => wider((p, s), (q, t)),
        (Kind::Array(a), Kind::Array(b)) => Kind::Array(Box::new(merge(*a, *b))),
        (Kind::Struct(mut a), Kind::Struct(b)) => {
            for (name, kind) in b {
                let before = a.remove(&name).unwrap_or(Kind::Nothing);
                a.insert(name, merge(before, kind));
            }
            Kind::Struct(a)
        }
        _ => Kind::String,
    }
}

fn wider((p, s): (u8, u8), (q, t): (u8, u8)) -> Kind {
    let scale = s.max(t);
    let precision = (p - s).max(q - t) + scale;
    if precision > 38 { Kind::Double } else { Kind::Decimal(precision, scale) }
}

fn canonical_fields(fields: BTreeMap<String, Kind>) -> Vec<Field> {
    fields.into_iter().filter_map(|(name, kind)| Some(Field::new(name, canonical(kind)?, true))).collect()
}

/// The type to read with; nothing for a struct without fields.
fn canonical(kind: Kind) -> Option<DataType> {
    Some(match kind {
        Kind::Nothing | Kind::String => DataType::Utf8,
        Kind::Boolean => DataType::Boolean,
        Kind::Long => DataType::Int64,
        Kind::Double => DataType::Float64,
        Kind::Decimal(p, s) => DataType::Decimal128(p, s as i8),
        Kind::Timestamp => types::timestamp(),
        Kind::Array(element) => types::array_of(canonical(*element)?),
        Kind::Struct(fields) => {
            let fields = canonical_fields(fields);
            if fields.is_empty() {
                return None;
            }
            DataType::Struct(fields.into())
        }
    })
}
