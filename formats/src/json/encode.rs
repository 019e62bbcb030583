//! Rows to JSON. A tree of writers is bound to a batch's arrays once; rows then go through it without a look at types.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Field, Fields, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, Schema, TimeUnit,
    TimestampMicrosecondType,
};

use super::escape::{indent, write_json_string};
use super::options::JsonOptions;
use crate::base64;
use crate::ddl::sql_type_name;
use crate::error::{Error, Result};
use crate::interval;
use crate::java_time::calendar::Civil;
use crate::java_time::cast::{write_date, write_hms, write_padded};
use crate::java_time::format::Moment;
use crate::java_time::{DateTimeFormat, OffsetCache, Zone};
use crate::lines::Encoding;
use crate::number;
use crate::types::map_entries;

/// Writes rows as Spark does, for files and `to_json`: null fields left out, timestamps with milliseconds and offset in the
/// session's zone, doubles as Java prints them, binary in Base64.
#[derive(Debug, Clone)]
pub struct JsonEncoder {
    style: Style,
    line_sep: Vec<u8>,
    pretty: bool,
    encoding: Encoding,
}

/// How values are spelled.
#[derive(Debug, Clone)]
pub(super) enum Style {
    Spark(Box<SparkStyle>),
    /// The console's: see [`write_console_json`](super::write_console_json).
    Console,
}

/// What Spark's spelling depends on.
#[derive(Debug, Clone)]
pub(super) struct SparkStyle {
    timestamp: DateTimeFormat,
    timestamp_ntz: DateTimeFormat,
    date: Option<DateTimeFormat>,
    zone: Zone,
    keep_nulls: bool,
    escape_non_ascii: bool,
    sort_keys: bool,
}

impl Style {
    fn zone(&self) -> Zone {
        if let Self::Spark(spark) = self { spark.zone } else { Zone::UTC }
    }

    fn skips_nulls(&self) -> bool {
        matches!(self, Self::Spark(spark) if !spark.keep_nulls)
    }

    fn sorts_keys(&self) -> bool {
        matches!(self, Self::Spark(spark) if spark.sort_keys)
    }

    fn escapes_non_ascii(&self) -> bool {
        matches!(self, Self::Spark(spark) if spark.escape_non_ascii)
    }
}

impl JsonEncoder {
    /// An encoder for rows of this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a type that JSON cannot hold or an unknown encoding.
    pub fn new(schema: &Schema, options: &JsonOptions) -> Result<Self> {
        for field in schema.fields() {
            check(field)?;
        }
        let or = |given: &Option<DateTimeFormat>, default| {
            given.clone().map_or_else(|| DateTimeFormat::compile(default), Ok)
        };
        let style = Style::Spark(Box::new(SparkStyle {
            timestamp: or(&options.timestamp_format, "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXXXX]")?,
            timestamp_ntz: or(&options.timestamp_ntz_format, "yyyy-MM-dd'T'HH:mm:ss[.SSS]")?,
            date: options.date_format.clone(),
            zone: options.zone,
            keep_nulls: !options.ignore_null_fields,
            escape_non_ascii: options.escape_non_ascii,
            sort_keys: options.sort_keys,
        }));
        let line_sep = options.line_sep.as_deref().unwrap_or("\n").as_bytes().to_vec();
        let encoding = Encoding::parse(options.encoding.as_deref())?;
        Ok(Self { style, line_sep, pretty: options.pretty, encoding })
    }

    /// Appends one line a row.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a pattern asks for what the values do not have.
    pub fn encode_batch(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let mut writer = Writer::object(batch.schema_ref().fields(), batch.columns(), None, &self.style)?;
        let start = out.len();
        for row in 0..batch.num_rows() {
            self.encode_value(&mut writer, row, out)?;
            out.extend_from_slice(&self.line_sep);
        }
        self.encoding.encode_from(start, out);
        Ok(())
    }

