//! What a restart finds in a checkpoint, and where it goes on.
//!
//! With L the latest of `offsets/`: batch L−1 must be there too. If `commits/L` exists, the next batch is L + 1 and starts
//! where L ended; otherwise L is run again with exactly the same ranges, time and watermark.

use millstream_state::Place;
use uuid::Uuid;

use super::{CommitEntry, CommitLog, Fence, OffsetEntry, OffsetLog, QueryMetadata};
use crate::error::{Error, Result};
use crate::source::Offset;

/// An opened checkpoint folder, claimed for one run.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The folder.
    pub place: Place,
    /// The query's id.
    pub query_id: Uuid,
    /// Whether an earlier run has been here.
    pub is_restart: bool,
    /// The intents.
    pub offsets: OffsetLog,
    /// The completions.
    pub commits: CommitLog,
    /// The claim of this run.
    pub fence: Fence,
}

/// Where a restarted query goes on.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The batch to run next.
    pub next_batch_id: u64,
    /// Where each source of the last *committed* batch ended; empty for a new query.
    pub committed: Vec<Option<Offset>>,
    /// The intent of `next_batch_id`, when it was written and must be run again as it is.
    pub pending: Option<OffsetEntry>,
    /// The last committed batch's intent.
    pub last: Option<OffsetEntry>,
    /// The last committed batch's completion.
    pub last_commit: Option<CommitEntry>,
}

impl Checkpoint {
    /// Opens the folder, makes the query's id where there is none, and claims it for `run_id`.
    pub async fn open(place: Place, run_id: Uuid, now_ms: i64) -> Result<Self> {
        let (offsets, commits) = (OffsetLog::new(&place), CommitLog::new(&place));
        let (metadata, is_restart) = match QueryMetadata::read(&place).await? {
            Some(metadata) => (metadata, true),
            None if offsets.latest().await?.is_some() || commits.latest().await?.is_some() => {
                return Err(Error::corrupt(format!(
                    "{0}/metadata is missing, but {0} holds offsets or commits: restore it, or use another checkpointLocation",
                    place.url()
                )));
            }
            None => (QueryMetadata::create(&place).await?, false),
        };
        let fence = Fence::claim(&place, run_id, now_ms).await?;
        Ok(Self { place, query_id: metadata.id, is_restart, offsets, commits, fence })
    }

    /// Reads where to go on, and checks that the logs fit each other and a plan with `sources` sources.
    pub async fn recover(&self, sources: usize) -> Result<Recovered> {
        let (latest, committed) = (self.offsets.latest().await?, self.commits.latest().await?);
        let Some(latest) = latest else {
            return match committed {
                None => Ok(Recovered::default()),
                Some(batch_id) => Err(self.damaged(&format!("commits/{batch_id} has no offsets/{batch_id}"))),
            };
        };
        if committed.is_some_and(|committed| committed > latest || committed + 1 < latest) {
            let committed = committed.unwrap_or_default();
            return Err(self.damaged(&format!("its latest batches are offsets/{latest} and commits/{committed}")));
        }
        let entry = self.must_read(latest).await?;
        self.check_sources(latest, &entry, sources)?;
        if let Some(commit) = self.commits.read(latest).await? {
            return Ok(Recovered {
                next_batch_id: latest + 1,
                committed: entry.offsets.clone(),
                pending: None,
                last: Some(entry),
                last_commit: Some(commit),
            });
        }
        let (last, last_commit) = match latest.checked_sub(1) {
            None => (None, None),
            Some(before) => {
                let last = self.must_read(before).await?;
                self.check_sources(before, &last, sources)?;
                let commit = self.commits.read(before).await?;
                let commit = commit.ok_or_else(|| self.damaged(&format!("commits/{before} is missing")))?;
                (Some(last), Some(commit))
            }
        };
        let committed = last.as_ref().map(|last| last.offsets.clone()).unwrap_or_default();
        Ok(Recovered { next_batch_id: latest, committed, pending: Some(entry), last, last_commit })
    }

    async fn must_read(&self, batch_id: u64) -> Result<OffsetEntry> {
        self.offsets.read(batch_id).await?.ok_or_else(|| self.damaged(&format!("offsets/{batch_id} is missing")))
    }

    fn check_sources(&self, batch_id: u64, entry: &OffsetEntry, sources: usize) -> Result<()> {
        if entry.offsets.len() == sources {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the checkpoint {} belongs to another query: offsets/{batch_id} has {} sources and this query has {sources}; \
             use the query it was made with, or another checkpointLocation",
            self.place.url(),
            entry.offsets.len()
        )))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::corrupt(format!("the checkpoint {} is damaged: {what}; restore it from a copy", self.place.url()))
    }
}
