//! Every placement of the credential, every kind of auth server, every source of tokens.

use freshsocket_mock_server::{AuthMode, Kind, MockServer, Placement, Record};

use crate::harness::{Cli, DEADLINE, Finished, server};

const ECHO: [&str; 5] = ["--no-stdin", "--send", "hello", "--expect", "hello"];

async fn echoes(cli: Cli) -> Finished {
    cli.run().await.expect_code(0)
}

/// The one connection that the server saw.
fn opened(server: &MockServer) -> Record {
    let mut records = server
        .records()
        .into_iter()
        .filter(|record| record.is(Kind::WsOpen));
    let record = records.next().expect("a connection");
    server.reset();
    record
}

#[tokio::test]
async fn every_placement_reaches_the_server() {
    let server = server(|_| {}).await;
    let cases: &[(&[&str], Placement, &str)] = &[
        (&[], Placement::Subprotocol, "subprotocol"),
        (
            &["--placement", "subprotocol", "--marker", "jwt"],
            Placement::Subprotocol,
            "subprotocol",
        ),
        (&["--placement", "query"], Placement::Query, "query"),
        (&["--param", "access_token"], Placement::Query, "query"),
        (&["--placement", "header"], Placement::Header, "header"),
        (
            &["--placement", "cookie", "--cookie-name", "access"],
            Placement::Cookie,
            "cookie",
        ),
        (&["--ticket-url", "/api/ws-ticket"], Placement::Ticket, "ticket"),
        (
            &["--ticket-url", "/api/ws-ticket", "--ticket-method", "get"],
            Placement::Ticket,
            "ticket",
        ),
    ];
    for (args, placement, name) in cases {
        let run = echoes(Cli::ada(&server, &[&ECHO[..], args, &["--json"]].concat())).await;
        assert_eq!(opened(&server).placement, Some(*placement), "{args:?}");
        let attempts = run.lines_of("attempt");
        assert_eq!(
            (&attempts[0]["placement"], &attempts[0]["token"]),
            (&(*name).into(), &1.into()),
            "{run:#?}"
        );
    }
}

#[tokio::test]
async fn the_first_message_can_carry_it() {
    let server = server(|s| s.auth_mode = AuthMode::FirstMessage).await;
    let template = r#"{"type":"auth","token":"{token}"}"#;
    for args in [
        &["--placement", "first-message"][..],
        &["--first-message", template],
    ] {
        echoes(Cli::ada(&server, &[&ECHO[..], args].concat())).await;
    }
    let in_message = |record: &Record| record.placement == Some(Placement::FirstMessage);
    assert!(server.records().iter().any(in_message), "{:#?}", server.records());
}

#[tokio::test]
async fn nobody_signs_in_where_nobody_is_named() {
    let server = server(|s| s.anonymous = true).await;
    let run = echoes(Cli::to(&server, &[&ECHO[..], &["--json"]].concat())).await;
    assert_eq!(run.lines_of("attempt")[0]["placement"], "none");
    assert!(
        run.lines_of("session").is_empty(),
        "there is no session to speak of: {run:#?}"
    );
    assert_eq!(server.counters().logins, 0);
}

#[tokio::test]
async fn presets_know_their_servers() {
    let server = server(|_| {}).await;
    echoes(Cli::ada(
        &server,
        &[&ECHO[..], &["--preset", "node-jwt"]].concat(),
    ))
    .await;
    let token_only = ["--preset", "token-only", "--login-path", "/auth/token-only/login"];
    echoes(Cli::ada(&server, &[&ECHO[..], &token_only].concat())).await;
    let cookie = [
        "--preset",
        "cookie",
        "--login-path",
        "/cookie/login",
        "--refresh-path",
        "/cookie/refresh",
    ];
    server.reset();
    echoes(Cli::ada(&server, &[&ECHO[..], &cookie].concat())).await;
    assert_eq!(opened(&server).placement, Some(Placement::Cookie));
}

