//! What the application's session handles and the driver share.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

use super::activity::Activity;
use super::clock;
use super::hub::{Hub, lock};
use super::socket::SocketShared;
use crate::error::{Error, ErrorKind};
use crate::io::{CallId, Input, Reply, SessionView};
use crate::secret::AccessToken;
use crate::state::{SessionEvent, SessionState};

/// Copies of the current token, so that threads which take it at the same time do not share a reference count.
const COPIES: usize = 8;

/// A driver that is later than this did not just wait for its turn.
const LATE_MS: u64 = 1_000;

/// How far a reader of the activity may fall behind. Longer than the other queues: it holds what happens to all sockets,
/// and a network that ends ends all their connections at once.
const LONGEST_ACTIVITY: usize = 1_024;

/// What the driver gets from the handles, apart from inputs without an answer.
pub(crate) enum Command {
    /// An input that is answered by a `Reply`.
    Call(CallId, Input, oneshot::Sender<Result<Reply, Error>>),
    /// The last handle is gone, or the application wants the end.
    Shutdown(Option<oneshot::Sender<()>>),
}

pub(crate) struct Shared {
    // Not bounded: every command is sent by a caller who waits for its outcome, so their number is the number of
    // callers, who hold more memory than the command does.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// One queue for what is said of sockets and of their connections, so that it is heard in the order it was said.
    pub(crate) inputs: mpsc::UnboundedSender<Input>,
    /// Sockets whose `OpenSocket` is on its way.
    newcomers: Mutex<Vec<Arc<SocketShared>>>,
    fresh: ArcSwapOption<Fresh>,
    /// A `TokenNeeded` is on its way; the callers who come meanwhile need not send another (S3).
    asked: AtomicBool,
    pub(crate) seen: watch::Sender<Seen>,
    pub(crate) states: Hub<SessionState>,
    pub(crate) events: Hub<SessionEvent>,
    pub(crate) activity: Hub<Activity>,
    pub(crate) callbacks: Mutex<Callbacks>,
    identity: AtomicU64,
    /// When the driver wants to be awake again at the latest, on the wall clock, and a little more: later than this, the
    /// device slept through it.
    awake_by_unix_ms: AtomicU64,
    calls: AtomicU64,
    sockets: AtomicU64,
}

/// The session as published, and how many `TokenNeeded` were handled before.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) needed: u64,
    pub(crate) view: Arc<SessionView>,
    /// The client was shut down: nothing more will be published.
    pub(crate) disposed: bool,
}

/// A token that may be handed out without asking anybody.
///
/// Two clocks end it. The driver takes it away when the monotonic clock says so, whatever the wall clock does; and who
/// takes it looks at the wall clock, because that goes on while the device sleeps and the driver with it. (Looking at
/// both here would cost a fifth of the whole call.)
struct Fresh {
    copies: [AccessToken; COPIES],
    until_unix_ms: u64,
}

#[derive(Default)]
pub(crate) struct Callbacks {
    next: u64,
    list: Vec<(u64, TokenCallback)>,
}

type TokenCallback = Arc<dyn Fn(AccessToken) + Send + Sync>;

impl Shared {
    pub(crate) fn new(
        commands: mpsc::UnboundedSender<Command>,
        inputs: mpsc::UnboundedSender<Input>,
        view: SessionView,
    ) -> Self {
        let shared = Self {
            commands,
            inputs,
            newcomers: Mutex::default(),
            fresh: ArcSwapOption::empty(),
            asked: AtomicBool::new(false),
            seen: watch::Sender::new(Seen {
                needed: 0,
                view: Arc::new(view.clone()),
                disposed: false,
            }),
            states: Hub::forgetful(),
            events: Hub::remembering(),
            activity: Hub::beginning(LONGEST_ACTIVITY),
            callbacks: Mutex::default(),
            identity: AtomicU64::new(0),
            awake_by_unix_ms: AtomicU64::new(u64::MAX),
            calls: AtomicU64::new(0),
            // Counted from 1, as everything that people see the numbers of.
            sockets: AtomicU64::new(1),
        };
        shared.set_fresh(&view);
        shared
    }

    /// The token, if it is valid for the margin: no lock, no allocation, no I/O (S2).
    #[inline]
    pub(crate) fn fresh_token(&self) -> Option<AccessToken> {
        let fresh = self.fresh.load();
        let fresh = fresh.as_ref()?;
        (clock::coarse_unix_ms() < fresh.until_unix_ms)
            .then(|| fresh.copies[thread_number() % COPIES].clone())
    }

