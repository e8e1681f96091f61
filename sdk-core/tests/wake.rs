//! S7: after a wake the clocks come first, then a valid token, then a short look at the connection.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::Input;
use freshsocket::options::{Credential, TicketOptions};
use freshsocket::{Ended, SessionState, SocketEvent, SocketState};
use sim::{ConnectFault, FIRST, Fault, Setup, World, hours, mins, secs};

fn silent_ends(world: &World) -> usize {
    let ended = SocketEvent::Ended {
        ended: Ended::Silent,
        will_retry: true,
    };
    world
        .events_of(FIRST)
        .iter()
        .filter(|event| **event == ended)
        .count()
}

#[test]
fn s7_after_a_day_of_sleep_no_connect_carries_an_expired_token() {
    // The world's own check fails on any attempt whose token is known to be expired.
    for cut in [false, true] {
        let mut world = World::open(Setup::default());
        world.run_for(mins(7));
        if cut {
            world.cut_all();
        }
        world.suspend(hours(24));
        assert!(world.run_until(secs(10), |world| world.is_open() && world.server.refreshes() == 1));
        world.run_for(mins(1));
        assert_eq!(*world.ws.tokens().last().unwrap(), 2);
    }
}

#[test]
fn s7_a_dead_connection_is_found_within_three_seconds_of_a_wake() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(5));
    world.ws.silent = true;
    world.suspend(mins(3));
    let woke = world.now;
    assert!(world.run_until(mins(1), |world| silent_ends(world) == 1));
    assert_eq!(world.now - woke, 2_500, "probeTimeoutMs");
    world.ws.silent = false;
    assert!(world.run_until(secs(10), World::is_open));
}

#[test]
fn s7_a_connection_that_answers_is_kept() {
    let mut world = World::open(Setup::default());
    for _ in 0..20 {
        world.run_for(secs(30));
        world.suspend(secs(40));
        world.input(Input::Woke);
    }
    world.run_for(mins(1));
    assert_eq!((world.ws.attempts(), world.ends()), (1, 0));
}

#[test]
fn s7_any_number_of_signals_at_once_is_one() {
    let mut world = World::open(Setup::default());
    world.run_for(secs(10));
    let pings = world.ws.pings.len();
    world.suspend(secs(30));
    for _ in 0..50 {
        world.input(Input::Woke);
        world.input(Input::Network { online: true });
        world.input(Input::Foreground { foreground: true });
    }
    assert_eq!(world.ws.pings.len() - pings, 1);
    world.run_for(secs(1));
    assert_eq!(world.ws.pings.len() - pings, 1);
}

#[test]
fn s7_a_message_in_the_millisecond_of_the_wake_proves_nothing_of_what_follows() {
    let mut world = World::open(Setup::default());
    world.run_for(secs(10));
    world.say("tick");
    world.ws.silent = true;
    world.input(Input::Woke);
    let woke = world.now;
    assert!(world.run_until(mins(1), |world| silent_ends(world) == 1));
    assert_eq!(world.now - woke, 2_501);
}

#[test]
fn s7_the_token_comes_first_and_the_probe_after_it() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(10));
    world.server.latency = 1_000;
    let pings = world.ws.pings.len();
    world.suspend(hours(2));
    assert!(matches!(world.session(), SessionState::Refreshing { .. }));
    world.run_for(1_900);
    assert_eq!(world.ws.pings.len(), pings, "not while the token is on its way");
    assert!(world.run_until(secs(2), |world| world.ws.pings.len() > pings));
    assert!(matches!(world.session(), SessionState::Active { .. }));
}

#[test]
fn s7_a_wake_without_network_keeps_the_session_and_ends_well() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(10));
    world.ws.offline = true;
    world.ws.silent = true;
    world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
    world.suspend(hours(8));
    world.run_for(mins(2));
    assert!(matches!(world.session(), SessionState::Unreachable { .. }));
    world.server.refresh_fault = None;
    world.ws.offline = false;
    world.ws.silent = false;
    world.input(Input::Network { online: false });
    world.input(Input::Network { online: true });
    assert!(
        world.run_until(secs(5), World::is_open),
        "{:?}",
        world.socket_state()
    );
    assert_eq!(*world.ws.tokens().last().unwrap(), 2);
}

