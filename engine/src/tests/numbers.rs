//! A source of the numbers 0, 1, 2 … up to how many there are now, and a sink that keeps what it is given.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use serde_json::json;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::sink::{BatchRows, Delivery, Sink};
use crate::source::{Offset, ReadLimit, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split};

/// How many numbers there are, by the source's option `name`.
static AVAILABLE: LazyLock<Mutex<HashMap<String, Arc<AtomicI64>>>> = LazyLock::new(Mutex::default);

pub(super) fn available(name: &str) -> Arc<AtomicI64> {
    Arc::clone(AVAILABLE.lock().expect("a lock").entry(name.to_string()).or_default())
}

pub(super) fn numbers_spec() -> SourceSpec {
    let schema = Arc::new(Schema::new(vec![
        Field::new("value", DataType::Int64, true),
        Field::new("half", DataType::Int64, true),
    ]));
    SourceSpec { connector: "numbers".into(), options: Options::new(), schema }
}

pub(super) fn split(from: i64, to: i64) -> Split {
    Split { descriptor: json!([from, to]), size_bytes: 0 }
}

#[derive(Debug)]
pub(super) struct NumbersProvider(pub(super) &'static str);

#[async_trait]
impl SourceProvider for NumbersProvider {
    fn name(&self) -> &'static str {
        "numbers"
    }

    async fn schema(&self, _: Option<SchemaRef>, _: &Options, _: bool, _: &Options) -> Result<SchemaRef> {
        Ok(numbers_spec().schema)
    }

    async fn open(&self, _: &SourceSpec, _: SourceContext) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Numbers { available: available(self.0), now: Mutex::new(None) }))
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        let [from, to]: [i64; 2] =
            serde_json::from_value(request.split.descriptor).map_err(|e| Error::internal(e.to_string()))?;
        if from < 0 {
            return Err(Error::invalid("there are no numbers below zero"));
        }
        let columns = [Int64Array::from_iter_values(from..to), Int64Array::from_iter_values((from..to).map(|n| n / 2))];
        let all = RecordBatch::try_new(Arc::clone(&spec.schema), columns.map(|c| Arc::new(c) as _).to_vec());
        let batch = all.and_then(|all| all.project(&request.projection)).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch)]))))
    }
}

#[derive(Debug)]
struct Numbers {
    available: Arc<AtomicI64>,
    now: Mutex<Option<i64>>,
}

#[async_trait]
impl Source for Numbers {
    fn description(&self) -> String {
        "Numbers".into()
    }

    fn read_limit(&self) -> ReadLimit {
        ReadLimit::MaxRows(10)
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        Ok(Some(Offset::new(json!(0))))
    }

    async fn latest(&self, from: Option<&Offset>, limit: &ReadLimit) -> Result<Option<Offset>> {
        let now = self.now.lock().expect("a lock").unwrap_or_else(|| self.available.load(Ordering::SeqCst));
        let from: i64 = from.map_or(Ok(0), |from| from.decode("numbers"))?;
        let to = match limit {
            ReadLimit::MaxRows(rows) => now.min(from + *rows as i64),
            _ => now,
        };
        Ok((to > 0).then(|| Offset::new(json!(to))))
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let (from, to): (i64, i64) = (from.map_or(Ok(0), |from| from.decode("numbers"))?, to.decode("numbers")?);
        let middle = (from + to) / 2;
        Ok(vec![split(from, middle), split(middle, to)])
    }

    async fn prepare_available_now(&self) -> Result<bool> {
        *self.now.lock().expect("a lock") = Some(self.available.load(Ordering::SeqCst));
        Ok(true)
    }
}

/// Keeps the rows of each batch; a batch that comes again replaces itself. Fails for the batches it is told to.
#[derive(Debug, Default)]
pub(super) struct Keep {
    pub(super) batches: Mutex<BTreeMap<u64, Vec<RecordBatch>>>,
    pub(super) fails_at: Mutex<Option<u64>>,
}

impl Keep {
    pub(super) fn by_batch(&self) -> Vec<(u64, Vec<i64>)> {
        let batches = self.batches.lock().expect("a lock");
        batches.iter().map(|(id, rows)| (*id, super::numbers_in(rows))).collect()
    }

    pub(super) fn all(&self) -> Vec<i64> {
        let mut all: Vec<i64> = self.by_batch().into_iter().flat_map(|(_, numbers)| numbers).collect();
        all.sort_unstable();
        all
    }
}

#[async_trait]
impl Sink for Keep {
    fn description(&self) -> String {
        "Keep".into()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Rows
    }

    async fn accept(&self, batch: BatchRows) -> Result<()> {
        if *self.fails_at.lock().expect("a lock") == Some(batch.batch_id) {
            return Err(Error::unavailable("the sink is out of reach"));
        }
        self.batches.lock().expect("a lock").insert(batch.batch_id, batch.into_rows());
        Ok(())
    }
}
