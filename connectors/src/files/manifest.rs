//! `_spark_metadata`: which files of a folder count, batch by batch. Spark's `FileStreamSinkLog`.
//!
//! ```text
//! <folder>/_spark_metadata/<N>    v1, then a line for each file of batch N:
//! {"path":"file:///…","size":680,"isDir":false,"modificationTime":1795330414930,"blockReplication":1,"blockSize":33554432,"action":"add"}
//! ```
//! A file that is not in it is no part of the table: it is of an attempt that failed, or of a batch not yet committed.

use std::collections::HashSet;

use millstream_engine::checkpoint::{CompactLog, CompactLogOptions};
use millstream_engine::options::Options;
use millstream_engine::state::Place;
use millstream_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::location::{FoundFile, Location};

/// The folder, inside the one whose files it lists.
pub(super) const MANIFEST_FOLDER: &str = "_spark_metadata";

/// A file of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SinkFile {
    /// Its URI.
    pub(super) path: String,
    /// Its length in bytes.
    pub(super) size: u64,
    is_dir: bool,
    /// When it was written, in milliseconds since the epoch.
    pub(super) modification_time: i64,
    block_replication: u32,
    block_size: u64,
    /// `add`; Spark before 2.3 also wrote `delete`.
    action: String,
}

impl SinkFile {
    /// A file that belongs to the table from now on.
    pub(super) fn added(path: String, size: u64, modified_ms: i64) -> Self {
        Self {
            path,
            size,
            is_dir: false,
            modification_time: modified_ms,
            block_replication: 1,
            block_size: 32 << 20,
            action: "add".to_string(),
        }
    }
}

/// The settings `spark.sql.streaming.<log>.log.*` of a compactible log (`fileSink` or `fileSource`).
pub(super) fn log_options(conf: &Options, log: &str) -> Result<CompactLogOptions> {
    let defaults = CompactLogOptions::default();
    let mut reader = conf.reader("configuration");
    let prefix = format!("spark.sql.streaming.{log}.log");
    let compact_interval = reader.positive(&format!("{prefix}.compactInterval"))?.unwrap_or(defaults.compact_interval);
    let delay_name = format!("{prefix}.cleanupDelay");
    let cleanup_delay_ms = match reader.text(&delay_name) {
        None => defaults.cleanup_delay_ms,
        Some(text) => super::options::milliseconds(&text)
            .ok_or_else(|| reader.bad_value(&delay_name, &text, "a time such as '10m'"))?,
    };
    let deletes = reader.flag(&format!("{prefix}.deletion"), true)?;
    let min_batches_to_retain =
        reader.positive("spark.sql.streaming.minBatchesToRetain")?.unwrap_or(defaults.min_batches_to_retain);
    Ok(CompactLogOptions { compact_interval, cleanup_delay_ms, deletes, min_batches_to_retain })
}

/// The manifest's place in `folder`.
pub(super) fn manifest_place(folder: &Location) -> Result<Place> {
    Ok(Place::open(&folder.text(), &[])?.child(MANIFEST_FOLDER))
}

/// The files of a folder that has a manifest, as the manifest says. Remembers what it has read.
#[derive(Debug)]
pub(super) struct ManifestReader {
    log: CompactLog<SinkFile>,
    seen: tokio::sync::Mutex<Option<(u64, Vec<FoundFile>)>>,
}

impl ManifestReader {
    /// The reader of `folder`'s manifest, or `None` where it has none.
    pub(super) async fn open(folder: &Location) -> Result<Option<Self>> {
        let exists = folder.store.exists(&folder.child(MANIFEST_FOLDER).path).await?;
        if !exists {
            return Ok(None);
        }
        let log = CompactLog::open(manifest_place(folder)?, CompactLogOptions::default()).await?;
        Ok(Some(Self { log, seen: tokio::sync::Mutex::default() }))
    }

    /// Every file that belongs to the table, in the order of the batches.
    pub(super) async fn files(&self) -> Result<Vec<FoundFile>> {
        let Some(latest) = self.log.latest().await? else { return Ok(Vec::new()) };
        let mut seen = self.seen.lock().await;
        if let Some((batch_id, files)) = seen.as_ref()
            && *batch_id == latest
        {
            return Ok(files.clone());
        }
        let entries = self.log.all().await?;
        let deleted: HashSet<&str> =
            entries.iter().filter(|file| file.action == "delete").map(|file| file.path.as_str()).collect();
        let added = entries.iter().filter(|file| file.action == "add" && !deleted.contains(file.path.as_str()));
        let files = added.map(|file| {
            let location = Location::from_uri(&file.path).map_err(|e| Error::corrupt(e.message()))?;
            Ok(FoundFile { path: location.path, size_bytes: file.size, modified_ms: file.modification_time })
        });
        let files = files.collect::<Result<Vec<_>>>()?;
        *seen = Some((latest, files.clone()));
        Ok(files)
    }
}
