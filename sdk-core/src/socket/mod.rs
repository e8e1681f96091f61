//! A socket: the durable handle of the application, which outlives its connections (section 2 of the contract).
//!
//! Never reads what a token says. Here: the state, the application's wishes, what the session's changes mean, the
//! outbox. `attempt` opens connections, `ended` judges how they end, `alive` watches the open one, `handover` renews or
//! replaces it when there is a new token, `wake` looks whether it is still there.

mod alive;
mod attempt;
mod ended;
mod handover;
pub(crate) mod placement;
mod wake;

use std::sync::Arc;

use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::io::{ConnId, EffectId, Output, SendId, SocketId};
use crate::message::Message;
use crate::options::{Credential, SocketOptions};
use crate::outbox::{Failed, Outbox};
use crate::session::{Change, Session};
use crate::state::{ClosedBy, Ended, SocketEvent, SocketState};
use crate::time::{Mono, unix_of};
use crate::timer::Timer;
pub(crate) use wake::Wake;

/// An old connection that does not end by itself is dropped after this long.
const DRAIN_MS: u64 = 6_000;

/// One socket's part of the machine.
#[derive(Debug)]
pub(crate) struct Socket {
    id: SocketId,
    options: Arc<SocketOptions>,
    /// The application wants it connected.
    wanted: bool,
    /// The application has let go of it.
    dropped: bool,
    phase: Phase,
    /// The connection that the application uses.
    live: Option<Conn>,
    /// The connection that is being opened, alone or to replace the live one.
    candidate: Option<Conn>,
    /// Old connections whose end is awaited.
    draining: Vec<Draining>,
    /// The ticket request that is out for the next attempt.
    ticket: Option<Ticket>,
    /// The handover that is under way, or has left copies of messages on their way.
    overlap: Option<handover::Overlap>,
    /// The server has shown that it allows one connection per user: no more handovers (W5).
    one_per_user: bool,
    outbox: Outbox,
    /// Attempts since the last healthy connection.
    attempts: u32,
    /// One, where the count began with the end of a healthy connection: that was no failed attempt.
    spared: u32,
    /// Handovers that failed since the last one that worked.
    handover_failures: u32,
    /// The last connection ended with a code that is final when it comes twice.
    stop_on_repeat: bool,
    refusal: Option<Refusal>,
    /// A handover was refused in a way that no newer token mends: so ends the socket when the live connection does (W8).
    /// With the number of the token.
    refused_for_good: Option<(u64, Ended)>,
    online: bool,
    background: bool,
    /// When a wake signal last cut a delay short.
    hint_followed: Option<Mono>,
    published: Option<SocketState>,
}

/// What the socket is doing, apart from what its connections say by being there.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Idle,
    WaitingForSession,
    Authenticating,
    Connecting,
    Open,
    Backoff { cause: Ended, next_attempt_unix_ms: u64 },
    Offline,
    Refused { cause: Ended },
    Closed { by: ClosedBy, code: u16, reason: String },
}

/// A server refused a token, and no connection has disproved it since (W8). Tokens are told apart by number.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// The newest token that was refused: no attempt carries it again.
    token: u64,
    /// The newest token that was asked for before the first refusal: one that is newer was issued after it.
    mark: u64,
}

#[derive(Debug)]
struct Conn {
    id: ConnId,
    /// The number of the token it carries.
    token: u64,
    /// Until when that is valid; `NEVER`: not known.
    valid_until: Mono,
    /// The number of the newer one that it has been shown, and has not acknowledged (W4).
    renewing: Option<u64>,
    opened: Option<Opened>,
    probe: wake::Probe,
    /// We are ending it, for this reason, whatever its end looks like.
    doomed: Option<Ended>,
    /// It was dropped without a closing handshake.
    aborted: bool,
}

#[derive(Debug)]
struct Opened {
    at: Mono,
    subprotocol: Option<String>,
}

