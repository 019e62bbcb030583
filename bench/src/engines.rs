//! How each engine runs a workload. All give the same figures, so that they can stand in one table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use datafusion::prelude::{JsonReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use serde_json::Value;

use crate::Result;
use crate::kafka;
use crate::live::Live;
use crate::process::{self, Cost};
use crate::workloads::{AD_CLICKS, CAMPAIGN_EVENTS, CLICKS, IMPRESSIONS, Input, Kind, Workload};

/// The folder of all outputs, in that of inputs and outputs.
pub(crate) const OUTPUTS: &str = "outputs";

/// Where the engines are, and what they may use.
pub(crate) struct Setup {
    /// The millstream command.
    pub(crate) millstream: PathBuf,
    /// A Python with pyspark.
    pub(crate) spark: Option<PathBuf>,
    /// A Python with apache-flink.
    pub(crate) flink: Option<PathBuf>,
    /// A Kafka broker, for the workloads that read one.
    pub(crate) kafka: Option<String>,
    /// Inputs and outputs.
    pub(crate) folder: PathBuf,
    /// Cores for every engine.
    pub(crate) cores: usize,
}

/// Who runs the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The millstream command.
    Millstream,
    /// The same with a quarter of the memory that its state took at most.
    InLessMemory,
    /// One batch query over all rows, in plain DataFusion: what streaming costs is measured against it.
    DataFusion,
    /// Spark Structured Streaming.
    Spark,
    /// Flink SQL in streaming mode.
    Flink,
}

/// What one run gave.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Who ran.
    pub(crate) engine: Engine,
    /// Rows a second in all batches but the first (for one batch query: in all).
    pub(crate) rows_per_s: Option<f64>,
    /// Median and 99th percentile of the batches but the first, in milliseconds.
    pub(crate) batch_ms: Option<(f64, f64)>,
    /// Median time spent waiting for the disk in a batch, in milliseconds.
    pub(crate) fsync_ms: Option<f64>,
    /// CPU time and memory of the process that did the work.
    pub(crate) cost: Cost,
    /// The most memory that state took by its own account, in bytes.
    pub(crate) state_bytes: u64,
    /// What else there is to say.
    pub(crate) note: String,
}

impl Engine {
    /// The engines that are there and have `workload`; Millstream first.
    pub(crate) fn all(setup: &Setup, workload: &Workload) -> Vec<Self> {
        let peer = |name: &str, there: bool| there && workload.peers.contains(&name);
        let mut engines = vec![Self::Millstream];
        engines.extend((workload.kind == Kind::InLessMemory).then_some(Self::InLessMemory));
        engines.extend(workload.batch_query.map(|_| Self::DataFusion));
        engines.extend(peer("spark", setup.spark.is_some()).then_some(Self::Spark));
        engines.extend(peer("flink", setup.flink.is_some()).then_some(Self::Flink));
        engines
    }

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Millstream => "Millstream",
            Self::InLessMemory => "in a quarter of its memory",
            Self::DataFusion => "DataFusion, one batch query",
            Self::Spark => "Spark",
            Self::Flink => "Flink",
        }
    }

    /// Runs `workload` once over `input`, into a fresh output folder. `before` are the runs until now.
    pub(crate) fn run(self, setup: &Setup, workload: &Workload, input: &Path, before: &[Run]) -> Result<Run> {
        let input = fs::canonicalize(input).unwrap_or_else(|_| input.to_path_buf());
        fs::create_dir_all(&setup.folder)?;
        // A folder of its own, and none is removed before the last run: ext4 makes new files much more slowly for some time
        // after many have been removed.
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let output = fs::canonicalize(&setup.folder)?.join(OUTPUTS).join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&output)?;
        let live = match workload.kind {
            Kind::Latency { per_second } => Some(Live::start(setup.kafka.as_deref(), &output, per_second)?),
            _ => None,
        };
        let mut job = Job { setup, workload, input, output, live, limit_bytes: None };
        if job.live.is_some() {
            // Where the topics are described.
            job.input.clone_from(&job.output);
        }
        let mut run = match self {
            Self::Millstream => run_millstream(self, &job)?,
            Self::InLessMemory => {
                job.limit_bytes = Some(before.iter().map(|run| run.state_bytes).max().unwrap_or_default() / 4);
                run_millstream(self, &job)?
            }
            Self::DataFusion => {
                let mut command = pinned(setup, &std::env::current_exe()?);
                command
                    .args(["datafusion", workload.name])
                    .args([&job.input, &job.output])
                    .arg(setup.cores.to_string());
                let (text, cost) = process::run(command, |_| Ok(true))?;
                peer_run(self, &text, cost)?
            }
            Self::Spark => run_peer(self, setup.spark.as_deref(), "spark.py", &job)?,
            Self::Flink => run_peer(self, setup.flink.as_deref(), "flink.py", &job)?,
        };
        if let Some(live) = job.live {
            let measured = live.finish()?;
            run.rows_per_s = None;
            run.batch_ms = Some((measured.median_ms, measured.p99_ms));
            run.note = format!("{} rows; {}", measured.rows, run.note);
        }
        Ok(run)
    }
}

