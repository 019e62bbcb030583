//! A running Spark with its connector for Kafka, beside us: it reads what we wrote, goes on from our checkpoint, and we
//! from its.

use std::path::Path;
use std::process::Command;

use millstream_tests::TestResult;
use millstream_tests::kafka::Broker;

use super::{copy_sql, numbered, numbers, two_topics};
use crate::command::MILLSTREAM;

/// Runs `tests/kafka/spark.py`; what it prints.
fn spark(arguments: &[&str]) -> TestResult<String> {
    let python = std::env::var("MILLSTREAM_PYSPARK").map_err(|_| "run tests/kafka/run --spark PYTHON")?;
    let jars = std::env::var("MILLSTREAM_SPARK_JARS").map_err(|_| "run tests/kafka/run --spark PYTHON")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/spark.py");
    let output = Command::new(python).arg(script).args(arguments).env("SPARK_JARS", jars).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("spark.py {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

#[test]
#[ignore = "needs PySpark 4.3 and a Kafka broker: run tests/kafka/run --spark PYTHON"]
fn spark_reads_goes_on_and_hands_back() -> TestResult {
    let broker = Broker::shared()?;
    let (servers, work) = (broker.servers(), tempfile::tempdir()?);
    let checkpoint = work.path().join("checkpoint");
    let checkpoint = checkpoint.to_str().ok_or("a path that is no text")?;
    for spark_begins in [false, true] {
        drop(std::fs::remove_dir_all(checkpoint));
        let (from, to) = two_topics(&broker)?;
        let ours = copy_sql(&broker, work.path(), &from, &to, ", exactlyOnce 'true', trigger 'availableNow'");
        let run = |spark_now: bool| -> TestResult {
            match spark_now {
                true => spark(&["copy", &servers, &from, &to, checkpoint]).map(|_| ()),
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
        let mut read: Vec<i64> = spark(&["read", &servers, &to])?.lines().map(str::parse).collect::<Result<_, _>>()?;
        read.sort_unstable();
        assert_eq!(read, (0..80).collect::<Vec<_>>());
    }
    Ok(())
}
