//! Several holders of one session (S10): the intent in the store is a lease on the refresh token.
//!
//! Whoever writes the intent by compare-and-swap may ask the server; the network call itself is made under no lock. The
//! others wait for the pair that it buys, and look again every moment. A holder that died, froze or is slow delays them
//! by at most the lease, counted from when they first saw its intent (the wall clocks of two machines need not agree);
//! then one of them takes the exchange over, with the same key.

use super::{Change, Session, Step};
use crate::ctx::Ctx;
use crate::error::Error;
use crate::io::Output;
use crate::state::{SessionEvent, SignOutCause};
use crate::store::{RefreshIntent, StoreSnapshot, StoreVersion, StoredSession, Swapped};
use crate::time::Mono;
use crate::timer::Timer;

/// The greatest number that JSON keeps exact everywhere.
const MOST_EXACT: u64 = (1 << 53) - 1;

/// How often those who wait look at the store, at least; as much again is jitter.
const LOOK_MS: u64 = 150;

/// Another holder's lease, as seen from here.
#[derive(Clone, Copy, Debug)]
pub(super) struct OtherHolder {
    /// The store's version when it was seen: every attempt of that holder makes a new one.
    version: StoreVersion,
    /// When it is over.
    until: Mono,
}

impl Session {
    /// Said before it is done, so that other holders wait, and a process which dies in between is understood by the next.
    pub(super) fn store_intent(&mut self, ctx: &mut Ctx) {
        self.write_intent(ctx, false);
    }

    fn write_intent(&mut self, ctx: &mut Ctx, again: bool) {
        self.other_holder = None;
        if let Some(intent) = self.holding.as_mut().and_then(|holding| holding.intent.as_mut()) {
            intent.asked_unix_ms = ctx.now.unix_ms;
            // Processes that woke together may ask in the same millisecond, with the key of the one before.
            intent.lease = ctx.rng.up_to(MOST_EXACT);
            self.own_leases = (self.own_leases.1, Some(intent.lease));
        }
        let holding = self.holding.clone();
        self.swap_store(ctx, holding.as_ref(), Step::StoreIntent { again });
    }

