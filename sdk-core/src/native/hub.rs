//! A current value with a stream of its changes, and a stream of events: for any number of subscribers, each with a
//! bounded queue of its own.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

/// A subscriber that falls this far behind misses the oldest entries.
const LONGEST_QUEUE: usize = 256;

/// Sends every value to every subscriber.
#[derive(Debug)]
pub(crate) struct Hub<T> {
    queues: Mutex<Vec<Weak<Mutex<Queue<T>>>>>,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    missed: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl<T> Default for Hub<T> {
    fn default() -> Self {
        Self { queues: Mutex::new(Vec::new()) }
    }
}

impl<T: Clone> Hub<T> {
    /// Sends a value to everybody who subscribed before.
    pub(crate) fn send(&self, value: &T) {
        let mut wakers = Vec::new();
        lock(&self.queues).retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut queue = lock(&queue);
            if queue.waiting.len() >= LONGEST_QUEUE {
                queue.waiting.pop_front();
                queue.missed += 1;
            }
            queue.waiting.push_back(value.clone());
            wakers.extend(queue.waker.take());
            true
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Subscribes; `first` values come before everything sent from now on.
    pub(crate) fn subscribe(&self, first: impl IntoIterator<Item = T>) -> Changes<T> {
        let queue =
            Queue { waiting: first.into_iter().collect(), missed: 0, waker: None, closed: false };
        let queue = Arc::new(Mutex::new(queue));
        lock(&self.queues).push(Arc::downgrade(&queue));
        Changes { queue }
    }

    /// Ends every subscription once it has delivered what it holds.
    pub(crate) fn close(&self) {
        for queue in lock(&self.queues).drain(..).filter_map(|queue| queue.upgrade()) {
            let mut queue = lock(&queue);
            queue.closed = true;
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }
}

/// A stream of states or events.
///
/// Each subscriber has a queue of its own, of at most 256 entries; one that falls further behind misses the oldest
/// ([`missed`](Self::missed) counts them) and goes on with what is recent. Ends when the client is gone. Dropping it
/// unsubscribes.
#[derive(Debug)]
pub struct Changes<T> {
    queue: Arc<Mutex<Queue<T>>>,
}

impl<T> Changes<T> {
    /// The next entry; `None` when the client is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// How many entries were dropped because this subscriber was too slow.
    pub fn missed(&self) -> u64 {
        lock(&self.queue).missed
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut queue = lock(&self.queue);
        if let Some(value) = queue.waiting.pop_front() {
            return Poll::Ready(Some(value));
        }
        if queue.closed {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Stream for Changes<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll(cx)
    }
}

/// A poisoned lock guards plain data that is whole after every statement: go on with it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_subscriber_misses_the_oldest_and_knows_it() {
        let hub = Hub::default();
        let mut slow = hub.subscribe([]);
        for n in 0..LONGEST_QUEUE + 10 {
            hub.send(&n);
        }
        assert_eq!((slow.next().await, slow.missed()), (Some(10), 10));
        hub.close();
        let mut rest = 0;
        while slow.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, LONGEST_QUEUE - 1);
    }

    #[test]
    fn dropped_subscribers_are_forgotten() {
        let hub = Hub::default();
        drop(hub.subscribe([]));
        hub.send(&1);
        assert!(lock(&hub.queues).is_empty());
    }
}
