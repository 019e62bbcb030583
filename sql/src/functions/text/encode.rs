//! base64, hex, encode, decode, to_binary: bytes as text and back.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;

use crate::functions::error::fails;
use crate::functions::function::{Call, Shape};
use crate::functions::order::Comparable;
use crate::functions::rows::{bytes, texts};
use crate::functions::types;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// `base64(x)`, on one line.
pub(in crate::functions) fn base64(call: &Call<'_>) -> Result<ArrayRef> {
    let source = call.column::<BinaryArray>(0)?;
    texts(call.rows, |row, out| {
        Ok(source.get(row).map(|data| {
            for group in data.chunks(3) {
                let word = group.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
                for at in 0..4 {
                    let digit = char::from(ALPHABET[(word >> (18 - 6 * at) & 63) as usize]);
                    out.push(if at <= group.len() { digit } else { '=' });
                }
            }
        }))
    })
}

/// `unbase64(s)`.
pub(in crate::functions) fn unbase64(call: &Call<'_>) -> Result<ArrayRef> {
    let source = call.column::<StringArray>(0)?;
    bytes(call.rows, |row, out| {
        let Some(text) = source.get(row) else { return Ok(None) };
        if read_base64(text, out) {
            return Ok(Some(()));
        }
        Err(malformed(text, "BASE64"))
    })
}

fn malformed(text: &str, format: &str) -> datafusion::common::DataFusionError {
    fails(
        "CONVERSION_INVALID_INPUT",
        format!(
            "The value '{text}' (\"STRING\") cannot be converted to \"BINARY\" because it is malformed: not {format}. Use `try_to_binary` to tolerate malformed input and return NULL instead."
        ),
    )
}

/// What is no digit is skipped, as MIME has it; false where the digits end in the middle of a byte.
fn read_base64(text: &str, out: &mut Vec<u8>) -> bool {
    let (mut word, mut bits) = (0u32, 0u32);
    for byte in text.bytes().take_while(|b| *b != b'=') {
        let Some(digit) = ALPHABET.iter().position(|d| *d == byte) else { continue };
        word = word << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    bits != 6
}

/// What hex takes: BIGINT, BINARY or STRING.
pub(in crate::functions) fn hex_arg(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Binary => Some(DataType::Binary),
        DataType::Utf8 => Some(DataType::Utf8),
        DataType::Null => Some(DataType::Int64),
        t => crate::functions::types::long(t).or_else(|| crate::functions::types::text(t)),
    }
}

/// `hex(x)`: of a number in two's complement, of bytes, of a string's UTF-8.
pub(in crate::functions) fn hex(call: &Call<'_>) -> Result<ArrayRef> {
    let source = call.raw(0);
    texts(call.rows, |row, out| {
        let row = call.row(0, row);
        if source.is_null(row) {
            return Ok(None);
        }
        match source.data_type() {
            DataType::Int64 => {
                use std::fmt::Write;
                return Ok(write!(out, "{:X}", source.as_primitive::<Int64Type>().value(row)).ok());
            }
            DataType::Binary => push_hex(source.as_binary::<i32>().value(row), out),
            _ => push_hex(source.as_string::<i32>().value(row).as_bytes(), out),
        }
        Ok(Some(()))
    })
}

fn push_hex(data: &[u8], out: &mut String) {
    let digit = |n: u8| char::from(HEX_DIGITS[usize::from(n)]);
    data.iter().for_each(|b| out.extend([digit(b >> 4), digit(b & 15)]));
}

/// `unhex(s)`: null for what is no number.
pub(in crate::functions) fn unhex(call: &Call<'_>) -> Result<ArrayRef> {
    let source = call.column::<StringArray>(0)?;
    bytes(call.rows, |row, out| Ok(source.get(row).and_then(|text| read_hex(text, out))))
}

