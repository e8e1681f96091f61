//! The control API over HTTP, and the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::process::Stdio;

use common::{DEADLINE, connect, ended, get, login, open, post, request, text};
use freshsocket_mock_server::MockServer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

async fn control(server: &MockServer, command: &str, body: Value) -> Value {
    let got = post(server, &format!("/__control/{command}"), body).await;
    assert_eq!(
        (got.status, got.header("connection")),
        (200, "close".into()),
        "{command}: {:?}",
        got.json()
    );
    got.json()
}

async fn start() -> MockServer {
    MockServer::start().await.expect("a free port")
}

#[tokio::test]
async fn settings_merge_and_are_checked() {
    let server = start().await;
    let change = json!({ "accessLifetimeMs": 2000, "refusal": { "style": "close", "code": 4401 } });
    let all = control(&server, "settings", change).await;
    assert_eq!(
        (&all["accessLifetimeMs"], &all["rotation"]),
        (&json!(2000), &json!(true))
    );
    assert_eq!(server.settings().access_lifetime_ms, 2000);
    let got = post(&server, "/__control/settings", json!({ "noSuchSetting": 1 })).await;
    assert_eq!(got.status, 400);
    control(&server, "reset", json!({})).await;
    assert_eq!(server.settings(), freshsocket_mock_server::Settings::default());
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let server = start().await;
    let fault = json!({ "kind": "status", "code": 429, "retryAfter": { "seconds": 5 } });
    control(
        &server,
        "faults",
        json!({ "target": "login", "fault": fault, "times": 2 }),
    )
    .await;
    assert_eq!(login(&server, "ann").await.status, 429);
    assert_eq!(get(&server, "/__control/faults", &[]).await.json()[0]["times"], 1);
    request(&server, "DELETE", "/__control/faults", &[], "")
        .await
        .expect("cleared");
    assert_eq!(login(&server, "ann").await.status, 200);
    control(
        &server,
        "faults",
        json!({ "target": "ws", "fault": { "kind": "acceptThenCut" } }),
    )
    .await;
    assert_eq!(ended(&mut open(&server, "ann").await).await.0, 1006);
}

