//! What Spark's JSON reader and writer can be told.

use super::scan::Syntax;
use crate::error::{Error, Result};
use crate::java_time::{DateTimeFormat, Zone};
use crate::options::{OptionMap, ParseMode};

/// Spark's options for JSON, read and write together. [`Default`] is Spark's default.
#[derive(Debug, Clone)]
pub struct JsonOptions {
    /// `mode`: what happens to records that do not fit.
    pub mode: ParseMode,
    /// `columnNameOfCorruptRecord`: the STRING column, if the schema has it, that receives the raw text of such a record.
    pub corrupt_record_column: String,
    /// `timestampFormat`; without it ISO-8601 and everything that CAST takes is read, and ISO-8601 with milliseconds written.
    pub timestamp_format: Option<DateTimeFormat>,
    /// `timestampNTZFormat`.
    pub timestamp_ntz_format: Option<DateTimeFormat>,
    /// `dateFormat`.
    pub date_format: Option<DateTimeFormat>,
    /// `timeZone`, by default the session's.
    pub zone: Zone,
    /// `multiLine`: a file is one JSON value instead of one a line.
    pub multi_line: bool,
    /// `lineSep`: by default `\n`, `\r\n` and `\r` when reading, `\n` when writing.
    pub line_sep: Option<String>,
    /// `encoding` or `charset`, by default UTF-8.
    pub encoding: Option<String>,
    /// `primitivesAsString`: inference makes every scalar a STRING.
    pub primitives_as_string: bool,
    /// `prefersDecimal`: inference makes fractions DECIMAL where they fit.
    pub prefers_decimal: bool,
    /// `dropFieldIfAllNull`: inference leaves out fields that are never set.
    pub drop_field_if_all_null: bool,
    /// `inferTimestamp`: inference recognises timestamps in strings.
    pub infer_timestamp: bool,
    /// `samplingRatio`: the share of records that inference looks at.
    pub sampling_ratio: f64,
    /// `ignoreNullFields`: the writer leaves null fields out (the default).
    pub ignore_null_fields: bool,
    /// `sortKeys`: the writer puts a map's entries in order of their keys.
    pub sort_keys: bool,
    /// `pretty`: the writer indents.
    pub pretty: bool,
    /// `writeNonAsciiCharacterAsCodePoint`: the writer escapes everything beyond ASCII.
    pub escape_non_ascii: bool,
    pub(crate) syntax: Syntax,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            mode: ParseMode::Permissive,
            corrupt_record_column: "_corrupt_record".to_owned(),
            timestamp_format: None,
            timestamp_ntz_format: None,
            date_format: None,
            zone: Zone::UTC,
            multi_line: false,
            line_sep: None,
            encoding: None,
            primitives_as_string: false,
            prefers_decimal: false,
            drop_field_if_all_null: false,
            infer_timestamp: false,
            sampling_ratio: 1.0,
            ignore_null_fields: true,
            sort_keys: false,
            pretty: false,
            escape_non_ascii: false,
            syntax: Syntax {
                comments: false,
                unquoted_names: false,
                single_quotes: true,
                leading_zeros: false,
                non_numeric: true,
                any_escape: false,
                control_chars: false,
            },
        }
    }
}

impl JsonOptions {
    /// Takes the options that are JSON's out of `options`, leaving the others.
    ///
    /// `session_zone` applies unless `timeZone` is given.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the option whose value cannot be.
    pub fn take(options: &mut OptionMap, session_zone: Zone) -> Result<Self> {
        let mut result = Self { zone: session_zone, mode: ParseMode::take(options), ..Self::default() };
        let pattern = |text: Option<String>| text.map(|p| DateTimeFormat::compile(&p)).transpose();
        result.timestamp_format = pattern(options.take("timestampFormat"))?;
        result.timestamp_ntz_format = pattern(options.take("timestampNTZFormat"))?;
        result.date_format = pattern(options.take("dateFormat"))?;
        if let Some(name) = options.take("timeZone") {
            result.zone = Zone::parse(&name)?;
        }
        if let Some(name) = options.take("columnNameOfCorruptRecord") {
            result.corrupt_record_column = name;
        }
        result.line_sep = options.take("lineSep");
        if result.line_sep.as_deref() == Some("") {
            return Err(Error::invalid("option lineSep cannot be empty"));
        }
        result.encoding = options.take_any(&["encoding", "charset"]);
        if let Some(ratio) = options.take_parsed("samplingRatio")? {
            result.sampling_ratio = ratio;
        }
        options.take_locale()?;
        for (key, flag) in [
            ("multiLine", &mut result.multi_line),
            ("primitivesAsString", &mut result.primitives_as_string),
            ("prefersDecimal", &mut result.prefers_decimal),
            ("dropFieldIfAllNull", &mut result.drop_field_if_all_null),
            ("inferTimestamp", &mut result.infer_timestamp),
            ("ignoreNullFields", &mut result.ignore_null_fields),
            ("sortKeys", &mut result.sort_keys),
            ("pretty", &mut result.pretty),
            ("writeNonAsciiCharacterAsCodePoint", &mut result.escape_non_ascii),
            ("allowComments", &mut result.syntax.comments),
            ("allowUnquotedFieldNames", &mut result.syntax.unquoted_names),
            ("allowSingleQuotes", &mut result.syntax.single_quotes),
            ("allowNumericLeadingZeros", &mut result.syntax.leading_zeros),
            ("allowNonNumericNumbers", &mut result.syntax.non_numeric),
            ("allowBackslashEscapingAnyCharacter", &mut result.syntax.any_escape),
            ("allowUnquotedControlChars", &mut result.syntax.control_chars),
        ] {
            if let Some(value) = options.take_bool(key)? {
                *flag = value;
            }
        }
        Ok(result)
    }
}
