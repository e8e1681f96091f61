//! The native client on a bad network: a fault proxy between it and the mock server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod breaks;
mod handover;
mod refresh;
mod silence;
mod slow;

use freshsocket::options::SocketOptions;
use freshsocket::{Session, SessionBuilder, Socket};
use freshsocket_mock_server::MockServer;
use freshsocket_native_tests::proxy::FaultProxy;
use freshsocket_native_tests::{builder, opened, sign_in};

/// A builder like that of the other tests, whose server is behind the proxy.
fn through(proxy: &FaultProxy, server: &MockServer) -> SessionBuilder {
    builder(server).session_options(|o| o.base_url = proxy.http_url())
}

/// A session with ada signed in.
async fn signed_in(proxy: &FaultProxy, server: &MockServer) -> Session {
    let session = through(proxy, server).build().await.unwrap();
    sign_in(&session, "ada").await;
    session
}

/// A socket through the proxy, open.
async fn open(proxy: &FaultProxy, session: &Session, change: impl FnOnce(&mut SocketOptions)) -> Socket {
    let socket = session.socket(proxy.ws_url()).options(change).connect().unwrap();
    opened(&socket).await;
    socket
}
