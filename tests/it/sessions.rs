//! Sessions over streams against a model of them: any cut into batches, restarts in between, with another number of state
//! partitions each time.

use std::collections::BTreeMap;
use std::path::Path;

use millstream::{StreamSession, WithConnectors};
use millstream_engine::sink::OutputMode;
use millstream_engine::trigger::Trigger;
use millstream_tests::TestResult;
use millstream_tests::dice::Dice;
use millstream_tests::scenario::{Answer, answer_of, write_rows};
use millstream_tests::session::{delta_bytes, rows_of};
use millstream_tests::values::canonical_rows;
use serde_json::{Value, json};

/// How late a row may be: rows of one stream are less far apart than this, so none is ever late.
const DELAY_S: i64 = 600;

/// Memory for sessions that have to go to no files.
const PLENTY: &str = "1GiB";

/// Everything that every query asks of a session: fixed states, those that depend on the order of rows, and elements of every kind.
const AGGREGATES: &str = "count(*) AS n, sum(v) AS s, min(v) AS lo, collect_list(v) AS l, first(v) AS f, \
    last(v) FILTER (WHERE v < 8) AS la, first(v) IGNORE NULLS AS fk, max_by(i, v) AS mb, min_by(i, v) AS mi, count(DISTINCT v) AS d, \
    sum(DISTINCT v) AS sd, collect_set(v) AS cs, percentile_disc(0.5) WITHIN GROUP (ORDER BY v) AS p";

/// Grouped by key and session; per-row gaps; without another key.
const QUERIES: &[(&str, Gap, bool)] = &[
    (
        "SELECT session_window.start AS ss, session_window.end AS se, k, {a} FROM {s} GROUP BY session_window(ts, '40 seconds'), k",
        Gap::Constant,
        true,
    ),
    (
        "SELECT session_window.start AS ss, session_window.end AS se, k, {a} FROM {s} GROUP BY k, session_window(ts, CASE WHEN v > 4 THEN '90 seconds' WHEN v = 1 THEN '0 seconds' ELSE '25 seconds' END)",
        Gap::ByValue,
        true,
    ),
    (
        "SELECT session_window.start AS ss, session_window.end AS se, {a} FROM {s} GROUP BY session_window(ts, '8 seconds')",
        Gap::Short,
        false,
    ),
];

#[derive(Clone, Copy, PartialEq)]
enum Gap {
    Constant,
    ByValue,
    Short,
}

impl Gap {
    fn seconds(self, value: Option<i64>) -> i64 {
        match self {
            Self::Constant => 40,
            Self::Short => 8,
            Self::ByValue => match value {
                Some(5..) => 90,
                Some(1) => 0,
                _ => 25,
            },
        }
    }
}

/// One row: key, second, value. Beside them it has its number.
#[derive(Clone, Debug)]
struct Row {
    key: Option<&'static str>,
    second: Option<i64>,
    value: Option<i64>,
}

fn at(second: i64) -> String {
    format!("2024-01-01T{:02}:{:02}:{:02}.000000Z", second / 3600, second / 60 % 60, second % 60)
}

impl Row {
    fn json(&self, number: usize) -> Value {
        json!({"k": self.key, "ts": self.second.map(at), "v": self.value, "i": number})
    }
}

fn rows(dice: &mut Dice, count: u64) -> Vec<Row> {
    let mut row = |number: u64| {
        let second = 1000 + (number * 12 + dice.below(DELAY_S as u64 / 2)) as i64;
        Row {
            key: [Some("a"), Some("b"), Some("c"), None][dice.below(4) as usize],
            second: (dice.below(20) > 0).then_some(second),
            value: [Some(1), Some(2), Some(5), Some(8), Some(-4), None][dice.below(6) as usize],
        }
    };
    (0..count).map(&mut row).collect()
}

