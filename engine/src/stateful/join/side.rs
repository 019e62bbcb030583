//! What is remembered of one side of a join, in one state partition.
//!
//! ```text
//! <side>_rows    [bucket] join-key key-group            → the row: one of each key
//! <side>_more    [bucket] join-key sequence key-group   → the row: where a key has several, the others
//! <side>_keys    [bucket] join-key key-group            → first, next, live: the sequence numbers that `more` may have
//! <side>_times   time join-key sequence key-group       → whether it has had a match
//! ```
//! A row of the other side finds its matches by look-ups of whole batches: the row of its key, the numbers of its key, then
//! the rows they lead to. Most keys have one row, and then the first look-up is all there is. Sequence number 0 stands for the
//! row in `rows`. With a range condition the rows of a key are split into buckets of time, of which a row of the other side
//! looks into at most three. `times` holds rows that must be found when their time has come: those without a match where they
//! are then given out, and all of them where they are in no buckets that could leave as a whole.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, SchemaRef};
use datafusion_common::Result;
use millstream_state::{Draft, FoundRows, KEY_GROUP_COLUMN, KeyRange, Keys, StoreSchema};

use super::key_bytes::{KeyBuilder, KeyParts, average_bytes, int64_key};
use super::spec::{Expiry, SideSpec};
use crate::error::Error;

/// Rows of the store that are looked up at a time.
const ROWS_AT_A_TIME: usize = 16_384;

/// How a side's rows are stored.
#[derive(Clone, Debug)]
pub(super) struct SideLayout {
    pub(super) spec: SideSpec,
    /// The columns of the side.
    pub(super) schema: SchemaRef,
    pub(super) rows: StoreSchema,
    pub(super) more: StoreSchema,
    pub(super) keys: StoreSchema,
    pub(super) times: Option<StoreSchema>,
    /// Whether rows without a match are given out when they expire.
    pub(super) keeps_unmatched: bool,
}

impl SideLayout {
    pub(super) fn new(spec: &SideSpec, schema: SchemaRef, keeps_unmatched: bool) -> Self {
        let plain = |name: &str, data_type| Arc::new(Field::new(name, data_type, false));
        // Whether a column can be null may depend on the optimizer's mood: the state's columns all may.
        let join_key = spec.keys.iter().enumerate();
        let join_key =
            join_key.map(|(at, key)| Field::new(format!("k{at}"), schema.field(*key).data_type().clone(), true));
        let join_key: Vec<_> = join_key.map(Arc::new).collect();
        let key = |before: Option<&str>, has_sequence: bool| -> Fields {
            let mut fields: Vec<_> = before.iter().map(|name| plain(name, DataType::Int64)).collect();
            fields.extend(join_key.iter().cloned());
            fields.extend(has_sequence.then(|| plain("sequence", DataType::Int64)));
            fields.push(plain(KEY_GROUP_COLUMN, DataType::UInt16));
            fields.into()
        };
        let bucket = spec.buckets.map(|_| "bucket");
        let numbers: Fields = ["first", "next", "live"].map(|name| plain(name, DataType::Int64)).to_vec().into();
        let row: Fields =
            schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
        let matched = Fields::from(vec![Field::new("matched", DataType::Boolean, false)]);
        let mut layout = Self {
            spec: spec.clone(),
            schema,
            rows: StoreSchema::new(key(bucket, false), row.clone()),
            more: StoreSchema::new(key(bucket, true), row),
            keys: StoreSchema::new(key(bucket, false), numbers),
            times: None,
            keeps_unmatched,
        };
        layout.times = layout.needs_times().then(|| StoreSchema::new(key(Some("time"), true), matched));
        layout
    }

    /// Whether buckets leave as a whole when their time has come.
    fn drops_buckets(&self) -> bool {
        self.spec.buckets.is_some() && self.spec.expiry != Expiry::Never
    }

    fn needs_times(&self) -> bool {
        self.spec.expiry != Expiry::Never && (self.keeps_unmatched || !self.drops_buckets())
    }

    /// Rows that have had their match are in `times` only where they are found through it to be removed.
    fn times_matched(&self) -> bool {
        !self.drops_buckets()
    }
}

