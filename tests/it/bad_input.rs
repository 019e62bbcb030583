//! What is wrong is said clearly, with its kind, and as early as it can be known: through the library and the command.

use std::fs;
use std::path::Path;

use millstream::ErrorKind::{self, Corrupt, Invalid, Unsupported};
use millstream_tests::TestResult;
use millstream_tests::session::session;

use crate::command::MILLSTREAM;

/// A mistake: what is done to the folder first, the SQL with `@` for the folder, and the error's kind and words.
struct Case {
    name: &'static str,
    prepare: fn(&Path) -> std::io::Result<()>,
    sql: &'static str,
    kind: ErrorKind,
    says: &'static [&'static str],
}

const TABLE: &str =
    "CREATE TABLE input (id BIGINT, k STRING) USING json OPTIONS (path '@/input', maxFilesPerTrigger '1');";

fn nothing(_: &Path) -> std::io::Result<()> {
    Ok(())
}

const CASES: &[Case] = &[
    Case {
        name: "an unknown option of a source",
        prepare: nothing,
        sql: "CREATE TABLE t (id BIGINT) USING json OPTIONS (path '@/input', maxFilesPerTriger '1'); START t",
        kind: Invalid,
        says: &["maxFilesPerTriger", "maxFilesPerTrigger"],
    },
    Case {
        name: "an unknown option of a sink",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING parquet OPTIONS (path '@/out', checkpointLocation '@/cp', compresion 'zstd') AS SELECT id FROM STREAM input;",
        kind: Invalid,
        says: &["compresion", "compression"],
    },
    Case {
        name: "an unknown configuration key",
        prepare: nothing,
        sql: "SET spark.sql.shufle.partitions = '3';",
        kind: Invalid,
        says: &["spark.sql.shufle.partitions", "spark.sql.shuffle.partitions"],
    },
    Case {
        name: "an unknown connector",
        prepare: nothing,
        sql: "CREATE TABLE t (id BIGINT) USING jason OPTIONS (path '@/input'); START t",
        kind: Invalid,
        says: &["jason", "json"],
    },
    Case {
        name: "a missing path",
        prepare: nothing,
        sql: "CREATE TABLE t (id BIGINT) USING json OPTIONS (path '@/nowhere'); START t",
        kind: Invalid,
        says: &["nowhere"],
    },
    Case {
        name: "no path at all",
        prepare: nothing,
        sql: "CREATE TABLE t (id BIGINT) USING json OPTIONS (maxFilesPerTrigger '1'); START t",
        kind: Invalid,
        says: &["path"],
    },
    Case {
        name: "no schema",
        prepare: nothing,
        sql: "CREATE TABLE t USING json OPTIONS (path '@/input'); START t",
        kind: Invalid,
        says: &["schema"],
    },
    Case {
        name: "a column that does not exist",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/cp') AS SELECT idd FROM STREAM input;",
        kind: Invalid,
        says: &["idd", "id"],
    },
    Case {
        name: "a partition column that does not exist",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING parquet PARTITIONED BY (kk) OPTIONS (path '@/out', checkpointLocation '@/cp') AS SELECT id, k FROM STREAM input;",
        kind: Invalid,
        says: &["kk"],
    },
    Case {
        name: "a mode that files cannot do",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING parquet OPTIONS (path '@/out', checkpointLocation '@/cp', outputMode 'update') AS SELECT id FROM STREAM input;",
        kind: Unsupported,
        says: &["parquet", "update", "append"],
    },
    Case {
        name: "a mode that there is not",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/cp', outputMode 'upsert') AS SELECT id FROM STREAM input;",
        kind: Invalid,
        says: &["upsert", "append, update or complete"],
    },
    Case {
        name: "a trigger that there is not",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/cp', trigger 'sometimes') AS SELECT id FROM STREAM input;",
        kind: Invalid,
        says: &["sometimes"],
    },
    Case {
        name: "no checkpoint for a sink that needs one",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING parquet OPTIONS (path '@/out') AS SELECT id FROM STREAM input;",
        kind: Invalid,
        says: &["checkpointLocation"],
    },
    Case {
        name: "a sort of a stream",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/cp') AS SELECT id FROM STREAM input ORDER BY id;",
        kind: Invalid,
        says: &["sorted", "ORDER BY"],
    },
    Case {
        name: "a syntax error",
        prepare: nothing,
        sql: "CREATE TABLE t (id BIGINT) USING json OPTIONS (path '@/input');\nSELEC id FROM t;",
        kind: Invalid,
        says: &["SELEC", "line 2"],
    },
    Case {
        name: "a truncated offset file",
        prepare: |work| fs::write(work.join("cp/offsets/1"), "v1\n{\"batchWatermarkMs\":0,\"batchTi"),
        sql: "COPY;",
        kind: Corrupt,
        says: &["offsets/1"],
    },
    Case {
        name: "an empty commit file",
        prepare: |work| fs::write(work.join("cp/commits/1"), ""),
        sql: "COPY;",
        kind: Corrupt,
        says: &["commits/1"],
    },
    Case {
        name: "a missing offset file",
        prepare: |work| fs::remove_file(work.join("cp/offsets/1")),
        sql: "COPY;",
        kind: Corrupt,
        says: &["cp"],
    },
    Case {
        name: "a damaged source log",
        prepare: |work| fs::write(work.join("cp/sources/0/1"), "v1\n{\"path\":\"file:///x\",\"timest"),
        sql: "COPY;",
        kind: Corrupt,
        says: &["sources/0/1"],
    },
    Case {
        name: "damaged metadata",
        prepare: |work| fs::write(work.join("cp/metadata"), "{\"id\":"),
        sql: "COPY;",
        kind: Corrupt,
        says: &["metadata"],
    },
    Case {
        name: "missing metadata",
        prepare: |work| fs::remove_file(work.join("cp/metadata")),
        sql: "COPY;",
        kind: Corrupt,
        says: &["metadata"],
    },
    Case {
        name: "a damaged sink log",
        prepare: |work| fs::write(work.join("out/_spark_metadata/1"), "v1\n{\"path\":"),
        sql: "CREATE TABLE out (id BIGINT) USING parquet OPTIONS (path '@/out'); SELECT * FROM out;",
        kind: Corrupt,
        says: &["_spark_metadata/1"],
    },
    Case {
        name: "the checkpoint of another query",
        prepare: nothing,
        sql: "INPUT; CREATE TABLE more USING rate-micro-batch OPTIONS (rowsPerBatch '1'); CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/cp') AS SELECT id FROM STREAM input UNION ALL SELECT value FROM STREAM more;",
        kind: Invalid,
        says: &["another query", "cp"],
    },
    Case {
        name: "a table that another query has written",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING parquet OPTIONS (path '@/out', checkpointLocation '@/cp2') AS SELECT id FROM STREAM input;",
        kind: Invalid,
        says: &["another query", "_spark_metadata"],
    },
    Case {
        name: "malformed rows under FAILFAST",
        prepare: |work| fs::write(work.join("input/9.json"), "{\"id\": 1}\nnot json\n"),
        sql: "CREATE TABLE t (id BIGINT) USING json OPTIONS (path '@/input', mode 'FAILFAST'); START t",
        kind: Invalid,
        says: &["9.json", "malformed record", "PERMISSIVE", "line 2"],
    },
    Case {
        name: "a cast that fails in a batch",
        prepare: nothing,
        sql: "INPUT; CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/cp9', trigger 'availableNow') AS SELECT CAST(k AS INT) AS n FROM STREAM input;",
        kind: Invalid,
        says: &["query q, batch 0", "CAST_INVALID_INPUT"],
    },
    Case {
        name: "a checkpoint that cannot be written",
        prepare: |work| fs::write(work.join("file"), ""),
        sql: "INPUT; CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/file/cp', trigger 'availableNow') AS SELECT id FROM STREAM input;",
        kind: Invalid,
        says: &["file/cp"],
    },
];