#[tokio::test]
async fn a_ready_token_from_the_environment_or_standard_input() {
    let server = server(|_| {}).await;
    let pair = server.issue_session("ada");
    echoes(Cli::to(&server, &ECHO).env("FRESHSOCKET_TOKEN", &pair.access)).await;
    let cli = Cli::to(&server, &["--token-stdin", "--count", "1"]);
    let run = cli
        .run_with(&format!("{}\nhello\n", pair.access))
        .await
        .expect_code(0);
    assert_eq!(run.stdout, ["hello"]);
    assert_eq!(server.counters().logins, 0);
}

#[tokio::test]
async fn a_refresh_token_from_the_environment_is_used() {
    let server = server(|s| s.access_lifetime_ms = 2_000).await;
    let pair = server.issue_session("ada");
    let cli = Cli::to(&server, &["--keep-open", "--json"]).env("FRESHSOCKET_TOKEN", &pair.access);
    let mut run = cli.env("FRESHSOCKET_REFRESH_TOKEN", &pair.refresh).start();
    run.stdout.wait_for("\"phase\":\"done\",\"token\":2").await;
    run.stdout.wait_for("\"handover\":true").await;
    run.signal("INT").await;
    run.finish().await.expect_code(130);
}

#[tokio::test]
async fn a_token_command_is_asked_for_every_token() {
    let server = server(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let token = |n: u64| server.issue_access_token("ada", std::time::Duration::from_secs(600 + n));
    std::fs::write(&file, token(0)).unwrap();
    let forced = folder.path().join("forced");
    let command = format!(
        "echo $FRESHSOCKET_FORCE >> {}; cat {}",
        forced.display(),
        file.display()
    );
    let mut run = Cli::to(&server, &["--token-command", &command, "--count", "1"]).start();
    run.stderr.wait_for("socket: open").await;
    // The server refuses the token: another one is asked for, and a cached one will not do.
    server.expire_tokens();
    std::fs::write(&file, token(1)).unwrap();
    server.close_all(Some(4401), "");
    server
        .wait_for(|seen| seen.counters.ws_opened == 2, DEADLINE)
        .await
        .unwrap();
    run.type_in("hello\n").await;
    run.finish().await.expect_code(0);
    assert_eq!(std::fs::read_to_string(forced).unwrap(), "0\n1\n");
}

#[tokio::test]
async fn a_store_makes_the_second_run_sign_in_without_a_password() {
    let server = server(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("session.json");
    let store = ["--store", store.to_str().unwrap()];
    Cli::to(&server, &store)
        .run()
        .await
        .expect_code(3)
        .expect_in_stderr("the store holds no session");
    echoes(Cli::ada(&server, &[&ECHO[..], &store].concat())).await;
    echoes(Cli::to(&server, &[&ECHO[..], &store].concat())).await;
    assert_eq!(server.counters().logins, 1);
    echoes(Cli::ada(
        &server,
        &[&ECHO[..], &store, &["--new-login", "--logout"]].concat(),
    ))
    .await;
    assert_eq!(server.counters().logins, 2);
    Cli::to(&server, &store).run().await.expect_code(3);
}

#[tokio::test]
async fn a_stored_session_that_the_server_forgot_is_replaced_by_a_login() {
    let server = server(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let store = ["--store", file.to_str().unwrap()];
    echoes(Cli::ada(&server, &[&ECHO[..], &store].concat())).await;
    server.revoke_user("ada");
    // A day passes.
    let mut stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let received = &mut stored["session"]["receivedUnixMs"];
    *received = (received.as_u64().unwrap() - 86_400_000).into();
    std::fs::write(&file, stored.to_string()).unwrap();

    let run = echoes(Cli::ada(&server, &[&ECHO[..], &store, &["--json"]].concat())).await;
    assert!(
        run.lines_of("session")
            .iter()
            .any(|line| line["cause"] == "refreshRefused"),
        "{run:#?}"
    );
    assert_eq!(server.counters().logins, 2);
}
