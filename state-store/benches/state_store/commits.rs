//! What a commit costs: one file for many stores, and what changed rather than what is stored.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use futures::executor::block_on;
use millstream_state::{Stores, VersionRef};

use crate::report::Report;
use crate::rows::{Rows, filled, id, rows, schema, scramble, stores};

pub(crate) fn run(criterion: &mut Criterion, report: &mut Report) {
    many_stores(criterion, report);
    large_stores(criterion, report);
}

fn many_stores(criterion: &mut Criterion, report: &mut Report) {
    const GROUP: &str = "commit of 10 changed keys a store, fsynced";
    for (name, partitions) in [("1 store", 1), ("64 stores", 64)] {
        let folder = tempfile::tempdir().expect("a folder");
        let stores = stores(folder.path(), usize::MAX / 2);
        let changes: Vec<Rows> = (0..partitions).map(|partition| own_rows(partition, partitions, 10)).collect();
        let mut version = VersionRef::empty();
        let mut group = criterion.benchmark_group(GROUP);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| (0..iterations).map(|_| commit(&stores, &mut version, &changes).1).sum());
        });
        group.finish();
    }
    report.line("");
    let (Some(one), Some(many)) = (report.nanos(GROUP, "1 store"), report.nanos(GROUP, "64 stores")) else { return };
    report.line(format!("{GROUP}: 1 store {:.2} ms, 64 stores {:.2} ms: {:.2} ×", one / 1e6, many / 1e6, many / one));
}

/// Rows whose keys belong to a partition.
fn own_rows(partition: usize, partitions: usize, count: usize) -> Rows {
    let all: Vec<u64> = (0..(count * partitions * 20) as u64).map(scramble).collect();
    let own = rows(all.clone()).keys.partitions(partitions);
    rows(all.into_iter().zip(own).filter(|row| row.1 as usize == partition).map(|row| row.0).take(count).collect())
}

/// One batch that puts these rows, a store each. The first time is for all of it, the second for the commit alone.
fn commit(stores: &Stores, version: &mut VersionRef, changes: &[Rows]) -> (Duration, Duration) {
    let start = Instant::now();
    let batch = stores.begin(version, version.version + 1, "bench").expect("a batch");
    for (partition, rows) in changes.iter().enumerate() {
        let mut draft = block_on(batch.draft(&id(partition, changes.len()), &schema())).expect("a draft");
        draft.put(&rows.keys, &rows.columns).expect("a put");
        draft.finish().expect("a draft");
    }
    let before_commit = Instant::now();
    *version = block_on(batch.commit()).expect("a commit").reference;
    (start.elapsed(), before_commit.elapsed())
}

fn large_stores(criterion: &mut Criterion, report: &mut Report) {
    const GROUP: &str = "10,000 changed keys, committed and fsynced";
    const SIZES: [(&str, u64); 2] = [("of 100 thousand", 100_000), ("of 10 million", 10_000_000)];
    let mut small = Vec::new();
    for (name, count) in SIZES {
        let folder = tempfile::tempdir().expect("a folder");
        let (stores, mut version) = filled(folder.path(), count);
        measure(criterion, GROUP, name, (&stores, &mut version), count);
        small.push(small_batches(name, (&stores, &mut version), count));
    }
    let alone = |name: &str| format!("{name}, commit alone");
    for (what, names) in [
        ("take over, put and commit", SIZES.map(|(name, _)| name.to_owned())),
        ("commit alone", SIZES.map(|(name, _)| alone(name))),
    ] {
        if let (Some(small), Some(large)) = (report.nanos(GROUP, &names[0]), report.nanos(GROUP, &names[1])) {
            report.line(format!(
                "{GROUP}, {what}: {} {:.1} ms, {} {:.1} ms: {:.2} ×",
                SIZES[0].0,
                small / 1e6,
                SIZES[1].0,
                large / 1e6,
                large / small
            ));
        }
    }
    small.into_iter().for_each(|line| report.line(line));
}

/// Where the time of a small batch goes: the median of each part.
fn small_batches(name: &str, (stores, version): (&Stores, &mut VersionRef), count: u64) -> String {
    const BATCHES: u64 = 200;
    const PARTS: usize = 5;
    let mut nanos: [Vec<u128>; PARTS] = Default::default();
    for round in 0..BATCHES {
        let rows = rows((0..100).map(|row| scramble(scramble(!(round << 20 | row)) % count)).collect());
        let mut last = Instant::now();
        let mut lap = |part: usize| nanos[part].push(std::mem::replace(&mut last, Instant::now()).elapsed().as_nanos());
        let batch = stores.begin(version, version.version + 1, "small").expect("a batch");
        let mut draft = block_on(batch.draft(&id(0, 1), &schema())).expect("a draft");
        lap(0);
        black_box(draft.get(&rows.keys).expect("values"));
        lap(1);
        draft.put(&rows.keys, &rows.columns).expect("a put");
        draft.finish().expect("a draft");
        lap(2);
        *version = block_on(batch.commit()).expect("a commit").reference;
        lap(3);
        black_box(stores.stats());
        lap(4);
    }
    let median = |mut nanos: Vec<u128>| {
        nanos.sort_unstable();
        nanos[nanos.len() / 2] as f64 / 1e3
    };
    let [open, get, put, commit, stats] = nanos.map(median);
    format!(
        "a batch of 100 keys, store {name}, median µs: begin and draft {open:.1}, look-up {get:.1}, put and finish {put:.1}, \
         commit with fsync {commit:.0}; all stats {stats:.1}"
    )
}

fn measure(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    (stores, version): (&Stores, &mut VersionRef),
    count: u64,
) {
    let change =
        |round: u64| vec![rows((0..10_000).map(|row| scramble(scramble(round << 20 | row) % count)).collect())];
    let changes: Vec<Vec<Rows>> = (0..16).map(change).collect();
    let mut next = 0;
    let mut run = |iterations: u64, pick: fn((Duration, Duration)) -> Duration| {
        (0..iterations)
            .map(|_| {
                next += 1;
                pick(commit(stores, version, &changes[next % changes.len()]))
            })
            .sum::<Duration>()
    };
    let mut group = criterion.benchmark_group(group);
    group.bench_function(name, |bencher| bencher.iter_custom(|iterations| run(iterations, |times| times.0)));
    let alone = format!("{name}, commit alone");
    group.bench_function(alone, |bencher| bencher.iter_custom(|iterations| run(iterations, |times| times.1)));
    group.finish();
}
