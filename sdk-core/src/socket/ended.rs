//! How a connection or attempt ended, and what follows: again, again with a new token, or never (W6, W7, W8).

use super::{Conn, Phase, Refusal, Socket};
use crate::backoff;
use crate::close;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::http_date::retry_after_ms;
use crate::io::{ConnEnd, ConnId, ConnectFailure, Output, SendId};
use crate::message::Message;
use crate::options::CloseAction;
use crate::session::Session;
use crate::state::{ClosedBy, Ended, SocketEvent};
use crate::timer::Timer;

/// Those who hear that a server is going away or overloaded spread over this many times the delay.
const WIDEN_BY: u64 = 2;

/// After a connection that lived this long, a protocol error is no repetition of the last one.
const FORGIVEN_MS: u64 = 30_000;

impl Socket {
    /// An attempt ended before it was open.
    pub(crate) fn connect_failed(
        &mut self,
        ctx: &mut Ctx,
        session: &mut Session,
        conn: ConnId,
        failure: ConnectFailure,
    ) {
        let Some(candidate) = self.candidate.take_if(|candidate| candidate.id == conn) else {
            return;
        };
        ctx.conns.remove(&conn);
        Self::forget_timers(ctx, conn);
        self.overlap_failed(ctx, conn);
        let handover = self.live.is_some();
        match failure {
            // "Conflict": there is one already.
            ConnectFailure::Http { status: 409, .. } if handover => {
                self.allows_one_connection(ctx);
                self.end_live(ctx, Ended::Replaced, 1000);
            }
            // Real servers refuse an expired token with either (W7).
            ConnectFailure::Http {
                status: status @ (401 | 403),
                ..
            } => {
                self.auth_refused(ctx, session, Ended::Http { status }, candidate.token);
            }
            ConnectFailure::Http { status, retry_after } => {
                let hint = retry_after.and_then(|text| retry_after_ms(&text, ctx.now.unix_ms));
                self.attempt_failed(ctx, session, Ended::Http { status }, handover, hint);
            }
            ConnectFailure::Unreachable { detail } => {
                self.attempt_failed(ctx, session, Ended::Unreachable { detail }, handover, None);
            }
        }
    }

    /// A connection that was open is over; `unsent` are messages that it did not hand to the operating system.
    pub(crate) fn conn_ended(
        &mut self,
        ctx: &mut Ctx,
        session: &mut Session,
        conn: ConnId,
        end: ConnEnd,
        unsent: Vec<(SendId, Message)>,
    ) {
        ctx.conns.remove(&conn);
        Self::forget_timers(ctx, conn);
        if let Some(at) = self.draining.iter().position(|old| old.conn == conn) {
            let old = self.draining.swap_remove(at);
            self.overlap_old_ended(ctx, conn, &seen(end).0);
            if let Some(error) = old.fails {
                let failed = unsent
                    .into_iter()
                    .map(|(send, _)| (send, error.clone()))
                    .collect();
                self.fail(ctx, failed);
            } else {
                self.outbox.put_back(unsent, ctx.now.mono);
                self.watch_age(ctx);
                self.flush_queue(ctx);
            }
            return;
        }
        let (ended, refused) = seen(end);
        if let Some(live) = self.live.take_if(|live| live.id == conn) {
            self.live_ended(ctx, session, live, ended, refused, unsent);
        } else if let Some(candidate) = self.candidate.take_if(|candidate| candidate.id == conn) {
            // Accepted, and over before it was ready.
            self.overlap_failed(ctx, conn);
            let handover = self.live.is_some();
            self.judge(ctx, session, ended, refused, candidate.token, handover);
        }
    }

