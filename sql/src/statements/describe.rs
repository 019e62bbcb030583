//! `DESCRIBE t` and `DESCRIBE STREAM q`.

use millstream_engine::options::nearest;
use millstream_engine::query::StreamingQuery;
use millstream_engine::{Error, Result};
use std::sync::Arc;

use super::{Outcome, plain_name, text_rows};
use crate::catalog::Entry;
use crate::dialect::Name;
use crate::session::StreamSession;

pub(super) async fn describe_table(session: &StreamSession, name: &Name) -> Result<Outcome> {
    let name = plain_name(name)?;
    let schema = match session.catalog().get(name) {
        Some(Entry::View { plan, .. }) => Arc::new(plan.schema().as_arrow().clone()),
        Some(Entry::Table(table)) => match (&table.columns, &table.rows) {
            (Some(columns), _) => Arc::clone(columns),
            (None, Some(_)) => Box::pin(session.table(name)).await?.schema(),
            (None, None) => {
                let conf = session.conf();
                match table.schema(session.registry(), &conf, true).await {
                    Ok(schema) => schema,
                    Err(_) => table.schema(session.registry(), &conf, false).await?,
                }
            }
        },
        None => match session.catalog().result(name) {
            Some((schema, _)) => schema,
            None => return Err(session.catalog().not_found(name)),
        },
    };
    let rows = schema.fields().iter().map(|field| {
        vec![Some(field.name().clone()), Some(millstream_formats::ddl::sql_type_name(field.data_type()).to_lowercase())]
    });
    let (schema, rows) = text_rows(&["col_name", "data_type"], rows.collect())?;
    Ok(Outcome::Rows(schema, rows))
}

pub(super) fn describe_stream(session: &StreamSession, name: &Name) -> Result<Outcome> {
    let query = running(session, plain_name(name)?)?;
    let status = query.status();
    let mut rows = vec![
        ("name", query.name().unwrap_or_default().to_string()),
        ("id", query.id().to_string()),
        ("runId", query.run_id().to_string()),
        ("status", status.message),
        ("isDataAvailable", status.is_data_available.to_string()),
        ("isTriggerActive", status.is_trigger_active.to_string()),
    ];
    if let Some(progress) = query.last_progress() {
        rows.push(("lastProgress", progress.json()));
    }
    let rows = rows.into_iter().map(|(key, value)| vec![Some(key.to_string()), Some(value)]);
    let (schema, rows) = text_rows(&["key", "value"], rows.collect())?;
    Ok(Outcome::Rows(schema, rows))
}

/// The running query called `name`.
pub(super) fn running(session: &StreamSession, name: &str) -> Result<Arc<StreamingQuery>> {
    session.streams().get(name).ok_or_else(|| {
        let active = session.streams().active();
        let labels: Vec<String> = active.iter().map(|query| query.label()).collect();
        let hint = match (nearest(name, labels.iter().map(String::as_str)), labels.is_empty()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, true) => "no query is running".to_string(),
            (None, false) => format!("running are {}", labels.join(", ")),
        };
        Error::invalid(format!("there is no running query {name}; {hint}"))
    })
}
