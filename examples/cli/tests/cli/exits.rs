//! The exit codes of the README.

use std::time::Duration;

use freshsocket_mock_server::{Fault, Kind, Refusal, Target, Times};

use crate::harness::{Cli, DEADLINE, server};

#[tokio::test]
async fn a_refused_login_is_3() {
    let server = server(|_| {}).await;
    let cli = Cli::to(&server, &["--user", "ada", "--password-stdin"]);
    let run = cli.run_with("wrong\n").await.expect_code(3);
    run.expect_in_stderr("HTTP 401");
    assert_eq!(server.counters().logins, 1);
}

#[tokio::test]
async fn a_token_command_that_says_signed_out_is_3() {
    let server = server(|_| {}).await;
    Cli::to(&server, &["--token-command", "true"])
        .run()
        .await
        .expect_code(3);
}

#[tokio::test]
async fn a_refresh_that_is_refused_is_4() {
    let server = server(|_| {}).await;
    let mut run = Cli::ada(&server, &["--json", "--keep-open"]).start();
    run.stdout.wait_for("\"state\":\"open\"").await;
    server.revoke_user("ada");
    server.expire_tokens();
    server.close_all(Some(4401), "");
    run.stdout.wait_for("refreshRefused").await;
    let run = run.finish().await.expect_code(4);
    assert!(
        run.lines_of("exit")[0]["reason"]
            .as_str()
            .unwrap()
            .contains("refreshRefused")
    );
}

#[tokio::test]
async fn a_refusal_of_every_token_is_4() {
    let server = server(|s| {
        s.refusal = Refusal::Close {
            code: Some(4401),
            reason: String::new(),
        }
    })
    .await;
    server.fault(
        Target::Ws,
        Fault::AcceptThenClose {
            code: Some(4401),
            reason: String::new(),
            after_ms: 0,
        },
        Times::Always,
    );
    Cli::ada(&server, &["--no-stdin"]).run().await.expect_code(4);
}

#[tokio::test]
async fn a_final_close_code_is_4_after_its_last_message() {
    let server = server(|_| {}).await;
    let mut run = Cli::ada(&server, &["--no-stdin"]).start();
    run.stderr.wait_for("socket: open").await;
    server.send_to_user("ada", "last words");
    server.close_all(Some(4403), "banned");
    let run = run.finish().await.expect_code(4).expect_in_stderr("4403 banned");
    assert_eq!(run.stdout, ["last words"]);
}

#[tokio::test]
async fn a_normal_close_that_means_stop_is_0() {
    let server = server(|_| {}).await;
    let mut run = Cli::ada(&server, &["--no-stdin", "--close-code", "1000=stop"]).start();
    run.stderr.wait_for("socket: open").await;
    server.close_all(Some(1000), "");
    run.finish().await.expect_code(0);
}

#[tokio::test]
async fn nobody_there_is_5() {
    let server = server(|_| {}).await;
    server.stop_listening();
    Cli::ada(&server, &["--max-attempts", "2"])
        .run()
        .await
        .expect_code(5);
    Cli::ada(&server, &["--open-within", "300ms"])
        .run()
        .await
        .expect_code(5);
    Cli::ada(&server, &["--duration", "300ms"])
        .run()
        .await
        .expect_code(5);
    // The same without a sign-in, at the socket.
    Cli::to(&server, &["--max-attempts", "2"])
        .run()
        .await
        .expect_code(5);
    Cli::to(&server, &["--open-within", "300ms"])
        .run()
        .await
        .expect_code(5);
    Cli::to(&server, &["--token-command", "exit 1", "--open-within", "300ms"])
        .run()
        .await
        .expect_code(5);
}

#[tokio::test]
async fn an_unreachable_login_is_tried_again() {
    let server = server(|_| {}).await;
    server.fault(Target::Login, Fault::Unavailable, Times::Next(2));
    Cli::ada(&server, &[]).run().await.expect_code(0);
    assert_eq!(server.counters().logins, 3);
}

