//! The driver's half: which offsets a batch reads.
//!
//! Offset      `{"topic":{"0":123}}`: of each partition, the next message to read
//! Kept        `sources/<i>/0`: a zero byte, `v1`, and the JSON of where the query started, so that a start at the end is
//!             the same after a restart
//! Partitions  those of the first look start where the options say; those found later at their beginning
//! Looks       a look asks the brokers, unless an answer to a fetch has told of new messages already

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millstream_engine::clock::Clock;
use millstream_engine::source::{Offset, ReadLimit, Source, SourceContext, Split};
use millstream_engine::state::Place;
use millstream_engine::{Error, Result};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::limits::{Limits, Range, backlog, cut, prorated};
use super::lookup::{Found, Lookup};
use super::loss::{Lost, There, data_loss};
use super::offsets::{Positions, TopicPartition, json, names, offset, parse_positions, positions};
use super::options::KafkaSourceOptions;
use super::planned::{Readers, splits};
use super::position;
use super::reader::Run;

/// New partitions and topics are looked for this often while there is nothing to do.
const PARTITIONS_AGE: Duration = Duration::from_millis(200);

/// The same while messages keep coming.
const BUSY_AGE: Duration = Duration::from_secs(1);

/// A running Kafka stream.
#[derive(Debug)]
pub(super) struct KafkaSource {
    // Fixed for the run.
    options: Arc<KafkaSourceOptions>,
    lookup: Lookup,
    metadata: Place,
    clock: Arc<dyn Clock>,
    id: Uuid,
    run: Arc<Run>,
    // Changes from batch to batch.
    state: Mutex<State>,
    /// Where partitions ended at the last look: for progress, which does not wait.
    newest: StdMutex<Option<Positions>>,
}

#[derive(Debug)]
struct State {
    /// Where the query started.
    initial: Option<Positions>,
    /// Where everything ends that an available-now query reads, and what was there then.
    frozen: Option<(Positions, Found)>,
    /// What the last look for partitions found, and when.
    found: Option<(Found, Instant)>,
    /// Where partitions began that were new at the last look.
    beginnings: Positions,
    /// When a batch was last let through by `minOffsetsPerTrigger`.
    last_trigger_ms: i64,
    readers: Readers,
    /// The last commit to a consumer group.
    commit: Option<JoinHandle<()>>,
}

impl KafkaSource {
    pub(super) fn open(options: KafkaSourceOptions, readers: usize, cx: SourceContext) -> Result<Self> {
        for note in &options.client.notes {
            tracing::info!("kafka source: {note}");
        }
        let options = Arc::new(options);
        let id = Uuid::new_v4();
        let state = State {
            initial: None,
            frozen: None,
            found: None,
            beginnings: Positions::new(),
            last_trigger_ms: 0,
            readers: Readers::new(readers),
            commit: None,
        };
        Ok(Self {
            lookup: Lookup::new(Arc::clone(&options))?,
            options,
            metadata: cx.metadata,
            clock: cx.clock,
            id,
            run: Run::of(id),
            state: Mutex::new(state),
            newest: StdMutex::new(None),
        })
    }

    /// Where the query started: what its folder says, or what the options stand for now, which is then written there.
    async fn start(&self, state: &mut State) -> Result<Positions> {
        if let Some(initial) = &state.initial {
            return Ok(initial.clone());
        }
        let initial = match self.metadata.read("0").await? {
            Some(bytes) => read_initial(&bytes, &self.metadata)?,
            None => {
                let found = self.lookup.partitions().await?;
                refuse_missing(&found)?;
                let initial = position::starting(&self.options, &self.lookup, &found.partitions).await?;
                self.metadata.create("0", format!("\0v1\n{}", json(&initial)).into()).await?;
                initial
            }
        };
        Ok(state.initial.insert(initial).clone())
    }

    /// Where everything ends now. `from` is known to be there, unless it is lost.
    async fn look(&self, state: &mut State, from: &Positions) -> Result<Positions> {
        if let Some((found, at)) = &state.found
            && at.elapsed() < PARTITIONS_AGE
            && !from.is_empty()
            && found.partitions.iter().eq(from.keys())
        {
            let ends = self.lookup.ends(&found.partitions).await?;
            if ends.len() == found.partitions.len() {
                return Ok(ends);
            }
        }
        let found = self.lookup.partitions().await?;
        self.check_missing(&found, from)?;
        let ends = self.lookup.ends(&found.partitions).await?;
        state.found = Some((found, Instant::now()));
        Ok(ends)
    }

