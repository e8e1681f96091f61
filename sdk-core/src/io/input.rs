//! What comes in.

use std::sync::Arc;

use super::{CallId, ConnId, EffectId, SendId, SocketId};
use crate::error::Error;
use crate::json::Json;
use crate::message::Message;
use crate::options::SocketOptions;
use crate::secret::{AccessToken, RefreshToken, Secret};
use crate::store::{StoreSnapshot, Swapped};
use crate::time::Mono;

/// What happened in the world.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # while machine.poll().is_some() {}
/// let credentials = vec![("username".into(), "ada".into()), ("password".into(), "secret".into())];
/// machine.handle(now, Input::Login { call: CallId(1), credentials });
/// assert!(matches!(machine.poll(), Some(Output::Http { .. })));
/// ```
#[derive(Debug)]
pub enum Input {
    /// Nothing happened but time: a deadline was reached, or somebody wants it checked.
    Tick,
    /// The application signs in with these credentials.
    Login {
        /// The call to answer.
        call: CallId,
        /// Names and values, as the login endpoint's body template calls them.
        credentials: Vec<(String, Secret)>,
    },
    /// The application brings a token pair from elsewhere (its own login, a deep link).
    Adopt {
        /// The call to answer.
        call: CallId,
        /// The pair.
        tokens: TokenGrant,
    },
    /// The application signs out.
    Logout {
        /// The call to answer.
        call: CallId,
    },
    /// The application asks the server whether the token is good.
    Verify {
        /// The call to answer.
        call: CallId,
    },
    /// Somebody needs a token that is valid for at least the margin.
    TokenNeeded,
    /// A server refused the access token with this number (S12): refresh, unless it is no longer the current one.
    TokenRejected {
        /// The number, as published with the token.
        token: u64,
    },
    /// The device says that it has, or has no, network.
    Network {
        /// Whether it has.
        online: bool,
    },
    /// Something says that the device may have been away for a while: a page became visible or came back from the
    /// cache, a window got the focus, the network path changed (S7). Any number of these at once is one.
    Woke,
    /// The application went to the background, or came back from it (S7, W6).
    Foreground {
        /// Whether it is in the foreground.
        foreground: bool,
    },

    /// The answer to `Output::Http`.
    HttpAnswered {
        /// The effect.
        effect: EffectId,
        /// The answer, or why there is none.
        answer: Result<HttpAnswer, Error>,
    },
    /// The answer to `Output::LoadStore`.
    StoreLoaded {
        /// The effect.
        effect: EffectId,
        /// What the store holds.
        loaded: Result<StoreSnapshot, Error>,
    },
    /// The answer to `Output::SwapStore`.
    StoreSwapped {
        /// The effect.
        effect: EffectId,
        /// Whether the swap was made.
        swapped: Result<Swapped, Error>,
    },
    /// The store may have changed: somebody else may have written to it. A hint: late, early, too often or never are all
    /// harmless.
    StoreChanged,
    /// The answer to `Output::AskCallback`.
    CallbackAnswered {
        /// The effect.
        effect: EffectId,
        /// The application's answer.
        answer: CallbackAnswer,
    },

    /// The application made a socket; its options are valid.
    OpenSocket {
        /// The socket.
        socket: SocketId,
        /// Its options.
        options: Arc<SocketOptions>,
    },
    /// The application wants the socket connected.
    Connect {
        /// The socket.
        socket: SocketId,
    },
    /// The application wants the socket closed.
    Disconnect {
        /// The socket.
        socket: SocketId,
        /// The close code to send.
        code: u16,
        /// The reason to send.
        reason: String,
    },
    /// The last handle is gone; the socket is forgotten once its connections are closed.
    DropSocket {
        /// The socket.
        socket: SocketId,
    },
    /// The application sends a message while it may not write to a connection itself.
    Send {
        /// The socket.
        socket: SocketId,
        /// The message's number.
        send: SendId,
        /// Who was signed in when the application began to send it, as published; `None`: whoever is now (W10).
        identity: Option<u64>,
        /// The message.
        message: Message,
    },

    /// The connection is open (the upgrade was accepted).
    Opened {
        /// The connection.
        conn: ConnId,
        /// The subprotocol that the server selected.
        subprotocol: Option<String>,
    },
    /// The attempt failed before it was open.
    ConnectFailed {
        /// The connection.
        conn: ConnId,
        /// Why.
        failure: ConnectFailure,
    },
    /// The inspector noticed something in the connection's messages.
    Noticed {
        /// The connection.
        conn: ConnId,
        /// What.
        notice: Notice,
    },
    /// A connection that is being closed has handed everything it was given to the operating system, its close
    /// frame included.
    Flushed {
        /// The connection.
        conn: ConnId,
    },
    /// The connection is over. Nothing more will come of it.
    Ended {
        /// The connection.
        conn: ConnId,
        /// How.
        end: ConnEnd,
        /// Messages given to the connection that were not handed to the operating system, in order.
        unsent: Vec<(SendId, Message)>,
    },
    /// The answer to `Output::ReadActivity`.
    Activity {
        /// The connection.
        conn: ConnId,
        /// When something was last received on it, in the driver's time.
        last_received: Mono,
    },
}

/// A token pair that came from somewhere.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # while machine.poll().is_some() {}
/// // What a deep link brought.
/// let tokens = TokenGrant {
///     access: "eyJ…".into(),
///     refresh: Some("r1".into()),
///     expires_in_ms: Some(300_000), // for a token that is no JWT
///     user: None,
/// };
/// machine.handle(now, Input::Adopt { call: CallId(1), tokens });
/// ```
#[derive(Clone, Debug)]
pub struct TokenGrant {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token, if there is one.
    pub refresh: Option<RefreshToken>,
    /// The lifetime in milliseconds, where the token itself does not say.
    pub expires_in_ms: Option<u64>,
    /// The user record.
    pub user: Option<Json>,
}

