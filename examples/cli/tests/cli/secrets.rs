//! Nothing that is secret is printed, at the most verbose level neither.

use freshsocket_mock_server::{AuthMode, Fault, MockServer, Target, Times};

use crate::harness::{Cli, Finished, server};

const PASSWORD: &str = "hunter2-planted";

fn check(server: &MockServer, run: &Finished) {
    let output = run.all_output();
    let tokens = server.tokens_issued();
    assert!(tokens.len() > 1, "there was something to leak");
    for secret in tokens.iter().map(String::as_str).chain([PASSWORD]) {
        // A part of a signature is as telling as the whole.
        let end = &secret[secret.len() - secret.len().min(16)..];
        for line in output.lines() {
            assert!(!line.contains(end), "a secret in: {line}");
        }
    }
}

/// Sign-in, connection, refresh, refusal, cut, sign-out.
async fn eventful_run(server: &MockServer, args: &[&str]) -> Finished {
    let cli = Cli::ada(server, &[&["-vvv", "--json", "--logout"], args].concat());
    let mut run = cli.start();
    run.stdout.wait_for("\"state\":\"open\"").await;
    run.stdout.wait_for("\"phase\":\"done\",\"token\":2").await;
    server.fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 403,
            retry_after: None,
        },
        Times::Next(1),
    );
    server.cut_all();
    run.stdout.wait_for("\"state\":\"open\"").await;
    run.type_in("hello\n").await;
    run.stdout.wait_for("\"text\":\"hello\"").await;
    run.end_input();
    run.finish().await.expect_code(0)
}

#[tokio::test]
async fn no_secret_is_printed_at_the_most_verbose_level() {
    let placements: [&[&str]; 7] = [
        &[],
        &["--placement", "query"],
        &["--placement", "header"],
        &["--cookie-name", "access"],
        &["--ticket-url", "/api/ws-ticket"],
        &["--placement", "first-message", "--renewal", "in-band"],
        &[
            "--preset",
            "cookie",
            "--login-path",
            "/cookie/login",
            "--refresh-path",
            "/cookie/refresh",
            "--verify-path",
            "/cookie/me",
            "--logout-path",
            "/cookie/logout",
        ],
    ];
    for args in placements {
        let server = server(|s| {
            s.access_lifetime_ms = 1_500;
            s.fractional_times = true;
            s.expires_in_answer = true;
            s.refresh_grace_ms = 60_000;
            if args.contains(&"first-message") {
                s.auth_mode = AuthMode::FirstMessage;
            }
        })
        .await;
        let run = eventful_run(&server, args).await;
        assert!(
            run.stderr.iter().any(|line| line.contains("TRACE")),
            "the logs are on"
        );
        check(&server, &run);
    }
}

#[tokio::test]
async fn a_server_that_selects_the_token_as_subprotocol_does_not_make_it_printed() {
    let server = server(|_| {}).await;
    let pair = server.issue_session("ada");
    server.set(|s| s.subprotocols = vec![pair.access.clone()]);
    let run = Cli::to(&server, &["-vvv", "--json"])
        .env("FRESHSOCKET_TOKEN", &pair.access)
        .run()
        .await;
    let selected = server.records().into_iter().find_map(|record| record.subprotocol);
    assert_eq!(
        selected.as_deref(),
        Some(&*pair.access),
        "the server did select it"
    );
    assert!(run.lines_of("opened")[0]["subprotocol"].is_null(), "{run:#?}");
    check(&server, &run);
}

#[tokio::test]
async fn a_refused_password_is_not_printed() {
    let server = server(|_| {}).await;
    server.fault(Target::Login, Fault::Html { status: 200 }, Times::Next(1));
    let run = Cli::ada(&server, &["-vvv"]).run().await.expect_code(1);
    server.issue_session("ada");
    check(&server, &run);
}

#[tokio::test]
async fn a_token_command_keeps_its_token_to_itself() {
    let server = server(|_| {}).await;
    let pair = server.issue_session("ada");
    let command = "echo $PLANTED; test $FRESHSOCKET_FORCE = 0";
    let cli = Cli::to(&server, &["-vvv", "--token-command", command]).env("PLANTED", &pair.access);
    let run = cli.run().await.expect_code(0);
    check(&server, &run);
}
