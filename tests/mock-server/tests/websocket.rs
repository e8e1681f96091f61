//! The WebSocket: placements, refusals, messages, closes, renewal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use common::{connect, ended, open, refusal, say, text, until};
use freshsocket_mock_server::{AuthMode, Kind, Message, MockServer, Placement, Refusal, Settings, Who};
use futures_util::SinkExt as _;
use serde_json::{Value, json};

async fn server(change: impl FnOnce(&mut Settings)) -> MockServer {
    let mut settings = Settings::default();
    change(&mut settings);
    MockServer::builder()
        .settings(settings)
        .start()
        .await
        .expect("a free port")
}

#[tokio::test]
async fn each_placement_opens_and_is_recorded() {
    let server = server(|_| {}).await;
    let token = server.issue_access_token("ann", Duration::from_secs(60));
    let (bearer, cookies) = (format!("Bearer {token}"), format!("a=b; access={token}"));
    let pair = format!("any_marker, {token}");
    let cases = [
        (
            Placement::Subprotocol,
            "/ws".to_owned(),
            vec![("sec-websocket-protocol", pair.as_str())],
        ),
        (Placement::Query, format!("/ws/?token={token}"), vec![]),
        (Placement::Query, format!("/ws?access_token={token}"), vec![]),
        (
            Placement::Header,
            "/ws".to_owned(),
            vec![("authorization", bearer.as_str())],
        ),
        (
            Placement::Cookie,
            "/ws".to_owned(),
            vec![("cookie", cookies.as_str())],
        ),
    ];
    for (placement, path, headers) in cases {
        let (mut client, response) = connect(&server, &path, &headers).await.expect("open");
        let selected = response
            .get("sec-websocket-protocol")
            .map(|value| value.to_str().unwrap());
        assert_eq!(
            selected,
            (placement == Placement::Subprotocol).then_some("any_marker")
        );
        say(&mut client, "hello").await;
        assert_eq!(text(&mut client).await, "hello");
        let record = server
            .records()
            .into_iter()
            .rfind(|record| record.is(Kind::WsOpen))
            .unwrap();
        assert_eq!((record.placement, record.token_seq), (Some(placement), Some(1)));
        assert_eq!(
            (record.user.as_deref(), record.token_expired),
            (Some("ann"), false)
        );
        assert!(!record.path.contains('?'));
    }
}

#[tokio::test]
async fn a_placement_that_is_not_accepted_is_not_looked_at() {
    let server = server(|s| s.accept = vec![Placement::Header]).await;
    let token = server.issue_access_token("ann", Duration::from_secs(60));
    assert_eq!(
        refusal(connect(&server, &format!("/ws?token={token}"), &[]).await).0,
        401
    );
}

#[tokio::test]
async fn a_refusal_takes_the_form_that_is_set() {
    let server = server(|_| {}).await;
    let expired = server.issue_access_token("ann", Duration::ZERO);
    let path = format!("/ws?token={expired}");
    for status in [401, 403, 404] {
        server.set(|s| s.refusal = Refusal::Http { status });
        assert_eq!(refusal(connect(&server, &path, &[]).await).0, status);
    }
    for code in [Some(4401), Some(1008), None] {
        server.set(|s| {
            s.refusal = Refusal::Close {
                code,
                reason: String::new(),
            }
        });
        let (mut client, _) = connect(&server, &path, &[]).await.expect("open first");
        assert_eq!(ended(&mut client).await, (code.unwrap_or(1005), String::new()));
    }
    server.set(|s| {
        s.refusal = Refusal::Message {
            code: Some(1008),
            reason: "auth".into(),
        }
    });
    let refresh = server.issue_session("ann").refresh;
    let cases = [
        ("/ws".to_owned(), "Token required"),
        (path, "Invalid or expired token"),
        (format!("/ws?token={refresh}"), "Invalid token type"),
    ];
    for (path, message) in cases {
        let (mut client, _) = connect(&server, &path, &[]).await.expect("open first");
        let said: Value = serde_json::from_str(&text(&mut client).await).unwrap();
        assert_eq!(said, json!({ "type": "error", "message": message }));
        assert_eq!(ended(&mut client).await, (1008, "auth".into()));
    }
    let counters = server.counters();
    assert_eq!(
        (counters.ws_opened, counters.ws_refused, counters.ws_expired),
        (0, 9, 7)
    );
}

