//! What Spark's CSV reader and writer can be told.

use crate::error::{Error, Result};
use crate::java_time::{DateTimeFormat, Zone};
use crate::options::{OptionMap, ParseMode};

/// What to do with a quote inside a quoted value that is neither escaped nor the value's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnescapedQuotes {
    /// The value goes on to the next separator, its quotes belong to it (the default).
    #[default]
    StopAtDelimiter,
    /// The value goes on to the next quote that is followed by a separator.
    StopAtClosingQuote,
    /// The value is null.
    SkipValue,
    /// The record is malformed.
    RaiseError,
}

/// Spark's options for CSV, read and write together. [`Default`] is Spark's default.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// `sep` or `delimiter`: one character or several.
    pub separator: String,
    /// `quote`; `\0` (from the empty string) turns quoting off.
    pub quote: char,
    /// `escape`.
    pub escape: char,
    /// `charToEscapeQuoteEscaping`: by default the escape, if that is not the quote.
    pub escape_escape: Option<char>,
    /// `comment`: lines that start with it are passed over.
    pub comment: Option<char>,
    /// `header`: the first line names the columns.
    pub header: bool,
    /// `enforceSchema`: if false, the header must name the schema's columns.
    pub enforce_schema: bool,
    /// `inferSchema`: types are inferred too, not names alone.
    pub infer_schema: bool,
    /// `preferDate`: inference knows DATE (the default).
    pub prefer_date: bool,
    /// `samplingRatio`: the share of records that inference looks at.
    pub sampling_ratio: f64,
    /// `nullValue`: the text that means null.
    pub null_value: String,
    /// `emptyValue`: what a quoted empty value reads as; by default empty.
    pub empty_value: Option<String>,
    /// `nanValue`, `positiveInf`, `negativeInf`: special doubles, beside Java's own names.
    pub nan_value: String,
    /// See `nan_value`.
    pub positive_inf: String,
    /// See `nan_value`.
    pub negative_inf: String,
    /// `ignoreLeadingWhiteSpace`: false by default when reading, true when writing.
    pub trim_leading: Option<bool>,
    /// `ignoreTrailingWhiteSpace`: as the leading one.
    pub trim_trailing: Option<bool>,
    /// `mode`: what happens to records that do not fit.
    pub mode: ParseMode,
    /// `columnNameOfCorruptRecord`.
    pub corrupt_record_column: String,
    /// `timestampFormat`.
    pub timestamp_format: Option<DateTimeFormat>,
    /// `timestampNTZFormat`.
    pub timestamp_ntz_format: Option<DateTimeFormat>,
    /// `dateFormat`.
    pub date_format: Option<DateTimeFormat>,
    /// `timeZone`, by default the session's.
    pub zone: Zone,
    /// `multiLine`: quoted values may hold line ends.
    pub multi_line: bool,
    /// `lineSep`.
    pub line_sep: Option<String>,
    /// `encoding` or `charset`.
    pub encoding: Option<String>,
    /// `maxColumns`: a record with more is an error.
    pub max_columns: usize,
    /// `maxCharsPerColumn`: a longer value is an error; unlimited by default.
    pub max_chars_per_column: Option<usize>,
    /// `unescapedQuoteHandling`.
    pub unescaped_quotes: UnescapedQuotes,
    /// `quoteAll`: the writer quotes every value.
    pub quote_all: bool,
    /// `escapeQuotes`: the writer quotes values that hold a quote (the default).
    pub escape_quotes: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            separator: ",".to_owned(),
            quote: '"',
            escape: '\\',
            escape_escape: None,
            comment: None,
            header: false,
            enforce_schema: true,
            infer_schema: false,
            prefer_date: true,
            sampling_ratio: 1.0,
            null_value: String::new(),
            empty_value: None,
            nan_value: "NaN".to_owned(),
            positive_inf: "Inf".to_owned(),
            negative_inf: "-Inf".to_owned(),
            trim_leading: None,
            trim_trailing: None,
            mode: ParseMode::Permissive,
            corrupt_record_column: "_corrupt_record".to_owned(),
            timestamp_format: None,
            timestamp_ntz_format: None,
            date_format: None,
            zone: Zone::UTC,
            multi_line: false,
            line_sep: None,
            encoding: None,
            max_columns: 20_480,
            max_chars_per_column: None,
            unescaped_quotes: UnescapedQuotes::default(),
            quote_all: false,
            escape_quotes: true,
        }
    }
}

