//! The HTTP upgrade (RFC 6455, section 4.1).
//!
//! Done here and not by tungstenite, whose client logs the whole request, with the token in it, at trace level.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tungstenite::handshake::{client::generate_key, derive_accept_key};
use zeroize::Zeroizing;

use super::dial::{Transport, unreachable};
use crate::io::{ConnectFailure, ConnectRequest};
use crate::options::Url;
use crate::secret::Secret;

/// The longest answer head that is read, and the most header fields in it.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_FIELDS: usize = 64;

/// An accepted upgrade.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) transport: Transport,
    /// What came behind the answer's head: the beginning of the WebSocket stream.
    pub(crate) leftover: Vec<u8>,
    /// The subprotocol that the server selected. It may be any of those offered, the credential among them.
    pub(crate) subprotocol: Option<String>,
}

/// Asks the server at the other end of `transport` for a WebSocket.
pub(crate) async fn upgrade(
    mut transport: Transport,
    request: &ConnectRequest,
) -> Result<Upgraded, ConnectFailure> {
    let key = generate_key();
    let head = request_head(request, &key)?;
    let written = async {
        transport.write_all(&head).await?;
        transport.flush().await
    };
    written
        .await
        .map_err(|error| unreachable(format!("writing the upgrade request: {error}")))?;
    drop(head);

    let (answer, leftover) = read_answer(&mut transport).await?;
    tracing::debug!(status = answer.status, "upgrade answered");
    let subprotocol = answer.accepted(&key, &request.subprotocols)?;
    Ok(Upgraded {
        transport,
        leftover,
        subprotocol,
    })
}

/// The request, in memory that is wiped. It is made in one piece of the right size, because growing would leave copies.
fn request_head(request: &ConnectRequest, key: &str) -> Result<Zeroizing<Vec<u8>>, ConnectFailure> {
    let url =
        Url::parse(request.url.expose()).ok_or_else(|| unreachable("the URL is not one of a WebSocket"))?;
    let path = url.path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut pieces = vec!["GET ", slash, path, " HTTP/1.1\r\nHost: ", url.authority];
    pieces.extend([
        "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        key,
        "\r\n",
    ]);
    for (index, subprotocol) in request.subprotocols.iter().enumerate() {
        let name = subprotocol.expose();
        // A list is what it stands in: with a comma or a space one name would be read as two.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
            return Err(unreachable(
                "a subprotocol (or a token sent as one) has characters that none may have",
            ));
        }
        pieces.extend([
            if index == 0 {
                "Sec-WebSocket-Protocol: "
            } else {
                ", "
            },
            name,
        ]);
    }
    if !request.subprotocols.is_empty() {
        pieces.push("\r\n");
    }
    for (name, value) in &request.headers {
        let value = value.expose();
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(unreachable("a header's name has characters that none may have"));
        }
        if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(unreachable(format!(
                "the value of the header {name} has a line break or NUL in it"
            )));
        }
        pieces.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    pieces.push("\r\n");
    Ok(Zeroizing::new(pieces.concat().into_bytes()))
}

/// What matters of the answer's head.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    retry_after: Option<String>,
    upgrade: Vec<String>,
    connection: Vec<String>,
    accept: Vec<String>,
    subprotocols: Vec<String>,
    extensions: bool,
}

async fn read_answer(transport: &mut Transport) -> Result<(Answer, Vec<u8>), ConnectFailure> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let start = head.len();
        let room = (LONGEST_HEAD - start) as u64;
        if room == 0 {
            return Err(unreachable("the answer to the upgrade is too long to be one"));
        }
        let mut limited = (&mut *transport).take(room);
        let read = limited.read_buf(&mut head).await;
        let read =
            read.map_err(|error| unreachable(format!("reading the answer to the upgrade: {error}")))?;
        if read == 0 {
            return Err(unreachable(
                "the server closed the connection without an answer to the upgrade",
            ));
        }
        // A head ends with a line end; asking only then keeps a server that sends single bytes from costing much.
        if !head[start..].contains(&b'\n') {
            continue;
        }
        if let Some((answer, length)) = Answer::parse(&head)? {
            return Ok((answer, head.split_off(length)));
        }
    }
}

impl Answer {
    /// The answer and its head's length; `None` when the head is not complete.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ConnectFailure> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut fields);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => {
                return Err(unreachable(format!(
                    "the answer to the upgrade is not HTTP: {error}"
                )));
            }
        };
        let mut answer = Self {
            status: parsed.code.unwrap_or_default(),
            ..Self::default()
        };
        for field in &*parsed.headers {
            let value = String::from_utf8_lossy(field.value).trim().to_owned();
            match field.name.to_ascii_lowercase().as_str() {
                "retry-after" => answer.retry_after = Some(value),
                "upgrade" => answer.upgrade.push(value),
                "connection" => answer.connection.push(value),
                "sec-websocket-accept" => answer.accept.push(value),
                "sec-websocket-protocol" => answer.subprotocols.push(value),
                "sec-websocket-extensions" => answer.extensions |= !value.is_empty(),
                _ => {}
            }
        }
        Ok(Some((answer, length)))
    }

    /// The subprotocol, if this answer accepts the upgrade that was asked for.
    fn accepted(self, key: &str, offered: &[Secret]) -> Result<Option<String>, ConnectFailure> {
        if self.status != 101 {
            return Err(ConnectFailure::Http {
                status: self.status,
                retry_after: self.retry_after,
            });
        }
        if !lists(&self.upgrade, "websocket") || !lists(&self.connection, "upgrade") {
            return Err(unreachable(
                "the answer to the upgrade is no upgrade to a WebSocket",
            ));
        }
        if self.accept != [derive_accept_key(key.as_bytes())] {
            return Err(unreachable(
                "the answer to the upgrade answers another request (Sec-WebSocket-Accept)",
            ));
        }
        if self.extensions {
            return Err(unreachable("the server chose an extension, and none was offered"));
        }
        match self.subprotocols.as_slice() {
            // Many servers that take the token from the list select nothing. Browsers insist; there is no need here.
            [] => Ok(None),
            [one] if offered.iter().any(|name| name.expose() == one) => Ok(Some(one.clone())),
            _ => Err(unreachable(
                "the server selected a subprotocol that was not offered",
            )),
        }
    }
}

/// Whether `token` stands in one of these comma-separated lists.
fn lists(values: &[String], token: &str) -> bool {
    values
        .iter()
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// RFC 7230 `tchar`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
