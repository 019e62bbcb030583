//! The examples as processes: what they print and leave behind, against models of their input.

mod connectors;
mod files;
mod kafka;
mod model;
mod stateful;
mod stateless;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use millstream_tests::TestResult;
use millstream_tests::command::{Millstream, Ran};
use millstream_tests::markdown::repository;
use serde_json::Value;

const EXAMPLES: Millstream = Millstream::at(env!("CARGO_BIN_EXE_examples-under-test"));

/// Runs an example to its end, in the repository's root, all that it makes below `folder`.
fn run(name: &str, folder: &Path) -> TestResult<Ran> {
    let folder = folder.to_str().ok_or("a folder whose path is no text")?;
    let ran: Ran = EXAMPLES.command(&repository(), &[name, "--folder", folder]).output()?.into();
    Ok(ran.ok()?)
}

/// A printed row: column → cell.
type Row = BTreeMap<String, String>;

/// The tables in an output, in order.
fn tables(output: &str) -> Vec<Vec<Row>> {
    let mut tables: Vec<Vec<Row>> = Vec::new();
    let mut names: Option<Vec<String>> = None;
    let mut borders = 0;
    for line in output.lines() {
        if line.starts_with("+-") {
            borders = borders % 3 + 1;
            if borders == 1 {
                tables.push(Vec::new());
                names = None;
            }
        } else if let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) {
            let cells: Vec<String> = cells.split('|').map(|cell| cell.trim().to_string()).collect();
            match (&names, tables.last_mut()) {
                (Some(names), Some(table)) => table.push(names.iter().cloned().zip(cells).collect()),
                _ => names = Some(cells),
            }
        }
    }
    tables
}

/// The cells of some columns.
fn cells<const N: usize>(table: &[Row], columns: [&str; N]) -> Vec<[String; N]> {
    table.iter().map(|row| columns.map(|column| row[column].clone())).collect()
}

/// The rows of the files in a folder of input, file by file; lines that are not JSON are left out.
fn input(folder: &Path) -> TestResult<Vec<Vec<Value>>> {
    let mut paths: Vec<_> = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let read =
        |path| Ok(fs::read_to_string(path)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect());
    paths.iter().map(read).collect()
}

/// All of them.
fn all_input(folder: &Path) -> TestResult<Vec<Value>> {
    Ok(input(folder)?.concat())
}

#[test]
fn the_list_has_a_line_for_each_file() -> TestResult {
    let list: Ran = EXAMPLES.command(&repository(), &["list"]).output()?.into();
    let listed = list.ok()?.stdout;
    let listed: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(repository().join("examples/src"))? {
        let name = entry?.file_name().into_string().map_err(|name| format!("{name:?} is no text"))?;
        files.insert(name.trim_end_matches(".rs").to_string());
    }
    for shared in ["main", "arguments", "broker"] {
        files.remove(shared);
    }
    assert_eq!(listed, files.iter().map(String::as_str).collect());

    let unknown: Ran = EXAMPLES.command(&repository(), &["wordcount"]).output()?.into();
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("there is no example 'wordcount'"), "{}", unknown.stderr);
    Ok(())
}
