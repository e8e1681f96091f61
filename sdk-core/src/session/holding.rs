//! The tokens of the signed-in user: what a session holds, stores and shows to connections.

use super::Pass;
use crate::claims::{Claims, Life};
use crate::ctx::Ctx;
use crate::json::Json;
use crate::secret::{AccessToken, RefreshToken, Secret};
use crate::store::{RefreshIntent, StoredSession};
use crate::time::{Mono, unix_of};

/// Where a user record says whose it is: the member that both records have decides.
const NAMES_OF_IDS: [&str; 8] = [
    "/id",
    "/pk",
    "/uuid",
    "/sub",
    "/user_id",
    "/username",
    "/email",
    "/name",
];

/// The tokens of the signed-in user.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) access: AccessToken,
    pub(super) refresh: Option<RefreshToken>,
    pub(super) cookies: Option<Secret>,
    pub(super) life: Life,
    pub(super) received_unix_ms: u64,
    /// What `life` means on the wall clock, computed once so that the published state does not flicker.
    pub(super) expires_at: Option<u64>,
    pub(super) user: Option<Json>,
    pub(super) rotation: u64,
    /// The idempotency key of this refresh token's one exchange.
    pub(super) intent: Option<RefreshIntent>,
    /// When this refresh token was first sent, if it was.
    pub(super) first_asked: Option<Mono>,
    /// The intent was found in the store: a process died in the middle of the exchange.
    pub(super) interrupted: bool,
}

impl Holding {
    pub(super) fn pass(&self, number: u64) -> Pass {
        Pass::Token {
            access: self.access.clone(),
            cookies: self.cookies.clone(),
            number,
            valid_until: self.life.valid_until(),
        }
    }

    pub(super) fn set_expires_at(&mut self, ctx: &Ctx) {
        self.expires_at = self
            .life
            .lifetime_ms
            .map(|_| unix_of(ctx.now, self.life.valid_until()));
    }

    pub(super) fn stored(&self) -> StoredSession {
        StoredSession {
            access: self.access.clone(),
            refresh: self.refresh.clone(),
            cookies: self.cookies.clone(),
            received_unix_ms: self.received_unix_ms,
            lifetime_ms: self.life.lifetime_ms,
            user: self.user.clone(),
            rotation: self.rotation,
            intent: self.intent.clone(),
        }
    }

    /// `oldest_ms`: it is no older than this, if that is known.
    pub(super) fn from_stored(
        stored: StoredSession,
        oldest_ms: Option<u64>,
        renewable: bool,
        ctx: &Ctx,
    ) -> Self {
        let mut holding = Self {
            access: stored.access,
            refresh: stored.refresh,
            cookies: stored.cookies,
            // What is left of it from now on: stored again, it must mean the same.
            life: Life::of_stored(
                stored.lifetime_ms,
                stored.received_unix_ms,
                oldest_ms,
                renewable,
                ctx.now,
            ),
            received_unix_ms: ctx.now.unix_ms,
            expires_at: None,
            user: stored.user,
            rotation: stored.rotation,
            first_asked: stored.intent.as_ref().map(|intent| {
                // An intent of the future is of any age: the clock was set back since.
                let age = ctx.now.unix_ms.checked_sub(intent.at_unix_ms);
                ctx.now.mono - age.unwrap_or(u64::MAX)
            }),
            interrupted: stored.intent.is_some(),
            intent: stored.intent,
        };
        holding.set_expires_at(ctx);
        holding
    }

    /// Whether both are the same user's, as far as the tokens tell.
    pub(super) fn same_user(&self, other: &Self) -> bool {
        // `user_id` is what simple-JWT writes in place of `sub`.
        let user = |holding: &Self| {
            let claims = Self::claims_of(&holding.access)?;
            claims
                .all
                .at("/sub")
                .or_else(|| claims.all.at("/user_id"))
                .cloned()
        };
        let by_record = || {
            let (one, two) = self.user.as_ref().zip(other.user.as_ref())?;
            let id = NAMES_OF_IDS
                .iter()
                .find_map(|name| one.at(name).zip(two.at(name)))?;
            Some(id.0 == id.1)
        };
        // Opaque tokens say nothing; the record that came with them may.
        let same = user(self)
            .zip(user(other))
            .map(|(one, two)| one == two)
            .or_else(by_record);
        self.access == other.access || same.unwrap_or(true)
    }

    /// The claims of the token, for judging its life.
    pub(super) fn claims_of(access: &AccessToken) -> Option<Claims> {
        if access.is_empty() {
            None
        } else {
            Claims::read(access.expose())
        }
    }
}
