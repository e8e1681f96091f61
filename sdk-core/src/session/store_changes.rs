//! What other holders of the store did, followed before the next refresh would show it (S10).
//!
//! A store that can tell gives hints. After a hint the store is read, and what it holds decides; a version that is known
//! already, by a write of our own for instance, is passed over. Nothing rests on hints: a holder that gets none finds
//! the same at its next refresh, and compare-and-swap alone says who may write.
//!
//! One store holds one session. Whoever holds the store follows: signed out by one is signed out for all, and so is
//! signed in. A sign-in or sign-out of our own that is under way is settled first, by the store's version; then the store
//! is read.

use super::{Change, Session, Step};
use crate::backoff::delay_ms;
use crate::ctx::Ctx;
use crate::error::Error;
use crate::io::Output;
use crate::state::{SessionEvent, SignOutCause};
use crate::store::{StoreSnapshot, StoreVersion, Swapped};
use crate::timer::Timer;

/// A store that could not be read is left alone for this long at least, in milliseconds.
const LEAST_STORE_GAP_MS: u64 = 500;

impl Session {
    /// The store may have changed.
    pub(crate) fn store_changed(&mut self) {
        self.hinted |= self.durable && !self.options.is_callback();
    }

    /// Reads the store after a hint; one read at a time, however many hints there are. An access of our own that is under
    /// way comes first.
    pub(super) fn look_if_hinted(&mut self, ctx: &mut Ctx) {
        let busy = |step: &Step| {
            !matches!(
                step,
                Step::Refresh { .. } | Step::Callback { .. } | Step::Revoke { .. } | Step::Verify { .. }
            )
        };
        if !self.hinted || self.pending.iter().any(|pending| busy(&pending.step)) {
            return;
        }
        self.hinted = false;
        if self.refreshing.is_some() && self.other_holder.is_some() {
            // We wait for another holder's pair: the next look is now.
            ctx.timers.clear(Timer::RefreshRetry);
            return self.look_at_store(ctx);
        }
        let effect = self.await_answer(ctx, Step::Look);
        ctx.emit(Output::LoadStore { effect });
    }

    pub(super) fn looked_for_change(&mut self, ctx: &mut Ctx, loaded: Result<StoreSnapshot, Error>) {
        match loaded {
            Ok(snapshot) => self.follow(ctx, snapshot),
            Err(error) => {
                ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error }));
                self.read_store_later(ctx);
            }
        }
    }

    /// Nobody knows yet whether somebody is signed in: a store that is back in a moment is to show it, whether it hints or
    /// not. Once it has been read, or something was written, its failures are those of the accesses that meet them.
    pub(super) fn read_store_later(&mut self, ctx: &mut Ctx) {
        if self.holding.is_none() && self.store_seen.is_none() {
            let wait = delay_ms(&self.options.refresh.retry, self.store_tries, None, &mut ctx.rng);
            self.store_tries = self.store_tries.saturating_add(1);
            ctx.timers
                .set(Timer::StoreRetry, ctx.now.mono + wait.max(LEAST_STORE_GAP_MS));
        }
    }

    /// Does what the other holders did. The version is remembered only with what it brought: a lease of another holder
    /// that we would pass over here must be in our way when we want to refresh ourselves.
    fn follow(&mut self, ctx: &mut Ctx, snapshot: StoreSnapshot) {
        let version = snapshot.version;
        if version == self.store_version {
            return;
        }
        let lost = self.is_lost(&snapshot);
        let ours = self.holding.as_ref().map(|holding| holding.rotation);
        match (snapshot.session, ours) {
            (None, Some(_)) if lost => self.put_back(ctx, version),
            (None, Some(_)) => {
                self.store_version = version;
                self.sign_out(ctx, SignOutCause::SignedOutElsewhere);
            }
            (None, None) => {
                self.store_version = version;
                self.ended.cleared = true;
            }
            (Some(stored), Some(ours)) if stored.rotation > ours => {
                self.drop_exchange(ctx);
                self.adopt_stored(ctx, version, *stored, Change::Refreshed);
                self.token_expired_if_so(ctx);
            }
            (Some(stored), None) if self.may_be_signed_in_by(stored.rotation) => {
                self.take_up(ctx, version, *stored);
            }
            // Another holder asks for the next pair; or a pair older than ours, or one that was signed out here.
            _ => {}
        }
    }

    /// Versions only grow. A store that is empty at a lower one than before was not cleared by anybody: it lost what it
    /// held (a file was removed, a server restarted without its data), and that ends no session.
    pub(super) fn is_lost(&self, snapshot: &StoreSnapshot) -> bool {
        snapshot.session.is_none() && snapshot.version < self.store_version
    }

    fn put_back(&mut self, ctx: &mut Ctx, version: StoreVersion) {
        self.store_version = version;
        let holding = self.holding.clone();
        self.swap_store(ctx, holding.as_ref(), Step::PutBack);
    }

    pub(super) fn put_back_answered(&mut self, ctx: &mut Ctx, swapped: Result<Swapped, Error>) {
        match swapped {
            Ok(Swapped::Done(version)) => self.store_version = version,
            Ok(Swapped::Conflict(snapshot)) => self.follow(ctx, snapshot),
            Err(error) => ctx.emit(Output::SessionEvent(SessionEvent::StoreFailed { error })),
        }
    }

    /// What was signed out here does not come back, even where the store could not be cleared: only a session that was
    /// stored after it was seen clear is a new one.
    fn may_be_signed_in_by(&self, rotation: u64) -> bool {
        self.ended.cleared && rotation > self.ended.rotation
    }

    /// Our own exchange is overtaken by a newer pair; its answer would be late (S9).
    fn drop_exchange(&mut self, ctx: &mut Ctx) {
        let is_exchange = |step: &Step| matches!(step, Step::Refresh { .. });
        for pending in &self.pending {
            if is_exchange(&pending.step) {
                let effect = pending.effect;
                ctx.emit(Output::Cancel { effect });
            }
        }
        self.forget(ctx, is_exchange);
    }
}
