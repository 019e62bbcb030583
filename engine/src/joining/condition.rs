//! What a pair of rows must fulfil besides its keys.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use datafusion_common::cast::as_boolean_array;
use datafusion_common::{JoinSide, Result, internal_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use serde::{Deserialize, Serialize};

use super::{JoinSideOf, take_pairs};
use crate::plan::codec::NodeExpression;

/// The condition of a join beyond its keys: a boolean expression over some columns of both sides.
#[derive(Clone, Debug)]
pub(crate) struct PairCondition {
    expression: NodeExpression,
    columns: Vec<ConditionColumn>,
}

/// Where a column of the condition comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConditionColumn {
    /// Of which side.
    pub(crate) side: JoinSideOf,
    /// Its place there.
    pub(crate) column: usize,
}

impl PairCondition {
    /// The condition that DataFusion's joins hold. `None` where it refers to a column of neither side.
    pub(crate) fn of_filter(filter: &JoinFilter) -> Option<Self> {
        let column = |index: &ColumnIndex| {
            let side = match index.side {
                JoinSide::Left => JoinSideOf::Left,
                JoinSide::Right => JoinSideOf::Right,
                JoinSide::None => return None,
            };
            Some(ConditionColumn { side, column: index.index })
        };
        let columns = filter.column_indices().iter().map(column).collect::<Option<Vec<_>>>()?;
        Some(Self::new(Arc::clone(filter.expression()), columns, Arc::clone(filter.schema())))
    }

    /// `expr` over `columns`, which `schema` describes.
    pub(crate) fn new(expr: Arc<dyn PhysicalExpr>, columns: Vec<ConditionColumn>, schema: SchemaRef) -> Self {
        Self { expression: NodeExpression { expr, schema }, columns }
    }

    /// For an encoding: the expression, and what [`from_parts`](Self::from_parts) needs beside it.
    pub(crate) fn parts(&self) -> (&NodeExpression, &[ConditionColumn]) {
        (&self.expression, &self.columns)
    }

    /// The condition again.
    pub(crate) fn from_parts(expression: NodeExpression, columns: Vec<ConditionColumn>) -> Self {
        Self { expression, columns }
    }

    /// Which of the pairs fulfil it: pair `i` is row `left_rows[i]` of `left` and `right_rows[i]` of `right`.
    pub(crate) fn holds(
        &self,
        (left, left_rows): (&RecordBatch, &UInt32Array),
        (right, right_rows): (&RecordBatch, &UInt32Array),
    ) -> Result<BooleanBuffer> {
        let gather = |column: &ConditionColumn| match column.side {
            JoinSideOf::Left => take_pairs(left, column.column, Some(left_rows), left_rows.len()),
            JoinSideOf::Right => take_pairs(right, column.column, Some(right_rows), right_rows.len()),
        };
        let columns = self.columns.iter().map(gather).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(left_rows.len()));
        let pairs = RecordBatch::try_new_with_options(Arc::clone(&self.expression.schema), columns, &options)?;
        let answers = self.expression.expr.evaluate(&pairs)?.into_array(pairs.num_rows())?;
        let answers: &BooleanArray = as_boolean_array(&answers)?;
        if answers.len() != left_rows.len() {
            return internal_err!("a join's condition gave {} answers for {} pairs", answers.len(), left_rows.len());
        }
        Ok(match answers.nulls() {
            // What is not known to hold does not.
            Some(nulls) => answers.values() & nulls.inner(),
            None => answers.values().clone(),
        })
    }
}

impl std::fmt::Display for PairCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.expression.expr.fmt_sql(f)
    }
}
