//! Whole sessions: statements with their answers and errors, queries from SQL and from Rust.

use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{JoinType, col, lit};
use millstream_connectors::memory::{MemoryStream, MemoryTables};
use millstream_engine::registry::Registry;
use millstream_engine::trigger::Trigger;
use millstream_engine::{Error, ErrorKind, Result};

use crate::printing::{PrintFormat, print};
use crate::statements::Outcome;
use crate::{DataFrame, ForeachWriter, ResultTables, Row, StreamSession, StreamSessionBuilder};

#[derive(Debug)]
struct Results(MemoryTables);

impl ResultTables for Results {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn get(&self, name: &str) -> Option<(SchemaRef, Vec<RecordBatch>)> {
        self.0.get(name).map(|table| (Arc::clone(table.schema()), table.rows()))
    }
}

async fn session() -> Result<StreamSession> {
    let mut registry = Registry::new();
    let shared = millstream_connectors::register_all(&mut registry);
    StreamSessionBuilder::new().registry(registry).result_tables(Arc::new(Results(shared.tables))).build().await
}

/// Runs a script to the end of its queries, and gives what it printed as JSON lines.
async fn run(session: &StreamSession, script: &str) -> Result<String> {
    let mut printed = Vec::new();
    for statement in session.parse(script)? {
        match session.execute(&statement).await? {
            Outcome::Done => {}
            Outcome::Started(query) => query.await_termination().await?,
            Outcome::Query(frame) => {
                let rows = frame.collect().await?;
                printed.extend(print(session, &frame.schema(), &rows, PrintFormat::Json)?);
            }
            Outcome::Rows(schema, rows) => printed.extend(print(session, &schema, &rows, PrintFormat::Json)?),
            Outcome::Text(text) => printed.extend(text.into_bytes()),
        }
    }
    Ok(String::from_utf8(printed).expect("printed text is UTF-8"))
}

/// A folder with two JSON files: rows (a, 1), (b, 2) and (a, 3).
fn input(folder: &Path) -> String {
    let input = folder.join("in");
    std::fs::create_dir_all(&input).expect("a folder in a temporary one");
    std::fs::write(input.join("0.json"), "{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\",\"v\":2}\n").expect("a small file");
    std::fs::write(input.join("1.json"), "{\"k\":\"a\",\"v\":3}\n").expect("a small file");
    input.to_string_lossy().into_owned()
}

