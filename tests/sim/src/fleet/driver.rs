//! Performs what a machine puts out, as the drivers do: what the application hears comes last.

use freshsocket::io::{Input, Output};
use freshsocket::machine::Machine;
use freshsocket::{SessionEvent, SocketEvent};

use super::Fleet;
use super::event::Event;
use super::holder::Effect;
use super::sabotage::Sabotage;
use super::store::{Access, StoreFault, failed};

/// An input in words, without what is secret or long.
pub(super) fn shown_input(input: &Input) -> String {
    match input {
        Input::HttpAnswered { effect, answer } => match answer {
            Ok(answer) => format!("HttpAnswered {} {}", effect.0, answer.status),
            Err(error) => format!("HttpAnswered {} {}", effect.0, error.message()),
        },
        Input::OpenSocket { socket, .. } => format!("OpenSocket {}", socket.0),
        Input::Login { call, .. } => format!("Login {}", call.0),
        Input::Send { socket, send, .. } => format!("Send {} on {}", send.0, socket.0),
        Input::Ended { conn, end, unsent } => format!("Ended {} {end:?}, {} unsent", conn.0, unsent.len()),
        Input::StoreLoaded { effect, loaded } => {
            format!(
                "StoreLoaded {} {}",
                effect.0,
                shown_snapshot(loaded.as_ref().ok())
            )
        }
        input => format!("{input:?}").chars().take(240).collect(),
    }
}

fn shown_snapshot(snapshot: Option<&freshsocket::store::StoreSnapshot>) -> String {
    let Some(snapshot) = snapshot else {
        return "failed".into();
    };
    match &snapshot.session {
        None => format!("v{} empty", snapshot.version.0),
        Some(stored) => format!(
            "v{} rotation {}{}",
            snapshot.version.0,
            stored.rotation,
            if stored.intent.is_some() {
                " with intent"
            } else {
                ""
            }
        ),
    }
}

fn shown_output(output: &Output) -> Option<String> {
    Some(match output {
        Output::Http { effect, request } => format!("Http {} {}", effect.0, request.url),
        Output::SwapStore {
            effect,
            expected,
            next,
        } => {
            let next = next.as_ref().map_or("clear".to_owned(), |stored| {
                format!(
                    "rotation {}{}",
                    stored.rotation,
                    if stored.intent.is_some() {
                        " with intent"
                    } else {
                        ""
                    }
                )
            });
            format!("SwapStore {} from v{}: {next}", effect.0, expected.0)
        }
        Output::PublishSession(view) => format!("session {:?} identity {:?}", view.state, view.identity),
        Output::PublishSocket { socket, state } => format!("socket {} {state:?}", socket.0),
        Output::Connect { conn, socket, .. } => format!("Connect {} for socket {}", conn.0, socket.0),
        Output::Transmit { conn, messages } => {
            let numbers: Vec<u64> = messages.iter().map(|(send, _)| send.0).collect();
            format!("Transmit on {} {numbers:?}", conn.0)
        }
        Output::TokenRefreshed { .. }
        | Output::ReadActivity { .. }
        | Output::SocketEvent {
            event: SocketEvent::SendFailed { .. },
            ..
        } => return None,
        output => format!("{output:?}").chars().take(240).collect(),
    })
}

impl Fleet {
    pub(super) fn perform_outputs(&mut self, h: usize) {
        let mut news = Vec::new();
        while let Some(output) = self.holders[h].machine.as_mut().and_then(Machine::poll) {
            self.note(|| shown_output(&output).map_or(String::new(), |shown| format!("h{h} -> {shown}")));
            self.check_output(h, &output);
            match output {
                Output::PublishSession(_)
                | Output::SessionEvent(_)
                | Output::TokenRefreshed { .. }
                | Output::Reply { .. } => news.push(output),
                output => self.perform(h, output),
            }
        }
        for output in news {
            self.perform(h, output);
        }
    }

    fn perform(&mut self, h: usize, output: Output) {
        match output {
            Output::Http { effect, request } => self.http(h, effect, request),
            Output::Cancel { effect } => {
                // Half of the time the answer is on its way into the machine already.
                if self.chance(500) {
                    self.holders[h].effects.remove(&effect);
                }
            }
            Output::LoadStore { effect } => self.ask_store(h, effect, Access::Load),
            Output::SwapStore {
                effect,
                expected,
                next,
            } => self.ask_store(h, effect, Access::Swap { expected, next }),
            Output::AskCallback { .. } => self.violated("world", || "there is no callback here".into()),
            Output::PublishSession(view) => {
                self.cover.count(match view.state.name() {
                    "active" => "session: active",
                    "refreshing" => "session: refreshing",
                    "unreachable" => "session: unreachable",
                    "restoring" => "session: restoring",
                    _ => "session: signed out",
                });
                self.check_published(h, &view);
                self.holders[h].view = Some(view);
            }
            Output::SessionEvent(event) => {
                if let SessionEvent::StoreFailed { .. } = event {
                    self.holders[h].watched.store_failed = true;
                    self.holders[h].watched.store_failed_at = self.now;
                    self.cover.count("session: store failed");
                }
            }
            Output::TokenRefreshed { .. } => {
                if self.sabotage == Sabotage::RefreshesInCircles {
                    let token = self.holders[h].view.as_ref().and_then(|view| view.token.as_ref());
                    let token = token.map_or(0, |token| token.number);
                    self.holders[h].inbox.push_back(Input::TokenRejected { token });
                }
            }
            Output::Reply { call, result } => self.check_reply(h, call, &result),
            Output::Connect {
                conn,
                socket,
                request,
                ..
            } => self.dial(h, conn, socket, &request),
            Output::Transmit { conn, messages } => self.transmit(h, conn, messages),
            Output::TransmitSecret { conn, text } => self.transmit_secret(h, conn, text.expose()),
            Output::Direct { socket, conn } => {
                self.holders[h].direct.insert(socket, conn);
            }
            Output::Indirect { socket } => {
                if self.sabotage != Sabotage::StaysDirect {
                    self.holders[h].direct.remove(&socket);
                }
            }
            Output::ReadActivity { conn } => {
                if let Some(last_received) = self.conn_of(h, conn).map(|conn| conn.last_received) {
                    self.holders[h]
                        .inbox
                        .push_back(Input::Activity { conn, last_received });
                }
            }
            Output::Ping { conn } => self.ping(h, conn),
            Output::Close { conn, code, .. } => self.close(h, conn, code),
            Output::Abort { conn } => self.abort(h, conn),
            Output::PublishSocket { socket, state } => {
                self.cover.count(match state.name() {
                    "open" => "socket: open",
                    "idle" => "socket: idle",
                    "waitingForSession" => "socket: waiting for session",
                    "authenticating" => "socket: authenticating",
                    "connecting" => "socket: connecting",
                    "backoff" => "socket: backoff",
                    "offline" => "socket: offline",
                    "refused" => "socket: refused",
                    _ => "socket: closed",
                });
                let mono = self.clock(h).mono;
                self.holders[h].watched.changed(socket, mono);
                self.holders[h].states.insert(socket, state);
            }
            Output::SocketEvent { socket, event } => self.socket_event(h, socket, &event),
            Output::SendFailed { send, error, .. } => self.send_failed(h, send, &error),
            // Which of two connections delivers a message is the driver's affair, and of no consequence here.
            Output::Overlap { .. } => {}
        }
    }

