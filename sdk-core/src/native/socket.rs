//! The application's socket: a durable handle that outlives its connections (W1).

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwapOption;
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::task::AtomicWaker;

use super::handle::SocketHandle;
use super::hub::{Changes, Hub, lock};
use super::lanes::{Lanes, Reader};
use super::pipe::{Pipe, SendObserver};
use super::send::SendCell;
use super::session::SessionGuard;
use crate::error::{Error, ErrorKind};
use crate::io::{ConnId, Input, OverlapStage, SendId, SocketId};
use crate::message::Message;
use crate::options::SocketOptions;
use crate::state::{ClosedBy, SendStatus, SocketEvent, SocketState};

/// A socket that stays connected for as long as somebody is signed in and the application wants it.
///
/// It is a [`Stream`] and a [`Sink`] of messages. The application sees no reconnects in it: read its
/// [`states`](SocketHandle::states) to show them. The stream ends when the application disconnects; when the server
/// ends the socket for good, or refuses it, it gives one error and then ends.
///
/// Sending goes through [`send`](SocketHandle::send), by which the socket derefs to a [`SocketHandle`] that can be cloned and moved to
/// other tasks. Dropping the socket and all its handles closes the connection (W14).
///
/// Reading is direct: messages are taken from the connection by the task that polls. A consumer that is slow slows the
/// reading, up to the bounds in `limits`; beyond them the server is slowed (W11).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
/// # session.login([("username", "ada"), ("password", "secret")]).await?;
/// let mut socket = session.socket(server.ws_url()).connect()?;
/// socket.send("hello").await?;
/// match socket.next().await {
///     Some(Ok(message)) => println!("{:?}", message.as_text()),
///     Some(Err(why)) => println!("over for good: {why}"),
///     None => println!("closed by this application"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Socket {
    handle: SocketHandle,
    reader: Reader,
    /// The message that was given to the sink last, until the connection takes it.
    feeding: Option<Fed>,
    said_end: bool,
}

impl Socket {
    pub(crate) fn new(shared: Arc<SocketShared>, session: Arc<SessionGuard>) -> Self {
        Self {
            handle: SocketHandle::new(shared, session),
            reader: Reader::default(),
            feeding: None,
            said_end: false,
        }
    }

    /// The next message; `None` when the socket was closed by the application. Cancel-safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let mut socket = session.socket(server.ws_url()).connect()?;
    /// # server.set(|settings| settings.echo = true);
    /// socket.send("one").await?;
    /// while let Some(message) = socket.next().await {
    ///     assert_eq!(message?.as_text(), Some("one"));
    ///     socket.disconnect().await;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Once, when the server ended the socket for good ([`ErrorKind::Closed`]), refused it ([`ErrorKind::Refused`]), or
    /// all attempts were used up ([`ErrorKind::AttemptsExhausted`]).
    #[inline]
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    /// A handle for sending and watching, to be cloned and moved to other tasks.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let mut socket = session.socket(server.ws_url()).connect()?;
    /// let sender = socket.handle();
    /// tokio::spawn(async move { sender.send("from another task").await });
    /// assert_eq!(socket.next().await.unwrap()?.as_text(), Some("from another task"));
    /// # Ok(()) }
    /// ```
    pub fn handle(&self) -> SocketHandle {
        self.handle.clone()
    }

    #[inline]
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        match self.reader.pop() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => self.refill(cx),
        }
    }

    fn refill(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        let shared = &self.handle.shared;
        shared.receiver.register(cx.waker());
        // Read before the lanes: a final state comes after the last lane was added.
        let end = shared.end();
        if let Some(message) = self.reader.read(&shared.lanes, &shared.options.duplicates, cx) {
            self.said_end = false;
            return Poll::Ready(Some(Ok(message)));
        }
        self.answer_end(end)
    }

    fn answer_end(&mut self, end: StreamEnd) -> Poll<Option<Result<Message, Error>>> {
        match end {
            StreamEnd::Failed(error) if !self.said_end => {
                self.said_end = true;
                Poll::Ready(Some(Err(error)))
            }
            StreamEnd::Failed(_) | StreamEnd::Asked => Poll::Ready(None),
            StreamEnd::NotYet => {
                self.said_end = false;
                Poll::Pending
            }
        }
    }
}

