//! Where a query starts, what a restart keeps, what a batch takes, and what is found while it runs.

use millstream_engine::source::SourceProvider;
use millstream_engine::testing::check_source;
use millstream_engine::{ErrorKind, Result};
use serde_json::json;

use super::*;

#[tokio::test]
async fn the_source_keeps_its_contract() -> Result<()> {
    let broker = Broker::new(1, &[("a", 3)]);
    let query =
        broker.query(&[("subscribe", "a"), ("startingOffsets", "earliest"), ("includeHeaders", "true")]).await?;
    let rows = check_source(&KafkaSourceProvider, &query.spec, query.source.as_ref(), async |step| {
        for partition in 0..=i32::try_from(step).unwrap_or(0) {
            broker.put("a", partition, &["x", "y", "z"]);
        }
    })
    .await?;
    assert_eq!(rows.num_rows(), 18);
    Ok(())
}

#[tokio::test]
async fn a_query_starts_where_its_options_say() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2), ("b", 1)]);
    broker.put("a", 0, &["0", "1", "2"]);
    broker.put("a", 1, &["0"]);
    broker.put("b", 0, &["0", "1"]);
    let all = r#"{"a":{"0":1,"1":-1},"b":{"0":-2}}"#;
    for (options, expected) in [
        (vec![("subscribe", "a,b")], json!({"a": {"0": 3, "1": 1}, "b": {"0": 2}})),
        (vec![("subscribe", "a"), ("startingOffsets", "earliest")], json!({"a": {"0": 0, "1": 0}})),
        (vec![("subscribe", "a,b"), ("startingOffsets", all)], json!({"a": {"0": 1, "1": 1}, "b": {"0": 0}})),
        (vec![("subscribePattern", "^b"), ("startingOffsets", "earliest")], json!({"b": {"0": 0}})),
        (
            vec![("assign", r#"{"a":[1,7],"b":[0]}"#), ("startingOffsets", "earliest")],
            json!({"a": {"1": 0}, "b": {"0": 0}}),
        ),
        (
            vec![("subscribe", "b"), ("startingOffsets", r#"{"b":{"0":99}}"#), ("failOnDataLoss", "false")],
            json!({"b": {"0": 2}}),
        ),
        (vec![("subscribePattern", "nothing")], json!({})),
    ] {
        let query = broker.query(&options).await?;
        assert_eq!(query.source.initial().await?.map(|at| at.json().clone()), Some(expected), "{options:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_a_start_is_refused_before_the_first_batch() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2)]);
    for (options, kind, expected) in [
        (
            vec![("subscribe", "a"), ("startingOffsets", r#"{"a":{"0":0}}"#)],
            ErrorKind::Invalid,
            "option 'startingOffsets' names a-0, and the partitions to read are a-0, a-1",
        ),
        (
            vec![("subscribe", "a"), ("startingOffsets", r#"{"a":{"0":0,"1":5}}"#)],
            ErrorKind::Corrupt,
            "a-1 ends at offset 0, before 5",
        ),
        (
            vec![("subscribe", "a"), ("startingTimestamp", "99")],
            ErrorKind::Invalid,
            "no message of a-0 is as late as timestamp 99",
        ),
    ] {
        let error = broker.query(&options).await?.source.initial().await.expect_err("accepted");
        assert_eq!(error.kind(), kind, "{options:?}");
        assert!(error.message().contains(expected), "{options:?}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_restart_keeps_the_first_start() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    broker.put("a", 0, &["0", "1"]);
    let metadata = place();
    let first = Query::open(broker.options(&[("subscribe", "a")]), metadata.clone()).await?;
    let start = first.source.initial().await?;
    assert_eq!(metadata.read("0").await?.as_deref(), Some(b"\0v1\n{\"a\":{\"0\":2}}".as_slice()));
    broker.put("a", 0, &["2"]);
    let again = [("subscribe", "a"), ("startingOffsets", "earliest")];
    let mut second = Query::open(broker.options(&again), metadata.clone()).await?;
    assert_eq!(second.source.initial().await?, start);
    assert_eq!(second.batch().await?, (json!({"a": {"0": 3}}), vec!["a-0@2".to_string()]));
    let damaged = place();
    damaged.create("0", "\0v1\nnonsense".into()).await?;
    let third = Query::open(broker.options(&again), damaged).await?;
    assert_eq!(third.source.initial().await.map_err(|e| e.kind()), Err(ErrorKind::Corrupt));
    Ok(())
}

#[tokio::test]
async fn a_batch_takes_what_its_limits_allow() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2)]);
    broker.put("a", 0, &["x"; 9]);
    broker.put("a", 1, &["x"; 3]);
    let options = [
        ("subscribe", "a"),
        ("startingOffsets", "earliest"),
        ("minOffsetsPerTrigger", "3"),
        ("maxOffsetsPerTrigger", "8"),
        ("maxTriggerDelay", "1m"),
    ];
    let mut query = broker.query(&options).await?;
    assert_eq!(query.batch().await?.0, json!({"a": {"0": 6, "1": 2}}));
    assert_eq!(query.batch().await?.0, json!({"a": {"0": 9, "1": 3}}));
    broker.put("a", 1, &["x"; 2]);
    assert_eq!(query.batch().await?, (json!({"a": {"0": 9, "1": 3}}), vec![]), "two are too few");
    query.clock.advance_ms(59_999);
    assert_eq!(query.batch().await?.1.len(), 0, "not yet");
    query.clock.advance_ms(1);
    assert_eq!(query.batch().await?.0, json!({"a": {"0": 9, "1": 5}}), "but not for ever");
    Ok(())
}

#[tokio::test]
async fn what_is_available_now_is_fixed_at_the_start() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    broker.put("a", 0, &["x"; 3]);
    let options = [("subscribe", "a"), ("startingOffsets", "earliest"), ("maxOffsetsPerTrigger", "2")];
    let mut query = broker.query(&options).await?;
    assert!(query.source.prepare_available_now().await?);
    broker.put("a", 0, &["x"; 3]);
    assert_eq!(query.batch().await?.1, ["a-0@0", "a-0@1"]);
    assert_eq!(query.batch().await?.1, ["a-0@2"]);
    assert_eq!(query.batch().await?, (json!({"a": {"0": 3}}), vec![]));
    Ok(())
}

#[tokio::test]
async fn topics_that_appear_are_read_from_their_beginning() -> Result<()> {
    let broker = Broker::new(1, &[]);
    let mut query = broker.query(&[("subscribePattern", "ev[0-9]")]).await?;
    assert_eq!(query.batch().await?, (json!({}), vec![]));
    assert_eq!(query.source.latest(query.at.as_ref(), &query.source.read_limit()).await?, None, "no batch of nothing");
    broker.create("ev1", 1);
    broker.create("other", 1);
    broker.put("ev1", 0, &["x", "y"]);
    assert_eq!(query.batch().await?.1, ["ev1-0@0", "ev1-0@1"]);
    broker.create("more-ev2", 2);
    broker.put("more-ev2", 1, &["x"]);
    broker.put("ev1", 0, &["z"]);
    // New topics are looked for a few times a second.
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(query.batch().await?.1);
    }
    assert_eq!(query.at, Some(offset(json!({"ev1": {"0": 3}, "more-ev2": {"0": 0, "1": 1}}))));
    seen.sort_unstable();
    assert_eq!(seen, ["ev1-0@2", "more-ev2-1@0"]);
    Ok(())
}

#[tokio::test]
async fn ranges_in_pieces_give_the_same_rows() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2)]);
    broker.put("a", 0, &["x"; 10]);
    broker.put("a", 1, &["x"; 3]);
    let mut answers = Vec::new();
    for more in [("minPartitions", "1"), ("minPartitions", "7"), ("maxRecordsPerPartition", "2")] {
        let mut query = broker.query(&[("subscribe", "a"), ("startingOffsets", "earliest"), more]).await?;
        answers.push(query.batch().await?);
    }
    assert_eq!(answers[0].1.len(), 13);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn a_table_is_read_between_its_ends() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2)]);
    broker.put("a", 0, &["x"; 4]);
    broker.put("a", 1, &["x"; 2]);
    for (more, expected) in [
        (vec![], vec!["a-0@0", "a-0@1", "a-0@2", "a-0@3", "a-1@0", "a-1@1"]),
        (
            vec![("startingOffsets", r#"{"a":{"0":1,"1":-2}}"#), ("endingOffsets", r#"{"a":{"0":3,"1":-1}}"#)],
            vec!["a-0@1", "a-0@2", "a-1@0", "a-1@1"],
        ),
    ] {
        let options = broker.options(&[vec![("subscribe", "a")], more].concat());
        let schema = KafkaSourceProvider.schema(None, &options, false, &Options::new()).await?;
        let spec = SourceSpec { connector: "kafka".to_string(), options, schema };
        let splits = KafkaSourceProvider.batch_splits(&spec).await?;
        assert_eq!(splits, KafkaSourceProvider.batch_splits(&spec).await?, "the same listing while nothing is new");
        assert_eq!(places(&rows_of(&spec, splits.clone()).await?), expected);
        broker.put("a", 1, &[]);
    }
    Ok(())
}
