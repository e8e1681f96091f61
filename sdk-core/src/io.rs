//! The machine's one door in (`Input`) and one door out (`Output`). Nothing else enters or leaves.
//!
//! Every effect is numbered, and every answer quotes its effect's number: an answer that the machine no longer waits
//! for is dropped. Outputs are to be performed in the order they come.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::json::Json;
use crate::message::Message;
use crate::options::{Method, SocketOptions};
use crate::secret::{AccessToken, RefreshToken, Secret, redact_url};
use crate::state::{SessionEvent, SessionState, SocketEvent, SocketState};
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use crate::time::Mono;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

ids! {
    /// One HTTP request, store access or token callback.
    EffectId;
    /// One socket of the application.
    SocketId;
    /// One connection, or attempt at one; never used again.
    ConnId;
    /// One call of the application that waits for an answer; the driver numbers them.
    CallId;
    /// One message of one socket; the driver numbers them, in the order of the application's calls.
    SendId;
}

/// What happened in the world.
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

/// What is to be done in the world.
#[derive(Debug)]
pub enum Output {
    /// Make an HTTP request; answer with `HttpAnswered`.
    Http {
        /// The effect's number.
        effect: EffectId,
        /// The request.
        request: HttpRequest,
    },
    /// The answer to this effect is no longer wanted.
    Cancel {
        /// The effect.
        effect: EffectId,
    },
    /// Read the store; answer with `StoreLoaded`.
    LoadStore {
        /// The effect's number.
        effect: EffectId,
    },
    /// Write the store if it is still at this version; answer with `StoreSwapped` once it is durable.
    SwapStore {
        /// The effect's number.
        effect: EffectId,
        /// The version that the machine last saw.
        expected: StoreVersion,
        /// What to write; `None` clears.
        next: Option<Box<StoredSession>>,
    },
    /// Ask the application for a token; answer with `CallbackAnswered`.
    AskCallback {
        /// The effect's number.
        effect: EffectId,
        /// Whether a cached token will not do, because a server refused the last one.
        force: bool,
    },

    /// The session changed: publish this.
    PublishSession(SessionView),
    /// Something happened to the session, beyond its state.
    SessionEvent(SessionEvent),
    /// Call the token-refresh callbacks, in order, outside everything.
    TokenRefreshed {
        /// The new token.
        token: AccessToken,
    },
    /// Answer a call of the application.
    Reply {
        /// The call.
        call: CallId,
        /// The answer.
        result: Result<Reply, Error>,
    },

    /// Open a connection; answer with `Opened` or `ConnectFailed`, later `Noticed` and once `Ended`.
    Connect {
        /// The connection's number.
        conn: ConnId,
        /// The socket it is for.
        socket: SocketId,
        /// Where and how.
        request: ConnectRequest,
    },
    /// Write these messages to the connection, in order, after what was written before.
    Transmit {
        /// The connection.
        conn: ConnId,
        /// The messages.
        messages: Vec<(SendId, Message)>,
    },
    /// Write a message that must not be logged (it carries a token).
    TransmitSecret {
        /// The connection.
        conn: ConnId,
        /// The text.
        text: Secret,
    },
    /// From here on the application may write to this connection itself.
    Direct {
        /// The socket.
        socket: SocketId,
        /// The connection.
        conn: ConnId,
    },
    /// From here on the application's messages come to the machine (`Input::Send`).
    Indirect {
        /// The socket.
        socket: SocketId,
    },
    /// Say when something was last received; answer with `Activity`.
    ReadActivity {
        /// The connection.
        conn: ConnId,
    },
    /// Ping the connection.
    Ping {
        /// The connection.
        conn: ConnId,
    },
    /// Flush, then begin the closing handshake, and answer with `Flushed` if that works; `Ended` follows within a few
    /// seconds in any case.
    Close {
        /// The connection.
        conn: ConnId,
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// Drop the connection at once; `Ended` follows, for the messages that were not sent.
    Abort {
        /// The connection.
        conn: ConnId,
    },
    /// The socket changed: publish this.
    PublishSocket {
        /// The socket.
        socket: SocketId,
        /// Its state.
        state: SocketState,
    },
    /// Something happened on the socket.
    SocketEvent {
        /// The socket.
        socket: SocketId,
        /// What.
        event: SocketEvent,
    },
    /// A queued message failed.
    SendFailed {
        /// The socket.
        socket: SocketId,
        /// The message.
        send: SendId,
        /// Why.
        error: Error,
    },
}

/// What the session looks like from outside, at once.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// The state.
    pub state: SessionState,
    /// The token and its validity, while there is a valid one.
    pub token: Option<TokenView>,
    /// The user record that the server gave with the tokens.
    pub user: Option<Json>,
    /// How many refresh attempts have ended, in success or not: a waiter that saw a smaller number may look again.
    pub attempts_ended: u64,
    /// Who is signed in: another number for every sign-in; `None`: nobody.
    pub identity: Option<u64>,
    /// The cookies of a cookie session, as a `Cookie` header.
    pub cookies: Option<Secret>,
}

