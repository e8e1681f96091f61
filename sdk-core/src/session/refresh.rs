//! Refreshing: one at a time, stored before used, refused told apart from unreachable (S3, S6, S8, S9).

use super::requests::{Granted, Question, Verdict, judge, request};
use super::{Change, Holding, Session, Step, Trouble};
use crate::backoff;
use crate::claims::{Claims, Life};
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::io::{CallbackAnswer, HttpAnswer, Output};
use crate::secret::{AccessToken, Secret};
use crate::state::{RefreshReason, SessionEvent, SignOutCause};
use crate::store::{RefreshIntent, StoreSnapshot, Swapped};
use crate::time::{Mono, Now, unix_of};
use crate::timer::Timer;

/// How often a pair is offered to a store that keeps changing under us before it is used without.
const MOST_STORE_TRIES: u32 = 5;
/// Two refreshes that succeed are at least this far apart, however short the tokens live.
const LEAST_REFRESH_GAP_MS: u64 = 500;
/// Full jitter may draw nothing at all; a retry waits at least this long.
const LEAST_RETRY_MS: u64 = 50;
/// How soon a callback that keeps giving the same token is asked again.
const SAME_TOKEN_PAUSE_MS: u64 = 5_000;

/// How long ago the server issued a token, by its own clock.
fn age_by_server(claims: Option<&Claims>, server_unix_ms: Option<u64>) -> Option<u64> {
    let issued_at = claims?.issued_at?;
    Some((server_unix_ms? as f64 - issued_at * 1000.0).max(0.0) as u64)
}

impl Session {
    /// Somebody needs a token that is valid for the margin: refresh unless there is one, one is being fetched, or the
    /// last attempt failed and the next is scheduled.
    pub(crate) fn token_needed(&mut self, ctx: &mut Ctx) {
        if self.restoring || self.refreshing.is_some() || self.is_fresh(ctx) {
            return;
        }
        let waiting = self
            .trouble
            .as_ref()
            .is_some_and(|trouble| ctx.now.mono < trouble.next_attempt);
        if !waiting && (self.holding.is_some() || self.options.is_callback()) {
            self.start_refresh(ctx, RefreshReason::Needed);
        }
    }

    /// A server refused the token with this number. Refreshes unless it is no longer the one in use.
    pub(crate) fn token_rejected(&mut self, ctx: &mut Ctx, number: u64) {
        if !self.is_current(number) || self.restoring {
            return;
        }
        // Remembered also where the next attempt is out or scheduled: a cached token will not do then either.
        self.refused = true;
        let waiting = self
            .trouble
            .as_ref()
            .is_some_and(|trouble| ctx.now.mono < trouble.next_attempt);
        if self.refreshing.is_none() && !waiting {
            self.start_refresh(ctx, RefreshReason::Refused);
        }
    }

    pub(super) fn refresh_due(&mut self, ctx: &mut Ctx) {
        if self.can_refresh() {
            if self.refreshing.is_none() && self.trouble.is_none() {
                self.start_refresh(ctx, RefreshReason::Timer);
            }
        } else if let Some(expires_at) = self.holding.as_ref().and_then(|holding| holding.expires_at)
            && !std::mem::replace(&mut self.said_expiring_soon, true)
        {
            ctx.emit(Output::SessionEvent(SessionEvent::ExpiringSoon { expires_at }));
        }
    }

    pub(super) fn token_expired(&mut self, ctx: &mut Ctx) {
        if self.holding.is_some() && !self.can_refresh() {
            self.sign_out(ctx, SignOutCause::Expired);
        } else if self.options.refresh.proactive && !ctx.timers.is_set(Timer::RefreshDue) {
            self.token_needed(ctx);
        }
    }

