//! Examples: `cargo run -p examples -- NAME`, from the repository's root; `list` tells which there are.
//!
//! To add one: a file here with a `run` function, and a line in [`EXAMPLES`].

mod broker;
mod files_to_parquet;
mod foreach_batch;
mod kafka_to_console;
mod kafka_to_kafka;
mod quickstart;
mod rate_to_memory;
mod realtime_analytics;
mod windowed_counts;

use std::process::ExitCode;

use futures::future::BoxFuture;
use millstream::Result;

/// An example: its name, what it shows, and what runs it.
type Example = (&'static str, &'static str, fn() -> BoxFuture<'static, Result<()>>);

/// Every example.
const EXAMPLES: &[Example] = &[
    ("realtime_analytics", "the main one: four queries over Kafka at once, on a page; it has a --help", || {
        Box::pin(realtime_analytics::run())
    }),
    ("quickstart", "JSON files, transformed, to the console", || Box::pin(quickstart::run())),
    ("files_to_parquet", "exactly once into partitioned Parquet files, read back as a batch", || {
        Box::pin(files_to_parquet::run())
    }),
    ("foreach_batch", "every batch to a closure, which aggregates it", || Box::pin(foreach_batch::run())),
    (
        "kafka_to_console",
        "messages of a Kafka topic, decoded; the broker is in the process unless one is named",
        || Box::pin(kafka_to_console::run()),
    ),
    ("kafka_to_kafka", "clicks of one topic, counted by window, into another, read back as a table", || {
        Box::pin(kafka_to_kafka::run())
    }),
    ("rate_to_memory", "generated rows into a table in memory, queried with SQL while it grows", || {
        Box::pin(rate_to_memory::run())
    }),
    ("windowed_counts", "views and visitors in sliding windows, repeated clicks counted once", || {
        Box::pin(windowed_counts::run())
    }),
];

#[tokio::main]
async fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "list".to_string());
    let Some((_, _, run)) = EXAMPLES.iter().find(|(known, ..)| *known == name) else {
        for (name, shows, _) in EXAMPLES {
            eprintln!("{name:<18} {shows}");
        }
        return if name == "list" { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
