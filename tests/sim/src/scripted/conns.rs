//! Connections as the driver has them, and what tests do to them.

use std::collections::VecDeque;

use freshsocket::Message;
use freshsocket::inspect::Inspector;
use freshsocket::io::{ConnEnd, ConnId, ConnectFailure, ConnectRequest, Input, SendId, SocketId};
use freshsocket::time::Mono;

use super::ws::{ConnectFault, Handshake};
use super::{Event, OnOpen, RefuseAs, Sent, World};

/// The driver's end of a connection, and the server's.
pub struct Conn {
    pub socket: SocketId,
    pub open: bool,
    pub text: String,
    pub last_received: Mono,
    inspector: Inspector,
    buffer: VecDeque<(SendId, Message)>,
    last_message: Option<Message>,
}

impl World {
    pub fn dial(&mut self, conn: ConnId, socket: SocketId, request: &ConnectRequest) {
        let (text, ticket) = self.carried(request);
        let faulty = self.ws.strike();
        let good = text
            .as_deref()
            .is_some_and(|text| self.server.accepts(text, self.now + self.ws.latency));
        let good = (good || !self.ws.checks) && !self.ws.refuses_all;
        let refused_late = !good && !matches!(self.ws.refuse_as, RefuseAs::Http(_));
        let accepted = faulty.is_none() && good;
        let text = text.unwrap_or_default();
        let token = self.checks.attempt_token;
        self.ws.handshakes.push(Handshake {
            at: self.now,
            socket,
            conn: conn.0,
            token,
            text: text.clone(),
            ticket,
            accepted,
        });
        self.conns.insert(
            conn.0,
            Conn {
                socket,
                open: false,
                text,
                last_received: Mono(0),
                inspector: Inspector::new(&self.options[&socket]),
                buffer: VecDeque::new(),
                last_message: None,
            },
        );
        let failure = match (faulty, self.ws.refuse_as) {
            (Some(ConnectFault::Hangs), _) => return,
            (Some(ConnectFault::Unreachable), _) => Some(ConnectFailure::Unreachable {
                detail: "connection refused".into(),
            }),
            (Some(ConnectFault::Http(status, retry_after)), _) => Some(ConnectFailure::Http {
                status,
                retry_after: retry_after.map(str::to_owned),
            }),
            (None, RefuseAs::Http(status)) if !good => Some(ConnectFailure::Http {
                status,
                retry_after: None,
            }),
            (None, _) => None,
        };
        let life = self.life;
        let heard = 2 * self.ws.latency;
        if let Some((code, offset)) = self.ws.only_one.filter(|_| failure.is_none()) {
            let others = self.conns.iter().filter(|(_, other)| other.open);
            for conn in others.map(|(id, _)| ConnId(*id)).collect::<Vec<_>>() {
                let act = OnOpen::Close(code, "replaced");
                self.at(
                    heard.saturating_add_signed(offset),
                    Event::Act { life, conn, act },
                );
            }
        }
        self.at(heard, Event::Dialled { life, conn, failure });
        if refused_late && faulty.is_none() {
            let delay = 2 * self.ws.latency + 1;
            match self.ws.refuse_as {
                RefuseAs::Close(code) => {
                    self.at(
                        delay,
                        Event::Act {
                            life,
                            conn,
                            act: OnOpen::Close(code, ""),
                        },
                    );
                }
                RefuseAs::Message(text, code) => {
                    self.at(
                        delay,
                        Event::Act {
                            life,
                            conn,
                            act: OnOpen::Say(text),
                        },
                    );
                    self.at(
                        delay,
                        Event::Act {
                            life,
                            conn,
                            act: OnOpen::Close(code, ""),
                        },
                    );
                }
                RefuseAs::Http(_) => {}
            }
        }
    }

    pub fn dialled(&mut self, conn: ConnId, failure: Option<ConnectFailure>) {
        if let Some(failure) = failure {
            if self.conns.remove(&conn.0).is_some() {
                self.input(Input::ConnectFailed { conn, failure });
            }
            return;
        }
        let mono = self.clock().mono;
        let Some(open) = self.conns.get_mut(&conn.0) else {
            return;
        };
        open.open = true;
        open.last_received = mono;
        self.ws.opened(conn.0);
        let life = self.life;
        for (delay, act) in self.ws.on_open.clone() {
            self.at(delay, Event::Act { life, conn, act });
        }
        if self.ws.closes_at_expiry.is_some() {
            self.at(1, Event::Expiry { life, conn });
        }
        self.input(Input::Opened {
            conn,
            subprotocol: Some("access_token".into()),
        });
    }

    /// Something that the server does to a connection arrives.
    pub fn act(&mut self, conn: ConnId, act: OnOpen) {
        if self.ws.silent {
            return;
        }
        match act {
            OnOpen::Say(text) => self.say_on(conn, text),
            OnOpen::Close(code, reason) => {
                let refused = self
                    .conns
                    .get(&conn.0)
                    .is_some_and(|c| c.inspector.was_refusal(c.last_message.as_ref()));
                self.ended(
                    conn,
                    ConnEnd::Closed {
                        code,
                        reason: reason.to_owned(),
                        refused,
                    },
                );
            }
            OnOpen::Cut => self.ended(
                conn,
                ConnEnd::Lost {
                    detail: "reset".into(),
                    refused: false,
                },
            ),
        }
    }

