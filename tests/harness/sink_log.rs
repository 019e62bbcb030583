//! A second reader of what the file sink writes: its log as Spark's documentation of the format has it, and Parquet files
//! through the parquet crate alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The files that the log of the sink's folder names, by the number of the log file that is the first to name them.
pub fn logged_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs: BTreeMap<u64, (bool, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(folder.join("_spark_metadata"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (number, is_compact) =
            name.strip_suffix(".compact").map_or((name.as_str(), false), |number| (number, true));
        if let Ok(number) = number.parse() {
            let known = logs.entry(number).or_insert((is_compact, entry.path()));
            if is_compact {
                *known = (true, entry.path());
            }
        }
    }
    let newest_compact = logs.iter().filter(|(_, (is_compact, _))| *is_compact).map(|(number, _)| *number).max();
    let mut files = Vec::new();
    for (_, path) in logs.range(newest_compact.unwrap_or(0)..).map(|(_, log)| log) {
        let text = fs::read_to_string(path)?;
        let mut lines = text.lines();
        if lines.next() != Some("v1") {
            return Err(io::Error::other(format!("{} does not start with v1", path.display())));
        }
        for line in lines {
            let entry: Value = serde_json::from_str(line)?;
            let path = entry["path"].as_str().and_then(|path| path.strip_prefix("file://"));
            files.push(PathBuf::from(path.ok_or_else(|| io::Error::other(format!("no path in {line}")))?));
        }
    }
    Ok(files)
}

/// The rows of all Parquet files that the log names.
pub fn logged_rows(folder: &Path) -> io::Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for path in logged_files(folder)? {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?).and_then(|b| b.build());
        for batch in reader.map_err(io::Error::other)? {
            batches.push(batch.map_err(io::Error::other)?);
        }
    }
    Ok(batches)
}

/// The values of a BIGINT column, sorted.
pub fn sorted_ids(batches: &[RecordBatch], column: &str) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let columns = batches.iter().filter_map(|batch| batch.column_by_name(column));
    let mut ids: Vec<i64> = columns.flat_map(|column| column.as_primitive::<Int64Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}