    /// `to_json`: structs, arrays and maps to their texts; null stays null.
    ///
    /// # Errors
    /// As [`JsonEncoder::encode_batch`], and for a column of another type.
    pub fn encode_column(&self, column: &ArrayRef) -> Result<StringArray> {
        check(&Field::new("value", column.data_type().clone(), true))?;
        if !column.data_type().is_nested() {
            return Err(Error::invalid(format!(
                "to_json takes a struct, an array or a map, not {}",
                sql_type_name(column.data_type())
            )));
        }
        let mut writer = Writer::new(column, &self.style)?;
        let mut data = Vec::with_capacity(column.len() * 64);
        let mut offsets = Vec::with_capacity(column.len() + 1);
        offsets.push(0i32);
        for row in 0..column.len() {
            if column.is_valid(row) {
                self.encode_value(&mut writer, row, &mut data)?;
            }
            offsets.push(
                i32::try_from(data.len())
                    .map_err(|_| Error::unsupported("a column of one batch holds more than 2 GiB"))?,
            );
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(StringArray::try_new(offsets, Buffer::from_vec(data), column.nulls().cloned())?)
    }

    fn encode_value(&self, writer: &mut Writer<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        writer.write(row, out)?;
        if self.pretty {
            let compact = out.split_off(start);
            indent(&compact, out);
        }
        Ok(())
    }
}

fn check(field: &Field) -> Result<()> {
    match field.data_type() {
        DataType::Struct(fields) => fields.iter().try_for_each(|f| check(f)),
        DataType::List(element) => check(element),
        DataType::Map(entries, _) => map_entries(entries).map_or(Ok(()), |(k, v)| check(k).and_then(|()| check(v))),
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Microsecond, _)
        | DataType::Duration(TimeUnit::Microsecond)
        | DataType::Interval(IntervalUnit::YearMonth) => Ok(()),
        other => Err(Error::unsupported(format!("column {}: JSON cannot hold {}", field.name(), sql_type_name(other)))),
    }
}