    pub(super) fn start_refresh(&mut self, ctx: &mut Ctx, why: RefreshReason) {
        if self.refreshing.is_some() || !self.can_refresh() {
            return;
        }
        self.refreshing = Some(why);
        self.replaces_refused = self.refused;
        ctx.timers.clear(Timer::RefreshDue);
        ctx.timers.clear(Timer::RefreshRetry);
        ctx.emit(Output::SessionEvent(SessionEvent::RefreshStarted { why }));
        if self.options.is_callback() {
            let forced = self.refused;
            let effect = self.await_answer(ctx, Step::Callback { forced });
            ctx.emit(Output::AskCallback {
                effect,
                force: forced,
            });
            return;
        }
        let key = ctx.rng.hex128();
        let at_unix_ms = ctx.now.unix_ms;
        if let Some(holding) = &mut self.holding {
            holding.intent.get_or_insert(RefreshIntent {
                key,
                at_unix_ms,
                asked_unix_ms: at_unix_ms,
                lease: 0,
            });
        }
        if self.durable && self.other_holder.is_some() {
            self.look_at_store(ctx);
        } else if self.durable {
            self.store_intent(ctx);
        } else {
            self.ask_server(ctx);
        }
    }

    pub(super) fn ask_server(&mut self, ctx: &mut Ctx) {
        let Some(endpoint) = self.endpoints.refresh.clone() else {
            return;
        };
        let mut request = request(&self.options, &endpoint, self.secrets());
        let key = self
            .holding
            .as_ref()
            .and_then(|holding| holding.intent.as_ref())
            .map(|intent| intent.key.as_str());
        if let (Some(name), Some(key)) = (&self.options.refresh.idempotency_header, key) {
            request.extra_header = Some((name.clone(), Secret::from(key)));
        }
        let now = ctx.now.mono;
        let first_asked = self
            .holding
            .as_mut()
            .map_or(now, |holding| *holding.first_asked.get_or_insert(now));
        let effect = self.await_answer(
            ctx,
            Step::Refresh {
                again: first_asked < now,
            },
        );
        ctx.emit(Output::Http { effect, request });
    }

    pub(super) fn refresh_answered(&mut self, ctx: &mut Ctx, again: bool, answer: Result<HttpAnswer, Error>) {
        let (Some(endpoint), Some(holding)) = (self.endpoints.refresh.clone(), self.holding.clone()) else {
            return;
        };
        let question = Question::Refresh(&self.options.refresh.refused_statuses);
        match judge(
            &question,
            &self.options,
            &endpoint,
            holding.cookies.as_ref(),
            answer,
            ctx.now,
        ) {
            Verdict::Granted(granted) => {
                let holding = self.succeeding(ctx, holding, *granted, again);
                if self.durable {
                    // Durable first: a new refresh token that only this process knows dies with it (S8).
                    let next = holding.clone();
                    let step = Step::StoreRefresh {
                        holding: Box::new(holding),
                        tries: 1,
                    };
                    self.swap_store(ctx, Some(&next), step);
                } else {
                    self.adopt(ctx, holding, Change::Refreshed);
                }
            }
            // Another holder may have rotated in the meantime: then it is our token that is old (S8).
            Verdict::Refused(refusal) if self.durable => self.read_again(ctx, refusal, 1),
            Verdict::Refused(refusal) => self.refused(ctx, refusal),
            Verdict::Unreachable(error, hint) => self.refresh_failed(ctx, error, hint),
        }
    }

