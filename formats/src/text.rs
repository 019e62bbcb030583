//! Text: a line a row, in one STRING column.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::builder::Column;
use crate::error::{Error, Result};
use crate::lines::{LineSplitter, decode_charset};
use crate::options::OptionMap;

/// Spark's options for text.
#[derive(Debug, Clone, Default)]
pub struct TextOptions {
    /// `wholetext`: a file is one row.
    pub whole_text: bool,
    /// `lineSep`: by default `\n`, `\r\n` and `\r` when reading, `\n` when writing.
    pub line_sep: Option<String>,
    /// `encoding` or `charset`.
    pub encoding: Option<String>,
}

impl TextOptions {
    /// Takes the options that are text's out of `options`, leaving the others.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the option whose value cannot be.
    pub fn take(options: &mut OptionMap) -> Result<Self> {
        let line_sep = options.take("lineSep");
        if line_sep.as_deref() == Some("") {
            return Err(Error::invalid("option lineSep cannot be empty"));
        }
        let whole_text = options.take_bool("wholetext")?.unwrap_or(false);
        Ok(Self { whole_text, line_sep, encoding: options.take_any(&["encoding", "charset"]) })
    }
}

/// The schema of text: `value STRING`.
pub fn text_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]))
}

/// Decodes text. An empty file has no rows.
#[derive(Debug)]
pub struct TextDecoder {
    schema: SchemaRef,
    splitter: LineSplitter,
    options: TextOptions,
    lines: Column,
    batch_rows: usize,
    ready: std::collections::VecDeque<RecordBatch>,
}

impl TextDecoder {
    /// A decoder whose column has the name of the schema's only field.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) unless the schema is one STRING.
    pub fn new(schema: &Schema, options: TextOptions) -> Result<Self> {
        if schema.fields().len() != 1 || *schema.field(0).data_type() != DataType::Utf8 {
            return Err(Error::invalid("text has one column, and its type is STRING"));
        }
        Ok(Self {
            schema: Arc::new(schema.clone()),
            splitter: LineSplitter::new(options.line_sep.as_deref(), options.encoding.as_deref())?,
            options,
            lines: Column::new(&DataType::Utf8, "text")?,
            batch_rows: 16_384,
            ready: std::collections::VecDeque::new(),
        })
    }

    /// At most this many rows in a batch.
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// Decodes the next bytes of a file.
    ///
    /// # Errors
    /// Only if a batch would hold more than 2 GiB.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.options.whole_text {
            self.splitter.keep(bytes);
            return Ok(());
        }
        let mut splitter = std::mem::take(&mut self.splitter);
        let result = splitter.split(bytes, |line| self.line(line));
        self.splitter = splitter;
        result
    }

    /// Says that the file is complete.
    ///
    /// # Errors
    /// As [`TextDecoder::push`].
    pub fn finish(&mut self) -> Result<()> {
        let mut splitter = std::mem::take(&mut self.splitter);
        let result = if self.options.whole_text {
            let kept = splitter.take_kept();
            match decode_charset(&kept, self.options.encoding.as_deref()) {
                Ok(text) if text.is_empty() => Ok(()),
                Ok(text) => self.line(&text),
                Err(error) => Err(error),
            }
        } else {
            splitter.finish(|line| self.line(line))
        };
        self.splitter = splitter;
        result
    }

    /// The rows decoded so far that have not been given out, full batches first.
    ///
    /// # Errors
    /// Only if arrow refuses the column, which would be a defect here.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>> {
        if self.ready.is_empty() && self.lines.len() > 0 {
            self.close_batch()?;
        }
        Ok(self.ready.pop_front())
    }

    /// The next batch that is full.
    pub fn next_batch(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        if let Column::String(lines) = &mut self.lines {
            match std::str::from_utf8(line) {
                Ok(_) => lines.push(line)?,
                Err(_) => lines.push(String::from_utf8_lossy(line).as_bytes())?,
            }
        }
        if self.lines.len() >= self.batch_rows { self.close_batch() } else { Ok(()) }
    }

    fn close_batch(&mut self) -> Result<()> {
        let column = self.lines.finish()?;
        self.ready.push_back(RecordBatch::try_new(Arc::clone(&self.schema), vec![column])?);
        Ok(())
    }
}

/// Writes text: the one STRING column, a row a line, null as an empty line.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) unless the batch is one STRING column.
pub fn encode_text(batch: &RecordBatch, options: &TextOptions, out: &mut Vec<u8>) -> Result<()> {
    let [column] = batch.columns() else {
        return Err(Error::invalid(format!("text has one column, not {}", batch.num_columns())));
    };
    if *column.data_type() != DataType::Utf8 {
        let (name, found) = (batch.schema_ref().field(0).name().clone(), crate::ddl::sql_type_name(column.data_type()));
        return Err(Error::invalid(format!(
            "text cannot hold the column {name} of the type {found}; it must be STRING"
        )));
    }
    let strings: &StringArray = column.as_string();
    let separator = options.line_sep.as_deref().unwrap_or("\n").as_bytes();
    for text in strings {
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
        out.extend_from_slice(separator);
    }
    Ok(())
}
