//! What the native tests share: a session against the mock server, and waiting for states with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

pub mod proxy;
pub mod redis;
pub mod rotation;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freshsocket::{
    Changes, Session, SessionBuilder, SessionState, Socket, SocketEvent, SocketHandle, SocketState,
    TokenGrant,
};
use freshsocket_mock_server::{Counters, Kind, MockServer, Record, Settings, Snapshot};

/// Nothing in these tests takes longer than this; what does, hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A mock server with these settings.
pub async fn server(change: impl FnOnce(&mut Settings)) -> MockServer {
    let server = MockServer::start().await.expect("the mock server starts");
    server.set(change);
    server
}

/// A builder for a session with this server that retries quickly. Seeded, because full jitter may draw no delay at all,
/// and then there is no `Backoff` to be seen.
pub fn builder(server: &MockServer) -> SessionBuilder {
    Session::builder(server.http_url())
        .seed(5)
        .session_options(|o| {
            o.refresh.retry.base_ms = 50;
            o.refresh.retry.cap_ms = 200;
        })
        .socket_options(|o| {
            o.reconnect.delay.base_ms = 50;
            o.reconnect.delay.cap_ms = 200;
        })
}

/// A session with ada signed in.
pub async fn signed_in(server: &MockServer) -> Session {
    let session = builder(server).build().await.expect("the session builds");
    sign_in(&session, "ada").await;
    session
}

/// Signs a user in at the simple-JWT endpoints.
pub async fn sign_in(session: &Session, user: &str) {
    let credentials = [("username", user), ("password", "correct")];
    within("sign-in", session.login(credentials))
        .await
        .expect("the user signs in");
}

/// A session of ada's whose tokens are opaque, with this much life left of the first, refreshed only when needed.
pub async fn supplied(server: &MockServer, builder: SessionBuilder, life: Duration) -> Session {
    server.set(|s| s.opaque_tokens = true);
    let session = builder
        .session_options(|o| o.refresh.proactive = false)
        .build()
        .await
        .expect("the session builds");
    let pair = server.issue_session("ada");
    let tokens = TokenGrant {
        access: pair.access.as_str().into(),
        refresh: Some(pair.refresh.as_str().into()),
        expires_in_ms: u64::try_from(life.as_millis()).ok(),
        user: None,
    };
    session.adopt(tokens).await.expect("the tokens are adopted");
    session
}

/// A session of ada's whose token has just expired, refreshed only when needed.
pub async fn expired(server: &MockServer, builder: SessionBuilder) -> Session {
    let session = supplied(server, builder, Duration::from_millis(1)).await;
    // The fast path looks at a clock that is up to a scheduler's tick late.
    let sure = Instant::now() + Duration::from_millis(25);
    let is_expired = || session.is_token_expiring_soon(Some(Duration::ZERO)) && Instant::now() > sure;
    eventually("expiry", is_expired).await;
    session
}

/// Makes the session refresh: the server calls its token expired, and a request of the application finds out.
pub async fn force_refresh(server: &MockServer, session: &Session) {
    server.expire_tokens();
    let http = session.http();
    let request = http.client().get(format!("{}/api/me", server.http_url()));
    let answer = within("the request after expiry", http.send(request))
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
}

/// A socket to this server, open.
pub async fn open_socket(server: &MockServer, session: &Session) -> Socket {
    let socket = session
        .socket(server.ws_url())
        .connect()
        .expect("the socket is made");
    opened(&socket).await;
    socket
}

/// Waits until the socket is open.
pub async fn opened(socket: &SocketHandle) {
    socket_state("open", socket, SocketState::is_open).await;
}

/// Waits for a state of the socket.
pub async fn socket_state(
    what: &str,
    socket: &SocketHandle,
    wanted: impl FnMut(&SocketState) -> bool,
) -> SocketState {
    within(what, socket.wait_for(wanted))
        .await
        .expect("the client is there")
}

/// Waits for a state of the session.
pub async fn session_state(
    what: &str,
    session: &Session,
    mut wanted: impl FnMut(&SessionState) -> bool,
) -> SessionState {
    next_where(what, &mut session.states(), |state| wanted(state)).await
}

/// Waits for an entry of a stream, passing over the others.
pub async fn next_where<T>(what: &str, changes: &mut Changes<T>, mut wanted: impl FnMut(&T) -> bool) -> T {
    let found = async {
        loop {
            let entry = changes.next().await.expect("the client is there");
            if wanted(&entry) {
                return entry;
            }
        }
    };
    within(what, found).await
}

/// Waits until the server has seen this.
pub async fn seen(
    what: &str,
    server: &MockServer,
    holds: impl Fn(&Snapshot<'_>) -> bool + Send + Sync,
) -> Counters {
    match server.wait_for(holds, DEADLINE).await {
        Ok(counters) => counters,
        Err(timeout) => panic!("{what}: {timeout}"),
    }
}

/// The server's records of this kind.
pub fn records(server: &MockServer, kind: Kind) -> Vec<Record> {
    server
        .records()
        .into_iter()
        .filter(|record| record.is(kind))
        .collect()
}

/// The token numbers of the attempts up to the next one that succeeds.
pub async fn attempts_until_open(events: &mut Changes<SocketEvent>) -> Vec<u64> {
    let mut tokens = Vec::new();
    let all = async {
        loop {
            match events.next().await.expect("the client is there") {
                SocketEvent::Attempt { token, .. } => tokens.push(token),
                SocketEvent::Opened { .. } => return,
                _ => {}
            }
        }
    };
    within("open", all).await;
    tokens
}

/// What happens on the socket from now on.
pub fn events(socket: &SocketHandle) -> Changes<SocketEvent> {
    // The first to subscribe also hears what came before.
    drop(socket.events());
    socket.events()
}

/// Cuts every connection of the server, and waits until this socket knows.
pub async fn cut(server: &MockServer, socket: &SocketHandle) {
    let mut events = events(socket);
    server.cut_all();
    next_where("the end", &mut events, |event| {
        matches!(event, SocketEvent::Ended { .. })
    })
    .await;
}

/// Sends a text and waits for it to come back.
pub async fn echo(socket: &mut Socket, text: &str) {
    let sending = within("send", socket.send(text)).await.expect("it is taken");
    within("sent", sending.sent()).await.expect("it is sent");
    assert_eq!(next_text(socket).await, text);
}

/// The next message, a text.
pub async fn next_text(socket: &mut Socket) -> String {
    let message = within("a message", socket.next())
        .await
        .expect("not the end")
        .expect("no error");
    message.as_text().expect("a text").to_owned()
}

/// Waits until this holds, for what nobody announces.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let all = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(what, all).await;
}

/// The future's outcome, or a failed test after the deadline.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(outcome) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("not within {DEADLINE:?}: {what}")
    };
    outcome
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 500,000,000")
}

/// A number of kilobytes from `/proc/self/status` (`VmHWM`, `VmRSS`).
pub fn memory_kb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .expect("a known field");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse().ok())
        .expect("a number")
}
