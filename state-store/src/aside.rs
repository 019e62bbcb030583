//! Changes that lie on top of a version without touching it: those of a store that is larger than its share of memory,
//! and those of a batch that has become too large to be made in place. What is too much for memory goes to scratch files.

use std::sync::Arc;

use crate::batch::BatchInner;
use crate::cursor::{Cursor, Merge, ResidentCursor};
use crate::draft::StoreCodec;
use crate::error::Result;
use crate::id::StoreId;
use crate::image::{Answers, Layer, Spilled, find_in_runs, segment_cursors};
use crate::key::Keys;
use crate::key_range::KeyRange;
use crate::overlay::{Overlay, keys_of};
use crate::resident::Lease;
use crate::scratch_run::ScratchRun;
use crate::table::NONE;
use crate::value::PackedRows;

/// Keys looked up at a time where all changes are gone through.
const BATCH_ROWS: usize = 8192;

/// The version underneath.
#[derive(Debug)]
pub(crate) enum Base {
    /// All in memory, and unchanged since the lease's changes were undone.
    Memory(Lease),
    Files(Arc<Spilled>),
}

impl Base {
    fn find(&self, keys: &Keys, rows: &[u32]) -> Result<Answers> {
        match self {
            Self::Memory(lease) => lease.find(keys, rows),
            Self::Files(spilled) => spilled.find(keys, rows),
        }
    }

    fn cursors(&self, range: &KeyRange) -> Result<Vec<Cursor<'static>>> {
        match self {
            Self::Memory(lease) => Ok(vec![Cursor::Resident(ResidentCursor::new(lease, range)?)]),
            Self::Files(spilled) => segment_cursors(&spilled.layers, range),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Aside {
    codec: Arc<StoreCodec>,
    base: Base,
    pub overlay: Overlay,
    /// Changes put aside in scratch files, newest first.
    pub runs: Vec<Layer>,
    /// Rows in the store. Puts of keys that were not looked up are counted by [`Aside::count_unknown`].
    pub rows: i64,
}

impl Aside {
    /// No changes yet but those in `runs`, after which there are `rows` rows.
    pub(crate) fn new(codec: &Arc<StoreCodec>, base: Base, runs: Vec<Layer>, rows: u64) -> Self {
        let overlay = Overlay::new(codec.row_layout());
        Self { codec: Arc::clone(codec), base, overlay, runs, rows: rows as i64 }
    }

    /// Whether there are certainly no rows: whatever is in the overlay may not have been counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0 && self.overlay.is_empty()
    }

    /// Hands the value of each key to `read`.
    pub(crate) fn with_values<T>(&self, keys: &Keys, read: impl FnOnce(&[Option<&[u8]>]) -> Result<T>) -> Result<T> {
        let sources = self.look_up(keys)?;
        let values: Vec<Option<&[u8]>> = (0..keys.len()).map(|row| self.value(&sources, row)).collect();
        read(&values)
    }

    pub(crate) fn put(&mut self, keys: &Keys, values: &PackedRows) -> Result<()> {
        let mut new = Vec::with_capacity(keys.len());
        self.rows += self.overlay.put(keys, values, &mut new);
        self.note_base(keys, &new)
    }

    pub(crate) fn put_where_absent(&mut self, keys: &Keys, values: &PackedRows) -> Result<Vec<bool>> {
        let absent: Vec<bool> = self.with_values(keys, |found| Ok(found.iter().map(Option::is_none).collect()))?;
        let mut put = vec![false; keys.len()];
        for row in (0..keys.len()).filter(|row| absent[*row]) {
            let rows = self.overlay.put_absent(keys.hashes()[row], keys.key(row), values.row(row));
            put[row] = rows.is_some();
            self.rows += rows.unwrap_or(0);
        }
        Ok(put)
    }

    pub(crate) fn remove(&mut self, keys: &Keys) -> Result<()> {
        let mut new = Vec::with_capacity(keys.len());
        self.rows += self.overlay.remove(keys, &mut new);
        self.note_base(keys, &new)
    }

    /// The rows in a range.
    pub(crate) fn merge(&self, range: &KeyRange) -> Result<Merge<'_>> {
        let mut cursors = Vec::new();
        if !self.overlay.is_empty() {
            cursors.push(self.overlay.cursor(range));
        }
        cursors.extend(segment_cursors(&self.runs, range)?);
        cursors.extend(self.base.cursors(range)?);
        Ok(Merge::new(cursors))
    }

