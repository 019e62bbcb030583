//! `file_source.jsonl`: which files and rows a running Spark took into which batch, case by case.

use std::collections::BTreeSet;
use std::path::Path;

use millstream_engine::options::Options;
use millstream_engine::source::{Offset, ReadLimit, SourceProvider, SourceSpec};
use millstream_engine::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{as_json, columns, fixtures, open, read, sorted, text_of, write};
use crate::files::{FileSourceProvider, Format};

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    format: String,
    schema: Option<String>,
    path: String,
    options: std::collections::BTreeMap<String, String>,
    trigger: String,
    steps: Vec<Step>,
    #[serde(default)]
    select: Option<Value>,
    #[serde(default)]
    sink_source: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Step {
    add: Vec<NewFile>,
    #[serde(default)]
    batches: Vec<Batch>,
    #[serde(default)]
    rows: Vec<Rows>,
    #[serde(default)]
    files_left: Option<Vec<String>>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NewFile {
    path: String,
    modified_ms: u64,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Batch {
    batch: u64,
    files: Value,
}

#[derive(Debug, Deserialize)]
struct Rows {
    batch: u64,
    rows: Vec<Value>,
}

/// Where we differ from Spark on purpose: an unknown option is refused; a time may be '1 day', and a path a single file.
const PASSED_OVER: &[&str] = &["unknown_option", "max_age_one_day", "single_file_path"];

#[tokio::test]
async fn batches_are_those_of_spark() {
    let text = std::fs::read_to_string(fixtures().join("file_source.jsonl")).expect("the recorded cases");
    let mut failures = Vec::new();
    let mut compared = 0;
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).expect("a recorded case");
        let format = match case.format.as_str() {
            "json" => Format::Json,
            "text" => Format::Text,
            "csv" => Format::Csv,
            "parquet" => Format::Parquet,
            other => panic!("no format {other}"),
        };
        if case.select.is_some() || case.sink_source.is_some() || PASSED_OVER.contains(&case.name.as_str()) {
            continue;
        }
        compared += 1;
        if let Err(difference) = compare(&case, format).await {
            failures.push(format!("{}: {difference}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {compared} cases differ:\n{}", failures.len(), failures.join("\n"));
    assert!(compared > 50, "only {compared} cases compared");
}

async fn compare(case: &Case, format: Format) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let root = folder.path();
    std::fs::create_dir_all(root.join("in")).map_err(|e| e.to_string())?;
    let mut at = Position { offset: None, batch_id: 0 };
    for (number, step) in case.steps.iter().enumerate() {
        for file in &step.add {
            write(&root.join(&file.path), &file.text, file.modified_ms);
        }
        let run = run(case, format, root, &mut at).await;
        match (&step.error, run) {
            (Some(_), Err(_)) => {}
            (Some(error), Ok(_)) => return Err(format!("step {number}: Spark fails with: {error}")),
            (None, Err(error)) => return Err(format!("step {number}: {error}")),
            (None, Ok(batches)) => {
                compare_step(case, step, root, batches).map_err(|e| format!("step {number}: {e}"))?
            }
        }
    }
    Ok(())
}

struct Position {
    offset: Option<Offset>,
    batch_id: u64,
}

struct Ran {
    batch: u64,
    files: Vec<String>,
    rows: Vec<Value>,
}

/// Runs the source until it has nothing more, as the loop would.
async fn run(case: &Case, format: Format, root: &Path, at: &mut Position) -> Result<Vec<Ran>> {
    let provider = FileSourceProvider::new(format);
    let in_root = |text: &str| text.replace("@ROOT@", &text_of(root));
    let mut options: Options = case.options.iter().map(|(name, value)| (name.as_str(), in_root(value))).collect();
    options.set("path", text_of(&root.join(&case.path)));
    let given = case.schema.as_deref().map(columns);
    let schema = provider.schema(given, &options, true, &Options::new()).await?;
    let spec = SourceSpec { connector: case.format.clone(), options, schema };
    let log = root.join("checkpoint/sources/0");
    let source = open(&provider, &spec, &log).await?;
    let is_once = case.trigger == "once";
    if !is_once {
        source.prepare_available_now().await?;
    }
    let limit = if is_once { ReadLimit::AllAvailable } else { source.read_limit() };
    let mut ran = Vec::new();
    loop {
        let to = source.latest(at.offset.as_ref(), &limit).await?;
        if to == at.offset {
            break;
        }
        if let Some(before) = &at.offset {
            source.commit(before).await?;
        }
        let to = to.ok_or_else(|| Error::internal("an offset that went away"))?;
        let splits = source.splits(at.offset.as_ref(), &to).await?;
        let rows = as_json(&read(&provider, &spec, splits).await?);
        ran.push(Ran { batch: at.batch_id, files: logged(&log, &to, root)?, rows });
        at.offset = Some(to);
        at.batch_id += 1;
        if is_once {
            break;
        }
    }
    source.stop().await;
    Ok(ran)
}

/// The files that the log has for an offset, relative to `root` and still escaped.
fn logged(log: &Path, to: &Offset, root: &Path) -> Result<Vec<String>> {
    let number = to.json()["logOffset"].as_u64().ok_or_else(|| Error::internal("no logOffset"))?;
    let read = |name: String| std::fs::read_to_string(log.join(name));
    let text = read(number.to_string()).or_else(|_| read(format!("{number}.compact")));
    let text = text.map_err(|e| Error::internal(e.to_string()))?;
    let prefix = format!("file://{}/", text_of(root));
    let entries = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let own = entries.filter(|entry| entry["batchId"] == number);
    Ok(own.map(|e| e["path"].as_str().unwrap_or_default().replace(&prefix, "")).collect())
}

fn compare_step(case: &Case, step: &Step, root: &Path, ran: Vec<Ran>) -> Result<(), String> {
    let expected: Vec<(u64, Vec<String>)> =
        step.batches.iter().map(|b| (b.batch, serde_json::from_value(b.files.clone()).unwrap_or_default())).collect();
    let seen: Vec<(u64, Vec<String>)> = ran.iter().map(|ran| (ran.batch, ran.files.clone())).collect();
    // Of files with equal times Spark takes the file system's order.
    let is_same = match case.name.starts_with("equal_times") {
        true => {
            let sizes = |b: &[(u64, Vec<String>)]| b.iter().map(|(id, f)| (*id, f.len())).collect::<Vec<_>>();
            return (sizes(&expected) == sizes(&seen))
                .then_some(())
                .ok_or_else(|| format!("{seen:?}, not {expected:?}"));
        }
        false => expected == seen,
    };
    if !is_same {
        return Err(format!("batches are {seen:?}, Spark's are {expected:?}"));
    }
    for (ran, expected) in ran.into_iter().zip(&step.rows) {
        let expected_rows = sorted(expected.rows.clone());
        if ran.rows != expected_rows {
            return Err(format!("rows of batch {} are {:?}, Spark's are {expected_rows:?}", expected.batch, ran.rows));
        }
    }
    let mut left = BTreeSet::new();
    for folder in ["in", "archive"] {
        files_below(&root.join(folder), root, &mut left);
    }
    let left: BTreeSet<String> = left.iter().map(|path| path.replace(&text_of(root), "@ROOT@")).collect();
    match &step.files_left {
        Some(expected) if left != expected.iter().cloned().collect() => {
            Err(format!("files left are {left:?}, Spark's are {expected:?}"))
        }
        _ => Ok(()),
    }
}

fn files_below(folder: &Path, root: &Path, files: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files_below(&path, root, files),
            false => {
                files.insert(text_of(path.strip_prefix(root).expect("a path below the root")));
            }
        }
    }
}
