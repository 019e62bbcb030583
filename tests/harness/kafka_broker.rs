//! A Kafka broker in this process: librdkafka's mock cluster, which clients reach over the wire.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

/// The broker, gone when it is dropped.
pub struct KafkaBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl KafkaBroker {
    /// A broker with `topics`, each with so many partitions.
    pub fn new(topics: &[(&str, i32)]) -> KafkaResult<Self> {
        let cluster = MockCluster::new(1)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1)?;
        }
        let servers = cluster.bootstrap_servers();
        let producer = ClientConfig::new().set("bootstrap.servers", servers).set("linger.ms", "0").create()?;
        Ok(Self { cluster, producer })
    }

    /// Sends messages with a key and a value.
    pub fn put(&self, topic: &str, partition: i32, messages: &[(&str, &str)]) -> KafkaResult<()> {
        for (key, value) in messages {
            let record = BaseRecord::<str, str>::to(topic).partition(partition).key(key).payload(value);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        // Flushing looks ten times a second only.
        let started = Instant::now();
        while self.producer.in_flight_count() > 0 {
            if started.elapsed() > Duration::from_secs(30) {
                return self.producer.flush(Duration::ZERO);
            }
            self.producer.poll(Duration::from_millis(1));
        }
        Ok(())
    }

    /// `host:port`.
    pub fn servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// The options of a table of it, to stand in `OPTIONS (…)`.
    pub fn options(&self) -> String {
        // The mock waits out an empty fetch.
        let servers = self.cluster.bootstrap_servers();
        format!("'kafka.bootstrap.servers' '{servers}', 'kafka.fetch.max.wait.ms' '10', startingOffsets 'earliest'")
    }
}
