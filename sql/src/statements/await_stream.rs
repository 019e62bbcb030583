//! `AWAIT STREAM`: waits until a query has ended, and fails with its error.

use std::time::Duration;

use millstream_engine::trigger::parse_interval_ms;
use millstream_engine::{Error, Result};

use super::{Outcome, plain_name};
use crate::dialect::Name;
use crate::session::StreamSession;

pub(super) async fn await_stream(session: &StreamSession, name: &Name, timeout: Option<&str>) -> Result<Outcome> {
    let name = plain_name(name)?;
    let query = session.started(name)?;
    match timeout {
        None => query.await_termination().await?,
        Some(text) => {
            let timeout = Duration::from_millis(parse_interval_ms(text)?);
            if !query.await_termination_for(timeout).await? {
                return Err(Error::unavailable(format!(
                    "query {name} has not ended within {text}: it goes on running"
                )));
            }
        }
    }
    Ok(Outcome::Done)
}
