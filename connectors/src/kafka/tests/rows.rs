//! What a message becomes, and what progress says.

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion_execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use millstream_engine::Result;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;

use super::*;

#[tokio::test]
async fn nulls_empties_times_and_headers_come_through() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    let to = || BaseRecord::<str, str>::to("a").partition(0).timestamp(1_704_067_200_123);
    broker.send(to().key("k").payload("v").headers(headers([("h", Some("1")), ("g", None), ("h", Some(""))])));
    broker.send(to().payload("v"));
    broker.send(to().key("k"));
    broker.send(to());
    broker.send(to().key("").payload(""));
    broker.flush();
    let options = [("subscribe", "a"), ("startingOffsets", "earliest"), ("includeHeaders", "true")];
    let query = broker.query(&options).await?;
    let start = query.source.initial().await?;
    let rows = query.rows(start.as_ref(), Some(&offset(json!({"a": {"0": 5}})))).await?;
    let bytes = |column: usize| {
        let column = rows.column(column).as_binary::<i32>();
        column.iter().map(|value| value.map(|v| String::from_utf8_lossy(v).into_owned())).collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_string());
    assert_eq!(bytes(0), [some("k"), None, some("k"), None, some("")]);
    assert_eq!(bytes(1), [some("v"), some("v"), None, None, some("")]);
    let times = rows.column(5).as_primitive::<TimestampMicrosecondType>();
    assert!(times.iter().all(|time| time == Some(1_704_067_200_123_000)), "{times:?}");
    assert_eq!(rows.column(6).as_primitive::<Int32Type>().value(0), 0);
    let lists = rows.column(7).as_list::<i32>();
    assert!((1..5).all(|row| lists.is_null(row)), "NULL where there are none");
    let first = lists.value(0);
    let (names, values) = (first.as_struct().column(0).as_string::<i32>(), first.as_struct().column(1));
    assert_eq!(names.iter().collect::<Vec<_>>(), [Some("h"), Some("g"), Some("h")]);
    let values = values.as_binary::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(values, [Some(b"1".as_slice()), None, Some(b"".as_slice())]);
    Ok(())
}

#[tokio::test]
async fn only_the_columns_that_are_wanted_are_made() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    broker.put("a", 0, &["x", "y"]);
    let query = broker.query(&[("subscribe", "a"), ("startingOffsets", "earliest")]).await?;
    let end = offset(json!({"a": {"0": 2}}));
    let splits = query.source.splits(query.source.initial().await?.as_ref(), &end).await?;
    for projection in [vec![4, 1], vec![]] {
        let request = ReadRequest {
            split: splits[0].clone(),
            projection: projection.clone(),
            context: Arc::new(TaskContext::default()),
        };
        let batches: Vec<RecordBatch> = KafkaSourceProvider.read(&query.spec, request)?.try_collect().await?;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
        assert!(batches.iter().all(|batch| batch.num_columns() == projection.len()));
    }
    Ok(())
}

