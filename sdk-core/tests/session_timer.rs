//! S5 and S6: the refresh on a timer, lifetimes from every source, and clocks that lie.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::{SessionEvent, SessionState};
use sim::{Fault, Setup, World, hours, mins, secs};

const DAY: i64 = 86_400_000;

/// The first refresh, in milliseconds after sign-in.
fn first_refresh(seed: u64, server: impl Fn(&mut World)) -> u64 {
    let mut world = World::new(Setup::default().seed(seed));
    server(&mut world);
    world.login("ada");
    let signed_in = world.now;
    assert!(world.run_until(hours(48), |world| world.server.refreshes() > 0));
    world.now - signed_in
}

fn tokens_refreshed(world: &World) -> usize {
    world
        .session_events
        .iter()
        .filter(|event| matches!(event, SessionEvent::Refreshed { .. }))
        .count()
}

#[test]
fn s6_a_60_minute_token_refreshes_at_about_55_minutes_with_jitter() {
    let all: Vec<u64> = (0..200).map(|seed| first_refresh(seed, |_| ())).collect();
    assert!(
        all.iter().all(|at| (mins(54)..=mins(55) + secs(1)).contains(at)),
        "{all:?}"
    );
    let (first, last) = (all.iter().min().unwrap(), all.iter().max().unwrap());
    assert!(
        last - first > secs(50),
        "a fleet does not refresh in step: {first} to {last}"
    );
}

#[test]
fn s6_a_60_second_token_refreshes_at_about_48_seconds_with_jitter() {
    let all: Vec<u64> = (0..200)
        .map(|seed| first_refresh(seed, |world| world.server.lifetime = secs(60)))
        .collect();
    assert!(all.iter().all(|at| (45_600..=48_100).contains(at)), "{all:?}");
    assert!(all.iter().max().unwrap() - all.iter().min().unwrap() > secs(2));
}

#[test]
fn s6_a_day_of_hour_tokens_takes_about_one_refresh_an_hour() {
    let mut world = World::open(Setup::default());
    world.run_for(hours(24));
    let refreshes = world.server.refreshes();
    assert!((26..=27).contains(&refreshes), "{refreshes}");
    assert!(matches!(world.session(), SessionState::Active { .. }));
    assert!(world.is_open());
}

#[test]
fn s6_opaque_tokens_refresh_by_expires_in() {
    let at = first_refresh(3, |world| {
        world.server.opaque = true;
        world.server.with_expires_in = true;
    });
    assert!((mins(54)..=mins(55) + secs(1)).contains(&at), "{at}");
}

#[test]
fn s6_opaque_tokens_without_expiry_are_refreshed_only_on_refusal() {
    let mut world = World::new(Setup::default());
    world.server.opaque = true;
    world.server.lifetime = hours(100);
    world.login("ada");
    world.connect();
    world.run_for(hours(24));
    assert_eq!(world.server.refreshes(), 0);
    assert_eq!(world.session(), &SessionState::Active { expires_at: None });
    world.server.revoke_access();
    world.close_all(4401);
    world.run_for(secs(10));
    assert_eq!(world.server.refreshes(), 1);
    assert!(world.is_open());
}

#[test]
fn s6_without_iat_the_date_header_gives_the_lifetime_on_a_device_whose_clock_is_days_wrong() {
    for days in [-9, 9] {
        let at = first_refresh(5, |world| {
            world.clock_error = days * DAY;
            world.server.with_iat = false;
            world.server.with_date = true;
        });
        assert!(
            (mins(54) - secs(1)..=mins(55) + secs(2)).contains(&at),
            "{days} days: {at}"
        );
    }
}

#[test]
fn s6_a_clock_that_is_days_wrong_in_either_direction_changes_nothing() {
    for (device, server) in [(-9 * DAY, 0), (9 * DAY, 0), (0, 9 * DAY), (3 * DAY, -3 * DAY)] {
        let mut world = World::new(Setup::default());
        world.clock_error = device;
        world.server.clock_error = server;
        world.login("ada");
        world.connect();
        world.run_for(hours(10));
        let refreshes = world.server.refreshes();
        assert!((10..=11).contains(&refreshes), "{device} {server}: {refreshes}");
        assert!(world.is_open());
    }
}

#[test]
fn s6_without_iat_and_date_a_wrong_clock_makes_no_refresh_storm() {
    for days in [-9, 9] {
        let mut world = World::new(Setup::default());
        world.clock_error = days * DAY;
        world.server.with_iat = false;
        // Nothing tells the device when its token expires.
        world.checks.expiry = false;
        world.login("ada");
        world.connect();
        world.run_for(hours(10));
        assert!(world.server.refreshes() <= 11, "{}", world.server.refreshes());
        assert!(world.is_open());
    }
}