/// One run of a workload.
struct Job<'a> {
    setup: &'a Setup,
    workload: &'a Workload,
    input: PathBuf,
    output: PathBuf,
    /// The traffic that the workload measures.
    live: Option<Live>,
    /// The memory there is.
    limit_bytes: Option<u64>,
}

/// `program`, on as many cores as everyone gets.
fn pinned(setup: &Setup, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &format!("0-{}", setup.cores.max(1) - 1)]).arg(program);
    command
}

fn script(workload: &Workload, input: &Path, output: &Path) -> Result<String> {
    let is_kafka = matches!(workload.input, Input::Kafka { .. }) || matches!(workload.kind, Kind::Latency { .. });
    let kafka = is_kafka.then(|| kafka::topic(input)).transpose()?;
    let (input, out) = (input.display(), output.display());
    let sink = match workload.kind {
        Kind::FilesToParquet => format!("USING parquet OPTIONS (path '{out}/table', trigger 'availableNow', "),
        Kind::InLessMemory => "USING noop OPTIONS (trigger 'availableNow', ".to_string(),
        Kind::ManyBatches { .. } => "USING noop OPTIONS (".to_string(),
        Kind::FilesToNowhere | Kind::TopicToNowhere => {
            "USING noop OPTIONS (outputMode 'update', trigger 'availableNow', ".to_string()
        }
        Kind::FirstBatch => "USING console OPTIONS (trigger 'availableNow', ".to_string(),
        Kind::Latency { .. } => {
            let to = kafka.as_ref().ok_or("this workload needs Kafka")?;
            format!(
                "USING kafka OPTIONS ('kafka.bootstrap.servers' '{}', topic '{}', outputMode 'update', ",
                to.servers, to.output
            )
        }
    };
    let files = |table: &str, columns: &str, format: &str, within: &str| {
        format!(
            "CREATE TABLE {table} ({columns}) USING {format} OPTIONS (path '{input}{within}', maxFilesPerTrigger '1');\n"
        )
    };
    let source = match (workload.input, kafka) {
        (_, Some(topic)) => {
            let limit = match topic.messages.div_ceil(10) {
                0 => String::new(),
                most => format!(", maxOffsetsPerTrigger '{most}'"),
            };
            format!(
                "CREATE TABLE ev USING kafka OPTIONS ('kafka.bootstrap.servers' '{}', subscribe '{}', startingOffsets 'earliest'{limit});",
                topic.servers, topic.name
            )
        }
        (Input::Nothing | Input::Kafka { .. }, _) => {
            "CREATE TABLE ev USING `rate-micro-batch` OPTIONS (rowsPerBatch '1', numPartitions '1');".to_string()
        }
        (Input::Clicks { .. } | Input::Users { .. }, _) => files("ev", CLICKS, "parquet", ""),
        (Input::ClicksJson { .. }, _) => files("ev", CLICKS, "json", ""),
        (Input::Ads { .. } | Input::OneAd { .. }, _) => {
            files("impressions", IMPRESSIONS, "parquet", "/impressions")
                + &files("clicks", AD_CLICKS, "parquet", "/clicks")
        }
        (Input::Campaigns { .. }, _) => {
            files("ev", CAMPAIGN_EVENTS, "json", "/events")
                + &format!(
                    "CREATE TABLE campaigns (ad_id STRING, campaign_id STRING) USING parquet OPTIONS (path '{input}/campaigns.parquet');"
                )
        }
    };
    let query = workload.query.replace("{ev}", "STREAM ev").replace("{events}", kafka::EVENTS);
    Ok(format!(
        "SET spark.sql.session.timeZone = 'UTC';\n{source}\nCREATE STREAMING TABLE q {sink}checkpointLocation '{out}/checkpoint') AS {query};\n"
    ))
}

