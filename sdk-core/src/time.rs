//! Time as an argument: the machine is told what time it is and never asks.
//!
//! ```
//! use std::time::Instant;
//! use freshsocket::time::{Mono, Now};
//!
//! // What a driver of your own reads before every input.
//! struct Clock(Instant);
//! impl Clock {
//!     fn now(&self) -> Now {
//!         let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
//!         Now { mono: Mono(self.0.elapsed().as_millis() as u64), unix_ms: since_1970.as_millis() as u64 }
//!     }
//! }
//! let clock = Clock(Instant::now());
//! assert!(clock.now().mono >= Mono(0));
//! ```

use std::ops::{Add, Sub};

/// A point on the machine's monotonic clock, in milliseconds from an origin that the driver chose.
///
/// ```
/// use freshsocket::time::Mono;
///
/// let deadline = Mono(1_000) + 500;
/// assert!(deadline > Mono(1_000));
/// assert_eq!(Mono(100) - 500, Mono(0)); // stops at the ends
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// "Not scheduled": later than every real deadline.
    ///
    /// ```
    /// use freshsocket::time::Mono;
    ///
    /// assert_eq!(Mono::NEVER + 1, Mono::NEVER);
    /// ```
    pub const NEVER: Self = Self(u64::MAX);

    /// Milliseconds from `earlier` to `self`; zero when `earlier` is later.
    ///
    /// ```
    /// use freshsocket::time::Mono;
    ///
    /// assert_eq!(Mono(1_500).since(Mono(1_000)), 500);
    /// assert_eq!(Mono(1_000).since(Mono(1_500)), 0);
    /// ```
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Mono {
    type Output = Self;
    fn add(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl Sub<u64> for Mono {
    type Output = Self;
    fn sub(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}

/// What both clocks of the device say at one moment.
///
/// `mono` drives every decision. `unix_ms` is used for what people read, for tokens that carry only an
/// absolute expiry, and to notice that the device slept: most monotonic clocks stop during suspend.
///
/// ```
/// use freshsocket::time::{Mono, Now};
///
/// // In a test of your own the clocks are plain numbers.
/// let mut now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// now = Now { mono: now.mono + 60_000, unix_ms: now.unix_ms + 60_000 }; // a minute later
/// assert_eq!(now.mono, Mono(60_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Mono,
    /// The wall clock, in milliseconds since 1970; it may be wrong and may jump.
    pub unix_ms: u64,
}

/// A wall clock that ran ahead of the monotonic one by more than this means that the device slept (or that
/// the clock was set forward, which is treated the same: a token may be older than it looks, and the price
/// of a mistake is one early refresh).
///
/// ```
/// use freshsocket::time::{Now, SLEEP_THRESHOLD_MS};
///
/// fn slept(before: Now, after: Now) -> bool {
///     let (wall, running) = (after.unix_ms.saturating_sub(before.unix_ms), after.mono.since(before.mono));
///     wall.saturating_sub(running) > SLEEP_THRESHOLD_MS
/// }
/// # use freshsocket::time::Mono;
/// let before = Now { mono: Mono(0), unix_ms: 0 };
/// assert!(slept(before, Now { mono: Mono(10), unix_ms: 3_600_000 })); // the lid was closed for an hour
/// ```
pub const SLEEP_THRESHOLD_MS: u64 = 2_000;

/// The machine's time when the driver's clock shows zero (a hundred years), so that it can tell times before its process
/// began: when a token was received, when an exchange was started.
const ORIGIN_MS: u64 = 100 * 365 * 86_400_000;

/// All sleep together counts for no more than this (a thousand years): far from the end of the numbers, whatever a
/// broken clock says.
const LONGEST_SLEEP_MS: u64 = 1_000 * 365 * 86_400_000;

/// Turns what the driver's clocks say into the machine's time: monotonic, and counting suspended time (S6, S7).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    last: Now,
    /// What the wall clock shows more than the machine's time, as far as that is known to be no sleep.
    ahead_ms: i128,
    /// Time slept, as far as it was noticed, and the origin: machine time = driver's monotonic time + slept.
    slept_ms: u64,
    /// When the last sleep was noticed, on the driver's clock, and the time slept before it.
    woke: (Mono, u64),
}

impl Timeline {
    pub(crate) fn starting(now: Now) -> Self {
        Self {
            last: now,
            ahead_ms: ahead(now, ORIGIN_MS),
            slept_ms: ORIGIN_MS,
            woke: (Mono(0), ORIGIN_MS),
        }
    }

    /// The machine's time for what the driver's clocks say; second, how long the device slept since the last call.
    ///
    /// A wall clock that goes backwards changes nothing, and neither does a monotonic one that does.
    pub(crate) fn observe(&mut self, now: Now) -> (Now, u64) {
        self.last = Now {
            mono: now.mono.max(self.last.mono),
            unix_ms: now.unix_ms,
        };
        // Against the first reading, not the last: naps too short to be noticed add up.
        let gap = ahead(self.last, self.slept_ms) - self.ahead_ms;
        let threshold = i128::from(SLEEP_THRESHOLD_MS);
        let most = LONGEST_SLEEP_MS.saturating_sub(self.slept_ms);
        let slept = if gap > threshold {
            u64::try_from(gap).unwrap_or(most).min(most)
        } else {
            0
        };
        if slept > 0 {
            self.woke = (self.last.mono, self.slept_ms);
            self.slept_ms += slept;
        }
        if gap.abs() > threshold {
            self.ahead_ms = ahead(self.last, self.slept_ms);
        }
        (
            Now {
                mono: self.last.mono + self.slept_ms,
                unix_ms: now.unix_ms,
            },
            slept,
        )
    }

    /// A machine time as the driver's monotonic clock will show it.
    pub(crate) fn to_driver(self, at: Mono) -> Mono {
        if at == Mono::NEVER { at } else { at - self.slept_ms }
    }

    /// A time of the driver's monotonic clock as machine time. What was before a sleep stays before it.
    pub(crate) fn to_machine(self, at: Mono) -> Mono {
        let (woke_at, slept_before) = self.woke;
        if at < woke_at {
            at + slept_before
        } else {
            at + self.slept_ms
        }
    }
}

fn ahead(now: Now, slept_ms: u64) -> i128 {
    i128::from(now.unix_ms) - i128::from(now.mono.0) - i128::from(slept_ms)
}

/// The wall-clock time of a machine deadline, for people to read.
pub(crate) fn unix_of(now: Now, at: Mono) -> u64 {
    if at >= now.mono {
        now.unix_ms.saturating_add(at.since(now.mono))
    } else {
        now.unix_ms.saturating_sub(now.mono.since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64, unix_ms: u64) -> Now {
        Now {
            mono: Mono(mono),
            unix_ms,
        }
    }

    #[test]
    fn s6_suspend_counts_as_time() {
        let mut line = Timeline::starting(at(0, 1_000_000));
        assert_eq!(line.observe(at(100, 1_000_100)).0.mono, Mono(ORIGIN_MS + 100));
        let (now, slept) = line.observe(at(200, 1_000_200 + 86_400_000));
        assert_eq!(slept, 86_400_000);
        assert_eq!(now.mono, Mono(ORIGIN_MS + 200 + 86_400_000));
        assert_eq!(line.to_driver(now.mono + 5), Mono(205));
        assert_eq!(
            line.to_machine(Mono(100)),
            Mono(ORIGIN_MS + 100),
            "what was before the sleep stays before it"
        );
    }

    #[test]
    fn s6_a_clock_set_back_changes_nothing() {
        let mut line = Timeline::starting(at(0, 1_000_000));
        let (now, slept) = line.observe(at(50, 10));
        assert_eq!(slept, 0);
        assert_eq!(now.mono, Mono(ORIGIN_MS + 50));
        // Nor does setting it right again within the same amount of running time look like more than one sleep.
        let (now, slept) = line.observe(at(60, 20));
        assert_eq!(slept, 0);
        assert_eq!(now.mono, Mono(ORIGIN_MS + 60));
    }
}
