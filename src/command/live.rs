//! On a terminal: one line for each running query, renewed by every batch. What is printed meanwhile stands above the lines.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use console::Term;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use millstream::listener::{QueryStarted, QueryTerminated, StreamingQueryListener};
use millstream::progress::StreamingQueryProgress;
use uuid::Uuid;

/// The lines, on standard error: the process has one terminal. Not there where nobody looks.
static LINES: OnceLock<MultiProgress> = OnceLock::new();

/// Whether writing to standard output has found nobody at its other end.
static OUTPUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Does `print`, which writes to the terminal, with the lines out of its way.
pub(super) fn above_lines<R>(print: impl FnOnce() -> R) -> R {
    match LINES.get() {
        Some(lines) => lines.suspend(print),
        None => print(),
    }
}

/// Takes the lines away: their queries have ended, or end with the process.
pub(super) fn clear_lines() {
    if let Some(lines) = LINES.get() {
        // Where the terminal is gone there is nothing to clear.
        let _ = lines.clear();
        lines.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// Standard output as it may be written to beside the lines: all at once, when it is flushed.
#[derive(Debug, Default)]
pub(super) struct AboveLines(Vec<u8>);

impl Write for AboveLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.0);
        let written = above_lines(|| {
            let mut out = io::stdout().lock();
            out.write_all(&text).and_then(|()| out.flush())
        });
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            OUTPUT_IS_CLOSED.store(true, Ordering::Relaxed);
        }
        written
    }
}

/// Whether nobody reads standard output any more, as behind `| head`.
pub(super) fn output_is_closed() -> bool {
    OUTPUT_IS_CLOSED.load(Ordering::Relaxed)
}

/// Standard error, where the log goes, beside the lines: an event is written at once when it is complete.
#[derive(Debug, Default)]
pub(super) struct LogAboveLines(Vec<u8>);

impl Write for LogAboveLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.0);
        above_lines(|| io::stderr().write_all(&text))
    }
}

impl Drop for LogAboveLines {
    fn drop(&mut self) {
        // Where standard error is gone there is nobody to tell.
        let _ = self.flush();
    }
}

/// Renews the lines.
#[derive(Debug)]
pub(super) struct LiveProgress {
    queries: Mutex<HashMap<Uuid, Line>>,
}

#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    rows: u64,
}

impl LiveProgress {
    pub(super) fn new() -> Self {
        LINES.get_or_init(lines);
        Self { queries: Mutex::default() }
    }
}

impl StreamingQueryListener for LiveProgress {
    fn on_query_started(&self, event: &QueryStarted) {
        let style = ProgressStyle::with_template("{spinner} {prefix}: {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = LINES.get_or_init(lines).add(ProgressBar::new_spinner().with_style(style));
        bar.set_prefix(event.name.clone().unwrap_or_else(|| event.id.to_string()));
        bar.set_message("waiting for data");
        bar.enable_steady_tick(Duration::from_millis(200));
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        queries.insert(event.run_id, Line { bar, rows: 0 });
    }

    fn on_query_progress(&self, progress: &StreamingQueryProgress) {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = queries.get_mut(&progress.run_id) {
            line.rows += progress.num_input_rows;
            line.bar.set_message(message(progress, line.rows));
        }
    }

    fn on_query_terminated(&self, event: &QueryTerminated) {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = queries.remove(&event.run_id) {
            line.bar.disable_steady_tick();
            line.bar.finish_and_clear();
            if let Some(lines) = LINES.get() {
                lines.remove(&line.bar);
            }
        }
    }
}

fn lines() -> MultiProgress {
    /// As often as one can read.
    const REDRAWN_HZ: u8 = 20;
    let terminal = Box::new(RoomForEcho(Term::stderr()));
    MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(terminal, REDRAWN_HZ))
}

/// The terminal, said to be narrower than it is. The lines are padded to its width: the `^C` that the terminal echoes at the end of
/// the last one would go to the next, and leave this one behind.
#[derive(Debug)]
struct RoomForEcho(Term);

impl TermLike for RoomForEcho {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub("^C".len() as u16 + 1)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.0.write_line(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

fn message(progress: &StreamingQueryProgress, rows: u64) -> String {
    let mut text = format!("batch {}, {} rows", progress.batch_id, HumanCount(rows));
    if let Some(rate) = progress.processed_rows_per_second {
        text.push_str(&format!(", {} rows/s", HumanCount(rate as u64)));
    }
    if let Some(watermark) = progress.event_time.get("watermark") {
        text.push_str(&format!(", watermark {watermark}"));
    }
    text
}
