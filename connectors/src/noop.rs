//! The `noop` sink: counts rows and drops them, to measure everything before it. No guarantee, no options.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use millstream_engine::Result;
use millstream_engine::checkpoint::Fence;
use millstream_engine::sink::{
    CommitMessage, Delivery, Sink, SinkContext, SinkProvider, SinkSpec, SinkWriter, WriterTask,
};

/// `USING noop`.
#[derive(Debug)]
pub(crate) struct NoopProvider;

#[async_trait]
impl SinkProvider for NoopProvider {
    fn name(&self) -> &'static str {
        "noop"
    }

    fn may_use_temporary_checkpoint(&self) -> bool {
        true
    }

    fn check(&self, spec: &SinkSpec) -> Result<()> {
        spec.options.reader("noop sink").finish()
    }

    async fn open(&self, spec: &SinkSpec, _cx: SinkContext) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Noop(spec.clone())))
    }

    fn writer(&self, _spec: &SinkSpec, _task: WriterTask) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(NoopWriter { rows: 0 }))
    }
}

#[derive(Debug)]
struct Noop(SinkSpec);

#[async_trait]
impl Sink for Noop {
    fn description(&self) -> String {
        "NoopTable".to_string()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Writers(self.0.clone())
    }

    async fn commit(&self, _batch_id: u64, _messages: Vec<CommitMessage>, _fence: &Fence) -> Result<()> {
        Ok(())
    }
}

struct NoopWriter {
    rows: u64,
}

#[async_trait]
impl SinkWriter for NoopWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<CommitMessage> {
        Ok(CommitMessage { payload: serde_json::Value::Null, rows: self.rows })
    }
}
