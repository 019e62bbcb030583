//! Examples of connectors that users write.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use millstream_tests::TestResult;
use rusqlite::Connection;

use super::model::{number, text};
use super::{all_input, cells, run, tables};

#[test]
fn custom_source_reads_every_whole_line_of_the_log() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("custom_source", work.path())?.stdout);
    let log = fs::read_to_string(work.path().join("mill.log"))?;
    let mut expected: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
    let mut position = 0;
    for line in log.split_inclusive('\n') {
        let level = expected.entry(line.split(' ').next().unwrap_or_default()).or_default();
        *level = (level.0 + 1, position);
        position += line.len();
    }
    let expected: Vec<[String; 3]> =
        expected.iter().map(|(level, (lines, at))| [level.to_string(), lines.to_string(), at.to_string()]).collect();
    let last = shown.last().ok_or("nothing was printed")?;
    assert_eq!(shown.len(), 2, "before the log grew, and after");
    assert_eq!(cells(last, ["level", "lines", "latest"]), expected);
    Ok(())
}

/// Order, item, cents, time.
type Order = (i64, Option<String>, i64, String);

/// The table.
fn large_orders(folder: &Path) -> TestResult<Vec<Order>> {
    let database = Connection::open(folder.join("out.sqlite"))?;
    let mut rows = database.prepare("SELECT \"order\", item, total, at FROM large_orders ORDER BY 1")?;
    let rows = rows.query_map((), |row| {
        let total: f64 = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, (total * 100.0).round() as i64, row.get(3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[test]
fn custom_sink_has_each_row_once_though_a_batch_comes_again() -> TestResult {
    let work = tempfile::tempdir()?;
    run("custom_sink", work.path())?;
    let mut expected = Vec::new();
    for order in all_input(&work.path().join("orders"))? {
        let price = (order["price"].as_f64().ok_or("no price")? * 100.0).round() as i64;
        let cents = price * number(&order, "quantity");
        if cents > 4800 {
            let item = order["item"].as_str().map(str::to_string);
            expected.push((number(&order, "order"), item, cents, text(&order, "at")[11..16].to_string()));
        }
    }
    assert_eq!(large_orders(work.path())?, expected);
    // As after a crash right after the sink has the last batch: it is given it again.
    fs::remove_file(work.path().join("checkpoint/commits/2"))?;
    run("custom_sink", work.path())?;
    assert!(work.path().join("checkpoint/commits/2").exists(), "the batch did not come again");
    assert_eq!(large_orders(work.path())?, expected);
    Ok(())
}
