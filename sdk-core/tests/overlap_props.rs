//! W5: whatever two overlapping connections bring, in whatever order it is read.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use freshsocket::Message;
use freshsocket::options::Duplicates;
use freshsocket::overlap::{Overlap, Side};
use proptest::prelude::*;

/// What one connection brought of a payload, by payload.
fn counts(brought: &[(Side, u8)], side: Side) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for (_, payload) in brought.iter().filter(|(from, _)| *from == side) {
        *counts.entry(*payload).or_default() += 1;
    }
    counts
}

proptest! {
    /// The rule of the contract, for payloads that repeat.
    #[test]
    fn w5_each_payload_is_delivered_as_often_as_the_connection_that_brought_it_most_often_did(
        brought in prop::collection::vec(
            (any::<bool>().prop_map(|old| if old { Side::Old } else { Side::New }), 0..12u8),
            0..200,
        ),
    ) {
        let mut overlap = Overlap::new(Duplicates::Payload).unwrap();
        let mut delivered: BTreeMap<u8, usize> = BTreeMap::new();
        for (side, payload) in &brought {
            if overlap.admits(*side, &Message::text(payload.to_string())) {
                *delivered.entry(*payload).or_default() += 1;
            }
        }
        let (old, new) = (counts(&brought, Side::Old), counts(&brought, Side::New));
        for payload in 0..12u8 {
            let most = |of: &BTreeMap<u8, usize>| of.get(&payload).copied().unwrap_or(0);
            prop_assert_eq!(most(&delivered), most(&old).max(most(&new)), "payload {}", payload);
        }
    }

    /// A server that sends numbered messages to all connections of the user: the old one brings them up to its end, the
    /// new one from its beginning, and the reader takes from either at any time.
    #[test]
    fn w5_numbered_messages_arrive_once_each(
        (ends, begins) in (0..60u32).prop_flat_map(|ends| (Just(ends), 0..=ends)),
        more in 0..40u32,
        turns in prop::collection::vec(any::<bool>(), 200),
        by_id in any::<bool>(),
    ) {
        let by = if by_id { Duplicates::Id { pointer: "/n".into() } } else { Duplicates::Payload };
        let mut overlap = Overlap::new(by).unwrap();
        let (mut old, mut new) = ((0..ends).peekable(), (begins..ends + more).peekable());
        let mut turns = turns.into_iter();
        let mut delivered = Vec::new();
        while old.peek().is_some() || new.peek().is_some() {
            let wants_old = turns.next().unwrap_or(true);
            let takes_old = if wants_old { old.peek().is_some() } else { new.peek().is_none() };
            let (side, number) = if takes_old { (Side::Old, old.next()) } else { (Side::New, new.next()) };
            let number = number.unwrap();
            if overlap.admits(side, &Message::text(format!(r#"{{"n":{number}}}"#))) {
                delivered.push(number);
            }
        }
        delivered.sort_unstable();
        prop_assert_eq!(delivered, (0..ends + more).collect::<Vec<_>>());
    }
}
