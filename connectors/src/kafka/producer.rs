//! The producer that all writers of a query share in one process.
//!
//! Messages are queued a whole batch a call and acknowledged in the background. librdkafka reports only what failed
//! (`delivery.report.only.error`), so that a message that arrives costs nothing here; [`KafkaProducer::flush`] waits for
//! all and then says what went wrong first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_engine::clock::Stopwatch;
use millstream_engine::{Error, ErrorKind, Result};
use rdkafka::ClientContext;
use rdkafka::client::Client as NativeClient;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{Producer, ProducerContext};
use tokio::task::spawn_blocking;

use super::client::{ClientEvents, ClientSettings, config_error};
use super::native_producer::{Client, Refused, TopicHandle, flush};
use super::records::{Messages, Rows};

/// How long one wait inside librdkafka may be, so that a stopped query is noticed.
const SLICE: Duration = Duration::from_millis(20);

/// So many messages are queued in one call.
const AT_ONCE: usize = 4096;

/// What librdkafka tells a producer: complaints, and messages that could not be delivered.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Complaints.
    pub(super) events: ClientEvents,
    failed: Mutex<Option<Failure>>,
}

/// The first message that failed, and how many did.
#[derive(Clone, Debug)]
struct Failure {
    code: RDKafkaErrorCode,
    topic: String,
    bytes: usize,
    count: u64,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        // Purged by an abort, which has a reason of its own.
        if matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
            return;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.as_mut() {
            Some(failure) => failure.count += 1,
            None => {
                let bytes = message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
                *failed = Some(Failure { code, topic: message.topic().to_string(), bytes, count: 1 });
            }
        }
    }
}

/// A producer, with handles of the topics it has written to.
pub(super) struct KafkaProducer {
    // Before the client, which must outlive them.
    topics: Mutex<HashMap<String, Arc<TopicHandle>>>,
    client: Arc<Client>,
    servers: String,
    /// How long brokers may take to be found.
    patience: Duration,
    stopped: AtomicBool,
    /// The topic of the option was there.
    looked: AtomicBool,
}

impl std::fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KafkaProducer({})", self.servers)
    }
}

impl KafkaProducer {
    /// A producer with the properties of `settings`; `defaults` are for what was not given, and `fixed` goes before it.
    ///
    /// # Errors
    /// `Invalid` or `Unsupported` for properties that do not go together. Brokers are not asked.
    pub(super) fn new(settings: &ClientSettings, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> Result<Self> {
        let config = settings.config(defaults, fixed);
        let client = Client::from_config_and_context(&config, Deliveries::default()).map_err(config_error)?;
        let max_block_ms = settings.java("max.block.ms").and_then(|text| text.trim().parse().ok());
        Ok(Self {
            topics: Mutex::default(),
            client: Arc::new(client),
            servers: settings.bootstrap_servers().to_string(),
            patience: max_block_ms.map_or(settings.api_timeout, Duration::from_millis),
            stopped: AtomicBool::new(false),
            looked: AtomicBool::new(false),
        })
    }

    /// Makes waits end: the query has been stopped.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Has `work` done where it may block.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let producer = Arc::clone(self);
        spawn_blocking(move || work(&producer))
            .await
            .map_err(|e| Error::internal(format!("a call of the Kafka client did not end: {e}")))?
    }

