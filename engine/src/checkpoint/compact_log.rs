//! A log of many small entries, batch by batch, folded into one file every so often: Spark's `CompactibleFileStreamLog`,
//! which keeps the files a source has seen and the files a sink has written.
//!
//! ```text
//! <dir>/8            v1, then a JSON line for each entry of batch 8
//! <dir>/9.compact    v1, then a JSON line for each live entry of batches 0 to 9
//! ```
//! Batch N is compact when (N + 1) is a multiple of the interval. Files before the newest compact one are removed once
//! they are `cleanup_delay_ms` old, so that a reader who has just listed the folder still finds them.

use std::marker::PhantomData;

use bytes::Bytes;
use millstream_state::Place;
use serde::{Serialize, de::DeserializeOwned};

use super::{VERSION_LINE, lines_of};
use crate::error::{Error, Result};

/// How a [`CompactLog`] behaves; the defaults are Spark's.
#[derive(Clone, Copy, Debug)]
pub struct CompactLogOptions {
    /// Every how many batches the log is folded.
    pub compact_interval: u64,
    /// How old a file must be before it is removed, in milliseconds.
    pub cleanup_delay_ms: u64,
    /// Whether old files are removed at all.
    pub deletes: bool,
    /// The newest batches whose files stay whatever their age.
    pub min_batches_to_retain: u64,
}

impl Default for CompactLogOptions {
    fn default() -> Self {
        Self { compact_interval: 10, cleanup_delay_ms: 600_000, deletes: true, min_batches_to_retain: 100 }
    }
}

