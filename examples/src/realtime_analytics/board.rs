//! What is known of the running queries: kept up to date by them, and shown by `page.rs` and `lines.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use millstream::datafusion::arrow::array::AsArray;
use millstream::prelude::*;
use millstream::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::arguments::Arguments;
use super::queries::{NAMES, RECOMMENDATIONS};
use super::shoppers::Produced;
use super::suspicions::Suspicion;
use crate::broker::Broker;

/// How many of the latest results are kept.
const KEPT: usize = 40;
/// The time over which rows a second are counted.
const RATE_OVER: Duration = Duration::from_secs(5);
/// How many sliding windows an event is in.
const WINDOWS_OF_AN_EVENT: usize = 5;

/// The board.
pub(crate) struct Board {
    /// Since when the pipeline runs.
    pub(crate) started: Instant,
    /// Where messages come from.
    pub(crate) kafka: String,
    /// Where results go.
    pub(crate) output: String,
    /// How much faster than the clock time goes.
    pub(crate) speed: u32,
    produced: OnceLock<Arc<Produced>>,
    news: Mutex<News>,
    sessions_written: Notify,
}

/// What changes on it.
#[derive(Default)]
pub(crate) struct News {
    /// By name of the query.
    pub(crate) queries: BTreeMap<String, QueryNews>,
    /// By window and page.
    page_views: BTreeMap<String, BTreeMap<String, PageViews>>,
    /// The latest first.
    pub(crate) alerts: VecDeque<Suspicion>,
    /// Of all there ever were, how many.
    pub(crate) alerts_raised: u64,
    /// Those that ended last, the latest first.
    pub(crate) sessions: Vec<SessionSeen>,
    /// The latest first.
    pub(crate) recommendations: VecDeque<Recommendation>,
}

/// What a query has told.
#[derive(Default)]
pub(crate) struct QueryNews {
    /// Its last batch.
    pub(crate) batch_id: u64,
    /// ISO-8601, or empty.
    pub(crate) watermark: String,
    /// Rows in the state of all its operators.
    pub(crate) state_rows: u64,
    /// Rows that came too late, in all batches.
    pub(crate) late_rows: u64,
    /// How long the last batch with rows took.
    pub(crate) latency_ms: u64,
    /// Rows read, in all batches.
    pub(crate) input_rows: u64,
    /// Rows written, in all batches, where the sink counts them.
    pub(crate) output_rows: u64,
    /// Rows of the last batches, the oldest first.
    pub(crate) batches: VecDeque<u64>,
    recent: VecDeque<(Instant, u64)>,
    first_batch: Option<Instant>,
}

/// A row of `page_views`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PageViews {
    window_start: String,
    /// The page.
    pub(crate) page_url: String,
    /// How often it was seen.
    pub(crate) views: u64,
    /// By how many users.
    pub(crate) visitors: u64,
    /// In how many sessions.
    pub(crate) sessions: u64,
    /// By each of them.
    pub(crate) views_per_visitor: f64,
}

/// A row of `sessions`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SessionSeen {
    /// Which.
    pub(crate) session_id: String,
    /// When the window begins, ISO-8601.
    pub(crate) window_start: String,
    /// How much happened.
    pub(crate) events: u64,
    /// From the first to the last of it.
    pub(crate) duration_seconds: i64,
    /// Where.
    pub(crate) pages: Vec<String>,
}

/// A message of `recommendations`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Recommendation {
    /// When the window begins, ISO-8601.
    pub(crate) window_start: String,
    /// To whom.
    pub(crate) user_id: String,
    /// What was visited.
    #[serde(default)]
    pub(crate) pages: Vec<String>,
    /// From whom was bought.
    #[serde(default)]
    pub(crate) merchants: Vec<String>,
    /// For how much.
    pub(crate) average_amount: Option<f64>,
}

impl Board {
    /// An empty board.
    pub(crate) fn new(arguments: &Arguments, servers: &str) -> Self {
        let place = if arguments.bootstrap_servers.is_some() { "" } else { " in this process" };
        Self {
            started: Instant::now(),
            kafka: format!("{servers}{place}"),
            output: arguments.output().display().to_string(),
            speed: arguments.speed,
            produced: OnceLock::new(),
            news: Mutex::default(),
            sessions_written: Notify::new(),
        }
    }

    /// Shows these counts too.
    pub(crate) fn shows_produced(&self, counts: Arc<Produced>) {
        let _ = self.produced.set(counts);
    }

    /// What is produced here, if anything is.
    pub(crate) fn produced(&self) -> Option<&Produced> {
        self.produced.get().map(Arc::as_ref)
    }

    /// What is new.
    pub(crate) fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch of `page_views`.
    pub(crate) async fn add_page_views(self: Arc<Self>, batch: DataFrame) -> Result<()> {
        let rows: Vec<PageViews> = rows_as(&batch).await?;
        let mut news = self.news();
        for row in rows {
            news.page_views.entry(row.window_start.clone()).or_default().insert(row.page_url.clone(), row);
        }
        while news.page_views.len() > KEPT {
            news.page_views.pop_first();
        }
        Ok(())
    }

    /// Takes what was written to the lake.
    async fn add_sessions(self: Arc<Self>, written: DataFrame) -> Result<()> {
        let mut sessions: Vec<SessionSeen> = rows_as(&written).await?;
        let mut news = self.news();
        sessions.append(&mut news.sessions);
        sessions.sort_by(|a, b| {
            (&b.window_start, b.events, &a.session_id).cmp(&(&a.window_start, a.events, &b.session_id))
        });
        sessions.truncate(KEPT);
        news.sessions = sessions;
        Ok(())
    }

