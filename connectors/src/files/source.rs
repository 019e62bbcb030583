//! The driver's half of the file source: which files a batch reads.
//!
//! ```text
//! latest   list → drop what has been seen → oldest first → cut at the limit → log entry N, durable → {"logOffset":N}
//! splits   log entries in (from, to] → pieces of files
//! commit   files of the batch are archived or deleted, where cleanSource says so
//! ```
//! The log is `sources/<i>/<N>`, Spark's `FileStreamSourceLog`: one line a file. Files are taken in order of their
//! modification times; a file that changes after it was read is not read again.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use millstream_engine::checkpoint::CompactLog;
use millstream_engine::clock::{Clock, Stopwatch};
use millstream_engine::source::{Offset, ReadLimit, Source, SourceContext, Split};
use millstream_engine::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::cleaner::Cleaner;
use super::listing::Listing;
use super::location::{FoundFile, Location};
use super::manifest::log_options;
use super::options::{Clean, FileSourceOptions};
use super::seen::SeenFiles;
use super::split::{self, FileToRead};

/// A listing that takes longer than this is worth a warning, in milliseconds.
const SLOW_LISTING_MS: u128 = 2000;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogEntry {
    /// The file's URI.
    path: String,
    /// Its modification time, in milliseconds since the epoch.
    timestamp: i64,
    /// The log entry it is part of.
    batch_id: u64,
}

/// The source.
#[derive(Debug)]
pub(super) struct FileSource {
    // Fixed.
    options: FileSourceOptions,
    listing: Listing,
    clock: Arc<dyn Clock>,
    cleaner: Option<Cleaner>,
    // Changes.
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    log: CompactLog<LogEntry>,
    /// The newest entry of the log.
    latest: Option<u64>,
    seen: SeenFiles,
    /// What the last listing found beyond the limit.
    unread: VecDeque<FoundFile>,
    /// The last few entries of the log, so that planning a batch reads no files.
    recent: VecDeque<(u64, Vec<FoundFile>)>,
    /// An entry that was being written when its future was dropped: it may or may not be in the log.
    pending: Option<(u64, Vec<FoundFile>)>,
    /// The files that "available now" ends with.
    available_now: Option<Vec<FoundFile>>,
    /// The newest entry whose files have been cleaned.
    cleaned: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogOffset {
    log_offset: u64,
}

/// Every how many entries old files of the log are removed.
const CLEAN_INTERVAL: u64 = 50;

/// How many entries of the log are kept in memory.
const RECENT_ENTRIES: usize = 4;

impl FileSource {
    /// Opens the source and reads what it has seen in earlier runs.
    pub(super) async fn open(options: FileSourceOptions, cx: SourceContext) -> Result<Self> {
        let listing = Listing::new(options.location.clone(), options.lookup.clone())?;
        if !matches!(options.clean, Clean::Off) && listing.has_manifest().await? {
            return Err(Error::invalid(format!(
                "option 'cleanSource' cannot be used on {}: it is the output of a file sink, whose log would name files that are gone; set it to off",
                options.location.display()
            )));
        }
        let mut log_options = log_options(&cx.conf, "fileSource")?;
        if cx.conf.get("spark.sql.streaming.fileSource.log.cleanupDelay").is_none() {
            // Nobody reads this log but its query, so that a file that is folded in need not wait for its readers.
            log_options.cleanup_delay_ms = 0;
        }
        let log = CompactLog::<LogEntry>::open(cx.metadata, log_options).await?;
        let latest = log.latest().await?;
        let mut seen = SeenFiles::new(options.max_age_ms, options.file_name_only);
        for entry in log.all().await? {
            seen.add(&Location::from_uri(&entry.path)?.path, entry.timestamp);
        }
        seen.purge();
        let progress = Progress {
            log,
            latest,
            seen,
            unread: VecDeque::new(),
            recent: VecDeque::new(),
            pending: None,
            available_now: None,
            cleaned: None,
        };
        let cleaner = Cleaner::new(&options);
        Ok(Self { options, listing, clock: cx.clock, cleaner, progress: Mutex::new(progress) })
    }

    /// All files, oldest first (or newest first).
    async fn all_files(&self) -> Result<Vec<FoundFile>> {
        let watch = Stopwatch::start();
        let mut files = self.listing.files().await?;
        files.sort_by_key(|file| file.modified_ms);
        if self.options.latest_first {
            files.sort_by_key(|file| std::cmp::Reverse(file.modified_ms));
        }
        let elapsed_ms = watch.elapsed().as_millis();
        if elapsed_ms > SLOW_LISTING_MS {
            tracing::warn!("listing {} took {elapsed_ms} ms", self.options.location.display());
        }
        Ok(files)
    }

