//! Reads a part of a parquet file.
//!
//! A file with many row groups is cut between them; one with few is cut by rows, so that two cores share even a single
//! row group: pages before the part are passed over undecoded.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use millstream_engine::{Error, Result};
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderBuilder, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::adapt::{adapt_batch, find};
use super::{NotRead, PartOf};
use crate::files::location::{Location, Store, disk_error, object_path, store_error};

/// The batches of a part of a local file, with the columns of `schema`.
pub(super) fn open_local(
    part: &PartOf,
    schema: &SchemaRef,
    batch_rows: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + 'static, NotRead> {
    let path = part.location.path.clone();
    let file = File::open(&path).map_err(|e| NotRead::from_io(&path, e))?;
    let metadata = ArrowReaderMetadata::load(&file, reader_options()).map_err(|e| damaged(&path, e))?;
    let metadata = with_microseconds(metadata).map_err(|e| damaged(&path, e))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(batch_rows);
    let reader = select(builder, part, schema).build().map_err(|e| damaged(&path, e))?;
    let schema = Arc::clone(schema);
    Ok(reader.map(move |batch| {
        let batch = batch.map_err(|e| Error::corrupt(format!("file {path} is damaged: {e}")).with_source(e))?;
        adapt_batch(&batch, &schema, &path)
    }))
}

/// The same of an object.
pub(super) fn read_object(
    part: PartOf,
    schema: SchemaRef,
    batch_rows: usize,
) -> impl Stream<Item = Result<RecordBatch, NotRead>> {
    let opened = async move {
        let (store, base) = part.object_store()?;
        let path = part.location.path.clone();
        let object = store.head(&object_path(&path)).await.map_err(|e| NotRead::from_store(base, &path, e))?;
        let mut reader = ObjectReader { store: Arc::clone(store), path: object_path(&path), size_bytes: object.size };
        let metadata = ArrowReaderMetadata::load_async(&mut reader, reader_options()).await;
        let metadata = metadata.and_then(with_microseconds).map_err(|e| damaged(&path, e))?;
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).with_batch_size(batch_rows);
        let rows = select(builder, &part, &schema).build().map_err(|e| damaged(&path, e))?;
        Ok::<_, NotRead>(rows.map(move |batch| {
            let batch = batch.map_err(|e| damaged(&path, e))?;
            adapt_batch(&batch, &schema, &path).map_err(NotRead::from)
        }))
    };
    stream::once(opened).try_flatten()
}

/// The columns of the file at `location`, as its footer has them.
pub(in crate::files) async fn footer_schema(location: &Location) -> Result<SchemaRef> {
    let path = location.path.clone();
    let metadata = match &location.store {
        Store::Local => {
            let file = File::open(&path).map_err(|e| disk_error("open", std::path::Path::new(&path), e))?;
            ArrowReaderMetadata::load(&file, reader_options())
        }
        Store::Object { store, base } => {
            let object = store.head(&object_path(&path)).await.map_err(|e| store_error(base, &path, e))?;
            let mut reader =
                ObjectReader { store: Arc::clone(store), path: object_path(&path), size_bytes: object.size };
            ArrowReaderMetadata::load_async(&mut reader, reader_options()).await
        }
    };
    let metadata = metadata.and_then(with_microseconds).map_err(|e| damaged(&path, e))?;
    Ok(Arc::clone(metadata.schema()))
}

