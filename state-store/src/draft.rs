//! A version of a store in the making: what a stateful operator reads and writes, whole batches at a time.

use std::sync::{Arc, PoisonError};

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::BooleanBuffer;

use crate::batch::{BatchInner, Sealed};
use crate::budget::Reservation;
use crate::cursor::Merge;
use crate::error::{Error, ErrorKind, Result};
use crate::file::block::BlockLayout;
use crate::file::format::{Header, Kind};
use crate::file::reader::{OpenFile, Segment};
use crate::file::writer::{FileWriter, SegmentStart};
use crate::id::{StoreId, VersionRef};
use crate::image::{Answers, Found, Image, Layer, find_in_runs, segment_cursors};
use crate::key::{KeyEncoder, Keys};
use crate::key_range::KeyRange;
use crate::overlay::{Overlay, keys_of};
use crate::rows_builder::RowsBuilder;
use crate::schema::StoreSchema;
use crate::table::NONE;
use crate::value::ValueCodec;

/// Rows handled at a time where a whole store or range is gone through.
const BATCH_ROWS: usize = 8192;

/// The next version of one store, on top of the one it was opened at.
///
/// # Contract
/// * Reads see the version underneath and everything this draft has changed so far.
/// * Nothing is visible to anybody else, and no durable file is written, before the batch commits.
/// * Dropping a draft aborts it, and with it the batch: the version underneath stays as it is, in memory too.
/// * After an error the draft is poisoned: all further calls fail, [`Draft::finish`] too.
#[derive(Debug)]
pub struct Draft {
    // Fixed.
    id: StoreId,
    codec: Arc<StoreCodec>,
    image: Arc<Image>,
    batch: Arc<BatchInner>,
    overlay_limit_bytes: usize,
    // Changes.
    overlay: Overlay,
    /// Changes put aside in scratch files, newest first.
    runs: Vec<Layer>,
    rows: i64,
    reservation: Reservation,
    poisoned: Option<(ErrorKind, String)>,
}

/// How the rows of a schema are encoded.
#[derive(Debug)]
pub(crate) struct StoreCodec {
    pub schema: StoreSchema,
    pub fingerprint: u64,
    pub keys: KeyEncoder,
    pub values: ValueCodec,
    pub layout: BlockLayout,
}

impl StoreCodec {
    pub(crate) fn new(schema: &StoreSchema) -> Result<Self> {
        let keys = KeyEncoder::new(schema.key().clone())?;
        let values = ValueCodec::new(schema.value())?;
        let layout = BlockLayout::of(&keys, &values);
        Ok(Self { schema: schema.clone(), fingerprint: schema.fingerprint(), keys, values, layout })
    }

    pub(crate) fn row_layout(&self) -> crate::table::RowLayout {
        match (self.keys.fixed_key_bytes(), self.values.is_fixed()) {
            (Some(key_bytes), true) => {
                crate::table::RowLayout::Fixed { key_bytes, value_bytes: self.values.fixed_bytes() }
            }
            _ => crate::table::RowLayout::Varying,
        }
    }
}

/// What was found for a batch of keys, row by row.
#[derive(Clone, Debug)]
pub struct FoundRows {
    /// Whether the key is in the store.
    pub present: BooleanArray,
    /// The value columns; null where the key is absent.
    pub values: Vec<ArrayRef>,
}

/// Rows of a store, in key order.
#[derive(Clone, Debug)]
pub struct StateRows {
    encoder: KeyEncoder,
    /// The keys.
    pub keys: Keys,
    /// The value columns.
    pub values: Vec<ArrayRef>,
}

impl StateRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key columns, decoded.
    pub fn key_columns(&self) -> Result<Vec<ArrayRef>> {
        self.encoder.decode(&self.keys)
    }
}

impl Draft {
    pub(crate) fn new(
        id: StoreId,
        codec: Arc<StoreCodec>,
        image: Arc<Image>,
        batch: Arc<BatchInner>,
        reservation: Reservation,
        overlay_limit_bytes: usize,
    ) -> Self {
        let overlay = Overlay::new(codec.row_layout());
        let rows = image.rows as i64;
        let runs = Vec::new();
        Self { id, codec, image, batch, overlay_limit_bytes, overlay, runs, rows, reservation, poisoned: None }
    }

