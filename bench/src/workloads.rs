//! What is measured: each workload is a name, its input, and its query.

use crate::Result;

/// One workload. The same input and, in every engine's words, the same query.
pub(crate) struct Workload {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// One line for people.
    pub(crate) about: &'static str,
    /// What its input looks like.
    pub(crate) input: Input,
    /// Its query in Millstream's SQL; `{ev}` stands for how the table of events is read, `{events}` for the columns of Kafka's
    /// messages.
    pub(crate) query: &'static str,
    /// The same over all rows at once, in plain DataFusion's words, where that is measured.
    pub(crate) batch_query: Option<&'static str>,
    /// How it runs.
    pub(crate) kind: Kind,
    /// Which other engines have it.
    pub(crate) peers: &'static [&'static str],
}

/// An input: files of rows that are the same wherever they are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Click events as parquet: user_id, page, session, amount, ts.
    Clicks {
        /// How many files, one a micro-batch.
        files: usize,
        /// Rows in each.
        rows: usize,
    },
    /// The same events as JSON lines.
    ClicksJson {
        /// How many files, one a micro-batch.
        files: usize,
        /// Rows in each.
        rows: usize,
    },
    /// As [`Input::Clicks`]: first `stored` rows, each of another user, then `batches` files of 100 rows of some of the first
    /// 10,000 users. These are the same whatever is stored.
    Users {
        /// How many users, up to a million a file.
        stored: usize,
        /// How many small files.
        batches: usize,
    },
    /// `impressions/` and `clicks/` as parquet: a thousand impressions a second of event time, three in ten clicked within
    /// two minutes.
    Ads {
        /// How many files of each, one of both a micro-batch.
        files: usize,
        /// Impressions in each.
        rows: usize,
    },
    /// As [`Input::Ads`] with one ad: `stored` impressions in one file, one a millisecond; then files of 10, 100, 1,000 and
    /// 10,000 clicks in turn.
    OneAd {
        /// How many impressions.
        stored: usize,
        /// How many files of clicks.
        batches: usize,
    },
    /// `events/` as JSON lines, 10,000 a second of event time, and `campaigns.parquet`: the shape of the Yahoo streaming
    /// benchmark, a thousand ads of a hundred campaigns.
    Campaigns {
        /// How many files, one a micro-batch.
        files: usize,
        /// Rows in each.
        rows: usize,
    },
    /// Some 180 bytes of JSON a message, in four partitions of a Kafka topic; a tenth of them a micro-batch.
    Kafka {
        /// How many.
        messages: usize,
    },
    /// None: the rows are made by the engine, or while it runs.
    Nothing,
}

/// The most rows of the first files of [`Input::Users`].
pub(crate) const USERS_PER_FILE: usize = 1_000_000;

/// How a workload runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Files to parquet until all are read: throughput and batch times of all batches but the first.
    FilesToParquet,
    /// Files to nowhere in update mode, every batch durable; measured in the same way.
    FilesToNowhere,
    /// Files to nowhere in append mode; measured in the same way, and once more in a quarter of the memory that the state took.
    InLessMemory,
    /// Very many batches of one row to nowhere: memory after the first thousand and at the end.
    ManyBatches {
        /// How many.
        batches: u64,
    },
    /// A topic until all is read, its result to nowhere, every batch durable.
    TopicToNowhere,
    /// From a topic that is being written to another, update mode, default trigger, every batch durable: the time from end to
    /// end, of rows that say in `last` when the newest message they count was sent.
    Latency {
        /// Messages a second.
        per_second: u64,
    },
    /// From the start of the process to the first row on standard output.
    FirstBatch,
}

/// The columns of click events.
pub(crate) const CLICKS: &str = "user_id BIGINT, page STRING, session BIGINT, amount DOUBLE, ts TIMESTAMP";

/// The columns of the two sides of [`Input::Ads`].
pub(crate) const IMPRESSIONS: &str = "imp_id BIGINT, campaign BIGINT, imp_ts TIMESTAMP";
/// See [`IMPRESSIONS`].
pub(crate) const AD_CLICKS: &str = "clk_id BIGINT, cost DOUBLE, clk_ts TIMESTAMP";

/// The columns of [`Input::Campaigns`]'s events.
pub(crate) const CAMPAIGN_EVENTS: &str = "user_id STRING, page_id STRING, ad_id STRING, ad_type STRING, event_type STRING, event_time TIMESTAMP, ip_address STRING";

const PROJECT: &str = "SELECT user_id, upper(page) AS page, amount * 2 AS a2, ts FROM {ev} WHERE amount > 250";
const BY_USER: &str =
    "SELECT user_id, count(*) AS n, sum(amount) AS total, max(ts) AS latest FROM {ev} GROUP BY user_id";
const EVENTS: Input = Input::Clicks { files: 20, rows: 250_000 };

