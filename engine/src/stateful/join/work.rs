//! One batch of a join in one state partition, after Spark's algorithm: rows of the left side meet what is remembered of the
//! right one and are remembered; rows of the right side meet the left ones, those of this batch too; then what has expired
//! is forgotten, and given out where it stayed without a match.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{SchemaRef, UInt16Type};
use datafusion_common::cast::as_boolean_array;
use datafusion_common::{Result, internal_err};
use millstream_state::KeyEncoder;

use super::side::{Met, SideLayout, SideRows, SideState, group_keys};
use super::spec::JoinSpec;
use super::times::micros_of;
use crate::batch_context::OperatorWatermarks;
use crate::error::Error;
use crate::joining::{JoinSideOf, OutputColumns, PairCondition, take_pairs};
use crate::observations::OperatorCounts;
use crate::plan::codec::NodeExpression;

/// A join as it runs: everything that is the same in all batches and partitions.
#[derive(Debug)]
pub(super) struct JoinPlan {
    pub(super) spec: JoinSpec,
    pub(super) left: SidePlan,
    pub(super) right: SidePlan,
    /// What a pair must fulfil besides its keys.
    pub(super) condition: Option<PairCondition>,
    pub(super) output: OutputColumns,
}

/// One side of it.
#[derive(Debug)]
pub(super) struct SidePlan {
    pub(super) layout: Arc<SideLayout>,
    pub(super) encoder: KeyEncoder,
    /// What a row must fulfil alone to have any match.
    pub(super) condition: Option<NodeExpression>,
}

impl JoinPlan {
    pub(super) fn side(&self, side: JoinSideOf) -> &SidePlan {
        match side {
            JoinSideOf::Left => &self.left,
            JoinSideOf::Right => &self.right,
        }
    }
}

impl SidePlan {
    pub(super) fn new(layout: SideLayout, condition: Option<NodeExpression>) -> Result<Self> {
        let fields: Vec<_> = layout.spec.keys.iter().map(|key| Arc::clone(&layout.schema.fields()[*key])).collect();
        let encoder = KeyEncoder::new(fields).map_err(Error::from)?;
        Ok(Self { layout: Arc::new(layout), encoder, condition })
    }
}

/// See the file's header.
#[derive(Debug)]
pub(super) struct JoinWork {
    plan: Arc<JoinPlan>,
    left: SideState,
    right: SideState,
    watermarks: OperatorWatermarks,
    /// Joined rows that nobody has taken yet.
    pub(super) ready: VecDeque<RecordBatch>,
    counts: OperatorCounts,
}

impl JoinWork {
    pub(super) fn new(plan: Arc<JoinPlan>, left: SideState, right: SideState, watermarks: OperatorWatermarks) -> Self {
        Self { plan, left, right, watermarks, ready: VecDeque::new(), counts: OperatorCounts::default() }
    }

    /// Takes in rows of a side, with their key groups in the last column.
    pub(super) fn take_in(&mut self, side: JoinSideOf, batch: &RecordBatch) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let batch = self.without_late_rows(side, batch)?;
        let batch = self.without_hopeless_rows(side, batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = side_rows(&plan, side, &batch)?;
        let matched = self.meet(side, &rows)?;
        self.remember(side, &rows, &matched)
    }

    /// Forgets what has expired, and hands the changes to the batch. The rows given out are in `ready`.
    pub(super) fn finish(mut self) -> Result<(VecDeque<RecordBatch>, OperatorCounts)> {
        for side in [JoinSideOf::Left, JoinSideOf::Right] {
            let Some(watermark_ms) = self.plan.spec.state_watermark_ms(side, self.watermarks.eviction_ms) else {
                continue;
            };
            let (plan, ready) = (Arc::clone(&self.plan), &mut self.ready);
            let state = match side {
                JoinSideOf::Left => &mut self.left,
                JoinSideOf::Right => &mut self.right,
            };
            state.expire(watermark_ms.saturating_mul(1000), |rows| {
                if rows.num_rows() > 0 {
                    ready.push_back(alone(&plan.output, side, &rows)?);
                }
                Ok(())
            })?;
        }
        self.counts.rows_updated = self.left.rows_put + self.right.rows_put;
        self.counts.rows_removed = self.left.rows_removed + self.right.rows_removed;
        self.counts.rows_total = self.left.finish()? + self.right.finish()?;
        Ok((self.ready, self.counts))
    }

