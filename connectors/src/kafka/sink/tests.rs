//! The sink against librdkafka's mock cluster. What is about transactions is tested with genuine brokers.

use std::time::Duration;

use arrow::array::{Array, ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_execution::TaskContext;
use millstream_engine::ErrorKind;
use millstream_engine::clock::Stopwatch;
use millstream_engine::sink::OutputMode;
use millstream_engine::state::Place;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::*;

type Mock = MockCluster<'static, DefaultProducerContext>;

fn cluster(topics: &[(&str, i32)]) -> Mock {
    let mock = MockCluster::new(1).expect("a mock cluster");
    for (topic, partitions) in topics {
        mock.create_topic(topic, *partitions, 1).expect("a topic");
    }
    mock
}

fn rows(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, Arc::clone(column)))).expect("columns")
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn spec(mock: &Mock, options: &[(&str, &str)], batch: &RecordBatch) -> SinkSpec {
    let servers = mock.bootstrap_servers();
    let always = [("kafka.bootstrap.servers", servers.as_str())];
    SinkSpec {
        connector: "kafka".to_string(),
        options: always.iter().chain(options).copied().collect(),
        schema: batch.schema(),
        partition_by: Vec::new(),
        output_mode: OutputMode::Append,
        query_name: None,
    }
}

/// Writes `batch` as one partition of batch 0 of a query.
async fn write(spec: &SinkSpec, batch: RecordBatch) -> Result<CommitMessage> {
    let provider = KafkaSinkProvider::default();
    provider.check(spec)?;
    let checkpoint = Place::open(&format!("memory://kafka-sink/{}", Uuid::new_v4()), &[])?;
    let cx = SinkContext { query_id: Uuid::new_v4(), checkpoint, is_restart: false, conf: Arc::default() };
    let sink = provider.open(spec, cx).await?;
    let Delivery::Writers(spec) = sink.delivery() else { panic!("the sink has writers") };
    let task =
        WriterTask { partition: 0, batch_id: 0, attempt: Uuid::new_v4(), context: Arc::new(TaskContext::default()) };
    let mut writer = provider.writer(&spec, task)?;
    writer.write(batch).await?;
    writer.finish().await
}

/// Partition, key, value and headers of each message, partition after partition.
type Read = (i32, Option<String>, Option<String>, Vec<(String, Option<String>)>);

fn read(mock: &Mock, topic: &str, partitions: i32) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap_servers())
        .set("group.id", "reader")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let (mut all, watch) = (Vec::new(), Stopwatch::start());
    for partition in 0..partitions {
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, partition, Offset::Offset(0)).expect("an offset");
        consumer.assign(&from).expect("assigned");
        loop {
            assert!(watch.elapsed() < Duration::from_secs(20), "{topic}-{partition} has no end");
            let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
            let message = match message {
                Ok(message) => message,
                Err(KafkaError::PartitionEOF(ended)) if ended == partition => break,
                // Said once more of the one before.
                Err(KafkaError::PartitionEOF(_)) => continue,
                Err(error) => panic!("{topic}-{partition}: {error}"),
            };
            let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = message.headers().map_or_else(Vec::new, |headers| {
                headers.iter().map(|header| (header.key.to_string(), header.value.map(string))).collect()
            });
            all.push((partition, message.key().map(string), message.payload().map(string), headers));
        }
    }
    all
}