#[test]
fn s6_ntp_jumps_in_both_directions_cost_at_most_one_early_refresh_each() {
    let mut world = World::open(Setup::default());
    for (jump, (least, most)) in [
        (DAY, (0, 1)),
        (-DAY, (0, 0)),
        (3_600_000, (0, 1)),
        (0, (0, 0)),
        (-DAY, (0, 0)),
    ] {
        let before = world.server.refreshes();
        world.set_clock_error(jump);
        world.run_for(mins(5));
        let more = world.server.refreshes() - before;
        assert!((least..=most).contains(&more), "{jump}: {more}");
        assert!(world.is_signed_in());
        assert!(
            world.run_until(secs(60), World::is_open),
            "{:?}",
            world.socket_state()
        );
    }
}

#[test]
fn s6_an_ntp_jump_while_a_refresh_is_out_does_not_lose_its_answer() {
    let mut world = World::open(Setup::default());
    assert!(world.run_until(hours(1), |world| world.server.refreshes() == 1));
    // The pair is rotated; its answer is on the way when the clock is set.
    world.set_clock_error(DAY);
    world.run_for(mins(1));
    assert!(world.is_signed_in(), "{:?}", world.session());
    assert!(world.is_open());
}

#[test]
fn s6_a_suspend_while_a_refresh_is_out_does_not_lose_its_answer() {
    let mut world = World::open(Setup::default());
    assert!(world.run_until(hours(1), |world| world.server.refreshes() == 1));
    world.suspend(hours(3));
    world.run_for(mins(1));
    assert!(world.is_signed_in(), "{:?}", world.session());
    assert!(world.is_open());
}

#[test]
fn s6_after_24_hours_of_suspend_no_expired_token_goes_out() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(10));
    world.suspend(hours(24));
    world.cut_all();
    assert!(
        world.answer().is_none_or(|answer| answer.is_err()),
        "an expired token is not handed out"
    );
    assert!(world.run_until(secs(30), World::is_open));
    assert_eq!(world.server.refreshes(), 1);
    assert_eq!(world.ws.tokens(), [1, 2]);
}

#[test]
fn s6_naps_too_short_to_be_noticed_add_up() {
    let mut world = World::open(Setup::default());
    // A device that dozes for 1.9 s in every 3: after an hour the token is expired, whatever the monotonic clock says.
    for _ in 0..3 * 1_200 {
        world.run_for(1_100);
        world.suspend(1_900);
    }
    world.cut_all();
    world.run_for(secs(20));
    assert!(
        (3..=4).contains(&world.server.refreshes()),
        "{}",
        world.server.refreshes()
    );
    assert!(world.is_open());
}

#[test]
fn s6_a_failed_refresh_always_rearms() {
    let hangs = |seed| {
        if seed % 2 == 0 {
            Fault::Hangs
        } else {
            Fault::Unreachable
        }
    };
    for seed in 0..6 {
        let mut world = World::open(Setup::default().seed(seed));
        for _ in 0..20 {
            world.server.fails_to_refresh(hangs(seed), 5);
            let (refreshes, tokens) = (world.server.refreshes(), tokens_refreshed(&world));
            assert!(
                world.run_until(hours(2), |world| tokens_refreshed(world) > tokens),
                "{:?}",
                world.session()
            );
            assert!(world.server.refreshes() >= refreshes + 6);
        }
    }
}

#[test]
fn s6_tokens_that_live_a_moment_make_no_storm() {
    for (lifetime, most) in [(1_000, 130), (100, 130), (1, 130)] {
        let mut world = World::new(Setup::default());
        world.checks.expiry = false;
        world.server.lifetime = lifetime;
        world.server.with_expires_in = true;
        world.server.opaque = true;
        world.ws.checks = false;
        world.login("ada");
        world.connect();
        world.run_for(mins(1));
        assert!(
            world.server.refreshes() <= most,
            "{lifetime} ms: {}",
            world.server.refreshes()
        );
    }
}

#[test]
fn s6_a_token_that_expired_before_it_came_makes_no_storm() {
    let mut world = World::new(Setup::default());
    world.checks.expiry = false;
    world.ws.checks = false;
    world.server.lifetime = 0;
    world.server.with_expires_in = true;
    world.login("ada");
    world.connect();
    world.run_for(mins(10));
    assert!(world.server.refreshes() <= 10, "{}", world.server.refreshes());
}

#[test]
fn s6_a_driver_that_wakes_late_loses_nothing() {
    let mut world = World::new(Setup::default());
    world.late_by = secs(59);
    world.login("ada");
    world.connect();
    world.run_for(hours(12));
    assert!(world.is_open());
    assert!((12..=14).contains(&world.server.refreshes()));
}

#[test]
fn s5_the_view_says_when_the_token_expires_on_either_clock() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    let view = world.view.clone().unwrap();
    let token = view.token.unwrap();
    let clock = world.clock();
    assert_eq!(token.valid_until.since(clock.mono), mins(60));
    assert_eq!(token.expires_at, Some(clock.unix_ms + mins(60)));
    assert_eq!(token.margin_ms, mins(5));
    assert_eq!(token.valid_until.since(token.fresh_until), mins(5));
}
