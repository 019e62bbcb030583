//! What the brokers know: which partitions there are, where they begin and end, and which offset a time has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_engine::{Error, Result};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};

use super::client::{ClientEvents, config_error};
use super::loss;
use super::native::{Client, serve};
use super::offsets::{EARLIEST, LATEST, Positions, TopicPartition};
use super::options::KafkaSourceOptions;
use super::subscription::Subscription;

/// A question waits so long in one go; in between, a refusal by the brokers is noticed.
const SLICE: Duration = Duration::from_millis(500);

/// Asks the brokers, from a thread that may wait.
#[derive(Clone)]
pub(super) struct Lookup {
    client: Arc<Closing>,
    options: Arc<KafkaSourceOptions>,
}

/// A client that is closed elsewhere when it is no longer needed: it takes its time to end its threads.
struct Closing(Arc<Client>);

impl Drop for Closing {
    fn drop(&mut self) {
        let client = Arc::clone(&self.0);
        std::thread::spawn(move || drop(client));
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lookup({})", self.options.client.bootstrap_servers())
    }
}

/// The partitions to read, and topics that were named and are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) partitions: BTreeSet<TopicPartition>,
    pub(super) missing: Vec<String>,
}

impl Lookup {
    /// A client to ask with. No broker is asked yet.
    pub(super) fn new(options: Arc<KafkaSourceOptions>) -> Result<Self> {
        let mut config = options.client.reading_config(&[]);
        if let Some(group) = &options.commit_to_group {
            config.set("group.id", group);
        }
        let client = Arc::new(config.create_with_context(ClientEvents::default()).map_err(config_error)?);
        Ok(Self { client: Arc::new(Closing(client)), options })
    }

    /// Which partitions the subscription has now.
    pub(super) async fn partitions(&self) -> Result<Found> {
        match &self.options.subscription {
            Subscription::Topics(topics) => self.of_topics(topics.clone()).await,
            Subscription::Assign(assigned) => {
                let topics: BTreeSet<String> = assigned.iter().map(|at| at.topic.clone()).collect();
                let mut found = self.of_topics(topics.into_iter().collect()).await?;
                found.partitions.retain(|at| assigned.contains(at));
                Ok(found)
            }
            Subscription::Pattern(pattern) => {
                let all = self.ask("topics", |client, timeout| known(client, None, timeout)).await?;
                let mut partitions = BTreeSet::new();
                for (topic, there) in all {
                    if pattern.matches(&topic)? {
                        partitions.extend(there?.into_iter().map(|p| TopicPartition::new(topic.clone(), p)));
                    }
                }
                Ok(Found { partitions, missing: Vec::new() })
            }
        }
    }

    async fn of_topics(&self, topics: Vec<String>) -> Result<Found> {
        let mut found = Found::default();
        for topic in topics {
            let asked = topic.clone();
            let known = self.ask(&topic, move |client, timeout| known(client, Some(&asked), timeout)).await?;
            let there =
                known.into_iter().find(|(name, _)| *name == topic).map_or(Ok(Vec::new()), |(_, there)| there)?;
            match there.is_empty() {
                true => found.missing.push(topic),
                false => found.partitions.extend(there.into_iter().map(|p| TopicPartition::new(topic.clone(), p))),
            }
        }
        Ok(found)
    }

    /// Where `partitions` begin. Those that are not there are left out.
    pub(super) async fn beginnings(&self, partitions: impl IntoIterator<Item = &TopicPartition>) -> Result<Positions> {
        self.at(partitions.into_iter().map(|at| (at.clone(), EARLIEST)).collect()).await
    }

    /// Where `partitions` end; for a reader of committed messages, where the first open transaction begins. Those that are
    /// not there are left out.
    pub(super) async fn ends(&self, partitions: impl IntoIterator<Item = &TopicPartition>) -> Result<Positions> {
        self.at(partitions.into_iter().map(|at| (at.clone(), LATEST)).collect()).await
    }

    /// For each partition the first offset whose message is as late as its time in milliseconds; −1 where none is.
    pub(super) async fn at_times(&self, times: Positions) -> Result<Positions> {
        self.at(times).await
    }

    async fn at(&self, asked: Positions) -> Result<Positions> {
        if asked.is_empty() {
            return Ok(asked);
        }
        let answers = self.ask("offsets", move |client, timeout| offsets(client, &asked, timeout)).await?;
        let mut positions = Positions::new();
        for (at, answer) in answers {
            match answer {
                Ok(offset) => {
                    positions.insert(at, offset);
                }
                Err(code) if loss::is_about_gone(code) => {}
                Err(code) => return Err(loss::refused(&at, code, "its offsets are not to be had")),
            }
        }
        Ok(positions)
    }

