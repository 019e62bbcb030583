//! Brokers that misbehave: gone, slow, mistaken, or without the messages that were there.

use millstream_engine::{ErrorKind, Result};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;

use super::*;

const FROM_START: [(&str, &str); 2] = [("subscribe", "a"), ("startingOffsets", "earliest")];

#[tokio::test]
async fn an_unreachable_broker_is_an_error_after_the_timeout() -> Result<()> {
    // Port 9 is nobody's.
    let options: Options =
        [("kafka.bootstrap.servers", "127.0.0.1:9"), ("kafka.default.api.timeout.ms", "700"), ("subscribe", "a")]
            .into_iter()
            .collect();
    let error = Query::open(options, place()).await?.source.initial().await.expect_err("an answer from nobody");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for expected in ["127.0.0.1:9", "700 ms", "kafka.default.api.timeout.ms"] {
        assert!(error.message().contains(expected), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_query_goes_on_when_its_broker_is_back() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    broker.put("a", 0, &["0", "1"]);
    let timeouts = [("kafka.default.api.timeout.ms", "600"), ("kafkaConsumer.pollTimeoutMs", "600")];
    let mut query = broker.query(&[FROM_START.as_slice(), &timeouts].concat()).await?;
    let start = query.source.initial().await?;
    let end = query.source.latest(start.as_ref(), &query.source.read_limit()).await?;
    broker.cluster.broker_down(-1).expect("a switch");
    let looked = query.source.latest(start.as_ref(), &query.source.read_limit()).await;
    assert_eq!(looked.map_err(|e| e.kind()), Err(ErrorKind::Unavailable));
    let read = query.rows(start.as_ref(), end.as_ref()).await.expect_err("rows of a dead broker");
    assert_eq!(read.kind(), ErrorKind::Unavailable);
    assert!(read.message().contains("kafkaConsumer.pollTimeoutMs"), "{read}");
    broker.cluster.broker_up(-1).expect("a switch");
    let batch = loop {
        match query.batch().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            other => break other?,
        }
    };
    assert_eq!(batch, (json!({"a": {"0": 2}}), vec!["a-0@0".to_string(), "a-0@1".to_string()]));
    Ok(())
}

#[tokio::test]
async fn a_slow_broker_only_takes_longer() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2)]);
    broker.put("a", 0, &["x"; 20]);
    broker.put("a", 1, &["x"; 20]);
    let mut query = broker.query(&FROM_START).await?;
    broker.cluster.broker_round_trip_time(-1, Duration::from_millis(150)).expect("a slow broker");
    assert_eq!(query.batch().await?.1.len(), 40);
    Ok(())
}

