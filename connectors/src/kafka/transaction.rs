//! Exactly once: a transaction for each batch, which says itself which batch it is.
//!
//! All writers of a query in one process send through one producer, whose transactional id is derived from the query's id:
//! ```text
//! open       init_transactions: what an earlier run left open is aborted, and that run can commit nothing more
//!            the group's committed offset says which batches are in
//! batch N    in already? its rows are dropped.  Otherwise: begin → the writers' messages → offset N + 1 of the group, sent
//!            into the same transaction → (is this run still the newest?) → commit
//! ```
//! The group is called after the query and has no members; it exists for this one number. A group's offset becomes visible
//! if and only if its transaction is committed, so that after a crash at any moment the number tells whether batch N is in.
//! It is kept with partition 0 of one of the topics that the batch wrote to, since Kafka wants a topic that is there.

use std::sync::Arc;
use std::time::Duration;

use millstream_engine::checkpoint::Fence;
use millstream_engine::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{RwLock, RwLockReadGuard};
use uuid::Uuid;

use super::client::{ClientEvents, ClientSettings, config_error};
use super::producer::KafkaProducer;

/// The transactions of one run of a query.
pub(super) struct Transactions {
    producer: Arc<KafkaProducer>,
    group: Arc<ConsumerGroupMetadata>,
    name: String,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest batch that is in.
    last: Option<u64>,
    open: Option<Open>,
}

/// A transaction that has begun.
#[derive(Debug)]
struct Open {
    batch_id: u64,
    attempt: Uuid,
}

/// Leave to send messages of a batch: while it is held, the batch's transaction stays open.
pub(super) struct Leave<'a>(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'a, State>);

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transactions({})", self.name)
    }
}

impl Transactions {
    /// Takes over the transactions of the query called `name` in Kafka: runs before this one are fenced off.
    ///
    /// # Errors
    /// `Unavailable` where no broker answers, `Invalid` where this client may not use transactions.
    pub(super) async fn open(producer: Arc<KafkaProducer>, settings: &ClientSettings, name: String) -> Result<Self> {
        let (settings, group) = (settings.clone(), name.clone());
        let (group, last) = producer
            .blocking(move |producer| {
                producer
                    .patiently("to begin with transactions", |client, patience| client.init_transactions(patience))?;
                let reader = group_reader(&settings, &group)?;
                let last = last_batch(producer, &reader)?;
                let metadata = reader.group_metadata();
                let metadata = metadata.ok_or_else(|| Error::internal("a Kafka consumer without a group"))?;
                Ok((metadata, last))
            })
            .await?;
        Ok(Self { producer, group: Arc::new(group), name, state: RwLock::new(State { last, open: None }) })
    }

