//! A clock that moves when a test says so.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::clock::Clock;

/// A [`Clock`] that stands still until [`advance_ms`](Self::advance_ms). Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<i64>>);

impl ManualClock {
    /// A clock that says `now_ms` milliseconds since the epoch.
    pub fn at_ms(now_ms: i64) -> Self {
        Self(Arc::new(watch::channel(now_ms).0))
    }

    /// Moves it on; whoever sleeps until a time that has come wakes.
    pub fn advance_ms(&self, by_ms: i64) {
        self.0.send_modify(|now_ms| *now_ms += by_ms);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        *self.0.borrow()
    }

    async fn sleep_until_ms(&self, at_ms: i64) {
        // The sender lives in `self`, so the channel is open.
        let _ = self.0.subscribe().wait_for(|now_ms| *now_ms >= at_ms).await;
    }
}
