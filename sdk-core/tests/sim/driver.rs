//! Performs what the machine asks for, as a real driver would: answers take time, may be lost, and may be late.

use std::collections::VecDeque;

use freshsocket::inspect::Inspector;
use freshsocket::io::{
    CallbackAnswer, ConnEnd, ConnId, ConnectFailure, ConnectRequest, EffectId, HttpAnswer, HttpRequest, Input, Output,
    SendId, SocketId,
};
use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::time::Mono;
use freshsocket::{Error, Message, SocketEvent};

use super::ws::{ConnectFault, Handshake};
use super::{OnOpen, RefuseAs, Sent, World};

/// What is on its way.
pub(crate) enum Event {
    AtServer { life: u64, effect: EffectId, request: HttpRequest },
    Answer { life: u64, effect: EffectId, answer: Result<HttpAnswer, Error> },
    AtStore { life: u64, effect: EffectId, access: Access },
    Loaded { life: u64, effect: EffectId, loaded: Result<StoreSnapshot, Error> },
    Swapped { life: u64, effect: EffectId, swapped: Result<Swapped, Error> },
    FromCallback { life: u64, effect: EffectId, answer: CallbackAnswer },
    Dialled { life: u64, conn: ConnId, failure: Option<ConnectFailure> },
    Act { life: u64, conn: ConnId, act: OnOpen },
    Expiry { life: u64, conn: ConnId },
    ToServer { conn: ConnId, text: String },
    Pong { life: u64, conn: ConnId },
    Over { life: u64, conn: ConnId, end: ConnEnd },
    /// The test's own.
    Later(Box<dyn FnOnce(&mut World)>),
}

/// An access to the store.
pub(crate) enum Access {
    Load,
    Swap { expected: StoreVersion, next: Option<Box<StoredSession>> },
}

impl Event {
    /// Whether it still happens when the process that caused it is dead.
    pub(crate) fn survives(&self, life: u64, keep_writes: bool) -> bool {
        match self {
            Self::AtServer { .. } | Self::ToServer { .. } | Self::Later(_) => true,
            Self::AtStore { access: Access::Swap { .. }, .. } => keep_writes,
            Self::AtStore { life: of, .. } => *of == life,
            _ => false,
        }
    }
}

/// What an effect that is out is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Refresh,
    Other,
}

/// The driver's end of a connection, and the server's.
pub(crate) struct Conn {
    pub(crate) socket: SocketId,
    pub(crate) open: bool,
    pub(crate) text: String,
    last_received: Mono,
    inspector: Inspector,
    buffer: VecDeque<(SendId, Message)>,
    last_message: Option<Message>,
}

