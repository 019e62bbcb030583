//! The topics that the Kafka workloads read: made and filled once on a broker that was named with `--kafka`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::Result;
use crate::generate::Random;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;
const WAIT: Duration = Duration::from_secs(30);
const TYPES: [&str; 5] = ["page_view", "click", "search", "add_to_cart", "purchase"];

/// The columns of the events, in JSON. When a message was sent, in seconds since the epoch, is said where it is measured.
pub(crate) const EVENTS: &str =
    "user_id STRING, session_id STRING, event_type STRING, page_url STRING, ts TIMESTAMP, amount DOUBLE, sent DOUBLE";

/// Where a topic is.
pub(crate) struct Topic {
    pub(crate) servers: String,
    pub(crate) name: String,
    pub(crate) messages: u64,
    /// The topic that results go to, where there is one.
    pub(crate) output: String,
}

/// A folder with a description of the topic for every engine: `kafka.json`. The topic is filled if it is not.
pub(crate) fn input(servers: Option<&str>, folder: &Path, messages: usize) -> Result<PathBuf> {
    let servers = servers.ok_or("this workload reads Kafka: name a broker with --kafka HOST:PORT")?;
    let name = format!("millstream-bench-{messages}");
    let consumer: BaseConsumer = client(servers).create()?;
    match depth(&consumer, &name)? {
        Some(there) if there == messages as u64 => {}
        Some(0) => fill(servers, &name, messages)?,
        Some(there) => {
            return Err(
                format!("topic {name} has {there} messages, not {messages}: delete it, and it is made again").into()
            );
        }
        None => {
            create(servers, &name)?;
            fill(servers, &name, messages)?;
        }
    }
    let made = folder.join("input").join(&name);
    fs::create_dir_all(&made)?;
    let description = json!({"servers": servers, "topic": name, "messages": messages, "partitions": PARTITIONS});
    fs::write(made.join("kafka.json"), description.to_string())?;
    Ok(made)
}

/// What [`input`], or a live workload, has described.
pub(crate) fn topic(input: &Path) -> Result<Topic> {
    let text: serde_json::Value = serde_json::from_slice(&fs::read(input.join("kafka.json"))?)?;
    let field = |name: &str| text[name].as_str().unwrap_or_default().to_string();
    Ok(Topic {
        servers: field("servers"),
        name: field("topic"),
        messages: text["messages"].as_u64().unwrap_or_default(),
        output: field("output"),
    })
}

/// The settings of a client.
pub(crate) fn client(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("linger.ms", "20").set("queue.buffering.max.messages", "1000000");
    config
}

/// How many messages the topic has; `None` where it is not there.
fn depth(consumer: &BaseConsumer, topic: &str) -> Result<Option<u64>> {
    let known = consumer.fetch_metadata(Some(topic), WAIT)?;
    let partitions: Vec<i32> = known.topics().iter().flat_map(|t| t.partitions()).map(|p| p.id()).collect();
    if partitions.is_empty() {
        return Ok(None);
    }
    let mut messages = 0;
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, WAIT)?;
        messages += u64::try_from(end - first).unwrap_or(0);
    }
    Ok(Some(messages))
}

/// Makes a topic.
pub(crate) fn create(servers: &str, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(servers).create()?;
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(async { admin.create_topics([&new], &AdminOptions::new()).await })?;
    made.into_iter().try_for_each(|made| made.map(|_| ()).map_err(|(topic, e)| format!("topic {topic}: {e}").into()))
}

fn fill(servers: &str, topic: &str, messages: usize) -> Result<()> {
    let producer: BaseProducer = client(servers).create()?;
    let bar = indicatif::ProgressBar::new(messages as u64).with_message("filling the topic");
    let mut random = Random::new(5);
    for number in 0..messages {
        let (key, value) = event(number, &mut random, None);
        let mut record = BaseRecord::<str, str>::to(topic)
            .partition((number % PARTITIONS as usize) as i32)
            .key(&key)
            .payload(&value);
        while let Err((error, again)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(100));
            record = again;
        }
        if number % 10_000 == 0 {
            producer.poll(Duration::ZERO);
            bar.set_position(number as u64);
        }
    }
    producer.flush(WAIT)?;
    bar.finish_and_clear();
    Ok(())
}

/// Key and value of a message: some 180 bytes.
pub(crate) fn event(number: usize, random: &mut Random, sent_s: Option<f64>) -> (String, String) {
    let user = (random.unit() * 100_000.0) as u64;
    let micros = number as u64 * 100;
    let (second, micro) = (micros / 1_000_000, micros % 1_000_000);
    let sent = sent_s.map(|sent_s| format!(r#","sent":{sent_s:.6}"#)).unwrap_or_default();
    let value = format!(
        r#"{{"user_id":"u{user}","session_id":"s{}","event_type":"{}","page_url":"/product/{}?ref=home","ts":"2024-01-01T{:02}:{:02}:{:02}.{micro:06}Z","amount":{:.2}{sent}}}"#,
        user * 7 % 300_007,
        TYPES[(random.unit() * TYPES.len() as f64) as usize % TYPES.len()],
        user % 997,
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        random.unit() * 500.0
    );
    (format!("u{user}"), value)
}
