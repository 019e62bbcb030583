//! `foreach`: every row to a writer of the user's, with Spark's open, process, close.

use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use millstream_engine::sink::{BatchRows, Delivery, Sink};
use millstream_engine::{Error, Result};

/// One row: a view into a batch. A [`ForeachWriter`] is given rows; those of a frame that has been collected are
/// [`Row::all`].
///
/// ```
/// use millstream_sql::{Row, StreamSessionBuilder};
///
/// # #[tokio::main]
/// # async fn main() -> millstream_engine::Result<()> {
/// let session = StreamSessionBuilder::new().build().await?;
/// let batches = session.sql("SELECT * FROM VALUES ('home', 2, 0.5), ('cart', NULL, 1.5) AS t(page, n, s)").await?;
/// let batches = batches.collect().await?;
/// let mut rows = Vec::new();
/// for row in Row::all(&batches) {
///     rows.push((row.get_as::<String>("page")?, row.get_as::<Option<i64>>("n")?));
/// }
/// assert_eq!(rows, [("home".to_string(), Some(2)), ("cart".to_string(), None)]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    batch: &'a RecordBatch,
    index: usize,
}

impl<'a> Row<'a> {
    /// The rows of `batches`, one after the other.
    pub fn all(batches: &'a [RecordBatch]) -> impl Iterator<Item = Row<'a>> {
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |index| Row { batch, index }))
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.batch.num_columns()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the column at `position`, from 0.
    ///
    /// # Errors
    /// `Invalid` where there is no such column.
    pub fn get(&self, position: usize) -> Result<ScalarValue> {
        match position < self.len() {
            true => Ok(ScalarValue::try_from_array(self.batch.column(position), self.index)?),
            false => Err(Error::invalid(format!("a row of {} columns has no column {position}", self.len()))),
        }
    }

    /// The value of the column called `name`, in any case, as a Rust type: an integer, a float, `bool`, `String` or, for
    /// whatever there is, [`ScalarValue`]. As an `Option` of it where the value may be null.
    ///
    /// # Errors
    /// `Invalid` where there is no such column, its value does not fit `T`, or it is null and `T` is no `Option`.
    pub fn get_as<T: FromCell>(&self, name: &str) -> Result<T> {
        let position = self.batch.schema_ref().fields().iter().position(|f| f.name().eq_ignore_ascii_case(name));
        let Some(position) = position else {
            let names: Vec<&str> = self.batch.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
            return Err(Error::invalid(format!("a row has no column '{name}'; it has {}", names.join(", "))));
        };
        let value = self.get(position)?;
        T::from_cell(&value).ok_or_else(|| {
            let found = if value.is_null() { "null".to_string() } else { format!("{value:?}") };
            Error::invalid(format!("column '{name}' is {found}, which is no {}", std::any::type_name::<T>()))
        })
    }
}

/// A Rust type that a value of a [`Row`] can be taken as.
pub trait FromCell: Sized {
    /// `value` as this type; `None` where it does not fit.
    fn from_cell(value: &ScalarValue) -> Option<Self>;
}

impl FromCell for ScalarValue {
    fn from_cell(value: &ScalarValue) -> Option<Self> {
        Some(value.clone())
    }
}

impl FromCell for String {
    fn from_cell(value: &ScalarValue) -> Option<Self> {
        value.try_as_str().flatten().map(str::to_string)
    }
}

impl FromCell for i64 {
    fn from_cell(value: &ScalarValue) -> Option<Self> {
        match value {
            ScalarValue::Int8(value) => value.map(Self::from),
            ScalarValue::Int16(value) => value.map(Self::from),
            ScalarValue::Int32(value) => value.map(Self::from),
            ScalarValue::Int64(value) => *value,
            _ => None,
        }
    }
}

impl FromCell for i32 {
    fn from_cell(value: &ScalarValue) -> Option<Self> {
        i64::from_cell(value).and_then(|value| Self::try_from(value).ok())
    }
}

impl FromCell for f64 {
    fn from_cell(value: &ScalarValue) -> Option<Self> {
        match value {
            ScalarValue::Float32(value) => value.map(Self::from),
            ScalarValue::Float64(value) => *value,
            _ => None,
        }
    }
}

impl FromCell for bool {
    fn from_cell(value: &ScalarValue) -> Option<Self> {
        match value {
            ScalarValue::Boolean(value) => *value,
            _ => None,
        }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(value: &ScalarValue) -> Option<Self> {
        match value.is_null() {
            true => Some(None),
            false => T::from_cell(value).map(Some),
        }
    }
}

/// Writes the rows of one partition of one batch somewhere.
///
/// A new clone of the writer is made for every partition that has rows in a batch (for partition 0 where none has); it is
/// opened, given the rows if it wants them, and closed, with the error where there was one. After a crash a batch comes
/// again, possibly cut into other partitions: partition and epoch do not tell whether rows have been written before.
pub trait ForeachWriter: Send + Sync {
    /// Rows of partition `partition_id` of batch `epoch_id` are about to come. `Ok(false)` where they are not wanted:
    /// [`process`](Self::process) is then not called, [`close`](Self::close) is.
    ///
    /// # Errors
    /// What stops the query; [`close`](Self::close) is then not called.
    fn open(&mut self, partition_id: u64, epoch_id: u64) -> Result<bool>;

    /// Takes a row.
    ///
    /// # Errors
    /// What stops the query.
    fn process(&mut self, row: Row<'_>) -> Result<()>;

    /// The end of this partition of this batch. `error` is what went wrong, if something did.
    ///
    /// # Errors
    /// What stops the query.
    fn close(&mut self, error: Option<&Error>) -> Result<()>;
}

/// The sink that gives rows to a writer.
pub(crate) struct ForeachSink<W>(W);

impl<W: ForeachWriter + Clone> ForeachSink<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self(writer)
    }

    fn write(&self, batch: &BatchRows) -> Result<()> {
        let has_rows = |rows: &Vec<RecordBatch>| rows.iter().any(|batch| batch.num_rows() > 0);
        let with_rows = (0u64..).zip(&batch.partitions).filter(|(_, rows)| has_rows(rows));
        let mut none = true;
        for (partition_id, rows) in with_rows {
            none = false;
            self.write_partition(partition_id, batch.batch_id, rows)?;
        }
        // A batch without rows is told once.
        if none { self.write_partition(0, batch.batch_id, &[]) } else { Ok(()) }
    }

    fn write_partition(&self, partition_id: u64, epoch_id: u64, rows: &[RecordBatch]) -> Result<()> {
        let mut writer = self.0.clone();
        if !writer.open(partition_id, epoch_id)? {
            return writer.close(None);
        }
        let outcome = process_all(&mut writer, rows);
        writer.close(outcome.as_ref().err())?;
        outcome
    }
}

fn process_all<W: ForeachWriter>(writer: &mut W, rows: &[RecordBatch]) -> Result<()> {
    Row::all(rows).try_for_each(|row| writer.process(row))
}

impl<W> fmt::Debug for ForeachSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeachSink")
    }
}

#[async_trait]
impl<W: ForeachWriter + Clone + 'static> Sink for ForeachSink<W> {
    fn description(&self) -> String {
        "ForeachWriterTable".to_string()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Rows
    }

    async fn accept(&self, batch: BatchRows) -> Result<()> {
        // A writer may block on whatever it writes to: other queries go on meanwhile, where there are threads for them.
        match tokio::runtime::Handle::current().runtime_flavor() {
            tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(|| self.write(&batch)),
            _ => self.write(&batch),
        }
    }
}
