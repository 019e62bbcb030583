//! `DROP TABLE`, `DROP VIEW`, `DROP STREAM`: names are forgotten; files stay.

use millstream_engine::{Error, Result};

use super::{Outcome, plain_name};
use crate::catalog::Entry;
use crate::dialect::{DropKind, Name};
use crate::session::StreamSession;
use crate::writer::check_not_written;

pub(super) async fn drop_object(
    session: &StreamSession,
    kind: DropKind,
    if_exists: bool,
    name: &Name,
) -> Result<Outcome> {
    let name = plain_name(name)?;
    let known = session.catalog().get(name);
    match (kind, &known) {
        (DropKind::Stream, _) => return drop_stream(session, if_exists, name).await,
        (_, None) if if_exists => return Ok(Outcome::Done),
        (_, None) => return Err(session.catalog().not_found(name)),
        (DropKind::Table, Some(Entry::View { name, .. })) => {
            return Err(Error::invalid(format!("{name} is a view: write DROP VIEW {name}")));
        }
        (DropKind::View, Some(Entry::Table(table))) => {
            return Err(Error::invalid(format!("{} is a table: write DROP TABLE {}", table.name, table.name)));
        }
        (DropKind::Table, Some(Entry::Table(table))) => check_not_written(session, &table.name)?,
        (DropKind::View, Some(Entry::View { .. })) => {}
    }
    session.catalog().remove(name);
    Ok(Outcome::Done)
}

/// Stops the query, and forgets the table that it has made.
async fn drop_stream(session: &StreamSession, if_exists: bool, name: &str) -> Result<Outcome> {
    let query = session.streams().get(name);
    let is_result = matches!(session.catalog().get(name), Some(Entry::Table(table)) if table.is_result);
    if query.is_none() && !is_result && !if_exists {
        return Err(super::describe::running(session, name).err().unwrap_or_else(|| session.catalog().not_found(name)));
    }
    if let Some(query) = query {
        query.stop().await?;
    }
    if is_result {
        session.catalog().remove(name);
    }
    Ok(Outcome::Done)
}
