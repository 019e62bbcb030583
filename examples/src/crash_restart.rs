//! A query that is killed again and again, goes on where it was, and in the end has every row once.
//!
//! `cargo run -p examples -- crash_restart`. The program starts itself as a worker: a query that reads files, drops rows that
//! are delivered twice, and writes Parquet. The worker ends itself with SIGKILL, a little later in a batch each time; no
//! handler runs, nothing is flushed. Whatever it was doing is repaired from the checkpoint by the next.

use std::fmt::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use millstream::prelude::*;
use rustix::process::{Signal, getpid, kill_process};

use crate::Result;
use crate::arguments::{self, Folder};

const FILES: i64 = 24;
const ROWS_PER_FILE: i64 = 200;
/// Every file begins with so many rows of the one before it.
const REPEATED: i64 = 50;

/// How long after its second batch each worker dies; the last lives on.
const DIES_AFTER: [Option<Duration>; 5] = [
    Some(Duration::ZERO),
    Some(Duration::from_millis(7)),
    Some(Duration::from_millis(14)),
    Some(Duration::from_millis(21)),
    None,
];

pub(crate) async fn run() -> Result<()> {
    if let Some(folder) = arguments::value("--worker")? {
        return work(&folder).await;
    }
    let folder = Folder::of_arguments()?;
    folder.write_files("in", (0..FILES).map(file))?;
    for dies_after in DIES_AFTER {
        let mut worker = Command::new(std::env::current_exe()?);
        worker.args(["crash_restart", "--worker", &folder.path("")]);
        if let Some(after) = dies_after {
            worker.args(["--dies-after-us", &after.as_micros().to_string()]);
        }
        let status = worker.status()?;
        let (begun, done) = (newest(&folder, "offsets")?, newest(&folder, "commits")?);
        let state = match begun == done {
            true => "between two batches".to_string(),
            false => format!("with batch {begun} under way"),
        };
        eprintln!("the worker ended with {status}, {state}");
    }

    let session = StreamSession::builder().app_name("crash_restart").build().await?;
    let out = session.read().parquet(&folder.path("out")).await?;
    out.create_or_replace_temp_view("out")?;
    let result =
        "SELECT count(*) AS rows, count(DISTINCT id) AS distinct_ids, min(id) AS first, max(id) AS last FROM out";
    session.sql(result).await?.show().await?;
    Ok(())
}

/// What a worker does, until it ends or dies.
async fn work(folder: &str) -> Result<()> {
    let session = StreamSession::builder().app_name("worker").build().await?;
    if let Some(after_us) = arguments::value("--dies-after-us")? {
        let after = Duration::from_micros(after_us.parse()?);
        session.streams().add_listener(Arc::new(Death { after }));
    }
    let rows = session.read_stream().schema("id BIGINT, at TIMESTAMP").option("maxFilesPerTrigger", 1);
    let rows = rows.json(&format!("{folder}/in")).await?;
    let query = rows
        .with_watermark("at", "10 minutes")?
        .drop_duplicates(["id", "at"])?
        .write_stream()
        .query_name("rows")
        .format("parquet")
        .option("checkpointLocation", format!("{folder}/checkpoint"))
        .trigger(Trigger::AvailableNow)
        .start_path(&format!("{folder}/out"))
        .await?;
    Ok(query.await_termination().await?)
}

/// Ends the process a while after the second batch of its life.
struct Death {
    after: Duration,
}

impl StreamingQueryListener for Death {
    fn on_query_progress(&self, progress: &StreamingQueryProgress) {
        if progress.batch_id % 3 == 1 {
            let after = self.after;
            // The query goes on meanwhile.
            std::thread::spawn(move || {
                std::thread::sleep(after);
                kill_process(getpid(), Signal::KILL)
            });
        }
    }
}

/// The rows of a file: some of the file before, and new ones.
fn file(number: i64) -> String {
    let first = (number * ROWS_PER_FILE - REPEATED).max(0);
    let mut lines = String::new();
    for id in first..(number + 1) * ROWS_PER_FILE {
        let (minute, second) = (id / 60 % 60, id % 60);
        let _ = writeln!(lines, r#"{{"id": {id}, "at": "2026-03-02T{:02}:{minute:02}:{second:02}Z"}}"#, 9 + id / 3600);
    }
    lines
}

/// The newest batch in a log of the checkpoint.
fn newest(folder: &Folder, log: &str) -> Result<i64> {
    let mut newest = -1;
    for entry in std::fs::read_dir(folder.path(&format!("checkpoint/{log}")))? {
        newest = entry?.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or(-1).max(newest);
    }
    Ok(newest)
}
