//! Deduplication: figures as Spark reports them; and against a model, for any cut into batches, restarts in between, with
//! another number of state partitions each time.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use millstream::prelude::*;
use millstream_tests::TestResult;
use millstream_tests::dice::Dice;
use millstream_tests::scenario::{Scenario, json_rows, write_rows};
use millstream_tests::session::{rows_of, session};
use millstream_tests::values::canonical_rows;
use serde_json::{Value, json};

/// Rows may be late by so many seconds.
const DELAY_S: i64 = 40;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    ForEver,
    UntilClosed,
    WithinDelay,
}

/// What is tested: SQL over `{s}`, the key's columns, how long a key is remembered, and whether there is a watermark.
const QUERIES: &[(&str, &[&str], Rule, bool)] = &[
    ("SELECT DISTINCT ON (k) * FROM STREAM ev", &["k"], Rule::ForEver, false),
    ("SELECT DISTINCT ON (v, k) * FROM STREAM ev", &["k", "v"], Rule::ForEver, false),
    ("SELECT DISTINCT ON (k) * FROM STREAM ev {w}", &["k"], Rule::ForEver, true),
    ("SELECT DISTINCT ON (k, ts) * FROM STREAM ev {w}", &["k", "ts"], Rule::UntilClosed, true),
    ("SELECT DISTINCT ON (ts) * FROM STREAM ev {w}", &["ts"], Rule::UntilClosed, true),
    ("SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM ev {w}", &["k"], Rule::WithinDelay, true),
    ("SELECT DISTINCT ON (k, v) WITHIN WATERMARK * FROM STREAM ev {w}", &["k", "v"], Rule::WithinDelay, true),
];

/// Rows numbered by `n`, with few different values, times that go up with disorder, and nulls.
fn rows(dice: &mut Dice, count: i64) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let second = 100 + n * 2 + dice.below(60) as i64 - 30;
            let keys = [json!("a"), json!("b"), json!("c"), json!("d"), Value::Null];
            let ts = match dice.below(12) {
                0 => Value::Null,
                _ => json!(format!("2024-01-01T00:{:02}:{:02}Z", second / 60, second % 60)),
            };
            json!({"n": n, "k": keys[dice.below(5) as usize], "v": dice.below(3), "ts": ts})
        })
        .collect()
}

fn second_of(row: &Value) -> Option<i64> {
    let text = row["ts"].as_str()?;
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<i64>().ok());
    Some(EPOCH_S + number(14..16)? * 60 + number(17..19)?)
}

/// 2024-01-01 in seconds since the epoch.
const EPOCH_S: i64 = 1_704_067_200;

/// Which rows of these batches Spark would give out, and how many were late and repetitions: the rules of the reference, a row at a
/// time. A run of AvailableNow goes on without data until the watermark stands still.
#[derive(Debug, Default)]
struct Model {
    watermark_s: i64,
    late_s: i64,
    seen_s: i64,
    known: HashMap<String, i64>,
    given: Vec<Value>,
    late: u64,
    repeated: u64,
}

impl Model {
    fn batch(&mut self, rows: &[Value], keys: &[&str], rule: Rule, has_watermark: bool) {
        let late_s = std::mem::replace(&mut self.late_s, self.watermark_s);
        for row in rows {
            let at = second_of(row);
            self.seen_s = self.seen_s.max(at.unwrap_or(0) - DELAY_S);
            if has_watermark && at.is_some_and(|at| at <= late_s) {
                self.late += 1;
                continue;
            }
            let key = keys.iter().map(|key| row[*key].to_string()).collect::<Vec<_>>().join("|");
            if self.known.contains_key(&key) {
                self.repeated += 1;
                continue;
            }
            let until = match (rule, at) {
                (Rule::ForEver, _) | (Rule::UntilClosed, None) => i64::MAX,
                (Rule::UntilClosed, Some(at)) => at,
                (Rule::WithinDelay, at) => at.unwrap_or(0) + DELAY_S,
            };
            self.known.insert(key, until);
            self.given.push(row.clone());
        }
        let watermark_s = self.watermark_s;
        self.known.retain(|_, until| *until > watermark_s);
        self.watermark_s = self.watermark_s.max(self.seen_s);
    }
}