    /// Leave to send messages of batch `batch_id`; the first writer to ask begins the transaction. `None` where the batch
    /// is in already.
    ///
    /// # Errors
    /// `Corrupt` where a later batch is in: the checkpoint has gone back.
    pub(super) async fn join(&self, batch_id: u64, attempt: Uuid) -> Result<Option<Leave<'_>>> {
        loop {
            {
                let state = self.state.read().await;
                if self.is_in(&state, batch_id)? {
                    return Ok(None);
                }
                if state.open.as_ref().is_some_and(|open| open.attempt == attempt && open.batch_id == batch_id) {
                    return Ok(Some(Leave(state)));
                }
            }
            let mut state = self.state.write().await;
            if state.open.as_ref().is_some_and(|open| open.attempt == attempt && open.batch_id == batch_id) {
                continue;
            }
            self.abort_open(&mut state).await?;
            let begun = self.producer.blocking(|producer| {
                producer.patiently("to begin a transaction", |client, _| client.begin_transaction())
            });
            begun.await?;
            state.open = Some(Open { batch_id, attempt });
        }
    }

    /// Commits the transaction of batch `batch_id`, which has written to `topic`, unless it is in already.
    ///
    /// # Errors
    /// `Fenced` where a newer run has taken over, `Unavailable` where brokers do not answer: the batch may then be in or not,
    /// and the next run finds out which.
    pub(super) async fn commit(&self, batch_id: u64, topic: Option<String>, fence: &Fence) -> Result<()> {
        let mut state = self.state.write().await;
        if self.is_in(&state, batch_id)? {
            return self.abort_open(&mut state).await;
        }
        let Some(topic) = topic else { return self.abort_open(&mut state).await };
        if state.open.as_ref().is_none_or(|open| open.batch_id != batch_id) {
            return Err(Error::internal(format!("batch {batch_id} has rows and no transaction")));
        }
        if let Err(fenced) = fence.check().await {
            self.abort_open(&mut state).await?;
            return Err(fenced);
        }
        let marker = marker(&topic, batch_id)?;
        let group = Arc::clone(&self.group);
        let committed = self.producer.blocking(move |producer| {
            producer.patiently("to note the batch in its transaction", |client, patience| {
                client.send_offsets_to_transaction(&marker, &group, patience)
            })?;
            producer.patiently("to commit a transaction", |client, patience| client.commit_transaction(patience))
        });
        if let Err(error) = committed.await {
            // Where the commit has begun, this does nothing.
            if let Err(also) = self.abort_open(&mut state).await {
                tracing::debug!(%also, "a transaction was left to be ended by the brokers or the next run");
            }
            return Err(error);
        }
        state.open = None;
        state.last = Some(batch_id);
        Ok(())
    }

    /// Aborts what is open: the run ends.
    pub(super) async fn stop(&self) {
        let mut state = self.state.write().await;
        if let Err(error) = self.abort_open(&mut state).await {
            tracing::debug!(%error, "a transaction was left to be ended by the brokers or the next run");
        }
    }

    fn is_in(&self, state: &State, batch_id: u64) -> Result<bool> {
        match state.last {
            Some(last) if last > batch_id => Err(Error::corrupt(format!(
                "kafka sink: consumer group '{}' says that batch {last} of this query has been written, and the checkpoint is at batch {batch_id}: it is older than the topic; go on with the newer checkpoint, or begin with an empty one",
                self.name
            ))),
            last => Ok(last == Some(batch_id)),
        }
    }

    async fn abort_open(&self, state: &mut State) -> Result<()> {
        if state.open.take().is_none() {
            return Ok(());
        }
        let aborted = self.producer.blocking(|producer| {
            producer.patiently("to abort a transaction", |client, patience| client.abort_transaction(patience))?;
            producer.forget_failures();
            Ok(())
        });
        aborted.await
    }
}

/// Offset `batch_id` + 1: the batch that comes next, as a group's offset is that of the message that comes next.
fn marker(topic: &str, batch_id: u64) -> Result<TopicPartitionList> {
    let mut offsets = TopicPartitionList::new();
    let next = i64::try_from(batch_id + 1).unwrap_or(i64::MAX);
    offsets
        .add_partition_offset(topic, 0, Offset::Offset(next))
        .map_err(|e| Error::internal(format!("the Kafka client takes no offset for {topic}: {e}")))?;
    for mut partition in offsets.elements_for_topic(topic) {
        partition.set_metadata(format!("batch {batch_id}"));
    }
    Ok(offsets)
}

/// A client that can read the offsets of `group`. It never joins it.
fn group_reader(settings: &ClientSettings, group: &str) -> Result<BaseConsumer<ClientEvents>> {
    let fixed = [("group.id", group), ("enable.auto.commit", "false"), ("isolation.level", "read_committed")];
    settings.config(&[], &fixed).create_with_context(ClientEvents::default()).map_err(config_error)
}

/// The newest batch that the group knows of. Transactions have ended before this is asked.
fn last_batch(producer: &KafkaProducer, reader: &BaseConsumer<ClientEvents>) -> Result<Option<u64>> {
    // The marker is with one of the topics that were written to: all are asked, as another run may have written elsewhere.
    let topics = producer.retry("to tell their topics", || {
        let metadata = reader.fetch_metadata(None, Duration::from_secs(1))?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_string()).collect::<Vec<_>>())
    })?;
    let offsets = producer.retry("to tell the offsets of a consumer group", || {
        let mut wanted = TopicPartitionList::new();
        for topic in topics.iter().filter(|topic| !topic.starts_with("__")) {
            wanted.add_partition(topic, 0);
        }
        match wanted.count() {
            0 => Ok(wanted),
            _ => reader.committed_offsets(wanted, Duration::from_secs(5)),
        }
    })?;
    let known = offsets.elements().into_iter().filter_map(|partition| match partition.offset() {
        Offset::Offset(next) => u64::try_from(next).ok()?.checked_sub(1),
        _ => None,
    });
    Ok(known.max())
}

impl KafkaProducer {
    /// Asks again while brokers do not answer.
    fn retry<T>(&self, what: &str, ask: impl Fn() -> Result<T, KafkaError>) -> Result<T> {
        let watch = millstream_engine::clock::Stopwatch::start();
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) => self.go_on_waiting(&watch, what, &error)?,
            }
        }
    }
}
