//! From pairs of row numbers to rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::{JoinSide, Result, internal_err};
use datafusion_physical_plan::joins::utils::ColumnIndex;
use serde::{Deserialize, Serialize};

/// One of a join's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum JoinSideOf {
    /// The first.
    Left,
    /// The second.
    Right,
}

impl JoinSideOf {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Where a join's output columns come from.
#[derive(Clone, Debug)]
pub(crate) struct OutputColumns {
    pub(crate) schema: SchemaRef,
    /// `None` is the mark column, which says whether a row has a match.
    columns: Vec<Option<(JoinSideOf, usize)>>,
}

impl OutputColumns {
    /// The columns of `schema`, which come from `indices`.
    pub(crate) fn new(schema: SchemaRef, indices: &[ColumnIndex]) -> Self {
        let column = |index: &ColumnIndex| match index.side {
            JoinSide::Left => Some((JoinSideOf::Left, index.index)),
            JoinSide::Right => Some((JoinSideOf::Right, index.index)),
            JoinSide::None => None,
        };
        Self { schema, columns: indices.iter().map(column).collect() }
    }

    /// Nulls in place of a side's column.
    pub(crate) fn nulls(&self, side: JoinSideOf, column: usize, rows: usize) -> ArrayRef {
        let at = self.columns.iter().position(|from| *from == Some((side, column)));
        let data_type = at.map_or(&DataType::Null, |at| self.schema.field(at).data_type());
        new_null_array(data_type, rows)
    }

    /// A batch of `rows` rows: `column` gives each side's columns, gathered, and `mark` the mark column.
    pub(crate) fn batch(
        &self,
        rows: usize,
        column: impl Fn(JoinSideOf, usize) -> Result<ArrayRef>,
        mark: Option<&BooleanArray>,
    ) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(|from| match (from, mark) {
            (Some((side, index)), _) => column(*side, *index),
            (None, Some(mark)) => Ok(Arc::new(mark.clone()) as ArrayRef),
            (None, None) => internal_err!("a join has no mark for its mark column"),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The values of a side's column for pairs: row `rows[i]` of it, null where that is null; all null where there are no rows.
pub(crate) fn take_pairs(
    batch: &RecordBatch,
    column: usize,
    rows: Option<&UInt32Array>,
    pairs: usize,
) -> Result<ArrayRef> {
    let values = batch.column(column);
    match rows {
        Some(rows) if is_all(rows, values.len()) => Ok(Arc::clone(values)),
        Some(rows) => Ok(take(values, rows, None)?),
        None => Ok(new_null_array(values.data_type(), pairs)),
    }
}

/// Whether `rows` are all of `count` rows, in order.
fn is_all(rows: &UInt32Array, count: usize) -> bool {
    rows.len() == count && rows.null_count() == 0 && (0u32..).zip(rows.values()).all(|(row, at)| row == *at)
}
