//! Every step of every durable write fails once, alone or with all that follow it. A restart then ends as if nothing had
//! happened, and what was visible in between was whole batches.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, stream};
use millstream::{Error, ErrorKind, Result, StreamSession};
use millstream_state::OtherDisk;
use millstream_tests::TestResult;
use millstream_tests::faulty_disk::{Fault, FaultyDisk};
use millstream_tests::scenario::write_rows;
use millstream_tests::session::{rows_of, session};
use millstream_tests::values::canonical_rows;
use serde_json::{Value, json};

/// The queries whose every write fails: the sink's format, what follows it, the query, and how many rows it gives. The last ones
/// remember: windows and sessions that are given out when they close.
const QUERIES: &[Query] = &[
    ("parquet", "", STATELESS, 8),
    ("json", "PARTITIONED BY (k)", STATELESS, 8),
    (
        "json",
        "",
        "SELECT unix_seconds(window.start) AS id, concat(k, '-', count(*)) AS k
         FROM (SELECT k, timestamp_seconds(id * 10) AS at FROM STREAM input) WATERMARK at DELAY OF INTERVAL 0 SECONDS
         GROUP BY window(at, '20 seconds', '10 seconds'), k",
        // A row each 10 s from 0 to 70 s: the last window closes at 70 s. Two rows of different keys in each but the first.
        13,
    ),
    (
        "json",
        "",
        "SELECT unix_seconds(session_window.start) AS id, concat(k, count(DISTINCT id), array_join(collect_list(CAST(id AS STRING)), '')) AS k
         FROM (SELECT id, k, timestamp_seconds(id * 10 + id DIV 3 * 60) AS at FROM STREAM input) WATERMARK at DELAY OF INTERVAL 0 SECONDS
         GROUP BY session_window(at, '25 seconds'), k",
        // a at 0 and 20 s, b at 10 s, b at 90 and 110 s, a at 100 s; those at 180 and 190 s stay open.
        4,
    ),
];

const STATELESS: &str = "SELECT id * 10 AS id, k FROM STREAM input";

