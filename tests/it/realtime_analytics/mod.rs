//! The main example as another process, killed on the way: all it gives out in the end is what plain SQL over the same events
//! gives at once. With Kafka in this process here, and with a genuine one in `kafka_genuine/realtime_analytics.rs`.

mod answers;
mod outputs;
mod shop;

use std::io::{BufRead, BufReader, Lines, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use millstream_tests::TestResult;
use millstream_tests::dice::Dice;
use millstream_tests::kafka_broker::KafkaBroker;

use crate::command::MILLSTREAM;
use outputs::Console;
use shop::{Minute, Shop};

/// The queries, as their checkpoints are called.
const QUERIES: [&str; 4] = ["page_views", "fraud", "sessions", "recommendations"];
/// Minutes of event time before each kill, and after the last.
const MINUTES: usize = 25;

/// Sends messages, given as key and value, to a partition of a topic.
pub(crate) type Send<'a> = dyn Fn(&str, i32, &[(&str, &str)]) -> TestResult + 'a;

/// How the pipeline is run, and what must hold.
pub(crate) struct Setting<'a> {
    /// The broker's address.
    pub(crate) servers: String,
    /// How messages get there.
    pub(crate) send: &'a Send<'a>,
    /// Recommendations come exactly once.
    pub(crate) is_exactly_once: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twice_all_outputs_are_those_of_a_batch() -> TestResult {
    let broker = KafkaBroker::new(&[("user-events", 2), ("transactions", 2), ("recommendations", 1)])?;
    let send = |topic: &str, partition: i32, messages: &[(&str, &str)]| Ok(broker.put(topic, partition, messages)?);
    check(&Setting { servers: broker.servers(), send: &send, is_exactly_once: false }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_gives_the_same() -> TestResult {
    let broker = KafkaBroker::new(&[("user-events", 2), ("transactions", 2), ("recommendations", 1)])?;
    let send = |topic: &str, partition: i32, messages: &[(&str, &str)]| Ok(broker.put(topic, partition, messages)?);
    let setting = Setting { servers: broker.servers(), send: &send, is_exactly_once: false };
    let mut shop = Shop::new(Dice::thrown("realtime_analytics.sql"));
    for _ in 0..MINUTES {
        send_minute(&setting, &shop.minute())?;
    }
    send_minute(&setting, &shop.closing_time())?;

    // The script as it is, but for the address, an end, and a console that can be read.
    let script = include_str!("../../../examples/realtime_analytics.sql")
        .replace("localhost:9092", &setting.servers)
        .replace("trigger '1 second'", "trigger 'availableNow'")
        .replace("USING console OPTIONS (", "USING console OPTIONS (format 'json', ");
    let work = tempfile::tempdir()?;
    let ran = MILLSTREAM.run_sql(work.path(), &script)?.ok()?;
    let mut console = Console::default();
    for line in ran.stdout.lines() {
        console.add(line)?;
    }

    let answers = answers::of(&shop).await?;
    let output = work.path().join("realtime_analytics/output");
    assert_same("page_views", &console.last_rows()?, &answers.page_views);
    // In append mode the minute in which the shop closed is still open.
    let closed =
        answers.fraud.iter().filter(|row| row.as_str() < answers.closed_at.as_str()).cloned().collect::<Vec<_>>();
    assert_same("fraud", &outputs::fraud_in_parquet(&output.join("fraud")).await?, &closed);
    assert_same("sessions", &outputs::sessions(&output.join("sessions")).await?, &answers.sessions);
    assert_same("recommendations", &outputs::recommendations(&setting.servers)?, &answers.recommendations);
    Ok(())
}

/// Runs the pipeline, kills it twice, lets it come to its end, and compares.
pub(crate) async fn check(setting: &Setting<'_>) -> TestResult {
    let work = tempfile::tempdir()?;
    let mut shop = Shop::new(Dice::thrown("realtime_analytics"));
    let mut console = Console::default();
    for kill in 0..2 {
        let before = commits(work.path());
        let mut running = Running::start(setting, work.path(), "100 milliseconds")?;
        let mut minutes = 0;
        // Killed while its batches are at work, but not before each query has done some.
        while minutes < MINUTES || !commits(work.path()).iter().zip(&before).all(|(now, before)| *now > before + 2) {
            assert!(minutes < 10 * MINUTES, "kill {kill}: {:?} batches after {minutes} minutes", commits(work.path()));
            send_minute(setting, &shop.minute())?;
            running.read_a_batch(&mut console)?;
            minutes += 1;
        }
        running.kill(&mut console)?;
    }
    for _ in 0..MINUTES {
        send_minute(setting, &shop.minute())?;
    }
    send_minute(setting, &shop.closing_time())?;
    Running::start(setting, work.path(), "availableNow")?.await_end(&mut console)?;

    let answers = answers::of(&shop).await?;
    for (name, answer) in
        QUERIES.iter().zip([&answers.page_views, &answers.fraud, &answers.sessions, &answers.recommendations])
    {
        assert!(answer.len() > 20, "{name}: too little happened to be a test: {answer:?}");
    }
    let output = work.path().join("output");
    assert_same("page_views", &console.last_rows()?, &answers.page_views);
    assert_same("fraud", &outputs::fraud(&output.join("fraud.db"))?, &answers.fraud);
    assert_same("sessions", &outputs::sessions(&output.join("sessions")).await?, &answers.sessions);
    let mut recommendations = outputs::recommendations(&setting.servers)?;
    if !setting.is_exactly_once {
        recommendations.dedup();
    }
    assert_same("recommendations", &recommendations, &answers.recommendations);
    Ok(())
}

/// Both are sorted.
fn assert_same(name: &str, given: &[String], answer: &[String]) {
    let wrong = given.iter().find(|row| answer.binary_search(row).is_err());
    let missing = answer.iter().find(|row| given.binary_search(row).is_err());
    assert!(
        given == answer,
        "{name}: {} rows, expected {}; the first that is wrong: {wrong:?}; the first that is missing: {missing:?}",
        given.len(),
        answer.len()
    );
}

fn send_minute(setting: &Setting<'_>, minute: &Minute) -> TestResult {
    for (topic, messages) in [("user-events", &minute.events), ("transactions", &minute.transactions)] {
        for partition in [0, 1] {
            let of_partition: Vec<(&str, &str)> = messages
                .iter()
                .filter(|message| message.partition == partition)
                .map(|message| (message.key.as_str(), message.value.as_str()))
                .collect();
            (setting.send)(topic, partition, &of_partition)?;
        }
    }
    Ok(())
}

/// How many batches of each query are committed.
fn commits(work: &Path) -> Vec<u64> {
    let committed = |query: &&str| {
        let folder = work.join("checkpoint").join(query).join("commits");
        let numbers = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let newest = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max();
        newest.map_or(0, |newest| newest + 1)
    };
    QUERIES.iter().map(committed).collect()
}

/// The pipeline at work.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(setting: &Setting<'_>, work: &Path, trigger: &str) -> TestResult<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_examples-under-test"));
        command.args(["realtime_analytics", "--bootstrap-servers", &setting.servers]);
        command.args(["--output", "output", "--checkpoint", "checkpoint", "--trigger", trigger]);
        if setting.is_exactly_once {
            command.arg("--exactly-once");
        }
        command.current_dir(work).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        Ok(Self { child, lines })
    }

    /// Waits for a batch of the query to the console.
    fn read_a_batch(&mut self, console: &mut Console) -> TestResult {
        match self.lines.next() {
            Some(line) => console.add(&line?),
            None => {
                let mut stderr = String::new();
                self.child.stderr.take().ok_or("no standard error")?.read_to_string(&mut stderr)?;
                Err(format!("ended by itself: {stderr}").into())
            }
        }
    }

    fn kill(mut self, console: &mut Console) -> TestResult {
        self.child.kill()?;
        let rest: Vec<String> = self.lines.by_ref().collect::<Result<_, _>>()?;
        // The last line may have been cut off.
        for line in rest.iter().filter(|line| line.ends_with("]}")) {
            console.add(line)?;
        }
        self.child.wait()?;
        Ok(())
    }

    fn await_end(mut self, console: &mut Console) -> TestResult {
        for line in self.lines.by_ref() {
            console.add(&line?)?;
        }
        let output = self.child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}
