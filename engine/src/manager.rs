//! The queries of a session: which run, which have ended, who listens.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, RwLock, Weak};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::listener::{QueryTerminated, StreamingQueryListener};
use crate::query::StreamingQuery;

/// Every running query of this process by its id, whatever its session: the same query runs once.
static RUNNING: LazyLock<Mutex<HashMap<Uuid, Weak<StreamingQuery>>>> = LazyLock::new(Mutex::default);

/// The queries of a session. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StreamingQueryManager(Arc<Inner>);

struct Inner {
    queries: Mutex<Queries>,
    /// Counts terminations, so that waiters wake.
    ended: watch::Sender<u64>,
    listeners: RwLock<Vec<(u64, Arc<dyn StreamingQueryListener>)>>,
}

#[derive(Default)]
struct Queries {
    active: Vec<Arc<StreamingQuery>>,
    /// Whether a query has ended since the last reset, and how the first that failed did.
    any_ended: bool,
    first_error: Option<Error>,
    next_listener: u64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamingQueryManager").field("active", &lock(&self.queries).active.len()).finish()
    }
}

impl Default for StreamingQueryManager {
    fn default() -> Self {
        Self(Arc::new(Inner { queries: Mutex::default(), ended: watch::channel(0).0, listeners: RwLock::default() }))
    }
}

impl StreamingQueryManager {
    /// Without any query.
    pub fn new() -> Self {
        Self::default()
    }

    /// The queries that run, in the order they were started.
    pub fn active(&self) -> Vec<Arc<StreamingQuery>> {
        lock(&self.0.queries).active.clone()
    }

    /// The running query whose name, id or run id is `key`.
    pub fn get(&self, key: &str) -> Option<Arc<StreamingQuery>> {
        let id = Uuid::parse_str(key).ok();
        self.active().into_iter().find(|query| {
            query.name().is_some_and(|name| name.eq_ignore_ascii_case(key))
                || id.is_some_and(|id| query.id() == id || query.run_id() == id)
        })
    }

    /// Waits until a query ends, or has ended since the last [`reset_terminated`](Self::reset_terminated). Fails with the
    /// error of the first that failed.
    pub async fn await_any_termination(&self) -> Result<()> {
        let mut ended = self.0.ended.subscribe();
        loop {
            {
                let queries = lock(&self.0.queries);
                if let Some(error) = &queries.first_error {
                    return Err(error.clone());
                }
                if queries.any_ended {
                    return Ok(());
                }
            }
            if ended.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// As [`await_any_termination`](Self::await_any_termination), for at most `timeout`; whether a query has ended.
    pub async fn await_any_termination_for(&self, timeout: Duration) -> Result<bool> {
        match tokio::time::timeout(timeout, self.await_any_termination()).await {
            Ok(result) => result.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Forgets which queries have ended.
    pub fn reset_terminated(&self) {
        let mut queries = lock(&self.0.queries);
        queries.any_ended = false;
        queries.first_error = None;
    }

    /// Adds a listener; the number removes it.
    pub fn add_listener(&self, listener: Arc<dyn StreamingQueryListener>) -> u64 {
        let number = {
            let mut queries = lock(&self.0.queries);
            queries.next_listener += 1;
            queries.next_listener
        };
        self.0.listeners.write().unwrap_or_else(|p| p.into_inner()).push((number, listener));
        number
    }

    /// Removes a listener; whether it was there.
    pub fn remove_listener(&self, number: u64) -> bool {
        let mut listeners = self.0.listeners.write().unwrap_or_else(|p| p.into_inner());
        let before = listeners.len();
        listeners.retain(|(known, _)| *known != number);
        listeners.len() < before
    }

    /// Stops every running query, each without losing anything.
    pub async fn stop_all(&self) -> Result<()> {
        for query in self.active() {
            query.stop().await?;
        }
        Ok(())
    }

    /// Calls `tell` with every listener.
    pub(crate) fn notify(&self, tell: impl Fn(&dyn StreamingQueryListener)) {
        let listeners = self.0.listeners.read().unwrap_or_else(|p| p.into_inner()).clone();
        for (_, listener) in &listeners {
            tell(listener.as_ref());
        }
    }

    /// Refuses a name that a running query has.
    pub(crate) fn check_name(&self, name: Option<&str>) -> Result<()> {
        match name {
            Some(name) if self.active().iter().any(|q| q.name() == Some(name)) => Err(Error::invalid(format!(
                "a query named '{name}' is already running in this session: stop it, or choose another queryName"
            ))),
            _ => Ok(()),
        }
    }

    /// The running query with this id, in any session of the process.
    pub(crate) fn running_anywhere(id: Uuid) -> Option<Arc<StreamingQuery>> {
        lock_running().get(&id).and_then(Weak::upgrade).filter(|query| query.is_active())
    }

    pub(crate) fn add(&self, query: &Arc<StreamingQuery>) {
        lock(&self.0.queries).active.push(Arc::clone(query));
        lock_running().insert(query.id(), Arc::downgrade(query));
    }

    pub(crate) fn remove(&self, event: &QueryTerminated) {
        {
            let mut queries = lock(&self.0.queries);
            queries.active.retain(|query| query.run_id() != event.run_id);
            queries.any_ended = true;
            if queries.first_error.is_none() {
                queries.first_error = event.exception.clone();
            }
        }
        let mut running = lock_running();
        if running.get(&event.id).and_then(Weak::upgrade).is_none_or(|query| query.run_id() == event.run_id) {
            running.remove(&event.id);
        }
        drop(running);
        self.0.ended.send_modify(|count| *count += 1);
        self.notify(|listener| listener.on_query_terminated(event));
    }
}

fn lock(queries: &Mutex<Queries>) -> MutexGuard<'_, Queries> {
    queries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn lock_running() -> MutexGuard<'static, HashMap<Uuid, Weak<StreamingQuery>>> {
    RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
