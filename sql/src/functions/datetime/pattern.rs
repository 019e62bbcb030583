//! date_format, to_timestamp, to_date, unix_timestamp, from_unixtime: dates by Java's patterns.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use millstream_formats::java_time::DateTimeFormat;

use super::clock::now;
use super::timestamps;
use crate::functions::cast;
use crate::functions::error::{fails, wrapped};
use crate::functions::function::Call;
use crate::functions::rows::{Column, numbers};
use crate::functions::types;
use crate::functions::zone::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// The pattern where a function is given none.
const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

/// Compiled patterns by their text; a query has few.
static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);

/// By pattern and use.
type Compiled = HashMap<(String, Purpose), Arc<DateTimeFormat>>;

/// What a pattern is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Printing,
    Parsing,
    /// As `Parsing`, for a time without a zone, which Spark 2 did not have.
    ParsingNtz,
}

const MOST_COMPILED: usize = 256;

fn compile(pattern: &str, purpose: Purpose) -> Result<Arc<DateTimeFormat>> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (pattern.to_string(), purpose);
    if let Some(format) = compiled.get(&key) {
        return Ok(Arc::clone(format));
    }
    let format = match purpose {
        Purpose::Printing => DateTimeFormat::compile(pattern),
        Purpose::Parsing | Purpose::ParsingNtz => DateTimeFormat::compile_for_parsing(pattern),
    };
    let format = Arc::new(format.map_err(|error| unknown_pattern(pattern, purpose, &error.to_string()))?);
    if compiled.len() >= MOST_COMPILED {
        compiled.clear();
    }
    compiled.insert(key, Arc::clone(&format));
    Ok(format)
}

/// What a wrong pattern is to be read as, by Spark's conditions: one that Spark 2 read has another than one that nobody reads.
fn unknown_pattern(pattern: &str, purpose: Purpose, message: &str) -> DataFusionError {
    let letters = letters_of(pattern);
    let has = |wanted: &str| letters.as_ref().is_some_and(|letters| letters.contains(|c| wanted.contains(c)));
    let condition = if purpose == Purpose::ParsingNtz {
        "INVALID_DATETIME_PATTERN.WITH_SUGGESTION"
    } else if is_of_spark_2(letters.as_deref()) {
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"
    } else if has("YWwuec") {
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN"
    } else if has("ABnNp") || (purpose == Purpose::Parsing && has("EFqQ")) {
        "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"
    } else {
        "INVALID_DATETIME_PATTERN.WITH_SUGGESTION"
    };
    fails(condition, message)
}

/// The letters of a pattern that are not in quotes; `None` where a quote is not closed.
fn letters_of(pattern: &str) -> Option<String> {
    let parts: Vec<&str> = pattern.split('\'').collect();
    (parts.len() % 2 == 1)
        .then(|| parts.into_iter().step_by(2).flat_map(str::chars).filter(char::is_ascii_alphabetic).collect())
}

/// Whether Java's SimpleDateFormat, which Spark 2 used, knows all letters.
fn is_of_spark_2(letters: Option<&str>) -> bool {
    letters.is_some_and(|letters| {
        letters.chars().all(|c| "GyYMLwWDdFEuaHkKhmsSzZX".contains(c)) && !letters.contains("XXXX")
    })
}

/// The pattern of each row.
struct Formats<'a> {
    column: Option<Column<'a, StringArray>>,
    fixed: Option<Arc<DateTimeFormat>>,
    purpose: Purpose,
}

impl<'a> Formats<'a> {
    fn new(call: &'a Call<'_>, at: usize, purpose: Purpose) -> Result<Self> {
        let column = if call.has(at) { Some(call.column::<StringArray>(at)?) } else { None };
        let fixed = match &column {
            None => Some(compile(DEFAULT, purpose)?),
            // A wrong pattern is no error where there is nothing to print or read.
            Some(column) if call.raw(0).null_count() < call.raw(0).len() => {
                column.constant().map(|p| compile(p, purpose)).transpose()?
            }
            Some(_) => None,
        };
        Ok(Self { column, fixed, purpose })
    }

