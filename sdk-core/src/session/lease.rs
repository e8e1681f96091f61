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
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use crate::time::Mono;
use crate::timer::Timer;

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
        self.other_holder = None;
        let holding = self.holding.clone();
        self.swap_store(ctx, holding.as_ref(), Step::StoreIntent);
    }

    pub(super) fn intent_stored(&mut self, ctx: &mut Ctx, swapped: Result<Swapped, Error>) {
        match swapped {
            Ok(Swapped::Done(version)) => self.store_version = version,
            Ok(Swapped::Conflict(snapshot)) => return self.another_was_quicker(ctx, snapshot),
            Err(error) => ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error })),
        }
        self.ask_server(ctx);
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
        let version = snapshot.version;
        self.store_version = version;
        let Some(stored) = snapshot.session else {
            return self.sign_out(ctx, SignOutCause::SignedOutElsewhere);
        };
        let (ours, our_key) = match &self.holding {
            Some(holding) => (
                holding.rotation,
                holding.intent.as_ref().map(|intent| &intent.key),
            ),
            None => (0, None),
        };
        if stored.rotation > ours {
            let holding = self.read_from(ctx, *stored);
            return self.adopt(ctx, holding, Change::Refreshed);
        }
        let theirs = stored
            .intent
            .as_ref()
            .filter(|intent| stored.rotation == ours && Some(&intent.key) != our_key);
        if theirs.is_none() {
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

    fn look_again(ctx: &mut Ctx) {
        ctx.timers.set(
            Timer::RefreshRetry,
            ctx.now.mono + LOOK_MS + ctx.rng.up_to(LOOK_MS),
        );
    }

    /// The other holder said nothing for the length of a lease: its exchange is ours to finish.
    fn take_over(&mut self, ctx: &mut Ctx, stored: StoredSession) {
        let theirs = self.read_from(ctx, stored);
        if let Some(holding) = &mut self.holding {
            holding.intent = theirs.intent;
            holding.first_asked = theirs.first_asked;
            holding.interrupted = true;
        }
        self.store_intent(ctx);
    }
}
