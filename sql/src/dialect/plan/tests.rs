//! Queries over small tables: what resolves, what the columns are called, what the rows are.

use std::sync::{Arc, Mutex};

use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::{Column, DataFusionError, Result, TableReference};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use millstream_formats::types::timestamp;

use super::{StreamCatalog, TimeWindow, plan_expression, plan_query};
use crate::dialect::{Statement, parse_script};

/// A catalog whose streams are the tables of the session; it notes what it is asked.
struct Streams<'a> {
    context: &'a SessionContext,
    asked: Mutex<Vec<String>>,
}

impl Streams<'_> {
    fn note(&self, what: String) {
        self.asked.lock().expect("no test panics while it holds the lock").push(what);
    }
}

impl StreamCatalog for Streams<'_> {
    fn stream_plan(&self, name: &TableReference, options: &[(String, String)]) -> Result<LogicalPlan> {
        self.note(format!("stream {name} {options:?}"));
        let provider = futures::executor::block_on(self.context.table_provider(name.table().to_lowercase()))?;
        LogicalPlanBuilder::scan("s", datafusion::datasource::provider_as_source(provider), None)?.build()
    }

    fn watermark_plan(&self, input: LogicalPlan, column: &Column, delay_ms: i64) -> Result<LogicalPlan> {
        self.note(format!("watermark {column} {delay_ms}"));
        Ok(input)
    }

    fn deduplicate_plan(
        &self,
        input: LogicalPlan,
        columns: Vec<Column>,
        within_watermark: bool,
    ) -> Result<LogicalPlan> {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        self.note(format!("deduplicate {} {within_watermark}", columns.join(" ")));
        Ok(input)
    }

    fn window_plan(&self, input: LogicalPlan, window: &TimeWindow) -> Result<LogicalPlan> {
        self.note(format!("{} of {} arguments", window.name, window.arguments.len()));
        let bounds = datafusion::functions::core::expr_fn::named_struct(vec![
            lit("start"),
            window.arguments[0].clone(),
            lit("end"),
            window.arguments[0].clone(),
        ]);
        let mut columns: Vec<_> =
            input.schema().columns().into_iter().map(datafusion::logical_expr::Expr::Column).collect();
        columns.push(bounds.alias(&window.name));
        LogicalPlanBuilder::from(input).project(columns)?.build()
    }
}

fn context() -> Result<SessionContext> {
    let config = SessionConfig::new().set_str("datafusion.execution.time_zone", "UTC").with_target_partitions(1);
    let builder =
        crate::functions::register_all(SessionStateBuilder::new().with_config(config).with_default_features());
    let context = SessionContext::new_with_state(crate::expressions::install(builder).build());
    let inner = vec![Field::new("Lat", DataType::Int32, true)];
    let schema = Arc::new(Schema::new(vec![
        Field::new("userId", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", timestamp(), true),
        Field::new("geo", DataType::Struct(inner.clone().into()), true),
    ]));
    let times = TimestampMicrosecondArray::from(vec![0, 60_000_000, 120_000_000]).with_timezone("UTC");
    let geo = StructArray::new(inner.into(), vec![Arc::new(Int32Array::from(vec![1, 2, 3]))], None);
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a", "b", "a"])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(times),
        Arc::new(geo),
    ];
    let events = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    context.register_table("ev", Arc::new(MemTable::try_new(schema, vec![vec![events]])?))?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("UserID", DataType::Utf8, true),
        Field::new("Name", DataType::Utf8, true),
    ]));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["a", "c"])), Arc::new(StringArray::from(vec!["Ann", "Cy"]))];
    let users = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    context.register_table("users", Arc::new(MemTable::try_new(schema, vec![vec![users]])?))?;
    Ok(context)
}

