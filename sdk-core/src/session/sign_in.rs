//! Signing in, being signed in from before, and signing out (S1, S9, S11).

use super::requests::{Question, Secrets, Verdict, judge, request};
use super::{Change, Ended, Holding, Logout, Session, Step};
use crate::claims::Life;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::io::{CallId, HttpAnswer, Output, Reply, TokenGrant};
use crate::secret::Secret;
use crate::state::{RefreshReason, SessionEvent, SignOutCause};
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use crate::time::unix_of;
use crate::timer::Timer;

/// How often a store that keeps changing is told to forget.
const MOST_STORE_TRIES: u32 = 5;
/// Nobody waits longer than this for a server to confirm a sign-out.
const LONGEST_REVOKE_MS: u64 = 5_000;

impl Session {
    /// Begins: reads the store, or asks the callback who is there.
    pub(crate) fn start(&mut self, ctx: &mut Ctx) {
        if self.options.is_callback() {
            self.start_refresh(ctx, RefreshReason::Needed);
        } else if self.durable {
            self.restoring = true;
            let effect = self.await_answer(ctx, Step::Restore);
            ctx.emit(Output::LoadStore { effect });
        }
    }

    pub(super) fn restored(&mut self, ctx: &mut Ctx, loaded: Result<StoreSnapshot, Error>) {
        self.restoring = false;
        match loaded {
            Ok(snapshot) => {
                self.store_version = snapshot.version;
                if let Some(stored) = snapshot.session {
                    return self.take_up(ctx, snapshot.version, *stored);
                }
            }
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                self.read_store_later(ctx);
            }
        }
        // A socket that was made meanwhile waited to hear whether there is a token.
        self.changes.push(Change::Settled);
    }

    /// Is signed in by what the store holds. An exchange that was begun is finished first: by whoever began it, if that
    /// holder is alive; else with its key.
    pub(super) fn take_up(&mut self, ctx: &mut Ctx, version: StoreVersion, stored: StoredSession) {
        let unfinished = stored.intent.is_some();
        self.identity += 1;
        self.adopt_stored(ctx, version, stored, Change::SignedIn);
        if unfinished {
            self.start_refresh(ctx, RefreshReason::Retry);
        } else {
            self.token_expired_if_so(ctx);
        }
    }

    pub(super) fn token_expired_if_so(&mut self, ctx: &mut Ctx) {
        if self
            .holding
            .as_ref()
            .is_some_and(|holding| ctx.now.mono >= holding.life.valid_until())
        {
            self.token_expired(ctx);
        }
    }

    pub(crate) fn login(&mut self, ctx: &mut Ctx, call: CallId, credentials: &[(String, Secret)]) {
        let Some(endpoint) = self.endpoints.login.clone() else {
            let error = Error::new(ErrorKind::Unsupported, "this session has no login endpoint");
            return ctx.emit(Output::Reply {
                call,
                result: Err(error),
            });
        };
        self.supersede_sign_ins(ctx);
        let request = request(
            &self.options,
            &endpoint,
            Secrets {
                credentials,
                ..Secrets::default()
            },
        );
        let effect = self.await_answer(ctx, Step::Login { call });
        ctx.emit(Output::Http { effect, request });
    }

    pub(super) fn login_answered(&mut self, ctx: &mut Ctx, call: CallId, answer: Result<HttpAnswer, Error>) {
        let Some(endpoint) = self.endpoints.login.clone() else {
            return;
        };
        let granted = match judge(&Question::Login, &self.options, &endpoint, None, answer, ctx.now) {
            Verdict::Granted(granted) => *granted,
            Verdict::Refused(error) | Verdict::Unreachable(error, _) => {
                return ctx.emit(Output::Reply {
                    call,
                    result: Err(error),
                });
            }
        };
        let claims = Holding::claims_of(&granted.grant.access);
        let received = self.received(ctx);
        let life = Life::of_issued(
            claims.as_ref(),
            granted.grant.expires_in_ms,
            granted.server_unix_ms,
            received,
        );
        self.sign_in(ctx, call, granted.grant, granted.cookies, life);
    }

    /// The application brings a pair from elsewhere.
    pub(crate) fn adopt_grant(&mut self, ctx: &mut Ctx, call: CallId, grant: TokenGrant) {
        if self.options.is_callback() {
            let error = Error::new(
                ErrorKind::Unsupported,
                "a callback session pulls its tokens; they cannot be pushed",
            );
            return ctx.emit(Output::Reply {
                call,
                result: Err(error),
            });
        }
        self.supersede_sign_ins(ctx);
        let claims = Holding::claims_of(&grant.access);
        let life = Life::of_supplied(claims.as_ref(), grant.expires_in_ms, ctx.now);
        self.sign_in(ctx, call, grant, None, life);
    }

    fn sign_in(
        &mut self,
        ctx: &mut Ctx,
        call: CallId,
        grant: TokenGrant,
        cookies: Option<Secret>,
        life: Life,
    ) {
        // Whatever was out for the user before is late from here on (S9).
        self.forget_user(ctx);
        self.restoring = false;
        let mut holding = Holding {
            access: grant.access,
            refresh: grant.refresh,
            cookies,
            life,
            received_unix_ms: unix_of(ctx.now, life.received),
            expires_at: None,
            user: grant.user,
            rotation: self.rotation_above(None),
            intent: None,
            first_asked: None,
            interrupted: false,
        };
        holding.set_expires_at(ctx);
        if self.durable {
            let next = holding.clone();
            self.swap_store(
                ctx,
                Some(&next),
                Step::StoreSignIn {
                    call,
                    holding: Box::new(holding),
                },
            );
        } else {
            self.signed_in(ctx, call, holding);
        }
    }

    pub(super) fn sign_in_stored(
        &mut self,
        ctx: &mut Ctx,
        call: CallId,
        mut holding: Box<Holding>,
        swapped: Result<Swapped, Error>,
    ) {
        match swapped {
            Ok(Swapped::Done(version)) => self.store_version = version,
            Ok(Swapped::Conflict(snapshot)) => {
                // A sign-in is the user's will and wins over whatever the store holds.
                self.store_version = snapshot.version;
                holding.rotation = self.rotation_above(snapshot.session.map(|stored| stored.rotation));
                let next = holding.clone();
                return self.swap_store(ctx, Some(&next), Step::StoreSignIn { call, holding });
            }
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                // The user before may have been given another pair while this was being tried.
                holding.rotation = self.rotation_above(None);
            }
        }
        self.signed_in(ctx, call, *holding);
    }

    /// A number above every pair that the store ever held, so that of two pairs the newer is known: a pair takes at
    /// least one write, so none has a higher number than the version that came with it; unless a store failed, and the
    /// number grew without it.
    fn rotation_above(&self, stored: Option<u64>) -> u64 {
        let ours = self.holding.as_ref().map_or(0, |holding| holding.rotation);
        ours.max(stored.unwrap_or(0))
            .max(self.store_version.0)
            .max(self.ended.rotation)
            .saturating_add(1)
    }

    fn signed_in(&mut self, ctx: &mut Ctx, call: CallId, holding: Holding) {
        // Also what was begun for the user before while this sign-in was being stored.
        self.forget_user(ctx);
        let user = holding.user.clone();
        self.identity += 1;
        self.adopt(ctx, holding, Change::SignedIn);
        ctx.emit(Output::Reply {
            call,
            result: Ok(Reply::SignedIn { user }),
        });
    }

    /// Signs out: here at once and in any case, at the server if it can be reached (S11).
    pub(crate) fn logout(&mut self, ctx: &mut Ctx, call: CallId) {
        let request = match (&self.endpoints.logout, &self.holding) {
            (Some(endpoint), Some(_)) => Some(request(&self.options, endpoint, self.secrets())),
            _ => None,
        };
        self.sign_out(ctx, SignOutCause::LoggedOut);
        if let Some(mut request) = request {
            request.timeout_ms = request.timeout_ms.min(LONGEST_REVOKE_MS);
            let limit = request.timeout_ms;
            let effect = self.await_answer(ctx, Step::Revoke { call });
            ctx.timers.set(Timer::Effect(effect), ctx.now.mono + limit + 250);
            ctx.emit(Output::Http { effect, request });
        }
        self.logouts.push(Logout { call, revoked: false });
    }

    /// Answers the sign-outs that are done: the server has answered or was given up, and the store is clear, so that a
    /// program which ends next leaves nothing behind.
    pub(super) fn answer_logouts(&mut self, ctx: &mut Ctx) {
        let clearing = self
            .pending
            .iter()
            .any(|p| matches!(p.step, Step::ClearStore { .. }));
        if clearing || self.logouts.is_empty() {
            return;
        }
        for logout in std::mem::take(&mut self.logouts) {
            let revoking = |step: &Step| matches!(step, Step::Revoke { call } if *call == logout.call);
            if self.pending.iter().any(|p| revoking(&p.step)) {
                self.logouts.push(logout);
            } else {
                let result = Ok(Reply::SignedOut {
                    revoked: logout.revoked,
                });
                ctx.emit(Output::Reply {
                    call: logout.call,
                    result,
                });
            }
        }
    }

    pub(super) fn revoke_answered(&mut self, call: CallId, revoked: bool) {
        if let Some(logout) = self.logouts.iter_mut().find(|logout| logout.call == call) {
            logout.revoked = revoked;
        }
    }

    /// Ends the session here: nothing that was out for it counts any more.
    pub(super) fn sign_out(&mut self, ctx: &mut Ctx, cause: SignOutCause) {
        self.supersede_sign_ins(ctx);
        self.forget_user(ctx);
        let left = self.holding.take();
        self.restoring = false;
        self.trouble = None;
        self.attempts_ended += 1;
        self.identity += 1;
        self.sign_out_cause = cause;
        self.ended = Ended {
            rotation: left.as_ref().map_or(self.ended.rotation, |left| left.rotation),
            cleared: cause == SignOutCause::SignedOutElsewhere,
        };
        for timer in [Timer::RefreshDue, Timer::RefreshRetry, Timer::TokenExpired] {
            ctx.timers.clear(timer);
        }
        if self.durable && cause != SignOutCause::SignedOutElsewhere {
            // The user's own will clears whatever is there.
            let keep = left
                .as_ref()
                .filter(|_| cause != SignOutCause::LoggedOut)
                .map(|holding| holding.rotation);
            self.clear_store(ctx, 1, keep);
        }
        self.publish(ctx);
        self.changes
            .push(if left.is_some() || self.options.is_callback() {
                Change::SignedOut
            } else {
                Change::Settled
            });
    }

    /// Stops waiting for everything that is out for the user.
    fn forget_user(&mut self, ctx: &mut Ctx) {
        let forgotten = self.forget(ctx, |step| {
            !matches!(step, Step::Revoke { .. } | Step::Verify { .. })
        });
        self.hinted |= forgotten.iter().any(|step| matches!(step, Step::Look));
        self.refreshing = None;
        self.other_holder = None;
        self.refused = false;
        self.replaces_refused = false;
    }

    fn clear_store(&mut self, ctx: &mut Ctx, tries: u32, keep: Option<u64>) {
        self.swap_store(ctx, None, Step::ClearStore { tries, keep });
    }

    pub(super) fn store_cleared(
        &mut self,
        ctx: &mut Ctx,
        tries: u32,
        keep: Option<u64>,
        swapped: Result<Swapped, Error>,
    ) {
        let again = tries < MOST_STORE_TRIES && self.holding.is_none();
        match swapped {
            Ok(Swapped::Done(version)) => {
                self.store_version = version;
                self.ended.cleared = true;
            }
            Ok(Swapped::Conflict(snapshot)) => {
                let version = snapshot.version;
                self.store_version = version;
                self.ended.cleared = snapshot.session.is_none();
                match snapshot.session {
                    // It was our pair that was old, not the session: another holder has the next one (S8).
                    Some(stored)
                        if self.holding.is_none() && keep.is_some_and(|ours| stored.rotation > ours) =>
                    {
                        self.take_up(ctx, version, *stored);
                    }
                    // A write of ours that was on its way, or another holder's refresh: signed out means signed out.
                    Some(_) if again => self.clear_store(ctx, tries + 1, keep),
                    _ => {}
                }
            }
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                if again {
                    self.clear_store(ctx, tries + 1, keep);
                }
            }
        }
    }

    /// Asks the server whether the token is good.
    pub(crate) fn verify(&mut self, ctx: &mut Ctx, call: CallId) {
        let error = match (&self.endpoints.verify, &self.holding) {
            (Some(endpoint), Some(_)) => {
                let request = request(&self.options, endpoint, self.secrets());
                let effect = self.await_answer(ctx, Step::Verify { call });
                return ctx.emit(Output::Http { effect, request });
            }
            (None, _) => Error::new(ErrorKind::Unsupported, "this session has no verify endpoint"),
            (_, None) => Error::new(ErrorKind::SignedOut, "nobody is signed in"),
        };
        ctx.emit(Output::Reply {
            call,
            result: Err(error),
        });
    }

    /// A sign-in that was still out when something newer came: its caller hears so.
    fn supersede_sign_ins(&mut self, ctx: &mut Ctx) {
        for step in self.forget(ctx, |step| {
            matches!(step, Step::Login { .. } | Step::StoreSignIn { .. })
        }) {
            if let Step::Login { call } | Step::StoreSignIn { call, .. } = step {
                let error = Error::new(
                    ErrorKind::Superseded,
                    "a newer sign-in or sign-out took this one's place",
                );
                ctx.emit(Output::Reply {
                    call,
                    result: Err(error),
                });
            }
        }
    }
}
