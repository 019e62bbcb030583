//! What the tests stand on: recorded scenarios and how to run them, the command as a process, faults, an S3 server.
//!
//! A test file in `it/` says what must hold; how a query is run, killed or read back is here.

pub mod command;
pub mod dice;
pub mod faulty_disk;
pub mod fixtures;
pub mod kafka;
pub mod kafka_broker;
pub mod kafka_scenario;
pub mod lists;
pub mod markdown;
pub mod s3_server;
pub mod scenario;
pub mod session;
pub mod sink_log;
pub mod slow_proxy;
pub mod values;

/// What tests return.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
