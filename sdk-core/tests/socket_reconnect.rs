//! W6: full jitter from the first retry on, reset after health only, and `disconnect` always wins.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::{ClosedBy, Ended, SocketState};
use sim::{ConnectFault, FIRST, OnOpen, Setup, World, hours, mins, secs};

/// When attempts began, after `since`.
fn attempts_since(world: &World, since: u64) -> Vec<u64> {
    world
        .ws
        .handshakes
        .iter()
        .map(|h| h.at)
        .filter(|at| *at > since)
        .map(|at| at - since)
        .collect()
}

fn gaps(times: &[u64]) -> Vec<u64> {
    times.windows(2).map(|two| two[1] - two[0]).collect()
}

#[test]
fn w6_the_first_retry_is_jittered_over_the_whole_step() {
    let firsts: Vec<u64> = (0..300)
        .map(|seed| {
            let mut world = World::open(Setup::default().seed(seed));
            let cut = world.now;
            world.cut_all();
            world.run_for(secs(10));
            attempts_since(&world, cut).first().copied().unwrap_or(0)
        })
        .collect();
    assert!(firsts.iter().all(|at| *at <= secs(7)));
    for tenth in 0..10 {
        let window = tenth * 700..(tenth + 1) * 700;
        assert!(
            firsts.iter().filter(|at| window.contains(*at)).count() > 10,
            "{window:?}"
        );
    }
}

#[test]
fn w6_delays_grow_to_a_cap_of_30_seconds_and_are_jittered_there_too() {
    let mut world = World::open(Setup::default());
    world.ws.offline = true;
    world.cut_all();
    world.run_for(hours(4));
    let gaps = gaps(&attempts_since(&world, mins(10)));
    assert!(gaps.len() > 700, "for ever: {}", gaps.len());
    assert!(gaps.iter().all(|gap| *gap <= secs(30) + 100));
    assert!(gaps.iter().any(|gap| *gap < secs(3)) && gaps.iter().any(|gap| *gap > secs(27)));
}

#[test]
fn w6_the_first_connect_is_retried_like_any_other() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    world.ws.fails(ConnectFault::Unreachable, 4);
    world.connect();
    assert!(world.run_until(mins(3), World::is_open));
    assert_eq!(world.ws.attempts(), 5);
}

#[test]
fn w6_an_attempt_that_hangs_ends_after_its_time_limit() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    world.ws.fails(ConnectFault::Hangs, 2);
    world.connect();
    world.run_for(secs(16));
    assert!(matches!(
        world.socket_states[&FIRST]
            .iter()
            .rev()
            .find_map(|(_, state)| match state {
                SocketState::Backoff { cause, .. } => Some(cause.clone()),
                _ => None,
            }),
        Some(Ended::TimedOut)
    ));
    assert!(world.run_until(mins(2), World::is_open));
}

#[test]
fn w6_accept_then_close_is_not_hammered() {
    for act in [OnOpen::Close(1000, ""), OnOpen::Close(1011, "oops"), OnOpen::Cut] {
        let mut world = World::new(Setup::default());
        world.ws.on_open = vec![(5, act)];
        world.login("ada");
        world.connect();
        world.run_for(hours(1));
        // At the cap a retry comes every 15 s on average.
        let attempts = world.ws.attempts();
        assert!((150..350).contains(&attempts), "{act:?}: {attempts}");
        let SocketState::Backoff { attempt, .. } = world.socket_state() else {
            continue;
        };
        assert!(*attempt > 100, "the count never started again: {attempt}");
    }
}

#[test]
fn w6_a_connection_that_delivered_a_message_or_lived_some_seconds_resets_the_count() {
    for acts in [
        vec![(5, OnOpen::Say("hello")), (10, OnOpen::Cut)],
        vec![(secs(6), OnOpen::Cut)],
    ] {
        let mut world = World::new(Setup::default());
        world.ws.on_open = acts;
        world.login("ada");
        world.connect();
        world.run_for(mins(20));
        let highest = world.socket_states[&FIRST]
            .iter()
            .filter_map(|(_, state)| match state {
                SocketState::Backoff { attempt, .. } => Some(*attempt),
                _ => None,
            });
        assert_eq!(highest.max(), Some(1));
    }
}

#[test]
fn w6_max_attempts_ends_in_a_named_state() {
    let mut world = World::open(Setup::socket(|socket| socket.reconnect.max_attempts = Some(5)));
    let before = world.ws.attempts();
    world.ws.offline = true;
    world.cut_all();
    world.run_for(hours(1));
    let SocketState::Closed { by, .. } = world.socket_state() else {
        panic!("{:?}", world.socket_state())
    };
    assert_eq!(*by, ClosedBy::AttemptsExhausted);
    // The drop itself is the first failure.
    assert_eq!(world.ws.attempts() - before, 4);
    world.ws.offline = false;
    world.connect();
    world.run_for(secs(1));
    assert!(world.is_open(), "`connect` is a new start");
}

