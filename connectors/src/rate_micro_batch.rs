//! The `rate-micro-batch` source: batch N has the same rows every time, whatever the clock says.
//!
//! Columns     `timestamp TIMESTAMP, value BIGINT`
//! Offset      `{"offset":<values so far>,"timestamp":<ms of the next batch>}`
//! Batch       `rowsPerBatch` values with one timestamp; the next batch's is `advanceMillisPerBatch` later
//!
//! Options: `rowsPerBatch` (required), `numPartitions` (the cores), `startTimestamp` (0 ms), `advanceMillisPerBatch` (1000).

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::options::Options;
use millstream_engine::source::{
    Offset, ReadLimit, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split,
};
use millstream_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::rate::{refuse_schema, schema};
use crate::rows::{BATCH_ROWS, arrow_error, default_parallelism};

/// `USING rate-micro-batch`.
#[derive(Debug)]
pub(crate) struct RateMicroBatchProvider;

#[async_trait]
impl SourceProvider for RateMicroBatchProvider {
    fn name(&self) -> &'static str {
        "rate-micro-batch"
    }

    async fn schema(
        &self,
        given: Option<SchemaRef>,
        options: &Options,
        _streaming: bool,
        _conf: &Options,
    ) -> Result<SchemaRef> {
        refuse_schema(given.as_ref(), "rate-micro-batch", "timestamp TIMESTAMP, value BIGINT")?;
        Pace::from_options(options)?;
        Ok(schema())
    }

    async fn open(&self, spec: &SourceSpec, _cx: SourceContext) -> Result<Arc<dyn Source>> {
        let pace = Pace::from_options(&spec.options)?;
        Ok(Arc::new(RateMicroBatchSource { pace, available_now: Mutex::new(AvailableNow::Off) }))
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        let piece: Piece = request.split.decode("rate-micro-batch")?;
        request.rows(&spec.schema, piece.rows(Pace::from_options(&spec.options)?))
    }
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    rows_per_batch: i64,
    partitions: u64,
    start_ms: i64,
    advance_ms: i64,
}

impl Pace {
    fn from_options(options: &Options) -> Result<Self> {
        let mut reader = options.reader("rate-micro-batch source");
        reader.required("rowsPerBatch", "how many rows a batch has")?;
        let rows = reader.positive("rowsPerBatch")?.unwrap_or(1);
        let rows_per_batch = i64::try_from(rows)
            .map_err(|_| reader.bad_value("rowsPerBatch", &rows.to_string(), "a number that fits BIGINT"))?;
        let partitions = reader.positive("numPartitions")?.unwrap_or(default_parallelism() as u64);
        let start_ms = not_negative(&mut reader, "startTimestamp", 0)?;
        let advance_ms = not_negative(&mut reader, "advanceMillisPerBatch", 1000)?;
        reader.finish()?;
        Ok(Self { rows_per_batch, partitions, start_ms, advance_ms })
    }

    fn after(&self, position: Position) -> Result<Position> {
        let offset = position.offset.checked_add(self.rows_per_batch);
        let timestamp = position.timestamp.checked_add(self.advance_ms);
        match (offset, timestamp) {
            (Some(offset), Some(timestamp)) => Ok(Position { offset, timestamp }),
            _ => Err(Error::invalid(format!(
                "rate-micro-batch source: value or timestamp overflows BIGINT after value {}",
                position.offset
            ))),
        }
    }
}

fn not_negative(reader: &mut millstream_engine::options::OptionReader<'_>, name: &str, default: i64) -> Result<i64> {
    let expected = "milliseconds, 0 or more";
    let value = reader.parsed(name, default, expected)?;
    if value < 0 {
        return Err(reader.bad_value(name, &value.to_string(), expected));
    }
    Ok(value)
}

/// An offset: how many values there have been, and the time of the next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    offset: i64,
    timestamp: i64,
}

#[derive(Debug)]
struct RateMicroBatchSource {
    pace: Pace,
    available_now: Mutex<AvailableNow>,
}

/// "Available now" is exactly one batch, counted from the first offset that is asked for.
#[derive(Clone, Copy, Debug)]
enum AvailableNow {
    Off,
    Prepared,
    EndsAt(Position),
}

impl RateMicroBatchSource {
    fn position(&self, offset: Option<&Offset>) -> Result<Position> {
        let Some(offset) = offset else { return Ok(Position { offset: 0, timestamp: self.pace.start_ms }) };
        let position: Position = offset.decode("rate-micro-batch")?;
        if position.timestamp < self.pace.start_ms {
            return Err(Error::invalid(format!(
                "rate-micro-batch source: the checkpoint is at timestamp {} ms, option 'startTimestamp' is {}: set it to at most the former",
                position.timestamp, self.pace.start_ms
            )));
        }
        Ok(position)
    }
}

#[async_trait]
impl Source for RateMicroBatchSource {
    fn description(&self) -> String {
        format!(
            "RatePerMicroBatchStream[rowsPerBatch={}, numPartitions={}, startTimestamp={}, advanceMsPerBatch={}]",
            self.pace.rows_per_batch, self.pace.partitions, self.pace.start_ms, self.pace.advance_ms
        )
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        encode(Position { offset: 0, timestamp: self.pace.start_ms }).map(Some)
    }

    async fn latest(&self, from: Option<&Offset>, _limit: &ReadLimit) -> Result<Option<Offset>> {
        let next = self.pace.after(self.position(from)?)?;
        let mut available_now = self.available_now.lock().unwrap_or_else(PoisonError::into_inner);
        let end = match *available_now {
            AvailableNow::Off => next,
            AvailableNow::EndsAt(end) => end,
            AvailableNow::Prepared => {
                *available_now = AvailableNow::EndsAt(next);
                next
            }
        };
        encode(end).map(Some)
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let from = self.position(from)?;
        let to = self.position(Some(to))?;
        let values = u64::try_from(to.offset - from.offset).unwrap_or(0);
        let of = self.pace.partitions.min(values);
        (0..of).map(|index| Split::new(&Piece { from, to: to.offset, index, of }, values * 16 / of)).collect()
    }

    async fn prepare_available_now(&self) -> Result<bool> {
        *self.available_now.lock().unwrap_or_else(PoisonError::into_inner) = AvailableNow::Prepared;
        Ok(true)
    }
}

fn encode(position: Position) -> Result<Offset> {
    serde_json::to_value(position).map(Offset::new).map_err(|e| Error::internal(e.to_string()))
}

/// Every `of`th value of a range.
#[derive(Debug, Serialize, Deserialize)]
struct Piece {
    from: Position,
    to: i64,
    index: u64,
    of: u64,
}

impl Piece {
    fn rows(self, pace: Pace) -> impl Iterator<Item = Result<RecordBatch>> + Send + 'static {
        let step = self.of.max(1) as i64;
        let mut at = self.from.offset + self.index as i64;
        std::iter::from_fn(move || {
            if at >= self.to {
                return None;
            }
            let values: Vec<i64> = (at..self.to).step_by(step as usize).take(BATCH_ROWS).collect();
            at += step * values.len() as i64;
            let times = values.iter().map(|value| {
                let batches = (value - self.from.offset) / pace.rows_per_batch;
                (self.from.timestamp + batches * pace.advance_ms) * 1000
            });
            let times: TimestampMicrosecondArray = times.collect::<Vec<i64>>().into();
            let columns = vec![Arc::new(times.with_timezone("UTC")) as _, Arc::new(Int64Array::from(values)) as _];
            Some(RecordBatch::try_new(schema(), columns).map_err(arrow_error))
        })
    }
}
