//! `offsets/<N>`: the intent of batch N, durable before anything of it runs.
//!
//! ```text
//! v1
//! {"batchWatermarkMs":0,"batchTimestampMs":1795330141254,"conf":{…}}
//! {"logOffset":0}                          one line a source, in plan order; - where a source has nothing yet
//! ```
//! This is Spark 4.3's `OffsetSeq` format, version 1. Further fields of the JSON are ours and Spark ignores them.

use bytes::Bytes;
use millstream_state::{NumberedLog, Place};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{VERSION_LINE, lines_of};
use crate::error::{Error, Result};
use crate::source::Offset;

/// The configuration that Spark 4.3 pins in `conf`, with its defaults, so that Spark can go on from our checkpoint.
/// `spark.sql.shuffle.partitions` and the watermark policy are put in by the query.
pub const PINNED_CONF: &[(&str, &str)] = &[
    (
        "spark.sql.streaming.stateStore.providerClass",
        "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider",
    ),
    ("spark.sql.dropDuplicates.deterministicKeyOrder.enabled", "true"),
    ("spark.sql.streaming.stateStore.rocksdb.mergeOperatorVersion", "2"),
    ("spark.sql.streaming.stateStore.rocksdb.formatVersion", "5"),
    ("spark.sql.streaming.queryEvolution.enableSourceEvolution", "false"),
    ("spark.sql.streaming.stateStore.encodingFormat", "unsaferow"),
    ("spark.sql.streaming.statefulOperator.useStrictDistribution", "true"),
    ("spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion", "2"),
    ("spark.sql.streaming.multipleWatermarkPolicy", "min"),
    ("spark.sql.streaming.stateStore.rowChecksum.enabled", "false"),
    ("spark.sql.streaming.statefulOperator.alwaysNullableOutput.enabled", "true"),
    ("spark.sql.streaming.aggregation.stateFormatVersion", "2"),
    ("spark.sql.function.protobufExtensions.enabled", "false"),
    ("spark.sql.shuffle.partitions", "200"),
    ("spark.sql.streaming.join.stateFormatVersion", "2"),
    ("spark.sql.streaming.stateStore.compression.codec", "lz4"),
    ("spark.sql.optimizer.pruneFiltersCanPruneStreamingSubplan", "false"),
];

/// One file of the offset log.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetEntry {
    /// W(N): the watermark that batch N evicts with. Milliseconds since the epoch.
    pub watermark_ms: i64,
    /// What `current_timestamp()` answers in batch N. Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Configuration that must stay the same from run to run.
    pub conf: Map<String, Value>,
    /// Where each source of the plan ends in this batch.
    pub offsets: Vec<Option<Offset>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    batch_watermark_ms: i64,
    batch_timestamp_ms: i64,
    #[serde(default)]
    conf: Map<String, Value>,
}

impl OffsetEntry {
    fn encode(&self) -> Result<Bytes> {
        let header = Header {
            batch_watermark_ms: self.watermark_ms,
            batch_timestamp_ms: self.timestamp_ms,
            conf: self.conf.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|e| Error::internal(e.to_string()))?;
        let mut text = format!("{VERSION_LINE}\n{header}");
        for offset in &self.offsets {
            text.push('\n');
            match offset {
                Some(offset) => text.push_str(&offset.to_string()),
                None => text.push('-'),
            }
        }
        Ok(Bytes::from(text))
    }

    fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let mut lines = lines_of(name, bytes)?;
        let damaged =
            |what: &str| Error::corrupt(format!("{name} is damaged: {what}; restore the checkpoint from a copy"));
        let header = lines.next().ok_or_else(|| damaged("its second line is missing"))?;
        let header: Header = serde_json::from_str(header).map_err(|e| damaged(&format!("its second line: {e}")))?;
        let offsets = lines
            .map(|line| match line {
                "-" => Ok(None),
                text => Offset::parse(text).map(Some).map_err(|e| damaged(e.message())),
            })
            .collect::<Result<Vec<_>>>()?;
        if offsets.is_empty() {
            return Err(damaged("it has no offsets"));
        }
        Ok(Self {
            watermark_ms: header.batch_watermark_ms,
            timestamp_ms: header.batch_timestamp_ms,
            conf: header.conf,
            offsets,
        })
    }
}

/// The folder `offsets`.
#[derive(Clone, Debug)]
pub struct OffsetLog {
    log: NumberedLog,
    place: Place,
}

impl OffsetLog {
    /// The log of the checkpoint in `checkpoint`.
    pub fn new(checkpoint: &Place) -> Self {
        let place = checkpoint.child("offsets");
        Self { log: NumberedLog::new(place.clone()), place }
    }

    /// Writes the entry of `batch_id`; durable on return. `Fenced` when another run has written another one.
    pub async fn create(&self, batch_id: u64, entry: &OffsetEntry) -> Result<()> {
        Ok(self.log.create(batch_id, entry.encode()?).await?)
    }

    /// The entry of `batch_id`, if there is one.
    pub async fn read(&self, batch_id: u64) -> Result<Option<OffsetEntry>> {
        let Some(bytes) = self.log.read(batch_id).await? else { return Ok(None) };
        OffsetEntry::decode(&format!("{}/{batch_id}", self.place.url()), &bytes).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// Written by Spark 4.3.0, its configuration shortened.
    const SPARKS: &str = "v1\n{\"batchWatermarkMs\":0,\"batchTimestampMs\":1795371051444,\"conf\":{\"spark.sql.streaming.multipleWatermarkPolicy\":\"min\",\"spark.sql.shuffle.partitions\":\"200\"}}\n{\"logOffset\":3}\n-\n7";

    #[test]
    fn sparks_file_is_read_and_written_alike() {
        let entry = OffsetEntry::decode("offsets/3", SPARKS.as_bytes()).expect("Spark's own file");
        assert_eq!(entry.timestamp_ms, 1_795_371_051_444);
        assert_eq!(entry.offsets[0], Some(Offset::new(serde_json::json!({"logOffset": 3}))));
        assert_eq!(entry.offsets[1], None);
        assert_eq!(entry.offsets[2], Some(Offset::new(serde_json::json!(7))));
        assert_eq!(entry.encode().expect("an entry"), SPARKS.as_bytes());
    }

    #[test]
    fn every_cut_file_is_corrupt_and_named() {
        for end in 0..SPARKS.len() {
            // A cut at the end of a line or inside the last number leaves a shorter, valid file: the number of sources,
            // checked when a query restarts, tells the first; a file is created whole, which rules out the second.
            if SPARKS[..end].lines().count() > 2 && OffsetEntry::decode("f", &SPARKS.as_bytes()[..end]).is_ok() {
                continue;
            }
            let error =
                OffsetEntry::decode("offsets/3", &SPARKS.as_bytes()[..end]).expect_err("a cut file was accepted");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {end}");
            assert!(error.message().contains("offsets/3"), "{error}");
        }
    }

    #[test]
    fn another_log_version_is_not_called_damaged() {
        let error = OffsetEntry::decode("offsets/0", b"v2\n{}").expect_err("version 2 was accepted");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
