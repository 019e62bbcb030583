//! Rows of a stream against the rows of a table.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter;
use datafusion_common::Result;
use millstream_state::{KeyEncoder, Keys};

use super::kept::TableSide;
use crate::error::Error;
use crate::joining::{JoinSideOf, OutputColumns, PAIRS_AT_A_TIME, PairCondition, take_pairs};

/// What becomes of the stream's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamRows {
    /// Each once for each match.
    Matched,
    /// As `Matched`, and those without a match with nulls.
    All,
    /// Each that has a match, once.
    WithMatch,
    /// Each that has none.
    WithoutMatch,
    /// As `WithoutMatch`, in the sense of `NOT IN`: where a null is involved nobody knows.
    SurelyWithoutMatch,
    /// Each once, and whether it has a match.
    Marked,
}

/// How a stream is joined with a table; nothing of a batch.
#[derive(Debug)]
pub(crate) struct Prober {
    pub(crate) stream_side: JoinSideOf,
    pub(crate) rows: StreamRows,
    pub(crate) keys: Vec<usize>,
    pub(crate) encoder: Option<KeyEncoder>,
    pub(crate) null_equals_null: bool,
    pub(crate) condition: Option<PairCondition>,
    pub(crate) output: OutputColumns,
}

/// Pairs of rows of one batch of the stream, and which of its rows they are about.
struct Pairs {
    stream_rows: Range<usize>,
    stream: UInt32Array,
    table: UInt32Array,
}

/// The joined rows of one batch of the stream, some at a time.
pub(crate) struct Probe {
    prober: Arc<Prober>,
    table: Arc<TableSide>,
    batch: RecordBatch,
    keys: Option<Keys>,
    /// Rows with a null in their key, which have no match.
    nulls: Option<NullBuffer>,
    next_row: usize,
    /// Pairs to be gathered, and how many of them have been.
    ready: Option<(Gathered, usize)>,
}

/// What is to be gathered.
struct Gathered {
    stream: UInt32Array,
    /// `None` where no column of the table is wanted.
    table: Option<UInt32Array>,
    mark: Option<BooleanArray>,
}

