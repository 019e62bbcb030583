//! Inputs, made once: the same seed gives the same bytes. Files are stamped one second apart, so that every engine lists
//! them in the same order.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::Result;
use crate::engines::Setup;
use crate::workloads::{Input, USERS_PER_FILE, Workload};

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
    let name = match workload.input {
        Input::Kafka { messages } => return crate::kafka::input(setup.kafka.as_deref(), folder, scaled(messages)),
        Input::Nothing => return Ok(folder.to_path_buf()),
        Input::Clicks { files, rows } => format!("clicks-parquet-{files}x{}", scaled(rows)),
        Input::ClicksJson { files, rows } => format!("clicks-json-{files}x{}", scaled(rows)),
        Input::Users { stored, batches } => format!("users-{}-{batches}", scaled(stored)),
        Input::Ads { files, rows } => format!("ads-{files}x{}", scaled(rows)),
        Input::OneAd { stored, batches } => format!("one-ad-{}-{batches}", scaled(stored)),
        Input::Campaigns { files, rows } => format!("campaigns-{files}x{}", scaled(rows)),
    };
    let made = folder.join("input").join(name);
    if made.join("_complete").exists() {
        return Ok(made);
    }
    let mut files =
        Files { folder: made.clone(), bar: indicatif::ProgressBar::no_length().with_message("making input") };
    match workload.input {
        Input::Kafka { .. } | Input::Nothing => {}
        Input::Clicks { files: count, rows } => make_clicks(&mut files, count, scaled(rows), "parquet")?,
        Input::ClicksJson { files: count, rows } => make_clicks(&mut files, count, scaled(rows), "json")?,
        Input::Users { stored, batches } => make_users(&mut files, scaled(stored), batches)?,
        Input::Ads { files: count, rows } => make_ads(&mut files, count, scaled(rows))?,
        Input::OneAd { stored, batches } => make_one_ad(&mut files, scaled(stored), batches)?,
        Input::Campaigns { files: count, rows } => make_campaigns(&mut files, count, scaled(rows))?,
    }
    files.bar.finish_and_clear();
    fs::write(made.join("_complete"), "")?;
    Ok(made)
}

/// The files of an input as they are made.
struct Files {
    folder: PathBuf,
    bar: indicatif::ProgressBar,
}

impl Files {
    /// Writes `rows` as file `number` of the folder `within` (empty for the input's own), as `kind`, and stamps it.
    fn write(&mut self, within: &str, number: usize, kind: &str, rows: &RecordBatch) -> Result<()> {
        let folder = self.folder.join(within);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("part-{number:05}.{kind}"));
        match kind {
            "parquet" => write_parquet(&path, rows)?,
            _ => write_json(&path, rows)?,
        }
        let stamp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number as u64);
        File::options().append(true).open(&path)?.set_modified(stamp)?;
        self.bar.inc(1);
        Ok(())
    }
}

fn make_clicks(files: &mut Files, count: usize, rows: usize, kind: &str) -> Result<()> {
    let mut random = Random::new(11);
    (0..count).try_for_each(|file| {
        let users = (0..rows).map(|_| random.zipf()).collect();
        files.write("", file, kind, &clicks(&mut random, file * rows, users)?)
    })
}

/// Every user once, then small files of users among the first ten thousand; user numbers are spread over all of BIGINT.
fn make_users(files: &mut Files, stored: usize, batches: usize) -> Result<()> {
    let spread = |user: usize| (user as i64).wrapping_mul(0x2545_f491_4f6c_dd1d);
    let (mut random, mut file) = (Random::new(17), 0);
    for start in (0..stored).step_by(USERS_PER_FILE) {
        let users = (start..stored.min(start + USERS_PER_FILE)).map(spread).collect();
        files.write("", file, "parquet", &clicks(&mut random, start, users)?)?;
        file += 1;
    }
    // Another generator: the small files are the same whatever was stored before them.
    let mut random = Random::new(19);
    for batch in 0..batches {
        let users = (0..100).map(|_| spread(random.below(10_000))).collect();
        files.write("", file + batch, "parquet", &clicks(&mut random, batch * 100, users)?)?;
    }
    Ok(())
}

fn make_ads(files: &mut Files, count: usize, rows: usize) -> Result<()> {
    let mut random = Random::new(13);
    for file in 0..count {
        let ids = file * rows..(file + 1) * rows;
        let impressions = ids.clone().map(|id| (id as i64, FIRST_EVENT_US + id as i64 * 1000));
        files.write("impressions", file, "parquet", &impressions_of(impressions)?)?;
        let clicked = ids.filter_map(|id| {
            let later_us = random.below(120_000_000) as i64;
            (random.unit() < 0.3).then_some((id as i64, FIRST_EVENT_US + id as i64 * 1000 + later_us))
        });
        let clicked: Vec<(i64, i64)> = clicked.collect();
        files.write("clicks", file, "parquet", &ad_clicks_of(&clicked, &mut random)?)?;
    }
    Ok(())
}

/// Clicks at whole milliseconds from the tenth of the impressions on, so that each finds the ten impressions before it.
fn make_one_ad(files: &mut Files, stored: usize, batches: usize) -> Result<()> {
    let mut random = Random::new(23);
    let impressions = (0..stored).map(|at| (0, FIRST_EVENT_US + at as i64 * 1000));
    files.write("impressions", 0, "parquet", &impressions_of(impressions)?)?;
    for batch in 0..batches {
        let mut click = |_| (0, FIRST_EVENT_US + (10 + random.below(stored.saturating_sub(10).max(1))) as i64 * 1000);
        let clicked: Vec<(i64, i64)> = (0..10 * 10_usize.pow((batch % 4) as u32)).map(&mut click).collect();
        files.write("clicks", batch, "parquet", &ad_clicks_of(&clicked, &mut random)?)?;
    }
    Ok(())
}