    /// Looks up what is underneath the changes of which nobody knows, and counts the rows.
    pub(crate) fn count_unknown(&mut self) -> Result<()> {
        for slots in self.overlay.unknown().chunks(BATCH_ROWS) {
            let keys = keys_of(&self.overlay, slots)?;
            let rows: Vec<u32> = (0..keys.len() as u32).collect();
            let new: Vec<(u32, u32)> = rows.iter().copied().zip(slots.iter().copied()).collect();
            let below = self.base.find(&keys, &rows)?;
            let found = match self.runs.is_empty() {
                true => below,
                false => Answers::first_known(rows.len(), &find_in_runs(&self.runs, &keys, &rows)?, &below),
            };
            self.rows += self.overlay.set_base(&new, &found);
        }
        Ok(())
    }

    /// Changes in scratch files.
    pub(crate) fn rows_in_runs(&self) -> usize {
        let changes = self.runs.iter().flatten().map(|run| run.info.puts + run.info.removes);
        changes.sum::<u64>() as usize
    }

    /// Writes the changes in memory to a scratch file.
    pub(crate) fn put_aside(&mut self, batch: &BatchInner, id: &StoreId) -> Result<()> {
        self.count_unknown()?;
        let mut run = ScratchRun::start(batch, id, &self.codec, self.overlay.len())?;
        for slot in self.overlay.sorted() {
            run.push(self.overlay.key(slot), self.overlay.value(slot))?;
        }
        self.runs.insert(0, run.finish()?);
        self.overlay = Overlay::new(self.codec.row_layout());
        Ok(())
    }

    fn look_up(&self, keys: &Keys) -> Result<Sources> {
        let overlay = if self.overlay.is_empty() { Vec::new() } else { self.overlay.find(keys) };
        let mut rest: Vec<u32> = match overlay.as_slice() {
            [] => (0..keys.len() as u32).collect(),
            slots => (0..keys.len() as u32).filter(|row| slots[*row as usize] == NONE).collect(),
        };
        let mut runs = None;
        if !self.runs.is_empty() {
            let answers = find_in_runs(&self.runs, keys, &rest)?;
            let asked = rest.clone();
            rest = asked.iter().enumerate().filter(|(at, _)| !answers.is_known(*at)).map(|(_, row)| *row).collect();
            runs = Some((positions(keys.len(), &asked), answers));
        }
        let base = self.base.find(keys, &rest)?;
        // Where all keys were asked for, a row's place among them is its number.
        let places = (rest.len() < keys.len()).then(|| positions(keys.len(), &rest));
        Ok(Sources { overlay, runs, base, places })
    }

    fn value<'a>(&'a self, sources: &'a Sources, row: usize) -> Option<&'a [u8]> {
        if let Some(slot) = sources.overlay.get(row).filter(|slot| **slot != NONE) {
            return self.overlay.value(*slot);
        }
        if let Some((places, answers)) = &sources.runs {
            let at = places[row] as usize;
            if answers.is_known(at) {
                return answers.value(at);
            }
        }
        match &sources.places {
            None => sources.base.value(row),
            Some(places) if places[row] == NONE => None,
            Some(places) => sources.base.value(places[row] as usize),
        }
    }

    /// Looks up what is underneath new changes, where that costs no reading.
    fn note_base(&mut self, keys: &Keys, new: &[(u32, u32)]) -> Result<()> {
        if matches!(self.base, Base::Files(_)) || !self.runs.is_empty() {
            return Ok(());
        }
        let rows: Vec<u32> = new.iter().map(|(row, _)| *row).collect();
        let found = self.base.find(keys, &rows)?;
        self.rows += self.overlay.set_base(new, &found);
        Ok(())
    }
}

/// Where the values of a batch of keys were found.
#[derive(Debug)]
struct Sources {
    /// Per row; empty when nothing was changed yet.
    overlay: Vec<u32>,
    runs: Option<(Vec<u32>, Answers)>,
    base: Answers,
    /// Each row's place among those that were looked up in the base.
    places: Option<Vec<u32>>,
}

/// For each of `count` rows its place in `rows`, or [`NONE`].
fn positions(count: usize, rows: &[u32]) -> Vec<u32> {
    let mut places = vec![NONE; count];
    for (place, row) in rows.iter().enumerate() {
        places[*row as usize] = place as u32;
    }
    places
}
