//! How long to wait before the next attempt: exponential, full jitter from the first retry on (W6, S8).
//!
//! Our own because the card's `backoff` crate is unmaintained (RUSTSEC-2025-0012) and `backon` gives every browser
//! the same jitter. It sleeps nowhere and owns no randomness: the machine passes its seeded generator in.
//!
//! ```
//! use freshsocket::{backoff::delay_ms, options::RetryOptions, rng::Rng};
//!
//! let (options, mut rng) = (RetryOptions::default(), Rng::new(42));
//! for retry in 0..3 {
//!     println!("retry {retry} after {} ms", delay_ms(&options, retry, None, &mut rng));
//! }
//! ```

use crate::options::RetryOptions;
use crate::rng::Rng;

/// The delay before retry number `retry` (0 is the first): a uniform draw from 0 to
/// `min(cap, base · factor^retry)`. A hint from the server (`Retry-After`) is a floor under it, and spreads those
/// who were all told the same number over a further tenth.
///
/// ```
/// use freshsocket::{backoff::delay_ms, options::RetryOptions, rng::Rng};
///
/// let (options, mut rng) = (RetryOptions { base_ms: 1_000, factor: 2.0, cap_ms: 30_000 }, Rng::new(42));
/// assert!(delay_ms(&options, 2, None, &mut rng) <= 4_000);
/// let retry_after_20 = delay_ms(&options, 2, Some(20_000), &mut rng);
/// assert!((20_000..=24_000).contains(&retry_after_20));
/// ```
pub fn delay_ms(options: &RetryOptions, retry: u32, hint_ms: Option<u64>, rng: &mut Rng) -> u64 {
    let ceiling = ceiling_ms(options, retry);
    match hint_ms {
        Some(hint) => hint.saturating_add(rng.up_to((hint / 10).max(ceiling))),
        None => rng.up_to(ceiling),
    }
}

/// The longest delay before retry number `retry`.
///
/// ```
/// use freshsocket::{backoff::ceiling_ms, options::RetryOptions};
///
/// let options = RetryOptions { base_ms: 1_000, factor: 2.0, cap_ms: 5_000 };
/// assert_eq!([0, 1, 2, 9].map(|retry| ceiling_ms(&options, retry)), [1_000, 2_000, 4_000, 5_000]);
/// ```
pub fn ceiling_ms(options: &RetryOptions, retry: u32) -> u64 {
    let mut ceiling = options.base_ms.min(options.cap_ms) as f64;
    let cap = options.cap_ms as f64;
    for _ in 0..retry.min(64) {
        if ceiling >= cap {
            break;
        }
        ceiling *= options.factor;
    }
    ceiling.min(cap) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w6_full_jitter_from_the_first_retry_and_capped() {
        let options = RetryOptions {
            base_ms: 1_000,
            factor: 2.0,
            cap_ms: 30_000,
        };
        let mut rng = Rng::new(7);
        let firsts: Vec<u64> = (0..2_000)
            .map(|_| delay_ms(&options, 0, None, &mut rng))
            .collect();
        assert!(firsts.iter().all(|d| *d <= 1_000));
        assert!(firsts.iter().any(|d| *d < 50) && firsts.iter().any(|d| *d > 950));
        let late: Vec<u64> = (0..2_000)
            .map(|_| delay_ms(&options, 1_000_000, None, &mut rng))
            .collect();
        assert!(late.iter().all(|d| *d <= 30_000));
        assert!(late.iter().any(|d| *d < 1_500), "jitter is full at the cap too");
    }

    #[test]
    fn w6_a_servers_hint_is_a_floor_and_still_spreads() {
        let options = RetryOptions {
            base_ms: 100,
            factor: 2.0,
            cap_ms: 1_000,
        };
        let mut rng = Rng::new(1);
        let delays: Vec<u64> = (0..500)
            .map(|_| delay_ms(&options, 0, Some(20_000), &mut rng))
            .collect();
        assert!(delays.iter().all(|d| (20_000..=22_000).contains(d)));
        assert!(delays.iter().max() > delays.iter().min());
    }
}
