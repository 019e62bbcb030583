//! Every recorded answer of Spark to a function, asked of these functions over the same table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::AssertUnwindSafe;

use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlanBuilder, col};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::FutureExt;
use serde_json::{Value, json};

use super::register_all;
use crate::dialect::{Statement, parse_script, plan_query};
use crate::expressions;
use crate::functions::recorded::{NoStreams, fixture, record, value};

/// How many of the recorded answers still differ, most of them in which error is given. It only ever goes down.
const DIFFERENT: usize = 92;

async fn context(zone: &str) -> Result<SessionContext, DataFusionError> {
    let config = SessionConfig::new()
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.execution.time_zone", zone)
        .with_target_partitions(1);
    let builder = register_all(SessionStateBuilder::new().with_config(config).with_default_features());
    let state = expressions::install(builder).build();
    let context = SessionContext::new_with_state(state);
    context.register_parquet("t", fixture("t.parquet").to_str().expect("utf-8"), ParquetReadOptions::default()).await?;
    Ok(context)
}

async fn ask(context: &SessionContext, sql: &str) -> Result<(DataType, Vec<Value>), DataFusionError> {
    let statements = parse_script(sql).map_err(|e| DataFusionError::Plan(e.to_string()))?;
    let Some(Statement::Query(query)) = statements.into_iter().next().map(|s| s.statement) else {
        return Err(DataFusionError::Plan(format!("no query: {sql}")));
    };
    let plan = plan_query(&context.state(), &NoStreams, &query).await?;
    let data_type = plan.schema().field(plan.schema().fields().len() - 1).data_type().clone();
    let is_one = plan.schema().fields().len() == 1;
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(
            (0..batch.num_rows()).map(|row| if is_one { value(batch.column(0), row) } else { record(batch, row) }),
        );
    }
    Ok((data_type, rows))
}

/// Equal, with a little room for doubles: Java's library and ours differ in the last digits of transcendental functions.
fn same(ours: &Value, spark: &Value) -> bool {
    match (ours, spark) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a == b || (a - b).abs() <= 1e-14 * a.abs().max(b.abs()),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => ours == spark,
    }
}

