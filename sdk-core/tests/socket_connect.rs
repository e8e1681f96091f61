//! W1 to W4 and W13: a valid token first, a fresh credential each time, renewal, many sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::{Input, SocketId};
use freshsocket::options::{Credential, Matcher, Renewal, TicketOptions};
use freshsocket::{Ended, ErrorKind, Json, SocketEvent, SocketState};
use sim::{FIRST, Fault, OnOpen, Setup, World, hours, mins, secs, socket_options};

fn ticket() -> Setup {
    Setup::socket(|socket| {
        let options = TicketOptions {
            url: "/api/ws-ticket/".into(),
            ..TicketOptions::default()
        };
        socket.credential = Credential::Ticket(options);
    })
}

fn renewal(renewal: Renewal) -> Setup {
    Setup::socket(|socket| socket.renewal = renewal)
}

#[test]
fn w2_every_attempt_carries_a_fresh_ticket() {
    let mut world = World::open(ticket());
    for _ in 0..5 {
        world.cut_all();
        assert!(world.run_until(secs(40), World::is_open));
    }
    let tickets: Vec<_> = world
        .ws
        .handshakes
        .iter()
        .map(|handshake| handshake.ticket.clone().unwrap())
        .collect();
    let different: std::collections::BTreeSet<_> = tickets.iter().collect();
    assert_eq!((tickets.len(), different.len()), (6, 6));
    assert!(world.ws.handshakes.iter().all(|handshake| handshake.accepted));
}

#[test]
fn w2_a_ticket_endpoint_that_refuses_the_token_leads_to_a_refresh() {
    let mut world = World::open(ticket());
    world.server.revoke_access();
    world.cut_all();
    assert!(world.run_until(secs(40), World::is_open));
    assert_eq!(world.server.refreshes(), 1);
}

#[test]
fn w2_a_ticket_endpoint_in_trouble_is_asked_again_with_the_same_backoff() {
    let mut world = World::open(ticket());
    let out = [
        Fault::Unreachable,
        Fault::Hangs,
        Fault::Answers {
            status: 500,
            body: "{}",
            retry_after: None,
        },
        Fault::Answers {
            status: 200,
            body: "<html>",
            retry_after: None,
        },
    ];
    for fault in out {
        world.server.fault = Some((fault, 3));
        world.cut_all();
        world.run_for(secs(5));
        assert!(
            world.run_until(mins(3), World::is_open),
            "{:?}",
            world.socket_state()
        );
    }
    world.server.fault = Some((
        Fault::Answers {
            status: 429,
            body: "",
            retry_after: Some("60"),
        },
        1,
    ));
    world.cut_all();
    world.run_until(secs(30), |world| world.server.fault.as_ref().unwrap().1 == 0);
    let asked = world.now;
    assert!(world.run_until(mins(3), World::is_open));
    assert!(
        world.now - asked >= secs(60),
        "Retry-After of the ticket endpoint is honoured"
    );
}

#[test]
fn w3_signed_out_waits_for_a_sign_in_instead_of_failing() {
    let mut world = World::new(Setup::default());
    world.connect();
    world.run_for(hours(1));
    assert_eq!(world.socket_state(), &SocketState::WaitingForSession);
    assert_eq!(world.ws.attempts(), 0);
    world.login("ada");
    world.run_for(100);
    assert!(world.is_open());
}

#[test]
fn w3_an_expired_token_is_refreshed_before_the_attempt() {
    let mut world = World::new(Setup::session(|session| session.refresh.proactive = false));
    world.login("ada");
    world.run_for(hours(5));
    world.connect();
    assert_eq!(world.socket_state(), &SocketState::Authenticating);
    world.run_for(secs(1));
    assert!(world.is_open());
    assert_eq!((world.server.refreshes(), world.ws.tokens()), (1, vec![2]));
}

#[test]
fn w3_no_token_and_unreachable_waits_as_the_session_does() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
    world.run_for(hours(2));
    world.connect();
    world.run_for(secs(40));
    assert_eq!(world.ws.attempts(), 0);
    if let SocketState::Backoff {
        cause,
        next_attempt,
        attempt,
    } = world.socket_state()
    {
        assert!(matches!(cause, Ended::NoToken { .. }));
        assert!(*next_attempt + 1 >= world.clock().unix_ms);
        assert_eq!(*attempt, 0, "it was no attempt of the socket's");
    }
    world.server.refresh_fault = None;
    assert!(world.run_until(secs(31), World::is_open));
}

