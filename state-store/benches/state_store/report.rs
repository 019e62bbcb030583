//! The table at the end, from criterion's own results.

use std::path::{Path, PathBuf};

/// Lines of a Markdown table.
pub(crate) struct Report {
    results: PathBuf,
    lines: Vec<String>,
}

impl Report {
    pub(crate) fn new(results: &Path) -> Self {
        Self { results: results.to_owned(), lines: Vec::new() }
    }

    /// Nanoseconds of one iteration; `None` when the bench was not chosen.
    pub(crate) fn nanos(&self, group: &str, bench: &str) -> Option<f64> {
        let path = self.results.join(group).join(bench).join("new/estimates.json");
        let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        estimates["median"]["point_estimate"].as_f64()
    }

    pub(crate) fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    pub(crate) fn print(&self) {
        let stdout = std::io::stdout();
        for line in &self.lines {
            // Nobody is left to tell when the output is closed.
            let _ = std::io::Write::write_all(&mut stdout.lock(), format!("{line}\n").as_bytes());
        }
    }
}
