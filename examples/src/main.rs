//! Examples: `cargo run -p examples -- NAME`, from the repository's root; `list` tells which there are.
//!
//! To add one: a file here with a `run` function, and a line in [`EXAMPLES`].

mod arguments;
mod broker;
mod crash_restart;
mod custom_sink;
mod custom_source;
mod enrichment;
mod file_etl;
mod impressions_clicks;
mod kafka_to_console;
mod kafka_to_kafka;
mod multi_sink;
mod quickstart;
mod rate_to_memory;
mod realtime_analytics;
mod running_state;
mod sessions;
mod upsert;
mod windowed_counts;
mod word_count;

use std::process::ExitCode;

use futures::future::BoxFuture;

/// Whatever went wrong.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What examples return: `?` takes errors of any kind.
type Result<T, E = Failure> = std::result::Result<T, E>;

/// An example: its name, what it shows, and what runs it.
type Example = (&'static str, &'static str, fn() -> BoxFuture<'static, Result<()>>);

/// Every example.
const EXAMPLES: &[Example] = &[
    ("realtime_analytics", "the main one: four queries over Kafka at once, on a page; it has a --help", || {
        example(realtime_analytics::run())
    }),
    ("quickstart", "JSON files, transformed, to the console", || example(quickstart::run())),
    ("word_count", "words of lines from a socket, counted since the start and in windows", || {
        example(word_count::run())
    }),
    ("windowed_counts", "views and visitors in sliding windows, repeated clicks counted once", || {
        example(windowed_counts::run())
    }),
    ("running_state", "balances of accounts, kept from run to run", || example(running_state::run())),
    ("sessions", "clicks of each user, cut into sessions where they pause", || example(sessions::run())),
    ("enrichment", "a stream of orders, joined with a table of customers", || example(enrichment::run())),
    (
        "impressions_clicks",
        "two streams joined: which advertisements were clicked within a minute, and which never",
        || example(impressions_clicks::run()),
    ),
    ("multi_sink", "every batch computed once and written into Parquet files, SQLite and metrics", || {
        example(multi_sink::run())
    }),
    ("upsert", "sums kept in SQLite, each batch added once though one comes twice", || example(upsert::run())),
    ("file_etl", "JSON files, checked and cleaned, into partitioned Parquet files, exactly once", || {
        example(file_etl::run())
    }),
    ("crash_restart", "a query that is killed with SIGKILL again and again, and loses and repeats nothing", || {
        example(crash_restart::run())
    }),
    ("custom_source", "a source of your own: a log file that grows, line by line", || example(custom_source::run())),
    ("custom_sink", "a sink of your own: a table in SQLite, each batch in one transaction, used from SQL", || {
        example(custom_sink::run())
    }),
    (
        "kafka_to_console",
        "messages of a Kafka topic, decoded; the broker is in the process unless one is named",
        || example(kafka_to_console::run()),
    ),
    ("kafka_to_kafka", "clicks of one topic, counted by window, into another, read back as a table", || {
        example(kafka_to_kafka::run())
    }),
    ("rate_to_memory", "generated rows into a table in memory, queried with SQL while it grows", || {
        example(rate_to_memory::run())
    }),
];

/// An example about to run.
fn example<E: Into<Failure>>(
    run: impl Future<Output = Result<(), E>> + Send + 'static,
) -> BoxFuture<'static, Result<()>> {
    Box::pin(async { run.await.map_err(Into::into) })
}

#[tokio::main]
async fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "list".to_string());
    let Some((_, _, run)) = EXAMPLES.iter().find(|(known, ..)| *known == name) else {
        return list(&name);
    };
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says which examples there are, where another was asked for with an error.
#[expect(clippy::print_stdout, reason = "it is what was asked for")]
fn list(asked: &str) -> ExitCode {
    for (name, shows, _) in EXAMPLES {
        println!("{name:<18} {shows}");
    }
    if asked == "list" {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: there is no example '{asked}'; those above there are");
    ExitCode::FAILURE
}
