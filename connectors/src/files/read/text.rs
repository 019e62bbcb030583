//! Lines of text to a column of strings.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::SchemaRef;
use millstream_engine::Result;

use crate::files::format::TextOptions;
use crate::rows::arrow_error;

/// Decodes text by a schema of one STRING column, or of none (then rows are only counted).
#[derive(Debug)]
pub(super) struct TextDecoder {
    schema: SchemaRef,
    options: TextOptions,
    batch_rows: usize,
    /// The start of a line whose end has not come.
    kept: Vec<u8>,
    values: StringBuilder,
    rows: usize,
    ready: VecDeque<RecordBatch>,
}

impl TextDecoder {
    /// A decoder that makes batches of `batch_rows`.
    pub(super) fn new(schema: SchemaRef, options: TextOptions, batch_rows: usize) -> Self {
        Self {
            schema,
            options,
            batch_rows,
            kept: Vec::new(),
            values: StringBuilder::new(),
            rows: 0,
            ready: VecDeque::new(),
        }
    }

    /// Decodes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.kept.extend_from_slice(bytes);
        match self.options.whole_text {
            true => Ok(()),
            false => self.split(false),
        }
    }

    /// The file is complete.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.options.whole_text {
            let kept = std::mem::take(&mut self.kept);
            return self.row(&kept);
        }
        self.split(true)
    }

    /// The next full batch.
    pub(super) fn next_batch(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }

    /// The next batch, full or not.
    pub(super) fn flush(&mut self) -> Result<Option<RecordBatch>> {
        if self.ready.is_empty() && self.rows > 0 {
            self.close_batch()?;
        }
        Ok(self.ready.pop_front())
    }

    fn split(&mut self, is_last: bool) -> Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let mut rest = kept.as_slice();
        while let Some((end, next)) = find_end(rest, self.options.line_sep.as_deref(), is_last) {
            self.row(&rest[..end])?;
            rest = &rest[next..];
        }
        if is_last && !rest.is_empty() {
            self.row(rest)?;
            rest = &[];
        }
        self.kept = rest.to_vec();
        Ok(())
    }

    fn row(&mut self, line: &[u8]) -> Result<()> {
        if !self.schema.fields().is_empty() {
            match std::str::from_utf8(line) {
                Ok(text) => self.values.append_value(text),
                Err(_) => self.values.append_value(String::from_utf8_lossy(line)),
            }
        }
        self.rows += 1;
        match self.rows >= self.batch_rows {
            true => self.close_batch(),
            false => Ok(()),
        }
    }

    fn close_batch(&mut self) -> Result<()> {
        let columns: Vec<ArrayRef> = match self.schema.fields().is_empty() {
            true => Vec::new(),
            false => vec![Arc::new(self.values.finish())],
        };
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        self.ready.push_back(batch.map_err(arrow_error)?);
        self.rows = 0;
        Ok(())
    }
}

/// Where the first line ends and where the next one begins. A `\r` at the end of what has come may be half of a `\r\n`.
fn find_end(bytes: &[u8], line_sep: Option<&str>, is_last: bool) -> Option<(usize, usize)> {
    if let Some(line_sep) = line_sep {
        let end = memchr::memmem::find(bytes, line_sep.as_bytes())?;
        return Some((end, end + line_sep.len()));
    }
    let end = memchr::memchr2(b'\n', b'\r', bytes)?;
    if bytes[end] == b'\n' {
        return Some((end, end + 1));
    }
    match bytes.get(end + 1) {
        Some(b'\n') => Some((end, end + 2)),
        None if !is_last => None,
        _ => Some((end, end + 1)),
    }
}
