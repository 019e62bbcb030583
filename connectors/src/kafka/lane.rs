//! One partition as a reader sees it: messages fetched ahead, and how far the range that is being read has come.

use std::sync::Arc;

use datafusion_execution::memory_pool::MemoryReservation;
use millstream_engine::Result;
use rdkafka::error::RDKafkaErrorCode;

use super::columns::size_bytes;
use super::native::{Arrivals, Client, Messages, PartitionFetch};
use super::offsets::TopicPartition;
use crate::rows::BATCH_ROWS;

/// A batch of rows is ended when it has so many bytes.
const BATCH_BYTES: usize = 16 << 20;

/// A partition that is fetched, and what has come of it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) at: TopicPartition,
    /// The offset of the next message to hand out.
    pub(super) position: i64,
    /// The offset behind the last message that was looked at.
    reached: i64,
    /// The partition ended here when it was last seen to end.
    end: i64,
    /// The first `good` of these can be handed out, `good_bytes` together.
    pub(super) messages: Messages,
    good: usize,
    good_bytes: usize,
    fetch: PartitionFetch,
    // What the messages that wait in `fetch` may take.
    _memory: MemoryReservation,
}

/// How far a lane is with a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// So many messages can be handed out.
    Rows(usize),
    /// There are no more messages in the range.
    Done,
    /// More must come first.
    NotYet,
    /// The partition has stopped, for this reason.
    Stopped(RDKafkaErrorCode, String),
}

impl Lane {
    /// Starts to fetch `at` from `offset` on. `memory` is what may wait.
    pub(super) fn start(
        client: &Arc<Client>,
        at: &TopicPartition,
        offset: i64,
        arrivals: &Arc<Arrivals>,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let fetch = PartitionFetch::start(client, at, offset, arrivals)?;
        let messages = Messages::of(client);
        Ok(Self {
            at: at.clone(),
            position: offset,
            reached: offset,
            end: -1,
            messages,
            good: 0,
            good_bytes: 0,
            fetch,
            _memory: memory,
        })
    }

    /// Goes on from `offset`, at once where that is where the lane is.
    pub(super) fn go_to(&mut self, offset: i64) -> Result<()> {
        if self.position != offset {
            self.fetch.seek(offset)?;
            self.messages.clear();
            (self.position, self.end) = (offset, -1);
        }
        // What was looked at and not handed out is looked at again: another range may end elsewhere.
        (self.reached, self.good, self.good_bytes) = (offset, 0, 0);
        Ok(())
    }

    /// Takes what has arrived; whether anything has.
    pub(super) fn take(&mut self) -> bool {
        self.fetch.take(&mut self.messages) > 0
    }

    /// The end of the partition as far as is known.
    pub(super) fn known_end(&self) -> Option<i64> {
        self.fetch.known_end(&self.at)
    }

    /// Looks at what was taken: a range ends, by position and not by count, at a message at or beyond `until`, or where
    /// the partition ends at or beyond it.
    pub(super) fn ready(&mut self, until: i64) -> Ready {
        loop {
            let Some(message) = self.messages.get(self.good) else {
                return match self.end >= until || self.reached >= until {
                    true => self.rows_or(Ready::Done),
                    false => Ready::NotYet,
                };
            };
            let offset = message.offset();
            match message.error() {
                None if offset >= until => return self.rows_or(Ready::Done),
                None if offset < self.position => self.messages.remove(self.good),
                None => {
                    self.reached = offset + 1;
                    self.good += 1;
                    self.good_bytes += size_bytes(message);
                    if self.good >= BATCH_ROWS || self.good_bytes >= BATCH_BYTES {
                        return Ready::Rows(self.good);
                    }
                }
                Some((RDKafkaErrorCode::PartitionEOF, _)) => {
                    self.end = self.end.max(offset);
                    self.messages.remove(self.good);
                }
                Some(_) if self.good > 0 => return Ready::Rows(self.good),
                Some((code, text)) => {
                    self.messages.remove(self.good);
                    return Ready::Stopped(code, text);
                }
            }
        }
    }

    fn rows_or(&self, otherwise: Ready) -> Ready {
        if self.good > 0 { Ready::Rows(self.good) } else { otherwise }
    }

    /// The range up to `until` has been handed out: behind its last message there may be offsets without any.
    pub(super) fn is_done(&mut self, until: i64) {
        self.position = self.position.max(until);
        self.reached = self.reached.max(until);
    }

    /// The rows have been handed out.
    pub(super) fn handed_out(&mut self, count: usize) {
        if let Some(last) = count.checked_sub(1).and_then(|last| self.messages.get(last)) {
            self.position = last.offset() + 1;
        }
        self.messages.forget(count);
        (self.good, self.good_bytes) = (0, 0);
    }
}
