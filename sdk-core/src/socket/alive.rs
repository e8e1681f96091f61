//! Watching the open connection: healthy, silent, or on its way out (W6, W9).

use super::placement::message_with_token;
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
            self.attempts = 0;
            self.refusal = None;
        }
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
    pub(crate) fn activity(&mut self, ctx: &mut Ctx, conn: ConnId, last_received: Mono) {
        let heartbeat = &self.options.heartbeat;
        let Some(live) = self
            .live
            .as_mut()
            .filter(|live| live.id == conn && live.doomed.is_none())
        else {
            return;
        };
        let now = ctx.now.mono;
        match live.pinged_at {
            Some(pinged_at) if last_received < pinged_at => {
                if now.since(pinged_at) >= heartbeat.timeout_ms {
                    self.end_live(ctx, Ended::Silent, 0);
                } else {
                    ctx.timers
                        .set(Timer::Heartbeat(conn), pinged_at + heartbeat.timeout_ms);
                }
            }
            _ if now.since(last_received) >= heartbeat.interval_ms => {
                live.pinged_at = Some(now);
                match &heartbeat.message {
                    Some(message) => {
                        let text = message_with_token(message, "");
                        ctx.emit(Output::TransmitSecret { conn, text });
                    }
                    None => ctx.emit(Output::Ping { conn }),
                }
                ctx.timers.set(Timer::Heartbeat(conn), now + heartbeat.timeout_ms);
            }
            _ => {
                live.pinged_at = None;
                let at = (last_received + heartbeat.interval_ms).max(now + 1);
                ctx.timers.set(Timer::Heartbeat(conn), at);
            }
        }
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
            aborted: false,
        });
        ctx.timers.set(Timer::Drain(conn), ctx.now.mono + DRAIN_MS);
        ctx.emit(Output::Close {
            conn,
            code,
            reason: reason.to_owned(),
        });
    }

    /// A connection that is being closed has sent all that it was given.
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
        if let Some(ticket) = self.ticket.take() {
            ctx.timers.clear(Timer::Effect(ticket.effect));
            ctx.tickets.remove(&ticket.effect);
            ctx.emit(Output::Cancel {
                effect: ticket.effect,
            });
        }
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

    /// A connection that was to end did not. First it is dropped, and what it did not send comes back with its end; when
    /// even that does not come, it is over for us.
    pub(super) fn drain_timed_out(&mut self, ctx: &mut Ctx, session: &mut Session, conn: ConnId) {
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
            return ctx.timers.set(Timer::Drain(conn), ctx.now.mono + DRAIN_MS);
        }
        let end = ConnEnd::Lost {
            detail: "it did not end in time".into(),
            refused: false,
        };
        self.conn_ended(ctx, session, conn, end, Vec::new());
    }

    pub(super) fn forget_timers(ctx: &mut Ctx, conn: ConnId) {
        for timer in [
            Timer::Attempt(conn),
            Timer::Healthy(conn),
            Timer::Heartbeat(conn),
            Timer::Drain(conn),
        ] {
            ctx.timers.clear(timer);
        }
    }
}
