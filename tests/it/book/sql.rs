//! The SQL of the book: each block is run by the command in a folder of its own, over the page's files and Kafka topics.
//!
//! Queries that would go on for ever are run over what is available now: their trigger is replaced. A block of `text output`
//! behind one of SQL is what the command prints, but for the order of rows within a table, which is nobody's business; a line
//! `…` stands for any lines. Behind a query that is refused stands a block of `text error`. A block that is nothing but a
//! query over streams is printed by the console, in append mode or the one that stands behind `sql`. A block
//! of `sql as_is` stops its queries itself.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use millstream_tests::TestResult;
use millstream_tests::command::{Millstream, Ran};
use millstream_tests::kafka_broker::KafkaBroker;
use millstream_tests::markdown::{Code, Page, Part, pages, repository};
use regex::{Captures, Regex};

pub(super) const MILLSTREAM: Millstream = Millstream::at(env!("CARGO_BIN_EXE_millstream-under-test"));

/// How the pages call the broker.
const BROKER: &str = "'kafka.bootstrap.servers' 'host:9092'";

#[test]
fn every_block_of_sql_runs_and_prints_what_the_book_says() -> TestResult {
    let pages = pages()?;
    // Two at a time: most of the time goes into starting the command.
    let (even, odd): (Vec<_>, Vec<_>) = blocks(&pages).into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let check = |blocks: Vec<(usize, Block<'_>)>| -> Vec<String> {
        blocks.into_iter().filter_map(|(_, block)| block.check().err()).map(|error| error.to_string()).collect()
    };
    let failed = thread::scope(|scope| {
        let other = scope.spawn(|| check(odd));
        let mut failed = check(even);
        failed.extend(other.join().expect("it gives what has failed"));
        failed
    });
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    Ok(())
}

/// A block of SQL, and what is said about its output.
struct Block<'a> {
    page: &'a Page,
    code: &'a Code,
    output: Option<&'a Code>,
}

/// The blocks of all pages. An output belongs to the last block of SQL before it.
fn blocks(pages: &[Page]) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for page in pages {
        for part in &page.parts {
            match part {
                Part::Code(code) if code.language() == "sql" => blocks.push(Block { page, code, output: None }),
                Part::Code(code) if code.info.len() == 2 && code.language() == "text" => {
                    if let Some(block) = blocks.last_mut() {
                        block.output = Some(code);
                    }
                }
                _ => {}
            }
        }
    }
    blocks
}

impl Block<'_> {
    fn check(&self) -> TestResult {
        let folder = tempfile::tempdir()?;
        let work = folder.path();
        symlink(repository().join("examples"), work.join("examples"))?;
        write_files(self.page, work)?;
        let broker = self.broker()?;
        let is_as_is = self.code.info.get(1).is_some_and(|word| word == "as_is");
        let statements = if is_as_is { self.code.text.clone() } else { to_the_end(&self.statements()) };
        let mut sql = setup_of(self.page, self.code) + &statements;
        if let Some(broker) = &broker {
            let options = broker.options();
            sql = sql.replace(BROKER, options.trim_end_matches(", startingOffsets 'earliest'"));
        }
        if sql.contains("'9999'") {
            sql = sql.replace("'9999'", &format!("'{}'", serve_lines()?));
        }
        let ran = MILLSTREAM.run_sql(work, &sql)?;
        self.compare(ran).map_err(|why| format!("{}: {why}\nthe statements were\n{sql}", self.code.place).into())
    }

    fn broker(&self) -> TestResult<Option<KafkaBroker>> {
        if !self.code.text.contains(BROKER) {
            return Ok(None);
        }
        let topics: Vec<(&str, &str)> = self.page.notes("messages ").collect();
        let names: Vec<(&str, i32)> = topics.iter().map(|(name, _)| (*name, 1)).collect();
        let broker = KafkaBroker::new(&names)?;
        for (name, values) in topics {
            let messages: Vec<(&str, &str)> = values.lines().map(|value| ("key", value)).collect();
            broker.put(name, 0, &messages)?;
        }
        Ok(Some(broker))
    }

    fn statements(&self) -> String {
        let text = self.code.text.trim_start();
        let is_query = text.starts_with("SELECT") || text.starts_with("WITH");
        match (is_query && text.contains("STREAM "), self.code.info.get(1)) {
            (true, mode) => {
                let mode = mode.map_or("append", String::as_str);
                format!("CREATE STREAMING TABLE shown USING console OPTIONS (outputMode '{mode}') AS {text}")
            }
            (false, _) => text.to_string(),
        }
    }

    fn compare(&self, ran: Ran) -> Result<(), String> {
        let (said, is_error) = match self.output {
            Some(output) => (output.text.as_str(), output.info[1] == "error"),
            None => return ran.ok().map(drop).map_err(|error| error.to_string()),
        };
        let place = Regex::new(r" \(statement at line \d+, column \d+\)").expect("a pattern");
        let printed = if is_error {
            place.replace(&ran.stderr, "").into_owned()
        } else {
            ran.ok().map_err(|error| error.to_string())?.stdout
        };
        match matches(&lines(said), &lines(&printed)) {
            true => Ok(()),
            false => Err(format!("the book says\n{said}\nthe command printed\n{printed}")),
        }
    }
}

