//! The rules bite: with a planted bug in the driver, the store or a clock, worlds break the rule that is about it.

use freshsocket_sim::fleet::{Sabotage, run};

/// The rules that worlds with this bug break, until one of `expected` is among them.
fn is_noticed(sabotage: Sabotage, expected: &[&str]) {
    let mut seen = Vec::new();
    for seed in 0..400 {
        if let Some(violation) = run(seed, sabotage, false).violation {
            if expected.contains(&violation.rule) {
                return;
            }
            seen.push((seed, violation.rule));
        }
    }
    unreachable!("{sabotage:?} breaks none of {expected:?}, only {seen:?}");
}

#[test]
fn s8_a_write_that_is_not_durable_when_the_driver_says_so_is_noticed() {
    is_noticed(Sabotage::LateWrites, &["S8"]);
}

#[test]
fn s10_a_store_that_compares_nothing_is_noticed() {
    is_noticed(Sabotage::BlindSwaps, &["S10", "S8"]);
}

#[test]
fn s9_an_old_answer_that_comes_again_is_noticed() {
    is_noticed(Sabotage::ReplaysAnswers, &["S10", "S8", "W3"]);
}

#[test]
fn w10_a_message_under_another_user_is_noticed() {
    is_noticed(Sabotage::StaysDirect, &["W10"]);
}

#[test]
fn w10_a_message_that_disappears_is_noticed() {
    is_noticed(Sabotage::LosesUnsent, &["liveness"]);
}

#[test]
fn w10_a_message_that_is_written_twice_is_noticed() {
    is_noticed(Sabotage::WritesTwice, &["W10"]);
}

#[test]
fn w3_an_expired_token_is_noticed() {
    is_noticed(Sabotage::ClockStands, &["W3"]);
}

#[test]
fn w12_a_socket_that_waits_for_ever_is_noticed() {
    is_noticed(Sabotage::ForgetsNetwork, &["stuck", "liveness"]);
}

#[test]
fn s6_refreshing_in_circles_is_noticed() {
    is_noticed(Sabotage::RefreshesInCircles, &["S6", "busy"]);
}

/// A driver that never says how a connection ended is survived: the machine has limits of its own. What it gave to the
/// connection is lost then, and that is noticed.
#[test]
fn w10_an_end_that_never_comes_is_noticed() {
    is_noticed(Sabotage::NeverEnds, &["liveness", "stuck", "W10"]);
}

/// Nothing is left of chance: the same seed gives the same world.
#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 77, 1_234] {
        let (one, two) = (run(seed, Sabotage::None, false), run(seed, Sabotage::None, true));
        assert_eq!((one.simulated_ms, one.cover), (two.simulated_ms, two.cover));
    }
}
