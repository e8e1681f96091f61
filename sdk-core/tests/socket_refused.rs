//! W8: a refused token is never shown again, a fresh one once, and no server makes a storm of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::{Input, SocketId};
use freshsocket::options::{Credential, Matcher, Preset, Renewal, TicketOptions};
use freshsocket::{Ended, SocketEvent, SocketState};
use sim::{FIRST, Fault, OnOpen, RefuseAs, Setup, World, hours, mins, secs, socket_options};

const REFUSAL: &str = r#"{"type":"error","message":"Invalid or expired token"}"#;

const ALL_WAYS: [RefuseAs; 6] = [
    RefuseAs::Http(401),
    RefuseAs::Http(403),
    RefuseAs::Close(4401),
    RefuseAs::Close(1008),
    RefuseAs::Message(REFUSAL, 1000),
    RefuseAs::Message(REFUSAL, 4000),
];

fn is_refused(world: &World) -> bool {
    matches!(world.socket_state(), SocketState::Refused { .. })
}

#[test]
fn w8_a_refused_token_is_refreshed_and_the_next_attempt_carries_the_new_one() {
    for way in ALL_WAYS {
        let mut world = World::open(Setup::default());
        world.ws.refuse_as = way;
        world.server.revoke_access();
        world.cut_all();
        assert!(
            world.run_until(mins(1), |world| world.is_open() && world.ws.tokens().len() > 2),
            "{way:?}"
        );
        world.run_for(mins(1));
        assert!(world.is_open(), "{way:?}");
        assert_eq!(
            (world.server.refreshes(), world.ws.tokens()),
            (1, vec![1, 1, 2]),
            "{way:?}"
        );
    }
}

#[test]
fn w8_a_second_refusal_with_a_newly_issued_token_is_refused() {
    for way in ALL_WAYS {
        let mut world = World::open(Setup::default());
        world.ws.refuse_as = way;
        world.ws.refuses_all = true;
        world.cut_all();
        assert!(
            world.run_until(mins(1), is_refused),
            "{way:?}: {:?}",
            world.socket_state()
        );
        assert_eq!(
            (world.server.refreshes(), world.ws.tokens()),
            (1, vec![1, 1, 2]),
            "{way:?}"
        );
        world.run_for(mins(50));
        assert_eq!(world.ws.attempts(), 3, "no loop");
        world.ws.refuses_all = false;
        world.connect();
        world.run_for(secs(1));
        assert!(world.is_open(), "`connect` tries again");
    }
}

#[test]
fn w8_a_refused_token_that_is_no_longer_current_reconnects_at_once_without_a_refresh() {
    let mut world = World::open(Setup::socket(|socket| socket.renewal = Renewal::Keep));
    world.run_for(mins(57));
    assert_eq!(
        world.server.refreshes(),
        1,
        "the scene: the connection still has the first token"
    );
    world.close_all(4401);
    let closed = world.now;
    world.run_for(100);
    assert!(world.is_open());
    assert_eq!(world.ws.handshakes[1].at, closed, "at once");
    assert_eq!((world.server.refreshes(), world.ws.tokens()), (1, vec![1, 2]));
}

#[test]
fn w8_tokens_are_told_apart_by_count_where_their_texts_are_the_same() {
    let mut world = World::new(Setup::default());
    world.server.same_in_a_second = true;
    world.ws.checks = false;
    world.login("ada");
    // Refused once, whatever it carries; the refresh in the same second gives the same text.
    world.ws.refuses_all = true;
    world.connect();
    world.later(30, |world| world.ws.refuses_all = false);
    world.run_for(secs(2));
    assert_eq!(world.server.issued.len(), 1, "the scene: one text");
    assert!(world.is_open(), "{:?}", world.socket_state());
    assert_eq!((world.server.refreshes(), world.ws.tokens()), (1, vec![1, 2]));
}

#[test]
fn w8_a_refusal_while_the_session_is_unreachable_never_shows_the_refused_token_again() {
    for way in ALL_WAYS {
        let mut world = World::open(Setup::default());
        world.ws.refuse_as = way;
        world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
        world.server.revoke_access();
        world.cut_all();
        world.run_for(mins(30));
        assert_eq!(world.ws.tokens(), [1, 1], "{way:?}");
        assert!(world.is_signed_in());
        assert!(matches!(
            world.socket_state(),
            SocketState::Backoff { .. } | SocketState::Authenticating
        ));
        assert!(world.server.refreshes() < 200, "{}", world.server.refreshes());
        world.server.refresh_fault = None;
        assert!(
            world.run_until(secs(31), World::is_open),
            "{way:?}: {:?}",
            world.socket_state()
        );
    }
}

