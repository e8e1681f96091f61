//! Faults, live commands, heartbeat, and going away and coming back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use common::{DEADLINE, connect, ended, get, login, open, post, refresh, refusal, request, say, text, until};
use freshsocket_mock_server::{
    ClosedBy, Fault, Flood, Kind, Message, MockServer, RetryAfter, Target, Times, Who,
};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;

async fn server() -> MockServer {
    MockServer::start().await.expect("a free port")
}

#[tokio::test]
async fn counted_faults_come_in_order_and_end() {
    let server = server().await;
    let status = |code, retry_after| Fault::Status {
        code,
        retry_after,
        body: None,
        content_type: None,
    };
    server.fault(Target::Refresh, status(503, None), Times::Next(2));
    server.fault(
        Target::Refresh,
        status(429, Some(RetryAfter::Seconds(7))),
        Times::Next(1),
    );
    server.fault(
        Target::Http,
        status(500, Some(RetryAfter::DateIn(60))),
        Times::Next(1),
    );
    let token = server.issue_session("ann").refresh;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let got = refresh(&server, &token).await;
        seen.push(got.status);
        match got.status {
            429 => assert_eq!(got.header("retry-after"), "7"),
            500 => assert!(httpdate::parse_http_date(&got.header("retry-after")).is_ok()),
            _ => {}
        }
    }
    assert_eq!(seen, [503, 503, 429, 500, 200]);
    let counters = server.counters();
    assert_eq!(
        (counters.refreshes, counters.refreshes_ok, counters.faults),
        (5, 1, 4)
    );
}

#[tokio::test]
async fn a_dropped_answer_is_acted_on_and_an_unavailable_server_does_not_act() {
    let server = server().await;
    let token = server.issue_session("ann").refresh;
    let body = json!({ "refresh": token }).to_string();
    let ask = || request(&server, "POST", "/api/auth/token/refresh/", &[], body.clone());
    server.fault(Target::Refresh, Fault::Unavailable, Times::Next(1));
    assert!(ask().await.is_err());
    assert_eq!(server.counters().refreshes_ok, 0);
    server.fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
    assert!(ask().await.is_err());
    assert_eq!(server.counters().refreshes_ok, 1);
    assert_eq!(server.records().pop().unwrap().status, None);
    assert_eq!(ask().await.unwrap().status, 401, "the rotation has happened");
}

#[tokio::test]
async fn answers_can_be_nonsense() {
    let server = server().await;
    let next = |fault| server.fault(Target::Login, fault, Times::Next(1));
    next(Fault::Malformed);
    let got = login(&server, "ann").await;
    assert_eq!((got.status, got.json()), (200, Value::Null));
    next(Fault::Html { status: 200 });
    assert!(
        login(&server, "ann")
            .await
            .header("content-type")
            .starts_with("text/html")
    );
    next(Fault::Redirect {
        to: "http://elsewhere.test/".into(),
        status: 307,
    });
    assert_eq!(
        login(&server, "ann").await.header("location"),
        "http://elsewhere.test/"
    );
    next(Fault::Refuse {
        status: 400,
        body: None,
    });
    assert_eq!(login(&server, "ann").await.status, 400);
    next(Fault::NoRefreshToken);
    let got = login(&server, "ann").await;
    assert!(got.json().get("refresh").is_none() && !got.text("access").is_empty());
    next(Fault::HugeBody { bytes: 20_000_000 });
    assert_eq!(
        login(&server, "ann").await.body.len(),
        20_000_000 + r#"{"padding":""}"#.len()
    );
    assert_eq!(server.counters().logins_ok, 1);
}

/// The count may be seen by another thread before the request has come to its wait; the release counts all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_held_answer_waits_for_the_test() {
    let server = std::sync::Arc::new(server().await);
    for (round, act_first) in (1..=200).zip([true, false].into_iter().cycle()) {
        let token = server.issue_session("ann").refresh;
        server.fault(Target::Refresh, Fault::Hold { act_first }, Times::Next(1));
        let held = tokio::spawn({
            let server = server.clone();
            async move { refresh(&server, &token).await }
        });
        // Spins: the narrower the gap between the count and the release, the better.
        while server.counters().refreshes < round {
            tokio::task::yield_now().await;
        }
        assert!(!held.is_finished());
        server.release();
        let answer = tokio::time::timeout(Duration::from_secs(10), held).await;
        assert_eq!(answer.expect("it was let go").unwrap().status, 200);
    }
}

