//! What a token says about itself: read, never trusted (checking the signature is the server's job).

use crate::json::Json;
use crate::time::{Mono, Now};

/// The longest token that is read, in bytes; a longer one is treated as opaque.
const LONGEST_TOKEN: usize = 64 * 1024;

/// The registered claims that the SDK uses, and all claims for the application. All are optional.
///
/// What the application's own claims say is in [`all`](Self::all):
///
/// ```
/// use freshsocket::{Claims, Json};
///
/// // {"sub":"ada","exp":99,"role":"admin"}
/// let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5LCJyb2xlIjoiYWRtaW4ifQ.";
/// let claims = Claims::read(token).unwrap();
/// assert_eq!(claims.all.at("/role").and_then(Json::as_str), Some("admin"));
/// assert_eq!(claims.issued_at, None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// `exp`, in seconds since 1970 (RFC 7519, section 4.1.4).
    pub expires_at: Option<f64>,
    /// `iat`, in seconds since 1970 (RFC 7519, section 4.1.6).
    pub issued_at: Option<f64>,
    /// `sub`.
    pub subject: Option<String>,
    /// Every claim, as it stands in the token.
    pub all: Json,
}

impl Claims {
    /// Reads the claims of a JWT; `None` for anything else (an opaque token is not an error).
    ///
    /// ```
    /// let claims = freshsocket::Claims::read("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5fQ.").unwrap();
    /// assert_eq!((claims.subject.as_deref(), claims.expires_at), (Some("ada"), Some(99.0)));
    /// assert!(freshsocket::Claims::read("opaque").is_none());
    /// ```
    pub fn read(token: &str) -> Option<Self> {
        if token.len() > LONGEST_TOKEN {
            return None;
        }
        let all: Json = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
        if !matches!(all, Json::Obj(_)) {
            return None;
        }
        // NumericDate may have a fraction (RFC 7519, section 2), and some servers send it as a string.
        let date = |pointer: &str| {
            all.at(pointer)
                .and_then(Json::as_f64)
                .filter(|seconds| *seconds >= 0.0)
        };
        Some(Self {
            expires_at: date("/exp"),
            issued_at: date("/iat"),
            subject: all.at("/sub").and_then(Json::as_str).map(str::to_owned),
            all,
        })
    }
}

/// A lifetime above this is taken as this: about 100 years, far from the ends of every number used.
const LONGEST_LIFE_MS: f64 = 100.0 * 365.0 * 86_400_000.0;

/// The clocks of two machines that share a store differ by a little; up to a minute is taken for that.
const HOLDERS_APART_MS: u64 = 60_000;

/// How long a token lives, on the machine's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) received: Mono,
    /// From `received` on; `None`: without expiry.
    pub(crate) lifetime_ms: Option<u64>,
}

impl Life {
    /// The life of a token that the server issued just now (S6): `exp − iat` from receipt; without `iat`, what the
    /// answer said; else `exp` by the server's own clock where its Date header showed it, by ours where not.
    pub(crate) fn of_issued(
        claims: Option<&Claims>,
        expires_in_ms: Option<u64>,
        server_unix_ms: Option<u64>,
        now: Now,
    ) -> Self {
        let exp = claims.and_then(|c| c.expires_at);
        let iat = claims.and_then(|c| c.issued_at);
        let lifetime_ms = match (exp, iat, expires_in_ms) {
            (Some(exp), Some(iat), _) if exp > iat => Some(whole_ms((exp - iat) * 1000.0)),
            (_, _, Some(ms)) => Some(ms),
            (Some(exp), _, None) => {
                let left = exp * 1000.0 - server_unix_ms.unwrap_or(now.unix_ms) as f64;
                // "Issued expired" means that the clock we compared with is wrong. Then nothing is known, and the
                // token is used until it is refused: a storm of refreshes would not make it any better.
                (left > 0.0).then(|| whole_ms(left))
            }
            (None, _, None) => None,
        };
        // Less than a millisecond is as good as nothing known, too.
        let lifetime_ms = lifetime_ms
            .filter(|ms| *ms > 0)
            .map(|ms| ms.min(LONGEST_LIFE_MS as u64));
        Self {
            received: now.mono,
            lifetime_ms,
        }
    }

    /// The life of a token that the application supplied: it may have been cached for a while, so what counts is what
    /// is left of it by our clock, as long as our clock makes sense with it.
    pub(crate) fn of_supplied(claims: Option<&Claims>, expires_in_ms: Option<u64>, now: Now) -> Self {
        let whole = Self::of_issued(claims, expires_in_ms, None, now);
        let by_our_clock = claims
            .and_then(|c| c.expires_at)
            .map(|exp| exp * 1000.0 - now.unix_ms as f64);
        let lifetime_ms = match (whole.lifetime_ms, by_our_clock) {
            // A clock that says "expired", or "expires later than it lives", is a wrong clock: nobody supplies that.
            (Some(whole_ms), Some(left)) if left > 0.0 && left <= whole_ms as f64 => Some(left as u64),
            (whole_ms, _) => whole_ms,
        };
        Self {
            received: now.mono,
            lifetime_ms,
        }
    }

