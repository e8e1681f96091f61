//! The limit on failed authentication: what counts, for whom, and what it answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use freshsocket_mock_server::{AuthMode, Fault, MockServer, Refusal, Settings, Target, Times};
use serde_json::json;

use crate::common::{
    Got, connect, ended, get, login, open, post, refresh, refusal, request, say, text, until,
};

/// A server that takes two failures at these targets.
async fn limited(targets: &[Target]) -> MockServer {
    let settings = Settings {
        failed_auth_limit: 2,
        failed_auth_targets: targets.to_vec(),
        failed_auth_retry_after_s: 7,
        ..Settings::default()
    };
    MockServer::builder().settings(settings).start().await.unwrap()
}

fn is_throttled(got: &Got) -> bool {
    assert_eq!(
        got.status == 429,
        !got.header("retry-after").is_empty(),
        "{got:?}"
    );
    got.status == 429
}

/// The status of an upgrade with this token, 101 if it opens, and what `Retry-After` says.
async fn upgrade(server: &MockServer, token: &str) -> (u16, String) {
    match connect(server, &format!("/ws?token={token}"), &[]).await {
        Ok(_) => (101, String::new()),
        refused => {
            let (status, headers) = refusal(refused);
            let after = headers
                .get("retry-after")
                .map(|after| after.to_str().unwrap().to_owned());
            (status, after.unwrap_or_default())
        }
    }
}

#[tokio::test]
async fn only_logins_are_limited_unless_said_otherwise() {
    let server = MockServer::start().await.unwrap();
    for _ in 0..30 {
        assert_eq!(refresh(&server, "nonsense").await.status, 401);
        assert_eq!(get(&server, "/api/me", &[]).await.status, 401);
        assert_eq!(upgrade(&server, "nonsense").await.0, 401);
    }
    assert_eq!(server.counters().throttled, 0);
}

#[tokio::test]
async fn refused_refreshes_are_limited_per_user() {
    let server = limited(&[Target::Refresh]).await;
    let (ann, bob) = (login(&server, "ann").await, login(&server, "bob").await);
    let rotated = refresh(&server, &ann.text("refresh")).await;
    for _ in 0..2 {
        assert_eq!(
            refresh(&server, &ann.text("refresh")).await.status,
            401,
            "blacklisted"
        );
    }
    let got = refresh(&server, &ann.text("refresh")).await;
    assert_eq!((got.status, got.header("retry-after")), (429, "7".into()));
    let got = refresh(&server, &rotated.text("refresh")).await;
    assert!(is_throttled(&got), "with a good one as well");
    assert_eq!(
        refresh(&server, &bob.text("refresh")).await.status,
        200,
        "bob did nothing wrong"
    );
    assert_eq!(
        login(&server, "ann").await.status,
        200,
        "other targets are not limited"
    );

    let counters = server.counters();
    assert_eq!((counters.throttled, counters.refreshes_refused), (2, 2));
    let last = server
        .records()
        .into_iter()
        .rfind(|record| record.status == Some(429))
        .unwrap();
    assert_eq!(last.user.as_deref(), Some("ann"));
}

#[tokio::test]
async fn what_names_nobody_has_one_account() {
    let server = limited(&[Target::Refresh]).await;
    let ann = login(&server, "ann").await;
    assert_eq!(refresh(&server, "nonsense").await.status, 401);
    assert_eq!(refresh(&server, "other nonsense").await.status, 401);
    assert!(is_throttled(&refresh(&server, "and more").await));
    assert_eq!(refresh(&server, &ann.text("refresh")).await.status, 200);
}

#[tokio::test]
async fn every_http_endpoint_can_be_limited() {
    let server = limited(&[Target::Http]).await;
    let expired = server.issue_access_token("ann", Duration::ZERO);
    let bearer = format!("Bearer {expired}");
    let headers = [("authorization", bearer.as_str())];
    let verify = async || post(&server, "/api/auth/token/verify/", json!({ "token": expired })).await;
    let cookie = format!("access={expired}");
    let cookie = [("cookie", cookie.as_str())];
    for _ in 0..2 {
        assert_eq!(verify().await.status, 401);
        assert_eq!(get(&server, "/api/me", &headers).await.status, 401);
        assert_eq!(get(&server, "/api/ws-ticket", &headers).await.status, 401);
        let logout = request(&server, "POST", "/api/auth/logout/", &headers, "{}")
            .await
            .unwrap();
        assert_eq!(logout.status, 401);
    }
    assert!(is_throttled(&verify().await));
    assert!(
        is_throttled(&get(&server, "/cookie/me", &cookie).await),
        "verification too"
    );
    assert!(is_throttled(&get(&server, "/api/me", &headers).await));
    assert!(is_throttled(&get(&server, "/api/ws-ticket", &headers).await));
    assert!(is_throttled(
        &request(&server, "POST", "/api/echo", &headers, "").await.unwrap()
    ));
    let logout = request(&server, "POST", "/api/auth/logout/", &headers, "{}")
        .await
        .unwrap();
    assert!(is_throttled(&logout));
    assert_eq!(
        upgrade(&server, &expired).await.0,
        401,
        "the WebSocket is not of these"
    );
    assert_eq!(login(&server, "ann").await.status, 200, "each for itself");
}