impl Stream for Socket {
    type Item = Result<Message, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

/// Messages fed to the sink are written together by the next flush, which is much faster than one
/// [`send`](SocketHandle::send) each when there are many. Order is kept among them; one that cannot be sent now goes to
/// the outbox like any other, and fails as a [`SocketEvent::SendFailed`] if it does.
impl Sink<Message> for Socket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.feed(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        super::send::check_size(&self.handle.shared, &message)?;
        let send = self.handle.shared.next_send();
        let identity = self.handle.guard.session.shared.identity();
        self.feeding = Some(Fed {
            send,
            identity,
            message: Some(message),
        });
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.feed(cx))?;
        match &*self.handle.shared.direct() {
            // Over: what was fed comes back with the end and goes to the outbox.
            Some(pipe) => pipe.poll_flush(cx).map(|_| Ok(())),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_flush(cx))?;
        let socket = self.handle.shared.id;
        let disconnect = Input::Disconnect {
            socket,
            code: 1000,
            reason: String::new(),
        };
        Poll::Ready(self.handle.guard.session.shared.tell(disconnect))
    }
}

impl Socket {
    /// Hands the message that was fed last to the connection, or to the outbox.
    fn feed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(fed) = &mut self.feeding else {
            return Poll::Ready(Ok(()));
        };
        let (shared, session) = (&self.handle.shared, &self.handle.guard.session.shared);
        let direct = shared.direct();
        let taken = match &*direct {
            Some(pipe) if session.identity() == fed.identity => {
                ready!(pipe.poll_feed(cx, fed.send, &mut fed.message)).is_ok()
            }
            _ => false,
        };
        if let (false, Some(message)) = (taken, fed.message.take()) {
            session.tell(Input::Send {
                socket: shared.id,
                send: fed.send,
                identity: fed.identity,
                message,
            })?;
        }
        self.feeding = None;
        Poll::Ready(Ok(()))
    }
}

impl std::ops::Deref for Socket {
    type Target = SocketHandle;

    fn deref(&self) -> &SocketHandle {
        &self.handle
    }
}

/// A message that was given to the sink.
#[derive(Debug)]
struct Fed {
    send: SendId,
    identity: Option<u64>,
    message: Option<Message>,
}

/// Whether the stream of messages is over.
enum StreamEnd {
    NotYet,
    /// The application closed the socket.
    Asked,
    Failed(Error),
}

/// What the handles of a socket and the driver share.
pub(crate) struct SocketShared {
    pub(crate) id: SocketId,
    pub(crate) options: Arc<SocketOptions>,
    /// The connection that the application may write to itself.
    direct: ArcSwapOption<Pipe>,
    /// Connections that may still hold messages for the application.
    lanes: Lanes,
    receiver: AtomicWaker,
    state: Mutex<SocketState>,
    pub(crate) states: Hub<SocketState>,
    pub(crate) events: Hub<SocketEvent>,
    sends: AtomicU64,
    cells: Mutex<HashMap<SendId, Arc<SendCell>>>,
}

impl SocketShared {
    pub(crate) fn new(id: SocketId, options: Arc<SocketOptions>) -> Self {
        Self {
            id,
            options,
            direct: ArcSwapOption::empty(),
            lanes: Lanes::default(),
            receiver: AtomicWaker::new(),
            state: Mutex::new(SocketState::Idle),
            states: Hub::forgetful(),
            events: Hub::remembering(),
            sends: AtomicU64::new(1),
            cells: Mutex::default(),
        }
    }

    // ---- for the driver ----

    pub(crate) fn set_direct(&self, pipe: Option<&Arc<Pipe>>) {
        self.direct.store(pipe.cloned());
    }

    /// Gives what it had to tell: messages that were dropped for the new connection.
    pub(crate) fn add_lane(
        &self,
        conn: ConnId,
        pipe: &Arc<Pipe>,
        replaces: Option<ConnId>,
    ) -> Option<SocketEvent> {
        let unread = self.lanes.add(conn, pipe, replaces) as u64;
        let unread = (unread > 0).then_some(SocketEvent::Unread { count: unread });
        if let Some(event) = &unread {
            self.events.send(event);
        }
        self.receiver.wake();
        unread
    }

