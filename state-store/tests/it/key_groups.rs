//! Stores whose keys name their key group: all keys of one user in one partition, whatever else is in the key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt16Type};
use arrow_array::{ArrayRef, Int64Array, UInt16Array};
use arrow_schema::{DataType, Field};
use futures::executor::block_on;
use millstream_state::{
    KEY_GROUP_COLUMN, KeyEncoder, KeyRange, Place, Result, StoreId, StoreSchema, VersionRef, partition_of,
};

use crate::harness::{memory, stores};

fn schema() -> StoreSchema {
    let int = |name: &str| Field::new(name, DataType::Int64, false);
    StoreSchema::new(
        vec![int("time"), int("user"), Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false)],
        Vec::<Field>::new(),
    )
}

/// The key group of a user: here, by the number alone.
fn group_of(user: i64) -> u16 {
    (user * 977 % 4096) as u16
}

/// Puts `rows` of (time, user) into stores of `partitions` partitions, each where its user belongs.
fn put(place: &Place, base: &VersionRef, partitions: usize, rows: &[(i64, i64)]) -> Result<VersionRef> {
    let stores = stores(place, usize::MAX / 2, 100);
    let batch = stores.begin(base, base.version + 1, "a")?;
    for partition in 0..partitions {
        let own = |(_, user): &&(i64, i64)| partition_of(group_of(*user), partitions) == partition;
        let own: Vec<&(i64, i64)> = rows.iter().filter(own).collect();
        let id = StoreId::new(1, "rows", partition, partitions)?;
        let mut draft = block_on(batch.draft(&id, &schema()))?;
        if !own.is_empty() {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter_values(own.iter().map(|row| row.0))),
                Arc::new(Int64Array::from_iter_values(own.iter().map(|row| row.1))),
                Arc::new(UInt16Array::from_iter_values(own.iter().map(|row| group_of(row.1)))),
            ];
            draft.put(&KeyEncoder::new(schema().key().clone())?.encode(&columns)?, &[])?;
        }
        draft.finish()?;
    }
    Ok(block_on(batch.commit())?.reference)
}

/// The rows of one partition, and whether each is asked for and found by its key too.
fn rows_of(
    place: &Place,
    version: &VersionRef,
    partition: usize,
    partitions: usize,
    budget: usize,
) -> Result<Vec<(i64, i64)>> {
    let stores = stores(place, budget, 100);
    let batch = stores.begin(version, version.version + 1, "look")?;
    let mut draft = block_on(batch.draft(&StoreId::new(1, "rows", partition, partitions)?, &schema()))?;
    let mut rows = Vec::new();
    let mut all_keys = Vec::new();
    {
        let mut scan = draft.scan(&KeyRange::all())?;
        while let Some(found) = scan.next_batch(5)? {
            let columns = found.key_columns()?;
            let (times, users) = (columns[0].as_primitive::<Int64Type>(), columns[1].as_primitive::<Int64Type>());
            let groups = columns[2].as_primitive::<UInt16Type>();
            rows.extend((0..found.len()).map(|row| (times.value(row), users.value(row))));
            assert!((0..found.len()).all(|row| partition_of(groups.value(row), partitions) == partition));
            all_keys.push(found.keys);
        }
    }
    for keys in all_keys {
        assert_eq!(draft.contains(&keys)?.true_count(), keys.len());
    }
    assert_eq!(draft.rows() as usize, rows.len());
    Ok(rows)
}

#[test]
fn rows_stay_with_their_named_key_group_in_any_number_of_partitions() -> Result<()> {
    let place = memory();
    let first: Vec<(i64, i64)> = (0..200).map(|n| (n % 7, n % 40)).collect();
    let second: Vec<(i64, i64)> = (0..200).map(|n| (n % 11 + 3, n % 60)).collect();
    let one = put(&place, &VersionRef::empty(), 3, &first)?;
    let two = put(&place, &one, 2, &second)?;
    let expected: BTreeSet<(i64, i64)> = first.into_iter().chain(second).collect();
    for budget in [usize::MAX / 2, 0] {
        for partitions in [1, 2, 3, 5] {
            let mut found = Vec::new();
            for partition in 0..partitions {
                found.extend(rows_of(&place, &two, partition, partitions, budget)?);
            }
            assert_eq!(found.len(), expected.len(), "{partitions} partitions: a row came twice");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{partitions} partitions");
        }
    }
    Ok(())
}