#[derive(Debug)]
struct Draining {
    conn: ConnId,
    /// What happens to messages that it did not send: they fail with this, or move to the connection that follows.
    fails: Option<Error>,
    /// It has handed out all that it was given.
    flushed: bool,
    /// The server has had the time to read that; it has not answered our close, which would prove that it did.
    released: bool,
    /// It did not end in time: the driver was asked whether it still brings something.
    asked: bool,
    /// It was dropped, because it did not end by itself.
    aborted: bool,
}

#[derive(Debug)]
struct Ticket {
    effect: EffectId,
    token: u64,
    valid_until: Mono,
    handover: bool,
}

impl Socket {
    pub(crate) fn new(id: SocketId, options: Arc<SocketOptions>, online: bool, foreground: bool) -> Self {
        Self {
            id,
            options,
            wanted: false,
            dropped: false,
            phase: Phase::Idle,
            live: None,
            candidate: None,
            draining: Vec::new(),
            ticket: None,
            overlap: None,
            one_per_user: false,
            outbox: Outbox::default(),
            attempts: 0,
            spared: 0,
            handover_failures: 0,
            stop_on_repeat: false,
            refusal: None,
            refused_for_good: None,
            online,
            background: !foreground,
            hint_followed: None,
            published: None,
        }
    }

    // ---- the application's wishes ----

    /// The application wants it connected: a new start, whatever came before.
    pub(crate) fn connect(&mut self, ctx: &mut Ctx, session: &mut Session) {
        self.wanted = true;
        if self.live.is_none() && self.candidate.is_none() && self.ticket.is_none() {
            (self.attempts, self.spared) = (0, 0);
            self.refusal = None;
            self.stop_on_repeat = false;
            self.begin(ctx, session);
        }
    }

    /// The application wants it closed. Wins over every timer and wake (W6).
    pub(crate) fn disconnect(&mut self, ctx: &mut Ctx, code: u16, reason: String) {
        self.wanted = false;
        let error = Error::new(ErrorKind::Closed, "the application closed the socket");
        self.drop_connections(ctx, code, &reason, &error);
        let had_connected = self.phase != Phase::Idle;
        if had_connected && !matches!(self.phase, Phase::Closed { .. }) {
            self.event(
                ctx,
                SocketEvent::Ended {
                    ended: Ended::Asked,
                    will_retry: false,
                },
            );
        }
        self.phase = Phase::Closed {
            by: ClosedBy::Application,
            code,
            reason,
        };
        self.fail_queue(ctx, &error);
    }

    /// The application has let go of the last handle.
    pub(crate) fn drop_handle(&mut self, ctx: &mut Ctx) {
        self.dropped = true;
        self.disconnect(ctx, 1000, String::new());
    }

    /// Whether nothing is left to wait for and the socket can be forgotten.
    pub(crate) fn is_gone(&self) -> bool {
        self.dropped && self.draining.is_empty() && self.live.is_none() && self.candidate.is_none()
    }

    /// A message that the application could not write to a connection itself.
    pub(crate) fn send(
        &mut self,
        ctx: &mut Ctx,
        session: &Session,
        send: SendId,
        identity: Option<u64>,
        message: Message,
    ) {
        let refusal = if message.len() > self.options.limits.max_message_bytes {
            Some(Error::new(
                ErrorKind::MessageTooLarge,
                "the message is larger than limits.maxMessageBytes",
            ))
        } else if self.needs_session() && session.identity().is_none() {
            // Whose would it be? (W10)
            Some(Error::new(
                ErrorKind::SignedOut,
                "nobody is signed in to send this",
            ))
        } else if self.needs_session() && identity.is_some() && identity != session.identity() {
            Some(Error::new(
                ErrorKind::IdentityChanged,
                "another user signed in while the message was on its way",
            ))
        } else {
            match &self.phase {
                Phase::Idle => Some(Error::new(
                    ErrorKind::NotConnected,
                    "the socket was not told to connect",
                )),
                Phase::Closed { .. } => Some(Error::new(ErrorKind::Closed, "the socket is closed")),
                Phase::Refused { .. } => {
                    Some(Error::new(ErrorKind::Refused, "the server refused this session"))
                }
                _ => None,
            }
        };
        if let Some(error) = refusal {
            return self.fail(ctx, vec![(send, error)]);
        }
        if let Some(conn) = self.sendable() {
            ctx.emit(Output::Transmit {
                conn,
                messages: vec![(send, message)],
            });
        } else {
            // In a handover there is a connection, whatever the options say of waiting for one.
            let failed = if self.live.is_some() && self.is_moving() {
                self.outbox
                    .push_moving(&self.options.outbox, send, message, ctx.now.mono)
            } else {
                self.outbox
                    .push(&self.options.outbox, send, message, ctx.now.mono)
            };
            self.fail(ctx, failed);
            self.watch_age(ctx);
        }
    }