/// What every session of these rows must be, worked out row by row: the rows of a key in order of time, each joined to the
/// session before it that has not ended.
fn model(rows: &[Row], gap: Gap, has_key: bool) -> Vec<Value> {
    let mut by_key: BTreeMap<Option<&str>, Vec<(i64, i64, usize)>> = BTreeMap::new();
    for (arrival, row) in rows.iter().enumerate() {
        let (Some(second), length) = (row.second, gap.seconds(row.value)) else { continue };
        if length > 0 {
            let key = row.key.filter(|_| has_key);
            by_key.entry(key).or_default().push((second, second + length, arrival));
        }
    }
    let mut sessions = Vec::new();
    for (key, mut times) in by_key {
        times.sort_unstable();
        let mut open: Option<(i64, i64, Vec<usize>)> = None;
        for (start, end, arrival) in times {
            match &mut open {
                Some((_, open_end, members)) if start <= *open_end => {
                    *open_end = (*open_end).max(end);
                    members.push(arrival);
                }
                _ => sessions.extend(open.replace((start, end, vec![arrival])).map(|session| (key, session))),
            }
        }
        sessions.extend(open.map(|session| (key, session)));
    }
    let row_of = |(key, (start, end, mut members)): (Option<&str>, (i64, i64, Vec<usize>))| {
        members.sort_unstable();
        let value = |member: &usize| rows[*member].value;
        let known: Vec<usize> = members.iter().copied().filter(|member| value(member).is_some()).collect();
        let values: Vec<i64> = known.iter().filter_map(value).collect();
        let mut different: Vec<i64> = Vec::new();
        for value in &values {
            if !different.contains(value) {
                different.push(*value);
            }
        }
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let sum = |values: &[i64]| (!values.is_empty()).then(|| values.iter().sum::<i64>());
        let mut row = json!({
            "ss": at(start), "se": at(end), "n": members.len(), "lo": values.iter().min(), "s": sum(&values), "l": values,
            "f": members.first().and_then(value), "la": values.iter().rfind(|value| **value < 8), "fk": values.first(),
            // Of equal ones the last counts.
            "mb": known.iter().max_by_key(|member| (value(member), **member)),
            "mi": known.iter().max_by_key(|member| (std::cmp::Reverse(value(member)), **member)),
            "d": different.len(), "sd": sum(&different), "cs": different,
            "p": sorted.get(sorted.len().saturating_sub(1) / 2),
        });
        if has_key {
            row["k"] = json!(key);
        }
        row
    };
    sessions.into_iter().map(row_of).collect()
}

async fn session_over(work: &Path, partitions: u64) -> TestResult<StreamSession> {
    session_with(work, partitions, PLENTY).await
}

async fn session_with(work: &Path, partitions: u64, memory: &str) -> TestResult<StreamSession> {
    let builder = StreamSession::builder().config("spark.sql.shuffle.partitions", partitions);
    let session = builder.config("millstream.memory.limit", memory).build().await?;
    let place = work.display();
    session
        .sql(&format!(
            "CREATE TABLE ev (k STRING, v BIGINT, i BIGINT, ts TIMESTAMP) USING json OPTIONS (path '{place}/ev', maxFilesPerTrigger '1')"
        ))
        .await?;
    Ok(session)
}

/// Writes rows, of which the first has the number `first`.
fn write_file(work: &Path, file: u64, rows: &[Row], first: usize) -> TestResult {
    let rows: Vec<Value> = rows.iter().zip(first..).map(|(row, number)| row.json(number)).collect();
    Ok(write_rows(&work.join(format!("ev/{file:04}.json")), &json!(rows), 1_000_000_000 + file)?)
}

/// The rows of every batch of `sql` over the stream, its input appearing file by file and cut by restarts, each with another
/// number of state partitions.
async fn streamed(dice: &mut Dice, rows: &[Row], sql: &str, mode: OutputMode) -> TestResult<Vec<Vec<Value>>> {
    streamed_within(dice, rows, sql, mode, PLENTY).await
}

/// The same with so much memory.
async fn streamed_within(
    dice: &mut Dice,
    rows: &[Row],
    sql: &str,
    mode: OutputMode,
    memory: &str,
) -> TestResult<Vec<Vec<Value>>> {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let sql = sql
        .replace("{a}", AGGREGATES)
        .replace("{s}", &format!("STREAM ev WATERMARK ts DELAY OF INTERVAL {DELAY_S} SECONDS"));
    let (mut answer, mut rest, mut files) = (Answer::new(), rows, 0u64);
    for partitions in [1, 3, 2] {
        let count = 1 + dice.below(4);
        for file in 1..=count {
            let take = match partitions == 2 && file == count {
                true => rest.len(),
                false => (1 + dice.below(rest.len() as u64 / 3 + 1) as usize).min(rest.len()),
            };
            let (now, later) = rest.split_at(take);
            write_file(work.path(), files, now, rows.len() - rest.len())?;
            (rest, files) = (later, files + 1);
        }
        let session = session_with(work.path(), partitions, memory).await?;
        answer.extend(answer_of(&session.sql(&sql).await?, mode, &work.path().join("cp")).await?);
    }
    Ok(answer.into_values().collect())
}

