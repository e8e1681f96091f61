//! Performs what the machine asks for, as a real driver would: answers take time, may be lost, and may be late.

use freshsocket::io::{
    CallbackAnswer, ConnEnd, ConnId, ConnectFailure, EffectId, HttpAnswer, HttpRequest, Input, Output,
};
use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::{Error, SocketEvent};

use super::{OnOpen, Overlap, Sent, World};

/// What is on its way.
pub enum Event {
    AtServer {
        life: u64,
        effect: EffectId,
        request: HttpRequest,
    },
    Answer {
        life: u64,
        effect: EffectId,
        answer: Result<HttpAnswer, Error>,
    },
    AtStore {
        life: u64,
        effect: EffectId,
        access: Access,
    },
    Loaded {
        life: u64,
        effect: EffectId,
        loaded: Result<StoreSnapshot, Error>,
    },
    Swapped {
        life: u64,
        effect: EffectId,
        swapped: Result<Swapped, Error>,
    },
    FromCallback {
        life: u64,
        effect: EffectId,
        answer: CallbackAnswer,
    },
    Dialled {
        life: u64,
        conn: ConnId,
        failure: Option<ConnectFailure>,
    },
    Act {
        life: u64,
        conn: ConnId,
        act: OnOpen,
    },
    Expiry {
        life: u64,
        conn: ConnId,
    },
    ToServer {
        conn: ConnId,
        text: String,
    },
    Pong {
        life: u64,
        conn: ConnId,
    },
    Over {
        life: u64,
        conn: ConnId,
        end: ConnEnd,
    },
    /// The test's own.
    Later(Box<dyn FnOnce(&mut World)>),
}

/// An access to the store.
pub enum Access {
    Load,
    Swap {
        expected: StoreVersion,
        next: Option<Box<StoredSession>>,
    },
}

impl Event {
    /// Whether it still happens when the process that caused it is dead.
    pub fn survives(&self, life: u64, keep_writes: bool) -> bool {
        match self {
            Self::AtServer { .. } | Self::ToServer { .. } | Self::Later(_) => true,
            Self::AtStore {
                access: Access::Swap { .. },
                ..
            } => keep_writes,
            Self::AtStore { life: of, .. } => *of == life,
            _ => false,
        }
    }
}

/// What an effect that is out is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Refresh,
    Other,
}

impl World {
    pub fn perform_outputs(&mut self) {
        while let Some(output) = self
            .machine
            .as_mut()
            .and_then(freshsocket::machine::Machine::poll)
        {
            self.check_output(&output);
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        let life = self.life;
        match output {
            Output::Http { effect, request } => {
                let kind = if request.url.contains("refresh") {
                    Effect::Refresh
                } else {
                    Effect::Other
                };
                self.effects.insert(effect.0, kind);
                self.at(
                    self.server.latency,
                    Event::AtServer {
                        life,
                        effect,
                        request,
                    },
                );
            }
            Output::Cancel { effect } => {
                // The answer comes all the same: a driver may be a moment too late with its cancelling.
                self.effects.remove(&effect.0);
            }
            Output::LoadStore { effect } => {
                self.effects.insert(effect.0, Effect::Other);
                self.at(
                    self.store.delay,
                    Event::AtStore {
                        life,
                        effect,
                        access: Access::Load,
                    },
                );
            }
            Output::SwapStore {
                effect,
                expected,
                next,
            } => {
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
                assert!(
                    self.replies.insert(call, result).is_none(),
                    "{call:?} was answered twice"
                );
            }
            Output::Connect {
                conn,
                socket,
                replaces,
                request,
            } => {
                if let Some(old) = replaces {
                    self.overlaps.push((self.now, Overlap::Began { old, new: conn }));
                }
                self.dial(conn, socket, &request);
            }
            Output::Overlap { stage, .. } => self.overlaps.push((self.now, Overlap::Stage(stage))),
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
                let end = ConnEnd::Lost {
                    detail: "aborted".into(),
                    refused: false,
                };
                self.end_later(0, conn, end);
            }
            Output::PublishSocket { socket, state } => {
                self.socket_states
                    .entry(socket)
                    .or_default()
                    .push((self.now, state));
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

    pub fn happen(&mut self, event: Event) {
        match event {
            Event::AtServer {
                life,
                effect,
                request,
            } => {
                let answer = self.server.answer(self.now, &request);
                if let Some(answer) = answer.filter(|_| life == self.life) {
                    self.at(self.server.latency, Event::Answer { life, effect, answer });
                }
            }
            Event::Answer { effect, answer, .. } => {
                self.effects.remove(&effect.0);
                self.input(Input::HttpAnswered { effect, answer });
            }
            Event::AtStore { life, effect, access } => {
                let done = match access {
                    Access::Load => self
                        .store
                        .load()
                        .map(|loaded| Event::Loaded { life, effect, loaded }),
                    Access::Swap { expected, next } => {
                        self.store.swap(expected, next).map(|swapped| Event::Swapped {
                            life,
                            effect,
                            swapped,
                        })
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
                let Some(open) = self.conns.get(&conn.0) else {
                    return;
                };
                let expires = self.server.expires(&open.text);
                match self.ws.closes_at_expiry {
                    Some(code) if self.now >= expires => self.act(conn, OnOpen::Close(code, "")),
                    _ => self.at(
                        expires.saturating_sub(self.now).max(1),
                        Event::Expiry { life, conn },
                    ),
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
}
