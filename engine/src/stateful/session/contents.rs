//! What is in the sessions that a batch changes: the aggregates' states, and the elements of those that keep them.
//!
//! The rows of a key are numbered as they arrive. A session is named by the number of a row, and its elements are kept under its key
//! and name: a session that grows keeps its name, so that nothing of what it has is written again. Of sessions that become one, the
//! one with the most rows gives the name, and the elements of the others move to it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt16Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use datafusion_common::Result;

use super::layout::{HISTORY_COLUMNS, Layout};
use super::merge::{Merged, RowTimes, merge};
use super::slots::{BatchKeys, Stored};
use super::stamp;
use crate::stateful::aggregate::accumulators::Accumulators;
use crate::stateful::aggregate::element_store::{ElementStore, GroupedRows};

/// The elements of each aggregate that keeps them.
pub(super) type Elements = [Option<ElementStore>];

/// The rows of a batch, in the order of arrival.
#[derive(Default)]
pub(super) struct Rows {
    /// The number of each row's key.
    pub(super) keys: Vec<usize>,
    pub(super) starts: Vec<i64>,
    pub(super) ends: Vec<i64>,
    /// What the aggregates need: rows, and their columns.
    pub(super) values: Vec<(usize, Vec<ArrayRef>)>,
    pub(super) values_bytes: usize,
}

impl Rows {
    /// The sessions that they make, together with the stored ones that they touch.
    pub(super) fn merge(&self, of: &BatchKeys, stored: &Stored) -> Merged {
        let times = RowTimes { keys: &self.keys, starts: &self.starts, ends: &self.ends };
        merge(of.keys.len(), times, &stored.sessions)
    }
}

/// See the module.
pub(super) struct Contents<'a> {
    layout: &'a Layout,
    of: &'a BatchKeys,
    merged: &'a Merged,
    accumulators: Accumulators,
    /// Of each session; empty where nobody asks.
    histories: Vec<History>,
}

/// How a session came to be.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    /// The name; none before the first row.
    name: Option<i64>,
    rows: i64,
    /// The number of the next row to arrive, as far as this session knows.
    next: i64,
}

impl<'a> Contents<'a> {
    pub(super) fn new(layout: &'a Layout, of: &'a BatchKeys, merged: &'a Merged) -> Result<Self> {
        let accumulators = Accumulators::new(&layout.aggregates.small)?;
        let histories = vec![History::default(); if layout.has_history { merged.sessions.len() } else { 0 }];
        Ok(Self { layout, of, merged, accumulators, histories })
    }

    /// Takes in what is in the stored sessions that the batch touches.
    pub(super) fn take_in_stored(&mut self, stored: &Stored, elements: &mut Elements) -> Result<()> {
        let (parts, sessions): (Vec<usize>, Vec<usize>) =
            (0..stored.sessions.len()).filter_map(|at| Some((at, self.merged.of_stored(at)?))).unzip();
        if parts.is_empty() {
            return Ok(());
        }
        let columns = stored.states_of(&parts)?;
        let count = self.merged.sessions.len();
        let (history, states) = columns.split_at(self.layout.history_columns());
        if !self.layout.has_history {
            return self.accumulators.merge(states, &sessions, count);
        }
        let parts = histories_of(history);
        let mut largest: Vec<Option<usize>> = vec![None; count];
        for (part, session) in sessions.iter().enumerate() {
            let history = &mut self.histories[*session];
            history.rows += parts[part].rows;
            history.next = history.next.max(parts[part].next);
            let is_larger = |other: usize| parts[part].rows > parts[other].rows;
            if largest[*session].is_none_or(is_larger) {
                (largest[*session], history.name) = (Some(part), parts[part].name);
            }
        }
        let gives_name = |part: usize| largest[sessions[part]] == Some(part);
        self.merge_states(states, &sessions, gives_name)?;
        let moved: Vec<usize> = (0..parts.len()).filter(|part| !gives_name(*part)).collect();
        let sessions: Vec<usize> = moved.iter().map(|part| sessions[*part]).collect();
        let names = moved.iter().filter_map(|part| parts[*part].name).collect();
        self.move_elements(names, &sessions, elements)
    }

