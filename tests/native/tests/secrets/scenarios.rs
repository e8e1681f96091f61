//! The scenarios: each gives the secrets that it used.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use freshsocket::options::{Credential, Endpoint, Endpoints, Method, Preset, Renewal, TicketOptions};
use freshsocket::{
    FileStore, Json, Session, SessionBuilder, Socket, SocketState, Store as _, TokenAnswer, TokenGrant,
};
use freshsocket_mock_server::{AuthMode, Dialect, Fault, MockServer, Refusal, Target, Times};
use freshsocket_native_tests::{builder, echo, opened, seen, session_state, socket_state, within};

use crate::net::{PASSWORD, follow, note, note_result, server};

async fn sign_in(session: &Session) {
    let signed_in = within(
        "sign-in",
        session.login([("username", "ada"), ("password", PASSWORD)]),
    )
    .await;
    note_result(&signed_in);
    signed_in.unwrap();
}

async fn start(builder: SessionBuilder) -> Session {
    note(&builder);
    let session = builder.build().await.unwrap();
    follow(&session, None);
    sign_in(&session).await;
    session
}

/// Connects; the caller waits for what is to come of it.
fn connect(session: &Session, url: String, credential: Credential) -> Socket {
    let builder = session
        .socket(url)
        .credential(credential)
        .options(|o| o.auto_connect = false);
    note(&builder);
    let socket = builder.connect().unwrap();
    follow(session, Some(&socket));
    socket.connect();
    socket
}

async fn me(server: &MockServer, session: &Session) {
    let http = session.http();
    let answer = http
        .send(http.client().get(format!("{}/api/me", server.http_url())))
        .await;
    note_result(&answer);
}

async fn refresh(server: &MockServer, session: &Session) {
    server.expire_tokens();
    me(server, session).await;
    note(&session.ensure_valid_token().await);
}

fn ticket() -> Credential {
    let url = "/api/ws-ticket".into();
    Credential::Ticket(TicketOptions {
        method: Method::Post,
        url,
        ..TicketOptions::default()
    })
}

fn all_placements() -> Vec<Credential> {
    let template = Json::object([("type", Json::from("auth")), ("token", Json::from("{token}"))]);
    vec![
        Credential::default(),
        Credential::Query {
            parameter: "token".into(),
        },
        Credential::Header {
            name: "Authorization".into(),
            prefix: "Bearer ".into(),
        },
        Credential::Cookie {
            name: Some("access".into()),
        },
        Credential::FirstMessage { template },
        ticket(),
    ]
}

pub(crate) async fn placements() -> Vec<String> {
    let mut secrets = Vec::new();
    for credential in all_placements() {
        let server = server(|_| {}).await;
        if matches!(credential, Credential::FirstMessage { .. }) {
            server.set(|s| s.auth_mode = AuthMode::FirstMessage);
        }
        let session = start(builder(&server)).await;
        let socket = connect(&session, server.ws_url(), credential.clone());
        // By the server's account: it reads a first message after the client is open.
        seen("open", &server, |s| s.counters.ws_opened == 1).await;
        refresh(&server, &session).await;
        seen("the handover", &server, |s| s.counters.ws_opened >= 2).await;
        server.cut_all();
        seen("the reconnect", &server, |s| s.counters.ws_opened >= 3).await;
        // Refused, refused again, unreachable, gone.
        server.fault(
            Target::Ws,
            Fault::RefuseUpgrade {
                status: 401,
                retry_after: None,
            },
            Times::Next(2),
        );
        server.close_all(Some(4401), "");
        socket_state("refused", &socket, |s| matches!(s, SocketState::Refused { .. })).await;
        note_result(&socket.send("x").await);
        server.stop_listening();
        socket.connect();
        socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
        note_result(&session.verify().await);
        note_result(&session.logout().await);
        secrets.extend(server.tokens_issued());
    }
    secrets
}

pub(crate) async fn renewals() -> Vec<String> {
    let template = Json::object([("type", Json::from("auth")), ("token", Json::from("{token}"))]);
    let mut secrets = Vec::new();
    for renewal in [
        Renewal::Handover,
        Renewal::InBand { template, ack: None },
        Renewal::Reconnect,
        Renewal::Keep,
    ] {
        let server = server(|s| (s.renewal_refusal_close_code, s.echo) = (Some(4401), true)).await;
        let session = start(builder(&server)).await;
        let mut socket = session
            .socket(server.ws_url())
            .renewal(renewal.clone())
            .connect()
            .unwrap();
        follow(&session, Some(&socket));
        opened(&socket).await;
        refresh(&server, &session).await;
        opened(&socket).await;
        if renewal == Renewal::Keep {
            echo(&mut socket, "hello").await;
        }
        session.close().await;
        note_result(&session.ensure_valid_token().await);
        secrets.extend(server.tokens_issued());
    }
    secrets
}

