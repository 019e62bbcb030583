//! Messages that are no longer there: which of the ways to lose them it was, and what follows.
//!
//! | | seen by | with `failOnDataLoss` off |
//! |---|---|---|
//! | topic or partition deleted | nobody knows it | its rows are missing |
//! | trimmed, by retention or deletion | the partition begins behind the position | reading goes on at its beginning |
//! | made again, or cut off by an unclean election | the partition ends before the position | reading goes on at its end |

use std::sync::Arc;
use std::time::Duration;

use millstream_engine::{Error, Result};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::limits::Range;
use super::native::Client;
use super::offsets::TopicPartition;

/// How every error about lost messages ends.
const FIX: &str = "to go on with what is there, set option 'failOnDataLoss' to 'false'; to read everything that is there, start over with a new checkpoint";

/// What there is of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct There {
    /// Its first offset.
    pub(super) beginning: i64,
    /// One behind its last offset.
    pub(super) end: i64,
}

/// Messages that were to be read and are not there.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    range: &'a Range,
    there: Option<There>,
}

impl<'a> Lost<'a> {
    /// What is lost of `range`, of whose partition there is `there`: `None` where it is gone.
    pub(super) fn of(range: &'a Range, there: Option<There>) -> Self {
        Self { range, there }
    }

    /// Where the rest of the range can be read from, if any of it can.
    pub(super) fn goes_on_from(&self) -> Option<i64> {
        let there = self.there?;
        let from = self.range.from.max(there.beginning);
        (from < self.range.until && from < there.end).then_some(from)
    }

    fn what(&self) -> String {
        let Range { at, from, until } = self.range;
        match self.there {
            None => format!("{at} has been deleted: the topic or the partition is not there any more"),
            Some(there) if there.beginning > *from => format!(
                "{at} has been trimmed: its first offset is {} now, and offsets {from} to {} were still to be read; retention or a deletion of records took them",
                there.beginning,
                until - 1
            ),
            Some(there) => format!(
                "{at} ends at offset {}, before {}: the topic has been deleted and made again, or an unclean election of a leader has cut it off",
                there.end,
                if there.end < *from { from } else { until }
            ),
        }
    }

    /// The error of a source that must not lose anything.
    pub(super) fn error(&self) -> Error {
        data_loss(&self.what())
    }

    /// The same for a log.
    pub(super) fn warning(&self) -> String {
        format!("kafka source: some data may have been lost: {}", self.what())
    }
}

/// The error about `what` is lost.
pub(super) fn data_loss(what: &str) -> Error {
    Error::corrupt(format!("kafka source: some data may have been lost: {what}; {FIX}"))
}

/// Whether `code` says that offsets, or the partition, are not there.
pub(super) fn is_about_gone(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic
    )
}

/// The error about a partition that cannot be read for another reason.
pub(super) fn refused(at: &TopicPartition, code: RDKafkaErrorCode, text: &str) -> Error {
    let message = format!("kafka source: {at} cannot be read: {code}: {text}");
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Error::invalid(format!("{message}; this user needs the right to read the topic"))
        }
        RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::BadCompression => Error::corrupt(message),
        _ => Error::unavailable(message),
    }
}

/// Asks what there is of `at`; `None` where the partition is not there.
pub(super) async fn look(client: Arc<Client>, at: TopicPartition, timeout: Duration) -> Result<Option<There>> {
    let asked = tokio::task::spawn_blocking(move || {
        let known = client.fetch_metadata(Some(&at.topic), timeout)?;
        let partitions = known.topics().iter().flat_map(|topic| topic.partitions());
        if !partitions.into_iter().any(|partition| partition.id() == at.partition) {
            return Ok(None);
        }
        client.fetch_watermarks(&at.topic, at.partition, timeout).map(Some)
    });
    let asked: Result<Option<(i64, i64)>, KafkaError> =
        asked.await.map_err(|e| Error::internal(format!("a question to a broker was cancelled: {e}")))?;
    match asked {
        Ok(there) => Ok(there.map(|(beginning, end)| There { beginning, end })),
        Err(error) if error.rdkafka_error_code().is_some_and(is_about_gone) => Ok(None),
        Err(error) => Err(Error::unavailable(format!("kafka source: the brokers do not answer: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_lose_data_is_told_from_the_others() {
        let there = |beginning, end| Some(There { beginning, end });
        for (there, expected, goes_on_from) in [
            (None, "t-0 has been deleted", None),
            (there(5, 9), "t-0 has been trimmed: its first offset is 5 now, and offsets 3 to 6 were", Some(5)),
            (there(8, 9), "t-0 has been trimmed: its first offset is 8 now", None),
            (there(0, 2), "t-0 ends at offset 2, before 3: the topic has been deleted and made again", None),
            (there(0, 5), "t-0 ends at offset 5, before 7", Some(3)),
        ] {
            let range = Range { at: TopicPartition::new("t", 0), from: 3, until: 7 };
            let lost = Lost::of(&range, there);
            let error = lost.error().to_string();
            assert!(error.contains(expected) && error.contains("failOnDataLoss"), "{error}");
            assert_eq!(lost.goes_on_from(), goes_on_from, "{there:?}");
        }
    }
}