    /// Looks, once, whether brokers answer and know `topic`, waiting a little for a topic that is being made.
    ///
    /// # Errors
    /// `Unavailable` where no broker answers, `Invalid` where the topic is not there or this client may not see it.
    pub(super) async fn look_for(self: &Arc<Self>, topic: &str) -> Result<()> {
        if !self.looked.load(Ordering::Relaxed) {
            let topic = topic.to_string();
            self.blocking(move |producer| producer.look_for_blocking(&topic)).await?;
            self.looked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn look_for_blocking(&self, topic: &str) -> Result<()> {
        // A topic that brokers make when it is first asked for is there within a second.
        let patience_for_topic = self.patience.min(Duration::from_secs(5));
        let watch = Stopwatch::start();
        loop {
            let native: &NativeClient<Deliveries> = self.client.client();
            let answer = native.fetch_metadata(Some(topic), Duration::from_secs(1));
            self.serve();
            match answer {
                Ok(metadata) => {
                    let error = metadata.topics().iter().find(|found| found.name() == topic).map(|found| found.error());
                    match error {
                        Some(None) => return Ok(()),
                        Some(Some(code)) => {
                            let code = RDKafkaErrorCode::from(code);
                            let may_come = matches!(
                                code,
                                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::LeaderNotAvailable
                            );
                            if !may_come || watch.elapsed() >= patience_for_topic {
                                return Err(self.error("write to", topic, code));
                            }
                        }
                        None => return Err(self.error("write to", topic, RDKafkaErrorCode::UnknownTopicOrPartition)),
                    }
                    std::thread::sleep(SLICE);
                }
                Err(error) => self.go_on_waiting(&watch, "to tell about its topics", &error)?,
            }
        }
    }

    /// After an attempt that failed: an error where further ones are of no use.
    pub(super) fn go_on_waiting(&self, watch: &Stopwatch, what: &str, error: &KafkaError) -> Result<()> {
        if let Some(refusal) = self.client.context().events.refusal() {
            return Err(refusal);
        }
        if let Some(code) = error.rdkafka_error_code().filter(|code| kind_of(*code) != ErrorKind::Unavailable) {
            return Err(self.error_with(what, code, &code.to_string()));
        }
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the query was stopped while it waited for a Kafka broker"));
        }
        if watch.elapsed() >= self.patience {
            return Err(Error::unavailable(format!(
                "no Kafka broker of {} was there {what} within {} ms ({}){}",
                self.servers,
                self.patience.as_millis(),
                error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
                self.client.context().events.complaint()
            )));
        }
        Ok(())
    }

    /// Queues the messages of a batch from `done` on, as many as there is room for: `done` rows of `rows` are then queued.
    ///
    /// # Errors
    /// What librdkafka says about a message without asking a broker: it is too large, its partition is not there.
    pub(super) fn send(&self, messages: &Messages<'_>, topic: &str, rows: &Rows, done: &mut usize) -> Result<()> {
        let handle = self.topic(topic)?;
        while *done < rows.len() {
            let refused = if messages.are_plain() {
                let until = rows.len().min(*done + AT_ONCE);
                let (queued, refused) = handle.send_many((*done..until).map(|at| messages.record(rows.get(at))));
                *done += queued;
                refused
            } else {
                let row = rows.get(*done);
                let (partition, headers) = (messages.partition(row)?, messages.headers(row)?);
                let refused = handle.send_one(messages.record(row), partition, headers).err();
                *done += usize::from(refused.is_none());
                refused
            };
            match refused {
                None => {}
                Some(Refused::Full) => return Ok(()),
                Some(Refused::Because(code)) => {
                    if code == RDKafkaErrorCode::State {
                        self.wait_for_failure()?;
                    }
                    let row = rows.get(*done);
                    if matches!(code, RDKafkaErrorCode::UnknownPartition)
                        && let Some(partition) = messages.partition(row)?
                    {
                        return Err(Error::invalid(format!(
                            "kafka sink: topic '{topic}' has no partition {partition}, which column 'partition' names"
                        )));
                    }
                    let record = messages.record(row);
                    let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                    return Err(self.delivery_error(code, topic, bytes, 1));
                }
            }
        }
        Ok(())
    }

    fn topic(&self, name: &str) -> Result<Arc<TopicHandle>> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = topics.get(name) {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(TopicHandle::new(&self.client, name)?);
        topics.insert(name.to_string(), Arc::clone(&handle));
        Ok(handle)
    }

    /// Waits until some messages have been acknowledged, or for a moment.
    pub(super) async fn wait_for_room(self: &Arc<Self>) -> Result<()> {
        self.blocking(|producer| {
            flush(&producer.client, SLICE);
            producer.failure()
        })
        .await
    }

    /// Waits until every message is acknowledged.
    ///
    /// # Errors
    /// What happened to the first that was not.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<()> {
        let waiter = Waiter::default();
        let given_up = Arc::clone(&waiter.given_up);
        self.blocking(move |producer| {
            // No deadline here: messages have their own, message.timeout.ms.
            while !flush(&producer.client, SLICE) {
                producer.failure()?;
                if producer.stopped.load(Ordering::SeqCst) || given_up.load(Ordering::SeqCst) {
                    return Err(Error::unavailable("the query was stopped before every message was acknowledged"));
                }
            }
            producer.failure()
        })
        .await
    }

    /// What happened to the first message that was not delivered, if there is any.
    fn failure(&self) -> Result<()> {
        let failed = self.client.context().failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match failed {
            None => Ok(()),
            Some(Failure { code, topic, bytes, count }) => Err(self.delivery_error(code, &topic, bytes, count)),
        }
    }

    /// A transaction that takes no more messages has lost one, of which we are about to be told.
    fn wait_for_failure(&self) -> Result<()> {
        let watch = Stopwatch::start();
        while watch.elapsed() < Duration::from_secs(1) {
            self.client.poll(SLICE);
            self.failure()?;
        }
        Ok(())
    }

