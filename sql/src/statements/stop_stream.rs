//! `STOP STREAM`: ends a query without losing anything.

use millstream_engine::Result;

use super::describe::running;
use super::{Outcome, plain_name};
use crate::dialect::Name;
use crate::session::StreamSession;

pub(super) async fn stop_stream(session: &StreamSession, name: &Name) -> Result<Outcome> {
    running(session, plain_name(name)?)?.stop().await?;
    Ok(Outcome::Done)
}
