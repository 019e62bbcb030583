//! librdkafka's fast calls, made safe: partitions fetched in the background, each into a queue of its own, from which
//! messages are taken many at a time.
//!
//! With `native_producer.rs` the one place of the connector with unsafe code. What makes it sound:
//! * A [`PartitionFetch`] holds its client, so that no handle of a topic or queue outlives the client it came from.
//! * A message is ours from the queue until it is dropped. It may outlive its partition's fetch, but not the client, which
//!   [`Messages`] therefore holds.
//! * The callback of a queue gets a pointer to an [`Arrivals`] that is kept alive until the callback is taken away, which
//!   librdkafka does under the lock that it calls back under.
#![expect(unsafe_code, reason = "rdkafka wraps neither partition queues of simple consumers nor batch consumption")]

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::{Error, Result};
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafka, RDKafkaHeaders, RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr, RDKafkaTopic};
use tokio::sync::Notify;

use super::client::ClientEvents;
use super::offsets::TopicPartition;

/// A client that reads.
pub(super) type Client = BaseConsumer<ClientEvents>;

/// Told when messages arrive.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// For whoever reads them.
    pub(super) reader: Notify,
    /// For a query that has nothing to do.
    pub(super) query: Arc<Notify>,
}

/// One partition that is being fetched, from some offset onwards, whether or not anybody takes the messages: up to
/// `queued.max.messages.kbytes` wait.
pub(super) struct PartitionFetch {
    topic: NonNull<RDKafkaTopic>,
    partition: i32,
    queue: NonNull<RDKafkaQueue>,
    // Kept for the callback and for the pointers above; see the file's header.
    _arrivals: Arc<Arrivals>,
    client: Arc<Client>,
}

// SAFETY: librdkafka's handles of topics and queues may be used from any thread.
unsafe impl Send for PartitionFetch {}
// SAFETY: and from several at once.
unsafe impl Sync for PartitionFetch {}

impl PartitionFetch {
    /// Starts to fetch `at` from `offset` on; `arrivals` is told when its queue is no longer empty.
    ///
    /// # Errors
    /// `Internal` where librdkafka does not take the request: two fetches of one partition in one client, say.
    pub(super) fn start(
        client: &Arc<Client>,
        at: &TopicPartition,
        offset: i64,
        arrivals: &Arc<Arrivals>,
    ) -> Result<Self> {
        let refused =
            |why: &str| Error::internal(format!("librdkafka does not fetch {at} from offset {offset}: {why}"));
        let name = CString::new(at.topic.as_str()).map_err(|_| refused("a zero byte in its name"))?;
        let native = client.client().native_ptr();
        // SAFETY: the client is alive, the name ends with a zero byte and is copied; no configuration is handed over.
        let topic = unsafe { sys::rd_kafka_topic_new(native, name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic).ok_or_else(|| refused("no handle of the topic"))?;
        // SAFETY: as above.
        let queue = unsafe { sys::rd_kafka_queue_get_partition(native, name.as_ptr(), at.partition) };
        let Some(queue) = NonNull::new(queue) else {
            // SAFETY: the handle is ours and is not used again.
            unsafe { sys::rd_kafka_topic_destroy(topic.as_ptr()) };
            return Err(refused("no queue"));
        };
        // From here on, dropping it gives both handles back.
        let fetch =
            Self { topic, partition: at.partition, queue, _arrivals: Arc::clone(arrivals), client: Arc::clone(client) };
        // SAFETY: `arrivals` lives in `fetch`, which takes the callback away before it goes.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(arrived), Arc::as_ptr(arrivals).cast_mut().cast());
        }
        // SAFETY: the handle of the topic is alive.
        if unsafe { sys::rd_kafka_consume_start(topic.as_ptr(), at.partition, offset) } != 0 {
            // SAFETY: no arguments.
            let code = RDKafkaErrorCode::from(unsafe { sys::rd_kafka_last_error() });
            return Err(refused(&code.to_string()));
        }
        Ok(fetch)
    }

    /// Goes on from `offset`. What was fetched from elsewhere is dropped.
    ///
    /// # Errors
    /// `Internal` where librdkafka does not take the request.
    pub(super) fn seek(&self, offset: i64) -> Result<()> {
        // SAFETY: the handle of the topic is alive. With no time to wait, the request is only queued.
        let code = unsafe { sys::rd_kafka_seek(self.topic.as_ptr(), self.partition, offset, 0) };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => {
                let code = RDKafkaErrorCode::from(code);
                Err(Error::internal(format!("librdkafka does not go on from offset {offset}: {code}")))
            }
        }
    }

    /// Appends what has arrived to `messages`, some at a time, without waiting; how many.
    pub(super) fn take(&self, messages: &mut Messages) -> usize {
        const AT_ONCE: usize = 1024;
        let mut taken = [ptr::null_mut::<RDKafkaMessage>(); AT_ONCE];
        // SAFETY: the queue is alive, and the array has room for so many pointers.
        let got = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, taken.as_mut_ptr(), AT_ONCE) };
        let got = usize::try_from(got).unwrap_or(0);
        messages.waiting.extend(taken[..got].iter().filter_map(|message| NonNull::new(*message)).map(Message));
        got
    }

    /// The end of the partition as the last answer of a broker told it; `None` before the first.
    pub(super) fn known_end(&self, at: &TopicPartition) -> Option<i64> {
        let name = CString::new(at.topic.as_str()).ok()?;
        let (mut low, mut high) = (-1, -1);
        let native = self.client.client().native_ptr();
        // SAFETY: the client is alive, the name ends with a zero byte, and both numbers are ours.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(native, name.as_ptr(), at.partition, &raw mut low, &raw mut high)
        };
        (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl Drop for PartitionFetch {
    fn drop(&mut self) {
        // SAFETY: both handles are ours and are not used again; the callback is taken away first.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_consume_stop(self.topic.as_ptr(), self.partition);
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
            sys::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}

impl std::fmt::Debug for PartitionFetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionFetch").field("partition", &self.partition).finish_non_exhaustive()
    }
}