impl Probe {
    pub(crate) fn new(prober: &Arc<Prober>, table: &Arc<TableSide>, batch: RecordBatch) -> Result<Self> {
        let columns: Vec<ArrayRef> = prober.keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
        let keys = prober.encoder.as_ref().map(|encoder| encoder.encode(&columns).map_err(Error::from)).transpose()?;
        let nulls = match prober.null_equals_null {
            true => None,
            false => columns
                .iter()
                .fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())),
        };
        Ok(Self { prober: Arc::clone(prober), table: Arc::clone(table), batch, keys, nulls, next_row: 0, ready: None })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((gathered, done)) = self.ready.take() {
                let count = (gathered.stream.len() - done).min(PAIRS_AT_A_TIME);
                if count > 0 {
                    let rows = self.gather(&gathered, done, count)?;
                    self.ready = Some((gathered, done + count));
                    return Ok(Some(rows));
                }
            }
            if self.next_row >= self.batch.num_rows() {
                return Ok(None);
            }
            let pairs = self.next_pairs();
            self.next_row = pairs.stream_rows.end;
            let pairs = self.fulfilled(pairs)?;
            self.ready = Some((self.wanted(pairs), 0));
        }
    }

    /// The pairs with equal keys of the next rows: of as many as make up a batch, and of one at least.
    fn next_pairs(&self) -> Pairs {
        let (mut stream, mut table) = (Vec::new(), Vec::new());
        let mut row = self.next_row;
        let once =
            self.prober.condition.is_none() && !matches!(self.prober.rows, StreamRows::Matched | StreamRows::All);
        let limit = if once { 1 } else { usize::MAX };
        let table_rows = u32::try_from(self.table.rows.num_rows()).unwrap_or(u32::MAX);
        while row < self.batch.num_rows() && stream.len() < PAIRS_AT_A_TIME {
            match (&self.keys, &self.table.index) {
                _ if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) => {}
                (Some(keys), Some(index)) => table.extend(index.rows_of(keys, row).take(limit)),
                _ => table.extend((0..table_rows).take(limit)),
            }
            stream.resize(table.len(), row as u32);
            row += 1;
        }
        Pairs { stream_rows: self.next_row..row, stream: stream.into(), table: table.into() }
    }

    fn fulfilled(&self, pairs: Pairs) -> Result<Pairs> {
        let Some(condition) = self.prober.condition.as_ref().filter(|_| !pairs.stream.is_empty()) else {
            return Ok(pairs);
        };
        let (stream, table) = ((&self.batch, &pairs.stream), (&self.table.rows, &pairs.table));
        let holds = match self.prober.stream_side {
            JoinSideOf::Left => condition.holds(stream, table)?,
            JoinSideOf::Right => condition.holds(table, stream)?,
        };
        if holds.count_set_bits() == holds.len() {
            return Ok(pairs);
        }
        let holds = BooleanArray::new(holds, None);
        let keep =
            |rows: &UInt32Array| Ok::<_, arrow::error::ArrowError>(UInt32Array::from(filter(rows, &holds)?.to_data()));
        Ok(Pairs { stream_rows: pairs.stream_rows, stream: keep(&pairs.stream)?, table: keep(&pairs.table)? })
    }

    fn wanted(&self, pairs: Pairs) -> Gathered {
        let rows = pairs.stream_rows.clone();
        let with_match = || {
            let mut matched = vec![false; rows.len()];
            pairs.stream.values().iter().for_each(|row| matched[*row as usize - rows.start] = true);
            matched
        };
        let only = |wanted: &dyn Fn(usize) -> bool| Gathered {
            stream: rows.clone().filter(|row| wanted(*row)).map(|row| row as u32).collect(),
            table: None,
            mark: None,
        };
        match self.prober.rows {
            StreamRows::Matched => Gathered { stream: pairs.stream, table: Some(pairs.table), mark: None },
            StreamRows::All => with_unmatched(&pairs),
            StreamRows::WithMatch => {
                let matched = with_match();
                only(&|row| matched[row - rows.start])
            }
            StreamRows::WithoutMatch => {
                let matched = with_match();
                only(&|row| !matched[row - rows.start])
            }
            StreamRows::SurelyWithoutMatch if self.table.rows.num_rows() == 0 => only(&|_| true),
            StreamRows::SurelyWithoutMatch if self.table.has_null_key => only(&|_| false),
            StreamRows::SurelyWithoutMatch => {
                let matched = with_match();
                let is_null = |row| self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                only(&|row| !matched[row - rows.start] && !is_null(row))
            }
            StreamRows::Marked => {
                let mark = BooleanArray::new(BooleanBuffer::from(with_match()), None);
                Gathered { mark: Some(mark), ..only(&|_| true) }
            }
        }
    }

    fn gather(&self, gathered: &Gathered, from: usize, count: usize) -> Result<RecordBatch> {
        let stream = gathered.stream.slice(from, count);
        let table = gathered.table.as_ref().map(|rows| rows.slice(from, count));
        let mark = gathered.mark.as_ref().map(|mark| mark.slice(from, count));
        let column = |side: JoinSideOf, column: usize| match side == self.prober.stream_side {
            true => take_pairs(&self.batch, column, Some(&stream), count),
            false => take_pairs(&self.table.rows, column, table.as_ref(), count),
        };
        self.prober.output.batch(count, column, mark.as_ref())
    }
}

impl Iterator for Probe {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// The pairs, and each row without one in its place, with a null.
fn with_unmatched(pairs: &Pairs) -> Gathered {
    let capacity = pairs.stream.len() + pairs.stream_rows.len();
    let (mut stream, mut table) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
    let mut at = 0;
    for row in pairs.stream_rows.clone().map(|row| row as u32) {
        let from = at;
        while pairs.stream.values().get(at) == Some(&row) {
            stream.push(row);
            table.push(Some(pairs.table.value(at)));
            at += 1;
        }
        if at == from {
            stream.push(row);
            table.push(None);
        }
    }
    Gathered { stream: stream.into(), table: Some(table.into_iter().collect()), mark: None }
}