    /// See [`Session::ensure_valid_token`](super::Session::ensure_valid_token).
    #[inline]
    pub(crate) async fn ensure_valid_token(&self) -> Result<AccessToken, Error> {
        match self.fresh_token() {
            Some(token) => Ok(token),
            None => self.needed_token().await,
        }
    }

    /// A valid token with its number, for those who may have to say which one a server refused.
    pub(crate) async fn numbered_token(&self) -> Result<(AccessToken, u64), Error> {
        self.ensure_valid_token().await?;
        let view = self.view();
        match &view.token {
            Some(token) => Ok((token.token.clone(), token.number)),
            None => Err(view.no_token()),
        }
    }

    /// The token that follows on the one with this number, which a server refused (S12): at once if there is another
    /// already, else after the refresh that this starts.
    pub(crate) async fn token_after(&self, refused: u64) -> Result<AccessToken, Error> {
        let mut seen = self.seen.subscribe();
        let before = seen.borrow_and_update().view.attempts_ended;
        self.tell(Input::TokenRejected { token: refused })?;
        loop {
            {
                let seen = seen.borrow_and_update();
                if seen.disposed {
                    return Err(disposed());
                }
                let view = &seen.view;
                match &view.token {
                    Some(token) if token.number != refused => return Ok(token.token.clone()),
                    _ if view.attempts_ended > before || !view.may_yet_refresh() => {
                        return Err(view.no_token());
                    }
                    _ => {}
                }
            }
            seen.changed().await.map_err(|_| disposed())?;
        }
    }

    /// The token once the machine has had its say: all who wait share one refresh (S3).
    pub(crate) async fn needed_token(&self) -> Result<AccessToken, Error> {
        let mut seen = self.seen.subscribe();
        let before = seen.borrow_and_update().needed;
        if !self.asked.swap(true, Ordering::AcqRel) {
            self.tell(Input::TokenNeeded)?;
        }
        loop {
            {
                let seen = seen.borrow_and_update();
                if seen.disposed {
                    return Err(disposed());
                }
                if let (true, Some(answer)) = (seen.needed > before, seen.view.answer()) {
                    return answer;
                }
            }
            seen.changed().await.map_err(|_| disposed())?;
        }
    }

    /// The driver is about to handle a `TokenNeeded`.
    pub(crate) fn token_needed_taken(&self) {
        self.asked.store(false, Ordering::Release);
    }

    /// The driver has handled a `TokenNeeded`.
    pub(crate) fn token_needed_handled(&self) {
        self.seen.send_modify(|seen| seen.needed += 1);
    }

    /// Who is signed in, as published.
    pub(crate) fn identity(&self) -> Option<u64> {
        // Sign-ins are counted from 1.
        Some(self.identity.load(Ordering::Acquire)).filter(|number| *number > 0)
    }

    /// The driver will be awake after this long at the latest.
    pub(crate) fn awake_within(&self, wait: Option<Duration>) {
        let at = wait.map_or(u64::MAX, |wait| {
            clock::coarse_unix_ms()
                .saturating_add(wait.as_millis() as u64)
                .saturating_add(LATE_MS)
        });
        self.awake_by_unix_ms.store(at, Ordering::Relaxed);
    }

    /// Wakes the driver if it is past its time: timers stop while the device sleeps, and somebody who sends finds the
    /// connection dead before they do (W9).
    #[inline]
    pub(crate) fn wake_if_late(&self) {
        if clock::coarse_unix_ms() > self.awake_by_unix_ms.load(Ordering::Relaxed) {
            self.awake_by_unix_ms.store(u64::MAX, Ordering::Relaxed);
            let _ = self.tell(Input::Tick);
        }
    }

    /// Publishes the session, and gives its state if that changed.
    pub(crate) fn publish(&self, view: SessionView) -> Option<SessionState> {
        self.identity.store(view.identity.unwrap_or(0), Ordering::Release);
        self.set_fresh(&view);
        let before = self.seen.borrow().view.clone();
        let state = view.state.clone();
        self.seen.send_modify(|seen| seen.view = Arc::new(view));
        let changed = before.state != state;
        if changed {
            self.states.send(&state);
        }
        changed.then_some(state)
    }