/// The log, with entries of type `T`. One writer at a time; readers at any time.
#[derive(Clone, Debug)]
pub struct CompactLog<T> {
    place: Place,
    options: CompactLogOptions,
    /// The interval in force, once the files there have been looked at.
    interval: u64,
    _entries: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned + Clone> CompactLog<T> {
    /// The log in `place`. The interval in force is the option's, or what the compact files there were made with.
    pub async fn open(place: Place, options: CompactLogOptions) -> Result<Self> {
        let compacts: Vec<u64> =
            file_ids(&place).await?.into_iter().filter(|f| f.is_compact).map(|f| f.batch_id).collect();
        let interval = derive_interval(options.compact_interval.max(1), &compacts);
        Ok(Self { place, options, interval, _entries: PhantomData })
    }

    /// The newest batch in the log.
    pub async fn latest(&self) -> Result<Option<u64>> {
        Ok(file_ids(&self.place).await?.last().map(|f| f.batch_id))
    }

    /// Writes the entries of `batch_id`; durable on return. `live` decides which of *all* entries survive a compaction.
    /// `Fenced` when another run has written another file for this batch.
    pub async fn add(&self, batch_id: u64, entries: &[T], live: impl Fn(&T) -> bool) -> Result<()> {
        if !self.is_compact(batch_id) {
            return Ok(self.place.create(&batch_id.to_string(), encode(entries)?).await?);
        }
        let mut all = self.entries_before(batch_id).await?;
        all.extend_from_slice(entries);
        all.retain(live);
        self.place.create(&format!("{batch_id}.compact"), encode(&all)?).await?;
        Ok(())
    }

    /// As [`add`](Self::add), with every entry live: a compaction then copies lines, without reading what they say.
    pub async fn append(&self, batch_id: u64, entries: &[T]) -> Result<()> {
        if !self.is_compact(batch_id) {
            return self.add(batch_id, entries, |_| true).await;
        }
        let Some(mut text) = self.text_before(batch_id).await? else {
            return self.add(batch_id, entries, |_| true).await;
        };
        push_entries(&mut text, entries)?;
        self.place.create(&format!("{batch_id}.compact"), Bytes::from(text)).await?;
        Ok(())
    }

    /// The entries that batch `batch_id` itself added, where its file is there. A compact file does not tell its own
    /// entries from older ones: `is_own` does.
    pub async fn read(&self, batch_id: u64, is_own: impl Fn(&T) -> bool) -> Result<Option<Vec<T>>> {
        if self.is_compact(batch_id) {
            let entries = self.read_file(&format!("{batch_id}.compact")).await?;
            return Ok(entries.map(|all| all.into_iter().filter(is_own).collect()));
        }
        self.read_file(&batch_id.to_string()).await
    }

    /// Every live entry, oldest batch first.
    pub async fn all(&self) -> Result<Vec<T>> {
        match self.latest().await? {
            Some(latest) => self.entries_before(latest + 1).await,
            None => Ok(Vec::new()),
        }
    }

    /// Removes files that a newer compact file has made useless, once `now_ms` is far enough past their making.
    pub async fn clean(&self, now_ms: i64) -> Result<()> {
        if !self.options.deletes {
            return Ok(());
        }
        let entries = self.place.list().await?;
        let ids: Vec<(LogFile, i64)> =
            entries.iter().filter_map(|e| LogFile::parse(&e.name).map(|file| (file, e.modified_ms))).collect();
        let Some(latest) = ids.iter().map(|(f, _)| f.batch_id).max() else { return Ok(()) };
        let oldest_kept = (latest + 1).saturating_sub(self.options.min_batches_to_retain);
        let newest_compact =
            ids.iter().filter(|(f, _)| f.is_compact && f.batch_id <= oldest_kept).map(|(f, _)| f.batch_id).max();
        let Some(newest_compact) = newest_compact else { return Ok(()) };
        let old_enough = now_ms.saturating_sub(i64::try_from(self.options.cleanup_delay_ms).unwrap_or(i64::MAX));
        for (file, modified_ms) in ids {
            if file.batch_id < newest_compact && modified_ms <= old_enough {
                self.place.delete(&file.name()).await?;
            }
        }
        Ok(())
    }

    fn is_compact(&self, batch_id: u64) -> bool {
        (batch_id + 1).is_multiple_of(self.interval)
    }

    /// The live entries of all batches below `end`: the newest compact file, and the files after it.
    async fn entries_before(&self, end: u64) -> Result<Vec<T>> {
        let files: Vec<LogFile> = file_ids(&self.place).await?.into_iter().filter(|f| f.batch_id < end).collect();
        let Some(newest) = files.last().map(|f| f.batch_id) else { return Ok(Vec::new()) };
        let compact = files.iter().rev().find(|f| f.is_compact).copied();
        let mut all = Vec::new();
        let first = match compact {
            Some(file) => {
                all = self.must_read(&file.name()).await?;
                file.batch_id + 1
            }
            None => 0,
        };
        for batch_id in first..=newest {
            all.extend(self.must_read(&batch_id.to_string()).await?);
        }
        Ok(all)
    }

    /// The text of the compact file before batch `end`, whose own will be compact, and of the files after it. Looks for
    /// them by their names: a folder of many files is slow to list. `None` where that compact file is not there.
    async fn text_before(&self, end: u64) -> Result<Option<String>> {
        let mut text = VERSION_LINE.to_string();
        let mut names = Vec::new();
        let first = match end.checked_sub(self.interval) {
            Some(before) => {
                names.push(format!("{before}.compact"));
                before + 1
            }
            None => 0,
        };
        names.extend((first..end).map(|batch_id| batch_id.to_string()));
        for name in names {
            let Some(bytes) = self.place.read(&name).await? else { return Ok(None) };
            let name = format!("{}/{name}", self.place.url());
            for line in lines_of(&name, &bytes)?.filter(|line| !line.is_empty()) {
                if !(line.starts_with('{') && line.ends_with('}')) {
                    return Err(Error::corrupt(format!("{name} is damaged: line '{line}'; restore it from a copy")));
                }
                text.push('\n');
                text.push_str(line);
            }
        }
        Ok(Some(text))
    }

    async fn must_read(&self, name: &str) -> Result<Vec<T>> {
        self.read_file(name).await?.ok_or_else(|| {
            Error::corrupt(format!("{}/{name} is missing: restore the folder from a copy", self.place.url()))
        })
    }

    async fn read_file(&self, name: &str) -> Result<Option<Vec<T>>> {
        let Some(bytes) = self.place.read(name).await? else { return Ok(None) };
        let name = format!("{}/{name}", self.place.url());
        lines_of(&name, &bytes)?
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_str(line).map_err(|e| {
                    Error::corrupt(format!("{name} is damaged: line '{line}': {e}; restore it from a copy"))
                })
            })
            .collect::<Result<Vec<T>>>()
            .map(Some)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LogFile {
    batch_id: u64,
    is_compact: bool,
}

impl LogFile {
    fn parse(name: &str) -> Option<Self> {
        let (number, is_compact) = match name.strip_suffix(".compact") {
            Some(number) => (number, true),
            None => (name, false),
        };
        number.parse().ok().map(|batch_id| Self { batch_id, is_compact })
    }

