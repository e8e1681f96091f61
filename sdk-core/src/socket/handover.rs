//! Showing the server a new token (W4): on the live connection, by another one before the live one goes (W5), or after.

use super::placement::message_with_token;
use super::{Conn, Socket};
use crate::close;
use crate::ctx::Ctx;
use crate::io::{ConnId, Output, OverlapStage};
use crate::json::Json;
use crate::options::{CloseAction, Renewal};
use crate::session::{Pass, Session};
use crate::state::{Ended, SocketEvent};
use crate::time::Mono;
use crate::timer::Timer;

/// For as long as the attempt took, messages wait for the end of the old connection, which proves that each side has got
/// what was said on it: those of the new connection for the application, and those of the application for the new
/// connection. Not longer than this, in milliseconds.
const LONGEST_HOLD_MS: u64 = 1_000;

/// For as long as the attempt took after the old one's end, copies of what it brought may still come; within these
/// bounds, in milliseconds.
const COPIES_MS: (u64, u64) = (250, 2_000);

/// Two connections of which both may bring the same messages.
#[derive(Debug)]
pub(super) struct Overlap {
    old: ConnId,
    new: ConnId,
    began: Mono,
    /// How long the attempt took; `None`: it is not ready yet.
    took_ms: Option<u64>,
    old_ended: bool,
    /// The server closed the old one of its own accord, for no reason but the new one.
    old_was_closed: bool,
}

impl Socket {
    /// The same user has a new token: show it to the server as the options say (W4).
    pub(super) fn token_refreshed(&mut self, ctx: &mut Ctx, session: &mut Session) {
        // Whoever was refused for good may be welcome with a newer one.
        let refused = self.refused_for_good.as_ref();
        if refused.is_some_and(|(token, _)| session.is_current(*token)) {
            return;
        }
        let Some(live) = &self.live else {
            if self.waits_for_token() {
                self.begin(ctx, session);
            }
            return;
        };
        let shown = live.renewing.unwrap_or(live.token);
        if live.doomed.is_some() || session.is_current(shown) {
            return;
        }
        match &self.options.renewal {
            Renewal::Keep => {}
            Renewal::InBand { template, ack } => {
                let (template, waits) = (template.clone(), ack.is_some());
                self.renew_in_band(ctx, session, &template, waits);
            }
            Renewal::Reconnect => self.end_live(ctx, Ended::Replaced, 1000),
            Renewal::Handover if self.one_per_user => self.end_live(ctx, Ended::Replaced, 1000),
            Renewal::Handover => self.begin(ctx, session),
        }
    }

    fn renew_in_band(&mut self, ctx: &mut Ctx, session: &mut Session, template: &Json, waits_for_ack: bool) {
        let Pass::Token { access, number, .. } = session.pass(ctx) else {
            return;
        };
        let Some(live) = &mut self.live else { return };
        let (conn, text) = (live.id, message_with_token(template, access.expose()));
        ctx.emit(Output::TransmitSecret { conn, text });
        if waits_for_ack {
            live.renewing = Some(number);
            let limit = ctx.now.mono + self.options.connect_timeout_ms;
            ctx.timers.set(Timer::Renewal(conn), limit);
        } else {
            live.token = number;
            self.event(ctx, SocketEvent::Renewed);
        }
    }

    /// The server acknowledged the renewal on the live connection.
    pub(super) fn renewal_acknowledged(&mut self, ctx: &mut Ctx, conn: ConnId) {
        let Some(live) = self.live.as_mut().filter(|live| live.id == conn) else {
            return;
        };
        if let Some(number) = live.renewing.take() {
            live.token = number;
            ctx.timers.clear(Timer::Renewal(conn));
            self.event(ctx, SocketEvent::Renewed);
        }
    }

    /// It did not: whether it took the token is unknown, so another connection is to show it.
    pub(super) fn renewal_timed_out(&mut self, ctx: &mut Ctx, session: &mut Session, conn: ConnId) {
        if let Some(live) = self.live.as_mut().filter(|live| live.id == conn) {
            live.renewing = None;
            self.begin(ctx, session);
        }
    }

    /// The live connection that an attempt is to replace, if there is one; the two overlap from now on.
    pub(super) fn begin_overlap(&mut self, ctx: &mut Ctx, new: ConnId) -> Option<ConnId> {
        ctx.timers.clear(Timer::Overlap(self.id));
        self.overlap = self.live.as_ref().map(|live| Overlap {
            old: live.id,
            new,
            began: ctx.now.mono,
            took_ms: None,
            old_ended: false,
            old_was_closed: false,
        });
        self.overlap.as_ref().map(|overlap| overlap.old)
    }

