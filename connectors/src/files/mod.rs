//! Folders of files: a stream of what appears in one, and a table of what a query writes into one.
//!
//! ```text
//! source   listing → seen files → log entry N → splits (parts of files) → read, wherever the plan runs
//! sink     a writer a partition → files under names of their own → _spark_metadata/N makes them the table's
//! ```
//! # Read next
//! `source.rs` (which files a batch reads) → `read/mod.rs` (files to rows) → `write/mod.rs` (rows to files) →
//! `manifest.rs` (`_spark_metadata`).

mod cleaner;
mod format;
mod glob;
mod infer;
mod listing;
mod local_listing;
mod location;
mod manifest;
mod metadata_column;
mod options;
mod partitions;
mod read;
mod refused;
mod seen;
mod source;
mod split;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use async_trait::async_trait;
use datafusion_execution::SendableRecordBatchStream;
use millstream_engine::Result;
use millstream_engine::options::Options;
use millstream_engine::source::{ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split};

pub use format::Format;
pub(crate) use format::{format_error, session_zone};
pub(crate) use options::milliseconds;
pub use refused::RefusedFormat;
pub use write::FileSinkProvider;

use listing::Listing;
use options::FileSourceOptions;
use source::FileSource;
use split::FileToRead;

/// `USING json`, `csv`, `parquet`, `text`, read.
#[derive(Debug)]
pub struct FileSourceProvider(Format);

impl FileSourceProvider {
    /// The source of files of this format.
    pub fn new(format: Format) -> Self {
        Self(format)
    }
}

#[async_trait]
impl SourceProvider for FileSourceProvider {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn schema(
        &self,
        given: Option<SchemaRef>,
        options: &Options,
        streaming: bool,
        conf: &Options,
    ) -> Result<SchemaRef> {
        let options = FileSourceOptions::parse(self.0, options, conf)?;
        let listing = Listing::new(options.location.clone(), options.lookup.clone())?;
        listing.check_exists().await?;
        infer::schema(self.0, given, &options, &listing, streaming, conf).await
    }

    fn hidden_columns(&self) -> Vec<FieldRef> {
        vec![metadata_column::field(self.0)]
    }

    async fn open(&self, spec: &SourceSpec, cx: SourceContext) -> Result<Arc<dyn Source>> {
        let options = FileSourceOptions::parse(self.0, &spec.options, &cx.conf)?;
        Ok(Arc::new(FileSource::open(options, cx).await?))
    }

    async fn batch_splits(&self, spec: &SourceSpec) -> Result<Vec<Split>> {
        let options = FileSourceOptions::parse(self.0, &spec.options, &Options::new())?;
        let listing = Listing::new(options.location.clone(), options.lookup.clone())?;
        listing.check_exists().await?;
        let to_read = |file: location::FoundFile| FileToRead {
            uri: options.location.store.uri(&file.path),
            values: listing.partition_values(&file.path),
            size_bytes: Some(file.size_bytes),
            modified_ms: file.modified_ms,
        };
        let files = listing.files().await?.into_iter().map(to_read).collect();
        split::cut(files, &options.format, options.ignore_missing, options.tasks)
    }

    /// As Spark's `read`, which lists at once.
    fn is_listed_when_read(&self) -> bool {
        true
    }

    fn read(&self, spec: &SourceSpec, request: ReadRequest) -> Result<SendableRecordBatchStream> {
        read::read(self.0, spec, request)
    }
}