/// Rows of a side as they come in, with everything that their places in the store depend on.
#[derive(Debug)]
pub(super) struct SideRows {
    /// The columns of the side.
    pub(super) rows: RecordBatch,
    /// The encoded key columns.
    pub(super) keys: Keys,
    pub(super) key_groups: Vec<u16>,
    /// Whether a key is null somewhere, so that it equals no other.
    pub(super) null_keys: Option<BooleanArray>,
    /// The time that says when a row expires.
    pub(super) expires: Option<Int64Array>,
    /// The time that says which bucket a row is in.
    pub(super) buckets: Option<Int64Array>,
    /// The time that says which buckets of the other side it looks into.
    pub(super) looks_at: Option<Int64Array>,
}

/// Stored rows that a batch of the other side meets: `probes[i]` is the other side's row that met row `i` of `rows`.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) probes: UInt32Array,
    pub(super) rows: RecordBatch,
    /// Where they are stored, besides under the key of the row that met them.
    buckets: Option<Int64Array>,
    sequences: Int64Array,
}

impl Met {
    /// Those of the rows for which `kept` holds.
    pub(super) fn keep(self, kept: &BooleanArray) -> Result<Self> {
        if kept.true_count() == kept.len() {
            return Ok(self);
        }
        let buckets = self.buckets.map(|buckets| filter(&buckets, kept)).transpose()?;
        Ok(Self {
            probes: filter(&self.probes, kept)?.as_primitive().clone(),
            rows: filter_record_batch(&self.rows, kept)?,
            buckets: buckets.map(|buckets| buckets.as_primitive().clone()),
            sequences: filter(&self.sequences, kept)?.as_primitive().clone(),
        })
    }

    /// Their keys in the store, with their sequence numbers.
    pub(super) fn keys(&self, probes: &SideRows) -> Result<Keys> {
        self.keys_after(probes, |row| self.buckets.as_ref().map(|buckets| buckets.value(row)))
    }

    fn keys_after(&self, probes: &SideRows, time: impl Fn(usize) -> Option<i64>) -> Result<Keys> {
        let mut keys = KeyBuilder::new(self.len(), average_bytes(probes.keys.bytes()));
        for (row, probe) in self.probes.values().iter().enumerate() {
            let at = *probe as usize;
            keys.push(time(row), probes.keys.key(at), Some(self.sequences.value(row)), probes.key_groups[at])?;
        }
        keys.finish()
    }

    fn len(&self) -> usize {
        self.probes.len()
    }
}

/// What a side remembers, in the making.
#[derive(Debug)]
pub(super) struct SideState {
    layout: Arc<SideLayout>,
    drafts: SideDrafts,
    /// Rows at or before this have expired in earlier batches, though their bucket may still be there.
    expired_micros: Option<i64>,
    pub(super) rows_put: u64,
    pub(super) rows_removed: u64,
    /// Stored rows that were fetched for rows of the other side.
    pub(super) rows_looked_at: u64,
}

/// Its stores.
#[derive(Debug)]
pub(super) struct SideDrafts {
    pub(super) rows: Draft,
    pub(super) more: Draft,
    pub(super) keys: Draft,
    pub(super) times: Option<Draft>,
}

impl SideState {
    pub(super) fn new(layout: Arc<SideLayout>, drafts: SideDrafts, expired_micros: Option<i64>) -> Self {
        Self { layout, drafts, expired_micros, rows_put: 0, rows_removed: 0, rows_looked_at: 0 }
    }

    /// Gives every stored row that has the key of a row of `probes` and may match it to `each`, a few thousand at a time.
    pub(super) fn meet(&mut self, probes: &SideRows, mut each: impl FnMut(&mut Self, Met) -> Result<()>) -> Result<()> {
        let Asked { keys, owners, buckets } = self.asked_by(probes)?;
        if keys.is_empty() {
            return Ok(());
        }
        let found = self.drafts.rows.get(&keys).map_err(Error::from)?;
        let sequences = Int64Array::from(vec![0; keys.len()]);
        let (of_keys, in_buckets) = (UInt32Array::from(owners.clone()), buckets.clone().map(Int64Array::from));
        let met = self.live(found, of_keys, in_buckets, sequences)?;
        each(self, met)?;
        if self.drafts.keys.is_empty() {
            return Ok(());
        }
        let found = self.drafts.keys.get(&keys).map_err(Error::from)?;
        let (first, next) = (int64s(&found, 0), int64s(&found, 1));
        let mut wanted = Wanted::new(probes);
        for at in found.present.values().set_indices() {
            for sequence in first.value(at)..next.value(at) {
                wanted.push(probes, owners[at], buckets.as_ref().map(|buckets| buckets[at]), sequence)?;
                if wanted.owners.len() >= ROWS_AT_A_TIME {
                    let met = self.fetch(std::mem::replace(&mut wanted, Wanted::new(probes)))?;
                    each(self, met)?;
                }
            }
        }
        let met = self.fetch(wanted)?;
        each(self, met)
    }