    pub(super) fn intent_stored(&mut self, ctx: &mut Ctx, again: bool, swapped: Result<Swapped, Error>) {
        match swapped {
            Ok(Swapped::Done(version)) => {
                self.store_version = version;
                let (gone, lease) = (ctx.now.mono.since(self.asked_at.mono), self.answer_limit_ms());
                // The device slept after it was written: to others the lease may be over. And one that a slow store has
                // left little of would be over while the request is out; but a store that is always slow is no reason
                // to ask for ever.
                if gone >= lease || gone >= lease / 2 && !again {
                    return self.write_intent(ctx, true);
                }
            }
            Ok(Swapped::Conflict(snapshot)) => return self.another_was_quicker(ctx, snapshot),
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                let effect = self.await_answer(ctx, Step::LookFirst);
                return ctx.emit(Output::LoadStore { effect });
            }
        }
        self.ask_server(ctx);
    }

    /// The intent could not be written. What can be read may show that another holder was quicker: to send a refresh
    /// token that was exchanged before could end the session for all. A store that cannot be read either keeps nobody
    /// from going on without it.
    pub(super) fn looked_first(&mut self, ctx: &mut Ctx, loaded: Result<StoreSnapshot, Error>) {
        match loaded {
            Ok(snapshot) if self.is_ahead_of_us(&snapshot) => self.another_was_quicker(ctx, snapshot),
            Ok(_) => self.ask_server(ctx),
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                self.ask_server(ctx);
            }
        }
    }

    /// Whether another holder has signed out, has the next pair, or is asking for it.
    fn is_ahead_of_us(&self, snapshot: &StoreSnapshot) -> bool {
        let Some(stored) = &snapshot.session else {
            return !self.is_lost(snapshot);
        };
        let ours = self.holding.as_ref().map_or(0, |holding| holding.rotation);
        stored.rotation > ours || self.is_asked_by_another(stored)
    }

    /// Whether another holder is exchanging the very refresh token that we hold.
    fn is_asked_by_another(&self, stored: &StoredSession) -> bool {
        let Some(ours) = self
            .holding
            .as_ref()
            .filter(|ours| ours.rotation == stored.rotation)
        else {
            return false;
        };
        // The key alone does not tell: whoever takes an exchange over goes on with the key of the one before.
        let is_ours = |intent: &RefreshIntent| {
            let lease = Some(intent.lease);
            ours.intent
                .as_ref()
                .is_some_and(|our_own| our_own.key == intent.key)
                && (lease == self.own_leases.0 || lease == self.own_leases.1)
        };
        stored.intent.as_ref().is_some_and(|intent| !is_ours(intent))
    }

    /// Time to look whether the other holder is done.
    pub(super) fn look_at_store(&mut self, ctx: &mut Ctx) {
        let effect = self.await_answer(ctx, Step::Watch);
        ctx.emit(Output::LoadStore { effect });
    }

    pub(super) fn looked_at_store(&mut self, ctx: &mut Ctx, loaded: Result<StoreSnapshot, Error>) {
        match loaded {
            Ok(snapshot) => self.another_was_quicker(ctx, snapshot),
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                match self.other_holder {
                    Some(other) if ctx.now.mono < other.until => Self::look_again(ctx),
                    _ => self.store_intent(ctx),
                }
            }
        }
    }

    /// The store moved on under us: what does that mean for our refresh?
    fn another_was_quicker(&mut self, ctx: &mut Ctx, snapshot: StoreSnapshot) {
        let lost = self.is_lost(&snapshot);
        let version = snapshot.version;
        self.store_version = version;
        let Some(stored) = snapshot.session else {
            return if lost {
                self.store_intent(ctx);
            } else {
                self.sign_out(ctx, SignOutCause::SignedOutElsewhere);
            };
        };
        let ours = self.holding.as_ref().map_or(0, |holding| holding.rotation);
        if stored.rotation > ours {
            return self.adopt_stored(ctx, version, *stored, Change::Refreshed);
        }
        if !self.is_asked_by_another(&stored) {
            // An older pair, or a write of our own whose answer was lost.
            return self.store_intent(ctx);
        }
        match self.other_holder {
            Some(other) if other.version == version && ctx.now.mono >= other.until => {
                self.take_over(ctx, *stored);
            }
            Some(other) if other.version == version => Self::look_again(ctx),
            _ => {
                let until = ctx.now.mono + self.answer_limit_ms();
                self.other_holder = Some(OtherHolder { version, until });
                Self::look_again(ctx);
            }
        }
    }

    /// Adopts the pair that the store holds. Where it says that its refresh token is being exchanged, whoever does that
    /// may be alive and has the rest of its lease.
    pub(super) fn adopt_stored(
        &mut self,
        ctx: &mut Ctx,
        version: StoreVersion,
        stored: StoredSession,
        change: Change,
    ) {
        self.store_version = version;
        let left = stored
            .intent
            .as_ref()
            .map_or(0, |intent| self.lease_left(ctx, intent));
        let mut holding = self.read_from(ctx, stored);
        if left > 0 {
            // Read from the store again when it is taken over.
            (holding.intent, holding.first_asked, holding.interrupted) = (None, None, false);
        }
        self.adopt(ctx, holding, change);
        self.taken_from_store = self.token_number;
        self.other_holder = (left > 0).then(|| OtherHolder {
            version,
            until: ctx.now.mono + left,
        });
    }

    /// An intent that lay in the store before we looked may be old: then nobody is waited for. Here the wall clocks do
    /// count; one that runs ahead by a lease costs a second request with the same key.
    fn lease_left(&self, ctx: &Ctx, intent: &RefreshIntent) -> u64 {
        let asked = intent.asked_unix_ms.max(intent.at_unix_ms);
        let age = ctx.now.unix_ms.saturating_sub(asked);
        // Too short a time only has us wait for longer.
        let oldest = self
            .store_seen_before()
            .map_or(age, |before| ctx.now.mono.since(before.mono));
        self.answer_limit_ms().saturating_sub(age.min(oldest))
    }

    /// The other holder's time does not pass while the device sleeps: it may be another process of this one. (A clock
    /// that is set forward looks the same.)
    pub(super) fn lease_slept(&mut self, slept_ms: u64) {
        if let Some(other) = &mut self.other_holder {
            other.until = other.until + slept_ms;
        }
    }

    fn look_again(ctx: &mut Ctx) {
        ctx.timers.set(
            Timer::RefreshRetry,
            ctx.now.mono + LOOK_MS + ctx.rng.up_to(LOOK_MS),
        );
    }

    /// The other holder said nothing for the length of a lease: its exchange is ours to finish.
    fn take_over(&mut self, ctx: &mut Ctx, stored: StoredSession) {
        // Found again because our own word for it could not be written, it is ours already.
        self.own_leases.1 = stored.intent.as_ref().map(|intent| intent.lease);
        let theirs = self.read_from(ctx, stored);
        if let Some(holding) = &mut self.holding {
            holding.intent = theirs.intent;
            holding.first_asked = theirs.first_asked;
            holding.interrupted = true;
        }
        self.store_intent(ctx);
    }
}
