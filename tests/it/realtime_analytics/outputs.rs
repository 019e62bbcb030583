//! What the pipeline gave out, read by others than itself; rows as in `answers.rs`, sorted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use datafusion::prelude::{ParquetReadOptions, SessionContext};
use millstream_tests::TestResult;
use millstream_tests::sink_log::logged_files;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use super::answers::texts_of;

/// What the console was given: the last row of each window and page.
#[derive(Default)]
pub(super) struct Console(BTreeMap<(String, String), Value>);

impl Console {
    /// Reads a line, which is a batch.
    pub(super) fn add(&mut self, line: &str) -> TestResult {
        let batch: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        assert_eq!(batch["query"], "page_views", "{line}");
        for row in batch["rows"].as_array().ok_or("no rows")? {
            self.0.insert((second(&row["window_start"])?, text(&row["page_url"])?), row.clone());
        }
        Ok(())
    }

    /// The rows.
    pub(super) fn last_rows(&self) -> TestResult<Vec<String>> {
        let mut rows = Vec::new();
        for ((start, page), row) in &self.0 {
            let each = hundredths(&row["views_per_visitor"])?;
            rows.push(format!("{start}|{page}|{}|{}|{}|{each}", row["views"], row["visitors"], row["sessions"]));
        }
        rows.sort();
        Ok(rows)
    }
}

/// The table of suspicions.
pub(super) fn fraud(database: &Path) -> TestResult<Vec<String>> {
    let database = rusqlite::Connection::open(database)?;
    let mut rows = database.prepare(
        "SELECT substr(window_start, 1, 19) || '|' || user_id || '|' || payments || '|' || CAST(round(total * 100) AS INTEGER)
                || '|' || merchants || '|' || methods || '|' || score
         FROM fraud",
    )?;
    let mut rows = rows.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    rows.sort();
    Ok(rows)
}

/// The same, where it was written to files.
pub(super) async fn fraud_in_parquet(folder: &Path) -> TestResult<Vec<String>> {
    let columns =
        "left(CAST(window_start AS VARCHAR), 19), user_id, payments, CAST(round(total * 100) AS BIGINT), merchants,
                   array_to_string(methods, ','), score";
    rows_of_files(folder, |_| Ok(columns.to_string())).await
}

/// The rows of the lake, with the day of the folder they lie in.
pub(super) async fn sessions(lake: &Path) -> TestResult<Vec<String>> {
    let columns = |file: &Path| {
        let folder = file.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let date = folder.strip_prefix("date=").ok_or("no folder of a day")?;
        Ok(format!(
            "'{date}', left(CAST(window_start AS VARCHAR), 19), session_id, user_id, events, array_to_string(pages, ','),
             left(CAST(started AS VARCHAR), 19), left(CAST(ended AS VARCHAR), 19), duration_seconds"
        ))
    };
    rows_of_files(lake, columns).await
}

async fn rows_of_files(folder: &Path, columns: impl Fn(&Path) -> TestResult<String>) -> TestResult<Vec<String>> {
    let context = SessionContext::new();
    let mut rows = Vec::new();
    for file in logged_files(folder)? {
        context.register_parquet("file", &file.display().to_string(), ParquetReadOptions::default()).await?;
        rows.extend(texts_of(&context, &format!("SELECT concat_ws('|', {}) FROM file", columns(&file)?)).await?);
        context.deregister_table("file")?;
    }
    rows.sort();
    Ok(rows)
}

/// The messages of the topic.
pub(super) fn recommendations(servers: &str) -> TestResult<Vec<String>> {
    let mut rows = Vec::new();
    for (key, value) in messages(servers, "recommendations")? {
        let row: Value = serde_json::from_str(&value).map_err(|e| format!("{value}: {e}"))?;
        assert_eq!(key, row["user_id"].as_str().unwrap_or_default(), "{value}");
        let list = |field: &str| {
            let items = row[field].as_array()?.iter().map(|item| item.as_str().unwrap_or("?"));
            Some(items.collect::<Vec<_>>().join(","))
        };
        let average = match &row["average_amount"] {
            Value::Null => "-".to_string(),
            amount => hundredths(amount)?.to_string(),
        };
        let (pages, merchants) =
            (list("pages").ok_or("no pages")?, list("merchants").unwrap_or_else(|| "-".to_string()));
        rows.push(format!("{}|{key}|{pages}|{merchants}|{average}", second(&row["window_start"])?));
    }
    rows.sort();
    Ok(rows)
}

/// All committed messages of a topic's only partition.
fn messages(servers: &str, topic: &str) -> TestResult<Vec<(String, String)>> {
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "realtime-analytics-test")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    reader.assign(&from)?;
    let mut messages = Vec::new();
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    loop {
        match reader.poll(Duration::from_secs(30)).ok_or("the topic could not be read to its end")? {
            Ok(message) => messages.push((text(message.key()), text(message.payload()))),
            Err(KafkaError::PartitionEOF(_)) => return Ok(messages),
            Err(error) => return Err(error.into()),
        }
    }
}

fn text(value: &Value) -> TestResult<String> {
    Ok(value.as_str().ok_or_else(|| format!("{value} is no text"))?.to_string())
}

/// A time without what is smaller than a second.
fn second(value: &Value) -> TestResult<String> {
    Ok(text(value)?.get(..19).ok_or_else(|| format!("{value} is no time"))?.to_string())
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
fn hundredths(value: &Value) -> TestResult<i64> {
    Ok((value.as_f64().ok_or_else(|| format!("{value} is no number"))? * 100.0).round() as i64)
}