impl World {
    pub(crate) fn perform_outputs(&mut self) {
        while let Some(output) = self.machine.as_mut().and_then(freshsocket::machine::Machine::poll) {
            self.check_output(&output);
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        let life = self.life;
        match output {
            Output::Http { effect, request } => {
                let kind = if request.url.contains("refresh") { Effect::Refresh } else { Effect::Other };
                self.effects.insert(effect.0, kind);
                self.at(self.server.latency, Event::AtServer { life, effect, request });
            }
            Output::Cancel { effect } => {
                // The answer comes all the same: a driver may be a moment too late with its cancelling.
                self.effects.remove(&effect.0);
            }
            Output::LoadStore { effect } => {
                self.effects.insert(effect.0, Effect::Other);
                self.at(self.store.delay, Event::AtStore { life, effect, access: Access::Load });
            }
            Output::SwapStore { effect, expected, next } => {
                self.effects.insert(effect.0, Effect::Other);
                let access = Access::Swap { expected, next };
                self.at(self.store.delay, Event::AtStore { life, effect, access });
            }
            Output::AskCallback { effect, force } => {
                self.effects.insert(effect.0, Effect::Refresh);
                if let (delay, Some(answer)) = self.asked_callback(force) {
                    self.at(delay, Event::FromCallback { life, effect, answer });
                }
            }
            Output::PublishSession(view) => {
                if self.session_states.last() != Some(&view.state) {
                    self.session_states.push(view.state.clone());
                }
                self.view = Some(view);
            }
            Output::SessionEvent(event) => self.session_events.push(event),
            Output::TokenRefreshed { token } => self.told.push(token),
            Output::Reply { call, result } => {
                self.checks.forget_generation();
                assert!(self.replies.insert(call, result).is_none(), "{call:?} was answered twice");
            }
            Output::Connect { conn, socket, request } => self.dial(conn, socket, &request),
            Output::Transmit { conn, messages } => self.write(conn, messages),
            Output::TransmitSecret { conn, text } => {
                let text = text.expose().to_owned();
                self.at(self.ws.latency, Event::ToServer { conn, text });
            }
            Output::Direct { socket, conn } => {
                assert!(self.conns[&conn.0].open, "{conn:?} is not open");
                self.direct.insert(socket, conn);
            }
            Output::Indirect { socket } => {
                self.direct.remove(&socket);
            }
            Output::ReadActivity { conn } => {
                if let Some(last_received) = self.conns.get(&conn.0).map(|conn| conn.last_received) {
                    self.inbox.push_back(Input::Activity { conn, last_received });
                }
            }
            Output::Ping { conn } => {
                self.ws.pings.push(self.now);
                if !self.ws.silent {
                    self.at(2 * self.ws.latency, Event::Pong { life, conn });
                }
            }
            Output::Close { conn, code, reason } => self.close(conn, code, reason),
            Output::Abort { conn } => {
                let end = ConnEnd::Lost { detail: "aborted".into(), refused: false };
                self.end_later(0, conn, end);
            }
            Output::PublishSocket { socket, state } => {
                self.socket_states.entry(socket).or_default().push((self.now, state));
                let mono = self.clock().mono;
                self.checks.socket_changed(socket, mono);
            }
            Output::SocketEvent { socket, event } => {
                if let SocketEvent::Attempt { token, .. } = &event {
                    self.checks.attempt_token = *token;
                }
                self.socket_events.entry(socket).or_default().push(event);
            }
            Output::SendFailed { send, error, .. } => {
                let before = self.sends.insert(send, Sent::Failed(error.kind()));
                assert_eq!(before, Some(Sent::Queued), "{send:?} has an end already");
            }
        }
    }

    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::AtServer { life, effect, request } => {
                if let Some(answer) = self.server.answer(self.now, &request) {
                    if life == self.life {
                        self.at(self.server.latency, Event::Answer { life, effect, answer });
                    }
                }
            }
            Event::Answer { effect, answer, .. } => {
                self.effects.remove(&effect.0);
                self.input(Input::HttpAnswered { effect, answer });
            }
            Event::AtStore { life, effect, access } => {
                let done = match access {
                    Access::Load => self.store.load().map(|loaded| Event::Loaded { life, effect, loaded }),
                    Access::Swap { expected, next } => {
                        self.store.swap(expected, next).map(|swapped| Event::Swapped { life, effect, swapped })
                    }
                };
                if let Some(done) = done.filter(|_| life == self.life) {
                    self.at(self.store.delay, done);
                }
            }
            Event::Loaded { effect, loaded, .. } => {
                self.effects.remove(&effect.0);
                self.input(Input::StoreLoaded { effect, loaded });
            }
            Event::Swapped { effect, swapped, .. } => {
                self.effects.remove(&effect.0);
                self.input(Input::StoreSwapped { effect, swapped });
            }
            Event::FromCallback { effect, answer, .. } => {
                self.effects.remove(&effect.0);
                self.input(Input::CallbackAnswered { effect, answer });
            }
            Event::Dialled { conn, failure, .. } => self.dialled(conn, failure),
            Event::Act { conn, act, .. } => self.act(conn, act),
            Event::Expiry { life, conn } => {
                let Some(open) = self.conns.get(&conn.0) else { return };
                let expires = self.server.expires(&open.text);
                match self.ws.closes_at_expiry {
                    Some(code) if self.now >= expires => self.act(conn, OnOpen::Close(code, "")),
                    _ => self.at(expires.saturating_sub(self.now).max(1), Event::Expiry { life, conn }),
                }
            }
            Event::ToServer { conn, text } => {
                if self.ws.open.contains(&conn.0) && !self.ws.silent {
                    self.renewed_in_band(conn, &text);
                    self.ws.received.push((conn.0, text));
                }
            }
            Event::Pong { conn, .. } => self.heard(conn),
            Event::Over { conn, end, .. } => self.ended(conn, end),
            Event::Later(act) => act(self),
        }
    }

    // ---- connections ----

    fn dial(&mut self, conn: ConnId, socket: SocketId, request: &ConnectRequest) {
        let (text, ticket) = self.carried(request);
        let faulty = self.ws.strike();
        let good = text.as_deref().is_some_and(|text| self.server.accepts(text, self.now + self.ws.latency));
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
            (Some(ConnectFault::Unreachable), _) => {
                Some(ConnectFailure::Unreachable { detail: "connection refused".into() })
            }
            (Some(ConnectFault::Http(status, retry_after)), _) => {
                Some(ConnectFailure::Http { status, retry_after: retry_after.map(str::to_owned) })
            }
            (None, RefuseAs::Http(status)) if !good => Some(ConnectFailure::Http { status, retry_after: None }),
            (None, _) => None,
        };
        let life = self.life;
        self.at(2 * self.ws.latency, Event::Dialled { life, conn, failure });
        if refused_late && faulty.is_none() {
            let delay = 2 * self.ws.latency + 1;
            match self.ws.refuse_as {
                RefuseAs::Close(code) => {
                    self.at(delay, Event::Act { life, conn, act: OnOpen::Close(code, "") });
                }
                RefuseAs::Message(text, code) => {
                    self.at(delay, Event::Act { life, conn, act: OnOpen::Say(text) });
                    self.at(delay, Event::Act { life, conn, act: OnOpen::Close(code, "") });
                }
                RefuseAs::Http(_) => {}
            }
        }
    }

    fn dialled(&mut self, conn: ConnId, failure: Option<ConnectFailure>) {
        if let Some(failure) = failure {
            if self.conns.remove(&conn.0).is_some() {
                self.input(Input::ConnectFailed { conn, failure });
            }
            return;
        }
        let mono = self.clock().mono;
        let Some(open) = self.conns.get_mut(&conn.0) else { return };
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
        self.input(Input::Opened { conn, subprotocol: Some("access_token".into()) });
    }

    /// Something that the server does to a connection arrives.
    fn act(&mut self, conn: ConnId, act: OnOpen) {
        if self.ws.silent {
            return;
        }
        match act {
            OnOpen::Say(text) => self.say_on(conn, text),
            OnOpen::Close(code, reason) => {
                let refused = self.conns.get(&conn.0).is_some_and(|c| c.inspector.was_refusal(c.last_message.as_ref()));
                self.ended(conn, ConnEnd::Closed { code, reason: reason.to_owned(), refused });
            }
            OnOpen::Cut => self.ended(conn, ConnEnd::Lost { detail: "reset".into(), refused: false }),
        }
    }

    fn say_on(&mut self, conn: ConnId, text: &str) {
        self.heard(conn);
        let Some(open) = self.conns.get_mut(&conn.0) else { return };
        let message = Message::text(text);
        let verdict = open.inspector.look(&message);
        open.last_message = Some(message);
        if let Some(notice) = verdict.notice {
            self.input(Input::Noticed { conn, notice });
        }
    }

    fn heard(&mut self, conn: ConnId) {
        let mono = self.clock().mono;
        if let Some(open) = self.conns.get_mut(&conn.0) {
            open.last_received = mono;
        }
    }

    /// Flush, then the closing handshake.
    fn close(&mut self, conn: ConnId, code: u16, reason: String) {
        let Some(open) = self.conns.get(&conn.0) else { return };
        self.ws.client_closes.push((conn.0, code));
        if self.ws.never_closes {
            return;
        }
        let flushed = open.buffer.is_empty() && !self.ws.silent;
        let end = if flushed {
            ConnEnd::Closed { code, reason, refused: false }
        } else {
            ConnEnd::Lost { detail: "no answer to the close".into(), refused: false }
        };
        let delay = if flushed { 2 * self.ws.latency } else { 5_000 };
        self.end_later(delay, conn, end);
    }

    fn end_later(&mut self, delay: u64, conn: ConnId, end: ConnEnd) {
        let life = self.life;
        self.at(delay, Event::Over { life, conn, end });
    }

    /// A connection is over; what it did not hand out goes back.
    fn ended(&mut self, conn: ConnId, end: ConnEnd) {
        let Some(over) = self.conns.remove(&conn.0) else { return };
        self.ws.forget(conn.0);
        let unsent = over.buffer.into_iter().collect();
        self.input(Input::Ended { conn, end, unsent });
    }

    pub(crate) fn write(&mut self, conn: ConnId, messages: Vec<(SendId, Message)>) {
        let open = self.conns.get_mut(&conn.0).filter(|conn| conn.open).expect("written to a connection that is none");
        open.buffer.extend(messages);
        self.flush(conn);
    }

    fn flush(&mut self, conn: ConnId) {
        while !self.ws.stalled {
            let open = self.conns.get_mut(&conn.0).unwrap();
            let socket = open.socket;
            let Some((send, message)) = open.buffer.pop_front() else { return };
            self.checks.handed_out(socket, send);
            let before = self.sends.insert(send, Sent::Sent);
            assert_eq!(before, Some(Sent::Queued), "{send:?} has an end already");
            let text = message.as_text().unwrap().to_owned();
            self.at(self.ws.latency, Event::ToServer { conn, text });
        }
    }

    /// The transport takes messages again.
    pub(crate) fn unstall(&mut self) {
        self.ws.stalled = false;
        let open: Vec<u64> = self.conns.iter().filter(|(_, conn)| conn.open).map(|(id, _)| *id).collect();
        open.into_iter().for_each(|conn| self.flush(ConnId(conn)));
    }

    // ---- what tests do to all connections ----

    fn each_open(&mut self, act: OnOpen) {
        let open: Vec<u64> = self.conns.iter().filter(|(_, conn)| conn.open).map(|(id, _)| *id).collect();
        open.into_iter().for_each(|conn| self.act(ConnId(conn), act));
    }

    pub(crate) fn cut_all(&mut self) {
        self.each_open(OnOpen::Cut);
    }

    pub(crate) fn cut_newest(&mut self) {
        let newest = self.conns.iter().rev().find(|(_, conn)| conn.open).map(|(id, _)| *id);
        newest.into_iter().for_each(|conn| self.act(ConnId(conn), OnOpen::Cut));
    }

    pub(crate) fn close_all(&mut self, code: u16) {
        self.each_open(OnOpen::Close(code, ""));
    }

    pub(crate) fn say(&mut self, text: &'static str) {
        self.each_open(OnOpen::Say(text));
    }

    /// Does this after so many milliseconds.
    pub(crate) fn later(&mut self, delay: u64, act: impl FnOnce(&mut Self) + 'static) {
        self.at(delay, Event::Later(Box::new(act)));
    }

    fn renewed_in_band(&mut self, conn: ConnId, text: &str) {
        let token = self.server.issued.keys().find(|token| text.contains(token.as_str())).cloned();
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
        let text = self.server.issued.keys().filter(found).max_by_key(|text| text.len()).cloned();
        (text, None)
    }
}
