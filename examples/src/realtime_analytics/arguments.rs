//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use millstream::{Error, Result};

/// Real-time analytics of a shop: four streaming queries over two Kafka topics, in one process.
///
/// Without arguments it starts a Kafka in this process, sends shoppers through the shop, some of whose messages are late,
/// repeated or broken, and shows what the queries find until it is stopped with Ctrl-C. Where standard output is no
/// terminal, page views go there as JSON, a line a batch, and reports of the queries to standard error.
#[derive(Debug, Parser)]
#[command(name = "realtime_analytics", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Read from the Kafka at HOST:PORT (several with commas between) instead of one in this process. Missing topics are made
    #[arg(long, value_name = "SERVERS")]
    pub(crate) bootstrap_servers: Option<String>,

    /// The folder for results: fraud.db (SQLite) and sessions/ (Parquet)
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,

    /// The folder for checkpoints, one below it for each query. What was done is not done again when it is given again
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Option<PathBuf>,

    /// Stop after so long, with exit code 0
    #[arg(long, value_name = "20s|5m|1h", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// When the next batch of a query starts: an interval, or availableNow to end when all that is there is done
    #[arg(long, default_value = "500 milliseconds")]
    pub(crate) trigger: String,

    /// Write recommendations to Kafka exactly once, in transactions. The Kafka in this process has none
    #[arg(long, requires = "bootstrap_servers")]
    pub(crate) exactly_once: bool,

    /// Send shoppers to the Kafka of --bootstrap-servers too. Their time begins at the clock's in each run: after an earlier run,
    /// which was ahead of the clock, what they do counts as late until they have caught up
    #[arg(long)]
    produce: bool,

    /// Messages produced each second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,

    /// How many times faster than the clock the shoppers' time goes, so that windows close while one watches
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) speed: u32,

    /// Chooses who buys what. The same seed gives the same shoppers
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,

    /// No page, also on a terminal
    #[arg(long)]
    pub(crate) plain: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo run -p examples -- realtime_analytics
  cargo run -p examples -- realtime_analytics --duration 20s --rate 5000 | tail -n 1
  cargo run -p examples -- realtime_analytics --bootstrap-servers localhost:9092 --produce
  cargo run -p examples -- realtime_analytics --bootstrap-servers localhost:9092 \\
      --exactly-once --output /srv/shop/output --checkpoint /srv/shop/checkpoint";

impl Arguments {
    /// Those after the example's name. Where they are wrong, or ask for help, the process ends here.
    pub(crate) fn of_command_line() -> Result<Self> {
        let mut arguments = Self::parse_from(std::env::args().skip(1));
        // A Kafka that is gone afterwards has nothing to do with the checkpoints of another run.
        let run = match arguments.bootstrap_servers {
            Some(_) => "kafka".to_string(),
            None => format!("run-{}", std::process::id()),
        };
        let place = Path::new("target/examples/realtime_analytics").join(run);
        let output = arguments.output.get_or_insert_with(|| place.join("output"));
        std::fs::create_dir_all(&*output).map_err(|e| Error::invalid(format!("--output {}: {e}", output.display())))?;
        arguments.checkpoint.get_or_insert_with(|| place.join("checkpoint"));
        Ok(arguments)
    }

    /// Whether messages are produced here.
    pub(crate) fn produces(&self) -> bool {
        self.produce || self.bootstrap_servers.is_none()
    }

    /// Where results are.
    pub(crate) fn output(&self) -> &Path {
        self.output.as_deref().unwrap_or(Path::new("."))
    }

    /// The lake of sessions.
    pub(crate) fn sessions_folder(&self) -> PathBuf {
        self.output().join("sessions")
    }

    /// The checkpoint of a query.
    pub(crate) fn checkpoint_of(&self, query: &str) -> String {
        self.checkpoint.as_deref().unwrap_or(Path::new(".")).join(query).display().to_string()
    }
}

/// `20s`, `5m`, `1h`, or a number of seconds.
fn duration(text: &str) -> std::result::Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds: u64 = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        unit => return Err(format!("'{unit}' is no unit: s, m or h")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{digits}' is no whole number"))?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| format!("{text} is too long"))
}
