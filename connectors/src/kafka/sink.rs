//! Kafka written to: the columns of a query become messages.
//!
//! At least once by default: a batch counts once brokers have acknowledged every message of it; one that fails is written
//! again. With `exactlyOnce` a batch is a transaction; see `transaction.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use millstream_engine::checkpoint::Fence;
use millstream_engine::options::Options;
use millstream_engine::sink::{
    CommitMessage, Delivery, Sink, SinkContext, SinkProvider, SinkSpec, SinkWriter, WriterTask,
};
use millstream_engine::{Error, Result};
use serde_json::Value;
use uuid::Uuid;

use super::client::{ClientSettings, Role};
use super::options::{SINK_OPTIONS, SOURCE_OPTIONS};
use super::producer::KafkaProducer;
use super::records::Layout;
use super::transaction::Transactions;

/// In the options of a query's writers: the run they belong to. Not for users.
const RUN: &str = "millstream.kafka.run";

/// How transactional ids and groups are called by default; the query's id follows.
const ID_PREFIX: &str = "millstream-";

/// Below the defaults of Java's client, or of librdkafka, where waiting would cost more than it brings.
const DEFAULTS: &[(&str, &str)] = &[
    // Batches are made by the engine: nothing is gained by waiting for more.
    ("linger.ms", "0"),
    // Where Java's client, and so Spark, sends a key.
    ("partitioner", "murmur2_random"),
    ("message.timeout.ms", "120000"),
    ("queue.buffering.max.messages", "500000"),
    ("queue.buffering.max.kbytes", "131072"),
];

/// The messages that arrive are not reported one by one.
const FIXED: &[(&str, &str)] = &[("delivery.report.only.error", "true")];

/// `USING kafka`, written.
#[derive(Debug, Default)]
pub struct KafkaSinkProvider {
    /// What the writers of a run share in this process.
    runs: Arc<Mutex<HashMap<Uuid, Weak<Run>>>>,
}

impl KafkaSinkProvider {
    /// What the run called `id` shares, made by `make` where it is not there.
    fn run(&self, id: Uuid, make: impl FnOnce() -> Result<Run>) -> Result<Arc<Run>> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = runs.get(&id).and_then(Weak::upgrade) {
            return Ok(run);
        }
        runs.retain(|_, run| run.strong_count() > 0);
        let run = Arc::new(make()?);
        runs.insert(id, Arc::downgrade(&run));
        Ok(run)
    }
}

#[async_trait]
impl SinkProvider for KafkaSinkProvider {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn takes_any_columns(&self, options: &Options) -> Result<bool> {
        // A table with a source's options is read, or both, and has the columns of topics.
        Ok(KafkaSinkOptions::parse(options)?.topic.is_some())
    }

    fn check(&self, spec: &SinkSpec) -> Result<()> {
        if let Some(column) = spec.partition_by.first() {
            return Err(Error::invalid(format!(
                "kafka sink: rows cannot be partitioned by '{column}': Kafka's partitions follow from column 'key' or 'partition'"
            )));
        }
        let options = KafkaSinkOptions::parse(&spec.options)?;
        Layout::find(&spec.schema, options.topic.as_deref()).map(|_| ())
    }

    async fn open(&self, spec: &SinkSpec, cx: SinkContext) -> Result<Arc<dyn Sink>> {
        let options = KafkaSinkOptions::parse(&spec.options)?;
        for note in &options.client.notes {
            tracing::warn!("kafka sink: {note}");
        }
        let id = Uuid::new_v4();
        let name = format!("{}{}", options.id_prefix, cx.query_id);
        let mut run = Run::new(&options, &name)?;
        if let Some(topic) = &options.topic {
            run.producer.look_for(topic).await?;
        }
        if options.exactly_once {
            run.transactions = Some(Transactions::open(Arc::clone(&run.producer), &options.client, name).await?);
        }
        let run = Arc::new(run);
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::downgrade(&run));
        let mut spec = spec.clone();
        spec.options.set(RUN, id.to_string());
        Ok(Arc::new(KafkaSink { spec, topic: options.topic, run }))
    }

    fn writer(&self, spec: &SinkSpec, task: WriterTask) -> Result<Box<dyn SinkWriter>> {
        let options = KafkaSinkOptions::parse(&spec.options)?;
        let layout = Layout::find(&spec.schema, options.topic.as_deref())?;
        let run = match spec.options.get(RUN).and_then(|id| Uuid::parse_str(id).ok()) {
            Some(id) => self.run(id, || match options.exactly_once {
                false => Run::new(&options, ""),
                true => Err(Error::unsupported(
                    "kafka sink: option 'exactlyOnce' needs all writers in the process of the query: its transaction is one",
                )),
            })?,
            // Rows that are no stream.
            None if options.exactly_once => {
                return Err(Error::unsupported(
                    "kafka sink: option 'exactlyOnce' is for streams, whose batches are known by their numbers, and these rows are no stream: leave it out, and they are written at least once",
                ));
            }
            None => self.run(task.attempt, || Run::new(&options, ""))?,
        };
        Ok(Box::new(KafkaWriter { run, layout, topic: options.topic, task, rows: 0, marked: None }))
    }
}

/// What a Kafka sink was told.
#[derive(Clone, Debug)]
struct KafkaSinkOptions {
    client: ClientSettings,
    topic: Option<String>,
    exactly_once: bool,
    /// How transactional ids and groups begin.
    id_prefix: String,
}