/// An odd number of digits has a 0 before the first.
fn read_hex(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits = text.as_bytes();
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let (first, pairs) = digits.split_at(digits.len() % 2);
    for byte in first {
        out.push(digit(*byte)?);
    }
    for pair in pairs.chunks_exact(2) {
        out.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(())
}

/// `encode(s, charset)`.
pub(in crate::functions) fn encode(call: &Call<'_>) -> Result<ArrayRef> {
    let (source, charset) = (call.column::<StringArray>(0)?, call.column::<StringArray>(1)?);
    bytes(call.rows, |row, out| {
        let (Some(text), Some(charset)) = (source.get(row), charset.get(row)) else { return Ok(None) };
        write_charset(text, charset, call.name, out)?;
        Ok(Some(()))
    })
}

fn write_charset(text: &str, charset: &str, function: &str, out: &mut Vec<u8>) -> Result<()> {
    let unmappable = || {
        fails("MALFORMED_CHARACTER_CODING", format!("Invalid value found when performing `{function}` with {charset}"))
    };
    match charset.to_ascii_uppercase().as_str() {
        "UTF-8" => out.extend_from_slice(text.as_bytes()),
        "US-ASCII" if text.is_ascii() => out.extend_from_slice(text.as_bytes()),
        "US-ASCII" => return Err(unmappable()),
        "ISO-8859-1" => {
            for c in text.chars() {
                out.push(u8::try_from(u32::from(c)).map_err(|_| unmappable())?);
            }
        }
        "UTF-16" => {
            if !text.is_empty() {
                out.extend([0xFE, 0xFF]);
            }
            out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        }
        "UTF-16BE" => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
        "UTF-16LE" => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        "UTF-32" => out.extend(text.chars().flat_map(|c| u32::from(c).to_be_bytes())),
        _ => return Err(unknown_charset(charset, function)),
    }
    Ok(())
}

fn unknown_charset(charset: &str, function: &str) -> datafusion::common::DataFusionError {
    fails(
        "INVALID_PARAMETER_VALUE.CHARSET",
        format!(
            "The value of parameter(s) `charset` in `{function}` is invalid: expects one of the charsets 'iso-8859-1', 'us-ascii', 'utf-16', 'utf-16be', 'utf-16le', 'utf-32', 'utf-8', but got {charset}."
        ),
    )
}

/// `decode(x, charset)`, or `decode(x, search, result, … [, default])`.
pub(in crate::functions) fn decode_args(given: &[DataType]) -> Result<Vec<DataType>> {
    if given.len() == 2 {
        return Ok(vec![DataType::Binary, DataType::Utf8]);
    }
    let is_result = |at: usize| at > 0 && (at.is_multiple_of(2) || at + 1 == given.len());
    let part = |wanted: bool| {
        let of_part: Vec<DataType> =
            (0..given.len()).filter(|at| is_result(*at) == wanted).map(|at| given[at].clone()).collect();
        types::widest(&of_part)
    };
    let (search, result) = (part(false)?, part(true)?);
    Ok((0..given.len()).map(|at| if is_result(at) { result.clone() } else { search.clone() }).collect())
}

/// STRING, or the results' type.
pub(in crate::functions) fn decode_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(if shape.types.len() == 2 { DataType::Utf8 } else { shape.types[2].clone() })
}

/// The result of the first search that equals the value; a null equals a null.
fn decode_case(call: &Call<'_>) -> Result<ArrayRef> {
    let searches: Vec<usize> = (1..call.len() - 1).step_by(2).collect();
    let comparable = Comparable::new(call.raw(0).data_type())?;
    let value = comparable.rows(call.raw(0))?;
    let wanted = searches.iter().map(|at| comparable.rows(call.raw(*at))).collect::<Result<Vec<_>>>()?;
    let null = arrow::array::new_null_array(call.returns, 1);
    let mut columns: Vec<&dyn Array> = (0..call.len()).map(|at| call.raw(at).as_ref()).collect();
    // What is searched for has another type than the results, and is never chosen.
    for at in searches.iter().chain(&[0]) {
        columns[*at] = null.as_ref();
    }
    let place = |row: usize| {
        let this = value.row(call.row(0, row));
        let found = searches.iter().zip(&wanted).find(|(at, rows)| rows.row(call.row(**at, row)) == this);
        match found {
            Some((at, _)) => (at + 1, call.row(at + 1, row)),
            None if call.len().is_multiple_of(2) => (call.len() - 1, call.row(call.len() - 1, row)),
            None => (0, 0),
        }
    };
    Ok(arrow::compute::interleave(&columns, &(0..call.rows).map(place).collect::<Vec<_>>())?)
}