/// One column, ready to write any of its rows.
pub(super) struct Writer<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
    style: &'a Style,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], i8),
    String(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a [i32]),
    Timestamp(&'a [i64], OffsetCache),
    TimestampNtz(&'a [i64]),
    Duration(&'a [i64]),
    Months(&'a [i32]),
    /// Each field's key, quoted and with its colon, and its values.
    Struct(Vec<(Vec<u8>, Writer<'a>)>),
    List(&'a [i32], Box<Writer<'a>>),
    Map(&'a [i32], Box<Writer<'a>>, Box<Writer<'a>>),
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> &[T::Native] {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.values()
}

impl<'a> Writer<'a> {
    pub(super) fn new(array: &'a ArrayRef, style: &'a Style) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(primitive::<Int8Type>(array)),
            DataType::Int16 => Values::Int16(primitive::<Int16Type>(array)),
            DataType::Int32 => Values::Int32(primitive::<Int32Type>(array)),
            DataType::Int64 => Values::Int64(primitive::<Int64Type>(array)),
            DataType::Float32 => Values::Float32(primitive::<Float32Type>(array)),
            DataType::Float64 => Values::Float64(primitive::<Float64Type>(array)),
            DataType::Decimal128(_, scale) => Values::Decimal(primitive::<Decimal128Type>(array), *scale),
            DataType::Utf8 => Values::String(array.as_string()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::Date32 => Values::Date(primitive::<Date32Type>(array)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Values::Timestamp(primitive::<TimestampMicrosecondType>(array), OffsetCache::new(style.zone()))
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Values::TimestampNtz(primitive::<TimestampMicrosecondType>(array))
            }
            DataType::Duration(TimeUnit::Microsecond) => Values::Duration(primitive::<DurationMicrosecondType>(array)),
            DataType::Interval(IntervalUnit::YearMonth) => Values::Months(primitive::<IntervalYearMonthType>(array)),
            DataType::Struct(fields) => {
                let array: &StructArray = array.as_struct();
                return Self::object(fields, array.columns(), array.nulls(), style);
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(list.value_offsets(), Box::new(Self::new(list.values(), style)?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Values::Map(
                    map.value_offsets(),
                    Box::new(Self::new(map.keys(), style)?),
                    Box::new(Self::new(map.values(), style)?),
                )
            }
            other => {
                return Err(Error::unsupported(format!("JSON cannot hold {}", sql_type_name(other))));
            }
        };
        Ok(Self { nulls: array.nulls(), values, style })
    }

    pub(super) fn object(
        fields: &Fields,
        columns: &'a [ArrayRef],
        nulls: Option<&'a NullBuffer>,
        style: &'a Style,
    ) -> Result<Self> {
        let non_ascii = style.escapes_non_ascii();
        let mut members = Vec::with_capacity(fields.len());
        for (field, column) in fields.iter().zip(columns) {
            let mut key = Vec::new();
            write_json_string(field.name().as_bytes(), non_ascii, &mut key);
            key.push(b':');
            members.push((key, Self::new(column, style)?));
        }
        Ok(Self { nulls, values: Values::Struct(members), style })
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|n| n.is_null(row))
    }

    /// Appends the row's value.
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &mut self.values {
            Values::Struct(members) => {
                let skip_nulls = self.style.skips_nulls();
                out.push(b'{');
                let mut first = true;
                for (key, values) in members {
                    if skip_nulls && values.is_null(row) {
                        continue;
                    }
                    if !first {
                        out.push(b',');
                    }
                    first = false;
                    out.extend_from_slice(key);
                    values.write(row, out)?;
                }
                out.push(b'}');
            }
            Values::List(offsets, elements) => {
                out.push(b'[');
                for (i, at) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    elements.write(at as usize, out)?;
                }
                out.push(b']');
            }
            Values::Map(offsets, keys, values) => {
                out.push(b'{');
                let entries = offsets[row] as usize..offsets[row + 1] as usize;
                let mut write_entry = |nth: usize, at: usize, keys: &mut Writer<'_>| {
                    if nth > 0 {
                        out.push(b',');
                    }
                    keys.write_key(at, out)?;
                    out.push(b':');
                    values.write(at, out)
                };
                if self.style.sorts_keys() {
                    let sorted = keys.in_order_of_keys(entries)?;
                    sorted.into_iter().enumerate().try_for_each(|(nth, at)| write_entry(nth, at, keys))?;
                } else {
                    entries.enumerate().try_for_each(|(nth, at)| write_entry(nth, at, keys))?;
                }
                out.push(b'}');
            }
            _ => return self.write_scalar(row, out),
        }
        Ok(())
    }

    fn write_scalar(&mut self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &mut self.values {
            Values::Boolean(v) => out.extend_from_slice(if v.value(row) { b"true" } else { b"false" }),
            Values::Int8(v) => write_int(v[row], out),
            Values::Int16(v) => write_int(v[row], out),
            Values::Int32(v) => write_int(v[row], out),
            Values::Int64(v) => write_int(v[row], out),
            Values::Float32(v) => quoted_if(!v[row].is_finite(), out, |out| number::write_f32(v[row], out)),
            Values::Float64(v) => quoted_if(!v[row].is_finite(), out, |out| number::write_f64(v[row], out)),
            Values::Decimal(v, scale) => match self.style {
                Style::Spark(_) => number::write_big_decimal(v[row], *scale, out),
                Style::Console => quoted_if(true, out, |out| number::write_decimal_plain(v[row], *scale, out)),
            },
            Values::String(v) => {
                let non_ascii = self.style.escapes_non_ascii();
                write_json_string(v.value(row).as_bytes(), non_ascii, out);
            }
            Values::Binary(v) => quoted_if(true, out, |out| match self.style {
                Style::Spark(_) => base64::encode(v.value(row), out),
                Style::Console => write_hex(v.value(row), out),
            }),
            Values::Duration(v) => match self.style {
                Style::Spark(_) => quoted_if(true, out, |out| interval::write_day_time(v[row], out)),
                Style::Console => write_int(v[row], out),
            },
            Values::Months(v) => quoted_if(true, out, |out| interval::write_year_month(v[row], out)),
            _ => return self.write_time(row, out),
        }
        Ok(())
    }

    fn write_time(&mut self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'"');
        match (&mut self.values, self.style) {
            (Values::Timestamp(v, _) | Values::TimestampNtz(v), Style::Console) => write_iso_micros(v[row], out),
            (Values::Date(v), Style::Console) => write_date(i64::from(v[row]), out),
            (Values::Date(v), Style::Spark(spark)) => match &spark.date {
                None => write_date(i64::from(v[row]), out),
                Some(format) => {
                    let moment = Moment::date(i64::from(v[row]));
                    format.write(&moment, out).map_err(|_| unprintable(format, "a DATE"))?;
                }
            },
            (Values::Timestamp(v, offsets), Style::Spark(spark)) => {
                let moment = Moment::timestamp(v[row], offsets.offset_us(v[row]), spark.zone);
                spark.timestamp.write(&moment, out).map_err(|_| unprintable(&spark.timestamp, "a TIMESTAMP"))?;
            }
            (Values::TimestampNtz(v), Style::Spark(spark)) => {
                let moment = Moment::timestamp_ntz(v[row]);
                let format = &spark.timestamp_ntz;
                format.write(&moment, out).map_err(|_| unprintable(format, "a TIMESTAMP_NTZ"))?;
            }
            _ => {}
        }
        out.push(b'"');
        Ok(())
    }

    /// Rows in the order of their keys' text.
    fn in_order_of_keys(&mut self, rows: std::ops::Range<usize>) -> Result<Vec<usize>> {
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows {
            let mut key = Vec::new();
            self.write_key(row, &mut key)?;
            keyed.push((key, row));
        }
        keyed.sort();
        Ok(keyed.into_iter().map(|(_, row)| row).collect())
    }

    /// A map's key, which JSON wants to be a string. Spark prints dates and timestamps as the numbers they are.
    fn write_key(&mut self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match (&mut self.values, self.style) {
            // As Java prints a row.
            (Values::Struct(members), Style::Spark(_)) => {
                let mut text = vec![b'['];
                for (at, (_, values)) in members.iter_mut().enumerate() {
                    if at > 0 {
                        text.push(b',');
                    }
                    match &values.values {
                        Values::String(strings) if !values.is_null(row) => {
                            text.extend_from_slice(strings.value(row).as_bytes())
                        }
                        _ => values.write(row, &mut text)?,
                    }
                }
                text.push(b']');
                write_json_string(&text, false, out);
                Ok(())
            }
            (Values::String(_), _) => self.write(row, out),
            (Values::Date(v), Style::Spark(_)) => {
                quoted_if(true, out, |out| write_int(v[row], out));
                Ok(())
            }
            (Values::Timestamp(v, _) | Values::TimestampNtz(v), Style::Spark(_)) => {
                quoted_if(true, out, |out| write_int(v[row], out));
                Ok(())
            }
            _ => {
                let mut text = Vec::new();
                self.write(row, &mut text)?;
                let inner = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\""));
                match inner {
                    Some(inner) => quoted_if(true, out, |out| out.extend_from_slice(inner)),
                    None => write_json_string(&text, false, out),
                }
                Ok(())
            }
        }
    }
}

fn unprintable(format: &DateTimeFormat, what: &str) -> Error {
    Error::invalid(format!("the pattern '{}' cannot print {what}", format.pattern()))
}

fn write_int(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn quoted_if(quoted: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if quoted {
        out.push(b'"');
    }
    write(out);
    if quoted {
        out.push(b'"');
    }
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for b in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    }
}

/// `2024-01-01T00:00:10.000000Z`
fn write_iso_micros(us: i64, out: &mut Vec<u8>) {
    let civil = Civil::from_micros(us);
    write_date(civil.days, out);
    out.push(b'T');
    write_hms(&civil, out);
    out.push(b'.');
    write_padded(u64::from(civil.micros), 6, out);
    out.push(b'Z');
}
