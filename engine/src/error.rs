//! What went wrong, and who must act.
//!
//! An [`Error`] has a [`kind`](Error::kind) that answers "who must act?", a message that names the thing, the value and
//! the fix, and, once it has passed through a query, the query and the batch. Precise causes stay reachable through
//! [`std::error::Error::source`].

use std::fmt;
use std::sync::Arc;

use datafusion_common::DataFusionError;
pub use millstream_state::ErrorKind;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with its kind, its message and, where it happened in a query, the query and batch.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    query: Option<String>,
    batch_id: Option<u64>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), query: None, batch_id: None, source: None }))
    }

    /// The query or its options are wrong; the user edits them.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Correct, but not supported; `message` names the nearest thing that is.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A store, broker or disk did not answer; the same batch can be run again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Another run of the same query has taken over.
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// A committed file is damaged or missing; `message` names it.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// A broken invariant: a bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error with its cause attached.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The same error, placed in a query. A place that is already known stays.
    pub fn in_query(mut self, query: &str) -> Self {
        self.0.query.get_or_insert_with(|| query.to_string());
        self
    }

    /// The same error, placed in a batch. A place that is already known stays.
    pub fn in_batch(mut self, batch_id: u64) -> Self {
        self.0.batch_id.get_or_insert(batch_id);
        self
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the query and batch.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The query it happened in: its name, or its id where it has none.
    pub fn query(&self) -> Option<&str> {
        self.0.query.as_deref()
    }

    /// The batch it happened in.
    pub fn batch_id(&self) -> Option<u64> {
        self.0.batch_id
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.query, self.0.batch_id) {
            (Some(query), Some(batch_id)) => write!(f, "query {query}, batch {batch_id}: ")?,
            (Some(query), None) => write!(f, "query {query}: ")?,
            (None, Some(batch_id)) => write!(f, "batch {batch_id}: ")?,
            (None, None) => {}
        }
        write!(f, "{}", self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e.as_ref() as &(dyn std::error::Error + 'static))
    }
}

impl From<millstream_state::Error> for Error {
    fn from(error: millstream_state::Error) -> Self {
        Self::new(error.kind(), error.to_string()).with_source(error)
    }
}

/// DataFusion's errors: one of ours that travelled through a plan comes out as it went in; the others get the kind that
/// fits who must act.
impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(at) = cause {
            if let Some(ours) = at.downcast_ref::<Error>() {
                return ours.clone();
            }
            if let Some(state) = at.downcast_ref::<millstream_state::Error>() {
                return Self::new(state.kind(), state.to_string());
            }
            cause = at.source();
        }
        let kind = match error.find_root() {
            DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
            DataFusionError::Internal(_) => ErrorKind::Internal,
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ResourcesExhausted(_) => {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Invalid,
        };
        let message = plain_message(&error);
        Self::new(kind, message).with_source(error)
    }
}

/// An error of ours on its way through a DataFusion plan.
impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// The innermost message without DataFusion's prefixes and backtrace.
fn plain_message(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Plan(m) | DataFusionError::Execution(m) | DataFusionError::NotImplemented(m) => m.clone(),
        DataFusionError::Diagnostic(_, inner) => plain_message(inner),
        DataFusionError::Context(context, inner) => format!("{context}: {}", plain_message(inner)),
        DataFusionError::External(inner) => inner.to_string(),
        other => other.strip_backtrace(),
    }
}