#[test]
fn s7_a_ticket_from_before_a_sleep_is_not_used() {
    let mut world = World::open(Setup::socket(|socket| {
        socket.credential = Credential::Ticket(TicketOptions {
            url: "/ticket".into(),
            ..TicketOptions::default()
        });
    }));
    world.server.latency = 500;
    world.cut_all();
    assert!(
        world.run_until(secs(30), |world| world.server.to("/ticket").len() == 1
            || world.socket_state() == &SocketState::Authenticating)
    );
    world.suspend(mins(5));
    assert!(world.run_until(secs(10), World::is_open));
    let tickets: Vec<_> = world
        .ws
        .handshakes
        .iter()
        .filter_map(|h| h.ticket.clone())
        .collect();
    assert_eq!(
        tickets.len(),
        2,
        "one before the cut, one after the wake: {tickets:?}"
    );
}

#[test]
fn s7_an_attempt_from_before_a_sleep_is_given_up() {
    let mut world = World::open(Setup::default());
    world.ws.fails(ConnectFault::Hangs, 1);
    world.cut_all();
    assert!(world.run_until(secs(30), |world| world.ws.attempts() == 2));
    world.suspend(secs(20));
    assert!(world.run_until(secs(1), World::is_open));
    assert_eq!(world.ws.attempts(), 3);
}

#[test]
fn s7_a_deadline_that_is_told_late_is_a_wake() {
    let mut world = World::open(Setup::default());
    world.ws.silent = true;
    // Frozen, with the monotonic clock going on: nobody calls the machine for a minute.
    world.late_by = mins(1);
    world.run_until(mins(2), |world| !world.ws.pings.is_empty());
    world.late_by = 0;
    let woke = world.now;
    assert!(world.run_until(mins(1), |world| silent_ends(world) == 1));
    assert!(world.now - woke <= 2_500);
}

#[test]
fn s7_a_hint_cuts_a_delay_short_but_not_again_and_again() {
    let mut world = World::open(Setup::default());
    world.ws.offline = true;
    world.cut_all();
    world.run_for(mins(5));
    let before = world.ws.attempts();
    for _ in 0..100 {
        world.input(Input::Woke);
        world.run_for(50);
    }
    let made = world.ws.attempts() - before;
    assert!(
        (1..=3).contains(&made),
        "{made} attempts in five seconds of signals"
    );
}

#[test]
fn s7_a_hint_does_not_hurry_to_an_overloaded_server() {
    let mut world = World::open(Setup::default());
    world.ws.fails(ConnectFault::Http(503, Some("60")), 1);
    world.cut_all();
    assert!(world.run_until(secs(60), |world| world.ws.attempts() == 2));
    world.run_for(100);
    for _ in 0..30 {
        world.input(Input::Woke);
        world.run_for(secs(1));
    }
    assert_eq!(world.ws.attempts(), 2);
}

#[test]
fn w6_time_in_the_background_uses_up_no_attempts() {
    let mut world = World::open(Setup::socket(|socket| socket.reconnect.max_attempts = Some(3)));
    world.input(Input::Foreground { foreground: false });
    world.ws.offline = true;
    world.cut_all();
    world.run_for(hours(2));
    assert!(
        matches!(
            world.socket_state(),
            SocketState::Backoff { .. } | SocketState::Connecting { .. }
        ),
        "{:?}",
        world.socket_state()
    );
    let before = world.ws.attempts();
    world.input(Input::Foreground { foreground: true });
    assert_eq!(world.ws.attempts(), before + 1, "at once");
    world.ws.offline = false;
    assert!(world.run_until(secs(10), World::is_open));

    world.ws.offline = true;
    world.cut_all();
    world.run_for(mins(5));
    assert!(
        matches!(world.socket_state(), SocketState::Closed { .. }),
        "in the foreground they count"
    );
}

#[test]
fn w6_disconnect_wins_over_every_wake() {
    let mut world = World::open(Setup::default());
    world.disconnect();
    world.run_for(secs(10));
    let attempts = world.ws.attempts();
    world.suspend(hours(1));
    for input in [
        Input::Woke,
        Input::Network { online: false },
        Input::Network { online: true },
        Input::Foreground { foreground: false },
        Input::Foreground { foreground: true },
    ] {
        world.input(input);
        world.run_for(secs(10));
    }
    assert_eq!(world.ws.attempts(), attempts);
    assert!(matches!(world.socket_state(), SocketState::Closed { .. }));
}

#[test]
fn s7_a_clock_that_is_set_is_no_reason_to_sign_out_or_to_storm() {
    for error in [86_400_000, -86_400_000, 1_000, -1_000] {
        let mut world = World::open(Setup::default());
        world.run_for(mins(5));
        let refreshes = world.server.refreshes();
        world.set_clock_error(error);
        world.run_for(mins(10));
        world.set_clock_error(0);
        world.run_for(mins(10));
        assert!(world.is_open(), "{error}");
        assert!(
            world.server.refreshes() - refreshes <= 2,
            "{error}: an early refresh, no storm"
        );
    }
}