async fn run(work: &Path, partitions: u64, sql: &str, name: &str) -> TestResult<Vec<StreamingQueryProgress>> {
    let session = StreamSession::builder().config("spark.sql.shuffle.partitions", partitions).build().await?;
    let place = work.display();
    let table = "CREATE TABLE ev (n BIGINT, k STRING, v BIGINT, ts TIMESTAMP) USING json";
    session.sql(&format!("{table} OPTIONS (path '{place}/ev', maxFilesPerTrigger '1')")).await?;
    let frame = session.sql(sql).await?;
    let writer = frame.write_stream().format("parquet").option("path", format!("{place}/{name}"));
    let writer = writer.option("checkpointLocation", format!("{place}/cp")).trigger(Trigger::AvailableNow);
    let query = writer.start().await?;
    query.await_termination().await?;
    Ok(query.recent_progress())
}

fn figure(progress: &[StreamingQueryProgress], of: &str) -> TestResult<u64> {
    let mut sum = 0;
    for event in progress {
        let json = serde_json::to_value(event)?;
        let operator = &json["stateOperators"][0];
        sum += operator[of].as_u64().or(operator["customMetrics"][of].as_u64()).unwrap_or(0);
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_cut_with_restarts_gives_the_rows_of_the_model() -> TestResult {
    let mut dice = Dice::thrown("deduplication");
    for (sql, keys, rule, has_watermark) in QUERIES {
        let work = tempfile::tempdir()?;
        std::fs::create_dir(work.path().join("ev"))?;
        let sql = sql.replace("{w}", &format!("WATERMARK ts DELAY OF INTERVAL {DELAY_S} SECONDS"));
        let rows = rows(&mut dice, 240);
        let (mut model, mut rest, mut files) = (Model::default(), &rows[..], 0u64);
        let (mut late, mut repeated) = (0, 0);
        for partitions in [1, 3, 2] {
            let count = 1 + dice.below(4);
            for file in 1..=count {
                let all = partitions == 2 && file == count;
                let take = if all { rest.len() } else { dice.below(rest.len() as u64 / 3) as usize };
                let (now, later) = rest.split_at(take);
                write_rows(&work.path().join(format!("ev/{files:04}.json")), &json!(now), 1_000_000_000 + files)?;
                (rest, files) = (later, files + 1);
                model.batch(now, keys, *rule, *has_watermark);
            }
            // The batch without data that a new watermark asks for.
            if *has_watermark && model.watermark_s > model.late_s {
                model.batch(&[], keys, *rule, *has_watermark);
            }
            let progress = run(work.path(), partitions, &sql, "out").await?;
            late += figure(&progress, "numRowsDroppedByWatermark")?;
            repeated += figure(&progress, "numDroppedDuplicateRows")?;
        }
        let session = session().await?;
        session.sql(&format!("CREATE TABLE out USING parquet OPTIONS (path '{}/out')", work.path().display())).await?;
        let given =
            rows_of(&session, "SELECT n, k, v, date_format(ts, \"yyyy-MM-dd'T'HH:mm:ss'Z'\") AS ts FROM out").await?;
        assert_eq!(canonical_rows(&given, false), canonical_rows(&model.given, false), "{sql}");
        assert_eq!((late, repeated), (model.late, model.repeated), "{sql}: late and repeated rows");
        assert!(repeated > 0 && (*has_watermark || late == 0), "{sql}: too tame to be a test");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_sparks() -> TestResult {
    for scenario in Scenario::read_lines("fixtures/spark/scenarios/dedup.jsonl")? {
        let Some(expected) = &scenario.state else { continue };
        let work = tempfile::tempdir()?;
        scenario.write_input(work.path())?;
        let session = session().await?;
        session.sql(&scenario.tables_sql(work.path())).await?;
        let frame = session.sql(&scenario.query_sql()).await?;
        let query = frame.write_stream().format("noop").output_mode(scenario.output_mode()?);
        let query = query.option("checkpointLocation", work.path().join("cp").display());
        let query = query.trigger(Trigger::AvailableNow).start().await?;
        query.await_termination().await?;
        let mut found = Vec::new();
        for event in query.recent_progress() {
            let json = serde_json::to_value(&event)?;
            let of = |operator: &Value| {
                let mut figures = BTreeMap::from([("operator".to_string(), operator["operatorName"].clone())]);
                for name in ["numRowsTotal", "numRowsUpdated", "numRowsRemoved", "numRowsDroppedByWatermark"] {
                    figures.insert(name.to_string(), operator[name].clone());
                }
                let dropped = &operator["customMetrics"]["numDroppedDuplicateRows"];
                if !dropped.is_null() {
                    figures.insert("numDroppedDuplicateRows".to_string(), dropped.clone());
                }
                json!(figures)
            };
            found.push(Value::Array(json["stateOperators"].as_array().into_iter().flatten().map(of).collect()));
        }
        // What an aggregation counts as updated and late is told apart in the documentation.
        let of_dedup = |batches: &[Value]| -> Vec<Vec<Value>> {
            let is_dedup = |state: &&Value| state["operator"].as_str().is_some_and(|name| name.starts_with("dedupe"));
            let of_batch = |batch: &Value| batch.as_array().into_iter().flatten().filter(is_dedup).cloned().collect();
            batches.iter().map(of_batch).collect()
        };
        assert_eq!(of_dedup(&found), of_dedup(expected), "{}", scenario.name);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_one_row_of_each_key() -> TestResult {
    let session = session().await?;
    let table =
        session.sql("SELECT * FROM VALUES ('a', 1), ('b', 2), ('a', 1), (NULL, 3), (NULL, 4) AS t(k, v)").await?;
    let count = async |frame: DataFrame| frame.count().await;
    assert_eq!(count(table.drop_duplicates(["K"])?).await?, 3);
    assert_eq!(count(table.distinct()?).await?, 4);
    assert_eq!(count(table.drop_duplicates(Vec::<&str>::new())?).await?, 4);
    let same =
        "SELECT count(*) AS n FROM (SELECT DISTINCT ON (k) k, v FROM VALUES ('a', 1), ('a', 2), ('b', 1) AS t(k, v))";
    assert_eq!(rows_of(&session, same).await?, [json!({"n": 2})]);
    let rows = json_rows(&table.drop_duplicates(["k"])?.filter("k = 'b'")?.collect().await?)?;
    assert_eq!(rows, [json!({"k": "b", "v": 2})]);
    let error = table.drop_duplicates_within_watermark(["k"]).expect_err("a batch has no watermark");
    assert!(error.message().contains("WITHIN WATERMARK"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_are_refused_and_other_columns_are_not() -> TestResult {
    let work = tempfile::tempdir()?;
    std::fs::create_dir(work.path().join("ev"))?;
    let write =
        |file: u64, rows: Value| write_rows(&work.path().join(format!("ev/{file}.json")), &rows, 1_000_000_000 + file);
    write(0, json!([{"n": 1, "k": "a", "v": 1}, {"n": 2, "k": "a", "v": 2}]))?;
    run(work.path(), 2, "SELECT DISTINCT ON (k) k, n FROM STREAM ev", "out").await?;
    let error =
        run(work.path(), 2, "SELECT DISTINCT ON (v) v, k, n FROM STREAM ev", "out2").await.expect_err("another key");
    let text = error.to_string();
    assert!(text.contains("- operator 0 keys: key \"k\"") && text.contains("+ operator 0 keys: key \"v\""), "{text}");
    write(1, json!([{"n": 3, "k": "a", "v": 3}, {"n": 4, "k": "b", "v": 4}]))?;
    let progress = run(work.path(), 3, "SELECT DISTINCT ON (k) v, n, k FROM STREAM ev", "out3").await?;
    assert_eq!(figure(&progress, "numDroppedDuplicateRows")?, 1);
    assert_eq!(figure(&progress, "numRowsUpdated")?, 1);
    Ok(())
}