#[tokio::test]
async fn columns_become_messages() -> Result<()> {
    let mock = cluster(&[("one", 1), ("two", 3)]);
    let batch = rows(&[
        ("ignored", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("KEY", text(&[Some("a"), None, Some("")])),
        ("value", Arc::new(BinaryArray::from(vec![Some(b"x".as_slice()), Some(b""), None]))),
        ("topic", text(&[Some("two"), Some("one"), Some("two")])),
        ("partition", Arc::new(Int32Array::from(vec![Some(2), None, Some(0)]))),
    ]);
    let written = write(&spec(&mock, &[], &batch), batch.clone()).await?;
    assert_eq!(written.rows, 3);
    let some = |text: &str| Some(text.to_string());
    assert_eq!(read(&mock, "two", 3), [(0, some(""), None, vec![]), (2, some("a"), some("x"), vec![])]);
    assert_eq!(read(&mock, "one", 1), [(0, None, some(""), vec![])]);
    Ok(())
}

#[tokio::test]
async fn the_topic_option_goes_before_the_column() -> Result<()> {
    let mock = cluster(&[("one", 1), ("two", 1)]);
    let batch = rows(&[("value", text(&[Some("x")])), ("topic", text(&[Some("two")]))]);
    write(&spec(&mock, &[("topic", "one")], &batch), batch.clone()).await?;
    assert_eq!((read(&mock, "one", 1).len(), read(&mock, "two", 1).len()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn headers_are_written_in_order() -> Result<()> {
    let mock = cluster(&[("t", 1)]);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["h", "g", "h"]));
    let values: ArrayRef = Arc::new(BinaryArray::from(vec![Some(b"1".as_slice()), None, Some(b"")]));
    let items = arrow::array::StructArray::from(vec![
        (Arc::new(Field::new("key", DataType::Utf8, true)), names),
        (Arc::new(Field::new("value", DataType::Binary, true)), values),
    ]);
    let element = Arc::new(Field::new("element", items.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([3, 0, 0]);
    let nulls = Some(arrow::buffer::NullBuffer::from(vec![true, true, false]));
    let list = arrow::array::ListArray::new(element, offsets, Arc::new(items), nulls);
    let batch = rows(&[("value", text(&[Some("x"), Some("y"), Some("z")])), ("headers", Arc::new(list))]);
    write(&spec(&mock, &[("topic", "t")], &batch), batch).await?;
    let headers: Vec<_> = read(&mock, "t", 1).into_iter().map(|(.., headers)| headers).collect();
    let some = |name: &str, value: &str| (name.to_string(), Some(value.to_string()));
    assert_eq!(headers, [vec![some("h", "1"), ("g".to_string(), None), some("h", "")], vec![], vec![]]);
    Ok(())
}

/// Keys, and what the Java client's partitioner gives for 4 partitions: recorded.
const JAVAS_PARTITIONS: [(&str, i32); 6] =
    [("21", 0), ("d", 1), ("foobar", 2), ("f", 3), ("a-little-bit-long-string", 0), ("user-3", 3)];

#[tokio::test]
async fn keys_go_where_javas_client_sends_them() -> Result<()> {
    let mock = cluster(&[("t", 4)]);
    let keys: Vec<Option<&str>> = JAVAS_PARTITIONS.iter().map(|(key, _)| Some(*key)).collect();
    let batch = rows(&[("key", text(&keys)), ("value", text(&keys))]);
    write(&spec(&mock, &[("topic", "t")], &batch), batch).await?;
    let mut seen: Vec<(String, i32)> =
        read(&mock, "t", 4).into_iter().map(|(partition, key, ..)| (key.unwrap_or_default(), partition)).collect();
    let mut expected = JAVAS_PARTITIONS.map(|(key, partition)| (key.to_string(), partition)).to_vec();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    Ok(())
}

#[tokio::test]
async fn more_messages_than_there_is_room_for() -> Result<()> {
    let mock = cluster(&[("t", 2)]);
    let values: Vec<String> = (0..30_000).map(|n| format!("value {n}")).collect();
    let batch = rows(&[("value", Arc::new(StringArray::from(values.clone())))]);
    let options = [("topic", "t"), ("kafka.queue.buffering.max.messages", "1000")];
    write(&spec(&mock, &options, &batch), batch).await?;
    let mut seen: Vec<String> = read(&mock, "t", 2).into_iter().filter_map(|(_, _, value, _)| value).collect();
    let mut expected = values;
    seen.sort();
    expected.sort();
    assert!(seen == expected, "{} messages of {}", seen.len(), expected.len());
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_not_delivered_fails_the_batch() {
    let long = "x".repeat(3000);
    let batch = rows(&[("value", text(&[Some("ok"), Some(&long)]))]);
    let partitioned = rows(&[("value", text(&[Some("ok")])), ("partition", Arc::new(Int32Array::from(vec![7])))]);
    let negative = rows(&[("value", text(&[Some("ok")])), ("partition", Arc::new(Int32Array::from(vec![-2])))]);
    let nowhere = rows(&[("value", text(&[Some("ok")])), ("topic", text(&[None]))]);
    let cases = [
        (
            &batch,
            vec![("topic", "t"), ("kafka.max.request.size", "2000")],
            "a message of 3000 bytes is too large for topic 't'",
        ),
        (&partitioned, vec![("topic", "t")], "topic 't' has no partition 7, which column 'partition' names"),
        (&negative, vec![("topic", "t")], "column 'partition' is -2"),
        (&nowhere, vec![], "a row has NULL in column 'topic'"),
    ];
    for (batch, options, expected) in cases {
        let mock = cluster(&[("t", 2)]);
        let error = write(&spec(&mock, &options, batch), batch.clone()).await.expect_err("written");
        assert!(error.message().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED};
    for (code, expected) in [
        (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "too large for topic 't'"),
        (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "not authorised to write to topic 't'"),
    ] {
        let mock = cluster(&[("t", 1)]);
        mock.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &[code; 3]);
        let error = write(&spec(&mock, &[("topic", "t")], &batch), batch.clone()).await.expect_err("written");
        assert!(error.message().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_told_of() {
    let batch = rows(&[("value", text(&[Some("x")]))]);
    let mock = cluster(&[("t", 1)]);
    let spec = spec(&mock, &[("topic", "t"), ("kafka.max.block.ms", "300")], &batch);
    drop(mock);
    let error = write(&spec, batch).await.expect_err("written");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("within 300 ms") && error.message().contains("127.0.0.1"), "{error}");
}

#[test]
fn what_cannot_be_written_is_refused_at_the_start() {
    let columns = |columns: &[(&str, DataType)]| {
        Arc::new(Schema::new(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
    };
    let value = ("value", DataType::Utf8);
    let cases = [
        (columns(&[("v", DataType::Utf8)]), vec![("topic", "t")], "no column 'value'"),
        (columns(std::slice::from_ref(&value)), vec![], "set option 'topic', or give the query a column 'topic'"),
        (columns(std::slice::from_ref(&value)), vec![("topic", " ")], "option 'topic' is ' '"),
        (
            columns(&[("value", DataType::Int64)]),
            vec![("topic", "t")],
            "column 'value' is of type BIGINT, expected STRING or BINARY",
        ),
        (columns(&[value.clone(), ("key", DataType::Int32)]), vec![("topic", "t")], "column 'key' is of type INT"),
        (
            columns(&[value.clone(), ("topic", DataType::Binary)]),
            vec![],
            "column 'topic' is of type BINARY, expected STRING",
        ),
        (
            columns(&[value.clone(), ("partition", DataType::Int64)]),
            vec![("topic", "t")],
            "column 'partition' is of type BIGINT, expected INT",
        ),
        (
            columns(&[value.clone(), ("headers", DataType::Utf8)]),
            vec![("topic", "t")],
            "column 'headers' is of type STRING, expected ARRAY",
        ),
        (
            columns(std::slice::from_ref(&value)),
            vec![("topik", "t"), ("topic", "t")],
            "unknown option 'topik'; did you mean 'topic'?",
        ),
        (
            columns(std::slice::from_ref(&value)),
            vec![("topic", "t"), ("kafka.value.serializer", "x")],
            "'value.serializer' is not supported",
        ),
        (
            columns(std::slice::from_ref(&value)),
            vec![("topic", "t"), ("exactlyOnce", "yes")],
            "option 'exactlyOnce' is 'yes'",
        ),
        (
            columns(std::slice::from_ref(&value)),
            vec![("topic", "t"), ("exactlyOnce", "true"), ("kafka.acks", "1")],
            "needs an idempotent producer",
        ),
        (
            columns(std::slice::from_ref(&value)),
            vec![("topic", "t"), ("kafka.transactional.id", "x")],
            "set 'exactlyOnce' to 'true'",
        ),
    ];
    for (schema, options, expected) in cases {
        let always = [("kafka.bootstrap.servers", "b:9092")];
        let spec = SinkSpec {
            connector: "kafka".to_string(),
            options: always.iter().chain(&options).copied().collect(),
            schema,
            partition_by: Vec::new(),
            output_mode: OutputMode::Update,
            query_name: None,
        };
        let error = KafkaSinkProvider::default().check(&spec).expect_err(expected);
        assert!(error.message().contains(expected), "{error}");
    }
}
