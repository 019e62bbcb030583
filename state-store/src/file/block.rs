//! A block: some KiB of rows in key order, column by column, so that they compress.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 1 | flags | bit 0: the body is LZ4; bit 1: some rows are removals |
//! | 4 | rows | u32 |
//! | 4 | body length | u32, uncompressed |
//! | | body | |
//!
//! The body: the keys (side by side when all keys of the schema have one length; else the u32 end of each, then the
//! bytes) · with bit 1, a bitmap of the removed rows · for each field of the values' fixed part, its bytes of all rows ·
//! for values with a tail, the u32 end of each tail, then the tails. Removed rows have zeros for a fixed part and no tail.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::error::{Error, Result};
use crate::key::KeyEncoder;
use crate::schema::StoreSchema;
use crate::value::ValueCodec;

const FLAG_LZ4: u8 = 1;
const FLAG_REMOVALS: u8 = 2;
const BLOCK_HEADER_BYTES: usize = 9;

/// How the rows of a schema lie in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockLayout {
    key_bytes: Option<usize>,
    widths: Arc<[usize]>,
    fixed_bytes: usize,
    has_tail: bool,
}

impl BlockLayout {
    pub(crate) fn of(keys: &KeyEncoder, values: &ValueCodec) -> Self {
        Self {
            key_bytes: keys.fixed_key_bytes(),
            widths: values.widths().into(),
            fixed_bytes: values.fixed_bytes(),
            has_tail: !values.is_fixed(),
        }
    }

    /// The layout of a schema of which only the text is known is that of its first columns.
    pub(crate) fn of_schema(schema: &StoreSchema) -> Result<Self> {
        Ok(Self::of(&KeyEncoder::new(schema.key().clone())?, &ValueCodec::new(schema.value())?))
    }
}

/// Collects the rows of one block.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    layout: BlockLayout,
    rows: usize,
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    removed: Vec<u8>,
    removals: usize,
    fixed: Vec<u8>,
    tails: Vec<u8>,
    tail_ends: Vec<u32>,
    first_key: Vec<u8>,
    compressor: Compressor,
}

impl BlockBuilder {
    pub(crate) fn new(layout: BlockLayout) -> Self {
        Self {
            layout,
            rows: 0,
            keys: Vec::new(),
            key_ends: Vec::new(),
            removed: Vec::new(),
            removals: 0,
            fixed: Vec::new(),
            tails: Vec::new(),
            tail_ends: Vec::new(),
            first_key: Vec::new(),
            compressor: Compressor::default(),
        }
    }

    /// Adds a row, or with no value a removal.
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        if self.rows == 0 {
            self.first_key.clear();
            self.first_key.extend_from_slice(key);
        }
        self.keys.extend_from_slice(key);
        if self.layout.key_bytes.is_none() {
            self.key_ends.push(self.keys.len() as u32);
        }
        if self.rows.is_multiple_of(8) {
            self.removed.push(0);
        }
        match value {
            Some(value) => {
                let (fixed, tail) = value.split_at(self.layout.fixed_bytes.min(value.len()));
                self.fixed.extend_from_slice(fixed);
                self.tails.extend_from_slice(tail);
            }
            None => {
                self.fixed.resize(self.fixed.len() + self.layout.fixed_bytes, 0);
                self.removed[self.rows / 8] |= 1 << (self.rows % 8);
                self.removals += 1;
            }
        }
        if self.layout.has_tail {
            self.tail_ends.push(self.tails.len() as u32);
        }
        self.rows += 1;
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes collected so far.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.len() + self.fixed.len() + self.tails.len() + 4 * (self.key_ends.len() + self.tail_ends.len())
    }

    pub(crate) fn first_key(&self) -> &[u8] {
        &self.first_key
    }

    /// Appends the block to `out` and starts the next one.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let body = self.body();
        let compressed = self.compressor.compress(&body);
        let flags = u8::from(compressed.is_some()) * FLAG_LZ4 + u8::from(self.removals > 0) * FLAG_REMOVALS;
        out.push(flags);
        out.extend_from_slice(&(self.rows as u32).to_le_bytes());
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(compressed.unwrap_or(&body));
        self.clear();
    }

    /// The block as a reader has it, and starts the next one.
    fn finish_in_memory(&mut self) -> Result<Block> {
        let body = self.body();
        let block = Block::new(&self.layout, self.rows, self.removals > 0, body.into(), "memory");
        self.clear();
        block
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.bytes() + self.removed.len());
        put_ends(&mut body, &self.key_ends);
        body.extend_from_slice(&self.keys);
        if self.removals > 0 {
            body.extend_from_slice(&self.removed);
        }
        let mut offset = 0;
        for width in self.layout.widths.iter().copied().filter(|width| *width > 0) {
            for row in self.fixed.chunks_exact(self.layout.fixed_bytes) {
                match row[offset..].first_chunk::<8>() {
                    Some(eight) if width == 8 => body.extend_from_slice(eight),
                    _ => body.extend_from_slice(&row[offset..offset + width]),
                }
            }
            offset += width;
        }
        put_ends(&mut body, &self.tail_ends);
        body.extend_from_slice(&self.tails);
        body
    }

    fn clear(&mut self) {
        (self.rows, self.removals) = (0, 0);
        for bytes in [&mut self.keys, &mut self.removed, &mut self.fixed, &mut self.tails] {
            bytes.clear();
        }
        self.key_ends.clear();
        self.tail_ends.clear();
    }
}

