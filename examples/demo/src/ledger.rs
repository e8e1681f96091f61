//! The account of every message: what was handed over, what came back, what is missing and why.
//!
//! WebSocket has no acknowledgements. A message that was handed to the operating system on a connection that then died
//! may be lost in the network, and no client can know; the contract promises nothing for it. It is counted as lost *on
//! the wire*, under the fault that killed the connection. Everything else that is missing, comes twice or comes in the
//! wrong order is a broken promise. A message on the wire is known by its place: nothing that was sent after it has come
//! back. One that was overtaken did not die with the connection; it was lost before.

use std::collections::BTreeMap;

/// The account of numbered messages that a server echoes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<u64, Fate>,
    last_echoed: u64,
    received: u64,
    duplicated: u64,
    reordered: u64,
    strange: u64,
    failed: u64,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// With the SDK, waiting for a connection.
    Waiting,
    /// Handed to the operating system on a connection that still lives.
    Handed,
    /// Handed to the operating system on a connection that then ended, during this act.
    Cut { act: usize },
    /// Something sent later came back earlier, on whatever connection.
    Overtaken,
    /// Back from the server.
    Echoed,
    /// The SDK said that it will not be sent.
    Failed,
}

/// The account in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// In the outbox.
    pub(crate) waiting: u64,
    /// Handed over, echo not yet back, connection alive.
    pub(crate) flying: u64,
    /// Were on the wire when their connection ended, and have not come back.
    pub(crate) on_the_wire: u64,
    /// Missing although later ones are back.
    pub(crate) overtaken: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    /// Echoes of what was never sent.
    pub(crate) strange: u64,
    /// Refused or given up by the SDK.
    pub(crate) failed: u64,
}

impl Ledger {
    /// A message was given to the SDK.
    pub(crate) fn sent(&mut self, number: u64) {
        self.entries.entry(number).or_insert(Fate::Waiting);
    }

    /// The SDK handed it to the operating system.
    pub(crate) fn handed(&mut self, number: u64) {
        if let Some(fate @ Fate::Waiting) = self.entries.get_mut(&number) {
            *fate = Fate::Handed;
        }
    }

    /// The SDK gave it up.
    pub(crate) fn failed(&mut self, number: u64) {
        if let Some(fate @ (Fate::Waiting | Fate::Handed)) = self.entries.get_mut(&number) {
            *fate = Fate::Failed;
            self.failed += 1;
        }
    }

    /// The connection ended during `act`: what is on the wire may be lost there. Says how many messages that concerns.
    pub(crate) fn cut(&mut self, act: usize) -> u64 {
        let mut caught = 0;
        for fate in self.entries.values_mut().filter(|fate| **fate == Fate::Handed) {
            *fate = Fate::Cut { act };
            caught += 1;
        }
        caught
    }

    /// The server's echo came.
    pub(crate) fn echoed(&mut self, number: u64) {
        match self.entries.get_mut(&number) {
            None => self.strange += 1,
            Some(Fate::Echoed) => self.duplicated += 1,
            Some(fate) => {
                *fate = Fate::Echoed;
                self.received += 1;
                if number < self.last_echoed {
                    self.reordered += 1;
                } else {
                    self.overtake(number);
                }
            }
        }
    }

    /// What is missing between the last echo and this one is not on its way any more.
    fn overtake(&mut self, number: u64) {
        for (_, fate) in self.entries.range_mut(self.last_echoed..number) {
            if matches!(fate, Fate::Waiting | Fate::Handed) {
                *fate = Fate::Overtaken;
            }
        }
        self.last_echoed = number;
    }

    /// Something came that no message of ours looks like.
    pub(crate) fn strange(&mut self) {
        self.strange += 1;
    }

    /// Lost on the wire, by the act whose fault killed the connection.
    pub(crate) fn on_the_wire_by_act(&self) -> BTreeMap<usize, u64> {
        let mut by_act = BTreeMap::new();
        for fate in self.entries.values() {
            if let Fate::Cut { act } = fate {
                *by_act.entry(*act).or_default() += 1;
            }
        }
        by_act
    }

