//! How often each thing happened, so that one sees what the simulation reaches and what it does not.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover(BTreeMap<&'static str, u64>);

impl Cover {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// How often this happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// How many faults there were.
    pub fn faults(&self) -> u64 {
        self.0
            .iter()
            .filter(|(what, _)| what.starts_with("fault: "))
            .map(|(_, n)| n)
            .sum()
    }

    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        for (what, n) in &other.0 {
            *self.0.entry(what).or_default() += n;
        }
    }
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, n) in &self.0 {
            writeln!(f, "{n:>12}  {what}")?;
        }
        Ok(())
    }
}
