//! The session: the tokens of one signed-in user and the rules that keep them fresh (section 1 of the contract).
//!
//! Knows nothing of sockets. Five files hold the rules: `sign_in` (restore, login, adopt, logout), `refresh`
//! (single flight, rotation, refusal and unreachability), `lease` (several holders of one store), `store_changes` (what
//! other holders did, followed at once), `requests` (what goes over HTTP and what answers mean). `holding` is the tokens,
//! `answers` who waits for which answer. This one holds the state, and what the world may see.

mod answers;
mod holding;
mod lease;
mod refresh;
pub(crate) mod requests;
mod sign_in;
mod store_changes;

use answers::{Pending, Step, StoreSeen, was_set_back};

use crate::claims::Life;
use crate::ctx::Ctx;
use crate::error::Error;
use crate::io::{CallId, Output, SessionView, TokenView};
use crate::options::{ResolvedEndpoints, SessionOptions};
use crate::secret::{AccessToken, RefreshToken, Secret};
use crate::state::{RefreshReason, SessionState, SignOutCause};
use crate::store::{StoreVersion, StoredSession};
use crate::time::{Mono, Now};

use holding::Holding;
use lease::OtherHolder;
use requests::Secrets;

/// Refusals by different sockets that are no further apart than this have one cause.
const REFUSAL_STORY_MS: u64 = 30_000;

/// The session's half of the machine.
#[derive(Debug)]
pub(crate) struct Session {
    options: SessionOptions,
    endpoints: ResolvedEndpoints,
    /// Whether there is a store to read and write.
    durable: bool,
    /// The tokens, while somebody is signed in.
    holding: Option<Holding>,
    /// Why not, while nobody is.
    sign_out_cause: SignOutCause,
    restoring: bool,
    /// Why the refresh that is out was started; there is at most one (S3).
    refreshing: Option<RefreshReason>,
    trouble: Option<Trouble>,
    /// Another holder of the store is exchanging the refresh token, and we wait for what it gets (S10).
    other_holder: Option<OtherHolder>,
    /// The leases that we wrote last, or tried to, by the number drawn for them.
    own_leases: (Option<u64>, Option<u64>),
    /// The number of the last token that another holder's exchange brought: it may be as old as the one before.
    taken_from_store: u64,
    store_version: StoreVersion,
    /// Somebody said that the store may have changed, and nobody has looked since.
    hinted: bool,
    /// The session that ended here last.
    ended: Ended,
    /// Effects whose answers are awaited. What is not in here when its answer comes is late, and loses (S9).
    pending: Vec<Pending>,
    /// How long the device slept while the answer being handled was out: a token in it is that much older.
    slept_meanwhile_ms: u64,
    /// When the answer being handled was asked for.
    asked_at: Now,
    /// The last look at the store.
    store_seen: Option<StoreSeen>,
    /// How often it could not be read since the start.
    store_tries: u32,
    /// When a server last refused a token that was issued after its first refusal.
    refused_for_good_at: Option<Mono>,
    /// Grows with every adopted token; also when the user changes.
    token_number: u64,
    /// Grows at every sign-in and sign-out: whose messages are whose (W10).
    identity: u64,
    attempts_ended: u64,
    said_expiring_soon: bool,
    /// A server refused the token in use, so a cached one will not do (callback sessions).
    refused: bool,
    /// The refresh that is out was started after that refusal.
    replaces_refused: bool,
    /// The last token that was fetched because a server refused the one before, and when it came.
    replaced_refused: Option<(u64, Mono)>,
    published: Option<SessionView>,
    changes: Vec<Change>,
    /// Sign-outs whose callers wait.
    logouts: Vec<Logout>,
}

/// A session that ended here: it must not come back through the store.
#[derive(Debug)]
struct Ended {
    rotation: u64,
    /// The store has been without a session since.
    cleared: bool,
}

/// A sign-out that is being carried out.
#[derive(Debug)]
struct Logout {
    call: CallId,
    /// The server has confirmed it.
    revoked: bool,
}

/// The server could not be reached for a new token.
#[derive(Clone, Debug)]
struct Trouble {
    since_unix_ms: u64,
    retries: u32,
    cause: Error,
    next_attempt: Mono,
    /// The same on the wall clock, computed once so that the published state does not flicker.
    next_attempt_unix_ms: u64,
    failed_at: Mono,
    /// The server itself said when to come back.
    told_when: bool,
}

/// What the sockets have to know of what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Somebody signed in, possibly somebody else than before.
    SignedIn,
    /// The same user has a new token.
    Refreshed,
    /// A refresh attempt ended without a new token.
    Settled,
    /// Nobody is signed in any more.
    SignedOut,
}

