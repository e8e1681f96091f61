//! The client's end of connections: writing, flushing, closing; and what arrives there.

use freshsocket::Message;
use freshsocket::io::{ConnEnd, ConnId, Input, SendId};

use super::Fleet;
use super::event::{Event, Process};
use super::sabotage::Sabotage;
use super::sockets::{Client, Conn};

/// What travels on a connection.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// A message of the application, by its number in the world.
    Message(usize),
    /// Any other text.
    Text(String),
    Ping,
    Pong,
    Close(u16),
    /// The transport is over.
    Reset,
}

/// How long a driver waits for the other side in the closing handshake.
const CLOSE_LIMIT_MS: u64 = 4_000;

impl Fleet {
    pub(super) fn key_of(&self, h: usize, conn: ConnId) -> Option<u64> {
        self.sockets.keys.get(&(h, self.holders[h].life, conn)).copied()
    }

    pub(super) fn conn_of(&self, h: usize, conn: ConnId) -> Option<&Conn> {
        self.key_of(h, conn).and_then(|key| self.sockets.conns.get(&key))
    }

    pub(super) fn transmit(&mut self, h: usize, conn: ConnId, messages: Vec<(SendId, Message)>) {
        for (send, message) in messages {
            let twice = self.sabotage == Sabotage::WritesTwice;
            for _ in 0..=usize::from(twice) {
                self.write(h, conn, send, message.clone());
            }
        }
    }

    /// Gives a message to the driver's end of a connection.
    pub(super) fn write(&mut self, h: usize, conn: ConnId, send: SendId, message: Message) {
        self.given_to_driver(h, conn, send);
        let Some(key) = self.key_of(h, conn) else {
            // The driver forgot it already: the machine hears of its end next, with this message in it.
            return self.late_write(h, conn, send, message);
        };
        if let Some(conn) = self.sockets.conns.get_mut(&key) {
            conn.buffer.push_back((send, message));
        }
        self.flush(key);
    }

    /// Hands out what was given, unless the transport takes nothing.
    pub(super) fn flush(&mut self, key: u64) {
        while let Some(conn) = self.sockets.conns.get_mut(&key) {
            if conn.stalled || !matches!(conn.client, Client::Open | Client::Closing { .. }) {
                return;
            }
            let (h, id) = (conn.process.holder, conn.id);
            let closed = matches!(conn.client, Client::Closing { flushed: true, .. });
            let Some((send, _)) = conn.buffer.pop_front() else {
                if let Client::Closing { code, flushed: false } = conn.client {
                    conn.client = Client::Closing { code, flushed: true };
                    self.send_up(key, Frame::Close(code));
                    self.feed(h, Input::Flushed { conn: id });
                }
                return;
            };
            if closed {
                return self.violated("W10", || {
                    format!("h{h}: message {} goes out behind the close frame", send.0)
                });
            }
            if let Some(message) = self.handed_out(h, id, send) {
                self.send_up(key, Frame::Message(message));
            }
        }
    }

    pub(super) fn transmit_secret(&mut self, h: usize, conn: ConnId, text: &str) {
        self.check_secret(h, text);
        if let Some(key) = self.key_of(h, conn) {
            self.send_up(key, Frame::Text(text.to_owned()));
        }
    }

    pub(super) fn ping(&mut self, h: usize, conn: ConnId) {
        self.cover.count("socket: pinged");
        if let Some(key) = self.key_of(h, conn) {
            self.send_up(key, Frame::Ping);
        }
    }

    pub(super) fn close(&mut self, h: usize, conn: ConnId, code: u16) {
        let Some(key) = self.key_of(h, conn) else { return };
        let Some(end) = self.sockets.conns.get_mut(&key).map(|conn| &mut conn.client) else {
            return;
        };
        match *end {
            Client::Open => *end = Client::Closing { code, flushed: false },
            // Not open yet: nothing to flush, nobody to greet.
            Client::Dialling => return self.abort(h, conn),
            _ => return,
        }
        self.flush(key);
        self.after(CLOSE_LIMIT_MS, Event::CloseLimit { conn: key });
    }

    pub(super) fn close_limit(&mut self, key: u64) {
        let over = self
            .sockets
            .conns
            .get(&key)
            .is_some_and(|conn| matches!(conn.client, Client::Closing { .. }));
        if over {
            self.send_up(key, Frame::Reset);
            let end = ConnEnd::Lost {
                detail: "no answer to the close".into(),
                refused: false,
            };
            self.client_over(key, end);
        }
    }

    pub(super) fn abort(&mut self, h: usize, conn: ConnId) {
        let Some(key) = self.key_of(h, conn) else { return };
        self.send_up(key, Frame::Reset);
        let end = ConnEnd::Lost {
            detail: "aborted".into(),
            refused: false,
        };
        self.client_over(key, end);
    }

