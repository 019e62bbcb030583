//! Progress events: Spark's JSON, field by field, as the command writes them.

use std::collections::BTreeMap;

use millstream_tests::TestResult;
use millstream_tests::fixtures::{ROOT, fixture_lines, set_modified};
use serde_json::Value;

use crate::command::MILLSTREAM;

/// Fields whose values vary from run to run: only that they are there, and of which type, is compared.
const VARYING: &[&str] =
    &["id", "runId", "timestamp", "batchDuration", "inputRowsPerSecond", "processedRowsPerSecond", "durationMs"];

/// The recorded queries, and how they are written here.
const QUERIES: &[(&str, &str)] = &[
    ("file to parquet", "parquet OPTIONS (path '@ROOT@/out', checkpointLocation '@ROOT@/cp', trigger 'availableNow')"),
    ("file to console", "console OPTIONS (checkpointLocation '@ROOT@/cp', trigger 'availableNow')"),
    ("file to noop", "noop OPTIONS (checkpointLocation '@ROOT@/cp', trigger 'availableNow', queryName 'named')"),
];

/// What differs between the recorded event and ours, by field.
fn differences(path: &str, spark: &Value, ours: &Value, out: &mut BTreeMap<String, String>) {
    match (spark, ours) {
        (Value::Object(spark), Value::Object(ours)) => {
            for (name, value) in spark {
                let path = format!("{path}.{name}");
                match ours.get(name) {
                    None => drop(out.insert(path, "missing".to_string())),
                    Some(own) if VARYING.contains(&name.as_str()) => {
                        if std::mem::discriminant(value) != std::mem::discriminant(own) {
                            out.insert(path, format!("Spark {value}, here {own}"));
                        }
                    }
                    Some(own) => differences(&path, value, own, out),
                }
            }
        }
        (Value::Array(spark), Value::Array(ours)) if spark.len() == ours.len() => {
            for (number, (spark, ours)) in spark.iter().zip(ours).enumerate() {
                differences(&format!("{path}[{number}]"), spark, ours, out);
            }
        }
        (spark, ours) if spark == ours => {}
        (spark, ours) => drop(out.insert(path.to_string(), format!("Spark {spark}, here {ours}"))),
    }
}

#[test]
fn progress_is_sparks_field_by_field() -> TestResult {
    let recorded = fixture_lines("interop/progress.jsonl")?;
    for (name, sink) in QUERIES {
        let spark = recorded.iter().find(|line| line["name"] == *name).ok_or(*name)?;
        let spark: Vec<&Value> = spark["events"].as_array().into_iter().flatten().collect();
        let spark: Vec<&Value> =
            spark.into_iter().filter(|event| event["event"] == "progress").map(|event| &event["progress"]).collect();
        let root = tempfile::tempdir()?;
        let input = root.path().join("in");
        std::fs::create_dir(&input)?;
        for (file, rows) in spark.iter().map(|progress| progress["numInputRows"].as_u64().unwrap_or(0)).enumerate() {
            let path = input.join(format!("{file}.json"));
            std::fs::write(&path, "{\"v\": 1}\n".repeat(usize::try_from(rows)?))?;
            set_modified(&path, 1_700_000_000_000 + 1000 * file as u64)?;
        }
        let sql = format!(
            "CREATE TABLE input (v BIGINT) USING json OPTIONS (path '@ROOT@/in', maxFilesPerTrigger '1');
             CREATE STREAMING TABLE named USING {sink} AS SELECT v FROM STREAM input;"
        );
        let place = root.path().to_string_lossy();
        MILLSTREAM.run_sql_with(root.path(), &sql.replace(ROOT, &place), &["--progress", "progress.jsonl"])?.ok()?;
        let text = std::fs::read_to_string(root.path().join("progress.jsonl"))?.replace(&*place, ROOT);
        let ours: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        assert_eq!(ours.len(), spark.len(), "{name}: events");
        for (spark, ours) in spark.iter().zip(&ours) {
            assert_eq!(ours["planCount"], 1, "{name}");
            let mut differ = BTreeMap::new();
            differences("", spark, ours, &mut differ);
            // The name is that of the table here. Spark counts no rows of file sinks.
            differ.remove(".name");
            differ.remove(".sink.numOutputRows");
            // Java's name of an object.
            if spark["sink"]["description"].as_str().is_some_and(|text| text.contains("ConsoleTable$@")) {
                differ.remove(".sink.description");
            }
            assert!(differ.is_empty(), "{name}, batch {}: {differ:#?}", spark["batchId"]);
        }
    }
    Ok(())
}
