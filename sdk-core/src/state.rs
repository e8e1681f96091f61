//! What people may see: the states of session and socket (S13, W12) and the events between them, listed once.
//!
//! Every state answers "why, and what happens next?". Times are milliseconds since 1970. The JSON form is the same on
//! every platform.

use serde::Serialize;

use crate::error::Error;

/// The session's state (S13).
///
/// ```
/// use freshsocket::{SessionState, SignOutCause};
///
/// fn banner(state: &SessionState) -> Option<&'static str> {
///     match state {
///         SessionState::SignedOut { cause: SignOutCause::RefreshRefused } => Some("Please sign in again."),
///         SessionState::Unreachable { expires_at: None, .. } => Some("Offline."),
///         _ => None,
///     }
/// }
/// assert_eq!(banner(&SessionState::Active { expires_at: None }), None);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
#[non_exhaustive]
pub enum SessionState {
    /// The store is being read; over before a builder returns.
    Restoring,
    /// Nobody is signed in.
    SignedOut {
        /// Why.
        cause: SignOutCause,
    },
    /// Signed in, with a valid token.
    Active {
        /// When the token expires; absent for a token without expiry.
        expires_at: Option<u64>,
    },
    /// Signed in; a new token is being fetched.
    Refreshing {
        /// When the present token expires, if it has not.
        expires_at: Option<u64>,
    },
    /// Signed in; the server could not be reached for a new token. A token that is still valid goes on being used.
    Unreachable {
        /// Since when.
        since: u64,
        /// What went wrong last.
        cause: Error,
        /// When the SDK tries again.
        next_attempt: u64,
        /// When the present token expires, if it has not.
        expires_at: Option<u64>,
    },
}

impl SessionState {
    /// Whether somebody is signed in (which an unreachable server does not change).
    ///
    /// ```
    /// use freshsocket::{SessionState, SignOutCause};
    ///
    /// assert!(SessionState::Refreshing { expires_at: None }.is_signed_in());
    /// assert!(!SessionState::SignedOut { cause: SignOutCause::LoggedOut }.is_signed_in());
    /// ```
    pub fn is_signed_in(&self) -> bool {
        !matches!(self, Self::SignedOut { .. } | Self::Restoring)
    }

    /// The state's name, as in JSON.
    ///
    /// ```
    /// use freshsocket::SessionState;
    ///
    /// assert_eq!(SessionState::Active { expires_at: None }.name(), "active");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Restoring => "restoring",
            Self::SignedOut { .. } => "signedOut",
            Self::Active { .. } => "active",
            Self::Refreshing { .. } => "refreshing",
            Self::Unreachable { .. } => "unreachable",
        }
    }
}

/// Why nobody is signed in.
///
/// ```
/// use freshsocket::SignOutCause;
///
/// fn sign_in_page_says(cause: SignOutCause) -> &'static str {
///     match cause {
///         SignOutCause::NotSignedIn | SignOutCause::LoggedOut => "Welcome.",
///         SignOutCause::SignedOutElsewhere => "You signed out in another window.",
///         _ => "Your session has ended. Please sign in again.",
///     }
/// }
/// assert_eq!(sign_in_page_says(SignOutCause::LoggedOut), "Welcome.");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum SignOutCause {
    /// Nobody has signed in yet.
    NotSignedIn,
    /// `logout` was called.
    LoggedOut,
    /// The server refused the refresh token.
    RefreshRefused,
    /// The server refused the refresh token, and a process died while it was being exchanged: the answer with the new
    /// one was lost with it.
    RefreshInterrupted,
    /// The token expired and this server has no way to renew it.
    Expired,
    /// Another holder of the same store signed out.
    SignedOutElsewhere,
    /// The application's token callback said so.
    SaidByCallback,
}

/// A socket's state (W12).
///
/// ```
/// use freshsocket::SocketState;
///
/// fn status(state: &SocketState, now: u64) -> String {
///     match state {
///         SocketState::Open => "online".into(),
///         SocketState::Backoff { next_attempt, .. } => {
///             format!("next attempt in {} s", next_attempt.saturating_sub(now).div_ceil(1_000))
///         }
///         SocketState::Refused { .. } => "you may not connect".into(),
///         SocketState::Closed { .. } | SocketState::Idle => "offline".into(),
///         _ => "connecting".into(),
///     }
/// }
/// assert_eq!(status(&SocketState::Connecting { attempt: 1 }, 0), "connecting");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
#[non_exhaustive]
pub enum SocketState {
    /// Not asked to connect.
    Idle,
    /// Nobody is signed in; connects after the next sign-in.
    WaitingForSession,
    /// Waiting for a valid token or a ticket.
    Authenticating,
    /// Opening a connection.
    Connecting {
        /// Attempts since the last healthy connection; 1 is the first.
        attempt: u32,
    },
    /// Connected and ready.
    Open,
    /// Waiting to try again.
    Backoff {
        /// Attempts that failed since the last healthy connection.
        attempt: u32,
        /// Why the last one ended.
        cause: Ended,
        /// When the next one begins.
        next_attempt: u64,
    },
    /// The device says that it has no network; connects when it says otherwise.
    Offline,
    /// The server refused the credential, and a freshly issued one as well. `connect` tries again.
    Refused {
        /// How it refused.
        cause: Ended,
    },
    /// Over, until `connect` is called.
    Closed {
        /// Who ended it.
        by: ClosedBy,
        /// The close code.
        code: u16,
        /// The reason given, possibly empty.
        reason: String,
    },
}

