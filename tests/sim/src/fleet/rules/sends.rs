//! W10: every message has one end; it goes out once, in order, and under the user who sent it.

use freshsocket::io::{ConnId, SendId, SocketId};
use freshsocket::{Error, ErrorKind, Json, Message};

use super::super::Fleet;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the machine.
    Machine,
    /// With the driver, for a connection.
    Driver(ConnId),
    /// Handed to the operating system.
    Out,
    Failed(ErrorKind),
    /// Its process was killed.
    Gone,
}

/// One message.
#[derive(Debug)]
pub(super) struct Sent {
    holder: usize,
    life: u64,
    socket: SocketId,
    send: SendId,
    /// Who was signed in when the application sent it.
    user: String,
    story: u64,
    place: Place,
    arrived: bool,
}

impl Fleet {
    pub(in super::super) fn new_send(&mut self, h: usize, socket: SocketId, send: SendId) -> usize {
        let number = self.rules.sends.len();
        let holder = &mut self.holders[h];
        let name = holder
            .view
            .as_ref()
            .and_then(|view| view.user.as_ref())
            .and_then(|user| user.at("/name"));
        self.rules.sends.push(Sent {
            holder: h,
            life: holder.life,
            socket,
            send,
            user: name.and_then(Json::as_str).unwrap_or_default().to_owned(),
            story: holder
                .watched
                .sockets
                .get(&socket)
                .map_or(0, |watched| watched.story),
            place: Place::Machine,
            arrived: false,
        });
        holder.sends.insert(send, number);
        number
    }

    fn sent(&mut self, h: usize, send: SendId) -> Option<(usize, &mut Sent)> {
        let number = self.holders[h].sends.get(&send).copied()?;
        self.rules.sends.get_mut(number).map(|sent| (number, sent))
    }

    /// Moves a message, if it is where it should be.
    fn moves(&mut self, h: usize, send: SendId, from: impl Fn(Place) -> bool, to: Place) -> Option<usize> {
        let (number, sent) = self.sent(h, send)?;
        let place = sent.place;
        if from(place) {
            sent.place = to;
            return Some(number);
        }
        self.violated("W10", || {
            format!("h{h}: message {} was {place:?} and becomes {to:?}", send.0)
        });
        None
    }

    pub(in super::super) fn given_to_driver(&mut self, h: usize, conn: ConnId, send: SendId) {
        self.moves(h, send, |place| place == Place::Machine, Place::Driver(conn));
    }

    pub(in super::super) fn handed_out(&mut self, h: usize, conn: ConnId, send: SendId) -> Option<usize> {
        self.cover.count("send: out");
        let number = self.moves(h, send, |place| place == Place::Driver(conn), Place::Out)?;
        let socket = self.rules.sends[number].socket;
        let story = self.rules.sends[number].story;
        let last_out = &mut self.holders[h]
            .watched
            .sockets
            .entry(socket)
            .or_default()
            .last_out;
        let last = *last_out;
        *last_out = last.max(Some((story, send)));
        if last.is_some_and(|(of, last)| of == story && last >= send) {
            self.violated("W10", || {
                format!("h{h}: message {} goes out after {last:?}", send.0)
            });
        }
        Some(number)
    }

    pub(in super::super) fn came_back(&mut self, h: usize, unsent: &[(SendId, Message)]) {
        for (send, _) in unsent {
            self.cover.count("send: came back");
            self.moves(
                h,
                *send,
                |place| matches!(place, Place::Driver(_)),
                Place::Machine,
            );
        }
    }

    pub(in super::super) fn send_failed(&mut self, h: usize, send: SendId, error: &Error) {
        let kind = error.kind();
        self.cover.count(match kind {
            ErrorKind::MessageExpired => "send: expired",
            ErrorKind::IdentityChanged => "send: another user",
            ErrorKind::SignedOut => "send: signed out",
            ErrorKind::OutboxFull => "send: outbox full",
            _ => "send: failed otherwise",
        });
        self.moves(h, send, |place| place == Place::Machine, Place::Failed(kind));
    }

    pub(in super::super) fn sends_die(&mut self, h: usize) {
        for number in std::mem::take(&mut self.holders[h].sends).into_values() {
            let sent = &mut self.rules.sends[number];
            if matches!(sent.place, Place::Machine | Place::Driver(_)) {
                sent.place = Place::Gone;
            }
        }
    }

    /// A message arrives at the server.
    pub(in super::super) fn arrived(&mut self, key: u64, number: usize) {
        self.cover.count("send: arrived");
        let Some(conn) = self.sockets.conns.get_mut(&key) else {
            return;
        };
        let user = conn.user.clone();
        let sent = &mut self.rules.sends[number];
        let last = conn.last_arrived.replace(sent.send);
        let (send, place) = (sent.send, sent.place);
        let (h, life) = (sent.holder, sent.life);
        if last >= Some(send) {
            self.violated("W10", || {
                format!("h{h}: message {} arrives after {last:?}", send.0)
            });
        } else if std::mem::replace(&mut sent.arrived, true) {
            self.violated("W10", || format!("h{h}: message {} arrives twice", send.0));
        } else if sent.user != user {
            let whose = sent.user.clone();
            self.violated("W10", || {
                format!(
                    "h{h}, life {life}: message {} of {whose:?} arrives as {user:?}'s",
                    send.0
                )
            });
        } else if place != Place::Out {
            self.violated("W10", || {
                format!("h{h}: message {} arrives and is {place:?}", send.0)
            });
        }
    }

    /// Messages of living processes that have no end.
    pub(super) fn without_end(&self) -> Vec<String> {
        self.holders
            .iter()
            .flat_map(|holder| holder.sends.values())
            .filter_map(|number| self.rules.sends.get(*number))
            .filter(|sent| matches!(sent.place, Place::Machine | Place::Driver(_)))
            .map(|sent| format!("h{} message {} {:?}", sent.holder, sent.send.0, sent.place))
            .collect()
    }
}
