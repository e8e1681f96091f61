//! S10: several holders of one session (tabs, processes), each with its own machine, on one store and one server.
#![allow(clippy::unwrap_used, clippy::panic)]

mod sim;

use freshsocket::SessionState;
use sim::{Setup, World, hours, mins, secs};

/// Worlds that take turns with the one server and the one store.
struct Holders(Vec<World>);

impl Holders {
    /// The first signs in, the others find her session in the store.
    fn of(count: u64) -> Self {
        let mut first = World::new(Setup::durable().seed(100));
        first.store.delay = 3;
        first.login("ada");
        let mut holders = Self(vec![first]);
        for number in 1..count {
            let mut next = World::unstarted(Setup::durable().seed(100 + number));
            next.now = holders.0[0].now;
            next.share_with(&mut holders.0[0]);
            next.start();
            next.share_with(&mut holders.0[0]);
            holders.0.push(next);
        }
        holders.run_for(secs(1), 1);
        holders
    }

    /// Everybody lives on, in turns of `slice` milliseconds.
    fn run_for(&mut self, ms: u64, slice: u64) {
        for _ in 0..ms / slice {
            self.each(|world| world.run_for(slice));
        }
    }

    /// Everybody does this, with the server and the store at hand.
    fn each(&mut self, act: impl Fn(&mut World)) {
        for turn in 0..self.0.len() {
            let (first, rest) = self.0.split_at_mut(1);
            let Some(other) = turn.checked_sub(1).map(|at| &mut rest[at]) else {
                act(&mut first[0]);
                continue;
            };
            other.share_with(&mut first[0]);
            act(other);
            other.share_with(&mut first[0]);
        }
    }

    fn all_active(&self) -> bool {
        self.0.iter().all(|world| matches!(world.session(), SessionState::Active { .. }))
    }

    fn refreshes(&self) -> usize {
        self.0[0].server.refreshes()
    }
}

#[test]
fn s10_five_holders_at_expiry_make_one_refresh_and_nobody_is_signed_out() {
    let mut holders = Holders::of(5);
    holders.run_for(mins(53), secs(1));
    holders.run_for(mins(4), 5);
    assert!(holders.all_active());
    assert_eq!(holders.refreshes(), 1);
}

#[test]
fn s10_five_holders_that_wake_together_make_one_refresh_and_nobody_is_signed_out() {
    let mut holders = Holders::of(5);
    holders.run_for(mins(5), secs(1));
    holders.each(|world| world.suspend(hours(8)));
    holders.run_for(secs(10), 1);
    let states: Vec<_> = holders.0.iter().map(|world| world.session().name()).collect();
    assert!(holders.all_active(), "{states:?}");
    assert_eq!(holders.refreshes(), 1);
}

#[test]
fn s10_a_holder_that_died_with_the_lease_delays_the_others_by_at_most_the_lease() {
    let mut holders = Holders::of(3);
    holders.run_for(mins(5), secs(1));
    holders.each(|world| world.suspend(hours(8)));
    // The first wrote its intent and dies before it asks.
    holders.0[0].kill();
    holders.run_for(secs(30), 5);
    let states: Vec<_> = holders.0[1..].iter().map(|world| world.session().name()).collect();
    assert_eq!(states, ["active", "active"]);
}

#[test]
fn s10_a_day_of_five_holders_costs_one_refresh_an_hour() {
    let mut holders = Holders::of(5);
    holders.run_for(hours(24), 50);
    assert!(holders.all_active());
    assert!((25..=28).contains(&holders.refreshes()), "{}", holders.refreshes());
}

#[test]
fn s10_a_sign_out_by_one_holder_reaches_the_others_at_their_next_refresh() {
    let mut holders = Holders::of(3);
    holders.0[0].begin_logout();
    holders.run_for(mins(57), 50);
    assert!(holders.0.iter().all(|world| !world.is_signed_in()));
    assert!(holders.0[0].store.session().is_none());
    assert_eq!(holders.refreshes(), 0);
}