#[tokio::test]
async fn refused_handshakes_are_limited_at_the_upgrade() {
    let server = limited(&[Target::Ws]).await;
    let expired = server.issue_access_token("ann", Duration::ZERO);
    let good = server.issue_access_token("ann", Duration::from_secs(60));
    // However they are refused.
    assert_eq!(upgrade(&server, &expired).await.0, 401);
    server.set(|s| {
        s.refusal = Refusal::Close {
            code: Some(4401),
            reason: String::new(),
        };
    });
    let (mut closed, _) = connect(&server, &format!("/ws?token={expired}"), &[])
        .await
        .unwrap();
    assert_eq!(ended(&mut closed).await.0, 4401);
    assert_eq!(upgrade(&server, &expired).await, (429, "7".into()));
    assert_eq!(upgrade(&server, &good).await, (429, "7".into()));
    drop(open(&server, "bob").await);
    assert_eq!(server.counters().throttled, 2);
}

#[tokio::test]
async fn used_tickets_count_as_handshakes_of_their_user() {
    let server = limited(&[Target::Ws]).await;
    let token = server.issue_access_token("ann", Duration::from_secs(60));
    let bearer = format!("Bearer {token}");
    let ticket = get(&server, "/api/ws-ticket", &[("authorization", &bearer)])
        .await
        .text("ticket");
    let path = format!("/ws?ticket={ticket}");
    drop(connect(&server, &path, &[]).await.unwrap());
    for status in [401, 401, 429] {
        assert_eq!(refusal(connect(&server, &path, &[]).await).0, status);
    }
}

#[tokio::test]
async fn refused_first_messages_limit_the_upgrades_that_name_nobody() {
    let server = limited(&[Target::Ws]).await;
    server.set(|s| s.auth_mode = AuthMode::FirstMessage);
    let expired = server.issue_access_token("ann", Duration::ZERO);
    for _ in 0..2 {
        let (mut client, _) = connect(&server, "/ws", &[]).await.unwrap();
        say(
            &mut client,
            &json!({ "type": "auth", "token": expired }).to_string(),
        )
        .await;
        assert_eq!(ended(&mut client).await.0, 4401);
    }
    assert_eq!(refusal(connect(&server, "/ws", &[]).await).0, 429);
    let good = server.issue_access_token("ann", Duration::from_secs(60));
    assert_eq!(upgrade(&server, &good).await.0, 429, "it was ann both times");
    drop(open(&server, "bob").await);
}

#[tokio::test]
async fn a_first_message_that_never_comes_counts_too() {
    let server = limited(&[Target::Ws]).await;
    server.set(|s| {
        s.auth_mode = AuthMode::FirstMessage;
        s.first_message_timeout_ms = 1;
    });
    for _ in 0..2 {
        let (mut client, _) = connect(&server, "/ws", &[]).await.unwrap();
        ended(&mut client).await;
    }
    assert_eq!(refusal(connect(&server, "/ws", &[]).await).0, 429);
}

#[tokio::test]
async fn refused_renewals_limit_the_next_upgrade() {
    let server = limited(&[Target::Ws]).await;
    let mut client = open(&server, "ann").await;
    let good = server.issue_access_token("ann", Duration::from_secs(60));
    for _ in 0..2 {
        say(&mut client, r#"{"type":"auth","token":"nonsense"}"#).await;
        assert!(text(&mut client).await.contains("error"));
    }
    assert_eq!(upgrade(&server, &good).await.0, 429);
    say(&mut client, "still here").await;
    assert_eq!(text(&mut client).await, "still here");
}

#[tokio::test]
async fn faults_do_not_count() {
    let server = limited(&[Target::Http, Target::Ws]).await;
    let refuse = || Fault::Refuse {
        status: 401,
        body: None,
    };
    server.fault(Target::Refresh, refuse(), Times::Next(3));
    server.fault(Target::Ws, refuse(), Times::Next(3));
    for _ in 0..3 {
        assert_eq!(refresh(&server, "nonsense").await.status, 401);
        assert_eq!(upgrade(&server, "nonsense").await.0, 401);
    }
    assert_eq!(refresh(&server, "nonsense").await.status, 401);
    assert_eq!(upgrade(&server, "nonsense").await.0, 401);
}

#[tokio::test]
async fn the_control_api_sets_it_and_a_reset_forgets() {
    let server = MockServer::start().await.unwrap();
    let set = json!({ "failedAuthLimit": 1, "failedAuthTargets": ["refresh", "ws"] });
    let got = post(&server, "/__control/settings", set).await;
    assert_eq!(got.json()["failedAuthTargets"], json!(["refresh", "ws"]));
    assert_eq!(refresh(&server, "nonsense").await.status, 401);
    assert!(is_throttled(&refresh(&server, "nonsense").await));
    until(&server, |seen| seen.counters.throttled == 1).await;
    assert_eq!(post(&server, "/__control/reset", json!({})).await.status, 200);
    assert_eq!(refresh(&server, "nonsense").await.status, 401);
    assert_eq!(
        refresh(&server, "nonsense").await.status,
        401,
        "back to logins only"
    );
}
