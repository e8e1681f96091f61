//! Sending: straight to the connection where there is one, to the outbox where there is none (W10).

use std::sync::{Arc, Mutex};
use std::task::Poll;

use tokio::sync::Notify;

use super::hub::lock;
use super::pipe::Pipe;
use super::shared::{Shared, disposed};
use super::socket::SocketShared;
use crate::error::{Error, ErrorKind};
use crate::io::{Input, SendId};
use crate::message::Message;
use crate::state::SendStatus;

/// What became of one message.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
/// # session.login([("username", "ada"), ("password", "secret")]).await?;
/// # let mut socket = session.socket(server.ws_url()).connect()?;
/// let sending = socket.send("hello").await?;
/// match sending.sent().await {
///     Ok(()) => println!("message {} is on its way", sending.number()),
///     Err(why) => println!("message {} is lost: {why}", sending.number()),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Sending {
    send: SendId,
    /// Absent: it was sent before the call returned.
    cell: Option<Arc<SendCell>>,
}

impl Sending {
    /// The message's number on its socket, as in [`SocketEvent::SendFailed`](crate::SocketEvent::SendFailed).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let mut socket = session.socket(server.ws_url()).connect()?;
    /// let (one, two) = (socket.send("one").await?, socket.send("two").await?);
    /// assert!(one.number() < two.number());
    /// # Ok(()) }
    /// ```
    pub fn number(&self) -> u64 {
        self.send.0
    }

    /// Where it stands now.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # session.network_changed(false);
    /// # let socket = session.socket(server.ws_url()).connect()?;
    /// # socket.wait_for(|state| *state == freshsocket::SocketState::Offline).await;
    /// // While the device has no network:
    /// let sending = socket.send("for later").await?;
    /// assert_eq!(sending.status(), freshsocket::SendStatus::Queued);
    /// session.network_changed(true);
    /// sending.sent().await?;
    /// assert_eq!(sending.status(), freshsocket::SendStatus::Sent);
    /// # Ok(()) }
    /// ```
    pub fn status(&self) -> SendStatus {
        self.cell
            .as_ref()
            .map_or(SendStatus::Sent, |cell| lock(&cell.state).shown())
    }

    /// Waits until it was handed to the operating system. Dropping the future changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let socket = session.socket(server.ws_url()).connect()?;
    /// # socket.wait_for(|state| state.is_open()).await;
    /// # server.stop_listening();
    /// # socket.wait_for(|state| !state.is_open()).await;
    /// let sending = socket.send("while away").await?;
    /// assert_eq!(sending.status(), freshsocket::SendStatus::Queued);
    /// # server.listen_again().await?;
    /// # session.network_changed(true);
    /// sending.sent().await?; // once it is connected again
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Why it will not be sent: the kinds of [`SendStatus::Failed`].
    pub async fn sent(&self) -> Result<(), Error> {
        let Some(cell) = &self.cell else { return Ok(()) };
        match cell.wait(|state| matches!(state, CellState::Settled(_))).await {
            SendStatus::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Sends one message; see [`SocketHandle::send`](super::SocketHandle::send).
pub(crate) async fn send(
    shared: &Shared,
    socket: &Arc<SocketShared>,
    message: Message,
) -> Result<Sending, Error> {
    check_size(socket, &message)?;
    let send = socket.next_send();
    let mut slot = Some(message);
    let identity = shared.identity();
    shared.wake_if_late();
    // Asked again once the connection is known: it is then of this user or of one before, and never of the next.
    let direct = socket.direct();
    if let Some(pipe) = direct.as_ref().filter(|_| shared.identity() == identity) {
        let mut direct = Direct {
            pipe,
            send,
            slot: &mut slot,
            begun: false,
        };
        if direct.run().await {
            return Ok(Sending { send, cell: None });
        }
    }
    let Some(message) = slot else {
        return Ok(Sending { send, cell: None });
    };
    let cell = socket.watch_send(send);
    let queued = Input::Send {
        socket: socket.id,
        send,
        identity,
        message,
    };
    // The way of the ends of connections, so that a message refused by a connection comes after what it left unsent.
    if shared.tell(queued).is_err() {
        socket.settle(send, SendStatus::Failed(disposed()));
    }
    match cell.wait(|state| !matches!(state, CellState::Undecided)).await {
        SendStatus::Failed(error) => Err(error),
        _ => Ok(Sending {
            send,
            cell: Some(cell),
        }),
    }
}

/// The largest message is a bound of the options; here it costs nothing yet.
pub(crate) fn check_size(socket: &SocketShared, message: &Message) -> Result<(), Error> {
    if message.len() > socket.options.limits.max_message_bytes {
        return Err(Error::new(
            ErrorKind::MessageTooLarge,
            "the message is larger than limits.maxMessageBytes",
        ));
    }
    Ok(())
}

/// One message on its way to a connection. When the sender gives up waiting, the connection goes on with it.
struct Direct<'a> {
    pipe: &'a Arc<Pipe>,
    send: SendId,
    slot: &'a mut Option<Message>,
    begun: bool,
}

impl Direct<'_> {
    /// Whether the connection took it; if not, it is in the slot again.
    async fn run(&mut self) -> bool {
        let sent = std::future::poll_fn(|cx| {
            let sent = self.pipe.poll_send(cx, self.send, self.slot);
            self.begun = sent.is_pending() && self.slot.is_none();
            match sent {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => Poll::Pending,
            }
        });
        sent.await
    }
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        if self.begun {
            *self.slot = self.pipe.disown(self.send);
        }
    }
}

/// The status of a message that went to the outbox.
#[derive(Debug, Default)]
pub(crate) struct SendCell {
    state: Mutex<CellState>,
    changed: Notify,
}

#[derive(Clone, Debug, Default)]
enum CellState {
    /// The machine has not seen it yet.
    #[default]
    Undecided,
    Waiting,
    Settled(SendStatus),
}

impl CellState {
    fn shown(&self) -> SendStatus {
        match self {
            Self::Undecided | Self::Waiting => SendStatus::Queued,
            Self::Settled(status) => status.clone(),
        }
    }
}

impl SendCell {
    pub(crate) fn decide(&self) {
        let mut state = lock(&self.state);
        if matches!(*state, CellState::Undecided) {
            *state = CellState::Waiting;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    pub(crate) fn settle(&self, status: SendStatus) {
        *lock(&self.state) = CellState::Settled(status);
        self.changed.notify_waiters();
    }

    async fn wait(&self, done: impl Fn(&CellState) -> bool) -> SendStatus {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = lock(&self.state);
                if done(&state) {
                    return state.shown();
                }
            }
            changed.await;
        }
    }
}