/// `decode(…)`.
pub(in crate::functions) fn decode(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() > 2 {
        return decode_case(call);
    }
    let (source, charset) = (call.column::<BinaryArray>(0)?, call.column::<StringArray>(1)?);
    texts(call.rows, |row, out| {
        let (Some(data), Some(charset)) = (source.get(row), charset.get(row)) else { return Ok(None) };
        let text = read_charset(data, charset, call.name)?.ok_or_else(|| {
            fails(
                "MALFORMED_CHARACTER_CODING",
                format!("Invalid value found when performing `{}` with {charset}", call.name),
            )
        })?;
        out.push_str(&text);
        Ok(Some(()))
    })
}

/// The text, or `None` where the bytes are none in the charset.
fn read_charset(data: &[u8], charset: &str, function: &str) -> Result<Option<String>> {
    let utf16 = |data: &[u8], read: fn([u8; 2]) -> u16| {
        let (units, rest) = data.as_chunks::<2>();
        String::from_utf16(&units.iter().map(|u| read(*u)).collect::<Vec<_>>()).ok().filter(|_| rest.is_empty())
    };
    Ok(match charset.to_ascii_uppercase().as_str() {
        "UTF-8" => String::from_utf8(data.to_vec()).ok(),
        "US-ASCII" => data.is_ascii().then(|| data.iter().map(|b| char::from(*b)).collect()),
        "ISO-8859-1" => Some(data.iter().map(|b| char::from(*b)).collect()),
        "UTF-16" => match data {
            [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
            [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
            rest => utf16(rest, u16::from_be_bytes),
        },
        "UTF-16BE" => utf16(data, u16::from_be_bytes),
        "UTF-16LE" => utf16(data, u16::from_le_bytes),
        "UTF-32" => {
            let (units, rest) = data.as_chunks::<4>();
            let text: Option<String> = units.iter().map(|u| char::from_u32(u32::from_be_bytes(*u))).collect();
            text.filter(|_| rest.is_empty())
        }
        _ => return Err(unknown_charset(charset, function)),
    })
}

/// `to_binary(s [, format])`: the format is hex (the default), utf-8 or base64.
pub(in crate::functions) fn to_binary(call: &Call<'_>) -> Result<ArrayRef> {
    binary_or(call, |text, format| Err(malformed(text, format)))
}

/// `try_to_binary(s [, format])`: null for what cannot be read.
pub(in crate::functions) fn try_to_binary(call: &Call<'_>) -> Result<ArrayRef> {
    binary_or(call, |_, _| Ok(None))
}

fn binary_or(call: &Call<'_>, on_malformed: fn(&str, &str) -> Result<Option<()>>) -> Result<ArrayRef> {
    let source = call.column::<StringArray>(0)?;
    let format = if call.has(1) { Some(call.column::<StringArray>(1)?) } else { None };
    bytes(call.rows, |row, out| {
        let format = format.as_ref().map_or(Some("hex"), |f| f.get(row));
        let (Some(text), Some(format)) = (source.get(row), format) else { return Ok(None) };
        let is_read = match format.to_ascii_lowercase().as_str() {
            "hex" => read_hex(text, out).is_some(),
            "utf-8" | "utf8" => {
                out.extend_from_slice(text.as_bytes());
                true
            }
            "base64" => read_base64(text, out),
            _ => {
                return Err(fails(
                    "DATATYPE_MISMATCH.INVALID_ARG_VALUE",
                    format!(
                        "The `fmt` value of `{}` must be case-insensitive \"hex\", \"utf-8\", \"utf8\" or \"base64\", but got '{format}'.",
                        call.name
                    ),
                ));
            }
        };
        if is_read { Ok(Some(())) } else { on_malformed(text, format) }
    })
}
