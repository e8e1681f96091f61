//! Opening a connection: a valid token first (W3), a fresh credential for every attempt (W2), ready before it counts.

use super::placement::{self, Carried, connect_request};
use super::wake::Probe;
use super::{Conn, Opened, Phase, Socket, Ticket};
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::http_date::retry_after_ms;
use crate::io::{ConnId, EffectId, HttpAnswer, Notice, Output};
use crate::options::Credential;
use crate::session::requests::{ticket_of, ticket_request};
use crate::session::{Change, Pass, Session};
use crate::state::{Ended, SocketEvent};
use crate::time::Mono;
use crate::timer::Timer;

impl Socket {
    /// Begins an attempt, to connect or (with a live connection) to replace it; does nothing where one is under way.
    pub(super) fn begin(&mut self, ctx: &mut Ctx, session: &mut Session) {
        ctx.timers.clear(Timer::Reconnect(self.id));
        if !self.wanted || self.candidate.is_some() || self.ticket.is_some() {
            return;
        }
        let handover = self.live.is_some();
        if !self.online && !handover {
            self.phase = Phase::Offline;
            return;
        }
        if !self.needs_session() {
            return self.dial(
                ctx,
                handover,
                (0, Mono::NEVER),
                Carried {
                    access: None,
                    cookies: None,
                    ticket: None,
                },
            );
        }
        match session.pass(ctx) {
            // After a refusal the next attempt carries another token, or does not happen (W8).
            Pass::Token { number, .. } if self.refusal.is_some_and(|refusal| number <= refusal.token) => {
                session.token_rejected(ctx, number);
                self.wait_for_newer_token(ctx, session);
            }
            Pass::Token {
                access,
                cookies,
                number,
                valid_until,
            } => {
                if let Credential::Ticket(ticket) = &self.options.credential {
                    let request = ticket_request(session.options(), ticket, session.secrets());
                    let effect = ctx.effect();
                    let limit = request.timeout_ms.saturating_add(1_000);
                    ctx.timers.set(Timer::Effect(effect), ctx.now.mono + limit);
                    ctx.tickets.insert(effect, self.id);
                    ctx.emit(Output::Http { effect, request });
                    self.ticket = Some(Ticket {
                        effect,
                        token: number,
                        valid_until,
                        handover,
                    });
                    self.unless_live(Phase::Authenticating);
                } else {
                    let carried = Carried {
                        access: Some(&access),
                        cookies: cookies.as_ref(),
                        ticket: None,
                    };
                    self.dial(ctx, handover, (number, valid_until), carried);
                }
            }
            Pass::Wait => self.unless_live(Phase::Authenticating),
            Pass::SignedOut => self.unless_live(Phase::WaitingForSession),
            Pass::Unreachable { cause, next_attempt } => {
                if !handover {
                    // The session decides when to try again; its success wakes this socket earlier.
                    self.wait_until(ctx, Ended::NoToken { cause }, next_attempt + 1);
                }
            }
        }
    }

    /// The token that there is was refused, and the session is fetching, or will fetch, another.
    fn wait_for_newer_token(&mut self, ctx: &mut Ctx, session: &Session) {
        if self.live.is_some() {
            return;
        }
        match session.next_attempt() {
            Some(next) => {
                let cause = Error::new(
                    ErrorKind::Refused,
                    "the server refused the token, and there is no other yet",
                );
                self.wait_until(ctx, Ended::NoToken { cause }, next + 1);
            }
            None => self.phase = Phase::Authenticating,
        }
    }

    /// The answer to a ticket request of this socket's.
    pub(crate) fn ticket_answered(
        &mut self,
        ctx: &mut Ctx,
        session: &mut Session,
        effect: EffectId,
        answer: Result<HttpAnswer, Error>,
    ) {
        let asked = self.ticket.take_if(|ticket| ticket.effect == effect);
        let Some(Ticket {
            token,
            valid_until,
            handover,
            ..
        }) = asked
        else {
            return;
        };
        ctx.timers.clear(Timer::Effect(effect));
        let Credential::Ticket(options) = &self.options.credential else {
            return;
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(cause) => return self.attempt_failed(ctx, session, Ended::NoToken { cause }, handover, None),
        };
        let ticket = if (200..300).contains(&answer.status) {
            ticket_of(options, &answer)
        } else {
            None
        };
        match (ticket, answer.status) {
            (Some(ticket), _) => {
                let carried = Carried {
                    access: None,
                    cookies: None,
                    ticket: Some(&ticket),
                };
                self.dial(ctx, handover, (token, valid_until), carried);
            }
            (None, status @ (401 | 403)) => self.auth_refused(ctx, session, Ended::Http { status }, token),
            (None, status) => {
                let (kind, message) = match status {
                    200..300 => (
                        ErrorKind::MalformedAnswer,
                        "the answer holds no ticket where the options look for one",
                    ),
                    _ => (ErrorKind::Unreachable, "the server could not give a ticket"),
                };
                let cause = Error::new(kind, message).with_status(status);
                let clock = answer.date_unix_ms.unwrap_or(ctx.now.unix_ms);
                let hint = answer
                    .retry_after
                    .as_deref()
                    .and_then(|text| retry_after_ms(text, clock));
                self.attempt_failed(ctx, session, Ended::NoToken { cause }, handover, hint);
            }
        }
    }