/// What a connection attempt gets to show who it is (W3).
pub(crate) enum Pass {
    /// A valid token.
    Token {
        access: AccessToken,
        cookies: Option<Secret>,
        number: u64,
        valid_until: Mono,
    },
    /// Wait: a refresh is under way.
    Wait,
    /// Nobody is signed in.
    SignedOut,
    /// There is none now; the session tries again by itself.
    Unreachable { cause: Error, next_attempt: Mono },
}

impl Session {
    pub(crate) fn new(options: SessionOptions, durable: bool) -> Self {
        Self {
            endpoints: options.resolved_endpoints(),
            options,
            durable,
            holding: None,
            sign_out_cause: SignOutCause::NotSignedIn,
            restoring: false,
            refreshing: None,
            trouble: None,
            other_holder: None,
            own_leases: (None, None),
            taken_from_store: 0,
            store_version: StoreVersion::default(),
            hinted: false,
            ended: Ended {
                rotation: 0,
                cleared: true,
            },
            pending: Vec::new(),
            slept_meanwhile_ms: 0,
            asked_at: Now {
                mono: Mono::default(),
                unix_ms: 0,
            },
            store_seen: None,
            store_tries: 0,
            refused_for_good_at: None,
            token_number: 0,
            identity: 0,
            attempts_ended: 0,
            said_expiring_soon: false,
            refused: false,
            replaces_refused: false,
            replaced_refused: None,
            published: None,
            changes: Vec::new(),
            logouts: Vec::new(),
        }
    }

    pub(crate) fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Whose session this is; a new number for every sign-in and sign-out.
    pub(crate) fn identity(&self) -> Option<u64> {
        self.holding.as_ref().map(|_| self.identity)
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The secrets for a request on behalf of the user.
    pub(crate) fn secrets(&self) -> Secrets<'_> {
        let Some(holding) = &self.holding else {
            return Secrets::default();
        };
        Secrets {
            access: Some(&holding.access),
            refresh: holding.refresh.as_ref(),
            cookies: holding.cookies.as_ref(),
            credentials: &[],
        }
    }

    /// A credential for a connection attempt; starts a refresh where one is needed.
    pub(crate) fn pass(&mut self, ctx: &mut Ctx) -> Pass {
        self.token_needed(ctx);
        if self.restoring {
            return Pass::Wait;
        }
        let number = self.token_number;
        match (&self.holding, &self.trouble) {
            (None, None) if self.refreshing.is_some() => Pass::Wait,
            (None, None) => Pass::SignedOut,
            (Some(holding), _) if self.is_fresh(ctx) => holding.pass(number),
            // Not fresh: wait for the new one, unless the server cannot give it and the old one still works.
            _ if self.refreshing.is_some() => Pass::Wait,
            (Some(holding), _) if ctx.now.mono < holding.life.valid_until() => holding.pass(number),
            (_, Some(trouble)) => Pass::Unreachable {
                cause: trouble.cause.clone(),
                next_attempt: trouble.next_attempt,
            },
            (Some(_), None) => Pass::SignedOut,
        }
    }

    /// Whether there is a token or no hope of one for now: no refresh is under way.
    pub(crate) fn is_settled(&self) -> bool {
        !self.restoring && self.refreshing.is_none()
    }

    /// Whether the token with this number is still the one in use (W8: told apart by number, never by text).
    pub(crate) fn is_current(&self, number: u64) -> bool {
        self.holding.is_some() && self.token_number == number
    }

    /// Whether this token was fetched a moment ago because a server refused the one before. Refused as well, by whatever
    /// socket, it is not the token's fault: ten thousand sockets do not ask for ten thousand more.
    pub(crate) fn just_replaced_refused(&self, ctx: &Ctx, number: u64) -> bool {
        self.was_issued_to_us(number)
            && self
                .replaced_refused
                .is_some_and(|(token, at)| token == number && ctx.now.mono.since(at) < REFUSAL_STORY_MS)
    }

    /// A server refused a token that was issued after its first refusal.
    pub(crate) fn refused_for_good(&mut self, ctx: &Ctx) {
        self.refused_for_good_at = Some(ctx.now.mono);
    }

    /// Whether that was a moment ago. Several holders of one session would else buy tokens in turns, each because of the
    /// one that the other bought.
    pub(crate) fn was_refused_for_good_lately(&self, ctx: &Ctx) -> bool {
        self.refused_for_good_at
            .is_some_and(|at| ctx.now.mono.since(at) < REFUSAL_STORY_MS)
    }

    /// Whether the server issued this token when we asked for it. One that was found in the store may have been issued long
    /// before, and a refusal of it says nothing about the next.
    pub(crate) fn was_issued_to_us(&self, number: u64) -> bool {
        number != self.taken_from_store
    }

