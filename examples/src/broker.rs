//! The broker that the Kafka examples talk to: the one named with `--bootstrap-servers`, or one in this process.

use std::sync::mpsc;
use std::time::Duration;

use millstream::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// A broker. One in this process is gone when this is dropped.
pub(crate) struct Broker {
    /// What to set `kafka.bootstrap.servers` to.
    pub(crate) servers: String,
    _embedded: Option<mpsc::Sender<()>>,
}

impl Broker {
    /// The broker of `--bootstrap-servers HOST:PORT`; without it, librdkafka's mock cluster, spoken to over the wire like
    /// any other. It has `topics`, each with so many partitions.
    pub(crate) async fn of_arguments(topics: &[(&str, i32)]) -> Result<Self> {
        let arguments: Vec<String> = std::env::args().collect();
        let named = arguments.iter().position(|argument| argument == "--bootstrap-servers");
        Self::connect(named.and_then(|at| arguments.get(at + 1)).cloned(), topics).await
    }

    /// The broker at `servers`; without them, one in this process.
    pub(crate) async fn connect(servers: Option<String>, topics: &[(&str, i32)]) -> Result<Self> {
        let broker = match servers {
            Some(servers) => Self { servers, _embedded: None },
            None => return embedded(topics.iter().map(|(topic, n)| (topic.to_string(), *n)).collect()),
        };
        let admin: AdminClient<DefaultClientContext> = broker.client().create().map_err(kafka_error)?;
        let known = admin.inner().fetch_metadata(None, Duration::from_secs(30));
        let known =
            known.map_err(|e| Error::unavailable(format!("no Kafka broker answers at {}: {e}", broker.servers)))?;
        let is_new = |topic: &str| !known.topics().iter().any(|known| known.name() == topic);
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .filter(|(topic, _)| is_new(topic))
            .map(|(topic, n)| NewTopic::new(topic, *n, TopicReplication::Fixed(1)))
            .collect();
        // One that somebody else has just made is an answer too.
        if !new.is_empty() {
            admin.create_topics(&new, &AdminOptions::new()).await.map_err(kafka_error)?;
        }
        Ok(broker)
    }

    /// Sends a line a message.
    pub(crate) fn send_lines(&self, topic: &str, lines: &str) -> Result<()> {
        let producer: BaseProducer = self.client().create().map_err(kafka_error)?;
        for line in lines.lines() {
            let record = BaseRecord::<str, str>::to(topic).payload(line);
            producer.send(record).map_err(|(error, _)| kafka_error(error))?;
        }
        producer.flush(Duration::from_secs(10)).map_err(kafka_error)
    }

    /// A client's configuration.
    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig::new().set("bootstrap.servers", &self.servers).clone()
    }
}

/// Starts the cluster in a thread of its own, which keeps it until it is no longer needed.
fn embedded(topics: Vec<(String, i32)>) -> Result<Broker> {
    let (started, servers) = mpsc::channel();
    let (needed, no_longer) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let cluster = MockCluster::new(1).and_then(|cluster| {
            for (topic, partitions) in &topics {
                cluster.create_topic(topic, *partitions, 1)?;
            }
            Ok(cluster)
        });
        let _ = started.send(cluster.as_ref().map(MockCluster::bootstrap_servers).map_err(ToString::to_string));
        // Returns when the sender is gone.
        let _ = no_longer.recv();
        drop(cluster);
    });
    let servers = servers
        .recv()
        .map_err(|e| Error::internal(format!("the thread of the broker ended: {e}")))?
        .map_err(|e| Error::unavailable(format!("no broker in this process: {e}")))?;
    eprintln!("No --bootstrap-servers: started librdkafka's mock cluster in this process, at {servers}");
    Ok(Broker { servers, _embedded: Some(needed) })
}

fn kafka_error(error: rdkafka::error::KafkaError) -> Error {
    Error::unavailable(format!("the Kafka broker: {error}"))
}