    /// The new connection is ready; the old one is on its way out, or gone already.
    pub(super) fn overlap_ready(&mut self, ctx: &mut Ctx, conn: ConnId) {
        let Some(overlap) = self.overlap.as_mut().filter(|overlap| overlap.new == conn) else {
            return;
        };
        let took = ctx.now.mono.since(overlap.began);
        overlap.took_ms = Some(took);
        if overlap.old_ended {
            let was_closed = overlap.old_was_closed;
            self.overlap_ends_soon(ctx);
            if was_closed {
                self.allows_one_connection(ctx);
            }
        } else {
            let hold = took.min(LONGEST_HOLD_MS);
            ctx.timers.set(Timer::Overlap(self.id), ctx.now.mono + hold);
        }
    }

    /// The old connection of an overlap has ended, if this one was it.
    pub(super) fn overlap_old_ended(&mut self, ctx: &mut Ctx, conn: ConnId, ended: &Ended) {
        let for_the_other = self.is_closed_for_another(ended);
        let Some(overlap) = self.overlap.as_mut().filter(|overlap| overlap.old == conn) else {
            return;
        };
        overlap.old_ended = true;
        if overlap.took_ms.is_none() {
            // Whether it made way for the new one is known when that is ready.
            overlap.old_was_closed = for_the_other;
        } else {
            self.overlap_ends_soon(ctx);
            // The answer to our own close would have repeated its code.
            if for_the_other && ended.code() != 1000 {
                self.allows_one_connection(ctx);
            }
        }
    }

    /// The new connection of an overlap has ended just after it was ready, if this one was it.
    pub(super) fn overlap_new_ended(&mut self, ctx: &mut Ctx, conn: ConnId, ended: &Ended) {
        let is_new = self.overlap.as_ref().is_some_and(|overlap| overlap.new == conn);
        if is_new && self.is_closed_for_another(ended) {
            self.allows_one_connection(ctx);
        }
    }

    /// The attempt that was to replace the live connection is over, if this one was it.
    pub(super) fn overlap_failed(&mut self, ctx: &mut Ctx, conn: ConnId) {
        if self.overlap.as_ref().is_some_and(|overlap| overlap.new == conn) {
            self.end_overlap(ctx);
        }
    }

    /// The next stage: the old connection takes long, or no copies are expected any more.
    pub(super) fn overlap_due(&mut self, ctx: &mut Ctx) {
        match &self.overlap {
            Some(overlap) if !overlap.old_ended => {
                let old = overlap.old;
                ctx.emit(Output::Overlap {
                    socket: self.id,
                    stage: OverlapStage::Mixed,
                });
                if let Some(old) = self.draining.iter_mut().find(|draining| draining.conn == old) {
                    old.released = true;
                }
                self.flush_queue(ctx);
            }
            Some(_) => self.end_overlap(ctx),
            None => {}
        }
    }

    pub(super) fn end_overlap(&mut self, ctx: &mut Ctx) {
        ctx.timers.clear(Timer::Overlap(self.id));
        if self.overlap.take().is_some() {
            ctx.emit(Output::Overlap {
                socket: self.id,
                stage: OverlapStage::Over,
            });
        }
    }

    fn overlap_ends_soon(&mut self, ctx: &mut Ctx) {
        let took = self
            .overlap
            .as_ref()
            .and_then(|overlap| overlap.took_ms)
            .unwrap_or(0);
        let (least, most) = COPIES_MS;
        ctx.timers
            .set(Timer::Overlap(self.id), ctx.now.mono + took.clamp(least, most));
    }

    /// Whether the server ended a connection of its own accord, not for its token and not because it goes away.
    fn is_closed_for_another(&self, ended: &Ended) -> bool {
        let Ended::Closed { code, .. } = ended else {
            return false;
        };
        matches!(code, 1000 | 3000..5000)
            && close::action(&self.options, *code) != CloseAction::RefreshThenRetry
    }

    /// From here on the old connection goes first (W5).
    pub(super) fn allows_one_connection(&mut self, ctx: &mut Ctx) {
        if !std::mem::replace(&mut self.one_per_user, true) {
            self.event(ctx, SocketEvent::OneConnectionPerUser);
        }
    }

    /// The delay before a failed handover is tried again: while the old token is valid there is a try left.
    pub(super) fn handover_delay(&self, ctx: &Ctx, delay_ms: u64) -> u64 {
        let left = |live: &Conn| live.valid_until.since(ctx.now.mono);
        match self.live.as_ref().map(left) {
            Some(left) if left > 0 => delay_ms.min(left / 2),
            _ => delay_ms,
        }
    }
}