/// Rows as text, in an order of their own.
fn comparable(rows: &[Value]) -> Vec<String> {
    canonical_rows(rows, false)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_query_gives_the_sessions_of_the_model() -> TestResult {
    let mut dice = Dice::thrown("sessions in a batch");
    for (sql, gap, has_key) in QUERIES {
        let rows = rows(&mut dice, 150);
        let work = tempfile::tempdir()?;
        std::fs::create_dir(work.path().join("ev"))?;
        write_file(work.path(), 0, &rows, 0)?;
        let sql = sql.replace("{a}", AGGREGATES).replace("{s}", "ev");
        let found = rows_of(&session_over(work.path(), 2).await?, &sql).await?;
        assert_eq!(comparable(&found), comparable(&model(&rows, *gap, *has_key)), "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_mode_gives_the_sessions_of_the_model_in_any_cut() -> TestResult {
    let mut dice = Dice::thrown("sessions in complete mode");
    for (sql, gap, has_key) in QUERIES.iter().cycle().take(6) {
        let rows = rows(&mut dice, 80);
        let batches = streamed(&mut dice, &rows, sql, OutputMode::Complete).await?;
        let last = batches.last().cloned().unwrap_or_default();
        assert_eq!(comparable(&last), comparable(&model(&rows, *gap, *has_key)), "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn append_mode_gives_exactly_the_closed_sessions_once() -> TestResult {
    let mut dice = Dice::thrown("sessions in append mode");
    for (sql, gap, has_key) in QUERIES.iter().cycle().take(6) {
        let rows = rows(&mut dice, 160);
        let watermark = rows.iter().filter_map(|row| row.second).max().unwrap_or(0) - DELAY_S;
        let given: Vec<Value> =
            streamed(&mut dice, &rows, sql, OutputMode::Append).await?.into_iter().flatten().collect();
        let mut expected = model(&rows, *gap, *has_key);
        expected.retain(|row| row["se"].as_str().is_some_and(|end| end <= at(watermark).as_str()));
        assert!(!expected.is_empty(), "{sql}: nothing closes");
        assert_eq!(comparable(&given), comparable(&expected), "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_update_of_each_session_is_the_models() -> TestResult {
    let mut dice = Dice::thrown("sessions in update mode");
    for (sql, gap, has_key) in QUERIES.iter().cycle().take(6) {
        let rows = rows(&mut dice, 80);
        let updates = streamed(&mut dice, &rows, sql, OutputMode::Update).await?;
        // Sessions that were merged away are not taken back: of those given out, the last that begins where one of the model does
        // is that one.
        let mut latest = BTreeMap::new();
        for batch in &updates {
            let mut seen = BTreeMap::new();
            for row in batch {
                let place = (row["k"].to_string(), row["ss"].to_string());
                assert!(seen.insert(place.clone(), ()).is_none(), "{sql}: {place:?} is given out twice in one batch");
                latest.insert(place, row.clone());
            }
        }
        let expected = model(&rows, *gap, *has_key);
        let found: Vec<Value> = expected
            .iter()
            .filter_map(|row| latest.get(&(row["k"].to_string(), row["ss"].to_string())).cloned())
            .collect();
        assert_eq!(comparable(&found), comparable(&expected), "{sql}");
    }
    Ok(())
}

/// State that is far larger than memory: elements under long keys.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_outgrow_memory_are_the_same() -> TestResult {
    let sql = "SELECT session_window.start AS ss, session_window.end AS se, left(k, 1) AS k, {a}
        FROM (SELECT concat(k, repeat('x', 20000)) AS k, v, i, ts FROM {s}) GROUP BY session_window(ts, '40 seconds'), k";
    let mut dice = Dice::thrown("sessions larger than memory");
    let rows = rows(&mut dice, 160);
    let batches = streamed_within(&mut dice, &rows, sql, OutputMode::Complete, "16MiB").await?;
    let expected = model(&rows, Gap::Constant, true);
    assert_eq!(comparable(&batches.last().cloned().unwrap_or_default()), comparable(&expected));
    let given = streamed_within(&mut dice, &rows, sql, OutputMode::Append, "16MiB").await?.concat();
    let closed = |row: &&Value| given.iter().any(|given| (&given["k"], &given["ss"]) == (&row["k"], &row["ss"]));
    let expected: Vec<Value> = expected.iter().filter(closed).cloned().collect();
    assert!(expected.len() > 10, "nothing closes");
    assert_eq!(comparable(&given), comparable(&expected));
    Ok(())
}

/// Each grouping set has sessions of its own, with elements of its own: as in a batch.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_grouping_sets_are_those_of_a_batch() -> TestResult {
    let sql = "SELECT session_window.start AS ss, session_window.end AS se, k, grouping_id() AS g, {a} FROM {s} GROUP BY session_window(ts, '15 seconds'), CUBE(k, v % 2)";
    let mut dice = Dice::thrown("sessions in grouping sets");
    let rows = rows(&mut dice, 80);
    let batches = streamed(&mut dice, &rows, sql, OutputMode::Complete).await?;
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    write_file(work.path(), 0, &rows, 0)?;
    let in_a_batch = sql.replace("{a}", AGGREGATES).replace("{s}", "ev");
    let expected = rows_of(&session_over(work.path(), 2).await?, &in_a_batch).await?;
    assert!(expected.len() > 40, "{expected:?}");
    assert_eq!(comparable(&batches.last().cloned().unwrap_or_default()), comparable(&expected));
    Ok(())
}

/// A session of hundreds of thousands of elements is not written again when it grows, and neither is it when it is joined by another.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_writes_the_elements_that_are_new() -> TestResult {
    const ROWS: usize = 300_000;
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    // Sessions from 1000 s on and from 1300 s on; more of the first; a row that joins them; and one that is too far away.
    let files = [(1000, ROWS), (1300, 100), (1010, 100), (1205, 1), (1500, 1)];
    let mut first = 0;
    for (file, (second, count)) in (0u64..).zip(files) {
        let row = |number: usize| Row {
            key: Some("a"),
            second: Some(second + number as i64 % 100),
            value: Some((first + number) as i64),
        };
        write_file(work.path(), file, &(0..count).map(row).collect::<Vec<_>>(), first)?;
        first += count;
    }
    let session = session_over(work.path(), 1).await?;
    let sql = "SELECT session_window.start AS ss, count(DISTINCT v) AS d, size(collect_list(v)) AS l, median(v) AS m, max_by(i, v) AS mb
        FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY session_window(ts, '100 seconds'), k";
    let batches = answer_of(&session.sql(sql).await?, OutputMode::Update, &work.path().join("cp")).await?;
    let joined = ROWS + 201;
    let expected =
        json!([{"ss": at(1000), "d": joined, "l": joined, "m": (joined - 1) as f64 / 2.0, "mb": joined - 1}]);
    assert_eq!(comparable(&batches[&3]), comparable(expected.as_array().ok_or("rows")?));
    let deltas = delta_bytes(work.path())?;
    assert!(
        deltas.len() == 5 && deltas[0] > 1_000_000 && deltas[1..].iter().all(|bytes| *bytes < 64 * 1024),
        "{deltas:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_sessions_and_late_rows() -> TestResult {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let row = |key, second| Row { key: Some(key), second: Some(second), value: Some(1) };
    let files = [
        vec![row("a", 100), row("b", 101), row("a", 104)],
        vec![row("a", 900)],
        vec![row("c", 1), row("c", 2), row("d", 1), row("a", 901)],
        vec![row("c", 3), row("d", 2), row("d", 3), row("a", 950)],
    ];
    for (file, rows) in (0u64..).zip(&files) {
        write_file(work.path(), file, rows, 0)?;
    }
    let session = session_over(work.path(), 3).await?;
    let sql = format!(
        "SELECT session_window.start AS ss, k, count(*) AS n FROM STREAM ev WATERMARK ts DELAY OF INTERVAL {DELAY_S} SECONDS GROUP BY session_window(ts, '5 seconds'), k"
    );
    let writer = session.sql(&sql).await?.write_stream().output_mode(OutputMode::Append).format("noop");
    let query = writer
        .trigger(Trigger::AvailableNow)
        .option("checkpointLocation", work.path().join("cp").display())
        .start()
        .await?;
    query.await_termination().await?;
    let counts: Vec<(u64, u64, u64, u64)> = query
        .recent_progress()
        .iter()
        .flat_map(|progress| &progress.state_operators)
        .map(|o| (o.num_rows_total, o.num_rows_updated, o.num_rows_removed, o.num_rows_dropped_by_watermark))
        .collect();
    // Batch 2 evicts with W = 300 and drops nothing yet; batch 3 drops by it.
    assert_eq!(counts[..4], [(2, 2, 0, 0), (3, 1, 0, 0), (1, 3, 4, 0), (2, 1, 0, 3)], "{counts:?}");
    assert!(query.recent_progress().iter().all(|progress| {
        progress.state_operators.iter().all(|operator| operator.operator_name == "sessionWindowStateStoreSave")
    }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_what_is_missing() -> TestResult {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let session = session_over(work.path(), 2).await?;
    let cases = [
        ("SELECT k, count(*) AS n FROM STREAM ev GROUP BY session_window(ts, '5 seconds'), k", "WATERMARK"),
        ("SELECT k, count(*) AS n FROM STREAM ev GROUP BY session_window(ts, 5), k", "interval"),
        (
            "SELECT k, count(*) AS n FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 SECOND GROUP BY ROLLUP(session_window(ts, '5 seconds'), k)",
            "session_window",
        ),
    ];
    for (sql, named) in cases {
        let started = match session.sql(sql).await {
            Ok(frame) => answer_of(&frame, OutputMode::Append, &work.path().join("cp")).await.map(|_| ()),
            Err(error) => Err(error),
        };
        let error = started.err().ok_or_else(|| format!("accepted: {sql}"))?.to_string();
        assert!(error.contains(named), "{sql}: {error}");
    }
    Ok(())
}
