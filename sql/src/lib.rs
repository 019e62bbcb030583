//! Session, Spark's SQL dialect and functions, readStream and writeStream, planned into the engine.

pub mod dialect;
pub mod expressions;
pub mod functions;