    /// Opens a connection with this token, by number and end of validity.
    fn dial(
        &mut self,
        ctx: &mut Ctx,
        handover: bool,
        (token, valid_until): (u64, Mono),
        carried: Carried<'_>,
    ) {
        let conn = ctx.conn(self.id);
        let request = connect_request(&self.options, carried);
        self.event(
            ctx,
            SocketEvent::Attempt {
                attempt: if handover {
                    self.handover_failures
                } else {
                    self.attempts
                }
                .saturating_add(1),
                placement: placement::name(&self.options.credential),
                token,
                handover,
            },
        );
        ctx.timers.set(
            Timer::Attempt(conn),
            ctx.now.mono + self.options.connect_timeout_ms,
        );
        self.candidate = Some(Conn {
            id: conn,
            token,
            valid_until,
            renewing: None,
            opened: None,
            probe: Probe::default(),
            doomed: None,
            aborted: false,
        });
        self.unless_live(Phase::Connecting);
        let replaces = self.begin_overlap(ctx, conn);
        ctx.emit(Output::Connect {
            conn,
            socket: self.id,
            replaces,
            request,
        });
    }

    /// The upgrade was accepted.
    pub(crate) fn opened(
        &mut self,
        ctx: &mut Ctx,
        session: &mut Session,
        conn: ConnId,
        subprotocol: Option<String>,
    ) {
        let waits_for_welcome = self.options.ready.is_some();
        let Some(candidate) = self.candidate.as_mut().filter(|candidate| candidate.id == conn) else {
            return;
        };
        candidate.opened = Some(Opened {
            at: ctx.now.mono,
            subprotocol,
        });
        if !waits_for_welcome {
            self.ready(ctx, session);
        }
    }

    /// The inspector noticed something.
    pub(crate) fn noticed(&mut self, ctx: &mut Ctx, session: &mut Session, conn: ConnId, notice: Notice) {
        let is_candidate = self
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.id == conn);
        let is_live = self.live.as_ref().is_some_and(|live| live.id == conn);
        match notice {
            Notice::Ready if is_candidate => self.ready(ctx, session),
            Notice::FirstMessage if is_live => self.proved_healthy(),
            Notice::AuthError if is_candidate => {
                if let Some(candidate) = self.candidate.take() {
                    Self::abort(ctx, candidate.id);
                    self.overlap_failed(ctx, candidate.id);
                    self.auth_refused(ctx, session, Ended::AuthMessage, candidate.token);
                }
            }
            // The server will close it, or not; either way it is of no more use. Its unsent messages come back first.
            Notice::AuthError if is_live => self.end_live(ctx, Ended::AuthMessage, 1000),
            Notice::Renewed if is_live => self.renewal_acknowledged(ctx, conn),
            _ => {}
        }
    }

    /// The candidate has proven ready: it becomes the application's connection.
    fn ready(&mut self, ctx: &mut Ctx, session: &mut Session) {
        let Some(conn) = self.candidate.take() else { return };
        ctx.timers.clear(Timer::Attempt(conn.id));
        let old = self.live.take();
        let handover = old.is_some();
        // Whether it takes the place of the old one, or comes after its end.
        self.refused_for_good = None;
        if let Some(old) = old {
            // The old one carried its token to the end without a refusal: the refusal before it is over (W8).
            self.refusal = self.refusal.filter(|refusal| old.token <= refusal.token);
            // Sends move over once the server has got what the old connection was given (W5, W10).
            ctx.emit(Output::Indirect { socket: self.id });
            self.retire(ctx, old.id, 1000, "replaced", None);
        }
        self.overlap_ready(ctx, conn.id);
        let opened_at = conn.opened.as_ref().map_or(ctx.now.mono, |opened| opened.at);
        let subprotocol = conn.opened.as_ref().and_then(|opened| opened.subprotocol.clone());
        ctx.timers.set(
            Timer::Healthy(conn.id),
            opened_at + self.options.reconnect.healthy_after_ms,
        );
        if self.options.heartbeat.interval_ms > 0 {
            ctx.timers.set(
                Timer::Heartbeat(conn.id),
                ctx.now.mono + self.options.heartbeat.interval_ms,
            );
        }
        self.live = Some(conn);
        self.phase = Phase::Open;
        self.handover_failures = 0;
        self.event(
            ctx,
            SocketEvent::Opened {
                subprotocol,
                handover,
            },
        );
        self.flush_queue(ctx);
        // A token that was refreshed while this one was on its way is shown at once.
        self.session_changed(ctx, session, Change::Refreshed);
    }

    pub(super) fn attempt_timed_out(&mut self, ctx: &mut Ctx, session: &mut Session, conn: ConnId) {
        if self
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.id == conn)
        {
            let handover = self.live.is_some();
            self.candidate = None;
            Self::abort(ctx, conn);
            self.overlap_failed(ctx, conn);
            self.attempt_failed(ctx, session, Ended::TimedOut, handover, None);
        }
    }

    /// Drops a connection that holds nothing of the application's; what is still said of it is late.
    pub(super) fn abort(ctx: &mut Ctx, conn: ConnId) {
        ctx.conns.remove(&conn);
        ctx.timers.clear(Timer::Attempt(conn));
        ctx.emit(Output::Abort { conn });
    }

    fn unless_live(&mut self, phase: Phase) {
        if self.live.is_none() {
            self.phase = phase;
        }
    }
}
