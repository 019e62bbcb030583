//! Whole queries.

mod bad_input;
mod command;
mod conformance;
mod crash_points;
mod file_metadata;
<<<<<<< HEAD
mod kafka_mock;
=======
mod kafka_genuine;
>>>>>>> 753b809 (Tests against a genuine Kafka broker: exactly once under kills, recorded scenarios, errors, TLS and SCRAM, growing and trimmed topics)
mod killed;
mod object_store;
mod other_process;
mod our_files;
mod progress;
mod spark_checkpoints;
mod static_tables;
mod streaming_expressions;
mod tidy;
mod unreadable_rows;
