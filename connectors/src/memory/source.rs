//! The `memory` source: rows pushed by this process.
//!
//! Offset      how many pushes there have been, less one; a plain number, as Spark's MemoryStream has it
//! Kept        in the process, until a batch that read them is committed
//! Plan        holds the stream's id only; the rows are found through a registry of this process

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use arrow::array::{Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_common::ScalarValue;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::options::Options;
use millstream_engine::source::{
    Offset, ReadLimit, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split,
};
use millstream_engine::{Error, Result};
use tokio::sync::watch;
use uuid::Uuid;

use crate::rows::{BATCH_ROWS, arrow_error};

/// A stream whose rows are pushed by this process. Clones push into the same stream; it lives as long as one of them.
#[derive(Clone, Debug)]
pub struct MemoryStream(Arc<Pushed>);

#[derive(Debug)]
struct Pushed {
    id: Uuid,
    schema: SchemaRef,
    kept: Mutex<Kept>,
    newest: watch::Sender<i64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The offset of the first push that is still here.
    first: i64,
    pushes: VecDeque<RecordBatch>,
}

static STREAMS: LazyLock<Mutex<HashMap<Uuid, Weak<Pushed>>>> = LazyLock::new(Mutex::default);

impl MemoryStream {
    /// A stream of rows with the columns of `schema`, all of them nullable, and no rows yet.
    pub fn new(schema: SchemaRef) -> Self {
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let pushed = Pushed { id: Uuid::new_v4(), schema, kept: Mutex::default(), newest: watch::Sender::new(-1) };
        let pushed = Arc::new(pushed);
        let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, stream| stream.strong_count() > 0);
        streams.insert(pushed.id, Arc::downgrade(&pushed));
        drop(streams);
        Self(pushed)
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    /// What names this stream in a plan: connector, options and columns.
    pub fn spec(&self) -> SourceSpec {
        SourceSpec {
            connector: "memory".to_string(),
            options: Options::new().with("id", self.0.id.to_string()),
            schema: Arc::clone(&self.0.schema),
        }
    }

    /// Pushes the rows of `batch`, which a query sees in one batch or not at all, and gives their offset. Columns are
    /// cast to the stream's where they differ; `Invalid` where that cannot be.
    pub fn add_batch(&self, batch: &RecordBatch) -> Result<i64> {
        let wanted = &self.0.schema;
        if batch.num_columns() != wanted.fields().len() {
            return Err(Error::invalid(format!(
                "a memory stream of {} columns was given rows of {}",
                wanted.fields().len(),
                batch.num_columns()
            )));
        }
        let columns = batch.columns().iter().zip(wanted.fields()).map(|(column, field)| {
            cast(column, field.data_type()).map_err(|e| {
                Error::invalid(format!(
                    "column {} of a memory stream is {}, rows of {} were pushed: {e}",
                    field.name(),
                    field.data_type(),
                    column.data_type()
                ))
            })
        });
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(wanted), columns.collect::<Result<_>>()?, &options)
            .map_err(arrow_error)?;
        let mut kept = self.0.lock();
        kept.pushes.push_back(rows);
        let newest = kept.newest();
        self.0.newest.send_replace(newest);
        Ok(newest)
    }

    /// Pushes rows given as values, a vector of columns each, and gives their offset.
    pub fn add_rows(&self, rows: Vec<Vec<ScalarValue>>) -> Result<i64> {
        let width = self.0.schema.fields().len();
        if let Some(row) = rows.iter().find(|row| row.len() != width) {
            return Err(Error::invalid(format!("a memory stream of {width} columns was given a row of {}", row.len())));
        }
        let row_count = rows.len();
        let mut values: Vec<Vec<ScalarValue>> = (0..width).map(|_| Vec::with_capacity(row_count)).collect();
        for row in rows {
            for (column, value) in values.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let columns = values.into_iter().zip(self.0.schema.fields()).map(|(column, field)| {
            let typed = column.into_iter().map(|value| value.cast_to(field.data_type()));
            ScalarValue::iter_to_array_of(typed.collect::<datafusion_common::Result<Vec<_>>>()?, field.data_type())
        });
        let columns = columns.collect::<datafusion_common::Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(row_count));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&self.0.schema), columns, &options).map_err(arrow_error)?;
        self.add_batch(&batch)
    }

    /// The offset of the newest push; −1 before the first.
    pub fn newest(&self) -> i64 {
        *self.0.newest.borrow()
    }
}

