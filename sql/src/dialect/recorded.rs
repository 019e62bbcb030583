//! Every recorded answer of Spark to an expression of operators, casts, literals and accesses, asked of our planner over the
//! same table: the column's name, its type, its values or its error.
//!
//! `known_differences.txt` lists what still differs and why; a line of it that differs no longer fails the test.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use millstream_formats::ddl;
use serde_json::{Value, json};

use super::{Statement, parse_script, plan_query};
use crate::functions::recorded::{NoStreams, fixture, record, value};

/// The groups that are asked; the functions' are asked where the functions are.
const GROUPS: &[&str] = &["op/", "cast/", "literal", "access", "name"];

fn context() -> SessionContext {
    let config = SessionConfig::new()
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_str("datafusion.execution.time_zone", "UTC")
        .with_target_partitions(1);
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    SessionContext::new_with_state(crate::expressions::install(functions(builder)).build())
}

fn functions(builder: SessionStateBuilder) -> SessionStateBuilder {
    crate::functions::register_all(builder)
}

/// The table, once whole and once a row at a time.
async fn tables() -> Result<(SessionContext, Vec<SessionContext>)> {
    let reader = context();
    let path = fixture("t.parquet");
    let frame = reader.read_parquet(path.to_str().unwrap_or_default(), ParquetReadOptions::default()).await?;
    let batches = frame.collect().await?;
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(fixture("t.json"))?)
        .map_err(|error| DataFusionError::External(error.into()))?;
    let schema = ddl::parse_schema(recorded["schema"].as_str().unwrap_or_default())
        .map_err(|error| DataFusionError::Plan(error.to_string()))?;
    let whole = concat_batches(&batches[0].schema(), &batches)?;
    let columns = whole
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    let whole = RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)?;
    let with = |batch: RecordBatch| -> Result<SessionContext> {
        let context = context();
        context.register_table("t", Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))?;
        Ok(context)
    };
    let single = (0..whole.num_rows()).map(|row| with(whole.slice(row, 1))).collect::<Result<_>>()?;
    Ok((with(whole)?, single))
}

/// Names, types and rows of an answer.
type Answer = (Vec<String>, Vec<DataType>, Vec<Value>);

async fn ask(context: &SessionContext, sql: &str) -> Result<Answer> {
    let statement = parse_script(sql)?.remove(0).statement;
    let Statement::Query(query) = statement else { return Err(DataFusionError::Plan("not a query".to_string())) };
    let plan = plan_query(&context.state(), &NoStreams, &query).await?;
    let fields = plan.schema().fields().clone();
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend((0..batch.num_rows()).map(|row| match batch.columns() {
            [column] => value(column, row),
            _ => record(batch, row),
        }));
    }
    Ok((
        fields.iter().map(|field| field.name().clone()).collect(),
        fields.iter().map(|field| field.data_type().clone()).collect(),
        rows,
    ))
}

/// The condition of our error, without what is after the point.
fn condition(error: &DataFusionError) -> String {
    let text = error.to_string();
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(inside, _)| inside);
    if inside.is_empty() { text } else { inside.split('.').next().unwrap_or(inside).to_string() }
}

/// What is different between our answer and Spark's, if anything.
fn difference(recorded: &Value, answer: &Result<Answer>, rows: Option<&[Value]>) -> Option<String> {
    let expected_error = recorded.get("error").map(|error| error["condition"].as_str().unwrap_or("").to_string());
    let (names, types, our_rows) = match (answer, &expected_error) {
        (Err(error), Some(expected)) => {
            let expected = expected.split('.').next().unwrap_or("");
            let ours = condition(error);
            // A syntax error of theirs and ours have no condition in common.
            return (ours != expected && !expected.is_empty()).then(|| format!("error {expected}, ours {ours}"));
        }
        (Err(error), None) => return Some(format!("ours fails: {error}")),
        (Ok(_), Some(expected)) if recorded.get("name").is_none_or(Value::is_null) => {
            return Some(format!("error {expected}, ours answers"));
        }
        (Ok(answer), Some(expected)) => match rows {
            Some(_) => answer,
            None => return Some(format!("error {expected}, ours answers {:?}", answer.2)),
        },
        (Ok(answer), None) => answer,
    };
    let expected_names: Vec<&str> = match recorded.get("names") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => recorded["name"].as_str().into_iter().collect(),
    };
    if names.iter().map(String::as_str).ne(expected_names.iter().copied()) {
        return Some(format!("names {expected_names:?}, ours {names:?}"));
    }
    let expected_types: Vec<&str> = match recorded.get("types") {
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        _ => recorded["type"].as_str().into_iter().collect(),
    };
    for (expected, ours) in expected_types.iter().zip(types) {
        let ours = ddl::type_name(ours);
        let is_same = *expected == ours || (expected.starts_with("interval ") && ours.starts_with("interval "));
        if !is_same {
            return Some(format!("type {expected}, ours {ours}"));
        }
    }
    let expected = rows.or_else(|| recorded["rows"].as_array().map(Vec::as_slice)).unwrap_or_default();
    let is_interval = expected_types.iter().any(|name| name.starts_with("interval"));
    if !is_interval && !same_rows(expected, our_rows) {
        return Some(format!("rows {}, ours {}", json!(expected), json!(our_rows)));
    }
    None
}

