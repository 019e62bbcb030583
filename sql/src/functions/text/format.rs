//! format_string and printf: Java's `Formatter`.
//!
//! `%[index$][flags][width][.precision]conversion` with the conversions `b c d e f g h n o s x %` and their capitals. A double
//! is written from its shortest decimal digits, half up, as Java has it.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result};

use crate::functions::error::{fails, unsupported};
use crate::functions::function::Call;
use crate::functions::hash;
use crate::functions::rows::texts;

/// `format_string(format, …)`.
pub(in crate::functions) fn format_string(call: &Call<'_>) -> Result<ArrayRef> {
    let formats = call.column::<StringArray>(0)?;
    let mut last: Option<(String, Vec<Piece>)> = None;
    texts(call.rows, |row, out| {
        let Some(format) = formats.get(row) else { return Ok(None) };
        if last.as_ref().is_none_or(|(text, _)| text != format) {
            last = Some((format.to_string(), parse(format)?));
        }
        let mut next = 0;
        for piece in last.as_ref().map_or(&[][..], |(_, pieces)| pieces) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(spec) => {
                    let at = spec.index.unwrap_or_else(|| {
                        next += 1;
                        next
                    });
                    if at >= call.len() {
                        return Err(DataFusionError::Execution(format!("Format specifier '%{}'", spec.conversion)));
                    }
                    let value = Value::of(call.raw(at), call.row(at, row))?;
                    out.push_str(&spec.write(&value)?);
                }
            }
        }
        Ok(Some(()))
    })
}

/// The widest field that is written.
const MOST_WIDE: usize = 10_000;

enum Piece {
    Text(String),
    Value(Spec),
}

#[derive(Default)]
struct Spec {
    index: Option<usize>,
    is_left: bool,
    is_zero_padded: bool,
    has_plus: bool,
    has_space: bool,
    has_groups: bool,
    has_parentheses: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

enum Value {
    Null,
    Truth(bool),
    Whole {
        value: i64,
        bits: u32,
    },
    Real(f64),
    Text(String),
    /// Printed by %s alone.
    Other(String),
}

impl Value {
    fn of(array: &ArrayRef, row: usize) -> Result<Self> {
        if array.data_type() == &DataType::Null || array.is_null(row) {
            return Ok(Self::Null);
        }
        let whole = |value, bits| Self::Whole { value, bits };
        Ok(match array.data_type() {
            DataType::Boolean => Self::Truth(array.as_boolean().value(row)),
            DataType::Int8 => whole(array.as_primitive::<Int8Type>().value(row).into(), 8),
            DataType::Int16 => whole(array.as_primitive::<Int16Type>().value(row).into(), 16),
            DataType::Int32 => whole(array.as_primitive::<Int32Type>().value(row).into(), 32),
            DataType::Int64 => whole(array.as_primitive::<Int64Type>().value(row), 64),
            // Spark hands over its own representation: days and microseconds.
            DataType::Date32 => whole(array.as_primitive::<Date32Type>().value(row).into(), 32),
            DataType::Timestamp(..) => whole(array.as_primitive::<TimestampMicrosecondType>().value(row), 64),
            DataType::Float32 => Self::Real(array.as_primitive::<Float32Type>().value(row).into()),
            DataType::Float64 => Self::Real(array.as_primitive::<Float64Type>().value(row)),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row).to_string()),
            DataType::Decimal128(_, scale) => {
                let mut text = Vec::new();
                let value = array.as_primitive::<Decimal128Type>().value(row);
                millstream_formats::number::write_decimal_plain(value, *scale, &mut text);
                Self::Other(String::from_utf8_lossy(&text).into_owned())
            }
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                let parts = (0..items.len()).map(|at| Self::of(&items, at)?.shown());
                Self::Other(format!("[{}]", parts.collect::<Result<Vec<_>>>()?.join(",")))
            }
            other => return Err(unsupported(format!("format_string of {other}"))),
        })
    }

    fn shown(&self) -> Result<String> {
        Ok(match self {
            Self::Null => "null".to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Whole { value, .. } => value.to_string(),
            Self::Real(value) => {
                let mut text = Vec::new();
                millstream_formats::number::write_f64(*value, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
            Self::Text(text) | Self::Other(text) => text.clone(),
        })
    }
}

fn parse(format: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_string()));
        }
        let (piece, length) = specifier(&rest[at + 1..])?;
        pieces.push(piece);
        rest = &rest[at + 1 + length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_string()));
    }
    Ok(pieces)
}