    /// The client's end is over: the machine hears how, and gets back what was not handed out.
    pub(super) fn client_over(&mut self, key: u64, end: ConnEnd) {
        let Some(conn) = self.sockets.conns.get_mut(&key) else {
            return;
        };
        if matches!(conn.client, Client::Gone) {
            return;
        }
        let was_open = !matches!(conn.client, Client::Dialling);
        conn.client = Client::Gone;
        let (process, id) = (conn.process, conn.id);
        let mut unsent: Vec<(SendId, Message)> = std::mem::take(&mut conn.buffer).into();
        self.sockets.keys.remove(&(process.holder, process.life, id));
        self.sockets.tidy(key);
        if !self.is_alive(process) {
            return;
        }
        let h = process.holder;
        if self.sabotage == Sabotage::NeverEnds && self.chance(300) {
            return;
        }
        if self.sabotage == Sabotage::LosesUnsent {
            unsent.clear();
        }
        self.came_back(h, &unsent);
        let input = if was_open {
            Input::Ended {
                conn: id,
                end,
                unsent,
            }
        } else {
            Input::ConnectFailed {
                conn: id,
                failure: freshsocket::io::ConnectFailure::Unreachable {
                    detail: "aborted".into(),
                },
            }
        };
        // Performed by a task of its own: the machine hears of it next, not in the middle of what it says.
        self.holders[h].inbox.push_back(input);
        self.after(0, Event::Inbox { holder: h });
    }

    /// A message for a connection whose end is on its way to the machine.
    fn late_write(&mut self, h: usize, conn: ConnId, send: SendId, message: Message) {
        let ended = self.holders[h].inbox.iter_mut().find_map(|input| match input {
            Input::Ended { conn: id, unsent, .. } if *id == conn => Some(unsent),
            _ => None,
        });
        match ended {
            Some(unsent) => {
                unsent.push((send, message.clone()));
                self.came_back(h, &[(send, message)]);
            }
            None => self.violated("driver", || {
                format!("h{h}: message {} for connection {} which is over", send.0, conn.0)
            }),
        }
    }

    // ---- what arrives ----

    pub(super) fn down(&mut self, key: u64, frame: Frame) {
        let Some(conn) = self.sockets.conns.get(&key) else {
            return;
        };
        let (process, blackhole) = (conn.process, conn.blackhole);
        if !self.is_alive(process) || blackhole {
            return;
        }
        if self.holders[process.holder].link.down {
            // What TCP cannot deliver it tries again, in order.
            if let Some(conn) = self.sockets.conns.get_mut(&key) {
                conn.held_down.push(frame);
            }
            return;
        }
        self.arrive(key, process, frame);
    }

    fn arrive(&mut self, key: u64, process: Process, frame: Frame) {
        let h = process.holder;
        let mono = self.clock(h).mono;
        let Some(conn) = self.sockets.conns.get_mut(&key) else {
            return;
        };
        if !matches!(conn.client, Client::Open | Client::Closing { .. }) {
            return;
        }
        conn.last_received = mono;
        let id = conn.id;
        match frame {
            Frame::Text(text) => {
                let message = Message::text(text);
                let verdict = conn.inspector.look(&message);
                conn.last_message = Some(message);
                if let Some(notice) = verdict.notice {
                    self.feed(h, Input::Noticed { conn: id, notice });
                }
            }
            Frame::Close(code) => {
                let refused = conn.inspector.was_refusal(conn.last_message.as_ref());
                let end = ConnEnd::Closed {
                    code,
                    reason: String::new(),
                    refused,
                };
                self.send_up(key, Frame::Close(code));
                self.client_over(key, end);
            }
            Frame::Reset => {
                let refused = conn.inspector.was_refusal(conn.last_message.as_ref());
                let end = ConnEnd::Lost {
                    detail: "reset".into(),
                    refused,
                };
                self.client_over(key, end);
            }
            Frame::Message(_) | Frame::Ping | Frame::Pong => {}
        }
    }

    /// The link is back: what was held arrives now, in order.
    pub(super) fn release_held(&mut self, h: usize) {
        let keys: Vec<u64> = self
            .sockets
            .conns
            .iter()
            .filter(|(_, conn)| conn.process.holder == h)
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let Some(conn) = self.sockets.conns.get_mut(&key) else {
                continue;
            };
            let (up, down) = (
                std::mem::take(&mut conn.held_up),
                std::mem::take(&mut conn.held_down),
            );
            for frame in up {
                self.up(key, frame);
            }
            for frame in down {
                self.down(key, frame);
            }
        }
    }
}
