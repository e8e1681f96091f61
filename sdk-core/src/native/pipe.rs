//! One connection attempt and, if it succeeds, the connection: shared by the application's handle, which reads and
//! writes it directly, and by a task of its own, which does whatever the application does not.
//!
//! No message passes through the task on its way to or from an application that waits for it: that hop would cost more
//! than all the rest. But pings must be answered, closes seen and messages of the machine written while the
//! application is busy with other things; so the task takes over the reading when the application stays away, up to the
//! bounds of the inbox, and gives it back when the application returns.

mod reading;
mod signals;
mod state;
mod task;
mod writing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use self::reading::Filled;
use self::signals::Signals;
use self::state::{Closing, Queued, State};
use crate::io::{ConnId, ConnectRequest, Input, SendId};
use crate::message::Message;
use crate::options::SocketOptions;
use crate::secret::Secret;
use crate::time::Mono;

/// The driver's monotonic clock.
pub(crate) type Clock = Arc<dyn Fn() -> Mono + Send + Sync>;

/// Hears of messages that were handed to the operating system whole.
pub(crate) trait SendObserver: Send + Sync {
    /// A transmitted or fed message was (one given to `poll_send` never comes here: its sender knows). Called on
    /// whatever thread did it (the application's or the task's), with no lock held: so calls of two threads come in
    /// any order, and the last ones possibly just after `Ended` was told.
    fn sent(&self, send: SendId);
}

/// The connection is over, or about to be: it takes no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recv {
    /// Messages.
    Got,
    /// The connection is over, and everything was taken.
    Over,
}

/// One connection (attempt). Dropping it aborts the connection.
pub(crate) struct Pipe {
    shared: Arc<Shared>,
}

/// What handle and task share.
struct Shared {
    state: Mutex<State>,
    signals: Arc<Signals>,
    observer: Arc<dyn SendObserver>,
}

impl Pipe {
    /// A connection, and the task of its own that dials it. `tell` gets `Opened` or `ConnectFailed`; after `Opened`, `Noticed` at any time and `Ended`
    /// once. An attempt that is aborted or closed before it is open is told as `Ended`.
    pub(crate) fn new(
        conn: ConnId,
        request: ConnectRequest,
        options: &SocketOptions,
        tls: Arc<rustls::ClientConfig>,
        clock: Clock,
        tell: mpsc::UnboundedSender<Input>,
        observer: Arc<dyn SendObserver>,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let signals = Arc::new(Signals::default());
        // Until the application comes for the first time.
        signals
            .task_reads
            .store(true, std::sync::atomic::Ordering::SeqCst);
        let state = State::new(conn, options, tell, clock, Arc::clone(&signals));
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            signals,
            observer,
        });
        let attempt = task::Attempt::new(request, options, tls);
        let task = task::run(Arc::clone(&shared), attempt);
        (Arc::new(Self { shared }), task)
    }

    // --- for the driver; none of these waits, and none calls the observer ---

    /// Writes these messages behind all earlier ones. Those of a call that comes after the end, when the driver had not
    /// heard of it yet, wait for `take_late`.
    pub(crate) fn transmit(&self, messages: Vec<(SendId, Message)>) {
        self.shared.command(|state| {
            state.queue.extend(
                messages
                    .into_iter()
                    .map(|(send, message)| Queued::Message(send, message)),
            );
        });
    }

    /// Writes a text with a token behind all earlier messages. It is not logged, and not returned if it cannot be sent.
    pub(crate) fn transmit_secret(&self, text: Secret) {
        self.shared
            .command(|state| state.queue.push_back(Queued::Secret(text)));
    }

    /// Pings the peer.
    pub(crate) fn ping(&self) {
        self.shared.command(|state| state.pings = 1);
    }

    /// Flushes, then begins the closing handshake; `Ended` follows within five seconds, or for as long as the peer goes
    /// on sending, or the application has to read what it sent. Takes no more messages.
    pub(crate) fn close(&self, code: u16, reason: String) {
        self.shared.command(|state| {
            if state.closing == Closing::No {
                state.closing = Closing::Asked { code, reason };
                state.after.wake_senders = true;
            }
        });
    }

    /// Drops the connection at once; `Ended` follows.
    pub(crate) fn abort(&self) {
        self.shared.command(|state| state.aborted = true);
    }

    /// To be called when `Ended` has come, for messages that were handed over too late to stand in it.
    pub(crate) fn take_late(&self) -> Vec<(SendId, Message)> {
        self.shared.with(State::take_late)
    }

    /// When something was last received.
    pub(crate) fn last_received(&self) -> Mono {
        self.shared.with(|state| State::last_received(state))
    }

    /// Whether the connection is over and the application has taken everything.
    pub(crate) fn is_finished(&self) -> bool {
        self.shared
            .with(|state| state.is_over() && state.inbox.is_empty())
    }

    /// How many messages wait for the application.
    pub(crate) fn unread(&self) -> usize {
        self.shared.with(|state| state.inbox.len())
    }

    // --- for the application's handle; these may call the observer ---

    /// Appends to `into` what is there, if anything is: up to 64 messages or some 256 KiB. Of several that wait at
    /// once, the last is woken.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>, into: &mut VecDeque<Message>) -> Poll<Recv> {
        let before = into.len();
        self.shared.signals.receiver.register(cx.waker());
        let filled = self.shared.with(|state| state.read_for_application(into));
        match filled {
            _ if into.len() > before => Poll::Ready(Recv::Got),
            Filled::Over => Poll::Ready(Recv::Over),
            Filled::Dry => Poll::Pending,
            Filled::Enough => {
                // Only frames that deliver nothing, but many: others get their turn, then there is more.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Writes a message, behind all that were given before. `Ok`: the operating system has all of it. `Err`: it does
    /// not, the connection is over, and the message is in `message` again. In between, `message` is empty from the
    /// moment a part of it was written; the caller polls again with the same number and `message`.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: SendId,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Over>> {
        self.shared
            .with(|state| state.poll_send(cx.waker(), send, message))
    }

    /// To be called when a `poll_send` that has taken the message is not polled to its end. The message goes on being
    /// written, and is then told to the observer, or comes back with `Ended` (or here, if that has been).
    pub(crate) fn disown(&self, send: SendId) -> Option<Message> {
        self.shared.with(|state| state.disown(send))
    }

    /// Takes a message, to be written with the next flush (or when many wait). One that is not sent in the end comes
    /// back with `Ended`. `Err`: it was not taken.
    pub(crate) fn poll_feed(
        &self,
        cx: &mut Context<'_>,
        send: SendId,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Over>> {
        self.shared
            .with(|state| state.poll_feed(cx.waker(), send, message))
    }

    /// Ready when the operating system has everything that was given to this connection.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        self.shared.with(|state| state.poll_flush(cx.waker()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.abort();
    }
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Shared {
    /// Runs `work` under the lock, and after it, with the lock open, what it left to do.
    #[inline]
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut state);
        let after = state.after.take();
        drop(state);
        if let Some(after) = after {
            self.follow_up(after);
        }
        result
    }

    /// Gives the task something to do.
    fn command<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = self.with(change);
        self.signals.task.wake();
        result
    }

    #[cold]
    fn follow_up(&self, after: state::After) {
        after.sent.into_iter().for_each(|send| self.observer.sent(send));
        if after.wake_everybody {
            self.signals.task.wake();
        }
        if after.wake_receiver || after.wake_everybody {
            self.signals.receiver.wake();
        }
        if after.wake_senders || after.wake_everybody {
            self.signals.wake_senders();
        }
    }
}

#[cfg(test)]
mod tests;
