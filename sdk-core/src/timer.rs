//! The deadlines of the machine, each with the reason for it.
//!
//! ```
//! # use freshsocket::{io::Input, machine::Machine, options::SessionOptions, time::{Mono, Now}};
//! # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
//! # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
//! # let mut machine = freshsocket::machine::Machine::new(options, false, 42, now).unwrap();
//! match (machine.next_deadline(), machine.next_timer()) {
//!     (Some(at), Some(timer)) => println!("sleeping for {} ms, until {timer:?}", at.since(now.mono)),
//!     _ => println!("sleeping until something happens"),
//! }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::io::{ConnId, EffectId, SocketId};
use crate::time::Mono;

/// Why the machine wants to be woken.
///
/// ```
/// use freshsocket::{io::SocketId, timer::Timer};
///
/// fn why_awake(timer: Timer) -> String {
///     match timer {
///         Timer::RefreshDue | Timer::RefreshRetry => "a new token".into(),
///         Timer::Reconnect(SocketId(number)) => format!("the next attempt of socket {number}"),
///         other => format!("{other:?}"),
///     }
/// }
/// assert_eq!(why_awake(Timer::Reconnect(SocketId(2))), "the next attempt of socket 2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The token is due for renewal (S6).
    RefreshDue,
    /// The token expires: what was valid is no longer.
    TokenExpired,
    /// A refresh that failed is tried again (S8).
    RefreshRetry,
    /// A store that could not be read at the start is read again.
    StoreRetry,
    /// An HTTP request, store access or callback took too long.
    Effect(EffectId),
    /// A socket's delay is over (W6).
    Reconnect(SocketId),
    /// A connection attempt took too long.
    Attempt(ConnId),
    /// A connection has lived long enough to count as healthy (W6).
    Healthy(ConnId),
    /// A connection may have been silent for too long (W9).
    Heartbeat(ConnId),
    /// The oldest queued message may be too old (W10).
    OutboxAge(SocketId),
    /// An old connection that was to end by itself is taking too long.
    Drain(ConnId),
    /// The overlap of two connections goes into its next stage (W5).
    Overlap(SocketId),
    /// The server has not acknowledged a renewal on the live connection (W4).
    Renewal(ConnId),
}

impl Timer {
    /// Whether it limits the wait for an answer: time slept does not count, because nobody could have heard one.
    pub(crate) fn is_patience(self) -> bool {
        matches!(
            self,
            Self::Effect(_) | Self::Attempt(_) | Self::Drain(_) | Self::Renewal(_)
        )
    }
}

/// Which deadlines are set: by reason, and in order of time, because a process may hold ten thousand sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerTable {
    at: BTreeMap<Timer, Mono>,
    order: BTreeSet<(Mono, Timer)>,
}

impl TimerTable {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Mono) {
        if let Some(old) = self.at.insert(timer, at) {
            self.order.remove(&(old, timer));
        }
        self.order.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(old) = self.at.remove(&timer) {
            self.order.remove(&(old, timer));
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    /// Moves the deadlines that `which` names.
    pub(crate) fn postpone(&mut self, by_ms: u64, which: impl Fn(Timer) -> bool) {
        let moved: Vec<(Timer, Mono)> = self
            .at
            .iter()
            .map(|(timer, at)| (*timer, *at))
            .filter(|(t, _)| which(*t))
            .collect();
        for (timer, at) in moved {
            self.set(timer, at + by_ms);
        }
    }

    /// The earliest deadline and its reason; ties go to the timer named first.
    pub(crate) fn next(&self) -> Option<(Mono, Timer)> {
        self.order.first().copied().filter(|(at, _)| *at != Mono::NEVER)
    }

    /// Takes one timer that is due, the earliest first.
    pub(crate) fn take_due(&mut self, now: Mono) -> Option<Timer> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now && *at != Mono::NEVER)?;
        self.clear(timer);
        Some(timer)
    }
}
