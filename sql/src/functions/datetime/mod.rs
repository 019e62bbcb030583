//! Functions of dates and timestamps. A TIMESTAMP is an instant; its calendar is the session zone's. A TIMESTAMP_NTZ is a
//! calendar's time already.

use std::cell::Cell;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::Result;

use super::function::Call;
use super::rows::Column;
use super::types;
use super::zone::{MICROS_PER_SECOND, Zone};

pub(super) mod arithmetic;
pub(super) mod clock;
pub(super) mod epoch;
pub(super) mod fields;
pub(super) mod make;
pub(super) mod pattern;
pub(super) mod truncate;
pub(super) mod window_time;

/// Microseconds of an argument's calendar: a TIMESTAMP in the session's zone, a TIMESTAMP_NTZ as it is.
pub(super) struct Local<'a> {
    column: Column<'a, PrimitiveArray<TimestampMicrosecondType>>,
    zone: Zone,
    /// The quarter of an hour that was last asked about, and how far the clock is ahead of UTC in it.
    known: Cell<(i64, i64)>,
}

/// Since 1972 clocks change at whole quarters of an hour of UTC, and neighbouring rows are mostly in one.
const QUARTER: i64 = 15 * 60 * MICROS_PER_SECOND;
const SINCE_1972: i64 = 63_072_000 * MICROS_PER_SECOND;

impl<'a> Local<'a> {
    pub(super) fn new(call: &'a Call<'_>, at: usize) -> Result<Self> {
        let zone = zone_of(call, call.raw(at).data_type())?;
        Ok(Self { column: call.column(at)?, zone, known: Cell::new((i64::MIN, 0)) })
    }

    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        self.column.get(row).map(|instant| match self.zone {
            Zone::Region(_) if instant >= SINCE_1972 => instant + self.ahead(instant),
            zone => zone.local_of(instant),
        })
    }

    fn ahead(&self, instant: i64) -> i64 {
        let quarter = instant.div_euclid(QUARTER);
        let (known, ahead) = self.known.get();
        if known == quarter {
            return ahead;
        }
        let ahead = self.zone.local_of(instant) - instant;
        self.known.set((quarter, ahead));
        ahead
    }

    /// The value that the calendar's time stands for.
    pub(super) fn back(&self, local: i64) -> i64 {
        self.zone.instant_of(local)
    }
}

/// The zone in which a timestamp type's values are read.
pub(super) fn zone_of(call: &Call<'_>, data_type: &DataType) -> Result<Zone> {
    if *data_type == types::timestamp_ntz() { Ok(Zone::Fixed(0)) } else { call.zone() }
}

/// Timestamps of the call's type.
pub(super) fn timestamps(call: &Call<'_>, value: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let array = super::rows::values::<TimestampMicrosecondType>(call.rows, value)?;
    Ok(std::sync::Arc::new(array.with_data_type(call.returns.clone())))
}

/// A constant string argument, if it is one and not null.
pub(super) fn constant_text<'a>(call: &'a Call<'_>, at: usize) -> Option<&'a str> {
    let array = call.raw(at);
    let text = array.as_string_opt::<i32>()?;
    (call.is_constant(at) && text.len() == 1 && text.is_valid(0)).then(|| text.value(0))
}
