//! URLs and options: each mistake names its field.

use freshsocket::options::{
    CloseAction, Credential, Endpoint, Matcher, Options, Preset, Renewal, SessionOptions, SocketOptions,
    TicketOptions,
};
use freshsocket::{Error, ErrorKind, Json, Session};

const BASE: &str = "https://api.example.com";

async fn session_error(base_url: &str, change: impl FnOnce(&mut SessionOptions)) -> Option<Error> {
    Session::builder(base_url)
        .session_options(change)
        .build()
        .await
        .err()
}

async fn socket_error(url: &str, change: impl FnOnce(&mut SocketOptions)) -> Option<Error> {
    let session = Session::builder(BASE).build().await.unwrap();
    session.socket(url).options(change).connect().err()
}

fn assert_names(error: Option<Error>, kind: ErrorKind, field: &str) {
    let error = error.unwrap_or_else(|| panic!("{field} was accepted"));
    assert_eq!(error.kind(), kind, "{error}");
    assert!(
        error.field().is_some_and(|found| found.starts_with(field)),
        "{field}: {error}"
    );
    assert!(error.to_string().contains(kind.advice()));
}

const BAD_URLS: [&str; 14] = [
    "",
    "api.example.com",
    "://api.example.com",
    "https://",
    "https:///path",
    "https://user:pass@api.example.com",
    "https://api.example.com:99999",
    "https://api.example.com:port",
    "https://api example.com",
    "https://api.example.com/\u{0}",
    "https://api.example.com/ü",
    "ftp://api.example.com",
    "javascript:alert(1)",
    "https://[::1",
];

#[tokio::test]
async fn s6_bad_urls_name_their_field() {
    for url in BAD_URLS {
        assert_names(
            session_error(url, |_| {}).await,
            ErrorKind::InvalidOptions,
            "session.baseUrl",
        );
        assert_names(
            socket_error(&url.replace("https", "wss"), |_| {}).await,
            ErrorKind::InvalidOptions,
            "socket.url",
        );
    }
    // The wrong kind of URL for the place.
    assert_names(
        session_error("wss://api.example.com", |_| {}).await,
        ErrorKind::InvalidOptions,
        "session.baseUrl",
    );
    for url in ["https://api.example.com", "wss://api.example.com/#fragment"] {
        assert_names(
            socket_error(url, |_| {}).await,
            ErrorKind::InvalidOptions,
            "socket.url",
        );
    }
}

#[tokio::test]
async fn s6_clear_text_is_for_loopback_unless_allowed() {
    for host in [
        "api.example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "[fe80::1]",
        "0.0.0.0",
    ] {
        let (http, ws) = (format!("http://{host}"), format!("ws://{host}"));
        assert_names(
            session_error(&http, |_| {}).await,
            ErrorKind::InsecureUrl,
            "session.baseUrl",
        );
        assert_names(
            socket_error(&ws, |_| {}).await,
            ErrorKind::InsecureUrl,
            "socket.url",
        );
        assert!(session_error(&http, |o| o.allow_insecure = true).await.is_none());
        assert!(
            socket_error(&ws, |o| (o.allow_insecure, o.auto_connect) = (true, false))
                .await
                .is_none()
        );
        // Without a credential there is nothing to protect.
        assert!(
            socket_error(&ws, |o| (o.credential, o.auto_connect) =
                (Credential::None, false))
            .await
            .is_none()
        );
    }
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.1.2.3:1",
        "[::1]:9",
    ] {
        assert!(
            session_error(&format!("http://{host}"), |_| {}).await.is_none(),
            "{host}"
        );
        assert!(
            socket_error(&format!("ws://{host}"), |o| o.auto_connect = false)
                .await
                .is_none(),
            "{host}"
        );
    }
}

type Change<T> = fn(&mut T);

fn no_token() -> Json {
    Json::object([("type", Json::from("auth"))])
}

#[tokio::test]
async fn s6_bad_session_options_name_their_field() {
    let cases: [(&str, Change<SessionOptions>); 15] = [
        ("session.requestTimeoutMs", |o| o.request_timeout_ms = 0),
        ("session.maxAnswerBytes", |o| o.max_answer_bytes = 1),
        ("session.refresh.retry", |o| o.refresh.retry.base_ms = 0),
        ("session.refresh.retry", |o| o.refresh.retry.cap_ms = 0),
        ("session.refresh.retry.factor", |o| o.refresh.retry.factor = 0.5),
        ("session.refresh.retry.factor", |o| {
            o.refresh.retry.factor = f64::NAN;
        }),
        ("session.refresh.retry.factor", |o| {
            o.refresh.retry.factor = f64::INFINITY;
        }),
        ("session.refresh.marginFraction", |o| {
            o.refresh.margin_fraction = 0.0;
        }),
        ("session.refresh.marginFraction", |o| {
            o.refresh.margin_fraction = 1.0;
        }),
        ("session.refresh.marginFraction", |o| {
            o.refresh.margin_fraction = f64::NAN;
        }),
        ("session.refresh.idempotencyHeader", |o| {
            o.refresh.idempotency_header = Some("a b".into());
        }),
        ("session.refresh.idempotencyHeader", |o| {
            o.refresh.idempotency_header = Some("Host".into());
        }),
        ("session.refresh.refusedStatuses", |o| {
            o.refresh.refused_statuses = vec![503];
        }),
        ("session.endpoints.login.path", |o| {
            o.endpoints.login = Some(endpoint("https://evil.example/login"));
        }),
        ("session.endpoints.refresh.access", |o| {
            o.endpoints.refresh = Some(Endpoint {
                access: "no/slash".into(),
                ..endpoint("/refresh")
            });
        }),
    ];
    for (field, change) in cases {
        assert_names(
            session_error(BASE, change).await,
            ErrorKind::InvalidOptions,
            field,
        );
    }
    assert_names(
        session_error("", |o| o.preset = Preset::Callback).await,
        ErrorKind::InvalidOptions,
        "session.preset",
    );
}

