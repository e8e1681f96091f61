//! `--json`: whatever happens, the lines are as documented.

use freshsocket_mock_server::{Fault, MockServer, Target, Times};

use crate::format;
use crate::harness::{Cli, server};

/// A run with as much as possible in it.
async fn eventful_run(server: &MockServer) -> Vec<serde_json::Value> {
    let mut run = Cli::ada(
        server,
        &["--json", "--outbox-age", "300ms", "--max-message", "1000"],
    )
    .start();
    run.stdout.wait_for("\"state\":\"open\"").await;
    run.type_in("text\n").await;
    run.stdout.wait_for("\"text\":\"text\"").await;
    server.send_to_user("ada", vec![0_u8, 1]);
    run.stdout.wait_for("\"base64\":\"AAE=\"").await;
    run.stdout.wait_for("\"handover\":true").await;
    server.fault(
        Target::Refresh,
        Fault::Status {
            code: 503,
            retry_after: None,
            body: None,
            content_type: None,
        },
        Times::Next(1),
    );
    run.stdout.wait_for("\"phase\":\"failed\"").await;
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 401,
            retry_after: None,
        },
        Times::Next(1),
    );
    server.cut_all();
    run.stdout.wait_for("authRefused").await;
    run.stdout.wait_for("\"state\":\"open\"").await;
    server.stop_listening();
    run.stdout.wait_for("\"state\":\"backoff\"").await;
    run.type_in("lost\n").await;
    run.stdout.wait_for("messageExpired").await;
    server.listen_again().await.unwrap();
    run.end_input();
    run.finish().await.expect_code(7).json()
}

/// What is said of session and socket is in one order, with the times at which it was decided.
fn check_order(lines: &[serde_json::Value]) {
    let separate = ["message", "send", "error", "exit"];
    let activity: Vec<_> = lines
        .iter()
        .filter(|line| !separate.contains(&line["type"].as_str().unwrap()))
        .collect();
    for pair in activity.windows(2) {
        assert!(pair[0]["ts"].as_u64() <= pair[1]["ts"].as_u64(), "{pair:#?}");
    }
    let done = |token: &serde_json::Value| {
        let is_done = |line: &&serde_json::Value| line["phase"] == "done" && line["token"] == *token;
        activity.iter().position(is_done)
    };
    for (place, attempt) in activity
        .iter()
        .enumerate()
        .filter(|(_, line)| line["type"] == "attempt")
    {
        assert!(
            done(&attempt["token"]).is_some_and(|done| done < place),
            "a token before its refresh: {attempt} in {lines:#?}"
        );
    }
}

#[tokio::test]
async fn every_line_is_of_a_documented_type_with_the_documented_fields() {
    let server = server(|s| {
        s.access_lifetime_ms = 1_500;
        s.fractional_times = true;
    })
    .await;
    let lines = eventful_run(&server).await;
    lines.iter().for_each(format::check);
    for kind in [
        "session",
        "refresh",
        "socket",
        "attempt",
        "opened",
        "ended",
        "authRefused",
        "message",
        "send",
        "exit",
    ] {
        assert!(
            lines.iter().any(|line| line["type"] == kind),
            "no {kind} in {lines:#?}"
        );
    }
    check_order(&lines);
    let last = lines.last().unwrap();
    assert_eq!(
        (last["type"].as_str(), last["code"].as_u64()),
        (Some("exit"), Some(7))
    );
}