#[tokio::test]
async fn a_first_message_can_authenticate() {
    let server = server(|s| s.auth_mode = AuthMode::FirstMessage).await;
    let token = server.issue_access_token("ann", Duration::from_secs(60));
    let (mut client, _) = connect(&server, "/ws", &[]).await.expect("open");
    assert_eq!(server.broadcast("too early"), 0);
    say(
        &mut client,
        &json!({ "type": "auth", "token": token }).to_string(),
    )
    .await;
    assert_eq!(text(&mut client).await, r#"{"type":"auth_ok"}"#);
    assert_eq!(server.send_to_user("ann", "now"), 1);
    assert_eq!(text(&mut client).await, "now");
    let record = server.records().pop().unwrap();
    assert_eq!(
        (record.kind, record.placement),
        (Some(Kind::WsOpen), Some(Placement::FirstMessage))
    );

    let (mut client, _) = connect(&server, "/ws", &[]).await.expect("open");
    say(&mut client, "what?").await;
    assert!(text(&mut client).await.contains("Token required"));
    assert_eq!(ended(&mut client).await.0, 4401);

    server.set(|s| s.first_message_timeout_ms = 50);
    let (mut silent, _) = connect(&server, "/ws", &[]).await.expect("open");
    assert_eq!(ended(&mut silent).await.0, 4401);
}

#[tokio::test]
async fn messages_come_back_as_they_went() {
    let server = server(|s| s.record_messages = true).await;
    let mut client = open(&server, "ann").await;
    for message in [
        Message::text("text"),
        Message::binary(vec![0, 1, 2]),
        Message::text("{\"type\":\"chat\"}"),
    ] {
        client.send(message.clone()).await.expect("sent");
        assert_eq!(
            futures_util::StreamExt::next(&mut client).await.unwrap().unwrap(),
            message
        );
    }
    say(&mut client, r#"{"type":"ping"}"#).await;
    assert_eq!(text(&mut client).await, r#"{"type":"pong"}"#);
    let recorded: Vec<_> = server
        .records()
        .into_iter()
        .filter_map(|record| record.message)
        .collect();
    assert_eq!(
        recorded,
        ["text", "3 bytes", r#"{"type":"chat"}"#, r#"{"type":"ping"}"#]
    );
    server.set(|s| s.echo = false);
    say(&mut client, "unanswered").await;
    let counters = until(&server, |seen| seen.counters.messages_in == 5).await;
    assert_eq!(counters.messages_out, 4);
}

#[tokio::test]
async fn a_welcome_can_be_had() {
    let server = server(|s| s.welcome = true).await;
    let mut client = open(&server, "ann").await;
    let welcome: Value = serde_json::from_str(&text(&mut client).await).unwrap();
    assert_eq!(
        welcome,
        json!({ "type": "connected", "user_id": "ann", "connection_id": 1 })
    );
}

#[tokio::test]
async fn connections_are_kept_per_user() {
    let server = server(|_| {}).await;
    let (mut first, mut second) = (open(&server, "ann").await, open(&server, "ann").await);
    let mut other = open(&server, "bob").await;
    assert_eq!(
        (server.connections().len(), server.connection_count("ann")),
        (3, 2)
    );
    assert_eq!(server.send_to_user("ann", "for ann"), 2);
    assert!(server.send_to_socket(3, "for bob"));
    assert_eq!(server.broadcast_except(1, "not the first"), 2);
    assert_eq!(server.broadcast("all"), 3);
    assert!(!server.send_to_socket(99, "nobody"));
    assert_eq!(
        (text(&mut first).await, text(&mut first).await),
        ("for ann".into(), "all".into())
    );
    assert_eq!(
        (text(&mut second).await, text(&mut second).await),
        ("for ann".into(), "not the first".into())
    );
    assert_eq!(
        (text(&mut other).await, text(&mut other).await),
        ("for bob".into(), "not the first".into())
    );
    first.close(None).await.expect("closed");
    let counters = until(&server, |seen| seen.counters.ws_open_now == 2).await;
    assert_eq!((counters.ws_opened, counters.ws_closed), (3, 1));
    assert_eq!(server.connection_count("ann"), 1);
}

#[tokio::test]
async fn one_connection_per_user_closes_the_older() {
    let server = server(|s| s.one_connection_per_user = true).await;
    let (mut bob, mut first) = (open(&server, "bob").await, open(&server, "ann").await);
    let mut second = open(&server, "ann").await;
    assert_eq!(ended(&mut first).await.0, 4409);
    for client in [&mut bob, &mut second] {
        say(client, "still here").await;
        assert_eq!(text(client).await, "still here");
    }
}

#[tokio::test]
async fn expiry_is_enforced_and_renewal_extends_it() {
    let server = server(|s| s.enforce_expiry = true).await;
    let (mut kept, mut dropped) = (open(&server, "ann").await, open(&server, "ann").await);
    server.expire_tokens();
    assert_eq!(ended(&mut dropped).await.0, 4401);
    assert_eq!(ended(&mut kept).await.0, 4401);

    server.set(|s| s.fractional_times = true);
    let token = server.issue_access_token("ann", Duration::from_millis(300));
    let (mut kept, _) = connect(&server, &format!("/ws?token={token}"), &[])
        .await
        .expect("open");
    let (mut dropped, _) = connect(&server, &format!("/ws?token={token}"), &[])
        .await
        .expect("open");
    let fresh = server.issue_access_token("ann", Duration::from_secs(60));
    say(&mut kept, &json!({ "type": "auth", "token": fresh }).to_string()).await;
    assert_eq!(text(&mut kept).await, r#"{"type":"auth_ok"}"#);
    assert_eq!(ended(&mut dropped).await.0, 4401);
    say(&mut kept, "extended").await;
    assert_eq!(text(&mut kept).await, "extended");

    let of_another = server.issue_access_token("bob", Duration::from_secs(60));
    say(
        &mut kept,
        &json!({ "type": "refresh_token", "token": of_another }).to_string(),
    )
    .await;
    assert!(text(&mut kept).await.contains("Invalid or expired token"));
    assert_eq!(server.counters().ws_renewals, 1);
}

#[tokio::test]
async fn closes_carry_any_code_or_none_and_are_recorded() {
    let server = server(|_| {}).await;
    for (code, seen) in [
        (Some(1000), 1000),
        (Some(4403), 4403),
        (Some(1013), 1013),
        (None, 1005),
    ] {
        let mut client = open(&server, "ann").await;
        assert_eq!(server.close_all(code, if code.is_some() { "why" } else { "" }), 1);
        let reason = if code.is_some() { "why" } else { "" };
        assert_eq!(ended(&mut client).await, (seen, reason.to_owned()));
        drop(client);
        until(&server, |seen| seen.counters.ws_open_now == 0).await;
        assert_eq!(server.records().pop().unwrap().close_code, code);
    }
}

#[tokio::test]
async fn commands_reach_the_connections_they_name() {
    let server = server(|_| {}).await;
    let (mut ann, mut bob) = (open(&server, "ann").await, open(&server, "bob").await);
    assert_eq!(server.cut(&Who::User("ann".into())), 1);
    assert_eq!(ended(&mut ann).await.0, 1006);
    assert_eq!(server.close(&Who::Connection(2), Some(4000), ""), 1);
    assert_eq!(ended(&mut bob).await.0, 4000);
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let server = server(|s| s.max_connections = Some(1)).await;
    let token = server.issue_access_token("ann", Duration::from_secs(60));
    let _first = open(&server, "ann").await;
    let (status, headers) = refusal(connect(&server, &format!("/ws?token={token}"), &[]).await);
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "1"));
}
