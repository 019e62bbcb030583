//! Session, Spark's SQL dialect and functions, readStream and writeStream, planned into the engine.
