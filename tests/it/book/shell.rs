//! The shell commands of the book: programs, packages, files and flags that there are.

use std::fs;
use std::path::Path;
use std::process::Command;

use millstream_tests::TestResult;
use millstream_tests::markdown::{pages, repository};
use regex::Regex;

#[test]
fn commands_name_what_is_there() -> TestResult {
    let help = Command::new(env!("CARGO_BIN_EXE_millstream-under-test")).args(["run", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    let mut wrong = Vec::new();
    for page in pages()? {
        for code in page.code().filter(|code| code.language() == "sh") {
            for line in commands(&code.text) {
                if let Err(why) = check(&line, &help) {
                    wrong.push(format!("{}: {line}: {why}", code.place));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_page_of_examples_names_each() -> TestResult {
    let main = fs::read_to_string(repository().join("examples/src/main.rs"))?;
    let list =
        main.split("const EXAMPLES").nth(1).and_then(|rest| rest.split("\n];").next()).ok_or("there is no list")?;
    let name = Regex::new(r#"\(\s*"([a-z_]+)","#)?;
    let there: Vec<&str> = name.captures_iter(list).filter_map(|found| Some(found.get(1)?.as_str())).collect();
    let pages = pages()?;
    let page = pages.iter().find(|page| page.path == "docs/examples.md").ok_or("there is no page of examples")?;
    assert_eq!(page.table_names("The programs", "example"), there);
    Ok(())
}

/// Commands without comments, pipes and redirections.
fn commands(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_string());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn check(line: &str, help: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", rest @ ..] => cargo(rest, help),
        ["millstream", rest @ ..] => millstream(rest, help),
        ["mdbook", "build", folder] => exists(&format!("{folder}/book.toml")),
        [script, ..] if script.contains('/') => exists(script),
        ["export" | "nc" | "apt-get" | "git" | "cd" | "ls" | "cat" | "head" | "jq" | "kill", ..] => Ok(()),
        _ => Err("a command that this test does not know".to_string()),
    }
}

fn cargo(words: &[&str], help: &str) -> Result<(), String> {
    let (own, program) = match words.iter().position(|word| *word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (words, &words[..0]),
    };
    if !["run", "test", "build", "bench", "install", "clippy"].contains(own.first().unwrap_or(&"")) {
        return Err(format!("cargo has no {own:?}"));
    }
    for pair in own.windows(2) {
        match pair {
            ["-p", package] => manifest(&format!("name = \"{package}\""), "package")?,
            ["--bin", binary] => manifest(&format!("name = \"{binary}\""), "program")?,
            ["--test", test] => manifest(&format!("name = \"{test}\""), "test")?,
            ["--features", feature] => manifest(&format!("{feature} ="), "feature")?,
            _ => {}
        }
    }
    match own {
        [.., "--bin", "millstream"] => millstream(program, help),
        ["run", .., "-p", "examples" | "millstream-examples"] | ["run", .., "--bin", "millstream-examples"] => {
            example(program)
        }
        _ => Ok(()),
    }
}

/// A file of statements that is there, where it is one of ours, and options that the help names.
fn millstream(words: &[&str], help: &str) -> Result<(), String> {
    let until_redirection = words.iter().take_while(|word| !matches!(**word, "<" | "|" | ">" | "2>"));
    for word in until_redirection {
        if word.starts_with('-') && *word != "-" && !help.contains(word) {
            return Err(format!("the command has no {word}"));
        }
        if word.starts_with("examples/") {
            exists(word)?;
        }
    }
    match words.first() {
        None | Some(&"run") => Ok(()),
        Some(other) if other.starts_with('-') => Ok(()),
        Some(other) => Err(format!("the command has no {other}")),
    }
}

fn example(words: &[&str]) -> Result<(), String> {
    let main = fs::read_to_string(repository().join("examples/src/main.rs")).map_err(|error| error.to_string())?;
    match words.first() {
        Some(&"list" | &"NAME") | None => Ok(()),
        Some(name) if main.contains(&format!("\"{name}\"")) => Ok(()),
        Some(name) => Err(format!("there is no example {name}")),
    }
}

fn exists(path: &str) -> Result<(), String> {
    let is_there = repository().join(path.trim_start_matches("./")).exists();
    if is_there { Ok(()) } else { Err(format!("there is no {path}")) }
}

/// Whether the manifest of a package has `line`.
fn manifest(line: &str, what: &str) -> Result<(), String> {
    let folders = [".", "state-store", "formats", "engine", "connectors", "sql", "examples", "tests", "bench"];
    let texts = folders.map(|folder| fs::read_to_string(repository().join(Path::new(folder)).join("Cargo.toml")));
    match texts.iter().flatten().any(|text| text.contains(line)) {
        true => Ok(()),
        false => Err(format!("no {what} with {line}")),
    }
}