    /// Stored rows that were fetched to find matches.
    #[cfg(test)]
    pub(super) fn rows_looked_at(&self) -> u64 {
        self.left.rows_looked_at + self.right.rows_looked_at
    }

    fn without_late_rows(&mut self, side: JoinSideOf, batch: &RecordBatch) -> Result<RecordBatch> {
        let Some(column) = self.plan.spec.side(side).event_time else { return Ok(batch.clone()) };
        let times = micros_of(batch.column(column))?;
        let late = self.watermarks.late_micros();
        // A null is not late.
        let in_time = BooleanArray::from_unary(&times, |time| time > late);
        let in_time = match in_time.null_count() {
            0 => in_time,
            _ => in_time.iter().map(|in_time| Some(in_time != Some(false))).collect(),
        };
        let dropped = in_time.len() - in_time.true_count();
        if dropped == 0 {
            return Ok(batch.clone());
        }
        self.counts.rows_dropped_by_watermark += dropped as u64;
        Ok(filter_record_batch(batch, &in_time)?)
    }

    /// Rows that fail what the condition says of their side alone have no match, now or later.
    fn without_hopeless_rows(&mut self, side: JoinSideOf, batch: RecordBatch) -> Result<RecordBatch> {
        let plan = Arc::clone(&self.plan);
        let Some(condition) = &plan.side(side).condition else { return Ok(batch) };
        let holds = condition.expr.evaluate(&batch)?.into_array(batch.num_rows())?;
        let holds = match as_boolean_array(&holds)? {
            holds if holds.null_count() == 0 => holds.clone(),
            holds => arrow::compute::prep_null_mask_filter(holds),
        };
        if holds.true_count() == holds.len() {
            return Ok(batch);
        }
        if plan.spec.join_type.keeps_unmatched(side) {
            let hopeless = filter_record_batch(&batch, &not(&holds)?)?;
            self.ready.push_back(alone(&plan.output, side, &hopeless)?);
        }
        Ok(filter_record_batch(&batch, &holds)?)
    }

    /// Which of the rows have a match among what is remembered of the other side.
    fn meet(&mut self, side: JoinSideOf, rows: &SideRows) -> Result<Vec<bool>> {
        let plan = Arc::clone(&self.plan);
        let mut matched = vec![false; rows.rows.num_rows()];
        let ready = &mut self.ready;
        let other = match side {
            JoinSideOf::Left => &mut self.right,
            JoinSideOf::Right => &mut self.left,
        };
        let forgets = plan.spec.join_type.forgets_matched(side.other());
        other.meet(rows, |other, met| {
            let met = fulfilled(&plan, side, rows, met)?;
            met.probes.values().iter().for_each(|row| matched[*row as usize] = true);
            if plan.spec.join_type.gives_pairs() && !met.probes.is_empty() {
                ready.push_back(pairs(&plan.output, side, rows, &met)?);
            }
            if side == JoinSideOf::Right && plan.spec.join_type == super::StreamJoinType::LeftSemi {
                let once = met.once(rows)?;
                if once.num_rows() > 0 {
                    ready.push_back(alone(&plan.output, JoinSideOf::Left, &once)?);
                }
            }
            other.matched(rows, &met, forgets)
        })?;
        if side == JoinSideOf::Left && plan.spec.join_type == super::StreamJoinType::LeftSemi {
            let found = BooleanArray::from(matched.clone());
            if found.true_count() > 0 {
                self.ready.push_back(alone(&plan.output, side, &filter_record_batch(&rows.rows, &found)?)?);
            }
        }
        Ok(matched)
    }

    fn remember(&mut self, side: JoinSideOf, rows: &SideRows, matched: &[bool]) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let join_type = plan.spec.join_type;
        let keeps_unmatched = join_type.keeps_unmatched(side);
        // The right side's rows have met all of this batch: what has expired by its end is not remembered at all.
        let expired = match side {
            JoinSideOf::Left => None,
            JoinSideOf::Right => plan.spec.state_watermark_ms(side, self.watermarks.eviction_ms),
        };
        let expired = expired.zip(rows.expires.as_ref()).map(|(at_ms, times)| (at_ms.saturating_mul(1000), times));
        let (mut kept, mut given_out) = (Vec::with_capacity(matched.len()), Vec::new());
        for (row, is_matched) in matched.iter().enumerate() {
            let has_expired =
                expired.is_some_and(|(expired, times)| times.is_valid(row) && times.value(row) <= expired);
            let never_matches = rows.null_keys.as_ref().is_some_and(|nulls| nulls.value(row));
            if *is_matched && join_type.forgets_matched(side) || never_matches && !keeps_unmatched {
                continue;
            }
            match has_expired {
                false => kept.push(row as u32),
                true if keeps_unmatched && !is_matched => given_out.push(row as u32),
                true => {}
            }
        }
        if !given_out.is_empty() {
            let taken = UInt32Array::from(given_out);
            let columns = super::side::take_all(rows.rows.columns(), &taken)?;
            self.ready.push_back(alone(&plan.output, side, &RecordBatch::try_new(rows.rows.schema(), columns)?)?);
        }
        match side {
            JoinSideOf::Left => self.left.insert(rows, &kept, matched),
            JoinSideOf::Right => self.right.insert(rows, &kept, matched),
        }
    }
}