    /// The keys without sequence numbers that the rows of `probes` look at.
    fn asked_by(&self, probes: &SideRows) -> Result<Asked> {
        let mut keys = KeyBuilder::new(probes.rows.num_rows(), average_bytes(probes.keys.bytes()));
        let mut owners = Vec::with_capacity(probes.rows.num_rows());
        let mut buckets = self.layout.spec.buckets.map(|_| Vec::new());
        for row in 0..probes.rows.num_rows() {
            if probes.null_keys.as_ref().is_some_and(|nulls| nulls.value(row)) {
                continue;
            }
            let (key, key_group) = (probes.keys.key(row), probes.key_groups[row]);
            match (&self.layout.spec.buckets, &mut buckets) {
                (Some(spec), Some(buckets)) => {
                    let Some(times) = probes.looks_at.as_ref().filter(|times| times.is_valid(row)) else { continue };
                    for bucket in spec.met_at(times.value(row)) {
                        keys.push(Some(bucket), key, None, key_group)?;
                        owners.push(row as u32);
                        buckets.push(bucket);
                    }
                }
                _ => {
                    keys.push(None, key, None, key_group)?;
                    owners.push(row as u32);
                }
            }
        }
        Ok(Asked { keys: keys.finish()?, owners, buckets })
    }

    fn fetch(&mut self, wanted: Wanted) -> Result<Met> {
        let found = self.drafts.more.get(&wanted.keys.finish()?).map_err(Error::from)?;
        let buckets = self.layout.spec.buckets.map(|_| Int64Array::from(wanted.buckets));
        self.live(found, UInt32Array::from(wanted.owners), buckets, Int64Array::from(wanted.sequences))
    }

    /// Those of the rows that are there and have not expired.
    fn live(
        &mut self,
        found: FoundRows,
        probes: UInt32Array,
        buckets: Option<Int64Array>,
        sequences: Int64Array,
    ) -> Result<Met> {
        let rows = batch_of(&self.layout.schema, found.values, probes.len())?;
        let met = Met { probes, rows, buckets, sequences }.keep(&found.present)?;
        self.rows_looked_at += met.len() as u64;
        match (self.expired_micros, self.layout.spec.expiry.column()) {
            (Some(expired), Some(column)) if met.len() > 0 => {
                let times = super::times::micros_of(met.rows.column(column))?;
                // A null never expires.
                let live = BooleanArray::from_unary(&times, |time| time > expired);
                let live = match live.nulls() {
                    None => live,
                    Some(_) => live.iter().map(|live| Some(live != Some(false))).collect(),
                };
                met.keep(&live)
            }
            _ => Ok(met),
        }
    }

