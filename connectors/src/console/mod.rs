//! The `console` sink: every batch on standard output, as Spark's boxed table or as a line of JSON.
//!
//! Options     `numRows` (20), `truncate` (true: 20 characters; false; or a number), `format` (`table`, `json`)
//! Modes       all
//! Guarantee   none: a batch that is run again is printed again

mod cells;
mod layout;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use millstream_engine::options::Options;
use millstream_engine::sink::{BatchRows, Delivery, Sink, SinkContext, SinkProvider, SinkSpec};
use millstream_engine::{Error, Result};
use millstream_formats::java_time::Zone;
use millstream_formats::json::write_console_json;

use crate::files::{format_error, session_zone};

/// Where a console prints. Clones print to the same place.
#[derive(Clone)]
pub struct ConsoleOutput(Arc<Mutex<dyn Write + Send>>);

impl ConsoleOutput {
    /// Prints to `writer`.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    /// Prints all of `text` and flushes.
    fn print(&self, text: &str) -> Result<()> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| {
            Error::unavailable(format!("console sink: cannot write to standard output: {e}")).with_source(e)
        })
    }
}

impl fmt::Debug for ConsoleOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsoleOutput")
    }
}

/// `USING console`.
#[derive(Debug)]
pub struct ConsoleProvider {
    output: ConsoleOutput,
}

impl ConsoleProvider {
    /// Prints to standard output.
    pub fn stdout() -> Self {
        Self::new(ConsoleOutput::to(io::stdout()))
    }

    /// Prints to `output`.
    pub fn new(output: ConsoleOutput) -> Self {
        Self { output }
    }
}

#[async_trait]
impl SinkProvider for ConsoleProvider {
    fn name(&self) -> &'static str {
        "console"
    }

    fn may_use_temporary_checkpoint(&self) -> bool {
        true
    }

    fn check(&self, spec: &SinkSpec) -> Result<()> {
        Style::from_options(&spec.options).map(|_| ())
    }

    async fn open(&self, spec: &SinkSpec, cx: SinkContext) -> Result<Arc<dyn Sink>> {
        let style = Style::from_options(&spec.options)?;
        let query = spec.query_name.clone().unwrap_or_else(|| cx.query_id.to_string());
        let zone = session_zone(&cx.conf)?;
        Ok(Arc::new(Console { style, query, zone, output: self.output.clone() }))
    }
}

/// How a batch is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Spark's table.
    Table {
        rows_max: usize,
        /// The longest a cell may be, in UTF-16 units as Java counts; 0 is any length.
        cell_max: usize,
    },
    /// A JSON object a batch.
    Json,
}

impl Style {
    fn from_options(options: &Options) -> Result<Self> {
        let mut reader = options.reader("console sink");
        let rows_max = reader.parsed("numRows", 20i64, "a whole number")?;
        let cell_max = match reader.text("truncate").as_deref().map(str::trim) {
            None => 20,
            Some(text) if text.eq_ignore_ascii_case("true") => 20,
            Some(text) if text.eq_ignore_ascii_case("false") => 0,
            Some(text) => {
                text.parse().map_err(|_| reader.bad_value("truncate", text, "true, false or a number of characters"))?
            }
        };
        let format = reader.text("format").unwrap_or_else(|| "table".to_string());
        let style = match format.trim().to_ascii_lowercase().as_str() {
            "table" => Self::Table { rows_max: usize::try_from(rows_max).unwrap_or(0), cell_max },
            "json" => Self::Json,
            _ => return Err(reader.bad_value("format", &format, "table or json")),
        };
        reader.finish()?;
        Ok(style)
    }
}

#[derive(Debug)]
struct Console {
    style: Style,
    query: String,
    zone: Zone,
    output: ConsoleOutput,
}

impl Console {
    /// `{"query":"q","batch":3,"rows":[{…},…]}` and the end of the line.
    fn json_line(&self, batch: &BatchRows) -> Result<String> {
        let mut line = format!("{{\"query\":{},\"batch\":{},\"rows\":[", serde_json::json!(self.query), batch.batch_id);
        let mut is_first = true;
        for part in batch.rows().filter(|part| part.num_rows() > 0) {
            let mut rows = Vec::new();
            write_console_json(part, ",", &mut rows).map_err(format_error)?;
            if !std::mem::take(&mut is_first) {
                line.push(',');
            }
            line.push_str(
                &String::from_utf8(rows).map_err(|e| Error::internal(format!("JSON that is not UTF-8: {e}")))?,
            );
        }
        line.push_str("]}\n");
        Ok(line)
    }
}

#[async_trait]
impl Sink for Console {
    fn description(&self) -> String {
        match self.style {
            Style::Table { rows_max, cell_max } => {
                format!("ConsoleTable[numRows={rows_max}, truncate={}]", cell_max > 0)
            }
            Style::Json => "ConsoleTable[format=json]".to_string(),
        }
    }

    fn delivery(&self) -> Delivery {
        Delivery::Rows
    }

    async fn accept(&self, batch: BatchRows) -> Result<()> {
        let text = match self.style {
            Style::Table { rows_max, cell_max } => layout::batch_table(&batch, self.zone, rows_max, cell_max)?,
            Style::Json => self.json_line(&batch)?,
        };
        self.output.print(&text)
    }
}
