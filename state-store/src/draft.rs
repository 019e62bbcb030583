//! A version of a store in the making: what a stateful operator reads and writes, whole batches at a time.

use std::sync::{Arc, PoisonError};

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::BooleanBuffer;

use crate::aside::{Aside, Base};
use crate::batch::{BatchInner, Sealed};
use crate::budget::Reservation;
use crate::cursor::{Cursor, Merge, ResidentCursor};
use crate::error::{Error, ErrorKind, Result};
use crate::file::block::BlockLayout;
use crate::id::StoreId;
use crate::image::Image;
use crate::key::{KeyEncoder, Keys};
use crate::key_range::KeyRange;
use crate::resident::Lease;
use crate::rows_builder::RowsBuilder;
use crate::schema::StoreSchema;
use crate::scratch_run::ScratchRun;
use crate::stores::Opened;
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
    image: Image,
    batch: Arc<BatchInner>,
    /// Memory that changes may take in any case.
    limit_bytes: usize,
    // Changes.
    changes: Changes,
    reservation: Reservation,
    poisoned: Option<(ErrorKind, String)>,
}

/// Where a draft's changes are.
#[derive(Debug)]
pub(crate) enum Changes {
    /// In the table of the version underneath, with a journal to undo them.
    InPlace(Lease),
    /// On top of the version underneath.
    Aside(Box<Aside>),
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
    pub(crate) fn new(id: StoreId, opened: Opened, batch: Arc<BatchInner>) -> Self {
        let Opened { image, codec, base, reservation, limit_bytes } = opened;
        let changes = match base {
            Base::Memory(lease) => Changes::InPlace(lease),
            files => Changes::Aside(Box::new(Aside::new(&codec, files, Vec::new(), image.rows))),
        };
        Self { id, codec, image, batch, limit_bytes, changes, reservation, poisoned: None }
    }

    /// The store it belongs to.
    pub fn id(&self) -> &StoreId {
        &self.id
    }

    /// Encodes this store's key columns.
    pub fn key_encoder(&self) -> &KeyEncoder {
        &self.codec.keys
    }

    /// Whether calls may read files, or write scratch files: so for a store that is larger than its share of memory.
    ///
    /// Calls are synchronous either way. Those on memory take as long as a hash table takes; those that read files may
    /// take milliseconds a thousand keys. An asynchronous caller that wants its thread free meanwhile moves the draft to
    /// tokio's `spawn_blocking` and back, when this says so.
    pub fn may_read_files(&self) -> bool {
        matches!(self.changes, Changes::Aside(_))
    }

    /// Rows in the store, this draft's changes included. For a store that is larger than memory, puts of keys that were
    /// not looked up first are counted when the draft is finished.
    pub fn rows(&self) -> u64 {
        match &self.changes {
            Changes::InPlace(lease) => lease.rows(),
            Changes::Aside(aside) => u64::try_from(aside.rows).unwrap_or(0),
        }
    }

    /// Whether there are no rows, so that nothing can be found. A store that is larger than memory may say that there are
    /// some, and have none.
    pub fn is_empty(&self) -> bool {
        match &self.changes {
            Changes::InPlace(lease) => lease.rows() == 0,
            Changes::Aside(aside) => aside.is_empty(),
        }
    }

    /// The values of these keys.
    pub fn get(&mut self, keys: &Keys) -> Result<FoundRows> {
        self.guarded(|draft| {
            let codec = &draft.codec;
            let read = |values: &[Option<&[u8]>]| {
                let is_there = |row: usize| values[row].is_some();
                let present = BooleanArray::new(BooleanBuffer::collect_bool(values.len(), is_there), None);
                Ok(FoundRows { present, values: codec.values.unpack(values)? })
            };
            match &draft.changes {
                Changes::InPlace(lease) => read(&lease.get(keys, codec.values.fixed_bytes())?.values()),
                Changes::Aside(aside) => aside.with_values(keys, read),
            }
        })
    }

    /// Which of these keys are in the store.
    pub fn contains(&mut self, keys: &Keys) -> Result<BooleanArray> {
        self.guarded(|draft| {
            let present = match &draft.changes {
                Changes::InPlace(lease) => BooleanBuffer::from(lease.contains(keys)?),
                Changes::Aside(aside) => aside.with_values(keys, |values| {
                    Ok(BooleanBuffer::collect_bool(values.len(), |row| values[row].is_some()))
                })?,
            };
            Ok(BooleanArray::new(present, None))
        })
    }

    /// Puts a row for each key, in place of the one that is there. Of rows with the same key the last counts.
    pub fn put(&mut self, keys: &Keys, values: &[ArrayRef]) -> Result<()> {
        self.guarded(|draft| {
            let values = draft.codec.values.pack(values, keys.len())?;
            draft.check_keys(keys)?;
            match &mut draft.changes {
                Changes::InPlace(lease) => lease.put(keys, &values)?,
                Changes::Aside(aside) => aside.put(keys, &values)?,
            }
            draft.settle()
        })
    }

