//! Ten million keys: loading them, and looking them up with a tenth of the memory they would take.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use futures::executor::block_on;
use millstream_state::{Stores, VersionRef};

use crate::report::Report;
use crate::rivals::BareTable;
use crate::rows::{BATCH, ROW_BYTES, Rows, filled, id, rows, schema, scramble, stores};

const KEYS: u64 = 10_000_000;

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

fn load(criterion: &mut Criterion, report: &mut Report, folder: &std::path::Path, version: &VersionRef) {
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
    let stores = stores(folder, usize::MAX / 2);
    let before = resident_bytes();
    open(&stores, version);
    let (grown, stats) = (resident_bytes().saturating_sub(before), stores.stats());
    let raw = KEYS as f64 * ROW_BYTES as f64;
    let memory = stats[0].memory_bytes as f64;
    report.line(format!(
        "memory of 10 M keys: {:.0} MB by its own account, {:.0} MB more resident in the process, for {:.0} MB of raw keys and values: {:.2} ×; on disk {:.0} MB",
        memory / 1e6,
        grown as f64 / 1e6,
        raw / 1e6,
        memory / raw,
        stats[0].disk_bytes as f64 / 1e6
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

fn zipf(criterion: &mut Criterion, report: &mut Report, folder: &std::path::Path, version: &VersionRef) {
    const GROUP: &str = "look-up of Zipf(1.1) keys of 10 M";
    const MEASURED: usize = 256;
    let batches = zipf_batches(4 * MEASURED);
    let in_memory = stores(folder, usize::MAX / 2);
    open(&in_memory, version);
    let memory = in_memory.stats()[0].memory_bytes as usize;
    run_zipf(criterion, GROUP, "in memory", &in_memory, version, &batches[..MEASURED]);
    drop(in_memory);
    let before = resident_bytes();
    let budget = memory / 10;
    let small = stores(folder, budget);
    // The caches have to know the keys first: three batches of other draws for each measured one.
    for rows in &batches[MEASURED..] {
        let batch = small.begin(version, version.version + 1, "warm").expect("a batch");
        let mut draft = block_on(batch.draft(&id(0, 1), &schema())).expect("a draft");
        black_box(draft.get(&rows.keys).expect("values"));
    }
    run_zipf(criterion, GROUP, "ten times the budget", &small, version, &batches[..MEASURED]);
    let (grown, stats) = (resident_bytes().saturating_sub(before), small.stats());
    report.line(format!(
        "memory at ten times the budget of {:.0} MB: {:.0} MB by its own account, {:.0} MB more resident; {:.0} % of keys found in the cache",
        budget as f64 / 1e6,
        stats[0].memory_bytes as f64 / 1e6,
        grown as f64 / 1e6,
        100.0 * stats[0].cache_hits as f64 / (stats[0].cache_hits + stats[0].cache_misses) as f64
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
    batches: &[Rows],
) {
    let mut next = 0;
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(BATCH as u64));
    let batch = stores.begin(version, version.version + 1, "zipf").expect("a batch");
    let mut draft = block_on(batch.draft(&id(0, 1), &schema())).expect("a draft");
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            next = (next + 1) % batches.len();
            black_box(draft.get(&batches[next].keys).expect("values"))
        });
    });
    group.finish();
}

/// Ranks by inverting the continuous distribution, which is near enough; rank `r` is the r-th key.
fn zipf_batches(count: usize) -> Vec<Rows> {
    const EXPONENT: f64 = 1.1;
    let power = 1.0 - EXPONENT;
    let most = (KEYS as f64 + 0.5).powf(power);
    let least = 0.5_f64.powf(power);
    let rank = |draw: u64| {
        let uniform = (scramble(draw) >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (least + uniform * (most - least)).powf(1.0 / power).round() as u64;
        rank.clamp(1, KEYS) - 1
    };
    let batch = |batch: u64| (0..BATCH as u64).map(|row| scramble(rank(batch << 32 | row))).collect();
    (0..count as u64).map(|number| rows(batch(number))).collect()
}

/// Memory of the process, in bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