    fn set_fresh(&self, view: &SessionView) {
        let fresh = view.token.as_ref().map(|view| {
            let until_unix_ms = view
                .expires_at
                .map_or(u64::MAX, |at| at.saturating_sub(view.margin_ms));
            let copies = std::array::from_fn(|_| view.token.unshared());
            Arc::new(Fresh {
                copies,
                until_unix_ms,
            })
        });
        self.fresh.store(fresh);
    }

    /// The token is no longer valid for the margin, by the monotonic clock.
    pub(crate) fn no_longer_fresh(&self) {
        self.fresh.store(None);
    }

    pub(crate) fn view(&self) -> Arc<SessionView> {
        self.seen.borrow().view.clone()
    }

    pub(crate) fn tell(&self, input: Input) -> Result<(), Error> {
        self.inputs.send(input).map_err(|_| disposed())
    }

    /// Tells the driver of a new socket.
    pub(crate) fn open(&self, socket: Arc<SocketShared>) -> Result<(), Error> {
        let opened = Input::OpenSocket {
            socket: socket.id,
            options: socket.options.clone(),
        };
        lock(&self.newcomers).push(socket);
        self.tell(opened).inspect_err(|_| drop(self.take_newcomers()))
    }

    /// The sockets that the driver has not seen yet.
    pub(crate) fn take_newcomers(&self) -> Vec<Arc<SocketShared>> {
        std::mem::take(&mut lock(&self.newcomers))
    }

    /// The client is gone: no token is handed out any more, and nobody waits for one.
    pub(crate) fn dispose(&self) {
        self.fresh.store(None);
        self.seen.send_modify(|seen| seen.disposed = true);
        self.states.close();
        self.events.close();
        self.activity.close();
    }

    /// Sends an input that gets an answer, and waits for the answer.
    pub(crate) async fn call(&self, input: impl FnOnce(CallId) -> Input) -> Result<Reply, Error> {
        let call = CallId(self.calls.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Call(call, input(call), answer))
            .map_err(|_| disposed())?;
        answered.await.unwrap_or_else(|_| Err(disposed()))
    }

    pub(crate) fn next_socket(&self) -> u64 {
        self.sockets.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls the token callbacks; one that panics or unsubscribes itself stops nobody (S4).
    pub(crate) fn run_callbacks(&self, token: &AccessToken) {
        let list = lock(&self.callbacks).list.clone();
        for (number, callback) in list {
            let subscribed = lock(&self.callbacks).list.iter().any(|(n, _)| *n == number);
            if subscribed {
                let call = std::panic::AssertUnwindSafe(|| callback(token.clone()));
                if std::panic::catch_unwind(call).is_err() {
                    tracing::error!("a token-refresh callback panicked; the others go on");
                }
            }
        }
    }

    pub(crate) fn add_callback(&self, callback: TokenCallback) -> u64 {
        let mut callbacks = lock(&self.callbacks);
        callbacks.next += 1;
        let number = callbacks.next;
        callbacks.list.push((number, callback));
        number
    }

    pub(crate) fn remove_callback(&self, number: u64) {
        // Dropped outside the lock: it is the application's, and its drop may call back.
        let removed = {
            let mut callbacks = lock(&self.callbacks);
            let at = callbacks.list.iter().position(|(n, _)| *n == number);
            at.map(|at| callbacks.list.remove(at))
        };
        drop(removed);
    }
}

pub(crate) fn disposed() -> Error {
    Error::new(ErrorKind::Disposed, "the client was shut down")
}

/// A small number of this thread's own.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed) & 0xFFFF);
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> (Shared, mpsc::UnboundedReceiver<Input>) {
        let (inputs, told) = mpsc::unbounded_channel();
        let view = SessionView {
            state: SessionState::Restoring,
            token: None,
            user: None,
            attempts_ended: 0,
            identity: None,
            cookies: None,
        };
        (Shared::new(mpsc::unbounded_channel().0, inputs, view), told)
    }

    #[test]
    fn w9_a_send_wakes_a_driver_that_slept_through_its_time_and_only_then() {
        let (shared, mut told) = shared();
        shared.wake_if_late();
        shared.awake_within(Some(Duration::from_secs(60)));
        shared.wake_if_late();
        assert!(told.try_recv().is_err(), "in time");

        // An hour of sleep: the wall clock is past the time at which the driver was to be awake.
        shared.awake_by_unix_ms.store(1, Ordering::Relaxed);
        shared.wake_if_late();
        assert!(matches!(told.try_recv(), Ok(Input::Tick)));
        shared.wake_if_late();
        assert!(told.try_recv().is_err(), "once is enough");
    }
}