pub(crate) async fn refusals() -> Vec<String> {
    let mut secrets = Vec::new();
    for refusal in [
        Refusal::Http { status: 403 },
        Refusal::Close {
            code: Some(1008),
            reason: "expired".into(),
        },
        Refusal::Message {
            code: None,
            reason: String::new(),
        },
    ] {
        let server = server(|s| s.refusal = refusal).await;
        let session = start(builder(&server)).await;
        server.expire_tokens();
        let socket = connect(&session, server.ws_url(), Credential::default());
        seen("open", &server, |s| s.counters.ws_opened == 1).await;
        opened(&socket).await;
        // The user is thrown out.
        server.revoke_user("ada");
        refresh(&server, &session).await;
        session_state("signed out", &session, |s| !s.is_signed_in()).await;
        note_result(&socket.send("x").await);
        note_result(&session.login([("username", "ada"), ("password", "wrong")]).await);
        secrets.extend(server.tokens_issued());
    }
    secrets
}

/// A server that says a token back to whom it refuses: in every place of an error where servers put words.
pub(crate) async fn bad_answers() -> Vec<String> {
    let mut secrets = Vec::new();
    let places = [
        "detail",
        "message",
        "error",
        "error_description",
        "code",
        "access",
        "ticket",
    ];
    for place in places {
        for status in [200, 400, 401, 403, 429, 500] {
            let server = server(|_| {}).await;
            let session = start(builder(&server)).await;
            let tokens = server.tokens_issued().join(" ");
            let says = |code: u16, words: &str| {
                let body = serde_json::json!({ place: format!("bad token: {words}") }).to_string();
                Fault::Status {
                    code,
                    retry_after: None,
                    body: Some(body),
                    content_type: Some("application/json".into()),
                }
            };
            server.fault(Target::Ws, says(status, &tokens), Times::Next(1));
            server.fault(Target::Ticket, says(status, &tokens), Times::Next(1));
            server.fault(Target::Verify, says(status, &tokens), Times::Next(1));
            let socket = connect(&session, server.ws_url(), ticket());
            note_result(&session.verify().await);
            server.fault(Target::Refresh, says(status, &tokens), Times::Next(1));
            server.fault(
                Target::Login,
                says(status, &format!("{tokens} {PASSWORD}")),
                Times::Next(1),
            );
            refresh(&server, &session).await;
            note_result(&session.login([("username", "ada"), ("password", PASSWORD)]).await);
            drop(socket);
            secrets.extend(server.tokens_issued());
        }
    }
    for fault in [
        Fault::Malformed,
        Fault::Html { status: 401 },
        Fault::DropAnswer,
        Fault::DelayAnswer { ms: 5_000 },
        Fault::HugeBody { bytes: 2 << 20 },
        Fault::Redirect {
            to: "http://127.0.0.1:9/elsewhere".into(),
            status: 307,
        },
    ] {
        let server = server(|s| s.honour_idempotency_key = true).await;
        let short = builder(&server).session_options(|o| o.request_timeout_ms = 300);
        let session = start(short).await;
        server.fault(Target::Http, fault, Times::Next(4));
        refresh(&server, &session).await;
        note_result(&session.verify().await);
        secrets.extend(server.tokens_issued());
    }
    secrets
}

pub(crate) async fn stores() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let server = server(|_| {}).await;
    let store = FileStore::new(&file);
    let session = start(builder(&server).store(store.clone())).await;
    note(&(&store, store.load().await));
    refresh(&server, &session).await;
    session.close().await;
    let restored = builder(&server).store(store.clone()).build().await.unwrap();
    follow(&restored, None);
    restored.close().await;
    // Damaged in the middle of a token, and not readable at all.
    let text = std::fs::read_to_string(&file).unwrap();
    for damage in [
        text.replacen('.', "\u{1}", 1),
        text[..text.len() / 2].to_owned(),
        text.replace(':', " "),
    ] {
        std::fs::write(&file, damage).unwrap();
        note_result(&store.load().await);
        std::fs::write(&file, &text[..text.len() - 9]).unwrap();
        let damaged = builder(&server).store(store.clone()).build().await.unwrap();
        follow(&damaged, None);
        sign_in(&damaged).await;
    }
    let blocked = builder(&server).store(FileStore::new(file.join("below-a-file")));
    drop(start(blocked).await);
    server.tokens_issued()
}