    fn live_ended(
        &mut self,
        ctx: &mut Ctx,
        session: &mut Session,
        live: Conn,
        ended: Ended,
        refused: bool,
        unsent: Vec<(SendId, Message)>,
    ) {
        ctx.emit(Output::Indirect { socket: self.id });
        self.outbox.put_back(unsent, ctx.now.mono);
        self.watch_age(ctx);
        if live
            .opened
            .is_some_and(|opened| ctx.now.mono.since(opened.at) >= FORGIVEN_MS)
        {
            self.stop_on_repeat = false;
        }
        let (ended, refused) = match live.doomed {
            Some(Ended::AuthMessage) => (Ended::AuthMessage, true),
            Some(why) => (why, false),
            None => (ended, refused),
        };
        self.overlap_old_ended(ctx, live.id, &ended);
        self.overlap_new_ended(ctx, live.id, &ended);
        if self.candidate.is_some() || self.ticket.is_some() {
            // A handover was under way: it is now the reconnect.
            self.phase = if self.candidate.is_some() {
                Phase::Connecting
            } else {
                Phase::Authenticating
            };
            if let Some(ticket) = &mut self.ticket {
                ticket.handover = false;
            }
            return self.event(
                ctx,
                SocketEvent::Ended {
                    ended,
                    will_retry: true,
                },
            );
        }
        if let Some((_, cause)) = self.refused_for_good.take() {
            let will_retry = false;
            self.event(ctx, SocketEvent::Ended { ended, will_retry });
            return self.refused(ctx, cause);
        }
        if ended == Ended::Replaced {
            self.event(
                ctx,
                SocketEvent::Ended {
                    ended,
                    will_retry: true,
                },
            );
            return self.begin(ctx, session);
        }
        self.judge(ctx, session, ended.clone(), refused, live.token, false);
        // Told after the judgement, which knows whether there is a next time.
        let will_retry = !matches!(self.phase, Phase::Refused { .. } | Phase::Closed { .. });
        self.event(ctx, SocketEvent::Ended { ended, will_retry });
    }

    /// What an end means (W7).
    fn judge(
        &mut self,
        ctx: &mut Ctx,
        session: &mut Session,
        ended: Ended,
        refused: bool,
        token: u64,
        handover: bool,
    ) {
        let action = match &ended {
            _ if refused => CloseAction::RefreshThenRetry,
            Ended::Closed { .. } | Ended::Lost { .. } => close::action(&self.options, ended.code()),
            _ => CloseAction::Retry,
        };
        let repeated = std::mem::replace(&mut self.stop_on_repeat, action == CloseAction::StopOnRepeat);
        match action {
            CloseAction::RefreshThenRetry => self.auth_refused(ctx, session, ended, token),
            CloseAction::Stop => self.stopped_by_server(ctx, ended),
            CloseAction::StopOnRepeat if repeated => self.stopped_by_server(ctx, ended),
            CloseAction::StopOnRepeat | CloseAction::Retry => {
                self.attempt_failed(ctx, session, ended, handover, None);
            }
        }
    }

    /// The server refused the credential (W8).
    pub(super) fn auth_refused(&mut self, ctx: &mut Ctx, session: &mut Session, ended: Ended, token: u64) {
        self.event(ctx, SocketEvent::AuthRefused { ended: ended.clone() });
        // A token that has been replaced since says nothing about the one in use, and one that another holder of the
        // session brought may have been issued before the refusal.
        let newer = self.refusal.is_some_and(|refusal| token > refusal.mark);
        let issued_after_refusal = session.is_current(token)
            && (newer && session.was_issued_to_us(token)
                || session.just_replaced_refused(ctx, token)
                || session.was_refused_for_good_lately(ctx));
        if issued_after_refusal && !session.was_refused_for_good_lately(ctx) {
            session.refused_for_good(ctx);
        }
        let hopeless = !self.needs_session() || issued_after_refusal || !session.can_refresh();
        if self.live.is_some() {
            // A handover was refused, and the old connection works. With a newer token there will be another handover;
            // where that would be no use, the old connection is used to its end, and is the last one. From then on a
            // token is shown when there is one, and none is asked for: several holders would do that in turns.
            self.handover_failures = self.handover_failures.saturating_add(1);
            if hopeless || self.refused_for_good.is_some() {
                self.refused_for_good = Some((token, ended));
                return;
            }
            self.remember_refusal(session, token);
            session.token_rejected(ctx, token);
            return self.begin(ctx, session);
        }
        self.attempts = self.attempts.saturating_add(1);
        if hopeless {
            return self.refused(ctx, ended);
        }
        if self.is_exhausted() {
            return self.exhausted(ctx, &ended);
        }
        self.remember_refusal(session, token);
        session.token_rejected(ctx, token);
        self.begin(ctx, session);
    }

    fn remember_refusal(&mut self, session: &Session, token: u64) {
        let mark = match self.refusal {
            Some(refusal) if session.is_current(token) => refusal.mark,
            _ => session.newest_token_asked_for(),
        };
        self.refusal = Some(Refusal { token, mark });
    }