fn put_ends(body: &mut Vec<u8>, ends: &[u32]) {
    ends.iter().for_each(|end| body.extend_from_slice(&end.to_le_bytes()));
}

/// What compression needs, kept from block to block.
#[derive(Default)]
struct Compressor {
    table: CompressTable,
    output: Vec<u8>,
}

impl Compressor {
    /// `None` for what hardly shrinks: it would cost more to decompress than its bytes cost to read.
    fn compress(&mut self, body: &[u8]) -> Option<&[u8]> {
        self.output.resize(get_maximum_output_size(body.len()).max(self.output.len()), 0);
        let bytes = compress_into_with_table(body, &mut self.output, &mut self.table).ok()?;
        (bytes < body.len() - body.len() / 8).then(|| &self.output[..bytes])
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// A block that has been read and whose lengths all add up.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    layout: BlockLayout,
    rows: usize,
    body: Bytes,
    /// Where the parts begin in the body; `keys` is behind the ends.
    keys: usize,
    removed: Option<usize>,
    fixed: usize,
    /// The tails' ends, and the tails.
    tails: Option<(usize, usize)>,
}

impl Block {
    /// Decodes the bytes of a block whose checksum was right.
    pub(crate) fn decode(layout: &BlockLayout, bytes: &Bytes, path: &str) -> Result<Self> {
        let damaged = || Error::corrupt(path, "a block does not have the lengths it names");
        let (header, body) = bytes.split_at_checked(BLOCK_HEADER_BYTES).ok_or_else(damaged)?;
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (flags, rows, body_bytes) = (header[0], number(1), number(5));
        let body = if flags & FLAG_LZ4 == 0 {
            bytes.slice(BLOCK_HEADER_BYTES..)
        } else {
            lz4_flex::block::decompress(body, body_bytes)
                .map_err(|source| Error::corrupt(path, "a block cannot be decompressed").because(source))?
                .into()
        };
        if body.len() != body_bytes {
            return Err(damaged());
        }
        Self::new(layout, rows, flags & FLAG_REMOVALS != 0, body, path)
    }

    fn new(layout: &BlockLayout, rows: usize, has_removals: bool, body: Bytes, path: &str) -> Result<Self> {
        let damaged = || Error::corrupt(path, "a block does not have the lengths it names");
        let end_at = |at: usize| match body.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            Some(bytes) => Ok(u32::from_le_bytes(*bytes) as usize),
            None => Err(damaged()),
        };
        let (keys, key_bytes) = match layout.key_bytes {
            Some(bytes) => (0, bytes * rows),
            None if rows == 0 => (0, 0),
            None => (rows * 4, end_at(rows * 4 - 4)?),
        };
        let mut at = keys + key_bytes;
        let removed = has_removals.then_some(at);
        at += if has_removals { rows.div_ceil(8) } else { 0 };
        let fixed = at;
        at += rows * layout.fixed_bytes;
        let tails = (layout.has_tail && rows > 0).then_some((at, at + rows * 4));
        if let Some((ends, start)) = tails {
            at = start + end_at(ends + rows * 4 - 4)?;
        }
        if at != body.len() {
            return Err(damaged());
        }
        Ok(Self { layout: layout.clone(), rows, body, keys, removed, fixed, tails })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + size_of::<Self>()
    }

