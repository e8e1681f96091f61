//! Tokens that are none, and servers that speak something else.

use freshsocket::options::Credential;
use freshsocket::{Ended, ErrorKind, Session, SocketState};
use freshsocket_mock_server::{Fault, Target, Times};
use freshsocket_native_tests::{server, signed_in, socket_state, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

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
        let fault = Fault::Status {
            code: 200,
            retry_after: None,
            body,
            content_type: None,
        };
        server.fault(Target::Login, fault, Times::Next(1));
        let session = signed_in(&server).await;
        assert_eq!(session.ensure_valid_token().await.unwrap().expose(), access);
        let _ = (
            session.claims(),
            session.state(),
            session.is_token_expiring_soon(None),
        );
        let socket = session.socket(server.ws_url()).connect().unwrap();
        // The server does not know it, nor the refresh token.
        within("the end", async {
            loop {
                let state = socket.state();
                if matches!(
                    state,
                    SocketState::WaitingForSession
                        | SocketState::Backoff { .. }
                        | SocketState::Refused { .. }
                ) {
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
        let fault = Fault::Status {
            code: 200,
            retry_after: None,
            body,
            content_type: None,
        };
        server.fault(Target::Login, fault, Times::Next(1));
        let session = signed_in(&server).await;
        for credential in [
            Credential::default(),
            Credential::Header {
                name: "Authorization".into(),
                prefix: String::new(),
            },
            Credential::Cookie {
                name: Some("access".into()),
            },
        ] {
            let socket = session
                .socket(server.ws_url())
                .credential(credential)
                .connect()
                .unwrap();
            let ended = |s: &SocketState| {
                !matches!(
                    s,
                    SocketState::Idle | SocketState::Authenticating | SocketState::Connecting { .. }
                )
            };
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
    let endless_head = [
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        b"X-Header: more\r\n".repeat(50_000),
    ]
    .concat();
    let mock = server(|_| {}).await;
    let user = signed_in(&mock).await;
    for answer in GARBAGE.into_iter().map(<[u8]>::to_vec).chain([endless_head]) {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        let address = raw_server(answer).await;
        let session = Session::builder(format!("http://{address}"))
            .build()
            .await
            .unwrap();
        let error = within(
            &shown,
            session.login([("username", "ada"), ("password", "correct")]),
        )
        .await
        .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::MalformedAnswer),
            "{shown}: {error}"
        );
        let socket = user.socket(format!("ws://{address}")).connect().unwrap();
        let state = socket_state(&shown, &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
        let cause = |ended: &Ended| {
            matches!(
                ended,
                Ended::Unreachable { .. } | Ended::Http { .. } | Ended::Lost { .. }
            )
        };
        assert!(
            matches!(&state, SocketState::Backoff { cause: ended, .. } if cause(ended)),
            "{shown}: {state:?}"
        );
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
    let session =
        Session::builder(format!("http://{address}")).session_options(|o| o.request_timeout_ms = 100);
    let session = session.build().await.unwrap();
    let error = within(
        "login",
        session.login([("username", "ada"), ("password", "correct")]),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let socket = session
        .socket(format!("ws://{address}"))
        .credential(Credential::None);
    let socket = socket.options(|o| o.connect_timeout_ms = 100).connect().unwrap();
    let state = socket_state("timed out", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    assert!(
        matches!(
            state,
            SocketState::Backoff {
                cause: Ended::TimedOut,
                ..
            }
        ),
        "{state:?}"
    );
}
