//! Rows in key order from several layers, where newer ones hide older ones.

use crate::error::Result;
use crate::file::reader::SegmentCursor;
use crate::key_range::KeyRange;
use crate::resident::Lease;
use crate::table::Table;

/// Rows of one layer in key order.
#[derive(Debug)]
pub(crate) enum Cursor<'a> {
    Table(TableCursor<'a>),
    Resident(ResidentCursor),
    Segment(Box<SegmentCursor>),
}

/// Rows of a table, of which some may be removals.
#[derive(Debug)]
pub(crate) struct TableCursor<'a> {
    table: &'a Table,
    slots: Vec<u32>,
    at: usize,
    /// Per slot, whether it is a removal.
    removed: Option<&'a [bool]>,
}

/// Rows of a store in memory, copied some at a time.
#[derive(Debug)]
pub(crate) struct ResidentCursor {
    lease: Lease,
    /// Of all rows of the range, in key order.
    slots: Vec<u32>,
    /// The first of those that are not copied yet.
    next: usize,
    /// Keys and values of the rows that were copied last, and where each key and each value ends.
    rows: Vec<u8>,
    ends: Vec<(usize, usize)>,
    at: usize,
}

/// Rows that such a cursor copies at a time.
const COPIED_ROWS: usize = 512;

impl ResidentCursor {
    pub(crate) fn new(lease: &Lease, range: &KeyRange) -> Result<Self> {
        let slots = lease.range(range)?;
        let (rows, ends) = (Vec::new(), Vec::new());
        let mut cursor = Self { lease: lease.clone(), slots, next: 0, rows, ends, at: 0 };
        cursor.copy_next()?;
        Ok(cursor)
    }

    fn copy_next(&mut self) -> Result<()> {
        let Self { lease, slots, next, rows, ends, at } = self;
        let end = (*next + COPIED_ROWS).min(slots.len());
        rows.clear();
        ends.clear();
        lease.read(&slots[*next..end], |key, value| {
            rows.extend_from_slice(key);
            let key_end = rows.len();
            rows.extend_from_slice(value);
            ends.push((key_end, rows.len()));
            Ok(())
        })?;
        (*next, *at) = (end, 0);
        Ok(())
    }

    fn key(&self) -> Option<&[u8]> {
        let (end, _) = *self.ends.get(self.at)?;
        let start = self.at.checked_sub(1).map_or(0, |before| self.ends[before].1);
        Some(&self.rows[start..end])
    }

    fn value(&self) -> Option<&[u8]> {
        let (start, end) = *self.ends.get(self.at)?;
        Some(&self.rows[start..end])
    }

    fn advance(&mut self) -> Result<()> {
        self.at += 1;
        if self.at == self.ends.len() { self.copy_next() } else { Ok(()) }
    }
}

impl<'a> Cursor<'a> {
    /// These slots of the table, which are in key order.
    pub(crate) fn of_table(table: &'a Table, slots: Vec<u32>, removed: Option<&'a [bool]>) -> Self {
        Self::Table(TableCursor { table, slots, at: 0, removed })
    }

    #[inline]
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Table(cursor) => Some(cursor.table.key(*cursor.slots.get(cursor.at)?)),
            Self::Resident(cursor) => cursor.key(),
            Self::Segment(cursor) => cursor.key(),
        }
    }

    #[inline]
    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Table(cursor) => {
                let slot = *cursor.slots.get(cursor.at)?;
                let is_removed = cursor.removed.is_some_and(|removed| removed[slot as usize]);
                (!is_removed).then(|| cursor.table.value(slot))
            }
            Self::Resident(cursor) => cursor.value(),
            Self::Segment(cursor) => cursor.value(),
        }
    }

    fn advance(&mut self) -> Result<()> {
        match self {
            Self::Table(cursor) => {
                cursor.at += 1;
                Ok(())
            }
            Self::Resident(cursor) => cursor.advance(),
            Self::Segment(cursor) => cursor.advance(),
        }
    }
}

/// The union of cursors, newest first: of rows with one key the newest counts.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    /// Cursors that stand at the current key, the newest first.
    at_key: Vec<usize>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(cursors: Vec<Cursor<'a>>) -> Self {
        Self { cursors, at_key: Vec::new() }
    }

    /// Goes to the next key; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        for cursor in &self.at_key {
            self.cursors[*cursor].advance()?;
        }
        self.at_key.clear();
        let mut lowest: Option<&[u8]> = None;
        for (index, cursor) in self.cursors.iter().enumerate() {
            let Some(key) = cursor.key() else { continue };
            match lowest.map_or(std::cmp::Ordering::Less, |lowest| key.cmp(lowest)) {
                std::cmp::Ordering::Less => {
                    lowest = Some(key);
                    self.at_key.clear();
                    self.at_key.push(index);
                }
                std::cmp::Ordering::Equal => self.at_key.push(index),
                std::cmp::Ordering::Greater => {}
            }
        }
        Ok(!self.at_key.is_empty())
    }

    /// Goes to the next key that was not removed; false at the end.
    pub(crate) fn advance_to_row(&mut self) -> Result<bool> {
        while self.advance()? {
            if self.value().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The current key; empty before the first and behind the last.
    pub(crate) fn key(&self) -> &[u8] {
        self.at_key.first().and_then(|cursor| self.cursors[*cursor].key()).unwrap_or_default()
    }

    /// The current value; `None` for a removal.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.at_key.first().and_then(|cursor| self.cursors[*cursor].value())
    }
}
