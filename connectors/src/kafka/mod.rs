//! Kafka: topics as streams and tables, over librdkafka.
//!
//! ```text
//! source   lookup (which partitions, how far) → range of offsets → a split for each reader → fetched in bulk, into columns
//! ```
//! # Read next
//! `options.rs` (what a user can say) → `source.rs` (which offsets a batch reads) → `reader.rs` (offsets to rows) →
//! `native.rs` (librdkafka's fast calls, the one place with unsafe code).

#![expect(dead_code, reason = "the reading half follows")]

mod client;
mod limits;
mod offsets;
mod options;
mod security;
mod subscription;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::options::Options;
use millstream_engine::source::{ReadRequest, Source, SourceContext, SourceProvider, SourceSpec};
use millstream_engine::{Error, Result};

use crate::rate::refuse_schema;
use options::KafkaSourceOptions;

/// `USING kafka`, read.
#[derive(Debug)]
pub struct KafkaSourceProvider;

#[async_trait]
impl SourceProvider for KafkaSourceProvider {
    fn name(&self) -> &'static str {
        "kafka"
    }

    async fn schema(
        &self,
        given: Option<SchemaRef>,
        options: &Options,
        streaming: bool,
        _conf: &Options,
    ) -> Result<SchemaRef> {
        refuse_schema(given.as_ref(), "kafka", "key, value, topic, partition, offset, timestamp, timestampType")?;
        Ok(schema(KafkaSourceOptions::parse(options, streaming)?.include_headers))
    }

    async fn open(&self, _spec: &SourceSpec, _cx: SourceContext) -> Result<Arc<dyn Source>> {
        Err(Error::unsupported("the kafka source cannot be read yet"))
    }

    fn read(&self, _spec: &SourceSpec, _request: ReadRequest) -> Result<SendableRecordBatchStream> {
        Err(Error::unsupported("the kafka source cannot be read yet"))
    }
}

/// The columns of every topic, which are Spark's.
fn schema(include_headers: bool) -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", timestamp, true),
        Field::new("timestampType", DataType::Int32, true),
    ];
    if include_headers {
        fields.push(Field::new("headers", DataType::List(Arc::new(header_field())), true));
    }
    Arc::new(Schema::new(fields))
}

/// One header: `STRUCT<key STRING, value BINARY>`.
fn header_field() -> Field {
    Field::new("element", DataType::Struct(header_columns()), true)
}

fn header_columns() -> Fields {
    vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)].into()
}
