//! What a batch of an aggregation gives out: groups with their values, from the states of the batch or of the store.
//!
//! Where state is kept by slices, a window is put together from its slices when W(N) passes its end: exactly the windows that end
//! after W(N−1) and not after W(N), so that each is given out once, whatever was skipped or repeated in between.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion_common::{Result, internal_err};
use millstream_state::{Draft, KeyEncoder, KeyRange, Keys, StateRows};

use super::accumulators::{Accumulators, values_of};
use super::element_store::ElementStore;
use super::group_table::GroupTable;
use super::layout::Layout;
use crate::batch_context::OperatorWatermarks;
use crate::error::Error;
use crate::plan::Windows;
use crate::plan::time_window::window_array;
use crate::stateful::time_key::{TimeKind, first_open_start};

/// Rows given out in one record batch, and read from the store at a time.
const ROWS: usize = 8192;

/// The same where the elements of each have to be read.
pub(in crate::stateful) const ROWS_WITH_ELEMENTS: usize = 512;

/// Collects what a batch gives out.
pub(super) struct Emitter<'a> {
    layout: &'a Layout,
    encoder: &'a KeyEncoder,
    watermarks: OperatorWatermarks,
    /// For each aggregate whose elements are kept.
    elements: &'a mut [Option<ElementStore>],
    batches: Vec<RecordBatch>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(
        layout: &'a Layout,
        encoder: &'a KeyEncoder,
        watermarks: OperatorWatermarks,
        elements: &'a mut [Option<ElementStore>],
    ) -> Self {
        Self { layout, encoder, watermarks, elements, batches: Vec::new() }
    }

    pub(super) fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    fn rows(&self) -> usize {
        if self.layout.spec.keeps_elements { ROWS_WITH_ELEMENTS } else { ROWS }
    }

    /// Gives out these groups.
    pub(super) fn groups(&mut self, keys: &Keys, states: &[ArrayRef]) -> Result<()> {
        for offset in (0..keys.len()).step_by(self.rows()) {
            let rows = self.rows().min(keys.len() - offset);
            let states: Vec<ArrayRef> = states.iter().map(|column| column.slice(offset, rows)).collect();
            let columns = self.key_columns(&keys.slice(offset, rows))?;
            self.emit(columns, &states, rows)?;
        }
        Ok(())
    }

    /// Gives out every group of the store.
    pub(super) fn all(&mut self, draft: &mut Draft) -> Result<()> {
        let at_once = self.rows();
        let mut scan = draft.scan(&KeyRange::all()).map_err(Error::from)?;
        while let Some(rows) = scan.next_batch(at_once).map_err(Error::from)? {
            let columns = self.key_columns(&rows.keys)?;
            self.emit(columns, &rows.values, rows.len())?;
        }
        Ok(())
    }

    /// Gives out what W(N) has closed and removes what nobody needs any more; how many rows that were.
    pub(super) fn closed(&mut self, draft: &mut Draft) -> Result<u64> {
        let Some(end) = self.first_open_key()? else { return Ok(0) };
        if let (true, Some(TimeKind::Slices(windows))) =
            (self.layout.spec.by_slices, self.layout.spec.time.map(|t| t.kind))
        {
            self.closed_windows(draft, &windows)?;
            return Ok(draft.remove_range(&KeyRange::not_null_below(end)).map_err(Error::from)?);
        }
        let mut removed = 0;
        for rows in draft.take_range(&KeyRange::not_null_below(end.clone())).map_err(Error::from)? {
            removed += rows.len() as u64;
            self.groups(&rows.keys, &rows.values)?;
        }
        self.forget_elements(end)?;
        Ok(removed)
    }

    /// Removes what W(N) has closed; how many rows that were.
    pub(super) fn forget_closed(&mut self, draft: &mut Draft) -> Result<u64> {
        let Some(end) = self.first_open_key()? else { return Ok(0) };
        let removed = draft.remove_range(&KeyRange::not_null_below(end.clone())).map_err(Error::from)?;
        self.forget_elements(end)?;
        Ok(removed)
    }

    fn forget_elements(&mut self, end: Vec<u8>) -> Result<()> {
        let range = KeyRange::not_null_below(end);
        self.elements.iter_mut().flatten().try_for_each(|elements| elements.remove_range(&range))
    }

    /// The beginning of the first key that W(N) leaves open. Without a watermark nothing closes.
    fn first_open_key(&self) -> Result<Option<Vec<u8>>> {
        let Some(time) = self.layout.spec.time.filter(|time| time.has_watermark) else { return Ok(None) };
        self.time_key(time.kind.first_open_micros(self.watermarks.eviction_micros())).map(Some)
    }

    /// The beginning of keys with this time.
    fn time_key(&self, micros: i64) -> Result<Vec<u8>> {
        let field = Arc::clone(&self.layout.store.key()[0]);
        let DataType::Timestamp(TimeUnit::Microsecond, zone) = field.data_type().clone() else {
            return internal_err!("the time of a group is {}", field.data_type());
        };
        let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone_opt(zone));
        let encoder = KeyEncoder::new(vec![field]).map_err(Error::from)?;
        Ok(encoder.encode(&[time]).map_err(Error::from)?.key(0).to_vec())
    }

    /// The windows that W(N) closes and W(N−1) did not, put together from their slices.
    fn closed_windows(&mut self, draft: &mut Draft, windows: &Windows) -> Result<()> {
        let (late, evict) = (self.watermarks.late_micros(), self.watermarks.eviction_micros());
        let (first, first_open) = (first_open_start(windows, late), first_open_start(windows, evict));
        if first >= first_open {
            return Ok(());
        }
        // The last window that closes begins one slide before the first that stays open.
        let end = first_open.saturating_sub(windows.slide).saturating_add(windows.size);
        let range = KeyRange::between(self.time_key(first)?, self.time_key(end)?);
        let mut groups = GroupTable::new();
        let mut accumulators = Accumulators::new(&self.layout.aggregates.small)?;
        let mut scan = draft.scan(&range).map_err(Error::from)?;
        while let Some(rows) = scan.next_batch(ROWS).map_err(Error::from)? {
            let (keys, states) = self.windows_of(&rows, windows, first..first_open)?;
            let (numbers, _) = groups.intern(&keys)?;
            accumulators.merge(&states, &numbers, groups.len())?;
        }
        drop(scan);
        let keys = groups.into_keys()?;
        if keys.is_empty() {
            return Ok(());
        }
        let states = accumulators.states()?;
        self.groups(&keys, &states)
    }

    /// The states of these slices, once for each window that begins in `starts`, with the window's key.
    fn windows_of(
        &self,
        rows: &StateRows,
        windows: &Windows,
        starts: std::ops::Range<i64>,
    ) -> Result<(Keys, Vec<ArrayRef>)> {
        let mut columns = rows.key_columns().map_err(Error::from)?;
        let (mut from, mut times) = (Vec::new(), Vec::new());
        for (row, slice) in (0u32..).zip(columns[0].as_primitive::<TimestampMicrosecondType>().values()) {
            for start in windows.starts_of(*slice).filter(|start| starts.contains(start)) {
                from.push(row);
                times.push(start);
            }
        }
        let from = UInt32Array::from(from);
        for column in &mut columns[1..] {
            *column = take(column, &from, None)?;
        }
        columns[0] = Arc::new(TimestampMicrosecondArray::from(times));
        let states = rows.values.iter().map(|column| take(column, &from, None)).collect::<Result<_, _>>()?;
        Ok((self.encoder.encode(&columns).map_err(Error::from)?, states))
    }

    fn key_columns(&self, keys: &Keys) -> Result<Vec<ArrayRef>> {
        match self.encoder.fields().is_empty() {
            true => Ok(Vec::new()),
            false => Ok(self.encoder.decode(keys).map_err(Error::from)?),
        }
    }

    /// Gives out groups, a row each: the state's key columns, and the aggregates' states.
    fn emit(&mut self, key: Vec<ArrayRef>, states: &[ArrayRef], rows: usize) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let layout = self.layout;
        let mut columns = key[layout.times..layout.groups].to_vec();
        if let Some(time) = &layout.spec.time {
            let data_type = layout.output.field(time.index).data_type();
            columns.insert(time.index, time_column(&time.kind, &key, data_type)?);
        }
        let small = values_of(&layout.aggregates.small, states, rows)?;
        columns.extend(layout.aggregates.values(&small, self.elements, &key[..layout.groups], rows)?);
        for (column, field) in columns.iter_mut().zip(layout.output.fields()) {
            if column.data_type() != field.data_type() {
                *column = cast(column, field.data_type())?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        self.batches.push(RecordBatch::try_new_with_options(Arc::clone(&layout.output), columns, &options)?);
        Ok(())
    }
}

/// The time's column of the output, from the key columns that stand for it.
fn time_column(kind: &TimeKind, key: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    let micros =
        |column: &ArrayRef| column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<String>);
    match kind {
        TimeKind::Time => Ok(Arc::clone(&key[0])),
        TimeKind::Window => window_array(micros(&key[1]), micros(&key[0]), data_type),
        TimeKind::Slices(windows) => {
            let starts = micros(&key[0]);
            let ends = starts.unary(|start| start.saturating_add(windows.size));
            window_array(starts, ends, data_type)
        }
    }
}
