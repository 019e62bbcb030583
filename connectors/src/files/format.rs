//! The formats that files may have, and their options.

use millstream_engine::options::{OptionReader, Options};
use millstream_engine::{Error, Result};
use millstream_formats::java_time::Zone;
use millstream_formats::json::JsonOptions;
use millstream_formats::options::OptionMap;

use super::read::codec::Codec;

/// How rows are written in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
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
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Text => "text",
        }
    }
}

/// The options of a format, read and write together.
#[derive(Clone, Debug)]
pub(super) enum FormatOptions {
    /// JSON's.
    Json(Box<JsonOptions>),
    /// Parquet has none that change rows.
    Parquet,
    /// Text's.
    Text(TextOptions),
}

/// The options of text.
#[derive(Clone, Debug, Default)]
pub(super) struct TextOptions {
    /// A file is one row.
    pub(super) whole_text: bool,
    /// What ends a line: `\n`, `\r\n` and `\r` where it is not set, `\n` when writing.
    pub(super) line_sep: Option<String>,
}

/// Names of JSON's options, to be suggested.
const JSON_NAMES: &[&str] = &[
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
    "primitivesAsString",
    "prefersDecimal",
    "inferTimestamp",
    "dropFieldIfAllNull",
    "ignoreNullFields",
    "allowComments",
    "allowUnquotedFieldNames",
    "allowSingleQuotes",
];

impl FormatOptions {
    /// Takes the options of `format` out of `options`, marking them as known in `reader`. `zone` is the session's.
    pub(super) fn parse(format: Format, reader: &mut OptionReader<'_>, options: &Options, zone: Zone) -> Result<Self> {
        let mut map: OptionMap = options.iter().collect();
        let parsed = match format {
            Format::Json => {
                reader.also_known(JSON_NAMES);
                Self::Json(Box::new(JsonOptions::take(&mut map, zone).map_err(format_error)?))
            }
            Format::Parquet => Self::Parquet,
            Format::Text => {
                let text =
                    TextOptions { whole_text: reader.flag("wholetext", false)?, line_sep: reader.text("lineSep") };
                if text.line_sep.as_deref() == Some("") {
                    return Err(reader.bad_value("lineSep", "", "one character or more"));
                }
                Self::Text(text)
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
        let is_plain = Codec::of(uri) == Codec::Plain;
        match self {
            Self::Parquet => true,
            Self::Json(json) => {
                let is_utf8 = json.encoding.as_deref().is_none_or(|name| name.eq_ignore_ascii_case("utf-8"));
                is_plain && is_utf8 && !json.multi_line && json.line_sep.is_none()
            }
            Self::Text(text) => is_plain && !text.whole_text && text.line_sep.is_none(),
        }
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
        ErrorKind::Corrupt => Error::corrupt(message),
    };
    ours.with_source(error)
}
