//! From a URL to a byte stream: name lookup, happy eyeballs (RFC 8305), TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::io::ConnectFailure;
use crate::options::Url;

/// How long an attempt at one address may be the only one under way (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The byte stream below a WebSocket.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(TcpStream),
    /// Boxed: a TLS session is a kilobyte, and most of an idle plain connection would be room for it.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to the host of a `ws` or `wss` URL. What it says on failure holds nothing of the URL but host and port.
pub(crate) async fn dial(url: &str, tls: &Arc<rustls::ClientConfig>) -> Result<Transport, ConnectFailure> {
    let target = Target::parse(url)?;
    let found = tokio::net::lookup_host((target.host, target.port)).await;
    let addresses = found.map_err(|error| unreachable(format!("looking up {}: {error}", target.host)))?;
    let stream = connect_any(interleaved(addresses.collect())).await?;
    // Small messages must not wait for the acknowledgement of earlier ones. A failure costs latency, nothing else.
    let _ = stream.set_nodelay(true);
    if !target.secure {
        return Ok(Transport::Plain(stream));
    }
    let name = rustls::pki_types::ServerName::try_from(target.host.to_owned())
        .map_err(|_| unreachable(format!("{} is not a name that TLS can check", target.host)))?;
    let secured = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    let stream = secured.map_err(|error| unreachable(format!("TLS with {}: {error}", target.host)))?;
    Ok(Transport::Tls(Box::new(stream)))
}

pub(crate) fn unreachable(detail: impl Into<String>) -> ConnectFailure {
    ConnectFailure::Unreachable {
        detail: detail.into(),
    }
}

impl Transport {
    /// Ready when bytes may have come. Cheaper than reading, because no buffer is needed to ask. For TLS it is only
    /// right after a read that found nothing: what the session holds decrypted is not looked at.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.get_ref().0.poll_read_ready(cx),
        }
    }

    /// Whether bytes that were written may still lie in this process, until a flush.
    pub(crate) fn buffers(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Transport {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

struct Target<'a> {
    /// Without the brackets of an IPv6 literal.
    host: &'a str,
    port: u16,
    secure: bool,
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> Result<Self, ConnectFailure> {
        let url = Url::parse(url).ok_or_else(|| unreachable("the URL is not one of a WebSocket"))?;
        let secure = match url.scheme {
            scheme if scheme.eq_ignore_ascii_case("wss") => true,
            scheme if scheme.eq_ignore_ascii_case("ws") => false,
            _ => return Err(unreachable("the URL's scheme is neither ws nor wss")),
        };
        let host = url.host();
        let port = url.authority[host.len()..]
            .strip_prefix(':')
            .and_then(|port| port.parse().ok());
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']'),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            secure,
        })
    }
}

/// The addresses with the two families in turn, beginning with the family that the resolver prefers.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut mixed = Vec::with_capacity(preferred.len() + other.len());
    for address in preferred {
        mixed.push(address);
        mixed.extend(other.next());
    }
    mixed.extend(other);
    mixed
}

/// The first connection that comes about; the others are dropped. The next address is tried when the one before has
/// failed, or has not answered for a while.
async fn connect_any(addresses: Vec<SocketAddr>) -> Result<TcpStream, ConnectFailure> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut first_failure = None;
    loop {
        let more = waiting
            .next()
            .map(|address| attempts.push(connect_one(address)))
            .is_some();
        if attempts.is_empty() {
            return Err(first_failure.unwrap_or_else(|| unreachable("the name has no address")));
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                // The first address is the one that should have worked: its failure says most.
                Err(failure) => first_failure = first_failure.or(Some(failure)),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

async fn connect_one(address: SocketAddr) -> Result<TcpStream, ConnectFailure> {
    TcpStream::connect(address)
        .await
        .map_err(|error| unreachable(format!("connecting to {address}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_literals() {
        let of = |url| {
            Target::parse(url)
                .map(|t| (t.host.to_owned(), t.port, t.secure))
                .unwrap()
        };
        assert_eq!(of("ws://h"), ("h".into(), 80, false));
        assert_eq!(of("wss://h/p?q"), ("h".into(), 443, true));
        assert_eq!(of("wss://[::1]:9/"), ("::1".into(), 9, true));
        assert!(Target::parse("http://h").is_err());
    }

    #[test]
    fn families_take_turns() {
        let parse =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        let given = parse(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]);
        assert_eq!(
            interleaved(given),
            parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_stop_the_attempt() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refused = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        assert!(connect_any(vec![refused, good]).await.is_ok());
        let failure = connect_any(vec![refused]).await.unwrap_err();
        assert!(format!("{failure:?}").contains("refused"), "{failure:?}");
    }
}