impl SessionView {
    /// The answer for somebody who needs a token (S2): the token if there is a valid one, why not if there is none,
    /// `None` while a refresh is under way and its outcome decides.
    pub fn answer(&self) -> Option<Result<AccessToken, Error>> {
        if matches!(
            self.state,
            SessionState::Refreshing { .. } | SessionState::Restoring
        ) {
            return None;
        }
        Some(match &self.token {
            Some(view) => Ok(view.token.clone()),
            None => Err(self.no_token()),
        })
    }

    /// Why there is no (other) token.
    pub fn no_token(&self) -> Error {
        match &self.state {
            SessionState::SignedOut { .. } => Error::new(ErrorKind::SignedOut, "nobody is signed in"),
            SessionState::Unreachable {
                cause, next_attempt, ..
            } => Error::new(
                ErrorKind::Unreachable,
                "the server cannot be reached for a new token",
            )
            .with_cause(cause.message().to_owned())
            .with_next_attempt(Some(*next_attempt)),
            _ => Error::new(ErrorKind::Unreachable, "there is no new token yet"),
        }
    }

    /// Whether a refresh that was just asked for is, or will be, under way: not when nobody is signed in, and not while
    /// the session waits for its next attempt.
    pub fn may_yet_refresh(&self) -> bool {
        !matches!(
            self.state,
            SessionState::SignedOut { .. } | SessionState::Unreachable { .. }
        )
    }
}

/// A token that may be handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenView {
    /// The token.
    pub token: AccessToken,
    /// Its number in this session, counted from 1: tokens are told apart by this, never by their text (W8).
    pub number: u64,
    /// Until when it is valid for at least the margin, in the driver's monotonic time.
    pub fresh_until: Mono,
    /// Until when it is valid at all, in the driver's monotonic time.
    pub valid_until: Mono,
    /// The same as `valid_until` on the wall clock; `None` for a token without expiry.
    pub expires_at: Option<u64>,
    /// Margin before expiry that counts as fresh, in milliseconds.
    pub margin_ms: u64,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `login` or `adopt` succeeded.
    SignedIn {
        /// The user record that came with the tokens.
        user: Option<Json>,
    },
    /// `logout` is done.
    SignedOut {
        /// Whether the server confirmed that it revoked the tokens.
        revoked: bool,
    },
    /// `verify`: whether the server takes the token.
    Verified(bool),
}

/// A token pair that came from somewhere.
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

/// One HTTP request, complete. Redirects to another origin are not followed with it.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: String,
    /// Headers; their values are secret.
    pub headers: Vec<(&'static str, Secret)>,
    /// A header whose name comes from the options.
    pub extra_header: Option<(String, Secret)>,
    /// The JSON body.
    pub body: Option<Secret>,
    /// The largest answer to read, in bytes.
    pub max_answer_bytes: u64,
    /// The time limit for all of it, in milliseconds.
    pub timeout_ms: u64,
}

// Its URL may have been configured with a secret in its query.
impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &redact_url(&self.url))
            .finish_non_exhaustive()
    }
}

/// One HTTP answer.
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

/// One connection attempt, complete.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// The URL, with the credential where it travels there.
    pub url: Secret,
    /// Subprotocols to offer, with the credential where it travels there.
    pub subprotocols: Vec<Secret>,
    /// Headers; their values are secret.
    pub headers: Vec<(String, Secret)>,
    /// A first message with the credential, written before everything else and never logged.
    pub first_message: Option<Secret>,
    /// The time limit for the upgrade, in milliseconds; the machine keeps one of its own as well.
    pub timeout_ms: u64,
}

/// Why an attempt failed.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The first message for the application came: the connection is healthy.
    FirstMessage,
    /// The welcome came: the connection is ready.
    Ready,
    /// An auth refusal came.
    AuthError,
}