/// Every workload, one entry each.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "project",
        about: "5 million rows in 20 parquet files through filter and projection to parquet",
        input: Input::Clicks { files: 20, rows: 250_000 },
        query: PROJECT,
        batch_query: Some(PROJECT),
        kind: Kind::FilesToParquet,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "tiny",
        about: "200 micro-batches of 100 rows from JSON to parquet, every batch durable",
        input: Input::ClicksJson { files: 200, rows: 100 },
        query: PROJECT,
        batch_query: None,
        kind: Kind::FilesToParquet,
        peers: &["spark"],
    },
    Workload {
        name: "many-batches",
        about: "20,000 micro-batches of one row: does memory grow?",
        input: Input::Nothing,
        query: "SELECT value, timestamp FROM {ev}",
        batch_query: None,
        kind: Kind::ManyBatches { batches: 20_000 },
        peers: &[],
    },
    Workload {
        name: "first-batch",
        about: "from the start of the command to the first batch of a local file",
        input: Input::ClicksJson { files: 1, rows: 100 },
        query: PROJECT,
        batch_query: None,
        kind: Kind::FirstBatch,
        peers: &[],
    },
    Workload {
        name: "keyed",
        about: "5 million rows in 20 files: count, sum, max by a Zipf key, update mode",
        input: EVENTS,
        query: BY_USER,
        batch_query: Some(BY_USER),
        kind: Kind::FilesToNowhere,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "tumbling",
        about: "5 million rows in 20 files: count, sum, approximate distinct by window of 5 minutes and page, append mode",
        input: EVENTS,
        query: "SELECT window, page, count(*) AS n, sum(amount) AS total, approx_count_distinct(user_id) AS users FROM {ev} WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '5 minutes'), page",
        batch_query: Some(
            "SELECT date_bin(INTERVAL '5 minutes', ts) AS start, page, count(*) AS n, sum(amount) AS total, approx_distinct(user_id) AS users FROM {ev} GROUP BY 1, 2",
        ),
        kind: Kind::FilesToParquet,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "sliding",
        about: "the same by windows of 5 minutes that begin every minute",
        input: EVENTS,
        query: "SELECT window, page, count(*) AS n, sum(amount) AS total, approx_count_distinct(user_id) AS users FROM {ev} WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '5 minutes', '1 minute'), page",
        batch_query: None,
        kind: Kind::FilesToParquet,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "overlap-1",
        about: "5 million rows: count and sum by window of an hour and page, append mode; each row in one window",
        input: EVENTS,
        query: "SELECT window, page, count(*) AS n, sum(amount) AS total FROM {ev} WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '60 minutes'), page",
        batch_query: None,
        kind: Kind::FilesToParquet,
        peers: &[],
    },
    Workload {
        name: "overlap-60",
        about: "the same with windows that begin every minute: each row in sixty",
        input: EVENTS,
        query: "SELECT window, page, count(*) AS n, sum(amount) AS total FROM {ev} WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '60 minutes', '1 minute'), page",
        batch_query: None,
        kind: Kind::FilesToParquet,
        peers: &[],
    },
    Workload {
        name: "session",
        about: "5 million rows: count and sum by session of a user with a gap of 30 seconds, append mode",
        input: EVENTS,
        query: "SELECT session_window, user_id, count(*) AS n, sum(amount) AS total FROM {ev} WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY session_window(ts, '30 seconds'), user_id",
        batch_query: None,
        kind: Kind::FilesToParquet,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "dedup",
        about: "5 million rows: the first of each user and page within the watermark",
        input: EVENTS,
        query: "SELECT DISTINCT ON (user_id, page) WITHIN WATERMARK * FROM {ev} WATERMARK ts DELAY OF INTERVAL 10 MINUTES",
        batch_query: None,
        kind: Kind::FilesToParquet,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "join",
        about: "2 million impressions and 0.6 million clicks: left outer join within two minutes",
        input: Input::Ads { files: 20, rows: 100_000 },
        query: "SELECT * FROM (SELECT * FROM STREAM impressions WATERMARK imp_ts DELAY OF INTERVAL 1 MINUTE) LEFT JOIN (SELECT * FROM STREAM clicks WATERMARK clk_ts DELAY OF INTERVAL 1 MINUTE) ON imp_id = clk_id AND clk_ts BETWEEN imp_ts AND imp_ts + INTERVAL 2 MINUTES",
        batch_query: Some(
            "SELECT * FROM impressions LEFT JOIN clicks ON imp_id = clk_id AND clk_ts BETWEEN imp_ts AND imp_ts + INTERVAL '2 minutes'",
        ),
        kind: Kind::FilesToParquet,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "ysb",
        about: "2 million events from JSON, joined with a table of campaigns, counted by campaign and 10 seconds, update mode",
        input: Input::Campaigns { files: 20, rows: 100_000 },
        query: "SELECT window, campaign_id, count(*) AS n FROM (SELECT c.campaign_id, e.event_time FROM {ev} e JOIN campaigns c ON e.ad_id = c.ad_id WHERE e.event_type = 'view') WATERMARK event_time DELAY OF INTERVAL 10 SECONDS GROUP BY window(event_time, '10 seconds'), campaign_id",
        batch_query: Some(
            "SELECT date_bin(INTERVAL '10 seconds', CAST(e.event_time AS TIMESTAMP)) AS start, c.campaign_id, count(*) AS n FROM {ev} e JOIN campaigns c ON e.ad_id = c.ad_id WHERE e.event_type = 'view' GROUP BY 1, 2",
        ),
        kind: Kind::FilesToNowhere,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "tiny-stateful",
        about: "200 micro-batches of 100 rows from JSON, counted by window and page, update mode, every batch durable",
        input: Input::ClicksJson { files: 200, rows: 100 },
        query: "SELECT window, page, count(*) AS n, sum(amount) AS total FROM {ev} WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '1 minute'), page",
        batch_query: None,
        kind: Kind::FilesToNowhere,
        peers: &["spark"],
    },
    Workload {
        name: "keys-10k",
        about: "micro-batches of 100 rows over 10,000 stored keys, update mode",
        input: Input::Users { stored: 10_000, batches: 100 },
        query: BY_USER,
        batch_query: None,
        kind: Kind::FilesToNowhere,
        peers: &[],
    },
    Workload {
        name: "keys-10m",
        about: "the same micro-batches over 10 million stored keys",
        input: Input::Users { stored: 10_000_000, batches: 100 },
        query: BY_USER,
        batch_query: None,
        kind: Kind::FilesToNowhere,
        peers: &[],
    },
    Workload {
        name: "join-hot-key",
        about: "one key with 100,000 stored rows: clicks that match ten rows each, 10 to 10,000 of them a micro-batch",
        input: Input::OneAd { stored: 100_000, batches: 80 },
        query: "SELECT * FROM (SELECT * FROM STREAM impressions WATERMARK imp_ts DELAY OF INTERVAL 1 MINUTE) JOIN (SELECT * FROM STREAM clicks WATERMARK clk_ts DELAY OF INTERVAL 1 MINUTE) ON imp_id = clk_id AND clk_ts >= imp_ts AND clk_ts < imp_ts + INTERVAL '10' MILLISECOND",
        batch_query: None,
        kind: Kind::FilesToNowhere,
        peers: &[],
    },
    Workload {
        name: "join-larger-than-memory",
        about: "10 million impressions and 3 million clicks, joined within a day: nothing is forgotten",
        input: Input::Ads { files: 40, rows: 250_000 },
        query: "SELECT * FROM (SELECT * FROM STREAM impressions WATERMARK imp_ts DELAY OF INTERVAL 1 MINUTE) JOIN (SELECT * FROM STREAM clicks WATERMARK clk_ts DELAY OF INTERVAL 1 MINUTE) ON imp_id = clk_id AND clk_ts BETWEEN imp_ts AND imp_ts + INTERVAL 1 DAY",
        batch_query: None,
        kind: Kind::InLessMemory,
        peers: &[],
    },
    Workload {
        name: "kafka-raw",
        about: "4 million messages of Kafka, counted with their bytes",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT count(*) AS n, sum(length(value)) AS bytes FROM {ev}",
        batch_query: None,
        kind: Kind::TopicToNowhere,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "kafka-json",
        about: "4 million messages of Kafka, decoded from JSON, counted and summed by type",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT e.event_type, count(*) AS n, sum(e.amount) AS total FROM (SELECT from_json(CAST(value AS STRING), '{events}') AS e FROM {ev}) GROUP BY e.event_type",
        batch_query: None,
        kind: Kind::TopicToNowhere,
        peers: &["spark", "flink"],
    },
    Workload {
        name: "kafka-lengths",
        about: "4 million messages of Kafka, the length of each",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT length(value) AS bytes FROM {ev}",
        batch_query: None,
        kind: Kind::TopicToNowhere,
        peers: &["spark"],
    },
    Workload {
        name: "kafka-decoded",
        about: "4 million messages of Kafka, decoded from JSON",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT e.event_type, e.amount FROM (SELECT from_json(CAST(value AS STRING), '{events}') AS e FROM {ev})",
        batch_query: None,
        kind: Kind::TopicToNowhere,
        peers: &["spark"],
    },
    Workload {
        name: "kafka-latency",
        about: "Kafka to count by second and type to Kafka, 10,000 messages a second: the time from end to end",
        input: Input::Nothing,
        query: "SELECT to_json(struct(window.start AS w, event_type, n, last)) AS value FROM (SELECT window(e.ts, '1 second') AS window, e.event_type AS event_type, count(*) AS n, max(e.sent) AS last FROM (SELECT from_json(CAST(value AS STRING), '{events}') AS e FROM {ev}) GROUP BY window(e.ts, '1 second'), e.event_type)",
        batch_query: None,
        kind: Kind::Latency { per_second: 10_000 },
        peers: &["spark", "flink"],
    },
];

impl Workload {
    /// The micro-batches at the beginning that are not measured: the first, or those that build up what is stored.
    pub(crate) fn warm_up(&self) -> usize {
        match self.input {
            Input::Users { stored, .. } => stored.div_ceil(USERS_PER_FILE) + 5,
            Input::OneAd { .. } => 5,
            _ => 1,
        }
    }
}

/// The workload called `name`.
pub(crate) fn find(name: &str) -> Result<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name).ok_or_else(|| {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        format!("there is no workload '{name}'; there are {}", names.join(", ")).into()
    })
}