#[test]
fn w6_the_end_of_a_healthy_connection_is_no_failed_attempt() {
    for most in 1..4 {
        let mut world = World::open(Setup::socket(|socket| socket.reconnect.max_attempts = Some(most)));
        for _ in 0..3 {
            world.run_for(secs(6));
            world.cut_all();
            assert!(world.run_until(mins(1), World::is_open), "there is a retry");
        }
        world.run_for(secs(6));
        let before = world.ws.attempts();
        world.ws.offline = true;
        world.cut_all();
        world.run_for(hours(1));
        assert_eq!(world.ws.attempts() - before, most as usize);
        assert!(matches!(world.socket_state(), SocketState::Closed { .. }));
    }
}

#[test]
fn w6_offline_uses_up_no_attempts_and_the_return_connects_at_once() {
    let mut world = World::open(Setup::socket(|socket| socket.reconnect.max_attempts = Some(1)));
    for _ in 0..5 {
        world.network(false);
        world.run_for(mins(10));
        assert_eq!(world.socket_state(), &SocketState::Offline);
        let attempts = world.ws.attempts();
        world.network(true);
        world.run_for(100);
        assert!(world.is_open());
        assert_eq!(world.ws.attempts(), attempts + 1);
    }
}

#[test]
fn w6_a_connection_lost_while_offline_uses_up_no_attempt() {
    let mut world = World::open(Setup::socket(|socket| socket.reconnect.max_attempts = Some(1)));
    // The device knows before the connection does.
    world.ws.offline = true;
    world.input(freshsocket::io::Input::Network { online: false });
    world.run_for(secs(3));
    world.cut_all();
    assert_eq!(world.socket_state(), &SocketState::Offline);
    world.ws.offline = false;
    world.input(freshsocket::io::Input::Network { online: true });
    world.run_for(100);
    assert!(world.is_open());
}

#[test]
fn w6_online_after_the_token_expired_connects_at_once_too() {
    let mut world = World::open(Setup::default());
    world.network(false);
    world.run_for(hours(2));
    world.network(true);
    world.run_for(secs(1));
    assert!(
        world.is_open(),
        "{:?} {:?}",
        world.session(),
        world.socket_state()
    );
}

#[test]
fn w6_flapping_network_makes_no_storm_of_refreshes_and_honours_retry_after() {
    let mut world = World::open(Setup::default());
    let busy = sim::Fault::Answers {
        status: 429,
        body: "{}",
        retry_after: Some("600"),
    };
    world.server.fails_to_refresh(busy, u32::MAX);
    world.run_for(mins(56));
    let refreshes = world.server.refreshes();
    for _ in 0..50 {
        world.network(false);
        world.run_for(100);
        world.network(true);
        world.run_for(100);
    }
    assert_eq!(
        world.server.refreshes(),
        refreshes,
        "the server asked to be left alone"
    );
}

#[test]
fn w6_retry_after_at_the_upgrade_is_a_floor() {
    for status in [503, 429] {
        for seed in 0..20 {
            let mut world = World::open(Setup::default().seed(seed));
            world.ws.fails(ConnectFault::Http(status, Some("45")), 1);
            world.cut_all();
            world.run_for(mins(3));
            let times: Vec<u64> = world.ws.handshakes.iter().map(|h| h.at).collect();
            let gap = times[2] - times[1];
            assert!((secs(45)..=secs(45 + 21)).contains(&gap), "{gap}");
        }
    }
}

#[test]
fn w6_503_and_1012_and_1013_widen_the_delay() {
    let longest = |act: &dyn Fn(&mut World)| {
        (0..150)
            .map(|seed| {
                let mut world = World::open(Setup::default().seed(seed));
                let cut = world.now;
                act(&mut world);
                world.run_for(mins(1));
                attempts_since(&world, cut)[0]
            })
            .max()
            .unwrap()
    };
    assert!(longest(&|world| world.close_all(1011)) <= secs(7));
    assert!(longest(&|world| world.close_all(1012)) > secs(12));
    assert!(longest(&|world| world.close_all(1013)) > secs(12));
}

#[test]
fn w6_disconnect_wins_over_every_timer_and_late_answer() {
    for steps in 0..12 {
        let mut world = World::open(Setup::default());
        world.cut_all();
        for _ in 0..steps {
            world.step_before(world.now + secs(10));
        }
        world.disconnect();
        let attempts = world.ws.attempts();
        world.network(false);
        world.network(true);
        world.run_for(hours(3));
        let by = ClosedBy::Application;
        assert_eq!(
            world.socket_state(),
            &SocketState::Closed {
                by,
                code: 1000,
                reason: "bye".into()
            }
        );
        assert_eq!(world.ws.attempts(), attempts, "after {steps} steps");
        assert!(world.ws.open.is_empty());
        world.logout();
        world.login("bob");
        world.run_for(mins(1));
        assert_eq!(world.ws.attempts(), attempts, "nor by another sign-in");
    }
}

#[test]
fn w6_disconnect_before_the_upgrade_answered_leaves_no_connection() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    world.connect();
    world.disconnect();
    world.run_for(mins(1));
    assert!(world.ws.open.is_empty());
    world.connect();
    world.run_for(secs(1));
    assert!(world.is_open());
}