    /// Remembers the rows `wanted` of `rows`; `matched` says which have had a match.
    pub(super) fn insert(&mut self, rows: &SideRows, wanted: &[u32], matched: &[bool]) -> Result<()> {
        // Neither a match nor its time ever comes for a row whose time is null: it would stay for ever, to no end.
        let has_times = |row: u32| {
            let valid = |times: &Option<Int64Array>| times.as_ref().is_none_or(|times| times.is_valid(row as usize));
            valid(&rows.expires) && valid(&rows.buckets)
        };
        let wanted: Vec<u32> = wanted.iter().copied().filter(|row| has_times(*row)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let layout = Arc::clone(&self.layout);
        let buckets = layout.spec.buckets.zip(rows.buckets.as_ref());
        let bucket = |row: u32| buckets.map(|(spec, times)| spec.of(times.value(row as usize)));
        let key_bytes = average_bytes(rows.keys.bytes());
        let mut keys = KeyBuilder::new(wanted.len(), key_bytes);
        for row in &wanted {
            let at = *row as usize;
            keys.push(bucket(*row), rows.keys.key(at), None, rows.key_groups[at])?;
        }
        let keys = keys.finish()?;
        let taken = UInt32Array::from(wanted);
        let values = match taken.len() == rows.rows.num_rows() {
            true => rows.rows.columns().to_vec(),
            false => take_all(rows.rows.columns(), &taken)?,
        };
        let is_first = self.drafts.rows.put_where_absent(&keys, &values).map_err(Error::from)?;
        let mut sequences = vec![0; taken.len()];
        if is_first.true_count() < taken.len() {
            let others: UInt32Array = (0..taken.len()).filter(|at| !is_first.value(*at)).map(|at| at as u32).collect();
            let numbers = self.number(&keys.take(&others).map_err(Error::from)?)?;
            let mut more = KeyBuilder::new(others.len(), key_bytes);
            for (at, sequence) in others.values().iter().zip(numbers) {
                let row = taken.value(*at as usize);
                more.push(bucket(row), rows.keys.key(row as usize), Some(sequence), rows.key_groups[row as usize])?;
                sequences[*at as usize] = sequence;
            }
            let values = take_all(&values, &others)?;
            self.drafts.more.put(&more.finish()?, &values).map_err(Error::from)?;
        }
        self.rows_put += taken.len() as u64;
        let (Some(times), Some(expires)) = (&mut self.drafts.times, &rows.expires) else { return Ok(()) };
        let mut keys = KeyBuilder::new(taken.len(), key_bytes);
        let mut flags = Vec::with_capacity(taken.len());
        for (row, sequence) in taken.values().iter().zip(&sequences) {
            let at = *row as usize;
            if !matched[at] || layout.times_matched() {
                keys.push(Some(expires.value(at)), rows.keys.key(at), Some(*sequence), rows.key_groups[at])?;
                flags.push(matched[at]);
            }
        }
        Ok(times.put(&keys.finish()?, &[Arc::new(BooleanArray::from(flags)) as ArrayRef]).map_err(Error::from)?)
    }

    /// Gives each row a sequence number of its key, in order; the first is 1.
    fn number(&mut self, keys: &Keys) -> Result<Vec<i64>> {
        let (group_of_row, first_rows) = group_keys(keys);
        let distinct = keys.take(&UInt32Array::from(first_rows)).map_err(Error::from)?;
        let found = self.drafts.keys.get(&distinct).map_err(Error::from)?;
        let known = |column: usize, new: i64| -> Vec<i64> {
            let values = int64s(&found, column);
            (0..distinct.len()).map(|at| if found.present.value(at) { values.value(at) } else { new }).collect()
        };
        let (first, mut next, mut live) = (known(0, 1), known(1, 1), known(2, 0));
        let mut sequences = Vec::with_capacity(keys.len());
        for group in group_of_row {
            sequences.push(next[group as usize]);
            next[group as usize] += 1;
            live[group as usize] += 1;
        }
        let values = [first, next, live].map(|values| Arc::new(Int64Array::from(values)) as ArrayRef);
        self.drafts.keys.put(&distinct, &values).map_err(Error::from)?;
        Ok(sequences)
    }

    /// These rows have had a match with rows of `probes`. Where nobody needs them after that, they leave.
    pub(super) fn matched(&mut self, probes: &SideRows, met: &Met, forgets: bool) -> Result<()> {
        if met.len() == 0 {
            return Ok(());
        }
        if let (Some(draft), Some(column)) = (&mut self.drafts.times, self.layout.spec.expiry.column()) {
            let times = super::times::micros_of(met.rows.column(column))?;
            let timed = met.keys_after(probes, |row| Some(times.value(row)))?;
            if forgets || !self.layout.times_matched() {
                draft.remove(&timed).map_err(Error::from)?;
            } else {
                let found = draft.get(&timed).map_err(Error::from)?;
                let is_new = |at: usize| found.present.value(at) && !found.values[0].as_boolean().value(at);
                let changed: UInt32Array = (0..timed.len()).filter(|at| is_new(*at)).map(|at| at as u32).collect();
                let changed = timed.take(&changed).map_err(Error::from)?;
                let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true; changed.len()]));
                draft.put(&changed, &[flags]).map_err(Error::from)?;
            }
        }
        if !forgets {
            return Ok(());
        }
        let keys = met.keys(probes)?;
        let (_, first_rows) = group_keys(&keys);
        self.remove_rows(&keys.take(&UInt32Array::from(first_rows)).map_err(Error::from)?)
    }

    /// Removes rows, each named once.
    fn remove_rows(&mut self, keys: &Keys) -> Result<()> {
        let has_bucket = self.layout.spec.buckets.is_some();
        self.rows_removed += keys.len() as u64;
        let (ones, others) = by_store(keys, has_bucket)?;
        self.drafts.rows.remove(&ones).map_err(Error::from)?;
        if others.is_empty() {
            return Ok(());
        }
        self.remove_more(&keys.take(&UInt32Array::from(others)).map_err(Error::from)?)
    }

    /// Removes rows of keys that have several, and the numbers of keys that have no such row left.
    fn remove_more(&mut self, keys: &Keys) -> Result<()> {
        self.drafts.more.remove(keys).map_err(Error::from)?;
        let has_bucket = self.layout.spec.buckets.is_some();
        let mut numbered = KeyBuilder::new(keys.len(), average_bytes(keys.bytes()));
        for row in 0..keys.len() {
            let parts = KeyParts::of(keys.key(row), has_bucket);
            numbered.push(parts.time, parts.key, None, parts.key_group)?;
        }
        let numbered = numbered.finish()?;
        let (group_of_row, first_rows) = group_keys(&numbered);
        let distinct = numbered.take(&UInt32Array::from(first_rows)).map_err(Error::from)?;
        let (mut removed, mut last) = (vec![0i64; distinct.len()], vec![i64::MIN; distinct.len()]);
        for (row, group) in group_of_row.iter().enumerate() {
            let sequence = KeyParts::of(keys.key(row), has_bucket).sequence;
            removed[*group as usize] += 1;
            last[*group as usize] = last[*group as usize].max(sequence);
        }
        let found = self.drafts.keys.get(&distinct).map_err(Error::from)?;
        let (first, next, live) = (int64s(&found, 0), int64s(&found, 1), int64s(&found, 2));
        let (mut empty, mut changed, mut values) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
        for group in found.present.values().set_indices() {
            let left = live.value(group) - removed[group];
            if left <= 0 {
                empty.push(group as u32);
                continue;
            }
            // The numbers before the first row that is left are asked for no more, where rows leave in their order.
            let in_order = last[group] + 1 - first.value(group) == removed[group];
            changed.push(group as u32);
            values[0].push(if in_order { last[group] + 1 } else { first.value(group) });
            values[1].push(next.value(group));
            values[2].push(left);
        }
        let of_groups = |groups: Vec<u32>| distinct.take(&UInt32Array::from(groups)).map_err(Error::from);
        self.drafts.keys.remove(&of_groups(empty)?).map_err(Error::from)?;
        let values = values.map(|values| Arc::new(Int64Array::from(values)) as ArrayRef);
        Ok(self.drafts.keys.put(&of_groups(changed)?, &values).map_err(Error::from)?)
    }

    /// Forgets the rows at or before `watermark_micros`, and gives those without a match to `unmatched`.
    pub(super) fn expire(
        &mut self,
        watermark_micros: i64,
        mut unmatched: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let first_open = watermark_micros.saturating_add(1);
        if let Some(times) = &mut self.drafts.times {
            let expired = times.take_range(&KeyRange::not_null_below(int64_key(first_open))).map_err(Error::from)?;
            for expired in expired {
                let matched = expired.values[0].as_boolean();
                let mut of_rows = KeyBuilder::new(expired.len(), average_bytes(expired.keys.bytes()));
                for row in 0..expired.len() {
                    let parts = KeyParts::of(expired.keys.key(row), true);
                    let bucket = layout.spec.buckets.map(|spec| spec.of(parts.time.unwrap_or_default()));
                    of_rows.push(bucket, parts.key, Some(parts.sequence), parts.key_group)?;
                }
                let keys = of_rows.finish()?;
                if layout.keeps_unmatched {
                    let alone: UInt32Array =
                        (0..expired.len()).filter(|row| !matched.value(*row)).map(|row| row as u32).collect();
                    for rows in self.stored(&keys.take(&alone).map_err(Error::from)?)? {
                        unmatched(rows)?;
                    }
                }
                if !layout.drops_buckets() {
                    self.remove_rows(&keys)?;
                }
            }
        }
        if let Some(buckets) = layout.spec.buckets.filter(|_| layout.drops_buckets()) {
            let closed = KeyRange::not_null_below(int64_key(buckets.first_open(watermark_micros)));
            let SideDrafts { rows, more, keys, .. } = &mut self.drafts;
            for draft in [rows, more] {
                self.rows_removed += draft.remove_range(&closed).map_err(Error::from)?;
            }
            keys.remove_range(&closed).map_err(Error::from)?;
        }
        Ok(())
    }

    /// The rows with these keys and sequence numbers.
    fn stored(&mut self, keys: &Keys) -> Result<[RecordBatch; 2]> {
        let (ones, others) = by_store(keys, self.layout.spec.buckets.is_some())?;
        let others = keys.take(&UInt32Array::from(others)).map_err(Error::from)?;
        let rows = |draft: &mut Draft, keys: &Keys| -> Result<RecordBatch> {
            let found = draft.get(keys).map_err(Error::from)?;
            let rows = batch_of(&self.layout.schema, found.values, keys.len())?;
            Ok(filter_record_batch(&rows, &found.present)?)
        };
        Ok([rows(&mut self.drafts.rows, &ones)?, rows(&mut self.drafts.more, &others)?])
    }

    /// Hands the changes to the batch. How many rows are remembered.
    pub(super) fn finish(self) -> Result<u64> {
        let SideDrafts { rows, more, keys, times } = self.drafts;
        keys.finish().map_err(Error::from)?;
        if let Some(times) = times {
            times.finish().map_err(Error::from)?;
        }
        Ok(rows.finish().map_err(Error::from)? + more.finish().map_err(Error::from)?)
    }
}

