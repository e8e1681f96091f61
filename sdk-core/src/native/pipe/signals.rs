//! Who is woken when the transport can be read or written.
//!
//! Tokio keeps one waker per direction, and the last poll's wins. Here every poll of the transport, whoever makes it,
//! brings the same two wakers, which end in this place; so readiness is never told to somebody who is no longer there,
//! and who is responsible can change without a poll in between.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

use crate::io::SendId;

/// The wakers of all who deal with one connection.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The connection's task.
    pub(super) task: AtomicWaker,
    /// The application, in `poll_recv`.
    pub(super) receiver: AtomicWaker,
    /// The application's blocked senders, in the order of their messages.
    senders: Mutex<BTreeMap<SendId, Waker>>,
    /// The task reads; otherwise the application does.
    pub(super) task_reads: AtomicBool,
    /// The task has messages to write.
    pub(super) task_writes: AtomicBool,
    /// There may be something to read, and the application, which should, has not come since.
    pub(super) unserved: AtomicBool,
    /// The task looks in every now and then.
    watched: AtomicBool,
}

impl Signals {
    /// Has `waker` woken when the transport can be written, or the task's messages are.
    pub(super) fn add_sender(&self, send: SendId, waker: &Waker) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders
            .entry(send)
            .and_modify(|known| known.clone_from(waker))
            .or_insert_with(|| waker.clone());
    }

    /// Wakes the blocked senders; whether there were any.
    pub(super) fn wake_senders(&self) -> bool {
        let senders = take(&mut *self.senders.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !senders.is_empty();
        senders.into_values().for_each(Waker::wake);
        any
    }

    /// Makes sure that the task looks in within a tick or two, for the case that whoever was woken is not there.
    pub(super) fn watch(&self) {
        if !self.watched.swap(true, SeqCst) {
            self.task.wake();
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(SeqCst)
    }

    /// Ends the watch, unless something has come in the meantime that needs it.
    pub(super) fn end_watch(&self) -> bool {
        self.watched.store(false, SeqCst);
        // Whoever sets `unserved` then looks at `watched`: between the two of us one sees the other.
        let needed = self.unserved.load(SeqCst) && !self.task_reads.load(SeqCst);
        if needed {
            self.watched.store(true, SeqCst);
        }
        !needed
    }

    #[cfg(test)]
    pub(super) fn has_sender(&self, send: SendId) -> bool {
        self.senders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&send)
    }

    #[cfg(test)]
    pub(super) fn senders(&self) -> usize {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn readable(&self) {
        if self.task_reads.load(SeqCst) {
            self.task.wake();
            return;
        }
        self.unserved.store(true, SeqCst);
        self.receiver.wake();
        self.watch();
    }

    fn writable(&self) {
        // A sender that was woken and went away must not leave the rest of its message lying: hence the watch.
        if self.task_writes.load(SeqCst) || !self.wake_senders() {
            self.task.wake();
        } else {
            self.watch();
        }
    }
}

/// The wakers for the transport.
#[derive(Debug)]
pub(super) struct Wakers {
    pub(super) read: Waker,
    pub(super) write: Waker,
}

impl Wakers {
    pub(super) fn new(signals: &Arc<Signals>) -> Self {
        Self {
            read: Arc::new(OnReadable(Arc::clone(signals))).into(),
            write: Arc::new(OnWritable(Arc::clone(signals))).into(),
        }
    }
}

struct OnReadable(Arc<Signals>);
struct OnWritable(Arc<Signals>);

impl Wake for OnReadable {
    fn wake(self: Arc<Self>) {
        self.0.readable();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.readable();
    }
}

impl Wake for OnWritable {
    fn wake(self: Arc<Self>) {
        self.0.writable();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.writable();
    }
}