#[tokio::test]
async fn errors_that_pass_are_not_seen() -> Result<()> {
    use RDKafkaRespErr::*;
    let broker = Broker::new(1, &[("a", 1)]);
    for (api, errors) in [
        (RDKafkaApiKey::ListOffsets, vec![RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2]),
        (RDKafkaApiKey::Metadata, vec![RD_KAFKA_RESP_ERR__TRANSPORT; 2]),
        (RDKafkaApiKey::Fetch, vec![RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 3]),
        (RDKafkaApiKey::Fetch, vec![RD_KAFKA_RESP_ERR__TRANSPORT; 2]),
        (RDKafkaApiKey::Fetch, vec![RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 2]),
    ] {
        broker.put("a", 0, &["x", "y"]);
        let mut query =
            broker.query(&[FROM_START.as_slice(), &[("fetchOffset.retryIntervalMs", "50")]].concat()).await?;
        broker.cluster.request_errors(api, &errors);
        let (end, rows) = query.batch().await?;
        assert_eq!(end["a"]["0"], json!(rows.len()), "{api:?} {errors:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_leader_that_moves_in_the_middle_of_a_batch_loses_nothing() -> Result<()> {
    let broker = Broker::new(3, &[]);
    broker.cluster.create_topic("a", 1, 3).expect("a topic on all brokers");
    broker.cluster.partition_leader("a", 0, Some(1)).expect("a leader");
    let value = "x".repeat(1000);
    broker.put("a", 0, &vec![value.as_str(); 3000]);
    // Small fetches, so that there is a middle.
    let small = [("kafka.fetch.message.max.bytes", "20000"), ("kafka.queued.max.messages.kbytes", "40")];
    let query = broker.query(&[FROM_START.as_slice(), &small].concat()).await?;
    let start = query.source.initial().await?;
    let end = query.source.latest(start.as_ref(), &query.source.read_limit()).await?.expect("an end");
    let split = query.source.splits(start.as_ref(), &end).await?.remove(0);
    let projection = vec![0, 1, 2, 3, 4];
    let request = ReadRequest { split, projection, context: Arc::new(TaskContext::default()) };
    // Until the last move each fetch takes its time, so that the batch cannot be at its end before.
    broker.cluster.broker_round_trip_time(-1, Duration::from_millis(100)).expect("slow brokers");
    let reading = KafkaSourceProvider.read(&query.spec, request)?.try_collect::<Vec<_>>();
    tokio::pin!(reading);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let mut leaders = [2, 3, 1, 2].into_iter();
    let batches: Vec<RecordBatch> = loop {
        tokio::select! {
            batches = &mut reading => break batches?,
            _ = ticks.tick() => {
                match leaders.next() {
                    Some(leader) => broker.cluster.partition_leader("a", 0, Some(leader)).expect("another leader"),
                    None => broker.cluster.broker_round_trip_time(-1, Duration::ZERO).expect("quick brokers"),
                }
            }
        }
    };
    assert_eq!(leaders.next(), None, "the batch was read before the last move");
    let offsets: Vec<i64> =
        batches.iter().flat_map(|batch| batch.column(4).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(offsets, (0..3000).collect::<Vec<i64>>());
    Ok(())
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_refused() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    let forbidden = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    for (code, expected) in [(unknown, "there is no topic 'a'"), (forbidden, "not allowed to see topic 'a'")] {
        broker.cluster.topic_error("a", code).expect("a mistaken broker");
        let error = broker.query(&FROM_START).await?.source.initial().await.expect_err("found");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(expected), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_is_refused_at_once() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    broker.put("a", 0, &["x"]);
    let mut query = broker.query(&FROM_START).await?;
    broker
        .cluster
        .request_errors(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 20]);
    let error = query.batch().await.expect_err("read");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("a-0 cannot be read") && error.message().contains("the right to read"), "{error}");
    broker.cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    assert_eq!(query.batch().await?.1, ["a-0@0"], "and read when it may be");
    Ok(())
}

/// Each way to lose data is an error that names it, or, where that is tolerated, rows that are missing.
#[tokio::test]
async fn lost_data_is_an_error_or_missing_rows() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1), ("trimmed", 1)]);
    broker.put("a", 0, &["0", "1"]);
    // The mock keeps 5 MiB of a partition.
    let large = "x".repeat(900_000);
    broker.put("trimmed", 0, &[large.as_str(); 9]);
    for (case, from, expected, end, tolerated_rows) in [
        ("a", json!({"a": {"0": 5}}), "a-0 ends at offset 2, before 5", json!({"a": {"0": 2}}), 0),
        ("a", json!({"a": {"0": 1}, "b": {"0": 7}}), "b-0 are not there any more", json!({"a": {"0": 2}}), 1),
        ("trimmed", json!({"trimmed": {"0": 0}}), "trimmed-0 has been trimmed", json!({"trimmed": {"0": 9}}), 5),
    ] {
        let from = offset(from);
        for tolerated in [false, true] {
            let loss = ("failOnDataLoss", if tolerated { "false" } else { "true" });
            let pattern = ("subscribePattern", format!("^{case}$"));
            let mut query = broker.query(&[(pattern.0, pattern.1.as_str()), loss]).await?;
            query.at = Some(from.clone());
            match query.batch().await {
                Ok((at, rows)) => {
                    assert!(tolerated, "{case}: lost without a word");
                    assert_eq!((at, rows.len()), (end.clone(), tolerated_rows), "{case}: {rows:?}");
                }
                Err(error) => {
                    assert!(!tolerated, "{case}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    assert!(error.message().contains(expected), "{error}");
                    assert!(error.message().contains("failOnDataLoss"), "{error}");
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_range_can_be_read_by_a_process_that_knows_nothing_of_the_query() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2)]);
    broker.put("a", 0, &["0", "1"]);
    broker.put("a", 1, &["0"]);
    let query = broker.query(&FROM_START).await?;
    let start = query.source.initial().await?;
    let end = query.source.latest(start.as_ref(), &query.source.read_limit()).await?.expect("an end");
    let splits = query.source.splits(start.as_ref(), &end).await?;
    query.source.stop().await;
    assert_eq!(places(&rows_of(&query.spec, splits).await?), ["a-0@0", "a-0@1", "a-1@0"]);
    Ok(())
}
