//! Queries: planned here, run by whoever wants their rows.

use millstream_engine::Result;

use super::Outcome;
use crate::dataframe::DataFrame;
use crate::dialect::SqlQuery;
use crate::session::StreamSession;

pub(super) async fn select(session: &StreamSession, query: &SqlQuery) -> Result<Outcome> {
    Ok(Outcome::Query(DataFrame::new(session.clone(), session.plan(query).await?)))
}
