//! The play: which faults arrive, in which order, what the contract promises for each, and at what pace.

use std::time::Duration;

/// One fault, from its arrival until it is survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Quiet,
    TokensExpire,
    ServerRestart,
    NetworkCut,
    HalfOpen,
    TokenRefused,
    SlowRefresh,
    FailingRefresh,
    LostAnswer,
    Finale,
}

impl Act {
    /// The whole play, in order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Quiet,
        Self::TokensExpire,
        Self::ServerRestart,
        Self::NetworkCut,
        Self::HalfOpen,
        Self::TokenRefused,
        Self::SlowRefresh,
        Self::FailingRefresh,
        Self::LostAnswer,
        Self::Finale,
    ];

    /// Its number among the faults, from 1; none for the quiet parts.
    pub(crate) fn fault_number(self) -> Option<usize> {
        let faults = Self::ALL.iter().filter(|act| act.is_fault());
        faults
            .zip(1..)
            .find_map(|(act, number)| (*act == self).then_some(number))
    }

    pub(crate) fn is_fault(self) -> bool {
        !matches!(self, Self::Quiet | Self::Finale)
    }

    /// Whether the connection ends, so that one may ask how long it takes to be back.
    pub(crate) fn is_outage(self) -> bool {
        use Act::{HalfOpen, NetworkCut, ServerRestart, TokenRefused, TokensExpire};
        matches!(
            self,
            TokensExpire | ServerRestart | NetworkCut | HalfOpen | TokenRefused
        )
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Quiet => "All quiet",
            Self::TokensExpire => "Tokens expire at the server",
            Self::ServerRestart => "Server restart",
            Self::NetworkCut => "Network cut",
            Self::HalfOpen => "Half-open network",
            Self::TokenRefused => "Token refused",
            Self::SlowRefresh => "Slow refresh",
            Self::FailingRefresh => "Failing refresh",
            Self::LostAnswer => "Lost refresh answer",
            Self::Finale => "All quiet again",
        }
    }

    /// What happens, in one line of at most 74 characters.
    pub(crate) fn happens(self) -> &'static str {
        match self {
            Self::Quiet => "Short-lived tokens, renewed in time; 20 messages a second, echoed.",
            Self::TokensExpire => "Every token is void at once; the server closes the socket with 4401.",
            Self::ServerRestart => "The server closes with 1012, and its port is gone for a while.",
            Self::NetworkCut => "The TCP connection is cut, without a close frame (1006).",
            Self::HalfOpen => "The connection stays open, but nothing gets through any more.",
            Self::TokenRefused => "Cut, and the server answers 401 to the token at the next upgrade.",
            Self::SlowRefresh => "The refresh is slow, and 100 tasks ask for a token meanwhile.",
            Self::FailingRefresh => "Every refresh is answered 503, while the token runs out.",
            Self::LostAnswer => "The server rotates the tokens, and the answer is lost on its way.",
            Self::Finale => "Nothing more happens; the last echoes come home.",
        }
    }

    /// What the contract promises, in one line of at most 74 characters.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Self::Quiet => "S6 W5: refreshed before expiry; handed over without a gap.",
            Self::TokensExpire => "W8: one refresh, one reconnect with the new token, no loop.",
            Self::ServerRestart => "W6 W10: backoff with jitter; messages wait, and keep their order.",
            Self::NetworkCut => "W6: reconnect; only what was on the wire can be missing.",
            Self::HalfOpen => "W9: silence is noticed, probed, and ended.",
            Self::TokenRefused => "W8: never the same token again; refresh, then connect.",
            Self::SlowRefresh => "S3: one request for all of them; the socket stays open.",
            Self::FailingRefresh => "S8: unreachable is not refused; stay signed in, stay connected.",
            Self::LostAnswer => "S8: the same idempotency key asks again; nobody is signed out.",
            Self::Finale => "W10: every message is accounted for.",
        }
    }
}

/// How fast everything goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long an access token lives.
    pub(crate) token_life: Duration,
    /// The part of that life before whose end it is renewed.
    pub(crate) margin_fraction: f64,
    /// Between two messages.
    pub(crate) message_every: Duration,
    /// The ceiling of the first delay after a failed connection, and of all of them.
    pub(crate) reconnect: (Duration, Duration),
    /// The same after a failed refresh.
    pub(crate) refresh_retry: (Duration, Duration),
    /// How long a connection must live to count as healthy; shorter than a token's life, as it would be in real life.
    pub(crate) healthy_after: Duration,
    /// Silence before a ping, and after it before the connection counts as dead.
    pub(crate) heartbeat: (Duration, Duration),
    /// How long the server is away when it restarts.
    pub(crate) server_away: Duration,
    /// How late a slow refresh is answered.
    pub(crate) slow_by: Duration,
    /// How long refreshes fail.
    pub(crate) failing_for: Duration,
    /// What an act takes at least, so that one can watch it.
    pub(crate) act: Duration,
    /// The quiet at the beginning and at the end.
    pub(crate) quiet: (Duration, Duration),
    /// What an act may take before it counts as not survived.
    pub(crate) patience: Duration,
}

impl Pace {
    /// For people: about 50 s.
    pub(crate) const FULL: Self = Self {
        token_life: Duration::from_secs(6),
        margin_fraction: 0.4,
        message_every: Duration::from_millis(50),
        reconnect: (Duration::from_millis(600), Duration::from_millis(1_500)),
        refresh_retry: (Duration::from_millis(400), Duration::from_millis(800)),
        healthy_after: Duration::from_millis(800),
        heartbeat: (Duration::from_secs(1), Duration::from_secs(1)),
        server_away: Duration::from_secs(2),
        slow_by: Duration::from_millis(1_200),
        failing_for: Duration::from_millis(1_400),
        act: Duration::from_millis(4_200),
        quiet: (Duration::from_secs(8), Duration::from_millis(2_500)),
        patience: Duration::from_secs(20),
    };

    /// For machines and pictures: about 15 s.
    pub(crate) const FAST: Self = Self {
        token_life: Duration::from_millis(2_400),
        margin_fraction: 0.4,
        message_every: Duration::from_millis(50),
        reconnect: (Duration::from_millis(200), Duration::from_millis(500)),
        refresh_retry: (Duration::from_millis(150), Duration::from_millis(250)),
        healthy_after: Duration::from_millis(400),
        heartbeat: (Duration::from_millis(300), Duration::from_millis(300)),
        server_away: Duration::from_millis(700),
        slow_by: Duration::from_millis(500),
        failing_for: Duration::from_millis(400),
        act: Duration::from_millis(1_200),
        quiet: (Duration::from_secs(3), Duration::from_millis(800)),
        patience: Duration::from_secs(8),
    };

    /// What is left of a token's life when it is renewed.
    pub(crate) fn margin(&self) -> Duration {
        self.token_life.mul_f64(self.margin_fraction)
    }

    /// How long an act needs before the next renewal is due, so that the two do not mix.
    pub(crate) fn undisturbed(&self, act: Act) -> Duration {
        match act {
            Act::HalfOpen => self.heartbeat.0 + self.heartbeat.1,
            Act::TokensExpire | Act::NetworkCut | Act::TokenRefused => self.reconnect.0,
            _ => Duration::ZERO,
        }
    }

    /// About how long the whole run takes, for the progress bar.
    pub(crate) fn estimate(&self) -> Duration {
        let renewal = self.token_life.saturating_sub(self.margin());
        // Five acts wait for a young token, half a renewal each; three wait for the next renewal, and it is slow.
        self.quiet.0 + self.quiet.1 + self.act * 8 + renewal.mul_f64(1.6) + self.server_away / 2
    }
}
