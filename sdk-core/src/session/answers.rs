//! What was asked of the world, and what its answers are for. An answer that nobody waits for any more is dropped.

use super::Session;
use super::holding::Holding;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::io::{CallId, CallbackAnswer, EffectId, HttpAnswer, Output, Reply};
use crate::state::RefreshReason;
use crate::store::{StoreSnapshot, StoreVersion, Swapped};
use crate::time::{Now, SLEEP_THRESHOLD_MS};
use crate::timer::Timer;

/// An answer that is awaited.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) effect: EffectId,
    pub(super) step: Step,
    pub(super) asked_at: Now,
    pub(super) slept_ms: u64,
}

/// What an awaited answer is for.
#[derive(Debug)]
pub(super) enum Step {
    Restore,
    Login {
        call: CallId,
    },
    StoreSignIn {
        call: CallId,
        holding: Box<Holding>,
    },
    /// `again`: the write before took so long that the lease was half over.
    StoreIntent {
        again: bool,
    },
    LookFirst,
    Watch,
    Look,
    PutBack,
    /// `again`: not the first time that this refresh token is sent.
    Refresh {
        again: bool,
    },
    StoreRefresh {
        holding: Box<Holding>,
        tries: u32,
    },
    Reread {
        refusal: Error,
        tries: u32,
    },
    Callback {
        forced: bool,
    },
    Revoke {
        call: CallId,
    },
    /// `keep`: a session that another holder stored after the one with this rotation stays.
    ClearStore {
        tries: u32,
        keep: Option<u64>,
    },
    Verify {
        call: CallId,
    },
}

/// A look at the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreSeen {
    /// When it was asked for: what it did not show was written later.
    at: Now,
    version: StoreVersion,
    /// When the look before that was asked for, which did not show this version; `None`: there was none.
    written_after: Option<Now>,
}

impl StoreSeen {
    /// A time before this version was written, if one is known.
    pub(super) fn before(&self, version: StoreVersion) -> Option<Now> {
        if version == self.version {
            self.written_after
        } else {
            Some(self.at)
        }
    }
}

/// Whether the wall clock was set back since: then it may have hidden a sleep, and more time may have passed than the
/// monotonic clock shows.
pub(super) fn was_set_back(since: Now, now: Now) -> bool {
    let by_wall = now.unix_ms.saturating_sub(since.unix_ms);
    by_wall.saturating_add(SLEEP_THRESHOLD_MS) < now.mono.since(since.mono)
}

impl Session {
    // ---- answers ----

    pub(crate) fn on_http(&mut self, ctx: &mut Ctx, effect: EffectId, answer: Result<HttpAnswer, Error>) {
        match self.take_step(ctx, effect) {
            Some(Step::Login { call }) => self.login_answered(ctx, call, answer),
            Some(Step::Refresh { again }) => self.refresh_answered(ctx, again, answer),
            Some(Step::Revoke { call }) => {
                let revoked = answer.is_ok_and(|answer| (200..300).contains(&answer.status));
                self.revoke_answered(call, revoked);
            }
            Some(Step::Verify { call }) => {
                let result = answer.and_then(|answer| verified(&answer));
                ctx.emit(Output::Reply {
                    call,
                    result: result.map(Reply::Verified),
                });
            }
            _ => {}
        }
    }

    pub(crate) fn on_loaded(
        &mut self,
        ctx: &mut Ctx,
        effect: EffectId,
        loaded: Result<StoreSnapshot, Error>,
    ) {
        let seen = loaded.as_ref().ok().map(|snapshot| snapshot.version);
        match self.take_step(ctx, effect) {
            Some(Step::Restore) => self.restored(ctx, loaded),
            Some(Step::Watch) => self.looked_at_store(ctx, loaded),
            Some(Step::LookFirst) => self.looked_first(ctx, loaded),
            Some(Step::Look) => self.looked_for_change(ctx, loaded),
            Some(Step::Reread { refusal, tries }) => self.reread(ctx, refusal, tries, loaded),
            _ => return,
        }
        self.saw_store(seen);
    }

