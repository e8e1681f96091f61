//! Signing in, being signed in from before, and signing out (S1, S9, S11).

use super::requests::{Question, Secrets, Verdict, judge, request};
use super::{Change, Holding, Session, Step};
use crate::claims::Life;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::io::{CallId, HttpAnswer, Output, Reply, TokenGrant};
use crate::secret::Secret;
use crate::state::{RefreshReason, SessionEvent, SignOutCause};
use crate::store::{StoreSnapshot, Swapped};
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
                    let holding = Holding::from_stored(*stored, ctx);
                    self.identity += 1;
                    self.take_up(ctx, holding);
                }
            }
            Err(error) => ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error })),
        }
    }

    /// Takes a stored pair up; the exchange that a dead process began is finished first, with its key.
    fn take_up(&mut self, ctx: &mut Ctx, holding: Holding) {
        let unfinished = holding.interrupted;
        self.adopt(ctx, holding, Change::SignedIn);
        if unfinished {
            self.start_refresh(ctx, RefreshReason::Retry);
        } else {
            self.token_expired_if_so(ctx);
        }
    }

    fn token_expired_if_so(&mut self, ctx: &mut Ctx) {
        if self.holding.as_ref().is_some_and(|holding| ctx.now.mono >= holding.life.valid_until()) {
            self.token_expired(ctx);
        }
    }

    pub(crate) fn login(&mut self, ctx: &mut Ctx, call: CallId, credentials: &[(String, Secret)]) {
        let Some(endpoint) = self.endpoints.login.clone() else {
            let error = Error::new(ErrorKind::Unsupported, "this session has no login endpoint");
            return ctx.emit(Output::Reply { call, result: Err(error) });
        };
        self.supersede_sign_ins(ctx);
        let request = request(&self.options, &endpoint, Secrets { credentials, ..Secrets::default() });
        let effect = self.await_answer(ctx, Step::Login { call });
        ctx.emit(Output::Http { effect, request });
    }

    pub(super) fn login_answered(&mut self, ctx: &mut Ctx, call: CallId, answer: Result<HttpAnswer, Error>) {
        let Some(endpoint) = self.endpoints.login.clone() else { return };
        let granted = match judge(&Question::Login, &self.options, &endpoint, None, answer, ctx.now) {
            Verdict::Granted(granted) => *granted,
            Verdict::Refused(error) | Verdict::Unreachable(error, _) => {
                return ctx.emit(Output::Reply { call, result: Err(error) });
            }
        };
        let claims = Holding::claims_of(&granted.grant.access);
        let life = Life::of_issued(claims.as_ref(), granted.grant.expires_in_ms, granted.server_unix_ms, ctx.now);
        self.sign_in(ctx, call, granted.grant, granted.cookies, life);
    }

    /// The application brings a pair from elsewhere.
    pub(crate) fn adopt_grant(&mut self, ctx: &mut Ctx, call: CallId, grant: TokenGrant) {
        if self.options.is_callback() {
            let error = Error::new(ErrorKind::Unsupported, "a callback session pulls its tokens; they cannot be pushed");
            return ctx.emit(Output::Reply { call, result: Err(error) });
        }
        self.supersede_sign_ins(ctx);
        let claims = Holding::claims_of(&grant.access);
        let life = Life::of_supplied(claims.as_ref(), grant.expires_in_ms, ctx.now);
        self.sign_in(ctx, call, grant, None, life);
    }

    fn sign_in(&mut self, ctx: &mut Ctx, call: CallId, grant: TokenGrant, cookies: Option<Secret>, life: Life) {
        // Whatever was out for the user before is late from here on (S9).
        self.forget(ctx, |step| !matches!(step, Step::Revoke { .. } | Step::Verify { .. }));
        self.refreshing = None;
        self.restoring = false;
        let mut holding = Holding {
            access: grant.access,
            refresh: grant.refresh,
            cookies,
            life,
            received_unix_ms: ctx.now.unix_ms,
            expires_at: None,
            user: grant.user,
            // Above whatever the store holds, so that of two pairs the newer is known.
            rotation: self.holding.as_ref().map_or(0, |holding| holding.rotation) + 1,
            intent: None,
            interrupted: false,
        };
        holding.set_expires_at(ctx);
        if self.durable {
            let next = holding.clone();
            self.swap_store(ctx, Some(&next), Step::StoreSignIn { call, holding: Box::new(holding) });
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
                holding.rotation = snapshot.session.map_or(holding.rotation, |s| s.rotation.max(holding.rotation) + 1);
                let next = holding.clone();
                return self.swap_store(ctx, Some(&next), Step::StoreSignIn { call, holding });
            }
            Err(error) => ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error })),
        }
        self.signed_in(ctx, call, *holding);
    }

    fn signed_in(&mut self, ctx: &mut Ctx, call: CallId, holding: Holding) {
        let user = holding.user.clone();
        self.identity += 1;
        self.adopt(ctx, holding, Change::SignedIn);
        ctx.emit(Output::Reply { call, result: Ok(Reply::SignedIn { user }) });
    }

    /// Signs out: here at once and in any case, at the server if it can be reached (S11).
    pub(crate) fn logout(&mut self, ctx: &mut Ctx, call: CallId) {
        let request = match (&self.endpoints.logout, &self.holding) {
            (Some(endpoint), Some(_)) => Some(request(&self.options, endpoint, self.secrets())),
            _ => None,
        };
        self.sign_out(ctx, SignOutCause::LoggedOut);
        match request {
            Some(mut request) => {
                request.timeout_ms = request.timeout_ms.min(LONGEST_REVOKE_MS);
                let limit = request.timeout_ms;
                let effect = self.await_answer(ctx, Step::Revoke { call });
                ctx.timers.set(Timer::Effect(effect), ctx.now.mono + limit + 250);
                ctx.emit(Output::Http { effect, request });
            }
            None => ctx.emit(Output::Reply { call, result: Ok(Reply::SignedOut { revoked: false }) }),
        }
    }

    /// Ends the session here: nothing that was out for it counts any more.
    pub(super) fn sign_out(&mut self, ctx: &mut Ctx, cause: SignOutCause) {
        self.supersede_sign_ins(ctx);
        self.forget(ctx, |step| !matches!(step, Step::Revoke { .. } | Step::Verify { .. }));
        let was_signed_in = self.holding.take().is_some();
        self.restoring = false;
        self.refreshing = None;
        self.trouble = None;
        self.attempts_ended += 1;
        self.identity += 1;
        self.sign_out_cause = cause;
        for timer in [Timer::RefreshDue, Timer::RefreshRetry, Timer::TokenExpired] {
            ctx.timers.clear(timer);
        }
        if self.durable && cause != SignOutCause::SignedOutElsewhere {
            self.clear_store(ctx, 1);
        }
        self.publish(ctx);
        if was_signed_in || self.options.is_callback() {
            self.changes.push(Change::SignedOut);
        }
    }

    fn clear_store(&mut self, ctx: &mut Ctx, tries: u32) {
        self.swap_store(ctx, None, Step::ClearStore { tries });
    }

    pub(super) fn store_cleared(&mut self, ctx: &mut Ctx, tries: u32, swapped: Result<Swapped, Error>) {
        match swapped {
            Ok(Swapped::Done(version)) => self.store_version = version,
            Ok(Swapped::Conflict(snapshot)) => {
                self.store_version = snapshot.version;
                // A write of ours that was on its way, or another holder's refresh: signed out means signed out.
                if snapshot.session.is_some() && tries < MOST_STORE_TRIES && self.holding.is_none() {
                    self.clear_store(ctx, tries + 1);
                }
            }
            Err(error) => ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error })),
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
        ctx.emit(Output::Reply { call, result: Err(error) });
    }

    /// A sign-in that was still out when something newer came: its caller hears so.
    fn supersede_sign_ins(&mut self, ctx: &mut Ctx) {
        for step in self.forget(ctx, |step| matches!(step, Step::Login { .. } | Step::StoreSignIn { .. })) {
            if let Step::Login { call } | Step::StoreSignIn { call, .. } = step {
                let error = Error::new(ErrorKind::Superseded, "a newer sign-in or sign-out took this one's place");
                ctx.emit(Output::Reply { call, result: Err(error) });
            }
        }
    }
}
