//! What goes wrong is said clearly, and the command ends with 1.

use std::path::Path;

use millstream_tests::TestResult;
use millstream_tests::kafka::{Broker, until};

use super::{fresh, numbers};
use crate::command::MILLSTREAM;

/// A query that writes ten numbers to Kafka, once.
fn write_sql(work: &Path, options: &str) -> String {
    format!(
        "CREATE TABLE input USING `rate-micro-batch` OPTIONS (rowsPerBatch '10');
         CREATE STREAMING TABLE q USING kafka OPTIONS ({options}, checkpointLocation '{}/checkpoint', trigger 'availableNow')
         AS SELECT CAST(value AS STRING) AS key, repeat(CAST(value AS STRING), 1000) AS value FROM STREAM input;\n",
        work.display()
    )
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn each_is_named() -> TestResult {
    let broker = Broker::shared()?;
    let (small, topic) = (fresh("small"), fresh("topic"));
    broker.create_topic(&small, 1, &[("max.message.bytes", "500")])?;
    broker.create_topic(&topic, 1, &[])?;
    let (servers, sasl) = (broker.servers(), broker.sasl_servers());
    let login = |user: &str, password: &str| {
        format!(
            "'kafka.bootstrap.servers' '{sasl}', topic '{topic}', 'kafka.security.protocol' 'SASL_PLAINTEXT',
             'kafka.sasl.mechanism' 'PLAIN', 'kafka.sasl.username' '{user}', 'kafka.sasl.password' '{password}'"
        )
    };
    let cases = [
        (
            format!("'kafka.bootstrap.servers' '{servers}', topic '{small}'"),
            vec!["too large", small.as_str(), "max.message.bytes"],
        ),
        (
            format!("'kafka.bootstrap.servers' '{servers}', topic 'nowhere', 'kafka.max.block.ms' '500'"),
            vec!["'nowhere' is not there"],
        ),
        (
            "'kafka.bootstrap.servers' '127.0.0.1:1', topic 't', 'kafka.max.block.ms' '500'".to_string(),
            vec!["127.0.0.1:1", "within 500 ms"],
        ),
        (login("bob", "bob-secret"), vec!["not authorised", topic.as_str()]),
        (login("alice", "not-her-password"), vec!["refuse this client", "Authentication failed"]),
    ];
    for (options, words) in cases {
        for exactly_once in ["", ", exactlyOnce 'true'"] {
            let work = tempfile::tempdir()?;
            let ran = MILLSTREAM.run_sql(work.path(), &write_sql(work.path(), &format!("{options}{exactly_once}")))?;
            assert_eq!(ran.code, Some(1), "{options}: {}", ran.stderr);
            for word in &words {
                assert!(ran.stderr.contains(word), "{options}: {}", ran.stderr);
            }
            for secret in ["bob-secret", "not-her-password"] {
                assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{}", ran.stderr);
            }
        }
    }
    assert_eq!(broker.read(&small, false)?.len(), 0);
    let work = tempfile::tempdir()?;
    MILLSTREAM.run_sql(work.path(), &write_sql(work.path(), &login("alice", "alice-secret")))?.ok()?;
    until("the rows are there", || Ok(broker.read(&topic, false)?.len() == 10))
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn rows_that_are_no_stream_are_written_too() -> TestResult {
    let broker = Broker::shared()?;
    let topic = fresh("rows");
    broker.create_topic(&topic, 2, &[])?;
    let work = tempfile::tempdir()?;
    let servers = broker.servers();
    let script = format!(
        "CREATE TABLE out USING kafka OPTIONS ('kafka.bootstrap.servers' '{servers}', topic '{topic}');
         INSERT INTO out SELECT CAST(n AS STRING) AS value FROM VALUES (1), (2), (3) AS t(n);\n"
    );
    MILLSTREAM.run_sql(work.path(), &script)?.ok()?;
    assert_eq!(numbers(&broker.read(&topic, false)?), [1, 2, 3]);
    let nowhere = script.replace(&topic, "nowhere").replace("'nowhere')", "'nowhere', 'kafka.max.block.ms' '300')");
    let refused = MILLSTREAM.run_sql(work.path(), &nowhere)?;
    assert!(refused.code == Some(1) && refused.stderr.contains("'nowhere' is not there"), "{refused:?}");
    Ok(())
}
