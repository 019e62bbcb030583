//! A genuine Kafka broker, as `tests/kafka/broker` starts it, and clients of it that are not ours.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;
use tempfile::TempDir;

use crate::TestResult;

/// Why a test of genuine brokers is not run by `cargo test` alone.
pub const HOW_TO: &str = "tests/kafka/run starts a broker for these tests and runs them";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker.
pub struct Broker {
    /// Where it lives.
    folder: PathBuf,
    port: u16,
    /// It is this test's own, and ends with it.
    own: Option<TempDir>,
    /// It is the second one, and this is the port of its controller.
    joins: Option<u16>,
}

/// A message to send.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Sent {
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// Its time, in seconds after the first second of 2024.
    pub at: Option<f64>,
    /// Its headers.
    pub headers: Option<Vec<(String, Option<String>)>>,
}

/// A message that was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// Its headers, where it has any.
    pub headers: Option<Vec<(String, Option<String>)>>,
}

impl Broker {
    /// The broker that all tests share.
    pub fn shared() -> TestResult<Self> {
        let folder = std::env::var_os("MILLSTREAM_KAFKA_DIR").ok_or(HOW_TO)?;
        let port = std::env::var("MILLSTREAM_KAFKA_PORT").map_err(|_| HOW_TO)?.parse()?;
        Ok(Self { folder: folder.into(), port, own: None, joins: None })
    }

    /// A broker of the test's own, to be killed and started again.
    pub fn own() -> TestResult<Self> {
        let folder = tempfile::tempdir()?;
        let broker = Self { folder: folder.path().to_path_buf(), port: free_ports()?, own: Some(folder), joins: None };
        broker.script("start")?;
        Ok(broker)
    }

    /// A second broker, under the controller of this one.
    pub fn second(&self) -> TestResult<Self> {
        let folder = tempfile::tempdir()?;
        let (path, port) = (folder.path().to_path_buf(), free_ports()?);
        let broker = Self { folder: path, port, own: Some(folder), joins: Some(self.port + 1) };
        broker.script("start")?;
        Ok(broker)
    }

    /// Has the script do `what`: `start`, `stop`, `kill9`, `pause`, `resume`.
    pub fn script(&self, what: &str) -> TestResult {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/broker");
        let mut command = Command::new(script);
        command.arg(what).env("KAFKA_DIR", &self.folder).env("KAFKA_PORT", self.port.to_string());
        if let Some(controller) = self.joins {
            command.env("KAFKA_JOINS", controller.to_string());
        }
        let output = command.output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("tests/kafka/broker {what}: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    /// `host:port` of its open listener.
    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of its listener with TLS.
    pub fn tls_servers(&self) -> String {
        format!("localhost:{}", self.port + 3)
    }

    /// `host:port` of its listener with TLS and SASL.
    pub fn scram_servers(&self) -> String {
        format!("localhost:{}", self.port + 4)
    }

    /// `host:port` of its listener with SASL alone.
    pub fn sasl_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port + 5)
    }

    /// The port that clients of its proxied listener are told to connect to, and that where it listens.
    pub fn proxied_ports(&self) -> (u16, u16) {
        (self.port + 6, self.port + 2)
    }

    /// The certificate to trust.
    pub fn ca_pem(&self) -> PathBuf {
        self.folder.join("tls/ca.pem")
    }

