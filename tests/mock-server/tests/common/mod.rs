//! A small HTTP client and a WebSocket client, to look at the server from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use bytes::Bytes;
use freshsocket_mock_server::{Counters, Message, MockServer, Snapshot};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Long enough for anything that is going to happen at all.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A whole HTTP answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    }
}

/// One request on a connection of its own; an error if the connection broke before the answer was whole.
pub(crate) async fn request(
    server: &MockServer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Got, Box<dyn std::error::Error>> {
    let response =
        tokio::time::timeout(DEADLINE, respond(server, method, path, headers, body.into())).await??;
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(DEADLINE, body.collect()).await??.to_bytes();
    Ok(Got {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}

async fn respond(
    server: &MockServer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Response<hyper::body::Incoming>, Box<dyn std::error::Error>> {
    let tcp = TcpStream::connect(server.addr()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", server.addr().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(sender.send_request(request.body(Full::new(body))?).await?)
}

pub(crate) async fn post(server: &MockServer, path: &str, body: Value) -> Got {
    request(server, "POST", path, &[], body.to_string())
        .await
        .expect("an answer")
}

pub(crate) async fn get(server: &MockServer, path: &str, headers: &[(&str, &str)]) -> Got {
    request(server, "GET", path, headers, "")
        .await
        .expect("an answer")
}

pub(crate) async fn login(server: &MockServer, user: &str) -> Got {
    post(
        server,
        "/api/auth/login/",
        json!({ "username": user, "password": "pass" }),
    )
    .await
}

pub(crate) async fn refresh(server: &MockServer, token: &str) -> Got {
    post(server, "/api/auth/token/refresh/", json!({ "refresh": token })).await
}

pub(crate) type Client = WebSocketStream<TcpStream>;

/// Opens a WebSocket; gives the handshake's response along.
pub(crate) async fn connect(
    server: &MockServer,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(Client, HeaderMap), Error> {
    let mut request = format!("ws://{}{path}", server.addr()).into_client_request()?;
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a header name");
        request
            .headers_mut()
            .append(name, value.parse().expect("a header value"));
    }
    let tcp = TcpStream::connect(server.addr()).await?;
    let (client, response) = tokio::time::timeout(DEADLINE, client_async(request, tcp))
        .await
        .expect("in time")?;
    Ok((client, response.headers().clone()))
}

/// Opens a WebSocket as a user, by the subprotocol pair.
pub(crate) async fn open(server: &MockServer, user: &str) -> Client {
    let token = server.issue_access_token(user, Duration::from_secs(60));
    connect(
        server,
        "/ws",
        &[("sec-websocket-protocol", &format!("access_token, {token}"))],
    )
    .await
    .expect("open")
    .0
}

/// The next text message.
pub(crate) async fn text(client: &mut Client) -> String {
    loop {
        match next(client).await {
            Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("no text, but {other:?}"),
        }
    }
}

pub(crate) async fn say(client: &mut Client, text: &str) {
    client.send(Message::text(text)).await.expect("sent");
}

/// How the connection ended, as a browser would put it: the code of the close frame, 1005 for none in it,
/// 1006 for no frame.
pub(crate) async fn ended(client: &mut Client) -> (u16, String) {
    let end = loop {
        match next(client).await {
            Some(Ok(Message::Close(Some(frame)))) => {
                break (frame.code.into(), frame.reason.as_str().to_owned());
            }
            Some(Ok(Message::Close(None))) => break (1005, String::new()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return (1006, String::new()),
        }
    };
    // Reading on answers the close.
    while let Some(Ok(_)) = next(client).await {}
    end
}

/// The status that refused a handshake.
pub(crate) fn refusal<T>(result: Result<T, Error>) -> (u16, HeaderMap) {
    match result {
        Err(Error::Http(response)) => (response.status().as_u16(), response.headers().clone()),
        Err(other) => panic!("no HTTP refusal, but {other:?}"),
        Ok(_) => panic!("no refusal"),
    }
}

pub(crate) async fn until(
    server: &MockServer,
    holds: impl Fn(&Snapshot<'_>) -> bool + Send + Sync,
) -> Counters {
    server.wait_for(holds, DEADLINE).await.expect("in time")
}

async fn next(client: &mut Client) -> Option<Result<Message, Error>> {
    tokio::time::timeout(DEADLINE, client.next())
        .await
        .expect("something in time")
}
