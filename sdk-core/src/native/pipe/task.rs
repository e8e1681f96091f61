//! The connection's own task: it dials, writes what the machine hands over, keeps the times, and reads whenever the
//! application does not.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Shared;
use super::state::{Closing, Phase, State};
use crate::io::{ConnectFailure, ConnectRequest};
use crate::native::dial::{dial, unreachable};
use crate::native::handshake::{Upgraded, upgrade};
use crate::native::wire::Wire;
use crate::options::{Credential, SocketOptions};

/// How often the task looks whether the application still reads, while there is something to read.
const TICK: Duration = Duration::from_millis(100);
/// How long the peer may take to answer our close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long we look for the peer's last words after writing has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the end in good order may take after all has been told.
const HANG_UP: Duration = Duration::from_secs(1);

/// What the attempt needs, and what can be dropped after it.
pub(super) struct Attempt {
    request: ConnectRequest,
    tls: Arc<rustls::ClientConfig>,
    max_message_bytes: usize,
    /// The subprotocols that may be told. A server that selects the token itself would otherwise have it printed.
    tellable: Vec<String>,
}

impl Attempt {
    pub(super) fn new(
        request: ConnectRequest,
        options: &SocketOptions,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        let mut tellable = options.subprotocols.clone();
        if let Credential::Subprotocol { name } = &options.credential {
            tellable.push(name.clone());
        }
        Self {
            request,
            tls,
            max_message_bytes: options.limits.max_message_bytes,
            tellable,
        }
    }

    async fn connect(&self) -> Result<Upgraded, ConnectFailure> {
        let connect = async {
            let transport = dial(self.request.url.expose(), &self.tls).await?;
            upgrade(transport, &self.request).await
        };
        let limit = Duration::from_millis(self.request.timeout_ms);
        let timed = tokio::time::timeout(limit, connect).await;
        timed.unwrap_or_else(|_| {
            Err(unreachable(format!(
                "no connection within {} ms",
                self.request.timeout_ms
            )))
        })
    }
}

/// Runs one connection from the first packet to the last.
pub(super) async fn run(shared: Arc<Shared>, attempt: Attempt) {
    // In a box of its own: what it takes to connect is not needed, and not kept, while connected.
    if Box::pin(connect(&shared, attempt)).await {
        let mut service = Service::default();
        poll_fn(|cx| service.poll(cx, &shared)).await;
    }
    hang_up(&shared).await;
}

/// Whether the connection is open.
async fn connect(shared: &Shared, attempt: Attempt) -> bool {
    let mut connecting = std::pin::pin!(attempt.connect());
    let connected = poll_fn(|cx| {
        shared.signals.task.register(cx.waker());
        // Nothing is open yet, so there is nothing to close in good order either.
        if shared.with(|state| state.aborted || state.closing != Closing::No) {
            return Poll::Ready(None);
        }
        connecting.as_mut().poll(cx).map(Some)
    });
    match connected.await {
        None => shared.with(|state| {
            state.lost("given up while connecting");
            false
        }),
        Some(Err(failure)) => shared.with(|state| {
            state.failed(failure);
            false
        }),
        Some(Ok(Upgraded {
            transport,
            leftover,
            subprotocol,
        })) => {
            let mut wire = Wire::new(transport, leftover, attempt.max_message_bytes);
            if let Some(first) = &attempt.request.first_message {
                wire.hold_secret(first.expose());
            }
            let told = subprotocol.filter(|name| attempt.tellable.contains(name));
            shared.with(|state| state.opened(wire, told));
            true
        }
    }
}

async fn hang_up(shared: &Shared) {
    let left = shared.with(|state| match &mut state.phase {
        Phase::Over(left) => left.take(),
        Phase::Connecting | Phase::Open(_) => None,
    });
    if let Some(mut wire) = left {
        let _ = tokio::time::timeout(HANG_UP, poll_fn(|cx| wire.poll_hang_up(cx))).await;
    }
}

/// The task's part while the connection is open.
#[derive(Default)]
struct Service {
    tick: Option<Tick>,
    deadline: Option<Deadline>,
}

/// The watch over the application (see `Signals::watch`). There is none while nothing happens.
struct Tick {
    timer: Pin<Box<Sleep>>,
    /// The application's reads, and the bytes received, at the beginning of the tick.
    reads: u64,
    received: u64,
}

struct Deadline {
    timer: Pin<Box<Sleep>>,
    why: &'static str,
    /// The bytes received when it was set.
    received: u64,
}

impl Service {
    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        shared.signals.task.register(cx.waker());
        shared.with(|state| {
            if state.aborted {
                state.lost("aborted");
            }
            // Said before the flush that may find the transport full, for its waker to know.
            shared.signals.task_writes.store(state.task_writes(), SeqCst);
            state.write_queue();
            shared.signals.task_writes.store(state.task_writes(), SeqCst);
            if shared.signals.task_reads.load(SeqCst) {
                read_ahead(state);
            }
            self.poll_tick(cx, state);
            self.poll_deadline(cx, state);
            if state.is_over() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>, state: &mut State) {
        loop {
            let Phase::Open(wire) = &state.phase else { return };
            let (reads, received) = (state.reads, wire.received());
            if !state.signals.is_watched() {
                self.tick = None;
                return;
            }
            let tick = self.tick.get_or_insert_with(|| Tick {
                timer: Box::pin(sleep(TICK)),
                reads,
                received,
            });
            if tick.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let came = reads != tick.reads;
            let happened = came || received != tick.received;
            let alone = !state.signals.task_reads.load(SeqCst) && state.signals.unserved.load(SeqCst);
            if alone && !came {
                state.signals.task_reads.store(true, SeqCst);
                read_ahead(state);
                self.tick = None;
                state.signals.watch();
            } else if happened || alone {
                tick.timer.as_mut().reset(Instant::now() + TICK);
                (tick.reads, tick.received) = (reads, received);
            } else if state.signals.end_watch() {
                self.tick = None;
                state.rest();
                return;
            } else {
                self.tick = None;
            }
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, state: &mut State) {
        let Phase::Open(wire) = &state.phase else { return };
        let needed = match (&state.closing, wire.broken()) {
            (_, Some(_)) => Some((LAST_WORDS, "writing failed")),
            (Closing::Asked { .. } | Closing::Sent, None) => {
                Some((CLOSE_TIMEOUT, "the close was not answered in time"))
            }
            (Closing::No, None) => None,
        };
        let Some((limit, why)) = needed else { return };
        let (received, is_broken) = (wire.received(), wire.broken().is_some());
        // The reason of the first deadline stays: the second would only make the wait longer.
        let deadline = self.deadline.get_or_insert_with(|| Deadline {
            timer: Box::pin(sleep(limit)),
            why,
            received,
        });
        while deadline.timer.as_mut().poll(cx).is_ready() {
            // What the peer still says is worth waiting for, and so is an application that is slow to read it (W5).
            if is_broken || (received == deadline.received && !state.inbox_is_full()) {
                let detail = wire.broken().unwrap_or(deadline.why).to_owned();
                return state.lost(&detail);
            }
            deadline.received = received;
            deadline.timer.as_mut().reset(Instant::now() + limit);
        }
    }
}

fn read_ahead(state: &mut State) {
    let received = |state: &State| {
        if let Phase::Open(wire) = &state.phase {
            wire.received()
        } else {
            0
        }
    };
    let before = received(state);
    state.read_ahead();
    if received(state) != before {
        // The watch brings the rest when it is quiet again; and the application may wait for what was read.
        state.signals.watch();
        state.after.wake_receiver = true;
    }
}
