//! JSON to Arrow and back, with Spark's rules.
//!
//! arrow-json is not used: Spark forgives field by field (a value that does not fit gives null for that field, the rest of
//! the record is kept and the record counts as corrupt), keeps the raw text of nested values read as STRING, takes Jackson's
//! liberties with the syntax, and reads many forms of timestamps; none of that can be asked of arrow-json's tape.
//!
//! * [`JsonDecoder`]: lines, whole files or a column of strings to Arrow, driven by the schema.
//! * [`infer_schema`]: the schema that Spark would infer.
//! * [`JsonEncoder`]: rows to Spark's JSON, for files and `to_json`.
//! * [`write_console_json`]: rows to the JSON of the console sink, made for scripts.

mod console;
mod decode;
mod decoder;
mod encode;
mod escape;
mod infer;
mod options;
mod rewrite;
mod scan;
#[cfg(test)]
mod tests;
mod value;

pub use console::write_console_json;
pub use decoder::JsonDecoder;
pub use encode::JsonEncoder;
pub use infer::{infer_schema, infer_type};
pub use options::JsonOptions;
pub(crate) use value::Value;
