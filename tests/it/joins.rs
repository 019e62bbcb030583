//! Joins of two streams as whole queries: what is refused, restarts, and what progress says.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use millstream::{Error, ErrorKind, StreamSession};
use millstream_engine::query::StreamingQuery;
use millstream_engine::sink::OutputMode;
use millstream_engine::trigger::Trigger;
use millstream_sql::DataFrame;
use millstream_tests::TestResult;
use millstream_tests::scenario::{json_rows, write_rows};
use millstream_tests::values::canonical_rows;
use serde_json::{Value, json};

const A: &str = "(SELECT * FROM STREAM a WATERMARK ts DELAY OF INTERVAL 10 SECONDS) x";
const B: &str = "(SELECT * FROM STREAM b WATERMARK us DELAY OF INTERVAL 5 SECONDS) y";
const RANGE: &str = "us BETWEEN ts - INTERVAL 5 SECONDS AND ts + INTERVAL 10 SECONDS";

async fn session_over(work: &Path, state_partitions: usize) -> millstream::Result<StreamSession> {
    use millstream::WithConnectors;
    let session = StreamSession::builder().config("spark.sql.shuffle.partitions", state_partitions).build().await?;
    let place = work.display();
    session
        .sql(&format!(
            "CREATE TABLE a (k STRING, ts TIMESTAMP, v INT) USING json OPTIONS (path '{place}/a', maxFilesPerTrigger '1');
             CREATE TABLE b (j STRING, us TIMESTAMP, w INT) USING json OPTIONS (path '{place}/b', maxFilesPerTrigger '1');
             CREATE TABLE c (k STRING, ts TIMESTAMP, v INT) USING json OPTIONS (path '{place}/a', maxFilesPerTrigger '1');"
        ))
        .await?;
    Ok(session)
}

type Rows = Arc<Mutex<Vec<Value>>>;

async fn start(
    session: &StreamSession,
    sql: &str,
    mode: OutputMode,
    checkpoint: &Path,
    rows: &Rows,
) -> millstream::Result<Arc<StreamingQuery>> {
    let rows = Arc::clone(rows);
    let writer = session.sql(sql).await?.write_stream().output_mode(mode);
    writer
        .trigger(Trigger::AvailableNow)
        .option("checkpointLocation", checkpoint.display())
        .foreach_batch(move |frame: DataFrame, _| {
            let rows = Arc::clone(&rows);
            async move {
                let batch = json_rows(&frame.collect().await?)?;
                rows.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
                Ok::<_, Error>(())
            }
        })
        .start()
        .await
}

fn write_file(work: &Path, stream: &str, number: u64, rows: &Value) -> std::io::Result<()> {
    std::fs::create_dir_all(work.join(stream))?;
    write_rows(&work.join(format!("{stream}/{number}.json")), rows, 1_000_000_000 + number)
}

