//! Old files of the logs, removed beside the batches: unlinking takes a disk as long as writing, and nobody waits for it.

use tokio::task::JoinHandle;

use super::{CommitLog, OffsetLog};
use crate::error::{Error, Result};

/// Removes what batches have left behind, one removal at a time.
#[derive(Debug)]
pub(crate) struct Purge {
    offsets: OffsetLog,
    commits: CommitLog,
    running: Option<JoinHandle<Result<()>>>,
}

impl Purge {
    pub(crate) fn new(offsets: OffsetLog, commits: CommitLog) -> Self {
        Self { offsets, commits, running: None }
    }

    /// Sets out to remove the files of `batch_id`, once those before it are gone: a crash leaves no gap.
    ///
    /// # Errors
    /// Of the removal before this one.
    pub(crate) async fn remove(&mut self, batch_id: u64) -> Result<()> {
        self.finish().await?;
        let (offsets, commits) = (self.offsets.clone(), self.commits.clone());
        self.running = Some(tokio::spawn(async move {
            offsets.remove(batch_id).await?;
            commits.remove(batch_id).await
        }));
        Ok(())
    }

    /// Waits until everything is removed.
    ///
    /// # Errors
    /// Of the last removal.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        match self.running.take() {
            Some(running) => running.await.map_err(|e| Error::internal(format!("a removal did not end: {e}")))?,
            None => Ok(()),
        }
    }
}