    /// Tells the group how far the query has come.
    pub(super) async fn commit(&self, group: &str, positions: Positions) -> Result<()> {
        let client = Arc::clone(&self.client.0);
        let committed = tokio::task::spawn_blocking(move || {
            let list = list(&positions, At::Offset)?;
            client.commit(&list, CommitMode::Sync)
        });
        match committed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::unavailable(format!(
                "kafka source: offsets were not committed to the consumer group '{group}': {error}"
            ))),
            Err(error) => Err(Error::internal(format!("a commit of offsets was cancelled: {error}"))),
        }
    }

    /// Asks until there is an answer, an error that lasts, or no more time.
    async fn ask<T: Send + 'static>(
        &self,
        what: &str,
        question: impl Fn(&Client, Duration) -> KafkaResult<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let (client, options) = (Arc::clone(&self.client.0), Arc::clone(&self.options));
        let what = what.to_string();
        let asked = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let mut tries = 0;
            loop {
                let left = options.client.api_timeout.saturating_sub(started.elapsed());
                let error = match question(&client, left.min(SLICE).max(Duration::from_millis(1))) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                serve(&client);
                if let Some(refusal) = client.context().refusal() {
                    return Err(refusal);
                }
                match error.rdkafka_error_code() {
                    // Nobody has answered: the time limit counts.
                    Some(code) if is_silence(code) && !left.is_zero() => {}
                    Some(code) if is_silence(code) => return Err(unreachable(&options, &what, &client)),
                    _ if tries < options.retries => tries += 1,
                    _ => return Err(failed(&what, &error)),
                }
                std::thread::sleep(options.retry_interval);
            }
        });
        asked.await.map_err(|e| Error::internal(format!("a question to a broker was cancelled: {e}")))?
    }
}

/// Topics and their partitions: none where a topic is not there.
type Known = Vec<(String, Result<Vec<i32>>)>;

fn known(client: &Client, topic: Option<&str>, timeout: Duration) -> KafkaResult<Known> {
    let metadata = client.fetch_metadata(topic, timeout)?;
    let mut topics = Vec::with_capacity(metadata.topics().len());
    for topic in metadata.topics() {
        let there = match topic.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(Error::invalid(format!(
                "kafka source: this user is not allowed to see topic '{}': it needs the right to describe and to read it",
                topic.name()
            ))),
            Some(RDKafkaErrorCode::InvalidTopic) => {
                Err(Error::invalid(format!("kafka source: '{}' cannot be the name of a topic", topic.name())))
            }
            Some(code) if loss::is_about_gone(code) => Ok(Vec::new()),
            Some(code) => return Err(KafkaError::MetadataFetch(code)),
            None => Ok(topic.partitions().iter().map(|partition| partition.id()).collect()),
        };
        topics.push((topic.name().to_string(), there));
    }
    Ok(topics)
}

fn list(positions: &Positions, element: impl Fn(i64) -> At) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (at, position) in positions {
        list.add_partition_offset(&at.topic, at.partition, element(*position))?;
    }
    Ok(list)
}

/// The offsets that stand for what is `asked`: −1, −2 or a time.
fn offsets(
    client: &Client,
    asked: &Positions,
    timeout: Duration,
) -> KafkaResult<BTreeMap<TopicPartition, Result<i64, RDKafkaErrorCode>>> {
    let element = |asked| match asked {
        EARLIEST => At::Beginning,
        LATEST => At::End,
        time => At::Offset(time),
    };
    let answers = client.offsets_for_times(list(asked, element)?, timeout)?;
    let mut offsets = BTreeMap::new();
    for answer in answers.elements() {
        let at = TopicPartition::new(answer.topic(), answer.partition());
        let offset = match answer.error() {
            Err(KafkaError::OffsetFetch(code)) if is_passing(code) => return Err(KafkaError::MetadataFetch(code)),
            Err(error) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
            Ok(()) => Ok(answer.offset().to_raw().unwrap_or(LATEST)),
        };
        offsets.insert(at, offset);
    }
    Ok(offsets)
}

fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::OffsetNotAvailable
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::ReplicaNotAvailable
    )
}

fn is_silence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::Resolve
    ) || is_passing(code)
}

fn unreachable(options: &KafkaSourceOptions, what: &str, client: &Client) -> Error {
    Error::unavailable(format!(
        "kafka source: no answer about {what} from the brokers at '{}' within {} ms (option 'kafka.default.api.timeout.ms'): are they up, and is 'kafka.bootstrap.servers' right?{}",
        options.client.bootstrap_servers(),
        options.client.api_timeout.as_millis(),
        client.context().complaint()
    ))
}

fn failed(what: &str, error: &KafkaError) -> Error {
    Error::unavailable(format!("kafka source: the brokers do not tell about {what}: {error}"))
}
