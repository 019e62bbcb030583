//! `SET` and `RESET`.

use millstream_engine::Result;

use super::{Outcome, text_rows};
use crate::session::StreamSession;

pub(super) fn set(session: &StreamSession, key: Option<&str>, value: Option<&str>) -> Result<Outcome> {
    let rows = match (key, value) {
        (Some(key), Some(value)) => {
            session.set_conf(key, value)?;
            return Ok(Outcome::Done);
        }
        (Some(key), None) => {
            vec![(key.to_string(), session.conf().try_get(key)?.unwrap_or_else(|| "<undefined>".to_string()))]
        }
        (None, _) => session.conf().all(),
    };
    let rows = rows.into_iter().map(|(key, value)| vec![Some(key), Some(value)]);
    let (schema, rows) = text_rows(&["key", "value"], rows.collect())?;
    Ok(Outcome::Rows(schema, rows))
}

pub(super) fn reset(session: &StreamSession, key: Option<&str>) -> Result<Outcome> {
    session.reset_conf(key)?;
    Ok(Outcome::Done)
}
