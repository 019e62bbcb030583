//! Examples that talk to a Kafka broker, here to the one in their own process.

use std::collections::BTreeMap;
use std::fs;

use millstream_tests::TestResult;
use millstream_tests::markdown::repository;
use serde_json::Value;

use super::model::{clock, counted, number, seconds, text};
use super::{cells, run, tables};

fn clicks(file: &str) -> TestResult<Vec<Value>> {
    let lines = fs::read_to_string(repository().join("examples/data/clicks").join(file))?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

#[test]
fn kafka_to_console_shows_every_message_with_its_place() -> TestResult {
    let work = tempfile::tempdir()?;
    let ran = run("kafka_to_console", work.path())?;
    let shown = tables(&ran.stdout).concat();
    let found = counted(cells(&shown, ["user_id", "page", "seconds"]));
    let expected = clicks("001.json")?.into_iter().map(|click| {
        let seconds = number(&click, "ms") as f64 / 1000.0;
        [text(&click, "user_id"), text(&click, "page"), seconds.to_string()]
    });
    assert_eq!(found, counted(expected));
    let mut offsets: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for [partition, offset] in cells(&shown, ["partition", "offset"]) {
        offsets.entry(partition).or_default().push(offset.parse()?);
    }
    for (partition, offsets) in offsets {
        assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>(), "partition {partition}");
    }
    assert!(ran.stderr.contains(r#"{"millstream-clicks":{"0":0,"1":0}}"#), "{}", ran.stderr);
    Ok(())
}

#[test]
fn kafka_to_kafka_counts_clicks_by_minute_and_page() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("kafka_to_kafka", work.path())?.stdout);
    let minute = |click: &Value| seconds(&click["at"]) / 60 * 60;
    let expected = counted(clicks("002.json")?.iter().map(|click| (minute(click), text(click, "page"))));
    let expected: Vec<[String; 3]> = expected
        .into_iter()
        .map(|((start, page), clicks)| [format!("2026-03-02 {}", clock(start)), page, clicks.to_string()])
        .collect();
    assert_eq!(shown.len(), 1, "the table that is read back");
    assert_eq!(cells(&shown[0], ["start", "page", "clicks"]), expected);
    Ok(())
}