    /// The files of the next batch. What is left of a listing may stay for the batch after it.
    async fn next_files(&self, progress: &mut Progress, limit: &ReadLimit) -> Result<Vec<FoundFile>> {
        let from_cache = !progress.unread.is_empty();
        let mut new: VecDeque<FoundFile> = match (from_cache, &progress.available_now) {
            (true, _) => std::mem::take(&mut progress.unread),
            (false, Some(fixed)) => fixed.iter().filter(|file| progress.seen.is_new(file)).cloned().collect(),
            (false, None) => self.all_files().await?.into_iter().filter(|f| progress.seen.is_new(f)).collect(),
        };
        let taken = take(&mut new, limit);
        if !self.options.latest_first && self.is_worth_keeping(&new, limit) {
            new.truncate(self.options.max_cached_files);
            progress.unread = new;
        }
        Ok(taken)
    }

    /// Whether the rest of a listing is large enough for a batch of its own; otherwise the next batch lists again.
    fn is_worth_keeping(&self, rest: &VecDeque<FoundFile>, limit: &ReadLimit) -> bool {
        let (rest_size, batch_size) = match smallest(limit) {
            Some(ReadLimit::MaxFiles(files)) => (rest.len() as f64, *files as f64),
            Some(ReadLimit::MaxBytes(bytes)) => {
                (rest.iter().map(|file| file.size_bytes as f64).sum::<f64>(), *bytes as f64)
            }
            _ => return false,
        };
        rest_size >= batch_size * self.options.discard_ratio
    }

    fn entries(&self, batch_id: u64, files: &[FoundFile]) -> Vec<LogEntry> {
        let uri = |file: &FoundFile| self.options.location.store.uri(&file.path);
        files.iter().map(|f| LogEntry { path: uri(f), timestamp: f.modified_ms, batch_id }).collect()
    }

    /// Makes `pending` durable.
    async fn write_pending(&self, progress: &mut Progress) -> Result<()> {
        let Some((batch_id, files)) = &progress.pending else { return Ok(()) };
        progress.log.append(*batch_id, &self.entries(*batch_id, files)).await?;
        if let Some((batch_id, files)) = progress.pending.take() {
            for file in &files {
                progress.seen.add(&file.path, file.modified_ms);
            }
            progress.seen.purge();
            progress.latest = Some(batch_id);
            progress.recent.push_back((batch_id, files));
            if progress.recent.len() > RECENT_ENTRIES {
                progress.recent.pop_front();
            }
            if (batch_id + 1).is_multiple_of(CLEAN_INTERVAL) {
                progress.log.clean(self.clock.now_ms()).await?;
            }
        }
        Ok(())
    }

    /// The files of one log entry.
    async fn files_of(&self, progress: &Progress, batch_id: u64) -> Result<Vec<FileToRead>> {
        let to_read = |path: &str, uri: String, size_bytes: Option<u64>, modified_ms: i64| FileToRead {
            values: self.listing.partition_values(path),
            uri,
            size_bytes,
            modified_ms,
        };
        if let Some((_, files)) = progress.recent.iter().find(|(id, _)| *id == batch_id) {
            let uri = |file: &FoundFile| self.options.location.store.uri(&file.path);
            return Ok(files.iter().map(|f| to_read(&f.path, uri(f), Some(f.size_bytes), f.modified_ms)).collect());
        }
        let entries = progress.log.read(batch_id, |entry| entry.batch_id == batch_id).await?.ok_or_else(|| {
            Error::corrupt(format!(
                "entry {batch_id} of the log of {} is missing: restore the checkpoint from a copy",
                self.description()
            ))
        })?;
        entries
            .into_iter()
            .map(|entry| {
                let path = Location::from_uri(&entry.path)?.path;
                Ok(to_read(&path, entry.path, None, entry.timestamp))
            })
            .collect()
    }
}

/// The limit that is in force, unless everything is to be taken.
fn smallest(limit: &ReadLimit) -> Option<&ReadLimit> {
    match limit {
        ReadLimit::All(limits) if limits.contains(&ReadLimit::AllAvailable) => None,
        ReadLimit::All(limits) => limits.iter().find_map(smallest),
        ReadLimit::MaxFiles(_) | ReadLimit::MaxBytes(_) => Some(limit),
        _ => None,
    }
}

/// Takes the first files, as many as `limit` allows, one at least.
fn take(files: &mut VecDeque<FoundFile>, limit: &ReadLimit) -> Vec<FoundFile> {
    let count = match smallest(limit) {
        Some(ReadLimit::MaxFiles(max_files)) => usize::try_from(*max_files).unwrap_or(usize::MAX),
        Some(ReadLimit::MaxBytes(max_bytes)) => {
            let mut total_bytes = 0u64;
            let fits = files.iter().take_while(|file| {
                total_bytes = total_bytes.saturating_add(file.size_bytes);
                total_bytes <= *max_bytes
            });
            fits.count().max(1)
        }
        _ => usize::MAX,
    };
    files.drain(..count.min(files.len())).collect()
}

fn offset(log_offset: u64) -> Offset {
    Offset::new(serde_json::json!({ "logOffset": log_offset }))
}

fn number(from: Option<&Offset>) -> Result<Option<u64>> {
    from.map(|offset| offset.decode::<LogOffset>("file").map(|o| o.log_offset)).transpose()
}

#[async_trait]
impl Source for FileSource {
    fn description(&self) -> String {
        format!("FileStreamSource[{}]", self.options.location.display())
    }

