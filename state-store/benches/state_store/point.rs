//! Batches of 8,192 random keys against a million: look-up, upsert, insertion.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use futures::executor::block_on;
use millstream_state::Draft;

use crate::report::Report;
use crate::rivals::{BareTable, byte_map, fjall};
use crate::rows::{BATCH, Rows, filled, id, new_batches, random_batches, schema};

const KEYS: u64 = 1_000_000;

/// Batches that follow each other in one draft, so that a quarter of the store is touched.
const BATCHES: u64 = 32;

const GROUPS: [&str; 3] = ["look-up", "upsert", "insertion"];
const CONTENDERS: [&str; 4] = ["state store", "bare table", "HashMap of Vec", "fjall"];

pub(crate) fn run(criterion: &mut Criterion, report: &mut Report) {
    let old = random_batches(KEYS, BATCHES);
    let new = new_batches(KEYS, BATCHES);
    store(criterion, &old, &new);
    bare_table(criterion, &old, &new);
    hash_map(criterion, &old, &new);
    fjall_keyspace(criterion, &old, &new);
    report.line("| 8,192 random keys of 1 M, M keys/s | state store | bare table | HashMap of Vec | fjall | of bare | × HashMap |");
    report.line("|---|---|---|---|---|---|---|");
    for group in GROUPS {
        let rates = CONTENDERS.map(|contender| report.nanos(group, contender).map(|nanos| BATCH as f64 * 1e3 / nanos));
        let [Some(own), Some(bare), Some(map), Some(fjall)] = rates else { continue };
        let (percent, times) = (100.0 * own / bare, own / map);
        report.line(format!(
            "| {group} | {own:.1} | {bare:.1} | {map:.1} | {fjall:.2} | {percent:.0} % | {times:.1} × |"
        ));
    }
}

fn bench(criterion: &mut Criterion, group: &str, contender: &str, mut round: impl FnMut(u64) -> Duration) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(contender, |bencher| bencher.iter_custom(&mut round));
    group.finish();
}

/// Runs `iterations` batches, in rounds of all batches, each with something `fresh`; only the batches are timed.
fn rounds<'a, T>(
    batches: &'a [Rows],
    iterations: u64,
    mut fresh: impl FnMut() -> T,
    mut one: impl FnMut(&mut T, &'a Rows),
) -> Duration {
    let (mut left, mut time) = (iterations, Duration::ZERO);
    while left > 0 {
        let mut target = fresh();
        let start = Instant::now();
        for rows in batches.iter().take(left as usize) {
            one(&mut target, rows);
            left -= 1;
        }
        time += start.elapsed();
    }
    time
}

fn store(criterion: &mut Criterion, old: &[Rows], new: &[Rows]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (stores, version) = filled(folder.path(), KEYS);
    let draft = || -> Draft {
        let batch = stores.begin(&version, version.version + 1, "bench").expect("a batch");
        block_on(batch.draft(&id(0, 1), &schema())).expect("a draft")
    };
    let look_up = |draft: &mut Draft, rows: &Rows| drop(black_box(draft.get(&rows.keys).expect("values")));
    let put = |draft: &mut Draft, rows: &Rows| draft.put(&rows.keys, &rows.columns).expect("a put");
    bench(criterion, GROUPS[0], CONTENDERS[0], |iterations| rounds(old, iterations, draft, look_up));
    bench(criterion, GROUPS[1], CONTENDERS[0], |iterations| rounds(old, iterations, draft, put));
    bench(criterion, GROUPS[2], CONTENDERS[0], |iterations| rounds(new, iterations, draft, put));
}

fn bare_table(criterion: &mut Criterion, old: &[Rows], new: &[Rows]) {
    let mut full = BareTable::filled(KEYS, KEYS as usize);
    assert_eq!(full.len as u64, KEYS);
    bench(criterion, GROUPS[0], CONTENDERS[1], |iterations| {
        rounds(
            old,
            iterations,
            || (),
            |(), rows| {
                let found: Vec<Option<[u64; 3]>> = rows.numbers.iter().map(|number| full.get(*number)).collect();
                black_box(found);
            },
        )
    });
    bench(criterion, GROUPS[1], CONTENDERS[1], |iterations| {
        rounds(
            old,
            iterations,
            || (),
            |(), rows| {
                rows.numbers.iter().for_each(|number| full.put(*number, crate::rows::value(*number)));
            },
        )
    });
    let room = BareTable::filled(KEYS, (KEYS + BATCHES * BATCH as u64) as usize);
    bench(criterion, GROUPS[2], CONTENDERS[1], |iterations| {
        rounds(
            new,
            iterations,
            || room.clone(),
            |table, rows| {
                rows.numbers.iter().for_each(|number| table.put(*number, crate::rows::value(*number)));
            },
        )
    });
}

fn hash_map(criterion: &mut Criterion, old: &[Rows], new: &[Rows]) {
    let mut map = byte_map(KEYS);
    bench(criterion, GROUPS[0], CONTENDERS[2], |iterations| {
        rounds(
            old,
            iterations,
            || (),
            |(), rows| {
                let found: Vec<Option<Vec<u8>>> =
                    rows.key_bytes.iter().map(|key| map.get(key.as_slice()).cloned()).collect();
                black_box(found);
            },
        )
    });
    let put = |map: &mut crate::rivals::ByteMap, rows: &Rows| {
        for (key, value) in rows.key_bytes.iter().zip(&rows.value_bytes) {
            map.insert(key.to_vec(), value.to_vec());
        }
    };
    bench(criterion, GROUPS[1], CONTENDERS[2], |iterations| {
        rounds(old, iterations, || (), |(), rows| put(&mut map, rows))
    });
    bench(criterion, GROUPS[2], CONTENDERS[2], |iterations| {
        let mut time = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let round = left.min(BATCHES);
            time += rounds(new, round, || (), |(), rows| put(&mut map, rows));
            new.iter().flat_map(|rows| &rows.key_bytes).for_each(|key| drop(map.remove(key.as_slice())));
            left -= round;
        }
        time
    });
}

fn fjall_keyspace(criterion: &mut Criterion, old: &[Rows], new: &[Rows]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (_database, keyspace) = fjall(folder.path(), KEYS);
    bench(criterion, GROUPS[0], CONTENDERS[3], |iterations| {
        rounds(
            old,
            iterations,
            || (),
            |(), rows| {
                let found: Vec<_> = rows.key_bytes.iter().map(|key| keyspace.get(key).expect("a value")).collect();
                black_box(found);
            },
        )
    });
    let put = |(): &mut (), rows: &Rows| {
        for (key, value) in rows.key_bytes.iter().zip(&rows.value_bytes) {
            keyspace.insert(key, value).expect("an insertion");
        }
    };
    bench(criterion, GROUPS[1], CONTENDERS[3], |iterations| rounds(old, iterations, || (), put));
    bench(criterion, GROUPS[2], CONTENDERS[3], |iterations| rounds(new, iterations, || (), put));
}
