//! The device was away, or may have been (S7): a valid token first, then a short look at the connection, then keep it or
//! replace it. Any number of signals at once is one.

use super::ended::widens_delay;
use super::{Conn, Phase, Socket};
use crate::ctx::Ctx;
use crate::io::{ConnId, Output};
use crate::session::Session;
use crate::time::Mono;
use crate::timer::Timer;

/// Signals that prove nothing (a window got the focus) cut a delay short no more often than this, in milliseconds.
const HINTS_APART_MS: u64 = 5_000;

/// What is known of the time away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The clocks say that the device slept.
    Slept,
    /// The network or the application is back.
    Returned,
    /// Something says that it may have been.
    Hint,
}

/// What has been asked of the open connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probe {
    /// Since when a sign of life is wanted, because of a wake.
    pub(super) wanted_since: Option<Mono>,
    /// The ping that is out.
    pub(super) ping: Option<Ping>,
}

/// A ping, and how long its answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ping {
    pub(super) at: Mono,
    pub(super) limit_ms: u64,
}

impl Socket {
    /// One handler for all signals, and doing nothing twice.
    pub(crate) fn woke(&mut self, ctx: &mut Ctx, session: &mut Session, wake: Wake) {
        if wake == Wake::Slept {
            self.drop_stale_attempt(ctx);
        }
        if let Some(live) = self.live.as_mut().filter(|live| live.doomed.is_none()) {
            if wake == Wake::Slept {
                // Whoever was to answer it had no time to.
                live.probe.ping = None;
            }
            live.probe.wanted_since = Some(ctx.now.mono);
            self.probe(ctx, session);
            // A handover that was dropped begins again, with what is valid now.
            if wake == Wake::Slept {
                self.token_refreshed(ctx, session);
            }
            return;
        }
        let is_under_way = self.candidate.is_some() || self.ticket.is_some() || self.live.is_some();
        if is_under_way || !self.wanted {
            return;
        }
        let may = match &self.phase {
            // Many wait for a server that is overloaded, and all of them may look at their screens.
            Phase::Backoff { cause, .. } if wake == Wake::Hint => {
                !widens_delay(cause) && self.may_follow_hint(ctx)
            }
            Phase::Backoff { .. } | Phase::Connecting | Phase::Authenticating => true,
            _ => false,
        };
        if may {
            self.hint_followed = Some(ctx.now.mono);
            self.begin(ctx, session);
        }
    }

    /// Asks the live connection for a sign of life, once the session has a valid token or cannot get one now.
    pub(super) fn probe(&mut self, ctx: &mut Ctx, session: &Session) {
        let live = self.live.as_ref().map(|live| live.id);
        if live.is_some_and(|conn| self.waits_to_probe(ctx, session, conn)) {
            return;
        }
        let never = self.options.heartbeat.interval_ms == 0;
        let wanted = |live: &&Conn| live.probe.wanted_since.is_some() && live.doomed.is_none();
        if let Some(live) = self.live.as_ref().filter(wanted).filter(|_| !never) {
            ctx.emit(Output::ReadActivity { conn: live.id });
        }
    }

    /// After a wake the token comes first: this connection is looked at when that is settled, or takes too long.
    pub(super) fn waits_to_probe(&self, ctx: &mut Ctx, session: &Session, conn: ConnId) -> bool {
        let live = self.live.as_ref().filter(|live| live.id == conn);
        let Some(since) = live.and_then(|live| live.probe.wanted_since) else {
            return false;
        };
        let until = since + self.options.heartbeat.probe_timeout_ms;
        let waits = self.needs_session() && !session.is_settled() && ctx.now.mono < until;
        if waits {
            ctx.timers.set(Timer::Heartbeat(conn), until);
        }
        waits
    }

    /// The application is in the foreground, or not. In the background no attempts are counted: the system may stop
    /// them at any moment.
    pub(crate) fn foreground(&mut self, ctx: &mut Ctx, session: &mut Session, foreground: bool) {
        let returned = foreground && self.background;
        self.background = !foreground;
        if returned {
            self.attempts = 0;
            if self.live.is_none() {
                self.spared = 0;
            }
            self.woke(ctx, session, Wake::Returned);
        }
    }

    /// An attempt from before a sleep carries a credential from before it: no such connection (S7).
    fn drop_stale_attempt(&mut self, ctx: &mut Ctx) {
        self.cancel_ticket(ctx);
        if let Some(candidate) = self.candidate.take() {
            Self::abort(ctx, candidate.id);
            self.overlap_failed(ctx, candidate.id);
        }
    }

    fn may_follow_hint(&self, ctx: &Ctx) -> bool {
        self.hint_followed
            .is_none_or(|at| ctx.now.mono.since(at) >= HINTS_APART_MS)
    }

    pub(super) fn cancel_ticket(&mut self, ctx: &mut Ctx) {
        if let Some(ticket) = self.ticket.take() {
            ctx.timers.clear(Timer::Effect(ticket.effect));
            ctx.tickets.remove(&ticket.effect);
            ctx.emit(Output::Cancel {
                effect: ticket.effect,
            });
        }
    }
}
