//! The reading half of the file source: a part of a file to batches, wherever the plan runs.
//!
//! Files of the local disk are read and decoded right where the plan asks for the next batch: the work is the decoding,
//! and one task a core does it best. Objects are fetched asynchronously.

mod adapt;
pub(in crate::files) mod codec;
mod decoder;
mod lines;
mod parquet_file;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::project_schema;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use millstream_engine::source::{ReadRequest, SourceSpec};
use millstream_engine::{Error, Result};
use millstream_formats::java_time::Zone;
use object_store::ObjectStore;

pub(super) use adapt::spark_type;
pub(super) use parquet_file::footer_schema;

use super::format::{Format, FormatOptions, format_error};
use super::location::{Location, Store, disk_error, store_error};
use super::metadata_column;
use super::partitions::{self, PartitionValue};
use super::split::FilePart;
use crate::rows::arrow_error;
use decoder::Decoder;

/// A part of a file that is to be read.
#[derive(Clone, Debug)]
struct PartOf {
    location: Location,
    index: u64,
    of: u64,
    /// The number in the file of the next row to be given; only Parquet files know where their parts begin.
    next_row: Arc<AtomicU64>,
}

impl PartOf {
    fn object_store(&self) -> Result<(&Arc<dyn ObjectStore>, &str)> {
        match &self.location.store {
            Store::Object { store, base } => Ok((store, base)),
            Store::Local => Err(Error::internal(format!("{} is in no object store", self.location.path))),
        }
    }
}

/// Why a file was not read.
enum NotRead {
    /// It is not there.
    Missing(Error),
    /// Something else.
    Failed(Error),
}

impl From<Error> for NotRead {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl NotRead {
    fn from_io(path: &str, error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Missing(missing(path)),
            _ => Self::Failed(read_error(path, error)),
        }
    }

    fn from_store(base: &str, path: &str, error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing(missing(&format!("{base}{path}"))),
            error => Self::Failed(store_error(base, path, error)),
        }
    }
}

fn missing(path: &str) -> Error {
    Error::unavailable(format!(
        "file {path} does not exist: it was there when the folder was listed, and is gone now that it is to be read; put it back, or set option ignoreMissingFiles to pass over such files"
    ))
}

fn read_error(path: &str, error: std::io::Error) -> Error {
    use std::io::ErrorKind;
    match error.kind() {
        // What a decompressor says about bytes that are none of its own.
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            Error::corrupt(format!("file {path} is damaged or cut short: {error}")).with_source(error)
        }
        _ => disk_error("read", std::path::Path::new(path), error),
    }
}

/// The rows of the part of a file that `request` asks for.
pub(super) fn read(format: Format, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
    let part: FilePart = request.split.decode("file")?;
    let config = request.context.session_config();
    let zone = match &config.options().execution.time_zone {
        Some(name) => Zone::parse(name).map_err(format_error)?,
        None => Zone::UTC,
    };
    let ignore_missing = part.ignore_missing;
    let options = FormatOptions::of(format, &spec.options, zone)?;
    let columns = Columns::new(format, spec, &request.projection, part.clone(), zone)?;
    let next_row = Arc::clone(&columns.next_row);
    let part = PartOf { location: Location::from_uri(&part.path)?, index: part.index, of: part.of, next_row };
    let batch_rows = config.batch_size();
    let schema = Arc::clone(&columns.in_file.schema);
    let out_schema = Arc::clone(&columns.out_schema);
    let rows = match (&part.location.store, &options) {
        (Store::Local, FormatOptions::Parquet) => {
            let opened = parquet_file::open_local(&part, &schema, batch_rows);
            local(opened, ignore_missing)?
        }
        (Store::Local, options) => {
            let decoder = Decoder::new(options, &columns.in_file, batch_rows, part.index == 0)?;
            local(lines::LocalLines::open(&part, decoder), ignore_missing)?
        }
        (Store::Object { .. }, FormatOptions::Parquet) => {
            objects(parquet_file::read_object(part, schema, batch_rows), ignore_missing)
        }
        (Store::Object { .. }, options) => {
            let decoder = Decoder::new(options, &columns.in_file, batch_rows, part.index == 0)?;
            objects(lines::object_lines(part, decoder), ignore_missing)
        }
    };
    let rows = rows.map(move |batch| Ok(columns.complete(batch?)?));
    Ok(Box::pin(RecordBatchStreamAdapter::new(out_schema, rows)))
}

