//! The command, killed at random moments, and asked to stop: what is in the table afterwards is the input, each row once.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use millstream_tests::TestResult;
use millstream_tests::command::send;
use millstream_tests::dice::Dice;
use millstream_tests::scenario::write_rows;
use millstream_tests::sink_log::{logged_rows, sorted_ids};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::MILLSTREAM;

const ROWS_PER_FILE: i64 = 3;

/// Adds `files` files after the `written` that are there.
fn add_files(folder: &Path, written: &mut i64, files: i64) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for number in *written..*written + files {
        let rows: Vec<Value> =
            (0..ROWS_PER_FILE).map(|row| json!({"id": number * ROWS_PER_FILE + row, "k": "x"})).collect();
        // Whole under its name from the start, as a source of files asks for.
        let making = folder.join(format!(".{number}.making"));
        write_rows(&making, &Value::Array(rows), 1_700_000_000 + number.unsigned_abs())?;
        std::fs::rename(&making, folder.join(format!("{number:06}.json")))?;
    }
    *written += files;
    Ok(())
}

fn file_query(work: &Path, trigger: &str) -> String {
    let work = work.display();
    format!(
        "CREATE TABLE input (id BIGINT, k STRING) USING json OPTIONS (path '{work}/input', maxFilesPerTrigger '1');
         CREATE STREAMING TABLE copied USING parquet
         OPTIONS (path '{work}/out', checkpointLocation '{work}/checkpoint' {trigger})
         AS SELECT id, upper(k) AS k FROM STREAM input;\n"
    )
}

/// Everything that the process still writes, until it has ended.
fn rest_of(mut child: Child) -> std::io::Result<(Option<i32>, String)> {
    let mut stderr = String::new();
    if let Some(pipe) = child.stderr.as_mut() {
        pipe.read_to_string(&mut stderr)?;
    }
    Ok((child.wait()?.code(), stderr))
}

#[test]
fn killed_at_fifty_random_moments() -> TestResult {
    let mut dice = Dice::thrown("killed_at_fifty_random_moments");
    let work = tempfile::tempdir()?;
    let mut written = 0;
    let running = file_query(work.path(), "");
    for kill in 0..50 {
        add_files(&work.path().join("input"), &mut written, 4)?;
        let mut child = MILLSTREAM.start_sql(work.path(), &running, &[])?;
        // The end of its output is the end of the process: that must not come before the kill.
        let (ended, end) = channel();
        let mut stdout = child.stdout.take().ok_or("no standard output")?;
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            drop(stdout.read_to_end(&mut rest));
            let _ = ended.send(());
        });
        let moment = Duration::from_micros(dice.below(450_000));
        if end.recv_timeout(moment) != Err(RecvTimeoutError::Timeout) {
            return Err(format!("kill {kill}: ended by itself: {:?}", rest_of(child)?).into());
        }
        child.kill()?;
        child.wait()?;
    }
    MILLSTREAM.run_sql(work.path(), &file_query(work.path(), ", trigger 'availableNow'"))?.ok()?;
    let ids = sorted_ids(&logged_rows(&work.path().join("out"))?, "id");
    assert_eq!(ids, (0..written * ROWS_PER_FILE).collect::<Vec<_>>(), "rows were lost or repeated");
    Ok(())
}

#[test]
fn asked_to_stop_it_ends_well_and_loses_nothing() -> TestResult {
    // Without a signal: nobody reads what it prints any more.
    for signal in [Some(Signal::INT), Some(Signal::TERM), None] {
        let work = tempfile::tempdir()?;
        let mut written = 0;
        add_files(&work.path().join("input"), &mut written, 40)?;
        let script = |trigger: &str| {
            let place = work.path().display();
            format!(
                "{}CREATE STREAMING TABLE shown USING console
                 OPTIONS (format 'json', checkpointLocation '{place}/shown' {trigger}) AS SELECT id FROM STREAM input;\n",
                file_query(work.path(), trigger)
            )
        };
        let mut child = MILLSTREAM.start_sql(work.path(), &script(""), &[])?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        // Both queries are on their way once the second has printed a batch.
        let mut shown = vec![lines.next().ok_or("nothing was printed")??];
        if let Some(signal) = signal {
            send(&child, signal)?;
            for line in lines {
                shown.push(line?);
            }
        } else {
            drop(lines);
        }
        let (code, stderr) = rest_of(child)?;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{signal:?}");

        let again = MILLSTREAM.run_sql(work.path(), &script(", trigger 'availableNow'"))?.ok()?;
        shown.extend(again.stdout.lines().map(str::to_string));
        let all: Vec<i64> = (0..written * ROWS_PER_FILE).collect();
        assert_eq!(sorted_ids(&logged_rows(&work.path().join("out"))?, "id"), all, "{signal:?}: the table");
        let mut printed = Vec::new();
        for line in shown {
            let line: Value = serde_json::from_str(&line)?;
            printed.extend(line["rows"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_i64()));
        }
        printed.sort_unstable();
        // A console that was stopped between printing and committing prints that batch again.
        printed.dedup();
        match signal {
            Some(_) => assert_eq!(printed, all, "{signal:?}: the console"),
            // Some of what was printed nobody has read.
            None => assert!(printed.iter().all(|id| all.contains(id)), "{printed:?}"),
        }
    }
    Ok(())
}

#[test]
fn of_two_processes_the_newer_takes_over() -> TestResult {
    let work = tempfile::tempdir()?;
    let (input, out) = (work.path().join("input"), work.path().join("out"));
    let mut written = 0;
    add_files(&input, &mut written, 5)?;
    let running = file_query(work.path(), "");
    let mut older = MILLSTREAM.start_sql(work.path(), &running, &[])?;
    // The older one is at work.
    while !work.path().join("checkpoint/commits/2").exists() {
        assert!(older.try_wait()?.is_none(), "the older one ended: {:?}", rest_of(older)?);
        std::thread::yield_now();
    }
    let newer = MILLSTREAM.start_sql(work.path(), &running, &[])?;
    // Each file gives it a reason to write, until it finds that it has been replaced.
    while older.try_wait()?.is_none() {
        let logged = logged_rows(&out)?.len();
        add_files(&input, &mut written, 1)?;
        while older.try_wait()?.is_none() && logged_rows(&out)?.len() == logged {
            std::thread::yield_now();
        }
        assert!(written < 2000, "both go on");
    }
    let (code, stderr) = rest_of(older)?;
    assert_eq!(code, Some(1), "{stderr}");
    // It may notice at its claim, or where it finds a file that the newer one has written.
    assert!(stderr.contains("Fenced"), "{stderr}");
    // The newer one goes on alone.
    send(&newer, Signal::TERM)?;
    let (code, stderr) = rest_of(newer)?;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    MILLSTREAM.run_sql(work.path(), &file_query(work.path(), ", trigger 'availableNow'"))?.ok()?;
    let ids = sorted_ids(&logged_rows(&out)?, "id");
    assert_eq!(ids, (0..written * ROWS_PER_FILE).collect::<Vec<_>>(), "rows were lost or repeated");
    Ok(())
}
