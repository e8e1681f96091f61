//! W7: what each close code means, and how options change it.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::options::CloseAction;
use freshsocket::{ClosedBy, Ended, SocketEvent, SocketState};
use sim::{FIRST, OnOpen, RefuseAs, Setup, World, hours, mins, secs};

fn after_close(setup: Setup, code: u16) -> World {
    let mut world = World::open(setup);
    world.run_for(mins(1));
    world.close_all(code);
    world
}

fn with_code(code: u16, action: CloseAction) -> Setup {
    Setup::socket(|socket| {
        socket.close_codes.insert(code, action);
    })
}

fn is_closed_by_server(world: &World, expected: u16) -> bool {
    matches!(world.socket_state(), SocketState::Closed { by: ClosedBy::Server, code, .. } if *code == expected)
}

#[test]
fn w7_codes_that_retry_do_so_without_a_refresh() {
    for code in [
        1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 3999, 4000, 4499, 4999,
    ] {
        let mut world = after_close(Setup::default(), code);
        assert!(
            matches!(world.socket_state(), SocketState::Backoff { .. }),
            "{code}"
        );
        assert!(world.run_until(mins(1), World::is_open), "{code}");
        assert_eq!(
            (world.server.refreshes(), world.ws.tokens()),
            (0, vec![1, 1]),
            "{code}"
        );
    }
}

#[test]
fn w7_codes_that_refuse_the_token_refresh_first() {
    for code in [1008, 3000, 4401] {
        let mut world = after_close(Setup::default(), code);
        assert!(world.run_until(mins(1), World::is_open), "{code}");
        assert_eq!(
            (world.server.refreshes(), world.ws.tokens()),
            (1, vec![1, 2]),
            "{code}"
        );
        let refused = SocketEvent::AuthRefused {
            ended: Ended::Closed {
                code,
                reason: String::new(),
            },
        };
        assert!(world.events_of(FIRST).contains(&refused));
    }
}

#[test]
fn w7_forbidden_stops_with_its_code_and_connect_starts_anew() {
    let mut world = after_close(Setup::default(), 4403);
    assert!(is_closed_by_server(&world, 4403));
    world.run_for(hours(2));
    assert_eq!(world.ws.attempts(), 1);
    world.connect();
    world.run_for(secs(1));
    assert!(world.is_open());
}

#[test]
fn w7_protocol_errors_stop_after_a_repeat() {
    for code in [1002, 1003, 1007, 1009, 1010] {
        let mut world = after_close(Setup::default(), code);
        assert!(
            world.run_until(mins(1), World::is_open),
            "{code}: once is forgiven"
        );
        world.run_for(secs(5));
        world.close_all(code);
        assert!(
            is_closed_by_server(&world, code),
            "{code}: {:?}",
            world.socket_state()
        );
    }
}

#[test]
fn w7_a_protocol_error_after_a_long_good_connection_is_no_repeat() {
    let mut world = after_close(Setup::default(), 1009);
    for _ in 0..5 {
        assert!(world.run_until(mins(1), World::is_open));
        world.run_for(mins(1));
        world.close_all(1009);
    }
    assert!(world.run_until(mins(1), World::is_open));
}

#[test]
fn w7_options_override_and_extend_the_table() {
    let world = after_close(with_code(1000, CloseAction::Stop), 1000);
    assert!(is_closed_by_server(&world, 1000));

    let mut world = after_close(with_code(4401, CloseAction::Retry), 4401);
    assert!(world.run_until(mins(1), World::is_open));
    assert_eq!(world.server.refreshes(), 0);

    let mut world = after_close(with_code(4499, CloseAction::RefreshThenRetry), 4499);
    assert!(world.run_until(mins(1), World::is_open));
    assert_eq!(world.server.refreshes(), 1);

    let mut world = after_close(with_code(4403, CloseAction::Retry), 4403);
    assert!(world.run_until(mins(1), World::is_open));
}

#[test]
fn w7_options_say_what_a_missing_code_means_too() {
    let world = after_close(with_code(1005, CloseAction::Stop), 1005);
    assert!(is_closed_by_server(&world, 1005));
    let mut world = World::open(with_code(1006, CloseAction::Stop));
    world.cut_all();
    assert!(is_closed_by_server(&world, 1006), "{:?}", world.socket_state());
    let mut world = World::open(with_code(1006, CloseAction::RefreshThenRetry));
    world.cut_all();
    assert!(world.run_until(mins(1), World::is_open));
    assert_eq!(
        world.server.refreshes(),
        1,
        "for servers that cut instead of closing"
    );
}

#[test]
fn w7_reasons_may_be_empty_or_there_and_are_shown() {
    for reason in ["", "bad mood"] {
        let mut world = World::new(Setup::default());
        world.ws.on_open = vec![(secs(1), OnOpen::Close(4403, reason))];
        world.login("ada");
        world.connect();
        world.run_for(secs(2));
        let SocketState::Closed { reason: shown, .. } = world.socket_state() else {
            panic!()
        };
        assert_eq!(shown, reason);
    }
}

#[test]
fn w7_401_and_403_at_the_upgrade_are_refusals_of_the_token() {
    for status in [401, 403] {
        let mut world = World::open(Setup::default());
        world.ws.refuse_as = RefuseAs::Http(status);
        world.server.revoke_access();
        world.cut_all();
        assert!(world.run_until(mins(1), World::is_open));
        assert_eq!((world.server.refreshes(), world.ws.tokens()), (1, vec![1, 1, 2]));
    }
}

#[test]
fn w7_the_application_sees_each_end_with_whether_there_is_a_next_time() {
    for (code, retries) in [(1000, true), (4401, true), (4403, false)] {
        let world = after_close(Setup::default(), code);
        let ended = Ended::Closed {
            code,
            reason: String::new(),
        };
        let expected = SocketEvent::Ended {
            ended,
            will_retry: retries,
        };
        assert!(
            world.events_of(FIRST).contains(&expected),
            "{:?}",
            world.events_of(FIRST)
        );
        assert_eq!(world.ends(), 1);
    }
}
