//! A stream beside tables: the answer is that of a batch query over the same rows, and tables are read once.

use std::path::Path;
use std::sync::Arc;

use datafusion::common::JoinType;
use millstream::{Result, StreamSession};
use millstream_engine::progress::StreamingQueryProgress;
use millstream_engine::query::StreamingQuery;
use millstream_engine::trigger::Trigger;
use millstream_tests::TestResult;
use millstream_tests::scenario::write_rows;
use millstream_tests::session::{rows_of, session};
use millstream_tests::values::canonical_rows;
use serde_json::{Value, json};

/// Queries over the stream `ev` and the tables `dim`, `void` (no rows) and `one` (a single row).
const QUERIES: &[&str] = &[
    "SELECT id, name FROM STREAM ev JOIN dim ON k = d",
    "SELECT id, name FROM dim JOIN STREAM ev ON k = d",
    "SELECT id, name FROM STREAM ev LEFT JOIN dim ON k = d",
    "SELECT id, name, f FROM STREAM ev LEFT JOIN dim ON k = d AND f > v",
    "SELECT id, name FROM dim RIGHT JOIN STREAM ev ON k = d AND f > 1",
    "SELECT id, k FROM STREAM ev LEFT SEMI JOIN dim ON k = d",
    "SELECT id, k FROM STREAM ev LEFT SEMI JOIN dim ON k = d AND f <> v",
    "SELECT id, k FROM STREAM ev LEFT ANTI JOIN dim ON k = d",
    "SELECT id, k FROM STREAM ev LEFT ANTI JOIN dim ON k = d AND f > v",
    "SELECT id, k FROM STREAM ev LEFT ANTI JOIN dim ON k <=> d",
    "SELECT id, name FROM STREAM ev JOIN dim ON k <=> d AND v = f",
    "SELECT id, name FROM STREAM ev JOIN dim ON v < f",
    "SELECT id, name FROM STREAM ev LEFT JOIN dim ON v < f",
    "SELECT id FROM STREAM ev LEFT SEMI JOIN dim ON v < f",
    "SELECT id FROM STREAM ev LEFT ANTI JOIN dim ON v < f",
    "SELECT id, name FROM STREAM ev CROSS JOIN dim",
    "SELECT id, n.name, m.name AS other FROM STREAM ev JOIN dim n ON k = n.d LEFT JOIN dim m ON v = m.f",
    "SELECT id FROM STREAM ev WHERE k IN (SELECT d FROM dim)",
    "SELECT id FROM STREAM ev WHERE k NOT IN (SELECT d FROM dim)",
    "SELECT id FROM STREAM ev WHERE k NOT IN (SELECT d FROM dim WHERE d IS NOT NULL)",
    "SELECT id FROM STREAM ev WHERE k NOT IN (SELECT d FROM void)",
    "SELECT id FROM STREAM ev WHERE k IN (SELECT d FROM dim) OR v > 3",
    "SELECT id FROM STREAM ev e WHERE EXISTS (SELECT 1 FROM dim WHERE d = e.k AND f > 1)",
    "SELECT id FROM STREAM ev e WHERE NOT EXISTS (SELECT 1 FROM dim WHERE d = e.k AND f > e.v)",
    "SELECT id, (SELECT max(f) FROM dim) AS m FROM STREAM ev",
    "SELECT id FROM STREAM ev WHERE v > (SELECT avg(f) FROM dim)",
    "SELECT id, (SELECT f FROM void) AS m FROM STREAM ev",
    "SELECT id, (SELECT count(*) FROM dim WHERE d = e.k) AS n FROM STREAM ev e",
    "SELECT id, name FROM STREAM ev JOIN void ON k = d",
    "SELECT id, name FROM STREAM ev LEFT JOIN void ON k = d",
    "SELECT id, s.n FROM STREAM ev JOIN (SELECT d, count(*) AS n FROM dim GROUP BY d) s ON k = s.d",
];

