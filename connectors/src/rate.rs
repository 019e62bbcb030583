//! The `rate` source: so many rows a second, by the query's clock.
//!
//! Columns     `timestamp TIMESTAMP, value BIGINT`; values run from 0 without a gap
//! Offset      whole seconds since the source was first started, a plain number
//! Kept        `sources/<i>/0`: `v1`, then that first start in milliseconds, so that a restart goes on where it was
//! Limits      none; a stream that has been down for an hour gives that hour's rows in one batch
//!
//! Options: `rowsPerSecond` (1), `rampUpTime` (0 s: how long the rate grows to that), `numPartitions` (the cores).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::clock::Clock;
use millstream_engine::options::Options;
use millstream_engine::source::{
    Offset, ReadLimit, ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split,
};
use millstream_engine::state::Place;
use millstream_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::rows::{BATCH_ROWS, arrow_error, default_parallelism};

/// `USING rate`.
#[derive(Debug)]
pub(crate) struct RateProvider;

/// The columns of both rate sources.
pub(crate) fn schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![Field::new("timestamp", timestamp, true), Field::new("value", DataType::Int64, true)]))
}

/// Refuses a declared schema: this source's is fixed.
pub(crate) fn refuse_schema(given: Option<&SchemaRef>, connector: &str, columns: &str) -> Result<()> {
    match given {
        Some(_) => Err(Error::invalid(format!(
            "the {connector} source does not support a user-specified schema: its columns are always {columns}; leave the schema out"
        ))),
        None => Ok(()),
    }
}

#[async_trait]
impl SourceProvider for RateProvider {
    fn name(&self) -> &'static str {
        "rate"
    }

    async fn schema(
        &self,
        given: Option<SchemaRef>,
        options: &Options,
        _streaming: bool,
        _conf: &Options,
    ) -> Result<SchemaRef> {
        refuse_schema(given.as_ref(), "rate", "timestamp TIMESTAMP, value BIGINT")?;
        Rate::from_options(options)?;
        Ok(schema())
    }

    async fn open(&self, spec: &SourceSpec, cx: SourceContext) -> Result<Arc<dyn Source>> {
        let rate = Rate::from_options(&spec.options)?;
        let start_ms = first_start_ms(&cx.metadata, cx.clock.now_ms()).await?;
        Ok(Arc::new(RateSource { rate, start_ms, clock: cx.clock, newest_second: AtomicI64::new(0) }))
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        let piece: Piece = request.split.decode("rate")?;
        let rows = piece.rows(&Rate::from_options(&spec.options)?)?;
        request.rows(&spec.schema, rows)
    }
}

/// How fast values come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    rows_per_second: i64,
    ramp_up_seconds: i64,
    partitions: Option<u64>,
}

impl Rate {
    fn from_options(options: &Options) -> Result<Self> {
        let mut reader = options.reader("rate source");
        let rows_per_second = reader.positive("rowsPerSecond")?.unwrap_or(1);
        let rows_per_second = i64::try_from(rows_per_second).map_err(|_| {
            reader.bad_value("rowsPerSecond", &rows_per_second.to_string(), "a number that fits BIGINT")
        })?;
        let ramp_up_seconds = match reader.text("rampUpTime") {
            None => 0,
            Some(text) => seconds_of(&text).ok_or_else(|| {
                reader.bad_value("rampUpTime", &text, "a time such as '5s', '2m' or '1h', not negative")
            })?,
        };
        if ramp_up_seconds > i64::MAX / rows_per_second {
            return Err(Error::invalid(format!(
                "rate source: with rowsPerSecond {rows_per_second}, value overflows BIGINT before {ramp_up_seconds} seconds of rampUpTime have passed: lower one of them"
            )));
        }
        let partitions = reader.positive("numPartitions")?;
        reader.finish()?;
        Ok(Self { rows_per_second, ramp_up_seconds, partitions })
    }

    /// How many values there are in the first `seconds`. While it ramps up, second s brings s · delta values with
    /// delta = rate / (ramp + 1); afterwards the full rate. An overflow is an error.
    fn value_at(&self, seconds: i64) -> Result<i64> {
        let delta = self.rows_per_second / (self.ramp_up_seconds.saturating_add(1));
        let ramped = seconds.min(self.ramp_up_seconds);
        // Of two neighbours one is even: dividing that one first is exact and overflows later.
        let triangle = match ramped % 2 {
            1 => ((ramped + 1) / 2).checked_mul(ramped),
            _ => (ramped / 2).checked_mul(ramped + 1),
        };
        let steady = (seconds - ramped).checked_mul(self.rows_per_second);
        triangle
            .and_then(|t| t.checked_mul(delta))
            .zip(steady)
            .and_then(|(ramp, steady)| ramp.checked_add(steady))
            .ok_or_else(|| {
                Error::invalid(format!(
                    "rate source: value overflows BIGINT {seconds} seconds after the start at rowsPerSecond {}: use a lower rate",
                    self.rows_per_second
                ))
            })
    }
}

/// Seconds of a time such as `5`, `5s`, `2m`, `100ms` (rounded down); `None` where it is none or negative.
fn seconds_of(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..digits].parse().ok()?;
    match text[digits..].trim() {
        "us" => Some(number / 1_000_000),
        "ms" => Some(number / 1000),
        "" | "s" => Some(number),
        "m" | "min" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "d" => number.checked_mul(86_400),
        _ => None,
    }
}

