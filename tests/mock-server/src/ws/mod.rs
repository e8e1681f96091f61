//! WebSocket: the handshake by hand, so that every way of refusing and breaking it is at our command.

mod bench;
mod connection;
mod credential;
mod handshake;
mod hub;

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(crate) use self::hub::Hub;
pub use self::hub::{ConnectionInfo, Who};
use crate::http::{Answer, Body, Cut};
use crate::listen::Registered;
use crate::state::Shared;
use crate::stream::{FaultStream, Mode};

/// Read buffers are allocated whole: small, since tests open connections by the ten thousand.
const BUFFER: usize = 8 << 10;
/// The stack's own default, for benchmarks.
const BENCH_BUFFER: usize = 128 << 10;

/// A WebSocket of the server.
pub(crate) type Socket = WebSocketStream<FaultStream>;

/// Whether a path belongs to the WebSocket side.
pub(crate) fn is_path(path: &str) -> bool {
    matches!(path, "/ws" | "/ws-bare" | "/ws-sink") || path.starts_with("/ws/")
}

/// Answers an upgrade request, and serves the connection in its own task if it is accepted.
pub(crate) async fn upgrade(
    shared: Arc<Shared>,
    registered: Arc<Registered>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let headers = request.headers().clone();
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        let answer = Answer::empty(426).with(header::UPGRADE, "websocket");
        return Ok(answer.into_response(&shared, &headers));
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);

    if let Some(bench) = bench::Bench::of(request.uri()) {
        let config = config(&shared).read_buffer_size(BENCH_BUFFER);
        tokio::spawn(async move {
            let Some(socket) = open(upgrade, config).await else {
                return;
            };
            bench.run(socket).await;
            drop(registered);
        });
        return Ok(switching(&shared, &headers, &accept, None));
    }

    match handshake::decide(&shared, &request, &registered).await {
        handshake::Decision::Answer(answer) => Ok(answer.into_response(&shared, &headers)),
        handshake::Decision::Cut => {
            registered.switch.set(Mode::Cut);
            Err(Cut)
        }
        handshake::Decision::Open(opening) => {
            let response = switching(&shared, &headers, &accept, opening.subprotocol.as_deref());
            tokio::spawn(connection::run(
                Arc::clone(&shared),
                registered,
                upgrade,
                *opening,
            ));
            Ok(response)
        }
    }
}

/// The socket behind a finished upgrade; none if the client went away in between.
async fn open(upgrade: OnUpgrade, config: WebSocketConfig) -> Option<Socket> {
    let upgraded = upgrade
        .await
        .inspect_err(|error| tracing::debug!(%error, "upgrade not finished"))
        .ok()?;
    let parts = upgraded.downcast::<TokioIo<FaultStream>>().ok()?;
    let stream = parts.io.into_inner();
    let early = parts.read_buf.to_vec();
    Some(WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await)
}

fn config(shared: &Shared) -> WebSocketConfig {
    let max = Some(shared.settings().max_message_bytes);
    WebSocketConfig::default()
        .max_message_size(max)
        .max_frame_size(max)
        .read_buffer_size(BUFFER)
}

fn switching(
    shared: &Shared,
    request: &http::HeaderMap,
    accept: &str,
    subprotocol: Option<&str>,
) -> Response<Body> {
    let mut response = Answer::empty(101).into_response(shared, request);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let values = [
        (header::SEC_WEBSOCKET_ACCEPT, Some(accept)),
        (header::SEC_WEBSOCKET_PROTOCOL, subprotocol),
    ];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}