impl SocketState {
    /// Whether nothing more will happen unless the application calls `connect`.
    ///
    /// ```
    /// use freshsocket::{Ended, SocketState};
    ///
    /// assert!(SocketState::Refused { cause: Ended::Http { status: 403 } }.is_final());
    /// assert!(!SocketState::Offline.is_final()); // goes on by itself
    /// ```
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Closed { .. })
    }

    /// Whether messages can go out now.
    ///
    /// ```
    /// use freshsocket::SocketState;
    ///
    /// assert!(SocketState::Open.is_open());
    /// assert!(!SocketState::Authenticating.is_open());
    /// ```
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The state's name, as in JSON.
    ///
    /// ```
    /// assert_eq!(freshsocket::SocketState::WaitingForSession.name(), "waitingForSession");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::WaitingForSession => "waitingForSession",
            Self::Authenticating => "authenticating",
            Self::Connecting { .. } => "connecting",
            Self::Open => "open",
            Self::Backoff { .. } => "backoff",
            Self::Offline => "offline",
            Self::Refused { .. } => "refused",
            Self::Closed { .. } => "closed",
        }
    }
}

/// Who ended a socket for good.
///
/// ```
/// use freshsocket::{ClosedBy, SocketState};
///
/// fn notice(state: &SocketState) -> Option<String> {
///     let SocketState::Closed { by, reason, .. } = state else { return None };
///     match by {
///         ClosedBy::Server => Some(format!("The server ended the chat: {reason}")),
///         ClosedBy::AttemptsExhausted => Some("The chat cannot be reached.".into()),
///         _ => None, // the user closed it
///     }
/// }
/// let banned = SocketState::Closed { by: ClosedBy::Server, code: 4403, reason: "banned".into() };
/// assert_eq!(notice(&banned).unwrap(), "The server ended the chat: banned");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ClosedBy {
    /// The application, by `disconnect` or by dropping the last handle.
    Application,
    /// The server, with a code that the options call final.
    Server,
    /// The SDK, because all allowed attempts were used up.
    AttemptsExhausted,
}

/// How a connection, or an attempt at one, ended.
///
/// ```
/// use freshsocket::{Ended, SocketState};
///
/// fn because(ended: &Ended) -> String {
///     match ended {
///         Ended::Closed { code, reason } => format!("closed by the server: {code} {reason}"),
///         Ended::Http { status } => format!("the server answered {status}"),
///         Ended::Silent | Ended::TimedOut => "the server says nothing".into(),
///         Ended::NoToken { cause } => cause.to_string(),
///         _ => "no connection".into(),
///     }
/// }
/// let state = SocketState::Backoff { attempt: 2, cause: Ended::Http { status: 503 }, next_attempt: 0 };
/// let SocketState::Backoff { cause, .. } = state else { unreachable!() };
/// assert_eq!(because(&cause), "the server answered 503");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "how")]
#[non_exhaustive]
pub enum Ended {
    /// A close frame came; 1005 when it had no code.
    Closed {
        /// The close code (RFC 6455, section 7.4).
        code: u16,
        /// The reason, possibly empty.
        reason: String,
    },
    /// The transport ended without a close frame (1006).
    Lost {
        /// What the transport said.
        detail: String,
    },
    /// Nothing came from the server for too long (W9).
    Silent,
    /// The server answered the upgrade with something other than 101.
    Http {
        /// The status.
        status: u16,
    },
    /// No connection: DNS, TCP, TLS, or not a WebSocket server.
    Unreachable {
        /// What the transport said.
        detail: String,
    },
    /// The attempt took longer than `connectTimeoutMs`.
    TimedOut,
    /// The server sent a message that the options call an auth refusal.
    AuthMessage,
    /// There was no valid token (or no ticket) to connect with.
    NoToken {
        /// Why there was none.
        cause: Error,
    },
    /// The SDK replaced the connection by a newer one (renewal).
    Replaced,
    /// The application asked for it.
    Asked,
}

impl Ended {
    /// The close code that stands for this end: the server's own, or 1006 where there was none.
    ///
    /// ```
    /// use freshsocket::Ended;
    ///
    /// assert_eq!(Ended::Closed { code: 4401, reason: String::new() }.code(), 4401);
    /// assert_eq!(Ended::Silent.code(), 1006);
    /// ```
    pub fn code(&self) -> u16 {
        match self {
            Self::Closed { code, .. } => *code,
            Self::Asked | Self::Replaced => 1000,
            _ => 1006,
        }
    }
}