    /// Takes in the states of parts of `sessions`.
    fn merge_states(
        &mut self,
        states: &[ArrayRef],
        sessions: &[usize],
        gives_name: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let (layout, count) = (self.layout, self.merged.sessions.len());
        let mut first = 0;
        for (number, width) in self.accumulators.widths().to_vec().into_iter().enumerate() {
            let states = &states[first..first + width];
            first += width;
            let rows = match layout.is_stamped[number] {
                true => stamp::order_of(states)?,
                // What moves to another session is counted there, as far as it is new.
                false if layout.counts_members[number] => {
                    (0..sessions.len()).filter(|part| gives_name(*part)).collect()
                }
                false => (0..sessions.len()).collect(),
            };
            let of_rows: Vec<usize> = rows.iter().map(|row| sessions[*row]).collect();
            let rows = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
            let states = states.iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?;
            self.accumulators.merge_one(number, &states, &of_rows, count)?;
        }
        Ok(())
    }

    /// Moves the elements under `names` to these sessions.
    fn move_elements(&mut self, names: Vec<i64>, sessions: &[usize], elements: &mut Elements) -> Result<()> {
        if sessions.is_empty() || elements.iter().all(Option::is_none) {
            return Ok(());
        }
        let keys: Vec<u32> = sessions.iter().map(|session| self.merged.sessions[*session].key).collect();
        let key = self.layout.key_columns(&self.of.keys, &keys)?;
        let from = [key.clone(), vec![Arc::new(Int64Array::from(names)) as ArrayRef]].concat();
        let to = [key, vec![self.names(sessions.iter().copied())]].concat();
        for (aggregate, elements) in self.layout.aggregates.all.iter().zip(elements) {
            let Some(elements) = elements else { continue };
            if let (Some(new), Some(number)) = (elements.move_groups(&from, &to, sessions)?, aggregate.small) {
                let count = self.merged.sessions.len();
                self.accumulators.update(number, &new.arguments, &new.groups, None, count)?;
            }
        }
        Ok(())
    }

    /// Takes in the rows of the batch; `changed` is told the memory that is taken.
    pub(super) fn take_in_rows(
        &mut self,
        rows: Rows,
        stored: &Stored,
        elements: &mut Elements,
        mut changed: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let arrivals = self.count_arrivals(&rows, stored)?;
        let mut first = 0;
        for (length, values) in &rows.values {
            let range = first..first + length;
            first += length;
            let of_rows = Arrived {
                keys: &rows.keys[range.clone()],
                sessions: &self.merged.of_rows[range.clone()],
                arrivals: arrivals.get(range).unwrap_or_default(),
            };
            self.update(values, &of_rows, elements)?;
            changed(self.accumulators.size_bytes())?;
        }
        Ok(())
    }

    /// The number of each row among the rows of its key; none where nobody asks.
    fn count_arrivals(&mut self, rows: &Rows, stored: &Stored) -> Result<Vec<i64>> {
        if !self.layout.has_history {
            return Ok(Vec::new());
        }
        let mut next = vec![0; self.of.keys.len()];
        let histories = histories_of(&stored.first_columns(HISTORY_COLUMNS.len())?);
        for (session, history) in stored.sessions.iter().zip(histories) {
            let next = &mut next[session.key as usize];
            *next = history.next.max(*next);
        }
        let mut arrivals = Vec::with_capacity(rows.keys.len());
        for (key, session) in rows.keys.iter().zip(&self.merged.of_rows) {
            let (arrival, history) = (next[*key], &mut self.histories[*session]);
            next[*key] += 1;
            history.name.get_or_insert(arrival);
            history.rows += 1;
            history.next = next[*key];
            arrivals.push(arrival);
        }
        Ok(arrivals)
    }

