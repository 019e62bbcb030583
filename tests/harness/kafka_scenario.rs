//! Recorded queries over Kafka: steps of operations on a broker, the query run once after each, and Spark's answer.
//!
//! `conformance/kafka_scenarios.json` holds the scenarios, `conformance/kafka_answers.json` what Spark did. In options and
//! SQL `<a>` stands for the name of topic `a` in this run, and `<>` for what all names of the run begin with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rdkafka::producer::{BaseProducer, Producer};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::TestResult;
use crate::command::{Millstream, Ran};
use crate::kafka::{Broker, Sent, put, until};
use crate::values::{canonical, canonical_rows};

/// A query and what is done to its topics.
#[derive(Clone, Debug, Deserialize)]
pub struct KafkaScenario {
    /// What it is called.
    pub name: String,
    topics: BTreeMap<String, Map<String, Value>>,
    tables: BTreeMap<String, Table>,
    sql: String,
    mode: String,
    trigger: String,
    sink: Option<BTreeMap<String, String>>,
    #[serde(default)]
    sink_topics: Vec<String>,
    #[serde(default, rename = "static")]
    files: BTreeMap<String, File>,
    /// What is compared besides rows and offsets.
    #[serde(default)]
    also: Vec<String>,
    /// The last step must fail, naming these words.
    #[serde(default)]
    fails: Vec<String>,
    steps: Vec<Vec<Operation>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Table {
    options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct File {
    schema: String,
    rows: Vec<Value>,
}

/// Messages for one partition.
#[derive(Clone, Debug, Deserialize)]
struct Put {
    topic: String,
    partition: i32,
    messages: Vec<Sent>,
    #[serde(default)]
    codec: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operation {
    Put(Put),
    Transaction {
        end: String,
        parts: Vec<Put>,
    },
    /// Ends the transaction that was left open.
    Finish(String),
    Partitions {
        topic: String,
        count: i32,
    },
    Create {
        topic: String,
        partitions: i32,
    },
    Drop(String),
    Trim {
        topic: String,
        partition: i32,
        before: i64,
    },
    /// The last batch becomes one that was begun and not finished.
    Uncommit(()),
    /// Tables have these options from now on.
    Options(BTreeMap<String, BTreeMap<String, String>>),
}

impl KafkaScenario {
    /// All of them.
    pub fn all() -> TestResult<Vec<Self>> {
        Ok(serde_json::from_str(&fs::read_to_string(conformance("kafka_scenarios.json"))?)?)
    }

    /// What Spark answered, by the scenarios' names.
    pub fn answers() -> TestResult<Map<String, Value>> {
        Ok(serde_json::from_str(&fs::read_to_string(conformance("kafka_answers.json"))?)?)
    }

    /// Runs the query, and says how its answer differs from `spark`'s; `None` where it does not.
    pub fn difference(&self, command: Millstream, broker: &Broker, spark: &Value) -> TestResult<Option<String>> {
        let mut run = Run::new(self, broker)?;
        let result = run.difference(command, spark);
        run.clean()?;
        result
    }

    fn also(&self, what: &str) -> bool {
        self.also.iter().any(|also| also == what)
    }
}

fn conformance(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(file)
}

/// One run of a scenario, with topics of its own.
struct Run<'a> {
    scenario: &'a KafkaScenario,
    broker: &'a Broker,
    work: tempfile::TempDir,
    prefix: String,
    tables: BTreeMap<String, Table>,
    sent: i64,
    open: Vec<BaseProducer>,
    /// Partitions that transactions have written to.
    transactional: Vec<(String, i32)>,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a KafkaScenario, broker: &'a Broker) -> TestResult<Self> {
        let work = tempfile::tempdir()?;
        let prefix = format!("{}-{}-", uuid::Uuid::new_v4().simple(), scenario.name);
        let run = Self {
            scenario,
            broker,
            work,
            prefix,
            tables: scenario.tables.clone(),
            sent: 0,
            open: Vec::new(),
            transactional: Vec::new(),
        };
        for (topic, config) in &scenario.topics {
            let partitions = config.get("partitions").and_then(Value::as_i64).unwrap_or(1);
            // Messages of 2024 are kept, whatever today's date.
            let mut settings = vec![("retention.ms", "-1")];
            settings.extend(config.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
            broker.create_topic(&run.name(topic), i32::try_from(partitions)?, &settings)?;
        }
        for (name, file) in &scenario.files {
            let lines: Vec<String> = file.rows.iter().map(|row| format!("{row}\n")).collect();
            fs::write(run.work.path().join(format!("{name}.json")), lines.concat())?;
        }
        Ok(run)
    }

    fn name(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            let name: String = rest[start + 1..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let end = start + 1 + name.len();
            filled.push_str(&rest[..start]);
            match rest[end..].starts_with('>') {
                true => filled.push_str(&self.name(&name)),
                false => filled.push_str(&rest[start..=end]),
            }
            rest = &rest[end + 1..];
        }
        filled + rest
    }

    fn do_all(&mut self, operations: &[Operation]) -> TestResult {
        for operation in operations {
            match operation {
                Operation::Put(put) => {
                    let codec = put.codec.as_deref().unwrap_or("none");
                    let topic = self.name(&put.topic);
                    self.broker.send_as(&topic, put.partition, &put.messages, self.sent, codec)?;
                    self.sent += i64::try_from(put.messages.len())?;
                }
                Operation::Transaction { end, parts } => self.transaction(end, parts)?,
                Operation::Finish(how) => {
                    let producer = self.open.pop().ok_or("no transaction is open")?;
                    finish(&producer, how)?;
                }
                Operation::Partitions { topic, count } => self.broker.grow(&self.name(topic), *count)?,
                Operation::Create { topic, partitions } => {
                    self.broker.create_topic(&self.name(topic), *partitions, &[("retention.ms", "-1")])?;
                }
                Operation::Drop(topic) => self.broker.delete_topics(&[&self.name(topic)])?,
                Operation::Trim { topic, partition, before } => {
                    self.broker.trim(&self.name(topic), *partition, *before)?
                }
                Operation::Uncommit(_) => self.uncommit()?,
                Operation::Options(tables) => {
                    for (name, options) in tables {
                        let table = self.tables.get_mut(name).ok_or("an unknown table")?;
                        table.options.extend(options.clone());
                    }
                }
            }
        }
        self.settle()
    }

    fn transaction(&mut self, end: &str, parts: &[Put]) -> TestResult {
        let producer = self.broker.begin(&format!("{}{}", self.prefix, self.sent))?;
        for part in parts {
            put(&producer, &self.name(&part.topic), part.partition, &part.messages, self.sent)?;
            self.sent += i64::try_from(part.messages.len())?;
            self.transactional.push((self.name(&part.topic), part.partition));
        }
        producer.flush(std::time::Duration::from_secs(30))?;
        match end {
            "open" => self.open.push(producer),
            end => finish(&producer, end)?,
        }
        Ok(())
    }

    /// Waits until the markers of ended transactions are in: the coordinator writes them after it has answered.
    fn settle(&self) -> TestResult {
        if !self.open.is_empty() {
            return Ok(());
        }
        until("transactions have ended", || {
            for (topic, partition) in &self.transactional {
                if self.broker.stable_end(topic, *partition)? != self.broker.bounds(topic, *partition)?.1 {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn uncommit(&self) -> TestResult {
        let commits = self.work.path().join("checkpoint/commits");
        let numbers = fs::read_dir(&commits)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
        let last = numbers.max().ok_or("nothing was committed")?;
        Ok(fs::remove_file(commits.join(last.to_string()))?)
    }

    /// The checkpoint that Spark left after the first step.
    fn restore(&self, files: &Map<String, Value>) -> TestResult {
        for (name, text) in files {
            let path = self.work.path().join("checkpoint").join(name);
            fs::create_dir_all(path.parent().ok_or("no folder")?)?;
            // Topics are named in offsets, `"a":{"0":…`, and each character is a byte.
            let mut text = text.as_str().ok_or("no text")?.to_string();
            for topic in self.scenario.topics.keys() {
                text = text.replace(&format!("\"{topic}\":{{\""), &format!("\"{}\":{{\"", self.name(topic)));
            }
            let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    fn script(&self) -> String {
        let quoted = |text: &str| format!("'{}'", self.fill(text).replace('\'', "''"));
        let options = |given: &BTreeMap<String, String>| {
            let mut all = vec![format!("'kafka.bootstrap.servers' '{}'", self.broker.servers())];
            all.extend(given.iter().map(|(name, value)| format!("'{name}' {}", quoted(value))));
            all.join(", ")
        };
        let work = self.work.path().display();
        let mut script = "SET spark.sql.session.timeZone = 'UTC';\n".to_string();
        for (name, table) in &self.tables {
            script.push_str(&format!("CREATE TABLE {name} USING kafka OPTIONS ({});\n", options(&table.options)));
        }
        for (name, file) in &self.scenario.files {
            script.push_str(&format!(
                "CREATE TABLE {name} ({}) USING json OPTIONS (path '{work}/{name}.json');\n",
                file.schema
            ));
        }
        let (connector, own) = match &self.scenario.sink {
            Some(sink) => ("kafka", options(sink)),
            None => ("console", "format 'json'".to_string()),
        };
        script.push_str(&format!(
            "CREATE STREAMING TABLE q USING {connector} OPTIONS ({own}, checkpointLocation '{work}/checkpoint', outputMode '{}', trigger '{}') AS {};\n",
            self.scenario.mode,
            self.scenario.trigger,
            self.fill(&self.scenario.sql)
        ));
        script
    }

    fn difference(&mut self, command: Millstream, spark: &Value) -> TestResult<Option<String>> {
        let mut batches = BTreeMap::new();
        for (number, operations) in self.scenario.steps.iter().enumerate() {
            self.do_all(operations)?;
            let continued = self.scenario.also("continues");
            if number == 0 && continued {
                self.restore(spark["checkpoint"].as_object().ok_or("no checkpoint")?)?;
                continue;
            }
            let progress = self.work.path().join("progress.jsonl");
            drop(fs::remove_file(&progress));
            let arguments = ["--progress", "progress.jsonl", "-c", "spark.sql.shuffle.partitions=1"];
            let ran = command.run_sql_with(self.work.path(), &self.script(), &arguments)?;
            batches.extend(self.observed(number, &ran, &fs::read_to_string(progress).unwrap_or_default())?);
            let error = spark.get("error").filter(|error| error["step"] == number);
            match (ran.code, error) {
                (Some(0), None) => {}
                (Some(0), Some(error)) => {
                    return Ok(Some(format!("Spark refuses this ({}), here it ran", error["message"])));
                }
                (Some(1), Some(_)) => return Ok(self.wrong_words(&ran.stderr)),
                _ => return Ok(Some(format!("step {number} ended with {:?}: {}", ran.code, ran.stderr))),
            }
        }
        let spark_batches = spark["batches"].as_array().ok_or("no batches")?;
        let expected: BTreeMap<_, _> = spark_batches
            .iter()
            .filter(|batch| !(self.scenario.also("continues") && batch["step"] == 0))
            .map(|batch| ((batch["step"].as_u64(), batch["batch"].as_u64()), batch))
            .collect();
        if !expected.keys().eq(batches.keys()) {
            return Ok(Some(format!("steps and batches are {:?}, Spark's {:?}", batches.keys(), expected.keys())));
        }
        for (at, spark) in expected {
            if let Some(difference) = self.batch_difference(&batches[&at], spark) {
                return Ok(Some(format!("{at:?}: {difference}")));
            }
        }
        self.kept_difference(spark)
    }

    fn wrong_words(&self, stderr: &str) -> Option<String> {
        let said = stderr.to_lowercase();
        let absent: Vec<&String> =
            self.scenario.fails.iter().filter(|word| !said.contains(&word.to_lowercase())).collect();
        (said.contains("panicked") || !absent.is_empty())
            .then(|| format!("the error does not name {absent:?}: {stderr}"))
    }

    /// Rows and progress of each batch that ran, with topics called as the scenario calls them.
    #[expect(clippy::type_complexity, reason = "step and batch, to what was seen of it")]
    fn observed(
        &self,
        step: usize,
        ran: &Ran,
        progress: &str,
    ) -> TestResult<BTreeMap<(Option<u64>, Option<u64>), Value>> {
        let plain = |text: &str| text.replace(&self.prefix, "");
        let step = u64::try_from(step).ok();
        let mut batches = BTreeMap::new();
        for line in plain(progress).lines() {
            let event: Value = serde_json::from_str(line)?;
            if event["durationMs"].get("addBatch").is_some() {
                batches.insert((step, event["batchId"].as_u64()), json!({"rows": [], "sources": event["sources"]}));
            }
        }
        for line in plain(&ran.stdout).lines().filter(|line| line.starts_with('{')) {
            let shown: Value = serde_json::from_str(line)?;
            let batch = batches.entry((step, shown["batch"].as_u64())).or_insert_with(|| json!({"sources": null}));
            batch["rows"] = shown["rows"].clone();
        }
        Ok(batches)
    }

    fn batch_difference(&self, ours: &Value, spark: &Value) -> Option<String> {
        let rows = |batch: &Value| canonical_rows(batch["rows"].as_array().map_or(&[], Vec::as_slice), false);
        if self.scenario.sink.is_none() && rows(ours) != rows(spark) {
            return Some(format!("rows are {:?}, Spark's {:?}", rows(ours), rows(spark)));
        }
        let none = Vec::new();
        let sources = ours["sources"].as_array().unwrap_or(&none);
        for (number, source) in sources.iter().enumerate() {
            let offsets = spark.get("offsets").map(|all| &all[number]);
            if let Some(offsets) = offsets {
                // The first batch has no start in Spark's progress; to name where the query starts is as good.
                let start = if offsets[0].is_null() && !self.scenario.also("initial") {
                    &Value::Null
                } else {
                    &source["startOffset"]
                };
                let ours = json!([start, source["endOffset"]]);
                if canonical(&ours) != canonical(offsets) {
                    return Some(format!("offsets of source {number} are {ours}, Spark's {offsets}"));
                }
            }
            let more = self
                .scenario
                .also
                .iter()
                .filter(|also| ["latestOffset", "numInputRows", "metrics"].contains(&also.as_str()));
            for (index, field) in more.enumerate() {
                let spark = &spark["sources"][number][index];
                if canonical(&source[field.as_str()]) != canonical(spark) {
                    return Some(format!("{field} of source {number} is {}, Spark's {spark}", source[field.as_str()]));
                }
            }
        }
        None
    }

    /// What the sink's topics hold, and how the position at the start is kept.
    fn kept_difference(&self, spark: &Value) -> TestResult<Option<String>> {
        if let Some(expected) = spark.get("sink").and_then(Value::as_array) {
            let mut ours = Vec::new();
            for topic in &self.scenario.sink_topics {
                for message in self.broker.read(&self.name(topic), false)? {
                    ours.push(json!({"topic": topic, "partition": message.partition, "key": message.key, "value": message.value, "headers": message.headers}));
                }
            }
            let (ours, expected) = (canonical_rows(&ours, false), canonical_rows(expected, false));
            if ours != expected {
                return Ok(Some(format!("the topics hold {ours:?}, Spark's {expected:?}")));
            }
        }
        if let Some(expected) = spark.get("initial") {
            let bytes = fs::read(self.work.path().join("checkpoint/sources/0/0"))?;
            let text = String::from_utf8(bytes)?.replace(&self.prefix, "");
            let (start, offsets) = text.split_at(text.find('{').ok_or("no offsets")?);
            let start: String = start.bytes().map(|byte| format!("{byte:02x}")).collect();
            let ours = json!([start, serde_json::from_str::<Value>(offsets)?]);
            if canonical(&ours) != canonical(expected) {
                return Ok(Some(format!("sources/0/0 is {ours}, Spark's {expected}")));
            }
        }
        Ok(None)
    }

    fn clean(&mut self) -> TestResult {
        for producer in self.open.drain(..) {
            finish(&producer, "abort")?;
        }
        let topics = self.broker.topics(&self.prefix)?;
        self.broker.delete_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn finish(producer: &BaseProducer, how: &str) -> TestResult {
    let patience = std::time::Duration::from_secs(30);
    match how {
        "commit" => producer.commit_transaction(patience)?,
        _ => producer.abort_transaction(patience)?,
    }
    Ok(())
}