    fn name(self) -> String {
        match self.is_compact {
            true => format!("{}.compact", self.batch_id),
            false => self.batch_id.to_string(),
        }
    }
}

async fn file_ids(place: &Place) -> Result<Vec<LogFile>> {
    let mut files: Vec<LogFile> = place.list().await?.iter().filter_map(|e| LogFile::parse(&e.name)).collect();
    files.sort_unstable();
    Ok(files)
}

fn encode<T: Serialize>(entries: &[T]) -> Result<Bytes> {
    let mut text = VERSION_LINE.to_string();
    push_entries(&mut text, entries)?;
    Ok(Bytes::from(text))
}

fn push_entries<T: Serialize>(text: &mut String, entries: &[T]) -> Result<()> {
    for entry in entries {
        text.push('\n');
        text.push_str(&serde_json::to_string(entry).map_err(|e| Error::internal(e.to_string()))?);
    }
    Ok(())
}

/// The interval that fits the compact files there are: the option's where it does, otherwise the distance between the
/// last two, otherwise the greatest divisor of the only one's number that is at most the option's.
fn derive_interval(wanted: u64, compacts: &[u64]) -> u64 {
    match compacts {
        [] => wanted,
        [.., before, last] if last > before => last - before,
        [.., only] => {
            let number = only + 1;
            (1..=number.min(wanted)).rev().find(|d| number.is_multiple_of(*d)).unwrap_or(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_what_is_there() {
        for (wanted, compacts, expected) in [
            (10, vec![], 10),
            (10, vec![9], 10),
            (5, vec![9], 5),
            (3, vec![9], 2),
            (10, vec![4, 9], 5),
            (10, vec![4], 5),
        ] {
            assert_eq!(derive_interval(wanted, &compacts), expected, "{wanted} {compacts:?}");
        }
    }

    #[tokio::test]
    async fn entries_survive_compaction_and_cleaning() {
        let place = Place::open("memory://compact-log/survive", &[]).expect("a place in memory");
        let options = CompactLogOptions {
            compact_interval: 3,
            cleanup_delay_ms: 0,
            min_batches_to_retain: 1,
            ..Default::default()
        };
        let log = CompactLog::<u64>::open(place.clone(), options).await.expect("an empty log");
        for batch_id in 0..8 {
            log.add(batch_id, &[batch_id * 10, batch_id * 10 + 1], |entry| *entry != 10).await.expect("a new batch");
        }
        let expected: Vec<u64> = (0..8).flat_map(|b| [b * 10, b * 10 + 1]).filter(|e| *e != 10).collect();
        assert_eq!(log.all().await.expect("all entries"), expected);
        log.clean(i64::MAX).await.expect("cleaning");
        let names: Vec<String> = place.list().await.expect("a listing").into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["5.compact", "6", "7"]);
        let again = CompactLog::<u64>::open(place, CompactLogOptions::default()).await.expect("an old log");
        assert_eq!(again.all().await.expect("all entries"), expected);
        assert_eq!(again.read(5, |e| e / 10 == 5).await.expect("batch 5"), Some(vec![50, 51]));
    }
}
