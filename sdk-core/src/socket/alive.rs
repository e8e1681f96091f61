//! Watching the open connection: healthy, silent, or on its way out (W6, W9).

use super::placement::message_with_token;
use super::wake::Ping;
use super::{DRAIN_MS, Draining, Socket};
use crate::ctx::Ctx;
use crate::error::Error;
use crate::io::{ConnEnd, ConnId, Output};
use crate::session::Session;
use crate::state::Ended;
use crate::time::Mono;
use crate::timer::Timer;

impl Socket {
    /// The live connection has existed for a while: whatever ends it is a new story, a refusal too (W6, W8).
    pub(super) fn lived_long_enough(&mut self, conn: ConnId) {
        if self.live.as_ref().is_some_and(|live| live.id == conn) {
            self.proved_healthy();
            self.refusal = None;
        }
    }

    /// What ends the live connection from here on is no failed attempt, and the count begins anew.
    pub(super) fn proved_healthy(&mut self) {
        (self.attempts, self.spared) = (0, 1);
    }

    /// The live connection may have been silent for too long: look.
    pub(super) fn heartbeat_due(&mut self, ctx: &mut Ctx, conn: ConnId) {
        if self
            .live
            .as_ref()
            .is_some_and(|live| live.id == conn && live.doomed.is_none())
        {
            ctx.emit(Output::ReadActivity { conn });
        }
    }

    /// When something was last received, in the machine's time.
    pub(crate) fn activity(&mut self, ctx: &mut Ctx, session: &Session, conn: ConnId, last_received: Mono) {
        if self.waits_to_probe(ctx, session, conn) {
            return;
        }
        let heartbeat = &self.options.heartbeat;
        let Some(live) = self
            .live
            .as_mut()
            .filter(|live| live.id == conn && live.doomed.is_none())
        else {
            return self.drain_activity(ctx, conn, last_received);
        };
        let now = ctx.now.mono;
        let probe = &mut live.probe;
        let timer = Timer::Heartbeat(conn);
        if let Some(ping) = probe.ping.filter(|ping| last_received < ping.at) {
            let until = ping.at + ping.limit_ms;
            if now >= until {
                return self.end_live(ctx, Ended::Silent, 0);
            }
            // A wake that came while a ping was out may shorten the wait, never prolong it.
            if probe.wanted_since.take().is_some() && now + heartbeat.probe_timeout_ms < until {
                probe.ping = None;
                return self.ping(ctx, conn, self.options.heartbeat.probe_timeout_ms);
            }
            return ctx.timers.set(timer, until);
        }
        probe.ping = None;
        if probe.wanted_since.is_some_and(|since| last_received <= since) {
            if last_received >= now {
                // In this very millisecond nobody could tell the answer from what came before it.
                return ctx.timers.set(timer, now + 1);
            }
            probe.wanted_since = None;
            return self.ping(ctx, conn, self.options.heartbeat.probe_timeout_ms);
        }
        probe.wanted_since = None;
        if heartbeat.interval_ms == 0 {
            return;
        }
        if now.since(last_received) >= heartbeat.interval_ms {
            return self.ping(ctx, conn, self.options.heartbeat.timeout_ms);
        }
        let at = (last_received + heartbeat.interval_ms).max(now + 1);
        ctx.timers.set(timer, at);
    }

    fn ping(&mut self, ctx: &mut Ctx, conn: ConnId, limit_ms: u64) {
        let Some(live) = &mut self.live else { return };
        let at = ctx.now.mono;
        live.probe.ping = Some(Ping { at, limit_ms });
        ctx.emit(match &self.options.heartbeat.message {
            Some(message) => Output::TransmitSecret {
                conn,
                text: message_with_token(message, ""),
            },
            None => Output::Ping { conn },
        });
        // The next look is due before a limit that is longer than the interval.
        let look = limit_ms.min(self.options.heartbeat.interval_ms);
        ctx.timers.set(Timer::Heartbeat(conn), at + look);
    }

    /// Ends the live connection for a reason of ours and waits for its end, because messages that it did not send
    /// come back with it. Code 0: no closing handshake, there is nobody to shake hands with.
    pub(super) fn end_live(&mut self, ctx: &mut Ctx, why: Ended, code: u16) {
        let Some(live) = self.live.as_mut().filter(|live| live.doomed.is_none()) else {
            return;
        };
        let conn = live.id;
        live.doomed = Some(why);
        live.aborted = code == 0;
        ctx.emit(Output::Indirect { socket: self.id });
        ctx.emit(match code {
            0 => Output::Abort { conn },
            code => Output::Close {
                conn,
                code,
                reason: String::new(),
            },
        });
        ctx.timers.set(Timer::Drain(conn), ctx.now.mono + DRAIN_MS);
    }

