//! Whole queries against a genuine Kafka broker.
//!
//! `cargo test` reports each as ignored, and why: `tests/kafka/run` starts a broker and runs them.

mod errors;
mod exactly_once;
mod faults;
mod realtime_analytics;
mod scenarios;
mod security;
mod source;
mod spark;

use std::path::Path;

use millstream_tests::TestResult;
use millstream_tests::kafka::{Broker, Read, Sent};

/// A topic's name that no other test or run has.
fn fresh(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

/// Messages whose values are these numbers.
fn numbered(numbers: std::ops::Range<i64>) -> Vec<Sent> {
    let message =
        |number: i64| Sent { key: Some(format!("k{number}")), value: Some(number.to_string()), ..Sent::default() };
    numbers.map(message).collect()
}

/// The numbers that `messages` have as values, sorted.
fn numbers(messages: &[Read]) -> Vec<i64> {
    let mut numbers: Vec<i64> = messages.iter().filter_map(|message| message.value.as_deref()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// A query that copies topic `from` to topic `to`, a few messages a batch; `more` are options of the sink.
fn copy_sql(broker: &Broker, work: &Path, from: &str, to: &str, more: &str) -> String {
    let (servers, work) = (broker.servers(), work.display());
    format!(
        "CREATE TABLE input USING kafka OPTIONS ('kafka.bootstrap.servers' '{servers}', 'kafka.reconnect.backoff.max.ms' '200',
           subscribe '{from}', startingOffsets 'earliest', maxOffsetsPerTrigger '7');
         CREATE STREAMING TABLE copied USING kafka OPTIONS ('kafka.bootstrap.servers' '{servers}', topic '{to}',
           'kafka.reconnect.backoff.max.ms' '200', checkpointLocation '{work}/checkpoint'{more})
         AS SELECT key, value FROM STREAM input;\n"
    )
}

/// Two topics, of two partitions each: to read from and to write to.
fn two_topics(broker: &Broker) -> TestResult<(String, String)> {
    let (from, to) = (fresh("from"), fresh("to"));
    broker.create_topic(&from, 2, &[("retention.ms", "-1")])?;
    broker.create_topic(&to, 2, &[("retention.ms", "-1")])?;
    Ok((from, to))
}
