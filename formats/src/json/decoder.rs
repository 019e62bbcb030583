//! Records to batches: lines, whole files and columns of strings, malformed records included.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::decode::{Context, Outcome, Shape, StructShape};
use super::options::JsonOptions;
use super::scan::{Scan, Scanner};
use crate::builder::{Column, StructColumn};
use crate::error::{Error, Result};
use crate::lines::{LineSplitter, decode_charset};
use crate::options::ParseMode;

/// Decodes JSON by a schema.
///
/// Give it exactly the columns that are needed: fields that the schema does not name are passed over, and what is in them
/// never makes a record corrupt. If the schema has a STRING column named [`JsonOptions::corrupt_record_column`], that one
/// receives the text of records that do not fit, and null for those that do.
///
/// ```
/// use millstream_formats::{ddl, json::{JsonDecoder, JsonOptions}};
///
/// let schema = ddl::parse_schema("user STRING, clicks BIGINT")?;
/// let mut decoder = JsonDecoder::new(&schema, JsonOptions::default())?;
/// let batches = decoder.decode_lines(b"{\"user\":\"ada\",\"clicks\":3}\n{\"user\":\"bob\"}\n")?;
/// assert_eq!(batches[0].num_rows(), 2);
/// # Ok::<(), millstream_formats::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonDecoder {
    schema: SchemaRef,
    root: StructColumn,
    shape: StructShape,
    /// What `decode_column` gives when it is not a struct: the one column of `root`.
    bare: bool,
    corrupt: Option<(usize, Column)>,
    context: Context,
    splitter: LineSplitter,
    batch_rows: usize,
    ready: VecDeque<RecordBatch>,
    line: u64,
}

/// What became of a record.
enum Record {
    /// This many rows were appended.
    Rows(usize),
    /// This many rows were appended, and something in them did not fit.
    Partial(usize),
    /// Nothing was appended, nothing could be read.
    Broken,
    /// There is no record, only white space.
    Blank,
}

impl JsonDecoder {
    /// The rows in a batch unless [`JsonDecoder::with_batch_rows`] says otherwise.
    pub const BATCH_ROWS: usize = 16_384;

    /// A decoder for records with these columns.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a type JSON cannot hold, [`ErrorKind::Invalid`](crate::ErrorKind::Invalid)
    /// for a corrupt record column that is not STRING or a pattern that cannot parse.
    pub fn new(schema: &Schema, options: JsonOptions) -> Result<Self> {
        Self::build(schema, options, false)
    }

    /// A decoder for `from_json`: [`JsonDecoder::decode_column`] gives an array of this type, a struct, array or map.
    ///
    /// # Errors
    /// As [`JsonDecoder::new`]; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for other types and for the mode `DROPMALFORMED`.
    pub fn for_type(data_type: &DataType, options: JsonOptions) -> Result<Self> {
        if options.mode == ParseMode::DropMalformed {
            return Err(Error::invalid(
                "the function from_json doesn't support the DROPMALFORMED mode; acceptable modes are PERMISSIVE and FAILFAST",
            ));
        }
        let mut decoder = match data_type {
            DataType::Struct(fields) => Self::build(&Schema::new(fields.clone()), options, false)?,
            DataType::List(_) | DataType::Map(..) => {
                let schema = Schema::new(vec![Field::new("value", data_type.clone(), true)]);
                Self::build(&schema, options, true)?
            }
            other => {
                let name = crate::ddl::sql_type_name(other);
                return Err(Error::invalid(format!(
                    "from_json: the schema '{name}' must be a struct, an array or a map"
                )));
            }
        };
        decoder.context.exact_text = false;
        Ok(decoder)
    }

