//! What can be told, listed once. The JSON form of these is stable and documented, with examples, in the README.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use freshsocket::{
    Ended, Error, Message, RefreshReason, SendStatus, SessionEvent, SessionState, SocketEvent, SocketState,
};
use serde::{Serialize, Serializer};

/// One thing that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Line<'a> {
    /// The session's state changed.
    Session {
        #[serde(flatten)]
        state: &'a SessionState,
    },
    /// A refresh began, succeeded or failed.
    Refresh {
        #[serde(flatten)]
        refresh: Refresh<'a>,
    },
    /// The token expires soon, and this server renews none.
    ExpiringSoon { expires_at: u64 },
    /// The socket's state changed.
    Socket {
        #[serde(flatten)]
        state: &'a SocketState,
    },
    /// A connection attempt begins.
    Attempt {
        attempt: u32,
        placement: &'a str,
        token: u64,
        handover: bool,
    },
    /// A connection is ready.
    Opened {
        subprotocol: Option<&'a str>,
        handover: bool,
    },
    /// The connection ended.
    Ended { ended: &'a Ended, will_retry: bool },
    /// A renewed token was sent on the live connection.
    Renewed,
    /// The server allows one connection per user.
    OneConnectionPerUser,
    /// The server refused the credential of an attempt or connection.
    AuthRefused { ended: &'a Ended },
    /// Received messages were dropped unread.
    Unread { count: u64 },
    /// A message came.
    Message {
        #[serde(flatten, serialize_with = "body_of")]
        message: &'a Message,
    },
    /// What became of something that was to be sent.
    Send {
        send: u64,
        #[serde(flatten)]
        status: &'a SendStatus,
    },
    /// Something failed.
    Error { during: &'a str, error: &'a Error },
    /// Events were dropped, because standard output was read too slowly.
    Missed { stream: &'a str, count: u64 },
    /// The run is over.
    Exit { code: u8, reason: &'a str },
}

/// What happens in a refresh.
#[derive(Debug, Serialize)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Refresh<'a> {
    Started { why: RefreshReason },
    Done { token: u64, expires_at: Option<u64> },
    Failed { error: &'a Error },
}

/// What became of one message; the number is its place among all that was to be sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) send: u64,
    pub(crate) status: SendStatus,
}

impl<'a> Line<'a> {
    /// `None` for events of later versions that this client does not know.
    pub(crate) fn of_session(event: &'a SessionEvent) -> Option<Self> {
        Some(match event {
            SessionEvent::RefreshStarted { why } => Self::Refresh {
                refresh: Refresh::Started { why: *why },
            },
            SessionEvent::Refreshed { token, expires_at } => Self::Refresh {
                refresh: Refresh::Done {
                    token: *token,
                    expires_at: *expires_at,
                },
            },
            SessionEvent::RefreshFailed { error } => Self::Refresh {
                refresh: Refresh::Failed { error },
            },
            SessionEvent::ExpiringSoon { expires_at } => Self::ExpiringSoon {
                expires_at: *expires_at,
            },
            SessionEvent::StoreFailed { error } => Self::Error {
                during: "store",
                error,
            },
            _ => return None,
        })
    }

    /// `None` for what is told otherwise, and for events of later versions.
    pub(crate) fn of_socket(event: &'a SocketEvent) -> Option<Self> {
        Some(match event {
            SocketEvent::Attempt {
                attempt,
                placement,
                token,
                handover,
            } => Self::Attempt {
                attempt: *attempt,
                placement,
                token: *token,
                handover: *handover,
            },
            SocketEvent::Opened {
                subprotocol,
                handover,
            } => Self::Opened {
                subprotocol: subprotocol.as_deref(),
                handover: *handover,
            },
            SocketEvent::Ended { ended, will_retry } => Self::Ended {
                ended,
                will_retry: *will_retry,
            },
            SocketEvent::Renewed => Self::Renewed,
            SocketEvent::OneConnectionPerUser => Self::OneConnectionPerUser,
            SocketEvent::AuthRefused { ended } => Self::AuthRefused { ended },
            SocketEvent::Unread { count } => Self::Unread { count: *count },
            // `SendFailed` is told by the sender, which knows which line it was.
            _ => return None,
        })
    }
}

fn body_of<S: Serializer>(message: &Message, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(tag = "format", rename_all = "camelCase")]
    enum Body<'a> {
        Text { text: &'a str },
        Binary { base64: String },
    }
    match message {
        Message::Text(text) => Body::Text { text: text.as_str() },
        Message::Binary(bytes) => Body::Binary {
            base64: BASE64_STANDARD.encode(bytes),
        },
    }
    .serialize(serializer)
}

#[cfg(test)]
#[path = "../../tests/cli/format.rs"]
#[allow(clippy::expect_used)] // shared with tests/cli, where it is allowed for all
mod format;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use freshsocket::{ClosedBy, ErrorKind, SignOutCause};
    use serde_json::Value;

    use super::*;

    fn json(line: &Line<'_>) -> Value {
        let mut value = serde_json::to_value(line).unwrap();
        value["ts"] = 1_790_000_000_000_u64.into();
        value
    }

    #[test]
    fn every_line_is_as_the_readme_shows_it_and_the_readme_shows_no_other() {
        let error = Error::new(ErrorKind::Unreachable, "x").with_cause("y");
        let (sessions, sockets, ends) = (session_states(&error), socket_states(), ends(&error));
        let text = Message::text("x");
        let binary = Message::binary(vec![0, 1]);
        let statuses = [
            SendStatus::Queued,
            SendStatus::Sent,
            SendStatus::Failed(error.clone()),
        ];
        let mut lines = vec![
            Line::Refresh {
                refresh: Refresh::Started {
                    why: RefreshReason::Timer,
                },
            },
            Line::Refresh {
                refresh: Refresh::Done {
                    token: 1,
                    expires_at: None,
                },
            },
            Line::Refresh {
                refresh: Refresh::Failed { error: &error },
            },
            Line::ExpiringSoon { expires_at: 1 },
            Line::Attempt {
                attempt: 1,
                placement: "query",
                token: 1,
                handover: false,
            },
            Line::Opened {
                subprotocol: None,
                handover: false,
            },
            Line::Renewed,
            Line::OneConnectionPerUser,
            Line::Unread { count: 1 },
            Line::Message { message: &text },
            Line::Message { message: &binary },
            Line::Error {
                during: "start",
                error: &error,
            },
            Line::Missed {
                stream: "s",
                count: 1,
            },
            Line::Exit { code: 0, reason: "" },
        ];
        lines.extend(sessions.iter().map(|state| Line::Session { state }));
        lines.extend(sockets.iter().map(|state| Line::Socket { state }));
        lines.extend(ends.iter().map(|ended| Line::Ended {
            ended,
            will_retry: true,
        }));
        lines.extend(ends.iter().map(|ended| Line::AuthRefused { ended }));
        lines.extend(statuses.iter().map(|status| Line::Send { send: 1, status }));
        let lines: Vec<Value> = lines.iter().map(json).collect();
        lines.iter().for_each(format::check);

        let printed: BTreeSet<String> = lines.iter().map(format::shape).collect();
        for example in format::examples() {
            assert!(
                printed.contains(&format::shape(&example)),
                "documented, but never printed: {example}"
            );
        }
    }

    fn session_states(error: &Error) -> Vec<SessionState> {
        vec![
            SessionState::Restoring,
            SessionState::SignedOut {
                cause: SignOutCause::Expired,
            },
            SessionState::Active { expires_at: Some(1) },
            SessionState::Refreshing { expires_at: None },
            SessionState::Unreachable {
                since: 1,
                cause: error.clone(),
                next_attempt: 2,
                expires_at: None,
            },
        ]
    }

    fn socket_states() -> Vec<SocketState> {
        vec![
            SocketState::Idle,
            SocketState::WaitingForSession,
            SocketState::Authenticating,
            SocketState::Connecting { attempt: 1 },
            SocketState::Open,
            SocketState::Backoff {
                attempt: 1,
                cause: Ended::Silent,
                next_attempt: 1,
            },
            SocketState::Offline,
            SocketState::Refused {
                cause: Ended::TimedOut,
            },
            SocketState::Closed {
                by: ClosedBy::Server,
                code: 1000,
                reason: String::new(),
            },
        ]
    }

    fn ends(error: &Error) -> Vec<Ended> {
        vec![
            Ended::Closed {
                code: 1000,
                reason: String::new(),
            },
            Ended::Lost {
                detail: String::new(),
            },
            Ended::Silent,
            Ended::Http { status: 503 },
            Ended::Unreachable {
                detail: String::new(),
            },
            Ended::TimedOut,
            Ended::AuthMessage,
            Ended::NoToken { cause: error.clone() },
            Ended::Replaced,
            Ended::Asked,
        ]
    }
}
