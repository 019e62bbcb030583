//! Reading state from outside: any retained version, and what changed between two.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

use crate::catalog::Catalog;
use crate::cursor::Merge;
use crate::draft::StoreCodec;
use crate::error::Result;
use crate::id::{StoreId, VersionRef};
use crate::image::merge_layers;
use crate::key_range::KeyRange;
use crate::place::Place;
use crate::rows_builder::RowsBuilder;
use crate::schema::StoreSchema;
use crate::scratch::Scratch;

/// Reads a state folder that others write.
#[derive(Debug)]
pub struct StateReader {
    catalog: Catalog,
}

impl StateReader {
    /// The state in a folder. Copies of files that are not local go to `scratch_folder`, or to the system's temporary
    /// folder.
    pub fn open(place: Place, scratch_folder: Option<&Path>) -> Self {
        Self { catalog: Catalog::new(place, Arc::new(Scratch::new(scratch_folder))) }
    }

    /// The stores that the version's newest files name, as far back as there are deltas.
    pub async fn stores(&self, version: &VersionRef) -> Result<BTreeSet<StoreId>> {
        let present: BTreeSet<String> = self.catalog.list().await?.into_iter().map(|entry| entry.name).collect();
        let (mut stores, mut files) = (BTreeSet::new(), version.files.clone());
        while let Some(file) = files.pop() {
            if present.contains(&file.name) {
                let info = self.catalog.info(&file.name, Some(file.checksum)).await?;
                stores.extend(info.segments.iter().map(|segment| segment.store.clone()));
                let parents = info.header.parent.files.iter();
                let new: Vec<_> = parents.filter(|parent| !files.contains(parent)).cloned().collect();
                files.extend(new);
            }
        }
        Ok(stores)
    }

    /// All rows of a store at a version, in key order: its key columns, then its value columns.
    pub async fn rows(&self, version: &VersionRef, id: &StoreId, schema: &StoreSchema) -> Result<VersionRows> {
        let codec = StoreCodec::new(schema)?;
        let merge = self.merge(version, id, schema).await?;
        let fields: Vec<Field> = schema.key().iter().chain(schema.value()).map(|field| nullable(field)).collect();
        Ok(VersionRows { merge, codec, schema: Arc::new(Schema::new(fields)) })
    }

    /// What differs between two versions of a store, in key order: `change` (`insert`, `update` or `delete`), the key
    /// columns, and the value columns `before` and `after` as structs.
    pub async fn changes(
        &self,
        from: &VersionRef,
        to: &VersionRef,
        id: &StoreId,
        schema: &StoreSchema,
    ) -> Result<VersionChanges> {
        let codec = StoreCodec::new(schema)?;
        let (before, after) = (self.merge(from, id, schema).await?, self.merge(to, id, schema).await?);
        let values = Fields::from(schema.value().iter().map(|field| nullable(field)).collect::<Vec<_>>());
        let mut fields = vec![Field::new("change", DataType::Utf8, false)];
        fields.extend(schema.key().iter().map(|field| nullable(field)));
        for name in ["before", "after"] {
            fields.push(Field::new(name, DataType::Struct(values.clone()), true));
        }
        Ok(VersionChanges {
            before: Side { merge: before, is_started: false },
            after: Side { merge: after, is_started: false },
            codec,
            values,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    async fn merge(&self, version: &VersionRef, id: &StoreId, schema: &StoreSchema) -> Result<Merge<'static>> {
        let plan = self.catalog.plan(version, id).await?;
        let layers = self.catalog.open_layers(&plan.layers, schema).await?;
        merge_layers(&layers, &KeyRange::all())
    }
}

/// The rows of a version.
#[derive(Debug)]
pub struct VersionRows {
    merge: Merge<'static>,
    codec: StoreCodec,
    schema: SchemaRef,
}

impl VersionRows {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Up to `rows` further rows; `None` at the end.
    pub fn next_batch(&mut self, rows: usize) -> Result<Option<RecordBatch>> {
        let Some(found) = RowsBuilder::fill(&mut self.merge, &self.codec, rows)? else { return Ok(None) };
        let mut columns = found.key_columns()?;
        columns.extend(found.values);
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(found.keys.len()));
        Ok(Some(RecordBatch::try_new_with_options(self.schema(), columns, &options)?))
    }
}

/// The differences between two versions.
#[derive(Debug)]
pub struct VersionChanges {
    before: Side,
    after: Side,
    codec: StoreCodec,
    values: Fields,
    schema: SchemaRef,
}

#[derive(Debug)]
struct Side {
    merge: Merge<'static>,
    is_started: bool,
}

impl Side {
    /// The current row, if it is not at the end.
    fn current(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if !self.is_started {
            self.is_started = true;
            self.merge.advance_to_row()?;
        }
        Ok(self.merge.value().map(|value| (self.merge.key(), value)))
    }

    fn advance(&mut self) -> Result<()> {
        self.merge.advance_to_row().map(|_| ())
    }
}

impl VersionChanges {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Up to `rows` further differences; `None` at the end.
    pub fn next_batch(&mut self, rows: usize) -> Result<Option<RecordBatch>> {
        let (mut changes, mut keys, mut before, mut after) =
            (Vec::new(), RowsBuilder::default(), Vec::new(), Vec::new());
        while changes.len() < rows {
            let (old, new) = (self.before.current()?, self.after.current()?);
            let (old, new) = match (old, new) {
                (None, None) => break,
                (Some(old), Some(new)) if old.0 == new.0 => (Some(old), Some(new)),
                (Some(old), Some(new)) if old.0 < new.0 => (Some(old), None),
                (Some(old), None) => (Some(old), None),
                (_, new) => (None, new),
            };
            let change = match (old, new) {
                (None, _) => Some("insert"),
                (_, None) => Some("delete"),
                (Some(old), Some(new)) => (old.1 != new.1).then_some("update"),
            };
            if let (Some(change), Some((key, _))) = (change, old.or(new)) {
                changes.push(change);
                // Only the keys of this builder are used.
                keys.push(key, &[])?;
                before.push(old.map(|(_, value)| value.to_vec()));
                after.push(new.map(|(_, value)| value.to_vec()));
            }
            let (has_old, has_new) = (old.is_some(), new.is_some());
            if has_old {
                self.before.advance()?;
            }
            if has_new {
                self.after.advance()?;
            }
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(changes))];
        columns.extend(self.codec.keys.decode(&keys.finish_keys())?);
        columns.push(self.values_of(&before)?);
        columns.push(self.values_of(&after)?);
        Ok(Some(RecordBatch::try_new(self.schema(), columns)?))
    }

    fn values_of(&self, rows: &[Option<Vec<u8>>]) -> Result<ArrayRef> {
        let slices: Vec<Option<&[u8]>> = rows.iter().map(Option::as_deref).collect();
        let columns = self.codec.values.unpack(&slices)?;
        let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
        if self.values.is_empty() {
            return Ok(Arc::new(StructArray::new_empty_fields(rows.len(), Some(nulls))));
        }
        Ok(Arc::new(StructArray::new(self.values.clone(), columns, Some(nulls))))
    }
}

fn nullable(field: &Field) -> Field {
    field.clone().with_nullable(true)
}
