//! Column builders that can take back their last rows.
//!
//! Arrow's own builders only append. A decoder must also undo: a field that comes twice replaces its first value, and a
//! record that turns out to be broken leaves nothing behind. Both are `truncate` here, which costs nothing on plain vectors.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullArray,
    PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Field, Fields, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, TimeUnit, TimestampMicrosecondType,
};

use crate::ddl::sql_type_name;
use crate::error::{Error, Result};
use crate::types::map_entries;

/// A bitmap that exists only once there is a null.
#[derive(Debug, Default)]
pub(crate) struct Nulls(Option<BooleanBufferBuilder>);

impl Nulls {
    #[inline]
    pub(crate) fn valid(&mut self) {
        if let Some(bits) = &mut self.0 {
            bits.append(true);
        }
    }

    #[inline]
    pub(crate) fn null(&mut self, len_before: usize) {
        let bits = self.0.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(len_before + 1024);
            bits.append_n(len_before, true);
            bits
        });
        bits.append(false);
    }

    fn truncate(&mut self, len: usize) {
        if let Some(bits) = &mut self.0 {
            bits.truncate(len);
        }
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.0.take().map(|mut bits| NullBuffer::new(bits.finish())).filter(|nulls| nulls.null_count() > 0)
    }
}

/// Values of one fixed-width type.
#[derive(Debug, Default)]
pub(crate) struct Values<T> {
    values: Vec<T>,
    nulls: Nulls,
}

impl<T: Copy + Default> Values<T> {
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.valid();
    }

    fn push_null(&mut self) {
        self.nulls.null(self.values.len());
        self.values.push(T::default());
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    fn take(&mut self) -> Vec<T> {
        let capacity = self.values.len();
        std::mem::replace(&mut self.values, Vec::with_capacity(capacity))
    }
}

/// Offsets of a column whose values have no fixed width.
#[derive(Debug)]
struct Offsets(Vec<i32>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// Closes a value that ends at `end`.
    ///
    /// # Errors
    /// One batch holds at most 2 GiB in a column.
    #[inline]
    fn push(&mut self, end: usize) -> Result<()> {
        let end = i32::try_from(end).map_err(|_| Error::unsupported("a column of one batch holds more than 2 GiB"))?;
        self.0.push(end);
        Ok(())
    }

    fn repeat(&mut self) {
        self.0.push(self.last());
    }

    fn last(&self) -> i32 {
        self.0.last().copied().unwrap_or_default()
    }

    /// Drops values; returns where the last one left ends.
    fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.last() as usize
    }

    fn finish(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(std::mem::take(self).0))
    }
}

/// Strings or byte strings.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    data: Vec<u8>,
    offsets: Offsets,
    nulls: Nulls,
}

impl Bytes {
    /// Appends a value; text must be UTF-8 if the column is STRING.
    ///
    /// # Errors
    /// One batch holds at most 2 GiB in a column.
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) -> Result<()> {
        self.data.extend_from_slice(value);
        self.nulls.valid();
        self.offsets.push(self.data.len())
    }

    fn push_null(&mut self) {
        self.nulls.null(self.offsets.len());
        self.offsets.repeat();
    }

    fn truncate(&mut self, len: usize) {
        let end = self.offsets.truncate(len);
        self.data.truncate(end);
        self.nulls.truncate(len);
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let capacity = self.data.len();
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(capacity));
        (self.offsets.finish(), Buffer::from_vec(data), self.nulls.finish())
    }
}

/// A struct: its columns, all of the same length.
#[derive(Debug)]
pub(crate) struct StructColumn {
    pub(crate) fields: Fields,
    pub(crate) columns: Vec<Column>,
    len: usize,
    nulls: Nulls,
}

impl StructColumn {
    /// Closes a row whose columns have each been given one value.
    pub(crate) fn push_row(&mut self) {
        self.len += 1;
        self.nulls.valid();
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push_null(&mut self) {
        for column in &mut self.columns {
            column.push_null();
        }
        self.nulls.null(self.len);
        self.len += 1;
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            column.truncate(len);
        }
        self.len = self.len.min(len);
        self.nulls.truncate(len);
    }

    /// The columns as arrays, and the rows that are null as a whole.
    pub(crate) fn finish(&mut self) -> Result<(Vec<ArrayRef>, Option<NullBuffer>)> {
        self.len = 0;
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<_>>()?;
        Ok((columns, self.nulls.finish()))
    }
}

/// An array: offsets into its elements.
#[derive(Debug)]
pub(crate) struct ListColumn {
    field: Arc<Field>,
    offsets: Offsets,
    pub(crate) elements: Box<Column>,
    nulls: Nulls,
}

impl ListColumn {
    /// Closes a row whose elements have been appended.
    pub(crate) fn push_row(&mut self) -> Result<()> {
        self.nulls.valid();
        self.offsets.push(self.elements.len())
    }

