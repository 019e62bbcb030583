//! Recorded streaming queries: their input as files, the SQL that runs them here, and Spark's answer to compare with.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::RecordBatch;
use millstream_engine::sink::OutputMode;
use millstream_engine::trigger::Trigger;
use millstream_engine::{Error, Result};
use millstream_formats::json::write_console_json;
use millstream_sql::{DataFrame, StreamSession};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::values::canonical_rows;

/// One streaming query with its input and Spark's answer; `tests/fixtures/spark/README.md` says what is in it.
#[derive(Clone, Debug, Deserialize)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// The query.
    pub sql: String,
    mode: String,
    streams: Map<String, Value>,
    #[serde(rename = "static")]
    tables: Map<String, Value>,
    conf: Map<String, Value>,
    dedup: Option<Dedup>,
    #[serde(default)]
    views: Map<String, Value>,
    #[serde(default)]
    schema: String,
    expect: Option<Vec<ExpectedBatch>>,
    /// What Spark says where it refuses the query or fails.
    pub error: Option<String>,
    /// The condition of Spark's error.
    #[serde(default)]
    pub condition: Option<String>,
    /// The figures of the stateful operators after each batch, where they were recorded.
    #[serde(default)]
    pub state: Option<Vec<Value>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Dedup {
    cols: Option<Vec<String>>,
    within: bool,
    watermark: Option<(String, String)>,
}

#[derive(Clone, Debug, Deserialize)]
struct ExpectedBatch {
    batch: u64,
    rows: Vec<Value>,
}

/// Rows by batch, batches without rows left out.
pub type Answer = BTreeMap<u64, Vec<Value>>;

impl Scenario {
    /// The scenarios of a file with one a line, below `tests/`.
    pub fn read_lines(path: &str) -> io::Result<Vec<Self>> {
        let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path))?;
        text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
    }

    /// The scenarios of a folder with one a file, below `tests/`; files without a query are passed over.
    pub fn read_folder(path: &str) -> io::Result<Vec<Self>> {
        let mut scenarios = Vec::new();
        for entry in fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let json: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
                if json.get("sql").is_some() {
                    scenarios.push(serde_json::from_value(json)?);
                }
            }
        }
        scenarios.sort_by(|a: &Self, b| a.name.cmp(&b.name));
        Ok(scenarios)
    }

    /// The output mode.
    pub fn output_mode(&self) -> Result<OutputMode> {
        OutputMode::parse(&self.mode)
    }

    /// Whether an answer is recorded.
    pub fn is_answered(&self) -> bool {
        self.expect.is_some()
    }

    /// Writes the input below `work`.
    pub fn write_input(&self, work: &Path) -> io::Result<()> {
        (0..self.files()).try_for_each(|number| self.write_files(work, number))?;
        self.write_tables(work)
    }

    /// The most files that a stream has.
    fn files(&self) -> usize {
        self.streams.values().map(|stream| stream["files"].as_array().map_or(0, Vec::len)).max().unwrap_or(0)
    }

    /// Writes file `number` of each stream that has so many.
    fn write_files(&self, work: &Path, number: usize) -> io::Result<()> {
        for (name, stream) in &self.streams {
            let folder = work.join(name);
            fs::create_dir_all(&folder)?;
            if let Some(rows) = stream["files"].get(number) {
                write_rows(&folder.join(format!("{number:04}.json")), rows, 1_000_000_000 + number as u64)?;
            }
        }
        Ok(())
    }

    fn write_tables(&self, work: &Path) -> io::Result<()> {
        for (name, table) in &self.tables {
            let folder = work.join(format!("static_{name}"));
            fs::create_dir_all(&folder)?;
            write_rows(&folder.join("0.json"), &table["rows"], 1_000_000_000)?;
        }
        Ok(())
    }

    /// The statements before the query: configuration, tables and views, their files below `work`.
    pub fn tables_sql(&self, work: &Path) -> String {
        let work = work.display();
        let mut sql = String::from("SET spark.sql.session.timeZone = 'UTC';\n");
        for (key, value) in &self.conf {
            sql.push_str(&format!("SET {key} = '{}';\n", plain(value)));
        }
        for (name, stream) in &self.streams {
            let schema = plain(&stream["schema"]);
            sql.push_str(&format!(
                "CREATE TABLE {name} ({schema}) USING json OPTIONS (path '{work}/{name}', maxFilesPerTrigger '1');\n"
            ));
        }
        for (name, table) in &self.tables {
            let schema = plain(&table["schema"]);
            sql.push_str(&format!(
                "CREATE TABLE {name} ({schema}) USING json OPTIONS (path '{work}/static_{name}');\n"
            ));
        }
        for (name, view) in &self.views {
            sql.push_str(&format!("CREATE TEMPORARY VIEW {name} AS {};\n", plain(view)));
        }
        sql
    }

    /// The query, a deduplication written as the SQL that stands for it here.
    pub fn query_sql(&self) -> String {
        let Some(dedup) = &self.dedup else { return self.sql.clone() };
        let columns = dedup.cols.clone().unwrap_or_else(|| column_names(&self.schema));
        let within = if dedup.within { "WITHIN WATERMARK " } else { "" };
        let select = format!("SELECT DISTINCT ON ({}) {within}", columns.join(", "));
        let watermark = dedup
            .watermark
            .as_ref()
            .map(|(column, delay)| format!(" WATERMARK {column} DELAY OF INTERVAL {}", delay.to_uppercase()));
        format!("{}{}", self.sql.replacen("SELECT ", &select, 1), watermark.unwrap_or_default())
    }

    /// The whole script for the command: the console prints each batch as a line of JSON.
    pub fn script(&self, work: &Path) -> String {
        format!(
            "{}CREATE STREAMING TABLE q USING console OPTIONS (format 'json', outputMode '{}', checkpointLocation '{}/cp', \
             trigger 'availableNow') AS {};\n",
            self.tables_sql(work),
            self.mode,
            work.display(),
            self.query_sql()
        )
    }

    /// Runs the query in `session` over the input below `work`.
    pub async fn run_in(&self, session: &StreamSession, work: &Path) -> Result<Answer> {
        session.sql(&self.tables_sql(work)).await?;
        let frame = session.sql(&self.query_sql()).await?;
        answer_of(&frame, OutputMode::parse(&self.mode)?, &work.join("cp")).await
    }

    /// Runs the query below `work` as if the process had been stopped after every batch: the input comes file by file, each to
    /// a session of its own, with another number of state partitions. Only the last runs batches without data, as Spark does
    /// where there is always more to read.
    pub async fn run_with_restarts(&self, work: &Path) -> Result<Answer> {
        let mut answer = Answer::new();
        let to_error = |e: io::Error| Error::internal(e.to_string());
        self.write_tables(work).map_err(to_error)?;
        for number in 0..self.files() {
            self.write_files(work, number).map_err(to_error)?;
            let session = crate::session::session().await?;
            let is_last = number + 1 == self.files();
            session
                .sql(&format!(
                    "SET spark.sql.streaming.noDataMicroBatches.enabled = {is_last}; SET spark.sql.shuffle.partitions = {};",
                    1 + number % 3
                ))
                .await?;
            for (batch, rows) in self.run_in(&session, work).await? {
                answer.entry(batch).or_default().extend(rows);
            }
        }
        Ok(answer)
    }

    /// How `answer` differs from Spark's.
    pub fn difference(&self, answer: &Answer) -> Option<String> {
        let expected: Answer = self
            .expect
            .iter()
            .flatten()
            .filter(|batch| !batch.rows.is_empty())
            .map(|batch| (batch.batch, batch.rows.clone()))
            .collect();
        if !expected.keys().eq(answer.keys()) {
            let [spark, here] = [&expected, answer].map(|answer| answer.keys().copied().collect::<Vec<_>>());
            return Some(format!("batches with rows: Spark {spark:?}, here {here:?}"));
        }
        let in_order = self.sql.contains("ORDER BY");
        for (batch, rows) in &expected {
            let here = &answer[batch];
            if canonical_rows(rows, in_order) != canonical_rows(here, in_order) {
                let [rows, here] = [rows, here].map(|rows| Value::Array(rows.clone()).to_string());
                return Some(format!("batch {batch}:\n    Spark {rows}\n    here  {here}"));
            }
        }
        None
    }
}

