//! Inputs, made once: the same seed gives the same bytes. Files are stamped one second apart, so that every engine lists
//! them in the same order.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::Result;
use crate::engines::Setup;
use crate::workloads::{Input, Workload};

/// Event time of the first row, in microseconds since the epoch.
const FIRST_EVENT_US: i64 = 1_700_000_000_000_000;
const USERS: f64 = 1_000_000.0;
/// The skew of users: a Zipf distribution with this exponent.
const ZIPF_EXPONENT: f64 = 1.2;

/// The folder with the input of `workload`, made if it is not there yet. `scale` multiplies the rows of each file, or the
/// messages.
pub(crate) fn input(workload: &Workload, setup: &Setup, scale: f64) -> Result<PathBuf> {
    let folder = setup.folder.as_path();
    let scaled = |rows: usize| ((rows as f64 * scale) as usize).max(1);
    let (kind, files, rows) = match workload.input {
        Input::Kafka { messages } => return crate::kafka::input(setup.kafka.as_deref(), folder, scaled(messages)),
        Input::Nothing => return Ok(folder.to_path_buf()),
        Input::Clicks { files, rows } => ("parquet", files, scaled(rows)),
        Input::ClicksJson { files, rows } => ("json", files, scaled(rows)),
    };
    let made = folder.join(format!("input/clicks-{kind}-{files}x{rows}"));
    if made.join("_complete").exists() {
        return Ok(made);
    }
    fs::create_dir_all(&made)?;
    let bar = indicatif::ProgressBar::new(files as u64).with_message("making input");
    let mut random = Random::new(11);
    for file in 0..files {
        let path = made.join(format!("part-{file:05}.{kind}"));
        let clicks = clicks(&mut random, file, rows)?;
        match kind {
            "parquet" => write_parquet(&path, &clicks)?,
            _ => write_json(&path, &clicks)?,
        }
        let stamp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + file as u64);
        File::options().append(true).open(&path)?.set_modified(stamp)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    fs::write(made.join("_complete"), "")?;
    Ok(made)
}

/// `rows` click events of file number `file`: a thousand a second of event time, one in fifty up to 15 minutes late.
fn clicks(random: &mut Random, file: usize, rows: usize) -> Result<RecordBatch> {
    let mut users = Vec::with_capacity(rows);
    let mut amounts = Vec::with_capacity(rows);
    let mut times = Vec::with_capacity(rows);
    for row in 0..rows {
        users.push(random.zipf());
        amounts.push((random.unit() * 50_000.0).round() / 100.0);
        let base = FIRST_EVENT_US + ((file * rows + row) * 1000) as i64;
        let most = if random.unit() < 0.02 { 900_000_000.0 } else { 5_000_000.0 };
        times.push(base - (random.unit() * most) as i64);
    }
    let pages: StringArray = users.iter().map(|user| Some(format!("/p/{}", user % 500))).collect();
    let sessions: Int64Array = users.iter().map(|user| user * 7 % 3_000_017).collect();
    let schema = Schema::new(vec![
        Field::new("user_id", DataType::Int64, true),
        Field::new("page", DataType::Utf8, true),
        Field::new("session", DataType::Int64, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]);
    Ok(RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from(users)),
            Arc::new(pages),
            Arc::new(sessions),
            Arc::new(Float64Array::from(amounts)),
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        ],
    )?)
}

fn write_parquet(path: &Path, rows: &RecordBatch) -> Result<()> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(())
}

fn write_json(path: &Path, rows: &RecordBatch) -> Result<()> {
    let texts: Vec<StringArray> = rows
        .columns()
        .iter()
        .map(|column| Ok(StringArray::from(arrow::compute::cast(column, &DataType::Utf8)?.to_data())))
        .collect::<Result<_>>()?;
    let mut file = BufWriter::new(File::create(path)?);
    for row in 0..rows.num_rows() {
        writeln!(
            file,
            r#"{{"user_id":{},"page":"{}","session":{},"amount":{},"ts":"{}"}}"#,
            texts[0].value(row),
            texts[1].value(row),
            texts[2].value(row),
            texts[3].value(row),
            texts[4].value(row)
        )?;
    }
    file.flush()?;
    Ok(())
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Zipf by rejection (Devroye 1986, X.6.1), folded into the users there are.
    fn zipf(&mut self) -> i64 {
        let b = 2f64.powf(ZIPF_EXPONENT - 1.0);
        loop {
            let (u, v) = (1.0 - self.unit(), self.unit());
            let x = u.powf(-1.0 / (ZIPF_EXPONENT - 1.0)).floor();
            let t = (1.0 + 1.0 / x).powf(ZIPF_EXPONENT - 1.0);
            if x < 9e15 && v * x * (t - 1.0) / (b - 1.0) <= t / b {
                return (x % USERS) as i64;
            }
        }
    }
}