/// What is wrong with our answer, if anything.
async fn verdict(context: &SessionContext, record: &Value) -> Option<String> {
    let sql = record["sql"].as_str().expect("sql");
    let tail = record["from"].as_str().map_or(String::new(), |t| format!(" FROM {t}"));
    let ours = ask(context, &format!("SELECT {sql}{tail}")).await;
    match (ours, record.get("error")) {
        (Err(error), Some(expected)) => {
            let condition = expected["condition"].as_str().unwrap_or("");
            let text = error.to_string();
            let mut wrong = (!condition.is_empty() && !text.contains(&format!("[{condition}")))
                .then(|| format!("error {condition}: {text}"));
            for (at, each) in record["rows_each"].as_array().into_iter().flatten().enumerate() {
                let row = ask(context, &format!("SELECT {sql} FROM t WHERE id = {}", at + 1)).await;
                wrong = match (row, each.get("v"), each.get("rows")) {
                    (Ok((_, rows)), Some(v), _) if rows.len() == 1 && same(&rows[0], v) => wrong,
                    (Ok((_, rows)), None, Some(v)) if same(&Value::Array(rows.clone()), v) => wrong,
                    (Err(_), None, None) => wrong,
                    (Ok((_, rows)), ..) => Some(format!("row {}: {rows:?} for {each}", at + 1)),
                    (Err(error), ..) => Some(format!("row {}: {error} for {each}", at + 1)),
                };
            }
            wrong
        }
        (Err(error), None) => Some(error.to_string()),
        (Ok((_, rows)), Some(expected)) => Some(format!("{rows:?} where Spark fails: {expected}")),
        (Ok((data_type, rows)), None) => {
            let ours = millstream_formats::ddl::type_name(&data_type);
            if let Some(expected) = record["type"].as_str().filter(|expected| ours != **expected) {
                return Some(format!("type {ours} for {expected}"));
            }
            let expected = record["rows"].as_array()?;
            let is_same = rows.len() == expected.len() && rows.iter().zip(expected).all(|(a, b)| same(a, b));
            (!is_same).then(|| format!("{} for {}", Value::Array(rows), record["rows"]))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spark_s_recorded_answers() -> Result<(), DataFusionError> {
    let context = context("UTC").await?;
    let recorded = fs::read_to_string(fixture("expressions.jsonl"))?;
    let (mut asked, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for line in recorded.lines() {
        let record: Value = serde_json::from_str(line).expect("a JSON line");
        let group = record["group"].as_str().expect("group");
        if !group.starts_with("fn/") {
            continue;
        }
        *asked.entry(group.to_string()).or_default() += 1;
        let answered = AssertUnwindSafe(verdict(&context, &record)).catch_unwind().await;
        if let Some(why) = answered.unwrap_or_else(|_| Some("panicked".to_string())) {
            wrong.push(format!("{group}\t{}\t{why}", record["sql"].as_str().unwrap_or("")));
        }
    }
    if let Ok(path) = std::env::var("MILLSTREAM_WRONG_ANSWERS") {
        fs::write(path, wrong.join("\n"))?;
    }
    let all: usize = asked.values().sum();
    assert!(wrong.len() <= DIFFERENT, "{} of {all} differ:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// The table that `tests/record/function_zones.py` asks about.
const ZONED: &str =
    "(SELECT id, timestamp_seconds(at) ts, CAST(dt AS DATE) dt, CAST(n AS TIMESTAMP_NTZ) ntz, s, txt FROM VALUES
 (1, 1710054000L, '2024-03-10', '2024-03-10 02:30:00', 1710054000L, '2024-03-10 02:30:00'),
 (2, 1730611800L, '2024-11-03', '2024-11-03 01:30:00', 1730611800L, '2024-11-03 01:30:00'),
 (3, 1730615400L, '2024-12-31', '2024-11-03 01:30:00.25', 1730615400L, '1883-11-18 12:00:00'),
 (4, -3000000000L, '1970-01-01', '1969-12-31 23:59:59.999999', -1L, '1970-01-01 00:00:00'),
 (5, 1704085199L, '2023-12-31', '2024-01-01 00:00:00', 1704085199L, '2024-07-01 23:59:59')
 AS t(id, at, dt, n, s, txt)) z";

#[tokio::test]
async fn spark_s_answers_in_other_time_zones() -> Result<(), DataFusionError> {
    let mut wrong = Vec::new();
    for line in include_str!("fixtures/zones.jsonl").lines() {
        let record: Value = serde_json::from_str(line).expect("a JSON line");
        let (zone, sql) = (record["zone"].as_str().expect("zone"), record["sql"].as_str().expect("sql"));
        let context = context(zone).await?;
        match ask(&context, &format!("SELECT {sql} AS v FROM {ZONED} ORDER BY id")).await {
            Err(error) => wrong.push(format!("{zone}\t{sql}\t{error}")),
            Ok((data_type, rows)) => {
                let is_typed = record["type"] == millstream_formats::ddl::type_name(&data_type);
                if !is_typed || !same(&Value::Array(rows.clone()), &record["rows"]) {
                    wrong.push(format!("{zone}\t{sql}\t{data_type} {} for {}", Value::Array(rows), record["rows"]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_name_is_there_once_and_in_lower_case() {
    let names: Vec<&str> = super::FUNCTIONS.iter().map(|f| f.name).collect();
    let distinct: std::collections::HashSet<&str> = names.iter().copied().collect();
    assert_eq!(distinct.len(), names.len());
    assert!(names.iter().all(|name| *name == name.to_lowercase()));
}

#[test]
fn the_page_names_every_function() {
    let page = include_str!("../../../docs/sql.md");
    let (_, page) = page.split_once("\n## Functions\n").expect("a section about functions");
    let table = page.lines().filter(|line| line.starts_with("| "));
    let named: BTreeSet<&str> =
        table.flat_map(|line| line.split('`').skip(1).step_by(2)).flat_map(str::split_whitespace).collect();
    let aggregates = super::aggregate_functions();
    let scalars = super::FUNCTIONS.iter().map(|function| function.name);
    let known = scalars.chain(aggregates.iter().map(|function| function.name())).filter(|name| !name.starts_with('$'));
    // These are no functions to DataFusion.
    let known: BTreeSet<&str> = known.chain(["grouping_id", "window", "session_window"]).collect();
    assert_eq!(named.symmetric_difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// DataFusion's own functions are unknown, as they are in Spark.
#[tokio::test]
async fn what_spark_does_not_know_is_unknown() -> Result<(), DataFusionError> {
    let context = context("UTC").await?;
    for call in [
        "now_utc()",
        "array_has(array(1), 1)",
        "to_timestamp_millis(1)",
        "date_bin(1)",
        "strpos('a', 'b')",
        "charindex('a', 'b')",
    ] {
        let error = ask(&context, &format!("SELECT {call}")).await.expect_err(call).to_string();
        assert!(error.contains("[UNRESOLVED_ROUTINE]"), "{call}: {error}");
    }
    Ok(())
}

/// Arguments at the ends of their ranges are answered or refused; none of them panics or takes the memory.
#[tokio::test]
async fn extreme_arguments_do_no_harm() -> Result<(), DataFusionError> {
    let context = context("Asia/Kolkata").await?;
    let (least, most) = ("-2147483648", "2147483647");
    let calls = [
        "round(1.5D, {})",
        "round(12345, {})",
        "round(1.25, {})",
        "bround(12345L, {})",
        "ceil(1.25, {})",
        "date_add(DATE'2024-01-01', {})",
        "date_sub(DATE'9999-12-31', {})",
        "add_months(DATE'2024-01-01', {})",
        "last_day(date_from_unix_date({}))",
        "next_day(date_from_unix_date({}), 'MO')",
        "dayofweek(date_from_unix_date({}))",
        "weekofyear(date_from_unix_date({}))",
        "dateadd(YEAR, {}, TIMESTAMP'2024-01-01 00:00:00')",
        "dateadd(MICROSECOND, {}, TIMESTAMP'9999-12-31 00:00:00')",
        "timestamp_micros({}L * 4294967296)",
        "hour(timestamp_micros({}L * 4294967296))",
        "date_trunc('YEAR', timestamp_micros({}L * 4294967296))",
        "date_trunc('HOUR', timestamp_micros({}L * 4294967296))",
        "from_unixtime({}L * 4294967296)",
        "make_date({}, 1, 1)",
        "make_timestamp({}, 1, 1, 0, 0, 0)",
        "substring('abc', {}, {})",
        "substring('abc', {})",
        "left('abc', {})",
        "right('abc', {})",
        "split_part('a,b', ',', {})",
        "substring_index('a.b', '.', {})",
        "split('a,b', ',', {})",
        "slice(array(1, 2), {}, 1)",
        "slice(array(1, 2), 1, {})",
        "element_at(array(1), {})",
        "get(array(1), {})",
        "array_insert(array(1), {}, 2)",
        "array_repeat(1, {})",
        "sequence(0, {})",
        "sequence(DATE'0001-01-01', DATE'9999-12-31', INTERVAL '1' MONTH)",
        "elt({}, 'a')",
        "locate('a', 'abc', {})",
        "regexp_extract('abc', '(b)', {})",
        "regexp_replace('abc', 'b', 'x', {})",
        "conv('10', {}, 10)",
        "conv('10', 10, {})",
        "factorial({})",
        "shiftleft(1, {})",
        "bit_get(1, {})",
        "format_number(1.5, {})",
        "format_string('%1$2147483647d', {})",
        "format_string('%.2147483647f', 1.5D)",
        "chr({})",
        "pmod({}, -1)",
        "mod({}, -1)",
        "try_divide({}, 0)",
        "width_bucket(1D, 0D, 2D, {})",
        "overlay('abc', 'x', {})",
        "abs({})",
        "hash({})",
        "make_ym_interval({}, {})",
        "make_dt_interval({}, {})",
        "months_between(timestamp_micros({}L * 4294967296), TIMESTAMP'2024-01-01 00:00:00')",
        "datediff(date_from_unix_date({}), DATE'0001-01-01')",
    ];
    for call in calls {
        for argument in [least, most, "0", "-1"] {
            let sql = format!("SELECT {}", call.replace("{}", argument));
            let answered = AssertUnwindSafe(ask(&context, &sql)).catch_unwind().await;
            assert!(answered.is_ok(), "{sql}");
        }
    }
    Ok(())
}

/// Generators in plans that were built in Rust give the rows that they give in SQL.
#[tokio::test]
async fn generators_outside_sql_give_the_recorded_rows() -> Result<(), DataFusionError> {
    let context = context("UTC").await?;
    let recorded = fs::read_to_string(fixture("expressions.jsonl"))?;
    let recorded: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let calls = [
        ("explode", "arr"),
        ("explode_outer", "arr"),
        ("posexplode", "sarr"),
        ("posexplode_outer", "sarr"),
        ("explode", "m"),
        ("explode_outer", "m"),
        ("posexplode", "m"),
        ("inline", "nest"),
        ("inline_outer", "nest"),
    ];
    for (name, column) in calls {
        let sql = format!("id, {name}({column})");
        let expected = recorded.iter().find(|record| record["sql"] == sql).expect("a recorded answer");
        let call = super::function(name).expect("a generator").call(vec![col(column)]);
        let plan = LogicalPlanBuilder::from(context.table("t").await?.into_unoptimized_plan())
            .project([col("id"), call])?
            .build()?;
        let plan = super::rewrite_generators(plan)?;
        let names: Vec<&str> = plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(json!(names), expected["names"], "{sql}");
        let batches = context.execute_logical_plan(plan).await?.collect().await?;
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| record(batch, row))).collect();
        assert!(same(&Value::Array(rows), &expected["rows"]), "{sql}");
    }
    Ok(())
}
