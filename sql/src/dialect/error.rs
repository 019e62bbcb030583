//! A mistake in SQL text: where it is, what stands there, what was expected.

use std::fmt;

use datafusion::common::DataFusionError;
use sqlparser::tokenizer::Location;

/// SQL text that does not follow the grammar.
///
/// It reads `[PARSE_SYNTAX_ERROR] line 1, column 10: found 'FORM', expected …; did you mean FROM?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line of the offending token, from 1; 0 when the place is not known.
    pub line: u64,
    /// Column of the offending token in characters, from 1; 0 when the place is not known.
    pub column: u64,
    /// What is wrong, without the place.
    pub message: String,
}

impl SyntaxError {
    /// An error at a place in the text.
    pub fn new(at: Location, message: impl Into<String>) -> Self {
        Self { line: at.line, column: at.column, message: message.into() }
    }

    /// `found` stands where `expected` should.
    pub(super) fn expected(at: Location, found: &str, expected: &str) -> Self {
        Self::new(at, format!("found {found}, expected {expected}"))
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some mistakes have a condition of their own.
        let condition = if self.message.starts_with('[') { "" } else { "[PARSE_SYNTAX_ERROR] " };
        match self.line {
            0 => write!(f, "{condition}{}", self.message),
            line => write!(f, "{condition}line {line}, column {}: {}", self.column, self.message),
        }
    }
}

impl std::error::Error for SyntaxError {}

impl From<SyntaxError> for DataFusionError {
    fn from(error: SyntaxError) -> Self {
        DataFusionError::Plan(error.to_string())
    }
}

/// The keyword of `candidates` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_uppercase();
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance > 0 && *distance <= 2 && *distance * 2 < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
