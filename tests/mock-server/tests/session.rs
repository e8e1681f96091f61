//! The HTTP side: every dialect of login, refresh, verify and logout, tickets, and what a client may not get.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use common::{connect, get, login, post, refresh, refusal, request, until};
use freshsocket_mock_server::{Dialect, Kind, MockServer, Placement, Settings, SlashPolicy};
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

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn login_refresh_verify_logout_in_simple_jwt() {
    let server = server(|_| {}).await;
    let got = login(&server, "ann").await;
    assert_eq!(
        (got.status, &got.json()["user"]),
        (200, &json!({ "id": "ann", "username": "ann" }))
    );
    let (access, first) = (got.text("access"), got.text("refresh"));

    let got = refresh(&server, &first).await;
    assert_eq!(got.status, 200);
    let (newer, second) = (got.text("access"), got.text("refresh"));
    assert!(newer != access && second != first && !second.is_empty());

    let got = refresh(&server, &first).await;
    assert_eq!(got.status, 401);
    assert_eq!(
        got.json(),
        json!({ "detail": "Token is blacklisted", "code": "token_not_valid" })
    );

    let verify = |token: String| post(&server, "/api/auth/token/verify/", json!({ "token": token }));
    assert_eq!(verify(newer.clone()).await.status, 200);
    assert_eq!(verify(second.clone()).await.status, 200);
    assert_eq!(verify("garbage".into()).await.status, 401);

    let body = json!({ "refresh": second }).to_string();
    let headers = [("authorization", bearer(&newer))];
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let got = request(&server, "POST", "/api/auth/logout/", &headers, body)
        .await
        .unwrap();
    assert_eq!(got.status, 205);
    assert_eq!(refresh(&server, &second).await.status, 401);

    let counters = server.counters();
    assert_eq!((counters.logins_ok, counters.refreshes), (1, 3));
    assert_eq!((counters.refreshes_ok, counters.refreshes_refused), (1, 2));
    let kinds: Vec<_> = server.records().iter().filter_map(|record| record.kind).collect();
    let (r, v) = (Kind::Refresh, Kind::Verify);
    assert_eq!(kinds, [Kind::Login, r, r, v, v, v, Kind::Logout, r]);
    let tokens = server.tokens_issued();
    assert!(
        [access, first, newer, second]
            .iter()
            .all(|token| tokens.contains(token))
    );
}

#[tokio::test]
async fn without_rotation_the_refresh_token_stays() {
    let server = server(|s| s.rotation = false).await;
    let token = login(&server, "ann").await.text("refresh");
    for _ in 0..2 {
        let got = refresh(&server, &token).await;
        assert_eq!((got.status, got.json().get("refresh")), (200, None));
    }
}

#[tokio::test]
async fn an_idempotency_key_gets_a_lost_answer_again() {
    let server = server(|s| s.honour_idempotency_key = true).await;
    let token = login(&server, "ann").await.text("refresh");
    let with_key = async |key: &str| {
        let body = json!({ "refresh": token }).to_string();
        request(
            &server,
            "POST",
            "/api/auth/token/refresh/",
            &[("idempotency-key", key)],
            body,
        )
        .await
        .unwrap()
    };
    let (first, again) = (with_key("one").await, with_key("one").await);
    assert_eq!((first.status, first.json()), (again.status, again.json()));
    assert_eq!(with_key("two").await.status, 401);
    assert_eq!(refresh(&server, &token).await.status, 401);
    assert_eq!(server.records()[1].idempotency_key.as_deref(), Some("one"));
}

#[tokio::test]
async fn reuse_can_revoke_the_family() {
    let server = server(|s| s.reuse_revokes_family = true).await;
    let first = login(&server, "ann").await.text("refresh");
    let other = login(&server, "ann").await.text("refresh");
    let second = refresh(&server, &first).await.text("refresh");
    assert_eq!(refresh(&server, &first).await.status, 401);
    assert_eq!(
        refresh(&server, &second).await.status,
        401,
        "the thief's, or the owner's"
    );
    assert_eq!(refresh(&server, &other).await.status, 200);
    server.revoke_user("ann");
    assert_eq!(refresh(&server, &other).await.status, 401);
}

