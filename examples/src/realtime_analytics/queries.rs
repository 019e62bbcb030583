//! The pipeline: what is read, and the four queries over it. `examples/realtime_analytics.sql` is the same in SQL.

use std::sync::Arc;

use millstream::Result;
use millstream::prelude::*;

use super::arguments::Arguments;
use super::board::Board;
use super::suspicions::Suspicions;
use crate::broker::Broker;

/// The topic of what users do.
pub(crate) const EVENTS: &str = "user-events";
/// The topic of what they pay.
pub(crate) const TRANSACTIONS: &str = "transactions";
/// The topic of what to recommend to them.
pub(crate) const RECOMMENDATIONS: &str = "recommendations";

/// The queries, in the order in which they are shown.
pub(crate) const NAMES: [&str; 4] = ["page_views", "fraud", "sessions", "recommendations"];

const EVENT: &str = "user_id STRING, session_id STRING, event_type STRING, page_url STRING, timestamp BIGINT,
    user_agent STRING, ip_address STRING, properties MAP<STRING, STRING>";
const TRANSACTION: &str = "transaction_id STRING, user_id STRING, amount DECIMAL(12, 2), currency STRING,
    merchant_id STRING, timestamp BIGINT, payment_method STRING";

/// Starts all four.
pub(crate) async fn start(
    session: &StreamSession,
    broker: &Broker,
    arguments: &Arguments,
    board: &Arc<Board>,
    has_page: bool,
) -> Result<Vec<Arc<StreamingQuery>>> {
    let events = events(session, broker).await?;
    let payments = payments(session, broker).await?;
    let trigger = Trigger::parse(&arguments.trigger)?;
    let write = |rows: DataFrame, name: &str, mode: OutputMode| {
        let checkpoint = arguments.checkpoint_of(name);
        rows.write_stream().query_name(name).output_mode(mode).trigger(trigger).option("checkpointLocation", checkpoint)
    };

    // On a terminal the page is the console.
    let shown = Arc::clone(board);
    let page_views = write(page_views(&events)?, "page_views", OutputMode::Update);
    let page_views = match has_page {
        true => page_views.foreach_batch(move |views, _| Arc::clone(&shown).add_page_views(views)),
        false => page_views.format("console").option("format", "json"),
    };

    let suspicions = Suspicions::open(&arguments.output().join("fraud.db"), Arc::clone(board))?;
    let fraud = write(fraud(&payments)?, "fraud", OutputMode::Update)
        .foreach_batch(move |rows, batch_id| suspicions.clone().upsert(rows, batch_id));

    let sessions = write(sessions(&events)?, "sessions", OutputMode::Append)
        .format("parquet")
        .option("path", arguments.sessions_folder().display())
        .partition_by(["date"]);

    let recommendations = write(recommendations(&events, &payments)?, "recommendations", OutputMode::Append)
        .format("kafka")
        .option("kafka.bootstrap.servers", &broker.servers)
        .option("topic", RECOMMENDATIONS)
        .option("exactlyOnce", arguments.exactly_once);

    let mut running = Vec::new();
    for query in [page_views, fraud, sessions, recommendations] {
        running.push(query.start().await?);
    }
    Ok(running)
}

/// What users do, each event once. Messages that cannot be read have nulls, and are left out.
async fn events(session: &StreamSession, broker: &Broker) -> Result<DataFrame> {
    messages(session, broker, EVENTS, EVENT)
        .await?
        .filter("m.user_id IS NOT NULL AND m.session_id IS NOT NULL AND m.timestamp IS NOT NULL")?
        .select_expr([
            "m.user_id",
            "m.session_id",
            "m.event_type",
            "m.page_url",
            "timestamp_seconds(m.timestamp) AS at",
        ])?
        .with_watermark("at", "10 minutes")?
        .drop_duplicates_within_watermark(["session_id", "event_type", "page_url", "at"])
}

/// What users pay, each transaction once.
async fn payments(session: &StreamSession, broker: &Broker) -> Result<DataFrame> {
    messages(session, broker, TRANSACTIONS, TRANSACTION)
        .await?
        .filter("m.transaction_id IS NOT NULL AND m.user_id IS NOT NULL AND m.amount IS NOT NULL AND m.timestamp IS NOT NULL")?
        .select_expr([
            "m.transaction_id",
            "m.user_id",
            "m.amount",
            "m.merchant_id",
            "m.payment_method",
            "timestamp_seconds(m.timestamp) AS at",
        ])?
        .with_watermark("at", "5 minutes")?
        .drop_duplicates_within_watermark(["transaction_id"])
}