    /// Puts a row for each key that is not there, and says which were put. Of rows with the same new key the first
    /// counts.
    pub fn put_where_absent(&mut self, keys: &Keys, values: &[ArrayRef]) -> Result<BooleanArray> {
        self.guarded(|draft| {
            let values = draft.codec.values.pack(values, keys.len())?;
            draft.check_keys(keys)?;
            let put = match &mut draft.changes {
                Changes::InPlace(lease) => lease.put_where_absent(keys, &values)?,
                Changes::Aside(aside) => aside.put_where_absent(keys, &values)?,
            };
            draft.settle()?;
            Ok(BooleanArray::from(put))
        })
    }

    /// Removes these keys; those that are not there are fine.
    pub fn remove(&mut self, keys: &Keys) -> Result<()> {
        self.guarded(|draft| {
            draft.check_keys(keys)?;
            match &mut draft.changes {
                Changes::InPlace(lease) => lease.remove(keys)?,
                Changes::Aside(aside) => aside.remove(keys)?,
            }
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
        let Changes::InPlace(lease) = &self.changes else {
            self.remove_in_batches(range, |rows| taken.push(rows))?;
            return Ok(taken);
        };
        let lease = lease.clone();
        self.guarded(|draft| {
            for slots in lease.range(range)?.chunks(BATCH_ROWS) {
                let mut rows = RowsBuilder::default();
                lease.read(slots, |key, value| rows.push(key, value))?;
                lease.remove_slots(slots)?;
                taken.push(rows.finish(&draft.codec)?);
            }
            draft.settle()
        })?;
        Ok(taken)
    }

    /// Removes the rows in a range, and says how many there were.
    pub fn remove_range(&mut self, range: &KeyRange) -> Result<u64> {
        let mut removed = 0;
        let Changes::InPlace(lease) = &self.changes else {
            self.remove_in_batches(range, |rows| removed += rows.len() as u64)?;
            return Ok(removed);
        };
        let lease = lease.clone();
        self.guarded(|draft| {
            let slots = lease.range(range)?;
            lease.remove_slots(&slots)?;
            draft.settle()?;
            Ok(slots.len() as u64)
        })
    }

    /// Hands the changes to the batch, which commits them together with those of all other stores. How many rows the store
    /// has then.
    pub fn finish(mut self) -> Result<u64> {
        self.guarded(|draft| match &mut draft.changes {
            Changes::InPlace(lease) => lease.check(),
            Changes::Aside(aside) => aside.count_unknown(),
        })?;
        let rows = match &self.changes {
            Changes::InPlace(lease) => lease.rows(),
            Changes::Aside(aside) => u64::try_from(aside.rows)
                .map_err(|_| Error::internal(format!("{}: the number of rows fell to {}", self.id, aside.rows)))?,
        };
        let Self { id, codec, image, batch, changes, reservation, .. } = self;
        let sealed = Sealed { id, codec, image, changes, rows, reservation };
        batch.sealed.lock().unwrap_or_else(PoisonError::into_inner).push(sealed);
        Ok(rows)
    }

    /// Of a store whose changes are put aside.
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
        match &self.changes {
            Changes::InPlace(lease) => Ok(Merge::new(vec![Cursor::Resident(ResidentCursor::new(lease, range)?)])),
            Changes::Aside(aside) => aside.merge(range),
        }
    }

    /// Accounts for the memory of the changes; puts them aside when they are too large.
    fn settle(&mut self) -> Result<()> {
        let bytes = match &self.changes {
            Changes::InPlace(lease) => lease.grown_bytes()?,
            Changes::Aside(aside) => aside.overlay.bytes(),
        };
        let fits = self.reservation.resize(bytes);
        if bytes <= self.limit_bytes || (fits && self.image.is_resident()) {
            return Ok(());
        }
        match &mut self.changes {
            Changes::Aside(aside) => aside.put_aside(&self.batch, &self.id)?,
            Changes::InPlace(lease) => {
                let (rows, changes) = (lease.rows(), lease.changes()?);
                let mut run = ScratchRun::start(&self.batch, &self.id, &self.codec, changes.len())?;
                for changes in changes.chunks(BATCH_ROWS) {
                    lease.read_changes(changes, |key, value| run.push(key, value))?;
                }
                let runs = vec![run.finish()?];
                lease.undo()?;
                let base = Base::Memory(lease.clone());
                self.changes = Changes::Aside(Box::new(Aside::new(&self.codec, base, runs, rows)));
            }
        }
        self.reservation.resize(0);
        Ok(())
    }
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
