//! Batches of 8,192 random keys against a million: look-up, upsert, insertion.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use futures::executor::block_on;
use millstream_state::{Draft, Stores, VersionRef};

use crate::report::Report;
use crate::rivals::{BareTable, ByteMap, byte_map, fjall};
use crate::rows::{BATCH, Rows, filled, id, new_batches, random_batches, schema, value};

const KEYS: u64 = 1_000_000;

/// Batches that follow each other in one draft, so that a quarter of the store is touched.
const BATCHES: u64 = 32;

const GROUPS: [&str; 3] = ["look-up", "upsert", "insertion"];
const CONTENDERS: [&str; 4] = ["state store", "bare table", "HashMap of Vec", "fjall"];

/// All contenders, filled with the same keys. They take turns, because what else the machine does changes by the second.
struct Contenders {
    stores: Stores,
    version: VersionRef,
    bare: BareTable,
    /// With room for new keys.
    roomy: BareTable,
    map: ByteMap,
    keyspace: fjall::Keyspace,
}

pub(crate) fn run(criterion: &mut Criterion, report: &mut Report) {
    let (folder, fjall_folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (old, new) = (random_batches(KEYS, BATCHES), new_batches(KEYS, BATCHES));
    let (stores, version) = filled(folder.path(), KEYS);
    let (_database, keyspace) = fjall(fjall_folder.path(), KEYS);
    let bare = BareTable::filled(KEYS, KEYS as usize);
    assert_eq!(bare.len as u64, KEYS);
    let roomy = BareTable::filled(KEYS, KEYS as usize + BATCHES as usize * BATCH);
    let mut all = Contenders { stores, version, bare, roomy, map: byte_map(KEYS), keyspace };
    look_up(criterion, &all, &old);
    upsert(criterion, &mut all, &old);
    insertion(criterion, &mut all, &new);
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

impl Contenders {
    fn draft(&self) -> Draft {
        let batch = self.stores.begin(&self.version, self.version.version + 1, "bench").expect("a batch");
        block_on(batch.draft(&id(0, 1), &schema())).expect("a draft")
    }
}

fn look_up(criterion: &mut Criterion, all: &Contenders, batches: &[Rows]) {
    let [store, bare, map, fjall] = CONTENDERS.map(|contender| (GROUPS[0], contender));
    let get = |draft: &mut Draft, rows: &Rows| drop(black_box(draft.get(&rows.keys).expect("values")));
    bench(criterion, store, |iterations| rounds(batches, iterations, || all.draft(), get));
    bench_each(criterion, bare, batches, |rows| {
        black_box(rows.numbers.iter().map(|number| all.bare.get(*number)).collect::<Vec<_>>());
    });
    bench_each(criterion, map, batches, |rows| {
        black_box(rows.key_bytes.iter().map(|key| all.map.get(key.as_slice()).cloned()).collect::<Vec<_>>());
    });
    bench_each(criterion, fjall, batches, |rows| {
        let get = |key: &[u8; 8]| all.keyspace.get(key).expect("a value");
        black_box(rows.key_bytes.iter().map(get).collect::<Vec<_>>());
    });
}

fn upsert(criterion: &mut Criterion, all: &mut Contenders, batches: &[Rows]) {
    let [store, bare, map, fjall] = CONTENDERS.map(|contender| (GROUPS[1], contender));
    bench(criterion, store, |iterations| rounds(batches, iterations, || all.draft(), put_in_draft));
    bench_each(criterion, bare, batches, |rows| put_in_table(&mut all.bare, rows));
    bench_each(criterion, map, batches, |rows| put_in_map(&mut all.map, rows));
    bench_each(criterion, fjall, batches, |rows| put_in_keyspace(&all.keyspace, rows));
}

fn insertion(criterion: &mut Criterion, all: &mut Contenders, batches: &[Rows]) {
    let [store, bare, map, fjall] = CONTENDERS.map(|contender| (GROUPS[2], contender));
    bench(criterion, store, |iterations| rounds(batches, iterations, || all.draft(), put_in_draft));
    bench(criterion, bare, |iterations| rounds(batches, iterations, || all.roomy.clone(), put_in_table));
    bench(criterion, map, |iterations| {
        let (mut time, mut left) = (Duration::ZERO, iterations);
        while left > 0 {
            let round = left.min(BATCHES);
            time += rounds(batches, round, || (), |(), rows| put_in_map(&mut all.map, rows));
            batches.iter().flat_map(|rows| &rows.key_bytes).for_each(|key| drop(all.map.remove(key.as_slice())));
            left -= round;
        }
        time
    });
    bench_each(criterion, fjall, batches, |rows| put_in_keyspace(&all.keyspace, rows));
}

fn put_in_draft(draft: &mut Draft, rows: &Rows) {
    draft.put(&rows.keys, &rows.columns).expect("a put");
}

fn put_in_table(table: &mut BareTable, rows: &Rows) {
    rows.numbers.iter().for_each(|number| table.put(*number, value(*number)));
}

fn put_in_map(map: &mut ByteMap, rows: &Rows) {
    for (key, value) in rows.key_bytes.iter().zip(&rows.value_bytes) {
        map.insert(key.to_vec(), value.to_vec());
    }
}

fn put_in_keyspace(keyspace: &fjall::Keyspace, rows: &Rows) {
    for (key, value) in rows.key_bytes.iter().zip(&rows.value_bytes) {
        keyspace.insert(key, value).expect("an insertion");
    }
}

fn bench(criterion: &mut Criterion, (group, contender): (&str, &str), mut round: impl FnMut(u64) -> Duration) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(contender, |bencher| bencher.iter_custom(&mut round));
    group.finish();
}

/// A bench in which all batches do the same to the same thing.
fn bench_each(criterion: &mut Criterion, name: (&str, &str), batches: &[Rows], mut one: impl FnMut(&Rows)) {
    bench(criterion, name, |iterations| rounds(batches, iterations, || (), |(), rows| one(rows)));
}

/// Runs `iterations` batches, in rounds of all batches, each with something `fresh`; only the batches are timed.
fn rounds<T>(
    batches: &[Rows],
    iterations: u64,
    mut fresh: impl FnMut() -> T,
    mut one: impl FnMut(&mut T, &Rows),
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
