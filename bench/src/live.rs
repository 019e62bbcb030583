//! A topic that is written while it is read, and what comes out of the query: how long a message takes from end to end.
//!
//! ```text
//! writer, steady rate ─► topic in ─► the engine: count by second and type ─► topic out ─► reader
//!    each message says when it was sent                    each row, when the newest it counts was sent
//! ```
//! Latency is the time between the sending of the newest message that a row counts and the arrival of the row here. Both
//! ends are in this process, so one clock is read.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::Result;
use crate::generate::Random;
use crate::kafka::{PARTITIONS, client, create, event};

/// Results of so long, from the first on, are not measured: engines compile and catch up with what came before them.
const WARM_UP: Duration = Duration::from_secs(15);
const MEASURED: Duration = Duration::from_secs(30);
/// An engine that has given nothing by then never will.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two topics and the traffic on them, until it is dropped.
pub(crate) struct Live {
    servers: String,
    topics: [String; 2],
    started: Instant,
    first: Arc<OnceLock<Instant>>,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<Result<()>>>,
    reader: Option<JoinHandle<Result<Vec<Arrival>>>>,
}

/// A row of the result.
struct Arrival {
    at: Instant,
    latency_ms: f64,
}

/// What was measured.
pub(crate) struct Latencies {
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of so many rows.
    pub(crate) rows: usize,
}

impl Live {
    /// Makes the topics, describes them in `folder` as `kafka.json`, and starts to write `per_second` messages a second.
    pub(crate) fn start(servers: Option<&str>, folder: &Path, per_second: u64) -> Result<Self> {
        let servers = servers.ok_or("this workload reads Kafka: name a broker with --kafka HOST:PORT")?;
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let topics = ["in", "out"].map(|end| format!("millstream-bench-{end}-{stamp}"));
        for topic in &topics {
            create(servers, topic)?;
        }
        let description = json!({"servers": servers, "topic": topics[0], "output": topics[1], "messages": 0});
        fs::write(folder.join("kafka.json"), description.to_string())?;
        let (first, stop) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
        let mut live = Self {
            servers: servers.to_string(),
            topics,
            started: Instant::now(),
            first,
            stop,
            writer: None,
            reader: None,
        };
        let (servers, topic, stop) = (live.servers.clone(), live.topics[0].clone(), Arc::clone(&live.stop));
        live.writer = Some(thread::spawn(move || write(&servers, &topic, per_second, &stop)));
        let (servers, topic, stop) = (live.servers.clone(), live.topics[1].clone(), Arc::clone(&live.stop));
        let first = Arc::clone(&live.first);
        live.reader = Some(thread::spawn(move || read(&servers, &topic, &first, &stop)));
        Ok(live)
    }

    /// Whether enough has come.
    ///
    /// # Errors
    /// When nothing has come for very long, or the traffic has ended.
    pub(crate) fn is_over(&self) -> Result<bool> {
        if self.writer.as_ref().is_none_or(JoinHandle::is_finished)
            || self.reader.as_ref().is_none_or(JoinHandle::is_finished)
        {
            return Err("the traffic has broken off: is the broker still there?".into());
        }
        match self.first.get() {
            Some(first) => Ok(first.elapsed() >= WARM_UP + MEASURED),
            None if self.started.elapsed() > PATIENCE => Err("no result has come out of the query".into()),
            None => Ok(false),
        }
    }

    /// Ends the traffic; what was measured.
    pub(crate) fn finish(mut self) -> Result<Latencies> {
        self.stop.store(true, Ordering::SeqCst);
        let failed = "a thread of the traffic failed";
        self.writer.take().ok_or(failed)?.join().map_err(|_| failed)??;
        let arrivals = self.reader.take().ok_or(failed)?.join().map_err(|_| failed)??;
        let first = *self.first.get().ok_or("no result has come out of the query")?;
        let measured = first + WARM_UP..first + WARM_UP + MEASURED;
        let mut times: Vec<f64> = arrivals
            .iter()
            .filter(|arrival| measured.contains(&arrival.at))
            .map(|arrival| arrival.latency_ms)
            .collect();
        if times.is_empty() {
            return Err("no result came after the warm-up".into());
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        Ok(Latencies { median_ms: at(0.5), p99_ms: at(0.99), rows: times.len() })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The topics are of no more use; a broker that is gone has none.
        let admin: Result<AdminClient<DefaultClientContext>, _> = client(&self.servers).create();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let (Ok(admin), Ok(runtime)) = (admin, runtime) {
            let topics = self.topics.each_ref().map(String::as_str);
            let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
            drop(runtime.block_on(async { admin.delete_topics(&topics, &options).await }));
        }
    }
}

/// Seconds since the epoch.
fn now_s() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

fn write(servers: &str, topic: &str, per_second: u64, stop: &AtomicBool) -> Result<()> {
    let producer: BaseProducer = client(servers).set("linger.ms", "1").create()?;
    let (mut random, start, mut number) = (Random::new(6), Instant::now(), 0);
    while !stop.load(Ordering::SeqCst) {
        let due = (start.elapsed().as_secs_f64() * per_second as f64) as usize;
        while number < due {
            let (_, value) = event(number, &mut random, Some(now_s()?));
            let record = BaseRecord::<str, str>::to(topic).partition(number as i32 % PARTITIONS).payload(&value);
            match producer.send(record) {
                Ok(()) => number += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err((error, _)) => return Err(error.into()),
            }
        }
        producer.poll(Duration::ZERO);
        thread::sleep(Duration::from_millis(1));
    }
    Ok(producer.flush(Duration::from_secs(10))?)
}

fn read(servers: &str, topic: &str, first: &OnceLock<Instant>, stop: &AtomicBool) -> Result<Vec<Arrival>> {
    let mut config = client(servers);
    config.set("group.id", "millstream-bench").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = config.create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(topic, partition, Offset::Offset(0))?;
    }
    consumer.assign(&partitions)?;
    let mut arrivals = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
        let (message, at, now) = (message?, Instant::now(), now_s()?);
        first.get_or_init(|| at);
        // Tables with keys also have messages without a value.
        let Some(payload) = message.payload() else { continue };
        let row: Value = serde_json::from_slice(payload)?;
        let sent = row["last"].as_f64().ok_or_else(|| format!("a result without 'last': {row}"))?;
        arrivals.push(Arrival { at, latency_ms: (now - sent) * 1000.0 });
    }
    Ok(arrivals)
}