    /// Forgets what went wrong: the messages belonged to a transaction that has been aborted.
    pub(super) fn forget_failures(&self) {
        *self.client.context().failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Has complaints and failed messages told.
    fn serve(&self) {
        // One event a call.
        for _ in 0..8 {
            self.client.poll(Duration::ZERO);
        }
    }

    /// Calls `attempt` until it ends otherwise than by running out of time, of which it gets a little each time.
    ///
    /// # Errors
    /// `Unavailable` when no broker has answered for as long as may be, and what `attempt` fails with.
    pub(super) fn patiently(
        &self,
        what: &str,
        attempt: impl Fn(&Client, Duration) -> Result<(), KafkaError>,
    ) -> Result<()> {
        let watch = Stopwatch::start();
        loop {
            let result = attempt(&self.client, Duration::from_millis(200));
            self.serve();
            let error = match result {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match &error {
                KafkaError::Transaction(of)
                    if of.code() == RDKafkaErrorCode::OperationTimedOut || of.is_retriable() =>
                {
                    self.go_on_waiting(&watch, what, &error)?;
                }
                KafkaError::Flush(_) => self.go_on_waiting(&watch, what, &error)?,
                KafkaError::Transaction(of) => {
                    self.failure()?;
                    return Err(self.error_with(what, of.code(), &of.string()));
                }
                _ => return Err(Error::unavailable(format!("the Kafka client failed {what}: {error}"))),
            }
        }
    }

    /// An error of a transaction.
    fn error_with(&self, what: &str, code: RDKafkaErrorCode, text: &str) -> Error {
        let kind = kind_of(code);
        let hint = match code {
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
                "; the user of this client must be allowed to write with transactional ids that start with option 'transactionalIdPrefix'"
            }
            RDKafkaErrorCode::GroupAuthorizationFailed => {
                "; the user of this client must be allowed to read consumer groups that start with option 'transactionalIdPrefix'"
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                "; with option 'exactlyOnce' the user of this client must be allowed to read the topic too"
            }
            RDKafkaErrorCode::InvalidTransactionTimeout => {
                "; set option 'kafka.transaction.timeout.ms' to no more than the brokers' transaction.max.timeout.ms"
            }
            _ if kind == ErrorKind::Fenced => {
                "; another run of this query has taken over, or a transaction took longer than 'kafka.transaction.timeout.ms'"
            }
            _ => "",
        };
        Error::new(kind, format!("the Kafka client failed {what}: {text}{hint}"))
    }

    fn error(&self, action: &str, topic: &str, code: RDKafkaErrorCode) -> Error {
        let kind = kind_of(code);
        let text = match code {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                format!("topic '{topic}' is not there, on {}: create it, or correct its name", self.servers)
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                format!("this client is not authorised to {action} topic '{topic}': have its user allowed to")
            }
            _ => format!("it is not possible to {action} topic '{topic}': {code}"),
        };
        Error::new(kind, format!("kafka sink: {text}"))
    }

    fn delivery_error(&self, code: RDKafkaErrorCode, topic: &str, bytes: usize, count: u64) -> Error {
        let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
        match code {
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize => Error::invalid(format!(
                "kafka sink: a message of {bytes} bytes is too large for topic '{topic}'{more}: raise the topic's max.message.bytes and option 'kafka.max.request.size', or write less"
            )),
            RDKafkaErrorCode::MessageTimedOut => Error::unavailable(format!(
                "kafka sink: no broker acknowledged a message for topic '{topic}' within 'kafka.delivery.timeout.ms'{more}{}",
                self.client.context().events.complaint()
            )),
            RDKafkaErrorCode::InvalidRecord => Error::invalid(format!(
                "kafka sink: topic '{topic}' does not take a message{more}: is it compacted, and the message without a key?"
            )),
            RDKafkaErrorCode::Fatal => {
                let (code, text) = self.client.client().fatal_error().unwrap_or((code, "no reason given".to_string()));
                Error::new(kind_of(code), format!("kafka sink: the producer cannot go on, topic '{topic}': {text}"))
            }
            _ => {
                let error = self.error("write to", topic, code);
                Error::new(error.kind(), format!("{}{more}", error.message()))
            }
        }
    }
}

/// Tells a wait that nobody waits for its end any more.
#[derive(Default)]
struct Waiter {
    given_up: Arc<AtomicBool>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::SeqCst);
    }
}

/// Who must act.
fn kind_of(code: RDKafkaErrorCode) -> ErrorKind {
    match code {
        RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch => {
            ErrorKind::Fenced
        }
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed
        | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
        | RDKafkaErrorCode::InvalidTransactionTimeout
        | RDKafkaErrorCode::InvalidRequiredAcks => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}
