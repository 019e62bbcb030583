//! What readers fetch ahead, as a part of the session's memory: granted to each lane before it starts, and given back with it.

use std::sync::Arc;

use datafusion_execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use millstream_engine::{Error, Result};

use super::client::ClientSettings;
use super::offsets::TopicPartition;

/// What the partitions of a query may fetch ahead together, unless the user says otherwise: KiB of keys and values, and
/// messages.
const MOST_KBYTES: usize = 64 << 10;
const MOST_MESSAGES: usize = 400_000;

/// The least that one partition may fetch ahead, however many there are.
const LEAST_KBYTES: usize = 256;
const LEAST_MESSAGES: usize = 1_000;

/// What librdkafka needs for each message beside its key and value; measured.
const MESSAGE_BYTES: usize = 400;

/// The part of the session's memory that a query may fetch ahead into, but for the least that each partition gets.
const SHARE: usize = 8;

const KBYTES: &str = "queued.max.messages.kbytes";
const MESSAGES: &str = "queued.min.messages";

/// What each lane of a reader may fetch ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    /// KiB of keys and values.
    pub(super) kbytes: usize,
    /// Messages.
    pub(super) messages: usize,
    pool: Arc<dyn MemoryPool>,
}

impl Ahead {
    /// Of a query with so many `lanes` in all its readers: less where others have taken most of the memory, so that each
    /// lane finds room. Bounds that the user has set are as they are.
    ///
    /// # Errors
    /// `Invalid` where a bound of the user's is no number.
    pub(super) fn of(client: &ClientSettings, lanes: usize, pool: &Arc<dyn MemoryPool>) -> Result<Self> {
        let most_bytes = (MOST_KBYTES << 10) + MOST_MESSAGES * MESSAGE_BYTES;
        let bytes = match pool.memory_limit() {
            MemoryLimit::Finite(limit) => most_bytes.min(limit / SHARE),
            MemoryLimit::Infinite | MemoryLimit::Unknown => most_bytes,
        };
        let part = bytes as f64 / most_bytes as f64 / lanes.max(1) as f64;
        let bound = |option: &str, most: usize, least: usize| match client.get(option) {
            None => Ok(((most as f64 * part) as usize).max(least)),
            Some(text) => text.trim().parse().map_err(|_| {
                Error::invalid(format!("kafka source: option 'kafka.{option}' must be a whole number, not '{text}'"))
            }),
        };
        let mut ahead = Self {
            kbytes: bound(KBYTES, MOST_KBYTES, LEAST_KBYTES)?,
            messages: bound(MESSAGES, MOST_MESSAGES, LEAST_MESSAGES)?,
            pool: Arc::clone(pool),
        };
        let room = MemoryConsumer::new("kafka source: room to fetch ahead").register(pool);
        let half = |client: &ClientSettings, option: &str, now: usize, least: usize| match client.get(option) {
            None => (now / 2).max(least),
            Some(_) => now,
        };
        while room.try_resize(ahead.lane_bytes().saturating_mul(lanes)).is_err() {
            let less = (
                half(client, KBYTES, ahead.kbytes, LEAST_KBYTES),
                half(client, MESSAGES, ahead.messages, LEAST_MESSAGES),
            );
            if less == (ahead.kbytes, ahead.messages) {
                break;
            }
            (ahead.kbytes, ahead.messages) = less;
        }
        Ok(ahead)
    }

    /// The memory of one lane.
    ///
    /// # Errors
    /// `Unavailable` where there is not so much left of the session's.
    pub(super) fn for_lane(&self, at: &TopicPartition) -> Result<MemoryReservation> {
        let memory = MemoryConsumer::new(format!("kafka source: {at} fetched ahead")).register(&self.pool);
        memory.try_grow(self.lane_bytes()).map_err(|e| {
            Error::unavailable(format!(
                "kafka source: there is no memory to fetch {at} ahead, {} bytes: raise millstream.memory.limit, or set options 'kafka.{KBYTES}' and 'kafka.{MESSAGES}' lower ({e})",
                self.lane_bytes()
            ))
        })?;
        Ok(memory)
    }

    fn lane_bytes(&self) -> usize {
        (self.kbytes << 10).saturating_add(self.messages.saturating_mul(MESSAGE_BYTES))
    }
}
