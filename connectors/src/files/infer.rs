//! The columns of a file source: declared, or inferred from the files that are there.
//!
//! Columns that partition folders give come last, as in Spark, whether they were declared or not. All columns are
//! nullable: a file may lack any of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use millstream_engine::options::Options;
use millstream_engine::{Error, Result};
use millstream_formats::ddl::sql_type_name;
use object_store::ObjectStoreExt;

use super::format::{Format, FormatOptions, format_error};
use super::listing::Listing;
use super::location::{FoundFile, Location, Store, disk_error, object_path, store_error};
use super::options::FileSourceOptions;
use super::partitions::{self, PartitionValue};
use super::read;

/// How much of the files inference looks at, in bytes, as long as there is a whole file.
const SAMPLE_BYTES: u64 = 32 << 20;

/// The columns of the stream or table.
pub(super) async fn schema(
    format: Format,
    given: Option<SchemaRef>,
    options: &FileSourceOptions,
    listing: &Listing,
    streaming: bool,
    conf: &Options,
) -> Result<SchemaRef> {
    let may_infer = !streaming || conf.reader("configuration").flag("spark.sql.streaming.schemaInference", false)?;
    let data = match (given, format) {
        (Some(given), _) => given,
        (None, Format::Text) => millstream_formats::text::text_schema(),
        (None, _) if may_infer => infer(format, options, listing).await?,
        (None, _) => {
            return Err(Error::invalid(format!(
                "schema must be specified when creating a streaming source of {} files; or set spark.sql.streaming.schemaInference to true to infer it from the files there are",
                format.name()
            )));
        }
    };
    let files = listing.files().await?;
    let values: Vec<_> = files.iter().map(|file| listing.partition_values(&file.path)).collect();
    check_bases(listing, &files, &values)?;
    let mut folders = partitions::infer_columns(values.iter());
    if !conf.reader("configuration").flag("spark.sql.sources.partitionColumnTypeInference.enabled", true)? {
        folders = folders.into_iter().map(|folder| folder.with_data_type(DataType::Utf8)).collect();
    }
    let schema = with_folders(&data, folders);
    check(format, &schema)?;
    Ok(schema)
}

/// Fails where a pattern matches several folders that each have partition folders below: which columns there are would
/// depend on where one starts to count.
fn check_bases(listing: &Listing, files: &[FoundFile], values: &[Vec<PartitionValue>]) -> Result<()> {
    let with_values = files.iter().zip(values).filter(|(_, values)| !values.is_empty());
    let bases: BTreeSet<String> = with_values.map(|(file, _)| listing.base_of(&file.path)).collect();
    match bases.iter().take(2).collect::<Vec<_>>().as_slice() {
        [first, second] => Err(Error::invalid(format!(
            "conflicting directory structures: there are partition folders below {first} and below {second}; set option basePath to the folder above both where they start"
        ))),
        _ => Ok(()),
    }
}

/// The columns of the files, and after them those of the folders, of their declared type where they have one.
fn with_folders(data: &Schema, folders: Vec<Field>) -> SchemaRef {
    let is_folder = |field: &Field| folders.iter().any(|folder| folder.name().eq_ignore_ascii_case(field.name()));
    let nullable = |field: &Field| field.clone().with_nullable(true);
    let mut fields: Vec<Field> = data.fields().iter().filter(|f| !is_folder(f)).map(|f| nullable(f)).collect();
    for folder in &folders {
        let declared = data.fields().iter().find(|field| field.name().eq_ignore_ascii_case(folder.name()));
        fields.push(nullable(declared.map_or(folder, |field| field.as_ref())));
    }
    Arc::new(Schema::new(fields))
}

fn check(format: Format, schema: &Schema) -> Result<()> {
    let fields = schema.fields();
    for (at, field) in fields.iter().enumerate() {
        if fields[..at].iter().any(|before| before.name().eq_ignore_ascii_case(field.name())) {
            return Err(Error::invalid(format!("the column {} is there twice: names ignore case", field.name())));
        }
    }
    if format == Format::Text && !fields.iter().any(|field| field.data_type() == &DataType::Utf8) {
        return Err(Error::invalid(
            "text files have a single column of type STRING (and those of their partition folders): declare value STRING",
        ));
    }
    Ok(())
}

