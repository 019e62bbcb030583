//! Conditional creates and a whole query against an S3 server over HTTP.

use bytes::Bytes;
use millstream_state::{ErrorKind, Place};
use millstream_tests::TestResult;
use millstream_tests::s3_server::{BUCKET, S3Server};
use millstream_tests::scenario::write_rows;
use serde_json::{Value, json};

use crate::command::MILLSTREAM;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_name_exactly_one_wins() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = S3Server::start(folder.path()).await?;
    let location = format!("s3://{BUCKET}/race");
    // A client each, as in two processes.
    let (one, other) = (Place::open(&location, &server.options())?, Place::open(&location, &server.options())?);
    for name in (0..30).map(|number| number.to_string()) {
        let create = |place: Place, bytes: &'static [u8]| {
            let name = name.clone();
            tokio::spawn(async move { place.create(&name, Bytes::from_static(bytes)).await })
        };
        let (first, second) = futures::try_join!(create(one.clone(), b"one"), create(other.clone(), b"other"))?;
        let (won, lost) = match (&first, &second) {
            (Ok(()), Err(lost)) => (b"one".as_slice(), lost),
            (Err(lost), Ok(())) => (b"other".as_slice(), lost),
            both => return Err(format!("{name}: {both:?}").into()),
        };
        assert_eq!(lost.kind(), ErrorKind::Fenced, "{lost}");
        assert_eq!(one.read(&name).await?.as_deref(), Some(won), "{name}");
        // The winner's own reply may get lost: it asks again and is told that all is well.
        let again = if won == b"one" { one.create(&name, Bytes::from_static(b"one")).await } else { Ok(()) };
        again?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_with_checkpoint_and_table_in_an_object_store() -> TestResult {
    let (folder, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let server = S3Server::start(folder.path()).await?;
    let input = work.path().join("input");
    std::fs::create_dir_all(&input)?;
    let run = |sql: String| {
        std::fs::write(work.path().join("query.sql"), sql)?;
        let mut command = MILLSTREAM.command(work.path(), &["run", "query.sql", "--format", "json"]);
        command.envs(server.options().into_iter().map(|(key, value)| (key.to_uppercase(), value)));
        Ok::<_, std::io::Error>(tokio::task::spawn_blocking(move || command.output()))
    };
    // A run, more input, another run: the second goes on where the first ended.
    for part in 0..2u64 {
        for file in part * 3..part * 3 + 3 {
            let rows: Vec<Value> = (0..4).map(|row| json!({"id": file * 4 + row})).collect();
            write_rows(&input.join(format!("{file}.json")), &Value::Array(rows), 1_700_000_000 + file)?;
        }
        let output = run(format!(
            "CREATE TABLE input (id BIGINT) USING json OPTIONS (path '{}', maxFilesPerTrigger '1');
             CREATE STREAMING TABLE copied USING parquet
             OPTIONS (path 's3://{BUCKET}/out', checkpointLocation 's3://{BUCKET}/checkpoint', trigger 'availableNow')
             AS SELECT id FROM STREAM input;",
            input.display()
        ))?
        .await??;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let output = run(format!(
        "CREATE TABLE copied (id BIGINT) USING parquet OPTIONS (path 's3://{BUCKET}/out');
         SELECT count(*) AS n, count(DISTINCT id) AS ids, min(id) AS low, max(id) AS high FROM copied;"
    ))?
    .await??;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let row: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(row, json!({"n": 24, "ids": 24, "low": 0, "high": 23}));
    Ok(())
}
