//! What the command line can say, and what happens then.

mod live;
mod output;
mod progress_file;
mod run;
mod shell;
mod signals;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use millstream::connectors::console::{ConsoleOutput, ConsoleProvider};
use millstream::printing::PrintFormat;
use millstream::{Result, StreamSession, WithConnectors};

use output::report;

/// Streaming and batch SQL over files and streams.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, about, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute the statements of a file in order, then wait for the queries that they started.
    #[command(after_help = EXAMPLES)]
    Run {
        /// The file with the statements, `-` for standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Settings {
    /// Set a configuration key, as SET does; can be given several times.
    #[arg(short, long = "conf", value_name = "KEY=VALUE", value_parser = key_value, global = true)]
    conf: Vec<(String, String)>,
    /// How the rows of batch SELECTs are printed: table, json (an object a row) or csv.
    #[arg(long, value_name = "FORMAT", default_value = "table", global = true)]
    format: PrintFormat,
    /// Write every progress event of every query to this file, a JSON object a line.
    #[arg(long, value_name = "FILE", global = true)]
    progress: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  millstream                                   a shell: statements end with ';', \\q leaves
  millstream run quickstart.sql                run a file; Ctrl-C stops its queries, nothing is lost
  millstream run - --format json < query.sql   from standard input; SELECTs print a JSON object a row
  millstream run job.sql --progress p.jsonl -c spark.sql.shuffle.partitions=4

A file to start from:
  CREATE TABLE clicks (user_id STRING, page STRING, at TIMESTAMP, ms BIGINT)
  USING json OPTIONS (path 'in/clicks', maxFilesPerTrigger '1');

  CREATE STREAMING TABLE slow_pages
  USING parquet OPTIONS (path 'out/slow_pages', checkpointLocation 'checkpoint/slow_pages', trigger '10 seconds')
  AS SELECT user_id, page, ms / 1000 AS seconds FROM STREAM clicks WHERE ms > 500;

Exit code 0 when all queries ended well or were stopped, 1 with the error on standard error otherwise.";

/// Runs the command of this process's arguments.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report(&format!("the runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = match (cli.command, std::io::stdin().is_terminal()) {
        (Some(Command::Run { file }), _) => runtime.block_on(run::run(&file, &cli.settings)),
        (None, false) => runtime.block_on(run::run(std::path::Path::new("-"), &cli.settings)),
        (None, true) => shell::shell(&runtime, &cli.settings),
    };
    // Whatever still reads or polls somewhere does not keep the process.
    runtime.shutdown_background();
    code
}

/// The session that the settings describe.
async fn session(settings: &Settings) -> Result<StreamSession> {
    let console = ConsoleProvider::new(ConsoleOutput::to(live::AboveLines::default()));
    let mut builder =
        StreamSession::builder_with(|registry| registry.add_sink(Arc::new(console))).app_name("millstream");
    for (key, value) in &settings.conf {
        builder = builder.config(key, value);
    }
    let session = builder.build().await?;
    if let Some(path) = &settings.progress {
        session.streams().add_listener(Arc::new(progress_file::ProgressFile::create(path)?));
    }
    Ok(session)
}

fn key_value(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err(format!("'{text}' is not of the form key=value")),
    }
}

/// Warnings and errors go to standard error; `MILLSTREAM_LOG` asks for more, such as `millstream_engine=debug`.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let ansi = std::io::stderr().is_terminal();
    // Only fails where somebody else logs already, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(live::LogAboveLines::default)
        .with_ansi(ansi)
        .try_init();
}
