//! The file source and sink as a whole: against Spark's recorded answers, the contracts, and broken disks.

mod contract;
mod faults;
mod log;
mod object_store;
mod spark_sinks;
mod spark_source;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_execution::TaskContext;
use futures::TryStreamExt;
use millstream_engine::options::Options;
use millstream_engine::sink::{OutputMode, SinkSpec};
use millstream_engine::source::{ReadRequest, Source, SourceContext, SourceProvider, SourceSpec, Split};
use millstream_engine::state::Place;
use millstream_engine::testing::ManualClock;
use millstream_engine::{Error, Result};
use millstream_formats::ddl;
use millstream_formats::json::write_console_json;

/// A folder of recorded files.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/interop")
}

fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().copied().collect()
}

fn columns(text: &str) -> SchemaRef {
    ddl::parse_schema(text).expect("columns that parse")
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_string()
}

/// Writes a file with a modification time.
fn write(path: &Path, text: impl AsRef<[u8]>, modified_ms: u64) {
    std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a new folder");
    std::fs::write(path, text).expect("a new file");
    let file = std::fs::File::options().write(true).open(path).expect("the file");
    file.set_modified(UNIX_EPOCH + Duration::from_millis(modified_ms)).expect("a new time");
}

/// Opens a source whose part of the checkpoint is `metadata`.
async fn open(provider: &dyn SourceProvider, spec: &SourceSpec, metadata: &Path) -> Result<Arc<dyn Source>> {
    let context = SourceContext {
        metadata: Place::open(&text_of(metadata), &[])?,
        clock: Arc::new(ManualClock::at_ms(1_800_000_000_000)),
        conf: Arc::new(Options::new()),
    };
    provider.open(spec, context).await
}

/// The rows of some splits, each through JSON as if it came from another process.
async fn read(provider: &dyn SourceProvider, spec: &SourceSpec, splits: Vec<Split>) -> Result<Vec<RecordBatch>> {
    let mut rows = Vec::new();
    for split in splits {
        let text = serde_json::to_string(&split).map_err(|e| Error::internal(e.to_string()))?;
        let split = serde_json::from_str(&text).map_err(|e| Error::internal(e.to_string()))?;
        let projection = (0..spec.schema.fields().len()).collect();
        let request = ReadRequest { split, projection, context: Arc::new(TaskContext::default()) };
        rows.extend(provider.read(spec, request)?.try_collect::<Vec<_>>().await?);
    }
    Ok(rows)
}

/// The rows as JSON objects without nulls, sorted by their text.
fn as_json(batches: &[RecordBatch]) -> Vec<serde_json::Value> {
    let mut rows = Vec::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let mut text = vec![b'['];
        write_console_json(batch, ",", &mut text).expect("rows that JSON can hold");
        text.push(b']');
        rows.extend(serde_json::from_slice::<Vec<serde_json::Value>>(&text).expect("JSON of our own"));
    }
    sorted(rows)
}

/// Rows without nulls, sorted by their text.
fn sorted(mut rows: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    for row in &mut rows {
        if let Some(object) = row.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
    }
    rows.sort_by_key(|row| {
        let mut pairs: Vec<String> =
            row.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.sort_unstable();
        pairs.join(",")
    });
    rows
}

fn sink_spec(
    connector: &str,
    path: &Path,
    schema: SchemaRef,
    more: &[(&str, &str)],
    partition_by: &[&str],
) -> SinkSpec {
    let mut options = options(more);
    options.set("path", text_of(path));
    SinkSpec {
        connector: connector.to_string(),
        options,
        schema,
        partition_by: partition_by.iter().map(|name| name.to_string()).collect(),
        output_mode: OutputMode::Append,
        query_name: None,
    }
}

fn source_spec(connector: &str, path: &Path, schema: &Schema, more: &[(&str, &str)]) -> SourceSpec {
    let mut options = options(more);
    options.set("path", text_of(path));
    SourceSpec { connector: connector.to_string(), options, schema: Arc::new(schema.clone()) }
}
