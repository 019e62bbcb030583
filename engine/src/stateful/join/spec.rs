//! What a join of two streams is: keys, conditions, times, and how long each side is remembered.

use datafusion_common::JoinType;
use serde::{Deserialize, Serialize};

use super::range::TimeBound;
use crate::joining::JoinSideOf;

/// How two streams are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Serialize, Deserialize)]
pub(crate) enum StreamJoinType {
    /// Pairs.
    Inner,
    /// Pairs, and rows of the left side that stay without a match.
    Left,
    /// Pairs, and rows of the right side that stay without a match.
    Right,
    /// Pairs, and rows of both sides that stay without a match.
    Full,
    /// Rows of the left side with a match, once.
    LeftSemi,
    /// Rows of the left side that stay without a match.
    LeftAnti,
}

impl StreamJoinType {
    /// Of DataFusion's; `None` for what streams cannot be joined by.
    pub(crate) fn of(join_type: JoinType) -> Option<Self> {
        Some(match join_type {
            JoinType::Inner => Self::Inner,
            JoinType::Left => Self::Left,
            JoinType::Right => Self::Right,
            JoinType::Full => Self::Full,
            JoinType::LeftSemi => Self::LeftSemi,
            JoinType::LeftAnti => Self::LeftAnti,
            _ => return None,
        })
    }

    /// DataFusion's.
    pub(crate) fn datafusion(self) -> JoinType {
        match self {
            Self::Inner => JoinType::Inner,
            Self::Left => JoinType::Left,
            Self::Right => JoinType::Right,
            Self::Full => JoinType::Full,
            Self::LeftSemi => JoinType::LeftSemi,
            Self::LeftAnti => JoinType::LeftAnti,
        }
    }

    /// Whether rows of this side that stay without a match are given out, with nulls or alone.
    pub(crate) fn keeps_unmatched(self, side: JoinSideOf) -> bool {
        match side {
            JoinSideOf::Left => matches!(self, Self::Left | Self::Full | Self::LeftAnti),
            JoinSideOf::Right => matches!(self, Self::Right | Self::Full),
        }
    }

    /// Whether pairs are given out.
    pub(crate) fn gives_pairs(self) -> bool {
        matches!(self, Self::Inner | Self::Left | Self::Right | Self::Full)
    }

    /// Whether a row of the left side is done with at its first match.
    pub(crate) fn forgets_matched(self, side: JoinSideOf) -> bool {
        side == JoinSideOf::Left && matches!(self, Self::LeftSemi | Self::LeftAnti)
    }
}

/// A join of two streams, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct JoinSpec {
    /// The operator's number in the plan.
    pub(crate) operator: u32,
    /// State partitions.
    pub(crate) partitions: usize,
    pub(crate) join_type: StreamJoinType,
    pub(crate) left: SideSpec,
    pub(crate) right: SideSpec,
    /// For each key whether a null equals a null.
    pub(crate) null_safe: Vec<bool>,
    /// What is known of the difference of two times.
    pub(crate) bounds: Vec<TimeBound>,
}

/// One side of the join.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SideSpec {
    /// The columns that are compared.
    pub(crate) keys: Vec<usize>,
    /// The event time with a watermark: rows at or before W(N−1) are late.
    pub(crate) event_time: Option<usize>,
    /// How long its rows are remembered.
    pub(crate) expiry: Expiry,
    /// By which time its rows are put together in the store.
    pub(crate) buckets: Option<Buckets>,
}

/// When a row is no longer needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Expiry {
    /// Never.
    Never,
    /// When the time in this column, one of the keys, is not after the watermark.
    Key(usize),
    /// When its event time is not after the watermark moved by the join's bounds.
    Value(usize),
}

impl Expiry {
    /// The column whose time decides.
    pub(crate) fn column(&self) -> Option<usize> {
        match self {
            Self::Never => None,
            Self::Key(column) | Self::Value(column) => Some(*column),
        }
    }
}

/// Rows of a key are stored by buckets of time, so that a row of the other side meets those of a few buckets only, and whole
/// buckets leave at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Buckets {
    /// The column with the time.
    pub(crate) column: usize,
    /// In microseconds.
    pub(crate) width: i64,
    /// The column of the other side that says where to look.
    pub(crate) other_column: usize,
    /// A row of the other side at `t` meets the rows from `t + first` to `t + last`, both included.
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Buckets {
    /// The bucket of a time.
    pub(crate) fn of(&self, time: i64) -> i64 {
        time.div_euclid(self.width)
    }

    /// The buckets that a row of the other side at `time` has to look into; none where nothing can match.
    pub(crate) fn met_at(&self, time: i64) -> std::ops::RangeInclusive<i64> {
        self.of(time.saturating_add(self.first))..=self.of(time.saturating_add(self.last))
    }

    /// The first bucket that is not wholly at or before `time`.
    pub(crate) fn first_open(&self, time: i64) -> i64 {
        self.of(time.saturating_add(1))
    }
}

impl JoinSpec {
    pub(crate) fn side(&self, side: JoinSideOf) -> &SideSpec {
        match side {
            JoinSideOf::Left => &self.left,
            JoinSideOf::Right => &self.right,
        }
    }

    /// Up to which time, in milliseconds, the rows of a side have expired at this watermark; `None` where they never do.
    pub(crate) fn state_watermark_ms(&self, side: JoinSideOf, watermark_ms: i64) -> Option<i64> {
        match self.side(side).expiry {
            Expiry::Never => None,
            Expiry::Key(_) => Some(watermark_ms),
            Expiry::Value(column) => {
                self.bounds.iter().filter_map(|bound| bound.state_watermark_ms(side, column, watermark_ms)).min()
            }
        }
    }

    /// Up to which event time the output is complete when the inputs are up to `input_ms`.
    pub(crate) fn output_watermark_ms(&self, input_ms: i64) -> i64 {
        let sides = [JoinSideOf::Left, JoinSideOf::Right];
        sides.iter().filter_map(|side| self.state_watermark_ms(*side, input_ms)).fold(input_ms, i64::min)
    }

    /// Whether rows of either side are ever forgotten.
    pub(crate) fn forgets(&self) -> bool {
        self.left.expiry != Expiry::Never || self.right.expiry != Expiry::Never
    }
}
