//! What is remembered of one side of a join, in one state partition.
//!
//! ```text
//! <side>_keys    [bucket] join-key key-group            → first, next, live: the sequence numbers that rows may have
//! <side>_rows    [bucket] join-key sequence key-group   → the row
//! <side>_times   time join-key sequence key-group       → whether it has had a match
//! ```
//! A row of the other side finds its matches by two look-ups of whole batches: the numbers of its key, then the rows. With a
//! range condition the rows of a key are split into buckets of time, of which it looks into at most three. `times` holds rows
//! that must be found when their time has come: those without a match where they are then given out, and all of them where
//! they are in no buckets that could leave as a whole.

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
    pub(super) keys: StoreSchema,
    pub(super) rows: StoreSchema,
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
        let (keys, rows) = (StoreSchema::new(key(bucket, false), numbers), StoreSchema::new(key(bucket, true), row));
        let times = StoreSchema::new(key(Some("time"), true), matched);
        let layout = Self { spec: spec.clone(), schema, keys, rows, times: Some(times), keeps_unmatched };
        let needs_times = layout.needs_times();
        Self { times: layout.times.filter(|_| needs_times), ..layout }
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
    /// Their keys in the store.
    keys: Keys,
}

impl Met {
    /// Those of the rows for which `kept` holds.
    pub(super) fn keep(self, kept: &BooleanArray) -> Result<Self> {
        if kept.true_count() == kept.len() {
            return Ok(self);
        }
        let numbers: UInt32Array = kept.values().set_indices().map(|row| row as u32).collect();
        Ok(Self {
            probes: filter(&self.probes, kept)?.as_primitive().clone(),
            rows: filter_record_batch(&self.rows, kept)?,
            keys: self.keys.take(&numbers).map_err(Error::from)?,
        })
    }

    /// Their keys in the store.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    fn len(&self) -> usize {
        self.probes.len()
    }
}

/// What a side remembers, in the making.
#[derive(Debug)]
pub(super) struct SideState {
    layout: Arc<SideLayout>,
    keys: Draft,
    rows: Draft,
    times: Option<Draft>,
    /// Rows at or before this have expired in earlier batches, though their bucket may still be there.
    expired_micros: Option<i64>,
    pub(super) rows_put: u64,
    pub(super) rows_removed: u64,
    /// Stored rows that were fetched for rows of the other side.
    pub(super) rows_looked_at: u64,
}

impl SideState {
    pub(super) fn new(
        layout: Arc<SideLayout>,
        keys: Draft,
        rows: Draft,
        times: Option<Draft>,
        expired_micros: Option<i64>,
    ) -> Self {
        Self { layout, keys, rows, times, expired_micros, rows_put: 0, rows_removed: 0, rows_looked_at: 0 }
    }

    /// Rows in the store.
    pub(super) fn rows_total(&self) -> u64 {
        self.rows.rows()
    }

    /// Gives every stored row that has the key of a row of `probes` and may match it to `each`, a few thousand at a time.
    pub(super) fn meet(&mut self, probes: &SideRows, mut each: impl FnMut(&mut Self, Met) -> Result<()>) -> Result<()> {
        let (asked, owners, buckets) = self.number_keys(probes)?;
        if asked.is_empty() {
            return Ok(());
        }
        let found = self.keys.get(&asked).map_err(Error::from)?;
        let (first, next) = (int64s(&found, 0), int64s(&found, 1));
        let key_bytes = average_bytes(probes.keys.bytes());
        let mut wanted = Wanted::new(key_bytes);
        for at in found.present.values().set_indices() {
            let owner = owners[at];
            for sequence in first.value(at)..next.value(at) {
                wanted.push(probes, owner, buckets.as_ref().map(|buckets| buckets[at]), sequence)?;
                if wanted.owners.len() >= ROWS_AT_A_TIME {
                    let met = self.fetch(std::mem::replace(&mut wanted, Wanted::new(key_bytes)))?;
                    each(self, met)?;
                }
            }
        }
        let met = self.fetch(wanted)?;
        each(self, met)
    }

