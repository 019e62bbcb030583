//! Sources and sinks, one file or folder each.
//!
//! | `USING` | source | sink | |
//! |---|---|---|---|
//! | `json` `csv` `parquet` `text` | ✓ | ✓ | [`files`]: folders of files, exactly once |
//! | `kafka` | ✓ | ✓ | [`kafka`]: topics, over librdkafka |
//! | `rate` | ✓ | | rows by the clock |
//! | `rate-micro-batch` | ✓ | | the same rows in batch N, every time |
//! | `socket` | ✓ | | lines of text over TCP; not fault tolerant |
//! | `memory` | ✓ | ✓ | [`memory`]: rows of this process, a table in it |
//! | `console` | | ✓ | [`console`]: a table a batch on standard output |
//! | `noop` | | ✓ | rows are counted and dropped |
//!
//! To add one: a file or folder here, and a line in [`SOURCES`] or [`SINKS`].

pub mod console;
pub mod files;
pub mod kafka;
pub mod memory;
mod noop;
mod rate;
mod rate_micro_batch;
mod rows;
mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use millstream_engine::registry::Registry;
use millstream_engine::sink::SinkProvider;
use millstream_engine::source::SourceProvider;

use crate::files::Format;

/// What connectors of one session have in common: the tables of its memory sink.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// The tables that memory sinks have made, by query name.
    pub tables: memory::MemoryTables,
}

/// How to make a source.
pub type MakeSource = fn() -> Arc<dyn SourceProvider>;

/// How to make a sink, given what the session's connectors share.
pub type MakeSink = fn(&Shared) -> Arc<dyn SinkProvider>;

/// Every source.
pub const SOURCES: &[MakeSource] = &[
    || Arc::new(files::FileSourceProvider::new(Format::Json)),
    || Arc::new(files::FileSourceProvider::new(Format::Csv)),
    || Arc::new(files::FileSourceProvider::new(Format::Parquet)),
    || Arc::new(files::FileSourceProvider::new(Format::Text)),
    || Arc::new(files::RefusedFormat::new("orc")),
    || Arc::new(files::RefusedFormat::new("xml")),
    || Arc::new(files::RefusedFormat::new("avro")),
    || Arc::new(kafka::KafkaSourceProvider),
    || Arc::new(rate::RateProvider),
    || Arc::new(rate_micro_batch::RateMicroBatchProvider),
    || Arc::new(socket::SocketProvider),
    || Arc::new(memory::MemorySourceProvider),
];

/// Every sink.
pub const SINKS: &[MakeSink] = &[
    |_| Arc::new(files::FileSinkProvider::new(Format::Json)),
    |_| Arc::new(files::FileSinkProvider::new(Format::Csv)),
    |_| Arc::new(files::FileSinkProvider::new(Format::Parquet)),
    |_| Arc::new(files::FileSinkProvider::new(Format::Text)),
    |_| Arc::new(files::RefusedFormat::new("orc")),
    |_| Arc::new(files::RefusedFormat::new("xml")),
    |_| Arc::new(files::RefusedFormat::new("avro")),
    |shared| Arc::new(memory::MemorySinkProvider::new(shared.tables.clone())),
    |_| Arc::new(console::ConsoleProvider::stdout()),
    |_| Arc::new(noop::NoopProvider),
    |_| Arc::new(kafka::KafkaSinkProvider::default()),
];

/// Adds every source and sink to `registry`. The result is the way to the tables of its memory sink.
pub fn register_all(registry: &mut Registry) -> Shared {
    let shared = Shared::default();
    for make in SOURCES {
        registry.add_source(make());
    }
    for make in SINKS {
        registry.add_sink(make(&shared));
    }
    shared
}