fn write_input(work: &Path) -> std::io::Result<()> {
    for name in ["ev", "dim", "void", "one"] {
        std::fs::create_dir(work.join(name))?;
    }
    let files = [
        json!([{"id": 1, "k": "a", "v": 1}, {"id": 2, "k": null, "v": 2}, {"id": 3, "k": "b"}]),
        json!([{"id": 4, "k": "c", "v": 4}, {"id": 5, "k": "a", "v": 5}]),
        json!([{"id": 6, "k": "z", "v": 0}, {"id": 7, "v": null}, {"id": 8, "k": "b", "v": 3}]),
    ];
    for (number, rows) in (0u64..).zip(&files) {
        write_rows(&work.join(format!("ev/{number}.json")), rows, 1_000_000_000 + number)?;
    }
    let dim = json!([
        {"d": "a", "name": "Alpha", "f": 2}, {"d": "b", "name": "Beta", "f": 3}, {"d": "b", "name": "Beta2", "f": 1},
        {"d": null, "name": "Nil", "f": 2}, {"d": "c", "name": "Gamma", "f": 4}, {"d": "q", "name": null, "f": null},
    ]);
    write_rows(&work.join("dim/0.json"), &dim, 1_000_000_000)?;
    write_rows(&work.join("void/0.json"), &json!([]), 1_000_000_000)
}

async fn session_over(work: &Path, options: &str) -> Result<StreamSession> {
    let session = session().await?;
    let place = work.display();
    let mut sql = format!(
        "CREATE TABLE ev (id BIGINT, k STRING, v INT) USING json OPTIONS (path '{place}/ev', maxFilesPerTrigger '1');"
    );
    for table in ["dim", "void"] {
        sql.push_str(&format!(
            "CREATE TABLE {table} (d STRING, name STRING, f INT) USING json OPTIONS (path '{place}/{table}'{options});"
        ));
    }
    session.sql(&sql).await?;
    Ok(session)
}

async fn start(session: &StreamSession, sql: &str, work: &Path, into: &str) -> Result<Arc<StreamingQuery>> {
    let frame = session.sql(sql).await?;
    let writer = frame.write_stream().format("json").trigger(Trigger::AvailableNow);
    let writer = writer.option("path", work.join(into).display());
    writer.option("checkpointLocation", work.join(format!("{into}_cp")).display()).start().await
}