    /// The keys of `<side>_keys` that the rows of `probes` look at: the keys, which row each belongs to, and its bucket.
    fn number_keys(&self, probes: &SideRows) -> Result<(Keys, Vec<u32>, Option<Vec<i64>>)> {
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
        Ok((keys.finish()?, owners, buckets))
    }

    fn fetch(&mut self, wanted: Wanted) -> Result<Met> {
        let keys = wanted.keys.finish()?;
        let probes = UInt32Array::from(wanted.owners);
        let found = self.rows.get(&keys).map_err(Error::from)?;
        let met = Met { probes, rows: batch_of(&self.layout.schema, found.values, keys.len())?, keys };
        let met = met.keep(&found.present)?;
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
        let key_bytes = average_bytes(rows.keys.bytes());
        let layout = Arc::clone(&self.layout);
        let buckets = layout.spec.buckets.zip(rows.buckets.as_ref());
        let bucket = |row: u32| buckets.map(|(spec, times)| spec.of(times.value(row as usize)));
        let mut numbered = KeyBuilder::new(wanted.len(), key_bytes);
        for row in &wanted {
            let at = *row as usize;
            numbered.push(bucket(*row), rows.keys.key(at), None, rows.key_groups[at])?;
        }
        let numbered = numbered.finish()?;
        let sequences = self.number(&numbered)?;
        let mut stored = KeyBuilder::new(wanted.len(), key_bytes);
        for (row, sequence) in wanted.iter().zip(&sequences) {
            let at = *row as usize;
            stored.push(bucket(*row), rows.keys.key(at), Some(*sequence), rows.key_groups[at])?;
        }
        let taken = UInt32Array::from(wanted.clone());
        let values = take_all(rows.rows.columns(), &taken)?;
        self.rows.put(&stored.finish()?, &values).map_err(Error::from)?;
        self.rows_put += wanted.len() as u64;
        let (Some(times), Some(expires)) = (&mut self.times, &rows.expires) else { return Ok(()) };
        let mut keys = KeyBuilder::new(wanted.len(), key_bytes);
        let mut flags = Vec::with_capacity(wanted.len());
        for (row, sequence) in wanted.iter().zip(&sequences) {
            let at = *row as usize;
            if !matched[at] || self.layout.times_matched() {
                keys.push(Some(expires.value(at)), rows.keys.key(at), Some(*sequence), rows.key_groups[at])?;
                flags.push(matched[at]);
            }
        }
        Ok(times.put(&keys.finish()?, &[Arc::new(BooleanArray::from(flags)) as ArrayRef]).map_err(Error::from)?)
    }

    /// Gives each row a sequence number of its key, in order.
    fn number(&mut self, keys: &Keys) -> Result<Vec<i64>> {
        let (group_of_row, first_rows) = group_keys(keys);
        let distinct = keys.take(&UInt32Array::from(first_rows)).map_err(Error::from)?;
        let found = self.keys.get(&distinct).map_err(Error::from)?;
        let known = |column: usize| -> Vec<i64> {
            let values = int64s(&found, column);
            (0..distinct.len()).map(|at| if found.present.value(at) { values.value(at) } else { 0 }).collect()
        };
        let (first, mut next, mut live) = (known(0), known(1), known(2));
        let mut sequences = Vec::with_capacity(keys.len());
        for group in group_of_row {
            sequences.push(next[group as usize]);
            next[group as usize] += 1;
            live[group as usize] += 1;
        }
        let values = [first, next, live].map(|values| Arc::new(Int64Array::from(values)) as ArrayRef);
        self.keys.put(&distinct, &values).map_err(Error::from)?;
        Ok(sequences)
    }