#[tokio::test]
async fn an_expectation_that_is_not_met_is_6() {
    let server = server(|_| {}).await;
    let args = [
        "--send",
        "ping",
        "--expect",
        "pong",
        "--count",
        "3",
        "--duration",
        "500ms",
    ];
    let run = Cli::ada(&server, &args).run().await.expect_code(6);
    run.expect_in_stderr("a message with \"pong\", 2 of 3 messages");
}

#[tokio::test]
async fn the_end_of_the_time_is_0() {
    let server = server(|_| {}).await;
    Cli::ada(&server, &["--duration", "300ms"])
        .run()
        .await
        .expect_code(0);
}

#[tokio::test]
async fn a_message_that_is_not_sent_is_7() {
    let server = server(|_| {}).await;
    let run = Cli::ada(&server, &["--max-message", "4", "--json"])
        .run_with("12345\n1234\n")
        .await
        .expect_code(7);
    let statuses: Vec<_> = run
        .lines_of("send")
        .iter()
        .map(|line| line["status"].clone())
        .collect();
    assert_eq!(statuses, ["failed", "sent"], "{run:#?}");

    let mut run = Cli::ada(&server, &["--outbox-age", "100ms"]).start();
    run.stderr.wait_for("socket: open").await;
    server.stop_listening();
    run.stderr.wait_for("next attempt").await;
    run.type_in("too old\n").await;
    run.stderr.wait_for("send 1: the message waited too long").await;
    run.end_input();
    run.finish().await.expect_code(7);
}

#[tokio::test]
async fn ctrl_c_closes_cleanly_with_130() {
    let server = server(|_| {}).await;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut run = Cli::ada(&server, &[]).start();
        run.stderr.wait_for("socket: open").await;
        run.signal(signal).await;
        run.finish().await.expect_code(code);
        let closed = server.wait_for(|seen| seen.records.iter().any(|r| r.is(Kind::WsClosed)), DEADLINE);
        closed.await.unwrap();
        let record = server
            .records()
            .into_iter()
            .find(|record| record.is(Kind::WsClosed))
            .unwrap();
        assert_eq!(record.close_code, Some(1000), "{record:?}");
        server.reset();
    }
}

#[tokio::test]
async fn ctrl_c_ends_a_sign_in_and_a_second_one_does_not_wait() {
    let server = server(|_| {}).await;
    server.fault(Target::Login, Fault::Hold { act_first: false }, Times::Always);
    let run = Cli::ada(&server, &[]).start();
    server
        .wait_for(|seen| seen.counters.logins == 1, DEADLINE)
        .await
        .unwrap();
    run.signal("INT").await;
    run.finish().await.expect_code(130);
    server.clear_faults();

    let mut run = Cli::ada(&server, &["--json"]).start();
    run.stdout.wait_for("\"state\":\"open\"").await;
    // A server that never answers the close: the first Ctrl-C waits for it, up to 2 s.
    server.half_open_all();
    let start = std::time::Instant::now();
    run.signal("INT").await;
    run.stdout.wait_for("\"state\":\"closed\"").await;
    run.signal("INT").await;
    let run = run.finish().await.expect_code(130);
    assert!(
        run.lines_of("exit").is_empty(),
        "the second one does not even say so: {run:#?}"
    );
    assert!(
        start.elapsed() < Duration::from_millis(1_900),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_reader_that_goes_away_is_an_end() {
    let server = server(|_| {}).await;
    let mut run = Cli::ada(&server, &["--keep-open"]).start();
    run.stderr.wait_for("socket: open").await;
    run.stdout.close().await;
    server.send_to_user("ada", "is anybody there?");
    server.send_to_user("ada", "is anybody there?");
    run.finish().await.expect_code(0);
}

#[tokio::test]
async fn logout_revokes_at_the_end() {
    let server = server(|_| {}).await;
    Cli::ada(&server, &["--logout"]).run().await.expect_code(0);
    assert_eq!(server.counters().logouts, 1);
}
