//! Aggregates that answer with one of their rows: `first`, `last`, `any_value`, `max_by`, `min_by`, and `min` and `max` of
//! types without a fixed width.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use arrow::row::{RowConverter, Rows as EncodedRows, SortField};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::EmitTo;

use super::function::Call;
use super::groups::{Groups, Rows};
use super::kept::{Kept, flags};

/// `first(x)`, `first_value(x)`, `any_value(x)`.
pub(super) fn first(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Box::new(End { is_last: false, ignore_nulls: call.ignore_nulls, kept: Kept::new(vec![call.returns.clone()]) }))
}

/// `last(x)`, `last_value(x)`.
pub(super) fn last(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Box::new(End { is_last: true, ignore_nulls: call.ignore_nulls, kept: Kept::new(vec![call.returns.clone()]) }))
}

/// The value, and whether there was one.
pub(super) fn end_state(_: &[DataType], returns: &DataType) -> Vec<DataType> {
    vec![returns.clone(), DataType::Boolean]
}

/// `max_by(x, key)`.
pub(super) fn max_by(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    by(call, true)
}

/// `min_by(x, key)`.
pub(super) fn min_by(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    by(call, false)
}

/// The value and its key.
pub(super) fn by_state(types: &[DataType], _: &DataType) -> Vec<DataType> {
    types[..2].to_vec()
}

/// `max(x)` or `min(x)` of any type that has an order.
pub(super) fn extreme(data_type: &DataType, is_max: bool) -> Result<Box<dyn Groups>> {
    ranked(vec![data_type.clone()], is_max)
}

fn by(call: &Call<'_>, is_max: bool) -> Result<Box<dyn Groups>> {
    ranked(call.types[..2].to_vec(), is_max)
}

fn ranked(types: Vec<DataType>, is_max: bool) -> Result<Box<dyn Groups>> {
    let key = &types[types.len() - 1];
    Ok(match key {
        DataType::Utf8 | DataType::Binary => Box::new(Best::new(types, is_max, ByBytes::default())),
        DataType::Decimal128(..) => Box::new(Best::new(types, is_max, ByNumber::<i128>::default())),
        key if narrow_ranks(&arrow::array::new_empty_array(key)).is_ok() => {
            Box::new(Best::new(types, is_max, ByNumber::<i64>::default()))
        }
        key => {
            let ranks = ByRow::new(key)?;
            Box::new(Best::new(types, is_max, ranks))
        }
    })
}

/// The first or the last row.
struct End {
    is_last: bool,
    ignore_nulls: bool,
    kept: Kept,
}

impl Groups for End {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { is_last: self.is_last, ignore_nulls: self.ignore_nulls, kept: self.kept.fresh() })
    }

    fn resize(&mut self, count: usize) {
        self.kept.resize(count);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (kept, is_last) = (&mut self.kept, self.is_last);
        let mut each = |row: usize, group: usize| {
            if is_last || !kept.has(group) {
                kept.choose(group, row);
            }
        };
        if self.ignore_nulls {
            rows.known(&args[0]).each(&mut each)
        } else {
            rows.each(&mut each)
        }
        self.kept.keep(&args[..1])
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (kept, is_last, is_set) = (&mut self.kept, self.is_last, states[1].as_boolean());
        rows.known(&states[1]).each(|row, group| {
            if is_set.value(row) && (is_last || !kept.has(group)) {
                kept.choose(group, row);
            }
        });
        self.kept.keep(&states[..1])
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(self.kept.take(emit)?.remove(0))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let is_set = flags(self.kept.set(emit));
        Ok(vec![self.evaluate(emit)?, is_set])
    }

    fn size(&self) -> usize {
        self.kept.size()
    }
}

/// The row whose last column is the greatest or the least. Of equal ones, the last counts.
struct Best<R> {
    is_max: bool,
    kept: Kept,
    ranks: R,
}