    /// The pattern for a row's value, if both are there.
    fn of(&self, source: &dyn Array, row: usize) -> Result<Option<Arc<DateTimeFormat>>> {
        if source.is_null(row) {
            return Ok(None);
        }
        match (&self.fixed, &self.column) {
            (Some(format), _) => Ok(Some(Arc::clone(format))),
            (None, Some(column)) => column.get(row).map(|p| compile(p, self.purpose)).transpose(),
            (None, None) => Ok(None),
        }
    }
}

/// `date_format(x, pattern)`.
pub(in crate::functions) fn date_format(call: &Call<'_>) -> Result<ArrayRef> {
    formatted(call, &call.array(0)?)
}

/// `from_unixtime(seconds [, pattern])`.
pub(in crate::functions) fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.column::<Int64Array>(0)?;
    let micros: TimestampMicrosecondArray =
        (0..call.rows).map(|row| seconds.get(row).map(|s| s.wrapping_mul(MICROS_PER_SECOND))).collect();
    formatted(call, &(Arc::new(micros.with_data_type(types::timestamp())) as ArrayRef))
}

fn formatted(call: &Call<'_>, source: &ArrayRef) -> Result<ArrayRef> {
    let formats = Formats::new(call, 1, Purpose::Printing)?;
    let zone = call.zone()?.to_java()?;
    if let Some(format) = &formats.fixed {
        return Ok(Arc::new(format.format(source, zone).map_err(wrapped)?));
    }
    let printed = (0..call.rows).map(|row| {
        let Some(format) = formats.of(source, row)? else { return Ok(None) };
        let text = format.format(&source.slice(row, 1), zone).map_err(wrapped)?;
        Ok(text.is_valid(0).then(|| text.value(0).to_string()))
    });
    Ok(Arc::new(printed.collect::<Result<StringArray>>()?))
}

/// What a text that cannot be read makes of its row.
type OnUnread = fn(&str, &str) -> Result<Option<i64>>;

fn fail(text: &str, function: &str) -> Result<Option<i64>> {
    let _ = function;
    Err(unparsed(text))
}

fn null(_: &str, _: &str) -> Result<Option<i64>> {
    Ok(None)
}

fn unparsed(text: &str) -> DataFusionError {
    fails(
        "CANNOT_PARSE_TIMESTAMP",
        format!(
            "Text '{text}' could not be parsed. Use `try_to_timestamp` to tolerate invalid input string and return NULL instead."
        ),
    )
}

/// A string by a pattern, or a date or timestamp.
pub(in crate::functions) fn parsed(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..) => Some(t.clone()),
        DataType::Null => Some(DataType::Utf8),
        _ => None,
    }
}

/// As [`parsed`], or a number of seconds.
pub(in crate::functions) fn parsed_or_number(t: &DataType) -> Option<DataType> {
    if types::is_numeric(t) { Some(t.clone()) } else { parsed(t) }
}

/// As [`parsed`]; a number is a text like any other.
pub(in crate::functions) fn parsed_or_printed(t: &DataType) -> Option<DataType> {
    if types::is_numeric(t) { Some(DataType::Utf8) } else { parsed(t) }
}

/// `to_timestamp(x [, pattern])`.
pub(in crate::functions) fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    read_timestamps(call, fail)
}

/// `try_to_timestamp(x [, pattern])`.
pub(in crate::functions) fn try_to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    read_timestamps(call, null)
}

fn read_timestamps(call: &Call<'_>, on_unread: OnUnread) -> Result<ArrayRef> {
    let zone = call.zone()?;
    let source = call.array(0)?;
    let Some(text) = source.as_string_opt::<i32>().filter(|_| call.has(1)) else {
        return cast_or(call, &source, on_unread);
    };
    let java = zone.to_java()?;
    let is_ntz = *call.returns == types::timestamp_ntz();
    by_pattern(call, text, on_unread, |format, text| {
        if is_ntz { format.parse_timestamp_ntz(text, true) } else { format.parse_timestamp(text, java) }
    })
}