#[tokio::test]
async fn batches_of_rows_are_bounded_by_bytes_too() -> Result<()> {
    let broker = Broker::new(1, &[("a", 5)]);
    let large = "x".repeat(900_000);
    for partition in 0..5 {
        broker.put("a", partition, &[large.as_str(); 5]);
    }
    let query = broker.query(&[("subscribe", "a"), ("startingOffsets", "earliest")]).await?;
    let start = query.source.initial().await?;
    let end = query.source.latest(start.as_ref(), &query.source.read_limit()).await?.expect("an end");
    let mut rows = 0;
    for split in query.source.splits(start.as_ref(), &end).await? {
        let request = ReadRequest { split, projection: vec![1], context: Arc::new(TaskContext::default()) };
        let batches: Vec<RecordBatch> = KafkaSourceProvider.read(&query.spec, request)?.try_collect().await?;
        assert!(batches.iter().all(|batch| batch.get_array_memory_size() < 40_000_000));
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    assert_eq!(rows, 25);
    Ok(())
}

/// All rows of what is there, in a session with so much memory, some of which others have; how much was taken when they
/// had been read.
async fn read_within(
    broker: &Broker,
    (limit_bytes, others_bytes): (usize, usize),
    more: &[(&str, &str)],
) -> Result<(usize, usize)> {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(limit_bytes));
    let others = MemoryConsumer::new("others").register(&pool);
    others.grow(others_bytes);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc()?;
    let context = Arc::new(TaskContext::default().with_runtime(runtime));
    let query = broker.query(&[&[("subscribe", "a"), ("startingOffsets", "earliest")], more].concat()).await?;
    let start = query.source.initial().await?;
    let end = query.source.latest(start.as_ref(), &query.source.read_limit()).await?.expect("an end");
    let mut rows = 0;
    for split in query.source.splits(start.as_ref(), &end).await? {
        let request = ReadRequest { split, projection: vec![1], context: Arc::clone(&context) };
        let batches: Vec<RecordBatch> = KafkaSourceProvider.read(&query.spec, request)?.try_collect().await?;
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    let taken_bytes = pool.reserved() - others_bytes;
    query.source.stop().await;
    // Clients end in a thread of their own, and memory is given back with them.
    while pool.reserved() > others_bytes {
        tokio::task::yield_now().await;
    }
    Ok((rows, taken_bytes))
}

#[tokio::test]
async fn what_is_fetched_ahead_is_taken_from_the_sessions_memory() -> Result<()> {
    let broker = Broker::new(1, &[("a", 4)]);
    for partition in 0..4 {
        broker.put("a", partition, &["x".repeat(10_000).as_str(); 200]);
    }
    let (large, small) = (4 << 30, 64 << 20);
    // 64 MiB and 400,000 messages of 400 bytes each, or an eighth of what there is.
    let all = read_within(&broker, (large, 0), &[]).await?;
    assert!(all.0 == 800 && all.1.abs_diff((64 << 20) + 160_000_000) < 10_000, "{all:?}");
    let part = read_within(&broker, (small, 0), &[]).await?;
    assert!(part.0 == 800 && part.1.abs_diff(small / 8) < 10_000, "{part:?}");
    let little = read_within(&broker, (small, small - (5 << 20)), &[]).await?;
    assert!(little.0 == 800 && little.1 > 4 * (256 << 10) && little.1 <= 5 << 20, "{little:?}");
    // Where the user says how much, it is that or nothing.
    let own = [("kafka.queued.max.messages.kbytes", "1024"), ("kafka.queued.min.messages", "100")];
    assert_eq!(read_within(&broker, (small, 0), &own).await?, (800, 4 * ((1 << 20) + 40_000)));
    let refused = read_within(&broker, (1 << 20, 0), &own).await.expect_err("there is less");
    assert!(refused.message().contains("a-") && refused.message().contains("fetched ahead"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn progress_tells_how_far_behind_the_query_is() -> Result<()> {
    let broker = Broker::new(1, &[("a", 2)]);
    broker.put("a", 0, &["x"; 9]);
    broker.put("a", 1, &["x"; 4]);
    let options = [("subscribe", "a"), ("startingOffsets", "earliest"), ("maxOffsetsPerTrigger", "6")];
    let mut query = broker.query(&options).await?;
    assert_eq!(query.source.description(), "KafkaV2[Subscribe[a]]");
    query.batch().await?;
    assert_eq!(query.source.newest().await, Some(offset(json!({"a": {"0": 9, "1": 4}}))));
    let metrics = query.source.metrics(query.at.as_ref());
    let expected =
        [("avgOffsetsBehindLatest", "4.0"), ("maxOffsetsBehindLatest", "5"), ("minOffsetsBehindLatest", "3")];
    assert_eq!(metrics, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    assert_eq!(query.source.lag(query.at.as_ref()), Some(json!({"a": {"0": 5, "1": 3}})));
    Ok(())
}

#[tokio::test]
async fn a_group_is_told_how_far_the_query_has_come() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    broker.put("a", 0, &["x"; 3]);
    let options = [
        ("subscribe", "a"),
        ("startingOffsets", "earliest"),
        ("commitOffsetsToKafka", "true"),
        ("kafka.group.id", "lag-tools"),
    ];
    let mut query = broker.query(&options).await?;
    query.batch().await?;
    query.source.stop().await;
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.cluster.bootstrap_servers())
        .set("group.id", "lag-tools")
        .create()
        .expect("a consumer");
    let mut asked = TopicPartitionList::new();
    asked.add_partition("a", 0);
    let answer = group.committed_offsets(asked, Duration::from_secs(10)).expect("what was committed");
    assert_eq!(answer.elements()[0].offset().to_raw(), Some(3));
    Ok(())
}

#[tokio::test]
async fn a_query_that_waits_is_told_of_new_messages() -> Result<()> {
    let broker = Broker::new(1, &[("a", 1)]);
    broker.put("a", 0, &["x"]);
    let mut query = broker.query(&[("subscribe", "a"), ("startingOffsets", "earliest")]).await?;
    query.batch().await?;
    broker.put("a", 0, &["y"]);
    let mut seen = Vec::new();
    while seen.is_empty() {
        tokio::time::timeout(Duration::from_secs(20), query.source.changed()).await.expect("word of a message");
        seen = query.batch().await?.1;
    }
    assert_eq!(seen, ["a-0@1"]);
    Ok(())
}
