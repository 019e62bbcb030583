//! `exactlyOnce`: readers of committed messages see each row once, whatever dies when.

use std::io::Read;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray};
use millstream_connectors::kafka::KafkaSinkProvider;
use millstream_engine::Error;
use millstream_engine::sink::{OutputMode, SinkContext, SinkProvider, SinkSpec};
use millstream_engine::state::Place;
use millstream_engine::testing::check_sink;
use millstream_tests::TestResult;
use millstream_tests::command::send;
use millstream_tests::dice::Dice;
use millstream_tests::kafka::{Broker, Sent, until};
use rdkafka::producer::{BaseProducer, Producer};
use rustix::process::Signal;
use serde_json::Value;

use super::{copy_sql, fresh, numbered, numbers, two_topics};
use crate::command::MILLSTREAM;

const EXACTLY_ONCE: &str = ", exactlyOnce 'true'";
const TO_THE_END: &str = ", exactlyOnce 'true', trigger 'availableNow'";

/// Standard error and exit code, once it has ended.
fn end_of(mut child: Child) -> TestResult<(Option<i32>, String)> {
    let mut stderr = String::new();
    child.stderr.take().ok_or("no standard error")?.read_to_string(&mut stderr)?;
    Ok((child.wait()?.code(), stderr))
}

