//! Kafka: topics as streams and tables, over librdkafka.
//!
//! ```text
//! source   lookup (which partitions, how far) → range of offsets → a split for each reader → fetched in bulk, into columns
//! sink     columns → messages, queued a batch a call → acknowledged → with `exactlyOnce`: one transaction, committed
//! ```
//! # Read next
//! `options.rs` (what a user can say) → `source.rs` (which offsets a batch reads) → `reader.rs` (offsets to rows) →
//! `native.rs` (librdkafka's fast calls); `sink.rs` → `producer.rs` → `transaction.rs`. Unsafe code is in `native.rs` and
//! `native_producer.rs` alone.

mod ahead;
mod client;
mod columns;
mod lane;
mod limits;
mod lookup;
mod loss;
mod native;
mod native_producer;
mod offsets;
mod options;
mod planned;
mod position;
mod producer;
mod reader;
mod records;
mod security;
mod sink;
mod source;
mod subscription;
mod table;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::Result;
use millstream_engine::options::Options;
use millstream_engine::source::{ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split, StaticRefresh};

use crate::rate::refuse_schema;
use crate::rows::default_parallelism;
use options::KafkaSourceOptions;
pub use sink::KafkaSinkProvider;
use source::KafkaSource;

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

    async fn open(&self, spec: &SourceSpec, cx: SourceContext) -> Result<Arc<dyn Source>> {
        let options = KafkaSourceOptions::parse(&spec.options, true)?;
        let readers = readers(&cx.conf)?;
        Ok(Arc::new(KafkaSource::open(options, readers, cx)?))
    }

    async fn batch_splits(&self, spec: &SourceSpec) -> Result<Vec<Split>> {
        table::splits(spec, default_parallelism()).await
    }

    /// Spark reads a topic beside a stream anew for every batch.
    fn static_refresh(&self, spec: &SourceSpec) -> Result<StaticRefresh> {
        match spec.options.get(StaticRefresh::OPTION) {
            None => Ok(StaticRefresh::EveryBatch),
            Some(_) => StaticRefresh::of_options(&spec.options),
        }
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        reader::read(spec, request)
    }
}

/// As many as the plan has partitions for the rows of a stream.
fn readers(conf: &Options) -> Result<usize> {
    let configured = conf.reader("configuration").positive("millstream.source.partitions")?;
    Ok(configured.and_then(|readers| usize::try_from(readers).ok()).unwrap_or_else(default_parallelism))
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