    /// The pair that follows on `old`.
    fn succeeding(&self, ctx: &Ctx, old: Holding, granted: Granted, again: bool) -> Holding {
        let claims = Holding::claims_of(&granted.grant.access);
        let mut received = self.received(ctx);
        if again && self.options.refresh.idempotency_header.is_some() {
            // A server that honours the key gives the answer again that it gave the first time: the token is as old.
            let longest = received.mono.since(old.first_asked.unwrap_or(received.mono));
            // Of an exchange that another process began we know the beginning by wall clocks only.
            let age = age_by_server(claims.as_ref(), granted.server_unix_ms).map_or(longest, |age| {
                if old.interrupted { age } else { age.min(longest) }
            });
            received = Now {
                mono: received.mono - age,
                unix_ms: received.unix_ms.saturating_sub(age),
            };
        }
        let mut life = Life::of_issued(
            claims.as_ref(),
            granted.grant.expires_in_ms,
            granted.server_unix_ms,
            received,
        );
        let end = claims.as_ref().and_then(|claims| claims.expires_at);
        let is_over = |server_ms: u64| end.is_some_and(|end| end * 1000.0 <= server_ms as f64);
        let is_late = again && granted.server_unix_ms.is_some_and(is_over);
        if is_late || life.valid_until() <= ctx.now.mono {
            // Given again, or heard, so late that it has expired: that is no sign of a wrong clock, neither here nor to
            // those who read it in the store.
            life.lifetime_ms = Some(0);
        }
        let mut holding = Holding {
            access: granted.grant.access,
            refresh: granted.grant.refresh.or(old.refresh),
            cookies: granted.cookies.or(old.cookies),
            life,
            received_unix_ms: received.unix_ms,
            expires_at: None,
            user: granted.grant.user.or(old.user),
            rotation: old.rotation.saturating_add(1),
            intent: None,
            first_asked: None,
            interrupted: false,
        };
        holding.set_expires_at(ctx);
        holding
    }

    pub(super) fn refresh_stored(
        &mut self,
        ctx: &mut Ctx,
        holding: Box<Holding>,
        tries: u32,
        swapped: Result<Swapped, Error>,
    ) {
        match swapped {
            Ok(Swapped::Done(version)) => {
                self.store_version = version;
                self.adopt(ctx, *holding, Change::Refreshed);
            }
            Ok(Swapped::Conflict(snapshot)) => {
                let lost = self.is_lost(&snapshot);
                let version = snapshot.version;
                self.store_version = version;
                match snapshot.session {
                    // Signed out elsewhere while the answer was on its way: the answer loses (S9).
                    None if !lost => self.sign_out(ctx, SignOutCause::SignedOutElsewhere),
                    // As new as ours: another holder rotated too, or signed somebody else in. One pair for all.
                    Some(stored) if stored.rotation >= holding.rotation => {
                        self.adopt_stored(ctx, version, *stored, Change::Refreshed);
                    }
                    _ if tries < MOST_STORE_TRIES => {
                        let next = holding.clone();
                        self.swap_store(
                            ctx,
                            Some(&next),
                            Step::StoreRefresh {
                                holding,
                                tries: tries + 1,
                            },
                        );
                    }
                    _ => {
                        let error = Error::new(
                            ErrorKind::StoreFailed,
                            "the store kept changing while a pair was written",
                        );
                        ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                        self.adopt(ctx, *holding, Change::Refreshed);
                    }
                }
            }
            Err(error) => {
                // The old pair is spent already; signing the user out because a disk is full helps nobody.
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                self.adopt(ctx, *holding, Change::Refreshed);
            }
        }
    }

    fn read_again(&mut self, ctx: &mut Ctx, refusal: Error, tries: u32) {
        let effect = self.await_answer(ctx, Step::Reread { refusal, tries });
        ctx.emit(Output::LoadStore { effect });
    }

