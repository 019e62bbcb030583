//! Where the sessions of a state partition are kept.
//!
//! ```text
//! sessions    key slot key-group   → start, end, slots, alarm, what is in the session (see `contents.rs`)
//! ends        alarm key key-group  →
//! ```
//! A key's sessions have the slots 0, 1, … in no order, so that all of them are found by look-ups: slot 0 says how many there are.
//! Most keys have one. `ends` is there where sessions leave: one alarm for each key, at or before the first end of its sessions
//! (slot 0 knows when). A session that only grows leaves the alarm alone; when the alarm goes off, it is set again for what has
//! not ended yet.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, Int64Array, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::Int64Type;
use datafusion_common::{Result, internal_err};
use millstream_state::{Draft, FoundRows, KeyRange, Keys, StateRows};

use super::layout::SESSION_COLUMNS;
use super::merge::{Merged, Session};
use crate::error::Error;
use crate::stateful::join::key_bytes::{INT64_BYTES, KeyBuilder, UINT16_BYTES, average_bytes, int64_key};

/// The alarm of a key that has none.
const NO_ALARM: i64 = i64::MAX;

/// The slot of a session that has none yet.
const NO_SLOT: i64 = -1;

/// Keys of a batch, each once, with their key groups.
#[derive(Debug)]
pub(super) struct BatchKeys {
    pub(super) keys: Keys,
    pub(super) groups: Vec<u16>,
}

/// The stored sessions of some keys.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// In the order of their keys' numbers, then of their starts.
    pub(super) sessions: Vec<Session>,
    /// The slot of each, and its row in `states`.
    places: Vec<(i64, u32)>,
    states: Vec<ArrayRef>,
    /// Of each key, the key of its slot 0 in the store.
    firsts: Option<Keys>,
    /// For each key, how many slots it has.
    slots: Vec<i64>,
    /// For each key, its alarm.
    alarms: Vec<i64>,
}

impl Stored {
    /// The states of these sessions, in this order.
    pub(super) fn states_of(&self, sessions: &[usize]) -> Result<Vec<ArrayRef>> {
        let rows: UInt32Array = sessions.iter().map(|session| self.places[*session].1).collect();
        Ok(self.states.iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?)
    }

    /// The first state columns of all sessions, in their order.
    pub(super) fn first_columns(&self, count: usize) -> Result<Vec<ArrayRef>> {
        let rows: UInt32Array = self.places.iter().map(|(_, row)| *row).collect();
        Ok(self.states.iter().take(count).map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?)
    }

    /// Whether each key has one session, in slot 0, and it ends before `first_open`: what is found of sessions that have ended,
    /// mostly.
    fn are_single_and_end_before(&self, first_open: i64) -> bool {
        let one_each = self.sessions.len() == self.slots.len() && self.slots.iter().all(|slots| *slots == 1);
        one_each && self.sessions.iter().all(|session| session.end < first_open)
    }

    /// The sessions of key number `key`; `from` is where those of the key before ended.
    fn of_key(&self, key: u32, from: usize) -> Range<usize> {
        let of_key = self.sessions[from..].iter().take_while(|session| session.key == key).count();
        from..from + of_key
    }
}

/// Sessions that have ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) keys: Keys,
    pub(super) sessions: Vec<Session>,
    pub(super) states: Vec<ArrayRef>,
}

/// The stores of one state partition, in the making.
#[derive(Debug)]
pub(super) struct Slots {
    sessions: Draft,
    ends: Option<Draft>,
}

impl Slots {
    pub(super) fn new(sessions: Draft, ends: Option<Draft>) -> Self {
        Self { sessions, ends }
    }

    /// The sessions of these keys.
    pub(super) fn load(&mut self, of: &BatchKeys) -> Result<Stored> {
        let count = of.keys.len();
        let mut firsts = KeyBuilder::new(count, average_bytes(of.keys.bytes()));
        for (key, group) in of.groups.iter().enumerate() {
            firsts.push(None, of.keys.key(key), Some(0), *group)?;
        }
        let firsts = firsts.finish()?;
        let found = self.sessions.get(&firsts).map_err(Error::from)?;
        let [starts, ends, slots, alarms] = numbers(&found.values)?;
        let mut stored =
            Stored { firsts: Some(firsts), slots: vec![0; count], alarms: vec![NO_ALARM; count], ..Stored::default() };
        let mut more = Vec::new();
        for key in found.present.values().set_indices() {
            let session = Session { key: key as u32, start: starts.value(key), end: ends.value(key) };
            stored.sessions.push(session);
            stored.places.push((0, key as u32));
            stored.slots[key] = slots.value(key);
            stored.alarms[key] = alarms.value(key);
            more.extend((1..slots.value(key)).map(|slot| (key as u32, slot)));
        }
        stored.states = found.values[SESSION_COLUMNS.len()..].to_vec();
        if !more.is_empty() {
            self.load_more(of, &more, &mut stored)?;
        }
        Ok(stored)
    }