    /// These rows have had a match. Where nobody needs them after that, they leave.
    pub(super) fn matched(&mut self, met: &Met, forgets: bool) -> Result<()> {
        if met.len() == 0 || !(self.times.is_some() || forgets) {
            return Ok(());
        }
        let (_, first_rows) = group_keys(&met.keys);
        let once = UInt32Array::from(first_rows);
        let keys = met.keys.take(&once).map_err(Error::from)?;
        if let (Some(draft), Some(column)) = (&mut self.times, self.layout.spec.expiry.column()) {
            let times = super::times::micros_of(met.rows.column(column))?;
            let has_bucket = self.layout.spec.buckets.is_some();
            let mut built = KeyBuilder::new(keys.len(), average_bytes(keys.bytes()));
            for (at, row) in once.values().iter().enumerate() {
                let parts = KeyParts::of(keys.key(at), has_bucket);
                built.push(Some(times.value(*row as usize)), parts.key, Some(parts.sequence), parts.key_group)?;
            }
            let timed = built.finish()?;
            let found = draft.get(&timed).map_err(Error::from)?;
            let is_new = |at: usize| found.present.value(at) && !found.values[0].as_boolean().value(at);
            let changed: UInt32Array = (0..timed.len()).filter(|at| is_new(*at)).map(|at| at as u32).collect();
            let changed = timed.take(&changed).map_err(Error::from)?;
            match self.layout.times_matched() && !forgets {
                true => {
                    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true; changed.len()]));
                    draft.put(&changed, &[flags]).map_err(Error::from)?;
                }
                false => draft.remove(&changed).map_err(Error::from)?,
            }
        }
        if forgets {
            self.remove_rows(&keys)?;
        }
        Ok(())
    }

    /// Removes rows, and the numbers of keys that have none left.
    fn remove_rows(&mut self, keys: &Keys) -> Result<()> {
        self.rows.remove(keys).map_err(Error::from)?;
        self.rows_removed += keys.len() as u64;
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
        let found = self.keys.get(&distinct).map_err(Error::from)?;
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
        self.keys.remove(&of_groups(empty)?).map_err(Error::from)?;
        let values = values.map(|values| Arc::new(Int64Array::from(values)) as ArrayRef);
        Ok(self.keys.put(&of_groups(changed)?, &values).map_err(Error::from)?)
    }

    /// Forgets the rows at or before `watermark_micros`, and gives those without a match to `unmatched`.
    pub(super) fn expire(
        &mut self,
        watermark_micros: i64,
        mut unmatched: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let first_open = watermark_micros.saturating_add(1);
        if let Some(times) = &mut self.times {
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
                    let found = self.rows.get(&keys.take(&alone).map_err(Error::from)?).map_err(Error::from)?;
                    let rows = batch_of(&layout.schema, found.values, alone.len())?;
                    unmatched(filter_record_batch(&rows, &found.present)?)?;
                }
                if !layout.drops_buckets() {
                    self.remove_rows(&keys)?;
                }
            }
        }
        if let Some(buckets) = layout.spec.buckets.filter(|_| layout.drops_buckets()) {
            let closed = KeyRange::not_null_below(int64_key(buckets.first_open(watermark_micros)));
            self.rows_removed += self.rows.remove_range(&closed).map_err(Error::from)?;
            self.keys.remove_range(&closed).map_err(Error::from)?;
        }
        Ok(())
    }

    /// Hands the changes to the batch.
    pub(super) fn finish(self) -> Result<()> {
        let drafts = [Some(self.keys), Some(self.rows), self.times];
        drafts.into_iter().flatten().try_for_each(|draft| Ok(draft.finish().map_err(Error::from)?))
    }
}

/// Rows of the store to be looked up.
struct Wanted {
    keys: KeyBuilder,
    owners: Vec<u32>,
}

impl Wanted {
    fn new(key_bytes: usize) -> Self {
        Self { keys: KeyBuilder::new(1024, key_bytes), owners: Vec::new() }
    }

    fn push(&mut self, probes: &SideRows, owner: u32, bucket: Option<i64>, sequence: i64) -> Result<()> {
        let at = owner as usize;
        self.keys.push(bucket, probes.keys.key(at), Some(sequence), probes.key_groups[at])?;
        self.owners.push(owner);
        Ok(())
    }
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