    #[inline]
    pub(crate) fn key(&self, row: usize) -> &[u8] {
        match self.layout.key_bytes {
            Some(bytes) => &self.body[row * bytes..(row + 1) * bytes],
            None => {
                let start = if row == 0 { 0 } else { self.number(row * 4 - 4) };
                &self.body[self.keys + start..self.keys + self.number(row * 4)]
            }
        }
    }

    pub(crate) fn is_removed(&self, row: usize) -> bool {
        self.removed.is_some_and(|at| self.body[at + row / 8] >> (row % 8) & 1 == 1)
    }

    /// Appends the value of a row that is no removal.
    pub(crate) fn append_value(&self, row: usize, out: &mut Vec<u8>) {
        let mut at = self.fixed;
        for width in self.layout.widths.iter().copied() {
            let start = at + row * width;
            match self.body[start..].first_chunk::<8>() {
                Some(eight) if width == 8 => out.extend_from_slice(eight),
                _ => out.extend_from_slice(&self.body[start..start + width]),
            }
            at += self.rows * width;
        }
        if let Some((ends, tails)) = self.tails {
            let start = if row == 0 { 0 } else { self.number(ends + row * 4 - 4) };
            out.extend_from_slice(&self.body[tails + start..tails + self.number(ends + row * 4)]);
        }
    }

    /// The row of a key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        let row = self.first_at_or_after(key);
        (row < self.rows && self.key(row) == key).then_some(row)
    }

    /// The first row whose key is not before `key`.
    pub(crate) fn first_at_or_after(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = (low + high) / 2;
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn number(&self, at: usize) -> usize {
        self.body[at..].first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
    }
}

/// Turns blocks of an older schema into the current one: the added columns are null.
#[derive(Debug)]
pub(crate) struct Upgrade {
    from: ValueCodec,
    to: ValueCodec,
    added: Vec<arrow_schema::FieldRef>,
    layout: BlockLayout,
}

impl Upgrade {
    /// From a schema with the first `stored_columns` value columns of `schema`.
    pub(crate) fn new(schema: &StoreSchema, stored_columns: usize) -> Result<(Self, BlockLayout)> {
        let (stored, added) = schema.value().split_at(stored_columns);
        let old = StoreSchema::new(schema.key().clone(), stored.to_vec());
        let upgrade = Self {
            from: ValueCodec::new(old.value())?,
            to: ValueCodec::new(schema.value())?,
            added: added.to_vec(),
            layout: BlockLayout::of_schema(schema)?,
        };
        Ok((upgrade, BlockLayout::of_schema(&old)?))
    }

    pub(crate) fn apply(&self, block: &Block) -> Result<Block> {
        let (mut values, mut ends) = (Vec::new(), vec![0]);
        for row in 0..block.rows() {
            block.append_value(row, &mut values);
            ends.push(values.len());
        }
        let rows: Vec<Option<&[u8]>> =
            (0..block.rows()).map(|row| (!block.is_removed(row)).then(|| &values[ends[row]..ends[row + 1]])).collect();
        // A removed row has no values, not even where null is not allowed; any row serves in its place.
        let filler = rows.iter().flatten().next().copied();
        let filled: Vec<Option<&[u8]>> = rows.iter().map(|row| row.or(filler)).collect();
        let mut builder = BlockBuilder::new(self.layout.clone());
        if filler.is_none() {
            (0..block.rows()).for_each(|row| builder.push(block.key(row), None));
            return builder.finish_in_memory();
        }
        let mut columns = self.from.unpack(&filled)?;
        let null = |field: &arrow_schema::FieldRef| arrow_array::new_null_array(field.data_type(), block.rows());
        columns.extend(self.added.iter().map(null));
        let packed = self.to.pack(&columns, block.rows())?;
        for (row, value) in rows.iter().enumerate() {
            builder.push(block.key(row), value.map(|_| packed.row(row)));
        }
        builder.finish_in_memory()
    }
}