    /// Where partitions end by the answers to fetches, where these tell of anything new: no need to ask.
    fn heard(&self, state: &State, from: &Positions) -> Option<Positions> {
        let looked = state.found.as_ref().map(|(_, at)| at.elapsed());
        // A reader of committed messages may not go to the end of everything.
        let is_uncommitted =
            self.options.client.get("isolation.level").unwrap_or("read_uncommitted") == "read_uncommitted";
        if !is_uncommitted || self.options.limits != Limits::default() || looked.is_none_or(|age| age > BUSY_AGE) {
            return None;
        }
        let known: HashMap<TopicPartition, i64> = self.run.known_ends();
        let end = |at: &TopicPartition, from: i64| known.get(at).copied().unwrap_or(from).max(from);
        let ends: Positions = from.iter().map(|(at, from)| (at.clone(), end(at, *from))).collect();
        (ends != *from).then_some(ends)
    }

    /// A topic that is named must be there, whatever may be lost.
    fn check_missing(&self, found: &Found, from: &Positions) -> Result<()> {
        if let Some(topic) = found.missing.iter().find(|topic| from.keys().any(|at| at.topic == **topic)) {
            self.lose(|| data_loss(&format!("topic '{topic}' has been deleted")))?;
        }
        refuse_missing(found)
    }

    /// Notes where partitions of `until` begin that are not in `from`, and what is lost between the two.
    async fn check(&self, state: &mut State, from: &Positions, until: &Positions) -> Result<()> {
        let deleted: Vec<&TopicPartition> = from.keys().filter(|at| !until.contains_key(at)).collect();
        if !deleted.is_empty() {
            self.lose(|| {
                data_loss(&format!(
                    "{} are not there any more: the topics or partitions have been deleted, or are no longer subscribed to",
                    names(deleted)
                ))
            })?;
        }
        let new: Vec<&TopicPartition> = until.keys().filter(|at| !from.contains_key(at)).collect();
        state.beginnings = match new.is_empty() {
            true => Positions::new(),
            false => self.lookup.beginnings(new).await?,
        };
        for (at, beginning) in state.beginnings.iter().filter(|(_, beginning)| **beginning > 0) {
            self.lose(|| {
                data_loss(&format!("{at} is new and starts from offset {beginning} instead of 0: its first messages were trimmed before they were read"))
            })?;
        }
        for (at, end) in until {
            if let Some(from) = from.get(at).filter(|from| end < *from) {
                let range = Range { at: at.clone(), from: *from, until: *from };
                self.lose(|| Lost::of(&range, Some(There { beginning: 0, end: *end })).error())?;
            }
        }
        Ok(())
    }

    /// Fails, or goes on with a warning.
    fn lose(&self, error: impl FnOnce() -> Error) -> Result<()> {
        if self.options.fail_on_data_loss {
            return Err(error());
        }
        tracing::warn!("{}", error().message());
        Ok(())
    }

    /// Whether a batch must wait until there is more to read.
    fn must_wait(&self, state: &mut State, limits: Limits, from: &Positions, until: &Positions) -> bool {
        let Some((min, max_delay_ms)) = limits.min else { return false };
        let now_ms = self.clock.now_ms();
        let waited_ms = now_ms.saturating_sub(state.last_trigger_ms);
        let is_due = waited_ms >= i64::try_from(max_delay_ms).unwrap_or(i64::MAX);
        let has_enough = backlog(from, &state.beginnings, until) >= i64::try_from(min).unwrap_or(i64::MAX);
        if is_due || has_enough {
            state.last_trigger_ms = now_ms;
        }
        !is_due && !has_enough
    }

