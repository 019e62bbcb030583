//! A store that is all in memory: one table that drafts change in place, and a journal of what to undo.
//!
//! ```text
//!                 begin(Keep)                              begin(Undo)
//!  table = version v ──────► put, remove: table = draft of v + 1 ──────► table = version v again
//!                             journal = the way back to v
//! ```
//! Two versions live in the memory of one: the older is the newer with the journal undone. Whoever begins next says which
//! of them it builds on. Nothing has to be done when a draft is dropped: what it left is undone by the next one.
//!
//! A [`Lease`] ends when the next one begins. So a draft of an attempt that was given up and still lingers somewhere can
//! neither hold up its successor nor meddle with it: its next call fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::image::Answers;
use crate::journal::Journal;
use crate::key::Keys;
use crate::key_range::KeyRange;
use crate::table::{BLOCK_ROWS, Block, NONE, Table};
use crate::value::PackedRows;

/// See the module's documentation. Clones share the table.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    table: Table,
    journal: Journal,
    /// The lease that counts.
    lease: u64,
}

/// What becomes of the changes that were made last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Keep,
    Undo,
}

/// The right to change a table, until somebody else has it. Clones are the same lease.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    resident: Resident,
    number: u64,
    /// Memory that the table took in the beginning.
    start_bytes: usize,
}

/// A change, as the file of the batch has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    slot: u32,
    is_removal: bool,
}

impl Resident {
    pub(crate) fn new(table: Table) -> Self {
        let journal = Journal::new(table.value_bytes());
        Self { shared: Arc::new(Mutex::new(Shared { table, journal, lease: 0 })) }
    }

    /// Starts anew, with the last changes or without them.
    pub(crate) fn begin(&self, last: Last) -> Lease {
        let mut shared = self.lock();
        let Shared { table, journal, lease } = &mut *shared;
        match last {
            Last::Keep => journal.keep(table),
            Last::Undo => journal.undo(table),
        }
        *lease += 1;
        Lease { resident: self.clone(), number: *lease, start_bytes: table.bytes() + journal.bytes() }
    }

    /// Whether both are the same table.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let shared = self.lock();
        shared.table.bytes() + shared.journal.bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Whether nobody else has begun since.
    pub(crate) fn is_current(&self) -> bool {
        self.resident.lock().lease == self.number
    }

    /// Fails when somebody else has begun since.
    pub(crate) fn check(&self) -> Result<()> {
        self.shared().map(drop)
    }

    /// Memory that was taken since it began.
    pub(crate) fn grown_bytes(&self) -> Result<usize> {
        let shared = self.shared()?;
        Ok((shared.table.bytes() + shared.journal.bytes()).saturating_sub(self.start_bytes))
    }

    /// Rows in the table now.
    pub(crate) fn rows(&self) -> u64 {
        self.resident.lock().table.len() as u64
    }

    /// Which of these keys are there.
    pub(crate) fn contains(&self, keys: &Keys) -> Result<Vec<bool>> {
        Ok(self.shared()?.table.find(keys).into_iter().map(|slot| slot != NONE).collect())
    }

    /// Copies of the values of these keys, which take about `value_bytes` each.
    pub(crate) fn get(&self, keys: &Keys, value_bytes: usize) -> Result<Answers> {
        let shared = self.shared()?;
        let table = &shared.table;
        let mut answers = Answers::with_capacity(keys.len(), value_bytes);
        let mut block = Block::default();
        for first in (0..keys.len()).step_by(BLOCK_ROWS) {
            let slots = block.find(table, keys, first);
            slots.iter().for_each(|slot| answers.push((*slot != NONE).then(|| table.value(*slot))));
        }
        Ok(answers)
    }

    /// Copies of the values of the keys in these rows.
    pub(crate) fn find(&self, keys: &Keys, rows: &[u32]) -> Result<Answers> {
        let shared = self.shared()?;
        let mut answers = Answers::with_capacity(rows.len(), 0);
        for slot in shared.table.find_rows(keys, rows) {
            answers.push((slot != NONE).then(|| shared.table.value(slot)));
        }
        Ok(answers)
    }

    /// Puts the value of each row.
    pub(crate) fn put(&self, keys: &Keys, values: &PackedRows) -> Result<()> {
        let mut shared = self.shared()?;
        let Shared { table, journal, .. } = &mut *shared;
        let mut block = Block::default();
        for first in (0..keys.len()).step_by(BLOCK_ROWS) {
            table.make_room(BLOCK_ROWS.min(keys.len() - first));
            let count = block.find(table, keys, first).len();
            journal.reserve(count);
            journal.fetch(&block.slots[..count]);
            for at in 0..count {
                let (row, slot) = (first + at, block.slots[at]);
                let value = values.row(row);
                if slot != NONE {
                    journal.replace(slot, value, table);
                    continue;
                }
                match table.add_at(block.places[at], keys.hashes()[row], keys.key(row), value) {
                    (slot, true) => journal.added(slot),
                    // An earlier row of this block had the same key: it is new all the same.
                    (slot, false) => table.set_value(slot, value),
                }
            }
        }
        table.compact();
        Ok(())
    }

