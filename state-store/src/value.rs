//! Values as rows of bytes: Arrow columns in, Arrow columns out, one memory access a row between.
//!
//! | part of a row | bytes | |
//! |---|---|---|
//! | validity | ⌈columns / 8⌉ | bit `i` of byte `i / 8` is 1 when column `i` is not null |
//! | per column, in order | width of the type | little-endian, zeros for null; a BOOLEAN is one byte |
//! | … of varying length | 4 | u32 LE: where its bytes end, counted from the start of the tail |
//! | tail | | the bytes of the columns of varying length: STRING and BINARY as they are, all others in Arrow's row format |
//!
//! The first three make up the *fixed part*, which has the same length in every row of a schema.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBufferBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::ByteArrayType;
use arrow_array::{Array, ArrayRef, BooleanArray, GenericByteArray, make_array, new_null_array};
use arrow_buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, FieldRef, Fields};

use crate::error::{Error, Result};

/// Packs value columns into rows and back. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ValueCodec {
    fields: Fields,
    columns: Arc<[Column]>,
    fixed_bytes: usize,
}

#[derive(Debug)]
struct Column {
    kind: Kind,
    /// Where its part begins in the fixed part.
    offset: usize,
    /// Where the end of the column before it in the tail is found in the fixed part.
    tail_start: Option<usize>,
}

#[derive(Debug)]
enum Kind {
    Boolean,
    Fixed { width: usize },
    Utf8,
    Binary,
    Row { converter: RowConverter, null: Vec<u8> },
}

/// Packed rows, one after the other.
#[derive(Debug)]
pub(crate) struct PackedRows {
    bytes: Vec<u8>,
    ends: Ends,
}

#[derive(Debug)]
enum Ends {
    Every(usize),
    At(Vec<usize>),
}

impl PackedRows {
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        match &self.ends {
            Ends::Every(stride) => &self.bytes[row * stride..(row + 1) * stride],
            Ends::At(ends) => &self.bytes[if row == 0 { 0 } else { ends[row - 1] }..ends[row]],
        }
    }

    #[cfg(test)]
    pub(crate) fn of(rows: &[Vec<u8>]) -> Self {
        let end = |end: &mut usize, row: &Vec<u8>| {
            *end += row.len();
            Some(*end)
        };
        Self { bytes: rows.concat(), ends: Ends::At(rows.iter().scan(0, end).collect()) }
    }
}

