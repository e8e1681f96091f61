//! W9: a connection that is dead without saying so is noticed.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::options::Matcher;
use freshsocket::{Ended, Json, SocketEvent, SocketState};
use sim::{FIRST, Setup, World, hours, mins, secs};

fn silent_end(world: &World) -> bool {
    let ended = SocketEvent::Ended {
        ended: Ended::Silent,
        will_retry: true,
    };
    world.events_of(FIRST).contains(&ended)
}

#[test]
fn w9_a_ping_after_25_seconds_of_silence_and_dead_10_seconds_later() {
    let mut world = World::open(Setup::default());
    let opened = world.now;
    world.ws.silent = true;
    assert!(world.run_until(mins(1), |world| !world.ws.pings.is_empty()));
    assert!((secs(24)..=secs(26)).contains(&(world.now - opened)));
    let pinged = world.now;
    assert!(world.run_until(mins(1), |world| !world.is_open()));
    assert_eq!(world.now - pinged, secs(10));
    assert!(silent_end(&world), "{:?}", world.events_of(FIRST));
    world.ws.silent = false;
    assert!(world.run_until(secs(10), World::is_open));
}

#[test]
fn w9_an_idle_connection_that_answers_pings_lives_for_ever() {
    let mut world = World::open(Setup::session(|session| session.refresh.proactive = false));
    world.run_for(mins(50));
    assert_eq!((world.ws.attempts(), world.ends()), (1, 0));
    let pings = world.ws.pings.len();
    assert!((115..=121).contains(&pings), "one per 25 s: {pings}");
}

#[test]
fn w9_traffic_needs_no_pings() {
    let mut world = World::open(Setup::default());
    for _ in 0..100 {
        world.run_for(secs(20));
        world.say("tick");
    }
    assert!(world.ws.pings.is_empty());
}

#[test]
fn w9_the_interval_and_the_patience_are_options_and_zero_means_never() {
    let mut world = World::open(Setup::socket(|socket| {
        socket.heartbeat.interval_ms = 3_000;
        socket.heartbeat.timeout_ms = 1_000;
    }));
    world.ws.silent = true;
    let since = world.now;
    assert!(world.run_until(secs(5), |world| !world.is_open()));
    assert!((3_700..=4_000).contains(&(world.now - since)));

    let mut world = World::open(Setup::socket(|socket| socket.heartbeat.interval_ms = 0));
    world.run_for(mins(50));
    assert!(world.ws.pings.is_empty() && world.is_open());
}

#[test]
fn w9_a_limit_longer_than_the_interval_is_kept_too() {
    let mut world = World::open(Setup::socket(|socket| {
        socket.heartbeat.interval_ms = 2_000;
        socket.heartbeat.timeout_ms = 9_000;
    }));
    for _ in 0..10 {
        world.run_for(secs(7));
        assert!(world.is_open());
    }
    world.ws.silent = true;
    let since = world.now;
    assert!(world.run_until(mins(1), |world| !world.is_open()));
    assert!(
        (9_000..=11_100).contains(&(world.now - since)),
        "{}",
        world.now - since
    );
}

#[test]
fn w9_an_application_heartbeat_goes_out_instead_of_a_ping_and_its_reply_counts() {
    let setup = Setup::socket(|socket| {
        socket.heartbeat.message = Some(Json::object([("type", Json::from("ping"))]));
        socket.heartbeat.reply = Some(Matcher::new([("/type", "pong".into())]));
    });
    let mut world = World::open(setup);
    for beat in 1..=20 {
        assert!(
            world.run_until(secs(26), |world| world.ws.received.len() == beat),
            "beat {beat}"
        );
        world.say(r#"{"type":"pong"}"#);
    }
    assert_eq!(world.ws.texts()[0], r#"{"type":"ping"}"#);
    assert_eq!((world.ws.pings.len(), world.ends()), (0, 0));
    // The next one is not answered.
    world.run_for(secs(36));
    assert!(silent_end(&world));
}

#[test]
fn w9_a_connection_that_did_not_survive_a_sleep_is_found_dead_at_once_after_it() {
    let mut world = World::open(Setup::default());
    world.run_for(secs(10));
    // A short sleep: the token is good, only the connection is gone, and nobody said so.
    world.ws.silent = true;
    world.suspend(mins(5));
    assert_eq!(world.ws.pings.len(), 1, "probed on waking");
    assert!(world.run_until(secs(11), |world| !world.is_open()));
    world.ws.silent = false;
    assert!(world.run_until(secs(10), World::is_open));
}

#[test]
fn w9_a_connection_that_did_survive_a_sleep_is_kept() {
    let mut world = World::open(Setup::default());
    world.run_for(secs(10));
    world.suspend(mins(5));
    world.run_for(mins(2));
    assert!(world.is_open());
    assert_eq!(world.ends(), 0);
}

#[test]
fn w9_messages_written_to_a_dead_connection_that_never_left_go_out_on_the_next() {
    let mut world = World::open(Setup::default());
    world.ws.silent = true;
    world.ws.stalled = true;
    let texts: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    for text in &texts {
        world.send(text);
    }
    assert!(world.run_until(secs(37), |world| !world.is_open()));
    (world.ws.silent, world.ws.stalled) = (false, false);
    assert!(world.run_until(secs(10), World::is_open));
    world.run_for(secs(1));
    assert_eq!(world.ws.texts(), texts);
}

#[test]
fn w12_every_state_on_the_way_says_why_and_what_is_next() {
    let mut world = World::new(Setup::default());
    world.connect();
    world.login("ada");
    world.run_for(secs(1));
    world.cut_all();
    let SocketState::Backoff {
        attempt,
        cause,
        next_attempt,
    } = world.socket_state().clone()
    else {
        panic!()
    };
    assert_eq!(
        (attempt, &cause),
        (
            1,
            &Ended::Lost {
                detail: "reset".into()
            }
        )
    );
    world.run_until(secs(10), |world| {
        matches!(world.socket_state(), SocketState::Connecting { .. })
    });
    assert_eq!(world.clock().unix_ms, next_attempt, "it is when it said");
    assert_eq!(world.socket_state(), &SocketState::Connecting { attempt: 2 });
    world.run_for(hours(1));
    let names: Vec<&str> = world.socket_states[&FIRST]
        .iter()
        .map(|(_, state)| state.name())
        .collect();
    assert_eq!(
        names,
        [
            "waitingForSession",
            "connecting",
            "open",
            "backoff",
            "connecting",
            "open"
        ]
    );
}