/// What happened on a socket, for those who want events rather than states (W1).
///
/// ```
/// use freshsocket::{Ended, SocketEvent};
///
/// fn log(event: &SocketEvent) {
///     match event {
///         SocketEvent::Attempt { attempt, token, .. } => println!("attempt {attempt} with token {token}"),
///         SocketEvent::AuthRefused { ended } => println!("refused: {}", ended.code()),
///         SocketEvent::SendFailed { send, error } => println!("message {send} is lost: {error}"),
///         _ => {}
///     }
/// }
/// log(&SocketEvent::AuthRefused { ended: Ended::Http { status: 401 } });
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
#[non_exhaustive]
pub enum SocketEvent {
    /// An attempt begins.
    Attempt {
        /// Attempts since the last healthy connection; 1 is the first.
        attempt: u32,
        /// Where the credential travels: `subprotocol`, `query`, `header`, `cookie`, `firstMessage`, `ticket`, `none`.
        placement: &'static str,
        /// Which token of this session it carries, counted from 1; 0: none.
        token: u64,
        /// Whether a live connection is being replaced.
        handover: bool,
    },
    /// A connection is ready for the application.
    Opened {
        /// The subprotocol that the server selected.
        subprotocol: Option<String>,
        /// Whether it replaced a live one, so that the application saw no gap.
        handover: bool,
    },
    /// The application's connection ended (a handover raises none).
    Ended {
        /// How.
        ended: Ended,
        /// Whether the SDK will try again.
        will_retry: bool,
    },
    /// A renewed token was sent on the live connection (and acknowledged, where `renewal.ack` says how).
    Renewed,
    /// The server allows one connection per user: it closed the old one because of the new one, or refused the new one
    /// with 409. From now on this socket closes the old one first (W5).
    OneConnectionPerUser,
    /// The server refused the credential of this attempt; what follows is in the state.
    AuthRefused {
        /// How.
        ended: Ended,
    },
    /// Received messages were dropped, because the application read nothing over many connections.
    Unread {
        /// How many.
        count: u64,
    },
    /// A queued message failed.
    SendFailed {
        /// The message's number on this socket.
        send: u64,
        /// Why.
        error: Error,
    },
}

/// What happened to a message (W10).
///
/// ```
/// use freshsocket::{Error, ErrorKind, SendStatus};
///
/// fn tick_mark(status: &SendStatus) -> &'static str {
///     match status {
///         SendStatus::Queued => "…",
///         SendStatus::Sent => "✓",
///         SendStatus::Failed(error) if error.kind() == ErrorKind::MessageExpired => "too late",
///         _ => "✗",
///     }
/// }
/// let lost = SendStatus::Failed(Error::new(ErrorKind::IdentityChanged, "the user changed"));
/// assert_eq!(tick_mark(&lost), "✗");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "status", content = "error")]
#[non_exhaustive]
pub enum SendStatus {
    /// Waiting for a connection.
    Queued,
    /// Handed to the operating system whole, on a connection that was open.
    Sent,
    /// It will not be sent.
    Failed(Error),
}

/// What happened to the session, beyond its state.
///
/// ```
/// use freshsocket::SessionEvent;
///
/// fn notify(event: &SessionEvent) -> Option<String> {
///     match event {
///         SessionEvent::ExpiringSoon { expires_at } => Some(format!("Sign in again before {expires_at}.")),
///         SessionEvent::StoreFailed { error } => Some(format!("You will be signed out at exit: {error}")),
///         _ => None,
///     }
/// }
/// assert!(notify(&SessionEvent::ExpiringSoon { expires_at: 1_700_000_000_000 }).is_some());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
#[non_exhaustive]
pub enum SessionEvent {
    /// A refresh attempt begins.
    RefreshStarted {
        /// What asked for it.
        why: RefreshReason,
    },
    /// A new token was adopted and stored.
    Refreshed {
        /// Which token of this session it is, counted from 1.
        token: u64,
        /// When it expires.
        expires_at: Option<u64>,
    },
    /// A refresh attempt failed; the state says what follows.
    RefreshFailed {
        /// Why.
        error: Error,
    },
    /// The token expires soon and this server has no way to renew it: sign in again before it does.
    ExpiringSoon {
        /// When it expires.
        expires_at: u64,
    },
    /// The store failed; the session goes on in memory.
    StoreFailed {
        /// Why.
        error: Error,
    },
}

/// What asked for a refresh.
///
/// ```
/// use freshsocket::{RefreshReason, SessionEvent};
///
/// fn is_suspicious(event: &SessionEvent) -> bool {
///     // The server refused a token that was not due: its clock is wrong, or somebody revoked it.
///     matches!(event, SessionEvent::RefreshStarted { why: RefreshReason::Refused })
/// }
/// assert!(!is_suspicious(&SessionEvent::RefreshStarted { why: RefreshReason::Timer }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RefreshReason {
    /// The timer (S6).
    Timer,
    /// A call of the application or a connection attempt needed a token.
    Needed,
    /// A server refused the token.
    Refused,
    /// The attempt before failed.
    Retry,
}