impl ValueCodec {
    pub(crate) fn new(fields: &Fields) -> Result<Self> {
        let mut offset = fields.len().div_ceil(8);
        let mut tail_start = None;
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            let kind = Kind::of(field)?;
            let (width, is_varying) = kind.width();
            columns.push(Column { kind, offset, tail_start });
            if is_varying {
                tail_start = Some(offset);
            }
            offset += width;
        }
        Ok(Self { fields: fields.clone(), columns: columns.into(), fixed_bytes: offset })
    }

    /// The length of the fixed part.
    pub(crate) fn fixed_bytes(&self) -> usize {
        self.fixed_bytes
    }

    /// Whether rows are nothing but their fixed part.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.columns.iter().any(|column| column.kind.width().1)
    }

    /// The widths of the fixed part's fields, validity first.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let validity = self.fields.len().div_ceil(8);
        std::iter::once(validity).chain(self.columns.iter().map(|column| column.kind.width().0)).collect()
    }

    /// Packs `rows` rows of these columns.
    pub(crate) fn pack(&self, columns: &[ArrayRef], rows: usize) -> Result<PackedRows> {
        self.check(columns, rows)?;
        let encoded = self.encode_rows(columns)?;
        let tails: Vec<Option<&dyn Tail>> = self.columns.iter().zip(columns).zip(&encoded).map(tail_of).collect();
        let ends = if self.is_fixed() { Ends::Every(self.fixed_bytes) } else { self.ends(&tails, rows) };
        let bytes = match &ends {
            Ends::Every(stride) => stride * rows,
            Ends::At(ends) => ends.last().copied().unwrap_or(0),
        };
        let mut packed = PackedRows { bytes: vec![0; bytes], ends };
        let mut tail_bytes = vec![0_u32; if self.is_fixed() { 0 } else { rows }];
        packed.set_all_valid(columns);
        for (index, (column, array)) in self.columns.iter().zip(columns).enumerate() {
            if array.null_count() > 0 {
                packed.clear_validity(index, array);
            }
            match (&column.kind, tails[index]) {
                (Kind::Boolean, _) => packed.set_booleans(column.offset, array.as_boolean()),
                (Kind::Fixed { width }, _) => packed.set_fixed(column.offset, *width, array),
                (_, Some(tail)) => packed.set_tail(column.offset, self.fixed_bytes, tail, &mut tail_bytes),
                (_, None) => return Err(Error::internal("a column of varying length has no bytes")),
            }
        }
        Ok(packed)
    }

    /// The columns of these rows; null where there is no row.
    pub(crate) fn unpack(&self, rows: &[Option<&[u8]>]) -> Result<Vec<ArrayRef>> {
        if let Some(short) = rows.iter().flatten().find(|row| row.len() < self.fixed_bytes) {
            let message =
                format!("a value of {} bytes is shorter than its fixed part of {}", short.len(), self.fixed_bytes);
            return Err(Error::internal(message));
        }
        let any_missing = rows.iter().any(Option::is_none);
        self.columns
            .iter()
            .zip(&self.fields)
            .enumerate()
            .map(|(index, (column, field))| {
                let nulls = (any_missing || field.is_nullable()).then(|| validity(rows, index));
                let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
                self.unpack_column(column, field, rows, nulls)
            })
            .collect()
    }

    fn unpack_column(
        &self,
        column: &Column,
        field: &FieldRef,
        rows: &[Option<&[u8]>],
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let offset = column.offset;
        match &column.kind {
            Kind::Boolean => {
                let value = |row: usize| rows[row].is_some_and(|row| row[offset] != 0);
                Ok(Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(rows.len(), value), nulls)))
            }
            Kind::Fixed { width } => {
                let buffer = gather(rows, offset, *width);
                let data =
                    ArrayData::builder(field.data_type().clone()).len(rows.len()).add_buffer(buffer).nulls(nulls);
                Ok(make_array(data.build()?))
            }
            Kind::Utf8 | Kind::Binary => {
                let (ends, bytes) = self.gather_tails(column, rows)?;
                let data = ArrayData::builder(field.data_type().clone())
                    .len(rows.len())
                    .add_buffer(Buffer::from_vec(ends))
                    .add_buffer(Buffer::from_vec(bytes))
                    .nulls(nulls);
                Ok(make_array(data.build()?))
            }
            Kind::Row { converter, null } => {
                let mut builder = BinaryBuilder::with_capacity(rows.len(), 0);
                for row in rows {
                    match row {
                        Some(row) => builder.append_value(self.tail(column, row)?),
                        None => builder.append_value(null),
                    }
                }
                let rows = converter.from_binary(builder.finish());
                let mut columns = converter.convert_rows(rows.iter())?;
                columns.pop().ok_or_else(|| Error::internal("a row converter lost its column"))
            }
        }
    }

    /// The column's bytes in a row's tail.
    fn tail<'a>(&self, column: &Column, row: &'a [u8]) -> Result<&'a [u8]> {
        let end_at = |offset: usize| {
            row[offset..].first_chunk::<4>().map_or(usize::MAX, |bytes| u32::from_le_bytes(*bytes) as usize)
        };
        let (start, end) = (column.tail_start.map_or(0, end_at), end_at(column.offset));
        row[self.fixed_bytes..]
            .get(start..end)
            .ok_or_else(|| Error::internal(format!("a value's tail has no bytes {start}..{end}")))
    }

    fn gather_tails(&self, column: &Column, rows: &[Option<&[u8]>]) -> Result<(Vec<i32>, Vec<u8>)> {
        let (mut ends, mut bytes) = (Vec::with_capacity(rows.len() + 1), Vec::new());
        ends.push(0);
        for row in rows {
            if let Some(row) = row {
                bytes.extend_from_slice(self.tail(column, row)?);
            }
            let end = i32::try_from(bytes.len())
                .map_err(|_| Error::invalid("the values of one batch exceed 2 GiB; ask for fewer keys at a time"))?;
            ends.push(end);
        }
        Ok((ends, bytes))
    }

    fn check(&self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if columns.len() != self.fields.len() {
            let message = format!("a value of {} columns was given {}", self.fields.len(), columns.len());
            return Err(Error::internal(message));
        }
        for (field, column) in self.fields.iter().zip(columns) {
            let name = field.name();
            if !field.data_type().equals_datatype(column.data_type()) {
                let (expected, found) = (field.data_type(), column.data_type());
                return Err(Error::internal(format!("value column '{name}' is {expected}, but was given {found}")));
            }
            if column.len() != rows {
                let message = format!("value column '{name}' has {} rows for {rows} keys", column.len());
                return Err(Error::internal(message));
            }
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(Error::invalid(format!("value column '{name}' must not be null, but is")));
            }
        }
        Ok(())
    }

    fn encode_rows(&self, columns: &[ArrayRef]) -> Result<Vec<Option<arrow_row::Rows>>> {
        let encode = |(column, array): (&Column, &ArrayRef)| match &column.kind {
            Kind::Row { converter, .. } => Ok(Some(converter.convert_columns(&[Arc::clone(array)])?)),
            _ => Ok(None),
        };
        self.columns.iter().zip(columns).map(encode).collect()
    }

    fn ends(&self, tails: &[Option<&dyn Tail>], rows: usize) -> Ends {
        let mut lengths = vec![self.fixed_bytes; rows];
        for tail in tails.iter().flatten() {
            tail.add_lengths(&mut lengths);
        }
        let mut end = 0;
        for length in &mut lengths {
            end += *length;
            *length = end;
        }
        Ends::At(lengths)
    }
}