/// Keys without sequence numbers, which row looks at each, and their buckets.
struct Asked {
    keys: Keys,
    owners: Vec<u32>,
    buckets: Option<Vec<i64>>,
}

/// Rows in `<side>_more` to be looked up.
struct Wanted {
    keys: KeyBuilder,
    owners: Vec<u32>,
    buckets: Vec<i64>,
    sequences: Vec<i64>,
}

impl Wanted {
    fn new(probes: &SideRows) -> Self {
        let keys = KeyBuilder::new(1024, average_bytes(probes.keys.bytes()));
        Self { keys, owners: Vec::new(), buckets: Vec::new(), sequences: Vec::new() }
    }

    fn push(&mut self, probes: &SideRows, owner: u32, bucket: Option<i64>, sequence: i64) -> Result<()> {
        let at = owner as usize;
        self.keys.push(bucket, probes.keys.key(at), Some(sequence), probes.key_groups[at])?;
        self.owners.push(owner);
        self.buckets.extend(bucket);
        self.sequences.push(sequence);
        Ok(())
    }
}

/// Splits keys with sequence numbers: the keys in `<side>_rows` of those that are there, and which are in `<side>_more`.
fn by_store(keys: &Keys, has_bucket: bool) -> Result<(Keys, Vec<u32>)> {
    let (mut ones, mut others) = (KeyBuilder::new(keys.len(), average_bytes(keys.bytes())), Vec::new());
    for row in 0..keys.len() {
        let parts = KeyParts::of(keys.key(row), has_bucket);
        match parts.sequence {
            0 => ones.push(parts.time, parts.key, None, parts.key_group)?,
            _ => others.push(row as u32),
        }
    }
    Ok((ones.finish()?, others))
}

