//! The checkpoint folder: what is durable about a query, in Spark 4.3's text formats, and what a restart does with it.
//!
//! ```text
//! metadata          {"id":"…"}: the query's id, written once
//! offsets/<N>       the intent of batch N, written before it runs        offset_log.rs
//! commits/<N>       batch N is in the sink, written after                commit_log.rs
//! sources/<i>/      what source i keeps                                  compact_log.rs
//! runs/<k>          ours: which run owns the checkpoint                  fence.rs
//! state/            ours: the state store
//! ```
//! # Invariants
//! 1. `offsets/N` exists before anything of batch N runs, and never changes.
//! 2. `commits/N` exists only when the sink has batch N.
//! 3. Ids are contiguous: with `offsets/N` there are all of `offsets/M..N` that purging has left.
//! 4. Only the run that owns the newest `runs/<k>` makes anything visible.

mod commit_log;
mod compact_log;
mod fence;
mod metadata;
mod offset_log;
mod purge;
mod recovery;

pub use commit_log::{CommitEntry, CommitLog};
pub use compact_log::{CompactLog, CompactLogOptions};
pub use fence::Fence;
pub use metadata::QueryMetadata;
pub use offset_log::{OffsetEntry, OffsetLog, PINNED_CONF};
pub(crate) use purge::Purge;
pub use recovery::{Checkpoint, Recovered};

use crate::error::{Error, Result};

/// The first line of every log file, as Spark writes it.
const VERSION_LINE: &str = "v1";

/// The lines after the version line of the log file called `name`.
fn lines_of<'a>(name: &str, bytes: &'a [u8]) -> Result<std::str::Lines<'a>> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::corrupt(format!("{name} is not text: restore the checkpoint from a copy")))?;
    let mut lines = text.lines();
    match lines.next() {
        Some(VERSION_LINE) => Ok(lines),
        Some(other) if other.starts_with('v') && other[1..].parse::<u32>().is_ok() => Err(Error::unsupported(format!(
            "{name} has log version {other}, this build reads {VERSION_LINE}: go on with the engine that wrote it"
        ))),
        _ => Err(Error::corrupt(format!(
            "{name} is damaged: it must start with the line {VERSION_LINE}; restore the checkpoint from a copy"
        ))),
    }
}