    /// Adds the sessions in these slots of these keys.
    fn load_more(&mut self, of: &BatchKeys, slots: &[(u32, i64)], stored: &mut Stored) -> Result<()> {
        let found = self.sessions.get(&slot_keys(of, slots.iter().copied())?).map_err(Error::from)?;
        if found.present.false_count() > 0 {
            return internal_err!("{}: a key has fewer sessions than it says", self.sessions.id());
        }
        let FoundRows { values, .. } = found;
        let [starts, ends, ..] = numbers(&values)?;
        let first_row = of.keys.len();
        let rest = slots.iter().enumerate().map(|(at, (key, slot))| {
            let session = Session { key: *key, start: starts.value(at), end: ends.value(at) };
            (session, (*slot, (first_row + at) as u32))
        });
        let mut all: Vec<_> = stored.sessions.drain(..).zip(stored.places.drain(..)).chain(rest).collect();
        all.sort_unstable_by_key(|(session, _)| (session.key, session.start));
        (stored.sessions, stored.places) = all.into_iter().unzip();
        for (column, more) in stored.states.iter_mut().zip(&values[SESSION_COLUMNS.len()..]) {
            *column = concat(&[column.as_ref(), more.as_ref()])?;
        }
        Ok(())
    }

    /// Puts the sessions that a batch has changed, with their states, in the place of those they are made of.
    pub(super) fn put(&mut self, of: &BatchKeys, stored: &Stored, merged: &Merged, states: &[ArrayRef]) -> Result<()> {
        let mut changes = Changes::new(self.ends.is_some());
        let (mut next_stored, mut next) = (0, 0);
        for key in 0..of.keys.len() as u32 {
            let before = stored.of_key(key, next_stored);
            next_stored = before.end;
            let first = next;
            while merged.sessions.get(next).is_some_and(|session| session.key == key) {
                changes.hold(NO_SLOT, merged.sessions[next].end, None);
                next += 1;
            }
            for at in before {
                let slot = stored.places[at].0;
                match merged.of_stored(at) {
                    None => changes.hold(slot, stored.sessions[at].end, Some(at)),
                    Some(session) => match &mut changes.holders[session - first] {
                        holder if holder.slot == NO_SLOT => holder.slot = slot,
                        _ => changes.free.push(slot),
                    },
                }
            }
            let (slots, alarm) = (stored.slots[key as usize], stored.alarms[key as usize]);
            changes.settle(key, slots, alarm, alarm != NO_ALARM);
        }
        self.write(of, stored, &changes)?;
        if changes.changed.is_empty() {
            return Ok(());
        }
        // Mostly a key has one session: then the keys are those that it was looked up by.
        let is_first = |(at, (session, head)): (usize, (&Session, &Head))| session.key as usize == at && head.slot == 0;
        let changed = || merged.sessions.iter().zip(&changes.changed);
        let keys = match &stored.firsts {
            Some(firsts) if firsts.len() == merged.sessions.len() && changed().enumerate().all(is_first) => {
                firsts.clone()
            }
            _ => slot_keys(of, changed().map(|(session, head)| (session.key, head.slot)))?,
        };
        let columns = columns(merged.sessions.iter().zip(&changes.changed), states);
        self.sessions.put(&keys, &columns).map_err(Error::from)?;
        Ok(())
    }

