//! Everything that session and socket tell: changes, and messages.

use freshsocket::{
    Activity, ActivityKind, Changes, Error, Message, Session, SessionEvent, SessionState, SocketEvent,
    SocketState,
};

use crate::output::unix_ms;

/// One thing that was told, and when it happened.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) at_unix_ms: u64,
    pub(crate) what: What,
}

/// What was told.
#[derive(Debug)]
pub(crate) enum What {
    Session(SessionState),
    SessionEvent(SessionEvent),
    Socket(SocketState),
    SocketEvent(SocketEvent),
    Message(Message),
    /// The socket is over: all messages were read, and this is why there are no more.
    Over(Error),
}

impl Seen {
    /// What reading the socket brought, just now.
    pub(crate) fn read(read: Result<Message, Error>) -> Self {
        Self {
            at_unix_ms: unix_ms(),
            what: read.map_or_else(What::Over, What::Message),
        }
    }

    /// `None` for what later versions tell and this client does not know.
    fn activity(activity: Activity) -> Option<Self> {
        let what = match activity.what {
            ActivityKind::SessionState(state) => What::Session(state),
            ActivityKind::SessionEvent(event) => What::SessionEvent(event),
            // There is one socket.
            ActivityKind::SocketState { state, .. } => What::Socket(state),
            ActivityKind::SocketEvent { event, .. } => What::SocketEvent(event),
            _ => return None,
        };
        Some(Self {
            at_unix_ms: activity.at,
            what,
        })
    }
}

/// What is listened to: the session and its socket, in one order.
#[derive(Debug)]
pub(crate) struct Watch {
    activity: Changes<Activity>,
    missed: u64,
}

impl Watch {
    pub(crate) fn session(session: &Session) -> Self {
        Self {
            activity: session.activity(),
            missed: 0,
        }
    }

    /// The next state or event; `None` when there will be none. Cancel-safe.
    pub(crate) async fn change(&mut self) -> Option<Seen> {
        loop {
            if let Some(seen) = Seen::activity(self.activity.next().await?) {
                return Some(seen);
            }
        }
    }

    /// How many states and events were missed since the last call, because they came faster than they were taken.
    pub(crate) fn newly_missed(&mut self) -> u64 {
        let missed = self.activity.missed();
        missed - std::mem::replace(&mut self.missed, missed)
    }
}
