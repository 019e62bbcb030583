//! Lists of names with reasons, in `tests/data/*.txt`: what is known to differ, and what later work brings.
//!
//! A line is a name (or a pattern with one `*`), then a word or a sentence about it; `#` starts a comment.

use std::path::PathBuf;

/// A list.
#[derive(Clone, Debug)]
pub struct NameList(Vec<(String, String)>);

impl NameList {
    /// The list `tests/data/<name>.txt`.
    pub fn read(name: &str) -> std::io::Result<Self> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(format!("{name}.txt"));
        let text = std::fs::read_to_string(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let split = |line: &str| {
            let (name, about) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            (name.to_string(), about.trim().to_string())
        };
        Ok(Self(lines.map(split).collect()))
    }

    /// What the list says about `name`.
    pub fn about(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(pattern, _)| matches_pattern(pattern, name)).map(|(_, about)| about.as_str())
    }

    /// The entries that none of `names` matches: they are out of date.
    pub fn unused<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let names: Vec<&str> = names.into_iter().collect();
        let is_used = |pattern: &str| names.iter().any(|name| matches_pattern(pattern, name));
        self.0.iter().filter(|(pattern, _)| !is_used(pattern)).map(|(pattern, _)| pattern.clone()).collect()
    }
}

fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
    }
}