fn by_pattern(
    call: &Call<'_>,
    text: &StringArray,
    on_unread: OnUnread,
    read: impl Fn(&DateTimeFormat, &str) -> Option<i64>,
) -> Result<ArrayRef> {
    let is_ntz = *call.returns == types::timestamp_ntz() && call.name == "to_timestamp_ntz";
    let formats = Formats::new(call, 1, if is_ntz { Purpose::ParsingNtz } else { Purpose::Parsing })?;
    timestamps(call, |row| {
        let Some(format) = formats.of(text, row)? else { return Ok(None) };
        match read(&format, text.value(row)) {
            Some(value) => Ok(Some(value)),
            None => on_unread(text.value(row), call.name),
        }
    })
}

/// Without a pattern these functions are casts; the forms that try give null for what cannot be read.
fn cast_or(call: &Call<'_>, source: &ArrayRef, on_unread: OnUnread) -> Result<ArrayRef> {
    let is_trying = on_unread("", call.name).is_ok();
    let zone = call.zone()?;
    if is_trying { cast::try_to(source, call.returns, &zone) } else { cast::to(source, call.returns, &zone) }
}

/// `to_date(x [, pattern])`.
pub(in crate::functions) fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    read_dates(call, fail)
}

/// `try_to_date(x [, pattern])`.
pub(in crate::functions) fn try_to_date(call: &Call<'_>) -> Result<ArrayRef> {
    read_dates(call, null)
}

fn read_dates(call: &Call<'_>, on_unread: OnUnread) -> Result<ArrayRef> {
    let source = call.array(0)?;
    let Some(text) = source.as_string_opt::<i32>().filter(|_| call.has(1)) else {
        return cast_or(call, &source, on_unread);
    };
    let zone = call.zone()?;
    let java = zone.to_java()?;
    let formats = Formats::new(call, 1, Purpose::Parsing)?;
    numbers::<Date32Type>(call.rows, |row| {
        let Some(format) = formats.of(text, row)? else { return Ok(None) };
        match format.parse_timestamp(text.value(row), java) {
            Some(instant) => Ok(Some(zone.local_of(instant).div_euclid(MICROS_PER_DAY) as i32)),
            None => Ok(on_unread(text.value(row), call.name)?.map(|d| d as i32)),
        }
    })
}

/// `unix_timestamp([x [, pattern]])`: seconds since 1970; of now without an argument.
pub(in crate::functions) fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if !call.has(0) {
        let seconds = now().div_euclid(MICROS_PER_SECOND);
        return numbers::<Int64Type>(call.rows, |_| Ok(Some(seconds)));
    }
    let zone = call.zone()?;
    let source = call.array(0)?;
    if let Some(text) = source.as_string_opt::<i32>() {
        let java = zone.to_java()?;
        let formats = Formats::new(call, 1, Purpose::Parsing)?;
        return numbers::<Int64Type>(call.rows, |row| {
            let Some(format) = formats.of(text, row)? else { return Ok(None) };
            let instant = format.parse_timestamp(text.value(row), java).ok_or_else(|| unparsed(text.value(row)))?;
            Ok(Some(instant.div_euclid(MICROS_PER_SECOND)))
        });
    }
    // A TIMESTAMP_NTZ counts as UTC's, whatever the session's zone.
    let is_ntz = *source.data_type() == types::timestamp_ntz();
    let instants = if is_ntz { source.clone() } else { cast::to(&source, &types::timestamp(), &zone)? };
    let column = Column::new(instants.as_primitive::<TimestampMicrosecondType>(), false);
    // Spark cuts towards zero here.
    numbers::<Int64Type>(call.rows, |row| Ok(column.get(row).map(|t| t / MICROS_PER_SECOND)))
}