    /// The answer that was handled showed what the store held after it was asked for.
    pub(super) fn saw_store(&mut self, seen: Option<StoreVersion>) {
        let Some(version) = seen else { return };
        let written_after = match self.store_seen {
            Some(last) if last.version == version => last.written_after,
            last => last.map(|last| last.at),
        };
        self.store_seen = Some(StoreSeen {
            at: self.asked_at,
            version,
            written_after,
        });
    }

    pub(crate) fn on_swapped(&mut self, ctx: &mut Ctx, effect: EffectId, swapped: Result<Swapped, Error>) {
        let seen = swapped.as_ref().ok().map(|swapped| match swapped {
            Swapped::Done(version) => *version,
            Swapped::Conflict(snapshot) => snapshot.version,
        });
        match self.take_step(ctx, effect) {
            Some(Step::StoreSignIn { call, holding }) => self.sign_in_stored(ctx, call, holding, swapped),
            Some(Step::StoreIntent { again }) => self.intent_stored(ctx, again, swapped),
            Some(Step::StoreRefresh { holding, tries }) => self.refresh_stored(ctx, holding, tries, swapped),
            Some(Step::ClearStore { tries, keep }) => self.store_cleared(ctx, tries, keep, swapped),
            Some(Step::PutBack) => self.put_back_answered(ctx, swapped),
            _ => return,
        }
        self.saw_store(seen);
    }

    pub(crate) fn on_callback(&mut self, ctx: &mut Ctx, effect: EffectId, answer: CallbackAnswer) {
        if let Some(Step::Callback { forced }) = self.take_step(ctx, effect) {
            self.callback_answered(ctx, forced, answer);
        }
    }

    pub(crate) fn on_timer(&mut self, ctx: &mut Ctx, timer: Timer) {
        match timer {
            Timer::RefreshDue => self.refresh_due(ctx),
            Timer::TokenExpired => self.token_expired(ctx),
            Timer::RefreshRetry if self.other_holder.is_some() => self.look_at_store(ctx),
            Timer::RefreshRetry => self.start_refresh(ctx, RefreshReason::Retry),
            Timer::StoreRetry if self.holding.is_none() => self.store_changed(),
            Timer::Effect(effect) => self.effect_timed_out(ctx, effect),
            _ => {}
        }
    }

    /// A driver that never answers, or a callback that hangs, is the same as a server that cannot be reached.
    pub(super) fn effect_timed_out(&mut self, ctx: &mut Ctx, effect: EffectId) {
        let Some(step) = self.take_step(ctx, effect) else {
            return;
        };
        ctx.emit(Output::Cancel { effect });
        let late = |kind| Error::new(kind, "no answer within the time limit");
        match step {
            Step::Login { call } => self.login_answered(ctx, call, Err(late(ErrorKind::Unreachable))),
            Step::Refresh { again } => self.refresh_answered(ctx, again, Err(late(ErrorKind::Unreachable))),
            Step::Callback { forced } => {
                let answer = CallbackAnswer::Unreachable(late(ErrorKind::CallbackFailed));
                self.callback_answered(ctx, forced, answer);
            }
            Step::Revoke { call } => self.revoke_answered(call, false),
            Step::Verify { call } => {
                ctx.emit(Output::Reply {
                    call,
                    result: Err(late(ErrorKind::Unreachable)),
                });
            }
            Step::Restore => self.restored(ctx, Err(late(ErrorKind::StoreFailed))),
            Step::Reread { refusal, tries } => {
                self.reread(ctx, refusal, tries, Err(late(ErrorKind::StoreFailed)));
            }
            Step::StoreSignIn { call, holding } => {
                self.sign_in_stored(ctx, call, holding, Err(late(ErrorKind::StoreFailed)));
            }
            Step::Watch => self.looked_at_store(ctx, Err(late(ErrorKind::StoreFailed))),
            Step::LookFirst => self.looked_first(ctx, Err(late(ErrorKind::StoreFailed))),
            Step::Look => self.looked_for_change(ctx, Err(late(ErrorKind::StoreFailed))),
            Step::PutBack => self.put_back_answered(ctx, Err(late(ErrorKind::StoreFailed))),
            Step::StoreIntent { again } => {
                self.intent_stored(ctx, again, Err(late(ErrorKind::StoreFailed)));
            }
            Step::StoreRefresh { holding, tries } => {
                self.refresh_stored(ctx, holding, tries, Err(late(ErrorKind::StoreFailed)));
            }
            Step::ClearStore { tries, keep } => {
                self.store_cleared(ctx, tries, keep, Err(late(ErrorKind::StoreFailed)));
            }
        }
    }