/// The messages of a topic as `m`, of the fields that `schema` has.
async fn messages(session: &StreamSession, broker: &Broker, topic: &str, schema: &str) -> Result<DataFrame> {
    session
        .read_stream()
        .format("kafka")
        .option("kafka.bootstrap.servers", &broker.servers)
        // How long the broker may keep a question open when there is nothing new.
        .option("kafka.fetch.max.wait.ms", 50)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load_options()
        .await?
        .select_expr([format!("from_json(CAST(value AS STRING), '{schema}') AS m")])
}

/// How often each page is seen, and by how many: in windows of five minutes, one begins every minute.
fn page_views(events: &DataFrame) -> Result<DataFrame> {
    events
        .filter("event_type = 'page_view'")?
        .group_by([window(col("at"), "5 minutes").slide("1 minute").into(), col("page_url")])?
        .agg([
            count_all().alias("views"),
            count_distinct(col("user_id")).alias("visitors"),
            count_distinct(col("session_id")).alias("sessions"),
        ])?
        .select_expr([
            "window.start AS window_start",
            "page_url",
            "views",
            "visitors",
            "sessions",
            "round(views / visitors, 2) AS views_per_visitor",
        ])
}

/// Who pays suspiciously often, much or widely within a minute.
fn fraud(payments: &DataFrame) -> Result<DataFrame> {
    payments
        .group_by([window(col("at"), "1 minute").into(), col("user_id")])?
        .agg([
            count_all().alias("payments"),
            sum(col("amount")).alias("total"),
            count_distinct(col("merchant_id")).alias("merchants"),
            collect_set(col("payment_method")).alias("methods"),
        ])?
        // HAVING, in SQL.
        .filter("payments >= 5 OR total >= 3000 OR merchants >= 4")?
        .select_expr([
            "window.start AS window_start",
            "user_id",
            "payments",
            "total",
            "merchants",
            "sort_array(methods) AS methods",
            "least(100, 3 * payments + 4 * merchants + CAST(total / 150 AS INT)) AS score",
        ])
}

/// What each session looked at, in windows of ten minutes that begin every two.
fn sessions(events: &DataFrame) -> Result<DataFrame> {
    events
        .select_expr(["session_id", "user_id", "at", "struct(at, page_url) AS visit"])?
        .group_by([window(col("at"), "10 minutes").slide("2 minutes").into(), col("session_id"), col("user_id")])?
        .agg([
            count_all().alias("events"),
            collect_list(col("visit")).alias("visits"),
            min(col("at")).alias("started"),
            max(col("at")).alias("ended"),
        ])?
        .select_expr([
            "CAST(window.start AS DATE) AS date",
            "window.start AS window_start",
            "session_id",
            "user_id",
            "events",
            // In the order of their times, whatever the order in which they came.
            "transform(array_sort(visits), visit -> visit.page_url) AS pages",
            "started",
            "ended",
            "unix_timestamp(ended) - unix_timestamp(started) AS duration_seconds",
        ])
}

/// What to recommend: the pages a user visited beside the merchants the user bought from, if any.
fn recommendations(events: &DataFrame, payments: &DataFrame) -> Result<DataFrame> {
    let visited = events
        .group_by([window(col("at"), "10 minutes").into(), col("user_id")])?
        .agg([collect_set(col("page_url")).alias("pages")])?;
    let bought = payments
        .group_by([window(col("at"), "10 minutes").into(), col("user_id")])?
        .agg([collect_set(col("merchant_id")).alias("merchants"), avg(col("amount")).alias("average_amount")])?;
    visited
        .join(&bought, ["window", "user_id"], JoinType::Left)?
        .select_expr([
            "window.start AS window_start",
            "user_id",
            "sort_array(pages) AS pages",
            "sort_array(merchants) AS merchants",
            "round(average_amount, 2) AS average_amount",
        ])?
        .select_expr(["user_id AS key", "to_json(struct(*)) AS value"])
}