    /// How the overlap of two connections goes on.
    pub(crate) fn overlap(&self, stage: OverlapStage) {
        self.lanes.overlap(stage);
        self.receiver.wake();
    }

    pub(crate) fn publish(&self, state: &SocketState) {
        *lock(&self.state) = state.clone();
        self.states.send(state);
        self.receiver.wake();
    }

    pub(crate) fn send_failed(&self, send: SendId, error: Error) {
        self.settle(send, SendStatus::Failed(error));
    }

    /// The machine has had its say about a message, and did not refuse it.
    pub(crate) fn send_decided(&self, send: SendId) {
        if let Some(cell) = lock(&self.cells).get(&send) {
            cell.decide();
        }
    }

    /// The client is gone: nothing more will happen. Gives the state that this made, if it made one.
    pub(crate) fn dispose(&self) -> Option<SocketState> {
        self.direct.store(None);
        let cells: Vec<_> = lock(&self.cells).drain().collect();
        for (_, cell) in cells {
            cell.settle(SendStatus::Failed(super::shared::disposed()));
        }
        let closed = (!self.state().is_final()).then(|| SocketState::Closed {
            by: ClosedBy::Application,
            code: 1000,
            reason: String::new(),
        });
        if let Some(state) = &closed {
            self.publish(state);
        }
        self.states.close();
        self.events.close();
        closed
    }

    /// The last handle is gone: nobody reads or writes any more. The connections hold this for the outcome of their
    /// messages, so for as long as this holds them neither would ever go.
    pub(crate) fn let_go(&self) {
        self.direct.store(None);
        self.lanes.clear();
    }

    // ---- for the handles ----

    pub(crate) fn direct(&self) -> arc_swap::Guard<Option<Arc<Pipe>>> {
        self.direct.load()
    }

    pub(crate) fn next_send(&self) -> SendId {
        SendId(self.sends.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn watch_send(&self, send: SendId) -> Arc<SendCell> {
        let cell = Arc::new(SendCell::default());
        lock(&self.cells).insert(send, cell.clone());
        cell
    }

    pub(crate) fn settle(&self, send: SendId, status: SendStatus) {
        let cell = lock(&self.cells).remove(&send);
        if let Some(cell) = cell {
            cell.settle(status);
        }
    }

    pub(crate) fn state(&self) -> SocketState {
        lock(&self.state).clone()
    }

    /// The state now, then every change.
    pub(crate) fn watch_states(&self) -> Changes<SocketState> {
        // Under the lock, so that no change falls between the two.
        let state = lock(&self.state);
        self.states.subscribe([state.clone()])
    }

    /// Whether the stream of messages is over, and how.
    fn end(&self) -> StreamEnd {
        let (kind, message) = match &*lock(&self.state) {
            SocketState::Closed {
                by: ClosedBy::Application,
                ..
            } => return StreamEnd::Asked,
            SocketState::Closed {
                by: ClosedBy::AttemptsExhausted,
                ..
            } => (
                ErrorKind::AttemptsExhausted,
                "all allowed attempts to connect failed",
            ),
            SocketState::Closed { code, .. } => {
                let error = Error::new(ErrorKind::Closed, "the server ended the socket for good");
                return StreamEnd::Failed(error.with_cause(format!("close code {code}")));
            }
            SocketState::Refused { .. } => (
                ErrorKind::Refused,
                "the server refused the credential, and a new one as well",
            ),
            _ => return StreamEnd::NotYet,
        };
        StreamEnd::Failed(Error::new(kind, message))
    }

    pub(crate) fn tell_drop(&self) -> Input {
        Input::DropSocket { socket: self.id }
    }
}

impl Drop for SocketShared {
    /// No handle is left and no connection: what has no outcome by now will not be sent, and no state follows.
    fn drop(&mut self) {
        let error = Error::new(ErrorKind::Closed, "the socket was dropped");
        for (_, cell) in lock(&self.cells).drain() {
            cell.settle(SendStatus::Failed(error.clone()));
        }
        self.states.close();
        self.events.close();
    }
}

impl SendObserver for SocketShared {
    fn sent(&self, send: SendId) {
        self.settle(send, SendStatus::Sent);
    }
}

impl std::fmt::Debug for SocketShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketShared")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