    fn socket_event(&mut self, h: usize, socket: freshsocket::io::SocketId, event: &SocketEvent) {
        match event {
            SocketEvent::Attempt { token, .. } => {
                let mono = self.clock(h).mono;
                self.holders[h].watched.attempt(socket, *token, mono);
            }
            SocketEvent::Opened { handover, .. } => {
                self.cover.count(if *handover {
                    "socket: handed over"
                } else {
                    "socket: opened"
                });
            }
            SocketEvent::AuthRefused { .. } => {
                self.cover.count("socket: credential refused");
                // With a live connection the next attempt is one of another story: when that has ended.
                let is_open = self.holders[h]
                    .states
                    .get(&socket)
                    .is_some_and(freshsocket::SocketState::is_open);
                if !is_open {
                    self.holders[h].watched.refused(socket);
                }
            }
            _ => {}
        }
    }

    // ---- the store ----

    fn ask_store(&mut self, h: usize, effect: freshsocket::io::EffectId, access: Access) {
        self.holders[h].effects.insert(effect, Effect::Store);
        if let Access::Swap { next, .. } = &access {
            self.swap_begins(h, next.as_deref());
        }
        let delay = self.plan.store_ms + self.store.slow_ms;
        let delay = delay + self.rng.up_to(delay);
        let back = self.rng.up_to(self.plan.store_ms + self.store.slow_ms);
        // One after the other, as the drivers do it.
        let begins = self.holders[h].store_free_at.max(self.now);
        self.holders[h].store_free_at = begins + delay + back;
        let from = self.process(h);
        let at = begins + delay - self.now;
        let access = Event::AtStore {
            from,
            effect,
            access,
            asked: self.now,
            back,
        };
        self.after(at, access);
    }

    pub(super) fn at_store(
        &mut self,
        from: super::event::Process,
        effect: freshsocket::io::EffectId,
        access: Access,
        (asked, back): (u64, u64),
    ) {
        // A write of a process that died on the way may be made or not.
        if !self.is_alive(from) && (matches!(access, Access::Load) || self.chance(500)) {
            return;
        }
        let h = from.holder;
        let fault = self.store.fault;
        if fault.is_some() {
            self.excuse_exchanges(h, "the store failed");
        }
        let input = match (access, fault) {
            (_, Some(StoreFault::Hangs)) => {
                self.holders[h].effects.remove(&effect);
                return;
            }
            (Access::Load, Some(_)) => Input::StoreLoaded {
                effect,
                loaded: Err(failed()),
            },
            (Access::Load, None) => Input::StoreLoaded {
                effect,
                loaded: Ok(self.store.held.clone()),
            },
            (Access::Swap { .. }, Some(StoreFault::Fails)) => Input::StoreSwapped {
                effect,
                swapped: Err(failed()),
            },
            (Access::Swap { expected, next }, fault) => {
                let lied = self.sabotage == Sabotage::LateWrites && self.chance(300);
                if lied && fault.is_none() {
                    // The driver says "durable" before it is: and then the process may die.
                    let version = freshsocket::store::StoreVersion(self.store.held.version.0 + 1);
                    Input::StoreSwapped {
                        effect,
                        swapped: Ok(freshsocket::store::Swapped::Done(version)),
                    }
                } else {
                    let swapped = self.swap(h, expected, next, self.now - asked);
                    let swapped = if fault.is_some() {
                        Err(failed())
                    } else {
                        Ok(swapped)
                    };
                    Input::StoreSwapped { effect, swapped }
                }
            }
        };
        self.after(
            back,
            Event::FromStore {
                to: from,
                effect,
                input: Box::new(input),
            },
        );
    }

    /// A write is announced to the others, or not; and to the writer as well, as file watchers do.
    pub(super) fn announce_write(&mut self, writer: usize) {
        for h in 0..self.holders.len() {
            let announced = self.chance(self.plan.announced);
            if announced && self.holders[h].machine.is_some() && (h != writer || self.chance(500)) {
                let to = self.process(h);
                let delay = self.rng.up_to(100);
                self.after(delay, Event::StoreChanged { to });
            }
        }
    }
}