#[tokio::test]
async fn the_node_dialect() {
    let server = server(|_| {}).await;
    let got = post(
        &server,
        "/api/auth/login",
        json!({ "email": "a@b.c", "password": "pass" }),
    )
    .await;
    let fields: Vec<_> = got.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        (got.status, fields),
        (200, vec!["refreshToken".to_owned(), "token".to_owned()])
    );
    let old = got.text("refreshToken");
    let got = post(&server, "/api/auth/refresh", json!({ "refreshToken": old })).await;
    assert!(got.status == 200 && !got.text("token").is_empty() && got.text("refreshToken") != old);
    assert_eq!(
        post(&server, "/api/auth/refresh", json!({ "refreshToken": old }))
            .await
            .status,
        401
    );
    server.set(|s| s.dialect = Dialect::SimpleJwt);
    let got = post(
        &server,
        "/api/auth/login",
        json!({ "email": "a@b.c", "password": "pass" }),
    )
    .await;
    assert_eq!(got.status, 308);
}

#[tokio::test]
async fn a_login_without_refresh() {
    let server = server(|_| {}).await;
    let got = post(
        &server,
        "/auth/token-only/login",
        json!({ "username": "ann", "password": "pass" }),
    )
    .await;
    let token = got.text("token");
    assert_eq!(got.json(), json!({ "token": token }));
    assert_eq!(
        get(&server, "/api/me", &[("authorization", &bearer(&token))])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn cookie_sessions() {
    let server = server(|_| {}).await;
    let cookies = |got: &common::Got| -> Vec<String> {
        let all = got
            .headers
            .get_all("set-cookie")
            .into_iter()
            .map(|value| value.to_str().unwrap());
        all.inspect(|value| assert!(value.contains("HttpOnly")))
            .map(|value| value.split(';').next().unwrap().to_owned())
            .collect()
    };
    let got = post(
        &server,
        "/cookie/login",
        json!({ "username": "ann", "password": "pass" }),
    )
    .await;
    assert_eq!(
        got.json(),
        json!({ "user": { "id": "ann", "username": "ann" } }),
        "no token in the body"
    );
    let jar = cookies(&got).join("; ");
    assert_eq!(
        get(&server, "/cookie/me", &[("cookie", &jar)]).await.json()["user"]["id"],
        "ann"
    );

    let refreshed = request(&server, "POST", "/cookie/refresh", &[("cookie", &jar)], "")
        .await
        .unwrap();
    assert_eq!((refreshed.status, refreshed.body.len()), (204, 0));
    let new_jar = cookies(&refreshed).join("; ");
    assert!(connect(&server, "/ws", &[("cookie", &new_jar)]).await.is_ok());
    let again = request(&server, "POST", "/cookie/refresh", &[("cookie", &jar)], "")
        .await
        .unwrap();
    assert_eq!(again.status, 401);

    let got = request(&server, "POST", "/cookie/logout", &[("cookie", &new_jar)], "")
        .await
        .unwrap();
    assert_eq!(got.status, 204);
    let again = request(&server, "POST", "/cookie/refresh", &[("cookie", &new_jar)], "")
        .await
        .unwrap();
    assert_eq!(again.status, 401);
    assert_eq!(get(&server, "/cookie/me", &[]).await.status, 401);
}

#[tokio::test]
async fn a_ticket_opens_one_connection_once() {
    let server = server(|_| {}).await;
    let session = server.issue_session("ann");
    let ask = async |token: &str| get(&server, "/api/ws-ticket", &[("authorization", &bearer(token))]).await;
    let got = ask(&session.access).await;
    assert_eq!(got.status, 200);
    assert!(matches!(got.json()["expires_in"].as_u64(), Some(9..=10)));
    let path = format!("/ws?ticket={}", got.text("ticket"));
    let _open = connect(&server, &path, &[]).await.expect("the first time");
    assert_eq!(refusal(connect(&server, &path, &[]).await).0, 401);
    let record = server
        .records()
        .into_iter()
        .find(|record| record.is(Kind::WsOpen))
        .unwrap();
    assert_eq!(
        (record.placement, record.token_seq),
        (Some(Placement::Ticket), Some(1))
    );
    assert_eq!(record.ticket_id, server.records()[0].ticket_id);

    let refusals = [
        (ask("").await, "Token required"),
        (ask("garbage").await, "Invalid or expired token"),
        (ask(&session.refresh).await, "Invalid token type"),
    ];
    for (got, message) in refusals {
        assert_eq!((got.status, got.text("error").as_str()), (401, message));
    }
    assert!(refusal(connect(&server, &format!("/ws?ticket={}", session.access), &[]).await).0 == 401);

    server.set(|s| s.ticket_lifetime_ms = 0);
    let authorization = bearer(&session.access);
    let got = request(
        &server,
        "POST",
        "/api/ws-ticket",
        &[("authorization", &authorization)],
        "",
    )
    .await;
    let stale = got.unwrap().text("ticket");
    assert_eq!(
        refusal(connect(&server, &format!("/ws?ticket={stale}"), &[]).await).0,
        401
    );
    assert!(server.records().pop().unwrap().token_expired);
}

#[tokio::test]
async fn the_final_slash_redirects_either_way_and_elsewhere() {
    let server = server(|_| {}).await;
    let at = async |path: &str| {
        let got = post(&server, path, json!({ "username": "ann", "password": "pass" })).await;
        (got.status, got.header("location"))
    };
    assert_eq!(at("/api/auth/login").await, (308, "/api/auth/login/".into()));
    server.set(|s| s.slash = SlashPolicy::RedirectFromSlash);
    server.set(|s| s.redirect_status = 301);
    assert_eq!(at("/api/auth/login/").await, (301, "/api/auth/login".into()));
    assert_eq!(at("/api/auth/login").await.0, 200);
    server.set(|s| s.redirect_origin = Some("http://elsewhere.test".into()));
    assert_eq!(
        at("/api/auth/login/").await.1,
        "http://elsewhere.test/api/auth/login"
    );
}

#[tokio::test]
async fn failed_logins_are_limited_per_user() {
    let server = server(|s| s.failed_auth_limit = 2).await;
    let fail = async |user: &str| {
        post(
            &server,
            "/api/auth/login/",
            json!({ "username": user, "password": "wrong" }),
        )
        .await
    };
    let got = fail("ann").await;
    let detail = "No active account found with the given credentials";
    assert_eq!((got.status, got.json()), (401, json!({ "detail": detail })));
    assert_eq!(fail("ann").await.status, 401);
    let got = fail("ann").await;
    assert_eq!((got.status, got.header("retry-after")), (429, "60".into()));
    assert_eq!(fail("bob").await.status, 401);
    assert_eq!(login(&server, "bob").await.status, 200);
}

#[tokio::test]
async fn bearer_protected_endpoints() {
    let server = server(|_| {}).await;
    let token = server.issue_access_token("ann", Duration::from_secs(60));
    let headers = [
        ("authorization", bearer(&token)),
        ("content-type", "application/json".to_owned()),
    ];
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(
        get(&server, "/api/me", &headers).await.json()["user"]["username"],
        "ann"
    );
    let got = request(&server, "POST", "/api/echo", &headers, r#"{"a":1}"#)
        .await
        .unwrap();
    assert_eq!(got.json(), json!({ "a": 1 }));
    server.expire_tokens();
    assert_eq!(get(&server, "/api/me", &headers).await.status, 401);
    assert!(server.records().pop().unwrap().token_expired);
    assert_eq!(get(&server, "/api/me", &[]).await.status, 401);
}

#[tokio::test]
async fn tokens_can_be_identical_opaque_undated_or_off_the_clock() {
    let server = server(|s| s.omit_jti = true).await;
    // Two within one second; a second boundary in between may need another try.
    let identical = async || {
        let pair = server.issue_session("ann");
        let newer = refresh(&server, &pair.refresh).await.text("access");
        newer == pair.access
    };
    assert!(identical().await || identical().await);

    server.set(|s| s.opaque_tokens = true);
    let got = login(&server, "ann").await;
    assert!(!got.text("access").contains('.'));
    assert!(matches!(got.json()["expires_in"].as_u64(), Some(299..=300)));
    let token = got.text("access");
    let pair = format!("access_token, {token}");
    assert!(
        connect(&server, "/ws", &[("sec-websocket-protocol", &pair)])
            .await
            .is_ok()
    );

    server.set(|s| (s.opaque_tokens, s.omit_iat, s.clock_offset_s) = (false, true, 86_400));
    let got = login(&server, "ann").await;
    let claims = claims(&got.text("access"));
    assert_eq!(claims.get("iat"), None);
    let tomorrow = std::time::SystemTime::now() + Duration::from_secs(86_400);
    let date = httpdate::parse_http_date(&got.header("date")).unwrap();
    let apart = tomorrow
        .duration_since(date)
        .unwrap_or_else(|ahead| ahead.duration());
    assert!(
        apart < Duration::from_secs(5),
        "the Date header follows the wrong clock"
    );
}

#[tokio::test]
async fn success_may_be_201_or_204() {
    let server = server(|s| s.success_status = 201).await;
    let got = login(&server, "ann").await;
    assert_eq!(got.status, 201);
    server.set(|s| s.success_status = 204);
    let token = got.text("access");
    let got = post(&server, "/api/auth/token/verify/", json!({ "token": token })).await;
    assert_eq!((got.status, got.body.len()), (204, 0));
    until(&server, |seen| seen.records.len() == 2).await;
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let middle = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(middle)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
