//! Aggregation over streams against a batch query over the same rows: any cut into batches, restarts in between, with
//! another number of state partitions each time.

use std::collections::BTreeMap;
use std::path::Path;

use millstream::{StreamSession, WithConnectors};
use millstream_engine::sink::OutputMode;
use millstream_engine::trigger::Trigger;
use millstream_tests::TestResult;
use millstream_tests::dice::Dice;
use millstream_tests::scenario::{Answer, answer_of, write_rows};
use millstream_tests::session::{delta_bytes, rows_of};
use millstream_tests::values::{canonical, canonical_rows, timestamp_micros};
use serde_json::{Value, json};

/// How late a row may be, and how far apart rows of one cut are at most: so that none is ever late.
const DELAY_S: u64 = 600;

/// Without a time: complete and update mode. `{s}` is the stream.
const KEYED: &[&str] = &[
    "SELECT k, count(*) AS n, sum(v) AS s, avg(v) AS a, min(v) AS lo, max(k2) AS hi, count_if(v > 3) AS c, stddev(v) AS sd FROM {s} GROUP BY k",
    "SELECT count(*) AS n, sum(v) AS s, max(ts) AS t, bool_or(v > 5) AS b FROM {s}",
    "SELECT k, k2, count(*) AS n, grouping_id(k, k2) AS g FROM {s} GROUP BY ROLLUP(k, k2)",
    "SELECT k, k2, sum(v) AS s, grouping_id(k, k2) AS g FROM {s} GROUP BY GROUPING SETS ((k), (k2), ())",
    "SELECT k, k2, count(DISTINCT v) AS d, collect_list(v) AS l, first(v) AS f, median(v) AS m, count(*) AS n, grouping_id(k, k2) AS g FROM {s} GROUP BY CUBE(k, k2)",
    "SELECT k, count(DISTINCT v) AS d, sum(DISTINCT v) AS s, count(DISTINCT k2, v) AS d2, count(*) AS n FROM {s} GROUP BY k",
    "SELECT k, collect_list(v) AS l, first(v) AS f, last(v) AS la, collect_set(k2) AS st FROM {s} GROUP BY k",
    "SELECT k, median(v) AS m, percentile(v, 0.25) AS p, mode(k2) AS mo, approx_count_distinct(v) AS u FROM {s} GROUP BY k",
    "SELECT k, min_by(k2, v) AS a, max_by(v, ts) AS b, sum(v) FILTER (WHERE k2 = 'x') AS fx FROM {s} GROUP BY k HAVING count(*) > 1",
    "SELECT DISTINCT k, k2 FROM {s}",
    "SELECT v % 3 AS r, count(DISTINCT k) AS d FROM {s} GROUP BY v % 3",
];

/// By windows: complete, update and append mode.
const WINDOWED: &[&str] = &[
    "SELECT window.start AS ws, window.end AS we, k, count(*) AS n, sum(v) AS s FROM {s} GROUP BY window(ts, '5 minutes'), k",
    "SELECT window.start AS ws, window.end AS we, count(*) AS n, avg(v) AS a, approx_count_distinct(k) AS u FROM {s} GROUP BY window(ts, '10 minutes', '3 minutes', '1 minute')",
    "SELECT window.start AS ws, window.end AS we, k, count(DISTINCT v) AS d, collect_list(v) AS l FROM {s} GROUP BY window(ts, '6 minutes', '2 minutes'), k",
    "SELECT ts AS ws, ts AS we, count(*) AS n FROM {s} GROUP BY ts",
    "SELECT window.start AS ws, window.end AS we, k, sum(DISTINCT v) AS d, collect_list(v) AS l, grouping(k) AS g FROM {s} GROUP BY window(ts, '6 minutes', '2 minutes'), ROLLUP(k)",
];

