//! What a batch of sessions gives out: a row for each, with its key, its bounds and its values.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::cast;
use datafusion_common::Result;
use millstream_state::Keys;

use super::contents::Elements;
use super::layout::Layout;
use super::merge::Session;
use super::stamp;
use crate::plan::time_window::window_array;
use crate::stateful::aggregate::ROWS_WITH_ELEMENTS;
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

    /// Gives out `sessions`, whose key numbers are places in `keys`, from what is stored of them.
    pub(super) fn of_states(
        &mut self,
        keys: &Keys,
        sessions: &[Session],
        states: &[ArrayRef],
        elements: &mut Elements,
    ) -> Result<()> {
        let layout = self.layout;
        let keeps_elements = elements.iter().any(Option::is_some);
        let at_once = if keeps_elements { ROWS_WITH_ELEMENTS } else { ROWS };
        for offset in (0..sessions.len()).step_by(at_once) {
            let rows = at_once.min(sessions.len() - offset);
            let states: Vec<ArrayRef> = states.iter().map(|column| column.slice(offset, rows)).collect();
            let sessions = &sessions[offset..offset + rows];
            let mut small = values_of(&layout.aggregates.small, &states[layout.history_columns()..], rows)?;
            for (values, _) in small.iter_mut().zip(&layout.is_stamped).filter(|(_, is_stamped)| **is_stamped) {
                *values = stamp::values_of(values)?;
            }
            let key = match keeps_elements {
                true => layout.element_key(keys, &sessions.iter().map(|s| s.key).collect::<Vec<_>>(), &states)?,
                false => Vec::new(),
            };
            let values = layout.aggregates.values(&small, elements, &key, rows)?;
            self.rows(keys, sessions, values)?;
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
        let numbers: Vec<u32> = sessions.iter().map(|session| session.key).collect();
        let mut columns = layout.key_columns(keys, &numbers)?;
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