type Query = (&'static str, &'static str, &'static str, usize);

/// Rows in each file of the input, a file a batch.
const FILES: &[i64] = &[2, 3, 1, 2];

fn write_input(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut next_id = 0;
    for (number, rows) in (0u64..).zip(FILES) {
        let rows: Vec<Value> =
            (next_id..next_id + rows).map(|id| json!({"id": id, "k": if id % 2 == 0 { "a" } else { "b" }})).collect();
        next_id += rows.len() as i64;
        write_rows(&folder.join(format!("{number}.json")), &Value::Array(rows), 1_700_000_000 + number)?;
    }
    Ok(())
}

/// One run of the query in a session of its own, on `disk`.
async fn run(root: &Path, query: Query, disk: &Arc<FaultyDisk>) -> Result<()> {
    let _mounted = OtherDisk::mount(root.join("durable"), Arc::clone(disk) as _);
    let session = session().await?;
    let root = root.display();
    let (format, partitioned, select, _) = query;
    // Compaction and purging as often as can be.
    for setting in [
        "spark.sql.streaming.minBatchesToRetain = '1'",
        "spark.sql.streaming.fileSource.log.compactInterval = '2'",
        "spark.sql.streaming.fileSink.log.compactInterval = '2'",
    ] {
        session.sql(&format!("SET {setting}")).await?;
    }
    session
        .sql(&format!(
            "CREATE TABLE input (id BIGINT, k STRING) USING json OPTIONS (path '{root}/input', maxFilesPerTrigger '1');
             CREATE STREAMING TABLE q USING {format} {partitioned}
             OPTIONS (path '{root}/durable/out', checkpointLocation '{root}/durable/checkpoint', trigger 'availableNow')
             AS {select}"
        ))
        .await?;
    wait(&session).await
}

async fn wait(session: &StreamSession) -> Result<()> {
    session.streams().await_any_termination().await
}

/// What a reader sees: nothing before there is a table.
async fn visible(root: &Path, format: &str) -> Result<Vec<String>> {
    let session = session().await?;
    let folder = root.join("durable/out");
    if !folder.join("_spark_metadata").is_dir() {
        return Ok(Vec::new());
    }
    session
        .sql(&format!("CREATE TABLE t (id BIGINT, k STRING) USING {format} OPTIONS (path '{}')", folder.display()))
        .await?;
    Ok(canonical_rows(&rows_of(&session, "SELECT id, k FROM t").await?, false))
}

fn expected_after(batches: usize) -> Vec<String> {
    let rows: i64 = FILES[..batches].iter().sum();
    let rows: Vec<Value> =
        (0..rows).map(|id| json!({"id": id * 10, "k": if id % 2 == 0 { "a" } else { "b" }})).collect();
    canonical_rows(&rows, false)
}

/// Fails step `nth` of a run, looks, and runs again: what is then there must be `expected`.
async fn fail_and_recover(
    query: Query,
    nth: u64,
    fault: Fault,
    expected: Arc<Vec<String>>,
) -> TestResult<Option<String>> {
    let root = tempfile::tempdir()?;
    write_input(&root.path().join("input"))?;
    let is_stateless = query.2 == STATELESS;
    match run(root.path(), query, &FaultyDisk::failing(nth, fault)).await {
        // Maintenance of state that fails is tried again later: nobody need notice.
        Ok(()) if is_stateless => return Ok(Some("the fault was swallowed".to_string())),
        Ok(()) => {}
        Err(error) if error.kind() != ErrorKind::Unavailable => {
            return Ok(Some(format!("kind {:?}: {error}", error.kind())));
        }
        Err(_) => {}
    }
    let between = visible(root.path(), query.0).await?;
    let is_whole = match is_stateless {
        true => (0..=FILES.len()).any(|batches| expected_after(batches) == between),
        false => between.iter().all(|row| expected.contains(row)) && between.windows(2).all(|pair| pair[0] != pair[1]),
    };
    if !is_whole {
        return Ok(Some(format!("half a batch was visible: {between:?}")));
    }
    if let Err(error) = run(root.path(), query, &FaultyDisk::calm()).await {
        return Ok(Some(format!("the restart failed: {error}")));
    }
    let after = visible(root.path(), query.0).await?;
    Ok((after != *expected).then(|| format!("the table is wrong: {after:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_write_is_invisible() -> TestResult {
    for query in QUERIES {
        let root = tempfile::tempdir()?;
        write_input(&root.path().join("input"))?;
        let calm = FaultyDisk::calm();
        run(root.path(), *query, &calm).await?;
        let expected = Arc::new(visible(root.path(), query.0).await?);
        assert_eq!(expected.len(), query.3, "{query:?}: {expected:?}");
        if query.2 == STATELESS {
            assert_eq!(*expected, expected_after(FILES.len()), "{query:?}: wrong without faults");
        }
        assert!(calm.steps() > 60, "{query:?}: only {} steps: too short to be a test", calm.steps());

        let faults = [Fault::NotDone, Fault::DoneButReportedFailed, Fault::Dead];
        let points = (0..calm.steps()).flat_map(|nth| faults.map(|fault| (nth, fault)));
        let mut tries = stream::iter(points)
            .map(|(nth, fault)| {
                let task = tokio::spawn(fail_and_recover(*query, nth, fault, Arc::clone(&expected)));
                async move { task.await.map(|tried| (nth, fault, tried)) }
            })
            .buffer_unordered(4);
        let mut wrong = BTreeMap::new();
        while let Some(tried) = tries.next().await {
            let (nth, fault, tried) = tried?;
            if let Some(why) = tried? {
                wrong.insert(format!("{nth:4} {fault:?}"), why);
            }
        }
        assert!(wrong.is_empty(), "{query:?}, {} steps: {wrong:#?}", calm.steps());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_query_and_hides_nothing_half_written() -> TestResult {
    let query = QUERIES[0];
    for nth in [5, 17, 25, 40] {
        let root = tempfile::tempdir()?;
        write_input(&root.path().join("input"))?;
        let error: Error = match run(root.path(), query, &FaultyDisk::failing(nth, Fault::Full)).await {
            Ok(()) => return Err(format!("step {nth}: the query did not notice").into()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let between = visible(root.path(), query.0).await?;
        assert!((0..=FILES.len()).any(|batches| expected_after(batches) == between), "half a batch: {between:?}");
        run(root.path(), query, &FaultyDisk::calm()).await?;
        assert_eq!(visible(root.path(), query.0).await?, expected_after(FILES.len()), "step {nth}");
    }
    Ok(())
}
