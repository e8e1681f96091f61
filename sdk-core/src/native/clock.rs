//! The only place that reads a clock.

use crate::time::{Mono, Now};

/// Where the driver's monotonic time comes from: `Now::mono` is milliseconds of the system's monotonic clock.
///
/// On Linux and Android through `clock_gettime`, because its coarse variant costs a quarter of the precise one, and the
/// fast path of `ensure_valid_token` is little more than that call; a few milliseconds do not matter there.
pub(crate) fn now() -> Now {
    Now {
        mono: Mono(sys::monotonic_ms()),
        unix_ms: unix_ms(),
    }
}

/// The monotonic clock alone.
pub(crate) fn mono() -> Mono {
    Mono(sys::monotonic_ms())
}

/// The wall clock, cheaply, at most a few milliseconds late.
#[inline]
pub(crate) fn coarse_unix_ms() -> u64 {
    sys::coarse_unix_ms()
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as u64)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod sys {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    #[inline]
    fn ms(time: Timespec) -> u64 {
        (time.tv_sec as u64)
            .wrapping_mul(1_000)
            .wrapping_add(time.tv_nsec as u64 / 1_000_000)
    }

    pub(super) fn monotonic_ms() -> u64 {
        ms(clock_gettime(ClockId::Monotonic))
    }

    #[inline]
    pub(super) fn coarse_unix_ms() -> u64 {
        ms(clock_gettime(ClockId::RealtimeCoarse))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod sys {
    use std::sync::OnceLock;
    use std::time::Instant;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    pub(super) fn monotonic_ms() -> u64 {
        ORIGIN.get_or_init(Instant::now).elapsed().as_millis() as u64
    }

    pub(super) fn coarse_unix_ms() -> u64 {
        super::unix_ms()
    }
}
