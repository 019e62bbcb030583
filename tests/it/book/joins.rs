//! The matrix of joins: what it says is possible starts, and what it refuses is refused.

use millstream::{ErrorKind, StreamSession};
use millstream_tests::TestResult;
use millstream_tests::markdown::{Page, Part, pages};
use millstream_tests::session::session;

const BOUND: &str = " AND r.timestamp BETWEEN l.timestamp AND l.timestamp + INTERVAL 1 HOUR";

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_of_joins_is_what_happens() -> TestResult {
    let pages = pages()?;
    let page = pages.iter().find(|page| page.path == "docs/joins.md").ok_or("there is no page of joins")?;
    let mut rows = matrix(page).into_iter();
    let kinds = rows.next().ok_or("there is no matrix")?;
    let session = session().await?;
    session.sql("CREATE TABLE s USING `rate-micro-batch` OPTIONS (rowsPerBatch '1')").await?;
    session.sql("CREATE VIEW t AS SELECT TIMESTAMP '1970-01-01 00:00:00' AS timestamp, 0L AS value").await?;
    let mut cells = 0;
    for row in rows {
        for (kind, says) in kinds.iter().zip(&row).skip(2) {
            check(&session, [&row[0], &row[1]], kind, says).await.map_err(|why| format!("{row:?}, {kind}: {why}"))?;
            cells += 1;
        }
    }
    assert_eq!(cells, 24);
    Ok(())
}

async fn check(session: &StreamSession, sides: [&str; 2], kind: &str, says: &str) -> TestResult {
    if sides == ["table", "table"] {
        session.sql(&query(sides, kind, false)).await?.collect().await?;
        return Ok(());
    }
    // (output mode, whether rows are forgotten one day, whether it starts)
    let cases: &[(&str, bool, bool)] = match says {
        "yes" => &[("append", true, true), ("append", false, true), ("update", true, true)],
        "no" => &[("append", true, false), ("append", false, false), ("update", true, false)],
        "append, bounded" => &[("append", true, true), ("append", false, false), ("update", true, false)],
        "bounded" => &[("append", true, true), ("append", false, false), ("update", true, true)],
        other => return Err(format!("'{other}' is no answer").into()),
    };
    for (mode, is_bounded, starts) in cases {
        let query = query(sides, kind, *is_bounded);
        let options = format!("OPTIONS (trigger 'availableNow', outputMode '{mode}')");
        let started = session.sql(&format!("CREATE STREAMING TABLE q USING noop {options} AS {query}")).await;
        match started {
            Ok(_) if *starts => session.sql("AWAIT STREAM q").await.map(drop).or_else(|error| match error.kind() {
                // It has ended already.
                ErrorKind::Invalid => Ok(()),
                _ => Err(error),
            })?,
            Ok(_) => return Err(format!("starts in {mode} mode, bounded: {is_bounded}").into()),
            Err(_) if !starts => {}
            Err(error) => return Err(format!("refused in {mode} mode, bounded: {is_bounded}: {error}").into()),
        }
    }
    Ok(())
}

fn query(sides: [&str; 2], kind: &str, is_bounded: bool) -> String {
    let side = |what: &str| match (what, is_bounded) {
        ("stream", true) => "(SELECT * FROM STREAM s WATERMARK timestamp DELAY OF INTERVAL 5 MINUTES)",
        ("stream", false) => "(SELECT * FROM STREAM s)",
        _ => "t",
    };
    let columns = if kind.starts_with("LEFT ") { "l.value" } else { "l.value, r.timestamp" };
    let bound = if is_bounded { BOUND } else { "" };
    format!("SELECT {columns} FROM {} l {kind} JOIN {} r ON l.value = r.value{bound}", side(sides[0]), side(sides[1]))
}

/// The cells of the first table of the section, without its line of dashes.
fn matrix(page: &Page) -> Vec<Vec<String>> {
    let of_section =
        page.parts.iter().skip_while(|part| !matches!(part, Part::Heading(_, t) if t == "What can be joined"));
    let lines = of_section.skip(1).filter_map(|part| match part {
        Part::Line(_, line) => Some(line.as_str()),
        _ => None,
    });
    let table = lines.take_while(|line| line.starts_with('|')).filter(|line| !line.starts_with("|--"));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    table.map(cells).collect()
}
