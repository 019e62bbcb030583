//! Examples that look at each row by itself, or at each batch.

use std::collections::{BTreeMap, BTreeSet};

use millstream_tests::TestResult;
use millstream_tests::markdown::repository;
use rusqlite::Connection;
use serde_json::Value;

use super::model::{counted, number, text};
use super::{all_input, cells, input, run, tables};

#[test]
fn quickstart_shows_the_slow_clicks() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("quickstart", work.path())?.stdout);
    let files = input(&repository().join("examples/data/clicks"))?;
    assert_eq!(shown.len(), files.len(), "one batch for each file");
    for (batch, rows) in shown.iter().zip(files) {
        let slow = rows.iter().filter(|row| number(row, "ms") > 500);
        let expected: Vec<[String; 4]> = slow
            .map(|row| {
                let seconds = number(row, "ms") as f64 / 1000.0;
                let time = text(row, "at")[11..19].to_string();
                [text(row, "user_id"), text(row, "page").to_uppercase(), time, seconds.to_string()]
            })
            .collect();
        assert_eq!(cells(batch, ["user_id", "page", "time", "seconds"]), expected);
    }
    Ok(())
}

#[test]
fn rate_to_memory_counts_the_multiples_of_seven() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("rate_to_memory", work.path())?.stdout);
    let found: BTreeMap<String, (i64, i64)> = shown[0]
        .iter()
        .map(|row| Ok((row["divisible"].clone(), (row["n"].parse()?, row["largest"].parse()?))))
        .collect::<TestResult<_>>()?;
    // However many whole batches of a thousand rows there were.
    let rows = found.values().map(|(n, _)| n).sum::<i64>();
    assert!(rows >= 4000 && rows % 1000 == 0, "{found:?}");
    let of = |divisible: bool| (0..rows).filter(move |value| (value % 7 == 0) == divisible);
    let expected = |divisible: bool| (of(divisible).count() as i64, of(divisible).max().unwrap_or(0));
    assert_eq!(found, BTreeMap::from([("true".to_string(), expected(true)), ("false".to_string(), expected(false))]));
    Ok(())
}

#[test]
fn enrichment_finds_the_customer_of_every_order() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("enrichment", work.path())?.stdout);
    let customers = std::fs::read_to_string(work.path().join("customers.csv"))?;
    let customers: BTreeMap<i64, Vec<&str>> = customers
        .lines()
        .skip(1)
        .map(|line| Ok((line.split(',').next().unwrap_or_default().parse()?, line.split(',').skip(1).collect())))
        .collect::<TestResult<_>>()?;
    let files = input(&work.path().join("orders"))?;
    assert_eq!(shown.len(), files.len(), "one batch for each file");
    let unknown = vec!["unknown", "NULL"];
    for (batch, orders) in shown.iter().zip(files) {
        let expected: BTreeSet<[String; 4]> = orders
            .iter()
            .map(|order| {
                let customer = customers.get(&number(order, "customer")).unwrap_or(&unknown);
                let amount = format!("{:?}", number(order, "cents") as f64 / 100.0);
                [number(order, "order").to_string(), customer[0].to_string(), customer[1].to_string(), amount]
            })
            .collect();
        let found = cells(batch, ["order", "name", "country", "amount"]);
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    Ok(())
}

/// Cents of an order: what is added up stays exact.
fn cents(order: &Value) -> i64 {
    (order["price"].as_f64().expect("a price") * 100.0).round() as i64 * number(order, "quantity")
}

fn in_cents(amount: f64) -> i64 {
    (amount * 100.0).round() as i64
}

#[test]
fn multi_sink_writes_every_order_into_all_three_places() -> TestResult {
    let work = tempfile::tempdir()?;
    // The second run finds nothing new, and changes nothing.
    for first in [true, false] {
        let ran = run("multi_sink", work.path())?;
        let batches = input(&work.path().join("orders"))?;
        let orders = batches.concat();

        let metrics = batches.iter().enumerate().map(|(batch, orders)| {
            let revenue = orders.iter().map(cents).sum::<i64>() as f64 / 100.0;
            format!("batch {batch}: {} orders worth {revenue:.2}\n", orders.len())
        });
        assert_eq!(ran.stderr, if first { metrics.collect::<String>() } else { String::new() });

        let mut in_lake = BTreeMap::new();
        for row in &tables(&ran.stdout)[0] {
            in_lake.insert(row["country"].clone(), (row["orders"].parse()?, in_cents(row["revenue"].parse()?)));
        }
        let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for order in &orders {
            let country = expected.entry(text(order, "country")).or_default();
            *country = (country.0 + 1, country.1 + cents(order));
        }
        assert_eq!(in_lake, expected);

        let database = Connection::open(work.path().join("orders.sqlite"))?;
        let mut rows = database.prepare("SELECT id, country, item, total FROM orders ORDER BY id")?;
        let rows = rows.query_map((), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, in_cents(row.get(3)?)))
        })?;
        let expected: Vec<_> =
            orders.iter().map(|o| (number(o, "order"), text(o, "country"), text(o, "item"), cents(o))).collect();
        assert_eq!(rows.collect::<Result<Vec<_>, _>>()?, expected);
    }
    Ok(())
}

#[test]
fn upsert_adds_the_batch_that_comes_twice_once() -> TestResult {
    let work = tempfile::tempdir()?;
    let ran = run("upsert", work.path())?;
    for said in ["batch 2 is added", "the connection broke", "batch 2 is there already", "batch 3 is added"] {
        assert_eq!(ran.stderr.matches(said).count(), 1, "{said}: {}", ran.stderr);
    }
    let clicks = all_input(&repository().join("examples/data/clicks"))?;
    let views = counted(clicks.iter().map(|click| text(click, "page")));
    let slowest = |page: &str| clicks.iter().filter(|c| text(c, "page") == *page).map(|c| number(c, "ms")).max();
    let expected: BTreeSet<Vec<String>> = views
        .iter()
        .map(|(page, views)| vec![page.clone(), views.to_string(), slowest(page).unwrap_or(0).to_string()])
        .collect();
    let lines = ran.stdout.lines().skip(1);
    let found = lines.map(|line| line.split_whitespace().map(str::to_string).collect());
    assert_eq!(found.collect::<BTreeSet<Vec<String>>>(), expected);
    Ok(())
}
