//! On a terminal: one line for each running query, renewed by every batch.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use millstream::listener::{QueryStarted, QueryTerminated, StreamingQueryListener};
use millstream::progress::StreamingQueryProgress;
use uuid::Uuid;

/// The lines, on standard error.
#[derive(Debug)]
pub(super) struct LiveProgress {
    lines: MultiProgress,
    queries: Mutex<HashMap<Uuid, Line>>,
}

#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    rows: u64,
}

impl LiveProgress {
    pub(super) fn new() -> Self {
        Self { lines: MultiProgress::new(), queries: Mutex::default() }
    }
}

impl StreamingQueryListener for LiveProgress {
    fn on_query_started(&self, event: &QueryStarted) {
        let style = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.lines.add(ProgressBar::new_spinner().with_style(style));
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
            line.bar.finish_and_clear();
        }
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
