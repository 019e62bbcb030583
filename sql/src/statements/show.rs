//! `SHOW STREAMS` and `SHOW TABLES`.

use millstream_engine::Result;

use super::{Outcome, text_rows};
use crate::catalog::Entry;
use crate::session::StreamSession;

pub(super) fn show_streams(session: &StreamSession) -> Result<Outcome> {
    let active = session.streams().active();
    let rows = active.iter().map(|query| {
        let progress = query.last_progress();
        let batch = progress.as_ref().map(|p| p.batch_id.to_string());
        let rows = progress.as_ref().map(|p| p.num_input_rows.to_string());
        vec![query.name().map(str::to_string), Some(query.id().to_string()), Some(query.status().message), batch, rows]
    });
    let (schema, rows) = text_rows(&["name", "id", "status", "batch", "inputRows"], rows.collect())?;
    Ok(Outcome::Rows(schema, rows))
}

pub(super) fn show_tables(session: &StreamSession) -> Result<Outcome> {
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    for entry in session.catalog().entries() {
        let kind = match &entry {
            Entry::Table(table) => table.connector.clone(),
            Entry::View { is_temporary: true, .. } => "temporary view".to_string(),
            Entry::View { .. } => "view".to_string(),
        };
        rows.push(vec![Some(entry.name().to_string()), Some(kind)]);
    }
    for name in session.catalog().result_names() {
        if session.catalog().get(&name).is_none() {
            rows.push(vec![Some(name), Some("memory".to_string())]);
        }
    }
    let (schema, rows) = text_rows(&["tableName", "kind"], rows)?;
    Ok(Outcome::Rows(schema, rows))
}
