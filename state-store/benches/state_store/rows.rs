//! The rows of all benches: an 8-byte key, a 24-byte value; and stores that hold them.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::{DataType, Field};
use futures::executor::block_on;
use millstream_state::{FixedBudget, KeyEncoder, Keys, Place, StoreId, StoreOptions, StoreSchema, Stores, VersionRef};

/// Keys in a batch.
pub(crate) const BATCH: usize = 8192;

/// Bytes of a key and a value.
pub(crate) const ROW_BYTES: usize = 32;

/// A batch of rows in every form that a contender wants.
pub(crate) struct Rows {
    pub numbers: Vec<u64>,
    pub keys: Keys,
    pub columns: Vec<ArrayRef>,
    pub key_bytes: Vec<[u8; 8]>,
    pub value_bytes: Vec<[u8; 24]>,
}

pub(crate) fn schema() -> StoreSchema {
    let field = |name: &str| Field::new(name, DataType::Int64, false);
    StoreSchema::new(vec![field("key")], vec![field("a"), field("b"), field("c")])
}

pub(crate) fn value(number: u64) -> [u64; 3] {
    [number, number.rotate_left(17), !number]
}

/// A number that looks random, another one for each `index`.
pub(crate) fn scramble(index: u64) -> u64 {
    let mut x = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

pub(crate) fn rows(numbers: Vec<u64>) -> Rows {
    let encoder = KeyEncoder::new(schema().key().clone()).expect("a key of one number");
    let column = |one: &dyn Fn(u64) -> u64| -> ArrayRef {
        Arc::new(numbers.iter().map(|number| Some(one(*number) as i64)).collect::<Int64Array>())
    };
    let keys = encoder.encode(&[column(&|number| number)]).expect("keys");
    let columns = (0..3).map(|part| column(&|number| value(number)[part])).collect();
    let key_bytes = numbers.iter().map(|number| number.to_be_bytes()).collect();
    let bytes = |number: &u64| {
        let mut bytes = [0; 24];
        bytes
            .iter_mut()
            .zip(value(*number).iter().flat_map(|part| part.to_le_bytes()))
            .for_each(|(to, from)| *to = from);
        bytes
    };
    let value_bytes = numbers.iter().map(bytes).collect();
    Rows { numbers, keys, columns, key_bytes, value_bytes }
}

/// Batches of keys drawn evenly from the first `count` ones.
pub(crate) fn random_batches(count: u64, batches: u64) -> Vec<Rows> {
    let batch = |batch: u64| (0..BATCH as u64).map(move |row| scramble(scramble(batch << 20 | row) % count)).collect();
    (0..batches).map(|number| rows(batch(number))).collect()
}

/// Batches of keys that are not among the first `from` ones.
pub(crate) fn new_batches(from: u64, batches: u64) -> Vec<Rows> {
    let batch = |batch: u64| (0..BATCH as u64).map(move |row| scramble(from + batch * BATCH as u64 + row)).collect();
    (0..batches).map(|number| rows(batch(number))).collect()
}

pub(crate) fn id(partition: usize, partitions: usize) -> StoreId {
    StoreId::new(0, "rows", partition, partitions).expect("a store name")
}

pub(crate) fn stores(folder: &Path, budget_bytes: usize) -> Stores {
    let place = Place::open(&folder.display().to_string(), &[]).expect("a folder");
    let options = StoreOptions {
        budget: Arc::new(FixedBudget::new(budget_bytes)),
        min_batches_to_retain: 1,
        min_deltas_for_snapshot: 2,
        ..StoreOptions::default()
    };
    Stores::open(place, options)
}

/// Fills a store with the first `count` keys and leaves them in one file.
pub(crate) fn filled(folder: &Path, count: u64) -> (Stores, VersionRef) {
    let stores = stores(folder, usize::MAX / 2);
    let mut version = VersionRef::empty();
    let mut next = 0;
    while next < count {
        let batch = stores.begin(&version, version.version + 1, "fill").expect("a batch");
        let mut draft = block_on(batch.draft(&id(0, 1), &schema())).expect("a draft");
        let end = (next + 2_000_000).min(count);
        while next < end {
            let to = (next + BATCH as u64).min(end);
            let rows = rows((next..to).map(scramble).collect());
            draft.put(&rows.keys, &rows.columns).expect("a put");
            next = to;
        }
        draft.finish().expect("a draft");
        version = block_on(batch.commit()).expect("a commit").reference;
    }
    block_on(stores.maintain(&version)).expect("maintenance");
    (stores, version)
}
