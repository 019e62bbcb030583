//! Watermarks and windows from Rust and SQL: the same plans, idle sources, and what is refused.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use millstream::prelude::*;
use millstream_engine::testing::ManualClock;
use millstream_tests::TestResult;
use millstream_tests::scenario::answer_of;
use millstream_tests::session::{rows_of, session};
use serde_json::json;

const EV: &str = "CREATE TABLE ev (k STRING, ts TIMESTAMP, ntz TIMESTAMP_NTZ, v BIGINT, gap STRING) USING json OPTIONS (path '@/ev', maxFilesPerTrigger '1');";

/// What is refused when a query starts, in output mode append unless the query says another: the SQL and the words.
const REFUSED: &[(&str, &str, &[&str])] = &[
    (
        "append",
        "SELECT * FROM STREAM ev WATERMARK k DELAY OF INTERVAL 1 MINUTE",
        &["'k'", "Utf8", "to_timestamp(k)", "timestamp_seconds(k)"],
    ),
    (
        "append",
        "SELECT * FROM STREAM ev WATERMARK v DELAY OF INTERVAL 1 MINUTE",
        &["'v'", "Int64", "timestamp_seconds(v)"],
    ),
    ("append", "SELECT * FROM STREAM ev WATERMARK tz DELAY OF INTERVAL 1 MINUTE", &["`tz`", "`ts`"]),
    (
        "append",
        "SELECT * FROM STREAM ev WATERMARK ts DELAY OF INTERVAL -1 MINUTE",
        &["WATERMARK ts", "must not be negative", "INTERVAL 0 SECONDS"],
    ),
    ("append", "SELECT * FROM STREAM ev WATERMARK ts DELAY OF 10", &["INTERVAL 10 MINUTES"]),
    (
        "append",
        "SELECT * FROM STREAM ev WATERMARK ts + INTERVAL 1 SECOND DELAY OF INTERVAL 1 MINUTE",
        &["name it", "AS name"],
    ),
    (
        "update",
        "SELECT count(*) FROM STREAM ev GROUP BY window(ts, '5 minutes'), window(ts, '10 minutes')",
        &["several windows", "5 minutes", "10 minutes", "keep one"],
    ),
    (
        "update",
        "SELECT count(*) FROM STREAM ev GROUP BY window(ts, '5 minutes'), session_window(ts, '10 minutes')",
        &["several windows", "session_window"],
    ),
    ("update", "SELECT count(*) FROM STREAM ev GROUP BY window(k, '5 minutes')", &["k", "Utf8", "to_timestamp"]),
    (
        "update",
        "SELECT count(*) FROM STREAM ev GROUP BY window(ts, '5 minutes', '10 minutes')",
        &["slide", "longer than the size", "10 minutes and the size 5 minutes"],
    ),
    (
        "update",
        "SELECT count(*) FROM STREAM ev GROUP BY window(ts, '5 minutes', '1 minute', '2 minutes')",
        &["start", "shorter than the slide"],
    ),
    ("update", "SELECT count(*) FROM STREAM ev GROUP BY window(ts, '0 minutes')", &["must be positive"]),
    ("update", "SELECT count(*) FROM STREAM ev GROUP BY window(ts, '1 month')", &["'1 month'", "has months"]),
    ("update", "SELECT count(*) FROM STREAM ev GROUP BY window(ts, 'soon')", &["'soon'", "5 minutes"]),
    ("update", "SELECT count(*) FROM STREAM ev GROUP BY session_window(ts, 'soon')", &["gap", "'soon'", "5 minutes"]),
    ("update", "SELECT count(*) FROM STREAM ev GROUP BY session_window(ts, v)", &["gap", "v", "Int64", "5 minutes"]),
    (
        "append",
        "SELECT count(*) FROM STREAM ev GROUP BY window(ts, '5 minutes')",
        &["append", "WATERMARK", "update or complete"],
    ),
    (
        "append",
        "SELECT k, count(*) FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MINUTE GROUP BY k",
        &["append", "'ev.k'", "WATERMARK"],
    ),
    (
        "append",
        "SELECT k, v, count(*) FROM STREAM ev GROUP BY ROLLUP(k, v)",
        &["append", "columns 'k', 'v', so", "WATERMARK"],
    ),
    ("append", "SELECT count(*) FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MINUTE", &["append", "no GROUP BY"]),
    ("update", "SELECT count(*) FROM STREAM ev GROUP BY session_window(ts, 5)", &["gap", "'5' is Int32", "5 minutes"]),
    (
        "append",
        "SELECT count(*) FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MINUTE GROUP BY ROLLUP(session_window(ts, '5 minutes'), k)",
        &["session_window(ts, '5 minutes')", "every grouping set", "ROLLUP(k)"],
    ),
    (
        "append",
        "SELECT * FROM (SELECT window, count(*) AS n FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MINUTE GROUP BY window(ts, '5 minutes')) WATERMARK window DELAY OF INTERVAL 1 MINUTE",
        &["'window'", "'ts'", "leave the second out"],
    ),
    (
        "update",
        "SELECT n, count(*) AS c FROM (SELECT k, count(*) AS n FROM STREAM ev GROUP BY k) GROUP BY n",
        &["another aggregation", "update", "use append"],
    ),
    (
        "complete",
        "SELECT count(*) AS c FROM (SELECT DISTINCT k FROM STREAM ev)",
        &["another aggregation", "complete", "use append"],
    ),
    ("append", "SELECT window_time(ts) AS t FROM STREAM ev", &["window_time", "window(…)", "TIMESTAMP"]),
    (
        "append",
        "SELECT DISTINCT ON (k) WITHIN WATERMARK k, v FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MINUTE",
        &["within the watermark", "select list", "WATERMARK ts"],
    ),
    ("append", "SELECT DISTINCT ON (v + 1) k, v FROM STREAM ev", &["DISTINCT ON", "v + 1"]),
    (
        "append",
        "SELECT DISTINCT ON (k) k, ts, u FROM (SELECT *, ntz AS u FROM (SELECT * FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MINUTE)) WATERMARK u DELAY OF INTERVAL 1 MINUTE",
        &["'u'", "'ts'"],
    ),
    ("complete", "SELECT DISTINCT ON (k) * FROM STREAM ev", &["complete", "append"]),
    ("append", "SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM ev", &["batch", "drop_duplicates"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_at_start() -> TestResult {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let place = work.path().to_string_lossy();
    let mut wrong = Vec::new();
    for (mode, sql, says) in REFUSED {
        let session = session().await?;
        let script = format!(
            "{EV} CREATE STREAMING TABLE q USING noop OPTIONS (outputMode '{mode}', checkpointLocation '@/cp', trigger 'availableNow') AS {sql};"
        );
        match session.sql(&script.replace('@', &place)).await {
            Ok(_) => wrong.push(format!("started: {sql}")),
            Err(error) => {
                let text = error.to_string();
                if !matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) {
                    wrong.push(format!("{sql}: kind {:?}", error.kind()));
                }
                wrong.extend(
                    says.iter()
                        .filter(|word| !text.contains(**word))
                        .map(|word| format!("{sql}: no '{word}' in: {text}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_rust_are_named() -> TestResult {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let session = session().await?;
    session.sql(&EV.replace('@', &work.path().to_string_lossy())).await?;
    let ev = session.read_stream().table("ev").await?;
    let windows = |size: &str, slide: &str| Expr::from(window(col("ts"), size).slide(slide));
    let cases = [
        (ev.with_watermark("tz", "1 minute").err(), "`tz`"),
        (ev.with_watermark("k", "1 minute").err(), "to_timestamp(k)"),
        (ev.with_watermark("ts", "-1 minute").err(), "must not be negative"),
        (ev.with_watermark("ts", "soon").err(), "column 'ts'"),
        (ev.with_watermark("ts", "5").err(), "a unit is missing"),
        (ev.drop_duplicates(["kk"]).err(), "`kk`"),
        (ev.group_by([windows("1 minute", "2 minutes")]).err(), "longer than the size"),
        (ev.group_by([windows("1 minute", "1 month")]).err(), "has months"),
        (ev.group_by([windows("2 minutes", "1 minute"), windows("1 minute", "1 minute")]).err(), "several windows"),
        (ev.group_by([session_window(col("ts"), col("v"))]).err(), "gap"),
        (ev.filter(windows("1 minute", "1 minute").is_not_null()).err(), "group_by and select"),
    ];
    for (number, (error, says)) in cases.into_iter().enumerate() {
        let text = error.map_or("nothing is refused".to_string(), |error| error.to_string());
        assert!(text.contains(says), "case {number}: no '{says}' in: {text}");
    }
    for (value, says) in [("often", "watermarkIdleTimeout is 'often'"), ("-1 second", "positive interval")] {
        let error = session.read_stream().option("watermarkIdleTimeout", value).table("ev").await.expect_err(value);
        assert!(error.message().contains(says), "{error}");
    }
    Ok(())
}

/// Frames made in Rust and the SQL that says the same.
#[tokio::test(flavor = "multi_thread")]
async fn rust_says_what_sql_says() -> TestResult {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let rows = [("a", 5), ("b", 30), ("a", 70), ("a", 5), ("c", 400), ("b", 29), ("c", 2000), ("a", 2001)];
    for (file, (k, at)) in rows.iter().enumerate() {
        let row = json!({"k": k, "v": at, "ts": format!("2024-01-01T00:{:02}:{:02}Z", at / 60, at % 60), "gap": "40 seconds"});
        let path = work.path().join(format!("ev/{file}.json"));
        millstream_tests::scenario::write_rows(&path, &json!([row]), 1_000_000_000 + file as u64)?;
    }
    let session = session().await?;
    session.sql(&EV.replace('@', &work.path().to_string_lossy())).await?;
    let ev = session.read_stream().table("EV").await?.with_watermark("TS", "INTERVAL 1 minute")?;
    let sql = "STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MINUTE";
    let (append, update) = (OutputMode::Append, OutputMode::Update);
    let counted = ev.group_by([window(col("ts"), "1 minute").into(), col("K")])?.agg([count_all().alias("n")])?;
    let cases = [
        (
            append,
            counted.clone(),
            format!("SELECT window, k, count(*) AS n FROM {sql} GROUP BY window(ts, '1 minute'), k"),
        ),
        (
            update,
            ev.group_by([window(col("ts"), "2 minutes").slide("1 minute").start("10 seconds").alias("w")])?
                .agg([count_distinct(col("k")).alias("ks"), (sum(col("v")) + lit(1_i64)).alias("s")])?,
            format!(
                "SELECT window AS w, count(DISTINCT k) AS ks, sum(v) + 1 AS s FROM {sql} GROUP BY window(ts, '2 minutes', '1 minute', '10 seconds')"
            ),
        ),
        (
            append,
            ev.drop_duplicates(["k"])?.select([col("k"), col("v")])?,
            format!("SELECT k, v FROM (SELECT DISTINCT ON (k) * FROM {sql})"),
        ),
        (append, ev.select([col("k"), col("ts")])?.distinct()?, format!("SELECT DISTINCT ON (k, ts) k, ts FROM {sql}")),
        (
            append,
            ev.drop_duplicates_within_watermark(["k"])?.select([col("k"), col("v")])?,
            format!("SELECT k, v FROM (SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM {sql})"),
        ),
        (
            append,
            counted
                .group_by([window(window_time(col("window")), "10 minutes").into()])?
                .agg([max(col("n")).alias("most")])?,
            format!(
                "SELECT window, max(n) AS most FROM (SELECT window AS w, k, count(*) AS n FROM {sql} GROUP BY window(ts, '1 minute'), k) GROUP BY window(window_time(w), '10 minutes')"
            ),
        ),
        (
            append,
            counted.select([window_time(col("window")).alias("last"), col("n")])?,
            format!("SELECT window_time(window) AS last, count(*) AS n FROM {sql} GROUP BY window(ts, '1 minute'), k"),
        ),
        (update, ev.group_by([col("k")])?.count()?, format!("SELECT k, count(*) AS count FROM {sql} GROUP BY k")),
        (
            append,
            ev.select([window(col("ts"), "1 minute").into(), col("k")])?,
            format!("SELECT window(ts, '1 minute') AS window, k FROM {sql}"),
        ),
    ];
    for (number, (mode, frame, sql)) in cases.into_iter().enumerate() {
        assert_eq!(frame.schema_ddl(), session.sql(&sql).await?.schema_ddl(), "{sql}");
        let ours = answer_of(&frame, mode, &work.path().join(format!("cp/rust{number}"))).await?;
        let theirs = answer_of(&session.sql(&sql).await?, mode, &work.path().join(format!("cp/sql{number}"))).await?;
        let sorted = |answer: millstream_tests::scenario::Answer| {
            let rows = |rows: Vec<serde_json::Value>| millstream_tests::values::canonical_rows(&rows, false);
            answer.into_iter().map(|(batch, of)| (batch, rows(of))).collect::<Vec<_>>()
        };
        let (ours, theirs) = (sorted(ours), sorted(theirs));
        assert!(!ours.is_empty(), "{sql}");
        assert_eq!(ours, theirs, "{sql}");
    }
    Ok(())
}

/// Two inputs, one of which falls silent: with a timeout it stops holding the watermark back, without data even.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_source_lets_the_watermark_go_on() -> TestResult {
    let second = 1_704_067_200_000_000i64;
    let at = |s: i64| ScalarValue::TimestampMicrosecond(Some(second + s * 1_000_000), Some("UTC".into()));
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![Field::new("ts", time, true)]));
    for (idle, expected) in [(Some("30 seconds"), 1), (None, 0)] {
        let clock = ManualClock::at_ms(0);
        let session = StreamSession::builder().clock(Arc::new(clock.clone())).build().await?;
        let (loud, silent) = (MemoryStream::new(Arc::clone(&schema)), MemoryStream::new(Arc::clone(&schema)));
        let frame = async |stream: &MemoryStream, idle: Option<&str>| {
            let reader = session.read_stream().format("memory").options(stream.spec().options.iter());
            let reader = idle.map_or(reader.clone(), |idle| reader.option("watermarkIdleTimeout", idle));
            reader.load_options().await?.with_watermark("ts", "0 seconds")
        };
        let both = frame(&loud, None).await?.union(&frame(&silent, idle).await?)?;
        let counted = both.group_by([window(col("ts"), "10 seconds").into()])?.agg([count_all().alias("n")])?;
        let query = counted.write_stream().query_name("counts").format("memory").start().await?;
        silent.add_rows(vec![vec![at(0)]])?;
        loud.add_rows(vec![vec![at(1)], vec![at(25)]])?;
        query.process_all_available().await?;
        assert_eq!(rows_of(&session, "SELECT n FROM counts").await?.len(), 0, "the silent one is at second 0");
        clock.advance_ms(60_000);
        loud.add_rows(vec![vec![at(26)]])?;
        query.process_all_available().await?;
        assert_eq!(rows_of(&session, "SELECT n FROM counts").await?.len(), expected, "idle timeout {idle:?}");
        query.stop().await?;
    }
    Ok(())
}
