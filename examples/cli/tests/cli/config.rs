//! Options from file, flags and paths.

use serde_json::{Value, json};

use crate::harness::{Cli, Finished, server};

const URL: &str = "wss://api.example.com/ws";

async fn printed(args: &[&str]) -> Value {
    let run = Cli::new(&[&[URL, "--print-config"], args].concat())
        .run()
        .await
        .expect_code(0);
    serde_json::from_str(&run.stdout.join("\n")).unwrap()
}

async fn refused(args: &[&str]) -> Finished {
    Cli::new(args).run().await.expect_code(2)
}

#[tokio::test]
async fn a_file_configures_a_run_and_flags_win_over_it() {
    let server = server(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backend.json");
    let options = json!({
        "session": { "baseUrl": server.http_url(), "preset": "nodeJwt" },
        "socket": {
            "url": server.ws_url(), "credential": { "placement": "query" }, "heartbeat": { "intervalMs": 1234 }
        }
    });
    std::fs::write(&file, options.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let run = Cli::new(&["--config", file, "--user", "ada@x", "--count", "1", "--json"]);
    let run = run
        .env("FRESHSOCKET_PASSWORD", "pw")
        .run_with("hello\n")
        .await
        .expect_code(0);
    assert_eq!(run.lines_of("attempt")[0]["placement"], "query");

    let config = printed(&[
        "--config",
        file,
        "--user",
        "a",
        "--placement",
        "header",
        "--preset",
        "simple-jwt",
    ])
    .await;
    assert_eq!(config["socket"]["url"], URL);
    assert_eq!(config["socket"]["credential"]["placement"], "header");
    assert_eq!(config["socket"]["heartbeat"]["intervalMs"], 1234);
    assert_eq!(config["session"]["preset"], "simpleJwt");
}

#[tokio::test]
async fn flags_and_paths_reach_the_options() {
    let config = printed(&[
        "--user=a",
        "--auth-url=https://auth.example.com",
        "--marker=jwt",
        "--renewal=in-band",
        "--renewal-message={\"t\":\"{token}\"}",
        "--max-attempts=5",
        "--retry-base=1s",
        "--retry-cap=9s",
        "--ping-interval=20s",
        "--ping-timeout=3s",
        "--ready=/type=connected",
        "--auth-error=/code=401",
        "--auth-error=/message=no",
        "--close-code=4000=refresh-then-retry",
        "--close-code=1000=stop",
        "--outbox=reject",
        "--outbox-messages=5",
        "--outbox-bytes=6",
        "--outbox-age=7s",
        "--outbox-full=drop-oldest",
        "--max-message=8",
        "-s=chat",
        "--connect-timeout=9s",
        "--refresh-margin=10s",
        "--request-timeout=11s",
        "--login-path=/in",
        "--set=socket.limits.receiveMessages=12",
        "--set=session.refresh.idempotencyHeader=X-Key",
    ])
    .await;
    let (session, socket) = (&config["session"], &config["socket"]);
    assert_eq!(session["baseUrl"], "https://auth.example.com");
    assert_eq!(session["endpoints"]["login"]["path"], "/in");
    assert_eq!(session["endpoints"]["login"]["access"], "/access");
    assert_eq!(session["refresh"]["marginMs"], 10_000);
    assert_eq!(session["refresh"]["idempotencyHeader"], "X-Key");
    assert_eq!(session["requestTimeoutMs"], 11_000);
    assert_eq!(
        socket["credential"],
        json!({ "placement": "subprotocol", "name": "jwt" })
    );
    assert_eq!(
        socket["renewal"],
        json!({ "mode": "inBand", "template": { "t": "{token}" } })
    );
    assert_eq!(socket["reconnect"]["maxAttempts"], 5);
    assert_eq!(
        socket["reconnect"]["delay"],
        json!({ "baseMs": 1_000, "factor": 1.1, "capMs": 9_000 })
    );
    assert_eq!(socket["heartbeat"]["intervalMs"], 20_000);
    assert_eq!(socket["heartbeat"]["timeoutMs"], 3_000);
    assert_eq!(socket["ready"], json!({ "/type": "connected" }));
    assert_eq!(
        socket["authError"],
        json!([{ "/code": 401 }, { "/message": "no" }])
    );
    assert_eq!(
        socket["closeCodes"],
        json!({ "1000": "stop", "4000": "refreshThenRetry" })
    );
    let outbox = json!({ "mode": "reject", "maxMessages": 5, "maxBytes": 6, "maxAgeMs": 7_000, "whenFull": "dropOldest" });
    assert_eq!(socket["outbox"], outbox);
    assert_eq!(
        (
            &socket["limits"]["maxMessageBytes"],
            &socket["limits"]["receiveMessages"]
        ),
        (&json!(8), &json!(12))
    );
    assert_eq!(
        (&socket["subprotocols"], &socket["connectTimeoutMs"]),
        (&json!(["chat"]), &json!(9_000))
    );
}

#[tokio::test]
async fn mistakes_name_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.json");
    std::fs::write(&file, r#"{"socket": {"heartbeat": {"intervall": 1}}}"#).unwrap();
    let file = file.to_str().unwrap();
    refused(&[URL, "--config", file])
        .await
        .expect_in_stderr("socket.heartbeat.intervall: unknown field");
    refused(&[URL, "--config", "/nowhere.json"])
        .await
        .expect_in_stderr("/nowhere.json");
    refused(&[URL, "--set", "socket.nonsense=1"])
        .await
        .expect_in_stderr("socket.nonsense: unknown field");
    refused(&[URL, "--set", "socket.url.x=1"])
        .await
        .expect_in_stderr("socket.url.x");
    refused(&[URL, "--set", "socket.outbox.maxBytes=many"])
        .await
        .expect_in_stderr("socket.outbox.maxBytes");
    refused(&[URL, "--max-attempts", "0"])
        .await
        .expect_in_stderr("socket.reconnect.maxAttempts");
    refused(&["http://x"]).await.expect_in_stderr("socket.url");
    refused(&[]).await.expect_in_stderr("socket.url");
    refused(&["ws://example.com", "--user", "a"])
        .await
        .expect_in_stderr("session.baseUrl");
    refused(&[URL, "--placement", "query"])
        .await
        .expect_in_stderr("who signs in?");
    refused(&[URL, "--placement", "query", "--header-name", "x"])
        .await
        .expect_in_stderr("--header-name");
    refused(&[URL, "--user", "a"])
        .await
        .expect_in_stderr("FRESHSOCKET_PASSWORD");
    refused(&[URL, "--expect-regex", "("])
        .await
        .expect_in_stderr("--expect-regex");
    refused(&[URL, "--ca", "/nowhere.pem"])
        .await
        .expect_in_stderr("/nowhere.pem");
    refused(&[URL, "--duration", "soon"])
        .await
        .expect_in_stderr("--duration");
    let run = refused(&[URL, "--set", "socket.nonsense=1", "--json"]).await;
    assert_eq!(run.lines_of("error")[0]["error"]["kind"], "invalidOptions");
    assert_eq!(run.lines_of("exit")[0]["code"], 2);
}

#[tokio::test]
async fn help_version_and_schema_are_there() {
    let run = Cli::new(&["--help"]).run().await.expect_code(0);
    assert!(run.all_output().contains("Exit codes"));
    Cli::new(&["--version"]).run().await.expect_code(0);
    let run = Cli::new(&["--print-schema"]).run().await.expect_code(0);
    let schema: Value = serde_json::from_str(&run.stdout.join("\n")).unwrap();
    assert!(schema["properties"]["session"].is_object() && schema["properties"]["socket"].is_object());
}