#[test]
fn w8_no_refresh_storm_against_a_server_that_closes_4401_after_a_welcome() {
    let ready = Matcher::new([("/type", "connected".into())]);
    for ready in [None, Some(ready)] {
        for delay in [1, secs(2), secs(20)] {
            let mut world = World::new(Setup::socket(|socket| socket.ready = ready.clone()));
            world.ws.on_open = vec![
                (0, OnOpen::Say(r#"{"type":"connected"}"#)),
                (delay, OnOpen::Close(4401, "")),
            ];
            world.login("ada");
            world.connect();
            world.run_for(mins(50));
            assert!(is_refused(&world), "{delay}: {:?}", world.socket_state());
            assert_eq!(
                (world.server.refreshes(), world.ws.tokens()),
                (1, vec![1, 2]),
                "{delay}"
            );
        }
    }
}

#[test]
fn w8_a_refusal_hours_later_is_a_new_story() {
    let mut world = World::open(Setup::socket(|socket| socket.renewal = Renewal::Keep));
    for hour in 1..10 {
        world.run_for(hours(1));
        world.server.revoke_access();
        world.close_all(4401);
        world.run_for(secs(5));
        assert!(world.is_open(), "hour {hour}: {:?}", world.socket_state());
    }
}

#[test]
fn w8_tokens_that_live_for_seconds_and_a_server_that_closes_at_their_expiry_are_no_refusal() {
    for lifetime in [secs(10), secs(20), secs(40)] {
        let mut world = World::new(Setup::socket(|socket| socket.renewal = Renewal::Keep));
        world.server.lifetime = lifetime;
        world.ws.closes_at_expiry = Some(4401);
        world.login("ada");
        world.connect();
        world.run_for(mins(20));
        let refused: Vec<_> = world.socket_states[&FIRST]
            .iter()
            .filter(|(_, s)| s.name() == "refused")
            .collect();
        assert!(refused.is_empty(), "{lifetime}: {refused:?}");
    }
}

#[test]
fn w8_a_configured_auth_message_refuses_also_on_a_connection_that_stays_open() {
    let refusal = Matcher::new([("/code", "token_not_valid".into())]);
    let mut world = World::open(Setup::socket(|socket| socket.auth_error = Some(vec![refusal])));
    let waits = world.ws.open.len();
    assert_eq!(waits, 1);
    world.say(r#"{"code":"token_not_valid"}"#);
    assert!(world.run_until(secs(10), |world| world.is_open() && world.ws.tokens() == [1, 2]));
    let refused = SocketEvent::AuthRefused {
        ended: Ended::AuthMessage,
    };
    assert!(world.events_of(FIRST).contains(&refused));
    assert_eq!(world.server.refreshes(), 1);
}

#[test]
fn w8_a_first_message_that_is_refused_leads_to_a_refresh() {
    let template = freshsocket::Json::parse(r#"{"type":"auth","token":"{token}"}"#).unwrap();
    let mut world = World::open(Setup::socket(|socket| {
        socket.credential = Credential::FirstMessage { template }
    }));
    world.ws.refuse_as = RefuseAs::Message(REFUSAL, 1000);
    world.server.revoke_access();
    world.cut_all();
    world.run_for(mins(1));
    assert!(world.is_open());
    assert_eq!((world.server.refreshes(), world.ws.tokens()), (1, vec![1, 1, 2]));
}

#[test]
fn w8_where_nothing_can_be_refreshed_a_refusal_is_final_at_once() {
    let mut world = World::new(Setup::session(|session| session.preset = Preset::TokenOnly));
    world.server.node = true;
    world.login("ada");
    world.ws.refuses_all = true;
    world.connect();
    world.run_for(mins(10));
    assert!(is_refused(&world));
    assert_eq!(world.ws.attempts(), 1);
    world.ws.refuses_all = false;
    world.login("ada");
    world.run_for(secs(1));
    assert!(world.is_open(), "a new sign-in is a new start");
}

#[test]
fn w8_a_session_that_is_refused_too_signs_out() {
    let mut world = World::open(Setup::default());
    world.server.refuses_to_refresh();
    world.server.revoke_access();
    world.close_all(4401);
    world.run_for(mins(5));
    assert!(!world.is_signed_in());
    assert_eq!(world.socket_state(), &SocketState::WaitingForSession);
}

#[test]
fn w8_a_refused_handover_leaves_the_old_connection_and_makes_no_storm() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(50));
    world.ws.refuses_all = true;
    world.run_for(mins(8));
    assert!(world.is_open());
    assert_eq!(world.ends(), 0);
    assert!(world.server.refreshes() <= 2, "{}", world.server.refreshes());
    assert!(world.ws.attempts() <= 3, "{}", world.ws.attempts());
}

#[test]
fn w8_ten_sockets_refused_together_make_one_refresh_and_all_end_refused_when_it_did_not_help() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    let sockets: Vec<SocketId> = (0..10).map(|_| world.open_socket(socket_options())).collect();
    world.run_for(secs(1));
    world.ws.refuses_all = true;
    world.cut_all();
    world.run_for(mins(2));
    assert!(
        sockets
            .iter()
            .all(|socket| world.state_of(*socket).name() == "refused")
    );
    assert!(world.server.refreshes() <= 3, "{}", world.server.refreshes());
}

#[test]
fn w8_a_refused_ticket_request_is_a_refused_token() {
    let options = TicketOptions {
        url: "/ticket".into(),
        ..TicketOptions::default()
    };
    let mut world = World::open(Setup::socket(|socket| {
        socket.credential = Credential::Ticket(options);
    }));
    world.server.fault = None;
    world.server.revoke_access();
    world.server.lifetime = 0;
    world.checks.expiry = false;
    world.cut_all();
    world.run_for(mins(5));
    assert!(
        is_refused(&world),
        "every token is refused: {:?}",
        world.socket_state()
    );
    assert!(world.server.refreshes() <= 2);
}

#[test]
fn w8_a_rejected_http_request_and_a_refused_socket_share_one_refresh() {
    let mut world = World::open(Setup::default());
    world.server.revoke_access();
    world.input(Input::TokenRejected { token: 1 });
    world.close_all(4401);
    world.input(Input::TokenRejected { token: 1 });
    world.run_for(secs(5));
    assert!(world.is_open());
    assert_eq!(world.server.refreshes(), 1);
}