pub(crate) async fn callbacks() -> Vec<String> {
    let server = server(|_| {}).await;
    let issuer = server.clone();
    let asked = Arc::new(Mutex::new(0));
    let session = builder(&server).token_callback(move |request| {
        note(&request);
        let turn = {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        let token = issuer.issue_access_token("ada", Duration::from_secs(60));
        async move {
            match turn {
                1 => panic!("a panic of the application's"),
                2 => Err(std::io::Error::other("an error of the application's")),
                _ => {
                    let answer = TokenAnswer::Token {
                        access: token.as_str().into(),
                        expires_in_ms: None,
                    };
                    note(&answer);
                    Ok(answer)
                }
            }
        }
    });
    note(&session);
    let session = session.build().await.unwrap();
    follow(&session, None);
    session_state("active", &session, |s| s.name() == "active").await;
    let _subscription = session.on_token_refresh(|token| {
        note(&token);
        panic!("a panic of the application's, with {token:?}");
    });
    let socket = connect(&session, server.ws_url(), Credential::default());
    opened(&socket).await;
    refresh(&server, &session).await;
    server.tokens_issued()
}

pub(crate) async fn other_presets() -> Vec<String> {
    let server = server(|s| (s.opaque_tokens, s.dialect) = (true, Dialect::Node)).await;
    let node = start(builder(&server).preset(Preset::NodeJwt)).await;
    note_result(
        &node
            .login([("email", "ada@example.com"), ("password", PASSWORD)])
            .await,
    );
    refresh(&server, &node).await;
    let at = |path: &str| {
        Some(Endpoint {
            path: path.into(),
            ..Endpoint::default()
        })
    };
    let verify = Some(Endpoint {
        method: Method::Get,
        path: "/cookie/me".into(),
        ..Endpoint::default()
    });
    let endpoints = Endpoints {
        login: at("/cookie/login"),
        refresh: at("/cookie/refresh"),
        verify,
        logout: at("/cookie/logout"),
    };
    note(&endpoints);
    let cookie = start(builder(&server).preset(Preset::Cookie).endpoints(endpoints)).await;
    let socket = connect(&cookie, server.ws_url(), Credential::Cookie { name: None });
    opened(&socket).await;
    note_result(&cookie.verify().await);
    note_result(&cookie.logout().await);
    let pair = server.issue_session("ada");
    let grant = TokenGrant {
        access: pair.access.as_str().into(),
        refresh: Some(pair.refresh.as_str().into()),
        expires_in_ms: Some(60_000),
        user: None,
    };
    note(&grant);
    let adopted = builder(&server).build().await.unwrap();
    note_result(&adopted.adopt(grant).await);
    server.tokens_issued()
}

/// Tokens where the application should not have put them: in the query of its own URLs.
pub(crate) async fn wrong_places() -> Vec<String> {
    let server = server(|_| {}).await;
    let session = start(builder(&server)).await;
    let token = session.ensure_valid_token().await.unwrap();
    let token = token.expose();
    let bad_urls = [
        format!("{}?token={token}#{token}", server.ws_url()),
        format!("wss://ada:{token}@example.com/"),
        format!("ws://example.com/?token={token}"),
        format!("ftp://example.com/?token={token}"),
        format!("not a url {token}"),
    ];
    for url in &bad_urls {
        let refused = session.socket(url).connect();
        note_result(&refused);
        assert!(refused.is_err(), "{url}");
    }
    let at = connect(
        &session,
        format!("{}?token={token}", server.ws_url()),
        Credential::None,
    );
    opened(&at).await;
    server.stop_listening();
    socket_state("backoff", &at, |s| matches!(s, SocketState::Backoff { .. })).await;
    let http = session.http();
    for url in [
        format!("{}/api/me?token={token}", server.http_url()),
        format!("http://127.0.0.1:9/?token={token}"),
    ] {
        note_result(&http.send(http.client().get(&url)).await);
    }
    for base in [
        format!("http://example.com/?token={token}"),
        format!("https://u:{token}@example.com"),
    ] {
        let builder = Session::builder(base);
        note(&builder);
        note_result(&builder.build().await);
    }
    server.tokens_issued()
}