impl<R: Ranks> Best<R> {
    fn new(types: Vec<DataType>, is_max: bool, ranks: R) -> Self {
        Self { is_max, kept: Kept::new(types), ranks }
    }
}

impl<R: Ranks> Groups for Best<R> {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { is_max: self.is_max, kept: self.kept.fresh(), ranks: self.ranks.fresh() })
    }

    fn resize(&mut self, count: usize) {
        self.kept.resize(count);
        self.ranks.resize(count);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (kept, ranks, is_max) = (&mut self.kept, &mut self.ranks, self.is_max);
        let key = &args[args.len() - 1];
        let loaded = ranks.load(key)?;
        rows.known(key).each(|row, group| {
            if !kept.has(group) || ranks.is_at_least(&loaded, row, group, is_max) {
                ranks.put(&loaded, row, group);
                kept.choose(group, row);
            }
        });
        self.kept.keep(args)
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        self.update(states, rows)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(self.state(emit)?.remove(0))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.ranks.take(emit);
        self.kept.take(emit)
    }

    fn size(&self) -> usize {
        self.kept.size() + self.ranks.size()
    }
}

/// The keys of the groups' rows, in a form that can be compared.
trait Ranks: Send + Sync + 'static {
    /// A batch's keys.
    type Loaded;

    fn fresh(&self) -> Self;
    fn resize(&mut self, count: usize);
    fn load(&self, keys: &ArrayRef) -> Result<Self::Loaded>;
    /// Whether a row's key is at least as good as the group's.
    fn is_at_least(&self, loaded: &Self::Loaded, row: usize, group: usize, is_max: bool) -> bool;
    fn put(&mut self, loaded: &Self::Loaded, row: usize, group: usize);
    fn take(&mut self, emit: EmitTo);
    fn size(&self) -> usize;
}

#[derive(Default)]
struct ByNumber<N>(Vec<N>);

/// Numbers whose order is that of the keys.
trait Number: Copy + Default + Ord + Send + Sync + 'static {
    fn load(keys: &ArrayRef) -> Result<Vec<Self>>;
}

impl Number for i64 {
    fn load(keys: &ArrayRef) -> Result<Vec<i64>> {
        narrow_ranks(keys)
    }
}

impl Number for i128 {
    fn load(keys: &ArrayRef) -> Result<Vec<i128>> {
        Ok(keys.as_primitive::<Decimal128Type>().values().to_vec())
    }
}

fn narrow_ranks(keys: &ArrayRef) -> Result<Vec<i64>> {
    macro_rules! integers {
        ($arrow:ty) => {
            keys.as_primitive::<$arrow>().values().iter().map(|key| i64::from(*key)).collect()
        };
    }
    Ok(match keys.data_type() {
        DataType::Boolean => keys.as_boolean().values().iter().map(i64::from).collect(),
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::Date32 => integers!(Date32Type),
        DataType::Timestamp(..) => integers!(TimestampMicrosecondType),
        DataType::Duration(_) => integers!(DurationMicrosecondType),
        DataType::Interval(IntervalUnit::YearMonth) => integers!(IntervalYearMonthType),
        DataType::Float32 => {
            keys.as_primitive::<Float32Type>().values().iter().map(|key| float_rank(f64::from(*key))).collect()
        }
        DataType::Float64 => keys.as_primitive::<Float64Type>().values().iter().map(|key| float_rank(*key)).collect(),
        other => return internal_err!("{other} has no rank"),
    })
}

