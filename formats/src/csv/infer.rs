//! The schema that Spark would infer from CSV.
//!
//! Each column starts from nothing and widens value by value: INT, BIGINT, DECIMAL, DOUBLE; DATE, TIMESTAMP; BOOLEAN; at
//! last STRING. Names come from the header, or are `_c0`, `_c1`, … Without `inferSchema` every column is STRING.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::decode;
use super::decoder::{is_skipped, one_line_end};
use super::options::CsvOptions;
use super::tokenize::{Token, Tokenizer, Tokens};
use crate::error::Result;
use crate::java_time::DateTimeFormat;
use crate::lines::{LineSplitter, decode_charset};
use crate::options::is_sampled;
use crate::types;

/// Infers the schema of one CSV file. The first record says how many columns there are.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an unknown encoding.
pub fn infer_schema(bytes: &[u8], options: &CsvOptions) -> Result<SchemaRef> {
    let mut inference = Inference {
        options,
        tokenizer: Tokenizer::new(options, options.multi_line),
        tokens: Tokens::default(),
        date: match &options.date_format {
            Some(format) => format.clone(),
            None => DateTimeFormat::compile("yyyy-MM-dd")?,
        },
        names: None,
        kinds: Vec::new(),
        records: 0,
    };
    if options.multi_line {
        let text = decode_charset(bytes, options.encoding.as_deref())?;
        let text = one_line_end(&text, options.line_sep.as_deref());
        let mut at = 0;
        while at < text.len() {
            let line = &text[at..at + memchr::memchr(b'\n', &text[at..]).unwrap_or(text.len() - at)];
            at = if is_skipped(line, options) { at + line.len() + 1 } else { inference.record(&text, at) };
        }
    } else {
        let mut splitter = LineSplitter::new(options.line_sep.as_deref(), options.encoding.as_deref())?;
        let mut each = |line: &[u8]| {
            if !is_skipped(line, options) {
                inference.record(line, 0);
            }
            Ok(())
        };
        splitter.split(bytes, &mut each)?;
        splitter.finish(&mut each)?;
    }
    Ok(inference.finish())
}

struct Inference<'o> {
    options: &'o CsvOptions,
    tokenizer: Tokenizer,
    tokens: Tokens,
    date: DateTimeFormat,
    names: Option<Vec<String>>,
    kinds: Vec<Kind>,
    records: u64,
}

/// What a column looks like so far, in the order of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Int,
    Long,
    Decimal(u8),
    Double,
    Date,
    Timestamp,
    Boolean,
    String,
}

