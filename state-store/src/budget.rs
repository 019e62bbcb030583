//! How much memory state may take, as the store sees it.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory that all stores of a process share. The engine adapts its own pool to this.
///
/// A store that is refused memory moves to its files; what it must have nevertheless (the rows of one batch, say) it
/// takes without asking, so the budget is exceeded by little and for a short time only.
pub trait MemoryBudget: Debug + Send + Sync + 'static {
    /// Bytes there are for all stores together.
    fn limit_bytes(&self) -> usize;

    /// Takes `bytes`, unless that would exceed the limit.
    fn try_grow(&self, bytes: usize) -> bool;

    /// Takes `bytes` in any case.
    fn grow(&self, bytes: usize);

    /// Gives `bytes` back.
    fn shrink(&self, bytes: usize);
}

/// A budget of a fixed number of bytes.
#[derive(Debug)]
pub struct FixedBudget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl FixedBudget {
    /// This many bytes for all stores together.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: AtomicUsize::new(0) }
    }

    /// Bytes taken at the moment.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

impl MemoryBudget for FixedBudget {
    fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn try_grow(&self, bytes: usize) -> bool {
        let grown = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit_bytes);
        self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    }

    fn grow(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn shrink(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one holder has taken from a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<dyn MemoryBudget>,
    bytes: usize,
}

impl Reservation {
    pub(crate) fn new(budget: Arc<dyn MemoryBudget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Holds `bytes` from now on, and says whether the budget allows it.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let fits = match bytes.checked_sub(self.bytes) {
            Some(more) => {
                let fits = self.budget.try_grow(more);
                if !fits {
                    self.budget.grow(more);
                }
                fits
            }
            None => {
                self.budget.shrink(self.bytes - bytes);
                true
            }
        };
        self.bytes = bytes;
        fits
    }

    /// Holds `bytes` if the budget allows it.
    pub(crate) fn try_resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes && !self.budget.try_grow(bytes - self.bytes) {
            return false;
        }
        if bytes < self.bytes {
            self.budget.shrink(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.shrink(self.bytes);
    }
}