/// The rows of each table read for each batch, in plan order.
fn build_rows(progress: &[StreamingQueryProgress]) -> Vec<Vec<u64>> {
    progress.iter().map(|batch| batch.static_tables.iter().map(|table| table.build_rows).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_beside_tables_answers_as_a_batch_and_reads_them_once() -> TestResult {
    let work = tempfile::tempdir()?;
    write_input(work.path())?;
    let session = session_over(work.path(), "").await?;
    for (number, sql) in QUERIES.iter().enumerate() {
        let into = format!("out{number}");
        let query = start(&session, sql, work.path(), &into).await?;
        query.await_termination().await?;
        let place = work.path().join(&into);
        let batch = rows_of(&session, &sql.replace("STREAM ", "")).await?;
        let read = format!("CREATE TABLE {into} ({}) USING json OPTIONS (path '{}')", ddl(&batch), place.display());
        session.sql(&read).await?;
        let streamed = match batch.is_empty() {
            true => Vec::new(),
            false => rows_of(&session, &format!("SELECT * FROM {into}")).await?,
        };
        assert_eq!(canonical_rows(&streamed, false), canonical_rows(&batch, false), "{sql}\n{}", query.explain());
        let built = build_rows(&query.recent_progress());
        assert_eq!(built.len(), 3, "{sql}: batches");
        assert!(!built[0].is_empty(), "{sql}: nothing is kept\n{}", query.explain());
        assert!(built[1..].iter().flatten().all(|rows| *rows == 0), "{sql}: read again: {built:?}");
        assert!(!query.explain().contains("HashJoinExec"), "{sql}: {}", query.explain());
    }
    Ok(())
}

/// Columns wide enough for the rows.
fn ddl(rows: &[Value]) -> String {
    let mut columns: Vec<(String, &str)> = Vec::new();
    for (name, value) in rows.iter().filter_map(Value::as_object).flatten() {
        let data_type = if value.is_number() { "DOUBLE" } else { "STRING" };
        match columns.iter_mut().find(|(known, _)| known == name) {
            Some(known) if value.is_number() => known.1 = data_type,
            Some(_) => {}
            None => columns.push((name.clone(), data_type)),
        }
    }
    if columns.is_empty() {
        columns.push(("id".to_string(), "DOUBLE"));
    }
    columns.iter().map(|(name, data_type)| format!("{name} {data_type}")).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_named_and_read_again_when_they_are_told_to_and_have_changed() -> TestResult {
    let sql = "SELECT id, name FROM STREAM ev JOIN dim ON k = d";
    // The option; rows read by batch: a file comes after the first batch; the rows joined after that.
    let cases: &[(&str, [u64; 3], usize)] =
        &[("", [6, 0, 0], 0), (", staticRefresh 'batch'", [6, 7, 0], 1), (", staticRefresh '1 hour'", [6, 0, 0], 0)];
    for (option, expected, more) in cases {
        let work = tempfile::tempdir()?;
        write_input(work.path())?;
        let session = session_over(work.path(), option).await?;
        let (place, seen) = (work.path().to_path_buf(), Arc::new(std::sync::Mutex::new(0)));
        let counted = Arc::clone(&seen);
        let write = session.sql(sql).await?.write_stream().trigger(Trigger::AvailableNow);
        let query = write
            .option("checkpointLocation", work.path().join("cp").display())
            .foreach_batch(move |frame: millstream_sql::DataFrame, batch| {
                let (place, seen) = (place.clone(), Arc::clone(&counted));
                async move {
                    if batch == 0 {
                        write_rows(
                            &place.join("dim/1.json"),
                            &json!([{"d": "z", "name": "Zeta", "f": 1}]),
                            1_000_000_001,
                        )
                        .map_err(|e| millstream_engine::Error::internal(e.to_string()))?;
                    }
                    let rows = frame.collect().await?.iter().map(|rows| rows.num_rows()).sum::<usize>();
                    *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += rows;
                    Ok::<_, millstream_engine::Error>(())
                }
            })
            .start()
            .await?;
        query.await_termination().await?;
        let progress = query.recent_progress();
        assert_eq!(build_rows(&progress), expected.map(|rows| vec![rows]), "{option}");
        assert_eq!(progress[0].static_tables[0].name, "dim");
        let json: Value = serde_json::from_str(&progress[1].json())?;
        assert_eq!(json["staticTables"], json!([{"name": "dim", "buildRows": expected[1]}]), "{option}");
        assert_eq!(*seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner), 7 + more, "{option}");
    }
    let work = tempfile::tempdir()?;
    write_input(work.path())?;
    let session = session_over(work.path(), ", staticRefresh 'often'").await?;
    let error = session.sql(sql).await.err().ok_or("a bad option was accepted")?;
    assert!(error.to_string().contains("option 'staticRefresh' is 'often'"), "{error}");
    Ok(())
}

/// As in Spark: `read()` lists at once, and a table of the catalog when a query over it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_consists_of_the_files_that_were_there_when_it_was_read() -> TestResult {
    // The option; rows of the table, and rows joined, after a file has come.
    for (refresh, rows, joined) in [("", 6, 7), ("batch", 7, 8)] {
        let work = tempfile::tempdir()?;
        write_input(work.path())?;
        let session = session_over(work.path(), "").await?;
        let mut reader = session.read().format("json").schema("d STRING, name STRING, f INT");
        if !refresh.is_empty() {
            reader = reader.option("staticRefresh", refresh);
        }
        let dim = reader.load(&work.path().join("dim").display().to_string()).await?;
        write_rows(&work.path().join("dim/1.json"), &json!([{"d": "z", "name": "Zeta", "f": 1}]), 1_000_000_001)?;
        assert_eq!(dim.count().await?, rows, "{refresh}");
        assert_eq!(session.sql("SELECT * FROM dim").await?.count().await?, 7, "{refresh}");
        let ev = session.sql("SELECT * FROM STREAM ev").await?;
        let writer = ev.join_on(&dim, "k = d", JoinType::Inner)?.write_stream().format("memory").query_name("joined");
        writer.trigger(Trigger::AvailableNow).start().await?.await_termination().await?;
        assert_eq!(session.sql("SELECT * FROM joined").await?.count().await?, joined, "{refresh}");
    }
    Ok(())
}

/// Conditions with nulls on either side, and the ids of the rows that Spark 4.3 lets through.
const NOT_IN: &[(&str, &[i64])] = &[
    ("v NOT IN (SELECT f FROM dim WHERE d = e.k)", &[1, 2, 5, 6, 7]),
    ("k NOT IN (SELECT d FROM dim WHERE f > e.v)", &[3, 4, 5, 7, 8]),
    ("k NOT IN (SELECT d FROM dim WHERE f = e.v)", &[1, 3, 5, 6, 7]),
    ("v + 1 NOT IN (SELECT f FROM dim WHERE d <=> e.k)", &[2, 4, 5, 6, 8]),
    ("v NOT IN (SELECT f FROM dim WHERE d = e.k AND name > 'B')", &[1, 2, 5, 6, 7]),
    ("v NOT IN (SELECT f FROM dim) OR id = 2", &[2]),
    ("v NOT IN (SELECT f FROM dim WHERE f IS NOT NULL) OR id = 2", &[2, 5, 6]),
    ("v NOT IN (SELECT f FROM void) OR id = 2", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("v NOT IN (SELECT max(f) FROM dim) OR id = 2", &[1, 2, 5, 6, 8]),
    ("NOT (v IN (SELECT f FROM dim WHERE d = e.k) AND id > 3)", &[1, 2, 3, 5, 6, 7]),
    ("NOT (v IN (SELECT f FROM dim WHERE f > 2) OR k IN (SELECT d FROM dim WHERE d < 'b'))", &[6]),
    ("k NOT IN (SELECT d FROM dim WHERE d > 'a') AND v NOT IN (SELECT f FROM dim WHERE d = 'b')", &[5, 6]),
    ("v IN (SELECT f FROM dim WHERE d = e.k) OR v NOT IN (SELECT f FROM dim WHERE d = 'b')", &[2, 4, 5, 6, 8]),
];

#[tokio::test(flavor = "multi_thread")]
async fn not_in_knows_nothing_of_nulls_in_streams_and_batches() -> TestResult {
    let work = tempfile::tempdir()?;
    write_input(work.path())?;
    let session = session_over(work.path(), "").await?;
    let ids = |rows: Vec<Value>| {
        let mut ids: Vec<i64> = rows.iter().filter_map(|row| row["id"].as_i64()).collect();
        ids.sort_unstable();
        ids
    };
    for (number, (condition, expected)) in NOT_IN.iter().enumerate() {
        let batch = rows_of(&session, &format!("SELECT id FROM ev e WHERE {condition}")).await?;
        assert_eq!(ids(batch), *expected, "{condition} in a batch");
        let (into, sql) = (format!("out{number}"), format!("SELECT id FROM STREAM ev e WHERE {condition}"));
        let query = start(&session, &sql, work.path(), &into).await?;
        query.await_termination().await?;
        let place = work.path().join(&into);
        session
            .sql(&format!("CREATE TABLE {into} (id BIGINT) USING json OPTIONS (path '{}')", place.display()))
            .await?;
        let streamed = rows_of(&session, &format!("SELECT * FROM {into}")).await?;
        assert_eq!(ids(streamed), *expected, "{condition}\n{}", query.explain());
    }
    let sql = "SELECT id FROM STREAM ev WHERE (v IN (SELECT f FROM dim)) IS NULL";
    let error = start(&session, sql, work.path(), "refused").await.err().ok_or("IN was taken where null counts")?;
    assert!(error.to_string().contains("IN over a subquery may only stand in AND, OR and NOT"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_over_batches_and_restarts() -> TestResult {
    for (limit, expected) in [(0, [0, 0]), (2, [2, 2]), (4, [3, 4]), (100, [3, 8])] {
        let work = tempfile::tempdir()?;
        write_input(work.path())?;
        let later: Vec<_> =
            [1, 2].map(|n| (work.path().join(format!("ev/{n}.json")), work.path().join(format!("{n}")))).into();
        for (file, aside) in &later {
            std::fs::rename(file, aside)?;
        }
        let session = session_over(work.path(), "").await?;
        for expected in expected {
            let query = start(&session, &format!("SELECT id FROM STREAM ev LIMIT {limit}"), work.path(), "out").await?;
            query.await_termination().await?;
            let lines: usize = std::fs::read_dir(work.path().join("out"))?
                .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
                .map(|text| text.lines().filter(|line| line.starts_with("{\"id\"")).count())
                .sum();
            assert_eq!(lines, expected, "LIMIT {limit}");
            for (file, aside) in later.iter().filter(|(_, aside)| aside.exists()) {
                std::fs::rename(aside, file)?;
            }
        }
    }
    Ok(())
}