/// What the application's token callback answered; the three are told apart by type (S1).
///
/// ```
/// use freshsocket::{Error, ErrorKind, TokenAnswer};
///
/// // From what the login service of the host application said.
/// fn answer(status: u16, token: &str) -> TokenAnswer {
///     match status {
///         200 => TokenAnswer::Token { access: token.into(), expires_in_ms: None },
///         401 | 403 => TokenAnswer::SignedOut,
///         _ => TokenAnswer::Unreachable(Error::new(ErrorKind::Unreachable, "the login service is down")),
///     }
/// }
/// assert!(matches!(answer(401, ""), TokenAnswer::SignedOut));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallbackAnswer {
    /// Here is a token.
    Token {
        /// The token.
        access: AccessToken,
        /// Its lifetime in milliseconds, where the token itself does not say.
        expires_in_ms: Option<u64>,
    },
    /// Nobody is signed in.
    SignedOut,
    /// There is a user, but no token can be had right now.
    Unreachable(Error),
}

/// One HTTP answer.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # while machine.poll().is_some() {}
/// # let credentials = vec![("username".into(), "ada".into()), ("password".into(), "hunter2".into())];
/// # machine.handle(now, Input::Login { call: CallId(1), credentials });
/// let Some(Output::Http { effect, .. }) = machine.poll() else { panic!("a login is a request") };
/// let answer = HttpAnswer {
///     status: 200,
///     body: Some(r#"{"access": "eyJ…", "refresh": "r1", "expires_in": 300}"#.into()),
///     ..HttpAnswer::default()
/// };
/// machine.handle(now, Input::HttpAnswered { effect, answer: Ok(answer) });
/// # let mut outputs = std::iter::from_fn(|| machine.poll());
/// # assert!(outputs.any(|o| matches!(o, Output::PublishSession(view) if view.state.is_signed_in())));
/// ```
#[derive(Clone, Debug, Default)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, as it came.
    pub retry_after: Option<String>,
    /// `Date`, as milliseconds since 1970.
    pub date_unix_ms: Option<u64>,
    /// `Set-Cookie` headers, as they came.
    pub set_cookies: Vec<Secret>,
    /// The body; not printable, because tokens stand in it.
    pub body: Option<Secret>,
}

/// Why an attempt failed.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::{SessionOptions, SocketOptions}, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # let refresh = Some("r1".into());
/// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
/// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
/// # let options = SocketOptions { url: "wss://api.example.com/ws".into(), ..SocketOptions::default() };
/// # let options = std::sync::Arc::new(options);
/// # machine.handle(now, Input::OpenSocket { socket: SocketId(1), options });
/// # while machine.poll().is_some() {}
/// let failure = ConnectFailure::Http { status: 503, retry_after: Some("20".into()) };
/// machine.handle(now, Input::ConnectFailed { conn: ConnId(1), failure });
/// let state = std::iter::from_fn(|| machine.poll()).find_map(|output| match output {
///     Output::PublishSocket { state, .. } => Some(state.name()),
///     _ => None,
/// });
/// assert_eq!(state, Some("backoff")); // for 20 s or more
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The server answered the upgrade with another status than 101.
    Http {
        /// The status.
        status: u16,
        /// `Retry-After`, as it came.
        retry_after: Option<String>,
    },
    /// There was no connection, or it was not a WebSocket one.
    Unreachable {
        /// What the transport said.
        detail: String,
    },
}

/// How an open connection ended.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::{SessionOptions, SocketOptions}, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # let refresh = Some("r1".into());
/// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
/// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
/// # let options = SocketOptions { url: "wss://api.example.com/ws".into(), ..SocketOptions::default() };
/// # let options = std::sync::Arc::new(options);
/// # machine.handle(now, Input::OpenSocket { socket: SocketId(1), options });
/// # machine.handle(now, Input::Opened { conn: ConnId(1), subprotocol: None });
/// # while machine.poll().is_some() {}
/// let end = ConnEnd::Closed { code: 4403, reason: "banned".into(), refused: false };
/// machine.handle(now, Input::Ended { conn: ConnId(1), end, unsent: Vec::new() });
/// let state = std::iter::from_fn(|| machine.poll()).find_map(|output| match output {
///     Output::PublishSocket { state, .. } => Some(state.name()),
///     _ => None,
/// });
/// assert_eq!(state, Some("closed")); // the default table says: stop
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConnEnd {
    /// A close frame came; 1005 when it had no code. `refused`: the message before it was an auth refusal.
    Closed {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
        /// Whether the last message was an auth refusal (P3).
        refused: bool,
    },
    /// The transport ended without a close frame. `refused` as above.
    Lost {
        /// What the transport said.
        detail: String,
        /// Whether the last message was an auth refusal (P3).
        refused: bool,
    },
    /// The peer broke the protocol or a limit; the driver closed with this code.
    Violation {
        /// The code that was sent (1002, 1007, 1009).
        code: u16,
        /// What was wrong.
        detail: String,
    },
}

/// What the inspector tells the machine about a connection's messages.
///
/// ```
/// use freshsocket::{Message, inspect::Inspector, io::Notice, options::SocketOptions};
///
/// let mut inspector = Inspector::new(&SocketOptions::default());
/// let notice = inspector.look(&Message::text("hello")).notice;
/// assert_eq!(notice, Some(Notice::FirstMessage)); // to be told to the machine as `Input::Noticed`
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The first message for the application came: the connection is healthy.
    FirstMessage,
    /// The welcome came: the connection is ready.
    Ready,
    /// An auth refusal came.
    AuthError,
    /// The server acknowledged a renewal on the live connection (W4).
    Renewed,
}