    pub(crate) fn sums(&self) -> Sums {
        let count =
            |wanted: fn(&Fate) -> bool| self.entries.values().filter(|fate| wanted(fate)).count() as u64;
        Sums {
            sent: self.entries.len() as u64,
            received: self.received,
            waiting: count(|fate| matches!(fate, Fate::Waiting)),
            flying: count(|fate| matches!(fate, Fate::Handed)),
            on_the_wire: count(|fate| matches!(fate, Fate::Cut { .. })),
            overtaken: count(|fate| matches!(fate, Fate::Overtaken)),
            duplicated: self.duplicated,
            reordered: self.reordered,
            strange: self.strange,
            failed: self.failed,
        }
    }
}

impl Sums {
    /// Whether every message has met its end.
    pub(crate) fn settled(&self) -> bool {
        self.waiting == 0 && self.flying == 0
    }

    /// Known to be missing, although the contract promises it.
    pub(crate) fn lost_so_far(&self) -> u64 {
        self.overtaken + self.failed
    }

    /// Missing at the end, although the contract promises it.
    pub(crate) fn lost(&self) -> u64 {
        self.lost_so_far() + self.waiting + self.flying
    }

    /// Whether every promise about messages was kept, once the run is over.
    pub(crate) fn kept(&self) -> bool {
        self.lost() == 0 && self.duplicated == 0 && self.reordered == 0 && self.strange == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(numbers: std::ops::RangeInclusive<u64>) -> Ledger {
        let mut ledger = Ledger::default();
        for number in numbers {
            ledger.sent(number);
            ledger.handed(number);
        }
        ledger
    }

    #[test]
    fn everything_echoed_in_order_is_kept() {
        let mut ledger = handed(1..=3);
        (1..=3).for_each(|number| ledger.echoed(number));
        let sums = ledger.sums();
        assert!(sums.kept() && sums.settled());
        assert_eq!((sums.sent, sums.received, sums.on_the_wire), (3, 3, 0));
    }

    #[test]
    fn what_was_on_the_wire_at_a_cut_is_excused_and_named_by_its_act() {
        let mut ledger = handed(1..=4);
        ledger.echoed(1);
        assert_eq!(ledger.cut(3), 3);
        // An echo that was read after all is no loss.
        ledger.echoed(2);
        let sums = ledger.sums();
        assert!(sums.kept());
        assert_eq!((sums.on_the_wire, sums.lost()), (2, 0));
        assert_eq!(ledger.on_the_wire_by_act(), BTreeMap::from([(3, 2)]));
    }

    #[test]
    fn w10_what_waits_in_the_outbox_at_a_cut_is_not_excused() {
        let mut ledger = handed(1..=1);
        ledger.sent(2);
        ledger.cut(0);
        assert_eq!(ledger.sums().waiting, 1);
        assert!(!ledger.sums().kept());
        ledger.echoed(2);
        assert!(ledger.sums().kept());
    }

    #[test]
    fn a_message_that_vanishes_on_a_living_connection_is_lost() {
        let mut ledger = handed(1..=3);
        ledger.echoed(1);
        ledger.echoed(3);
        assert_eq!((ledger.sums().lost_so_far(), ledger.sums().lost()), (1, 1));
        // The end of the connection, later, is no excuse.
        ledger.cut(2);
        assert_eq!((ledger.sums().on_the_wire, ledger.sums().lost()), (0, 1));
        assert!(!ledger.sums().kept());
    }

    #[test]
    fn duplicates_disorder_strangers_and_failures_break_the_promise() {
        let mut ledger = handed(1..=2);
        ledger.echoed(2);
        ledger.echoed(1);
        assert_eq!(ledger.sums().reordered, 1);
        ledger.echoed(2);
        assert_eq!(ledger.sums().duplicated, 1);
        ledger.echoed(77);
        ledger.strange();
        assert_eq!(ledger.sums().strange, 2);
        ledger.sent(3);
        ledger.failed(3);
        assert_eq!((ledger.sums().failed, ledger.sums().lost()), (1, 1));
        assert!(!ledger.sums().kept());
    }
}