    fn build(schema: &Schema, options: JsonOptions, bare: bool) -> Result<Self> {
        for format in
            [&options.timestamp_format, &options.timestamp_ntz_format, &options.date_format].into_iter().flatten()
        {
            format.check_parses()?;
        }
        let corrupt_at = schema.fields().iter().position(|f| !bare && *f.name() == options.corrupt_record_column);
        if let Some(at) = corrupt_at
            && *schema.field(at).data_type() != DataType::Utf8
        {
            return Err(Error::invalid(format!(
                "[INVALID_CORRUPT_RECORD_TYPE] the column for corrupt records, {}, must be STRING",
                options.corrupt_record_column
            )));
        }
        // What cannot be read is null whatever the schema says, as in Spark.
        let nullable = |f: &Arc<Field>| {
            if f.is_nullable() { Arc::clone(f) } else { Arc::new(f.as_ref().clone().with_nullable(true)) }
        };
        let all: Fields = schema.fields().iter().map(nullable).collect();
        let wanted: Fields =
            all.iter().enumerate().filter(|(i, _)| Some(*i) != corrupt_at).map(|(_, f)| Arc::clone(f)).collect();
        Ok(Self {
            root: Column::new_struct(&wanted, "JSON")?,
            shape: StructShape::new(&wanted),
            bare,
            corrupt: corrupt_at.map(|at| Column::new(&DataType::Utf8, "JSON").map(|c| (at, c))).transpose()?,
            splitter: LineSplitter::new(options.line_sep.as_deref(), options.encoding.as_deref())?,
            schema: Arc::new(Schema::new_with_metadata(all, schema.metadata().clone())),
            context: Context { options, exact_text: true, now_us: now_us(), scratch: Vec::new(), buffer: Vec::new() },
            batch_rows: Self::BATCH_ROWS,
            ready: VecDeque::new(),
            line: 0,
        })
    }

    /// At most this many rows in a batch (one record that holds more gives a larger batch).
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// The current time in microseconds, which supplies the date of texts that are only a time of day.
    pub fn with_now_us(mut self, now_us: i64) -> Self {
        self.context.now_us = now_us;
        self
    }