fn int64s(found: &FoundRows, column: usize) -> &Int64Array {
    found.values[column].as_primitive::<Int64Type>()
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let fields: Fields =
        schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// These rows of every column.
pub(super) fn take_all(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    Ok(columns.iter().map(|column| arrow::compute::take(column, rows, None)).collect::<Result<_, _>>()?)
}

/// Numbers equal keys alike: the number of each row, and the first row of each number.
pub(super) fn group_keys(keys: &Keys) -> (Vec<u32>, Vec<u32>) {
    const NONE: u32 = u32::MAX;
    let slots = (keys.len() * 2).next_power_of_two().max(16);
    let mut table = vec![NONE; slots];
    let (mut group_of_row, mut first_rows) = (Vec::with_capacity(keys.len()), Vec::<u32>::new());
    for row in 0..keys.len() {
        let hash = keys.hashes()[row];
        let mut slot = hash as usize & (slots - 1);
        let group = loop {
            let group = table[slot];
            if group == NONE {
                table[slot] = first_rows.len() as u32;
                first_rows.push(row as u32);
                break table[slot];
            }
            let first = first_rows[group as usize] as usize;
            if keys.hashes()[first] == hash && keys.key(first) == keys.key(row) {
                break group;
            }
            slot = (slot + 1) & (slots - 1);
        };
        group_of_row.push(group);
    }
    (group_of_row, first_rows)
}