    /// The store it belongs to.
    pub fn id(&self) -> &StoreId {
        &self.id
    }

    /// Encodes this store's key columns.
    pub fn key_encoder(&self) -> &KeyEncoder {
        &self.codec.keys
    }

    /// Rows in the store, this draft's changes included. For a store that is larger than memory, puts of keys that were
    /// not looked up first are counted when the draft is finished.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.rows).unwrap_or(0)
    }

    /// The values of these keys.
    pub fn get(&mut self, keys: &Keys) -> Result<FoundRows> {
        self.guarded(|draft| {
            let sources = draft.look_up(keys)?;
            let rows: Vec<Option<&[u8]>> = (0..keys.len()).map(|row| draft.value(&sources, row)).collect();
            let present = BooleanArray::new(BooleanBuffer::collect_bool(rows.len(), |row| rows[row].is_some()), None);
            let values = draft.codec.values.unpack(&rows)?;
            drop(rows);
            Ok(FoundRows { present, values })
        })
    }

    /// Which of these keys are in the store.
    pub fn contains(&mut self, keys: &Keys) -> Result<BooleanArray> {
        self.guarded(|draft| {
            let sources = draft.look_up(keys)?;
            let is_there = |row: usize| draft.value(&sources, row).is_some();
            Ok(BooleanArray::new(BooleanBuffer::collect_bool(keys.len(), is_there), None))
        })
    }

    /// Puts a row for each key, in place of the one that is there. Of rows with the same key the last counts.
    pub fn put(&mut self, keys: &Keys, values: &[ArrayRef]) -> Result<()> {
        self.guarded(|draft| {
            let values = draft.codec.values.pack(values, keys.len())?;
            draft.check_keys(keys)?;
            let mut new = Vec::with_capacity(keys.len());
            draft.rows += draft.overlay.put(keys, &values, &mut new);
            draft.note_base(keys, &new)?;
            draft.settle()
        })
    }

    /// Puts a row for each key that is not there, and says which were put. Of rows with the same new key the first
    /// counts.
    pub fn put_where_absent(&mut self, keys: &Keys, values: &[ArrayRef]) -> Result<BooleanArray> {
        self.guarded(|draft| {
            let values = draft.codec.values.pack(values, keys.len())?;
            draft.check_keys(keys)?;
            let sources = draft.look_up(keys)?;
            let absent: Vec<bool> = (0..keys.len()).map(|row| draft.value(&sources, row).is_none()).collect();
            drop(sources);
            let mut put = vec![false; keys.len()];
            for row in (0..keys.len()).filter(|row| absent[*row]) {
                let rows = draft.overlay.put_absent(keys.hashes()[row], keys.key(row), values.row(row));
                put[row] = rows.is_some();
                draft.rows += rows.unwrap_or(0);
            }
            draft.settle()?;
            Ok(BooleanArray::from(put))
        })
    }

    /// Removes these keys; those that are not there are fine.
    pub fn remove(&mut self, keys: &Keys) -> Result<()> {
        self.guarded(|draft| {
            draft.check_keys(keys)?;
            let mut new = Vec::with_capacity(keys.len());
            draft.rows += draft.overlay.remove(keys, &mut new);
            draft.note_base(keys, &new)?;
            draft.settle()
        })
    }

    /// The rows with keys in this range, in key order. The first scan of a store puts its keys in order, later ones
    /// only those that are new.
    pub fn scan(&mut self, range: &KeyRange) -> Result<Scan<'_>> {
        let result = self.check_poison().and_then(|()| self.merge(range));
        match result {
            Ok(merge) => Ok(Scan { merge, codec: &self.codec }),
            Err(error) => Err(error),
        }
    }

    /// The rows whose keys begin with each of these prefixes (the encoded leading key columns), and for each row which
    /// prefix it belongs to.
    pub fn scan_prefixes(&mut self, prefixes: &Keys) -> Result<(UInt32Array, StateRows)> {
        self.guarded(|draft| {
            let mut owners = Vec::new();
            let mut rows = RowsBuilder::default();
            for prefix in 0..prefixes.len() {
                let mut merge = draft.merge(&KeyRange::prefix(prefixes.key(prefix)))?;
                while merge.advance_to_row()? {
                    rows.push(merge.key(), merge.value().unwrap_or_default())?;
                    owners.push(prefix as u32);
                }
            }
            Ok((UInt32Array::from(owners), rows.finish(&draft.codec)?))
        })
    }

    /// Removes the rows in a range and returns them, in key order: what has expired, say.
    pub fn take_range(&mut self, range: &KeyRange) -> Result<Vec<StateRows>> {
        let mut taken = Vec::new();
        self.remove_in_batches(range, |rows| taken.push(rows))?;
        Ok(taken)
    }

    /// Removes the rows in a range, and says how many there were.
    pub fn remove_range(&mut self, range: &KeyRange) -> Result<u64> {
        let mut removed = 0;
        self.remove_in_batches(range, |rows| removed += rows.len() as u64)?;
        Ok(removed)
    }

    /// Hands the changes to the batch, which commits them together with those of all other stores.
    pub fn finish(mut self) -> Result<()> {
        self.guarded(Self::count_unknown)?;
        let Self { id, codec, image, batch, overlay, runs, reservation, .. } = self;
        let rows = u64::try_from(self.rows)
            .map_err(|_| Error::internal(format!("{id}: the number of rows fell to {}", self.rows)))?;
        let sealed = Sealed { id, codec, image, overlay, runs, rows, reservation };
        batch.sealed.lock().unwrap_or_else(PoisonError::into_inner).push(sealed);
        Ok(())
    }

    fn remove_in_batches(&mut self, range: &KeyRange, mut each: impl FnMut(StateRows)) -> Result<()> {
        let mut range = range.clone();
        loop {
            let Some(rows) = self.scan(&range)?.next_batch(BATCH_ROWS)? else { return Ok(()) };
            let mut next = rows.keys.key(rows.len() - 1).to_vec();
            next.push(0);
            range = range.from(next);
            self.remove(&rows.keys)?;
            let is_last = rows.len() < BATCH_ROWS;
            each(rows);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Runs one operation; an error poisons the draft.
    fn guarded<T>(&mut self, operation: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_poison()?;
        let result = operation(self);
        if let Err(error) = &result {
            self.poisoned = Some((error.kind(), error.to_string()));
        }
        result
    }

    fn check_poison(&self) -> Result<()> {
        match &self.poisoned {
            None => Ok(()),
            Some((kind, message)) => {
                Err(Error::new(*kind, format!("{}: the draft is unusable since an earlier error: {message}", self.id)))
            }
        }
    }

    fn check_keys(&self, keys: &Keys) -> Result<()> {
        let Some(expected) = self.codec.keys.fixed_key_bytes() else { return Ok(()) };
        let offsets = keys.bytes().value_offsets();
        if offsets.windows(2).all(|pair| (pair[1] - pair[0]) as usize == expected) {
            return Ok(());
        }
        Err(Error::internal(format!("{}: keys of other columns than the store's", self.id)))
    }

    fn merge(&self, range: &KeyRange) -> Result<Merge<'_>> {
        let mut cursors = Vec::new();
        if !self.overlay.is_empty() {
            cursors.push(self.overlay.cursor(range));
        }
        cursors.extend(segment_cursors(&self.runs, range)?);
        cursors.extend(self.image.cursors(range)?);
        Ok(Merge::new(cursors))
    }

    fn look_up(&self, keys: &Keys) -> Result<Sources<'_>> {
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
        let base = self.image.find(keys, &rest)?;
        // Where all keys were asked for, a row's place among them is its number.
        let places = (rest.len() < keys.len()).then(|| positions(keys.len(), &rest));
        Ok(Sources { overlay, runs, base, places })
    }

    fn value<'a>(&'a self, sources: &'a Sources<'_>, row: usize) -> Option<&'a [u8]> {
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
        if !self.image.is_resident() || !self.runs.is_empty() {
            return Ok(());
        }
        let rows: Vec<u32> = new.iter().map(|(row, _)| *row).collect();
        let found = self.image.find(keys, &rows)?;
        self.rows += self.overlay.set_base(new, &found);
        Ok(())
    }

    /// Looks up what is underneath the changes of which nobody knows.
    fn count_unknown(&mut self) -> Result<()> {
        for slots in self.overlay.unknown().chunks(BATCH_ROWS) {
            let keys = keys_of(&self.overlay, slots)?;
            let rows: Vec<u32> = (0..keys.len() as u32).collect();
            let new: Vec<(u32, u32)> = rows.iter().copied().zip(slots.iter().copied()).collect();
            let in_runs = find_in_runs(&self.runs, &keys, &rows)?;
            let below = self.image.find(&keys, &rows)?;
            let merged = Found::Copied(Answers::first_known(rows.len(), &in_runs, &below));
            // With changes put aside, the version in memory is built anew from files: slots no longer matter.
            let found = if self.runs.is_empty() { &below } else { &merged };
            self.rows += self.overlay.set_base(&new, found);
        }
        Ok(())
    }

    /// Accounts for the memory of the changes; puts them aside when they are too large.
    fn settle(&mut self) -> Result<()> {
        let bytes = self.overlay.bytes();
        let fits = self.reservation.resize(bytes);
        if bytes <= self.overlay_limit_bytes || (fits && self.image.is_resident()) {
            return Ok(());
        }
        self.put_aside()
    }

    fn put_aside(&mut self) -> Result<()> {
        self.count_unknown()?;
        let header = Header {
            kind: Kind::Scratch,
            version: self.batch.version,
            parent: VersionRef::empty(),
            covers: VersionRef::empty(),
            attempt: self.batch.attempt.clone(),
            fingerprint: self.codec.fingerprint,
        };
        let mut writer = FileWriter::new(&header);
        writer.start_segment(SegmentStart {
            store: self.id.clone(),
            layout: self.codec.layout.clone(),
            fingerprint: self.codec.fingerprint,
            schema: None,
            rows_at_most: self.overlay.len(),
        });
        let path = self.batch.scratch().new_path()?;
        let fail = |source| Error::io("write", path.display().to_string(), source);
        let mut file = std::fs::File::create_new(&path).map_err(fail)?;
        let mut drain = |writer: &mut FileWriter| std::io::Write::write_all(&mut file, &writer.take_pending());
        for slot in self.overlay.sorted() {
            let key = self.overlay.key(slot);
            writer.push(crate::key_hash::hash_key(key), key, self.overlay.value(slot));
            if writer.pending_bytes() > 1 << 20 {
                drain(&mut writer).map_err(fail)?;
            }
        }
        writer.finish_segment(self.rows());
        let finished = writer.finish();
        drain(&mut writer).map_err(fail)?;
        let file = Arc::new(OpenFile::open(&path, true)?);
        for info in finished.segments {
            let columns = self.codec.schema.value().len();
            self.runs
                .insert(0, vec![Segment::new(Arc::clone(&file), Arc::new(info), None, &self.codec.schema, columns)?]);
        }
        self.overlay = Overlay::new(self.codec.row_layout());
        self.reservation.resize(0);
        Ok(())
    }
}

/// Where the values of a batch of keys were found.
#[derive(Debug)]
struct Sources<'a> {
    /// Per row; empty when nothing was changed yet.
    overlay: Vec<u32>,
    runs: Option<(Vec<u32>, Answers)>,
    base: Found<'a>,
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

/// Rows in key order, some at a time.
#[derive(Debug)]
pub struct Scan<'a> {
    merge: Merge<'a>,
    codec: &'a StoreCodec,
}

impl Scan<'_> {
    /// Up to `rows` further rows; `None` at the end.
    pub fn next_batch(&mut self, rows: usize) -> Result<Option<StateRows>> {
        RowsBuilder::fill(&mut self.merge, self.codec, rows)
    }
}

pub(crate) fn state_rows(encoder: KeyEncoder, keys: Keys, values: Vec<ArrayRef>) -> StateRows {
    StateRows { encoder, keys, values }
}
