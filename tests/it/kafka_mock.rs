//! Whole queries over Kafka, against a broker in this process.

use std::path::Path;

use millstream::{Result, StreamSession};
use millstream_engine::progress::StreamingQueryProgress;
use millstream_engine::trigger::Trigger;
use millstream_tests::TestResult;
use millstream_tests::kafka_broker::KafkaBroker;
use millstream_tests::session::{rows_of, session};
use serde_json::{Value, json};

/// Runs `sql` over what is available now, into JSON files; what each batch did.
async fn run(session: &StreamSession, sql: &str, work: &Path) -> Result<Vec<StreamingQueryProgress>> {
    let writer = session.sql(sql).await?.write_stream().format("json").trigger(Trigger::AvailableNow);
    let writer = writer.option("path", work.join("out").display());
    let query = writer.option("checkpointLocation", work.join("cp").display()).start().await?;
    query.await_termination().await?;
    Ok(query.recent_progress())
}

/// The values of the column `v` of what [`run`] has written, sorted.
async fn written(session: &StreamSession, work: &Path) -> Result<Vec<String>> {
    let frame = session.read().schema("v STRING").json(&work.join("out").display().to_string()).await?;
    frame.create_or_replace_temp_view("written")?;
    let rows = rows_of(session, "SELECT v FROM written ORDER BY v").await?;
    Ok(rows.iter().map(|row| row["v"].as_str().unwrap_or_default().to_string()).collect())
}

async fn table(session: &StreamSession, name: &str, broker: &KafkaBroker, more: &str) -> Result<()> {
    session.sql(&format!("CREATE TABLE {name} USING kafka OPTIONS ({}, {more})", broker.options())).await.map(drop)
}