fn make_campaigns(files: &mut Files, count: usize, rows: usize) -> Result<()> {
    fs::create_dir_all(&files.folder)?;
    let ads: StringArray = (0..1000).map(|ad| Some(format!("ad-{ad}"))).collect();
    let campaigns: StringArray = (0..1000).map(|ad| Some(format!("campaign-{}", ad / 10))).collect();
    write_parquet(
        &files.folder.join("campaigns.parquet"),
        &record_batch(vec![("ad_id", Arc::new(ads)), ("campaign_id", Arc::new(campaigns))])?,
    )?;
    let mut random = Random::new(7);
    for file in 0..count {
        let users: Vec<usize> = (0..rows).map(|_| random.below(100_000)).collect();
        let mut texts = |make: &mut dyn FnMut(&mut Random) -> String| -> ArrayRef {
            Arc::new((0..rows).map(|_| Some(make(&mut random))).collect::<StringArray>())
        };
        let ads = texts(&mut |random| format!("ad-{}", random.below(1000)));
        let types = texts(&mut |random| ["view", "click", "purchase"][random.below(3)].to_string());
        let banner = texts(&mut |_| "banner".to_string());
        let address = texts(&mut |_| "1.2.3.4".to_string());
        let times = (0..rows).map(|row| FIRST_EVENT_US + ((file * rows + row) / 10 * 1000) as i64);
        let events = record_batch(vec![
            ("user_id", Arc::new(users.iter().map(|user| Some(format!("u{user}"))).collect::<StringArray>())),
            ("page_id", Arc::new(users.iter().map(|user| Some(format!("p{}", user % 997))).collect::<StringArray>())),
            ("ad_id", ads),
            ("ad_type", banner),
            ("event_type", types),
            ("event_time", times_of(times)),
            ("ip_address", address),
        ])?;
        files.write("events", file, "json", &events)?;
    }
    Ok(())
}

/// A click event of each of `users`: a thousand a second of event time from event number `first` on, one in fifty up to 15
/// minutes late.
fn clicks(random: &mut Random, first: usize, users: Vec<i64>) -> Result<RecordBatch> {
    let mut amounts = Vec::with_capacity(users.len());
    let mut times = Vec::with_capacity(users.len());
    for row in 0..users.len() {
        amounts.push((random.unit() * 50_000.0).round() / 100.0);
        let most = if random.unit() < 0.02 { 900_000_000.0 } else { 5_000_000.0 };
        times.push(FIRST_EVENT_US + ((first + row) * 1000) as i64 - (random.unit() * most) as i64);
    }
    let pages: StringArray = users.iter().map(|user| Some(format!("/p/{}", user.rem_euclid(500)))).collect();
    let sessions: Int64Array = users.iter().map(|user| user.wrapping_mul(7).rem_euclid(3_000_017)).collect();
    record_batch(vec![
        ("user_id", Arc::new(Int64Array::from(users))),
        ("page", Arc::new(pages)),
        ("session", Arc::new(sessions)),
        ("amount", Arc::new(Float64Array::from(amounts))),
        ("ts", times_of(times)),
    ])
}

/// Impressions from their numbers and times.
fn impressions_of(rows: impl Iterator<Item = (i64, i64)>) -> Result<RecordBatch> {
    let (ids, times): (Vec<i64>, Vec<i64>) = rows.unzip();
    let campaigns: Int64Array = ids.iter().map(|id| id % 100).collect();
    record_batch(vec![
        ("imp_id", Arc::new(Int64Array::from(ids))),
        ("campaign", Arc::new(campaigns)),
        ("imp_ts", times_of(times)),
    ])
}

/// Clicks from the numbers of their impressions and their times.
fn ad_clicks_of(rows: &[(i64, i64)], random: &mut Random) -> Result<RecordBatch> {
    let costs: Float64Array = rows.iter().map(|_| (random.unit() * 1000.0).round() / 1000.0).collect();
    record_batch(vec![
        ("clk_id", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
        ("cost", Arc::new(costs)),
        ("clk_ts", times_of(rows.iter().map(|row| row.1))),
    ])
}

fn times_of(micros: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

fn record_batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))?)
}

fn write_parquet(path: &Path, rows: &RecordBatch) -> Result<()> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(())
}

/// One JSON object a row; texts and times in quotes. No text needs escaping.
fn write_json(path: &Path, rows: &RecordBatch) -> Result<()> {
    let schema = rows.schema();
    let texts: Vec<StringArray> = rows
        .columns()
        .iter()
        .map(|column| Ok(StringArray::from(arrow::compute::cast(column, &DataType::Utf8)?.to_data())))
        .collect::<Result<_>>()?;
    let mut file = BufWriter::new(File::create(path)?);
    for row in 0..rows.num_rows() {
        for ((field, text), at) in schema.fields().iter().zip(&texts).zip(0..) {
            let start = if at == 0 { '{' } else { ',' };
            let quote = if field.data_type().is_numeric() { "" } else { "\"" };
            write!(file, "{start}\"{}\":{quote}{}{quote}", field.name(), text.value(row))?;
        }
        writeln!(file, "}}")?;
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

    /// Uniform in 0..`end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
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
