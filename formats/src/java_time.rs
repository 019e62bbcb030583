//! Dates and times as text: Java's `DateTimeFormatter` patterns with Spark's restrictions, and CAST's own forms.
//!
//! [`DateTimeFormat`] is compiled once and then formats or parses whole arrays. [`cast`] holds what needs no pattern. All
//! arithmetic is in microseconds on the proleptic Gregorian calendar, as in Spark.

mod arrays;
pub(crate) mod calendar;
pub mod cast;
pub(crate) mod format;
mod names;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;
mod zone;

pub use arrays::{
    cast_date_to_string, cast_string_to_date, cast_string_to_timestamp, cast_string_to_timestamp_ntz,
    cast_timestamp_to_string,
};
pub use cast::{parse_date, parse_timestamp, parse_timestamp_ntz};
pub use pattern::DateTimeFormat;
pub(crate) use zone::OffsetCache;
pub use zone::Zone;
