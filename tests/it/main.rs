//! Whole queries.

mod aggregation;
mod bad_input;
mod book;
mod command;
mod conformance;
mod crash_points;
mod deduplication;
mod event_time;
mod examples;
mod file_metadata;
mod joins;
mod kafka_genuine;
mod kafka_mock;
mod killed;
mod object_store;
mod other_process;
mod our_files;
mod progress;
mod realtime_analytics;
mod sessions;
mod spark_checkpoints;
mod static_tables;
mod streaming_expressions;
mod tidy;
mod unreadable_rows;
