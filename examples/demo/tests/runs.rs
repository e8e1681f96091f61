//! The demo as people and machines run it: the binary, its exit code, its last line.
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests are tests.

use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_freshsocket-demo"))
        .args(["--fast", "--plain"])
        .args(arguments)
        .output()
        .expect("the demo starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

fn summary(text: &str) -> &str {
    text.lines()
        .find(|line| line.starts_with("summary: "))
        .expect("a summary")
}

#[test]
fn everything_is_survived_and_told() {
    let directory = std::env::temp_dir().join(format!("freshsocket-demo-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (svg, log) = (directory.join("demo.svg"), directory.join("demo.log"));
    let (output, text) = demo(&["--svg", svg.to_str().unwrap(), "--log", log.to_str().unwrap()]);
    assert!(output.status.success(), "{text}");
    assert!(summary(&text).starts_with("summary: ok · "), "{text}");
    assert!(
        summary(&text).ends_with("nothing else lost, 0 duplicated, 0 out of order"),
        "{text}"
    );
    assert_eq!(text.matches("  survived  ").count(), 10, "{text}");
    assert!(!text.contains('\u{1b}'), "plain lines have no escapes");

    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.len() < 150 * 1024,
        "{} bytes",
        svg.len()
    );
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("fault 8: Lost refresh answer") && log.contains(summary(&text)));
    for (name, content) in [("log", &log), ("output", &text), ("picture", &svg)] {
        assert!(!content.contains("eyJ"), "a token in the {name}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_lost_message_is_noticed() {
    let (output, text) = demo(&["--sabotage", "lose"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        summary(&text).contains("FAILED") && summary(&text).contains("1 lost"),
        "{text}"
    );
}

#[test]
fn a_duplicated_message_is_noticed() {
    let (output, text) = demo(&["--sabotage", "duplicate"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        summary(&text).contains("FAILED") && summary(&text).contains("1 duplicated"),
        "{text}"
    );
}

#[test]
fn a_server_that_never_comes_back_is_noticed() {
    let (output, text) = demo(&["--sabotage", "stop"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        summary(&text).contains("FAILED") && summary(&text).contains("Network cut: not within"),
        "{text}"
    );
}