/// The page's setup, without the tables that the block makes itself, and what reads them.
pub(super) fn setup_of(page: &Page, code: &Code) -> String {
    let made = tables(&code.text);
    let statements = page.notes("setup").flat_map(|(_, text)| text.split_inclusive(';'));
    let concerns = |statement: &str, table: &String| {
        tables(statement).contains(table) || statement.to_lowercase().contains(&format!("stream {table} "))
    };
    let kept = statements.filter(|statement| !made.iter().any(|table| concerns(statement, table)));
    kept.collect::<String>() + "\n"
}

/// Writes the files of a page into `work`.
pub(super) fn write_files(page: &Page, work: &Path) -> TestResult {
    for (name, text) in page.notes("file ") {
        let path = work.join(name);
        fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
        fs::write(path, text.to_string() + "\n")?;
    }
    Ok(())
}

/// The names behind CREATE, lower case.
fn tables(sql: &str) -> Vec<String> {
    let create =
        Regex::new(r"(?i)\bCREATE\s+(?:STREAMING\s+)?(?:TABLE|(?:OR\s+REPLACE\s+)?(?:TEMPORARY\s+)?VIEW)\s+(\w+)")
            .expect("a pattern");
    create.captures_iter(sql).map(|found| found[1].to_lowercase()).collect()
}

/// The same statements with every query run over what is available now.
pub(super) fn to_the_end(sql: &str) -> String {
    let pattern = |text: &str| Regex::new(text).expect("a pattern");
    let sql = pattern(r"(?i)\btrigger\s+'[^']*'").replace_all(sql, "trigger 'availableNow'").into_owned();
    let written: Vec<String> = pattern(r"(?i)\bINSERT\s+INTO\s+(\w+)[^;]*\bSTREAM\b")
        .captures_iter(&sql)
        .map(|found| found[1].to_lowercase())
        .collect();
    let create = pattern(r"(?is)\bCREATE\s+(STREAMING\s+)?TABLE\s+(\w+)(?:'[^']*'|[^;'])*");
    let with_trigger = |found: &Captures<'_>| {
        let statement = found[0].to_string();
        let runs = found.get(1).is_some() || written.contains(&found[2].to_lowercase());
        if !runs || statement.contains("trigger '") {
            return statement;
        }
        match pattern(r"(?i)\bOPTIONS\s*\(").find(&statement) {
            Some(at) => format!("{}trigger 'availableNow', {}", &statement[..at.end()], &statement[at.end()..]),
            None => {
                pattern(r"(?i)\bAS\s+SELECT").replace(&statement, "OPTIONS (trigger 'availableNow') AS SELECT").into()
            }
        }
    };
    create.replace_all(&sql, with_trigger).into_owned()
}

/// A server of a few lines, that ends with its first client; its port.
fn serve_lines() -> TestResult<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.accept().and_then(|(mut client, _)| client.write_all(b"to be or not to be\n")));
    Ok(port)
}

/// Lines without trailing blanks, the rows of each table and of each line of the console's JSON in order.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.trim_end().lines().map(|line| in_order(line.trim_end())).collect();
    lines.chunk_by_mut(|a, b| a.starts_with('|') && b.starts_with('|')).for_each(<[String]>::sort);
    lines
}

fn in_order(line: &str) -> String {
    let Ok(mut batch) = serde_json::from_str::<serde_json::Value>(line) else { return line.to_string() };
    if let Some(rows) = batch["rows"].as_array_mut() {
        rows.sort_by_key(ToString::to_string);
    }
    batch.to_string()
}

/// Whether `printed` is as `said`, where `…` is any number of lines.
fn matches(said: &[String], printed: &[String]) -> bool {
    match said.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => (0..=printed.len()).any(|skip| matches(rest, &printed[skip..])),
        Some((first, rest)) => printed.first() == Some(first) && matches(rest, &printed[1..]),
    }
}
