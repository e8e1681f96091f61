//! Messages in both directions, and what keeps them.

use freshsocket_mock_server::Kind;
use serde_json::json;

use crate::harness::{Cli, DEADLINE, server};

#[tokio::test]
async fn an_echo_by_send_and_expect() {
    let server = server(|_| {}).await;
    let run = Cli::ada(&server, &["--no-stdin", "--send", "hello", "--expect", "hell"])
        .run()
        .await
        .expect_code(0);
    assert_eq!(run.stdout, ["hello"]);
}

#[tokio::test]
async fn lines_of_standard_input_are_sent_and_answers_printed() {
    let server = server(|_| {}).await;
    let run = Cli::ada(&server, &["--count", "3"])
        .run_with("one\ntwo\r\nthree")
        .await
        .expect_code(0);
    assert_eq!(run.stdout, ["one", "two", "three"]);
}

#[tokio::test]
async fn the_end_of_input_is_the_end_once_everything_is_sent() {
    let server = server(|_| {}).await;
    let lines: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    Cli::ada(&server, &[])
        .run_with(&lines.join("\n"))
        .await
        .expect_code(0);
    let all = server.wait_for(
        |seen| seen.records.iter().filter(|r| r.is(Kind::WsMessage)).count() == 500,
        DEADLINE,
    );
    all.await.unwrap();
    let got: Vec<String> = server
        .records()
        .into_iter()
        .filter_map(|record| record.message)
        .collect();
    assert_eq!(got, lines);
}

#[tokio::test]
async fn no_input_is_a_check_of_the_connection() {
    let server = server(|_| {}).await;
    Cli::ada(&server, &[]).run().await.expect_code(0);
    assert_eq!(server.counters().ws_opened, 1);
}

#[tokio::test]
async fn binary_messages_are_base64_in_both_directions() {
    let server = server(|_| {}).await;
    let run = Cli::ada(&server, &["--binary-base64", "--count", "1"])
        .run_with("AAEC/w==\n")
        .await
        .expect_code(0);
    assert_eq!(run.stdout, ["base64:AAEC/w=="]);
}

#[tokio::test]
async fn json_lines_are_checked_and_matched() {
    let server = server(|_| {}).await;
    let args = [
        "--json-lines",
        "--expect-json",
        "/n=2",
        "--expect-regex",
        "^\\{\"n\":\\s*3",
    ];
    Cli::ada(&server, &args)
        .run_with("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n")
        .await
        .expect_code(0);
    let run = Cli::ada(&server, &["--json-lines", "--json"])
        .run_with("{}\n{\n")
        .await
        .expect_code(7);
    let sends = run.lines_of("send");
    assert_eq!(
        (&sends[0]["status"], &sends[1]["status"]),
        (&json!("sent"), &json!("failed")),
        "{run:#?}"
    );
}

#[tokio::test]
async fn a_cut_loses_nothing_that_is_sent_after_it() {
    let server = server(|_| {}).await;
    let mut run = Cli::ada(&server, &["--count", "3", "--json"]).start();
    run.type_in("before\n").await;
    run.stdout.wait_for("\"text\":\"before\"").await;
    server.stop_listening();
    run.stdout.wait_for("\"state\":\"backoff\"").await;
    run.type_in("while down\nand more\n").await;
    run.stdout.wait_for("\"send\":3,\"status\":\"queued\"").await;
    server.listen_again().await.unwrap();
    let run = run.finish().await.expect_code(0);
    let texts: Vec<_> = run
        .lines_of("message")
        .iter()
        .map(|line| line["text"].clone())
        .collect();
    assert_eq!(texts, ["before", "while down", "and more"]);
}

#[tokio::test]
async fn input_waits_while_the_outbox_is_full() {
    let server = server(|_| {}).await;
    let mut run = Cli::ada(&server, &["--outbox-messages", "2", "--count", "7", "--json"]).start();
    run.type_in("0\n").await;
    run.stdout.wait_for("\"text\":\"0\"").await;
    server.stop_listening();
    run.stdout.wait_for("\"state\":\"backoff\"").await;
    run.type_in("1\n2\n3\n4\n5\n6\n").await;
    run.stdout.wait_for("\"send\":3,\"status\":\"queued\"").await;
    server.listen_again().await.unwrap();
    let run = run.finish().await.expect_code(0);
    let texts: Vec<_> = run
        .lines_of("message")
        .iter()
        .map(|line| line["text"].clone())
        .collect();
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn cutting_all_connections_is_survived() {
    let server = server(|_| {}).await;
    let mut run = Cli::ada(&server, &["--count", "2"]).start();
    run.type_in("one\n").await;
    run.stdout.wait_for("one").await;
    server.cut_all();
    run.stderr.wait_for("next attempt").await;
    run.type_in("two\n").await;
    let run = run.finish().await.expect_code(0);
    assert_eq!(run.stdout, ["one", "two"]);
}