#[tokio::test]
async fn each_message_is_written_once_whatever_restarts() -> TestResult {
    let (work, broker) = (tempfile::tempdir()?, KafkaBroker::new(&[("a", 2)])?);
    let mut expected = Vec::new();
    for round in 0..3 {
        // A new session each time: nothing but the checkpoint knows of the last one.
        let session = session().await?;
        table(&session, "ev", &broker, "subscribe 'a', maxOffsetsPerTrigger '3'").await?;
        for partition in [0, 1] {
            let value = format!("{round}-{partition}");
            broker.put("a", partition, &[("k", value.as_str()); 4])?;
            expected.extend(std::iter::repeat_n(value, 4));
        }
        let progress = run(&session, "SELECT CAST(value AS STRING) AS v FROM STREAM ev", work.path()).await?;
        assert_eq!(progress.len(), 4, "eight messages, two at most of each partition in a batch");
        let last = &progress[3].sources[0];
        let end = 4 * (round + 1);
        assert_eq!(last.description, "KafkaV2[Subscribe[a]]");
        assert_eq!(last.end_offset, json!({"a": {"0": end, "1": end}}));
        assert_eq!(last.latest_offset, last.end_offset);
        assert_eq!(last.offsets_behind_latest, Some(json!({"a": {"0": 0, "1": 0}})));
        assert_eq!(last.metrics.get("maxOffsetsBehindLatest").map(String::as_str), Some("0"));
        assert_eq!(progress[0].sources[0].start_offset.is_null(), round == 0, "a first batch has no start");
        assert_eq!(written(&session, work.path()).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_that_was_begun_is_run_again_as_it_was() -> TestResult {
    let (work, broker) = (tempfile::tempdir()?, KafkaBroker::new(&[("a", 1)])?);
    let session = session().await?;
    table(&session, "ev", &broker, "subscribe 'a'").await?;
    broker.put("a", 0, &[("k", "0"), ("k", "1")])?;
    let sql = "SELECT CAST(value AS STRING) AS v FROM STREAM ev";
    run(&session, sql, work.path()).await?;
    std::fs::remove_file(work.path().join("cp/commits/0"))?;
    broker.put("a", 0, &[("k", "2")])?;
    let progress = run(&session, sql, work.path()).await?;
    let ends: Vec<&Value> = progress.iter().map(|batch| &batch.sources[0].end_offset["a"]["0"]).collect();
    assert_eq!(ends, [&json!(2), &json!(3)]);
    assert_eq!(written(&session, work.path()).await?, ["0", "1", "2"]);
    Ok(())
}

#[tokio::test]
async fn a_topic_is_a_table_too_and_grows_beside_a_stream() -> TestResult {
    let (work, broker) = (tempfile::tempdir()?, KafkaBroker::new(&[("a", 1), ("names", 2)])?);
    broker.put("names", 0, &[("x", "ex")])?;
    broker.put("names", 1, &[("y", "why")])?;
    broker.put("a", 0, &[("x", "1"), ("y", "2"), ("z", "3")])?;
    let session = session().await?;
    table(&session, "ev", &broker, "subscribe 'a', maxOffsetsPerTrigger '3'").await?;
    table(&session, "names", &broker, "subscribe 'names'").await?;
    let names = rows_of(&session, "SELECT CAST(value AS STRING) AS v FROM names ORDER BY v").await?;
    assert_eq!(names, [json!({"v": "ex"}), json!({"v": "why"})]);
    let sql = "SELECT concat(CAST(n.value AS STRING), '-', CAST(ev.value AS STRING)) AS v FROM STREAM ev JOIN names n ON ev.key = n.key";
    run(&session, sql, work.path()).await?;
    broker.put("names", 0, &[("z", "zed")])?;
    broker.put("a", 0, &[("z", "4")])?;
    run(&session, sql, work.path()).await?;
    assert_eq!(written(&session, work.path()).await?, ["ex-1", "why-2", "zed-4"]);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_used_twice_is_read_once() -> TestResult {
    let (work, broker) = (tempfile::tempdir()?, KafkaBroker::new(&[("a", 1)])?);
    broker.put("a", 0, &[("k", "1"), ("k", "2")])?;
    let session = session().await?;
    table(&session, "ev", &broker, "subscribe 'a'").await?;
    let half = "SELECT CAST(value AS STRING) AS v FROM STREAM ev";
    let progress = run(&session, &format!("{half} UNION ALL {half}"), work.path()).await?;
    assert_eq!(progress[0].sources.len(), 1);
    assert_eq!(written(&session, work.path()).await?, ["1", "1", "2", "2"]);
    Ok(())
}

#[tokio::test]
async fn secrets_are_in_no_plan_error_or_progress() -> TestResult {
    let session = session().await?;
    let secret = "hunter2-hunter2";
    let refused = format!(
        "CREATE TABLE t USING kafka OPTIONS ('kafka.bootstrap.servers' '127.0.0.1:9', subscribe 'a', 'kafka.sasl.password' '{secret}', 'kafka.default.api.timeout.ms' '300'"
    );
    for (more, what) in [
        (", 'kafka.sasl.mechanism' 'NONSENSE', 'kafka.security.protocol' 'SASL_PLAINTEXT'", "a mechanism"),
        (", 'kafka.nonsense' '1'", "an unknown option"),
        (
            ", 'kafka.sasl.jaas.config' 'PlainLoginModule required password=\"hunter2-hunter2\";'",
            "a login without a user",
        ),
    ] {
        let error = match session.sql(&format!("{refused}{more})")).await {
            Err(error) => error,
            Ok(_) => session.sql("SELECT * FROM t").await?.collect().await.expect_err(what),
        };
        assert!(!format!("{error} {error:?}").contains(secret), "{what}: {error:?}");
    }
    session
        .sql(
            &format!("{refused}, 'kafka.security.protocol' 'SASL_PLAINTEXT', 'kafka.sasl.mechanism' 'PLAIN', 'kafka.sasl.username' 'ann')")
                .replace("TABLE t ", "TABLE good "),
        )
        .await?;
    for sql in ["EXPLAIN SELECT * FROM STREAM good", "DESCRIBE good"] {
        let text = format!("{:?}", rows_of(&session, sql).await?);
        assert!(!text.contains(secret), "{sql}: {text}");
    }
    let error = rows_of(&session, "SELECT * FROM good").await.expect_err("rows of nobody");
    assert!(error.message().contains("127.0.0.1:9") && !error.message().contains(secret), "{error}");
    Ok(())
}
