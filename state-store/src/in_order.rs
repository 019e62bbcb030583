//! Work on several items at once whose results are taken in the order of the items.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{available_parallelism, scope};

use crate::error::Result;

/// Results of one item that wait to be taken, at most.
const RESULTS_WAITING: usize = 16;

/// Does `work` for each item, on as many threads as there are cores, and meanwhile hands its results to `take` on this one:
/// all of the first item, then all of the second, and so on. When `take` fails, the work ends at its next result.
///
/// Items are begun in their order, so the one that is waited for is always being worked on.
pub(crate) fn in_order<'a, I: Sync, R: Send>(
    items: &'a [I],
    work: impl Fn(&'a I, &mut dyn FnMut(R) -> bool) + Sync,
    mut take: impl FnMut(&'a I, R) -> Result<()>,
) -> Result<()> {
    let (senders, receivers): (Vec<SyncSender<R>>, Vec<Receiver<R>>) =
        items.iter().map(|_| sync_channel(RESULTS_WAITING)).unzip();
    let senders: Vec<_> = senders.into_iter().map(|sender| std::sync::Mutex::new(Some(sender))).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(sender)) = (items.get(at), senders.get(at)) else { return };
            let sender = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            let Some(sender) = sender else { return };
            work(item, &mut |result| sender.send(result).is_ok());
        }
    };
    let threads = available_parallelism().map_or(1, NonZero::get).min(items.len());
    scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
        // Dropped when `take` fails: then nobody waits for room.
        for (item, results) in items.iter().zip(receivers) {
            results.into_iter().try_for_each(|result| take(item, result))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::in_order;
    use crate::error::{Error, Result};

    #[test]
    fn results_come_in_order_whoever_is_first() -> Result<()> {
        let items: Vec<usize> = (0..40).collect();
        let mut taken = Vec::new();
        let work = |item: &usize, give: &mut dyn FnMut((usize, usize)) -> bool| {
            // More than may wait, and more of the early ones.
            assert!((0..(41 - item) * 10).all(|nth| give((*item, nth))));
        };
        in_order(&items, work, |item, result| {
            assert_eq!(*item, result.0);
            taken.push(result);
            Ok(())
        })?;
        let expected: Vec<_> =
            items.iter().flat_map(|item| (0..(41 - item) * 10).map(move |nth| (*item, nth))).collect();
        assert_eq!(taken, expected);
        Ok(())
    }

    #[test]
    fn a_failure_ends_it() {
        let items: Vec<usize> = (0..40).collect();
        let work = |item: &usize, give: &mut dyn FnMut(usize) -> bool| while give(*item) {};
        let failed = in_order(&items, work, |_, _| Err(Error::internal("no more".to_string())));
        assert!(failed.is_err());
    }
}