/// Types as parquet has them: what Arrow's own schema in the file says (views, dictionaries) is passed over.
fn reader_options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// The old INT96 timestamps as instants in microseconds: in nanoseconds they would end in the year 2262.
fn with_microseconds(metadata: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let parquet_schema = metadata.parquet_schema();
    let is_int96 = |at: usize| {
        let root = &parquet_schema.root_schema().get_fields()[at];
        root.is_primitive() && root.get_physical_type() == PhysicalType::INT96
    };
    let fields = metadata.schema().fields();
    if !(0..fields.len()).any(is_int96) {
        return Ok(metadata);
    }
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    let fields: Fields = fields
        .iter()
        .enumerate()
        .map(|(at, field)| match is_int96(at) {
            true => Arc::new(Field::new(field.name(), instant.clone(), field.is_nullable())),
            false => Arc::clone(field),
        })
        .collect();
    let options = reader_options().with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// Narrows a reader to the part and the columns.
fn select<T>(builder: ArrowReaderBuilder<T>, part: &PartOf, schema: &SchemaRef) -> ArrowReaderBuilder<T> {
    let roots = schema.fields().iter().filter_map(|field| find(builder.schema().fields(), field.name()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.collect::<Vec<_>>());
    let group_rows: Vec<usize> =
        builder.metadata().row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).collect();
    let (groups, selection, first_row) = cut(&group_rows, part.index, part.of);
    part.next_row.store(first_row as u64, Ordering::Relaxed);
    let builder = builder.with_projection(mask).with_row_groups(groups);
    match selection {
        Some(selection) => builder.with_row_selection(selection),
        None => builder,
    }
}

/// The row groups of part `index` of `of`, the rows within them where they are cut, and the number of the first row.
fn cut(group_rows: &[usize], index: u64, of: u64) -> (Vec<usize>, Option<RowSelection>, usize) {
    if of <= 1 {
        return ((0..group_rows.len()).collect(), None, 0);
    }
    let bound = |total: usize, n: u64| (total as u128 * u128::from(n) / u128::from(of)) as usize;
    let group_count = group_rows.len();
    if group_count as u64 >= 4 * of {
        let first = bound(group_count, index);
        return ((first..bound(group_count, index + 1)).collect(), None, group_rows[..first].iter().sum());
    }
    let total: usize = group_rows.iter().sum();
    let own = bound(total, index)..bound(total, index + 1);
    let mut groups = Vec::new();
    let mut selectors = Vec::new();
    let mut at = 0;
    for (group, rows) in group_rows.iter().enumerate() {
        let within: Range<usize> = own.start.clamp(at, at + rows) - at..own.end.clamp(at, at + rows) - at;
        if !within.is_empty() {
            groups.push(group);
            selectors.push(RowSelector::skip(within.start));
            selectors.push(RowSelector::select(within.len()));
            selectors.push(RowSelector::skip(rows - within.end));
        }
        at += rows;
    }
    (groups, Some(selectors.into()), own.start)
}

fn damaged(path: &str, error: ParquetError) -> Error {
    if let ParquetError::External(cause) = &error
        && let Some(io) = cause.downcast_ref::<std::io::Error>()
        && io.kind() != std::io::ErrorKind::UnexpectedEof
    {
        return Error::unavailable(format!("cannot read file {path}: {io}")).with_source(error);
    }
    Error::corrupt(format!("file {path} is no parquet file, or damaged: {error}")).with_source(error)
}

/// A parquet file in an object store.
struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    path: object_store::path::Path,
    size_bytes: u64,
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.store.get_range(&self.path, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size_bytes = self.size_bytes;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            reader.load_and_finish(self, size_bytes).await.map(Arc::new)
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_every_row_once() {
        for group_rows in [vec![], vec![10], vec![1, 1], vec![100, 3, 50], vec![7; 40]] {
            for of in 1..=5 {
                let mut seen = Vec::new();
                for index in 0..of {
                    let (groups, selection, first_row) = cut(&group_rows, index, of);
                    assert_eq!(first_row, seen.len(), "part {index} of {group_rows:?} in {of}");
                    let selected: Vec<RowSelector> = match selection {
                        Some(selection) => selection.into(),
                        None => groups.iter().map(|g| RowSelector::select(group_rows[*g])).collect(),
                    };
                    let starts: Vec<usize> =
                        groups.iter().flat_map(|g| (0..group_rows[*g]).map(move |row| g * 1000 + row)).collect();
                    let mut at = 0;
                    for selector in selected {
                        if !selector.skip {
                            seen.extend_from_slice(&starts[at..at + selector.row_count]);
                        }
                        at += selector.row_count;
                    }
                }
                let all: Vec<usize> =
                    group_rows.iter().enumerate().flat_map(|(g, rows)| (0..*rows).map(move |r| g * 1000 + r)).collect();
                assert_eq!(seen, all, "{group_rows:?} in {of}");
            }
        }
    }
}