    // ---- effects ----

    /// Numbers an effect, remembers what its answer is for, and limits the wait for it.
    pub(super) fn await_answer(&mut self, ctx: &mut Ctx, step: Step) -> EffectId {
        let effect = ctx.effect();
        // The driver keeps the same limit where it can; this one holds when it cannot.
        let limit = self.answer_limit_ms();
        ctx.timers.set(Timer::Effect(effect), ctx.now.mono + limit);
        self.pending.push(Pending {
            effect,
            step,
            asked_at: ctx.now,
            slept_ms: 0,
        });
        effect
    }

    pub(super) fn answer_limit_ms(&self) -> u64 {
        self.options.request_timeout_ms.saturating_add(1_000)
    }

    pub(super) fn take_step(&mut self, ctx: &mut Ctx, effect: EffectId) -> Option<Step> {
        let at = self.pending.iter().position(|pending| pending.effect == effect)?;
        ctx.timers.clear(Timer::Effect(effect));
        let Pending {
            step,
            slept_ms,
            asked_at,
            ..
        } = self.pending.swap_remove(at);
        self.slept_meanwhile_ms = slept_ms;
        self.asked_at = asked_at;
        Some(step)
    }

    /// When the answer being handled was received, or would have been, had the device not slept.
    pub(super) fn received(&self, ctx: &Ctx) -> Now {
        let slept = self.slept_meanwhile_ms;
        Now {
            mono: ctx.now.mono - slept,
            unix_ms: ctx.now.unix_ms.saturating_sub(slept),
        }
    }

    /// Stops waiting for the answers that `late` names; they will be dropped when they come.
    pub(super) fn forget(&mut self, ctx: &mut Ctx, late: impl Fn(&Step) -> bool) -> Vec<Step> {
        let (forgotten, kept): (Vec<Pending>, _) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| late(&pending.step));
        self.pending = kept;
        for pending in &forgotten {
            ctx.timers.clear(Timer::Effect(pending.effect));
        }
        forgotten.into_iter().map(|pending| pending.step).collect()
    }

    pub(super) fn swap_store(&mut self, ctx: &mut Ctx, next: Option<&Holding>, step: Step) {
        let next = next.map(|holding| {
            let mut stored = holding.stored();
            if holding.life.valid_until() <= ctx.now.mono {
                // Said here, where it is known: a reader whose clock disagrees takes what is new in the store for young.
                stored.lifetime_ms = Some(0);
            }
            Box::new(stored)
        });
        let effect = self.await_answer(ctx, step);
        ctx.emit(Output::SwapStore {
            effect,
            expected: self.store_version,
            next,
        });
    }

    /// Nobody ran for so long: an answer that is handled now may have come at its beginning.
    pub(crate) fn stalled(&mut self, ms: u64) {
        for pending in &mut self.pending {
            pending.slept_ms = pending.slept_ms.saturating_add(ms);
        }
    }
}

fn verified(answer: &HttpAnswer) -> Result<bool, Error> {
    match answer.status {
        200..=299 => Ok(true),
        400..=403 => Ok(false),
        status => Err(Error::new(
            ErrorKind::Unreachable,
            "the server could not say whether the token is good",
        )
        .with_status(status)),
    }
}