fn run_millstream(engine: Engine, job: &Job<'_>) -> Result<Run> {
    let Job { setup, workload, input, output, live, limit_bytes } = job;
    let (sql, progress) = (output.join("query.sql"), output.join("progress.jsonl"));
    fs::write(&sql, script(workload, input, output)?)?;
    let mut command = pinned(setup, &setup.millstream);
    command.arg("run").arg(&sql).arg("--progress").arg(&progress);
    command.arg("-c").arg(format!("spark.sql.shuffle.partitions={}", setup.cores));
    if let Some(bytes) = limit_bytes {
        command.arg("-c").arg(format!("millstream.memory.limit={bytes}"));
    }
    let started = Instant::now();
    let mut memory = Vec::new();
    let (_, cost) = process::run(command, |pid| match workload.kind {
        Kind::ManyBatches { batches } => {
            let done = fs::read(&progress).map_or(0, |bytes| bytes.iter().filter(|b| **b == b'\n').count() as u64);
            for mark in [1_000, batches] {
                if done >= mark
                    && memory.len() < usize::from(mark >= 1_000) + usize::from(mark == batches && batches > 1_000)
                {
                    memory.push((done, process::resident_bytes(pid).unwrap_or_default()));
                }
            }
            Ok(done < batches)
        }
        Kind::Latency { .. } => Ok(!live.as_ref().map_or(Ok(true), Live::is_over)?),
        _ => Ok(true),
    })?;
    let mut run = from_progress(engine, workload, &fs::read_to_string(&progress)?, cost)?;
    if run.state_bytes > 0 {
        run.note = format!("state {:.1} MiB", run.state_bytes as f64 / 1_048_576.0);
    }
    if let Some(bytes) = limit_bytes {
        run.note += &format!(", limit {:.1} MiB", *bytes as f64 / 1_048_576.0);
    }
    if matches!(workload.input, Input::OneAd { .. }) {
        run.note = by_clicks(&fs::read_to_string(&progress)?, workload)?;
    }
    if let [(_, early), .., (batches, late)] = memory[..] {
        let growth = (late as f64 / early as f64 - 1.0) * 100.0;
        run.note = format!(
            "{:.1} MiB after 1,000 batches, {:.1} MiB after {batches}: {growth:+.1} %",
            early as f64 / 1_048_576.0,
            late as f64 / 1_048_576.0
        );
    }
    if workload.kind == Kind::FirstBatch {
        run.note = format!("the whole command took {:.0} ms", started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(run)
}

/// The figures of progress events, one JSON a line: those of every batch with rows after the warm-up.
fn from_progress(engine: Engine, workload: &Workload, lines: &str, cost: Cost) -> Result<Run> {
    let events: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let warm = warm(&events, workload);
    let mut times: Vec<f64> = warm.iter().filter_map(|e| e["durationMs"]["triggerExecution"].as_f64()).collect();
    let mut fsyncs: Vec<f64> = warm.iter().filter_map(|e| Some(e["fsyncMicros"].as_f64()? / 1000.0)).collect();
    let rows: u64 = warm.iter().filter_map(|e| e["numInputRows"].as_u64()).sum();
    let seconds: f64 = times.iter().sum::<f64>() / 1000.0;
    let state_bytes = |event: &Value| -> u64 {
        let operators = event["stateOperators"].as_array().into_iter().flatten();
        operators.filter_map(|operator| operator["memoryUsedBytes"].as_u64()).sum()
    };
    Ok(Run {
        engine,
        rows_per_s: (seconds > 0.0).then(|| rows as f64 / seconds),
        batch_ms: Some((quantile(&mut times, 0.5), quantile(&mut times, 0.99))).filter(|_| !warm.is_empty()),
        fsync_ms: (!fsyncs.is_empty()).then(|| quantile(&mut fsyncs, 0.5)),
        cost,
        state_bytes: events.iter().map(state_bytes).max().unwrap_or_default(),
        note: String::new(),
    })
}

/// The events of batches with rows, but those of the warm-up.
fn warm<'a>(events: &'a [Value], workload: &Workload) -> Vec<&'a Value> {
    events.iter().filter(|e| e["numInputRows"].as_u64() > Some(0)).skip(workload.warm_up()).collect()
}

