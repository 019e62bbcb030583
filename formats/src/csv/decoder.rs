//! Records to batches: headers, blank lines, comments, malformed records.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, RecordBatch, RecordBatchOptions, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::decode;
use super::options::CsvOptions;
use super::tokenize::{Token, Tokenizer, Tokens};
use crate::builder::{Column, StructColumn};
use crate::error::{Error, Result};
use crate::lines::{LineSplitter, decode_charset};
use crate::options::ParseMode;

/// Decodes CSV by a schema.
///
/// The schema names the file's columns in their order; [`CsvDecoder::project`] says which of them are needed. If the schema
/// has a STRING column named [`CsvOptions::corrupt_record_column`], that one is not in the file: it receives the text of
/// records that do not fit.
///
/// ```
/// use millstream_formats::{csv::{CsvDecoder, CsvOptions}, ddl};
///
/// let schema = ddl::parse_schema("user STRING, clicks BIGINT")?;
/// let mut decoder = CsvDecoder::new(&schema, CsvOptions::default())?;
/// let batches = decoder.decode_all(b"ada,3\nbob,4\n")?;
/// assert_eq!(batches[0].num_rows(), 2);
/// # Ok::<(), millstream_formats::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvDecoder {
    /// The columns that come out.
    schema: SchemaRef,
    /// The names in the file.
    file_columns: Vec<String>,
    root: StructColumn,
    /// Of each column of `root`, its place in the file.
    places: Vec<usize>,
    corrupt: Option<(usize, Column)>,
    /// Whether every record must have as many values as the file has columns.
    counted: bool,
    options: CsvOptions,
    tokenizer: Tokenizer,
    tokens: Tokens,
    splitter: LineSplitter,
    header_passed: bool,
    now_us: i64,
    line: u64,
    batch_rows: usize,
    ready: VecDeque<RecordBatch>,
}

impl CsvDecoder {
    /// The rows in a batch unless [`CsvDecoder::with_batch_rows`] says otherwise.
    pub const BATCH_ROWS: usize = 16_384;

