//! The table: one line for each engine, the median of its runs, and how many times Millstream's figure is of it.

use std::fmt::Write as _;

use crate::engines::{Engine, Run};
use crate::workloads::{Kind, Workload};

/// The results of `workload` as text.
pub(crate) fn table(workload: &Workload, runs: &[Run]) -> String {
    let mut text = format!("\n{}: {}\n", workload.name, workload.about);
    let is_latency = matches!(workload.kind, Kind::Latency { .. });
    let median_ms = if is_latency { "end to end ms" } else { "batch ms" };
    let header = ["engine", "rows/s", "Millstream ×", median_ms, "p99 ms", "fsync ms", "CPU s", "peak MiB", ""];
    let mut rows = vec![header.map(str::to_string)];
    let mut engines: Vec<Engine> = Vec::new();
    for run in runs {
        if !engines.contains(&run.engine) {
            engines.push(run.engine);
        }
    }
    // More is better.
    let score = |run: &Run| if is_latency { run.batch_ms.map(|ms| 1.0 / ms.0) } else { run.rows_per_s };
    let ours = median(runs, Engine::Millstream, score).and_then(score);
    for engine in engines {
        let Some(run) = median(runs, engine, score) else { continue };
        let number = |value: Option<f64>, decimals: usize| value.map_or("–".into(), |v| format!("{v:.decimals$}"));
        rows.push([
            engine.name().to_string(),
            run.rows_per_s.map_or("–".into(), thousands),
            number(ours.zip(score(run)).map(|(ours, theirs)| ours / theirs), 2),
            number(run.batch_ms.map(|b| b.0), 1),
            number(run.batch_ms.map(|b| b.1), 1),
            number(run.fsync_ms, 2),
            number(Some(run.cost.cpu_s), 1),
            number(Some(run.cost.peak_bytes as f64 / 1_048_576.0), 0),
            run.note.clone(),
        ]);
    }
    let widths: Vec<usize> =
        (0..header.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            // Writing to a String cannot fail.
            let _ = match column == 0 || column + 1 == row.len() {
                true => write!(text, "{cell}{padding}  "),
                false => write!(text, "{padding}{cell}  "),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// The run of `engine` with the median score.
fn median(runs: &[Run], engine: Engine, score: impl Fn(&Run) -> Option<f64>) -> Option<&Run> {
    let mut own: Vec<&Run> = runs.iter().filter(|run| run.engine == engine).collect();
    own.sort_by(|a, b| score(a).unwrap_or(0.0).total_cmp(&score(b).unwrap_or(0.0)));
    own.get(own.len() / 2).copied()
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