/// What follows a `%`, and how long it is.
fn specifier(text: &str) -> Result<(Piece, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut spec = Spec::default();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let leading = digits(0);
    if leading > 0 && bytes.get(leading) == Some(&b'$') {
        let index: usize = text[..leading].parse().unwrap_or(usize::MAX);
        if index == 0 {
            return Err(fails(
                "INVALID_PARAMETER_VALUE.ZERO_INDEX",
                "The value of parameter(s) `strfmt` in `format_string` is invalid: expects %1$, %2$ and so on, but got %0$.",
            ));
        }
        spec.index = Some(index);
        at = leading + 1;
    }
    while let Some(flag) = bytes.get(at) {
        match flag {
            b'-' => spec.is_left = true,
            b'0' => spec.is_zero_padded = true,
            b'+' => spec.has_plus = true,
            b' ' => spec.has_space = true,
            b',' => spec.has_groups = true,
            b'(' => spec.has_parentheses = true,
            b'#' => {}
            _ => break,
        }
        at += 1;
    }
    let width = digits(at);
    spec.width = text[at..at + width].parse().unwrap_or(0);
    at += width;
    if bytes.get(at) == Some(&b'.') {
        let precision = digits(at + 1);
        spec.precision = text[at + 1..at + 1 + precision].parse().ok();
        at += 1 + precision;
    }
    let Some(conversion) = text[at..].chars().next() else {
        return Err(DataFusionError::Execution("Conversion = '%'".to_string()));
    };
    spec.conversion = conversion;
    if spec.width.max(spec.precision.unwrap_or(0)) > MOST_WIDE {
        return Err(unsupported(format!("format_string: a field of more than {MOST_WIDE} characters")));
    }
    let length = at + conversion.len_utf8();
    match conversion {
        '%' => Ok((Piece::Text("%".to_string()), length)),
        'n' => Ok((Piece::Text("\n".to_string()), length)),
        'b' | 'B' | 'c' | 'C' | 'd' | 'e' | 'E' | 'f' | 'g' | 'G' | 'h' | 'H' | 'o' | 's' | 'S' | 'x' | 'X' => {
            Ok((Piece::Value(spec), length))
        }
        other => Err(DataFusionError::Execution(format!("Conversion = '{other}'"))),
    }
}

impl Spec {
    fn write(&self, value: &Value) -> Result<String> {
        let text = match (self.conversion.to_ascii_lowercase(), value) {
            ('b', Value::Null) => self.cut("false".to_string()),
            ('b', Value::Truth(truth)) => self.cut(truth.to_string()),
            ('b', _) => self.cut("true".to_string()),
            (_, Value::Null) => self.cut("null".to_string()),
            ('s', value) => self.cut(value.shown()?),
            ('h', Value::Text(text)) => self.cut(format!("{:x}", hash::of_text(text))),
            ('h', Value::Whole { value, .. }) => self.cut(format!("{:x}", *value as i32)),
            ('c', Value::Whole { value, .. }) => {
                u32::try_from(*value).ok().and_then(char::from_u32).map(String::from).unwrap_or_default()
            }
            ('d', Value::Whole { value, .. }) => return Ok(self.signed(*value < 0, value.unsigned_abs().to_string())),
            ('x', Value::Whole { value, bits }) => return Ok(self.unsigned(format!("{:x}", masked(*value, *bits)))),
            ('o', Value::Whole { value, bits }) => return Ok(self.unsigned(format!("{:o}", masked(*value, *bits)))),
            ('e' | 'f' | 'g', Value::Real(x)) if !x.is_finite() => match x {
                x if x.is_nan() => "NaN".to_string(),
                x => return Ok(self.signed_plain(*x < 0.0, "Infinity".to_string())),
            },
            ('e' | 'f' | 'g', Value::Real(x)) => return Ok(self.signed(x.is_sign_negative(), self.real(x.abs()))),
            (conversion, _) => {
                return Err(DataFusionError::Execution(format!(
                    "{conversion} is no conversion of the argument's type"
                )));
            }
        };
        Ok(self.padded(self.cased(text)))
    }

