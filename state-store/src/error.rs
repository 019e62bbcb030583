//! What can go wrong with files and state, sorted by who has to act.

use std::io;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`]. Adding a kind is an API change; adding a cause is not.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The location, the options or the schema are wrong. The user edits them; a retry cannot help.
    Invalid,
    /// Correct, but not supported. The message names the nearest thing that is.
    Unsupported,
    /// A disk or object store did not do what it was asked. The same batch can be run again.
    Unavailable,
    /// Another run has taken over. This one stops and writes nothing more.
    Fenced,
    /// A committed file is damaged or missing. Stop; someone restores a checkpoint.
    Corrupt,
    /// A broken invariant, so a bug of ours.
    Internal,
}

/// A failure: its kind, the file or folder it is about, what happened and, where there is one, the cause underneath.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    path: Option<String>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that is about no particular file.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, path: None, message: message.into(), source: None }
    }

    /// The same error, about the file or folder at `path` (a path or URL).
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The same error with its cause.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The caller's mistake: see [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// See [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A broken invariant: see [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Damage to the file at `path`: see [`ErrorKind::Corrupt`].
    pub fn corrupt(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message).at(path)
    }

    /// A failed call to the operating system on `path` while doing `what` ("write", "sync", …).
    pub fn io(what: &str, path: impl Into<String>, source: io::Error) -> Self {
        use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        let kind = match source.kind() {
            PermissionDenied | ReadOnlyFilesystem | NotADirectory | IsADirectory | InvalidFilename => {
                ErrorKind::Invalid
            }
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, format!("cannot {what}")).at(path).because(source)
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file or folder this is about, as a path or URL.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<arrow_schema::ArrowError> for Error {
    fn from(source: arrow_schema::ArrowError) -> Self {
        Self::new(ErrorKind::Internal, "an Arrow kernel refused its input").because(source)
    }
}