impl Kind {
    fn of(field: &Field) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Utf8 => Self::Utf8,
            DataType::Binary => Self::Binary,
            DataType::FixedSizeBinary(width) => Self::Fixed { width: usize::try_from(*width).unwrap_or(0) },
            other => match other.primitive_width() {
                Some(width) => Self::Fixed { width },
                None => {
                    let sort_fields = vec![SortField::new(other.clone())];
                    if has_dictionary(other) || !RowConverter::supports_fields(&sort_fields) {
                        let message = format!("column '{}' of type {other} cannot be state", field.name());
                        return Err(Error::unsupported(message));
                    }
                    let converter = RowConverter::new(sort_fields)?;
                    let null = converter.convert_columns(&[new_null_array(other, 1)])?.row(0).data().to_vec();
                    Self::Row { converter, null }
                }
            },
        })
    }

    /// Its bytes in the fixed part, and whether it has some in the tail.
    fn width(&self) -> (usize, bool) {
        match self {
            Self::Boolean => (1, false),
            Self::Fixed { width } => (*width, false),
            Self::Utf8 | Self::Binary | Self::Row { .. } => (4, true),
        }
    }
}

impl PackedRows {
    fn start(&self, row: usize) -> usize {
        match &self.ends {
            Ends::Every(stride) => row * stride,
            Ends::At(_) if row == 0 => 0,
            Ends::At(ends) => ends[row - 1],
        }
    }

    /// Sets the bits of all columns in each row.
    fn set_all_valid(&mut self, columns: &[ArrayRef]) {
        let mut bits = vec![u8::MAX; columns.len().div_ceil(8)];
        if let (Some(last), used @ 1..) = (bits.last_mut(), columns.len() % 8) {
            *last = (1 << used) - 1;
        }
        match &self.ends {
            // So many calls of `memcpy` would cost more than all else.
            Ends::Every(stride) if *stride > 0 && bits.len() == 1 => {
                self.bytes.iter_mut().step_by(*stride).for_each(|first| *first = bits[0]);
            }
            Ends::Every(stride) if *stride > 0 => {
                self.bytes.chunks_exact_mut(*stride).for_each(|row| row[..bits.len()].copy_from_slice(&bits));
            }
            Ends::Every(_) => {}
            Ends::At(ends) => {
                for row in 0..ends.len() {
                    let start = if row == 0 { 0 } else { ends[row - 1] };
                    self.bytes[start..start + bits.len()].copy_from_slice(&bits);
                }
            }
        }
    }

    /// Clears the bit of a column where it is null.
    fn clear_validity(&mut self, column: usize, array: &ArrayRef) {
        let (byte, bit) = (column / 8, 1 << (column % 8));
        for row in (0..array.len()).filter(|row| array.is_null(*row)) {
            let start = self.start(row);
            self.bytes[start + byte] &= !bit;
        }
    }

    fn set_booleans(&mut self, offset: usize, array: &BooleanArray) {
        for row in 0..array.len() {
            let start = self.start(row);
            self.bytes[start + offset] = u8::from(array.is_valid(row) && array.value(row));
        }
    }

