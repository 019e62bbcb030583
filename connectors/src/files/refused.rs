//! Formats that Spark has and this build has not: refused by name, saying what there is.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::options::Options;
use millstream_engine::sink::{Sink, SinkContext, SinkProvider, SinkSpec};
use millstream_engine::source::{ReadRequest, Source, SourceContext, SourceProvider, SourceSpec};
use millstream_engine::{Error, Result};

/// A format that cannot be read or written.
#[derive(Debug)]
pub struct RefusedFormat(&'static str);

impl RefusedFormat {
    /// Refuses the format called `name`.
    pub fn new(name: &'static str) -> Self {
        Self(name)
    }

    fn error(&self) -> Error {
        Error::unsupported(format!(
            "the {} format is not supported: files can be json, csv, parquet or text; of these parquet comes nearest",
            self.0
        ))
    }
}

#[async_trait]
impl SourceProvider for RefusedFormat {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn schema(&self, _: Option<SchemaRef>, _: &Options, _: bool, _: &Options) -> Result<SchemaRef> {
        Err(self.error())
    }

    async fn open(&self, _spec: &SourceSpec, _cx: SourceContext) -> Result<Arc<dyn Source>> {
        Err(self.error())
    }

    fn read(&self, _spec: &SourceSpec, _request: ReadRequest) -> Result<SendableRecordBatchStream> {
        Err(self.error())
    }
}

#[async_trait]
impl SinkProvider for RefusedFormat {
    fn name(&self) -> &'static str {
        self.0
    }

    fn check(&self, _spec: &SinkSpec) -> Result<()> {
        Err(self.error())
    }

    async fn open(&self, _spec: &SinkSpec, _cx: SinkContext) -> Result<Arc<dyn Sink>> {
        Err(self.error())
    }
}