    fn remember(&self, ends: &Positions) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends.clone());
    }

    /// How far behind the newest messages `consumed` is, by partition.
    fn behind(&self, consumed: &Positions) -> Positions {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = newest.iter().flatten();
        newest.filter_map(|(at, end)| Some((at.clone(), end - consumed.get(at)?))).collect()
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn description(&self) -> String {
        format!("KafkaV2[{}]", self.options.subscription.description())
    }

    fn read_limit(&self) -> ReadLimit {
        self.options.limits.read_limit()
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        let initial = self.start(&mut *self.state.lock().await).await?;
        Ok(Some(offset(&initial)))
    }

    async fn latest(&self, from: Option<&Offset>, limit: &ReadLimit) -> Result<Option<Offset>> {
        let mut state = self.state.lock().await;
        let from = match from {
            Some(from) => positions(from)?,
            None => self.start(&mut state).await?,
        };
        let limits = Limits::of(limit);
        let ends = match &state.frozen {
            Some((frozen, found)) => {
                self.check_missing(found, &from)?;
                frozen.clone()
            }
            None => match self.heard(&state, &from) {
                Some(ends) => ends,
                None => self.look(&mut state, &from).await?,
            },
        };
        if from.is_empty() && ends.is_empty() {
            return Ok(None);
        }
        self.remember(&ends);
        self.check(&mut state, &from, &ends).await?;
        if self.must_wait(&mut state, limits, &from, &ends) {
            return Ok(Some(offset(&from)));
        }
        let until = limits.max.map_or_else(|| ends.clone(), |max| prorated(max, &from, &state.beginnings, &ends));
        Ok(Some(offset(&until)))
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let mut state = self.state.lock().await;
        let from = match from {
            Some(from) => positions(from)?,
            None => self.start(&mut state).await?,
        };
        let until = positions(to)?;
        if until.keys().any(|at| !from.contains_key(at) && !state.beginnings.contains_key(at)) {
            // A batch that an earlier run began.
            self.check(&mut state, &from, &until).await?;
        }
        let ranges: Vec<Range> = until
            .iter()
            .filter_map(|(at, until)| {
                let from = from.get(at).or_else(|| state.beginnings.get(at)).copied()?;
                Some(Range { at: at.clone(), from: from.min(*until), until: *until })
            })
            .collect();
        let (max_records, min_partitions) = (self.options.max_records_per_partition, self.options.min_partitions);
        let ranges = match (max_records, min_partitions) {
            // Ranges without offsets stay: their partitions are to be fetched too.
            (None, None) => ranges,
            _ => cut(&ranges, max_records, min_partitions),
        };
        splits(Some(self.id), state.readers.deal(ranges))
    }

    async fn commit(&self, offset: &Offset) -> Result<()> {
        let Some(group) = self.options.commit_to_group.clone() else { return Ok(()) };
        let positions = positions(offset)?;
        let mut state = self.state.lock().await;
        // One after the other, and nobody waits: the checkpoint is what counts.
        let earlier = state.commit.take();
        let lookup = self.lookup.clone();
        state.commit = Some(tokio::spawn(async move {
            if let Some(earlier) = earlier {
                let _ = earlier.await;
            }
            if let Err(error) = lookup.commit(&group, positions).await {
                tracing::warn!("{}", error.message());
            }
        }));
        Ok(())
    }

    async fn prepare_available_now(&self) -> Result<bool> {
        let mut state = self.state.lock().await;
        // Before anything is read: a query that has a checkpoint knows its topics, and may have lost some.
        let found = self.lookup.partitions().await?;
        state.frozen = Some((self.lookup.ends(&found.partitions).await?, found));
        Ok(true)
    }

    async fn newest(&self) -> Option<Offset> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(offset)
    }

    fn metrics(&self, consumed: Option<&Offset>) -> Vec<(String, String)> {
        let Some(consumed) = consumed.and_then(|consumed| positions(consumed).ok()) else { return Vec::new() };
        let behind: Vec<i64> = self.behind(&consumed).into_values().collect();
        let (Some(min), Some(max)) = (behind.iter().min(), behind.iter().max()) else { return Vec::new() };
        // To one decimal, as in Spark.
        let average = (behind.iter().sum::<i64>() as f64 / behind.len() as f64 * 10.0).round() / 10.0;
        vec![
            ("avgOffsetsBehindLatest".to_string(), java_double(average)),
            ("maxOffsetsBehindLatest".to_string(), max.to_string()),
            ("minOffsetsBehindLatest".to_string(), min.to_string()),
        ]
    }

    fn lag(&self, consumed: Option<&Offset>) -> Option<serde_json::Value> {
        let behind = self.behind(&positions(consumed?).ok()?);
        (!behind.is_empty()).then(|| json(&behind))
    }

    async fn changed(&self) {
        self.run.arrived.notified().await;
    }

    async fn stop(&self) {
        if let Some(commit) = self.state.lock().await.commit.take() {
            let _ = commit.await;
        }
        Run::close(self.id);
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        Run::close(self.id);
    }
}

/// As Java prints a double of this size: `4.0`.
fn java_double(value: f64) -> String {
    format!("{value:?}")
}

fn refuse_missing(found: &Found) -> Result<()> {
    match found.missing.is_empty() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "kafka source: there is no topic '{}' at these brokers: create it, or take it out of option 'subscribe'",
            found.missing.join("', '")
        ))),
    }
}

fn read_initial(bytes: &[u8], place: &Place) -> Result<Positions> {
    let text = String::from_utf8_lossy(bytes);
    let json = text.trim_start_matches('\0').strip_prefix("v1\n").unwrap_or_default();
    parse_positions(json.trim()).map_err(|e| {
        Error::corrupt(format!(
            "{} is damaged: expected v1 and offsets as JSON, found '{text}' ({e}); restore the checkpoint from a copy",
            place.url_of("0")
        ))
    })
}