impl CsvOptions {
    /// Takes the options that are CSV's out of `options`, leaving the others.
    ///
    /// `session_zone` applies unless `timeZone` is given.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the option whose value cannot be.
    pub fn take(options: &mut OptionMap, session_zone: Zone) -> Result<Self> {
        let mut o = Self { zone: session_zone, mode: ParseMode::take(options), ..Self::default() };
        o.take_characters(options)?;
        let pattern = |text: Option<String>| text.map(|p| DateTimeFormat::compile(&p)).transpose();
        o.timestamp_format = pattern(options.take("timestampFormat"))?;
        o.timestamp_ntz_format = pattern(options.take("timestampNTZFormat"))?;
        o.date_format = pattern(options.take("dateFormat"))?;
        if let Some(name) = options.take("timeZone") {
            o.zone = Zone::parse(&name)?;
        }
        for (key, text) in [
            ("nullValue", &mut o.null_value),
            ("nanValue", &mut o.nan_value),
            ("positiveInf", &mut o.positive_inf),
            ("negativeInf", &mut o.negative_inf),
            ("columnNameOfCorruptRecord", &mut o.corrupt_record_column),
        ] {
            if let Some(value) = options.take(key) {
                *text = value;
            }
        }
        o.empty_value = options.take("emptyValue");
        o.trim_leading = options.take_bool("ignoreLeadingWhiteSpace")?;
        o.trim_trailing = options.take_bool("ignoreTrailingWhiteSpace")?;
        o.line_sep = options.take("lineSep");
        if o.line_sep.as_deref().is_some_and(|s| s.is_empty() || s.chars().count() > 2) {
            return Err(Error::invalid("option lineSep is one or two characters"));
        }
        o.encoding = options.take_any(&["encoding", "charset"]);
        o.max_columns = options.take_parsed("maxColumns")?.unwrap_or(o.max_columns);
        o.max_chars_per_column = options.take_parsed::<i64>("maxCharsPerColumn")?.and_then(|n| usize::try_from(n).ok());
        o.sampling_ratio = options.take_parsed("samplingRatio")?.unwrap_or(o.sampling_ratio);
        options.take_locale()?;
        for (key, flag) in [
            ("header", &mut o.header),
            ("enforceSchema", &mut o.enforce_schema),
            ("inferSchema", &mut o.infer_schema),
            ("preferDate", &mut o.prefer_date),
            ("multiLine", &mut o.multi_line),
            ("quoteAll", &mut o.quote_all),
            ("escapeQuotes", &mut o.escape_quotes),
        ] {
            if let Some(value) = options.take_bool(key)? {
                *flag = value;
            }
        }
        Ok(o)
    }

    fn take_characters(&mut self, options: &mut OptionMap) -> Result<()> {
        if let Some(text) = options.take_any(&["sep", "delimiter"]) {
            self.separator = unescape(&text)?;
        }
        if let Some(quote) = options.take_char("quote")? {
            self.quote = quote.unwrap_or('\0');
        }
        if let Some(escape) = options.take_char("escape")? {
            self.escape = escape.unwrap_or('\0');
        }
        self.escape_escape = options.take_char("charToEscapeQuoteEscaping")?.flatten();
        self.comment = options.take_char("comment")?.flatten().filter(|c| *c != '\0');
        self.unescaped_quotes = match options.take("unescapedQuoteHandling").map(|m| m.to_ascii_uppercase()).as_deref()
        {
            None | Some("STOP_AT_DELIMITER") => UnescapedQuotes::StopAtDelimiter,
            Some("STOP_AT_CLOSING_QUOTE") => UnescapedQuotes::StopAtClosingQuote,
            Some("SKIP_VALUE") => UnescapedQuotes::SkipValue,
            Some("RAISE_ERROR") => UnescapedQuotes::RaiseError,
            Some(other) => {
                let known = "STOP_AT_DELIMITER, STOP_AT_CLOSING_QUOTE, SKIP_VALUE and RAISE_ERROR";
                return Err(Error::unsupported(format!(
                    "unescapedQuoteHandling '{other}' is not supported; {known} are"
                )));
            }
        };
        let ascii = [self.quote, self.escape, self.escape_escape.unwrap_or(' ')].iter().all(char::is_ascii);
        if ascii {
            Ok(())
        } else {
            Err(Error::unsupported("quote and escape characters beyond ASCII are not supported"))
        }
    }

    /// What escapes the escape character before a quote.
    pub(crate) fn escape_of_escape(&self) -> char {
        self.escape_escape.unwrap_or(if self.escape == self.quote { '\0' } else { self.escape })
    }
}

/// A separator as it is written in options: `\t` is a tab, `\\` a backslash.
fn unescape(text: &str) -> Result<String> {
    let mut result = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        result.push(match chars.next() {
            Some('t') => '\t',
            Some('r') => '\r',
            Some('n') => '\n',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') if chars.as_str() == "0000" => {
                chars = "".chars();
                '\0'
            }
            Some(c @ ('"' | '\'' | '\\')) => c,
            Some(c) => return Err(Error::invalid(format!("unsupported special character for the separator: \\{c}"))),
            None => return Err(Error::invalid("a separator cannot be a single backslash; write \\\\")),
        });
    }
    if result.is_empty() { Err(Error::invalid("the separator cannot be empty")) } else { Ok(result) }
}