#[test]
fn w4_in_band_sends_one_frame_on_the_live_connection() {
    let template = Json::parse(r#"{"type":"renew","token":"{token}"}"#).unwrap();
    let mut world = World::open(renewal(Renewal::InBand { template, ack: None }));
    world.ws.closes_at_expiry = Some(4401);
    world.run_for(hours(5));
    let renewed = world
        .ws
        .received
        .iter()
        .filter(|(_, text)| text.contains("renew"))
        .count();
    assert_eq!(
        (renewed, world.ws.attempts(), world.ends()),
        (world.server.refreshes(), 1, 0)
    );
    let events = world
        .events_of(FIRST)
        .iter()
        .filter(|event| **event == SocketEvent::Renewed)
        .count();
    assert_eq!(events, renewed);
}

#[test]
fn w4_reconnect_closes_the_old_connection_before_it_opens_the_new_one() {
    let mut world = World::open(renewal(Renewal::Reconnect));
    world.run_for(hours(5));
    assert_eq!(world.ws.attempts(), 1 + world.server.refreshes());
    assert_eq!(
        world.ws.most_open, 1,
        "for servers that allow one connection per user"
    );
    assert_eq!(world.ws.tokens(), [1, 2, 3, 4, 5, 6]);
    assert!(world.is_open());
}

#[test]
fn w4_keep_does_nothing() {
    let mut world = World::open(renewal(Renewal::Keep));
    world.run_for(hours(5));
    assert_eq!((world.ws.attempts(), world.ends()), (1, 0));
    assert!(world.server.refreshes() >= 5);
}

#[test]
fn w4_w5_handover_opens_the_new_connection_first_and_the_application_sees_no_end() {
    let mut world = World::open(Setup::default());
    let mut sent = Vec::new();
    for second in 0..2 * 3_600 {
        world.run_for(secs(1));
        let text = second.to_string();
        world.send(&text);
        sent.push(text);
    }
    world.run_for(secs(1));
    assert_eq!(world.ws.tokens(), [1, 2, 3]);
    assert_eq!((world.ws.most_open, world.ws.open.len(), world.ends()), (2, 1, 0));
    assert_eq!(world.ws.texts(), sent, "none lost, none twice, in order");
    assert!(
        !world.socket_states[&FIRST]
            .iter()
            .skip(3)
            .any(|(_, state)| !state.is_open()),
        "no gap"
    );
}

#[test]
fn w5_a_handover_that_fails_keeps_the_old_connection_and_is_tried_again_in_time() {
    let mut world = World::open(Setup::default());
    world.ws.closes_at_expiry = Some(4401);
    world.run_for(mins(53));
    world.ws.fails(sim::ConnectFault::Unreachable, 4);
    world.run_for(mins(30));
    assert_eq!(world.ends(), 0, "{:?}", world.events_of(FIRST));
    assert!(world.is_open());
    assert_eq!(world.ws.tokens().last(), Some(&2));
}

#[test]
fn w5_a_handover_waits_for_the_welcome() {
    let ready = Matcher::new([("/type", "connected".into())]);
    let mut world = World::new(Setup::socket(|socket| socket.ready = Some(ready)));
    world.ws.on_open = vec![(500, OnOpen::Say(r#"{"type":"connected"}"#))];
    world.login("ada");
    world.connect();
    world.run_for(400);
    assert!(matches!(world.socket_state(), SocketState::Connecting { .. }));
    world.run_for(300);
    assert!(world.is_open());
    // From now on there is no welcome: the new connection never proves ready, the old one stays.
    world.ws.on_open.clear();
    world.run_for(mins(56));
    assert_eq!(world.ends(), 0);
    assert!(world.is_open());
    assert!(world.ws.attempts() > 3);
    world.ws.on_open = vec![(500, OnOpen::Say(r#"{"type":"connected"}"#))];
    world.run_for(mins(1));
    assert_eq!((world.ends(), world.ws.open.len()), (0, 1));
}

#[test]
fn w5_a_handover_refused_for_good_ends_the_old_connection_too_and_says_so() {
    let ready = Matcher::new([("/type", "connected".into())]);
    let mut world = World::new(Setup::socket(|socket| socket.ready = Some(ready)));
    world.ws.on_open = vec![(10, OnOpen::Say(r#"{"type":"connected"}"#))];
    world.login("ada");
    world.connect();
    world.run_for(mins(50));
    world.ws.on_open = vec![(0, OnOpen::Close(4403, "banned"))];
    world.run_for(mins(10));
    assert_eq!(world.ws.attempts(), 2);
    assert!(
        matches!(world.socket_state(), SocketState::Closed { code: 4403, .. }),
        "{:?}",
        world.socket_state()
    );
    assert_eq!(world.ends(), 1);
    let send = world.send("too late");
    assert_eq!(
        world.sends[&send],
        sim::Sent::Failed(ErrorKind::Closed),
        "the application writes nowhere any more"
    );
    world.run_for(secs(10));
    assert!(world.ws.open.is_empty());
}

#[test]
fn w5_the_old_connection_dies_during_a_handover() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(50));
    world.run_until(mins(10), |world| world.ws.attempts() == 2);
    world.cut_all();
    assert_eq!(world.ends(), 1);
    world.run_for(100);
    assert!(world.is_open(), "the new one is the reconnect");
    assert_eq!(world.ws.attempts(), 2);
}

#[test]
fn w13_ten_sockets_share_one_refresh() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    let sockets: Vec<SocketId> = (0..10).map(|_| world.open_socket(socket_options())).collect();
    world.run_for(hours(1));
    assert_eq!(world.server.refreshes(), 1);
    assert_eq!(world.ws.attempts(), 20, "each shows the new token once");
    assert!(sockets.iter().all(|socket| world.state_of(*socket).is_open()));
    world.server.revoke_access();
    world.close_all(4401);
    world.run_for(secs(5));
    assert_eq!(world.server.refreshes(), 2, "one refresh serves all refusals");
    assert!(sockets.iter().all(|socket| world.state_of(*socket).is_open()));
}

#[test]
fn w14_dropped_sockets_leave_nothing_behind() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    let deadline = world.machine().next_timer();
    for round in 0..500 {
        let socket = world.open_socket(socket_options());
        world.run_for(round % 120);
        world.input(Input::DropSocket { socket });
    }
    world.run_for(secs(10));
    assert_eq!(world.machine().socket_count(), 0);
    assert!(world.ws.open.is_empty());
    assert_eq!(world.machine().next_timer(), deadline);
}