    /// Takes in `values` of rows.
    fn update(&mut self, values: &[ArrayRef], rows: &Arrived<'_>, elements: &mut Elements) -> Result<()> {
        let (layout, count) = (self.layout, self.merged.sessions.len());
        let key = match elements.iter().any(Option::is_some) {
            true => self.element_key(rows)?,
            false => (Vec::new(), Arc::new(UInt16Array::from(Vec::<u16>::new())) as ArrayRef),
        };
        let (groups, arrivals) = (rows.sessions, rows.arrivals);
        let grouped = GroupedRows { key: &key.0, key_groups: &key.1, groups, arrivals };
        for (at, aggregate) in layout.aggregates.all.iter().enumerate() {
            let mut arguments = layout.arguments(at, values, groups.len())?;
            let filter = layout.filter(at, values);
            let new = match elements.get_mut(at) {
                Some(Some(elements)) => elements.add(&grouped, &arguments, filter)?,
                _ => {
                    let Some(number) = aggregate.small else { continue };
                    if layout.is_stamped[number] {
                        let ignore_nulls = aggregate.function.ignore_nulls();
                        arguments[0] = stamp::pairs(arrivals, &arguments[0], ignore_nulls)?;
                    }
                    self.accumulators.update(number, &arguments, groups, filter, count)?;
                    continue;
                }
            };
            if let (Some(new), Some(number)) = (new, aggregate.small) {
                self.accumulators.update(number, &new.arguments, &new.groups, None, count)?;
            }
        }
        Ok(())
    }

    /// What the keys of these rows' elements begin with, and the rows' key groups.
    fn element_key(&self, rows: &Arrived<'_>) -> Result<(Vec<ArrayRef>, ArrayRef)> {
        let keys: Vec<u32> = rows.keys.iter().map(|key| *key as u32).collect();
        let mut key = self.layout.key_columns(&self.of.keys, &keys)?;
        key.push(self.names(rows.sessions.iter().copied()));
        let groups = UInt16Array::from_iter_values(rows.keys.iter().map(|key| self.of.groups[*key]));
        Ok((key, Arc::new(groups)))
    }

    fn names(&self, sessions: impl Iterator<Item = usize>) -> ArrayRef {
        let names = sessions.map(|session| self.histories[session].name.unwrap_or_default());
        Arc::new(Int64Array::from_iter_values(names))
    }

    /// What is stored of the sessions beside their bounds; the contents are empty afterwards.
    pub(super) fn states(&mut self) -> Result<Vec<ArrayRef>> {
        let mut states = Vec::new();
        if self.layout.has_history {
            let number = |of: fn(&History) -> i64| Arc::new(self.histories.iter().map(of).collect::<Int64Array>());
            states.push(self.names(0..self.histories.len()));
            states.push(number(|history| history.rows));
            states.push(number(|history| history.next));
        }
        states.extend(self.accumulators.states()?);
        Ok(states)
    }

    /// The values of the sessions of a batch query.
    pub(super) fn values(&mut self) -> Result<Vec<ArrayRef>> {
        self.accumulators.values()
    }
}

/// Rows of a record batch: each one's key, session and number of arrival.
struct Arrived<'a> {
    keys: &'a [usize],
    sessions: &'a [usize],
    arrivals: &'a [i64],
}

fn histories_of(columns: &[ArrayRef]) -> Vec<History> {
    let columns: Vec<&Int64Array> = columns.iter().map(|column| column.as_primitive::<Int64Type>()).collect();
    let [names, rows, next] = columns[..] else { return Vec::new() };
    let history = |row| History { name: Some(names.value(row)), rows: rows.value(row), next: next.value(row) };
    (0..names.len()).map(history).collect()
}

/// Forgets the elements of sessions, of which `states` are stored, with the keys numbered `keys` among those of `of`.
pub(super) fn forget(
    layout: &Layout,
    of: &millstream_state::Keys,
    keys: &[u32],
    states: &[ArrayRef],
    elements: &mut Elements,
) -> Result<()> {
    if elements.iter().all(Option::is_none) {
        return Ok(());
    }
    let key = layout.element_key(of, keys, states)?;
    elements.iter_mut().flatten().try_for_each(|elements| elements.remove_groups(&key, keys.len()))
}
