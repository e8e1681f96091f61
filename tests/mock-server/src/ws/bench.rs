//! Two bare endpoints for benchmarks: no credential, no records, as fast as the stack goes.

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use http::Uri;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Socket;

/// What a benchmark connection does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bench {
    /// `/ws-bare`: echoes.
    Echo,
    /// `/ws-sink?count=N&size=S`: sends N binary messages of S bytes, then closes without a code.
    Blast { count: u64, size: usize },
}

impl Bench {
    /// The benchmark a path asks for, if it is one.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let parameter = |name: &str| {
            let query = uri.query().unwrap_or_default();
            form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        match uri.path() {
            "/ws-bare" => Some(Self::Echo),
            "/ws-sink" => Some(Self::Blast {
                count: parameter("count")
                    .and_then(|value| value.parse().ok())
                    .unwrap_or(1000),
                size: parameter("size")
                    .and_then(|value| value.parse().ok())
                    .unwrap_or(64),
            }),
            _ => None,
        }
    }

    pub(crate) async fn run(self, socket: Socket) {
        let done = match self {
            Self::Echo => echo(socket).await,
            Self::Blast { count, size } => blast(socket, count, size).await,
        };
        if let Err(error) = done {
            tracing::debug!(%error, "benchmark connection ended");
        }
    }
}

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        feed_back(&mut socket, message?).await?;
        // Whatever has arrived meanwhile shares the flush.
        while let Some(Some(message)) = socket.next().now_or_never() {
            feed_back(&mut socket, message?).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn feed_back(socket: &mut Socket, message: Message) -> Result<(), Error> {
    if message.is_text() || message.is_binary() {
        socket.feed(message).await
    } else {
        Ok(())
    }
}

async fn blast(mut socket: Socket, count: u64, size: usize) -> Result<(), Error> {
    let payload = Bytes::from(vec![b'x'; size]);
    for _ in 0..count {
        socket.feed(Message::Binary(payload.clone())).await?;
    }
    socket.flush().await?;
    socket.close(None).await?;
    while let Some(message) = socket.next().await {
        message?;
    }
    Ok(())
}
