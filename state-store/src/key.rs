//! Canonical key bytes: what makes two rows the same key, on whole columns at a time.
//!
//! The bytes are Arrow's row format, ascending with nulls first, so that they sort as the columns do, over *normalised*
//! values: −0.0 is 0.0 and every NaN is the one quiet NaN, also inside structs, lists and maps. Arrow promises no byte
//! stability between its versions: golden vectors pin the bytes, and a change of them needs a new
//! [`KEY_ENCODING_VERSION`].

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float16Type, Float32Type, Float64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, PrimitiveArray,
    StructArray, UInt32Array, UInt64Array,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, Fields, IntervalUnit};
use arrow_select::take::take;

use crate::error::{Error, Result};
use crate::key_group::{key_group, partition_of};
use crate::key_hash::hash_keys;

/// Arrow's half-precision float.
type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// The version of the key bytes, written into every state file.
pub const KEY_ENCODING_VERSION: u8 = 1;

/// Turns key columns into [`Keys`] and back. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyEncoder {
    fields: Fields,
    converter: Arc<RowConverter>,
    has_floats: bool,
    fixed_bytes: Option<usize>,
}

impl KeyEncoder {
    /// An encoder of keys of these columns. Names matter for error messages only.
    pub fn new(fields: impl Into<Fields>) -> Result<Self> {
        let fields: Fields = fields.into();
        let sort_fields: Vec<SortField> =
            fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
        if let Some(field) = fields.iter().zip(&sort_fields).find_map(|(field, sort_field)| {
            (!RowConverter::supports_fields(std::slice::from_ref(sort_field))).then_some(field)
        }) {
            let message = format!("column '{}' of type {} cannot be part of a key", field.name(), field.data_type());
            return Err(Error::unsupported(message));
        }
        let converter = RowConverter::new(sort_fields)?;
        let has_floats = fields.iter().any(|field| contains_floats(field.data_type()));
        let fixed_bytes = fields.iter().map(|field| fixed_row_bytes(field.data_type())).sum();
        Ok(Self { fields, converter: Arc::new(converter), has_floats, fixed_bytes })
    }

    /// The key columns.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The length of every key, when all have the same.
    pub fn fixed_key_bytes(&self) -> Option<usize> {
        self.fixed_bytes
    }

    /// The keys of all rows of these columns. A key of no columns (one group for everything) is
    /// [`Keys::of_no_columns`]: columns would have to say how many rows there are.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Keys> {
        self.check(columns)?;
        let rows = if self.has_floats {
            let columns: Vec<ArrayRef> = columns.iter().map(normalise).collect();
            self.converter.convert_columns(&columns)?
        } else {
            self.converter.convert_columns(columns)?
        };
        let bytes = rows.try_into_binary().map_err(|source| {
            Error::invalid("the keys of one batch exceed 2 GiB; cut it into smaller batches").because(source)
        })?;
        Ok(Keys::new(bytes))
    }

    /// The key columns again. Floats come back normalised.
    pub fn decode(&self, keys: &Keys) -> Result<Vec<ArrayRef>> {
        if self.fields.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.converter.from_binary(keys.bytes.clone());
        Ok(self.converter.convert_rows(rows.iter())?)
    }

    fn check(&self, columns: &[ArrayRef]) -> Result<()> {
        if self.fields.is_empty() || columns.len() != self.fields.len() {
            let message = format!("a key of {} columns was given {}", self.fields.len(), columns.len());
            return Err(Error::internal(message));
        }
        for (field, column) in self.fields.iter().zip(columns) {
            // What differs in names of nested fields only has the same bytes.
            if !field.data_type().equals_datatype(column.data_type()) {
                let (name, expected, found) = (field.name(), field.data_type(), column.data_type());
                return Err(Error::internal(format!("key column '{name}' is {expected}, but was given {found}")));
            }
        }
        Ok(())
    }
}

/// The keys of a batch of rows: the bytes and the stable hash of each.
///
/// Both are plain Arrow arrays, so that an exchange can carry them beside the rows ([`Keys::bytes`], [`Keys::hashes`]
/// and back with [`Keys::from_parts`]) and nobody computes them twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    bytes: BinaryArray,
    hashes: ScalarBuffer<u64>,
}

impl Keys {
    fn new(bytes: BinaryArray) -> Self {
        let hashes = hash_keys(bytes.value_data(), bytes.value_offsets()).into();
        Self { bytes, hashes }
    }

    /// `rows` times the key of no columns, which is the empty one.
    pub fn of_no_columns(rows: usize) -> Self {
        Self::new(BinaryArray::new_repeated([], rows))
    }

    /// Keys from what [`Keys::bytes`] and [`Keys::hashes`] gave, possibly in another process. The hashes are trusted.
    pub fn from_parts(bytes: BinaryArray, hashes: &UInt64Array) -> Result<Self> {
        if bytes.len() != hashes.len() || bytes.null_count() > 0 || hashes.null_count() > 0 {
            let message = format!("{} keys came with {} hashes, or with nulls", bytes.len(), hashes.len());
            return Err(Error::internal(message));
        }
        Ok(Self { bytes, hashes: hashes.values().clone() })
    }