/// The rows as text, sorted, after the line of names; and what the catalog was asked.
async fn run(sql: &str) -> Result<(String, Vec<String>)> {
    let context = context()?;
    let streams = Streams { context: &context, asked: Mutex::default() };
    let Statement::Query(query) = parse_script(sql)?.remove(0).statement else {
        return Err(DataFusionError::Plan("not a query".to_string()));
    };
    let plan = plan_query(&context.state(), &streams, &query).await?;
    let names = plan.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(" | ");
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    let table = pretty_format_batches(&batches)?.to_string();
    let mut rows: Vec<String> = table
        .lines()
        .skip(3)
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" | "))
        .collect();
    if !sql.contains("ORDER BY") || sql.contains("OVER") {
        rows.sort();
    }
    rows.insert(0, names);
    Ok((rows.join("\n"), streams.asked.into_inner().expect("no test panics while it holds the lock")))
}

#[tokio::test]
async fn queries_answer() -> Result<()> {
    let cases = [
        // Names resolve in any case and come out as they were written; the star gives the table's.
        ("SELECT USERID, EV.V FROM Ev WHERE UserId = 'b'", "USERID | V\nb | 2"),
        ("SELECT * EXCEPT (TS, geo) FROM ev LIMIT 1", "userId | v\na | 1"),
        ("SELECT e.GEO.lat, geo.LAT + 1 AS next FROM ev e WHERE v = 3", "lat | next\n3 | 4"),
        ("SELECT `userId` AS Who FROM ev GROUP BY WHO ORDER BY who", "Who\na\nb"),
        // Aliases to the left, of the output in ORDER BY and HAVING, numbers.
        ("SELECT v * 2 AS Twice, twice + 1 FROM ev WHERE v = 1", "Twice | (twice + 1)\n2 | 3"),
        ("SELECT userId, sum(v) AS s FROM ev GROUP BY 1 HAVING s > 2 ORDER BY S DESC, 1", "userId | s\na | 4"),
        ("SELECT userId FROM ev GROUP BY userid ORDER BY sum(v) DESC", "userId\na\nb"),
        ("SELECT v FROM ev ORDER BY -v", "v\n3\n2\n1"),
        ("SELECT userId, v AS userId FROM ev WHERE v = 1", "userId | userId\na | 1"),
        (
            "SELECT count(*), count(DISTINCT userId), max(v) + 1 FROM ev",
            "count(1) | count(DISTINCT userId) | (max(v) + 1)\n3 | 2 | 4",
        ),
        ("SELECT userId, count(*) FILTER (WHERE v > 1) AS n FROM ev GROUP BY ALL", "userId | n\na | 1\nb | 1"),
        (
            "SELECT userId, count_if(v > 1) AS n, max_by(v, ts) AS m, sort_array(collect_list(v)) AS l, any(v > 2) AS a FROM ev GROUP BY userId",
            "userId | n | m | l | a\na | 1 | 3 | [1, 3] | true\nb | 1 | 2 | [2] | false",
        ),
        // Joins: a USING key once, each side's by its name, semi and anti.
        (
            "SELECT * FROM (SELECT userId, v FROM ev) JOIN users USING (USERID)",
            "userId | v | Name\na | 1 | Ann\na | 3 | Ann",
        ),
        (
            "SELECT userid, u.UserID, name FROM ev RIGHT JOIN users u USING (userId) WHERE v IS NULL",
            "userid | UserID | name\nc | c | Cy",
        ),
        (
            "SELECT userId, v, Name FROM ev FULL OUTER JOIN users USING (userId) WHERE v = 2 OR v IS NULL",
            "userId | v | Name\nb | 2 | \nc |  | Cy",
        ),
        ("SELECT v FROM ev LEFT ANTI JOIN users u ON ev.userId = u.userid", "v\n2"),
        ("SELECT v FROM ev LEFT SEMI JOIN users u ON ev.userId = u.userid", "v\n1\n3"),
        ("SELECT a.v, b.v FROM ev a, ev b WHERE a.v = b.v + 2", "v | v\n3 | 1"),
        // CTEs, subqueries, sets, VALUES.
        (
            "WITH Big AS (SELECT v AS Val FROM ev WHERE v > 1) SELECT val FROM big UNION ALL SELECT 10 ORDER BY VAL",
            "val\n2\n3\n10",
        ),
        ("SELECT v FROM ev e WHERE v = (SELECT max(v) FROM ev WHERE userId = e.userId)", "v\n2\n3"),
        (
            "SELECT v FROM ev WHERE userId IN (SELECT userid FROM users) AND EXISTS (SELECT 1 FROM users u WHERE u.userid = ev.userid)",
            "v\n1\n3",
        ),
        ("SELECT * FROM VALUES (1, 'x'), (2.5, NULL) AS t(a, b)", "a | b\n1.0 | x\n2.5 | "),
        ("VALUES (1, 2)", "col1 | col2\n1 | 2"),
        ("SELECT 1 AS x UNION SELECT 1L", "x\n1"),
        // Rows from rows.
        ("SELECT v, col FROM ev LATERAL VIEW explode(array(v, 10)) AS col WHERE v = 1", "v | col\n1 | 1\n1 | 10"),
        ("SELECT v, e + 1 AS e FROM (SELECT v, explode(array(v)) AS e FROM ev) WHERE v = 1", "v | e\n1 | 2"),
        ("SELECT posexplode(array('x', 'y')) AS (p, c)", "p | c\n0 | x\n1 | y"),
        ("SELECT v, n FROM ev LATERAL VIEW OUTER explode(filter_none(v)) t AS n", "error [UNRESOLVED_ROUTINE]"),
        // Functions over windows of rows.
        (
            "SELECT v, row_number() OVER (PARTITION BY userId ORDER BY v DESC) AS r FROM ev",
            "v | r\n1 | 2\n2 | 1\n3 | 1",
        ),
        ("SELECT userId, sum(sum(v)) OVER (ORDER BY userId) AS s FROM ev GROUP BY userId", "userId | s\na | 4\nb | 6"),
        // What does not resolve says what would.
        (
            "SELECT usrId FROM ev",
            "error [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `usrId` cannot be resolved. Did you mean one of the following? [`userId`",
        ),
        ("SELECT v FROM nope", "error [TABLE_OR_VIEW_NOT_FOUND] The table or view `nope` cannot be found."),
        (
            "SELECT userId FROM ev JOIN users ON true",
            "error [AMBIGUOUS_REFERENCE] Reference `userId` is ambiguous, could be: [`ev`.`userId`, `users`.`UserID`]",
        ),
        (
            "SELECT v, count(*) FROM ev GROUP BY userId",
            "error [MISSING_AGGREGATION] The non-aggregating expression \"v\"",
        ),
        ("SELECT sum(max(v)) FROM ev", "error [NESTED_AGGREGATE_FUNCTION]"),
        ("SELECT v FROM ev WHERE v", "error [DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN]"),
        ("SELECT 1 UNION SELECT 1, 2", "error [NUM_COLUMNS_MISMATCH]"),
        ("SELECT v FROM ev ORDER BY 2", "error [ORDER_BY_POS_OUT_OF_RANGE]"),
        ("SELECT geo.lon FROM ev", "error [FIELD_NOT_FOUND]"),
    ];
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let answer = match run(sql).await {
            Ok((rows, _)) => rows,
            Err(error) => format!("error {}", error.strip_backtrace().trim_start_matches("Error during planning: ")),
        };
        let is_right = if expected.starts_with("error ") { answer.starts_with(expected) } else { answer == expected };
        if !is_right {
            wrong.push(format!("{sql}\n--- expected\n{expected}\n--- answered\n{answer}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn streams_are_asked_of_the_catalog() -> Result<()> {
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "SELECT v FROM STREAM EV WITH ('a' = 'b') WATERMARK ts DELAY OF INTERVAL 10 MINUTES AS e WHERE e.v = 1",
            "v\n1",
            &["stream EV [(\"a\", \"b\")]", "watermark EV.ts 600000"],
        ),
        (
            "SELECT x.at FROM STREAM ev WATERMARK ts + INTERVAL 1 MINUTE AS at DELAY OF INTERVAL 1 SECOND x WHERE v = 1",
            "at\n1970-01-01T00:01:00Z",
            &["stream ev []", "watermark ev.at 1000"],
        ),
        (
            "SELECT n FROM (SELECT ts, v AS n FROM ev) WATERMARK ts DELAY OF INTERVAL 1 DAY WHERE n = 2",
            "n\n2",
            &["watermark ts 86400000"],
        ),
        (
            "SELECT window.start AS ws, window.END, count(*) AS n FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 0 SECONDS GROUP BY window(ts, '5 minutes'), userId HAVING n > 1",
            "ws | END | n",
            &["stream ev []", "watermark ev.ts 0", "window of 2 arguments"],
        ),
        (
            "SELECT w.window.start AS s FROM (SELECT window, sum(v) AS v FROM ev GROUP BY window(ts, '1 minute')) w GROUP BY window(window, '1 hour'), w.window.start ORDER BY s LIMIT 1",
            "s\n1970-01-01T00:00:00Z",
            &["window of 2 arguments", "window# of 2 arguments"],
        ),
        (
            "SELECT DISTINCT ON (USERID, v) WITHIN WATERMARK userId, v FROM STREAM ev WHERE v = 1",
            "userId | v\na | 1",
            &["stream ev []", "deduplicate userId v true"],
        ),
    ];
    for (sql, expected, asked) in cases {
        let (rows, found) = run(sql).await.map_err(|error| error.context(sql.to_string()))?;
        assert_eq!(
            (rows.as_str(), found.iter().map(String::as_str).collect::<Vec<_>>()),
            (expected, asked.to_vec()),
            "{sql}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_query_is_planned_alike_each_time() -> Result<()> {
    let context = context()?;
    let streams = Streams { context: &context, asked: Mutex::default() };
    let sql =
        "SELECT k, count(*) FROM (SELECT userId AS k FROM ev) JOIN (SELECT userId AS u FROM users) ON k = u GROUP BY k";
    let Statement::Query(query) = parse_script(sql)?.remove(0).statement else {
        return Err(DataFusionError::Plan("not a query".to_string()));
    };
    let first = plan_query(&context.state(), &streams, &query).await?;
    let second = plan_query(&context.state(), &streams, &query).await?;
    assert_eq!(first, second);
    Ok(())
}

#[tokio::test]
async fn an_expression_can_be_planned_alone() -> Result<()> {
    let context = context()?;
    let schema = context.table("ev").await?.schema().clone();
    let cases = [("V + 1", "(V + 1)"), ("userid", "userid"), ("geo.LAT AS x", "x"), ("CAST(v AS STRING)", "v")];
    for (text, name) in cases {
        let expr = plan_expression(&context.state(), &schema, text)?;
        assert_eq!(expr.schema_name().to_string(), name, "{text}");
    }
    Ok(())
}

/// A streaming query that was recorded from Spark.
#[derive(serde::Deserialize)]
struct Scenario {
    name: String,
    sql: String,
    streams: std::collections::BTreeMap<String, Table>,
    #[serde(rename = "static", default)]
    tables: std::collections::BTreeMap<String, Table>,
    #[serde(default)]
    views: serde_json::Value,
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    condition: Option<String>,
}

#[derive(serde::Deserialize)]
struct Table {
    schema: String,
}

/// Queries that differ on purpose.
const KNOWN: &[(&str, &str)] = &[
    ("sample_subquery_rows", "there is no TABLESAMPLE"),
    ("unknown_table", "this test's catalog says it in other words"),
    ("syntax", "a WHERE at the end is a missing condition, not an alias"),
    ("input_file", "rows do not know their file"),
];

/// What Spark refuses for other reasons than the query's text and types: it is the engine that refuses it, or its first batch.
const NOT_OURS: &[&str] = &[
    "_LEGACY_ERROR_TEMP",
    "STREAMING_OUTPUT_MODE",
    "STREAM_FAILED",
    "NON_TIME_WINDOW",
    "WRITE_STREAM",
    "INVALID_SUBQUERY",
    "EVENT_TIME_IS",
];

#[tokio::test]
async fn recorded_streaming_queries_have_sparks_columns() -> Result<()> {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/spark/scenarios");
    let mut wrong = Vec::new();
    for line in ["stateless.jsonl", "refused.jsonl"].iter().flat_map(|file| {
        std::fs::read_to_string(folder.join(file)).unwrap_or_default().lines().map(str::to_string).collect::<Vec<_>>()
    }) {
        let scenario: Scenario =
            serde_json::from_str(&line).map_err(|error| DataFusionError::External(error.into()))?;
        if KNOWN.iter().any(|(name, _)| *name == scenario.name) {
            continue;
        }
        let planned = plan_scenario(&scenario).await;
        let problem = match (&planned, &scenario.schema, &scenario.condition) {
            (Ok(schema), Some(expected), _) => {
                (schema != expected).then(|| format!("columns {expected}, ours {schema}"))
            }
            (Ok(_), None, Some(condition)) if !NOT_OURS.iter().any(|other| condition.starts_with(other)) => {
                Some(format!("{condition}, ours answers"))
            }
            (Err(error), None, Some(condition)) => {
                let is_ours = !NOT_OURS.iter().any(|other| condition.starts_with(other));
                let found = error.to_string();
                (is_ours && !found.contains(condition.split('.').next().unwrap_or("")))
                    .then(|| format!("{condition}, ours {found}"))
            }
            (Err(error), Some(_), _) => Some(error.to_string()),
            _ => None,
        };
        wrong.extend(problem.map(|problem| format!("{}: {}: {problem}", scenario.name, scenario.sql)));
    }
    assert!(wrong.is_empty(), "{} queries differ:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// The query's columns as Spark prints a schema.
async fn plan_scenario(scenario: &Scenario) -> Result<String> {
    let context = context()?;
    for (name, table) in scenario.streams.iter().chain(&scenario.tables) {
        let schema = millstream_formats::ddl::parse_schema(&table.schema)
            .map_err(|error| DataFusionError::Plan(error.to_string()))?;
        let _ = context.deregister_table(name.to_lowercase())?;
        context.register_table(name.to_lowercase(), Arc::new(MemTable::try_new(schema, vec![vec![]])?))?;
    }
    let streams = Streams { context: &context, asked: Mutex::default() };
    for view in views(&scenario.views) {
        let Statement::CreateView(view) = parse_script(&view)?.remove(0).statement else {
            return Err(DataFusionError::Plan("not a view".to_string()));
        };
        let mut plan = plan_query(&context.state(), &streams, &view.query).await?;
        if !view.columns.is_empty() {
            plan = super::query::rename_columns(plan, &view.columns)?;
        }
        let table = datafusion::datasource::ViewTable::new(plan, None);
        context.register_table(view.name.to_string().to_lowercase(), Arc::new(table))?;
    }
    let Statement::Query(query) = parse_script(&scenario.sql)?.remove(0).statement else {
        return Err(DataFusionError::Plan("not a query".to_string()));
    };
    let plan = plan_query(&context.state(), &streams, &query).await?;
    Ok(millstream_formats::ddl::type_name(&DataType::Struct(plan.schema().fields().clone())))
}

/// The statements that make the views.
fn views(recorded: &serde_json::Value) -> Vec<String> {
    match recorded {
        serde_json::Value::Array(views) => views.iter().filter_map(|view| view.as_str().map(str::to_string)).collect(),
        serde_json::Value::Object(views) => views
            .iter()
            .map(|(name, sql)| format!("CREATE TEMPORARY VIEW {name} AS {}", sql.as_str().unwrap_or_default()))
            .collect(),
        _ => Vec::new(),
    }
}
