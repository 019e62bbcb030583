//! Positions in topic partitions, and Spark's JSON for them: `{"topic":{"0":23,"1":-2}}`.
//!
//! In a checkpoint every position is a real offset: that of the next message to read. In options −1 is the end and −2
//! the beginning of a partition; where times are given, positions are milliseconds since the epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use millstream_engine::Result;
use millstream_engine::source::Offset;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The end of a partition, in options.
pub(super) const LATEST: i64 = -1;

/// The beginning of a partition, in options.
pub(super) const EARLIEST: i64 = -2;

/// One partition of one topic, shown as Kafka's tools show it: `clicks-0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct TopicPartition {
    /// The topic's name.
    pub(super) topic: String,
    /// The partition's number.
    pub(super) partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub(super) fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A position in each of some partitions.
pub(super) type Positions = BTreeMap<TopicPartition, i64>;

/// `clicks-0, clicks-1`.
pub(super) fn names<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> String {
    partitions.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

type Nested<T> = BTreeMap<String, BTreeMap<i32, T>>;

/// Reads `{"topic":{"0":23}}`. The error says what is wrong with it.
pub(super) fn parse_positions(text: &str) -> Result<Positions, String> {
    let nested: Nested<i64> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(flat(nested))
}

/// Reads `{"topic":[0,1]}`. The error says what is wrong with it.
pub(super) fn parse_partitions(text: &str) -> Result<BTreeSet<TopicPartition>, String> {
    let nested: BTreeMap<String, Vec<i32>> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let of_topic = |(topic, partitions): (String, Vec<i32>)| {
        partitions.into_iter().map(move |partition| TopicPartition::new(topic.clone(), partition))
    };
    Ok(nested.into_iter().flat_map(of_topic).collect())
}

fn flat(nested: Nested<i64>) -> Positions {
    let of_topic = |(topic, positions): (String, BTreeMap<i32, i64>)| {
        positions.into_iter().map(move |(partition, at)| (TopicPartition::new(topic.clone(), partition), at))
    };
    nested.into_iter().flat_map(of_topic).collect()
}

/// The JSON of positions: topics and partitions in order.
pub(super) fn json(positions: &Positions) -> Value {
    let mut topics = Map::new();
    for (at, position) in positions {
        let topic = topics.entry(at.topic.clone()).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(partitions) = topic {
            partitions.insert(at.partition.to_string(), (*position).into());
        }
    }
    Value::Object(topics)
}

/// The offset that stands for `positions`.
pub(super) fn offset(positions: &Positions) -> Offset {
    Offset::new(json(positions))
}

/// The positions that `offset` stands for.
pub(super) fn positions(offset: &Offset) -> Result<Positions> {
    Ok(flat(offset.decode::<Nested<i64>>("kafka")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_sparks_json() -> Result<()> {
        let text = r#"{"a":{"0":23,"2":5,"10":-2},"b.c":{"1":0}}"#;
        let parsed = parse_positions(text).expect("good JSON");
        assert_eq!(parsed.get(&TopicPartition::new("a", 10)), Some(&EARLIEST));
        assert_eq!(json(&parsed).to_string(), text);
        assert_eq!(positions(&Offset::parse(text)?)?, parsed);
        assert_eq!(json(&Positions::new()).to_string(), "{}");
        Ok(())
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "x", "[]", r#"{"a":1}"#, r#"{"a":{"x":1}}"#, r#"{"a":{"0":"1"}}"#, r#"{"a":{"0":1.5}}"#] {
            assert!(parse_positions(text).is_err(), "{text}");
        }
        for text in ["[]", r#"{"a":0}"#, r#"{"a":["0"]}"#] {
            assert!(parse_partitions(text).is_err(), "{text}");
        }
        let partitions = parse_partitions(r#"{"b":[1,0],"a":[3]}"#).expect("good JSON");
        assert_eq!(names(&partitions), "a-3, b-0, b-1");
    }
}