    /// Takes back elements appended since the last row.
    pub(crate) fn drop_open_row(&mut self) {
        self.elements.truncate(self.offsets.last() as usize);
    }
}

/// A map: offsets into its keys and values.
#[derive(Debug)]
pub(crate) struct MapColumn {
    entries: Arc<Field>,
    ordered: bool,
    offsets: Offsets,
    pub(crate) keys: Bytes,
    pub(crate) values: Box<Column>,
    nulls: Nulls,
}

impl MapColumn {
    /// Closes a row whose keys and values have been appended.
    pub(crate) fn push_row(&mut self) -> Result<()> {
        self.nulls.valid();
        self.offsets.push(self.values.len())
    }

    /// Takes back entries appended since the last row.
    pub(crate) fn drop_open_row(&mut self) {
        let end = self.offsets.last() as usize;
        self.keys.truncate(end);
        self.values.truncate(end);
    }
}

/// A builder for one column of any type that text formats can hold.
#[derive(Debug)]
pub(crate) enum Column {
    Null(usize),
    Boolean(Values<bool>),
    Int8(Values<i8>),
    Int16(Values<i16>),
    Int32(Values<i32>),
    Int64(Values<i64>),
    Float32(Values<f32>),
    Float64(Values<f64>),
    Decimal { values: Values<i128>, precision: u8, scale: i8 },
    String(Bytes),
    Binary(Bytes),
    Date(Values<i32>),
    Timestamp { values: Values<i64>, zone: Option<Arc<str>> },
    Duration(Values<i64>),
    Months(Values<i32>),
    Struct(StructColumn),
    List(ListColumn),
    Map(MapColumn),
}

/// Runs the same code on whichever builder a column holds.
macro_rules! each {
    ($column:expr, $n:pat => $null:expr, $b:pat => $body:expr) => {
        match $column {
            Column::Null($n) => $null,
            Column::Boolean($b) => $body,
            Column::Int8($b) => $body,
            Column::Int16($b) => $body,
            Column::Int32($b) | Column::Date($b) | Column::Months($b) => $body,
            Column::Int64($b) | Column::Timestamp { values: $b, .. } | Column::Duration($b) => $body,
            Column::Float32($b) => $body,
            Column::Float64($b) => $body,
            Column::Decimal { values: $b, .. } => $body,
            Column::String($b) | Column::Binary($b) => $body,
            Column::Struct($b) => $body,
            Column::List($b) => $body,
            Column::Map($b) => $body,
        }
    };
}

