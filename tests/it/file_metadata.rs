//! The `_metadata` column of files, as a running Spark answers these queries; and `mergeSchema`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::prelude::{col, lit};
use millstream_tests::TestResult;
use millstream_tests::fixtures::set_modified;
use millstream_tests::session::{rows_of, session};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

/// One file with a name that a URI escapes, in a partition folder.
fn write_input(work: &Path) -> TestResult {
    let folder = work.join("in/p=1");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("x y.json"), "{\"a\":1}\n")?;
    Ok(set_modified(&folder.join("x y.json"), 1_795_382_334_207)?)
}

fn metadata(work: &Path) -> Value {
    json!({
        "file_path": format!("file:{}/in/p=1/x%20y.json", work.display()), "file_name": "x%20y.json", "file_size": 8,
        "file_block_start": 0, "file_block_length": 8, "file_modification_time": "2026-11-22T21:18:54.207000Z",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_there_for_who_names_it() -> TestResult {
    let work = tempfile::tempdir()?;
    write_input(work.path())?;
    let session = session().await?;
    let path = work.path().join("in");
    session.sql(&format!("CREATE TABLE t (a INT, p INT) USING json OPTIONS (path '{}')", path.display())).await?;
    session.sql("CREATE TEMPORARY VIEW v AS SELECT a FROM t").await?;
    let name = json!([{"file_name": "x%20y.json"}]);
    for (sql, expected) in [
        ("SELECT * FROM t", json!([{"a": 1, "p": 1}])),
        ("SELECT t.* FROM t WHERE _metadata.file_size > 1", json!([{"a": 1, "p": 1}])),
        ("SELECT _metadata FROM t", json!([{ "_metadata": metadata(work.path()) }])),
        ("SELECT _METADATA.file_name, t.a FROM t", json!([{"file_name": "x%20y.json", "a": 1}])),
        ("SELECT x._metadata.file_name FROM t AS x", name.clone()),
        ("SELECT q FROM t AS x(q, r)", json!([{"q": 1}])),
        (
            "SELECT _metadata.file_name f, count(*) c FROM t GROUP BY _metadata.file_name",
            json!([{"f": "x%20y.json", "c": 1}]),
        ),
        (
            "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM t w WHERE w._metadata.file_name = t._metadata.file_name)",
            json!([{"a": 1}]),
        ),
        ("SELECT a FROM t NATURAL JOIN (SELECT a, 2 AS b FROM t WHERE _metadata.file_size = 8) u", json!([{"a": 1}])),
    ] {
        assert_eq!(Value::Array(rows_of(&session, sql).await?), expected, "{sql}");
    }
    for sql in ["SELECT _metadata FROM v", "SELECT * FROM (SELECT a FROM t) WHERE _metadata.file_size > 0"] {
        let error = session.sql(sql).await.expect_err("hidden in a view");
        assert!(error.to_string().contains("UNRESOLVED_COLUMN"), "{sql}: {error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_it_too() -> TestResult {
    let work = tempfile::tempdir()?;
    write_input(work.path())?;
    let session = session().await?;
    let (path, out) = (work.path().join("in").display().to_string(), work.path().join("out"));
    let frame = session.read_stream().format("json").schema("a INT, p INT").load(&path).await?;
    assert_eq!(frame.schema().fields().len(), 2);
    let filtered = frame.select([col("a")])?.filter(col("_metadata").field("file_size").gt(lit(1)))?;
    assert_eq!(filtered.schema().fields().len(), 1);
    let query = filtered
        .select_expr(["a", "_metadata", "_metadata.file_name AS name"])?
        .write_stream()
        .format("parquet")
        .option("checkpointLocation", work.path().join("cp").display())
        .option("trigger", "availableNow")
        .start_path(&out.display().to_string())
        .await?;
    query.await_termination().await?;
    // Written, it is a column like others.
    session.sql(&format!("CREATE TABLE o USING parquet OPTIONS (path '{}')", out.display())).await?;
    let expected = json!([{"a": 1, "_metadata": metadata(work.path()), "name": "x%20y.json"}]);
    assert_eq!(Value::Array(rows_of(&session, "SELECT * FROM o").await?), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_parquet_files_are_merged_where_that_is_asked_for() -> TestResult {
    let work = tempfile::tempdir()?;
    let session = session().await?;
    let path = work.path().display();
    for (name, sql) in [
        ("1", "SELECT 1L AS a, named_struct('x', 1) AS s"),
        ("2", "SELECT 2L AS a, named_struct('x', 2, 'y', 'z') AS s, 'b' AS b"),
    ] {
        session.sql(sql).await?.write().format("parquet").save(&format!("{path}/out/{name}")).await?;
    }
    let table = |name: &str, merge: &str| {
        format!("CREATE TABLE {name} USING parquet OPTIONS (path '{path}/out', recursiveFileLookup 'true'{merge})")
    };
    session.sql(&table("first", "")).await?;
    session.sql(&table("merged", ", mergeSchema 'true'")).await?;
    let rows = rows_of(&session, "SELECT * FROM first ORDER BY a").await?;
    assert_eq!(Value::Array(rows), json!([{"a": 1, "s": {"x": 1}}, {"a": 2, "s": {"x": 2}}]));
    let rows = rows_of(&session, "SELECT * FROM merged ORDER BY a").await?;
    let expected = json!([{"a": 1, "s": {"x": 1, "y": null}, "b": null}, {"a": 2, "s": {"x": 2, "y": "z"}, "b": "b"}]);
    assert_eq!(Value::Array(rows), expected);

    session.sql("SELECT 'text' AS a").await?.write().format("parquet").save(&format!("{path}/out/3")).await?;
    let error = session.sql(&table("none", ", mergeSchema 'true'")).await.expect_err("BIGINT and STRING were merged");
    assert!(error.to_string().contains("CANNOT_MERGE_SCHEMAS"), "{error}");
    Ok(())
}

/// A file with the even numbers, in order and in row groups of so many, and large enough for several tasks.
fn write_even_numbers(folder: &Path, numbers: i64, group_rows: usize) -> TestResult {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..numbers).map(|row| row * 2)));
    let rows = RecordBatch::try_from_iter([("a", column)])?;
    fs::create_dir_all(folder)?;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(folder.join("even.parquet"))?, rows.schema(), Some(properties))?;
    writer.write(&rows)?;
    writer.close()?;
    Ok(())
}

/// As Spark has it: for Parquet alone, counted from the beginning of each file.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_parquet_files_have_a_number() -> TestResult {
    let work = tempfile::tempdir()?;
    let session = session().await?;
    let path = work.path().display();
    // Parts of a file are cut between row groups where there are many, and by rows where there are few.
    for (table, group_rows) in [("groups", 5_000), ("rows", 400_000)] {
        write_even_numbers(&work.path().join(table), 400_000, group_rows)?;
        session.sql(&format!("CREATE TABLE t_{table} USING parquet OPTIONS (path '{path}/{table}')")).await?;
        let figures = format!(
            "SELECT count(*) AS n, sum(CASE WHEN a = 2 * r THEN 0 ELSE 1 END) AS wrong, min(part) < max(part) AS is_cut
             FROM (SELECT a, _metadata.row_index AS r, _metadata.file_block_start AS part FROM t_{table})"
        );
        let expected = json!([{"n": 400_000, "wrong": 0, "is_cut": true}]);
        assert_eq!(Value::Array(rows_of(&session, &figures).await?), expected, "{table}");
        let some = format!("SELECT a FROM t_{table} WHERE _metadata.row_index IN (0, 7, 399999) ORDER BY a");
        assert_eq!(Value::Array(rows_of(&session, &some).await?), json!([{"a": 0}, {"a": 14}, {"a": 799_998}]));
    }

    write_input(work.path())?;
    session.sql(&format!("CREATE TABLE j (a INT) USING json OPTIONS (path '{path}/in')")).await?;
    session.sql("SELECT _metadata.row_index FROM j").await.expect_err("rows of JSON files have no number");
    Ok(())
}