    /// The number of the newest token that has been asked for, including the one that may be on its way.
    pub(crate) fn newest_token_asked_for(&self) -> u64 {
        self.token_number + u64::from(self.refreshing.is_some())
    }

    /// When the session tries again to reach the server, if it is waiting to.
    pub(crate) fn next_attempt(&self) -> Option<Mono> {
        self.trouble
            .as_ref()
            .filter(|_| self.refreshing.is_none())
            .map(|trouble| trouble.next_attempt)
    }

    pub(crate) fn can_refresh(&self) -> bool {
        self.can_refresh_with(self.holding.as_ref().and_then(|holding| holding.refresh.as_ref()))
    }

    fn can_refresh_with(&self, refresh: Option<&RefreshToken>) -> bool {
        self.options.is_callback()
            || self.endpoints.refresh.is_some() && (self.options.is_cookie() || refresh.is_some())
    }

    /// When the store was seen without what it holds now, which is what the answer being handled brings.
    fn store_seen_before(&self) -> Option<Now> {
        self.store_seen.and_then(|seen| seen.before(self.store_version))
    }

    fn read_from(&self, ctx: &Ctx, stored: StoredSession) -> Holding {
        let renewable = self.can_refresh_with(stored.refresh.as_ref());
        // A pair whose refresh token is being exchanged may be an old one that was stored again. And a bound that may
        // leave out a sleep is none.
        let oldest = self
            .store_seen_before()
            .filter(|before| stored.intent.is_none() && !was_set_back(*before, ctx.now))
            .map(|before| ctx.now.mono.since(before.mono));
        Holding::from_stored(stored, oldest, renewable, ctx)
    }

    fn is_fresh(&self, ctx: &Ctx) -> bool {
        self.holding
            .as_ref()
            .is_some_and(|holding| ctx.now.mono < self.fresh_until(holding))
    }

    fn margin_ms(&self, life: Life) -> u64 {
        life.margin_ms(
            self.options.refresh.margin_ms,
            self.options.refresh.margin_fraction,
        )
    }

    fn fresh_until(&self, holding: &Holding) -> Mono {
        let end = holding.life.valid_until();
        // Without a way to renew it, a token is as good as it gets until it expires.
        if end == Mono::NEVER || !self.can_refresh() {
            end
        } else {
            end - self.margin_ms(holding.life)
        }
    }

    // ---- what the world may see ----

    /// At the end of every input: publishes what is different, answers what is done, looks at what may be new.
    pub(crate) fn settle(&mut self, ctx: &mut Ctx) {
        self.publish(ctx);
        self.answer_logouts(ctx);
        self.look_if_hinted(ctx);
    }

    /// Publishes the session if it looks different from what was published last.
    fn publish(&mut self, ctx: &mut Ctx) {
        let view = self.view(ctx);
        if self.published.as_ref() != Some(&view) {
            self.published = Some(view.clone());
            ctx.emit(Output::PublishSession(view));
        }
    }

    /// The device slept: what was said of times on its clocks is no longer so.
    pub(crate) fn slept(&mut self, ctx: &mut Ctx, slept_ms: u64) {
        self.lease_slept(slept_ms);
        if let Some(holding) = &mut self.holding {
            holding.set_expires_at(ctx);
        }
    }

    fn view(&self, ctx: &Ctx) -> SessionView {
        let valid = self
            .holding
            .as_ref()
            .filter(|holding| ctx.now.mono < holding.life.valid_until());
        let expires_at = valid.and_then(|holding| holding.expires_at);
        let state = match (&self.holding, &self.trouble) {
            _ if self.restoring => SessionState::Restoring,
            (None, None) if self.refreshing.is_none() => SessionState::SignedOut {
                cause: self.sign_out_cause,
            },
            _ if self.refreshing.is_some() => SessionState::Refreshing { expires_at },
            (_, Some(trouble)) => SessionState::Unreachable {
                since: trouble.since_unix_ms,
                cause: trouble.cause.clone(),
                next_attempt: trouble.next_attempt_unix_ms,
                expires_at,
            },
            _ => SessionState::Active { expires_at },
        };
        let token = valid.map(|holding| TokenView {
            token: holding.access.clone(),
            number: self.token_number,
            fresh_until: ctx.to_driver(self.fresh_until(holding)),
            valid_until: ctx.to_driver(holding.life.valid_until()),
            expires_at,
            margin_ms: self.margin_ms(holding.life),
        });
        let user = self.holding.as_ref().and_then(|holding| holding.user.clone());
        SessionView {
            state,
            token,
            user,
            attempts_ended: self.attempts_ended,
            identity: self.identity(),
            cookies: self.holding.as_ref().and_then(|holding| holding.cookies.clone()),
        }
    }
}
