//! `EXPLAIN`: how a query would run, as text.

use millstream_engine::{Error, Result};

use super::Outcome;
use crate::dataframe::DataFrame;
use crate::dialect::SqlQuery;
use crate::session::StreamSession;

pub(super) async fn explain(
    session: &StreamSession,
    extended: bool,
    stream: bool,
    query: &SqlQuery,
) -> Result<Outcome> {
    let frame = DataFrame::new(session.clone(), session.plan(query).await?);
    if stream && !frame.is_streaming() {
        return Err(Error::invalid("EXPLAIN STREAM: the query reads no stream; write STREAM before a table's name"));
    }
    Ok(Outcome::Text(frame.explain(extended).await?))
}