async fn infer(format: Format, options: &FileSourceOptions, listing: &Listing) -> Result<SchemaRef> {
    let files = listing.files().await?;
    if files.is_empty() {
        return Err(Error::invalid(format!(
            "unable to infer a schema for {}: there are no files in {}; declare the columns",
            format.name(),
            options.location.display()
        )));
    }
    let at = |path: &str| Location { store: options.location.store.clone(), path: path.to_string() };
    if matches!(options.format, FormatOptions::Parquet) {
        let looked_at = if options.merge_schema { files.len() } else { 1 };
        let mut fields: Vec<Field> = Vec::new();
        for file in &files[..looked_at] {
            let schema = read::footer_schema(&at(&file.path)).await?;
            let of_file = schema.fields().iter();
            let of_file = of_file.map(|field| Field::new(field.name(), read::spark_type(field.data_type()), true));
            merge(&mut fields, of_file.collect(), &file.path)?;
        }
        return Ok(Arc::new(Schema::new(fields)));
    }
    let mut sample = Vec::new();
    let mut sampled_bytes = 0;
    for file in &files {
        if sampled_bytes > 0 && sampled_bytes + file.size_bytes > SAMPLE_BYTES {
            break;
        }
        sampled_bytes += file.size_bytes;
        sample.push(whole(&at(&file.path)).await?);
    }
    infer_text(&options.format, &sample)
}

/// Adds the columns of one more file, by name; a column that is there must have the same type, or one that it widens to.
fn merge(fields: &mut Vec<Field>, of_file: Vec<Field>, path: &str) -> Result<()> {
    for field in of_file {
        match fields.iter_mut().find(|known| known.name().eq_ignore_ascii_case(field.name())) {
            None => fields.push(field),
            Some(known) => {
                let both = merged_type(known.data_type(), field.data_type()).ok_or_else(|| {
                    Error::invalid(format!(
                        "[CANNOT_MERGE_SCHEMAS] failed merging schemas: column {} of file {path} is {}, and {} in the files before it; declare the columns",
                        field.name(),
                        sql_type_name(field.data_type()),
                        sql_type_name(known.data_type())
                    ))
                })?;
                *known = known.clone().with_data_type(both);
            }
        }
    }
    Ok(())
}

/// The type of a column that some files have as `a` and others as `b`, where Spark merges them.
fn merged_type(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Struct(ours), DataType::Struct(theirs)) => {
            let mut fields: Vec<Field> = ours.iter().map(|field| field.as_ref().clone()).collect();
            merge(&mut fields, theirs.iter().map(|field| field.as_ref().clone()).collect(), "").ok()?;
            Some(DataType::Struct(fields.into()))
        }
        (DataType::List(ours), DataType::List(theirs)) => {
            let element = merged_type(ours.data_type(), theirs.data_type())?;
            Some(DataType::List(Arc::new(ours.as_ref().clone().with_data_type(element))))
        }
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) if s1 == s2 => {
            Some(DataType::Decimal128(*p1.max(p2), *s1))
        }
        _ => None,
    }
}

fn infer_text(options: &FormatOptions, files: &[Bytes]) -> Result<SchemaRef> {
    match options {
        FormatOptions::Json(json) => {
            let text = join(files, json.multi_line, json.line_sep.as_deref(), false);
            millstream_formats::json::infer_schema(&text, json).map_err(format_error)
        }
        FormatOptions::Csv(csv) => {
            let text = join(files, csv.multi_line, csv.line_sep.as_deref(), csv.header);
            millstream_formats::csv::infer_schema(&text, csv).map_err(format_error)
        }
        FormatOptions::Parquet | FormatOptions::Text(_) => Err(Error::internal("a format with columns of its own")),
    }
}

/// The lines of all files as those of one; where a file is one value, the first file alone. Of `header`s the first stays.
fn join(files: &[Bytes], is_whole: bool, line_sep: Option<&str>, header: bool) -> Vec<u8> {
    let line_sep = line_sep.unwrap_or("\n").as_bytes();
    let mut lines = Vec::new();
    for file in files {
        let mut text = file.as_ref();
        if header && !lines.is_empty() {
            let end = memchr::memmem::find(text, line_sep).map_or(text.len(), |at| at + line_sep.len());
            text = &text[end..];
        }
        lines.extend_from_slice(text);
        if is_whole && !lines.is_empty() {
            break;
        }
        if !text.is_empty() && !text.ends_with(line_sep) {
            lines.extend_from_slice(line_sep);
        }
    }
    lines
}

/// The plain bytes of a file.
async fn whole(location: &Location) -> Result<Bytes> {
    let path = &location.path;
    let bytes = match &location.store {
        Store::Local => {
            Bytes::from(std::fs::read(path).map_err(|e| disk_error("read", std::path::Path::new(path), e))?)
        }
        Store::Object { store, base } => {
            let object = store.get(&object_path(path)).await.map_err(|e| store_error(base, path, e))?;
            object.bytes().await.map_err(|e| store_error(base, path, e))?
        }
    };
    read::codec::Codec::of(path).decompress_all(bytes, path)
}