/// An array of `values`, which may be none at all.
trait ToArray {
    fn iter_to_array_of(
        values: Vec<ScalarValue>,
        data_type: &arrow::datatypes::DataType,
    ) -> datafusion_common::Result<Arc<dyn Array>>;
}

impl ToArray for ScalarValue {
    fn iter_to_array_of(
        values: Vec<ScalarValue>,
        data_type: &arrow::datatypes::DataType,
    ) -> datafusion_common::Result<Arc<dyn Array>> {
        match values.is_empty() {
            true => Ok(arrow::array::new_empty_array(data_type)),
            false => ScalarValue::iter_to_array(values),
        }
    }
}

impl Pushed {
    fn find(options: &Options) -> Result<Arc<Self>> {
        let mut reader = options.reader("memory source");
        let id = reader.required("id", "the id of a MemoryStream of this process")?;
        reader.finish()?;
        let streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
        let found = id.parse().ok().and_then(|id: Uuid| streams.get(&id)).and_then(Weak::upgrade);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "memory source: no MemoryStream of this process has the id '{id}': its rows live in the process that made it, as long as it keeps the handle"
            ))
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn newest(&self) -> i64 {
        self.first + self.pushes.len() as i64 - 1
    }

    fn get(&self, offset: i64) -> Result<&RecordBatch> {
        let at = usize::try_from(offset - self.first).ok();
        at.and_then(|at| self.pushes.get(at)).ok_or_else(|| {
            Error::invalid(format!(
                "memory source: the rows of offset {offset} are not here (there are {} to {}): another query has committed them, or they were in an earlier process; use a new checkpoint",
                self.first,
                self.newest()
            ))
        })
    }
}

/// `USING memory`, read.
#[derive(Debug)]
pub struct MemorySourceProvider;

#[async_trait]
impl SourceProvider for MemorySourceProvider {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn schema(
        &self,
        given: Option<SchemaRef>,
        options: &Options,
        _streaming: bool,
        _conf: &Options,
    ) -> Result<SchemaRef> {
        crate::rate::refuse_schema(given.as_ref(), "memory", "those of its MemoryStream")?;
        Ok(Arc::clone(&Pushed::find(options)?.schema))
    }

    async fn open(&self, spec: &SourceSpec, _cx: SourceContext) -> Result<Arc<dyn Source>> {
        let pushed = Pushed::find(&spec.options)?;
        Ok(Arc::new(MemorySource { pushed, seen: AtomicI64::new(-1), available_now: Mutex::new(None) }))
    }

    async fn batch_splits(&self, spec: &SourceSpec) -> Result<Vec<Split>> {
        let pushed = Pushed::find(&spec.options)?;
        let kept = pushed.lock();
        (kept.first..=kept.newest()).map(|offset| split(&kept, offset)).collect()
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        let offset: i64 = request.split.decode("memory")?;
        let rows = Pushed::find(&spec.options)?.lock().get(offset)?.clone();
        let starts = (0..rows.num_rows()).step_by(BATCH_ROWS);
        let batches = starts.map(move |start| Ok(rows.slice(start, BATCH_ROWS.min(rows.num_rows() - start))));
        request.rows(&spec.schema, batches)
    }
}

fn split(kept: &Kept, offset: i64) -> Result<Split> {
    let size_bytes = kept.get(offset)?.get_array_memory_size() as u64;
    Ok(Split { descriptor: offset.into(), size_bytes })
}