#[tokio::test]
async fn handshakes_fail_as_told() {
    let server = server().await;
    let token = server.issue_access_token("ann", Duration::from_secs(60));
    let pair = format!("access_token, {token}");
    let headers = [("sec-websocket-protocol", pair.as_str())];
    let next = |fault| server.fault(Target::Ws, fault, Times::Next(1));

    next(Fault::RefuseUpgrade {
        status: 503,
        retry_after: Some(RetryAfter::Seconds(3)),
    });
    let (status, refused) = refusal(connect(&server, "/ws", &headers).await);
    assert_eq!((status, refused["retry-after"].to_str().unwrap()), (503, "3"));
    next(Fault::Unavailable);
    assert!(connect(&server, "/ws", &headers).await.is_err());

    let cases = [
        (
            Fault::AcceptThenClose {
                code: Some(1013),
                reason: "later".into(),
                after_ms: 0,
            },
            (1013, "later"),
        ),
        (
            Fault::AcceptThenClose {
                code: None,
                reason: String::new(),
                after_ms: 10,
            },
            (1005, ""),
        ),
        (Fault::AcceptThenCut, (1006, "")),
        (
            Fault::ErrorMessageThenClose {
                message: "no".into(),
                code: Some(4401),
            },
            (4401, ""),
        ),
    ];
    for (fault, (code, reason)) in cases {
        next(fault);
        let (mut client, _) = connect(&server, "/ws", &headers).await.expect("open first");
        assert_eq!(ended(&mut client).await, (code, reason.to_owned()));
    }

    next(Fault::NoSubprotocol);
    assert!(
        connect(&server, "/ws", &headers).await.is_err(),
        "the client wanted one selected"
    );
    next(Fault::OversizedMessage { bytes: 100_000 });
    let (mut client, _) = connect(&server, "/ws", &headers).await.expect("open");
    assert_eq!(client.next().await.unwrap().unwrap().len(), 100_000);
    next(Fault::SlowUpgrade { ms: 10 });
    assert!(connect(&server, "/ws", &headers).await.is_ok());
}

#[tokio::test]
async fn half_open_is_silent_until_cut() {
    let server = server().await;
    server.fault(Target::Ws, Fault::HalfOpen, Times::Next(1));
    let mut born_dead = open(&server, "ann").await;
    let mut died_later = open(&server, "bob").await;
    assert_eq!(server.half_open(&Who::User("bob".into())), 1);
    for client in [&mut born_dead, &mut died_later] {
        client.send(Message::text("anyone?")).await.expect("TCP is up");
    }
    let mut alive = open(&server, "eve").await;
    say(&mut alive, "yes").await;
    assert_eq!(text(&mut alive).await, "yes");
    assert_eq!(server.counters().messages_in, 1);
    assert!(born_dead.next().now_or_never().is_none() && died_later.next().now_or_never().is_none());
    assert_eq!(server.cut_all(), 3);
    for client in [&mut born_dead, &mut died_later, &mut alive] {
        assert_eq!(ended(client).await.0, 1006);
    }
    let counters = until(&server, |seen| seen.counters.ws_open_now == 0).await;
    assert_eq!(counters.ws_closed, 3);
    let closes = server
        .records()
        .into_iter()
        .filter(|record| record.is(Kind::WsClosed));
    assert!(
        closes
            .into_iter()
            .all(|r| r.close_code == Some(1006) && r.closed_by == Some(ClosedBy::Server))
    );
}

#[tokio::test]
async fn paused_reads_resume() {
    let server = server().await;
    let mut client = open(&server, "ann").await;
    server.pause_reads(&Who::All);
    say(&mut client, "later").await;
    server.broadcast("writes go on");
    assert_eq!(text(&mut client).await, "writes go on");
    server.resume(&Who::All);
    assert_eq!(text(&mut client).await, "later");
}

#[tokio::test]
async fn a_client_that_goes_without_a_word_is_seen() {
    let server = server().await;
    drop(open(&server, "ann").await);
    until(&server, |seen| seen.counters.ws_closed == 1).await;
    let record = server.records().pop().unwrap();
    assert_eq!(
        (record.close_code, record.closed_by),
        (Some(1006), Some(ClosedBy::Client))
    );
}