/// The rows of a batch whose last column has their key groups.
fn side_rows(plan: &JoinPlan, side: JoinSideOf, batch: &RecordBatch) -> Result<SideRows> {
    let SidePlan { layout, encoder, .. } = plan.side(side);
    let Some(key_groups) = batch.columns().last().and_then(|column| column.as_primitive_opt::<UInt16Type>()) else {
        return internal_err!("the rows of a join came without their key groups");
    };
    let width = layout.schema.fields().len();
    let rows = batch.project(&(0..width).collect::<Vec<_>>())?;
    let columns: Vec<ArrayRef> = layout.spec.keys.iter().map(|key| Arc::clone(rows.column(*key))).collect();
    let safe = columns.iter().zip(&plan.spec.null_safe).filter(|(_, safe)| !**safe).map(|(column, _)| column);
    let nulls = safe.filter_map(|column| column.logical_nulls());
    let nulls = nulls.reduce(|a, b| arrow::buffer::NullBuffer::union(Some(&a), Some(&b)).unwrap_or(a));
    let times = |column: Option<usize>| -> Result<Option<Int64Array>> {
        column.map(|column| micros_of(rows.column(column))).transpose()
    };
    Ok(SideRows {
        keys: encoder.encode(&columns).map_err(Error::from)?,
        key_groups: key_groups.values().to_vec(),
        null_keys: nulls.map(|nulls| BooleanArray::new(!nulls.inner(), None)),
        expires: times(layout.spec.expiry.column())?,
        buckets: times(layout.spec.buckets.map(|buckets| buckets.column))?,
        looks_at: times(plan.spec.side(side.other()).buckets.map(|buckets| buckets.other_column))?,
        rows,
    })
}

/// The pairs that fulfil the condition.
fn fulfilled(plan: &JoinPlan, side: JoinSideOf, rows: &SideRows, met: Met) -> Result<Met> {
    let Some(condition) = plan.condition.as_ref().filter(|_| !met.probes.is_empty()) else { return Ok(met) };
    let all: UInt32Array = (0..met.probes.len() as u32).collect();
    let (probes, stored) = ((&rows.rows, &met.probes), (&met.rows, &all));
    let holds = match side {
        JoinSideOf::Left => condition.holds(probes, stored)?,
        JoinSideOf::Right => condition.holds(stored, probes)?,
    };
    met.keep(&BooleanArray::new(holds, None))
}

fn pairs(output: &OutputColumns, side: JoinSideOf, rows: &SideRows, met: &Met) -> Result<RecordBatch> {
    let column = |of: JoinSideOf, column: usize| match of == side {
        true => take_pairs(&rows.rows, column, Some(&met.probes), met.probes.len()),
        false => Ok(Arc::clone(met.rows.column(column))),
    };
    output.batch(met.probes.len(), column, None)
}

/// Rows of one side, with nulls for the other.
fn alone(output: &OutputColumns, side: JoinSideOf, rows: &RecordBatch) -> Result<RecordBatch> {
    let column = |of: JoinSideOf, column: usize| match of == side {
        true => Ok(Arc::clone(rows.column(column))),
        false => Ok(output.nulls(of, column, rows.num_rows())),
    };
    output.batch(rows.num_rows(), column, None)
}

impl Met {
    /// Each stored row once.
    fn once(&self, probes: &SideRows) -> Result<RecordBatch> {
        let (_, first_rows) = group_keys(&self.keys(probes)?);
        let taken = UInt32Array::from(first_rows);
        let columns = super::side::take_all(self.rows.columns(), &taken)?;
        let schema: SchemaRef = self.rows.schema();
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