    fn say_on(&mut self, conn: ConnId, text: &str) {
        self.heard(conn);
        let Some(open) = self.conns.get_mut(&conn.0) else {
            return;
        };
        let message = Message::text(text);
        let verdict = open.inspector.look(&message);
        open.last_message = Some(message);
        if let Some(notice) = verdict.notice {
            self.input(Input::Noticed { conn, notice });
        }
    }

    pub fn heard(&mut self, conn: ConnId) {
        let mono = self.clock().mono;
        if let Some(open) = self.conns.get_mut(&conn.0) {
            open.last_received = mono;
        }
    }

    /// Flush, then the closing handshake.
    pub fn close(&mut self, conn: ConnId, code: u16, reason: String) {
        let Some(open) = self.conns.get(&conn.0) else {
            return;
        };
        self.ws.client_closes.push((conn.0, code));
        if self.ws.never_closes {
            return;
        }
        let flushed = open.buffer.is_empty() && !self.ws.silent;
        let end = if flushed {
            ConnEnd::Closed {
                code,
                reason,
                refused: false,
            }
        } else {
            ConnEnd::Lost {
                detail: "no answer to the close".into(),
                refused: false,
            }
        };
        let delay = if flushed { 2 * self.ws.latency } else { 5_000 };
        self.end_later(delay, conn, end);
    }

    pub fn end_later(&mut self, delay: u64, conn: ConnId, end: ConnEnd) {
        let life = self.life;
        self.at(delay, Event::Over { life, conn, end });
    }

    /// A connection is over; what it did not hand out goes back.
    pub fn ended(&mut self, conn: ConnId, end: ConnEnd) {
        let Some(over) = self.conns.remove(&conn.0) else {
            return;
        };
        self.ws.forget(conn.0);
        let unsent = over.buffer.into_iter().collect();
        self.input(Input::Ended { conn, end, unsent });
    }

    pub fn write(&mut self, conn: ConnId, messages: Vec<(SendId, Message)>) {
        let open = self
            .conns
            .get_mut(&conn.0)
            .filter(|conn| conn.open)
            .expect("written to a connection that is none");
        open.buffer.extend(messages);
        self.flush(conn);
    }

    fn flush(&mut self, conn: ConnId) {
        while !self.ws.stalled {
            let open = self.conns.get_mut(&conn.0).unwrap();
            let socket = open.socket;
            let Some((send, message)) = open.buffer.pop_front() else {
                return;
            };
            self.checks.handed_out(socket, send);
            let before = self.sends.insert(send, Sent::Out);
            assert_eq!(before, Some(Sent::Queued), "{send:?} has an end already");
            let text = message.as_text().unwrap().to_owned();
            self.at(self.ws.latency, Event::ToServer { conn, text });
        }
    }

    /// The transport takes messages again.
    pub fn unstall(&mut self) {
        self.ws.stalled = false;
        let open: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.open)
            .map(|(id, _)| *id)
            .collect();
        for conn in open {
            self.flush(ConnId(conn));
        }
    }

    // ---- what tests do to all connections ----

    fn each_open(&mut self, act: OnOpen) {
        let open: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.open)
            .map(|(id, _)| *id)
            .collect();
        for conn in open {
            self.act(ConnId(conn), act);
        }
    }

    pub fn cut_all(&mut self) {
        self.each_open(OnOpen::Cut);
    }

    pub fn cut_newest(&mut self) {
        let newest = self
            .conns
            .iter()
            .rev()
            .find(|(_, conn)| conn.open)
            .map(|(id, _)| *id);
        if let Some(conn) = newest {
            self.act(ConnId(conn), OnOpen::Cut);
        }
    }

    pub fn close_all(&mut self, code: u16) {
        self.each_open(OnOpen::Close(code, ""));
    }

    pub fn say(&mut self, text: &'static str) {
        self.each_open(OnOpen::Say(text));
    }

    /// Does this after so many milliseconds.
    pub fn later(&mut self, delay: u64, act: impl FnOnce(&mut Self) + 'static) {
        self.at(delay, Event::Later(Box::new(act)));
    }

    pub fn renewed_in_band(&mut self, conn: ConnId, text: &str) {
        let token = self
            .server
            .issued
            .keys()
            .find(|token| text.contains(token.as_str()))
            .cloned();
        if let (Some(token), Some(open)) = (token, self.conns.get_mut(&conn.0)) {
            open.text = token;
        }
    }

    /// The token that a request carries, wherever it does; and the ticket.
    fn carried(&mut self, request: &ConnectRequest) -> (Option<String>, Option<String>) {
        let mut places: Vec<&str> = vec![request.url.expose()];
        places.extend(request.subprotocols.iter().map(freshsocket::Secret::expose));
        places.extend(request.headers.iter().map(|(_, value)| value.expose()));
        places.extend(request.first_message.iter().map(freshsocket::Secret::expose));
        let found = |text: &&String| places.iter().any(|place| place.contains(text.as_str()));
        let ticket = request.url.expose().split("ticket=").nth(1).map(str::to_owned);
        if let Some(ticket) = ticket {
            let first_use = self.server.used_tickets.insert(ticket.clone());
            let bought_with = self.server.tickets.get(&ticket).cloned();
            return (bought_with.filter(|_| first_use), Some(ticket));
        }
        // The longest: of two opaque tokens one may begin with the other.
        let text = self
            .server
            .issued
            .keys()
            .filter(found)
            .max_by_key(|text| text.len())
            .cloned();
        (text, None)
    }
}
