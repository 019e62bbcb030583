//! The state store against a bare hash table, a `HashMap<Vec<u8>, Vec<u8>>` and fjall, in one run.
//!
//! `cargo bench -p millstream-state` prints criterion's lines and, at the end, the table of `docs/state-store.md`. Words
//! after `--` choose benches by name; `MILLSTREAM_BENCH=point` (or `commits`, `large`) leaves out whole parts with their
//! preparation.

mod commits;
mod compression;
mod large;
mod point;
mod report;
mod rivals;
mod rows;

use std::time::Duration;

use criterion::Criterion;

use crate::report::Report;

fn main() {
    if large::run_as_child() {
        return;
    }
    let results = tempfile::tempdir().expect("a folder for criterion's results");
    let mut criterion = Criterion::default()
        .output_directory(results.path())
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let mut report = Report::new(results.path());
    let part = std::env::var("MILLSTREAM_BENCH").ok();
    let is_wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if is_wanted("point") {
        point::run(&mut criterion, &mut report);
    }
    if is_wanted("commits") {
        commits::run(&mut criterion, &mut report);
    }
    if is_wanted("compression") {
        compression::run(&mut report);
    }
    if is_wanted("large") {
        large::run(&mut criterion, &mut report);
    }
    criterion.final_summary();
    report.print();
}
