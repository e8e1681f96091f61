//! The time in a run.

use freshsocket::time::{Mono, Now};

/// Both clocks of an imaginary device.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub(crate) mono: u64,
    pub(crate) unix_ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            mono: 1_000_000,
            unix_ms: 1_700_000_000_000,
        }
    }
}

impl Clock {
    /// What both say.
    pub fn now(&self) -> Now {
        Now {
            mono: Mono(self.mono),
            unix_ms: self.unix_ms,
        }
    }

    /// Time passes until `deadline`, or one millisecond if that is over.
    pub fn to(&mut self, deadline: Mono) {
        self.pass(deadline.0.saturating_sub(self.mono).clamp(1, 1_000 * 86_400_000));
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.mono = self.mono.saturating_add(ms);
        self.unix_ms = self.unix_ms.saturating_add(ms);
    }
}