    /// Puts suspicions up.
    pub(crate) fn raise_alerts(&self, suspicions: Vec<Suspicion>) {
        let mut news = self.news();
        for suspicion in suspicions {
            news.alerts_raised += 1;
            // One that has grown takes the place of what it was.
            let of_whom = |known: &Suspicion| {
                (&known.window_start, &known.user_id) == (&suspicion.window_start, &suspicion.user_id)
            };
            if let Some(at) = news.alerts.iter().position(of_whom) {
                news.alerts.remove(at);
            }
            news.alerts.push_front(suspicion);
        }
        news.alerts.truncate(KEPT);
    }
}

impl News {
    /// When the newest window that is not just beginning starts, and its pages, the most viewed first.
    pub(crate) fn top_pages(&self) -> Option<(&str, Vec<&PageViews>)> {
        let (start, pages) =
            self.page_views.iter().rev().nth(WINDOWS_OF_AN_EVENT - 1).or(self.page_views.iter().next())?;
        let mut pages: Vec<&PageViews> = pages.values().collect();
        pages.sort_by_key(|page| std::cmp::Reverse((page.views, page.visitors)));
        Some((start, pages))
    }
}

impl QueryNews {
    /// Rows read each second.
    pub(crate) fn rows_per_second(&self) -> f64 {
        let recent = self.recent.iter().filter(|(at, _)| at.elapsed() <= RATE_OVER);
        // While it has not run for so long.
        let over = self.first_batch.map_or(RATE_OVER, |at| at.elapsed()).clamp(Duration::from_secs(1), RATE_OVER);
        #[expect(clippy::cast_precision_loss, reason = "shown, not computed with")]
        let rows = recent.map(|(_, rows)| *rows).sum::<u64>() as f64;
        rows / over.as_secs_f64()
    }
}

impl StreamingQueryListener for Board {
    fn on_query_progress(&self, progress: &StreamingQueryProgress) {
        let name = progress.name.clone().unwrap_or_default();
        if !NAMES.contains(&name.as_str()) {
            return;
        }
        if name == "sessions" && progress.sink.num_output_rows > 0 {
            self.sessions_written.notify_one();
        }
        let mut news = self.news();
        let query = news.queries.entry(name).or_default();
        query.batch_id = progress.batch_id;
        query.watermark = progress.event_time.get("watermark").cloned().unwrap_or_default();
        query.state_rows = progress.state_operators.iter().map(|operator| operator.num_rows_total).sum();
        query.late_rows +=
            progress.state_operators.iter().map(|operator| operator.num_rows_dropped_by_watermark).sum::<u64>();
        query.input_rows += progress.num_input_rows;
        query.output_rows += u64::try_from(progress.sink.num_output_rows).unwrap_or(0);
        if progress.num_input_rows > 0 {
            query.latency_ms = progress.batch_duration;
            query.batches.push_back(progress.num_input_rows);
            query.first_batch.get_or_insert_with(Instant::now);
            query.recent.push_back((Instant::now(), progress.num_input_rows));
        }
        if query.batches.len() > KEPT {
            query.batches.pop_front();
        }
        while query.recent.front().is_some_and(|(at, _)| at.elapsed() > RATE_OVER) {
            query.recent.pop_front();
        }
    }
}

/// The rows of a batch as values of the program.
pub(crate) async fn rows_as<T: DeserializeOwned>(batch: &DataFrame) -> Result<Vec<T>> {
    let mut rows = Vec::new();
    for batch in batch.select_expr(["to_json(struct(*)) AS row"])?.collect().await? {
        for row in batch.column(0).as_string::<i32>().iter().flatten() {
            rows.push(serde_json::from_str(row).map_err(|e| Error::internal(format!("{row}: {e}")))?);
        }
    }
    Ok(rows)
}

/// Follows the lake, once there is one: a stream of its own, which reads what was committed since it last looked.
pub(crate) async fn follow_sessions(session: StreamSession, board: Arc<Board>, folder: String) -> Result<()> {
    board.sessions_written.notified().await;
    let schema = session.read().parquet(&folder).await?.schema_ddl();
    let lake = session.read_stream().schema(schema).option("latestFirst", true).option("maxFilesPerTrigger", 100);
    let query = lake
        .parquet(&folder)
        .await?
        .write_stream()
        .query_name("page")
        .trigger(Trigger::processing_time("1 second")?)
        .foreach_batch(move |written, _| Arc::clone(&board).add_sessions(written));
    query.start().await?.await_termination().await
}

/// Reads the topic of recommendations as it grows.
pub(crate) fn follow_recommendations(broker: &Broker, board: Arc<Board>) -> Result<()> {
    let unavailable = |e: rdkafka::error::KafkaError| Error::unavailable(format!("topic {RECOMMENDATIONS}: {e}"));
    let reader: BaseConsumer = broker
        .client()
        .set("group.id", "realtime-analytics-page")
        .set("enable.auto.commit", "false")
        .create()
        .map_err(unavailable)?;
    let mut from_now = TopicPartitionList::new();
    from_now.add_partition_offset(RECOMMENDATIONS, 0, Offset::End).map_err(unavailable)?;
    reader.assign(&from_now).map_err(unavailable)?;
    std::thread::spawn(move || {
        loop {
            let Some(Ok(message)) = reader.poll(Duration::from_millis(500)) else { continue };
            let read = message.payload().and_then(|payload| serde_json::from_slice(payload).ok());
            if let Some(recommendation) = read {
                let mut news = board.news();
                news.recommendations.push_front(recommendation);
                news.recommendations.truncate(KEPT);
            }
        }
    });
    Ok(())
}
