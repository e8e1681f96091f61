//! How connections end, and who ended them.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{Connection, Step};
use crate::record::ClosedBy;

/// How long a closing server waits for the client's half of the handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a connection ended.
pub(super) struct End {
    pub(super) by: ClosedBy,
    pub(super) code: Option<u16>,
    pub(super) reason: String,
}

impl End {
    /// The stream ended without a close frame.
    pub(super) fn lost(by: ClosedBy) -> Self {
        Self {
            by,
            code: Some(1006),
            reason: String::new(),
        }
    }
}

impl Connection<'_> {
    /// The server's close: the frame, then the client's half of the handshake within a limit.
    pub(super) async fn close(&mut self, code: Option<u16>, reason: &str) -> Step {
        let frame = code.map(|code| CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        });
        self.socket.close(frame).await?;
        let drain = async {
            // Ends with the stream; an error here is the client's way of being gone.
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, drain).await.is_err() {
            tracing::debug!(connection = self.info.id, "the client did not answer the close");
        }
        Ok(ControlFlow::Break(End {
            by: ClosedBy::Server,
            code,
            reason: reason.to_owned(),
        }))
    }

    /// The client's close: answers it, which the stack does by being read on.
    pub(super) async fn closed_by_client(&mut self, frame: Option<CloseFrame>) -> End {
        let drain = async { while let Some(Ok(_)) = self.socket.next().await {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, drain).await.is_err() {
            tracing::debug!(connection = self.info.id, "the close handshake did not finish");
        }
        let (code, reason) = frame.map_or((None, String::new()), |f| {
            (Some(f.code.into()), f.reason.as_str().to_owned())
        });
        End {
            by: ClosedBy::Client,
            code,
            reason,
        }
    }

    pub(super) fn failed(&self, error: &Error) -> End {
        tracing::debug!(connection = self.info.id, %error, "connection failed");
        self.lost()
    }

    pub(super) fn lost(&self) -> End {
        End::lost(if self.registered.switch.is_cut() {
            ClosedBy::Server
        } else {
            ClosedBy::Client
        })
    }
}