    /// Closes a connection that the application no longer uses; `fails` says what becomes of messages it did not send.
    pub(super) fn retire(
        &mut self,
        ctx: &mut Ctx,
        conn: ConnId,
        code: u16,
        reason: &str,
        fails: Option<Error>,
    ) {
        Self::forget_timers(ctx, conn);
        self.draining.push(Draining {
            conn,
            fails,
            flushed: false,
            released: false,
            asked: false,
            aborted: false,
        });
        ctx.timers.set(Timer::Drain(conn), ctx.now.mono + DRAIN_MS);
        ctx.emit(Output::Close {
            conn,
            code,
            reason: reason.to_owned(),
        });
    }

    /// A connection that is being closed has handed out all that it was given.
    pub(crate) fn flushed(&mut self, ctx: &mut Ctx, conn: ConnId) {
        if let Some(old) = self
            .draining
            .iter_mut()
            .find(|old| old.conn == conn && old.fails.is_none())
        {
            old.flushed = true;
            self.flush_queue(ctx);
        }
    }

    /// Lets go of everything that is open or under way.
    pub(super) fn drop_connections(&mut self, ctx: &mut Ctx, code: u16, reason: &str, error: &Error) {
        ctx.timers.clear(Timer::Reconnect(self.id));
        self.refused_for_good = None;
        self.cancel_ticket(ctx);
        self.end_overlap(ctx);
        if let Some(candidate) = self.candidate.take() {
            Self::abort(ctx, candidate.id);
        }
        if let Some(live) = self.live.take() {
            ctx.emit(Output::Indirect { socket: self.id });
            self.retire(ctx, live.id, code, reason, Some(error.clone()));
        }
        for old in &mut self.draining {
            old.fails.get_or_insert_with(|| error.clone());
        }
    }

    /// A connection that was to end did not. One that a handover left behind is kept while it still brings something
    /// (W5). Else it is dropped, and what it did not send comes back with its end; when even that does not come, it is
    /// over for us.
    pub(super) fn drain_timed_out(&mut self, ctx: &mut Ctx, session: &mut Session, conn: ConnId) {
        let again = ctx.now.mono + DRAIN_MS;
        if let Some(old) = self.draining.iter_mut().find(|old| old.conn == conn)
            && old.fails.is_none()
            && !std::mem::replace(&mut old.asked, true)
        {
            ctx.emit(Output::ReadActivity { conn });
            return ctx.timers.set(Timer::Drain(conn), again);
        }
        let draining = self
            .draining
            .iter_mut()
            .find(|old| old.conn == conn)
            .map(|old| &mut old.aborted);
        let live = self
            .live
            .as_mut()
            .filter(|live| live.id == conn)
            .map(|live| &mut live.aborted);
        if let Some(aborted) = draining.or(live).filter(|aborted| !**aborted) {
            *aborted = true;
            ctx.emit(Output::Abort { conn });
            return ctx.timers.set(Timer::Drain(conn), again);
        }
        let end = ConnEnd::Lost {
            detail: "it did not end in time".into(),
            refused: false,
        };
        self.conn_ended(ctx, session, conn, end, Vec::new());
    }

    /// When something was last received on an old connection that takes long to end.
    fn drain_activity(&mut self, ctx: &mut Ctx, conn: ConnId, last_received: Mono) {
        let Some(old) = self
            .draining
            .iter_mut()
            .find(|old| old.conn == conn && old.asked && !old.aborted)
        else {
            return;
        };
        if ctx.now.mono.since(last_received) < DRAIN_MS {
            old.asked = false;
        } else {
            old.aborted = true;
            ctx.emit(Output::Abort { conn });
        }
        ctx.timers.set(Timer::Drain(conn), ctx.now.mono + DRAIN_MS);
    }

    pub(super) fn forget_timers(ctx: &mut Ctx, conn: ConnId) {
        for timer in [
            Timer::Attempt(conn),
            Timer::Healthy(conn),
            Timer::Heartbeat(conn),
            Timer::Drain(conn),
            Timer::Renewal(conn),
        ] {
            ctx.timers.clear(timer);
        }
    }
}