fn ev(folder: &Path) -> String {
    format!(
        "CREATE TABLE ev (k STRING, v BIGINT) USING json OPTIONS (path '{}', maxFilesPerTrigger '1');",
        input(folder)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_what_they_answer() -> Result<()> {
    for (script, expected) in [
        ("SELECT 1 + 1 AS two, 7 / 2 AS half", "{\"two\":2,\"half\":3.5}\n"),
        ("SELECT k, v FROM ev WHERE v > 1 ORDER BY v", "{\"k\":\"b\",\"v\":2}\n{\"k\":\"a\",\"v\":3}\n"),
        ("SELECT K, EV.V FROM EV WHERE v = 3", "{\"K\":\"a\",\"V\":3}\n"),
        ("CREATE VIEW big AS SELECT v AS V FROM ev WHERE v > 1; SELECT sum(v) AS s FROM BIG", "{\"s\":5}\n"),
        ("CREATE VIEW named (a, b) AS SELECT * FROM ev; SELECT max(b) AS m FROM named", "{\"m\":3}\n"),
        ("CREATE VIEW x AS SELECT 1 AS a; CREATE OR REPLACE VIEW x AS SELECT 2 AS a; SELECT * FROM x", "{\"a\":2}\n"),
        (
            "SET spark.sql.session.timeZone = 'Asia/Tokyo'; SET spark.sql.session.timezone",
            "{\"key\":\"spark.sql.session.timezone\",\"value\":\"Asia/Tokyo\"}\n",
        ),
        (
            "SET spark.sql.shuffle.partitions = 3; RESET spark.sql.shuffle.partitions; SET spark.sql.shuffle.partitions",
            "{\"key\":\"spark.sql.shuffle.partitions\",\"value\":\"<undefined>\"}\n",
        ),
        (
            "DESCRIBE ev",
            "{\"col_name\":\"k\",\"data_type\":\"string\"}\n{\"col_name\":\"v\",\"data_type\":\"bigint\"}\n",
        ),
        ("SHOW TABLES", "{\"tableName\":\"ev\",\"kind\":\"json\"}\n"),
        ("SHOW STREAMS", ""),
        (
            "CREATE TABLE m (k STRING, v BIGINT) USING memory; INSERT INTO m VALUES ('x', 1), ('y', 2); INSERT INTO m (v) SELECT 3; SELECT * FROM m ORDER BY v",
            "{\"k\":\"x\",\"v\":1}\n{\"k\":\"y\",\"v\":2}\n{\"k\":null,\"v\":3}\n",
        ),
        ("DROP TABLE ev; SHOW TABLES", ""),
        ("DROP TABLE IF EXISTS nothing; DROP VIEW IF EXISTS nothing; DROP STREAM IF EXISTS nothing", ""),
        ("CREATE TABLE IF NOT EXISTS ev (x INT) USING rate; SELECT count(*) AS n FROM ev", "{\"n\":3}\n"),
        (
            "CREATE STREAMING TABLE q USING memory OPTIONS (trigger 'availableNow') AS SELECT v * 2 AS w FROM STREAM ev; SELECT sum(w) AS s FROM q",
            "{\"s\":12}\n",
        ),
        (
            "CREATE VIEW s AS SELECT * FROM STREAM ev; CREATE STREAMING TABLE q USING memory OPTIONS (trigger 'once') AS SELECT k FROM s WHERE v = 2; SELECT * FROM q",
            "{\"k\":\"b\"}\n",
        ),
        (
            "CREATE TABLE m (k STRING, v BIGINT) USING memory OPTIONS (trigger 'availableNow'); INSERT INTO m VALUES ('z', 0); INSERT INTO m SELECT * FROM STREAM ev; SELECT count(*) AS n, sum(v) AS s FROM m",
            "{\"n\":4,\"s\":6}\n",
        ),
        (
            "CREATE STREAMING TABLE q USING noop OPTIONS (trigger 'availableNow') AS SELECT * FROM STREAM ev; AWAIT STREAM q; AWAIT STREAM q '1 second'",
            "",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let session = session().await?;
        run(&session, &ev(folder.path())).await?;
        let printed = run(&session, script).await.map_err(|e| Error::internal(format!("{script}: {e}")))?;
        assert_eq!(printed, expected, "{script}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_refused_with_what_would_do() -> Result<()> {
    for (script, kind, expected) in [
        ("SELEC 1", ErrorKind::Invalid, "line 1, column 1"),
        ("SELECT w FROM ev", ErrorKind::Invalid, "UNRESOLVED_COLUMN"),
        ("SELECT * FROM evv", ErrorKind::Invalid, "TABLE_OR_VIEW_NOT_FOUND"),
        ("SELECT * FROM STREAM evv", ErrorKind::Invalid, "did you mean ev?"),
        ("CREATE TABLE ev (x INT) USING rate", ErrorKind::Invalid, "exists already"),
        ("CREATE TABLE t (k STRING) USING jsn", ErrorKind::Invalid, "did you mean 'json'"),
        (
            "CREATE TABLE t (k STRING) USING json OPTIONS (path '/tmp', maxFilePerTrigger '1')",
            ErrorKind::Invalid,
            "did you mean 'maxFilesPerTrigger'",
        ),
        (
            "CREATE TABLE t (k STRING) USING json PARTITIONED BY (j) OPTIONS (path '/tmp')",
            ErrorKind::Invalid,
            "no such column; there are k",
        ),
        ("CREATE TABLE t USING json OPTIONS (path '/no/such/folder')", ErrorKind::Invalid, "/no/such/folder"),
        ("CREATE TABLE t (k STRING) USING memory OPTIONS (pth 'x')", ErrorKind::Invalid, "unknown option 'pth'"),
        (
            "CREATE TABLE t (k STRING) USING console OPTIONS (outputMode 'apend')",
            ErrorKind::Invalid,
            "expected append, update or complete",
        ),
        (
            "CREATE STREAMING TABLE q USING console OPTIONS (trigger 'daily') AS SELECT * FROM STREAM ev",
            ErrorKind::Invalid,
            "trigger is 'daily'",
        ),
        ("CREATE STREAMING TABLE q USING console AS SELECT * FROM ev", ErrorKind::Invalid, "reads no stream"),
        (
            "CREATE STREAMING TABLE q USING parquet OPTIONS (path '/tmp/out') AS SELECT * FROM STREAM ev",
            ErrorKind::Invalid,
            "checkpointLocation must be specified",
        ),
        ("CREATE STREAMING TABLE ev USING console AS SELECT * FROM STREAM ev", ErrorKind::Invalid, "INSERT INTO ev"),
        ("INSERT INTO nothing SELECT * FROM STREAM ev", ErrorKind::Invalid, "TABLE_OR_VIEW_NOT_FOUND"),
        (
            "CREATE TABLE m (k STRING) USING memory; INSERT INTO m SELECT k, v FROM ev",
            ErrorKind::Invalid,
            "has 2 columns, the table takes 1",
        ),
        (
            "CREATE TABLE m (k BIGINT) USING memory; INSERT INTO m SELECT k FROM ev",
            ErrorKind::Invalid,
            "CANNOT_SAFELY_CAST",
        ),
        (
            "CREATE TABLE m (k STRING) USING memory; INSERT INTO m (j) SELECT k FROM ev",
            ErrorKind::Invalid,
            "there is no column j; there are k",
        ),
        ("CREATE VIEW w AS SELECT 1 AS a; SELECT * FROM STREAM w", ErrorKind::Invalid, "reads no stream"),
        ("EXPLAIN STREAM SELECT * FROM ev", ErrorKind::Invalid, "reads no stream"),
        ("SET spark.sql.shufle.partitions = 2", ErrorKind::Invalid, "did you mean 'spark.sql.shuffle.partitions'?"),
        ("STOP STREAM q", ErrorKind::Invalid, "no query is running"),
        ("AWAIT STREAM q", ErrorKind::Invalid, "no query q has been started"),
        ("DROP VIEW ev", ErrorKind::Invalid, "write DROP TABLE ev"),
        ("SELECT * FROM other.ev", ErrorKind::Invalid, "TABLE_OR_VIEW_NOT_FOUND"),
        ("DROP TABLE other.ev", ErrorKind::Invalid, "there is no schema for other.ev"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let session = session().await?;
        run(&session, &ev(folder.path())).await?;
        let error = run(&session, script).await.err().unwrap_or_else(|| panic!("{script}: nothing was refused"));
        assert!(error.to_string().contains(expected), "{script}: {error}");
        assert_eq!(error.kind(), kind, "{script}: {error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_table_of_files_is_read_back_as_what_was_committed() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path().display();
    for format in ["parquet", "json", "csv"] {
        let session = session().await?;
        run(&session, &ev(folder.path())).await?;
        let create = format!(
            "CREATE STREAMING TABLE big USING {format} OPTIONS (path '{at}/{format}', checkpointLocation '{at}/cp-{format}', trigger 'availableNow') AS SELECT k, v * 10 AS w FROM STREAM ev;"
        );
        let printed = run(&session, &format!("{create} SELECT k, w FROM big ORDER BY w")).await?;
        assert_eq!(printed, "{\"k\":\"a\",\"w\":10}\n{\"k\":\"b\",\"w\":20}\n{\"k\":\"a\",\"w\":30}\n", "{format}");
        // A file that no batch committed is not there.
        std::fs::write(folder.path().join(format).join(format!("part-99999-x.{format}")), "{}").expect("a small file");
        assert_eq!(run(&session, "SELECT count(*) AS n FROM big").await?, "{\"n\":3}\n", "{format}");
        // The query may be started again under the same name, and has nothing left to do.
        assert_eq!(run(&session, &format!("{create} SELECT count(*) AS n FROM big")).await?, "{\"n\":3}\n", "{format}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_no_stream_are_added_to_files() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let session = session().await?;
    run(&session, &ev(folder.path())).await?;
    let at = folder.path().display();
    let create = format!("CREATE TABLE dim (k STRING, name STRING) USING parquet OPTIONS (path '{at}/dim');");
    run(
        &session,
        &format!(
            "{create} INSERT INTO dim VALUES ('a', 'ada'); INSERT INTO dim SELECT k, upper(k) FROM ev WHERE v = 2;"
        ),
    )
    .await?;
    let joined = "SELECT ev.v, name FROM ev JOIN dim USING (k) ORDER BY v";
    assert_eq!(
        run(&session, joined).await?,
        "{\"v\":1,\"name\":\"ada\"}\n{\"v\":2,\"name\":\"B\"}\n{\"v\":3,\"name\":\"ada\"}\n"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_query_is_shown_guarded_and_stopped() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let session = session().await?;
    run(&session, &ev(folder.path())).await?;
    let create = "CREATE STREAMING TABLE q USING memory AS SELECT * FROM STREAM ev";
    session.sql(create).await?;
    let query = session.streams().get("Q").expect("the query runs");
    query.process_all_available().await?;
    assert_eq!(run(&session, "SELECT count(*) AS n FROM q").await?, "{\"n\":3}\n");
    assert!(run(&session, "SHOW STREAMS").await?.starts_with("{\"name\":\"q\","));
    assert!(run(&session, "DESCRIBE STREAM q").await?.contains("numInputRows"));
    let error = session.sql(create).await.expect_err("two queries into one table");
    assert!(error.message().contains("STOP STREAM q"), "{error}");
    let error = run(&session, "AWAIT STREAM q '20 milliseconds'").await.expect_err("it goes on");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    run(&session, "STOP STREAM q").await?;
    assert!(!query.is_active());
    assert_eq!(run(&session, "SHOW STREAMS; SELECT count(*) AS n FROM q").await?, "{\"n\":3}\n");
    Ok(())
}

/// A stream of (k, v) that the test pushes rows into.
async fn pushed(session: &StreamSession) -> Result<(MemoryStream, DataFrame)> {
    let schema = crate::reader::parse_columns("k STRING, v BIGINT")?;
    let stream = MemoryStream::new(schema);
    let spec = stream.spec();
    let frame = session.read_stream().format("memory").options(spec.options.iter()).load_options().await?;
    Ok((stream, frame))
}

fn row(k: &str, v: i64) -> Vec<ScalarValue> {
    vec![ScalarValue::from(k), ScalarValue::from(v)]
}

#[tokio::test(flavor = "multi_thread")]
async fn foreach_batch_sees_each_batch_once_whatever_it_does_with_it() -> Result<()> {
    let session = session().await?;
    let (stream, frame) = pushed(&session).await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let query = frame
        .filter("v > 0")?
        .write_stream()
        .foreach_batch(move |rows: DataFrame, batch_id| {
            let kept = Arc::clone(&kept);
            async move {
                // Three actions: the rows are read once.
                let (count, again) = (rows.count().await?, rows.count().await?);
                let big = rows.filter(col("V").gt(lit(2)))?.count().await?;
                kept.lock().expect("no thread panics").push((batch_id, count, again, big));
                Ok::<_, Error>(())
            }
        })
        .start()
        .await?;
    stream.add_rows(vec![row("a", 1), row("b", 3)])?;
    query.process_all_available().await?;
    stream.add_rows(vec![row("c", -1)])?;
    query.process_all_available().await?;
    query.stop().await?;
    assert_eq!(*seen.lock().expect("no thread panics"), [(0, 2, 2, 1), (1, 0, 0, 0)]);
    let rows: u64 = query.recent_progress().iter().map(|progress| progress.num_input_rows).sum();
    assert_eq!(rows, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_users_ends_the_query_with_its_words() -> Result<()> {
    let session = session().await?;
    let (stream, frame) = pushed(&session).await?;
    let query = frame
        .write_stream()
        .query_name("picky")
        .foreach_batch_sync(|_, batch_id| match batch_id {
            0 => Ok(()),
            _ => Err("the warehouse is full"),
        })
        .start()
        .await?;
    stream.add_rows(vec![row("a", 1)])?;
    query.process_all_available().await?;
    stream.add_rows(vec![row("b", 2)])?;
    let error = query.await_termination().await.expect_err("the closure failed");
    assert_eq!((error.query(), error.batch_id()), (Some("picky"), Some(1)));
    for part in ["FOREACH_BATCH_USER_FUNCTION_ERROR", "the warehouse is full"] {
        assert!(error.message().contains(part), "{error}");
    }
    Ok(())
}

/// Keeps what it is called with.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn add(&self, call: String) {
        self.0.lock().expect("no thread panics").push(call);
    }
}

impl ForeachWriter for Calls {
    fn open(&mut self, partition_id: u64, epoch_id: u64) -> Result<bool> {
        self.add(format!("open {partition_id} {epoch_id}"));
        Ok(epoch_id != 1)
    }

    fn process(&mut self, row: Row<'_>) -> Result<()> {
        let value: ScalarValue = row.get_as("V")?;
        self.add(format!("row {}", value));
        match value == ScalarValue::from(9_i64) {
            true => Err(Error::invalid("nine is too many")),
            false => Ok(()),
        }
    }

    fn close(&mut self, error: Option<&Error>) -> Result<()> {
        self.add(format!("close {}", error.map_or("well", |e| e.message())));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreach_opens_processes_and_closes_as_in_spark() -> Result<()> {
    let session = session().await?;
    let (stream, frame) = pushed(&session).await?;
    let calls = Calls::default();
    let query = frame.write_stream().foreach(calls.clone()).start().await?;
    for v in [1, 2, 9] {
        stream.add_rows(vec![row("k", v)])?;
        let done = query.process_all_available().await;
        assert_eq!(done.is_ok(), v != 9);
    }
    let expected =
        ["open 0 0", "row 1", "close well", "open 0 1", "close well", "open 0 2", "row 9", "close nine is too many"];
    assert_eq!(*calls.0.lock().expect("no thread panics"), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn foreach_writes_each_partition_with_rows_on_its_own() -> Result<()> {
    let session = session().await?;
    session.set_conf("millstream.source.partitions", "3")?;
    let (stream, frame) = pushed(&session).await?;
    // Two pieces of input for three partitions.
    stream.add_rows(vec![row("a", 1)])?;
    stream.add_rows(vec![row("b", 2)])?;
    let calls = Calls::default();
    let query = frame.write_stream().foreach(calls.clone()).start().await?;
    query.process_all_available().await?;
    query.stop().await?;
    let expected = ["open 0 0", "row 1", "close well", "open 1 0", "row 2", "close well"];
    assert_eq!(*calls.0.lock().expect("no thread panics"), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_from_frames() -> Result<()> {
    let session = session().await?;
    let table = session.sql("SELECT * FROM VALUES ('a', 1), ('b', 2), ('a', 3) AS t(k, v)").await?;
    let names = session.sql("SELECT * FROM VALUES ('a', 'ada') AS n(k, name)").await?;
    for (frame, expected) in [
        (
            table.select([col("K"), (col("v") / lit(2)).alias("half")])?.filter("half > 0.5")?,
            "[{\"k\":\"b\",\"half\":1.0},{\"k\":\"a\",\"half\":1.5}]",
        ),
        (table.select_expr(["v AS w"])?.limit(1)?, "[{\"w\":1}]"),
        (
            table.with_column("V", col("v") * lit(2))?.with_column("s", lit("x"))?.limit(1)?,
            "[{\"k\":\"a\",\"V\":2,\"s\":\"x\"}]",
        ),
        (table.with_column_renamed("V", "w")?.drop(["K", "none"])?.limit(1)?, "[{\"w\":1}]"),
        (
            table.union(&table)?.distinct()?.select([col("v")])?.order_by([col("v").sort(false, false)])?.limit(1)?,
            "[{\"v\":3}]",
        ),
        (table.union_by_name(&names.select_expr(["7 AS v", "k"])?)?.filter("v = 7")?, "[{\"k\":\"a\",\"v\":7}]"),
        (table.join(&names, ["K"], JoinType::Inner)?.filter("v = 3")?, "[{\"k\":\"a\",\"v\":3,\"name\":\"ada\"}]"),
        (table.join(&names, ["k"], JoinType::LeftAnti)?, "[{\"k\":\"b\",\"v\":2}]"),
    ] {
        let rows = frame.collect().await?;
        let printed = String::from_utf8(print(&session, &frame.schema(), &rows, PrintFormat::Json)?).expect("UTF-8");
        assert_eq!(format!("[{}]", printed.trim_end().replace('\n', ",")), expected);
    }
    assert_eq!(table.count().await?, 3);
    let error = table.select([col("w")]).expect_err("there is no w");
    assert!(error.message().contains("A column with name `w` cannot be resolved"), "{error}");
    let error =
        session.read_stream().format("rate").load_options().await?.collect().await.expect_err("a stream never ends");
    assert!(error.message().contains("write_stream().start()"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_from_rust_into_tables() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let session = session().await?;
    run(&session, &ev(folder.path())).await?;
    let at = folder.path().display();
    let stream = session.read_stream().option("maxFilesPerTrigger", 2).table("EV").await?;
    assert!(stream.is_streaming());
    assert_eq!(stream.schema_ddl(), "k STRING,v BIGINT");
    let query = stream
        .write_stream()
        .format("parquet")
        .option("path", format!("{at}/out"))
        .option("checkpointLocation", format!("{at}/cp"))
        .trigger(Trigger::AvailableNow)
        .to_table("out")
        .await?;
    query.await_termination().await?;
    assert_eq!(query.recent_progress().len(), 1);
    assert_eq!(session.table("OUT").await?.count().await?, 3);
    Ok(())
}