    fn read_limit(&self) -> ReadLimit {
        self.options.limit.clone()
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        Ok(None)
    }

    async fn latest(&self, from: Option<&Offset>, limit: &ReadLimit) -> Result<Option<Offset>> {
        let from = number(from)?;
        let mut progress = self.progress.lock().await;
        self.write_pending(&mut progress).await?;
        // What is in the log and in no batch is the next batch: of a run that ended between the two.
        if progress.latest > from {
            return Ok(progress.latest.map(offset));
        }
        let files = self.next_files(&mut progress, limit).await?;
        if !files.is_empty() {
            let next = progress.latest.max(from).map_or(0, |latest| latest + 1);
            progress.pending = Some((next, files));
            self.write_pending(&mut progress).await?;
        }
        Ok(progress.latest.max(from).map(offset))
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let first = number(from)?.map_or(0, |from| from + 1);
        let last = number(Some(to))?.unwrap_or(0);
        let progress = self.progress.lock().await;
        let mut files = Vec::new();
        for batch_id in first..=last {
            files.extend(self.files_of(&progress, batch_id).await?);
        }
        for file in files.iter_mut().filter(|file| file.size_bytes.is_none()) {
            let path = Location::from_uri(&file.uri)?.path;
            file.size_bytes = self.options.location.store.size_bytes(&path).await;
        }
        split::cut(files, &self.options.format, self.options.ignore_missing, self.options.tasks)
    }

    async fn commit(&self, offset: &Offset) -> Result<()> {
        let Some(cleaner) = &self.cleaner else { return Ok(()) };
        let Some(done) = number(Some(offset))? else { return Ok(()) };
        let mut progress = self.progress.lock().await;
        let first = progress.cleaned.map_or(done, |cleaned| cleaned + 1);
        let mut paths = Vec::new();
        for batch_id in first..=done {
            for file in self.files_of(&progress, batch_id).await? {
                paths.push(Location::from_uri(&file.uri)?.path);
            }
        }
        progress.cleaned = progress.cleaned.max(Some(done));
        cleaner.clean(paths);
        Ok(())
    }

    async fn prepare_available_now(&self) -> Result<bool> {
        let files = self.all_files().await?;
        self.progress.lock().await.available_now = Some(files);
        Ok(true)
    }

    async fn stop(&self) {
        if let Some(cleaner) = &self.cleaner {
            cleaner.finish().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Batches taken one after the other have every file once, in order; each is within its limit, unless a single
        /// file is larger, and none could have taken the next file too.
        #[test]
        fn limits_cut_without_loss(sizes in prop::collection::vec(0u64..50, 0..40), max in 1u64..60, by_bytes: bool) {
            let limit = if by_bytes { ReadLimit::MaxBytes(max) } else { ReadLimit::MaxFiles(max) };
            let all: Vec<FoundFile> = sizes
                .iter()
                .enumerate()
                .map(|(n, size_bytes)| FoundFile { path: format!("/{n}"), size_bytes: *size_bytes, modified_ms: 0 })
                .collect();
            let mut left: VecDeque<FoundFile> = all.iter().cloned().collect();
            let mut taken = Vec::new();
            while !left.is_empty() {
                let batch = take(&mut left, &limit);
                prop_assert!(!batch.is_empty());
                let measure = |files: &[FoundFile]| match by_bytes {
                    true => files.iter().map(|file| file.size_bytes).sum::<u64>(),
                    false => files.len() as u64,
                };
                prop_assert!(measure(&batch) <= max || batch.len() == 1);
                if let Some(next) = left.front() {
                    let more: Vec<FoundFile> = batch.iter().chain([next]).cloned().collect();
                    prop_assert!(measure(&more) > max);
                }
                taken.extend(batch);
            }
            prop_assert_eq!(taken, all);
        }
    }
}