    /// A client's configuration.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers()).set("reconnect.backoff.max.ms", "200").set("log_level", "3");
        config
    }

    fn admin(&self) -> TestResult<AdminClient<DefaultClientContext>> {
        Ok(self.config().create()?)
    }

    /// Makes a topic, with further configuration, and waits until it has its leaders.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> TestResult {
        let admin = self.admin()?;
        let new = config
            .iter()
            .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |new, (k, v)| new.set(k, v));
        until("a topic is made", || {
            let made = block_on(admin.create_topics([&new], &AdminOptions::new()))?;
            match made.into_iter().next().ok_or("no answer")? {
                Ok(_) => Ok(true),
                // One of that name is still being deleted.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(false),
                Err((name, code)) => Err(format!("topic {name} could not be made: {code}").into()),
            }
        })?;
        self.wait_for_partitions(name, partitions)
    }

    /// Makes a topic with these brokers for each partition, the first of which leads it.
    pub fn create_replicated_topic(&self, name: &str, brokers: &[&[i32]]) -> TestResult {
        let new = NewTopic::new(name, i32::try_from(brokers.len())?, TopicReplication::Variable(brokers))
            .set("retention.ms", "-1");
        for made in block_on(self.admin()?.create_topics([&new], &AdminOptions::new()))? {
            made.map_err(|(name, code)| format!("topic {name} could not be made: {code}"))?;
        }
        self.wait_for_partitions(name, i32::try_from(brokers.len())?)
    }

    /// The broker that leads each partition.
    pub fn leaders(&self, topic: &str) -> TestResult<Vec<i32>> {
        let metadata = self.admin()?.inner().fetch_metadata(Some(topic), PATIENCE)?;
        Ok(metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.leader()).collect())
    }

    /// Whether every partition has `broker` among those that have all its messages.
    pub fn in_sync(&self, topic: &str, broker: i32) -> TestResult<bool> {
        let metadata = self.admin()?.inner().fetch_metadata(Some(topic), PATIENCE)?;
        Ok(metadata.topics().iter().flat_map(|topic| topic.partitions()).all(|p| p.isr().contains(&broker)))
    }

    fn wait_for_partitions(&self, name: &str, partitions: i32) -> TestResult {
        let admin = self.admin()?;
        until("a topic has its leaders", || {
            let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE)?;
            let led = metadata.topics().iter().flat_map(|t| t.partitions()).filter(|p| p.leader() >= 0).count();
            Ok(i32::try_from(led) == Ok(partitions))
        })
    }

    /// Gives a topic so many partitions.
    pub fn grow(&self, name: &str, partitions: i32) -> TestResult {
        let new = NewPartitions::new(name, usize::try_from(partitions)?);
        for result in block_on(self.admin()?.create_partitions([&new], &AdminOptions::new()))? {
            result.map_err(|(name, code)| format!("{name}: {code}"))?;
        }
        self.wait_for_partitions(name, partitions)
    }

    /// Deletes topics, and waits until they are gone.
    pub fn delete_topics(&self, names: &[&str]) -> TestResult {
        let admin = self.admin()?;
        for result in block_on(admin.delete_topics(names, &AdminOptions::new()))? {
            result.map_err(|(name, code)| format!("{name}: {code}"))?;
        }
        until("topics are gone", || {
            let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
            Ok(!metadata.topics().iter().any(|topic| names.contains(&topic.name())))
        })
    }

    /// Changes how long the messages of a topic are kept.
    pub fn keep_for_ms(&self, topic: &str, retention_ms: u64) -> TestResult {
        let retention_ms = retention_ms.to_string();
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("retention.ms", &retention_ms);
        for result in block_on(self.admin()?.alter_configs([&change], &AdminOptions::new()))? {
            result.map_err(|(resource, code)| format!("{resource:?}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes the messages of a partition below `before`.
    pub fn trim(&self, topic: &str, partition: i32, before: i64) -> TestResult {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(before))?;
        block_on(self.admin()?.delete_records(&offsets, &AdminOptions::new()))?;
        Ok(())
    }

    /// The topics whose names start with `prefix`.
    pub fn topics(&self, prefix: &str) -> TestResult<Vec<String>> {
        let metadata = self
            .admin()?
            .inner()
            .fetch_metadata(None, PATIENCE)?
            .topics()
            .iter()
            .map(|t| t.name().to_string())
            .collect::<Vec<_>>();
        Ok(metadata.into_iter().filter(|name| name.starts_with(prefix)).collect())
    }

    /// First and last offset of a partition; the last is that of the next message to come.
    pub fn bounds(&self, topic: &str, partition: i32) -> TestResult<(i64, i64)> {
        Ok(self.admin()?.inner().fetch_watermarks(topic, partition, PATIENCE)?)
    }

    /// The first offset behind what a reader of committed messages may see.
    pub fn stable_end(&self, topic: &str, partition: i32) -> TestResult<i64> {
        let reader: BaseConsumer =
            self.config().set("group.id", "none").set("isolation.level", "read_committed").create()?;
        let mut ends = TopicPartitionList::new();
        ends.add_partition_offset(topic, partition, Offset::End)?;
        let ends = reader.offsets_for_times(ends, PATIENCE)?;
        let end = ends.find_partition(topic, partition).ok_or("no answer")?.offset();
        match end {
            Offset::Offset(end) => Ok(end),
            _ => Ok(self.bounds(topic, partition)?.1),
        }
    }

    /// Every message of a topic, sorted; those of aborted transactions are left out, unless `uncommitted`.
    pub fn read(&self, topic: &str, uncommitted: bool) -> TestResult<Vec<Read>> {
        let level = if uncommitted { "read_uncommitted" } else { "read_committed" };
        let reader: BaseConsumer = self
            .config()
            .set("group.id", "reader-of-tests")
            .set("isolation.level", level)
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        let metadata = reader.fetch_metadata(Some(topic), PATIENCE)?;
        let partitions: Vec<i32> =
            metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
        let mut from = TopicPartitionList::new();
        for partition in &partitions {
            from.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        reader.assign(&from)?;
        let (mut messages, mut ended, started) = (Vec::new(), BTreeMap::new(), Instant::now());
        while ended.len() < partitions.len() {
            if started.elapsed() > PATIENCE {
                return Err(format!("topic {topic} could not be read to its end").into());
            }
            match reader.poll(Duration::from_millis(500)) {
                None => {}
                Some(Ok(message)) => messages.push(Read::new(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition, ())),
                Some(Err(error)) => return Err(error.into()),
            }
        }
        messages.sort();
        Ok(messages)
    }

    /// Sends messages one second apart from 2024 on, unless they say when; returns when all are acknowledged.
    pub fn send(&self, topic: &str, partition: i32, messages: &[Sent]) -> TestResult {
        self.send_as(topic, partition, messages, 0, "none")
    }

    /// As [`send`](Self::send): the first message is number `number` of all, and they are compressed with `codec`.
    pub fn send_as(&self, topic: &str, partition: i32, messages: &[Sent], number: i64, codec: &str) -> TestResult {
        let producer: BaseProducer = self.config().set("compression.type", codec).set("linger.ms", "20").create()?;
        put(&producer, topic, partition, messages, number)?;
        Ok(producer.flush(PATIENCE)?)
    }

    /// A producer in the middle of a transaction.
    pub fn begin(&self, transactional_id: &str) -> TestResult<BaseProducer> {
        let producer: BaseProducer =
            self.config().set("transactional.id", transactional_id).set("transaction.timeout.ms", "600000").create()?;
        producer.init_transactions(PATIENCE)?;
        producer.begin_transaction()?;
        Ok(producer)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.own.is_some()
            && let Err(error) = self.script("kill9")
        {
            eprintln!("a broker was left running: {error}");
        }
    }
}

impl Read {
    fn new(message: &impl Message) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_string(), header.value.map(text))).collect::<Vec<_>>()
        });
        Self {
            partition: message.partition(),
            key: message.key().map(text),
            value: message.payload().map(text),
            headers: headers.filter(|headers| !headers.is_empty()),
        }
    }
}