/// The files of both streams, batch by batch: times are seconds.
fn files() -> Vec<(Value, Value)> {
    let at = |second: u64| format!("2024-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
    let left = |rows: &[(&str, u64, i64)]| -> Value {
        rows.iter().map(|(k, t, v)| json!({"k": k, "ts": at(*t), "v": v})).collect()
    };
    let right = |rows: &[(&str, u64, i64)]| -> Value {
        rows.iter().map(|(k, t, v)| json!({"j": k, "us": at(*t), "w": v})).collect()
    };
    vec![
        (left(&[("a", 1, 1), ("b", 3, 2), ("c", 5, 3)]), right(&[("a", 2, 1), ("d", 9, 2)])),
        (left(&[("a", 20, 4), ("d", 12, 5)]), right(&[("b", 12, 3), ("a", 30, 4)])),
        (left(&[("b", 40, 6), ("e", 31, 7)]), right(&[("e", 33, 5), ("b", 36, 6), ("a", 21, 7)])),
        (left(&[("a", 200, 8)]), right(&[("z", 190, 8)])),
        (left(&[("y", 400, 9)]), right(&[("y", 401, 9)])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_with_other_partitions_change_nothing() -> TestResult {
    let queries = [
        format!("SELECT k, ts, v, j, us, w FROM {A} JOIN {B} ON k = j AND {RANGE}"),
        format!("SELECT k, ts, v, j, us, w FROM {A} LEFT JOIN {B} ON k = j AND {RANGE} AND v <> w"),
        format!("SELECT k, ts, v, j, us, w FROM {A} FULL JOIN {B} ON k = j AND {RANGE}"),
        format!("SELECT k, ts, v FROM {A} LEFT SEMI JOIN {B} ON k = j AND {RANGE}"),
        format!("SELECT k, ts, v FROM {A} LEFT ANTI JOIN {B} ON k = j AND {RANGE}"),
        format!(
            "SELECT k, ts, v, us, w FROM {A} RIGHT JOIN {B} ON k = j AND us >= ts AND us <= ts + INTERVAL 20 SECONDS"
        ),
    ];
    for sql in &queries {
        let mut answers = Vec::new();
        for restarts in [false, true] {
            let work = tempfile::tempdir()?;
            let rows = Rows::default();
            let mut session = None;
            for (number, (left, right)) in (0u64..).zip(files()) {
                write_file(work.path(), "a", number, &left)?;
                write_file(work.path(), "b", number, &right)?;
                // A run goes on from the last one's checkpoint; with a new session nothing is left in memory.
                let partitions = if restarts { 1 + number as usize % 3 } else { 2 };
                if restarts || session.is_none() {
                    session = Some(session_over(work.path(), partitions).await?);
                }
                let session = session.as_ref().ok_or("no session")?;
                let query = start(session, sql, OutputMode::Append, &work.path().join("cp"), &rows).await?;
                query.await_termination().await?;
            }
            answers.push(canonical_rows(&rows.lock().unwrap_or_else(PoisonError::into_inner), false));
        }
        assert!(!answers[0].is_empty(), "{sql}: no rows");
        assert_eq!(answers[0], answers[1], "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_cannot_work_is_refused_with_what_it_lacks() -> TestResult {
    let plain = "STREAM a x";
    let other = "STREAM b y";
    let late = "us >= ts - INTERVAL 5 SECONDS";
    let soon = "us <= ts + INTERVAL 5 SECONDS";
    let (append, update, complete) = (OutputMode::Append, OutputMode::Update, OutputMode::Complete);
    let join =
        |left: &str, join: &str, right: &str, on: &str| format!("SELECT x.v FROM {left} {join} JOIN {right} ON {on}");
    let cases: Vec<(String, OutputMode, &[&str])> = vec![
        (join(plain, "", other, "ts < us"), append, &["without an equality"]),
        (join(A, "LEFT", B, RANGE), append, &["without an equality"]),
        (format!("SELECT x.v FROM {plain} CROSS JOIN {other}"), append, &["without an equality"]),
        (join(plain, "LEFT", other, "k = j"), append, &["LEFT OUTER", "neither side has a WATERMARK"]),
        (join(A, "LEFT", other, &format!("k = j AND {RANGE}")), append, &["right side has no WATERMARK"]),
        // Spark starts this one, and never gives out a row without a match.
        (join(plain, "LEFT", B, &format!("k = j AND {RANGE}")), append, &["left side has no WATERMARK"]),
        (join(A, "LEFT", B, "k = j"), append, &["how long after 'ts'", "us <= x.ts + INTERVAL"]),
        (join(A, "LEFT", B, &format!("k = j AND {late}")), append, &["how long after 'ts'"]),
        (join(A, "RIGHT", B, &format!("k = j AND {soon}")), append, &["RIGHT OUTER", "how long after 'us'"]),
        (join(A, "FULL", B, "k = j"), append, &["FULL OUTER"]),
        (join(plain, "LEFT SEMI", other, "k = j"), append, &["LEFT SEMI"]),
        (join(A, "LEFT ANTI", B, "k = j AND v < w"), append, &["LEFT ANTI", "how long after"]),
        (
            join(A, "LEFT", B, &format!("k = j AND {RANGE}")),
            update,
            &["LEFT OUTER", "output mode update", "use append"],
        ),
        (join(A, "", B, &format!("k = j AND {RANGE}")), complete, &["complete"]),
        ("SELECT k FROM STREAM a x JOIN STREAM c y ON x.k = y.k".to_string(), append, &["k", "ambiguous"]),
        ("SELECT v FROM STREAM a UNION ALL SELECT v FROM c".to_string(), append, &["write STREAM before"]),
    ];
    let work = tempfile::tempdir()?;
    write_file(work.path(), "a", 0, &json!([]))?;
    write_file(work.path(), "b", 0, &json!([]))?;
    let session = session_over(work.path(), 1).await?;
    let mut wrong = Vec::new();
    for (number, (sql, mode, says)) in cases.iter().enumerate() {
        let checkpoint = work.path().join(format!("cp{number}"));
        match start(&session, sql, *mode, &checkpoint, &Rows::default()).await {
            Ok(query) => {
                query.stop().await?;
                wrong.push(format!("{sql}: started"));
            }
            Err(error) => {
                let text = error.to_string();
                if error.kind() != ErrorKind::Invalid
                    || says.iter().any(|words| !text.to_lowercase().contains(&words.to_lowercase()))
                {
                    wrong.push(format!("{sql}: {:?}: {text}", error.kind()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_used_twice_is_read_once_and_state_without_end_is_told() -> TestResult {
    let work = tempfile::tempdir()?;
    for (number, (left, right)) in (0u64..).zip(files()) {
        write_file(work.path(), "a", number, &left)?;
        write_file(work.path(), "b", number, &right)?;
    }
    let session = session_over(work.path(), 2).await?;
    // The query; how often each row is read; rows given out; whether it is warned of.
    let cases = [
        ("SELECT l.v, r.v AS w FROM STREAM a l JOIN STREAM a r ON l.k = r.k", 9, 17, true),
        ("SELECT v FROM STREAM a UNION ALL SELECT v + 1 FROM STREAM a WHERE k = 'a'", 9, 12, false),
        // Another name for the same files is the same stream.
        ("SELECT v FROM STREAM a UNION ALL SELECT v FROM STREAM c", 9, 18, false),
        ("SELECT v FROM STREAM a UNION ALL SELECT w FROM STREAM b", 18, 18, false),
    ];
    for (number, (sql, read, given_out, is_warned)) in cases.into_iter().enumerate() {
        let rows = Rows::default();
        let checkpoint = work.path().join(format!("cp{number}"));
        let query = start(&session, sql, OutputMode::Append, &checkpoint, &rows).await?;
        query.await_termination().await?;
        let progress = query.recent_progress();
        assert_eq!(progress.iter().map(|batch| batch.num_input_rows).sum::<u64>(), read, "{sql}: rows read");
        assert_eq!(rows.lock().unwrap_or_else(PoisonError::into_inner).len(), given_out, "{sql}: rows given out");
        let warned = progress[0].warnings.iter().any(|warning| warning.contains("for ever"));
        assert_eq!(warned, is_warned, "{sql}: {:?}", progress[0].warnings);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_follow_joins() -> TestResult {
    let work = tempfile::tempdir()?;
    for (number, (left, right)) in (0u64..).zip(files()) {
        write_file(work.path(), "a", number, &left)?;
        write_file(work.path(), "b", number, &right)?;
    }
    let session = session_over(work.path(), 2).await?;
    let sql = format!(
        "SELECT k, p.v, w, z.v AS u FROM (SELECT k, ts, v, w FROM {A} JOIN {B} ON k = j AND {RANGE}) p
         JOIN (SELECT k AS l, ts AS vs, v FROM STREAM c WATERMARK ts DELAY OF INTERVAL 10 SECONDS) z ON k = l AND ts = vs"
    );
    let rows = Rows::default();
    let query = start(&session, &sql, OutputMode::Append, &work.path().join("cp"), &rows).await?;
    query.await_termination().await?;
    let pairs = format!("SELECT k, v, w, v AS u FROM {A} JOIN {B} ON k = j AND {RANGE}");
    let expected = Rows::default();
    let query = start(&session, &pairs, OutputMode::Append, &work.path().join("cp_pairs"), &expected).await?;
    query.await_termination().await?;
    let [found, expected] =
        [&rows, &expected].map(|rows| canonical_rows(&rows.lock().unwrap_or_else(PoisonError::into_inner), false));
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
    Ok(())
}
