//! `CREATE STREAMING TABLE … AS`: starts a query, whose result can be read under the table's name where the connector can
//! be read.

use std::sync::Arc;

use millstream_engine::{Error, Result};

use super::create_table::table;
use super::{Outcome, plain_name};
use crate::catalog::Entry;
use crate::dialect::{CreateTable, SqlQuery};
use crate::session::StreamSession;
use crate::writer::{Start, check_not_written, keep_result, table_sink};

pub(super) async fn create_streaming_table(
    session: &StreamSession,
    create: &CreateTable,
    query: &SqlQuery,
) -> Result<Outcome> {
    let name = plain_name(&create.name)?;
    if let Some(known) = session.catalog().get(name)
        && !matches!(&known, Entry::Table(table) if table.is_result)
    {
        return Err(Error::invalid(format!(
            "[TABLE_OR_VIEW_ALREADY_EXISTS] {} exists already: write INSERT INTO {} to stream into it, or choose another name",
            known.name(),
            known.name()
        )));
    }
    if create.if_not_exists && session.streams().get(name).is_some() {
        return Ok(Outcome::Done);
    }
    check_not_written(session, name)?;
    if create.columns.is_some() {
        return Err(Error::invalid(format!(
            "CREATE STREAMING TABLE {name}: the query gives the columns; leave the list out, and name them with AS in the query"
        )));
    }
    let plan = session.plan(query).await?;
    let mut table = table(session, create)?;
    table.columns = Some(Arc::new(plan.schema().as_arrow().clone()));
    table.rows = None;
    table.is_result = true;
    let mut start = Start::new(plan, table_sink(&table), &table.writer_options)?;
    start.name.get_or_insert_with(|| table.name.clone());
    let started = start.start(session).await?;
    keep_result(session, table);
    Ok(Outcome::Started(started))
}