    pub(super) fn reread(
        &mut self,
        ctx: &mut Ctx,
        refusal: Error,
        tries: u32,
        loaded: Result<StoreSnapshot, Error>,
    ) {
        let ours = self.holding.as_ref().map_or(0, |holding| holding.rotation);
        let stored = match loaded {
            Ok(snapshot) => {
                self.store_version = snapshot.version;
                snapshot.session
            }
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                if tries < MOST_STORE_TRIES {
                    return self.read_again(ctx, refusal, tries + 1);
                }
                None
            }
        };
        match stored {
            Some(stored) if stored.rotation > ours => {
                self.adopt_stored(ctx, self.store_version, *stored, Change::Refreshed);
            }
            _ => self.refused(ctx, refusal),
        }
    }

    fn refused(&mut self, ctx: &mut Ctx, refusal: Error) {
        let interrupted = self.holding.as_ref().is_some_and(|holding| holding.interrupted);
        let cause = if interrupted {
            SignOutCause::RefreshInterrupted
        } else {
            SignOutCause::RefreshRefused
        };
        ctx.emit(Output::SessionEvent(SessionEvent::RefreshFailed {
            error: refusal,
        }));
        self.sign_out(ctx, cause);
    }

    pub(super) fn callback_answered(&mut self, ctx: &mut Ctx, forced: bool, answer: CallbackAnswer) {
        self.restoring = false;
        match answer {
            CallbackAnswer::Token {
                access,
                expires_in_ms,
            } => {
                let same = self
                    .holding
                    .as_ref()
                    .is_some_and(|holding| holding.access == access);
                if same {
                    // It thinks that its token is still good; there is nothing new to adopt.
                    let message = if forced {
                        "the token callback gave the refused token again"
                    } else {
                        "the token callback gave the same token again"
                    };
                    let error = Error::new(ErrorKind::CallbackFailed, message);
                    // Asked again soon, and when the token expires at the latest: by then there must be another.
                    let pause = SAME_TOKEN_PAUSE_MS + ctx.rng.up_to(SAME_TOKEN_PAUSE_MS / 5);
                    let left = self.left_ms(ctx);
                    let pause = if left > 0 { pause.min(left + 1) } else { pause };
                    return self.try_again_in(ctx, error, pause, false);
                }
                let holding = self.supplied(ctx, access, expires_in_ms);
                let newcomer = self.holding.is_none();
                if newcomer {
                    self.identity += 1;
                }
                self.adopt(
                    ctx,
                    holding,
                    if newcomer {
                        Change::SignedIn
                    } else {
                        Change::Refreshed
                    },
                );
            }
            CallbackAnswer::SignedOut => self.sign_out(ctx, SignOutCause::SaidByCallback),
            CallbackAnswer::Unreachable(error) => self.refresh_failed(ctx, error, None),
        }
    }

    fn supplied(&self, ctx: &Ctx, access: AccessToken, expires_in_ms: Option<u64>) -> Holding {
        let claims = Holding::claims_of(&access);
        let received = self.received(ctx);
        let mut holding = Holding {
            life: Life::of_supplied(claims.as_ref(), expires_in_ms, received),
            access,
            refresh: None,
            cookies: None,
            received_unix_ms: received.unix_ms,
            expires_at: None,
            user: None,
            rotation: 0,
            intent: None,
            first_asked: None,
            interrupted: false,
        };
        holding.set_expires_at(ctx);
        holding
    }

    /// Makes a pair the session's own: publish, tell, re-arm.
    pub(super) fn adopt(&mut self, ctx: &mut Ctx, holding: Holding, mut change: Change) {
        // A callback, or another holder of the store, may bring the token of somebody else (W10).
        if change == Change::Refreshed && self.holding.as_ref().is_some_and(|old| !old.same_user(&holding)) {
            self.identity += 1;
            change = Change::SignedIn;
        }
        // Whatever else is out for the pair before is late (S9): a lease that was asked for, a look at the store.
        self.forget(ctx, |step| {
            matches!(
                step,
                Step::StoreIntent { .. }
                    | Step::LookFirst
                    | Step::Watch
                    | Step::Refresh { .. }
                    | Step::StoreRefresh { .. }
                    | Step::Reread { .. }
                    | Step::Callback { .. }
            )
        });
        let token = holding.access.clone();
        let expires_at = holding.expires_at;
        let valid = ctx.now.mono < holding.life.valid_until();
        self.holding = Some(holding);
        self.token_number += 1;
        self.refused = false;
        if change == Change::SignedIn {
            self.refused_for_good_at = None;
        }
        if std::mem::take(&mut self.replaces_refused) {
            self.replaced_refused = Some((self.token_number, ctx.now.mono));
        }
        self.attempts_ended += 1;
        self.refreshing = None;
        self.other_holder = None;
        self.trouble = None;
        self.said_expiring_soon = false;
        self.arm(ctx);
        self.publish(ctx);
        // A pair from the store may have expired while nobody ran: it buys the next one and is told to nobody.
        if valid {
            ctx.emit(Output::SessionEvent(SessionEvent::Refreshed {
                token: self.token_number,
                expires_at,
            }));
            ctx.emit(Output::TokenRefreshed { token });
        }
        self.changes.push(change);
    }

    /// The attempt ended without a token: keep what there is and try again (S8).
    pub(super) fn refresh_failed(&mut self, ctx: &mut Ctx, error: Error, hint_ms: Option<u64>) {
        let retries = self.trouble.as_ref().map_or(0, |trouble| trouble.retries);
        let mut delay = backoff::delay_ms(&self.options.refresh.retry, retries, hint_ms, &mut ctx.rng);
        // While the present token lives there is something to lose: look once more before it does not.
        let left = self.left_ms(ctx);
        if hint_ms.is_none() && left > LEAST_REFRESH_GAP_MS && left < delay {
            delay = left / 2 + ctx.rng.up_to(left / 4);
        }
        self.try_again_in(ctx, error, delay, hint_ms.is_some());
    }

    /// The device has network again: what failed for the want of it is tried now, unless it was tried just before or
    /// the server said when.
    pub(crate) fn network_is_back(&mut self, ctx: &mut Ctx) {
        let Some(trouble) = self.trouble.as_mut().filter(|trouble| !trouble.told_when) else {
            return;
        };
        let earliest = ctx.now.mono.max(trouble.failed_at + LEAST_REFRESH_GAP_MS);
        if self.refreshing.is_none() && earliest < trouble.next_attempt {
            trouble.next_attempt = earliest;
            trouble.next_attempt_unix_ms = unix_of(ctx.now, earliest);
            ctx.timers.set(Timer::RefreshRetry, earliest);
        }
    }

    /// How long the present token is valid yet.
    fn left_ms(&self, ctx: &Ctx) -> u64 {
        self.holding
            .as_ref()
            .map_or(0, |holding| holding.life.valid_until().since(ctx.now.mono))
    }

    fn try_again_in(&mut self, ctx: &mut Ctx, error: Error, delay_ms: u64, told_when: bool) {
        let retries = self.trouble.as_ref().map_or(0, |trouble| trouble.retries);
        let since_unix_ms = self
            .trouble
            .as_ref()
            .map_or(ctx.now.unix_ms, |trouble| trouble.since_unix_ms);
        let next_attempt = ctx.now.mono + delay_ms.max(LEAST_RETRY_MS);
        self.refreshing = None;
        self.attempts_ended += 1;
        self.trouble = Some(Trouble {
            since_unix_ms,
            retries: retries.saturating_add(1),
            cause: error.clone(),
            next_attempt,
            next_attempt_unix_ms: unix_of(ctx.now, next_attempt),
            failed_at: ctx.now.mono,
            told_when,
        });
        ctx.timers.set(Timer::RefreshRetry, next_attempt);
        self.publish(ctx);
        ctx.emit(Output::SessionEvent(SessionEvent::RefreshFailed { error }));
        self.changes.push(Change::Settled);
    }

    /// Sets the timers of the token in use (S6).
    fn arm(&mut self, ctx: &mut Ctx) {
        ctx.timers.clear(Timer::RefreshDue);
        ctx.timers.clear(Timer::RefreshRetry);
        ctx.timers.clear(Timer::TokenExpired);
        let Some(holding) = &self.holding else { return };
        let end = holding.life.valid_until();
        if end == Mono::NEVER {
            return;
        }
        let margin = self.margin_ms(holding.life);
        ctx.timers.set(Timer::TokenExpired, end);
        if self.options.refresh.proactive || !self.can_refresh() {
            let jitter = ctx.rng.up_to(margin / 5);
            let due = (end - margin - jitter).max(ctx.now.mono + LEAST_REFRESH_GAP_MS);
            ctx.timers.set(Timer::RefreshDue, due);
        }
    }
}
