//! Sessions with every connector, and the tables and the state that queries leave behind.

use std::path::Path;

use millstream::{Result, StreamSession, WithConnectors};
use serde_json::Value;

use crate::scenario::json_rows;

/// A session with every connector, two state partitions and UTC.
pub async fn session() -> Result<StreamSession> {
    StreamSession::builder().config("spark.sql.shuffle.partitions", 2).build().await
}

/// The rows of a batch query, as the console's JSON writes them.
pub async fn rows_of(session: &StreamSession, sql: &str) -> Result<Vec<Value>> {
    json_rows(&session.sql(sql).await?.collect().await?)
}

/// The rows of a folder that a file sink wrote, read in a session of its own.
pub async fn table_rows(format: &str, schema: &str, folder: &Path) -> Result<Vec<Value>> {
    let session = session().await?;
    let columns = if schema.is_empty() { String::new() } else { format!(" ({schema})") };
    session.sql(&format!("CREATE TABLE result{columns} USING {format} OPTIONS (path '{}')", folder.display())).await?;
    rows_of(&session, "SELECT * FROM result").await
}

/// The bytes of each delta that a query with the checkpoint `cp` in `work` has written of its state, in the order of its batches.
pub fn delta_bytes(work: &Path) -> std::io::Result<Vec<u64>> {
    let mut deltas: Vec<(String, u64)> = Vec::new();
    for entry in std::fs::read_dir(work.join("cp/state"))? {
        let entry = entry?;
        deltas.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    deltas.retain(|(name, _)| name.ends_with(".delta"));
    deltas.sort_unstable();
    Ok(deltas.into_iter().map(|(_, bytes)| bytes).collect())
}
