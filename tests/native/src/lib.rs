//! What the native tests share: a session against the mock server, and waiting for states with a deadline.

use std::time::Duration;

use freshsocket::{Session, SessionBuilder};
use freshsocket_mock_server::{MockServer, Settings};

/// Nothing in these tests takes longer than this; what does, hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A mock server with these settings.
pub async fn server(change: impl FnOnce(&mut Settings)) -> MockServer {
    let server = MockServer::start().await.expect("the mock server starts");
    server.set(change);
    server
}

/// A builder for a session with this server that retries quickly.
pub fn builder(server: &MockServer) -> SessionBuilder {
    Session::builder(server.http_url())
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
    session.login([("username", "ada"), ("password", "correct")]).await.expect("ada signs in");
    session
}

/// The future's outcome, or a failed test after the deadline.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}
