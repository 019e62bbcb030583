//! Rows to CSV, quoted where univocity's writer quotes.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch, StringArray, StringBuilder, StructArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, Schema, TimeUnit, TimestampMicrosecondType,
};

use super::options::CsvOptions;
use crate::ddl::sql_type_name;
use crate::error::{Error, Result};
use crate::interval;
use crate::java_time::cast::write_date;
use crate::java_time::format::Moment;
use crate::java_time::{DateTimeFormat, OffsetCache, Zone};
use crate::lines::Encoding;
use crate::number;

/// Writes rows as Spark does: values trimmed, null as `nullValue`, the empty string as `""`.
#[derive(Debug, Clone)]
pub struct CsvEncoder {
    formats: Formats,
    quoting: Quoting,
    null_value: Vec<u8>,
    empty_value: Vec<u8>,
    separator: Vec<u8>,
    line_sep: Vec<u8>,
    encoding: Encoding,
}

#[derive(Debug, Clone)]
struct Formats {
    timestamp: DateTimeFormat,
    timestamp_ntz: DateTimeFormat,
    date: Option<DateTimeFormat>,
    zone: Zone,
}

#[derive(Debug, Clone)]
struct Quoting {
    quote: u8,
    escape: u8,
    escape_escape: u8,
    comment: u8,
    separator: Vec<u8>,
    all: bool,
    on_quotes: bool,
    trim_leading: bool,
    trim_trailing: bool,
}

impl CsvEncoder {
    /// An encoder for rows of this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a type that CSV cannot hold or an unknown encoding.
    pub fn new(schema: &Schema, options: &CsvOptions) -> Result<Self> {
        for field in schema.fields() {
            if field.data_type().is_nested() || *field.data_type() == DataType::Null {
                let name = sql_type_name(field.data_type());
                return Err(Error::unsupported(format!(
                    "CSV cannot hold the column {} of the type {name}",
                    field.name()
                )));
            }
        }
        let or = |given: &Option<DateTimeFormat>, default| {
            given.clone().map_or_else(|| DateTimeFormat::compile(default), Ok)
        };
        let byte = |c: char| u8::try_from(c).unwrap_or(0);
        Ok(Self {
            formats: Formats {
                timestamp: or(&options.timestamp_format, "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXXXX]")?,
                timestamp_ntz: or(&options.timestamp_ntz_format, "yyyy-MM-dd'T'HH:mm:ss[.SSS]")?,
                date: options.date_format.clone(),
                zone: options.zone,
            },
            quoting: Quoting {
                quote: byte(options.quote),
                escape: byte(options.escape),
                escape_escape: byte(options.escape_of_escape()),
                comment: byte(options.comment.unwrap_or('#')),
                separator: options.separator.as_bytes().to_vec(),
                all: options.quote_all,
                on_quotes: options.escape_quotes,
                trim_leading: options.trim_leading.unwrap_or(true),
                trim_trailing: options.trim_trailing.unwrap_or(true),
            },
            null_value: options.null_value.as_bytes().to_vec(),
            empty_value: options.empty_value.as_deref().unwrap_or("\"\"").as_bytes().to_vec(),
            separator: options.separator.as_bytes().to_vec(),
            encoding: Encoding::parse(options.encoding.as_deref())?,
            line_sep: options.line_sep.as_deref().unwrap_or("\n").as_bytes().to_vec(),
        })
    }

    /// Appends the line of names that `header` asks for.
    pub fn encode_header(&self, schema: &Schema, out: &mut Vec<u8>) {
        let start = out.len();
        for (i, field) in schema.fields().iter().enumerate() {
            self.cell(i, Some(field.name().as_bytes()), out);
        }
        out.extend_from_slice(&self.line_sep);
        self.encoding.encode_from(start, out);
    }

    /// Appends one line a row.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a pattern asks for what the values do not have.
    pub fn encode_batch(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let mut offsets = OffsetCache::new(self.formats.zone);
        let mut text = Vec::new();
        let batch_start = out.len();
        for row in 0..batch.num_rows() {
            let start = out.len();
            self.row(batch.columns(), row, &mut offsets, &mut text, out)?;
            // Spark writes no line for a row of one null.
            if out.len() > start {
                out.extend_from_slice(&self.line_sep);
            }
        }
        self.encoding.encode_from(batch_start, out);
        Ok(())
    }

    /// `to_csv`: each struct to its record; null stays null.
    ///
    /// # Errors
    /// As [`CsvEncoder::encode_batch`].
    pub fn encode_column(&self, column: &StructArray) -> Result<StringArray> {
        let mut offsets = OffsetCache::new(self.formats.zone);
        let (mut text, mut record) = (Vec::new(), Vec::new());
        let mut builder = StringBuilder::with_capacity(column.len(), column.len() * 32);
        for row in 0..column.len() {
            if column.is_null(row) {
                builder.append_null();
                continue;
            }
            record.clear();
            self.row(column.columns(), row, &mut offsets, &mut text, &mut record)?;
            builder.append_value(String::from_utf8_lossy(&record));
        }
        Ok(builder.finish())
    }