/// Called by librdkafka's threads, with the queue locked: tells those who wait, and nothing else.
unsafe extern "C" fn arrived(_client: *mut RDKafka, arrivals: *mut c_void) {
    // SAFETY: the pointer was given with the callback and is alive as long as it is called; see `PartitionFetch::start`.
    let arrivals = unsafe { &*arrivals.cast_const().cast::<Arrivals>() };
    arrivals.reader.notify_one();
    arrivals.query.notify_one();
}

/// Messages that have been taken and not been used yet, oldest first.
pub(super) struct Messages {
    // Dropped first: messages are given back while their client lives.
    waiting: VecDeque<Message>,
    _client: Arc<Client>,
}

impl Messages {
    /// None yet, of the partitions that `client` fetches.
    pub(super) fn of(client: &Arc<Client>) -> Self {
        Self { waiting: VecDeque::new(), _client: Arc::clone(client) }
    }

    /// The one behind `index` others.
    pub(super) fn get(&self, index: usize) -> Option<&Message> {
        self.waiting.get(index)
    }

    /// Gives the one behind `index` others back.
    pub(super) fn remove(&mut self, index: usize) {
        self.waiting.remove(index);
    }

    /// All, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Message> + Clone {
        self.waiting.iter()
    }

    /// All, oldest first, to have their headers read.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Message> {
        self.waiting.iter_mut()
    }

    /// Gives the oldest `count` back.
    pub(super) fn forget(&mut self, count: usize) {
        self.waiting.drain(..count);
    }

    /// Gives all back.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} messages", self.waiting.len())
    }
}

/// A message of a partition, or what librdkafka has to say about it in its place.
pub(super) struct Message(NonNull<RDKafkaMessage>);

// SAFETY: a message is owned by whoever has it, and may be read and given back from any thread.
unsafe impl Send for Message {}
// SAFETY: reading changes nothing; headers are parsed once and kept, and only through `&mut self`.
unsafe impl Sync for Message {}

impl Message {
    fn native(&self) -> &RDKafkaMessage {
        // SAFETY: ours until it is dropped.
        unsafe { self.0.as_ref() }
    }

    /// Why there is no message here, and librdkafka's words for it.
    pub(super) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let native = self.native();
        if native.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let text = self.bytes(native.payload, native.len).map(|text| String::from_utf8_lossy(text).into_owned());
        Some((native.err.into(), text.unwrap_or_default()))
    }

    /// Its offset; of the end of a partition, the offset of that end.
    pub(super) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// Its key; `None` is null.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.bytes(self.native().key, self.native().key_len)
    }

    /// Its value; `None` is null.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.bytes(self.native().payload, self.native().len)
    }

    /// The bytes of key and value together.
    pub(super) fn size_bytes(&self) -> usize {
        self.native().key_len + self.native().len
    }

    fn bytes(&self, start: *mut c_void, length: usize) -> Option<&[u8]> {
        // SAFETY: librdkafka gives a pointer and length into memory that the message keeps, or null.
        (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast_const().cast(), length) })
    }

    /// Milliseconds since the epoch, −1 where there is none, and Spark's number for what they tell: −1 nothing,
    /// 0 when it was made, 1 when it was appended.
    pub(super) fn timestamp(&self) -> (i64, i32) {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and `kind` is ours.
        let at_ms = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) };
        let kind = match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => 0,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => 1,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => -1,
        };
        (at_ms, kind)
    }

    /// Calls `each` with the name and value of each header, in order. Whether there are any.
    pub(super) fn headers(&mut self, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> bool {
        let mut headers: *mut RDKafkaHeaders = ptr::null_mut();
        // SAFETY: the message is alive and nobody else looks at it; the headers stay its own.
        let code = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers) };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return false;
        }
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        for index in 0.. {
            // SAFETY: the headers are alive as long as the message, and the places for the answer are ours.
            let code =
                unsafe { sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut length) };
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return index > 0;
            }
            // SAFETY: the name ends with a zero byte; the value is as long as it says, or null.
            let name = unsafe { CStr::from_ptr(name) };
            each(name.to_bytes(), self.bytes(value.cast_mut(), length));
        }
        false
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// Has the client tell its errors to its [`ClientEvents`].
pub(super) fn serve(client: &Client) {
    // One event a call. Nothing but events is in the queue that this looks at: partitions have queues of their own.
    for _ in 0..8 {
        client.poll(Duration::ZERO);
    }
}