fn endpoint(path: &str) -> Endpoint {
    Endpoint {
        path: path.into(),
        ..Endpoint::default()
    }
}

#[tokio::test]
async fn s6_bad_socket_options_name_their_field() {
    let cases: [(&str, Change<SocketOptions>); 24] = [
        ("socket.subprotocols", |o| o.subprotocols = vec!["a b".into()]),
        ("socket.subprotocols", |o| o.subprotocols = vec![String::new()]),
        ("socket.credential.name", |o| {
            o.credential = Credential::Subprotocol { name: "a,b".into() }
        }),
        ("socket.credential.parameter", |o| {
            o.credential = Credential::Query {
                parameter: String::new(),
            }
        }),
        ("socket.credential.name", |o| {
            o.credential = header("Sec-WebSocket-Key");
        }),
        ("socket.credential.name", |o| {
            o.credential = header("X-Token\r\nX-Evil");
        }),
        ("socket.credential.name", |o| {
            o.credential = Credential::Cookie {
                name: Some("a=b".into()),
            }
        }),
        ("socket.credential.template", |o| {
            o.credential = Credential::FirstMessage { template: no_token() }
        }),
        ("socket.credential.url", |o| {
            o.credential = Credential::Ticket(TicketOptions::default());
        }),
        ("socket.credential.pointer", |o| {
            o.credential = ticket("ticket", "ticket");
        }),
        ("socket.credential.parameter", |o| {
            o.credential = ticket("/ticket", "");
        }),
        ("socket.renewal.template", |o| {
            o.renewal = Renewal::InBand {
                template: no_token(),
                ack: None,
            }
        }),
        ("socket.reconnect.delay", |o| o.reconnect.delay.base_ms = 0),
        ("socket.reconnect.maxAttempts", |o| {
            o.reconnect.max_attempts = Some(0);
        }),
        ("socket.closeCodes", |o| {
            o.close_codes.extend([(999, CloseAction::Stop)]);
        }),
        ("socket.closeCodes", |o| {
            o.close_codes.extend([(5_000, CloseAction::Stop)]);
        }),
        ("socket.heartbeat.timeoutMs", |o| o.heartbeat.timeout_ms = 0),
        ("socket.connectTimeoutMs", |o| o.connect_timeout_ms = 0),
        ("socket.limits.maxMessageBytes", |o| {
            o.limits.max_message_bytes = 0;
        }),
        ("socket.limits.receiveMessages", |o| o.limits.receive_messages = 0),
        ("socket.limits.receiveBytes", |o| o.limits.receive_bytes = 0),
        ("socket.outbox.maxMessages", |o| o.outbox.max_messages = 0),
        ("socket.ready", |o| o.ready = Some(Matcher::default())),
        ("socket.authError", |o| {
            o.auth_error = Some(vec![Matcher::new([("type", Json::from("x"))])]);
        }),
    ];
    for (field, change) in cases {
        assert_names(
            socket_error("wss://api.example.com/ws", change).await,
            ErrorKind::InvalidOptions,
            field,
        );
    }
}

fn header(name: &str) -> Credential {
    Credential::Header {
        name: name.into(),
        prefix: String::new(),
    }
}

fn ticket(pointer: &str, parameter: &str) -> Credential {
    let (url, pointer, parameter) = ("/ticket".into(), pointer.into(), parameter.into());
    Credential::Ticket(TicketOptions {
        url,
        pointer,
        parameter,
        ..TicketOptions::default()
    })
}

#[test]
fn s6_options_that_are_not_of_the_documented_form_are_refused() {
    for text in [
        "",
        "null",
        "{",
        r#"{"session":{"baseURL":"https://h"}}"#,
        r#"{"session":{"preset":"django"}}"#,
        r#"{"socket":{"credential":{"placement":"pocket"}}}"#,
        r#"{"socket":{"credential":{"placement":"query","parametre":"t"}}}"#,
        r#"{"socket":{"connectTimeoutMs":-1}}"#,
        r#"{"socket":{"closeCodes":{"soon":"stop"}}}"#,
        r#"{"unknown":1}"#,
    ] {
        let error = Options::from_json(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{text}");
        assert!(error.cause().is_some());
    }
    Options::from_json(r#"{"session":{"baseUrl":"https://h"},"socket":{"url":"wss://h"}}"#)
        .unwrap()
        .validate()
        .unwrap();
}
