//! The WebSocket server, and the connections between it and the holders.

use std::collections::{BTreeMap, VecDeque};

use freshsocket::inspect::Inspector;
use freshsocket::io::{ConnId, ConnectFailure, ConnectRequest, Input, SendId, SocketId};
use freshsocket::time::Mono;
use freshsocket::{Json, Message, Secret};

use super::Fleet;
use super::event::{Event, Process};
use super::plan::RefuseAs;
use super::wire::Frame;

/// What goes wrong with handshakes, while it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WsFault {
    Unreachable,
    Hangs,
    Http(u16, Option<&'static str>),
    /// Refuses every credential.
    RefusesAll,
    AcceptsThenCloses(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Dialling,
    Open,
    Closing { code: u16, flushed: bool },
    Gone,
}

/// One connection, both ends of it.
pub(super) struct Conn {
    pub(super) process: Process,
    pub(super) id: ConnId,
    pub(super) client: Client,
    /// The server's end is open.
    pub(super) server: bool,
    pub(super) token: String,
    pub(super) user: String,
    /// Nothing gets through in either direction, and nobody is told.
    pub(super) blackhole: bool,
    pub(super) stalled: bool,
    pub(super) buffer: VecDeque<(SendId, Message)>,
    pub(super) held_up: Vec<Frame>,
    pub(super) held_down: Vec<Frame>,
    last_up: u64,
    last_down: u64,
    heard_at: u64,
    pub(super) inspector: Inspector,
    pub(super) last_message: Option<Message>,
    pub(super) last_received: Mono,
    /// The number of the last message that arrived on it.
    pub(super) last_arrived: Option<SendId>,
}

#[derive(Default)]
pub(super) struct Sockets {
    pub(super) fault: Option<WsFault>,
    pub(super) conns: BTreeMap<u64, Conn>,
    pub(super) keys: BTreeMap<(usize, u64, ConnId), u64>,
    next: u64,
}

impl Sockets {
    /// Forgets a connection of which both ends are gone.
    pub(super) fn tidy(&mut self, key: u64) {
        if self
            .conns
            .get(&key)
            .is_some_and(|conn| matches!(conn.client, Client::Gone) && !conn.server)
        {
            self.conns.remove(&key);
        }
    }
}

/// A server closes what it has heard nothing from for so long.
const SERVER_IDLE_MS: u64 = 60_000;

impl Fleet {
    pub(super) fn dial(&mut self, h: usize, id: ConnId, socket: SocketId, request: &ConnectRequest) {
        let token = self.carried(request);
        self.check_dial(h, socket, &token);
        self.sockets.next += 1;
        let key = self.sockets.next;
        let process = self.process(h);
        let conn = Conn {
            process,
            id,
            client: Client::Dialling,
            server: false,
            user: self
                .auth
                .access
                .get(&token)
                .map_or(String::new(), |access| access.user.clone()),
            token,
            blackhole: false,
            stalled: false,
            buffer: VecDeque::new(),
            held_up: Vec::new(),
            held_down: Vec::new(),
            last_up: 0,
            last_down: 0,
            heard_at: 0,
            inspector: Inspector::new(&self.plan.socket),
            last_message: None,
            last_received: Mono(0),
            last_arrived: None,
        };
        self.sockets.conns.insert(key, conn);
        self.sockets.keys.insert((h, process.life, id), key);
        let link = self.holders[h].link;
        if link.down && self.chance(500) {
            let failure = Some(ConnectFailure::Unreachable {
                detail: "no route to host".into(),
            });
            let delay = 1 + self.rng.up_to(50);
            self.after(delay, Event::Dialled { conn: key, failure });
        } else if !self.chance(link.loss_per_mille) {
            // Name, TCP and TLS take round trips of their own.
            let delay = self.delay(h) * 3;
            self.after(delay, Event::AtWs { conn: key });
        }
    }

    pub(super) fn at_ws(&mut self, key: u64) {
        let Some(conn) = self.sockets.conns.get(&key) else {
            return;
        };
        let (process, gone) = (conn.process, matches!(conn.client, Client::Gone));
        let h = process.holder;
        if gone || self.holders[h].link.down {
            return self.sockets.tidy(key);
        }
        let good = self.auth.accepts(&conn.token, self.now).is_some();
        let fault = self.sockets.fault;
        let good = good && fault != Some(WsFault::RefusesAll);
        let http = |status, retry_after: Option<&str>| {
            Some(ConnectFailure::Http {
                status,
                retry_after: retry_after.map(str::to_owned),
            })
        };
        let failure = match fault {
            Some(WsFault::Hangs) => return,
            Some(WsFault::Unreachable) => Some(ConnectFailure::Unreachable {
                detail: "connection refused".into(),
            }),
            Some(WsFault::Http(status, retry_after)) => http(status, retry_after),
            _ => match self.plan.refuse_as {
                RefuseAs::Http(status) if !good => http(status, None),
                _ => None,
            },
        };
        let delay = self.delay(h);
        let opened = failure.is_none();
        self.after(delay, Event::Dialled { conn: key, failure });
        if !opened {
            return;
        }
        let now = self.now;
        let Some(conn) = self.sockets.conns.get_mut(&key) else {
            return;
        };
        conn.server = true;
        conn.last_down = now + delay;
        conn.heard_at = now;
        let (user, token) = (conn.user.clone(), conn.token.clone());
        self.after(SERVER_IDLE_MS, Event::ServerLooks { conn: key });
        if !good {
            match self.plan.refuse_as {
                RefuseAs::Message => {
                    let text = r#"{"type":"error","message":"Invalid or expired token"}"#;
                    self.send_down(key, Frame::Text(text.into()));
                    self.server_closes(key, 4000);
                }
                RefuseAs::Close(code) => self.server_closes(key, code),
                RefuseAs::Http(_) => self.server_closes(key, 4401),
            }
            return;
        }
        if self.plan.one_per_user {
            let others: Vec<u64> = self
                .sockets
                .conns
                .iter()
                .filter(|(other, conn)| **other != key && conn.server && conn.user == user)
                .map(|(other, _)| *other)
                .collect();
            for other in others {
                self.server_closes(other, 4000);
            }
        }
        if self.plan.socket.ready.is_some() {
            self.send_down(key, Frame::Text(r#"{"type":"welcome"}"#.into()));
        }
        if let Some(WsFault::AcceptsThenCloses(code)) = fault {
            return self.server_closes(key, code);
        }
        self.await_expiry(key, &token);
    }

    fn await_expiry(&mut self, key: u64, token: &str) {
        if self.plan.closes_at_expiry.is_some() {
            let expires = self
                .auth
                .access
                .get(token)
                .map_or(self.now, |access| access.expires);
            self.after(expires.saturating_sub(self.now), Event::Expiry { conn: key });
        }
    }

    pub(super) fn token_of_conn_expired(&mut self, key: u64) {
        let Some(conn) = self.sockets.conns.get(&key).filter(|conn| conn.server) else {
            return;
        };
        let expires = self
            .auth
            .access
            .get(&conn.token)
            .map_or(self.now, |access| access.expires);
        if let Some(code) = self.plan.closes_at_expiry.filter(|_| expires <= self.now) {
            self.cover.count("server: closes at expiry");
            self.server_closes(key, code);
        }
    }

    pub(super) fn dialled(&mut self, key: u64, failure: Option<ConnectFailure>) {
        let Some(conn) = self.sockets.conns.get(&key) else {
            return;
        };
        let (process, id) = (conn.process, conn.id);
        if !self.is_alive(process) || !matches!(conn.client, Client::Dialling) {
            return;
        }
        let h = process.holder;
        if let Some(failure) = failure {
            self.sockets.keys.remove(&(h, process.life, id));
            if let Some(conn) = self.sockets.conns.get_mut(&key) {
                conn.client = Client::Gone;
            }
            self.sockets.tidy(key);
            return self.feed(h, Input::ConnectFailed { conn: id, failure });
        }
        let mono = self.clock(h).mono;
        if let Some(conn) = self.sockets.conns.get_mut(&key) {
            conn.client = Client::Open;
            conn.last_received = mono;
        }
        self.feed(
            h,
            Input::Opened {
                conn: id,
                subprotocol: None,
            },
        );
    }

    // ---- frames ----

    pub(super) fn send_up(&mut self, key: u64, frame: Frame) {
        let Some(h) = self.sockets.conns.get(&key).map(|conn| conn.process.holder) else {
            return;
        };
        let at = self.now + self.delay(h);
        let Some(conn) = self.sockets.conns.get_mut(&key) else {
            return;
        };
        conn.last_up = conn.last_up.max(at);
        let delay = conn.last_up - self.now;
        self.after(delay, Event::Up { conn: key, frame });
    }

    pub(super) fn send_down(&mut self, key: u64, frame: Frame) {
        let Some(h) = self.sockets.conns.get(&key).map(|conn| conn.process.holder) else {
            return;
        };
        let at = self.now + self.delay(h);
        let Some(conn) = self.sockets.conns.get_mut(&key) else {
            return;
        };
        conn.last_down = conn.last_down.max(at);
        let delay = conn.last_down - self.now;
        self.after(delay, Event::Down { conn: key, frame });
    }

    /// A frame arrives at the server.
    pub(super) fn up(&mut self, key: u64, frame: Frame) {
        let now = self.now;
        let Some(conn) = self.sockets.conns.get_mut(&key) else {
            return;
        };
        let h = conn.process.holder;
        if conn.blackhole || !conn.server {
            return;
        }
        if self.holders[h].link.down {
            conn.held_up.push(frame);
            return;
        }
        conn.heard_at = now;
        match frame {
            Frame::Message(message) => {
                self.arrived(key, message);
                if self.plan.echoes {
                    self.send_down(key, Frame::Text("echo".into()));
                }
            }
            Frame::Text(text) => self.renewed_in_band(key, &text),
            Frame::Ping => self.send_down(key, Frame::Pong),
            Frame::Close(code) => {
                self.send_down(key, Frame::Close(code));
                self.server_gone(key);
            }
            Frame::Reset => self.server_gone(key),
            Frame::Pong => {}
        }
    }

    pub(super) fn server_gone(&mut self, key: u64) {
        if let Some(conn) = self.sockets.conns.get_mut(&key) {
            conn.server = false;
            self.sockets.tidy(key);
        }
    }

    pub(super) fn server_closes(&mut self, key: u64, code: u16) {
        self.send_down(key, Frame::Close(code));
        self.server_gone(key);
    }

    /// A half-open connection ends at the server when it has been silent for long; a living one answers a ping.
    pub(super) fn server_looks(&mut self, key: u64) {
        let Some(conn) = self.sockets.conns.get(&key).filter(|conn| conn.server) else {
            return;
        };
        let reachable = !conn.blackhole
            && self.is_alive(conn.process)
            && self.is_running(conn.process.holder)
            && !self.holders[conn.process.holder].link.down;
        if !reachable && self.now - conn.heard_at >= SERVER_IDLE_MS {
            return self.server_closes(key, 1001);
        }
        self.after(SERVER_IDLE_MS, Event::ServerLooks { conn: key });
    }

    /// The machine's process is dead: the operating system says so to the server, unless nobody can.
    pub(super) fn conns_of_dead(&mut self, h: usize) {
        let mine: Vec<u64> = self
            .sockets
            .conns
            .iter()
            .filter(|(_, conn)| conn.process.holder == h && !matches!(conn.client, Client::Gone))
            .map(|(key, _)| *key)
            .collect();
        for key in mine {
            self.send_up(key, Frame::Reset);
            if let Some(conn) = self.sockets.conns.get_mut(&key) {
                conn.client = Client::Gone;
                let id = (conn.process.holder, conn.process.life, conn.id);
                self.sockets.keys.remove(&id);
            }
            self.sockets.tidy(key);
        }
    }

    fn renewed_in_band(&mut self, key: u64, text: &str) {
        let token =
            Json::parse(text).and_then(|json| json.at("/token").and_then(Json::as_str).map(str::to_owned));
        let Some(token) = token else { return };
        if self.auth.accepts(&token, self.now).is_none() {
            return self.server_closes(key, 4401);
        }
        if let Some(conn) = self.sockets.conns.get_mut(&key) {
            conn.token.clone_from(&token);
        }
        self.await_expiry(key, &token);
    }

    /// The access token behind a request's credential.
    fn carried(&mut self, request: &ConnectRequest) -> String {
        let query = |name: &str| request.url.expose().split(name).nth(1).map(str::to_owned);
        if let Some(ticket) = query("ticket=") {
            // A ticket is good once.
            return self
                .auth
                .tickets
                .get_mut(&ticket)
                .and_then(Option::take)
                .unwrap_or_default();
        }
        let in_first = |text: &Secret| {
            Json::parse(text.expose()).and_then(|j| j.at("/token").and_then(Json::as_str).map(str::to_owned))
        };
        query("token=")
            .or_else(|| request.subprotocols.last().map(|text| text.expose().to_owned()))
            .or_else(|| {
                request
                    .headers
                    .iter()
                    .find_map(|(_, v)| v.expose().strip_prefix("Bearer ").map(str::to_owned))
            })
            .or_else(|| request.first_message.as_ref().and_then(in_first))
            .unwrap_or_default()
    }
}
