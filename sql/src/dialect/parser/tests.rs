//! Statements are read as they are written, and mistakes are named with their place.

use sqlparser::ast::{SetExpr, TableFactor};

use super::*;
use crate::dialect::relations::StreamRelation;

fn one(text: &str) -> Statement {
    let mut statements = parse_script(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0).statement
}

/// The clauses of the first relation of a query.
fn relation(text: &str) -> (StreamRelation, Option<String>) {
    let Statement::Query(query) = one(text) else { panic!("{text}: not a query") };
    let SetExpr::Select(select) = *query.ast.body else { panic!("{text}: not a select") };
    let (sample, alias) = match &select.from[0].relation {
        TableFactor::Table { sample, alias, .. } | TableFactor::Derived { sample, alias, .. } => (sample, alias),
        other => panic!("{text}: {other}"),
    };
    (StreamRelation::of_sample(sample.as_ref()).expect("our own sample"), alias.as_ref().map(ToString::to_string))
}

#[test]
fn tables_have_options_of_every_form() {
    let text =
        "CREATE TABLE IF NOT EXISTS a.ev (k STRING, `ts` TIMESTAMP, m MAP<STRING, ARRAY<INT>>) USING rate-micro-batch
        PARTITIONED BY (k, d) OPTIONS (path 'in', 'x' = 'y', kafka.acks \"all\", rows 10, on true) COMMENT 'it''s'";
    let Statement::CreateTable(table) = one(text) else { panic!("not a table") };
    assert_eq!(table.name.to_string(), "a.ev");
    assert!(table.if_not_exists);
    assert_eq!(table.columns.as_deref(), Some("k STRING , `ts` TIMESTAMP , m MAP < STRING , ARRAY < INT >>"));
    assert_eq!(table.connector.as_deref(), Some("rate-micro-batch"));
    assert_eq!(table.partitioned_by, ["k", "d"]);
    let options: Vec<(&str, &str)> = table.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(options, [("path", "in"), ("x", "y"), ("kafka.acks", "all"), ("rows", "10"), ("on", "true")]);
    assert_eq!(table.comment.as_deref(), Some("it's"));
    let Statement::CreateTable(table) = one("CREATE TABLE t USING `rate-micro-batch`") else { panic!("not a table") };
    assert_eq!((table.connector.as_deref(), table.columns), (Some("rate-micro-batch"), None));
}

#[test]
fn a_script_is_split_at_semicolons_only() {
    let text = "SET a.b = 'x;y'; -- not; here\nCREATE TEMP VIEW v AS SELECT ';' AS s;;\n  SELECT 1 /* ; */ ;";
    let statements = parse_script(text).expect("three statements");
    let places: Vec<(u64, u64)> = statements.iter().map(|it| (it.location.line, it.location.column)).collect();
    assert_eq!(places, [(1, 1), (2, 1), (3, 3)]);
    assert!(
        matches!(&statements[0].statement, Statement::Set { key: Some(key), value: Some(value) } if key == "a.b" && value == "x;y")
    );
    assert_eq!(statements[1].text, "CREATE TEMP VIEW v AS SELECT ';' AS s");
}

#[test]
fn every_statement_is_known() {
    type Case = (&'static str, fn(&Statement) -> bool);
    let cases: &[Case] = &[
        ("SHOW STREAMS", |it| matches!(it, Statement::ShowStreams)),
        ("show tables", |it| matches!(it, Statement::ShowTables)),
        ("DESCRIBE STREAM q", |it| matches!(it, Statement::DescribeStream(name) if name.to_string() == "q")),
        ("DESC stream", |it| matches!(it, Statement::DescribeTable(name) if name.to_string() == "stream")),
        ("DESCRIBE TABLE EXTENDED t", |it| matches!(it, Statement::DescribeTable(name) if name.to_string() == "t")),
        ("STOP STREAM q", |it| matches!(it, Statement::StopStream(_))),
        ("AWAIT STREAM q", |it| matches!(it, Statement::AwaitStream { timeout: None, .. })),
        ("AWAIT STREAM q '10 s'", |it| matches!(it, Statement::AwaitStream { timeout: Some(_), .. })),
        ("EXPLAIN STREAM SELECT * FROM STREAM t", |it| matches!(it, Statement::Explain { stream: true, .. })),
        ("EXPLAIN EXTENDED SELECT 1", |it| matches!(it, Statement::Explain { extended: true, stream: false, .. })),
        ("SET", |it| matches!(it, Statement::Set { key: None, value: None })),
        ("SET a.b.c", |it| matches!(it, Statement::Set { key: Some(key), value: None } if key == "a.b.c")),
        ("SET a.b = 10 seconds", |it| matches!(it, Statement::Set { value: Some(value), .. } if value == "10 seconds")),
        ("SET `a b` = c", |it| matches!(it, Statement::Set { key: Some(key), .. } if key == "a b")),
        ("RESET a.b", |it| matches!(it, Statement::Reset { key: Some(key) } if key == "a.b")),
        ("DROP STREAM IF EXISTS q", |it| matches!(it, Statement::Drop { kind: DropKind::Stream, if_exists: true, .. })),
        (
            "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
            |it| matches!(it, Statement::Insert { columns, .. } if columns.is_empty()),
        ),
        (
            "INSERT INTO t (a, b) SELECT 1, 2",
            |it| matches!(it, Statement::Insert { columns, .. } if columns.len() == 2),
        ),
        ("INSERT INTO t (SELECT 1)", |it| matches!(it, Statement::Insert { columns, .. } if columns.is_empty())),
        (
            "CREATE OR REPLACE TEMPORARY VIEW v (a) AS SELECT 1",
            |it| matches!(it, Statement::CreateView(view) if view.or_replace && view.columns == ["a"]),
        ),
        ("CREATE STREAMING TABLE c USING noop AS SELECT * FROM STREAM t", |it| {
            matches!(it, Statement::CreateStreamingTable { .. })
        }),
        ("(SELECT 1) UNION ALL SELECT 2", |it| matches!(it, Statement::Query(_))),
        ("WITH a AS (SELECT 1) SELECT * FROM a", |it| matches!(it, Statement::Query(_))),
    ];
    for (text, is_expected) in cases {
        let statement = one(text);
        assert!(is_expected(&statement), "{text}: {statement:?}");
    }
}

#[test]
fn relations_carry_their_clauses() {
    let cases = [
        ("SELECT * FROM STREAM t", true, None, None),
        ("SELECT * FROM STREAM(t) AS x", true, None, Some("AS x")),
        (
            "SELECT * FROM STREAM t WITH ('a' = 'b') WATERMARK ts DELAY OF INTERVAL 10 SECONDS x WHERE a",
            true,
            Some(("ts", None, 10_000)),
            Some("x"),
        ),
        ("SELECT * FROM t WATERMARK ts DELAY OF INTERVAL '1' MINUTE", false, Some(("ts", None, 60_000)), None),
        (
            "SELECT * FROM (SELECT 1 AS ts FROM STREAM u) WATERMARK ts DELAY OF INTERVAL 1 MONTH AS a (b)",
            false,
            Some(("ts", None, 2_678_400_000)),
            Some("AS a (b)"),
        ),
        ("SELECT * FROM t AS watermark", false, None, Some("AS watermark")),
        (
            "SELECT * FROM STREAM t WATERMARK to_timestamp(a, 'x') AS at DELAY OF INTERVAL 0 SECONDS JOIN u ON a = b",
            true,
            Some(("to_timestamp(a, 'x')", Some("at"), 0)),
            None,
        ),
    ];
    for (text, is_stream, watermark, alias) in cases {
        let (clauses, found_alias) = relation(text);
        assert_eq!(clauses.is_stream, is_stream, "{text}");
        let found = clauses.watermark.map(|clause| (clause.expr.to_string(), clause.name, clause.delay_ms));
        assert_eq!(found, watermark.map(|(expr, name, ms)| (expr.to_string(), name.map(str::to_string), ms)), "{text}");
        assert_eq!(found_alias.as_deref(), alias, "{text}");
    }
    let (clauses, _) = relation("SELECT * FROM STREAM t WITH ('a' = 'b', c.d 'e')");
    assert_eq!(clauses.options, [("a".to_string(), "b".to_string()), ("c.d".to_string(), "e".to_string())]);
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("SELEKT 1", "line 1, column 1: found 'SELEKT', expected SELECT, WITH"),
        ("SELEKT 1", "did you mean SELECT?"),
        ("SELECT a\nFORM t", "did you mean FROM instead of 'FORM'?"),
        (
            "CREATE TABLE t USNG json",
            "line 1, column 16: found 'USNG', expected USING, OPTIONS, PARTITIONED, COMMENT, AS; did you mean USING?",
        ),
        ("CREATE TABLE t USING json OPTIONS (path)", "column 40: found ')', expected an option's value in quotes"),
        (
            "CREATE TABLE t USING json OPTIONS (a secret)",
            "column 38: found something else, expected an option's value in single quotes",
        ),
        ("CREATE TABLE t USING json OPTIONS (a '1', A '2')", "[DUPLICATE_KEY]"),
        ("SELECT * FROM STREAM t WATERMARK ts DELAY OF 10 SECONDS", "column 46: found '10', expected INTERVAL n UNIT"),
        (
            "SELECT * FROM STREAM t WATERMARK a + b DELAY OF INTERVAL 1 SECOND",
            "[REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE]",
        ),
        ("SELECT * FROM t WHERE", "found the end of the statement, expected"),
        ("SELECT (1", "expected"),
        ("SHOW STREAM", "found 'STREAM', expected STREAMS, TABLES; did you mean STREAMS?"),
        ("DROP STREAM", "found the end of the statement, expected a name"),
        ("SELECT INTERVAL 1 DAY 1 MONTH", "not both"),
    ];
    for (text, expected) in cases {
        let error = parse_script(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
