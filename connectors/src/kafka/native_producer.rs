//! librdkafka's fast calls for producers, made safe: many messages in one call, and a flush that ends when the last
//! message is acknowledged rather than at the next look at the clock.
//!
//! What makes it sound: a [`TopicHandle`] holds its producer, so that it never outlives the client it came from, and
//! librdkafka copies every key, value and header before the calls return.
#![expect(
    unsafe_code,
    reason = "rdkafka sends one message a call, by the topic's name, and its flush waits in steps of 100 ms"
)]

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::{Error, Result};
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, PARTITION_UA, Producer};
use rdkafka::types::{RDKafkaHeaders, RDKafkaMessage, RDKafkaRespErr, RDKafkaTopic};

use super::producer::Deliveries;

/// A client that writes.
pub(super) type Client = BaseProducer<Deliveries>;

/// A topic that messages are sent to.
pub(super) struct TopicHandle {
    topic: NonNull<RDKafkaTopic>,
    client: Arc<Client>,
}

// SAFETY: librdkafka's handles of topics may be used from any thread.
unsafe impl Send for TopicHandle {}
// SAFETY: and from several at once.
unsafe impl Sync for TopicHandle {}

/// A message: its key and value (`None` is null).
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

/// Why a message could not be queued.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is no room; some will be when messages have been acknowledged.
    Full,
    /// For this reason.
    Because(RDKafkaErrorCode),
}

impl From<RDKafkaRespErr> for Refused {
    fn from(code: RDKafkaRespErr) -> Self {
        match RDKafkaErrorCode::from(code) {
            RDKafkaErrorCode::QueueFull => Self::Full,
            code => Self::Because(code),
        }
    }
}

impl TopicHandle {
    /// The topic called `name`.
    pub(super) fn new(client: &Arc<Client>, name: &str) -> Result<Self> {
        let refused = || Error::invalid(format!("'{name}' cannot be the name of a topic"));
        let c_name = CString::new(name).map_err(|_| refused())?;
        // SAFETY: the client is alive, the name ends with a zero byte and is copied; no configuration is handed over.
        let topic = unsafe { sys::rd_kafka_topic_new(client.client().native_ptr(), c_name.as_ptr(), ptr::null_mut()) };
        Ok(Self { topic: NonNull::new(topic).ok_or_else(refused)?, client: Arc::clone(client) })
    }

    /// Queues messages in order; the partition is that of the key. How many were queued, and why no more.
    pub(super) fn send_many<'a>(&self, records: impl Iterator<Item = Record<'a>>) -> (usize, Option<Refused>) {
        let mut messages: Vec<RDKafkaMessage> = records.map(native_message).collect();
        if messages.is_empty() {
            return (0, None);
        }
        let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
        // SAFETY: the topic is alive, the array has `count` messages, and what they point to is copied in the call.
        let queued = unsafe {
            let flags = sys::RD_KAFKA_MSG_F_COPY;
            sys::rd_kafka_produce_batch(self.topic.as_ptr(), PARTITION_UA, flags, messages.as_mut_ptr(), count)
        };
        if queued == count {
            return (messages.len(), None);
        }
        let first = messages.iter().position(|message| message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        match first {
            Some(first) => (first, Some(messages[first].err.into())),
            None => (messages.len(), None),
        }
    }

    /// Queues one message, for `partition` where it is given, with `headers` where there are any.
    pub(super) fn send_one(
        &self,
        record: Record<'_>,
        partition: Option<i32>,
        headers: Option<Headers>,
    ) -> Result<(), Refused> {
        let message = native_message(record);
        let native_headers = headers.as_ref().map_or(ptr::null_mut(), |headers| headers.0.as_ptr());
        // SAFETY: client and topic are alive; arguments are of the types that librdkafka documents for their tags, the
        // list ends with END, and what key and value point to is copied. Headers are taken over only on success.
        let code = unsafe {
            sys::rd_kafka_producev(
                self.client.client().native_ptr(),
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                self.topic.as_ptr(),
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                partition.unwrap_or(PARTITION_UA),
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                message.payload,
                message.len,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                message.key,
                message.key_len,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
                native_headers,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            )
        };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                std::mem::forget(headers);
                Ok(())
            }
            code => Err(code.into()),
        }
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

impl std::fmt::Debug for TopicHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TopicHandle")
    }
}

/// The headers of one message.
pub(super) struct Headers(NonNull<RDKafkaHeaders>);

impl Headers {
    /// With room for `count`.
    pub(super) fn with_capacity(count: usize) -> Option<Self> {
        // SAFETY: allocates; nothing is handed over.
        NonNull::new(unsafe { sys::rd_kafka_headers_new(count) }).map(Self)
    }

    /// Adds one.
    pub(super) fn add(&mut self, name: &str, value: Option<&[u8]>) {
        let (start, length) = parts(value);
        // SAFETY: the headers are ours; name and value are as long as is said, and are copied.
        unsafe {
            let name_length = isize::try_from(name.len()).unwrap_or(isize::MAX);
            let value_length = isize::try_from(length).unwrap_or(isize::MAX);
            sys::rd_kafka_header_add(self.0.as_ptr(), name.as_ptr().cast(), name_length, start, value_length);
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again: headers that were handed over are forgotten.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}

/// Waits up to `patience` until every message is acknowledged or has failed; whether that is so. Messages that failed are
/// counted until they have been told to the client's [`Deliveries`].
pub(super) fn flush(client: &Client, patience: Duration) -> bool {
    let patience_ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive.
    let code = unsafe { sys::rd_kafka_flush(client.client().native_ptr(), patience_ms) };
    client.poll(Duration::ZERO);
    code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

fn native_message(record: Record<'_>) -> RDKafkaMessage {
    let ((payload, len), (key, key_len)) = (parts(record.value), parts(record.key));
    RDKafkaMessage {
        err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: PARTITION_UA,
        payload: payload.cast_mut(),
        len,
        key: key.cast_mut(),
        key_len,
        offset: 0,
        _private: ptr::null_mut(),
    }
}

fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}