#[tokio::test]
async fn connections_are_commanded() {
    let server = start().await;
    let (mut ann, mut bob) = (open(&server, "ann").await, open(&server, "bob").await);
    let count = |count: u32| json!({ "connections": count });
    assert_eq!(
        control(&server, "send", json!({ "user": "ann", "text": "hi" })).await,
        count(1)
    );
    assert_eq!(
        control(&server, "broadcast", json!({ "except": 1, "json": { "a": 1 } })).await,
        count(1)
    );
    assert_eq!(
        (text(&mut ann).await, text(&mut bob).await),
        ("hi".into(), "{\"a\":1}".into())
    );
    control(
        &server,
        "flood",
        json!({ "connection": 1, "count": 3, "perSecond": 0 }),
    )
    .await;
    for n in 1..=3 {
        assert_eq!(text(&mut ann).await, format!(r#"{{"type":"tick","n":{n}}}"#));
    }
    assert_eq!(
        control(&server, "half_open", json!({ "user": "bob" })).await,
        count(1)
    );
    assert_eq!(control(&server, "cut", json!({ "user": "bob" })).await, count(1));
    assert_eq!(
        control(&server, "close", json!({ "connection": 1, "code": 4001 })).await,
        count(1)
    );
    assert_eq!((ended(&mut ann).await.0, ended(&mut bob).await.0), (4001, 1006));
    let state = get(&server, "/__control/state", &[]).await.json();
    assert_eq!(
        (&state["counters"]["wsOpened"], &state["listening"]),
        (&json!(2), &json!(true))
    );
}

#[tokio::test]
async fn waiting_reads_and_tokens() {
    let server = start().await;
    let wait = json!({ "counter": "logins_ok", "at_least": 1, "timeout_ms": 9000 });
    let (waited, _) = tokio::join!(control(&server, "wait", wait), login(&server, "ann"));
    assert_eq!(
        (&waited["ok"], &waited["counters"]["loginsOk"]),
        (&json!(true), &json!(1))
    );
    let never = json!({ "counter": "refreshesOk", "atLeast": 1, "timeoutMs": 10 });
    assert_eq!(control(&server, "wait", never).await["ok"], false);
    assert_eq!(
        post(&server, "/__control/wait", json!({ "counter": "nonsense" }))
            .await
            .status,
        400
    );

    let records = get(&server, "/__control/records", &[]).await.json();
    assert_eq!(
        (records.as_array().unwrap().len(), &records[0]["kind"]),
        (1, &json!("login"))
    );
    let later = get(&server, "/__control/records?since=1", &[]).await.json();
    assert_eq!(later, json!([]));
    let issued = control(
        &server,
        "issue_token",
        json!({ "user": "ann", "lifetimeMs": 60_000 }),
    )
    .await;
    let tokens = get(&server, "/__control/tokens_issued", &[]).await.json();
    assert_eq!(
        (tokens.as_array().unwrap().len(), &tokens[2]),
        (3, &issued["token"])
    );
    control(&server, "expire_tokens", json!({})).await;
    let path = format!("/ws?token={}", issued["token"].as_str().unwrap());
    assert!(connect(&server, &path, &[]).await.is_err());
    control(&server, "revoke_user", json!({ "user": "ann" })).await;
    let counters = get(&server, "/__control/counters", &[]).await.json();
    assert_eq!(counters["wsExpired"], 1);
    assert_eq!(get(&server, "/__control/nonsense", &[]).await.status, 404);
}

#[tokio::test]
async fn a_restart_answers_and_then_happens() {
    let server = start().await;
    let mut client = open(&server, "ann").await;
    control(&server, "restart", json!({ "afterMs": 1 })).await;
    assert_eq!(ended(&mut client).await.0, 1006);
    let back = async {
        while tokio::net::TcpStream::connect(server.addr()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.expect("it comes back");
    assert_eq!(login(&server, "ann").await.status, 200);
}

#[tokio::test]
async fn every_origin_may_ask() {
    let server = start().await;
    let headers = [
        ("origin", "http://page.test"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, idempotency-key"),
    ];
    let got = request(&server, "OPTIONS", "/api/auth/login/", &headers, "")
        .await
        .unwrap();
    assert_eq!(
        (got.status, got.header("access-control-allow-origin")),
        (204, "http://page.test".into())
    );
    assert_eq!(
        got.header("access-control-allow-headers"),
        "authorization, idempotency-key"
    );
    let got = get(&server, "/__control/state", &headers[..1]).await;
    assert_eq!(got.header("access-control-allow-credentials"), "true");
    assert_eq!(
        login(&server, "ann").await.header("access-control-allow-origin"),
        "*"
    );
}

#[tokio::test]
async fn the_binary_announces_itself_and_ends_on_command() {
    let (mut child, url) = spawn_binary(&["--settings", r#"{"accessLifetimeMs":2000}"#]).await;
    let addr = url.strip_prefix("http://").expect("an address").to_owned();
    let shutdown = format!("POST /__control/shutdown HTTP/1.1\r\nhost: {addr}\r\ncontent-length: 0\r\n\r\n");
    let mut tcp = tokio::net::TcpStream::connect(&addr).await.expect("it listens");
    tcp.write_all(shutdown.as_bytes()).await.expect("asked");
    let ended = tokio::time::timeout(DEADLINE, child.wait())
        .await
        .expect("in time")
        .expect("ended");
    assert!(ended.success());
}

#[cfg(unix)]
#[tokio::test]
async fn the_binary_ends_on_sigterm() {
    let (mut child, _) = spawn_binary(&["--log", "json"]).await;
    let id = child.id().expect("running").to_string();
    assert!(
        // The shell's own: a bare system has no program of that name.
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status()
            .await
            .expect("kill")
            .success()
    );
    let ended = tokio::time::timeout(DEADLINE, child.wait())
        .await
        .expect("in time")
        .expect("ended");
    assert!(ended.success());
}

#[tokio::test]
async fn the_log_shows_no_token() {
    let mut child = binary(&["--log", "text"])
        .env("RUST_LOG", "trace")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let url = announced(&mut child).await;
    let addr = url.strip_prefix("http://").expect("an address");
    let login = r#"{"username":"planted-user","password":"planted-password"}"#;
    let size = login.len();
    let answer = raw(addr, &format!("POST /api/auth/login/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n{login}")).await;
    let tokens: Value = serde_json::from_str(answer.rsplit("\r\n").next().unwrap()).expect("tokens");
    let access = tokens["access"].as_str().unwrap();
    let upgrade = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    raw(addr, &format!("GET /ws?token={access} HTTP/1.1\r\nhost: x\r\n{upgrade}\r\nsec-websocket-protocol: access_token, {access}\r\n\r\n\u{f}\u{0}")).await;
    raw(
        addr,
        "POST /__control/shutdown HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .expect("in time")
        .expect("ended");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("planted-user") && log.contains("WsOpen"), "{log}");
    for secret in [access, tokens["refresh"].as_str().unwrap(), "planted-password"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// Sends bytes and reads whatever comes until the server closes.
async fn raw(addr: &str, request: &str) -> String {
    let mut tcp = tokio::net::TcpStream::connect(addr).await.expect("it listens");
    tcp.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A reset after the answer is as good as a close.
    let _ = tokio::time::timeout(DEADLINE, tcp.read_to_end(&mut answer))
        .await
        .expect("in time");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn spawn_binary(arguments: &[&str]) -> (Child, String) {
    let mut child = binary(arguments)
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary");
    let url = announced(&mut child).await;
    (child, url)
}

fn binary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freshsocket-mock-server"));
    command.args(arguments).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn announced(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line())
        .await
        .expect("in time")
        .expect("read");
    line.expect("a line")
        .strip_prefix("listening on ")
        .expect("the announcement")
        .to_owned()
}