/// Starts `sql` and kills it, the sooner the less it has done.
fn start_and_kill(work: &Path, sql: &str, dice: &mut Dice) -> TestResult {
    let mut child = MILLSTREAM.start_sql(work, sql, &[])?;
    // The end of its output is the end of the process: that must not come before the kill.
    let (ended, end) = channel();
    let mut stdout = child.stdout.take().ok_or("no standard output")?;
    std::thread::spawn(move || {
        drop(stdout.read_to_end(&mut Vec::new()));
        let _ = ended.send(());
    });
    let moment = Duration::from_micros(dice.below(900_000));
    if end.recv_timeout(moment) != Err(RecvTimeoutError::Timeout) {
        return Err(format!("ended by itself: {:?}", end_of(child)?).into());
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn killed_at_fifty_random_moments() -> TestResult {
    let broker = Broker::shared()?;
    let mut dice = Dice::thrown("kafka killed_at_fifty_random_moments");
    let work = tempfile::tempdir()?;
    let (from, to) = two_topics(&broker)?;
    let running = copy_sql(&broker, work.path(), &from, &to, EXACTLY_ONCE);
    let mut sent = 0;
    for _ in 0..50 {
        for partition in [0, 1] {
            broker.send(&from, partition, &numbered(sent..sent + 40))?;
            sent += 40;
        }
        start_and_kill(work.path(), &running, &mut dice)?;
    }
    MILLSTREAM.run_sql(work.path(), &copy_sql(&broker, work.path(), &from, &to, TO_THE_END))?.ok()?;
    let (committed, all) = (broker.read(&to, false)?, broker.read(&to, true)?);
    assert_eq!(numbers(&committed), (0..sent).collect::<Vec<_>>(), "rows were lost or repeated");
    // Otherwise no kill came in the middle of a transaction.
    assert!(all.len() > committed.len(), "nothing was ever aborted: the kills came at easy moments");
    Ok(())
}

/// State and output agree after kills: a count that is written twice, or left out, would show.
#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn counts_killed_at_random_moments() -> TestResult {
    let broker = Broker::shared()?;
    let mut dice = Dice::thrown("kafka counts_killed_at_random_moments");
    let work = tempfile::tempdir()?;
    let (from, to) = two_topics(&broker)?;
    let counting = |options: &str| {
        copy_sql(&broker, work.path(), &from, &to, &format!("{options}, outputMode 'update'")).replace(
            "SELECT key, value FROM STREAM input",
            "SELECT key, CAST(n AS STRING) AS value FROM (SELECT CAST(key AS STRING) AS key, count(*) AS n FROM STREAM input GROUP BY CAST(key AS STRING))",
        )
    };
    let rounds = 20;
    for _ in 0..rounds {
        let keys = ["a", "b", "c"].into_iter().cycle().take(30);
        let messages: Vec<Sent> = keys.map(|key| Sent { key: Some(key.to_string()), ..Sent::default() }).collect();
        for partition in [0, 1] {
            broker.send(&from, partition, &messages)?;
        }
        start_and_kill(work.path(), &counting(EXACTLY_ONCE), &mut dice)?;
    }
    MILLSTREAM.run_sql(work.path(), &counting(TO_THE_END))?.ok()?;
    for key in ["a", "b", "c"] {
        let of_key: Vec<_> =
            broker.read(&to, false)?.into_iter().filter(|row| row.key.as_deref() == Some(key)).collect();
        let mut counts = numbers(&of_key);
        assert_eq!(counts.last(), Some(&(rounds * 20)), "{key}: messages were lost or counted again");
        let written = counts.len();
        counts.dedup();
        assert_eq!(counts.len(), written, "{key}: a count was written again");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
async fn the_contract_of_sinks_is_kept() -> TestResult {
    let broker = Broker::shared()?;
    let topic = fresh("contract");
    broker.create_topic(&topic, 3, &[])?;
    let batch = |from: i64| {
        let values = StringArray::from_iter_values((from..from + 10).map(|number| number.to_string()));
        RecordBatch::try_from_iter([("value", Arc::new(values) as _)])
    };
    let batches = [batch(0)?, batch(10)?, batch(20)?];
    let servers = broker.servers();
    let options = [("kafka.bootstrap.servers", servers.as_str()), ("topic", topic.as_str()), ("exactlyOnce", "true")];
    let spec = SinkSpec {
        connector: "kafka".to_string(),
        options: options.into_iter().collect(),
        schema: batches[0].schema(),
        partition_by: Vec::new(),
        output_mode: OutputMode::Append,
        query_name: None,
    };
    let provider = KafkaSinkProvider::default();
    let checkpoint = Place::open(&format!("memory://kafka/{}", uuid::Uuid::new_v4()), &[])?;
    let cx = SinkContext {
        query_id: uuid::Uuid::new_v4(),
        checkpoint: checkpoint.clone(),
        is_restart: false,
        conf: Arc::default(),
    };
    let sink = provider.open(&spec, cx).await?;
    check_sink(&provider, sink.as_ref(), &checkpoint, &batches, async || {
        broker.read(&topic, false).map(|messages| messages.len()).map_err(|e| Error::internal(e.to_string()))
    })
    .await?;
    sink.stop().await;
    Ok(())
}

/// A batch whose transaction was committed, and whose commit is missing in the checkpoint.
#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn a_crash_between_transaction_and_checkpoint() -> TestResult {
    let broker = Broker::shared()?;
    for (option, copies) in [(TO_THE_END, 1), (", trigger 'availableNow'", 2)] {
        let work = tempfile::tempdir()?;
        let (from, to) = two_topics(&broker)?;
        broker.send(&from, 0, &numbered(0..5))?;
        let query = copy_sql(&broker, work.path(), &from, &to, option);
        MILLSTREAM.run_sql(work.path(), &query)?.ok()?;
        std::fs::remove_file(work.path().join("checkpoint/commits/0"))?;
        broker.send(&from, 1, &numbered(5..8))?;
        MILLSTREAM.run_sql(work.path(), &query)?.ok()?;
        let seen = numbers(&broker.read(&to, false)?);
        let expected: Vec<i64> = (0..8).flat_map(|n| vec![n; if n < 5 { copies } else { 1 }]).collect();
        assert_eq!(seen, expected, "{option}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn of_two_processes_the_newer_takes_over() -> TestResult {
    let broker = Broker::shared()?;
    let work = tempfile::tempdir()?;
    let (from, to) = two_topics(&broker)?;
    let running = copy_sql(&broker, work.path(), &from, &to, EXACTLY_ONCE);
    broker.send(&from, 0, &numbered(0..5))?;
    let mut older = MILLSTREAM.start_sql(work.path(), &running, &[])?;
    until("the older one is at work", || Ok(work.path().join("checkpoint/commits/0").exists()))?;
    let newer = MILLSTREAM.start_sql(work.path(), &running, &[])?;
    let mut sent = 5;
    until("the older one has ended", || {
        broker.send(&from, 1, &numbered(sent..sent + 1))?;
        sent += 1;
        Ok(older.try_wait()?.is_some())
    })?;
    let (code, stderr) = end_of(older)?;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("taken over"), "{stderr}");
    send(&newer, Signal::TERM)?;
    assert_eq!(end_of(newer)?, (Some(0), String::new()));
    MILLSTREAM.run_sql(work.path(), &copy_sql(&broker, work.path(), &from, &to, TO_THE_END))?.ok()?;
    assert_eq!(numbers(&broker.read(&to, false)?), (0..sent).collect::<Vec<_>>(), "rows were lost or repeated");
    Ok(())
}

/// Where the checkpoint's own fence cannot see the newer run, Kafka's does.
#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn a_producer_that_was_fenced_stops_its_query() -> TestResult {
    let broker = Broker::shared()?;
    let work = tempfile::tempdir()?;
    let (from, to) = two_topics(&broker)?;
    broker.send(&from, 0, &numbered(0..5))?;
    let running = copy_sql(&broker, work.path(), &from, &to, EXACTLY_ONCE);
    let child = MILLSTREAM.start_sql(work.path(), &running, &[])?;
    until("the query is at work", || Ok(work.path().join("checkpoint/commits/0").exists()))?;
    let metadata: Value = serde_json::from_str(&std::fs::read_to_string(work.path().join("checkpoint/metadata"))?)?;
    let id = format!("millstream-{}", metadata["id"].as_str().ok_or("no id")?);
    let newer: BaseProducer = broker.config().set("transactional.id", id).create()?;
    newer.init_transactions(Duration::from_secs(30))?;
    broker.send(&from, 0, &numbered(5..9))?;
    let (code, stderr) = end_of(child)?;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("Fenced") && stderr.contains("another run"), "{stderr}");
    assert_eq!(numbers(&broker.read(&to, false)?), (0..5).collect::<Vec<_>>());
    MILLSTREAM.run_sql(work.path(), &copy_sql(&broker, work.path(), &from, &to, TO_THE_END))?.ok()?;
    assert_eq!(numbers(&broker.read(&to, false)?), (0..9).collect::<Vec<_>>());
    Ok(())
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn a_broker_that_goes_and_comes_back() -> TestResult {
    let broker = Broker::own()?;
    for guarantee in [EXACTLY_ONCE, ""] {
        let work = tempfile::tempdir()?;
        let (from, to) = two_topics(&broker)?;
        let child = MILLSTREAM.start_sql(work.path(), &copy_sql(&broker, work.path(), &from, &to, guarantee), &[])?;
        let mut sent = 0;
        for [ends, begins] in [["kill9", "start"], ["pause", "resume"], ["stop", "start"], ["kill9", "start"]] {
            broker.send(&from, 0, &numbered(sent..sent + 50))?;
            broker.send(&from, 1, &numbered(sent + 50..sent + 100))?;
            sent += 100;
            broker.script(ends)?;
            broker.script(begins)?;
        }
        until("every row is there", || Ok(numbers(&broker.read(&to, false)?).len() >= usize::try_from(sent)?))?;
        send(&child, Signal::TERM)?;
        let (code, stderr) = end_of(child)?;
        assert_eq!(code, Some(0), "the query did not outlive the broker{guarantee}: {stderr}");
        assert_eq!(numbers(&broker.read(&to, false)?), (0..sent).collect::<Vec<_>>(), "{guarantee}");
    }
    Ok(())
}