type Rows = stream::BoxStream<'static, Result<RecordBatch>>;

fn local<I>(opened: Result<I, NotRead>, ignore_missing: bool) -> Result<Rows>
where
    I: Iterator<Item = Result<RecordBatch>> + Send + 'static,
{
    match opened {
        Ok(rows) => Ok(stream::iter(rows).boxed()),
        Err(NotRead::Missing(error)) if ignore_missing => {
            tracing::warn!("passed over: {error}");
            Ok(stream::empty().boxed())
        }
        Err(NotRead::Missing(error) | NotRead::Failed(error)) => Err(error),
    }
}

fn objects(rows: impl stream::Stream<Item = Result<RecordBatch, NotRead>> + Send + 'static, ignore: bool) -> Rows {
    let passed = rows.filter_map(move |batch| async move {
        match batch {
            Ok(batch) => Some(Ok(batch)),
            Err(NotRead::Missing(error)) if ignore => {
                tracing::warn!("passed over: {error}");
                None
            }
            Err(NotRead::Missing(error) | NotRead::Failed(error)) => Some(Err(error)),
        }
    });
    passed.boxed()
}

/// The columns that are in the file itself.
#[derive(Debug)]
struct FileColumns {
    /// All of them, wanted or not: formats without names tell columns by their place.
    all: Schema,
    /// Which are wanted, as indices into `all`.
    wanted: Vec<usize>,
    /// The wanted ones.
    schema: SchemaRef,
}

/// The columns of the result: some in the file, some in the names of its folders, and where the file is.
#[derive(Debug)]
struct Columns {
    out_schema: SchemaRef,
    in_file: FileColumns,
    /// For each column of the result.
    from: Vec<ValuesFrom>,
    format: Format,
    part: FilePart,
    zone: Zone,
    /// See [`PartOf::next_row`].
    next_row: Arc<AtomicU64>,
}

/// Where a column's values are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ValuesFrom {
    File,
    Folder(Option<String>),
    Metadata,
}

impl ValuesFrom {
    fn of(field: &Field, folders: &[PartitionValue]) -> Self {
        let found = folders.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.name()));
        found.map_or(Self::File, |(_, value)| Self::Folder(value.clone()))
    }
}

impl Columns {
    fn new(format: Format, spec: &SourceSpec, projection: &[usize], part: FilePart, zone: Zone) -> Result<Self> {
        let (schema, shown) = (&spec.schema, spec.shown_columns());
        let out_schema = project_schema(schema, Some(&projection.to_vec()))?;
        let from = |at: &usize| match *at < shown {
            true => ValuesFrom::of(&schema.fields()[*at], &part.values),
            false => ValuesFrom::Metadata,
        };
        let is_in_file = |at: &usize| from(at) == ValuesFrom::File;
        let data: Vec<usize> = (0..schema.fields().len()).filter(is_in_file).collect();
        let wanted: Vec<usize> =
            projection.iter().filter_map(|at| data.iter().position(|data_at| data_at == at)).collect();
        let all = schema.project(&data).map_err(arrow_error)?;
        let in_file = FileColumns { schema: Arc::new(all.project(&wanted).map_err(arrow_error)?), all, wanted };
        let from = projection.iter().map(from).collect();
        Ok(Self { out_schema, in_file, from, format, part, zone, next_row: Arc::default() })
    }

    /// The rows of the file with what its folders say.
    fn complete(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let first = self.next_row.fetch_add(rows as u64, Ordering::Relaxed);
        let mut from_file = batch.columns().iter();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.from.len());
        for (from, field) in self.from.iter().zip(self.out_schema.fields()) {
            match from {
                ValuesFrom::File => columns.extend(from_file.next().cloned()),
                ValuesFrom::Folder(value) => {
                    columns.push(partitions::constant(value.as_deref(), field, self.zone, rows)?)
                }
                ValuesFrom::Metadata => {
                    columns.push(metadata_column::column(self.format, &self.part, first..first + rows as u64)?);
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.out_schema), columns, &options).map_err(arrow_error)
    }
}
