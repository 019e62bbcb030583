//! Every recorded answer of Spark to an aggregate query, and the promise that states merge in any grouping of the input.

mod from_rust;
mod merging;
mod sent;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, DurationMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use millstream_formats::ddl;
use serde_json::{Value, json};

use crate::dialect::{Statement, parse_script, plan_query};
use crate::expressions;
use crate::functions::recorded::{self, NoStreams, fixture};
use crate::functions::register_all;

/// Groups of questions, each of which is one test.
fn recorded(groups: &[&str]) -> (Value, Vec<Value>) {
    let text = std::fs::read_to_string(fixture("aggregates.jsonl")).expect("the recorded answers");
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let tables = lines.next().expect("the tables")["tables"].clone();
    (tables, lines.filter(|line| groups.contains(&line["group"].as_str().unwrap_or(""))).collect())
}

fn empty_context() -> SessionContext {
    let config = SessionConfig::new()
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.execution.time_zone", "UTC")
        .set_usize("datafusion.execution.batch_size", 5)
        .with_target_partitions(1);
    let builder = register_all(SessionStateBuilder::new().with_config(config).with_default_features());
    SessionContext::new_with_state(expressions::install(builder).build())
}

/// The tables, in batches of three rows and one partition: first, last and collect_list depend on the rows' order.
async fn context(tables: &Value) -> Result<SessionContext> {
    let context = empty_context();
    for (name, sql) in tables.as_object().into_iter().flatten() {
        let (_, rows) = run(&context, sql.as_str().unwrap_or("")).await?;
        let whole = arrow::compute::concat_batches(&rows[0].schema(), &rows)?;
        let pieces = (0..whole.num_rows()).step_by(3).map(|row| whole.slice(row, 3.min(whole.num_rows() - row)));
        let table = MemTable::try_new(whole.schema(), vec![pieces.collect()])?;
        context.register_table(name.as_str(), Arc::new(table))?;
    }
    Ok(context)
}

async fn run(context: &SessionContext, sql: &str) -> Result<(Vec<(String, DataType)>, Vec<RecordBatch>)> {
    let statement = parse_script(sql).map_err(|error| DataFusionError::Plan(error.to_string()))?.remove(0).statement;
    let Statement::Query(query) = statement else { return Err(DataFusionError::Plan("not a query".to_string())) };
    let plan = plan_query(&context.state(), &NoStreams, &query).await?;
    let columns =
        plan.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
    Ok((columns, context.execute_logical_plan(plan).await?.collect().await?))
}

fn shown(array: &ArrayRef, row: usize) -> Value {
    match array.data_type() {
        _ if array.is_null(row) => Value::Null,
        DataType::Duration(_) => json!(array.as_primitive::<DurationMicrosecondType>().value(row)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|at| shown(&items, at)).collect())
        }
        _ => recorded::value(array, row),
    }
}

/// Equal, but for the last digits of doubles, which depend on the order of additions.
fn same(ours: &Value, spark: &Value) -> bool {
    match (ours, spark) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => {
                let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(1.0));
                (a - b).abs() <= 1e-12 * a.abs().max(b.abs()) || (a - b).abs() < 1e-14
            }
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => ours == spark,
    }
}

/// What is wrong with our answer, if anything.
async fn difference(context: &SessionContext, record: &Value) -> Option<String> {
    let sql = record["sql"].as_str().unwrap_or("");
    let ours = run(context, sql).await;
    let (columns, batches) = match (ours, record.get("error")) {
        (Err(error), Some(expected)) => {
            let condition = expected["condition"].as_str().unwrap_or("").split('.').next().unwrap_or("");
            let has_name = !condition.is_empty() && !condition.starts_with('_');
            let text = error.to_string();
            return (has_name && !text.contains(&format!("[{condition}")))
                .then(|| format!("error {condition}: {text}"));
        }
        (Err(error), None) => return Some(error.to_string()),
        (Ok(_), Some(expected)) => return Some(format!("answered where Spark fails: {expected}")),
        (Ok(answer), None) => answer,
    };
    let types: Vec<String> = columns.iter().map(|(_, data_type)| ddl::type_name(data_type)).collect();
    let expected = record["types"].as_array()?.iter().map(|name| name.as_str().unwrap_or(""));
    let is_typed =
        |ours: &str, spark: &str| ours == spark || spark.starts_with("interval") && ours.starts_with("interval");
    if !types.iter().map(String::as_str).zip(expected).all(|(ours, spark)| is_typed(ours, spark)) {
        return Some(format!("types {types:?} for {}", record["types"]));
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    if json!(names) != record["names"] {
        return Some(format!("names {names:?} for {}", record["names"]));
    }
    let row = |batch: &RecordBatch, row: usize| Value::Array(batch.columns().iter().map(|c| shown(c, row)).collect());
    let rows: Vec<Value> = batches.iter().flat_map(|b| (0..b.num_rows()).map(move |at| row(b, at))).collect();
    let rows = Value::Array(rows);
    let is_interval = types.iter().any(|name| name.contains("year"));
    (!is_interval && !same(&rows, &record["rows"])).then(|| format!("{rows} for {}", record["rows"]))
}

async fn check(groups: &[&str]) -> Result<()> {
    let (tables, records) = recorded(groups);
    let context = context(&tables).await?;
    let known: Vec<&str> =
        include_str!("known_differences.txt").lines().filter(|line| !line.starts_with('#')).collect();
    let mut wrong = Vec::new();
    for record in &records {
        let sql = record["sql"].as_str().unwrap_or("");
        let is_known = known.iter().any(|line| line.split("    # ").next() == Some(sql));
        match difference(&context, record).await {
            Some(why) if !is_known => wrong.push(format!("{sql}\n    {why}")),
            None if is_known => wrong.push(format!("{sql}\n    is no known difference any more")),
            _ => {}
        }
    }
    assert!(!records.is_empty(), "nothing is recorded of {groups:?}");
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), records.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn of_every_type() -> Result<()> {
    check(&["type", "pairs"]).await
}

#[tokio::test]
async fn global_empty_filtered_distinct() -> Result<()> {
    check(&["global", "empty", "filter", "distinct"]).await
}

#[tokio::test]
async fn special_forms() -> Result<()> {
    check(&["special", "extremes"]).await
}

#[tokio::test]
async fn grouping_sets() -> Result<()> {
    check(&["grouping", "rollup"]).await
}

#[tokio::test]
async fn many_rows() -> Result<()> {
    check(&["many"]).await
}

#[tokio::test]
async fn what_spark_refuses() -> Result<()> {
    check(&["refused"]).await
}
