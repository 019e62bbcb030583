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
    /// Its query in Millstream's SQL over the stream `ev`; `{ev}` stands for how the table is read, `{events}` for the columns
    /// of Kafka's messages.
    pub(crate) query: &'static str,
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
    /// Some 180 bytes of JSON a message, in four partitions of a Kafka topic; a tenth of them a micro-batch.
    Kafka {
        /// How many.
        messages: usize,
    },
    /// None: the rows are made by the engine.
    Nothing,
}

/// How a workload runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Files to parquet until all are read: throughput and batch times of all batches but the first.
    FilesToParquet,
    /// Very many batches of one row to nowhere: memory after the first thousand and at the end.
    ManyBatches {
        /// How many.
        batches: u64,
    },
    /// A topic until all is read, its result to nowhere, every batch durable.
    TopicToNowhere,
    /// From the start of the process to the first row on standard output.
    FirstBatch,
}

/// The columns of click events.
pub(crate) const CLICKS: &str = "user_id BIGINT, page STRING, session BIGINT, amount DOUBLE, ts TIMESTAMP";

/// Every workload, one entry each.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "project",
        about: "5 million rows in 20 parquet files through filter and projection to parquet",
        input: Input::Clicks { files: 20, rows: 250_000 },
        query: "SELECT user_id, upper(page) AS page, amount * 2 AS a2, ts FROM {ev} WHERE amount > 250",
        kind: Kind::FilesToParquet,
        peers: &["datafusion", "spark", "flink"],
    },
    Workload {
        name: "tiny",
        about: "200 micro-batches of 100 rows from JSON to parquet, every batch durable",
        input: Input::ClicksJson { files: 200, rows: 100 },
        query: "SELECT user_id, upper(page) AS page, amount * 2 AS a2, ts FROM {ev} WHERE amount > 250",
        kind: Kind::FilesToParquet,
        peers: &["spark"],
    },
    Workload {
        name: "many-batches",
        about: "20,000 micro-batches of one row: does memory grow?",
        input: Input::Nothing,
        query: "SELECT value, timestamp FROM {ev}",
        kind: Kind::ManyBatches { batches: 20_000 },
        peers: &[],
    },
    Workload {
        name: "first-batch",
        about: "from the start of the command to the first batch of a local file",
        input: Input::ClicksJson { files: 1, rows: 100 },
        query: "SELECT user_id, upper(page) AS page, amount * 2 AS a2, ts FROM {ev} WHERE amount > 250",
        kind: Kind::FirstBatch,
        peers: &[],
    },
    Workload {
        name: "kafka-raw",
        about: "4 million messages of Kafka, counted with their bytes",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT count(*) AS n, sum(length(value)) AS bytes FROM {ev}",
        kind: Kind::TopicToNowhere,
        peers: &["spark"],
    },
    Workload {
        name: "kafka-json",
        about: "4 million messages of Kafka, decoded from JSON, counted and summed by type",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT e.event_type, count(*) AS n, sum(e.amount) AS total FROM (SELECT from_json(CAST(value AS STRING), '{events}') AS e FROM {ev}) GROUP BY e.event_type",
        kind: Kind::TopicToNowhere,
        peers: &["spark"],
    },
    Workload {
        name: "kafka-lengths",
        about: "4 million messages of Kafka, the length of each",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT length(value) AS bytes FROM {ev}",
        kind: Kind::TopicToNowhere,
        peers: &["spark"],
    },
    Workload {
        name: "kafka-decoded",
        about: "4 million messages of Kafka, decoded from JSON",
        input: Input::Kafka { messages: 4_000_000 },
        query: "SELECT e.event_type, e.amount FROM (SELECT from_json(CAST(value AS STRING), '{events}') AS e FROM {ev})",
        kind: Kind::TopicToNowhere,
        peers: &["spark"],
    },
];

/// The workload called `name`.
pub(crate) fn find(name: &str) -> Result<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name).ok_or_else(|| {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        format!("there is no workload '{name}'; there are {}", names.join(", ")).into()
    })
}