/// Milliseconds of the first second of 2024.
pub const START_MS: i64 = 1_704_067_200_000;

/// Queues messages, the first of which is number `number`.
pub fn put(producer: &BaseProducer, topic: &str, partition: i32, messages: &[Sent], number: i64) -> TestResult {
    for (index, message) in (number..).zip(messages) {
        #[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
        let after_ms = message.at.map_or(index * 1000, |at| (at * 1000.0) as i64);
        let mut record: BaseRecord<'_, str, str> =
            BaseRecord::to(topic).partition(partition).timestamp(START_MS + after_ms);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        if let Some(value) = &message.value {
            record = record.payload(value);
        }
        if let Some(headers) = &message.headers {
            record =
                record.headers(headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                    all.insert(Header { key, value: value.as_deref() })
                }));
        }
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(())
}

/// Waits until `what` is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> TestResult<bool>) -> TestResult {
    let started = Instant::now();
    while !is_so()? {
        if started.elapsed() > PATIENCE {
            return Err(format!("waited in vain until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The first of seven ports in a row that are free: no two calls in this process give the same, and none is of the range that
/// the system takes ports of outgoing connections from, one of which could have it before the broker has.
fn free_ports() -> TestResult<u16> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id() % 1_400;
    for _ in 0..1_400 {
        let number = (begin + u32::from(TRIED.fetch_add(1, Ordering::Relaxed))) % 1_400;
        let first = 20_000 + u16::try_from(number * 8)?;
        if (first..first + 7).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(first);
        }
    }
    Err("no seven ports in a row are free".into())
}