    /// A decoder for files with these columns.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a type CSV cannot hold, [`ErrorKind::Invalid`](crate::ErrorKind::Invalid)
    /// for a corrupt record column that is not STRING or a pattern that cannot parse.
    pub fn new(schema: &Schema, options: CsvOptions) -> Result<Self> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        Self::project(schema, &all, options)
    }

    /// A decoder that gives only some columns, by their index and in this order. What is in the others never makes a record
    /// malformed; neither does their number, unless the corrupt record column is wanted (as in Spark).
    ///
    /// # Errors
    /// As [`CsvDecoder::new`], and for an index beyond the schema.
    pub fn project(schema: &Schema, projection: &[usize], options: CsvOptions) -> Result<Self> {
        for format in
            [&options.timestamp_format, &options.timestamp_ntz_format, &options.date_format].into_iter().flatten()
        {
            format.check_parses()?;
        }
        let is_corrupt = |f: &Field| *f.name() == options.corrupt_record_column;
        if let Some(field) = schema.fields().iter().find(|f| is_corrupt(f))
            && *field.data_type() != DataType::Utf8
        {
            return Err(Error::invalid(format!(
                "[INVALID_CORRUPT_RECORD_TYPE] the column for corrupt records, {}, must be STRING",
                field.name()
            )));
        }
        let in_file: Vec<usize> = (0..schema.fields().len()).filter(|i| !is_corrupt(schema.field(*i))).collect();
        let (mut out, mut wanted, mut places, mut corrupt) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (at, &index) in projection.iter().enumerate() {
            let field =
                schema.fields().get(index).ok_or_else(|| Error::invalid(format!("there is no column {index}")))?;
            let field = field.as_ref().clone().with_nullable(true);
            out.push(field.clone());
            match in_file.iter().position(|i| *i == index) {
                Some(place) => {
                    places.push(place);
                    wanted.push(field);
                }
                None => corrupt = Some((at, Column::new(&DataType::Utf8, "CSV")?)),
            }
        }
        let wanted = Fields::from(wanted);
        if let Some(nested) = wanted.iter().find(|f| f.data_type().is_nested()) {
            let name = crate::ddl::sql_type_name(nested.data_type());
            return Err(Error::unsupported(format!("column {}: CSV cannot hold {name}", nested.name())));
        }
        Ok(Self {
            root: Column::new_struct(&wanted, "CSV")?,
            counted: corrupt.is_some() || places.len() == in_file.len(),
            file_columns: in_file.iter().map(|i| schema.field(*i).name().clone()).collect(),
            schema: Arc::new(Schema::new_with_metadata(out, schema.metadata().clone())),
            places,
            corrupt,
            tokenizer: Tokenizer::new(&options, options.multi_line),
            tokens: Tokens::default(),
            splitter: LineSplitter::new(options.line_sep.as_deref(), options.encoding.as_deref())?,
            header_passed: !options.header,
            options,
            now_us: now_us(),
            line: 0,
            batch_rows: Self::BATCH_ROWS,
            ready: VecDeque::new(),
        })
    }

    /// A decoder for `from_csv`: [`CsvDecoder::decode_column`] gives an array of this STRUCT.
    ///
    /// # Errors
    /// As [`CsvDecoder::new`]; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for other types and for the mode `DROPMALFORMED`.
    pub fn for_type(data_type: &DataType, options: CsvOptions) -> Result<Self> {
        let DataType::Struct(fields) = data_type else {
            let name = crate::ddl::sql_type_name(data_type);
            return Err(Error::invalid(format!("from_csv: the schema '{name}' must be a struct")));
        };
        if options.mode == ParseMode::DropMalformed {
            let known = "acceptable modes are PERMISSIVE and FAILFAST";
            return Err(Error::invalid(format!(
                "the function from_csv doesn't support the DROPMALFORMED mode; {known}"
            )));
        }
        let options = CsvOptions { multi_line: false, header: false, ..options };
        Ok(Self::new(&Schema::new(fields.clone()), options)?.with_batch_rows(usize::MAX))
    }

    /// `from_csv`: each string is one record. Null gives null, the empty string a struct of nulls.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the row under `FAILFAST`.
    pub fn decode_column(&mut self, texts: &StringArray) -> Result<StructArray> {
        for (row, text) in texts.iter().enumerate() {
            self.line = row as u64 + 1;
            match text {
                None => {
                    self.root.push_null();
                    self.note_corrupt(None)?;
                }
                Some("") => {
                    self.push_nulls();
                    self.note_corrupt(None)?;
                }
                Some(text) => {
                    self.record(text.as_bytes(), 0)?;
                }
            }
        }
        self.line = 0;
        let corrupt = self.corrupt.as_mut().map(|(at, c)| c.finish().map(|c| (*at, c))).transpose()?;
        let (mut columns, nulls) = self.root.finish()?;
        if let Some((at, column)) = corrupt {
            columns.insert(at, column);
        }
        Ok(StructArray::try_new_with_length(self.schema.fields().clone(), columns, nulls, texts.len())?)
    }

    /// At most this many rows in a batch.
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// The current time in microseconds, which supplies the date of texts that are only a time of day.
    pub fn with_now_us(mut self, now_us: i64) -> Self {
        self.now_us = now_us;
        self
    }

    /// The schema of the batches: the wanted columns, every one nullable.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes the next bytes of a file; a record that is not complete yet waits for more.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the line under `FAILFAST`, for records with too many or too long
    /// values, and for a header that does not fit if `enforceSchema` is off.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let mut splitter = std::mem::take(&mut self.splitter);
        let result = if self.options.multi_line {
            splitter.keep(bytes);
            Ok(())
        } else {
            splitter.split(bytes, |line| self.one_line(line))
        };
        self.splitter = splitter;
        result
    }

    /// Says that the file is complete, which ends its last record; the next bytes begin another file.
    ///
    /// # Errors
    /// As [`CsvDecoder::push`].
    pub fn finish(&mut self) -> Result<()> {
        let mut splitter = std::mem::take(&mut self.splitter);
        let result = if self.options.multi_line {
            let kept = splitter.take_kept();
            decode_charset(&kept, self.options.encoding.as_deref()).and_then(|text| self.whole_file(&text))
        } else {
            splitter.finish(|line| self.one_line(line))
        };
        self.splitter = splitter;
        (self.line, self.header_passed) = (0, !self.options.header);
        result
    }

    /// The next batch that is full.
    pub fn next_batch(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }

    /// The rows decoded so far that have not been given out, full batches first.
    ///
    /// # Errors
    /// Only if arrow refuses the columns, which would be a defect here.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>> {
        if self.ready.is_empty() && self.root.len() > 0 {
            self.close_batch()?;
        }
        Ok(self.ready.pop_front())
    }

    /// Decodes a whole file.
    ///
    /// # Errors
    /// As [`CsvDecoder::push`].
    pub fn decode_all(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
        self.push(bytes)?;
        self.finish()?;
        let mut batches = Vec::new();
        while let Some(batch) = self.flush()? {
            batches.push(batch);
        }
        Ok(batches)
    }

    fn one_line(&mut self, line: &[u8]) -> Result<()> {
        self.line += 1;
        if is_skipped(line, &self.options) {
            return Ok(());
        }
        self.record(line, 0).map(|_| ())
    }

    /// A file whose records may go over several lines.
    fn whole_file(&mut self, text: &[u8]) -> Result<()> {
        let text = one_line_end(text, self.options.line_sep.as_deref());
        let end = self.options.line_sep.as_deref().and_then(|s| s.bytes().last()).unwrap_or(b'\n');
        let mut at = 0;
        while at < text.len() {
            self.line += 1;
            let rest = &text[at..];
            let line = &rest[..memchr::memchr(end, rest).unwrap_or(rest.len())];
            if is_skipped(line, &self.options) {
                at += line.len() + 1;
            } else {
                at = self.record(&text, at)?;
            }
        }
        Ok(())
    }

    /// The record at `at`; returns where the next one starts.
    fn record(&mut self, text: &[u8], at: usize) -> Result<usize> {
        let mut tokens = std::mem::take(&mut self.tokens);
        let parsed = self.tokenizer.record(text, at, &mut tokens);
        let result = match parsed {
            Ok(next) => {
                let record = &text[at..next.min(text.len())];
                let record = record.strip_suffix(b"\n").unwrap_or(record);
                self.values(&tokens, text, record).map(|()| next)
            }
            Err(_) => {
                let (line, next) = (&text[at..], text.len());
                self.malformed_or_null(line).map(|()| next)
            }
        };
        self.tokens = tokens;
        let next = result?;
        if self.root.len() >= self.batch_rows {
            self.close_batch()?;
        }
        Ok(next)
    }

    fn values(&mut self, tokens: &Tokens, text: &[u8], record: &[u8]) -> Result<()> {
        let o = &self.options;
        if tokens.values.len() > o.max_columns {
            return Err(self.too_big(format!("has more than maxColumns = {} values", o.max_columns)));
        }
        if let Some(max) = o.max_chars_per_column
            && tokens.values.iter().any(|t| tokens.bytes(*t, text).is_some_and(|b| b.len() > max))
        {
            return Err(self.too_big(format!("has a value longer than maxCharsPerColumn = {max}")));
        }
        if !self.header_passed {
            self.header_passed = true;
            return self.check_header(tokens, text);
        }
        let before = self.root.len();
        let mut fits = !self.counted || tokens.values.len() == self.file_columns.len();
        for (column, place) in self.root.columns.iter_mut().zip(&self.places) {
            let token = tokens.values.get(*place).copied().unwrap_or(Token::Null);
            fits &= push_token(column, token, tokens, text, o, self.now_us);
        }
        self.root.push_row();
        if fits {
            return self.note_corrupt(None);
        }
        match o.mode {
            ParseMode::Permissive => self.note_corrupt(Some(record)),
            ParseMode::DropMalformed => {
                self.root.truncate(before);
                Ok(())
            }
            ParseMode::FailFast => {
                self.root.truncate(before);
                Err(self.malformed(record))
            }
        }
    }

    /// A record whose values cannot be told apart.
    fn malformed_or_null(&mut self, record: &[u8]) -> Result<()> {
        match self.options.mode {
            ParseMode::Permissive => {
                self.push_nulls();
                self.note_corrupt(Some(record))
            }
            ParseMode::DropMalformed => Ok(()),
            ParseMode::FailFast => Err(self.malformed(record)),
        }
    }

    fn push_nulls(&mut self) {
        for column in &mut self.root.columns {
            column.push_null();
        }
        self.root.push_row();
    }

    fn check_header(&self, tokens: &Tokens, text: &[u8]) -> Result<()> {
        if self.options.enforce_schema {
            return Ok(());
        }
        let name = |t: &Token| String::from_utf8_lossy(tokens.bytes(*t, text).unwrap_or_default()).trim().to_owned();
        let header: Vec<String> = tokens.values.iter().map(name).collect();
        let same = header.len() == self.file_columns.len()
            && header.iter().zip(&self.file_columns).all(|(a, b)| a.eq_ignore_ascii_case(b));
        if same {
            return Ok(());
        }
        let (found, wanted) = (header.join(", "), self.file_columns.join(", "));
        Err(Error::corrupt(format!(
            "the CSV header does not fit the schema: the header is {found}, the schema {wanted}"
        ))
        .at(1, 0))
    }

    fn note_corrupt(&mut self, text: Option<&[u8]>) -> Result<()> {
        match (&mut self.corrupt, text) {
            (Some((_, Column::String(column))), Some(text)) => column.push(String::from_utf8_lossy(text).as_bytes()),
            (Some((_, column)), _) => {
                column.push_null();
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn malformed(&self, text: &[u8]) -> Error {
        let shown: String = String::from_utf8_lossy(text).chars().take(200).collect();
        Error::corrupt(format!("malformed record: {shown}; set the option 'mode' to PERMISSIVE to get null instead"))
            .at(self.line, 0)
    }

    fn too_big(&self, what: String) -> Error {
        Error::corrupt(format!("a CSV record {what}")).at(self.line, 0)
    }

    fn close_batch(&mut self) -> Result<()> {
        let rows = self.root.len();
        let (mut columns, _) = self.root.finish()?;
        if let Some((at, column)) = &mut self.corrupt {
            columns.insert(*at, column.finish()?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        self.ready.push_back(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?);
        Ok(())
    }
}

/// Appends a value or null; false if the value does not fit, which leaves a null.
fn push_token(column: &mut Column, token: Token, tokens: &Tokens, text: &[u8], o: &CsvOptions, now_us: i64) -> bool {
    let bytes = match token {
        Token::Null => None,
        Token::Empty => Some(o.empty_value.as_deref().unwrap_or("").as_bytes()),
        token => tokens.bytes(token, text),
    };
    match bytes {
        Some(bytes) if bytes != o.null_value.as_bytes() => {
            let fits = decode::push(column, bytes, o, now_us);
            if !fits {
                column.push_null();
            }
            fits
        }
        _ => {
            column.push_null();
            true
        }
    }
}

/// Whether a line holds no record.
pub(super) fn is_skipped(line: &[u8], options: &CsvOptions) -> bool {
    let comment = options.comment.and_then(|c| u8::try_from(c).ok());
    line.iter().all(|b| *b <= b' ') || comment.is_some_and(|c| line.first() == Some(&c))
}

/// The text with `\r\n` or `\r` as `\n`, whichever of them ends its first line.
pub(super) fn one_line_end<'a>(text: &'a [u8], given: Option<&str>) -> std::borrow::Cow<'a, [u8]> {
    let first = memchr::memchr2(b'\n', b'\r', text).map(|at| &text[at..]);
    match (given, first) {
        (None, Some([b'\r', b'\n', ..])) => {
            let mut out = Vec::with_capacity(text.len());
            let mut rest = text;
            while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
                out.extend_from_slice(&rest[..at]);
                out.push(b'\n');
                rest = &rest[at + 2..];
            }
            out.extend_from_slice(rest);
            out.into()
        }
        (None, Some([b'\r', ..])) => {
            text.iter().map(|b| if *b == b'\r' { b'\n' } else { *b }).collect::<Vec<_>>().into()
        }
        _ => text.into(),
    }
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0)
}
