//! The crate's one error type: who must act (the kind), what is wrong, and where it stands in the input.

use std::fmt;

use arrow::error::ArrowError;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who must act on an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The user gave something that cannot be: an option's value, a schema, a pattern, a value that does not parse.
    Invalid,
    /// It means something to Spark, but not to this version.
    Unsupported,
    /// Data that is not what its format says: a malformed record under `FAILFAST`, say.
    Corrupt,
}

/// Something that cannot be read, written or understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    position: Option<Position>,
}

/// Where in the input an error stands; both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line (of a file) or row (of a column).
    pub line: u64,
    /// The byte within that line, 0 where only the line is known.
    pub byte: u64,
}

impl Error {
    /// An error of the given kind, without a position.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), position: None }
    }

    /// [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// The same error, knowing where it stands.
    pub fn at(mut self, line: u64, byte: u64) -> Self {
        self.position = Some(Position { line, byte });
        self
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is wrong, without the position.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it stands, if that is known.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.position {
            Some(Position { line, byte: 0 }) => write!(f, " (line {line})"),
            Some(Position { line, byte }) => write!(f, " (line {line}, byte {byte})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// The candidate that `name` was probably meant to be: the nearest by edit distance, if it is near at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let (distance, best) =
        candidates.into_iter().map(|c| (edit_distance(&name, &c.to_ascii_lowercase()), c)).min_by_key(|(d, _)| *d)?;
    (distance <= 1 + name.len() / 3).then_some(best)
}

/// `; did you mean X?`, or nothing.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|n| format!("; did you mean {n}?")).unwrap_or_default()
}

/// Levenshtein's distance, in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