/// An integer in the order of the doubles: zeros are equal, and NaN is above all.
fn float_rank(key: f64) -> i64 {
    if key.is_nan() {
        return i64::MAX;
    }
    let bits = (key + 0.0).to_bits() as i64;
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

impl<N: Number> Ranks for ByNumber<N> {
    type Loaded = Vec<N>;

    fn fresh(&self) -> Self {
        Self::default()
    }

    fn resize(&mut self, count: usize) {
        self.0.resize(count, N::default());
    }

    fn load(&self, keys: &ArrayRef) -> Result<Vec<N>> {
        N::load(keys)
    }

    fn is_at_least(&self, loaded: &Vec<N>, row: usize, group: usize, is_max: bool) -> bool {
        if is_max { loaded[row] >= self.0[group] } else { loaded[row] <= self.0[group] }
    }

    fn put(&mut self, loaded: &Vec<N>, row: usize, group: usize) {
        self.0[group] = loaded[row];
    }

    fn take(&mut self, emit: EmitTo) {
        emit.take_needed(&mut self.0);
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<N>()
    }
}

/// Strings and binaries, by their bytes.
#[derive(Default)]
struct ByBytes(Vec<Vec<u8>>);

/// The bytes of a batch's keys.
enum Bytes {
    Text(arrow::array::StringArray),
    Binary(arrow::array::BinaryArray),
}

impl Bytes {
    fn of(&self, row: usize) -> &[u8] {
        match self {
            Bytes::Text(array) => array.value(row).as_bytes(),
            Bytes::Binary(array) => array.value(row),
        }
    }
}

fn is_at_least(key: &[u8], best: &[u8], is_max: bool) -> bool {
    if is_max { key >= best } else { key <= best }
}

fn put(best: &mut Vec<u8>, key: &[u8]) {
    best.clear();
    best.extend_from_slice(key);
}

/// About: some keys stand for all, as this is asked for after every batch.
fn bytes_size(all: &[Vec<u8>]) -> usize {
    let sampled = all.iter().take(64).map(Vec::capacity).sum::<usize>() / all.len().clamp(1, 64);
    all.len() * (sampled + size_of::<Vec<u8>>())
}

impl Ranks for ByBytes {
    type Loaded = Bytes;

    fn fresh(&self) -> Self {
        Self::default()
    }

    fn resize(&mut self, count: usize) {
        self.0.resize(count, Vec::new());
    }

    fn load(&self, keys: &ArrayRef) -> Result<Bytes> {
        Ok(match keys.data_type() {
            DataType::Utf8 => Bytes::Text(keys.as_string().clone()),
            _ => Bytes::Binary(keys.as_binary().clone()),
        })
    }

    fn is_at_least(&self, loaded: &Bytes, row: usize, group: usize, is_max: bool) -> bool {
        is_at_least(loaded.of(row), &self.0[group], is_max)
    }

    fn put(&mut self, loaded: &Bytes, row: usize, group: usize) {
        put(&mut self.0[group], loaded.of(row));
    }

    fn take(&mut self, emit: EmitTo) {
        emit.take_needed(&mut self.0);
    }

    fn size(&self) -> usize {
        bytes_size(&self.0)
    }
}

/// Arrays and structs, by their row encoding: nulls come first.
struct ByRow {
    data_type: DataType,
    converter: RowConverter,
    best: Vec<Vec<u8>>,
}

impl ByRow {
    fn new(data_type: &DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self { data_type: data_type.clone(), converter, best: Vec::new() })
    }
}

impl Ranks for ByRow {
    type Loaded = EncodedRows;

    fn fresh(&self) -> Self {
        Self::new(&self.data_type).expect("the type has been encoded before")
    }

    fn resize(&mut self, count: usize) {
        self.best.resize(count, Vec::new());
    }

    fn load(&self, keys: &ArrayRef) -> Result<EncodedRows> {
        Ok(self.converter.convert_columns(&[std::sync::Arc::clone(keys)])?)
    }

    fn is_at_least(&self, loaded: &EncodedRows, row: usize, group: usize, is_max: bool) -> bool {
        is_at_least(loaded.row(row).data(), &self.best[group], is_max)
    }

    fn put(&mut self, loaded: &EncodedRows, row: usize, group: usize) {
        put(&mut self.best[group], loaded.row(row).data());
    }

    fn take(&mut self, emit: EmitTo) {
        emit.take_needed(&mut self.best);
    }

    fn size(&self) -> usize {
        bytes_size(&self.best) + self.converter.size()
    }
}