    /// Keys from their bytes alone.
    pub fn from_bytes(bytes: BinaryArray) -> Result<Self> {
        if bytes.null_count() > 0 {
            return Err(Error::internal("a key is null"));
        }
        Ok(Self::new(bytes))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The bytes of key `row`.
    pub fn key(&self, row: usize) -> &[u8] {
        self.bytes.value(row)
    }

    /// The bytes of all keys.
    pub fn bytes(&self) -> &BinaryArray {
        &self.bytes
    }

    /// The stable hashes.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The stable hashes as a column; shares their memory.
    pub fn hash_array(&self) -> UInt64Array {
        UInt64Array::new(self.hashes.clone(), None)
    }

    /// The key group of each key.
    pub fn key_groups(&self) -> Vec<u16> {
        self.hashes.iter().map(|hash| key_group(*hash)).collect()
    }

    /// The state partition of each key, of `partitions`.
    pub fn partitions(&self, partitions: usize) -> Vec<u32> {
        self.hashes.iter().map(|hash| partition_of(key_group(*hash), partitions) as u32).collect()
    }

    /// The keys of these rows, in this order.
    pub fn take(&self, rows: &UInt32Array) -> Result<Self> {
        let bytes = take(&self.bytes, rows, None)?.as_binary::<i32>().clone();
        let hashes = rows.values().iter().map(|row| self.hashes[*row as usize]).collect();
        Ok(Self { bytes, hashes })
    }

    /// `length` keys from row `offset` on; shares their memory.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self { bytes: self.bytes.slice(offset, length), hashes: self.hashes.slice(offset, length) }
    }

    /// Keys from their bytes and where each ends, after a 0.
    pub(crate) fn from_buffer(bytes: Vec<u8>, offsets: Vec<i32>) -> Self {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Self::new(BinaryArray::new(offsets, Buffer::from_vec(bytes), None))
    }
}

/// The first eight bytes of a key as a number that sorts as they do; shorter keys are filled up with zeros.
#[inline]
pub(crate) fn key_prefix(key: &[u8]) -> u64 {
    match key.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(first)
        }
    }
}

/// The length of a column's part of a key in Arrow's row format, when it is the same for all values: a byte that says
/// null or not, then the value.
fn fixed_row_bytes(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean => Some(2),
        DataType::FixedSizeBinary(bytes) => Some(1 + usize::try_from(*bytes).ok()?),
        DataType::Interval(IntervalUnit::MonthDayNano) => Some(17),
        other => Some(1 + other.primitive_width()?),
    }
}

fn contains_floats(data_type: &DataType) -> bool {
    let any = |fields: &Fields| fields.iter().any(|field| contains_floats(field.data_type()));
    match data_type {
        DataType::Struct(fields) => any(fields),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => contains_floats(field.data_type()),
        other => other.is_floating(),
    }
}

/// The same values with −0.0 as 0.0 and one NaN.
fn normalise(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        data_type if !contains_floats(data_type) => Arc::clone(array),
        DataType::Float16 => {
            normalise_floats::<Float16Type>(array, |x| if x.is_nan() { Half::NAN } else { x + Half::ZERO })
        }
        DataType::Float32 => normalise_floats::<Float32Type>(array, |x| if x.is_nan() { f32::NAN } else { x + 0.0 }),
        DataType::Float64 => normalise_floats::<Float64Type>(array, |x| if x.is_nan() { f64::NAN } else { x + 0.0 }),
        DataType::Struct(_) => {
            let (fields, columns, nulls) = array.as_struct().clone().into_parts();
            let columns = columns.iter().map(normalise).collect();
            // The length matters for a struct of no fields only, which has no floats.
            Arc::new(StructArray::new(fields, columns, nulls))
        }
        DataType::List(field) => normalise_list(array.as_list::<i32>(), field),
        DataType::LargeList(field) => normalise_list(array.as_list::<i64>(), field),
        DataType::FixedSizeList(field, size) => {
            let list = array.as_fixed_size_list();
            let values = normalise(list.values());
            Arc::new(FixedSizeListArray::new(Arc::clone(field), *size, values, list.nulls().cloned()))
        }
        DataType::Map(field, ordered) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = normalise(&entries).as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::new(Arc::clone(field), offsets, entries, nulls, *ordered))
        }
        _ => Arc::clone(array),
    }
}

fn normalise_floats<T: ArrowPrimitiveType>(array: &ArrayRef, one: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Arc::new(array.unary::<_, T>(one))
}

fn normalise_list<O: OffsetSizeTrait>(list: &GenericListArray<O>, field: &Arc<Field>) -> ArrayRef {
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    Arc::new(GenericListArray::<O>::new(Arc::clone(field), offsets, normalise(list.values()), nulls))
}

#[cfg(test)]
mod tests;