impl KafkaSinkOptions {
    fn parse(options: &Options) -> Result<Self> {
        let mut reader = options.reader("kafka sink");
        let client = ClientSettings::parse(&mut reader, Role::Sink)?;
        let topic = reader.text("topic");
        if let Some(topic) = topic.as_ref().filter(|topic| topic.trim().is_empty()) {
            return Err(reader.bad_value("topic", topic, "the name of a topic"));
        }
        let parsed = Self {
            topic,
            exactly_once: reader.flag("exactlyOnce", false)?,
            id_prefix: reader.text("transactionalIdPrefix").unwrap_or_else(|| ID_PREFIX.to_string()),
            client,
        };
        if parsed.client.get("transactional.id").is_some() {
            return Err(Error::invalid(
                "kafka sink: option 'kafka.transactional.id' is not supported: set 'exactlyOnce' to 'true'; ids are then made from option 'transactionalIdPrefix' and the query's id",
            ));
        }
        if parsed.exactly_once && parsed.weakened() {
            return Err(Error::invalid(
                "kafka sink: option 'exactlyOnce' needs an idempotent producer: leave out 'kafka.acks', 'kafka.enable.idempotence', 'kafka.retries' and 'kafka.max.in.flight.requests.per.connection'",
            ));
        }
        reader.also_known(SINK_OPTIONS);
        reader.also_known(SOURCE_OPTIONS);
        reader.also_known(&[RUN]);
        reader.finish()?;
        Ok(parsed)
    }

    /// Whether the user has asked for what an idempotent producer cannot do.
    fn weakened(&self) -> bool {
        let is = |names: [&str; 2], weak: fn(&str) -> bool| {
            names.iter().find_map(|name| self.client.get(name)).is_some_and(|value| weak(value.trim()))
        };
        let many = |value: &str| value.parse::<i64>().is_ok_and(|n| n > 5);
        is(["acks", "request.required.acks"], |acks| !matches!(acks, "all" | "-1"))
            || is(["enable.idempotence", "enable.idempotence"], |on| on.eq_ignore_ascii_case("false"))
            || is(["retries", "message.send.max.retries"], |retries| retries == "0")
            || is(["max.in.flight.requests.per.connection", "max.in.flight"], many)
    }
}

/// What the writers of one run, or of one batch of rows, share in this process.
#[derive(Debug)]
struct Run {
    producer: Arc<KafkaProducer>,
    transactions: Option<Transactions>,
}

impl Run {
    /// `name` is that of the query in Kafka, for transactions.
    fn new(options: &KafkaSinkOptions, name: &str) -> Result<Self> {
        let mut defaults = DEFAULTS.to_vec();
        defaults.push(("enable.idempotence", if options.weakened() { "false" } else { "true" }));
        // An unknown topic is waited for this long.
        if let Some(wait_ms) = options.client.java("max.block.ms") {
            defaults.push(("topic.metadata.propagation.max.ms", wait_ms));
        }
        let mut fixed = FIXED.to_vec();
        if options.exactly_once {
            // A batch that is written takes less; a query that died for good holds readers up no longer.
            defaults.push(("transaction.timeout.ms", "300000"));
            fixed.push(("transactional.id", name));
        }
        let producer = Arc::new(KafkaProducer::new(&options.client, &defaults, &fixed)?);
        Ok(Self { producer, transactions: None })
    }
}

/// One run's sink.
#[derive(Debug)]
struct KafkaSink {
    spec: SinkSpec,
    topic: Option<String>,
    run: Arc<Run>,
}

#[async_trait]
impl Sink for KafkaSink {
    fn description(&self) -> String {
        match &self.topic {
            Some(topic) => format!("KafkaSink[{topic}]"),
            None => "KafkaSink".to_string(),
        }
    }

    fn delivery(&self) -> Delivery {
        Delivery::Writers(self.spec.clone())
    }

    async fn commit(&self, batch_id: u64, messages: Vec<CommitMessage>, fence: &Fence) -> Result<()> {
        let Some(transactions) = &self.run.transactions else { return Ok(()) };
        let topic = messages.iter().find_map(|message| message.payload.as_str().map(str::to_string));
        transactions.commit(batch_id, topic, fence).await
    }

    fn metrics(&self) -> Vec<(String, String)> {
        let guarantee = if self.run.transactions.is_some() { "exactly once" } else { "at least once" };
        vec![("guarantee".to_string(), guarantee.to_string())]
    }

    async fn stop(&self) {
        if let Some(transactions) = &self.run.transactions {
            transactions.stop().await;
        }
        self.run.producer.stop();
    }
}

/// Writes one partition of a batch. Its commit message is the name of a topic it has written to.
struct KafkaWriter {
    run: Arc<Run>,
    layout: Layout,
    topic: Option<String>,
    task: WriterTask,
    rows: u64,
    marked: Option<String>,
}

#[async_trait]
impl SinkWriter for KafkaWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if let Some(topic) = &self.topic {
            self.run.producer.look_for(topic).await?;
        }
        let messages = self.layout.messages(&batch)?;
        self.rows += messages.len() as u64;
        for (topic, rows) in messages.by_topic(self.topic.as_deref())? {
            let mut done = 0;
            while done < rows.len() {
                // Held while messages are queued, not while there is no room for them.
                let leave = match &self.run.transactions {
                    None => None,
                    Some(transactions) => match transactions.join(self.task.batch_id, self.task.attempt).await? {
                        // The batch is in already.
                        None => return Ok(()),
                        leave => leave,
                    },
                };
                self.run.producer.send(&messages, topic, &rows, &mut done)?;
                drop(leave);
                if done < rows.len() {
                    self.run.producer.wait_for_room().await?;
                }
            }
            if self.marked.is_none() {
                self.marked = Some(topic.to_string());
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<CommitMessage> {
        if self.marked.is_some() {
            self.run.producer.flush().await?;
        }
        Ok(CommitMessage { payload: self.marked.map_or(Value::Null, Value::String), rows: self.rows })
    }
}

#[cfg(test)]
mod tests;
