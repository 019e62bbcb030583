//! Every expression whose answer is recorded, asked of a stream: planned once, sent, and run in a batch, it answers as it does
//! in Spark, wherever a batch query of ours does.

use std::fs;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use futures::future::BoxFuture;
use millstream::{DataFrame, Result, StreamSession};
use millstream_engine::trigger::Trigger;
use millstream_formats::ddl;
use millstream_tests::TestResult;
use millstream_tests::fixtures::{fixture, fixture_json, fixture_lines};
use millstream_tests::scenario::json_rows;
use millstream_tests::session::session;
use millstream_tests::values::canonical;
use serde_json::Value;

/// Rows of the recorded table.
const ROWS: usize = 9;

/// Expressions in one query.
const TOGETHER: usize = 100;

/// How many answers differ in batch queries too. It only ever goes down.
const KNOWN: usize = 85;

/// An expression that gives one value a row.
struct Recorded {
    sql: String,
    data_type: String,
    /// Its value for each row of the table.
    values: Vec<Value>,
}

/// Every recorded expression without an error and the same in every run, over the table or over none.
fn recorded() -> TestResult<Vec<Recorded>> {
    let mut all = Vec::new();
    for record in fixture_lines("spark/expressions.jsonl")? {
        let (Some(sql), Some(data_type), Some(rows)) =
            (record["sql"].as_str(), record["type"].as_str(), record["rows"].as_array())
        else {
            continue;
        };
        let over_table = !record["from"].is_null();
        let is_one_a_row = rows.len() == if over_table { ROWS } else { 1 };
        // The groups of names have names of their own, which cannot be given another.
        let group = record["group"].as_str().unwrap_or_default();
        let is_stable = !group.starts_with("unstable") && group != "name";
        if is_one_a_row && is_stable && record["error"].is_null() && record["names"].is_null() {
            let values = if over_table { rows.clone() } else { vec![rows[0].clone(); ROWS] };
            all.push(Recorded { sql: sql.to_string(), data_type: data_type.to_string(), values });
        }
    }
    Ok(all)
}

fn query(expressions: &[Recorded], from: &str) -> String {
    let columns: Vec<String> =
        expressions.iter().enumerate().map(|(at, expression)| format!("{} AS c{at}", expression.sql)).collect();
    format!("SELECT id, {} FROM {from}", columns.join(", "))
}

/// The frame's columns and rows by `id`, as JSON.
struct Answer {
    types: Vec<String>,
    rows: Vec<Value>,
}

impl Answer {
    fn of(frame: &DataFrame, batches: &[RecordBatch]) -> Result<Self> {
        let types = frame.schema().fields().iter().skip(1).map(|field| ddl::type_name(field.data_type())).collect();
        let mut rows = json_rows(batches)?;
        rows.sort_by_key(|row| row["id"].as_i64());
        Ok(Self { types, rows })
    }

    /// Why column `at` is not what is recorded.
    fn difference(&self, at: usize, recorded: &Recorded) -> Option<String> {
        // An interval's fields are not part of its type here, and so not of its text.
        if recorded.data_type.contains("interval") {
            return None;
        }
        if self.types[at] != recorded.data_type {
            return Some(format!("{} for {}", self.types[at], recorded.data_type));
        }
        let name = format!("c{at}");
        // A FLOAT was recorded with the digits of a DOUBLE.
        let text = |value: &Value| match value.as_f64() {
            Some(number) if recorded.data_type == "float" => (number as f32).to_string(),
            _ => canonical(value),
        };
        let ours: Vec<String> = self.rows.iter().map(|row| text(&row[&name])).collect();
        let expected: Vec<String> = recorded.values.iter().map(text).collect();
        (ours != expected).then(|| format!("{ours:?} for {expected:?}"))
    }
}

async fn in_a_stream(session: &StreamSession, expressions: &[Recorded]) -> Result<Answer> {
    let frame = session.sql(&query(expressions, "STREAM t")).await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let running = frame
        .write_stream()
        .trigger(Trigger::AvailableNow)
        .foreach_batch(move |batch: DataFrame, _| {
            let kept = Arc::clone(&kept);
            async move {
                let rows = batch.collect().await?;
                kept.lock().expect("no thread panics").extend(rows);
                Ok::<_, millstream::Error>(())
            }
        })
        .start()
        .await?;
    running.await_termination().await?;
    let batches = seen.lock().expect("no thread panics").clone();
    Answer::of(&frame, &batches)
}

async fn in_a_batch(session: &StreamSession, expression: &Recorded) -> Result<Answer> {
    let frame = session.sql(&query(std::slice::from_ref(expression), "t")).await?;
    let batches = frame.collect().await?;
    Answer::of(&frame, &batches)
}

/// What streams answered otherwise.
#[derive(Default)]
struct Differences {
    /// Where a batch query answers as Spark does.
    complaints: Vec<String>,
    /// Where a batch query does not either: that is looked after where the expressions are.
    known: usize,
}

/// Asks `expressions` of a stream, all in one query. Where one spoils it for all, it is looked for.
fn ask<'a>(session: &'a StreamSession, expressions: &'a [Recorded]) -> BoxFuture<'a, Result<Differences>> {
    Box::pin(async move {
        let answer = match in_a_stream(session, expressions).await {
            Err(_) if expressions.len() > 1 => {
                let (left, right) = expressions.split_at(expressions.len() / 2);
                let (mut all, more) = (ask(session, left).await?, ask(session, right).await?);
                all.complaints.extend(more.complaints);
                all.known += more.known;
                return Ok(all);
            }
            answer => answer,
        };
        let mut all = Differences::default();
        for (at, expression) in expressions.iter().enumerate() {
            let found = match &answer {
                Ok(answer) => answer.difference(at, expression),
                Err(error) => Some(error.to_string()),
            };
            let Some(found) = found else { continue };
            match in_a_batch(session, expression).await.is_ok_and(|batch| batch.difference(0, expression).is_none()) {
                true => all.complaints.push(format!("{}: {found}", expression.sql)),
                false => all.known += 1,
            }
        }
        Ok(all)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_answer_in_a_stream_as_in_spark() -> TestResult {
    let session = session().await?;
    let schema = fixture_json("spark/t.json")?["schema"].as_str().ok_or("a schema")?.to_string();
    // Spark's own columns, and the file under a name of its own: a stream reads a folder's files.
    let work = tempfile::tempdir()?;
    fs::copy(fixture("spark/t.parquet"), work.path().join("t.parquet"))?;
    session.sql(&format!("CREATE TABLE t ({schema}) USING parquet OPTIONS (path '{}')", work.path().display())).await?;
    let recorded = recorded()?;
    assert!(recorded.len() > 5000, "only {} expressions", recorded.len());
    let (mut complaints, mut known) = (Vec::new(), 0);
    for group in recorded.chunks(TOGETHER) {
        let differences = ask(&session, group).await?;
        complaints.extend(differences.complaints);
        known += differences.known;
    }
    assert!(known <= KNOWN, "{known} answers differ in batch queries too");
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), recorded.len(), complaints.join("\n"));
    Ok(())
}
