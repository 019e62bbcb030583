//! The same, for whole arrays.

use std::sync::Arc;

use arrow::array::{Array, Date32Array, PrimitiveArray, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, TimeUnit, TimestampMicrosecondType};

use super::calendar::DAY_US;
use super::cast;
use super::format::Moment;
use super::pattern::DateTimeFormat;
use super::zone::{OffsetCache, Zone};
use crate::ddl::sql_type_name;
use crate::error::{Error, Result};

impl DateTimeFormat {
    /// Prints TIMESTAMP (in `zone`), TIMESTAMP_NTZ or DATE values. A DATE counts as its midnight, as `date_format` has it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the pattern asks for what the values do not have (a zone of a
    /// TIMESTAMP_NTZ), or the array has another type.
    pub fn format(&self, array: &dyn Array, zone: Zone) -> Result<StringArray> {
        let unprintable = |at: &str| Error::invalid(format!("the pattern '{}' cannot print {at}", self.pattern()));
        let mut offsets = OffsetCache::new(zone);
        if let Some(dates) = array.as_any().downcast_ref::<Date32Array>() {
            return strings(dates, |days, out| {
                let utc_us = zone.to_utc(i64::from(days) * DAY_US).unwrap_or(0);
                let moment = Moment::timestamp(utc_us, offsets.offset_us(utc_us), zone);
                self.write(&moment, out).map_err(|_| unprintable("a DATE"))
            });
        }
        let Some(times) = array.as_any().downcast_ref::<TimestampMicrosecondArray>() else {
            return Err(Error::invalid(format!("a date pattern cannot print {}", sql_type_name(array.data_type()))));
        };
        if times.timezone().is_some() {
            strings(times, |utc_us, out| {
                let moment = Moment::timestamp(utc_us, offsets.offset_us(utc_us), zone);
                self.write(&moment, out).map_err(|_| unprintable("a TIMESTAMP"))
            })
        } else {
            strings(times, |local_us, out| {
                self.write(&Moment::timestamp_ntz(local_us), out).map_err(|_| unprintable("a TIMESTAMP_NTZ"))
            })
        }
    }

    /// Reads text as TIMESTAMP; what cannot be read is null.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the pattern can only format.
    pub fn parse_timestamps(&self, array: &StringArray, zone: Zone) -> Result<TimestampMicrosecondArray> {
        self.check_parses()?;
        Ok(timestamps(array, |text| self.parse_timestamp(text, zone)))
    }

    /// Reads text as TIMESTAMP_NTZ, ignoring a zone; what cannot be read is null.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the pattern can only format.
    pub fn parse_timestamps_ntz(&self, array: &StringArray) -> Result<TimestampMicrosecondArray> {
        self.check_parses()?;
        Ok(timestamps(array, |text| self.parse_timestamp_ntz(text, true)).with_timezone_opt(None::<Arc<str>>))
    }

    /// Reads text as DATE, as `to_date` does: a text with a zone counts as the day it is in `zone`; what cannot be read is null.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the pattern can only format.
    pub fn parse_dates(&self, array: &StringArray, zone: Zone) -> Result<Date32Array> {
        self.check_parses()?;
        Ok(array.iter().map(|text| text.and_then(|t| self.parse_date_in(t, zone))).collect())
    }
}

/// `CAST(string AS TIMESTAMP)`; what cannot be read is null. `now_us` supplies the date of texts that are only a time.
pub fn cast_string_to_timestamp(array: &StringArray, zone: Zone, now_us: i64) -> TimestampMicrosecondArray {
    let today = || zone.to_local(now_us).div_euclid(DAY_US);
    timestamps(array, |text| cast::parse_timestamp(text, zone, today))
}

/// `CAST(string AS TIMESTAMP_NTZ)`; what cannot be read is null, a zone is ignored.
pub fn cast_string_to_timestamp_ntz(array: &StringArray) -> TimestampMicrosecondArray {
    timestamps(array, |text| cast::parse_timestamp_ntz(text, true)).with_timezone_opt(None::<Arc<str>>)
}

/// `CAST(string AS DATE)`; what cannot be read is null.
pub fn cast_string_to_date(array: &StringArray) -> Date32Array {
    array.iter().map(|text| text.and_then(cast::parse_date)).collect()
}

/// `CAST(timestamp AS STRING)`: `2024-01-01 00:00:10.5`, a TIMESTAMP in `zone`, a TIMESTAMP_NTZ as it is.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the array is no timestamp in microseconds.
pub fn cast_timestamp_to_string(array: &dyn Array, zone: Zone) -> Result<StringArray> {
    let DataType::Timestamp(TimeUnit::Microsecond, with_zone) = array.data_type() else {
        return Err(Error::unsupported(format!("{} is no TIMESTAMP", sql_type_name(array.data_type()))));
    };
    let times =
        array.as_any().downcast_ref::<TimestampMicrosecondArray>().ok_or_else(|| Error::unsupported("no TIMESTAMP"))?;
    let mut offsets = OffsetCache::new(if with_zone.is_some() { zone } else { Zone::UTC });
    strings(times, |us, out| {
        cast::write_timestamp(offsets.local_us(us), out);
        Ok(())
    })
}

/// `CAST(date AS STRING)`: `2024-01-01`.
///
/// # Errors
/// None but a result beyond 2 GiB.
pub fn cast_date_to_string(array: &Date32Array) -> Result<StringArray> {
    strings(array, |days, out| {
        cast::write_date(i64::from(days), out);
        Ok(())
    })
}

fn timestamps(array: &StringArray, parse: impl Fn(&str) -> Option<i64>) -> TimestampMicrosecondArray {
    let parsed: PrimitiveArray<TimestampMicrosecondType> = array.iter().map(|text| text.and_then(&parse)).collect();
    parsed.with_timezone("UTC")
}

/// One string for each value, written one after the other into one buffer.
pub(crate) fn strings<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    mut write: impl FnMut(T::Native, &mut Vec<u8>) -> Result<()>,
) -> Result<StringArray> {
    let mut data = Vec::with_capacity(array.len() * 24);
    let mut offsets: Vec<i32> = Vec::with_capacity(array.len() + 1);
    offsets.push(0);
    for (row, value) in array.values().iter().enumerate() {
        if array.is_valid(row) {
            write(*value, &mut data)?;
        }
        let end =
            i32::try_from(data.len()).map_err(|_| Error::unsupported("a column of one batch holds more than 2 GiB"))?;
        offsets.push(end);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(StringArray::try_new(offsets, Buffer::from_vec(data), array.nulls().cloned())?)
}