    fn set_fixed(&mut self, offset: usize, width: usize, array: &ArrayRef) {
        let data = array.to_data();
        let values = &data.buffers()[0].as_slice()[data.offset() * width..];
        match (width, &self.ends) {
            (8, Ends::Every(stride)) if array.null_count() == 0 => {
                let mut at = offset;
                for value in values.as_chunks::<8>().0 {
                    if let Some(to) = self.bytes.get_mut(at..at + 8).and_then(<[u8]>::first_chunk_mut) {
                        *to = *value;
                    }
                    at += stride;
                }
            }
            _ => {
                for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
                    let start = self.start(row) + offset;
                    self.bytes[start..start + width].copy_from_slice(&values[row * width..(row + 1) * width]);
                }
            }
        }
    }

    fn set_tail(&mut self, offset: usize, fixed_bytes: usize, tail: &dyn Tail, tail_bytes: &mut [u32]) {
        for (row, end) in tail_bytes.iter_mut().enumerate() {
            let (start, bytes) = (self.start(row), tail.bytes(row));
            let at = start + fixed_bytes + *end as usize;
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            *end += bytes.len() as u32;
            self.bytes[start + offset..start + offset + 4].copy_from_slice(&end.to_le_bytes());
        }
    }
}

/// The bytes of a column of varying length.
trait Tail {
    fn bytes(&self, row: usize) -> &[u8];
    fn add_lengths(&self, lengths: &mut [usize]);
}

impl<T: ByteArrayType> Tail for GenericByteArray<T> {
    fn bytes(&self, row: usize) -> &[u8] {
        if self.is_valid(row) { self.value(row).as_ref() } else { &[] }
    }

    fn add_lengths(&self, lengths: &mut [usize]) {
        for (row, length) in lengths.iter_mut().enumerate() {
            *length += Tail::bytes(self, row).len();
        }
    }
}

impl Tail for arrow_row::Rows {
    fn bytes(&self, row: usize) -> &[u8] {
        self.row(row).data()
    }

    fn add_lengths(&self, lengths: &mut [usize]) {
        for (length, row_length) in lengths.iter_mut().zip(self.lengths()) {
            *length += row_length;
        }
    }
}

fn tail_of<'a>(
    ((column, array), rows): ((&Column, &'a ArrayRef), &'a Option<arrow_row::Rows>),
) -> Option<&'a dyn Tail> {
    match (&column.kind, rows) {
        (Kind::Utf8, _) => Some(array.as_string::<i32>()),
        (Kind::Binary, _) => Some(array.as_binary::<i32>()),
        (_, Some(rows)) => Some(rows),
        _ => None,
    }
}

fn has_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_dictionary(field.data_type())),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            has_dictionary(field.data_type())
        }
        DataType::Map(field, _) => has_dictionary(field.data_type()),
        _ => false,
    }
}

fn validity(rows: &[Option<&[u8]>], column: usize) -> NullBuffer {
    let (byte, bit) = (column / 8, column % 8);
    let mut bits = BooleanBufferBuilder::new(rows.len());
    for row in rows {
        bits.append(row.is_some_and(|row| row[byte] >> bit & 1 == 1));
    }
    NullBuffer::new(bits.finish())
}

/// The `width` bytes at `offset` of each row, side by side.
fn gather(rows: &[Option<&[u8]>], offset: usize, width: usize) -> Buffer {
    let mut buffer = MutableBuffer::from_len_zeroed(rows.len() * width);
    let target = buffer.as_slice_mut();
    match width {
        1 => gather_width::<1>(rows, offset, target),
        2 => gather_width::<2>(rows, offset, target),
        4 => gather_width::<4>(rows, offset, target),
        8 => gather_width::<8>(rows, offset, target),
        16 => gather_width::<16>(rows, offset, target),
        _ => {
            for (target, row) in target.chunks_exact_mut(width.max(1)).zip(rows) {
                if let Some(row) = row {
                    target.copy_from_slice(&row[offset..offset + width]);
                }
            }
        }
    }
    buffer.into()
}

fn gather_width<const WIDTH: usize>(rows: &[Option<&[u8]>], offset: usize, target: &mut [u8]) {
    for (target, row) in target.as_chunks_mut::<WIDTH>().0.iter_mut().zip(rows) {
        if let Some(row) = row
            && let Some(value) = row[offset..].first_chunk::<WIDTH>()
        {
            *target = *value;
        }
    }
}
