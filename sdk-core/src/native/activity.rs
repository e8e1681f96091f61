//! Everything that is told of a session and its sockets, as one stream: in one order, and with times.

use serde::Serialize;

use super::hub::Hub;
use crate::state::{SessionEvent, SessionState, SocketEvent, SocketState};

/// One thing that happened, as [`Session::activity`](crate::Session::activity) tells it. It holds no token.
///
/// ```
/// use freshsocket::Activity;
///
/// // One line of a log file.
/// fn line(activity: &Activity) -> serde_json::Result<String> {
///     serde_json::to_string(activity) // {"number":7,"at":1700000000000,"what":"sessionState","state":"active",…}
/// }
/// # fn _as_it_is_used(activity: &Activity) { let _ = line(activity); }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Activity {
    /// Its place among all that happened to this session and its sockets, from 1, whether anybody listened or not.
    /// Whoever listens sees these numbers grow by one; where they grow by more, what is between was dropped, because it
    /// was read too slowly.
    pub number: u64,
    /// When it was decided, in milliseconds since 1970, on the device's clock: what one answer, end of a connection or
    /// deadline brings about has one time. Where that clock is set back, this goes back too, and `number` does not.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: ActivityKind,
}

/// What an [`Activity`] is about. Sockets are named by [`SocketHandle::number`](crate::SocketHandle::number).
///
/// ```
/// use freshsocket::ActivityKind;
///
/// fn line(what: &ActivityKind) -> String {
///     match what {
///         ActivityKind::SessionState(state) => format!("session: {}", state.name()),
///         ActivityKind::SocketState { socket, state } => format!("socket {socket}: {}", state.name()),
///         other => format!("{other:?}"), // holds no token
///     }
/// }
/// let restoring = ActivityKind::SessionState(freshsocket::SessionState::Restoring);
/// assert_eq!(line(&restoring), "session: restoring");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "camelCase")]
#[non_exhaustive]
pub enum ActivityKind {
    /// The session's state changed to this.
    SessionState(SessionState),
    /// Something happened to the session, beyond its state.
    SessionEvent(SessionEvent),
    /// A socket's state changed.
    SocketState {
        /// Which socket.
        socket: u64,
        /// To what.
        #[serde(flatten)]
        state: SocketState,
    },
    /// Something happened on a socket.
    SocketEvent {
        /// Which socket.
        socket: u64,
        /// What.
        #[serde(flatten)]
        event: SocketEvent,
    },
}

/// The driver's side of the stream. What one input brings about is numbered as the machine decided it, and told when
/// all of it was done: the driver does some of it in another order.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    at: u64,
    last: u64,
    noted: Vec<Activity>,
}

impl Teller {
    /// What follows is decided at this time.
    pub(crate) fn at(&mut self, unix_ms: u64) {
        self.at = unix_ms;
    }

    /// The number of the next thing that was decided.
    pub(crate) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Notes what has this number, if anybody wants to know. Of states after they can be read elsewhere: who comes too
    /// late for this finds them there.
    pub(crate) fn note(&mut self, hub: &Hub<Activity>, number: u64, what: impl FnOnce() -> ActivityKind) {
        if hub.is_wanted() {
            self.noted.push(Activity {
                number,
                at: self.at,
                what: what(),
            });
        }
    }

    /// Tells what was noted, in the order of the numbers.
    pub(crate) fn tell(&mut self, hub: &Hub<Activity>) {
        self.noted.sort_unstable_by_key(|activity| activity.number);
        for activity in self.noted.drain(..) {
            hub.send(&activity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ActivityKind {
        ActivityKind::SessionState(SessionState::Restoring)
    }

    #[tokio::test]
    async fn what_is_done_in_another_order_is_told_in_the_order_of_its_numbers() {
        let (hub, mut teller) = (Hub::beginning(4), Teller::default());
        teller.at(7);
        let (first, second) = (teller.number(), teller.number());
        teller.note(&hub, second, state);
        teller.note(&hub, first, state);
        teller.tell(&hub);
        let mut told = hub.subscribe([]);
        for number in [1, 2] {
            let activity = told.next().await.unwrap();
            assert_eq!((activity.number, activity.at), (number, 7));
        }
    }

    #[test]
    fn nothing_is_made_when_nobody_listens() {
        let (hub, mut teller) = (Hub::beginning(4), Teller::default());
        drop(hub.subscribe([]));
        let number = teller.number();
        teller.note(&hub, number, || panic!("nobody wants it"));
        teller.tell(&hub);
        assert_eq!(teller.number(), 2, "it is counted all the same");
    }

    #[test]
    fn the_json_form_says_what_and_of_which_socket() {
        let activity = |what| Activity {
            number: 1,
            at: 2,
            what,
        };
        let json = |what| serde_json::to_string(&activity(what)).unwrap();
        assert_eq!(
            json(state()),
            r#"{"number":1,"at":2,"what":"sessionState","state":"restoring"}"#
        );
        let event = SocketEvent::Renewed;
        assert_eq!(
            json(ActivityKind::SocketEvent { socket: 3, event }),
            r#"{"number":1,"at":2,"what":"socketEvent","socket":3,"event":"renewed"}"#
        );
    }
}
