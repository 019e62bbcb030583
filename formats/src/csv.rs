//! CSV to Arrow and back, with Spark's rules, which are those of the univocity parser.
//!
//! The `csv` crate is not used: Spark escapes with a backslash by default, keeps the raw text of a value whose quotes are
//! not closed where they should be, tells a quoted empty value from an unquoted one, and reads records with too few or too
//! many values.
//!
//! * [`CsvDecoder`]: files to Arrow, driven by the schema.
//! * [`infer_schema`]: the schema that Spark would infer, names from the header included.
//! * [`CsvEncoder`]: rows to Spark's CSV.

mod decode;
mod decoder;
mod encode;
mod infer;
mod options;
#[cfg(test)]
mod tests;
mod tokenize;

pub use decoder::CsvDecoder;
pub use encode::CsvEncoder;
pub use infer::infer_schema;
pub use options::{CsvOptions, UnescapedQuotes};