    /// An attempt failed for a reason that may pass.
    pub(super) fn attempt_failed(
        &mut self,
        ctx: &mut Ctx,
        session: &mut Session,
        ended: Ended,
        handover: bool,
        hint_ms: Option<u64>,
    ) {
        let mut policy = self.options.reconnect.delay;
        if widens_delay(&ended) {
            policy.base_ms = policy.base_ms.saturating_mul(WIDEN_BY);
        }
        if handover && self.live.is_some() {
            let delay = backoff::delay_ms(&policy, self.handover_failures, hint_ms, &mut ctx.rng);
            let delay = self.handover_delay(ctx, delay);
            self.handover_failures = self.handover_failures.saturating_add(1);
            ctx.timers.set(Timer::Reconnect(self.id), ctx.now.mono + delay);
            return;
        }
        if !self.online {
            self.phase = Phase::Offline;
            return;
        }
        self.attempts = self.attempts.saturating_add(1);
        if self.is_exhausted() {
            return self.exhausted(ctx, &ended);
        }
        // A session that is known to be expired is renewed while we wait, not after.
        if self.needs_session() {
            session.token_needed(ctx);
        }
        let delay = backoff::delay_ms(&policy, self.attempts - 1, hint_ms, &mut ctx.rng);
        self.wait_until(ctx, ended, ctx.now.mono + delay);
    }

    fn is_exhausted(&self) -> bool {
        self.options
            .reconnect
            .max_attempts
            .is_some_and(|most| self.attempts.saturating_sub(self.spared) >= most && !self.background)
    }

    fn exhausted(&mut self, ctx: &mut Ctx, ended: &Ended) {
        let error = Error::new(
            ErrorKind::AttemptsExhausted,
            "all allowed attempts to connect failed",
        );
        self.finish(ctx, ClosedBy::AttemptsExhausted, ended, &error);
    }

    fn stopped_by_server(&mut self, ctx: &mut Ctx, ended: Ended) {
        let error = Error::new(ErrorKind::Closed, "the server ended the socket for good");
        if let Some(live) = self.live.take() {
            // A handover told us to stop: the old connection goes as well, and the application hears of it.
            ctx.emit(Output::Indirect { socket: self.id });
            self.retire(ctx, live.id, 1000, "", Some(error.clone()));
            self.event(
                ctx,
                SocketEvent::Ended {
                    ended: ended.clone(),
                    will_retry: false,
                },
            );
        }
        self.finish(ctx, ClosedBy::Server, &ended, &error);
    }

    fn finish(&mut self, ctx: &mut Ctx, by: ClosedBy, ended: &Ended, error: &Error) {
        let reason = match ended {
            Ended::Closed { reason, .. } => reason.clone(),
            _ => String::new(),
        };
        self.wanted = false;
        self.phase = Phase::Closed {
            by,
            code: ended.code(),
            reason,
        };
        self.fail_queue(ctx, error);
    }

    fn refused(&mut self, ctx: &mut Ctx, ended: Ended) {
        self.fail_queue(ctx, &refused_error(&ended));
        self.phase = Phase::Refused { cause: ended };
    }
}

/// Whether the server says that it is going away or overloaded.
pub(super) fn widens_delay(ended: &Ended) -> bool {
    match ended {
        Ended::Closed { code, .. } => close::widens_delay(*code),
        Ended::Http { status } => *status == 503,
        _ => false,
    }
}

fn refused_error(ended: &Ended) -> Error {
    let error = Error::new(ErrorKind::Refused, "the server refused the credential");
    match ended {
        Ended::Http { status } => error.with_status(*status),
        Ended::Closed { code, .. } => error.with_cause(format!("close code {code}")),
        _ => error,
    }
}

/// The driver's word for an end, and whether it was a refusal.
fn seen(end: ConnEnd) -> (Ended, bool) {
    match end {
        ConnEnd::Closed {
            code,
            reason,
            refused,
        } => (Ended::Closed { code, reason }, refused),
        ConnEnd::Lost { detail, refused } => (Ended::Lost { detail }, refused),
        // We closed it for the peer's violation: the code says what kind, as if the peer had said it.
        ConnEnd::Violation { code, detail } => (Ended::Closed { code, reason: detail }, false),
    }
}