#[derive(Debug)]
struct MemorySource {
    pushed: Arc<Pushed>,
    /// The newest offset that the query knows of.
    seen: AtomicI64,
    available_now: Mutex<Option<i64>>,
}

impl MemorySource {
    /// The end of a batch after `from` under `limit`: at least one push where there is one.
    fn end(&self, from: i64, newest: i64, limit: &ReadLimit) -> Result<i64> {
        match limit {
            ReadLimit::MaxRows(max_rows) => {
                let kept = self.pushed.lock();
                let (mut rows, mut end) = (0, from);
                for offset in from + 1..=newest {
                    rows += kept.get(offset)?.num_rows() as u64;
                    if end > from && rows > *max_rows {
                        break;
                    }
                    end = offset;
                }
                Ok(end)
            }
            ReadLimit::All(limits) if !limits.contains(&ReadLimit::AllAvailable) => {
                let ends = limits.iter().map(|limit| self.end(from, newest, limit));
                Ok(ends.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or(newest))
            }
            _ => Ok(newest),
        }
    }
}

#[async_trait]
impl Source for MemorySource {
    fn description(&self) -> String {
        let columns: Vec<&str> = self.pushed.schema.fields().iter().map(|f| f.name().as_str()).collect();
        format!("MemoryStream[{}]", columns.join(","))
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        Ok(None)
    }

    async fn latest(&self, from: Option<&Offset>, limit: &ReadLimit) -> Result<Option<Offset>> {
        let from_number: i64 = from.map_or(Ok(-1), |offset| offset.decode("memory"))?;
        let available_now = *self.available_now.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = *self.pushed.newest.borrow();
        self.seen.store(newest, Ordering::Relaxed);
        let newest = available_now.unwrap_or(newest).max(from_number);
        let end = self.end(from_number, newest, limit)?;
        Ok((end >= 0).then(|| Offset::new(end.into())))
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let from: i64 = from.map_or(Ok(-1), |offset| offset.decode("memory"))?;
        let to: i64 = to.decode("memory")?;
        let kept = self.pushed.lock();
        (from + 1..=to).map(|offset| split(&kept, offset)).collect()
    }

    async fn commit(&self, offset: &Offset) -> Result<()> {
        let committed: i64 = offset.decode("memory")?;
        let mut kept = self.pushed.lock();
        while kept.first <= committed && !kept.pushes.is_empty() {
            kept.pushes.pop_front();
            kept.first += 1;
        }
        Ok(())
    }

    async fn prepare_available_now(&self) -> Result<bool> {
        *self.available_now.lock().unwrap_or_else(PoisonError::into_inner) = Some(*self.pushed.newest.borrow());
        Ok(true)
    }

    async fn newest(&self) -> Option<Offset> {
        let newest = *self.pushed.newest.borrow();
        (newest >= 0).then(|| Offset::new(newest.into()))
    }

    async fn changed(&self) {
        let seen = self.seen.load(Ordering::Relaxed);
        // The sender lives in `pushed`, so it is never gone.
        let _ = self.pushed.newest.subscribe().wait_for(|newest| *newest > seen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn values_become_rows_and_are_found_by_id() -> Result<()> {
        let stream = MemoryStream::new(Arc::new(Schema::new(vec![
            Field::new("k", DataType::Utf8, false),
            Field::new("v", DataType::Int64, true),
        ])));
        assert_eq!(stream.newest(), -1);
        let first = stream
            .add_rows(vec![vec!["a".into(), ScalarValue::Int32(Some(1))], vec!["b".into(), ScalarValue::Null]])?;
        let second = stream.add_rows(Vec::new())?;
        assert_eq!((first, second, stream.newest()), (0, 1, 1));
        let found = Pushed::find(&stream.spec().options)?;
        assert_eq!(found.lock().get(0)?.num_rows(), 2);
        assert!(stream.add_rows(vec![vec!["a".into()]]).is_err());
        assert!(found.lock().get(2).is_err());
        Ok(())
    }
}
