//! Ten million keys: loading them, and looking them up with a tenth of the memory they would take.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use futures::executor::block_on;
use millstream_state::{Keys, Stores, VersionRef};

use crate::report::Report;
use crate::rivals::BareTable;
use crate::rows::{BATCH, ROW_BYTES, Rows, filled, id, rows, schema, scramble, stores};

const KEYS: u64 = 10_000_000;

/// Batches of Zipf keys to measure with: so many that they hardly come round again.
const MEASURED: usize = 1024;

/// Batches of other draws that come before.
const WARMING: usize = 768;

/// The environment variable that tells a process what to measure.
const CHILD: &str = "MILLSTREAM_BENCH_CHILD";

pub(crate) fn run(criterion: &mut Criterion, report: &mut Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let (filler, version) = filled(folder.path(), KEYS);
    drop(filler);
    report.line("");
    load(criterion, report, folder.path(), &version);
    zipf(criterion, report, folder.path(), &version);
}

fn open(stores: &Stores, version: &VersionRef) {
    let batch = stores.begin(version, version.version + 1, "bench").expect("a batch");
    black_box(block_on(batch.draft(&id(0, 1), &schema())).expect("a draft"));
}

fn load(criterion: &mut Criterion, report: &mut Report, folder: &Path, version: &VersionRef) {
    const GROUP: &str = "load 10 M keys";
    let mut group = criterion.benchmark_group(GROUP);
    group.throughput(Throughput::Elements(KEYS));
    group.bench_function("state store", |bencher| {
        bencher.iter_custom(|iterations| {
            let loaded: Vec<_> = (0..iterations).map(|_| stores(folder, usize::MAX / 2)).collect();
            let start = Instant::now();
            for stores in &loaded {
                open(stores, version);
                stores.unload();
            }
            start.elapsed()
        });
    });
    group.bench_function("bare table", |bencher| {
        bencher.iter(|| black_box(BareTable::filled(KEYS, KEYS as usize)).len);
    });
    group.finish();
    let (memory, grown) = in_another_process(folder, version, usize::MAX / 2);
    let raw = KEYS as f64 * ROW_BYTES as f64;
    report.line(format!(
        "memory of 10 M keys: {:.0} MB by the store's account, {:.0} MB of the process, for {:.0} MB of raw keys and values: {:.2} ×",
        memory as f64 / 1e6,
        grown as f64 / 1e6,
        raw / 1e6,
        grown as f64 / raw
    ));
    if let (Some(own), Some(bare)) = (report.nanos(GROUP, "state store"), report.nanos(GROUP, "bare table")) {
        report.line(format!(
            "{GROUP}: {:.1} M/s from a snapshot, bare table filled at {:.1} M/s: {:.0} %",
            KEYS as f64 * 1e3 / own,
            KEYS as f64 * 1e3 / bare,
            100.0 * bare / own
        ));
    }
}

fn zipf(criterion: &mut Criterion, report: &mut Report, folder: &Path, version: &VersionRef) {
    const GROUP: &str = "look-up of Zipf(1.1) keys of 10 M";
    let batches: Vec<Keys> = (0..MEASURED).map(|number| zipf_batch(number).keys).collect();
    let in_memory = stores(folder, usize::MAX / 2);
    open(&in_memory, version);
    let budget = in_memory.stats()[0].memory_bytes as usize / 10;
    run_zipf(criterion, GROUP, "in memory", &in_memory, version, &batches);
    drop(in_memory);
    let small = stores(folder, budget);
    warm(&small, version);
    let before = small.stats()[0].clone();
    run_zipf(criterion, GROUP, "ten times the budget", &small, version, &batches);
    let after = small.stats()[0].clone();
    let (hits, misses) = (after.cache_hits - before.cache_hits, after.cache_misses - before.cache_misses);
    let (memory, grown) = in_another_process(folder, version, budget);
    report.line(format!(
        "memory at ten times the budget of {:.1} MB: {:.1} MB by the store's account, at most {:.1} MB of the process; {:.0} % of keys found in the cache",
        budget as f64 / 1e6,
        memory as f64 / 1e6,
        grown as f64 / 1e6,
        100.0 * hits as f64 / (hits + misses).max(1) as f64
    ));
    if let (Some(all), Some(tenth)) = (report.nanos(GROUP, "in memory"), report.nanos(GROUP, "ten times the budget")) {
        report.line(format!(
            "{GROUP}: {:.1} M/s in memory, {:.2} M/s at ten times the budget: {:.0} %",
            BATCH as f64 * 1e3 / all,
            BATCH as f64 * 1e3 / tenth,
            100.0 * all / tenth
        ));
    }
}

fn run_zipf(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    stores: &Stores,
    version: &VersionRef,
    batches: &[Keys],
) {
    let mut next = 0;
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(BATCH as u64));
    let batch = stores.begin(version, version.version + 1, "zipf").expect("a batch");
    let mut draft = block_on(batch.draft(&id(0, 1), &schema())).expect("a draft");
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            next = (next + 1) % batches.len();
            black_box(draft.get(&batches[next]).expect("values"))
        });
    });
    group.finish();
}

/// Lets the caches learn the keys, by other draws than those that are measured.
fn warm(stores: &Stores, version: &VersionRef) {
    let batch = stores.begin(version, version.version + 1, "warm").expect("a batch");
    let mut draft = block_on(batch.draft(&id(0, 1), &schema())).expect("a draft");
    for number in MEASURED..MEASURED + WARMING {
        black_box(draft.get(&zipf_batch(number).keys).expect("values"));
    }
}

/// Opens the store with this budget in a process of its own and looks keys up: bytes by the store's account, and by how
/// much the process has grown at most.
fn in_another_process(folder: &Path, version: &VersionRef, budget_bytes: usize) -> (u64, u64) {
    let program = std::env::current_exe().expect("a program");
    let job = serde_json::json!({ "folder": folder, "version": version, "budget_bytes": budget_bytes });
    let output = std::process::Command::new(program).env(CHILD, job.to_string()).output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What the other process does, when it is one.
pub(crate) fn run_as_child() -> bool {
    let Ok(job) = std::env::var(CHILD) else { return false };
    let job: serde_json::Value = serde_json::from_str(&job).expect("a job");
    let version: VersionRef = serde_json::from_value(job["version"].clone()).expect("a version");
    let budget_bytes = job["budget_bytes"].as_u64().expect("a number") as usize;
    // The program itself, and what one batch of keys takes, are not the store's.
    drop(black_box(zipf_batch(0)));
    let before = process_bytes("VmRSS:");
    let stores = stores(Path::new(job["folder"].as_str().expect("a folder")), budget_bytes);
    open(&stores, &version);
    warm(&stores, &version);
    let grown = process_bytes("VmHWM:").saturating_sub(before);
    let line = format!("{} {grown}", stores.stats()[0].memory_bytes);
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).expect("an output");
    true
}

/// Ranks by inverting the continuous distribution, which is near enough; rank `r` is the r-th key.
fn zipf_batch(number: usize) -> Rows {
    const EXPONENT: f64 = 1.1;
    let power = 1.0 - EXPONENT;
    let most = (KEYS as f64 + 0.5).powf(power);
    let least = 0.5_f64.powf(power);
    let rank = |draw: u64| {
        let uniform = (scramble(draw) >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (least + uniform * (most - least)).powf(1.0 / power).round() as u64;
        rank.clamp(1, KEYS) - 1
    };
    rows((0..BATCH as u64).map(|row| scramble(rank((number as u64) << 32 | row))).collect())
}

/// A figure of the process's memory, in bytes; 0 where the system does not tell.
fn process_bytes(figure: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