#[tokio::test]
async fn the_heartbeat_drops_the_dead_and_keeps_the_living() {
    let server = server().await;
    server.set(|s| s.heartbeat_interval_ms = 100);
    // The living one is read, which answers pings; the dead one is not.
    let (mut living, _dead) = (open(&server, "ann").await, open(&server, "bob").await);
    let dropped = async {
        until(&server, |seen| seen.counters.ws_closed == 1).await;
        server.send_to_user("ann", "still there")
    };
    let (sent, said) = tokio::join!(dropped, text(&mut living));
    assert_eq!((sent, said.as_str()), (1, "still there"));
    let record = server.records().pop().unwrap();
    assert_eq!(
        (record.user.as_deref(), record.close_reason.as_deref()),
        (Some("bob"), Some("heartbeat"))
    );
}

#[tokio::test]
async fn it_restarts_on_the_same_port() {
    let server = server().await;
    let mut client = open(&server, "ann").await;
    server.stop_listening();
    assert_eq!(ended(&mut client).await.0, 1006);
    assert!(TcpStream::connect(server.addr()).await.is_err(), "nobody listens");
    server.listen_again().await.expect("the same port");
    assert_eq!(login(&server, "ann").await.status, 200);

    let mut client = open(&server, "ann").await;
    let (restarted, end) = tokio::join!(
        server.restart_after(Duration::from_millis(10), Some(1012)),
        ended(&mut client)
    );
    restarted.expect("restarted");
    assert_eq!(end.0, 1012);
    let mut client = open(&server, "ann").await;
    server.restart().await.expect("restarted");
    assert_eq!(ended(&mut client).await.0, 1006);
    assert_eq!(login(&server, "ann").await.status, 200);
}

#[tokio::test]
async fn a_restart_can_invalidate_tokens() {
    let server = server().await;
    server.set(|s| s.boot_id = true);
    let headers = format!("Bearer {}", server.issue_session("ann").access);
    assert_eq!(
        get(&server, "/api/me", &[("authorization", &headers)])
            .await
            .status,
        200
    );
    server.restart().await.expect("restarted");
    assert_eq!(
        get(&server, "/api/me", &[("authorization", &headers)])
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn dropping_the_last_handle_stops_everything() {
    let server = server().await;
    let (addr, clone) = (server.addr(), server.clone());
    let mut client = open(&server, "ann").await;
    drop(server);
    say(&mut client, "one handle left").await;
    assert_eq!(text(&mut client).await, "one handle left");
    drop(clone);
    assert_eq!(ended(&mut client).await.0, 1006);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_graceful_shutdown_says_goodbye() {
    let server = server().await;
    let mut client = open(&server, "ann").await;
    let ((), end) = tokio::join!(server.shutdown(), ended(&mut client));
    assert_eq!(end.0, 1012);
    assert!(TcpStream::connect(server.addr()).await.is_err());
}

#[tokio::test]
async fn a_flood_is_numbered_and_padded() {
    let server = server().await;
    let mut client = open(&server, "ann").await;
    let who = Who::User("ann".into());
    server.flood(Flood {
        who,
        count: 200,
        size: 100,
        per_second: 2_000,
        first: 1,
    });
    for n in 1..=200 {
        let tick = text(&mut client).await;
        assert_eq!(tick.len(), 100);
        assert_eq!(serde_json::from_str::<Value>(&tick).unwrap()["n"], n);
    }
}

#[tokio::test]
async fn the_bare_endpoints_are_bare() {
    let server = server().await;
    let (mut echo, _) = connect(&server, "/ws-bare", &[]).await.expect("no credential");
    for n in 0..100 {
        echo.feed(Message::text(n.to_string())).await.unwrap();
    }
    echo.flush().await.unwrap();
    for n in 0..100 {
        assert_eq!(text(&mut echo).await, n.to_string());
    }
    let (mut sink, _) = connect(&server, "/ws-sink?count=1000&size=64", &[])
        .await
        .expect("no credential");
    let mut received = 0;
    while let Ok(Some(Ok(message))) = tokio::time::timeout(DEADLINE, sink.next()).await {
        received += usize::from(message.is_binary() && message.len() == 64);
    }
    assert_eq!(received, 1000);
    assert_eq!(server.counters().ws_handshakes, 0);
    assert_eq!(post(&server, "/nowhere", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_port_is_one_servers_alone() {
    let server = server().await;
    let port = server.addr().port();
    assert!(MockServer::builder().port(port).start().await.is_err());
    drop(server);
    let server = MockServer::builder()
        .port(port)
        .start()
        .await
        .expect("free again");
    assert_eq!(server.addr().port(), port);
}
