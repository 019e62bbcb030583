//! The formats that files may have, and their options.

use millstream_engine::options::{OptionReader, Options};
use millstream_engine::{Error, Result};
use millstream_formats::csv::CsvOptions;
use millstream_formats::java_time::Zone;
use millstream_formats::json::JsonOptions;
use millstream_formats::options::OptionMap;
use millstream_formats::text::TextOptions;

use super::read::codec::Codec;

/// How rows are written in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// A JSON object a line.
    Json,
    /// Apache Parquet.
    Parquet,
    /// A column of lines.
    Text,
}

impl Format {
    /// Its name after `USING`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Text => "text",
        }
    }
}

/// The options of a format, read and write together.
#[derive(Clone, Debug)]
pub(super) enum FormatOptions {
    /// CSV's.
    Csv(Box<CsvOptions>),
    /// JSON's.
    Json(Box<JsonOptions>),
    /// Parquet has none that change rows.
    Parquet,
    /// Text's.
    Text(TextOptions),
}

/// Names of options that CSV and JSON have, to be suggested.
const COMMON_NAMES: &[&str] = &[
    "mode",
    "columnNameOfCorruptRecord",
    "timestampFormat",
    "timestampNTZFormat",
    "dateFormat",
    "timeZone",
    "multiLine",
    "lineSep",
    "encoding",
    "samplingRatio",
];

/// Names of JSON's own options, to be suggested.
const JSON_NAMES: &[&str] = &[
    "primitivesAsString",
    "prefersDecimal",
    "inferTimestamp",
    "dropFieldIfAllNull",
    "ignoreNullFields",
    "allowComments",
    "allowUnquotedFieldNames",
    "allowSingleQuotes",
];

/// Names of CSV's own options, to be suggested.
const CSV_NAMES: &[&str] = &[
    "sep",
    "delimiter",
    "quote",
    "escape",
    "comment",
    "header",
    "enforceSchema",
    "inferSchema",
    "nullValue",
    "emptyValue",
    "nanValue",
    "positiveInf",
    "negativeInf",
    "ignoreLeadingWhiteSpace",
    "ignoreTrailingWhiteSpace",
    "maxColumns",
    "maxCharsPerColumn",
    "quoteAll",
    "escapeQuotes",
];

impl FormatOptions {
    /// Takes the options of `format` out of `options`, marking them as known in `reader`. `zone` is the session's.
    pub(super) fn parse(format: Format, reader: &mut OptionReader<'_>, options: &Options, zone: Zone) -> Result<Self> {
        let mut map: OptionMap = options.iter().collect();
        let parsed = match format {
            Format::Csv => {
                reader.also_known(COMMON_NAMES);
                reader.also_known(CSV_NAMES);
                Self::Csv(Box::new(CsvOptions::take(&mut map, zone).map_err(format_error)?))
            }
            Format::Json => {
                reader.also_known(COMMON_NAMES);
                reader.also_known(JSON_NAMES);
                Self::Json(Box::new(JsonOptions::take(&mut map, zone).map_err(format_error)?))
            }
            Format::Parquet => Self::Parquet,
            Format::Text => {
                reader.also_known(&["wholetext", "lineSep", "encoding"]);
                Self::Text(TextOptions::take(&mut map).map_err(format_error)?)
            }
        };
        let rest: Vec<&str> = map.rest().map(|(name, _)| name).collect();
        let taken: Vec<&str> = options.iter().map(|(name, _)| name).filter(|name| !rest.contains(name)).collect();
        reader.also_known(&taken);
        Ok(parsed)
    }

    /// The same, where it is known that they are right.
    pub(super) fn of(format: Format, options: &Options, zone: Zone) -> Result<Self> {
        Self::parse(format, &mut options.reader(format.name()), options, zone)
    }

    /// Whether parts of the file at `uri` can be read on their own.
    pub(super) fn can_cut(&self, uri: &str) -> bool {
        let (is_whole, line_sep, encoding) = match self {
            Self::Parquet => return true,
            Self::Csv(csv) => (csv.multi_line, &csv.line_sep, &csv.encoding),
            Self::Json(json) => (json.multi_line, &json.line_sep, &json.encoding),
            Self::Text(text) => (text.whole_text, &text.line_sep, &text.encoding),
        };
        let is_utf8 = encoding.as_deref().is_none_or(|name| name.eq_ignore_ascii_case("utf-8"));
        Codec::of(uri) == Codec::Plain && is_utf8 && !is_whole && line_sep.is_none()
    }
}

/// The session's time zone, from its configuration.
pub(crate) fn session_zone(conf: &Options) -> Result<Zone> {
    match conf.get("spark.sql.session.timeZone") {
        Some(name) => Zone::parse(name).map_err(format_error),
        None => Ok(Zone::UTC),
    }
}

/// An error of the formats crate as one of the engine's.
pub(crate) fn format_error(error: millstream_formats::Error) -> Error {
    use millstream_formats::ErrorKind;
    let message = error.to_string();
    let ours = match error.kind() {
        ErrorKind::Invalid => Error::invalid(message),
        ErrorKind::Unsupported => Error::unsupported(message),
        // Rows that do not fit are the user's to mend: of the checkpoint nothing is damaged.
        ErrorKind::Corrupt => Error::invalid(message),
    };
    ours.with_source(error)
}
