//! Measurements: one command runs a workload on Millstream and, where they are installed, on Spark, Flink and plain
//! DataFusion, over the same rows, and prints them side by side. `cargo run --release -p millstream-bench -- --help` teaches.
//!
//! Every engine runs as a process of its own, one after the other, so that its memory and CPU time are its own. Figures of
//! one run are comparable with each other; machines differ, and so do quiet and busy moments of one.
//!
//! Read next: `workloads.rs` (what is measured) → `engines.rs` (how each engine runs it) → `report.rs` (the table).

mod engines;
mod generate;
mod kafka;
mod live;
mod process;
mod report;
mod workloads;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::engines::{Engine, Setup};
use crate::workloads::{WORKLOADS, Workload};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Runs workloads on Millstream and, side by side, on Spark, Flink and plain DataFusion.
#[derive(Parser)]
#[command(name = "millstream-bench", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  cargo build --release && cargo run --release -p millstream-bench -- run project
  cargo run --release -p millstream-bench -- run project tiny --spark ~/spark-venv/bin/python --flink ~/flink-venv/bin/python
  cargo run --release -p millstream-bench -- run kafka-raw kafka-json kafka-latency --kafka 127.0.0.1:9092 --spark ~/spark-venv/bin/python
  cargo run --release -p millstream-bench -- list

Spark needs a Python with `pip install 'pyspark==4.3.*'` and Java 17
(and, for Kafka, the jars of spark-sql-kafka-0-10 in SPARK_JARS, with commas between); Flink one with `pip install 'apache-flink==2.3.*'` and, in
FLINK_JARS, a folder with flink-sql-parquet, hadoop-client-api, hadoop-client-runtime and, for Kafka, flink-sql-connector-kafka (all from Maven
Central).";

#[derive(Subcommand)]
enum Command {
    /// Runs workloads and prints a table for each.
    Run {
        /// The workloads; `list` tells them.
        #[arg(required = true)]
        workloads: Vec<String>,
        /// The millstream command to measure.
        #[arg(long, default_value = "target/release/millstream")]
        millstream: PathBuf,
        /// A Python with pyspark 4.3.
        #[arg(long)]
        spark: Option<PathBuf>,
        /// A Python with apache-flink 2.3.
        #[arg(long)]
        flink: Option<PathBuf>,
        /// A Kafka broker, HOST:PORT, for the workloads that read one.
        #[arg(long)]
        kafka: Option<String>,
        /// Where inputs are made (once) and outputs go.
        #[arg(long, default_value = "target/bench")]
        folder: PathBuf,
        /// How often each engine runs; the table shows the median run.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// The cores every engine may use.
        #[arg(long, default_value_t = 2)]
        cores: usize,
        /// Scales the number of rows, for a quick look.
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
    },
    /// Tells the workloads.
    List,
    /// Runs a workload's query over all rows at once in plain DataFusion. Used by `run`.
    #[command(hide = true)]
    Datafusion { workload: String, input: PathBuf, output: PathBuf, cores: usize },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what this command is for")]
fn run(command: Command) -> Result<()> {
    match command {
        Command::List => {
            for workload in WORKLOADS {
                println!("{:<24} {}", workload.name, workload.about);
            }
            Ok(())
        }
        Command::Datafusion { workload, input, output, cores } => {
            engines::run_datafusion(workloads::find(&workload)?, &input, &output, cores)
        }
        Command::Run { workloads, millstream, spark, flink, kafka, folder, runs, cores, scale } => {
            let setup = Setup { millstream, spark, flink, kafka, folder, cores };
            let outcome = workloads.iter().try_for_each(|name| {
                println!("{}", measure(workloads::find(name)?, &setup, runs, scale)?);
                Ok(())
            });
            let outputs = setup.folder.join(engines::OUTPUTS);
            if outputs.exists() {
                fs::remove_dir_all(outputs)?;
            }
            outcome
        }
    }
}

/// Runs a workload on every engine there is; the table of the results.
fn measure(workload: &Workload, setup: &Setup, runs: usize, scale: f64) -> Result<String> {
    let input = generate::input(workload, setup, scale)?;
    let mut results = Vec::new();
    for engine in Engine::all(setup, workload) {
        for _ in 0..runs.max(1) {
            results.push(engine.run(setup, workload, &input, &results)?);
        }
    }
    Ok(report::table(workload, &results))
}
