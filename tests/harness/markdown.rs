//! The chapters of the book as tests see them: headings, links, blocks of code, tables, and comments that readers do not see.
//!
//! What a comment says to the tests of code blocks:
//! ```text
//! <!-- file in/clicks/1.json      a file that every SQL block of the page finds where it runs
//! {"page": "home"}
//! -->
//! <!-- setup                      statements before every SQL block of the page but those that declare the same table
//! CREATE TABLE clicks …;
//! -->
//! <!-- messages clicks            messages of a Kafka topic, a value a line
//! {"user": "ada"}
//! -->
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::TestResult;

/// A page of Markdown.
#[derive(Debug)]
pub struct Page {
    /// Its path from the repository's root, such as `docs/joins.md`.
    pub path: String,
    /// What is on it, in order.
    pub parts: Vec<Part>,
}

/// A piece of a page.
#[derive(Debug)]
pub enum Part {
    /// A heading: how many `#`, and its text.
    Heading(usize, String),
    /// A block of code.
    Code(Code),
    /// A comment, without its marks.
    Comment(String),
    /// A line of anything else: its number, from 1, and its text.
    Line(usize, String),
}

/// A block of code.
#[derive(Clone, Debug)]
pub struct Code {
    /// The page and line, for messages.
    pub place: String,
    /// What stands behind its fence, word by word; the first is the language.
    pub info: Vec<String>,
    /// The code.
    pub text: String,
}

impl Code {
    /// The language; empty where none is given.
    pub fn language(&self) -> &str {
        self.info.first().map_or("", String::as_str)
    }
}

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages at the root, and every page of the book, sorted.
pub fn pages() -> TestResult<Vec<Page>> {
    let root = repository();
    let mut paths: Vec<String> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(String::from).into();
    chapters(&root, "docs", &mut paths)?;
    paths.sort();
    paths.iter().map(|path| Ok(Page::parse(path, &fs::read_to_string(root.join(path))?))).collect()
}

fn chapters(root: &Path, folder: &str, paths: &mut Vec<String>) -> TestResult {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            chapters(root, &path, paths)?;
        } else if path.ends_with(".md") {
            paths.push(path);
        }
    }
    Ok(())
}

impl Page {
    /// Takes `text` apart.
    pub fn parse(path: &str, text: &str) -> Self {
        let mut parts = Vec::new();
        let mut lines = (1..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            if let Some(info) = line.trim_start().strip_prefix("```") {
                let code: Vec<&str> =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
                let info = info.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_string).collect();
                parts.push(Part::Code(Code { place: format!("{path}:{number}"), info, text: code.join("\n") + "\n" }));
            } else if let Some(first) = line.strip_prefix("<!--") {
                let mut comment = first.trim_start().to_string();
                while !comment.ends_with("-->") {
                    let Some((_, line)) = lines.next() else { break };
                    comment = comment + "\n" + line;
                }
                parts.push(Part::Comment(comment.trim_end_matches("-->").trim_end().to_string()));
            } else if let Some(level) = line.find(' ').filter(|at| *at > 0 && line[..*at].bytes().all(|b| b == b'#')) {
                parts.push(Part::Heading(level, line[level..].trim().to_string()));
            } else {
                parts.push(Part::Line(number, line.to_string()));
            }
        }
        Self { path: path.to_string(), parts }
    }

    /// Its blocks of code.
    pub fn code(&self) -> impl Iterator<Item = &Code> {
        self.parts.iter().filter_map(|part| match part {
            Part::Code(code) => Some(code),
            _ => None,
        })
    }

    /// The rest of the first line, and the other lines, of comments that begin with `word`.
    pub fn notes<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.parts.iter().filter_map(move |part| match part {
            Part::Comment(text) => {
                let (head, body) = text.split_once('\n').unwrap_or((text, ""));
                head.strip_prefix(word).map(|rest| (rest.trim(), body))
            }
            _ => None,
        })
    }

    /// The names by which its headings can be linked to, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.parts.iter().filter_map(|part| match part {
            Part::Heading(_, text) => Some(text),
            _ => None,
        });
        headings.map(|text| anchor(text)).collect()
    }

    /// Targets of its links and images, outside code.
    pub fn links(&self) -> Vec<(usize, String)> {
        let lines = self.parts.iter().filter_map(|part| match part {
            Part::Line(number, text) => Some((*number, text)),
            _ => None,
        });
        lines.flat_map(|(number, line)| targets(line).into_iter().map(move |target| (number, target))).collect()
    }

    /// The first cells of the tables headed `head` in the section whose heading is `heading`, each split into the names
    /// that stand in backquotes.
    pub fn table_names(&self, heading: &str, head: &str) -> Vec<String> {
        let mut names = Vec::new();
        let (mut here, mut in_table) = (false, false);
        for part in &self.parts {
            match part {
                Part::Heading(_, text) => (here, in_table) = (text == heading, false),
                Part::Line(_, line) if here && line.starts_with('|') => {
                    let cell = line.trim_matches('|').split('|').next().unwrap_or_default().trim();
                    match (in_table, cell == head) {
                        (false, starts) => in_table = starts,
                        (true, _) => names.extend(cell.split('`').skip(1).step_by(2).map(str::to_string)),
                    }
                }
                _ => in_table = false,
            }
        }
        names
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// What stands in parentheses behind a closing bracket, and in `src="…"` and `href="…"`.
fn targets(line: &str) -> Vec<String> {
    let ends = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')];
    let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let found = ends.iter().flat_map(|(start, end)| {
        plain.split(start).skip(1).filter_map(|rest| rest.split(*end).next()).map(str::to_string).collect::<Vec<_>>()
    });
    found.collect()
}