    fn cut(&self, text: String) -> String {
        match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        }
    }

    fn cased(&self, text: String) -> String {
        if self.conversion.is_ascii_uppercase() { text.to_uppercase() } else { text }
    }

    fn padded(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.is_left { text + &" ".repeat(missing) } else { " ".repeat(missing) + &text }
    }

    fn unsigned(&self, digits: String) -> String {
        let zeros = if self.is_zero_padded { self.width.saturating_sub(digits.len()) } else { 0 };
        self.padded(self.cased("0".repeat(zeros) + &digits))
    }

    fn signed_plain(&self, is_negative: bool, text: String) -> String {
        let sign = if is_negative {
            "-"
        } else if self.has_plus {
            "+"
        } else {
            ""
        };
        self.padded(self.cased(format!("{sign}{text}")))
    }

    /// Sign, groups of thousands and zeros around a number's digits.
    fn signed(&self, is_negative: bool, digits: String) -> String {
        let (before, after) = match is_negative {
            true if self.has_parentheses => ("(", ")"),
            true => ("-", ""),
            false if self.has_plus => ("+", ""),
            false if self.has_space => (" ", ""),
            false => ("", ""),
        };
        let mut body = String::new();
        if self.has_groups {
            super::pad::group_thousands(&digits, &mut body)
        } else {
            body = digits
        }
        let taken = before.len() + after.len() + body.len();
        let zeros = if self.is_zero_padded { self.width.saturating_sub(taken) } else { 0 };
        self.padded(self.cased(format!("{before}{}{body}{after}", "0".repeat(zeros))))
    }

    fn real(&self, x: f64) -> String {
        let precision = self.precision.unwrap_or(6);
        match self.conversion.to_ascii_lowercase() {
            'f' => plain(x, precision),
            'e' => scientific(x, precision),
            _ => {
                let precision = precision.max(1);
                let exponent = Digits::of(x).rounded(precision).exponent;
                let is_plain = x == 0.0 || (-4..precision as i32).contains(&exponent);
                match is_plain {
                    true => plain(x, (precision as i32 - 1 - if x == 0.0 { 0 } else { exponent }).max(0) as usize),
                    false => scientific(x, precision - 1),
                }
            }
        }
    }
}

fn masked(value: i64, bits: u32) -> u64 {
    if bits == 64 { value as u64 } else { value as u64 & ((1 << bits) - 1) }
}

/// A number's decimal digits: d.ddd · 10^exponent.
struct Digits {
    digits: Vec<u8>,
    exponent: i32,
}

impl Digits {
    fn of(x: f64) -> Self {
        let text = format!("{x:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
        Self { digits, exponent: exponent.parse().unwrap_or(0) }
    }

    /// The first `count` digits, half up.
    fn rounded(mut self, count: usize) -> Self {
        let is_up = self.digits.get(count).is_some_and(|d| *d >= 5);
        self.digits.resize(count, 0);
        if is_up {
            let mut at = count;
            loop {
                if at == 0 {
                    self.digits.insert(0, 1);
                    self.exponent += 1;
                    break;
                }
                at -= 1;
                if self.digits[at] < 9 {
                    self.digits[at] += 1;
                    break;
                }
                self.digits[at] = 0;
            }
        }
        self
    }
}

/// A number that is not negative, with `precision` digits after the point.
pub(super) fn plain(x: f64, precision: usize) -> String {
    let digits = Digits::of(x);
    let kept = digits.exponent + 1 + precision as i32;
    let digits = if kept < 0 { Digits { digits: vec![0], exponent: 0 } } else { digits.rounded(kept as usize) };
    let at = |place: i32| {
        digits.digits.get(usize::try_from(digits.exponent - place).unwrap_or(usize::MAX)).copied().unwrap_or(0)
    };
    let digit = |place: i32| char::from(b'0' + if place > digits.exponent { 0 } else { at(place) });
    let mut out: String = (0..=digits.exponent.max(0)).rev().map(digit).collect();
    if precision > 0 {
        out.push('.');
        out.extend((1..=precision as i32).map(|n| digit(-n)));
    }
    out
}

fn scientific(x: f64, precision: usize) -> String {
    let digits = Digits::of(x).rounded(precision + 1);
    let mut out = String::new();
    for (at, digit) in digits.digits.iter().take(precision + 1).enumerate() {
        if at == 1 {
            out.push('.');
        }
        out.push(char::from(b'0' + digit));
    }
    let sign = if digits.exponent < 0 { '-' } else { '+' };
    format!("{out}e{sign}{:02}", digits.exponent.unsigned_abs())
}
