//! `sinks/`: output folders that a running Spark wrote, with a stray file beside its log.

use std::path::Path;

use millstream_engine::Result;
use millstream_engine::options::Options;
use millstream_engine::source::{SourceProvider, SourceSpec};
use serde_json::Value;

use super::{as_json, fixtures, read, sorted, text_of};
use crate::files::{FileSourceProvider, Format};

#[tokio::test]
async fn rows_are_those_that_sparks_log_names() -> Result<()> {
    for name in ["json", "parquet", "parquet-partitioned"] {
        let recorded = fixtures().join("sinks").join(name);
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(&recorded, folder.path(), &text_of(folder.path()));
        let expected: Value =
            serde_json::from_str(&std::fs::read_to_string(recorded.join("expected.json")).expect("what Spark read"))
                .expect("JSON");
        let format = if name == "json" { Format::Json } else { Format::Parquet };
        let provider = FileSourceProvider::new(format);
        let out = folder.path().join("out");
        let options: Options = [("path", text_of(&out))].into_iter().collect();
        let schema = provider.schema(None, &options, false, &Options::new()).await?;
        let spec = SourceSpec { connector: format.name().to_string(), options, schema };
        let rows = as_json(&read(&provider, &spec, provider.batch_splits(&spec).await?).await?);
        assert_eq!(rows.len() as u64, expected["count"].as_u64().expect("a count"), "{name}");
        let spark = sorted(expected["rows"].as_array().expect("rows").clone());
        assert_eq!(rows, spark, "{name}");
    }
    Ok(())
}

/// Copies a recorded folder, with `@ROOT@` replaced in what is text.
fn copy(from: &Path, to: &Path, root: &str) {
    std::fs::create_dir_all(to).expect("a new folder");
    for entry in std::fs::read_dir(from).expect("a recorded folder").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target, root);
            continue;
        }
        let bytes = std::fs::read(&path).expect("a recorded file");
        match String::from_utf8(bytes) {
            Ok(text) => std::fs::write(target, text.replace("@ROOT@", root)),
            Err(bytes) => std::fs::write(target, bytes.into_bytes()),
        }
        .expect("a new file");
    }
}