    /// Puts the value of each row whose key is not there, and says for which it did.
    pub(crate) fn put_where_absent(&self, keys: &Keys, values: &PackedRows) -> Result<Vec<bool>> {
        let mut shared = self.shared()?;
        let Shared { table, journal, .. } = &mut *shared;
        let mut put = vec![false; keys.len()];
        let mut block = Block::default();
        for first in (0..keys.len()).step_by(BLOCK_ROWS) {
            table.make_room(BLOCK_ROWS.min(keys.len() - first));
            let count = block.find(table, keys, first).len();
            journal.reserve(count);
            for at in (0..count).filter(|at| block.slots[*at] == NONE) {
                let row = first + at;
                // Of rows with the same new key the first counts.
                let (slot, is_new) = table.add_at(block.places[at], keys.hashes()[row], keys.key(row), values.row(row));
                if is_new {
                    journal.added(slot);
                    put[row] = true;
                }
            }
        }
        Ok(put)
    }

    /// Removes these keys.
    pub(crate) fn remove(&self, keys: &Keys) -> Result<()> {
        let mut shared = self.shared()?;
        let Shared { table, journal, .. } = &mut *shared;
        let mut block = Block::default();
        for first in (0..keys.len()).step_by(BLOCK_ROWS) {
            for (at, slot) in block.find(table, keys, first).iter().enumerate() {
                let (hash, key) = (keys.hashes()[first + at], keys.key(first + at));
                // A key may come twice.
                if *slot != NONE && table.find_one(hash, key) == *slot {
                    journal.remove(hash, *slot, table);
                }
            }
        }
        Ok(())
    }

    /// The slots of the rows with keys in a range, in key order.
    pub(crate) fn range(&self, range: &KeyRange) -> Result<Vec<u32>> {
        Ok(self.shared()?.table.range(range))
    }

    /// Hands the key and the value of each of these slots to `row`.
    pub(crate) fn read(&self, slots: &[u32], mut row: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        let shared = self.shared()?;
        slots.iter().try_for_each(|slot| row(shared.table.key(*slot), shared.table.value(*slot)))
    }

    /// Removes the rows in these slots.
    pub(crate) fn remove_slots(&self, slots: &[u32]) -> Result<()> {
        let mut shared = self.shared()?;
        let Shared { table, journal, .. } = &mut *shared;
        for slots in slots.chunks(BLOCK_ROWS) {
            let hashes = table.hashes_of(slots);
            hashes.iter().zip(slots).for_each(|(hash, slot)| journal.remove(*hash, *slot, table));
        }
        Ok(())
    }

    /// How many rows have changed at most.
    pub(crate) fn changed_rows(&self) -> usize {
        self.resident.lock().journal.len()
    }

    /// What is to be written, in key order: a key once.
    pub(crate) fn changes(&self) -> Result<Vec<Change>> {
        let shared = self.shared()?;
        let Shared { table, journal, .. } = &*shared;
        let mut puts = table.in_key_order(journal.put());
        puts.dedup();
        let removed = table.in_key_order(journal.removed());
        let mut changes = Vec::with_capacity(puts.len() + removed.len());
        let mut puts = puts.into_iter().peekable();
        for slot in removed {
            let key = table.key(slot);
            while let Some(put) = puts.next_if(|put| table.key(*put) < key) {
                changes.push(Change { slot: put, is_removal: false });
            }
            // A key that was removed and put again is only put.
            if puts.peek().is_none_or(|put| table.key(*put) != key) {
                changes.push(Change { slot, is_removal: true });
            }
        }
        changes.extend(puts.map(|slot| Change { slot, is_removal: false }));
        Ok(changes)
    }

    /// Hands the key and the new value of each of these changes to `change`; no value for a removal.
    pub(crate) fn read_changes(
        &self,
        changes: &[Change],
        mut change: impl FnMut(&[u8], Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let shared = self.shared()?;
        changes.iter().try_for_each(|Change { slot, is_removal }| {
            change(shared.table.key(*slot), (!is_removal).then(|| shared.table.value(*slot)))
        })
    }

    /// Undoes all changes; the lease goes on.
    pub(crate) fn undo(&self) -> Result<()> {
        let mut shared = self.shared()?;
        let Shared { table, journal, .. } = &mut *shared;
        journal.undo(table);
        Ok(())
    }

    fn shared(&self) -> Result<MutexGuard<'_, Shared>> {
        let shared = self.resident.lock();
        if shared.lease == self.number {
            return Ok(shared);
        }
        Err(Error::new(ErrorKind::Fenced, "another attempt has begun to change the store"))
    }
}

#[cfg(test)]
mod tests;