    // ---- the session's changes ----

    pub(crate) fn session_changed(&mut self, ctx: &mut Ctx, session: &mut Session, change: Change) {
        if !self.needs_session() {
            return;
        }
        if change != Change::SignedOut {
            self.probe(ctx, session);
        }
        match change {
            Change::SignedOut => self.signed_out(ctx),
            Change::SignedIn => self.signed_in(ctx, session),
            Change::Refreshed => self.token_refreshed(ctx, session),
            Change::Settled => {
                if self.waits_for_token() {
                    self.begin(ctx, session);
                }
            }
        }
    }

    fn signed_out(&mut self, ctx: &mut Ctx) {
        let error = Error::new(
            ErrorKind::SignedOut,
            "the user signed out before the message was sent",
        );
        let was_connected = self.live.is_some();
        self.drop_connections(ctx, 1000, "signed out", &error);
        if was_connected {
            let cause = Error::new(ErrorKind::SignedOut, "the user signed out");
            self.event(
                ctx,
                SocketEvent::Ended {
                    ended: Ended::NoToken { cause },
                    will_retry: false,
                },
            );
        }
        self.fail_queue(ctx, &error);
        self.refusal = None;
        if self.wanted && !matches!(self.phase, Phase::Closed { .. }) {
            self.phase = Phase::WaitingForSession;
        }
    }

    fn signed_in(&mut self, ctx: &mut Ctx, session: &mut Session) {
        let error = Error::new(
            ErrorKind::IdentityChanged,
            "another user signed in before the message was sent",
        );
        let was_connected = self.live.is_some();
        self.drop_connections(ctx, 1000, "signed in again", &error);
        if was_connected {
            self.event(
                ctx,
                SocketEvent::Ended {
                    ended: Ended::Replaced,
                    will_retry: self.wanted,
                },
            );
        }
        self.fail_queue(ctx, &error);
        self.refusal = None;
        (self.attempts, self.spared) = (0, 0);
        if self.wanted && !matches!(self.phase, Phase::Closed { .. }) {
            self.begin(ctx, session);
        }
    }

    fn waits_for_token(&self) -> bool {
        let waits = matches!(
            self.phase,
            Phase::Authenticating
                | Phase::Backoff {
                    cause: Ended::NoToken { .. },
                    ..
                }
        );
        waits && self.live.is_none() && self.candidate.is_none() && self.ticket.is_none()
    }

    /// The device says that it has, or has no, network (W6: offline time uses up no attempts).
    pub(crate) fn network(&mut self, ctx: &mut Ctx, session: &mut Session, online: bool) {
        self.online = online;
        match (&self.phase, online) {
            (Phase::Backoff { .. }, false) => {
                ctx.timers.clear(Timer::Reconnect(self.id));
                self.phase = Phase::Offline;
            }
            (Phase::Offline | Phase::Backoff { .. }, true) => self.begin(ctx, session),
            (_, true) => self.woke(ctx, session, Wake::Returned),
            _ => {}
        }
    }

    pub(crate) fn on_timer(&mut self, ctx: &mut Ctx, session: &mut Session, timer: Timer) {
        match timer {
            Timer::Reconnect(_) => self.begin(ctx, session),
            Timer::OutboxAge(_) => self.watch_age(ctx),
            Timer::Attempt(conn) => self.attempt_timed_out(ctx, session, conn),
            Timer::Healthy(conn) => self.lived_long_enough(conn),
            Timer::Heartbeat(conn) => self.heartbeat_due(ctx, conn),
            Timer::Drain(conn) => self.drain_timed_out(ctx, session, conn),
            Timer::Overlap(_) => self.overlap_due(ctx),
            Timer::Renewal(conn) => self.renewal_timed_out(ctx, session, conn),
            _ => {}
        }
    }