fn same_rows(expected: &[Value], ours: &[Value]) -> bool {
    expected.len() == ours.len() && expected.iter().zip(ours).all(|(expected, ours)| same_value(expected, ours))
}

fn same_value(expected: &Value, ours: &Value) -> bool {
    match (expected, ours) {
        (Value::Number(expected), Value::Number(ours)) => match (expected.as_i64(), ours.as_i64()) {
            (Some(expected), Some(ours)) => expected == ours,
            // The JSON reader here is off by a bit now and then.
            _ => {
                (expected.as_f64().unwrap_or(0.0) - ours.as_f64().unwrap_or(1.0)).abs()
                    <= expected.as_f64().unwrap_or(0.0).abs() * 4e-16
            }
        },
        (Value::Array(expected), Value::Array(ours)) => same_rows(expected, ours),
        (Value::Object(expected), _) if expected.contains_key("$string") => true,
        (Value::Object(expected), Value::Object(ours)) => {
            expected.len() == ours.len()
                && expected.iter().all(|(key, value)| ours.get(key).is_some_and(|ours| same_value(value, ours)))
        }
        _ => expected == ours,
    }
}

#[tokio::test]
async fn expressions_answer_as_in_spark() -> Result<()> {
    let (whole, single) = tables().await?;
    let known: Vec<&str> = include_str!("known_differences.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    let mut unused: BTreeSet<&str> =
        known.iter().copied().filter(|line| !line.ends_with("the functions' own")).collect();
    let (mut asked, mut differences) = (0, Vec::new());
    for line in std::fs::read_to_string(fixture("expressions.jsonl"))?.lines() {
        let recorded: Value = serde_json::from_str(line).map_err(|error| DataFusionError::External(error.into()))?;
        let (group, sql) = (recorded["group"].as_str().unwrap_or(""), recorded["sql"].as_str().unwrap_or(""));
        if !GROUPS.iter().any(|asked| group.starts_with(asked)) {
            continue;
        }
        asked += 1;
        let from = if recorded["from"].is_null() { "" } else { " FROM t" };
        let query = format!("SELECT {sql}{from}");
        let mut found = difference(&recorded, &ask(&whole, &query).await, None);
        if let (None, Some(Value::Array(each))) = (&found, recorded.get("rows_each")) {
            for (context, expected) in single.iter().zip(each) {
                let answer = ask(context, &query).await;
                found = match (expected.get("error"), &answer) {
                    (Some(_), Err(_)) => None,
                    (Some(error), Ok(answer)) => Some(format!("row error {error}, ours {:?}", answer.2)),
                    (None, _) => {
                        let rows = expected["rows"].as_array().cloned().unwrap_or_else(|| vec![expected["v"].clone()]);
                        let mut recorded = recorded.clone();
                        if let Some(object) = recorded.as_object_mut() {
                            object.remove("error");
                        }
                        difference(&recorded, &answer, Some(&rows))
                    }
                };
                if found.is_some() {
                    break;
                }
            }
        }
        let listed = known.iter().find(|line| line.strip_prefix(sql).is_some_and(|rest| rest.starts_with("    # ")));
        match (found, listed) {
            (Some(_), Some(line)) => {
                unused.remove(line);
            }
            (Some(found), None) => differences.push(format!("{group}: {sql}: {found}")),
            (None, _) => {}
        }
    }
    let stale: Vec<&str> = unused.into_iter().collect();
    assert!(asked > 2500, "only {asked} expressions were asked");
    assert!(stale.is_empty(), "known differences that are none any more:\n{}", stale.join("\n"));
    assert!(
        differences.is_empty(),
        "{} of {asked} expressions differ from Spark:\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}
