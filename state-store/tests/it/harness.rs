//! A small store to test with: its schema, rows, and a model of what it should hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use futures::executor::block_on;
use millstream_state::{
    Draft, FixedBudget, KeyEncoder, KeyRange, Keys, Place, Result, StateRows, StoreId, StoreOptions, StoreSchema,
    Stores, partition_of,
};

/// Two key columns, as the test sees them. Options sort as the store does: nulls first.
pub(crate) type Key = (Option<i64>, Option<String>);

/// Three value columns.
pub(crate) type Value = (Option<i64>, Option<String>, bool);

/// What a store should hold.
pub(crate) type Model = BTreeMap<Key, Value>;

/// The shape of a store: rows of one length, or of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The second key column and the text are left out.
    Fixed,
    Varying,
}

impl Shape {
    pub(crate) fn schema(self) -> StoreSchema {
        let time = Field::new("time", DataType::Int64, true);
        let count = Field::new("count", DataType::Int64, true);
        let open = Field::new("open", DataType::Boolean, false);
        match self {
            Self::Fixed => StoreSchema::new(vec![time], vec![count, open]),
            Self::Varying => StoreSchema::new(
                vec![time, Field::new("user", DataType::Utf8, true)],
                vec![count, Field::new("text", DataType::Utf8, true), open],
            ),
        }
    }

    /// A key or value without the columns that the shape leaves out.
    pub(crate) fn key(self, key: Key) -> Key {
        if self == Self::Fixed { (key.0, None) } else { key }
    }

    pub(crate) fn value(self, value: Value) -> Value {
        if self == Self::Fixed { (value.0, None, value.2) } else { value }
    }

    pub(crate) fn keys(self, keys: &[Key]) -> Result<Keys> {
        let times: ArrayRef = Arc::new(keys.iter().map(|key| key.0).collect::<Int64Array>());
        let users: ArrayRef = Arc::new(keys.iter().map(|key| key.1.clone()).collect::<StringArray>());
        let encoder = KeyEncoder::new(self.schema().key().clone())?;
        encoder.encode(&if self == Self::Fixed { vec![times] } else { vec![times, users] })
    }

    pub(crate) fn values(self, values: &[Value]) -> Vec<ArrayRef> {
        let counts: ArrayRef = Arc::new(values.iter().map(|value| value.0).collect::<Int64Array>());
        let texts: ArrayRef = Arc::new(values.iter().map(|value| value.1.clone()).collect::<StringArray>());
        let open: ArrayRef = Arc::new(values.iter().map(|value| Some(value.2)).collect::<BooleanArray>());
        if self == Self::Fixed { vec![counts, open] } else { vec![counts, texts, open] }
    }

    /// The values of the rows that are `present`.
    pub(crate) fn read_values(self, columns: &[ArrayRef], present: &[bool]) -> Vec<Option<Value>> {
        let counts = columns[0].as_primitive::<Int64Type>();
        let open = columns[columns.len() - 1].as_boolean();
        let text = |row: usize| match self {
            Self::Varying => columns[1].is_valid(row).then(|| columns[1].as_string::<i32>().value(row).to_owned()),
            Self::Fixed => None,
        };
        let value = |row: usize| (counts.is_valid(row).then(|| counts.value(row)), text(row), open.value(row));
        (0..present.len()).map(|row| present[row].then(|| value(row))).collect()
    }

    pub(crate) fn read_rows(self, rows: &StateRows) -> Result<Vec<(Key, Value)>> {
        let columns = rows.key_columns()?;
        let times = columns[0].as_primitive::<Int64Type>();
        let user = |row: usize| match self {
            Self::Varying => columns[1].is_valid(row).then(|| columns[1].as_string::<i32>().value(row).to_owned()),
            Self::Fixed => None,
        };
        let keys = (0..rows.len()).map(|row| (times.is_valid(row).then(|| times.value(row)), user(row)));
        let values = self.read_values(&rows.values, &vec![true; rows.len()]);
        Ok(keys.zip(values.into_iter().flatten()).collect())
    }

    /// The rows of a range, in order.
    pub(crate) fn scan(self, draft: &mut Draft, range: &KeyRange) -> Result<Vec<(Key, Value)>> {
        let mut scan = draft.scan(range)?;
        let mut rows = Vec::new();
        while let Some(batch) = scan.next_batch(7)? {
            rows.extend(self.read_rows(&batch)?);
        }
        Ok(rows)
    }

    /// The range of keys with a time before `end`.
    pub(crate) fn before(self, end: i64) -> Result<KeyRange> {
        let encoder = KeyEncoder::new(vec![Field::new("time", DataType::Int64, true)])?;
        let time: ArrayRef = Arc::new(Int64Array::from(vec![end]));
        Ok(KeyRange::not_null_below(encoder.encode(&[time])?.key(0)))
    }
}

/// The store of a partition.
pub(crate) fn store(partition: usize, partitions: usize) -> Result<StoreId> {
    StoreId::new(1, "rows", partition, partitions)
}

/// The part of the model that belongs to a partition.
pub(crate) fn part(shape: Shape, model: &Model, partition: usize, partitions: usize) -> Result<Model> {
    let rows: Vec<(&Key, &Value)> = model.iter().collect();
    if rows.is_empty() {
        return Ok(Model::new());
    }
    let keys = shape.keys(&rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>())?;
    let own =
        keys.key_groups().into_iter().zip(rows).filter(|(group, _)| partition_of(*group, partitions) == partition);
    Ok(own.map(|(_, (key, value))| (key.clone(), value.clone())).collect())
}

/// Stores with this much memory, that retain `retain` versions.
pub(crate) fn stores(place: &Place, budget_bytes: usize, retain: u64) -> Stores {
    let options = StoreOptions {
        budget: Arc::new(FixedBudget::new(budget_bytes)),
        min_batches_to_retain: retain,
        min_deltas_for_snapshot: 3,
        ..StoreOptions::default()
    };
    Stores::open(place.clone(), options)
}

/// Checks all of a version against the model, through new stores that know nothing.
pub(crate) fn check_version(
    place: &Place,
    shape: Shape,
    version: &millstream_state::VersionRef,
    model: &Model,
    partitions: usize,
    budget_bytes: usize,
) -> Result<()> {
    let stores = stores(place, budget_bytes, 100);
    let batch = stores.begin(version, version.version + 1, "check")?;
    for partition in 0..partitions {
        let mut draft = block_on(batch.draft(&store(partition, partitions)?, &shape.schema()))?;
        let expected = part(shape, model, partition, partitions)?;
        assert_eq!(draft.rows(), expected.len() as u64, "rows of partition {partition} of {partitions}");
        let rows = shape.scan(&mut draft, &KeyRange::all())?;
        assert_eq!(rows, expected.into_iter().collect::<Vec<_>>(), "partition {partition} of {partitions}");
    }
    Ok(())
}

/// A fresh place in memory.
pub(crate) fn memory() -> Place {
    let storage = millstream_state::ObjectStorage::new(
        Arc::new(object_store::memory::InMemory::new()),
        object_store::path::Path::default(),
        "memory:///",
    );
    Place::from_storage(Arc::new(storage))
}
