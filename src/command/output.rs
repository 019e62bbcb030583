//! What goes to standard output (rows, and nothing else) and to standard error (errors).

use std::io::{ErrorKind as IoErrorKind, IsTerminal, Write};

use millstream::printing::{self, PrintFormat};
use millstream::statements::Outcome;
use millstream::{DataFrame, Error, Result, StreamSession};

use super::live::{AboveLines, above_lines};

/// Why a statement's answer could not be shown.
#[derive(Debug)]
pub(super) enum ShowError {
    /// The statement failed.
    Failed(Error),
    /// Nobody reads standard output any more.
    OutputClosed,
}

impl From<Error> for ShowError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Prints what a statement answered; a batch query is run for it.
pub(super) async fn show(session: &StreamSession, outcome: Outcome, format: PrintFormat) -> Result<(), ShowError> {
    let text = match outcome {
        Outcome::Done | Outcome::Started(_) => return Ok(()),
        Outcome::Text(text) => text.trim_end().to_string().into_bytes(),
        Outcome::Rows(schema, rows) => printing::print(session, &schema, &rows, format)?,
        Outcome::Query(frame) => query_text(session, &frame, format).await?,
    };
    write_out(text)
}

async fn query_text(session: &StreamSession, frame: &DataFrame, format: PrintFormat) -> Result<Vec<u8>> {
    if frame.is_streaming() {
        return Err(Error::invalid(
            "the query reads a stream, which never ends: write CREATE STREAMING TABLE … AS SELECT …, or INSERT INTO a table",
        ));
    }
    let rows = frame.collect().await?;
    printing::print(session, &frame.schema(), &rows, format)
}

fn write_out(mut text: Vec<u8>) -> Result<(), ShowError> {
    if !text.is_empty() && text.last() != Some(&b'\n') {
        text.push(b'\n');
    }
    let mut out = AboveLines::default();
    match out.write_all(&text).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == IoErrorKind::BrokenPipe => Err(ShowError::OutputClosed),
        Err(error) => Err(Error::unavailable(format!("standard output cannot be written: {error}")).into()),
    }
}

/// Prints an error for people, in colour on a terminal.
pub(super) fn report(message: &str) {
    let label = if std::io::stderr().is_terminal() { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
    // Where standard error is gone there is nobody to tell.
    let _ = above_lines(|| writeln!(std::io::stderr(), "{label}: {message}"));
}

/// An error with its kind and, where it is known, the place of its statement.
pub(super) fn describe(error: &Error, place: Option<(u64, u64)>) -> String {
    match place {
        Some((line, column)) => format!("{:?}: {error} (statement at line {line}, column {column})", error.kind()),
        None => format!("{:?}: {error}", error.kind()),
    }
}
