//! Everything that session and socket tell: changes, and messages.

use freshsocket::{
    Changes, Error, Message, Session, SessionEvent, SessionState, SocketEvent, SocketHandle, SocketState,
};

/// One thing that was told.
#[derive(Debug)]
pub(crate) enum Seen {
    Session(SessionState),
    SessionEvent(SessionEvent),
    Socket(SocketState),
    SocketEvent(SocketEvent),
    Message(Message),
    /// The socket is over: all messages were read, and this is why there are no more.
    Over(Error),
}

impl Seen {
    /// What reading the socket brought.
    pub(crate) fn read(read: Result<Message, Error>) -> Self {
        read.map_or_else(Self::Over, Self::Message)
    }
}

/// What is listened to.
#[derive(Debug)]
pub(crate) struct Watch {
    states: Changes<SessionState>,
    events: Changes<SessionEvent>,
    socket: Option<WatchedSocket>,
    missed: u64,
}

#[derive(Debug)]
struct WatchedSocket {
    states: Changes<SocketState>,
    events: Changes<SocketEvent>,
}

impl Watch {
    pub(crate) fn session(session: &Session) -> Self {
        Self {
            events: session.events(),
            states: session.states(),
            socket: None,
            missed: 0,
        }
    }

    /// Listens to this socket as well.
    pub(crate) fn add(&mut self, socket: &SocketHandle) {
        self.socket = Some(WatchedSocket {
            events: socket.events(),
            states: socket.states(),
        });
    }

    /// The next state or event; `None` when there will be none. Cancel-safe.
    pub(crate) async fn change(&mut self) -> Option<Seen> {
        let Self {
            states,
            events,
            socket,
            ..
        } = self;
        let Some(WatchedSocket {
            states: socket_states,
            events: socket_events,
            ..
        }) = socket
        else {
            return tokio::select! {
                biased;
                Some(event) = events.next() => Some(Seen::SessionEvent(event)),
                Some(state) = states.next() => Some(Seen::Session(state)),
                else => None,
            };
        };
        tokio::select! {
            biased;
            Some(event) = events.next() => Some(Seen::SessionEvent(event)),
            Some(state) = states.next() => Some(Seen::Session(state)),
            Some(event) = socket_events.next() => Some(Seen::SocketEvent(event)),
            Some(state) = socket_states.next() => Some(Seen::Socket(state)),
            else => None,
        }
    }

    /// How many states and events were missed since the last call, because they came faster than they were taken.
    pub(crate) fn newly_missed(&mut self) -> u64 {
        let of_socket = self
            .socket
            .as_ref()
            .map_or(0, |socket| socket.states.missed() + socket.events.missed());
        let missed = self.states.missed() + self.events.missed() + of_socket;
        missed - std::mem::replace(&mut self.missed, missed)
    }
}
