//! S10: several holders of one session (tabs, processes), each with its own machine, on one store and one server.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::SessionState;
use freshsocket::io::Input;
use sim::{Fault, Setup, World, hours, mins, secs};

/// Worlds that take turns with the one server and the one store.
struct Holders(Vec<World>);

impl Holders {
    /// The first signs in, the others find her session in the store.
    fn of(count: u64) -> Self {
        Self::on(count, 100, |_| ())
    }

    fn on(count: u64, seed: u64, prepare: impl Fn(&mut World)) -> Self {
        let setup = |number| {
            let mut setup = Setup::durable().seed(seed + number);
            setup.session.refresh.idempotency_header = Some("Idempotency-Key".into());
            setup
        };
        let mut first = World::new(setup(0));
        first.store.delay = 3;
        prepare(&mut first);
        first.login("ada");
        let mut holders = Self(vec![first]);
        for number in 1..count {
            let mut next = World::unstarted(setup(number));
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
        self.0
            .iter()
            .all(|world| matches!(world.session(), SessionState::Active { .. }))
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
    for seed in 0..40 {
        let mut holders = Holders::on(5, seed * 10, |world| {
            world.store.delay = seed % 7;
            world.server.latency = 1 + (seed * 13) % 90;
        });
        holders.run_for(mins(5), secs(1));
        holders.each(|world| world.suspend(hours(8)));
        holders.run_for(secs(5), 1);
        let states: Vec<_> = holders.0.iter().map(|world| world.session().name()).collect();
        assert!(holders.all_active(), "{seed}: {states:?}");
        assert_eq!(holders.refreshes(), 1, "{seed}");
    }
}

#[test]
fn s10_a_holder_that_dies_at_any_step_delays_the_others_by_at_most_the_lease() {
    for steps in 0..10 {
        let mut holders = Holders::on(3, 7, |world| world.server.honours_key = true);
        holders.run_for(mins(5), secs(1));
        holders.0[0].suspend(hours(8));
        for _ in 0..steps {
            holders.0[0].step_before(u64::MAX);
        }
        holders.0[0].kill();
        let behind = holders.0[0].now;
        for world in &mut holders.0[1..] {
            let asleep = behind - world.now;
            world.suspend(asleep);
        }
        holders.run_for(secs(20), 5);
        let states: Vec<_> = holders.0[1..]
            .iter()
            .map(|world| world.session().name())
            .collect();
        assert_eq!(states, ["active", "active"], "after {steps} steps");
    }
}

#[test]
fn s10_a_holder_that_freezes_at_any_step_adopts_what_the_others_got() {
    for steps in 0..10 {
        let mut holders = Holders::on(3, 7, |world| world.server.honours_key = true);
        holders.run_for(mins(5), secs(1));
        holders.each(|world| world.suspend(hours(8)));
        for _ in 0..steps {
            let soon = holders.0[0].now + 500;
            holders.0[0].step_before(soon);
        }
        let frozen_at = holders.0[0].now;
        for _ in 0..mins(5) / 50 {
            for turn in 1..3 {
                let (first, rest) = holders.0.split_at_mut(1);
                rest[turn - 1].share_with(&mut first[0]);
                rest[turn - 1].run_for(50);
                rest[turn - 1].share_with(&mut first[0]);
            }
        }
        let slept = holders.0[1].now.saturating_sub(frozen_at);
        holders.0[0].suspend(slept);
        holders.run_for(secs(30), 5);
        assert!(holders.all_active(), "after {steps} steps");
        let tokens: std::collections::BTreeSet<String> = holders
            .0
            .iter()
            .map(|world| world.answer().unwrap().unwrap().expose().to_owned())
            .collect();
        assert_eq!(tokens.len(), 1, "after {steps} steps: one pair for all");
    }
}

#[test]
fn s10_five_holders_survive_an_outage_and_share_what_comes_after_it() {
    for seed in 0..5 {
        let mut holders = Holders::on(5, seed * 31, |_| ());
        holders.run_for(mins(50), secs(1));
        let issued = holders.0[0].server.issued.len();
        holders.0[0].server.fails_to_refresh(Fault::Unreachable, u32::MAX);
        holders.run_for(mins(30), 20);
        holders.0[0].server.refresh_fault = None;
        holders.run_for(mins(2), 20);
        assert!(holders.all_active(), "{seed}");
        assert_eq!(holders.0[0].server.issued.len(), issued + 1, "{seed}");
    }
}

#[test]
fn s10_holders_whose_clocks_differ_by_seconds_do_not_refresh_after_each_other() {
    let mut holders = Holders::of(3);
    holders.0[1].clock_error = -5_000;
    holders.0[2].clock_error = 7_000;
    holders.run_for(hours(10), 50);
    assert!(holders.all_active());
    assert!(
        (10..=12).contains(&holders.refreshes()),
        "{}",
        holders.refreshes()
    );
}

#[test]
fn s10_a_day_of_five_holders_costs_one_refresh_an_hour() {
    let mut holders = Holders::of(5);
    holders.run_for(hours(24), 50);
    assert!(holders.all_active());
    assert!(
        (25..=28).contains(&holders.refreshes()),
        "{}",
        holders.refreshes()
    );
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

#[test]
fn s10_five_holders_that_start_together_with_an_expired_token_make_one_refresh() {
    for seed in 0..40 {
        for honours_key in [false, true] {
            let mut holders = Holders::on(5, seed * 10, |world| {
                world.store.delay = seed % 7;
                world.server.latency = 1 + (seed * 13) % 90;
                world.server.honours_key = honours_key;
            });
            holders.each(World::kill);
            holders.run_for(hours(8), hours(1));
            // One after the other, so that some find the exchange of others under way.
            for started in 1..=5 {
                let turn = std::cell::Cell::new(0);
                holders.each(|world| {
                    turn.set(turn.get() + 1);
                    if turn.get() == started {
                        world.start();
                        world.connect();
                    }
                });
                holders.run_for(seed * 3, 1);
            }
            holders.run_for(secs(5), 5);
            let states: Vec<_> = holders.0.iter().map(|world| world.session().name()).collect();
            assert!(holders.all_active(), "{seed}: {states:?}");
            assert!(holders.0.iter().all(World::is_open), "{seed}");
            assert_eq!(holders.refreshes(), 1, "{seed}");
        }
    }
}

#[test]
fn s10_hints_that_come_late_twice_or_never_change_no_outcome() {
    for seed in 0..30 {
        let mut holders = Holders::on(4, seed * 10, |world| world.store.delay = seed % 5);
        // A little generator: every test run is the same.
        let mut dice = seed + 1;
        let mut throw = |sides: u64| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut writes = 0;
        for _ in 0..hours(5) / 500 {
            holders.run_for(500, 50);
            let news = holders.0[0].store.writes != writes;
            writes = holders.0[0].store.writes;
            let often: Vec<u64> = (0..4)
                .map(|_| match throw(4) {
                    0 | 1 if news => throw(4),
                    _ => u64::from(throw(200) == 0),
                })
                .collect();
            let turn = std::cell::Cell::new(0);
            holders.each(|world| {
                for _ in 0..often[turn.get()] {
                    world.input(Input::StoreChanged);
                }
                turn.set(turn.get() + 1);
            });
        }
        assert!(holders.all_active(), "{seed}");
        let refreshes = holders.refreshes();
        assert!((5..=6).contains(&refreshes), "{seed}: {refreshes}");
        holders.0[0].begin_logout();
        holders.run_for(secs(1), 10);
        holders.each(|world| world.input(Input::StoreChanged));
        holders.run_for(secs(1), 10);
        assert!(holders.0.iter().all(|world| !world.is_signed_in()), "{seed}");
        assert!(holders.0[0].store.session().is_none(), "{seed}");
    }
}
