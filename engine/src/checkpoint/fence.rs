//! Of two runs on one checkpoint, the newer owns it: `runs/<k>`, created once by each run when it starts.
//!
//! A run that starts claims the next number. The run before it finds that number taken the next time it is about to make
//! anything visible, and stops with `Fenced`. What slips through between that look and the write is caught by the write
//! itself: offsets, commits and the file sink's manifest are created once, never rewritten, so at most one run gets each.
//!
//! File: JSON, `{"runId":"…","startedMs":…}`. The newest hundred are kept; a run whose own claim is gone is long fenced.

use std::sync::Arc;

use bytes::Bytes;
use millstream_state::{NumberedLog, Place};
use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, Result};

const CLAIMS_KEPT: u64 = 100;

/// A run's claim to its checkpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Claim>);

#[derive(Debug)]
struct Claim {
    runs: Place,
    number: u64,
    location: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClaimRecord {
    run_id: Uuid,
    started_ms: i64,
}

impl Fence {
    /// Claims the checkpoint for the run `run_id`: from here on, every earlier run is fenced off.
    pub async fn claim(checkpoint: &Place, run_id: Uuid, started_ms: i64) -> Result<Self> {
        let runs = checkpoint.child("runs");
        let log = NumberedLog::new(runs.clone());
        let record =
            serde_json::to_vec(&ClaimRecord { run_id, started_ms }).map_err(|e| Error::internal(e.to_string()))?;
        let mut number = log.latest().await?.map_or(0, |latest| latest + 1);
        loop {
            match log.create(number, Bytes::from(record.clone())).await {
                Ok(()) => break,
                // Another run started at the same moment: it has this number, and we are the newer one.
                Err(e) if e.kind() == millstream_state::ErrorKind::Fenced => number += 1,
                Err(e) => return Err(e.into()),
            }
        }
        log.remove_below(number.saturating_sub(CLAIMS_KEPT)).await?;
        Ok(Self(Arc::new(Claim { runs, number, location: checkpoint.url() })))
    }

    /// Fails with `Fenced` when a newer run has claimed the checkpoint. To be asked right before anything becomes visible.
    pub async fn check(&self) -> Result<()> {
        let claim = &self.0;
        let next = (claim.number + 1).to_string();
        let own = claim.number.to_string();
        let (newer, ours) = futures::try_join!(claim.runs.exists(&next), claim.runs.exists(&own))?;
        if newer || !ours {
            return Err(Error::fenced(format!(
                "another run of this query has taken over the checkpoint {}: this one stops and writes nothing more",
                claim.location
            )));
        }
        Ok(())
    }
}
