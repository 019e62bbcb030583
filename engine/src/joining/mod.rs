//! What joins have in common: finding rows by key, testing pairs of rows, and gathering them.

mod columns;
mod condition;
mod key_index;

pub(crate) use columns::{JoinSideOf, OutputColumns, take_pairs};
pub(crate) use condition::{ConditionColumn, PairCondition};
pub(crate) use key_index::KeyIndex;

/// Rows of a pair list handled at a time.
pub(crate) const PAIRS_AT_A_TIME: usize = 8192;
