//! A topic read as a batch: from where the starting options say to where the ending options say, as of now.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millstream_engine::options::Options;
use millstream_engine::source::{SourceSpec, Split};
use millstream_engine::{Error, Result};

use super::limits::{Range, cut};
use super::lookup::Lookup;
use super::loss::{Lost, There, data_loss};
use super::options::KafkaSourceOptions;
use super::planned::{self, Readers};
use super::position;

/// A client that nobody has asked anything for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Clients to ask with, by the options of their tables: the static side of a join is looked up again for every batch.
static LOOKUPS: LazyLock<Mutex<HashMap<Options, (Lookup, Instant)>>> = LazyLock::new(Mutex::default);

/// Everything there is now between the table's ends, for at most `readers` tasks.
pub(super) async fn splits(spec: &SourceSpec, readers: usize) -> Result<Vec<Split>> {
    let options = Arc::new(KafkaSourceOptions::parse(&spec.options, false)?);
    options.check_as_table()?;
    let lookup = lookup(spec, &options)?;
    let found = lookup.partitions().await?;
    if !found.missing.is_empty() {
        return Err(Error::invalid(format!(
            "kafka source: there is no topic '{}' at these brokers: create it, or take it out of option 'subscribe'",
            found.missing.join("', '")
        )));
    }
    let starts = position::starting(&options, &lookup, &found.partitions).await?;
    let ends = position::ending(&options, &lookup, &found.partitions).await?;
    let mut ranges = Vec::new();
    for (at, from) in starts {
        let until = *ends.get(&at).ok_or_else(|| data_loss(&format!("{at} has just been deleted")))?;
        let range = Range { at, from, until };
        if until < from && options.fail_on_data_loss {
            return Err(Lost::of(&range, Some(There { beginning: 0, end: until })).error());
        }
        ranges.push(range);
    }
    let ranges = cut(&ranges, options.max_records_per_partition, options.min_partitions);
    planned::splits(None, Readers::new(readers).deal(ranges))
}

fn lookup(spec: &SourceSpec, options: &Arc<KafkaSourceOptions>) -> Result<Lookup> {
    let mut lookups = LOOKUPS.lock().unwrap_or_else(PoisonError::into_inner);
    lookups.retain(|known, (_, used)| used.elapsed() < IDLE || *known == spec.options);
    if let Some((lookup, used)) = lookups.get_mut(&spec.options) {
        *used = Instant::now();
        return Ok(lookup.clone());
    }
    let lookup = Lookup::new(Arc::clone(options))?;
    lookups.insert(spec.options.clone(), (lookup.clone(), Instant::now()));
    Ok(lookup)
}