    /// The life of a token that was stored at `received_unix_ms`, as far as the wall clock can tell.
    ///
    /// "Received in the future" means that the clock was set back and the age is unknown: a token that can be renewed is
    /// renewed, one that cannot is used until it is refused. `oldest_ms`: it is known to be no older than this, because
    /// the store did not hold it before. Then that is its age where our clock says that it was stored expired or will be
    /// stored tomorrow: two holders whose clocks are days apart would else renew each other's tokens in circles.
    pub(crate) fn of_stored(
        lifetime_ms: Option<u64>,
        received_unix_ms: u64,
        oldest_ms: Option<u64>,
        renewable: bool,
        now: Now,
    ) -> Self {
        let left = lifetime_ms.map(|life| {
            let ahead = received_unix_ms.saturating_sub(now.unix_ms);
            let age = now.unix_ms.saturating_sub(received_unix_ms);
            let by_clock = (ahead <= HOLDERS_APART_MS.min(life / 10)).then(|| life.saturating_sub(age));
            match (by_clock, oldest_ms) {
                (Some(left), _) if left > 0 => left,
                (_, Some(oldest)) => life.saturating_sub(oldest),
                (Some(_), None) => 0,
                (None, None) if renewable => 0,
                (None, None) => life,
            }
        });
        Self {
            received: now.mono,
            lifetime_ms: left,
        }
    }

    pub(crate) fn valid_until(self) -> Mono {
        self.lifetime_ms.map_or(Mono::NEVER, |ms| self.received + ms)
    }

    /// How long before its expiry this token is due for renewal: the smaller of the fixed margin and the given part of
    /// the lifetime.
    pub(crate) fn margin_ms(self, fixed_ms: u64, fraction: f64) -> u64 {
        self.lifetime_ms
            .map_or(0, |life| fixed_ms.min((life as f64 * fraction) as u64))
    }
}

fn whole_ms(ms: f64) -> u64 {
    ms.clamp(0.0, LONGEST_LIFE_MS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        mono: Mono(5_000),
        unix_ms: 1_700_000_000_000,
    };

    fn claims(exp: Option<f64>, iat: Option<f64>) -> Claims {
        Claims {
            expires_at: exp,
            issued_at: iat,
            subject: None,
            all: Json::Null,
        }
    }

    #[test]
    fn s6_lifetime_is_exp_minus_iat_whatever_our_clock_says() {
        let days_ahead = claims(Some(1_800_000_060.0), Some(1_800_000_000.0));
        assert_eq!(
            Life::of_issued(Some(&days_ahead), Some(5), None, NOW).lifetime_ms,
            Some(60_000)
        );
    }

    #[test]
    fn s6_without_iat_expires_in_then_the_servers_clock_then_ours() {
        let no_iat = claims(Some(1_700_000_100.0), None);
        let life = |expires_in, server| Life::of_issued(Some(&no_iat), expires_in, server, NOW).lifetime_ms;
        assert_eq!(life(Some(7_000), Some(1)), Some(7_000));
        assert_eq!(life(None, Some(1_700_000_070_000)), Some(30_000));
        assert_eq!(life(None, None), Some(100_000));
    }

    #[test]
    fn s6_opaque_tokens_live_as_told_or_for_ever() {
        assert_eq!(Life::of_issued(None, Some(9), None, NOW).lifetime_ms, Some(9));
        assert_eq!(Life::of_issued(None, None, None, NOW).valid_until(), Mono::NEVER);
    }

    #[test]
    fn s1_a_cached_token_of_a_callback_has_only_its_rest_left() {
        let cached = claims(Some(1_700_000_600.0), Some(1_699_997_000.0));
        assert_eq!(
            Life::of_supplied(Some(&cached), None, NOW).lifetime_ms,
            Some(600_000)
        );
        let our_clock_is_days_wrong = claims(Some(1_600_003_600.0), Some(1_600_000_000.0));
        assert_eq!(
            Life::of_supplied(Some(&our_clock_is_days_wrong), None, NOW).lifetime_ms,
            Some(3_600_000)
        );
    }

    #[test]
    fn malformed_tokens_are_opaque() {
        for token in [
            "",
            ".",
            "..",
            "a.b.c",
            "e30.e30",
            "e30.W10.",
            "e30.bnVsbA.",
            "\u{0}.\u{0}.\u{0}",
        ] {
            assert_eq!(Claims::read(token), None, "{token:?}");
        }
        let huge = format!("e30.{}.", "A".repeat(LONGEST_TOKEN));
        assert_eq!(Claims::read(&huge), None);
    }

    #[test]
    fn numbers_at_the_ends_do_not_overflow() {
        for exp in [0.0, -1.0, 1e300, f64::MAX] {
            let odd = claims(Some(exp), Some(0.0));
            let life = Life::of_issued(Some(&odd), None, None, NOW);
            let end = life.valid_until();
            assert!(end == Mono::NEVER || end <= NOW.mono + LONGEST_LIFE_MS as u64);
        }
    }
}