impl Column {
    /// An empty column.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a type that `format` cannot hold.
    pub(crate) fn new(data_type: &DataType, format: &str) -> Result<Self> {
        Ok(match data_type {
            DataType::Null => Self::Null(0),
            DataType::Boolean => Self::Boolean(Values::default()),
            DataType::Int8 => Self::Int8(Values::default()),
            DataType::Int16 => Self::Int16(Values::default()),
            DataType::Int32 => Self::Int32(Values::default()),
            DataType::Int64 => Self::Int64(Values::default()),
            DataType::Float32 => Self::Float32(Values::default()),
            DataType::Float64 => Self::Float64(Values::default()),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Self::Decimal { values: Values::default(), precision: *precision, scale: *scale }
            }
            DataType::Utf8 => Self::String(Bytes::default()),
            DataType::Binary => Self::Binary(Bytes::default()),
            DataType::Date32 => Self::Date(Values::default()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Self::Timestamp { values: Values::default(), zone: zone.clone() }
            }
            DataType::Duration(TimeUnit::Microsecond) => Self::Duration(Values::default()),
            DataType::Interval(IntervalUnit::YearMonth) => Self::Months(Values::default()),
            DataType::Struct(fields) => Self::Struct(Self::new_struct(fields, format)?),
            DataType::List(field) => Self::List(ListColumn {
                field: Arc::clone(field),
                offsets: Offsets::default(),
                elements: Box::new(Self::new(field.data_type(), format)?),
                nulls: Nulls::default(),
            }),
            DataType::Map(entries, ordered) => match map_entries(entries) {
                Some((key, value)) if *key.data_type() == DataType::Utf8 => Self::Map(MapColumn {
                    entries: Arc::clone(entries),
                    ordered: *ordered,
                    offsets: Offsets::default(),
                    keys: Bytes::default(),
                    values: Box::new(Self::new(value.data_type(), format)?),
                    nulls: Nulls::default(),
                }),
                _ => {
                    return Err(Error::unsupported(format!(
                        "{format}: the keys of {} must be STRING",
                        sql_type_name(data_type)
                    )));
                }
            },
            other => {
                return Err(Error::unsupported(format!("{format} cannot be read as {}", sql_type_name(other))));
            }
        })
    }

    /// An empty struct's column.
    ///
    /// # Errors
    /// As [`Column::new`], naming the field.
    pub(crate) fn new_struct(fields: &Fields, format: &str) -> Result<StructColumn> {
        let column = |f: &Arc<Field>| {
            Self::new(f.data_type(), format)
                .map_err(|e| Error::new(e.kind(), format!("column {}: {}", f.name(), e.message())))
        };
        let columns = fields.iter().map(column).collect::<Result<_>>()?;
        Ok(StructColumn { fields: fields.clone(), columns, len: 0, nulls: Nulls::default() })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Null(n) => *n,
            Self::Boolean(b) => b.values.len(),
            Self::Int8(b) => b.values.len(),
            Self::Int16(b) => b.values.len(),
            Self::Int32(b) | Self::Date(b) | Self::Months(b) => b.values.len(),
            Self::Int64(b) | Self::Timestamp { values: b, .. } | Self::Duration(b) => b.values.len(),
            Self::Float32(b) => b.values.len(),
            Self::Float64(b) => b.values.len(),
            Self::Decimal { values, .. } => values.values.len(),
            Self::String(b) | Self::Binary(b) => b.offsets.len(),
            Self::Struct(b) => b.len,
            Self::List(b) => b.offsets.len(),
            Self::Map(b) => b.offsets.len(),
        }
    }

    pub(crate) fn push_null(&mut self) {
        each!(self, n => *n += 1, b => b.push_null());
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        each!(self, n => *n = (*n).min(len), b => b.truncate(len));
    }

    /// The values so far as an array, leaving the builder empty.
    ///
    /// # Errors
    /// Only if a STRING was given bytes that are not UTF-8.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Null(n) => Arc::new(NullArray::new(std::mem::take(n))),
            Self::Boolean(b) => Arc::new(BooleanArray::new(BooleanBuffer::from(b.take()), b.nulls.finish())),
            Self::Int8(b) => primitive::<Int8Type>(b),
            Self::Int16(b) => primitive::<Int16Type>(b),
            Self::Int32(b) => primitive::<Int32Type>(b),
            Self::Int64(b) => primitive::<Int64Type>(b),
            Self::Float32(b) => primitive::<Float32Type>(b),
            Self::Float64(b) => primitive::<Float64Type>(b),
            Self::Decimal { values, precision, scale } => {
                let array = PrimitiveArray::<Decimal128Type>::new(values.take().into(), values.nulls.finish());
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Self::String(b) => {
                let (offsets, data, nulls) = b.finish();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Self::Binary(b) => {
                let (offsets, data, nulls) = b.finish();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Self::Date(b) => primitive::<Date32Type>(b),
            Self::Timestamp { values, zone } => {
                let array =
                    PrimitiveArray::<TimestampMicrosecondType>::new(values.take().into(), values.nulls.finish());
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            Self::Duration(b) => primitive::<DurationMicrosecondType>(b),
            Self::Months(b) => primitive::<IntervalYearMonthType>(b),
            Self::Struct(b) => {
                let len = b.len;
                let (columns, nulls) = b.finish()?;
                Arc::new(StructArray::try_new_with_length(b.fields.clone(), columns, nulls, len)?)
            }
            Self::List(b) => {
                let elements = b.elements.finish()?;
                Arc::new(ListArray::try_new(Arc::clone(&b.field), b.offsets.finish(), elements, b.nulls.finish())?)
            }
            Self::Map(b) => {
                let (offsets, data, nulls) = b.keys.finish();
                let keys: ArrayRef = Arc::new(StringArray::try_new(offsets, data, nulls)?);
                let DataType::Struct(fields) = b.entries.data_type() else {
                    return Err(Error::invalid("a map's entries are a struct"));
                };
                let entries = StructArray::try_new(fields.clone(), vec![keys, b.values.finish()?], None)?;
                let entries_field = Arc::clone(&b.entries);
                Arc::new(MapArray::try_new(entries_field, b.offsets.finish(), entries, b.nulls.finish(), b.ordered)?)
            }
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Values<T::Native>) -> ArrayRef
where
    T::Native: Copy + Default,
{
    Arc::new(PrimitiveArray::<T>::new(values.take().into(), values.nulls.finish()))
}

impl ListColumn {
    fn push_null(&mut self) {
        self.nulls.null(self.offsets.len());
        self.offsets.repeat();
    }

    fn truncate(&mut self, len: usize) {
        let end = self.offsets.truncate(len);
        self.elements.truncate(end);
        self.nulls.truncate(len);
    }
}

impl MapColumn {
    fn push_null(&mut self) {
        self.nulls.null(self.offsets.len());
        self.offsets.repeat();
    }

    fn truncate(&mut self, len: usize) {
        let end = self.offsets.truncate(len);
        self.keys.truncate(end);
        self.values.truncate(end);
        self.nulls.truncate(len);
    }
}