    /// Removes the sessions that end before `first_open`, and hands them to `each`, some at a time. How many they were.
    pub(super) fn take_ended(&mut self, first_open: i64, mut each: impl FnMut(Ended) -> Result<()>) -> Result<u64> {
        let Some(ends) = &mut self.ends else { return Ok(0) };
        let mut removed = 0;
        for alarms in ends.take_range(&KeyRange::not_null_below(int64_key(first_open))).map_err(Error::from)? {
            let of = keys_of_alarms(&alarms)?;
            let stored = self.load(&of)?;
            if let Some(firsts) = stored.firsts.as_ref().filter(|_| stored.are_single_and_end_before(first_open)) {
                self.sessions.remove(firsts).map_err(Error::from)?;
                removed += stored.sessions.len() as u64;
                each(Ended { keys: of.keys, sessions: stored.sessions, states: stored.states })?;
                continue;
            }
            let mut changes = Changes::new(true);
            let (mut ended, mut next) = (Vec::new(), 0);
            for key in 0..of.keys.len() as u32 {
                let sessions = stored.of_key(key, next);
                next = sessions.end;
                for at in sessions {
                    let (end, slot) = (stored.sessions[at].end, stored.places[at].0);
                    if end < first_open {
                        ended.push(at);
                        changes.free.push(slot);
                    } else {
                        changes.hold(slot, end, Some(at));
                    }
                }
                changes.settle(key, stored.slots[key as usize], stored.alarms[key as usize], false);
            }
            self.write(&of, &stored, &changes)?;
            removed += ended.len() as u64;
            let sessions = ended.iter().map(|at| stored.sessions[*at]).collect();
            each(Ended { keys: of.keys, sessions, states: stored.states_of(&ended)? })?;
        }
        Ok(removed)
    }

    /// Hands all sessions to `each`, some at a time.
    pub(super) fn all(&mut self, rows: usize, mut each: impl FnMut(Ended) -> Result<()>) -> Result<()> {
        let mut scan = self.sessions.scan(&KeyRange::all()).map_err(Error::from)?;
        while let Some(found) = scan.next_batch(rows).map_err(Error::from)? {
            let [starts, ends, ..] = numbers(&found.values)?;
            let of = keys_of(&found, 0, INT64_BYTES + UINT16_BYTES)?;
            let session = |row: usize| Session { key: row as u32, start: starts.value(row), end: ends.value(row) };
            let sessions = (0..found.len()).map(session).collect();
            each(Ended { keys: of.keys, sessions, states: found.values[SESSION_COLUMNS.len()..].to_vec() })?;
        }
        Ok(())
    }

    /// Hands the changes to the batch. How many sessions there are.
    pub(super) fn finish(self) -> Result<u64> {
        if let Some(ends) = self.ends {
            ends.finish().map_err(Error::from)?;
        }
        Ok(self.sessions.finish().map_err(Error::from)?)
    }

    /// Everything but the sessions that have changed themselves.
    fn write(&mut self, of: &BatchKeys, stored: &Stored, changes: &Changes) -> Result<()> {
        if !changes.removed.is_empty() {
            let removed = slot_keys(of, changes.removed.iter().copied())?;
            self.sessions.remove(&removed).map_err(Error::from)?;
        }
        if !changes.moved.is_empty() {
            let moved = || changes.moved.iter().map(|(at, head)| (&stored.sessions[*at], head));
            let keys = slot_keys(of, moved().map(|(session, head)| (session.key, head.slot)))?;
            let rows: Vec<usize> = changes.moved.iter().map(|(at, _)| *at).collect();
            self.sessions.put(&keys, &columns(moved(), &stored.states_of(&rows)?)).map_err(Error::from)?;
        }
        let Some(ends) = &mut self.ends else { return Ok(()) };
        let alarm_keys = |alarms: &[(u32, i64)]| {
            let mut keys = KeyBuilder::new(alarms.len(), average_bytes(of.keys.bytes()));
            for (key, alarm) in alarms {
                keys.push(Some(*alarm), of.keys.key(*key as usize), None, of.groups[*key as usize])?;
            }
            keys.finish()
        };
        ends.remove(&alarm_keys(&changes.alarms_off)?).map_err(Error::from)?;
        Ok(ends.put(&alarm_keys(&changes.alarms_on)?, &[]).map_err(Error::from)?)
    }
}

/// What a session's row says beside the session.
#[derive(Clone, Copy, Debug)]
struct Head {
    slot: i64,
    /// Of slot 0 alone: the key's slots and its alarm.
    slots: i64,
    alarm: i64,
}

/// A session that has or gets a slot.
#[derive(Debug)]
struct Holder {
    slot: i64,
    end: i64,
    /// Its number among the stored sessions, where the batch has not changed it.
    stored: Option<usize>,
    has_moved: bool,
}

/// What is to be written, key by key.
#[derive(Debug, Default)]
struct Changes {
    sets_alarms: bool,
    /// Of the sessions that have changed, in their order.
    changed: Vec<Head>,
    /// Stored sessions that get another slot, or whose slot says something else.
    moved: Vec<(usize, Head)>,
    removed: Vec<(u32, i64)>,
    alarms_off: Vec<(u32, i64)>,
    alarms_on: Vec<(u32, i64)>,
    // Of the key at hand.
    holders: Vec<Holder>,
    free: Vec<i64>,
}

