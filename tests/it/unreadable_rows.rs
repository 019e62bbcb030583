//! Rows and files that cannot be read, through SQL, the library and the command: as in Spark.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use millstream::{DataFrame, Error, ErrorKind};
use millstream_tests::TestResult;
use millstream_tests::fixtures::fixture_lines;
use millstream_tests::scenario::{console_answer, json_rows};
use millstream_tests::session::session;
use millstream_tests::values::canonical_rows;
use serde_json::{Value, json};

use crate::command::MILLSTREAM;

/// The files of the recording, `tests/record/malformed_rows.py`.
const FILES: &[(&str, &str)] = &[
    (
        "json",
        "{\"id\":1,\"k\":\"a\"}\nnot json\n{\"id\":\"x\",\"k\":\"b\"}\n{\"id\":2,\"k\":\"c\",\"more\":1}\n\n{\"id\":3\n",
    ),
    ("csv", "1,a\nx,b\n2\n3,c,d\n\"4\",e\n"),
];

/// The script of a recorded case over the files below `work`.
fn script(case: &Value, work: &Path) -> TestResult<String> {
    let text = |key: &str| case[key].as_str().ok_or("a text");
    let (format, columns) = (text("format")?, text("columns")?);
    // The name of the column is an option's, or the session's.
    let name = if columns.contains("bad") { "SET spark.sql.columnNameOfCorruptRecord = bad;\n" } else { "" };
    Ok(format!(
        "{name}CREATE TABLE t ({columns}) USING {format} OPTIONS (path '{work}/{format}', mode '{}');
         CREATE STREAMING TABLE q USING console OPTIONS (format 'json', trigger 'availableNow') AS SELECT * FROM STREAM t;",
        text("mode")?,
        work = work.display()
    ))
}

#[test]
fn malformed_rows_are_what_they_are_in_spark() -> TestResult {
    let work = tempfile::tempdir()?;
    for (format, text) in FILES {
        fs::create_dir(work.path().join(format))?;
        fs::write(work.path().join(format).join(format!("1.{format}")), text)?;
    }
    for case in fixture_lines("spark/malformed_rows.jsonl")? {
        let ran = MILLSTREAM.run_sql(work.path(), &script(&case, work.path())?)?;
        match case["rows"].as_array() {
            Some(expected) => {
                let answer = console_answer(&ran.stdout)?;
                let rows = answer.get(&0).map(Vec::as_slice).unwrap_or_default();
                assert_eq!(canonical_rows(rows, true), canonical_rows(expected, true), "{case}: {}", ran.stderr);
            }
            None => {
                let (code, error) = (ran.code, ran.stderr);
                let is_clear =
                    ["Invalid", "malformed record", "line 2", "PERMISSIVE"].iter().all(|w| error.contains(w));
                assert!(code == Some(1) && is_clear, "{case}: {code:?} {error}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanishes_stops_the_query_or_is_passed_over() -> TestResult {
    for (conf, option, is_passed) in [
        ("", "", false),
        ("", ", ignoreMissingFiles 'true'", true),
        ("SET spark.sql.files.ignoreMissingFiles = true;", "", true),
        ("SET spark.sql.files.ignoreMissingFiles = true;", ", ignoreMissingFiles 'false'", false),
    ] {
        let work = tempfile::tempdir()?;
        for n in 0..3 {
            fs::write(work.path().join(format!("{n}.json")), format!("{{\"id\":{n}}}\n"))?;
        }
        let session = session().await?;
        let path = work.path().display();
        session
            .sql(&format!(
                "{conf} CREATE TABLE t (id BIGINT) USING json OPTIONS (path '{path}', maxFilesPerTrigger '1'{option});"
            ))
            .await?;
        // All three are listed; when the first is read, the second goes.
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, victim) = (Arc::clone(&seen), work.path().join("1.json"));
        let query = session
            .sql("SELECT id FROM STREAM t")
            .await?
            .write_stream()
            .option("trigger", "availableNow")
            .foreach_batch(move |batch: DataFrame, batch_id| {
                let (kept, victim) = (Arc::clone(&kept), victim.clone());
                async move {
                    if batch_id == 0 {
                        fs::remove_file(victim)?;
                    }
                    let rows = json_rows(&batch.collect().await?)?;
                    kept.lock().expect("no thread panics").extend(rows);
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
                }
            })
            .start()
            .await?;
        let outcome = query.await_termination().await;
        let seen = Value::Array(seen.lock().expect("no thread panics").clone());
        match is_passed {
            true => {
                outcome?;
                assert_eq!(seen, json!([{"id": 0}, {"id": 2}]), "{conf}{option}");
            }
            false => {
                let error: Error = outcome.expect_err("a file was lost without a word");
                let is_clear = error.message().contains("1.json") && error.message().contains("ignoreMissingFiles");
                assert!(error.kind() == ErrorKind::Unavailable && is_clear, "{conf}{option}: {error}");
                assert_eq!(seen, json!([{"id": 0}]), "{conf}{option}");
            }
        }
    }
    Ok(())
}
