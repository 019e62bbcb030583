//! Spark's errors: a condition's name in brackets, then the message.

use std::fmt::Display;

use datafusion::common::DataFusionError;

/// A row's value that makes the query fail, under Spark's name for the condition.
pub(super) fn fails(condition: &str, message: impl Display) -> DataFusionError {
    DataFusionError::Execution(format!("[{condition}] {message}"))
}

/// A call that cannot be planned, under Spark's name for the condition.
pub(super) fn refused(condition: &str, message: impl Display) -> DataFusionError {
    DataFusionError::Plan(format!("[{condition}] {message}"))
}

/// A call that is right but that this engine does not know how to answer.
pub(super) fn unsupported(message: impl Display) -> DataFusionError {
    DataFusionError::NotImplemented(message.to_string())
}

/// The sum, product or absolute value of a number does not fit its type.
pub(super) fn overflow(what: &str) -> DataFusionError {
    fails("ARITHMETIC_OVERFLOW", format!("{what} overflow. Use 'try_' forms to tolerate it and return NULL instead."))
}

/// Another crate's error, as a failure of the row.
pub(super) fn wrapped(error: impl Display) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}
