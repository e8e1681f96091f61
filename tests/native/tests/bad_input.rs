//! Section 6: whatever is put in, by the application or by a server, has a named error and no panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use freshsocket::options::{
    Credential, Endpoint, Matcher, Options, Preset, Renewal, SessionOptions, SocketOptions, TicketOptions,
};
use freshsocket::{Ended, Error, ErrorKind, Json, Session, SocketState};
use freshsocket_mock_server::{Fault, Target, Times};
use freshsocket_native_tests::{builder, eventually, opened, server, signed_in, socket_state, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const BASE: &str = "https://api.example.com";

async fn session_error(base_url: &str, change: impl FnOnce(&mut SessionOptions)) -> Option<Error> {
    Session::builder(base_url).session_options(change).build().await.err()
}

async fn socket_error(url: &str, change: impl FnOnce(&mut SocketOptions)) -> Option<Error> {
    let session = Session::builder(BASE).build().await.unwrap();
    session.socket(url).options(change).connect().err()
}

fn assert_names(error: Option<Error>, kind: ErrorKind, field: &str) {
    let error = error.unwrap_or_else(|| panic!("{field} was accepted"));
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.field().is_some_and(|found| found.starts_with(field)), "{field}: {error}");
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
        assert_names(session_error(url, |_| {}).await, ErrorKind::InvalidOptions, "session.baseUrl");
        assert_names(socket_error(&url.replace("https", "wss"), |_| {}).await, ErrorKind::InvalidOptions, "socket.url");
    }
    // The wrong kind of URL for the place.
    assert_names(session_error("wss://api.example.com", |_| {}).await, ErrorKind::InvalidOptions, "session.baseUrl");
    for url in ["https://api.example.com", "wss://api.example.com/#fragment"] {
        assert_names(socket_error(url, |_| {}).await, ErrorKind::InvalidOptions, "socket.url");
    }
}

#[tokio::test]
async fn s6_clear_text_is_for_loopback_unless_allowed() {
    for host in ["api.example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[fe80::1]", "0.0.0.0"] {
        let (http, ws) = (format!("http://{host}"), format!("ws://{host}"));
        assert_names(session_error(&http, |_| {}).await, ErrorKind::InsecureUrl, "session.baseUrl");
        assert_names(socket_error(&ws, |_| {}).await, ErrorKind::InsecureUrl, "socket.url");
        assert!(session_error(&http, |o| o.allow_insecure = true).await.is_none());
        assert!(socket_error(&ws, |o| (o.allow_insecure, o.auto_connect) = (true, false)).await.is_none());
        // Without a credential there is nothing to protect.
        assert!(socket_error(&ws, |o| (o.credential, o.auto_connect) = (Credential::None, false)).await.is_none());
    }
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.1.2.3:1", "[::1]:9"] {
        assert!(session_error(&format!("http://{host}"), |_| {}).await.is_none(), "{host}");
        assert!(socket_error(&format!("ws://{host}"), |o| o.auto_connect = false).await.is_none(), "{host}");
    }
}

type Change<T> = fn(&mut T);

#[tokio::test]
async fn s6_bad_session_options_name_their_field() {
    let cases: [(&str, Change<SessionOptions>); 15] = [
        ("session.requestTimeoutMs", |o| o.request_timeout_ms = 0),
        ("session.maxAnswerBytes", |o| o.max_answer_bytes = 1),
        ("session.refresh.retry", |o| o.refresh.retry.base_ms = 0),
        ("session.refresh.retry", |o| o.refresh.retry.cap_ms = 0),
        ("session.refresh.retry.factor", |o| o.refresh.retry.factor = 0.5),
        ("session.refresh.retry.factor", |o| o.refresh.retry.factor = f64::NAN),
        ("session.refresh.retry.factor", |o| o.refresh.retry.factor = f64::INFINITY),
        ("session.refresh.marginFraction", |o| o.refresh.margin_fraction = 0.0),
        ("session.refresh.marginFraction", |o| o.refresh.margin_fraction = 1.0),
        ("session.refresh.marginFraction", |o| o.refresh.margin_fraction = f64::NAN),
        ("session.refresh.idempotencyHeader", |o| o.refresh.idempotency_header = Some("a b".into())),
        ("session.refresh.idempotencyHeader", |o| o.refresh.idempotency_header = Some("Host".into())),
        ("session.refresh.refusedStatuses", |o| o.refresh.refused_statuses = vec![503]),
        ("session.endpoints.login.path", |o| o.endpoints.login = Some(endpoint("https://evil.example/login"))),
        ("session.endpoints.refresh.access", |o| {
            o.endpoints.refresh = Some(Endpoint { access: "no/slash".into(), ..endpoint("/refresh") });
        }),
    ];
    for (field, change) in cases {
        assert_names(session_error(BASE, change).await, ErrorKind::InvalidOptions, field);
    }
    assert_names(session_error("", |o| o.preset = Preset::Callback).await, ErrorKind::InvalidOptions, "session.preset");
}

