//! Chance as an argument: one small generator, seeded by the driver, so that every run can be replayed.
//!
//! ```
//! use freshsocket::rng::Rng;
//!
//! let (mut one, mut again) = (Rng::new(42), Rng::new(42));
//! assert_eq!(one.up_to(1_000), again.up_to(1_000));
//! ```

/// `SplitMix64` (Steele, Lea, Flood 2014): enough for jitter and for identifiers that need only be unlikely to meet.
/// Not for secrets.
///
/// ```
/// use freshsocket::rng::Rng;
///
/// let mut rng = Rng::new(42);
/// let mut replay = rng.clone(); // goes on from the same place
/// assert_eq!(rng.hex128(), replay.hex128());
/// ```
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that gives the same numbers for the same seed.
    ///
    /// ```
    /// use freshsocket::rng::Rng;
    ///
    /// assert_eq!(Rng::new(7).next_u64(), Rng::new(7).next_u64());
    /// assert_ne!(Rng::new(7).next_u64(), Rng::new(8).next_u64());
    /// ```
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    ///
    /// ```
    /// let mut rng = freshsocket::rng::Rng::new(0);
    /// assert_eq!(rng.next_u64(), 0xE220_A839_7B1D_CDAF); // as published for SplitMix64
    /// ```
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number from 0 to `bound` inclusive.
    ///
    /// ```
    /// let mut rng = freshsocket::rng::Rng::new(42);
    /// let delay_ms = rng.up_to(6_000); // full jitter
    /// assert!(delay_ms <= 6_000);
    /// ```
    pub fn up_to(&mut self, bound: u64) -> u64 {
        match bound.checked_add(1) {
            // The bias of the remainder is below 2^-32 for every bound used here (milliseconds).
            Some(n) => self.next_u64() % n,
            None => self.next_u64(),
        }
    }

    /// 128 bits as 32 hexadecimal digits: an idempotency key, a holder's name.
    ///
    /// ```
    /// let mut rng = freshsocket::rng::Rng::new(42);
    /// let (key, next) = (rng.hex128(), rng.hex128());
    /// assert_eq!(key.len(), 32);
    /// assert_ne!(key, next);
    /// ```
    pub fn hex128(&mut self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(32);
        for _ in 0..2 {
            let bits = self.next_u64();
            for shift in (0..16).rev() {
                text.push(char::from(DIGITS[((bits >> (shift * 4)) & 15) as usize]));
            }
        }
        text
    }
}
