//! `commits/<N>`: batch N is in the sink.
//!
//! ```text
//! v1
//! {"nextBatchWatermarkMs":1704067193000}
//! ```
//! This is Spark 4.3's `CommitMetadata`, version 1. Further fields of the JSON are ours and Spark ignores them: what of
//! the batch's state counts, and the watermark of every source.

use bytes::Bytes;
use millstream_state::{NumberedLog, Place};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{VERSION_LINE, lines_of};
use crate::error::{Error, Result};

/// One file of the commit log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitEntry {
    /// The watermark that the next batch evicts with. Milliseconds since the epoch.
    #[serde(default)]
    pub next_batch_watermark_ms: i64,
    /// Our own fields, and those of a newer version.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The folder `commits`.
#[derive(Clone, Debug)]
pub struct CommitLog {
    log: NumberedLog,
    place: Place,
}

impl CommitLog {
    /// The log of the checkpoint in `checkpoint`.
    pub fn new(checkpoint: &Place) -> Self {
        let place = checkpoint.child("commits");
        Self { log: NumberedLog::new(place.clone()), place }
    }

    /// Writes the entry of `batch_id`; durable on return. `Fenced` when another run has written another one.
    pub async fn create(&self, batch_id: u64, entry: &CommitEntry) -> Result<()> {
        let json = serde_json::to_string(entry).map_err(|e| Error::internal(e.to_string()))?;
        Ok(self.log.create(batch_id, Bytes::from(format!("{VERSION_LINE}\n{json}"))).await?)
    }

    /// The entry of `batch_id`, if there is one.
    pub async fn read(&self, batch_id: u64) -> Result<Option<CommitEntry>> {
        let Some(bytes) = self.log.read(batch_id).await? else { return Ok(None) };
        let name = format!("{}/{batch_id}", self.place.url());
        let text = lines_of(&name, &bytes)?.next().unwrap_or_default();
        serde_json::from_str(text).map(Some).map_err(|e| {
            Error::corrupt(format!("{name} is damaged: its second line: {e}; restore the checkpoint from a copy"))
        })
    }

    /// The highest batch id there is.
    pub async fn latest(&self) -> Result<Option<u64>> {
        Ok(self.log.latest().await?)
    }

    /// Forgets batch `batch_id`, if it is there.
    pub async fn remove(&self, batch_id: u64) -> Result<()> {
        Ok(self.place.delete(&batch_id.to_string()).await?)
    }

    /// Forgets batches before `batch_id`.
    pub async fn remove_below(&self, batch_id: u64) -> Result<()> {
        Ok(self.log.remove_below(batch_id).await?)
    }
}
