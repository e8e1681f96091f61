//! Calls at the wrong place or in an odd order.

use freshsocket::{ErrorKind, Session};
use freshsocket_native_tests::{builder, eventually, opened, server, sign_in};

#[test]
fn s6_outside_a_runtime_a_session_says_that_it_needs_one() {
    let build = std::pin::pin!(Session::builder("https://api.example.com").build());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(built) = build.poll(&mut context) else {
        panic!("it waits for nothing")
    };
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
    sign_in(&session, "ada").await;
    opened(&socket).await;
    drop(session);
    drop(socket);
    eventually("closed", || server.counters().ws_open_now == 0).await;
}
