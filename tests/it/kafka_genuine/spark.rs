//! A running Spark with its connector for Kafka, beside us: it reads what we wrote, goes on from our checkpoint, and we
//! from its.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use millstream_tests::TestResult;
use millstream_tests::kafka::Broker;
use serde_json::{Value, json};

use super::{copy_sql, numbered, numbers, two_topics};
use crate::command::MILLSTREAM;

/// A running `tests/kafka/spark.py`.
struct Spark {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: std::path::PathBuf,
}

impl Spark {
    fn start(work: &Path) -> TestResult<Self> {
        let python = std::env::var("MILLSTREAM_PYSPARK").map_err(|_| "run tests/kafka/run --spark PYTHON")?;
        let jars = std::env::var("MILLSTREAM_SPARK_JARS").map_err(|_| "run tests/kafka/run --spark PYTHON")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/spark.py");
        let log = work.join("spark.log");
        let mut command = Command::new(python);
        command.arg(script).env("SPARK_JARS", jars).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(File::create(&log)?).spawn()?;
        let requests = process.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no standard output")?);
        Ok(Self { process, requests, answers, log })
    }

    fn ask(&mut self, request: &[&str]) -> TestResult<Value> {
        let mut answer = String::new();
        let asked = writeln!(self.requests, "{}", json!(request)).and_then(|()| self.requests.flush());
        if asked.is_err() || self.answers.read_line(&mut answer)? == 0 {
            return Err(format!("spark.py {request:?}: {}", std::fs::read_to_string(&self.log)?).into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Spark {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs PySpark 4.3 and a Kafka broker: run tests/kafka/run --spark PYTHON"]
fn spark_reads_goes_on_and_hands_back() -> TestResult {
    let broker = Broker::shared()?;
    let (servers, work) = (broker.servers(), tempfile::tempdir()?);
    // It starts while topics are made.
    let mut spark = Spark::start(work.path())?;
    let checkpoint = work.path().join("checkpoint");
    let checkpoint = checkpoint.to_str().ok_or("a path that is no text")?;
    for spark_begins in [false, true] {
        drop(std::fs::remove_dir_all(checkpoint));
        let (from, to) = two_topics(&broker)?;
        let ours = copy_sql(&broker, work.path(), &from, &to, ", exactlyOnce 'true', trigger 'availableNow'");
        let mut run = |spark_now: bool| -> TestResult {
            match spark_now {
                true => spark.ask(&["copy", &servers, &from, &to, checkpoint]).map(|_| ()),
                false => Ok(MILLSTREAM.run_sql(work.path(), &ours)?.ok().map(|_| ())?),
            }
        };
        for round in 0..4 {
            let sent = i64::from(round) * 20;
            broker.send(&from, round % 2, &numbered(sent..sent + 20))?;
            run((round % 2 == 0) == spark_begins)?;
            let seen = numbers(&broker.read(&to, false)?);
            assert_eq!(seen, (0..sent + 20).collect::<Vec<_>>(), "round {round}, spark began: {spark_begins}");
        }
        // What a reader that is not ours makes of topics with transactions in them.
        let answer = spark.ask(&["read", &servers, &to])?;
        let values = answer.as_array().ok_or("no list")?.iter().filter_map(Value::as_str);
        let mut read: Vec<i64> = values.map(str::parse).collect::<Result<_, _>>()?;
        read.sort_unstable();
        assert_eq!(read, (0..80).collect::<Vec<_>>());
    }
    Ok(())
}
