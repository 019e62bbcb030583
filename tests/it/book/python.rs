//! The Python of the book, run by Spark: it is what Spark takes, and the SQL beside it gives the same rows.

use std::path::Path;
use std::process::Command;

use millstream_tests::TestResult;
use millstream_tests::markdown::{Code, pages, repository};

use super::sql::{MILLSTREAM, setup_of, to_the_end, write_files};

const PAGE: &str = "docs/moving-from-spark.md";

/// Results that both sides have under one name.
const RESULTS: &[&str] = &["views", "sessions", "pairs"];

#[test]
#[ignore = "needs PySpark 4.3: run tests/kafka/run --spark PYTHON"]
fn spark_runs_the_left_side_and_agrees_with_the_right() -> TestResult {
    let python = std::env::var("MILLSTREAM_PYSPARK").map_err(|_| "run tests/kafka/run --spark PYTHON")?;
    let (work, page) = (tempfile::tempdir()?, repository().join(PAGE).canonicalize()?);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/book/run_python.py");
    let ran = Command::new(python).arg(script).arg(page).args(RESULTS).current_dir(work.path()).output()?;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let printed = String::from_utf8(ran.stdout)?;

    let pages = pages()?;
    let page = pages.iter().find(|page| page.path == PAGE).ok_or("the page is not there")?;
    for result in RESULTS {
        let prefix = format!("{result} ");
        let sparks: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        let is_of = |code: &&Code| code.text.contains(&format!("CREATE STREAMING TABLE {result} "));
        let code = page.code().find(is_of).ok_or_else(|| format!("no SQL makes {result}"))?;
        let work = tempfile::tempdir()?;
        write_files(page, work.path())?;
        let statements = format!(
            "{}{}AWAIT STREAM {result};\nSELECT to_json(struct(*)) AS row FROM {result};",
            setup_of(page, code),
            to_the_end(&code.text)
        );
        let ours = MILLSTREAM.run_sql_with(work.path(), &statements, &["--format", "json"])?.ok()?.stdout;
        assert_eq!(rows(&ours)?, sorted(sparks), "{result}");
    }
    Ok(())
}

/// The texts in lines such as `{"row":"…"}`, sorted.
fn rows(printed: &str) -> TestResult<Vec<String>> {
    let text = |line: &str| -> TestResult<String> {
        let row: serde_json::Value = serde_json::from_str(line)?;
        Ok(row["row"].as_str().ok_or("a row that is no text")?.to_string())
    };
    let rows: Vec<String> =
        printed.lines().filter(|line| line.starts_with("{\"row\"")).map(text).collect::<TestResult<_>>()?;
    assert!(!rows.is_empty(), "nothing to compare: {printed}");
    Ok(sorted(rows))
}

fn sorted<T: ToString>(rows: Vec<T>) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    rows.sort();
    rows
}
