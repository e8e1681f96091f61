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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
/// # session.login([("username", "ada"), ("password", "secret")]).await?;
/// # let mut socket = session.socket(server.ws_url()).connect()?;
/// let (sender, watcher) = (socket.handle(), socket.handle());
/// tokio::spawn(async move {
///     let mut states = watcher.states();
///     while let Some(state) = states.next().await {
///         println!("{}", state.name());
///     }
/// });
/// sender.send("hello").await?;
/// # Ok(()) }
/// ```
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
        self.shared.let_go();
    }
}

impl SocketHandle {
    pub(super) fn new(shared: Arc<SocketShared>, session: Arc<SessionGuard>) -> Self {
        Self {
            guard: Arc::new(SocketGuard {
                shared: shared.clone(),
                session,
            }),
            shared,
        }
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let mut socket = session.socket(server.ws_url()).connect()?;
    /// let sending = socket.send("hello").await?;
    /// sending.sent().await?; // the operating system has it
    /// assert_eq!(socket.next().await.unwrap()?.as_text(), Some("hello"));
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let mut socket = session.socket(server.ws_url()).connect()?;
    /// socket.send_json(&[1, 2, 3]).await?;
    /// assert_eq!(socket.next().await.unwrap()?.as_text(), Some("[1,2,3]"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`Unsupported`](crate::ErrorKind::Unsupported) for a value that cannot be
    /// written as JSON.
    pub async fn send_json<T: serde::Serialize + ?Sized + Sync>(&self, value: &T) -> Result<Sending, Error> {
        let message = Message::json(value).map_err(|cause| {
            Error::new(
                crate::ErrorKind::Unsupported,
                "the value cannot be written as JSON",
            )
            .with_cause(cause.to_string())
        })?;
        self.send(message).await
    }

    /// Connects, if it is not connected or trying to: also after `disconnect`, `Refused` or `Closed`. Returns at once;
    /// the state tells what follows.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session.socket(server.ws_url()).options(|o| o.auto_connect = false).connect()?;
    /// socket.connect();
    /// socket.wait_for(|state| state.is_open()).await;
    /// # Ok(()) }
    /// ```
    pub fn connect(&self) {
        let _ = self.guard.session.shared.tell(Input::Connect {
            socket: self.shared.id,
        });
    }

    /// Closes the socket with code 1000 and stops trying; wins over every timer. Messages still queued fail. Returns
    /// once the state is `Closed`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let mut socket = session.socket(server.ws_url()).connect()?;
    /// socket.disconnect().await;
    /// assert!(socket.state().is_final());
    /// assert!(socket.next().await.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn disconnect(&self) {
        self.disconnect_with(1000, "").await;
    }

    /// [`disconnect`](Self::disconnect) with a code (1000 or 3000–4999) and a reason (at most 123 bytes; longer ones
    /// are cut).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let socket = session.socket(server.ws_url()).connect()?;
    /// socket.disconnect_with(4000, "moved to another room").await;
    /// assert_eq!(socket.state().name(), "closed");
    /// # Ok(()) }
    /// ```
    pub async fn disconnect_with(&self, code: u16, reason: &str) {
        let mut states = self.shared.watch_states();
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let code = if code == 1000 || (3000..5000).contains(&code) {
            code
        } else {
            1000
        };
        let input = Input::Disconnect {
            socket: self.shared.id,
            code,
            reason: reason[..end].to_owned(),
        };
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let socket = session.socket(server.ws_url()).connect()?;
    /// println!("{:?}", socket.state()); // Authenticating, Connecting { attempt: 1 }, Open, …
    /// # Ok(()) }
    /// ```
    pub fn state(&self) -> SocketState {
        self.shared.state()
    }

    /// The state now, then every change (W12).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let socket = session.socket(server.ws_url()).connect()?;
    /// let mut states = socket.states();
    /// while !states.next().await.unwrap().is_open() {}
    /// # Ok(()) }
    /// ```
    pub fn states(&self) -> Changes<SocketState> {
        self.shared.watch_states()
    }

    /// What happens on the socket from now on: attempts, opens, ends, failed messages (W1). The first subscriber also
    /// hears what came before it (the last 16 events): a socket acts before it can be listened to.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session.socket(server.ws_url()).options(|o| o.auto_connect = false).connect()?;
    /// let mut events = socket.events();
    /// socket.connect();
    /// assert!(matches!(events.next().await, Some(freshsocket::SocketEvent::Attempt { .. })));
    /// assert!(matches!(events.next().await, Some(freshsocket::SocketEvent::Opened { .. })));
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> Changes<SocketEvent> {
        self.shared.events.subscribe([])
    }

    /// The socket's number among the session's, from 1, as [`Session::activity`](crate::Session::activity) and the log
    /// name it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// let (one, two) = (session.socket(server.ws_url()).connect()?, session.socket(server.ws_url()).connect()?);
    /// assert_eq!((one.number(), two.number()), (1, 2));
    /// # Ok(()) }
    /// ```
    pub fn number(&self) -> u64 {
        self.shared.id.0
    }

    /// Whether messages can go out right now.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let socket = session.socket(server.ws_url()).connect()?;
    /// socket.wait_for(|state| state.is_open()).await;
    /// assert!(socket.is_connected());
    /// # Ok(()) }
    /// ```
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