fn endpoint(path: &str) -> Endpoint {
    Endpoint { path: path.into(), ..Endpoint::default() }
}

#[tokio::test]
async fn s6_bad_socket_options_name_their_field() {
    let no_token = || Json::object([("type", Json::from("auth"))]);
    let cases: [(&str, Box<dyn FnOnce(&mut SocketOptions)>); 24] = [
        ("socket.subprotocols", Box::new(|o| o.subprotocols = vec!["a b".into()])),
        ("socket.subprotocols", Box::new(|o| o.subprotocols = vec![String::new()])),
        ("socket.credential.name", Box::new(|o| o.credential = Credential::Subprotocol { name: "a,b".into() })),
        ("socket.credential.parameter", Box::new(|o| o.credential = Credential::Query { parameter: String::new() })),
        ("socket.credential.name", Box::new(|o| o.credential = header("Sec-WebSocket-Key"))),
        ("socket.credential.name", Box::new(|o| o.credential = header("X-Token\r\nX-Evil"))),
        ("socket.credential.name", Box::new(|o| o.credential = Credential::Cookie { name: Some("a=b".into()) })),
        (
            "socket.credential.template",
            Box::new(move |o| o.credential = Credential::FirstMessage { template: no_token() }),
        ),
        ("socket.credential.url", Box::new(|o| o.credential = Credential::Ticket(TicketOptions::default()))),
        ("socket.credential.pointer", Box::new(|o| o.credential = ticket("ticket", "ticket"))),
        ("socket.credential.parameter", Box::new(|o| o.credential = ticket("/ticket", ""))),
        ("socket.renewal.template", Box::new(move |o| o.renewal = Renewal::InBand { template: no_token() })),
        ("socket.reconnect.delay", Box::new(|o| o.reconnect.delay.base_ms = 0)),
        ("socket.reconnect.maxAttempts", Box::new(|o| o.reconnect.max_attempts = Some(0))),
        ("socket.closeCodes", Box::new(|o| drop(o.close_codes.insert(999, freshsocket::options::CloseAction::Stop)))),
        ("socket.closeCodes", Box::new(|o| drop(o.close_codes.insert(5_000, freshsocket::options::CloseAction::Stop)))),
        ("socket.heartbeat.timeoutMs", Box::new(|o| o.heartbeat.timeout_ms = 0)),
        ("socket.connectTimeoutMs", Box::new(|o| o.connect_timeout_ms = 0)),
        ("socket.limits.maxMessageBytes", Box::new(|o| o.limits.max_message_bytes = 0)),
        ("socket.limits.receiveMessages", Box::new(|o| o.limits.receive_messages = 0)),
        ("socket.limits.receiveBytes", Box::new(|o| o.limits.receive_bytes = 0)),
        ("socket.outbox.maxMessages", Box::new(|o| o.outbox.max_messages = 0)),
        ("socket.ready", Box::new(|o| o.ready = Some(Matcher::default()))),
        ("socket.authError", Box::new(|o| o.auth_error = Some(vec![Matcher::new([("type", Json::from("x"))])]))),
    ];
    for (field, change) in cases {
        assert_names(socket_error("wss://api.example.com/ws", change).await, ErrorKind::InvalidOptions, field);
    }
}

fn header(name: &str) -> Credential {
    Credential::Header { name: name.into(), prefix: String::new() }
}

fn ticket(pointer: &str, parameter: &str) -> Credential {
    let (url, pointer, parameter) = ("/ticket".into(), pointer.into(), parameter.into());
    Credential::Ticket(TicketOptions { url, pointer, parameter, ..TicketOptions::default() })
}

