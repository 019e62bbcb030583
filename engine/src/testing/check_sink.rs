//! The contract of [`Sink`], as a check.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_execution::TaskContext;
use millstream_state::Place;
use uuid::Uuid;

use crate::checkpoint::Fence;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{BatchRows, CommitMessage, Delivery, Sink, SinkProvider, WriterTask};

/// Checks [`Sink`]'s contract: `batches` are written as batches 0, 1, 2 …, each committed twice; after each, `read` must
/// give the rows of all batches so far (in any order), and nothing of a batch that was written and not committed. For a
/// sink with writers, a fenced run must not get anything in. `checkpoint` is a fresh place.
pub async fn check_sink(
    provider: &dyn SinkProvider,
    sink: &dyn Sink,
    checkpoint: &Place,
    batches: &[RecordBatch],
    mut read: impl AsyncFnMut() -> Result<usize>,
) -> Result<()> {
    let fence = Fence::claim(checkpoint, Uuid::new_v4(), 0).await?;
    let mut rows = 0;
    for (batch_id, batch) in (0u64..).zip(batches) {
        match sink.delivery() {
            Delivery::Writers(_) => {
                write(provider, sink, batch_id, batch).await?;
                expect(read().await?, rows, "atomic: rows that were not committed must not be seen")?;
                let messages = write(provider, sink, batch_id, batch).await?;
                sink.commit(batch_id, messages, &fence).await?;
                rows += batch.num_rows();
                expect(read().await?, rows, "a committed batch must be seen, once")?;
                let again = write(provider, sink, batch_id, batch).await?;
                sink.commit(batch_id, again, &fence).await?;
            }
            Delivery::Rows => {
                for _ in 0..2 {
                    sink.accept(BatchRows { batch_id, schema: batch.schema(), partitions: vec![vec![batch.clone()]] })
                        .await?;
                }
                rows += batch.num_rows();
            }
        }
        expect(read().await?, rows, "idempotent: a batch that comes again must have no second effect")?;
    }
    if let (Delivery::Writers(_), Some(batch)) = (sink.delivery(), batches.first()) {
        let _newer = Fence::claim(checkpoint, Uuid::new_v4(), 0).await?;
        let batch_id = batches.len() as u64;
        let messages = write(provider, sink, batch_id, batch).await?;
        let refused = sink.commit(batch_id, messages, &fence).await.err().map(|e| e.kind());
        expect(usize::from(refused == Some(ErrorKind::Fenced)), 1, "fenced: a run that was replaced must not commit")?;
        expect(read().await?, rows, "fenced: nothing of a run that was replaced may be seen")?;
    }
    Ok(())
}

async fn write(
    provider: &dyn SinkProvider,
    sink: &dyn Sink,
    batch_id: u64,
    batch: &RecordBatch,
) -> Result<Vec<CommitMessage>> {
    let Delivery::Writers(spec) = sink.delivery() else { return Ok(Vec::new()) };
    let mut messages = Vec::new();
    let (half, attempt) = (batch.num_rows() / 2, Uuid::new_v4());
    for (partition, part) in [batch.slice(0, half), batch.slice(half, batch.num_rows() - half)].into_iter().enumerate()
    {
        let context = Arc::new(TaskContext::default());
        let task = WriterTask { partition, batch_id, attempt, context };
        let mut writer = provider.writer(&spec, task)?;
        writer.write(part).await?;
        messages.push(writer.finish().await?);
    }
    Ok(messages)
}

fn expect(seen: usize, wanted: usize, promise: &str) -> Result<()> {
    match seen == wanted {
        true => Ok(()),
        false => Err(Error::internal(format!("broken promise: {promise} (expected {wanted}, saw {seen})"))),
    }
}