    /// The schema of the batches: the given one, with every column nullable.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes the next bytes of a file; a line that is not complete yet waits for more.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the line under `FAILFAST`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let mut splitter = std::mem::take(&mut self.splitter);
        let whole_file = self.context.options.multi_line;
        let result = if whole_file {
            splitter.keep(bytes);
            Ok(())
        } else {
            splitter.split(bytes, |line| self.record(line))
        };
        self.splitter = splitter;
        result
    }

    /// Says that the file is complete, which ends its last line.
    ///
    /// # Errors
    /// As [`JsonDecoder::push`].
    pub fn finish(&mut self) -> Result<()> {
        let mut splitter = std::mem::take(&mut self.splitter);
        let result = if self.context.options.multi_line {
            let kept = splitter.take_kept();
            match decode_charset(&kept, self.context.options.encoding.as_deref()) {
                Ok(text) => self.record(&text),
                Err(error) => Err(error),
            }
        } else {
            splitter.finish(|line| self.record(line))
        };
        self.splitter = splitter;
        self.line = 0;
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
    /// As [`JsonDecoder::push`].
    pub fn decode_lines(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
        self.push(bytes)?;
        self.finish()?;
        let mut batches = Vec::new();
        while let Some(batch) = self.flush()? {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// `from_json`: each string to one value. Null and blank strings give null; what does not fit gives a struct of nulls, or
    /// null if the type is an array or map.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the row under `FAILFAST`.
    pub fn decode_column(&mut self, texts: &StringArray) -> Result<ArrayRef> {
        for (row, text) in texts.iter().enumerate() {
            self.line = row as u64 + 1;
            self.cell(text.map(str::as_bytes))?;
        }
        self.line = 0;
        let corrupt = self.corrupt.as_mut().map(|(at, c)| c.finish().map(|c| (*at, c))).transpose()?;
        let (mut columns, nulls) = self.root.finish()?;
        if self.bare {
            return columns.pop().ok_or_else(|| Error::invalid("from_json has one value"));
        }
        if let Some((at, column)) = corrupt {
            columns.insert(at, column);
        }
        Ok(Arc::new(StructArray::try_new_with_length(self.schema.fields().clone(), columns, nulls, texts.len())?))
    }

    /// One value of `from_json`.
    fn cell(&mut self, text: Option<&[u8]>) -> Result<()> {
        let before = self.root.len();
        let record = text.map(|text| (text, self.parse_cell(text)));
        match record {
            None | Some((_, Record::Blank)) => {
                self.push_null_row(true);
                self.note_corrupt(None)
            }
            Some((_, Record::Rows(_))) => self.note_corrupt(None),
            Some((text, record)) => {
                if self.context.options.mode == ParseMode::FailFast {
                    self.root.truncate(before);
                    return Err(self.malformed(text));
                }
                if matches!(record, Record::Broken) {
                    self.push_null_row(false);
                }
                self.note_corrupt(Some(text))
            }
        }
    }

    fn parse_cell(&mut self, text: &[u8]) -> Record {
        let before = self.root.len();
        let mut scanner = Scanner::new(text, self.context.options.syntax);
        let parsed = if self.bare { self.bare_value(&mut scanner) } else { self.one_object(&mut scanner) };
        parsed.unwrap_or_else(|_| {
            self.root.truncate(before);
            Record::Broken
        })
    }

    fn one_object(&mut self, scanner: &mut Scanner<'_>) -> Scan<Record> {
        match scanner.next_token()? {
            None => Ok(Record::Blank),
            Some(b'{') => self.object(scanner),
            Some(_) => Ok(Record::Broken),
        }
    }

    /// An array or map; one object stands for an array of structs with one element.
    fn bare_value(&mut self, scanner: &mut Scanner<'_>) -> Scan<Record> {
        let shape = &mut Shape::Leaf;
        let shape = self.shape.only_child().unwrap_or(shape);
        let Some(column) = self.root.columns.first_mut() else {
            return Ok(Record::Broken);
        };
        let outcome = match (scanner.next_token()?, &mut *column, &mut *shape) {
            (None, ..) => return Ok(Record::Blank),
            (Some(b'{'), Column::List(list), Shape::Items(element)) if matches!(**element, Shape::Struct(_)) => {
                let outcome = self.context.value(element, &mut list.elements, scanner)?;
                if list.push_row().is_err() { Outcome::Bad } else { outcome }
            }
            (Some(b'{' | b'['), ..) => self.context.value(shape, column, scanner)?,
            _ => Outcome::Bad,
        };
        Ok(match outcome {
            Outcome::Clean => {
                self.root.push_row();
                Record::Rows(1)
            }
            Outcome::Partial => {
                self.root.push_row();
                Record::Partial(1)
            }
            Outcome::Bad => Record::Broken,
        })
    }

    fn object(&mut self, scanner: &mut Scanner<'_>) -> Scan<Record> {
        scanner.at += 1;
        match self.context.object(&mut self.shape, &mut self.root, scanner)? {
            Outcome::Clean => Ok(Record::Rows(1)),
            _ => Ok(Record::Partial(1)),
        }
    }

    /// One record of a file: an object, or an array of objects that are a row each.
    fn parse_record(&mut self, text: &[u8]) -> Scan<Record> {
        let mut scanner = Scanner::new(text, self.context.options.syntax);
        match scanner.next_token()? {
            None => Ok(Record::Blank),
            Some(b'{') => self.object(&mut scanner),
            Some(b'[') => {
                scanner.at += 1;
                let (mut rows, mut partial) = (0, false);
                if scanner.next_token()? == Some(b']') {
                    return Ok(Record::Rows(0));
                }
                loop {
                    if scanner.next_token()? != Some(b'{') {
                        return scanner.error();
                    }
                    partial |= matches!(self.object(&mut scanner)?, Record::Partial(_));
                    rows += 1;
                    if !scanner.more(b']')? {
                        return Ok(if partial { Record::Partial(rows) } else { Record::Rows(rows) });
                    }
                }
            }
            Some(_) => Ok(Record::Broken),
        }
    }

    fn record(&mut self, text: &[u8]) -> Result<()> {
        self.line += 1;
        let before = self.root.len();
        // Outside the strings that are kept JSON is ASCII; Jackson refuses bytes that are not UTF-8 wherever they are.
        let parsed = if self.splitter_is_utf8(text) { self.parse_record(text) } else { Ok(Record::Broken) };
        let record = parsed.unwrap_or_else(|_| {
            self.root.truncate(before);
            Record::Broken
        });
        match record {
            Record::Blank => return Ok(()),
            Record::Rows(rows) => self.note_rows(rows, None)?,
            Record::Partial(_) | Record::Broken => match self.context.options.mode {
                ParseMode::FailFast => {
                    self.root.truncate(before);
                    return Err(self.malformed(text));
                }
                ParseMode::DropMalformed => self.root.truncate(before),
                ParseMode::Permissive => {
                    let rows = match record {
                        Record::Partial(rows) => rows,
                        _ => {
                            self.push_null_row(false);
                            1
                        }
                    };
                    self.note_rows(rows, Some(text))?;
                }
            },
        }
        if self.root.len() >= self.batch_rows { self.close_batch() } else { Ok(()) }
    }

    fn splitter_is_utf8(&self, text: &[u8]) -> bool {
        std::str::from_utf8(text).is_ok()
    }

    /// A row of nulls; or a row that is null as a whole.
    fn push_null_row(&mut self, whole: bool) {
        if whole {
            self.root.push_null();
        } else {
            for column in &mut self.root.columns {
                column.push_null();
            }
            self.root.push_row();
        }
    }

    fn note_rows(&mut self, rows: usize, corrupt: Option<&[u8]>) -> Result<()> {
        if self.corrupt.is_some() {
            for _ in 0..rows {
                self.note_corrupt(corrupt)?;
            }
        }
        Ok(())
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

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0)
}
