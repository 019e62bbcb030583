//! What a batch of sessions gives out: a row for each, with its key, its bounds and its values.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::cast;
use datafusion_common::Result;
use millstream_state::Keys;

use super::layout::Layout;
use super::merge::Session;
use crate::error::Error;
use crate::plan::time_window::window_array;
use crate::stateful::aggregate::accumulators::values_of;

/// Rows given out in one record batch.
const ROWS: usize = 8192;

/// Collects what a batch gives out.
pub(super) struct Emitter<'a> {
    layout: &'a Layout,
    batches: Vec<RecordBatch>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, batches: Vec::new() }
    }

    pub(super) fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// Gives out `sessions`, whose key numbers are places in `keys`, from their states.
    pub(super) fn of_states(&mut self, keys: &Keys, sessions: &[Session], states: &[ArrayRef]) -> Result<()> {
        for offset in (0..sessions.len()).step_by(ROWS) {
            let rows = ROWS.min(sessions.len() - offset);
            let states: Vec<ArrayRef> = states.iter().map(|column| column.slice(offset, rows)).collect();
            let values = values_of(&self.layout.functions, &states, rows)?;
            self.rows(keys, &sessions[offset..offset + rows], values)?;
        }
        Ok(())
    }

    /// Gives out `sessions` with the aggregates' values.
    pub(super) fn of_values(&mut self, keys: &Keys, sessions: &[Session], values: &[ArrayRef]) -> Result<()> {
        for offset in (0..sessions.len()).step_by(ROWS) {
            let rows = ROWS.min(sessions.len() - offset);
            let values = values.iter().map(|column| column.slice(offset, rows)).collect();
            self.rows(keys, &sessions[offset..offset + rows], values)?;
        }
        Ok(())
    }

    fn rows(&mut self, keys: &Keys, sessions: &[Session], values: Vec<ArrayRef>) -> Result<()> {
        let layout = self.layout;
        let mut columns = match &layout.encoder {
            None => Vec::new(),
            Some(encoder) => {
                let numbers: UInt32Array = sessions.iter().map(|session| session.key).collect();
                encoder.decode(&keys.take(&numbers).map_err(Error::from)?).map_err(Error::from)?
            }
        };
        let times = |time: fn(&Session) -> i64| sessions.iter().map(time).collect::<Vec<i64>>();
        let (starts, ends) = (times(|session| session.start), times(|session| session.end));
        let data_type = layout.output.field(layout.spec.session).data_type();
        let window =
            window_array(TimestampMicrosecondArray::from(starts), TimestampMicrosecondArray::from(ends), data_type)?;
        columns.insert(layout.spec.session, window);
        columns.extend(values);
        for (column, field) in columns.iter_mut().zip(layout.output.fields()) {
            if column.data_type() != field.data_type() {
                *column = cast(column, field.data_type())?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(sessions.len()));
        self.batches.push(RecordBatch::try_new_with_options(Arc::clone(&layout.output), columns, &options)?);
        Ok(())
    }
}