    fn row(
        &self,
        columns: &[ArrayRef],
        row: usize,
        offsets: &mut OffsetCache,
        text: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        for (i, column) in columns.iter().enumerate() {
            if column.is_null(row) {
                self.cell(i, None, out);
            } else if *column.data_type() == DataType::Utf8 {
                self.cell(i, Some(column.as_string::<i32>().value(row).as_bytes()), out);
            } else {
                text.clear();
                self.formats.write(column, row, offsets, text)?;
                self.cell(i, Some(text), out);
            }
        }
        Ok(())
    }

    fn cell(&self, index: usize, value: Option<&[u8]>, out: &mut Vec<u8>) {
        if index > 0 {
            out.extend_from_slice(&self.separator);
        }
        match value {
            None => self.quoting.write(index, &self.null_value, true, out),
            Some([]) => self.quoting.write(index, &self.empty_value, true, out),
            Some(text) => self.quoting.write(index, text, false, out),
        }
    }
}

impl Quoting {
    /// Appends a value; `stand_in` says that it is the text for null or empty, whose own quotes are kept.
    fn write(&self, index: usize, text: &[u8], stand_in: bool, out: &mut Vec<u8>) {
        let mut text = text;
        while let [first, rest @ ..] = text
            && self.trim_leading
            && *first <= b' '
        {
            text = rest;
        }
        while let [rest @ .., last] = text
            && self.trim_trailing
            && *last <= b' '
        {
            text = rest;
        }
        if !self.all && !self.must_quote(index, text) {
            return out.extend_from_slice(text);
        }
        if stand_in && text.len() >= 2 && text.first() == Some(&self.quote) && text.last() == Some(&self.quote) {
            return out.extend_from_slice(text);
        }
        out.push(self.quote);
        for b in text {
            if *b == self.quote {
                out.push(self.escape);
            } else if *b == self.escape && self.escape_escape != 0 {
                out.push(self.escape_escape);
            }
            out.push(*b);
        }
        out.push(self.quote);
    }

    fn must_quote(&self, index: usize, text: &[u8]) -> bool {
        let Some(first) = text.first() else { return false };
        if *first == self.quote || (index == 0 && *first == self.comment) {
            return true;
        }
        let triggers = |b: &u8| *b == b'\n' || *b == b'\r' || (self.on_quotes && *b == self.quote);
        let separated = match self.separator[..] {
            [one] => text.contains(&one),
            _ => memchr::memmem::find(text, &self.separator).is_some(),
        };
        separated || text.iter().any(triggers)
    }
}

fn value<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn write_int(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

impl Formats {
    /// A value that is neither null nor a string.
    fn write(&self, array: &ArrayRef, row: usize, offsets: &mut OffsetCache, out: &mut Vec<u8>) -> Result<()> {
        match array.data_type() {
            DataType::Boolean => out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" }),
            DataType::Int8 => write_int(value::<Int8Type>(array, row), out),
            DataType::Int16 => write_int(value::<Int16Type>(array, row), out),
            DataType::Int32 => write_int(value::<Int32Type>(array, row), out),
            DataType::Int64 => write_int(value::<Int64Type>(array, row), out),
            DataType::Float32 => number::write_f32(value::<Float32Type>(array, row), out),
            DataType::Float64 => number::write_f64(value::<Float64Type>(array, row), out),
            DataType::Decimal128(_, scale) => {
                number::write_big_decimal(value::<Decimal128Type>(array, row), *scale, out)
            }
            DataType::Binary => write_bytes(array.as_binary::<i32>().value(row), out),
            DataType::Duration(TimeUnit::Microsecond) => {
                interval::write_day_time(value::<DurationMicrosecondType>(array, row), out);
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                interval::write_year_month(value::<IntervalYearMonthType>(array, row), out);
            }
            _ => return self.write_time(array, row, offsets, out),
        }
        Ok(())
    }

    fn write_time(&self, array: &ArrayRef, row: usize, offsets: &mut OffsetCache, out: &mut Vec<u8>) -> Result<()> {
        let (format, moment) = match array.data_type() {
            DataType::Date32 => {
                let days = i64::from(value::<Date32Type>(array, row));
                let Some(format) = &self.date else {
                    write_date(days, out);
                    return Ok(());
                };
                (format, Moment::date(days))
            }
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                let us = value::<TimestampMicrosecondType>(array, row);
                (&self.timestamp, Moment::timestamp(us, offsets.offset_us(us), self.zone))
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                (&self.timestamp_ntz, Moment::timestamp_ntz(value::<TimestampMicrosecondType>(array, row)))
            }
            other => return Err(Error::unsupported(format!("CSV cannot hold {}", sql_type_name(other)))),
        };
        let unprintable = |_| {
            let name = sql_type_name(array.data_type());
            Error::invalid(format!("the pattern '{}' cannot print {name}", format.pattern()))
        };
        format.write(&moment, out).map_err(unprintable)
    }
}

/// `[61 FF]`
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'[');
    for (i, b) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    }
    out.push(b']');
}