impl Inference<'_> {
    /// Looks at the record at `at`; returns where the next one starts.
    fn record(&mut self, text: &[u8], at: usize) -> usize {
        let mut tokens = std::mem::take(&mut self.tokens);
        let next = self.tokenizer.record(text, at, &mut tokens).unwrap_or(text.len());
        if self.names.is_none() {
            self.names = Some(self.make_names(&tokens, text));
            self.kinds = vec![Kind::Nothing; tokens.values.len()];
            if self.options.header {
                self.tokens = tokens;
                return next;
            }
        }
        self.records += 1;
        if self.options.infer_schema && is_sampled(self.records - 1, self.options.sampling_ratio) {
            for i in 0..self.kinds.len().min(tokens.values.len()) {
                if let Some(value) = self.value(&tokens, i, text) {
                    self.kinds[i] = merge(self.kinds[i], self.kind_of(&value, self.kinds[i]));
                }
            }
        }
        self.tokens = tokens;
        next
    }

    fn value(&self, tokens: &Tokens, i: usize, text: &[u8]) -> Option<String> {
        let bytes = match tokens.values[i] {
            Token::Null => return None,
            Token::Empty => self.options.empty_value.as_deref().unwrap_or("").as_bytes(),
            token => tokens.bytes(token, text)?,
        };
        let value = String::from_utf8_lossy(bytes);
        (!value.is_empty() && value != self.options.null_value).then(|| value.into_owned())
    }

    /// The header's names; several that differ in case only get their number, a missing one is `_c` and its number.
    fn make_names(&self, tokens: &Tokens, text: &[u8]) -> Vec<String> {
        if !self.options.header {
            return (0..tokens.values.len()).map(|i| format!("_c{i}")).collect();
        }
        let raw: Vec<Option<String>> = (0..tokens.values.len()).map(|i| self.value(tokens, i, text)).collect();
        let number = |name: &str| raw.iter().flatten().filter(|n| n.to_lowercase() == name.to_lowercase()).count();
        let name = |(i, name): (usize, &Option<String>)| match name {
            None => format!("_c{i}"),
            Some(name) if number(name) > 1 => format!("{name}{i}"),
            Some(name) => name.clone(),
        };
        raw.iter().enumerate().map(name).collect()
    }

    /// The narrowest type of a value, beginning with what its column is already.
    fn kind_of(&self, value: &str, so_far: Kind) -> Kind {
        let o = self.options;
        let unsigned = value.strip_prefix('+').filter(|rest| !rest.starts_with('-')).unwrap_or(value);
        if matches!(so_far, Kind::Nothing | Kind::Int) && unsigned.parse::<i32>().is_ok() {
            return Kind::Int;
        }
        if matches!(so_far, Kind::Nothing | Kind::Int | Kind::Long) && unsigned.parse::<i64>().is_ok() {
            return Kind::Long;
        }
        if matches!(so_far, Kind::Nothing | Kind::Int | Kind::Long | Kind::Decimal(_)) {
            let digits = unsigned.trim_start_matches('-').replace(',', "");
            let significant = digits.trim_start_matches('0').len().max(1);
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && significant <= 38 {
                return Kind::Decimal(significant as u8);
            }
        }
        let number = matches!(so_far, Kind::Nothing | Kind::Int | Kind::Long | Kind::Decimal(_) | Kind::Double);
        if number && decode::double(value, o).is_some() {
            return Kind::Double;
        }
        if o.prefer_date && (number || so_far == Kind::Date) && self.date.parse_date(value).is_some() {
            return Kind::Date;
        }
        let time = number || matches!(so_far, Kind::Date | Kind::Timestamp);
        if time && decode::timestamp(value, o, 0).is_some() {
            return Kind::Timestamp;
        }
        if so_far != Kind::String && decode::parse_bool(value).is_some() { Kind::Boolean } else { Kind::String }
    }

    fn finish(self) -> SchemaRef {
        let names = self.names.unwrap_or_default();
        let field = |(name, kind): (String, &Kind)| Field::new(name, kind.data_type(), true);
        Arc::new(Schema::new(names.into_iter().zip(&self.kinds).map(field).collect::<Vec<_>>()))
    }
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Nothing | Self::String => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Decimal(precision) => DataType::Decimal128(precision, 0),
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => types::timestamp(),
            Self::Boolean => DataType::Boolean,
        }
    }
}

/// The type that holds the values of both.
fn merge(a: Kind, b: Kind) -> Kind {
    use Kind::{Date, Decimal, Double, Int, Long, Nothing, String, Timestamp};
    match (a, b) {
        (a, b) if a == b => a,
        (Nothing, x) | (x, Nothing) => x,
        (Int, Long) | (Long, Int) => Long,
        (Int, Decimal(p)) | (Decimal(p), Int) => Decimal(p.max(10)),
        (Long, Decimal(p)) | (Decimal(p), Long) => Decimal(p.max(20)),
        (Decimal(p), Decimal(q)) => Decimal(p.max(q)),
        (Int | Long | Decimal(_), Double) | (Double, Int | Long | Decimal(_)) => Double,
        (Date, Timestamp) | (Timestamp, Date) => Timestamp,
        _ => String,
    }
}