#[test]
fn s6_options_that_are_not_of_the_documented_form_are_refused() {
    for text in [
        "",
        "null",
        "[]",
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
    Options::from_json(r#"{"session":{"baseUrl":"https://h"},"socket":{"url":"wss://h"}}"#).unwrap().validate().unwrap();
}

#[tokio::test]
async fn s6_malformed_tokens_of_a_server_are_opaque_and_harm_nobody() {
    let server = server(|_| {}).await;
    let long = "a".repeat(100_000);
    for access in [
        "opaque",
        "..",
        "a.b.c",
        "e30.e30.e30",
        "e30.W10.",
        "e30.bnVsbA.",
        // {"exp":1e999} {"exp":"soon"} {"exp":-5,"iat":-10} {"exp":99999999999999999999,"iat":0}
        "e30.eyJleHAiOjFlOTk5fQ.",
        "e30.eyJleHAiOiJzb29uIn0.",
        "e30.eyJleHAiOi01LCJpYXQiOi0xMH0.",
        "e30.eyJleHAiOjk5OTk5OTk5OTk5OTk5OTk5OTk5LCJpYXQiOjB9.",
        &long,
    ] {
        let body = Some(format!(r#"{{"access":"{access}","refresh":"r"}}"#));
        let fault = Fault::Status { code: 200, retry_after: None, body, content_type: None };
        server.fault(Target::Login, fault, Times::Next(1));
        let session = signed_in(&server).await;
        assert_eq!(session.ensure_valid_token().await.unwrap().expose(), access);
        let _ = (session.claims(), session.state(), session.is_token_expiring_soon(None));
        let socket = session.socket(server.ws_url()).connect().unwrap();
        // The server does not know it, nor the refresh token.
        within("the end", async {
            loop {
                let state = socket.state();
                if matches!(state, SocketState::WaitingForSession | SocketState::Backoff { .. } | SocketState::Refused { .. }) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn s6_a_token_that_cannot_stand_in_a_header_is_refused_and_not_sent() {
    let server = server(|_| {}).await;
    for access in ["line\\r\\nX-Evil: 1", "ü", "with space", "comma,comma"] {
        let body = Some(format!(r#"{{"access":"{access}"}}"#));
        let fault = Fault::Status { code: 200, retry_after: None, body, content_type: None };
        server.fault(Target::Login, fault, Times::Next(1));
        let session = signed_in(&server).await;
        for credential in [Credential::default(), header("Authorization"), Credential::Cookie { name: Some("access".into()) }] {
            let socket = session.socket(server.ws_url()).credential(credential).connect().unwrap();
            let ended = |s: &SocketState| !matches!(s, SocketState::Idle | SocketState::Authenticating | SocketState::Connecting { .. });
            socket_state(access, &socket, ended).await;
        }
    }
    assert_eq!(server.counters().ws_opened, 0);
}

/// What a server that speaks something else says, whatever is asked.
const GARBAGE: [&[u8]; 12] = [
    b"",
    b"\x00\x01\x02\x03",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello",
];

/// A server that answers every connection with this, then closes it.
async fn raw_server(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn s6_garbage_at_http_and_at_the_upgrade_is_unreachable_or_malformed() {
    let endless_head = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Header: more\r\n".repeat(50_000)].concat();
    let mock = server(|_| {}).await;
    let user = signed_in(&mock).await;
    for answer in GARBAGE.into_iter().map(<[u8]>::to_vec).chain([endless_head]) {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        let address = raw_server(answer).await;
        let session = Session::builder(format!("http://{address}")).build().await.unwrap();
        let error = within(&shown, session.login([("username", "ada"), ("password", "correct")])).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::MalformedAnswer), "{shown}: {error}");
        let socket = user.socket(format!("ws://{address}")).connect().unwrap();
        let state = socket_state(&shown, &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
        let cause = |ended: &Ended| matches!(ended, Ended::Unreachable { .. } | Ended::Http { .. } | Ended::Lost { .. });
        assert!(matches!(&state, SocketState::Backoff { cause: ended, .. } if cause(ended)), "{shown}: {state:?}");
    }
}

#[tokio::test]
async fn s6_a_server_that_never_ends_its_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            silent.push(stream);
        }
    });
    let session = Session::builder(format!("http://{address}")).session_options(|o| o.request_timeout_ms = 100);
    let session = session.build().await.unwrap();
    let error = within("login", session.login([("username", "ada"), ("password", "correct")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let socket = session.socket(format!("ws://{address}")).credential(Credential::None);
    let socket = socket.options(|o| o.connect_timeout_ms = 100).connect().unwrap();
    let state = socket_state("timed out", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    assert!(matches!(state, SocketState::Backoff { cause: Ended::TimedOut, .. }), "{state:?}");
}

#[test]
fn s6_outside_a_runtime_a_session_says_that_it_needs_one() {
    let build = std::pin::pin!(Session::builder(BASE).build());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(built) = build.poll(&mut context) else { panic!("it waits for nothing") };
    assert_eq!(built.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn w14_a_session_survives_whatever_order_it_is_used_in() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    let socket = session.socket(server.ws_url()).connect().unwrap();
    socket.disconnect().await;
    socket.disconnect().await;
    assert!(!session.logout().await.unwrap());
    assert!(!session.logout().await.unwrap());
    session.network_changed(true);
    session.network_changed(false);
    session.network_changed(true);
    socket.connect();
    freshsocket_native_tests::sign_in(&session, "ada").await;
    opened(&socket).await;
    drop(session);
    drop(socket);
    eventually("closed", || server.counters().ws_open_now == 0).await;
}
