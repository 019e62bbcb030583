//! The main example with a genuine broker, its recommendations exactly once.

use millstream_tests::TestResult;
use millstream_tests::kafka::{Broker, Sent};

use crate::realtime_analytics::{Setting, check};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
async fn killed_twice_recommendations_come_exactly_once() -> TestResult {
    let broker = Broker::shared()?;
    for (topic, partitions) in [("user-events", 2), ("transactions", 2), ("recommendations", 1)] {
        // Messages of a test are of long ago.
        broker.create_topic(topic, partitions, &[("retention.ms", "-1")])?;
    }
    let send = |topic: &str, partition: i32, messages: &[(&str, &str)]| {
        let text = |text: &str| Some(text.to_string());
        let messages: Vec<Sent> = messages
            .iter()
            .map(|(key, value)| Sent { key: text(key), value: text(value), ..Sent::default() })
            .collect();
        broker.send(topic, partition, &messages)
    };
    check(&Setting { servers: broker.servers(), send: &send, is_exactly_once: true }).await
}