/// Runs a streaming frame over everything that is there and gives its rows by batch.
pub async fn answer_of(frame: &DataFrame, mode: OutputMode, checkpoint: &Path) -> Result<Answer> {
    let batches: Arc<Mutex<Answer>> = Arc::default();
    let seen = Arc::clone(&batches);
    let query = frame
        .write_stream()
        .output_mode(mode)
        .trigger(Trigger::AvailableNow)
        .option("checkpointLocation", checkpoint.display())
        .foreach_batch(move |frame: DataFrame, batch_id| {
            let seen = Arc::clone(&seen);
            async move {
                let rows = json_rows(&frame.collect().await?)?;
                if !rows.is_empty() {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).insert(batch_id, rows);
                }
                Ok::<_, Error>(())
            }
        })
        .start()
        .await?;
    query.await_termination().await?;
    let answer = batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(answer)
}

/// Rows as the console's JSON writes them.
pub fn json_rows(batches: &[RecordBatch]) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for batch in batches {
        let mut text = b"[".to_vec();
        write_console_json(batch, ",", &mut text).map_err(|e| Error::internal(e.to_string()))?;
        text.push(b']');
        let parsed: Vec<Value> = serde_json::from_slice(&text).map_err(|e| Error::internal(e.to_string()))?;
        rows.extend(parsed);
    }
    Ok(rows)
}

/// The rows by batch that a console with JSON lines printed.
pub fn console_answer(stdout: &str) -> io::Result<Answer> {
    let mut answer = Answer::new();
    for line in stdout.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line)?;
        if let (Some(batch), Some(rows)) = (line["batch"].as_u64(), line["rows"].as_array())
            && !rows.is_empty()
        {
            answer.entry(batch).or_default().extend(rows.iter().cloned());
        }
    }
    Ok(answer)
}

/// Writes rows as JSON lines, modified at `modified_s` seconds since the epoch.
pub fn write_rows(path: &Path, rows: &Value, modified_s: u64) -> io::Result<()> {
    let lines: String = rows.as_array().into_iter().flatten().map(|row| format!("{row}\n")).collect();
    fs::write(path, lines)?;
    fs::File::options().write(true).open(path)?.set_modified(UNIX_EPOCH + Duration::from_secs(modified_s))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The top-level names in `struct<a:int,b:string>`, none of whose types is nested.
fn column_names(schema: &str) -> Vec<String> {
    let inner = schema.trim_start_matches("struct<").trim_end_matches('>');
    inner.split(',').filter_map(|field| field.split_once(':')).map(|(name, _)| name.to_string()).collect()
}