    // ---- the queue ----

    /// Where a message may go right now: the live connection, unless older messages have still to move to it.
    fn sendable(&self) -> Option<ConnId> {
        self.live
            .as_ref()
            .filter(|live| live.doomed.is_none() && !self.is_moving())
            .map(|live| live.id)
    }

    /// The server has still to get what an old connection was given, before its successor sends anything (W5, W10).
    fn is_moving(&self) -> bool {
        self.draining
            .iter()
            .any(|old| old.fails.is_none() && !(old.flushed && old.released))
    }

    /// Sends what waits, in order, and lets the application write itself from there on.
    fn flush_queue(&mut self, ctx: &mut Ctx) {
        let Some(conn) = self.sendable() else { return };
        ctx.timers.clear(Timer::OutboxAge(self.id));
        if !self.outbox.is_empty() {
            let messages = self.outbox.take_all();
            ctx.emit(Output::Transmit { conn, messages });
        }
        ctx.emit(Output::Direct {
            socket: self.id,
            conn,
        });
    }

    fn watch_age(&mut self, ctx: &mut Ctx) {
        let (failed, next) = self.outbox.expire(&self.options.outbox, ctx.now.mono);
        self.fail(ctx, failed);
        match next {
            Some(at) => ctx.timers.set(Timer::OutboxAge(self.id), at),
            None => ctx.timers.clear(Timer::OutboxAge(self.id)),
        }
    }

    fn fail_queue(&mut self, ctx: &mut Ctx, error: &Error) {
        ctx.timers.clear(Timer::OutboxAge(self.id));
        let failed = self.outbox.fail_all(error);
        self.fail(ctx, failed);
    }

    fn fail(&self, ctx: &mut Ctx, failed: Failed) {
        for (send, error) in failed {
            self.event(
                ctx,
                SocketEvent::SendFailed {
                    send: send.0,
                    error: error.clone(),
                },
            );
            ctx.emit(Output::SendFailed {
                socket: self.id,
                send,
                error,
            });
        }
    }

    // ---- small things ----

    pub(crate) fn needs_session(&self) -> bool {
        self.options.credential != Credential::None
    }

    fn event(&self, ctx: &mut Ctx, event: SocketEvent) {
        ctx.emit(Output::SocketEvent {
            socket: self.id,
            event,
        });
    }

    /// Publishes the state if it is another than the last.
    pub(crate) fn publish(&mut self, ctx: &mut Ctx) {
        let state = match self.phase.clone() {
            Phase::Idle => SocketState::Idle,
            Phase::WaitingForSession => SocketState::WaitingForSession,
            Phase::Authenticating => SocketState::Authenticating,
            Phase::Connecting => SocketState::Connecting {
                attempt: self.attempts.saturating_add(1),
            },
            Phase::Open => SocketState::Open,
            Phase::Backoff {
                cause,
                next_attempt_unix_ms,
            } => SocketState::Backoff {
                attempt: self.attempts,
                cause,
                next_attempt: next_attempt_unix_ms,
            },
            Phase::Offline => SocketState::Offline,
            Phase::Refused { cause } => SocketState::Refused { cause },
            Phase::Closed { by, code, reason } => SocketState::Closed { by, code, reason },
        };
        if self.published.as_ref() != Some(&state) {
            self.published = Some(state.clone());
            ctx.emit(Output::PublishSocket {
                socket: self.id,
                state,
            });
        }
    }

    fn wait_until(&mut self, ctx: &mut Ctx, cause: Ended, at: Mono) {
        ctx.timers.set(Timer::Reconnect(self.id), at);
        self.phase = Phase::Backoff {
            cause,
            next_attempt_unix_ms: unix_of(ctx.now, at),
        };
    }
}