impl Changes {
    fn new(sets_alarms: bool) -> Self {
        Self { sets_alarms, ..Self::default() }
    }

    fn hold(&mut self, slot: i64, end: i64, stored: Option<usize>) {
        self.holders.push(Holder { slot, end, stored, has_moved: false });
    }

    /// Gives slots to the sessions of a key that had `slots`, so that none between is free, and sets its alarm.
    fn settle(&mut self, key: u32, slots: i64, alarm: i64, is_set: bool) {
        let mut count = slots;
        for holder in self.holders.iter_mut().filter(|holder| holder.slot == NO_SLOT) {
            holder.slot = self.free.pop().unwrap_or(count);
            count = count.max(holder.slot + 1);
        }
        self.free.sort_unstable();
        while let Some(hole) = self.free.pop() {
            count -= 1;
            // The last slot is the hole itself, or somebody's who moves into it.
            if let Some(last) = self.holders.iter_mut().find(|holder| holder.slot == count && hole != count) {
                (last.slot, last.has_moved) = (hole, true);
            }
        }
        self.removed.extend((count..slots).map(|slot| (key, slot)));
        let first_end = self.holders.iter().map(|holder| holder.end).min().unwrap_or(NO_ALARM);
        let next_alarm = match (self.sets_alarms, is_set && alarm <= first_end) {
            (false, _) => NO_ALARM,
            (true, true) => alarm,
            (true, false) => {
                self.alarms_off.extend(is_set.then_some((key, alarm)));
                self.alarms_on.extend((!self.holders.is_empty()).then_some((key, first_end)));
                first_end
            }
        };
        for holder in self.holders.drain(..) {
            let head = match holder.slot {
                0 => Head { slot: 0, slots: count, alarm: next_alarm },
                slot => Head { slot, slots: 0, alarm: NO_ALARM },
            };
            let says_more = head.slot == 0 && (count, next_alarm) != (slots, alarm);
            match holder.stored {
                None => self.changed.push(head),
                Some(at) if holder.has_moved || says_more => self.moved.push((at, head)),
                Some(_) => {}
            }
        }
    }
}

/// The columns that every session has.
fn numbers(values: &[ArrayRef]) -> Result<[Int64Array; 4]> {
    let columns: Option<Vec<Int64Array>> = values
        .iter()
        .take(SESSION_COLUMNS.len())
        .map(|column| column.as_primitive_opt::<Int64Type>().cloned())
        .collect();
    match columns.and_then(|columns| columns.try_into().ok()) {
        Some(columns) => Ok(columns),
        None => internal_err!("a stored session without its bounds"),
    }
}

/// The value columns of sessions.
fn columns<'a>(sessions: impl Iterator<Item = (&'a Session, &'a Head)> + Clone, states: &[ArrayRef]) -> Vec<ArrayRef> {
    let column = |number: fn(&Session, &Head) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(sessions.clone().map(|(session, head)| number(session, head))))
    };
    let mut columns =
        vec![column(|s, _| s.start), column(|s, _| s.end), column(|_, head| head.slots), column(|_, head| head.alarm)];
    columns.extend(states.iter().cloned());
    columns
}

fn slot_keys(of: &BatchKeys, slots: impl Iterator<Item = (u32, i64)>) -> Result<Keys> {
    let mut keys = KeyBuilder::new(slots.size_hint().0, average_bytes(of.keys.bytes()));
    for (key, slot) in slots {
        keys.push(None, of.keys.key(key as usize), Some(slot), of.groups[key as usize])?;
    }
    keys.finish()
}

fn keys_of_alarms(alarms: &StateRows) -> Result<BatchKeys> {
    keys_of(alarms, INT64_BYTES, UINT16_BYTES)
}

/// The keys in the keys of `rows`, behind `before` bytes and before `behind` bytes; the last two are the key group.
fn keys_of(rows: &StateRows, before: usize, behind: usize) -> Result<BatchKeys> {
    let mut keys = BinaryBuilder::with_capacity(rows.len(), rows.keys.bytes().value_data().len());
    let mut groups = Vec::with_capacity(rows.len());
    for row in 0..rows.len() {
        let key = rows.keys.key(row);
        let Some(of_key) = key.get(before..key.len().saturating_sub(behind)) else {
            return internal_err!("a stored session's key has {} bytes", key.len());
        };
        keys.append_value(of_key);
        groups.push(key.last_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes)));
    }
    Ok(BatchKeys { keys: Keys::from_bytes(keys.finish()).map_err(Error::from)?, groups })
}
