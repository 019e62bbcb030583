//! Examples whose result is files: what is in them is read by DataFusion, which knows nothing of streams.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use datafusion::prelude::SessionContext;
use millstream_tests::TestResult;
use millstream_tests::scenario::json_rows;
use millstream_tests::sink_log::{logged_files, logged_rows, sorted_ids};
use serde_json::Value;

use super::model::{number, text};
use super::{all_input, run, tables};

/// Rows of the Parquet files that are committed, as (id, sensor, level in millimetres, day).
async fn lake(folder: &Path) -> TestResult<BTreeSet<(i64, String, i64, String)>> {
    let context = SessionContext::new();
    let mut rows = BTreeSet::new();
    for file in logged_files(folder)? {
        let path = file.to_str().ok_or("a path that is no text")?.to_string();
        let day = path.split("day=").nth(1).and_then(|rest| rest.split('/').next()).ok_or("no folder for a day")?;
        context.register_parquet("file", &path, Default::default()).await?;
        let sql =
            "SELECT id, arrow_cast(sensor, 'Utf8') AS sensor, CAST(round(level_m * 1000) AS BIGINT) AS mm FROM file";
        for row in json_rows(&context.sql(sql).await?.collect().await?)? {
            assert!(
                rows.insert((number(&row, "id"), text(&row, "sensor"), number(&row, "mm"), day.to_string())),
                "twice: {row}"
            );
        }
        context.deregister_table("file")?;
    }
    Ok(rows)
}

fn is_good(reading: &Value) -> bool {
    text(reading, "at").starts_with("2026") && number(reading, "level_mm") >= 0
}

fn expected(readings: &[Value]) -> BTreeSet<(i64, String, i64, String)> {
    let good = readings.iter().filter(|reading| is_good(reading));
    good.map(|reading| {
        let sensor = text(reading, "sensor").trim().to_lowercase();
        (number(reading, "id"), sensor, number(reading, "level_mm"), text(reading, "at")[..10].to_string())
    })
    .collect()
}

#[tokio::test]
async fn file_etl_takes_each_file_once() -> TestResult {
    let work = tempfile::tempdir()?;
    let (incoming, out) = (work.path().join("incoming"), work.path().join("lake"));
    let ran = run("file_etl", work.path())?;
    assert_eq!(lake(&out).await?, expected(&all_input(&incoming)?));
    let rejected = &tables(&ran.stdout)[1];
    let bad = all_input(&incoming)?.iter().filter(|reading| !is_good(reading)).count();
    assert_eq!(rejected.len(), bad + 1, "and the line that is no JSON: {rejected:?}");

    let before: BTreeSet<_> = logged_files(&out)?.into_iter().collect();
    assert!(run("file_etl", work.path())?.stderr.contains("cleaned: 0 new rows"), "there was nothing new");
    assert_eq!(logged_files(&out)?.into_iter().collect::<BTreeSet<_>>(), before);

    let more = r#"{"id": 8, "sensor": "weir", "at": "2026-03-03T00:00:00Z", "level_mm": 1300}"#;
    fs::write(incoming.join("later.json"), format!("{more}\n"))?;
    assert!(run("file_etl", work.path())?.stderr.contains("cleaned: 1 new rows"), "one row was new");
    assert_eq!(lake(&out).await?, expected(&all_input(&incoming)?));
    assert_eq!(logged_files(&out)?.len(), before.len() + 1);
    Ok(())
}

#[test]
fn crash_restart_loses_and_repeats_nothing() -> TestResult {
    let work = tempfile::tempdir()?;
    let ran = run("crash_restart", work.path())?;
    assert_eq!(ran.stderr.matches("signal: 9 (SIGKILL)").count(), 4, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("exit status: 0").count(), 1, "{}", ran.stderr);
    let delivered: Vec<i64> = all_input(&work.path().join("in"))?.iter().map(|row| number(row, "id")).collect();
    let distinct: BTreeSet<i64> = delivered.iter().copied().collect();
    assert!(delivered.len() > distinct.len(), "no row was delivered twice");
    let written = sorted_ids(&logged_rows(&work.path().join("out"))?, "id");
    assert_eq!(written, distinct.into_iter().collect::<Vec<_>>());
    Ok(())
}
