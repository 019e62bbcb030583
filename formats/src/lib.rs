//! JSON, CSV, text, DDL types and Java date patterns, to and from Arrow, with the answers of Spark 4.3.
//!
//! SQL functions (`from_json`, `date_format`, casts) and connectors (the file source and sink) use the same code here, so
//! that a value reads the same wherever it comes from.
//!
//! * [`ddl`]: `a INT, b STRUCT<x: STRING>` to a schema and back.
//! * [`json`]: lines, files and columns of JSON; inference; Spark's writer and the console's.
//! * [`csv`], [`text`]: the same for CSV, and lines of text.
//! * [`java_time`]: date and time patterns, casts between strings and timestamps, time zones.
//! * [`options`]: option maps from which each reader takes what it knows.
//! * [`number`], [`types`]: how Java prints numbers; how Spark's types are spelled in Arrow.
//!
//! What this crate does not know: DataFusion, files, object stores, sessions.
//!
//! Read next: `json.rs` → `json/decoder.rs` → `json/decode.rs`; `java_time.rs` → `java_time/pattern.rs`.

mod base64;
mod builder;
pub mod csv;
pub mod ddl;
mod error;
#[cfg(test)]
mod fixtures;
mod interval;
pub mod java_time;
pub mod json;
mod lines;
pub mod number;
pub mod options;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod spark_tests;
pub mod text;
pub mod text_table;
pub mod types;

pub use error::{Error, ErrorKind, Position, Result};