/// A folder with two input files, and `cp` and `out` of a query that has processed them.
async fn folder_with_a_finished_query() -> TestResult<tempfile::TempDir> {
    let work = tempfile::tempdir()?;
    fs::create_dir(work.path().join("input"))?;
    for file in 0..2 {
        fs::write(work.path().join(format!("input/{file}.json")), format!("{{\"id\": {file}, \"k\": \"x\"}}\n"))?;
    }
    let session = session().await?;
    session.sql(&expand("COPY;", work.path())).await?;
    session.streams().await_any_termination().await?;
    Ok(work)
}

/// The SQL of a case, its abbreviations written out.
fn expand(sql: &str, work: &Path) -> String {
    sql.replace(
        "COPY;",
        "INPUT; CREATE STREAMING TABLE q USING parquet OPTIONS (path '@/out', checkpointLocation '@/cp', trigger 'availableNow') AS SELECT id FROM STREAM input;",
    )
    .replace(
        "START t",
        "CREATE STREAMING TABLE q USING noop OPTIONS (checkpointLocation '@/cp3', trigger 'availableNow') AS SELECT id FROM STREAM t;",
    )
    .replace("INPUT;", TABLE)
    .replace(") AS SELECT", if sql.contains("trigger") { ") AS SELECT" } else { ", trigger 'availableNow') AS SELECT" })
    .replace(", trigger 'availableNow', trigger 'availableNow'", ", trigger 'availableNow'")
    .replace('@', &work.to_string_lossy())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_gets_its_error() -> TestResult {
    let mut wrong = Vec::new();
    for case in CASES {
        let work = folder_with_a_finished_query().await?;
        (case.prepare)(work.path())?;
        let sql = expand(case.sql, work.path());
        let session = session().await?;
        let outcome = async {
            session.sql(&sql).await?.collect().await?;
            match session.streams().active().is_empty() {
                true => Ok(()),
                false => session.streams().await_any_termination().await,
            }
        };
        let outcome = match outcome.await {
            // It may have failed before anybody asked.
            Ok(()) => {
                tokio::time::timeout(std::time::Duration::from_secs(1), session.streams().await_any_termination())
                    .await
                    .unwrap_or(Ok(()))
            }
            failed => failed,
        };
        match outcome {
            Ok(()) => wrong.push(format!("{}: no error", case.name)),
            Err(error) => {
                let text = error.to_string();
                if error.kind() != case.kind || case.says.iter().any(|words| !text.contains(words)) {
                    wrong.push(format!("{}: {:?}: {text}", case.name, error.kind()));
                }
            }
        }
        session.streams().stop_all().await?;

        let work = folder_with_a_finished_query().await?;
        (case.prepare)(work.path())?;
        let script = expand(case.sql, work.path());
        let place = work.path().to_path_buf();
        let ran = tokio::task::spawn_blocking(move || MILLSTREAM.run_sql(&place, &script)).await??;
        let is_clear = case.says.iter().all(|words| ran.stderr.contains(words)) && !ran.stderr.contains("panicked");
        if ran.code != Some(1) || !is_clear {
            wrong.push(format!("{}: the command: {:?} {}", case.name, ran.code, ran.stderr.trim()));
        }
    }
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
