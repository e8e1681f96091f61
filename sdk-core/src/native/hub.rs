//! A current value with a stream of its changes, and a stream of events: for any number of subscribers, each with a
//! bounded queue of its own.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

/// A subscriber that falls this far behind misses the oldest entries, where nothing else is said.
const LONGEST_QUEUE: usize = 256;

/// What is kept for the first subscriber.
const LONGEST_BACKLOG: usize = 16;

/// Sends every value to every subscriber.
#[derive(Debug)]
pub(crate) struct Hub<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    queues: Vec<Weak<Mutex<Queue<T>>>>,
    /// How long a queue may become.
    longest: usize,
    /// What was sent before anybody subscribed: a client begins to act before its maker can listen.
    backlog: Option<VecDeque<T>>,
    /// The backlog is of use only with its beginning: one that grows too long goes as a whole, and no other follows.
    from_the_beginning: bool,
    closed: bool,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    missed: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl<T: Clone> Hub<T> {
    /// For states, whose last one is kept elsewhere.
    pub(crate) fn forgetful() -> Self {
        Self::new(LONGEST_QUEUE, None, false)
    }

    /// For events: the first subscriber also gets the last 16 that came before.
    pub(crate) fn remembering() -> Self {
        Self::new(LONGEST_QUEUE, Some(VecDeque::new()), false)
    }

    /// For the whole story, with queues of this length: the first subscriber also gets what came before, if that is no
    /// more than 16. Afterwards nothing is kept that nobody wants.
    pub(crate) fn beginning(longest: usize) -> Self {
        Self::new(longest, Some(VecDeque::new()), true)
    }

    fn new(longest: usize, backlog: Option<VecDeque<T>>, from_the_beginning: bool) -> Self {
        Self {
            inner: Mutex::new(Inner {
                queues: Vec::new(),
                longest,
                backlog,
                from_the_beginning,
                closed: false,
            }),
        }
    }

    /// Whether anybody gets what is sent now, or may get it yet.
    pub(crate) fn is_wanted(&self) -> bool {
        let inner = lock(&self.inner);
        inner.backlog.is_some() || inner.queues.iter().any(|queue| queue.strong_count() > 0)
    }

    /// Sends a value to everybody who subscribed before.
    pub(crate) fn send(&self, value: &T) {
        let mut wakers = Vec::new();
        let mut inner = lock(&self.inner);
        inner.remember(value);
        let longest = inner.longest;
        inner.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else {
                return false;
            };
            let mut queue = lock(&queue);
            if queue.waiting.len() >= longest {
                queue.waiting.pop_front();
                queue.missed += 1;
            }
            queue.waiting.push_back(value.clone());
            wakers.extend(queue.waker.take());
            true
        });
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Subscribes; `first` values come before everything sent from now on.
    pub(crate) fn subscribe(&self, first: impl IntoIterator<Item = T>) -> Changes<T> {
        let mut inner = lock(&self.inner);
        let mut waiting = inner.backlog.take().unwrap_or_default();
        waiting.extend(first);
        inner.add(waiting)
    }

    /// Subscribes, beginning with the value as it is at that moment. A change that is just being sent may come twice,
    /// and none is missed: whoever changes the value does so before sending it.
    pub(crate) fn subscribe_from(&self, now: impl FnOnce() -> T) -> Changes<T> {
        let mut inner = lock(&self.inner);
        let now = now();
        inner.add(VecDeque::from([now]))
    }

    /// Ends every subscription, those to come too, once it has delivered what it holds.
    pub(crate) fn close(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        let queues = std::mem::take(&mut inner.queues);
        drop(inner);
        for queue in queues.into_iter().filter_map(|queue| queue.upgrade()) {
            let mut queue = lock(&queue);
            queue.closed = true;
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }
}

impl<T: Clone> Inner<T> {
    fn remember(&mut self, value: &T) {
        let Some(backlog) = &mut self.backlog else { return };
        if backlog.len() >= LONGEST_BACKLOG {
            if self.from_the_beginning {
                self.backlog = None;
                return;
            }
            backlog.pop_front();
        }
        backlog.push_back(value.clone());
    }

    fn add(&mut self, waiting: VecDeque<T>) -> Changes<T> {
        let queue = Arc::new(Mutex::new(Queue {
            waiting,
            missed: 0,
            waker: None,
            closed: self.closed,
        }));
        self.queues.push(Arc::downgrade(&queue));
        Changes { queue }
    }
}

/// A stream of states or events.
///
/// Each subscriber has a queue of its own, of at most 256 entries (1024 for
/// [`Session::activity`](crate::Session::activity)); one that falls further behind misses the oldest
/// ([`missed`](Self::missed) counts them) and goes on with what is recent. Ends when the client is gone. Dropping it
/// unsubscribes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
/// # session.login([("username", "ada"), ("password", "secret")]).await?;
/// # let mut socket = session.socket(server.ws_url()).connect()?;
/// let mut states = socket.states(); // also a `Stream`
/// while let Some(state) = states.next().await {
///     println!("{}", state.name());
///     if state.is_open() {
///         break;
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Changes<T> {
    queue: Arc<Mutex<Queue<T>>>,
}

impl<T> Changes<T> {
    /// The next entry; `None` when the client is gone. Cancel-safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// let mut states = session.states();
    /// assert_eq!(states.next().await.unwrap().name(), "signedOut");
    /// session.close().await;
    /// assert_eq!(states.next().await, None);
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// How many entries were dropped because this subscriber was too slow.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// let mut events = session.events();
    /// # session.close().await;
    /// while let Some(event) = events.next().await {
    ///     println!("{event:?}");
    /// }
    /// assert_eq!(events.missed(), 0); // else this log has a gap
    /// # Ok(()) }
    /// ```
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
        let hub = Hub::forgetful();
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
        assert_eq!(hub.subscribe([7]).next().await, Some(7));
        assert_eq!(hub.subscribe([]).next().await, None);
    }

    #[tokio::test]
    async fn the_first_subscriber_hears_what_came_before() {
        let hub = Hub::remembering();
        (0..=LONGEST_BACKLOG).for_each(|n| hub.send(&n));
        let mut first = hub.subscribe([]);
        let mut second = hub.subscribe([]);
        hub.send(&99);
        for n in 1..=LONGEST_BACKLOG {
            assert_eq!(first.next().await, Some(n));
        }
        assert_eq!((first.next().await, second.next().await), (Some(99), Some(99)));
    }

    #[tokio::test]
    async fn a_story_is_told_from_its_beginning_or_from_now_on() {
        let hub = Hub::beginning(2);
        (0..LONGEST_BACKLOG).for_each(|n| hub.send(&n));
        assert!(hub.is_wanted());
        let mut first = hub.subscribe([]);
        assert_eq!(
            (first.next().await, first.missed()),
            (Some(0), 0),
            "however short the queue"
        );
        drop(first);
        assert!(!hub.is_wanted(), "nobody is there, and the first one was");

        let hub = Hub::beginning(2);
        (0..=LONGEST_BACKLOG).for_each(|n| hub.send(&n));
        assert!(!hub.is_wanted(), "nobody came in time");
        let mut late = hub.subscribe([]);
        hub.send(&99);
        assert_eq!(late.next().await, Some(99));
    }

    #[test]
    fn dropped_subscribers_are_forgotten() {
        let hub = Hub::forgetful();
        drop(hub.subscribe([]));
        hub.send(&1);
        assert!(lock(&hub.inner).queues.is_empty());
    }
}
