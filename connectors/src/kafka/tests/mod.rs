//! The Kafka source against librdkafka's mock cluster: a broker in this process, which can be told to misbehave.
//!
//! What the mock does not do (times of offsets, deleted topics, transactions) is tested against a genuine broker.

mod faults;
mod rows;
mod starts;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion_execution::TaskContext;
use futures::TryStreamExt;
use millstream_engine::options::Options;
use millstream_engine::source::{Offset, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split};
use millstream_engine::state::Place;
use millstream_engine::testing::{ManualClock, read_rows};
use millstream_engine::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::json;

use super::KafkaSourceProvider;

/// A broker, or several, with topics of one test.
struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    fn new(brokers: i32, topics: &[(&str, i32)]) -> Self {
        let cluster = MockCluster::new(brokers).expect("a cluster in this process");
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        let broker = Self { cluster, producer };
        for (topic, partitions) in topics {
            broker.create(topic, *partitions);
        }
        broker
    }

    fn create(&self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, 1).expect("a new topic");
    }

    /// Sends values without keys.
    fn put(&self, topic: &str, partition: i32, values: &[&str]) {
        for value in values {
            self.send(BaseRecord::<(), str>::to(topic).partition(partition).payload(value));
        }
        self.flush();
    }

    fn send<K: rdkafka::message::ToBytes + ?Sized, V: rdkafka::message::ToBytes + ?Sized>(
        &self,
        record: BaseRecord<'_, K, V>,
    ) {
        assert!(self.producer.send(record).is_ok(), "the producer took no message");
    }

    fn flush(&self) {
        self.producer.flush(Duration::from_secs(30)).expect("every message is with the broker");
    }

    fn options(&self, more: &[(&str, &str)]) -> Options {
        let servers = self.cluster.bootstrap_servers();
        let given = [
            ("kafka.bootstrap.servers", servers.as_str()),
            // The mock waits out an empty fetch, and clients are slow to see a broker again.
            ("kafka.fetch.wait.max.ms", "10"),
            ("kafka.reconnect.backoff.ms", "20"),
            ("kafka.reconnect.backoff.max.ms", "100"),
        ];
        given.iter().chain(more).copied().collect()
    }

    async fn query(&self, more: &[(&str, &str)]) -> Result<Query> {
        Query::open(self.options(more), place()).await
    }
}

fn place() -> Place {
    Place::open(&format!("memory://kafka/{}", uuid::Uuid::new_v4()), &[]).expect("a place in memory")
}

/// A source as the loop of a query drives it.
struct Query {
    spec: SourceSpec,
    source: Arc<dyn Source>,
    clock: ManualClock,
    at: Option<Offset>,
}

impl Query {
    async fn open(options: Options, metadata: Place) -> Result<Self> {
        let clock = ManualClock::at_ms(1_800_000_000_000);
        let schema = KafkaSourceProvider.schema(None, &options, true, &Options::new()).await?;
        let spec = SourceSpec { connector: "kafka".to_string(), options, schema };
        let conf = Arc::new(Options::new().with("millstream.source.partitions", "2"));
        let context = SourceContext { metadata, clock: Arc::new(clock.clone()), conf };
        let source = KafkaSourceProvider.open(&spec, context).await?;
        Ok(Self { spec, source, clock, at: None })
    }

    /// One batch under the source's own limit: its end, and topic, partition and offset of its rows, sorted.
    async fn batch(&mut self) -> Result<(serde_json::Value, Vec<String>)> {
        if self.at.is_none() {
            self.at = self.source.initial().await?;
        }
        let to = self.source.latest(self.at.as_ref(), &self.source.read_limit()).await?;
        let rows = self.rows(self.at.as_ref(), to.as_ref()).await?;
        if let Some(to) = to {
            self.source.commit(&to).await?;
            self.at = Some(to);
        }
        Ok((self.at.as_ref().map_or(json!(null), |at| at.json().clone()), places(&rows)))
    }

    async fn rows(&self, from: Option<&Offset>, to: Option<&Offset>) -> Result<RecordBatch> {
        read_rows(&KafkaSourceProvider, &self.spec, self.source.as_ref(), from, to).await
    }
}

/// `topic-partition@offset` of each row, sorted.
fn places(rows: &RecordBatch) -> Vec<String> {
    let (topics, partitions) = (rows.column(2).as_string::<i32>(), rows.column(3).as_primitive::<Int32Type>());
    let offsets = rows.column(4).as_primitive::<Int64Type>();
    let place = |row| format!("{}-{}@{}", topics.value(row), partitions.value(row), offsets.value(row));
    let mut places: Vec<String> = (0..rows.num_rows()).map(place).collect();
    places.sort_unstable();
    places
}

/// The rows of some splits.
async fn rows_of(spec: &SourceSpec, splits: Vec<Split>) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    for split in splits {
        let projection = (0..spec.schema.fields().len()).collect();
        let request = ReadRequest { split, projection, context: Arc::new(TaskContext::default()) };
        batches.extend(KafkaSourceProvider.read(spec, request)?.try_collect::<Vec<_>>().await?);
    }
    concat_batches(&spec.schema, &batches).map_err(|e| Error::internal(e.to_string()))
}

fn offset(value: serde_json::Value) -> Offset {
    Offset::new(value)
}

fn header<'a>(key: &'a str, value: Option<&'a str>) -> Header<'a, &'a str> {
    Header { key, value }
}

fn headers<'a>(all: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> OwnedHeaders {
    all.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(header(key, value)))
}