/// When the source was first started: what its folder says, or now, which is then written there.
async fn first_start_ms(metadata: &Place, now_ms: i64) -> Result<i64> {
    let Some(bytes) = metadata.read("0").await? else {
        metadata.create("0", format!("v1\n{now_ms}").into()).await?;
        return Ok(now_ms);
    };
    let text = String::from_utf8_lossy(&bytes);
    let start_ms = text.trim_start_matches('\0').strip_prefix("v1\n").and_then(|ms| ms.trim().parse().ok());
    start_ms.ok_or_else(|| {
        Error::corrupt(format!(
            "{} is damaged: expected v1 and a start time in milliseconds, found '{text}'; restore the checkpoint from a copy",
            metadata.url_of("0")
        ))
    })
}

#[derive(Debug)]
struct RateSource {
    rate: Rate,
    start_ms: i64,
    clock: Arc<dyn Clock>,
    /// The last second handed out: the clock may go back, offsets may not.
    newest_second: AtomicI64,
}

#[async_trait]
impl Source for RateSource {
    fn description(&self) -> String {
        let partitions = self.rate.partitions.map_or_else(|| "default".to_string(), |n| n.to_string());
        // Spark's own text lacks the closing bracket.
        format!(
            "RateStreamV2[rowsPerSecond={}, rampUpTimeSeconds={}, numPartitions={partitions}",
            self.rate.rows_per_second, self.rate.ramp_up_seconds
        )
    }

    async fn initial(&self) -> Result<Option<Offset>> {
        Ok(Some(Offset::new(0.into())))
    }

    async fn latest(&self, from: Option<&Offset>, _limit: &ReadLimit) -> Result<Option<Offset>> {
        let from: i64 = from.map_or(Ok(0), |offset| offset.decode("rate"))?;
        let now = (self.clock.now_ms().saturating_sub(self.start_ms) / 1000).max(from);
        let newest = self.newest_second.fetch_max(now, Ordering::Relaxed).max(now);
        Ok(Some(Offset::new(newest.into())))
    }

    async fn splits(&self, from: Option<&Offset>, to: &Offset) -> Result<Vec<Split>> {
        let from_second: i64 = from.map_or(Ok(0), |offset| offset.decode("rate"))?;
        let to_second: i64 = to.decode("rate")?;
        let values = self.rate.value_at(to_second)? - self.rate.value_at(from_second)?;
        let of = self.rate.partitions.unwrap_or(default_parallelism() as u64).min(u64::try_from(values).unwrap_or(0));
        (0..of)
            .map(|index| {
                let piece = Piece { start_ms: self.start_ms, from_second, to_second, index, of };
                Split::new(&piece, u64::try_from(values).unwrap_or(0) * 16 / of)
            })
            .collect()
    }
}

/// Every `of`th value of some seconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    start_ms: i64,
    from_second: i64,
    to_second: i64,
    index: u64,
    of: u64,
}

impl Piece {
    /// The rows: values spread evenly over the seconds, rounded to a millisecond as Spark rounds them.
    fn rows(self, rate: &Rate) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + 'static> {
        let first = rate.value_at(self.from_second)?;
        let end = rate.value_at(self.to_second)?;
        let from_ms = self.start_ms + self.from_second * 1000;
        let ms_per_value = ((self.to_second - self.from_second) * 1000) as f64 / (end - first) as f64;
        let (index, of) = (self.index as i64, self.of.max(1) as i64);
        let mut at = first + index;
        Ok(std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let values: Vec<i64> = (at..end).step_by(of as usize).take(BATCH_ROWS).collect();
            at += of * values.len() as i64;
            let times = values.iter().map(|value| {
                let relative_ms = ((value - first) as f64 * ms_per_value + 0.5).floor() as i64;
                (from_ms + relative_ms) * 1000
            });
            let times: TimestampMicrosecondArray = times.collect::<Vec<i64>>().into();
            let columns = vec![Arc::new(times.with_timezone("UTC")) as _, Arc::new(Int64Array::from(values)) as _];
            Some(RecordBatch::try_new(schema(), columns).map_err(arrow_error))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_as_fast_as_sparks() {
        // Answers of Spark's RateStreamProvider.valueAtSecond for seconds 0 to 14.
        let cases: [(i64, i64, [i64; 15]); 6] = [
            (10, 0, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140]),
            (10, 4, [0, 2, 6, 12, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]),
            (10, 5, [0, 1, 3, 6, 10, 15, 25, 35, 45, 55, 65, 75, 85, 95, 105]),
            (1, 4, [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            (3, 10, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 6, 9, 12]),
            (100, 7, [0, 12, 36, 72, 120, 180, 252, 336, 436, 536, 636, 736, 836, 936, 1036]),
        ];
        for (rows_per_second, ramp_up_seconds, expected) in cases {
            let rate = Rate { rows_per_second, ramp_up_seconds, partitions: None };
            let values: Vec<i64> = (0..15).map(|s| rate.value_at(s).expect("no overflow")).collect();
            assert_eq!(values, expected, "{rate:?}");
        }
    }

    #[test]
    fn an_overflow_is_an_error_not_a_wrong_value() {
        let rate = Rate { rows_per_second: i64::MAX / 2, ramp_up_seconds: 0, partitions: None };
        assert!(rate.value_at(2).is_ok());
        assert!(rate.value_at(3).is_err());
    }

    #[test]
    fn times_are_read_as_spark_reads_them() {
        for (text, expected) in [
            ("5", Some(5)),
            ("5s", Some(5)),
            ("2m", Some(120)),
            ("1h", Some(3600)),
            ("1500ms", Some(1)),
            ("-5s", None),
            ("x", None),
        ] {
            assert_eq!(seconds_of(text), expected, "{text}");
        }
    }
}