/// The median time of batches by the number of their rows.
fn by_clicks(lines: &str, workload: &Workload) -> Result<String> {
    let events: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut times: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for event in warm(&events, workload) {
        let rows = event["numInputRows"].as_u64().unwrap_or_default();
        times.entry(rows).or_default().extend(event["durationMs"]["triggerExecution"].as_f64());
    }
    let shown = times.iter_mut().map(|(rows, times)| format!("{rows} clicks {:.1} ms", quantile(times, 0.5)));
    Ok(shown.collect::<Vec<_>>().join(", "))
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get(((last as f64) * q).round() as usize).copied().unwrap_or_default()
}

fn run_peer(engine: Engine, python: Option<&Path>, peer: &str, job: &Job<'_>) -> Result<Run> {
    let python = python.ok_or_else(|| format!("no Python for {} was named", engine.name()))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer);
    let mut command = pinned(job.setup, python);
    command.arg(script).arg(job.workload.name).args([&job.input, &job.output]).arg(job.setup.cores.to_string());
    let (text, cost) = process::run(command, |_| {
        if let Some(live) = &job.live
            && live.is_over()?
        {
            // Seen by the peer, which then stops its query and prints its figures.
            fs::write(job.output.join("stop"), "")?;
        }
        Ok(true)
    })?;
    peer_run(engine, &text, cost)
}

/// Reads the one JSON line a peer prints; the JVM's own CPU time and memory stand in it.
fn peer_run(engine: Engine, text: &str, mut cost: Cost) -> Result<Run> {
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with('{'))
        .ok_or_else(|| format!("{} gave no figures", engine.name()))?;
    let figures: Value = serde_json::from_str(line)?;
    if let Some(bytes) = figures["peak_bytes"].as_u64() {
        cost.peak_bytes = bytes;
    }
    if let Some(seconds) = figures["cpu_s"].as_f64() {
        cost.cpu_s = seconds;
    }
    let batch_ms = figures["median_batch_ms"].as_f64().zip(figures["p99_batch_ms"].as_f64());
    let note = figures["note"].as_str().unwrap_or_default().to_string();
    Ok(Run { engine, rows_per_s: figures["rows_per_s"].as_f64(), batch_ms, fsync_ms: None, cost, state_bytes: 0, note })
}

/// The workload as one batch query in plain DataFusion; prints its figures as JSON.
#[expect(clippy::print_stdout, reason = "the figures are read by the parent process")]
pub(crate) fn run_datafusion(workload: &Workload, input: &Path, output: &Path, cores: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    runtime.block_on(async {
        let context = SessionContext::new_with_config(SessionConfig::from_env()?.with_target_partitions(cores));
        let tables = register(&context, workload, input).await?;
        let query = workload.batch_query.ok_or("plain DataFusion does not have this workload")?;
        let started = Instant::now();
        let frame = context.sql(&query.replace("{ev}", "ev")).await?;
        if workload.kind == Kind::FilesToParquet {
            frame.write_parquet(&output.join("table").to_string_lossy(), Default::default(), None).await?;
        } else {
            let mut results = frame.execute_stream().await?;
            while let Some(batch) = results.next().await {
                batch?;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let mut rows = 0;
        for table in tables {
            rows += context.table(*table).await?.count().await?;
        }
        println!("{}", serde_json::json!({"rows_per_s": rows as f64 / seconds, "note": format!("{:.0} ms in all", seconds * 1000.0)}));
        Ok(())
    })
}

/// Registers the tables of a workload; the names of those that would be streams.
async fn register(context: &SessionContext, workload: &Workload, input: &Path) -> Result<&'static [&'static str]> {
    let path = |within: &str| input.join(within).to_string_lossy().into_owned();
    let parquet = ParquetReadOptions::default;
    Ok(match workload.input {
        Input::Ads { .. } | Input::OneAd { .. } => {
            context.register_parquet("impressions", path("impressions"), parquet()).await?;
            context.register_parquet("clicks", path("clicks"), parquet()).await?;
            &["impressions", "clicks"]
        }
        Input::Campaigns { .. } => {
            context.register_json("ev", path("events"), JsonReadOptions::default()).await?;
            context.register_parquet("campaigns", path("campaigns.parquet"), parquet()).await?;
            &["ev"]
        }
        _ => {
            context.register_parquet("ev", path(""), parquet()).await?;
            &["ev"]
        }
    })
}
