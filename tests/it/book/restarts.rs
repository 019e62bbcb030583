//! What may change between two runs on one checkpoint, as the page about operations says.

use std::fs;
use std::path::Path;

use millstream::{ErrorKind, Result, StreamSession};
use millstream_tests::TestResult;
use millstream_tests::session::session;

const JOIN: &str = "SELECT l.n, r.at FROM (SELECT * FROM STREAM a WATERMARK at DELAY OF INTERVAL 1 MINUTE) l \
                    JOIN (SELECT * FROM STREAM b WATERMARK at DELAY OF INTERVAL 1 MINUTE) r \
                    ON l.n = r.n AND r.at BETWEEN l.at AND l.at + INTERVAL 1 HOUR";

/// A mode and a query, another mode and what of the text becomes what, and whether the second run is refused.
#[rustfmt::skip]
const CHANGES: &[(&str, &str, &str, &str, &str, bool)] = &[
    ("append", "SELECT k, n FROM STREAM a WHERE n > 0", "append", "n > 0", "n > 1", false),
    ("append", "SELECT k, n FROM STREAM a WHERE n > 0", "append", "k, n FROM", "n FROM", false),
    ("append", "SELECT k FROM STREAM a", "append", "STREAM a", "STREAM a UNION ALL SELECT k FROM STREAM b", true),
    ("update", "SELECT k, count(*) AS c FROM STREAM a GROUP BY k", "update", "STREAM a", "STREAM a WHERE n > 1", false),
    ("update", "SELECT k, count(*) AS c FROM STREAM a GROUP BY k", "complete", "c FROM", "d FROM", false),
    ("update", "SELECT k, count(*) AS c FROM STREAM a GROUP BY k", "update", "count(*)", "sum(n)", true),
    ("update", "SELECT k, count(*) AS c FROM STREAM a GROUP BY k", "update", "AS c", "AS c, max(n) AS m", true),
    ("update", "SELECT k, count(*) AS c FROM STREAM a GROUP BY k", "update", "k", "n", true),
    ("update", "SELECT k, count(*) AS c FROM STREAM a GROUP BY k", "append", "k, count(*) AS c FROM STREAM a GROUP BY k", "k FROM STREAM a", true),
    ("update", WINDOWS, "update", "1 MINUTE", "3 MINUTES", false),
    ("update", WINDOWS, "append", "'4 minutes'", "'4 minutes'", false),
    ("update", WINDOWS, "update", "'4 minutes'", "'8 minutes'", true),
    ("update", WINDOWS, "update", "'4 minutes'", "'4 minutes', '2 minutes'", true),
    ("update", WINDOWS, "update", "'4 minutes'", "'4 minutes', '4 minutes', '1 minute'", true),
    ("append", SLIDING, "append", "1 MINUTE", "2 MINUTES", false),
    ("append", SLIDING, "update", "1 MINUTE", "1 MINUTE", true),
    ("append", "SELECT DISTINCT ON (k) k, n FROM STREAM a", "append", "k, n", "k, n + 1 AS n", false),
    ("append", "SELECT DISTINCT ON (k) k, n FROM STREAM a", "append", "ON (k)", "ON (n)", true),
    ("append", JOIN, "append", "l.n > 0", "l.n > 0", false),
    ("append", JOIN, "append", "1 HOUR", "2 HOURS", true),
];

const WINDOWS: &str = "SELECT window.start, count(*) AS c FROM STREAM a WATERMARK at DELAY OF INTERVAL 1 MINUTE \
                       GROUP BY window(at, '4 minutes')";
const SLIDING: &str = "SELECT window.start, count(*) AS c FROM STREAM a WATERMARK at DELAY OF INTERVAL 1 MINUTE \
                       GROUP BY window(at, '4 minutes', '2 minutes')";

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_or_refuses_what_the_book_says() -> TestResult {
    for (mode, query, other_mode, what, with, is_refused) in CHANGES {
        let work = tempfile::tempdir()?;
        run(work.path(), "1", mode, query).await?;
        let changed = query.replace(what, with);
        match (run(work.path(), "2", other_mode, &changed).await, is_refused) {
            (Ok(()), false) => {}
            (Err(error), true) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
            (Ok(()), true) => return Err(format!("{query}\nthen in {other_mode} mode\n{changed}\nis taken").into()),
            (Err(error), false) => return Err(format!("{query}\nthen in {other_mode} mode\n{changed}\n{error}").into()),
        }
    }
    Ok(())
}

/// Runs `query` over what is there and a new file of each source.
async fn run(work: &Path, file: &str, mode: &str, query: &str) -> Result<()> {
    let session: StreamSession = session().await?;
    for source in ["a", "b"] {
        let folder = work.join(source);
        let row = format!("{{\"k\": \"x\", \"n\": {file}, \"at\": \"2026-03-02T09:0{file}:00Z\"}}\n");
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(format!("{file}.json")), row));
        written.expect("the test's own folder can be written");
        let path = folder.display();
        let create =
            format!("CREATE TABLE {source} (k STRING, n BIGINT, at TIMESTAMP) USING json OPTIONS (path '{path}')");
        session.sql(&create).await?;
    }
    let checkpoint = work.join("checkpoint");
    let options = format!("checkpointLocation '{}', outputMode '{mode}', trigger 'availableNow'", checkpoint.display());
    session.sql(&format!("CREATE STREAMING TABLE q USING noop OPTIONS ({options}) AS {query}")).await?;
    match session.streams().get("q") {
        Some(query) => query.await_termination().await,
        None => Ok(()),
    }
}