/// Rows with times that go up, but for some disorder.
fn rows(dice: &mut Dice, count: u64) -> Vec<Value> {
    let pick = |dice: &mut Dice, of: &[Value]| of[dice.below(of.len() as u64) as usize].clone();
    (0..count)
        .map(|number| {
            let second = 1000 + number * 20 + dice.below(DELAY_S / 2);
            let at = format!("2024-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
            json!({
                "k": pick(dice, &[json!("a"), json!("b"), json!("c"), Value::Null]),
                "k2": pick(dice, &[json!("x"), json!("y"), Value::Null]),
                "v": pick(dice, &[json!(1), json!(2), json!(3), json!(5), json!(8), json!(-4), Value::Null]),
                "ts": at,
            })
        })
        .collect()
}

async fn session_over(work: &Path, partitions: u64) -> TestResult<StreamSession> {
    let session = StreamSession::builder().config("spark.sql.shuffle.partitions", partitions).build().await?;
    let place = work.display();
    session
        .sql(&format!(
            "CREATE TABLE ev (k STRING, k2 STRING, v BIGINT, ts TIMESTAMP) USING json OPTIONS (path '{place}/ev', maxFilesPerTrigger '1')"
        ))
        .await?;
    Ok(session)
}

/// The rows of every batch of `sql` over the stream, its input appearing file by file and cut by restarts, each with another number
/// of state partitions.
async fn streamed(dice: &mut Dice, rows: &[Value], sql: &str, mode: OutputMode) -> TestResult<Vec<Vec<Value>>> {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let sql = sql.replace("{s}", &format!("STREAM ev WATERMARK ts DELAY OF INTERVAL {DELAY_S} SECONDS"));
    let (mut answer, mut rest, mut files) = (Answer::new(), rows, 0u64);
    for partitions in [1, 3, 2] {
        let count = 1 + dice.below(3);
        for file in 1..=count {
            let take = match partitions == 2 && file == count {
                true => rest.len(),
                false => (1 + dice.below(rest.len() as u64 / 2) as usize).min(rest.len()),
            };
            let (now, later) = rest.split_at(take);
            write_rows(&work.path().join(format!("ev/{files:04}.json")), &json!(now), 1_000_000_000 + files)?;
            (rest, files) = (later, files + 1);
        }
        let session = session_over(work.path(), partitions).await?;
        answer.extend(answer_of(&session.sql(&sql).await?, mode, &work.path().join("cp")).await?);
    }
    Ok(answer.into_values().collect())
}

async fn in_one_batch(rows: &[Value], sql: &str) -> TestResult<Vec<Value>> {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    write_rows(&work.path().join("ev/0.json"), &json!(rows), 1_000_000_000)?;
    Ok(rows_of(&session_over(work.path(), 2).await?, &sql.replace("{s}", "ev")).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_cut_with_restarts_gives_the_answer_of_a_batch_in_complete_mode() -> TestResult {
    let mut dice = Dice::thrown("complete");
    for sql in KEYED.iter().chain(WINDOWED) {
        let rows = rows(&mut dice, 60);
        let batches = streamed(&mut dice, &rows, sql, OutputMode::Complete).await?;
        let last = batches.last().cloned().unwrap_or_default();
        assert_eq!(canonical_rows(&last, false), canonical_rows(&in_one_batch(&rows, sql).await?, false), "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_update_of_each_group_is_its_row_in_a_batch() -> TestResult {
    let mut dice = Dice::thrown("update");
    for sql in KEYED.iter().chain(WINDOWED) {
        let rows = rows(&mut dice, 60);
        let mut latest = BTreeMap::new();
        for row in streamed(&mut dice, &rows, sql, OutputMode::Update).await?.into_iter().flatten() {
            let key: Vec<String> = ["ws", "we", "k", "k2", "g", "r"].map(|column| canonical(&row[column])).to_vec();
            latest.insert(key, row);
        }
        let latest: Vec<Value> = latest.into_values().collect();
        assert_eq!(canonical_rows(&latest, false), canonical_rows(&in_one_batch(&rows, sql).await?, false), "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn append_mode_gives_exactly_the_closed_windows_once() -> TestResult {
    let mut dice = Dice::thrown("append");
    for sql in WINDOWED {
        let rows = rows(&mut dice, 90);
        let times = rows.iter().filter_map(|row| timestamp_micros(row["ts"].as_str()?));
        let watermark = times.max().unwrap_or(0) - DELAY_S as i64 * 1_000_000;
        let given: Vec<Value> =
            streamed(&mut dice, &rows, sql, OutputMode::Append).await?.into_iter().flatten().collect();
        let mut expected = in_one_batch(&rows, sql).await?;
        expected.retain(|row| row["we"].as_str().and_then(timestamp_micros).is_some_and(|end| end <= watermark));
        assert!(!expected.is_empty(), "{sql}: nothing closes");
        assert_eq!(canonical_rows(&given, false), canonical_rows(&expected, false), "{sql}");
    }
    Ok(())
}

/// A group of a million elements is not written again for a hundred more: by a key, in grouping sets.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_writes_the_elements_that_are_new() -> TestResult {
    let cases = [
        ("SELECT count(DISTINCT v) AS d, max(v) AS m FROM STREAM ev", json!([{"d": 1_000_100, "m": 1_000_099}])),
        (
            "SELECT k, count(DISTINCT v) AS d, max(v) AS m FROM STREAM ev GROUP BY GROUPING SETS ((k), ())",
            json!([{"k": "a", "d": 1_000_100, "m": 1_000_099}, {"k": null, "d": 1_000_100, "m": 1_000_099}]),
        ),
    ];
    for (sql, expected) in cases {
        let work = tempfile::tempdir()?;
        std::fs::create_dir(work.path().join("ev"))?;
        let row = |v: u64| json!({"k": "a", "v": v});
        let values = |from: u64, count: u64| json!((from..from + count).map(row).collect::<Vec<_>>());
        write_rows(&work.path().join("ev/0.json"), &values(0, 1_000_000), 1_000_000_000)?;
        write_rows(&work.path().join("ev/1.json"), &values(1_000_000, 100), 1_000_000_001)?;
        let session = session_over(work.path(), 1).await?;
        let batches = answer_of(&session.sql(sql).await?, OutputMode::Update, &work.path().join("cp")).await?;
        let expected = expected.as_array().ok_or("rows")?;
        assert_eq!(canonical_rows(&batches[&1], false), canonical_rows(expected, false), "{sql}");
        let deltas = delta_bytes(work.path())?;
        assert!(deltas.len() == 2 && deltas[0] > 1_000_000 && deltas[1] < 64 * 1024, "{sql}: {deltas:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn state_partitions_are_as_many_as_wanted_and_operators_must_stay() -> TestResult {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let mut dice = Dice::thrown("partitions");
    write_rows(&work.path().join("ev/0.json"), &json!(rows(&mut dice, 200)), 1_000_000_000)?;
    let session = session_over(work.path(), 4).await?;
    let start = async |sql: &str| -> millstream::Result<_> {
        let frame = session.sql(sql).await?;
        let writer = frame.write_stream().output_mode(OutputMode::Update).format("noop").trigger(Trigger::AvailableNow);
        let query = writer.option("checkpointLocation", work.path().join("cp").display()).start().await?;
        query.await_termination().await?;
        Ok(query)
    };
    let query = start("SELECT ts, k, count(*) AS n FROM STREAM ev GROUP BY ts, k").await?;
    let progress = query.last_progress().ok_or("no batch")?;
    let operator = &progress.state_operators[0];
    assert_eq!((operator.num_shuffle_partitions, operator.num_state_store_instances), (4, 4), "{}", progress.json());
    assert_eq!(operator.operator_name, "stateStoreSave");
    assert!(operator.num_rows_total > 100 && operator.memory_used_bytes > 0, "{}", progress.json());
    // The query; what the error must name.
    let others = [
        ("SELECT ts, k2, count(*) AS n FROM STREAM ev GROUP BY ts, k2", "\"k2\""),
        ("SELECT ts, k, sum(v) AS n FROM STREAM ev GROUP BY ts, k", "sum"),
        ("SELECT ts, k FROM STREAM ev", "stateStoreSave"),
    ];
    for (sql, named) in others {
        let error = start(sql).await.err().ok_or_else(|| format!("accepted on another query's checkpoint: {sql}"))?;
        let text = error.to_string();
        assert!(text.contains(named) && text.contains("\n- "), "{sql}: {text}");
    }
    start("SELECT ts, k, count(*) AS n FROM STREAM ev GROUP BY ts, k").await?;
    Ok(())
}

/// A state far larger than the session's memory goes to files and answers the same; where it may not, the query says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_outgrows_memory_goes_to_files() -> TestResult {
    const KEYS: u64 = 60_000;
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    for file in 0..3u64 {
        let rows: Vec<Value> =
            (0..KEYS).map(|key| json!({"k": format!("key-{key}-{}", "x".repeat(100)), "v": file})).collect();
        write_rows(&work.path().join(format!("ev/{file}.json")), &json!(rows), 1_000_000_000 + file)?;
    }
    let place = work.path().display();
    for spill in [true, false] {
        let builder = StreamSession::builder().config("spark.sql.shuffle.partitions", 1);
        let session =
            builder.config("millstream.memory.limit", "48MiB").config("millstream.state.spill", spill).build().await?;
        let ev = format!(
            "CREATE TABLE ev (k STRING, v BIGINT) USING json OPTIONS (path '{place}/ev', maxFilesPerTrigger '1')"
        );
        session.sql(&ev).await?;
        let frame =
            session.sql("SELECT k, sum(v) AS s, count(*) AS n, collect_list(v) AS l FROM STREAM ev GROUP BY k").await?;
        let answer = answer_of(&frame, OutputMode::Update, &work.path().join(format!("cp_{spill}"))).await;
        if !spill {
            let error = answer.err().ok_or("a state larger than memory was kept in memory")?.to_string();
            assert!(error.contains("stateStoreSave") && error.contains("millstream.state.spill"), "{error}");
            continue;
        }
        let last = answer?.into_values().next_back().unwrap_or_default();
        assert_eq!(last.len() as u64, KEYS);
        assert!(last.iter().all(|row| row["s"] == 3 && row["n"] == 3 && row["l"] == json!([0, 1, 2])), "{:?}", last[0]);
    }
    Ok(())
}
