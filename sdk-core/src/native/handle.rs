//! Sending on and watching a socket, from any task.

use std::sync::Arc;

use super::hub::Changes;
use super::send::{self, Sending};
use super::session::SessionGuard;
use super::socket::SocketShared;
use crate::error::Error;
use crate::io::Input;
use crate::message::Message;
use crate::state::{SocketEvent, SocketState};

/// A handle of a socket: sends, watches, connects and disconnects. Cheap to clone; the socket lives as long as one of
/// its handles.
#[derive(Clone, Debug)]
pub struct SocketHandle {
    pub(super) shared: Arc<SocketShared>,
    pub(super) guard: Arc<SocketGuard>,
}

/// The last one to go ends the socket (W14).
#[derive(Debug)]
pub(super) struct SocketGuard {
    shared: Arc<SocketShared>,
    pub(super) session: Arc<SessionGuard>,
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        let _ = self.session.shared.tell(self.shared.tell_drop());
    }
}

impl SocketHandle {
    pub(super) fn new(shared: Arc<SocketShared>, session: Arc<SessionGuard>) -> Self {
        Self { guard: Arc::new(SocketGuard { shared: shared.clone(), session }), shared }
    }

    /// Sends a message: text (`&str`, `String`) or binary (`Vec<u8>`, `Bytes`).
    ///
    /// With a connection, the message is handed to the operating system before this returns, and a full transport
    /// makes it wait (W11). Without one it is queued within the bounds of `outbox`, and the [`Sending`] tells what
    /// becomes of it. Messages of one task keep their order, across reconnects too. A message belongs to the user who
    /// is signed in when it is queued, and is never sent under another (W10).
    ///
    /// Dropping the future before it is ready may or may not have sent the message.
    ///
    /// # Errors
    /// [`MessageTooLarge`](crate::ErrorKind::MessageTooLarge), [`OutboxFull`](crate::ErrorKind::OutboxFull),
    /// [`NotConnected`](crate::ErrorKind::NotConnected) (when the options say not to queue),
    /// [`SignedOut`](crate::ErrorKind::SignedOut), [`Closed`](crate::ErrorKind::Closed),
    /// [`Refused`](crate::ErrorKind::Refused).
    pub async fn send(&self, message: impl Into<Message>) -> Result<Sending, Error> {
        send::send(&self.guard.session.shared, &self.shared, message.into()).await
    }

    /// Sends a value as a JSON text message; see [`send`](Self::send).
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`Unsupported`](crate::ErrorKind::Unsupported) for a value that cannot be
    /// written as JSON.
    pub async fn send_json<T: serde::Serialize + ?Sized + Sync>(&self, value: &T) -> Result<Sending, Error> {
        let message = Message::json(value).map_err(|cause| {
            Error::new(crate::ErrorKind::Unsupported, "the value cannot be written as JSON")
                .with_cause(cause.to_string())
        })?;
        self.send(message).await
    }

    /// Connects, if it is not connected or trying to: also after `disconnect`, `Refused` or `Closed`. Returns at once;
    /// the state tells what follows.
    pub fn connect(&self) {
        let _ = self.guard.session.shared.tell(Input::Connect { socket: self.shared.id });
    }

    /// Closes the socket with code 1000 and stops trying; wins over every timer. Messages still queued fail. Returns
    /// once the state is `Closed`.
    pub async fn disconnect(&self) {
        self.disconnect_with(1000, "").await;
    }

    /// [`disconnect`](Self::disconnect) with a code (1000 or 3000–4999) and a reason (at most 123 bytes; longer ones
    /// are cut).
    pub async fn disconnect_with(&self, code: u16, reason: &str) {
        let mut states = self.shared.watch_states();
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let code = if code == 1000 || (3000..5000).contains(&code) { code } else { 1000 };
        let input = Input::Disconnect { socket: self.shared.id, code, reason: reason[..end].to_owned() };
        if self.guard.session.shared.tell(input).is_err() {
            return;
        }
        while let Some(state) = states.next().await {
            if matches!(state, SocketState::Closed { .. }) {
                return;
            }
        }
    }

    /// The state now.
    pub fn state(&self) -> SocketState {
        self.shared.state()
    }

    /// The state now, then every change (W12).
    pub fn states(&self) -> Changes<SocketState> {
        self.shared.watch_states()
    }

    /// What happens on the socket from now on: attempts, opens, ends, failed messages (W1).
    pub fn events(&self) -> Changes<SocketEvent> {
        self.shared.events.subscribe([])
    }

    /// Whether messages can go out right now.
    pub fn is_connected(&self) -> bool {
        self.shared.state().is_open()
    }

    /// Waits for a state that satisfies `wanted`, and gives it; `None` when the client is gone first.
    ///
    /// ```no_run
    /// # async fn example(socket: freshsocket::Socket) {
    /// socket.wait_for(|state| state.is_open()).await;
    /// # }
    /// ```
    pub async fn wait_for(&self, mut wanted: impl FnMut(&SocketState) -> bool) -> Option<SocketState> {
        let mut states = self.states();
        loop {
            let state = states.next().await?;
            if wanted(&state) {
                return Some(state);
            }
        }
    }
}
