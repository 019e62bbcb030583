//! What is written today is what a running Spark has read: `fixtures/interop/ours` holds the files and Spark's answer.
//!
//! Whoever changes a file on purpose records again (`tests/record/spark_reads_ours.py`), and so asks Spark again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use millstream::{StreamSession, WithConnectors};
use millstream_tests::TestResult;
use millstream_tests::fixtures::{ROOT, copy_folder, fixture, set_modified};
use millstream_tests::session::table_rows;
use millstream_tests::sink_log::logged_files;
use millstream_tests::values::canonical_rows;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::printer::print_schema;
use serde_json::{Value, json};

/// The input of the recording: file `n` of `tests/record/interop_logs.py`.
fn write_input(folder: &Path, n: u64) -> TestResult {
    let row = |i: u64| {
        let k = if (n + i).is_multiple_of(7) { Value::Null } else { json!(["a", "b", "c"][(n + i) as usize % 3]) };
        format!("{}\n", json!({ "id": 10 * n + i, "k": k, "v": n * i }))
    };
    let path = folder.join(format!("{n:04}.json"));
    fs::create_dir_all(folder)?;
    fs::write(&path, (0..3).map(row).collect::<String>())?;
    Ok(set_modified(&path, (1_000_000_000 + n) * 1000)?)
}

async fn run_the_recorded_query(root: &Path, sink: &str, partition_by: Option<&str>) -> TestResult {
    for n in 0..12 {
        write_input(&root.join("input"), n)?;
    }
    let partitioned = partition_by.map(|column| format!("PARTITIONED BY ({column})")).unwrap_or_default();
    let session = StreamSession::builder().build().await?;
    session
        .sql(&format!(
            "CREATE TABLE input (id BIGINT, k STRING, v INT) USING json OPTIONS (path '{0}/input', maxFilesPerTrigger '1');
             CREATE STREAMING TABLE q USING {sink} {partitioned}
             OPTIONS (path '{0}/out', checkpointLocation '{0}/checkpoint', trigger 'availableNow')
             AS SELECT id, k, v + 1 AS w FROM STREAM input WHERE v >= 0",
            root.display()
        ))
        .await?;
    Ok(session.streams().await_any_termination().await?)
}

/// A log's text without what is different in every run: names by chance, times, and sizes, which follow from names.
fn without_chance(text: &str, root: &Path) -> String {
    let text = text.replace(&*root.to_string_lossy(), ROOT);
    let uuid = regex::Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").expect("a pattern");
    let number = regex::Regex::new(r#""(size|modificationTime|batchTimestampMs|startedMs)":\d+"#).expect("a pattern");
    // As many as the machine has cores.
    let partitions = regex::Regex::new(r#""spark.sql.shuffle.partitions":"\d+""#).expect("a pattern");
    let text = uuid.replace_all(&text, "<uuid>");
    let text = number.replace_all(&text, r#""$1":0"#);
    partitions.replace_all(&text, r#""spark.sql.shuffle.partitions":"n""#).into_owned()
}

/// The text of every log below `root` by its path.
fn logs(root: &Path) -> TestResult<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for folder in ["checkpoint", "out/_spark_metadata"] {
        let mut open = vec![root.join(folder)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?);
                continue;
            }
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            texts.insert(name, without_chance(&fs::read_to_string(&path)?, root));
        }
    }
    Ok(texts)
}

/// What a written file is: its bytes, where they are text; of a parquet file what its footer says.
fn shape(file: &Path) -> TestResult<String> {
    if file.extension().is_some_and(|ending| ending == "json") {
        return Ok(fs::read_to_string(file)?);
    }
    let reader = SerializedFileReader::new(File::open(file)?)?;
    let footer = reader.metadata();
    let mut text = Vec::new();
    print_schema(&mut text, footer.file_metadata().schema());
    let codecs: BTreeSet<String> = footer
        .row_groups()
        .iter()
        .flat_map(|group| group.columns().iter().map(|column| format!("{:?}", column.compression())))
        .collect();
    let keys = footer.file_metadata().key_value_metadata();
    Ok(format!("{}{codecs:?} {} rows {keys:?}", String::from_utf8(text)?, footer.file_metadata().num_rows()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_what_spark_has_read() -> TestResult {
    for (name, sink, partition_by) in
        [("parquet", "parquet", None), ("parquet-partitioned", "parquet", Some("k")), ("json", "json", None)]
    {
        let (recorded, written) = (tempfile::tempdir()?, tempfile::tempdir()?);
        copy_folder(&fixture(&format!("interop/ours/{name}")), recorded.path(), recorded.path())?;
        run_the_recorded_query(written.path(), sink, partition_by).await?;
        assert_eq!(logs(written.path())?, logs(recorded.path())?, "{name}");

        let shapes = |root: &Path| -> TestResult<Vec<String>> {
            logged_files(&root.join("out"))?.iter().map(|file| shape(file)).collect()
        };
        assert_eq!(shapes(written.path())?, shapes(recorded.path())?, "{name}");
        let expected: Value = serde_json::from_str(&fs::read_to_string(recorded.path().join("expected.json"))?)?;
        let rows = table_rows(sink, "id BIGINT, k STRING, w INT", &written.path().join("out")).await?;
        let expected = expected["spark_reads"]["rows"].as_array().ok_or("no rows")?;
        assert_eq!(canonical_rows(&rows, false), canonical_rows(expected, false), "{name}");
    }
    Ok(())
}
